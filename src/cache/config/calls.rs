//! Calls to the inner service: shared calls, background refreshes, and stale responses for
//! failures. How the cache is observed: hooks, names, the `Cache-Status` field and the clock.

use std::{sync::Arc, time::Duration};

use http::StatusCode;

use super::parse_statuses;
use crate::{CacheLayer, ConfigError, StaleLimit, event::Event, status, time::Clock};

/// # Calls to the origin, and stale answers
///
/// Requests that miss at the same time share one call. A stale response stays stored for the times
/// that are set here. The cache can revalidate it, serve it while a new response is fetched, or
/// serve it if the origin fails. Each request can set its own limits:
/// [`CacheOptions`](crate::CacheOptions).
///
/// | the stored response | the cache | set by |
/// |---|---|---|
/// | is fresh, and due for refresh | serves it, and refreshes it in the background | [`refresh_ahead`](CacheLayer::refresh_ahead) |
/// | is stale | serves it, and refreshes it in the background | [`stale_while_revalidate`](CacheLayer::stale_while_revalidate) |
/// | is stale, and the origin fails | serves it instead of the failure | [`stale_if_error`](CacheLayer::stale_if_error) |
/// | is stale, and has a validator | serves it after the origin's 304 | [`keep_expired`](CacheLayer::keep_expired) |
///
/// A changed setting applies to responses that are stored afterwards. An entry stays in the store
/// no longer than the settings allowed when it was stored.
impl<B> CacheLayer<B> {
    /// Whether requests that miss for the same response at the same time share one call to the
    /// inner service. Default: `true`.
    ///
    /// One of them is the leader: it makes the call. The others are followers: they receive the
    /// response as soon as its head arrives, and each reads the body at its own pace. Hits never
    /// wait.
    ///
    /// - If the response may not be stored, only the leader receives it. The followers make their
    ///   own calls at once, in parallel. The cache remembers such keys: later requests for them do
    ///   not wait for each other.
    /// - If the leader is cancelled or fails, a follower becomes the leader. Followers do not
    ///   receive the leader's error. After two failed calls, the remaining followers make their own
    ///   calls in parallel. A follower that may be served a [stale](CacheLayer::stale_if_error)
    ///   response receives it after the first failed call.
    /// - A follower reads the body from its start, which stays in memory until 256 KiB of the body
    ///   have arrived. A request that comes later waits until the response is stored, if the length
    ///   of the body is known. Otherwise it makes its own call.
    /// - A slow reader continues from memory as far as memory reaches: 256 KiB for each response,
    ///   and another [16 MiB](CacheLayer::max_slow_reader_memory) for all responses together.
    ///   Beyond that, it waits until the response is stored, and continues from the store. If the
    ///   response cannot be stored after all, and the reader needs a part that has left memory, its
    ///   body ends in a [`BodyError`](crate::BodyError).
    /// - A stored response is not overwritten by a response whose call began earlier.
    ///
    /// The leader's future makes the call. If it is neither polled nor dropped, its followers wait.
    /// If the inner service asks the same cache for the response that it is about to produce, it
    /// waits for itself. [`coalesce_wait`](CacheLayer::coalesce_wait) limits both waits. Clones of
    /// a layer share calls as they share the store.
    pub fn coalesce(self, coalesce: bool) -> Self {
        self.set(|settings| settings.calls.coalesce = coalesce)
    }

    /// The most bytes of response bodies that the layer and its clones keep in memory for slow
    /// readers, in total. Default: 16 MiB. Each response that several requests
    /// [share](CacheLayer::coalesce) has another 256 KiB of its own.
    ///
    /// Memory is taken when a request reads a shared body slower than another one. The fast reader
    /// never waits for the slow one. Beyond this limit, slow readers continue from the stored
    /// response. If the response cannot be stored, their bodies end in an error
    /// ([`BodyErrorKind::Lagged`](crate::BodyErrorKind::Lagged)). This is rarer with a larger
    /// limit, such as the size of the largest body times the number of bodies in flight.
    pub fn max_slow_reader_memory(self, bytes: u64) -> Self {
        self.set(|settings| settings.max_slow_reader_memory = bytes)
    }

    /// The longest time that a request waits for another request's call. After that, it makes its
    /// own call.
    ///
    /// The request waits for the head of the response. If it joins too late to read the body from
    /// memory, it waits for the entry. Default: no limit. Without effect outside of a tokio
    /// runtime, or in one without timers (`enable_time`).
    ///
    /// # Errors
    ///
    /// If the time is zero.
    pub fn coalesce_wait(self, longest: Duration) -> Result<Self, ConfigError> {
        if longest.is_zero() {
            let message = "the wait must not be zero; to share no calls, use coalesce(false)";
            return Err(ConfigError::new("coalesce_wait", message));
        }
        Ok(self.set(|settings| settings.calls.coalesce_wait = Some(longest)))
    }

    /// How long after its expiry a stored response is served while a new one is fetched in the
    /// background (RFC 5861 §3). Default: not at all.
    ///
    /// The cache runs at most one refresh for each key at a time. A refresh that fails leaves the
    /// stored response as it is. After it, the cache pauses refreshes of that key: for one second,
    /// and twice as long after each further failure, up to a minute. No response can report such a
    /// failure, but [`add_event_hook`](CacheLayer::add_event_hook) does
    /// ([`RefreshFailed`](crate::Event::RefreshFailed)).
    ///
    /// A refresh is sent with the headers and extensions of the request that started it, without
    /// the conditions (`If-None-Match`) of that request.
    ///
    /// A refresh removes the stored response if the origin's answer ends it: an answer that forbids
    /// storing, a 3xx, 401, 403, 404, 410 or 451.
    ///
    /// This setting has no effect if a new response could not be stored: in a
    /// [read-only](CacheLayer::read_only) cache, and for a request with
    /// [`no_store`](crate::CacheOptions::no_store). It also has no effect outside of a tokio
    /// runtime, or in one without timers (`enable_time`): a request that finds the response stale
    /// then waits for a new one.
    pub fn stale_while_revalidate(self, limit: impl Into<StaleLimit>) -> Self {
        let limit = limit.into();
        self.set(|settings| settings.rules.stale_while_revalidate = limit)
    }

    /// How long after its expiry a stored response is served if the origin fails (RFC 5861 §4).
    /// The origin fails if it returns an error, or a response with one of the
    /// [`error_statuses`](CacheLayer::error_statuses). Default: not at all.
    ///
    /// Some other answers end the stored response, and it is not served any more: a 304 or 2xx that
    /// forbids storing, a 3xx, 401, 403, 404, 410 or 451.
    ///
    /// A body that fails before its first bytes are passed on also counts as a failure of the
    /// origin. To notice it, the cache waits for the beginning of the body before it returns the
    /// head, if there is a stale response that it could serve.
    pub fn stale_if_error(self, limit: impl Into<StaleLimit>) -> Self {
        let limit = limit.into();
        self.set(|settings| settings.rules.stale_if_error = limit)
    }

    /// The statuses that count as a failure of the origin. Default: 500, 502, 503 and 504.
    ///
    /// If no stale response may be served instead, the caller receives the failed response
    /// unchanged. The cache stores it if [`statuses`](CacheLayer::statuses) names its status. A
    /// stored response with one of these statuses is never served in place of a failure.
    ///
    /// # Errors
    ///
    /// If the list is empty, or contains a number that is no status, or a 1xx, 2xx or 304, which
    /// are not failures.
    pub fn error_statuses<T>(
        self,
        statuses: impl IntoIterator<Item = T>,
    ) -> Result<Self, ConfigError>
    where
        T: TryInto<StatusCode, Error: Into<http::Error>>,
    {
        let statuses = parse_statuses("error_statuses", statuses)?;
        let refuse = |message: String| Err(ConfigError::new("error_statuses", message));
        if statuses.is_empty() {
            let message = "the list of statuses is empty; name at least one, or leave \
                           stale_if_error at StaleLimit::None";
            return refuse(message.into());
        }
        let is_none = |status: &&StatusCode| {
            status.is_informational() || status.is_success() || **status == StatusCode::NOT_MODIFIED
        };
        match statuses.iter().find(is_none) {
            Some(status) => refuse(format!("{} is not a failure; leave it out", status.as_u16())),
            None => Ok(self.set(|settings| settings.rules.error_statuses = statuses)),
        }
    }

    /// How long a response with a validator (`ETag`, `Last-Modified`) stays stored after its
    /// expiry, so that a 304 can freshen it. Default: one hour. With zero, no response stays stored
    /// for this purpose.
    pub fn keep_expired(self, time: Duration) -> Self {
        self.set(|settings| settings.rules.keep_expired = time)
    }

    /// Refreshes a requested response in the background if less than this fraction of its lifetime
    /// is left. 0.2 is the last fifth. A response that is requested often does not expire then.
    /// Default: off.
    ///
    /// Without effect outside of a tokio runtime, or in one without timers.
    ///
    /// # Errors
    ///
    /// Unless the fraction is greater than 0 and less than 1.
    pub fn refresh_ahead(self, fraction: f64) -> Result<Self, ConfigError> {
        if !(fraction > 0.0 && fraction < 1.0) {
            let message = format!(
                "the fraction must be greater than 0 and less than 1, such as 0.2; it is {fraction}"
            );
            return Err(ConfigError::new("refresh_ahead", message));
        }
        Ok(self.set(|settings| settings.rules.refresh_ahead = Some(fraction)))
    }

    /// The time limit of one background refresh, including its body. Default: 30 seconds. A refresh
    /// that a request makes in the foreground has no limit.
    ///
    /// # Errors
    ///
    /// If the limit is zero.
    pub fn refresh_timeout(self, limit: Duration) -> Result<Self, ConfigError> {
        if limit.is_zero() {
            let message = "the refresh timeout must not be zero; write a longer one, such as 30 s";
            return Err(ConfigError::new("refresh_timeout", message));
        }
        Ok(self.set(|settings| settings.calls.refresh_timeout = limit))
    }
}

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
