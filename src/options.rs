//! [`CacheOptions`]: what one request asks of the cache, in its extensions.

use http::Extensions;

use crate::{
    key::Key,
    policy::{Demands, Expiration, StaleLimit},
};

/// What one request asks of the cache: put it into the request's extensions.
///
/// Nothing of it is sent to the origin. What is not set is left to the layer.
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
    /// What the request's own fields ask for, where the policy reads them.
    pub(crate) demands: Demands,
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
            demands: Demands::NONE,
        }
    }

    /// How long the response to this request is kept, before every rule of the layer. An entry that is there already
    /// keeps the expiry it was stored with.
    pub fn expire_after(mut self, expiration: impl Into<Expiration>) -> Self {
        self.expire_after = Some(expiration.into());
        self
    }

    /// Ask the origin, however fresh the stored response is: whether it still holds, where it has a validator (`ETag`,
    /// `Last-Modified`), else for a new one. A call for it that is under way and has no response yet answers this request
    /// too; with [`force_refresh`](CacheOptions::force_refresh), it does not.
    pub fn refresh(mut self, refresh: bool) -> Self {
        self.refresh = refresh;
        self
    }

    /// Fetch the whole response, and replace what is stored. The request sends no validator of the cache's, is never
    /// answered by a call that another request made before, and gets the origin's failure as it is. Goes before
    /// [`refresh`](Self::refresh).
    pub fn force_refresh(mut self, force_refresh: bool) -> Self {
        self.force_refresh = force_refresh;
        self
    }

    /// Never call the inner service: without an entry that is fresh, or that a stale limit allows, the answer is `504
    /// Gateway Timeout` (RFC 9111 §5.2.1.7), with a body that says why. Goes before [`refresh`](Self::refresh),
    /// [`force_refresh`](Self::force_refresh) and [`bypass`](Self::bypass).
    pub fn only_if_cached(mut self, only_if_cached: bool) -> Self {
        self.only_if_cached = only_if_cached;
        self
    }

    /// Answer from the store where it can, but do not keep the response.
    pub fn no_store(mut self, no_store: bool) -> Self {
        self.no_store = no_store;
        self
    }

    /// Leave the store alone: neither read nor write it. A successful unsafe method still removes what it makes stale.
    pub fn bypass(mut self, bypass: bool) -> Self {
        self.bypass = bypass;
        self
    }

    /// How long after its expiry the stored response may answer this request, while a new one is fetched in the
    /// background. What is stored of the response to this request is kept that much longer. Default: the
    /// [layer's](crate::CacheLayer::stale_while_revalidate).
    pub fn stale_while_revalidate(mut self, limit: impl Into<StaleLimit>) -> Self {
        self.stale_while_revalidate = Some(limit.into());
        self
    }

    /// How long after its expiry the stored response may answer this request where the origin fails. What is stored of
    /// the response to this request is kept that much longer. Default: the
    /// [layer's](crate::CacheLayer::stale_if_error).
    pub fn stale_if_error(mut self, limit: impl Into<StaleLimit>) -> Self {
        self.stale_if_error = Some(limit.into());
        self
    }

    /// Whether this request may share a call to the inner service with others. Default: the
    /// [layer's](crate::CacheLayer::coalesce).
    pub fn coalesce(mut self, coalesce: bool) -> Self {
        self.coalesce = Some(coalesce);
        self
    }

    /// Use this key instead of the one made from the request. Requests of one method that share a key share a response,
    /// whatever their URLs and credentials; `Vary` is still honoured below it.
    pub fn key(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// Adds a tag to the stored response, by which it can be [removed](crate::Entries::remove_tag), beside those that the
    /// [layer](crate::CacheLayer#tags) gives it. Tags that begin with `larder:` are the cache's own, and are left out.
    pub fn tag(mut self, tag: impl Into<Box<str>>) -> Self {
        self.tags.push(tag.into());
        self
    }

    /// Whether the request wants the origin's word, whatever is stored.
    pub(crate) fn asks_origin(&self) -> bool {
        self.refresh || self.force_refresh
    }

    /// The options in `extensions`, or those that leave everything to the layer.
    pub(crate) fn of(extensions: &Extensions) -> &Self {
        extensions.get().unwrap_or(&NONE)
    }
}
