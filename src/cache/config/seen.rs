//! What is seen of the cache's work, by whom, and where the time is read.

use std::sync::Arc;

use crate::{CacheLayer, ConfigError, event::Event, status, time::Clock};

/// # What is seen, and the time
///
/// Every response says what was done, in its [`CacheStatus`](crate::CacheStatus), and [`stats`](CacheLayer::stats) has the
/// sums. All that is done is an [`Event`] besides, for hooks and, with the features of their names, for `tracing` and
/// `metrics`: [`seeing`](crate::seeing) has the names.
impl<B> CacheLayer<B> {
    /// Calls `hook` with each [`Event`]. Adds to the hooks that are there; they are called in the order in which they were
    /// given. Default: none.
    ///
    /// It is called where the thing happens: by the task of the request, of whoever reads a body, or of a refresh. So it
    /// has to be quick, must not wait, and sees events of many threads at once. Should it panic, the panic is caught;
    /// the feature `tracing` warns of it, and nothing else comes of it. A hook that holds the layer keeps it alive for ever.
    ///
    /// ```
    /// use larder::{CacheLayer, Event, store::Memory};
    ///
    /// let layer = CacheLayer::private(Memory::default()).on_event(|event| match event {
    ///     Event::Answered { status, .. } => println!("{}", status.outcome()),
    ///     Event::RefreshFailed { failure, .. } => eprintln!("{failure}"),
    ///     _ => {}
    /// });
    /// ```
    pub fn on_event(self, hook: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.set_handle(|handle| Arc::make_mut(&mut handle.observer).add_hook(hook))
    }

    /// What this cache is called in logs and metrics (`cache.name`, the label `cache`), to tell several in a process apart.
    /// Default: `larder`.
    ///
    /// # Errors
    ///
    /// Where the name is empty.
    pub fn named(self, name: &str) -> Result<Self, ConfigError> {
        if name.is_empty() {
            let message = "the name is empty; write one that distinguishes this cache from others";
            return Err(ConfigError::new("named", message));
        }
        Ok(self.set_handle(|handle| Arc::make_mut(&mut handle.observer).set_name(name)))
    }

    /// Writes a `Cache-Status` field (RFC 9211) into every response, under this name. Default: none.
    ///
    /// # Errors
    ///
    /// Where the name is empty or not printable ASCII.
    pub fn cache_status_header(self, name: &str) -> Result<Self, ConfigError> {
        let name = status::cache_name(name)?;
        Ok(self.set(|settings| settings.cache_status = Some(name)))
    }

    /// Where the time is read. Default: [`SystemClock`](crate::time::SystemClock).
    pub fn clock(self, clock: impl Clock) -> Self {
        self.set(|settings| settings.clock = Arc::new(clock))
    }
}
