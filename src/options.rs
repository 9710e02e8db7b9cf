//! [`CacheOptions`]: settings for one request, in its extensions.

use http::Extensions;

use crate::{
    key::Key,
    policy::{Expiration, RequestDirectives, StaleLimit},
};

/// Settings for one request. Put them into the request's extensions.
///
/// They are not sent to the origin. An option that is not set leaves the decision to the layer. A
/// later call of the same method replaces an option; [`add_tag`](CacheOptions::add_tag) adds one.
///
/// ```
/// use std::time::Duration;
/// use http::Request;
/// use larder::CacheOptions;
///
/// let request = Request::get("http://example.com/news")
///     .extension(CacheOptions::new().expire_after(Duration::from_secs(30)).refresh(true))
///     .body(())?;
/// # Ok::<(), http::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "options do nothing until they are in a request's extensions"]
pub struct CacheOptions {
    pub(crate) expire_after: Option<Expiration>,
    pub(crate) refresh: bool,
    pub(crate) force_refresh: bool,
    pub(crate) only_if_cached: bool,
    pub(crate) no_store: bool,
    pub(crate) bypass: bool,
    pub(crate) coalesce: Option<bool>,
    pub(crate) stale_while_revalidate: Option<StaleLimit>,
    pub(crate) stale_if_error: Option<StaleLimit>,
    pub(crate) key: Option<Key>,
    pub(crate) tags: Vec<Box<str>>,
    /// The request's own directives, if the policy reads them.
    pub(crate) directives: RequestDirectives,
}

static NONE: CacheOptions = CacheOptions::new();

impl CacheOptions {
    /// Options that leave everything to the layer.
    pub const fn new() -> Self {
        Self {
            expire_after: None,
            refresh: false,
            force_refresh: false,
            only_if_cached: false,
            no_store: false,
            bypass: false,
            coalesce: None,
            stale_while_revalidate: None,
            stale_if_error: None,
            key: None,
            tags: Vec::new(),
            directives: RequestDirectives::NONE,
        }
    }

    /// When the response to this request expires. Takes precedence over the [expirations of the
    /// layer](crate::CacheLayer#expiry). The layer's [`max_ttl`](crate::CacheLayer::max_ttl) still
    /// limits it. Under the HTTP rules, a lifetime in the headers of the response comes first,
    /// except before `DoNotStore`. An entry that is already stored keeps its expiry.
    pub fn expire_after(mut self, expiration: impl Into<Expiration>) -> Self {
        self.expire_after = Some(expiration.into());
        self
    }

    /// Whether to ask the origin even if the stored response is fresh. If the stored response has a
    /// validator (`ETag`, `Last-Modified`), the request revalidates it. Otherwise the request
    /// fetches a new response.
    ///
    /// The request may join a call in flight that has no response yet. With
    /// [`force_refresh`](CacheOptions::force_refresh), it joins none.
    pub fn refresh(mut self, refresh: bool) -> Self {
        self.refresh = refresh;
        self
    }

    /// Whether to fetch the whole response and replace the stored one. Takes precedence over
    /// [`refresh`](Self::refresh).
    ///
    /// The cache adds no validator to the request. A call that another request made before never
    /// answers it. If the origin fails, the caller receives the failure unchanged.
    pub fn force_refresh(mut self, force_refresh: bool) -> Self {
        self.force_refresh = force_refresh;
        self
    }

    /// Whether to never call the inner service. If no fresh response is stored, and no stale
    /// response that a limit allows, the answer is `504 Gateway Timeout` (RFC 9111 §5.2.1.7). Its
    /// body says why.
    ///
    /// Takes precedence over [`refresh`](Self::refresh), [`force_refresh`](Self::force_refresh) and
    /// [`bypass`](Self::bypass).
    pub fn only_if_cached(mut self, only_if_cached: bool) -> Self {
        self.only_if_cached = only_if_cached;
        self
    }

    /// Whether to leave the response out of the store. A stored response may still answer the
    /// request.
    pub fn no_store(mut self, no_store: bool) -> Self {
        self.no_store = no_store;
        self
    }

    /// Whether to bypass the store: neither read nor write it. A successful request with an unsafe
    /// method still removes the responses that it makes stale.
    pub fn bypass(mut self, bypass: bool) -> Self {
        self.bypass = bypass;
        self
    }

    /// How long after its expiry the stored response may answer this request while a new one is
    /// fetched in the background. The response to this request stays stored for that time after its
    /// expiry. Default: the [layer's](crate::CacheLayer::stale_while_revalidate) limit.
    pub fn stale_while_revalidate(mut self, limit: impl Into<StaleLimit>) -> Self {
        self.stale_while_revalidate = Some(limit.into());
        self
    }

    /// How long after its expiry the stored response may answer this request if the origin fails.
    /// The response to this request stays stored for that time after its expiry. Default: the
    /// [layer's](crate::CacheLayer::stale_if_error) limit.
    pub fn stale_if_error(mut self, limit: impl Into<StaleLimit>) -> Self {
        self.stale_if_error = Some(limit.into());
        self
    }

    /// Whether this request may share a call to the inner service with other requests. Default: the
    /// [layer's](crate::CacheLayer::coalesce) setting.
    pub fn coalesce(mut self, coalesce: bool) -> Self {
        self.coalesce = Some(coalesce);
        self
    }

    /// Replaces the key that is made from the request. Requests of one method with the same key
    /// share a response, even if their URLs and credentials differ. `Vary` still applies.
    pub fn key(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// Adds a tag to the stored response, in addition to the tags that the
    /// [layer](crate::CacheLayer#tags) gives it. The response can be
    /// [removed](crate::Entries::remove_tag) by it. Tags that begin with `larder:` are left out:
    /// the cache uses them itself.
    pub fn add_tag(mut self, tag: impl Into<Box<str>>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Whether the request asks the origin even if the stored response is fresh.
    pub(crate) fn asks_origin(&self) -> bool {
        self.refresh || self.force_refresh
    }

    /// The options in `extensions`, or options that leave everything to the layer.
    pub(crate) fn of(extensions: &Extensions) -> &Self {
        extensions.get().unwrap_or(&NONE)
    }
}
