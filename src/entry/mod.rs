//! What is stored beside a body: the [`Head`] of a response, with the attributes by which the cache judges it.
//!
//! [`codec`](self) (in its own file) turns a head into versioned bytes and back; nothing here does I/O or reads a clock.

use std::mem;

use http::{HeaderMap, HeaderName, Method, StatusCode, Version, response};

use crate::time::Timestamp;

mod codec;

pub use self::codec::DecodeError;

/// The head of a stored response: status, version and header lines as they were received, and the cache's attributes.
///
/// Of the request it keeps the method and the normalised URL (without user information and without the parameters that
/// [`ignore_query`](crate::CacheLayer::ignore_query) names), and no header: credentials never reach a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    kind: Kind,
    method: Method,
    url: Box<str>,
    status: StatusCode,
    version: Version,
    headers: HeaderMap,
    requested_at: Timestamp,
    stored_at: Timestamp,
    expires_at: Option<Timestamp>,
    keep_until: Option<Timestamp>,
    tags: Vec<Box<str>>,
    body_len: u64,
    trailers: Option<HeaderMap>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Response,
    Variants(Vec<HeaderName>),
    Note,
}

impl Head {
    /// The head of the response to a request of `method` for `url`, received at `now`. It never expires and has no tags
    /// until told otherwise.
    #[must_use]
    pub fn new(
        method: Method,
        url: impl Into<Box<str>>,
        response: response::Parts,
        now: Timestamp,
    ) -> Self {
        Self {
            kind: Kind::Response,
            method,
            url: url.into(),
            status: response.status,
            version: response.version,
            headers: response.headers,
            requested_at: now,
            stored_at: now,
            expires_at: None,
            keep_until: None,
            tags: Vec::new(),
            body_len: 0,
            trailers: None,
        }
    }

    /// A head that stands for no response, but for the names of the request headers that select one (RFC 9111 §4.1):
    /// it lies under the primary key of a URL whose responses vary, each of which has a key of its own.
    #[must_use]
    pub fn variants(
        method: Method,
        url: impl Into<Box<str>>,
        names: Vec<HeaderName>,
        now: Timestamp,
    ) -> Self {
        let (response, ()) = http::Response::new(()).into_parts();
        Self { kind: Kind::Variants(names), ..Self::new(method, url, response, now) }
    }

    /// A head that stands for no response, but for what the cache has noted, under a key of its own, of the responses for
    /// `url`: the `fields` of the latest one by which requests for other URLs find it.
    #[must_use]
    pub(crate) fn note(url: impl Into<Box<str>>, fields: HeaderMap, now: Timestamp) -> Self {
        let (mut response, ()) = http::Response::new(()).into_parts();
        response.headers = fields;
        Self { kind: Kind::Note, ..Self::new(Method::GET, url, response, now) }
    }

    /// The same head with the time at which the request was sent on.
    #[must_use]
    pub fn with_requested_at(mut self, requested_at: Timestamp) -> Self {
        self.requested_at = requested_at;
        self
    }

    /// The same head with an expiry; `None` is never. It is kept until then, too.
    #[must_use]
    pub fn with_expires_at(mut self, expires_at: Option<Timestamp>) -> Self {
        self.expires_at = expires_at;
        self.keep_until = expires_at;
        self
    }

    /// The same head, to be kept beyond its expiry: an expired response may still be revalidated, or served where the
    /// origin fails. Not before the expiry; `None` is forever.
    #[must_use]
    pub fn with_keep_until(mut self, keep_until: Option<Timestamp>) -> Self {
        self.keep_until = match (keep_until, self.expires_at) {
            (Some(keep_until), Some(expires_at)) => Some(keep_until.max(expires_at)),
            _ => None,
        };
        self
    }

    /// The same head with these tags.
    #[must_use]
    pub fn with_tags(mut self, tags: Vec<Box<str>>) -> Self {
        self.tags = tags;
        self
    }

    /// Completes the head with what is known only at the end of the body. A store calls it before it publishes.
    #[must_use]
    pub fn seal(mut self, body_len: u64, trailers: Option<HeaderMap>) -> Self {
        self.body_len = body_len;
        self.trailers = trailers;
        self
    }

    /// Takes the body's length and the trailers from `old`: this head is to stand before the same body.
    #[must_use]
    pub fn carry_body(mut self, old: &Self) -> Self {
        self.body_len = old.body_len;
        self.trailers.clone_from(&old.trailers);
        self
    }

    /// The method of the request.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The normalised URL of the request, without what is never stored.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The HTTP version of the response.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The header lines of the response, in order, as received.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// When the request was sent on; where age is counted from (RFC 9111 §4.2.3).
    #[must_use]
    pub fn requested_at(&self) -> Timestamp {
        self.requested_at
    }

    /// When the response's head arrived.
    #[must_use]
    pub fn stored_at(&self) -> Timestamp {
        self.stored_at
    }

    /// When the response stops being fresh; `None` is never. At this very time it has expired.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// When a store may remove the entry: its expiry, or later where it is of use beyond that; `None` is never. What a
    /// store indexes, or hands to its engine as the time to live, is this.
    #[must_use]
    pub fn keep_until(&self) -> Option<Timestamp> {
        self.keep_until
    }

    /// Whether the response has expired at `now`.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    /// The tags under which the entry can be removed. The cache may add one of its own for the URL.
    #[must_use]
    pub fn tags(&self) -> &[Box<str>] {
        &self.tags
    }

    /// The exact length of the stored body in bytes.
    #[must_use]
    pub fn body_len(&self) -> u64 {
        self.body_len
    }

    /// The trailers behind the body, where there were some.
    #[must_use]
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }

    /// Whether it is the head of a response; what is not leads to responses, and is never answered with.
    #[must_use]
    pub fn is_response(&self) -> bool {
        matches!(self.kind, Kind::Response)
    }

    /// Whether it is a note of the cache's own.
    pub(crate) fn is_note(&self) -> bool {
        matches!(self.kind, Kind::Note)
    }

    /// The names of the request headers that select a variant, where this head stands for a list of variants and not
    /// for a response.
    #[must_use]
    pub fn variant_names(&self) -> Option<&[HeaderName]> {
        match &self.kind {
            Kind::Response | Kind::Note => None,
            Kind::Variants(names) => Some(names),
        }
    }

    /// The same head with `copy` made of its header lines and of its trailers.
    #[cfg(feature = "memory")]
    pub(crate) fn map_fields(mut self, copy: impl Fn(&HeaderMap) -> HeaderMap) -> Self {
        self.headers = copy(&self.headers);
        self.trailers = self.trailers.as_ref().map(copy);
        self
    }

    /// The header lines and the trailers.
    pub(crate) fn into_fields(self) -> (HeaderMap, Option<HeaderMap>) {
        (self.headers, self.trailers)
    }

    /// About how many bytes the head takes in memory, for stores that bound it.
    #[must_use]
    pub fn size(&self) -> usize {
        let trailers = self.trailers.as_ref().map_or(0, map_size);
        let names: usize = self
            .variant_names()
            .into_iter()
            .flatten()
            .map(|name| mem::size_of::<HeaderName>() + name.as_str().len())
            .sum();
        let tags: usize = self.tags.iter().map(|tag| mem::size_of::<Box<str>>() + tag.len()).sum();
        let lists = trailers + names + tags;
        mem::size_of::<Self>() + self.url.len() + map_size(&self.headers) + lists
    }
}

/// A header map holds one slot a line (name, value, hash, links), beside an index of eight bytes or less a line.
fn map_size(map: &HeaderMap) -> usize {
    const SLOT: usize = mem::size_of::<HeaderName>() + mem::size_of::<http::HeaderValue>() + 40;
    let text: usize = map.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    text + map.capacity().max(map.len()) * SLOT
}
