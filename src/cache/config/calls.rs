//! Calls to the inner service: shared, made in the background, and what stands in where they fail.

use std::time::Duration;

use http::StatusCode;

use crate::{CacheLayer, ConfigError, StaleLimit};

/// # Calls to the origin, and stale answers
///
/// Requests that miss at the same time share one call. What has expired is not lost: the origin is asked whether it
/// still holds, and it may be served, for as long as is set here, while a new response is fetched or where the origin
/// fails.
/// Each request can set the limits otherwise: [`CacheOptions`](crate::CacheOptions).
///
/// | what is stored | is answered with | set by |
/// |---|---|---|
/// | is fresh, and ends soon | at once; refreshed in the background | `refresh_ahead` |
/// | has expired | at once; refreshed in the background | `stale_while_revalidate` |
/// | has expired, the origin fails | in the failure's place | [`stale_if_error`](CacheLayer::stale_if_error) |
/// | has expired, has a validator | after the origin's 304 | [`keep_expired`](CacheLayer::keep_expired) |
///
/// These settings count for what is stored from then on: an entry is kept no longer than it was stored for.
impl<B> CacheLayer<B> {
    /// Whether requests that miss for the same response at the same time share one call to the inner service. Default:
    /// `true`.
    ///
    /// One of them leads: it makes the call, and the others get its response as soon as its head is there, each reading
    /// the body at its own pace. Hits never wait.
    ///
    /// - A response that may not be stored is the leader's alone: the others make their calls at once, beside each other.
    ///   Such keys are remembered, and their next requests do not wait for each other.
    /// - If the leader is cancelled or fails, another takes the lead; its error stays its own. After two calls that
    ///   failed, those that still wait call beside each other. One that may be answered with a
    ///   [stale](CacheLayer::stale_if_error) response is, after the first.
    /// - One that comes when the beginning of the body has left memory (256 KiB are kept for newcomers) waits until the
    ///   response is stored where its length is known, and makes its own call where it is not.
    /// - One that reads slower than the others goes on from memory while there is some to spare (256 KiB a response, and
    ///   16 MiB for all together), and from the store once the response is there. Until then, it waits. Where the response
    ///   cannot be stored after all, what it has not read yet is held for it, up to [`max_body`](CacheLayer::max_body) for
    ///   all such readers together; what has left memory is lost, and its body ends in a
    ///   [`BodyError`](crate::BodyError).
    /// - A response that is stored is not overwritten by one whose call began earlier.
    ///
    /// The leader's future makes the call: one that is kept, and neither polled nor dropped, holds those behind it up; and an
    /// inner service that asks the same cache for the very thing that it is to bring waits for itself. `coalesce_wait`
    /// bounds both. Clones of a layer share calls as they share the store.
    pub fn coalesce(self, coalesce: bool) -> Self {
        self.set(|settings| settings.calls.coalesce = coalesce)
    }

    /// The longest that a request waits for a call that another request made, before it makes its own: for the response
    /// head, or, where it comes too late to read the body along, for the entry. Default: none, it waits as long as the
    /// call takes. Without effect outside of a tokio runtime, which must have its timers on (`enable_time`).
    ///
    /// # Errors
    ///
    /// For zero, which is no wait.
    pub fn coalesce_wait(self, longest: Duration) -> Result<Self, ConfigError> {
        if longest.is_zero() {
            let message = "the wait must not be zero; to share no calls, use coalesce(false)";
            return Err(ConfigError::new("coalesce_wait", message));
        }
        Ok(self.set(|settings| settings.calls.coalesce_wait = Some(longest)))
    }

    /// How long after its expiry a stored response is served while a new one is fetched in the background (RFC 5861
    /// §3). Default: not at all.
    ///
    /// There is one refresh a key at a time. One that fails leaves what is stored, and is followed
    /// by a pause: of one second, and of twice the last one with each failure after that, up to a
    /// minute. An answer that ends the stored response removes it: one that forbids storing, a 3xx,
    /// 401, 403, 404, 410 or 451. [`on_event`](CacheLayer::on_event) tells of
    /// [failures](crate::Event::RefreshFailed), which no response can.
    ///
    /// It does not apply where a new response could not be kept: in a [read-only](CacheLayer::read_only) cache, and for
    /// a request with [`no_store`](crate::CacheOptions::no_store); nor outside of a tokio runtime, where the request that
    /// finds it stale waits for a new one. The runtime must have its timers on (`enable_time`).
    pub fn stale_while_revalidate(self, limit: impl Into<StaleLimit>) -> Self {
        let limit = limit.into();
        self.set(|settings| settings.rules.stale_while_revalidate = limit)
    }

    /// How long after its expiry a stored response is served where the origin fails: with an error, or with one of the
    /// [`error_statuses`](CacheLayer::error_statuses) (RFC 5861 §4). Default: not at all.
    ///
    /// Other answers end the stored response, which then answers nothing any more: a 304 or 2xx
    /// that forbids storing, a 3xx, 401, 403, 404, 410 or 451.
    ///
    /// A body that breaks off before anything of it was handed on is such an error. To see it, the head of a response that
    /// a stored one could stand in for is not handed on before its body has begun.
    pub fn stale_if_error(self, limit: impl Into<StaleLimit>) -> Self {
        let limit = limit.into();
        self.set(|settings| settings.rules.stale_if_error = limit)
    }

    /// The statuses that count as a failure of the origin. Default: 500, 502, 503 and 504.
    ///
    /// Where nothing may stand in for it, such a response reaches the caller as it is, and is kept if it is one of the
    /// [`statuses`](CacheLayer::statuses) that are. A stored response of such a status stands in for nothing.
    ///
    /// # Errors
    ///
    /// Where there are none; and for 1xx, 2xx and 304, which are no failures.
    pub fn error_statuses(
        self,
        statuses: impl IntoIterator<Item = StatusCode>,
    ) -> Result<Self, ConfigError> {
        let statuses: Vec<StatusCode> = statuses.into_iter().collect();
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

    /// How long a response that the origin can confirm (`ETag`, `Last-Modified`) is kept beyond its expiry, so that a
    /// 304 suffices to make it fresh again. Default: one hour. Zero keeps none for that.
    pub fn keep_expired(self, time: Duration) -> Self {
        self.set(|settings| settings.rules.keep_expired = time)
    }

    /// Refreshes what is asked for in the background when less than this fraction of its lifetime is left, so that what
    /// is in demand never expires: 0.2 is the last fifth. Default: not at all. It does nothing outside of a tokio runtime,
    /// or in one without timers.
    ///
    /// # Errors
    ///
    /// Unless it is greater than 0 and less than 1.
    pub fn refresh_ahead(self, fraction: f64) -> Result<Self, ConfigError> {
        if !(fraction > 0.0 && fraction < 1.0) {
            let message = format!(
                "the fraction must be greater than 0 and less than 1, such as 0.2; it is {fraction}"
            );
            return Err(ConfigError::new("refresh_ahead", message));
        }
        Ok(self.set(|settings| settings.rules.refresh_ahead = Some(fraction)))
    }

    /// The time limit of one refresh in the background, body included. Default: 30 seconds. A refresh that a request makes
    /// in the foreground has none.
    ///
    /// # Errors
    ///
    /// For zero, in which nothing can be refreshed.
    pub fn refresh_timeout(self, limit: Duration) -> Result<Self, ConfigError> {
        if limit.is_zero() {
            let message = "the refresh timeout must not be zero; write a longer one, such as 30 s";
            return Err(ConfigError::new("refresh_timeout", message));
        }
        Ok(self.set(|settings| settings.calls.refresh_timeout = limit))
    }
}
