//! Hooks, names, the `Cache-Status` field and the clock.

use std::sync::Arc;

use crate::{CacheLayer, ConfigError, event::Event, status, time::Clock};

/// # Observability and the clock
///
/// Every response reports what the cache did, in its [`CacheStatus`](crate::CacheStatus), and
/// [`stats`](CacheLayer::stats) has the totals. Everything that the cache does is also an
/// [`Event`], for hooks and, with the features of these names, for `tracing` and `metrics`.
/// [`observability`](crate::guide::observability) lists the names.
impl<B> CacheLayer<B> {
    /// Calls `hook` with each [`Event`]. Adds to earlier hooks; the cache calls them in the order
    /// in which they were added. Default: none.
    ///
    /// The cache calls the hook where the event happens: in the task of the request, of a reader of
    /// a body, or of a refresh. So the hook must be quick and must not block, and it receives
    /// events from many threads at once. If it panics, the cache catches the panic, and warns if
    /// the feature `tracing` is on. A hook that holds the layer keeps it alive forever.
    ///
    /// ```
    /// use larder::{CacheLayer, Event, store::Memory};
    ///
    /// let layer = CacheLayer::private(Memory::default()).add_event_hook(|event| match event {
    ///     Event::Answered { status, .. } => println!("{}", status.outcome()),
    ///     Event::RefreshFailed { failure, .. } => eprintln!("{failure}"),
    ///     _ => {}
    /// });
    /// ```
    pub fn add_event_hook(self, hook: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.set_handle(|handle| Arc::make_mut(&mut handle.observer).add_hook(hook))
    }

    /// The name of this cache in logs and metrics (`cache.name`, the label `cache`). It
    /// distinguishes several caches in one process. Default: `larder`.
    ///
    /// # Errors
    ///
    /// If the name is empty.
    pub fn named(self, name: &str) -> Result<Self, ConfigError> {
        if name.is_empty() {
            let message = "the name is empty; write one that distinguishes this cache from others";
            return Err(ConfigError::new("named", message));
        }
        Ok(self.set_handle(|handle| Arc::make_mut(&mut handle.observer).set_name(name)))
    }

    /// Writes a `Cache-Status` field (RFC 9211) with this name into every response. Default: none.
    ///
    /// # Errors
    ///
    /// If the name is empty or not printable ASCII.
    pub fn cache_status_header(self, name: &str) -> Result<Self, ConfigError> {
        let name = status::cache_name(name)?;
        Ok(self.set(|settings| settings.cache_status = Some(name)))
    }

    /// The clock used for ages and expiry. Default: [`SystemClock`](crate::time::SystemClock).
    pub fn clock(self, clock: impl Clock) -> Self {
        self.set(|settings| settings.clock = Arc::new(clock))
    }
}
