//! [`Head`]: everything that is stored with a body. It is the head of a response, with the cache's
//! attributes.
//!
//! [`codec`](self) (in its own file) encodes a head as versioned bytes and decodes it. `text` has a
//! head that people can read. `facts` has what the fields of a response tell a cache. Nothing here
//! does I/O or reads a clock.

use std::{mem, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, response};

#[cfg(feature = "memory")]
use crate::fields::compact;
use crate::time::Timestamp;

mod codec;
mod facts;
mod note;
#[cfg(feature = "files")]
mod recorded;
mod selection;
#[cfg(feature = "files")]
mod text;
mod variance;

pub use self::codec::DecodeError;
#[cfg(any(feature = "compression", feature = "files"))]
pub(crate) use self::note::COMPRESSED;
pub(crate) use self::{
    facts::{Facts, ResponseFields, ResponseHead},
    note::Note,
    variance::{Others, Variance, VaryNames},
};
use self::{
    facts::{Lines, map_size},
    note::Notes,
    selection::Selection,
};
#[cfg(feature = "files")]
pub(crate) use self::{
    recorded::RecordedRequest,
    text::{CacheText, HeadText, RequestText, ResponseText},
};

/// The head of a stored response: status, version and header lines as received, and the cache's
/// attributes.
///
/// It holds the method and the normalised URL of the request. The URL has no user information and
/// no parameters that [`add_ignored_parameters`](crate::CacheLayer::add_ignored_parameters) names.
/// A cache stores no request headers, so credentials never reach a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    kind: Kind,
    method: Method,
    url: Arc<str>,
    status: StatusCode,
    version: Version,
    headers: Lines,
    requested_at: Timestamp,
    stored_at: Timestamp,
    expires_at: Option<Timestamp>,
    keep_until: Option<Timestamp>,
    tags: Vec<Box<str>>,
    body_len: u64,
    trailers: Option<Box<HeaderMap>>,
    notes: Notes,
    /// Of a resident: the request headers that select it, and what else they select.
    variance: Option<Arc<Variance>>,
    selection: Selection,
    #[cfg(feature = "files")]
    recorded: Option<Box<RecordedRequest>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Response,
    Annotation,
}

impl Head {
    /// The head of the response to a request of `method` for `url`, received at `now`. It has no
    /// expiry and no tags yet.
    #[must_use]
    pub fn new(
        method: Method,
        url: impl Into<Arc<str>>,
        response: response::Parts,
        now: Timestamp,
    ) -> Self {
        Self {
            kind: Kind::Response,
            method,
            url: url.into(),
            status: response.status,
            version: response.version,
            headers: response.headers.into(),
            requested_at: now,
            stored_at: now,
            expires_at: None,
            keep_until: None,
            tags: Vec::new(),
            body_len: 0,
            trailers: None,
            notes: Notes::default(),
            variance: None,
            selection: Selection::default(),
            #[cfg(feature = "files")]
            recorded: None,
        }
    }

    /// The head of a response to a request of `method` for `url`, with the same header lines. It
    /// has no expiry and no tags yet.
    pub(crate) fn of(method: Method, url: impl Into<Arc<str>>, response: &ResponseHead) -> Self {
        let (mut parts, ()) = http::Response::new(()).into_parts();
        parts.status = response.status;
        parts.version = response.version;
        let head = Self::new(method, url, parts, response.received_at());
        Self { headers: response.to_lines(), ..head }
    }

    /// States that [`compact`](crate::fields::compact) has made the header lines. No store copies
    /// them again.
    pub(crate) fn assume_compact(mut self) -> Self {
        self.headers.is_compact = true;
        self
    }

    /// An annotation, which is no response. The cache stores it under a key of its own for the
    /// responses for `url`. Its `fields` are those of the latest response by which requests for
    /// other URLs find it.
    #[must_use]
    pub(crate) fn annotation(url: impl Into<Arc<str>>, fields: HeaderMap, now: Timestamp) -> Self {
        let (mut response, ()) = http::Response::new(()).into_parts();
        response.headers = fields;
        Self { kind: Kind::Annotation, ..Self::new(Method::GET, url, response, now) }
    }

    /// Sets the time at which the request was sent to the origin.
    #[must_use]
    pub fn with_requested_at(mut self, requested_at: Timestamp) -> Self {
        self.requested_at = requested_at;
        self
    }

    /// Sets the expiry, which is also the time until which the head stays stored. `None` is never.
    #[must_use]
    pub fn with_expires_at(mut self, expires_at: Option<Timestamp>) -> Self {
        self.expires_at = expires_at;
        self.keep_until = expires_at;
        self
    }

    /// Keeps the head stored beyond its expiry, so that an expired response can still be
    /// revalidated, or served if the origin fails. A time before the expiry becomes the expiry.
    /// `None` is forever.
    #[must_use]
    pub fn with_keep_until(mut self, keep_until: Option<Timestamp>) -> Self {
        self.keep_until = match (keep_until, self.expires_at) {
            (Some(keep_until), Some(expires_at)) => Some(keep_until.max(expires_at)),
            _ => None,
        };
        self
    }

    /// Sets the tags.
    #[must_use]
    pub fn with_tags(mut self, tags: Vec<Box<str>>) -> Self {
        self.tags = tags;
        self
    }

    /// Completes the head with the length of the body and the trailers, which are known at the end
    /// of the body. A store calls it before it publishes the entry, and keeps the result: a store
    /// that wraps this one may have left a note among the trailers, which is taken out here.
    #[must_use]
    pub fn seal(mut self, body_len: u64, trailers: Option<HeaderMap>) -> Self {
        self.seal_in_place(body_len, trailers);
        self
    }

    /// The same for a head that is not moved.
    pub(crate) fn seal_in_place(&mut self, body_len: u64, trailers: Option<HeaderMap>) {
        self.body_len = body_len;
        let (notes, trailers) = Note::take(trailers);
        // A store between the one that keeps the notes and this one may complete the head again.
        if !notes.is_empty() {
            self.notes = Notes(notes.into());
        }
        self.trailers = Note::visible(&self.notes.0, trailers).map(Box::new);
    }

    /// What stores that wrap another keep with the entry.
    pub(crate) fn notes(&self) -> &[Note] {
        &self.notes.0
    }

    /// The same head without notes, for another store.
    #[must_use]
    pub(crate) fn without_notes(mut self) -> Self {
        self.notes = Notes::default();
        self
    }

    /// Takes the length of the body and the trailers from `old`. Call it if this head replaces
    /// `old` for the same body.
    #[must_use]
    pub fn carry_body(mut self, old: &Self) -> Self {
        self.body_len = old.body_len;
        self.trailers.clone_from(&old.trailers);
        self.notes.clone_from(&old.notes);
        self
    }

    /// The method of the request.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The normalised URL of the request, without user information and ignored parameters.
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
        self.headers.get()
    }

    /// The header lines with what they tell a cache.
    pub(crate) fn fields(&self) -> ResponseFields<'_> {
        self.headers.with_facts(self.stored_at)
    }

    /// When the request was sent to the origin. The age counts from this time (RFC 9111 §4.2.3).
    #[must_use]
    pub fn requested_at(&self) -> Timestamp {
        self.requested_at
    }

    /// When the response's head arrived.
    #[must_use]
    pub fn stored_at(&self) -> Timestamp {
        self.stored_at
    }

    /// When the response expires. At exactly this time it has expired. `None` is never.
    #[must_use]
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.expires_at
    }

    /// When a store may remove the entry: its expiry, or later if the entry is usable after that.
    /// `None` is never. Stores use this time for their index, or as the time to live of their
    /// engine.
    ///
    /// An entry that leads to other variants of a response is kept as long as they are.
    #[must_use]
    pub fn keep_until(&self) -> Option<Timestamp> {
        match self.others() {
            Some(Others { until }) => Some(self.keep_until?.max(until?)),
            None => self.keep_until,
        }
    }

    /// The same without the other variants: until when the response itself is of use.
    pub(crate) fn own_keep_until(&self) -> Option<Timestamp> {
        self.keep_until
    }

    /// The request headers that select this response, if it is the resident of its primary key.
    pub(crate) fn variance(&self) -> Option<&Variance> {
        self.variance.as_deref()
    }

    /// Whether it is a resident: a response that varies, under its primary key.
    pub(crate) fn varies(&self) -> bool {
        self.variance.is_some()
    }

    /// The other variants that a resident leads to, if there are any.
    pub(crate) fn others(&self) -> Option<Others> {
        self.variance()?.others
    }

    /// Whether other variants that are kept at `now` can be found through this resident alone. It
    /// is needed then even if it has expired.
    pub(crate) fn is_needed_by_others(&self, now: Timestamp) -> bool {
        self.others().is_some() && self.keep_until().is_none_or(|end| now < end)
    }

    /// Ends the use of the response itself. It may still lead to other variants.
    #[must_use]
    pub(crate) fn ended(mut self) -> Self {
        self.keep_until = Some(Timestamp::MIN);
        self
    }

    /// Whether the use of the response itself has [ended](Self::ended).
    pub(crate) fn has_ended(&self) -> bool {
        self.keep_until == Some(Timestamp::MIN)
    }

    /// Sets what selects the response.
    #[must_use]
    pub(crate) fn with_variance(mut self, variance: Option<Variance>) -> Self {
        self.variance = variance.map(Arc::new);
        self
    }

    /// Says what selects the response, if it lies beside the resident of its primary key.
    #[must_use]
    pub(crate) fn with_selection(mut self, selection: [u8; Variance::SELECTOR]) -> Self {
        self.selection = Selection(Some(selection));
        self
    }

    /// What selects a response that lies beside the resident of its primary key: the digest of that
    /// key and of the request headers that select. Unlike the key of the entry, it is the same in
    /// each recording. It is known until the response is stored, and is not encoded.
    #[cfg(feature = "files")]
    pub(crate) fn selection(&self) -> Option<[u8; Variance::SELECTOR]> {
        self.selection.0
    }

    /// Adds what a recording keeps of the request. Only a folder of files stores it.
    #[cfg(feature = "testing")]
    #[must_use]
    pub(crate) fn with_recorded(mut self, recorded: RecordedRequest) -> Self {
        self.recorded = Some(Box::new(recorded));
        self
    }

    /// What a recording has kept of the request.
    #[cfg(feature = "testing")]
    pub(crate) fn recorded(&self) -> Option<&RecordedRequest> {
        self.recorded.as_deref()
    }

    /// Sets the other variants that a resident leads to.
    #[must_use]
    pub(crate) fn with_others(mut self, others: Option<Others>) -> Self {
        if let Some(variance) = &mut self.variance {
            Arc::make_mut(variance).others = others;
        }
        self
    }

    /// Whether both are the same head, whatever other variants they lead to.
    pub(crate) fn is_same_response(&self, other: &Self) -> bool {
        *self == *other || *self == other.clone().with_others(self.others())
    }

    /// Whether the response has expired at `now`.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    /// The tags by which the entry can be removed. The cache may add its own tag for the URL.
    #[must_use]
    pub fn tags(&self) -> &[Box<str>] {
        &self.tags
    }

    /// The exact length of the stored body in bytes.
    #[must_use]
    pub fn body_len(&self) -> u64 {
        self.body_len
    }

    /// The trailers after the body, if any.
    #[must_use]
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_deref()
    }

    /// Whether this is the head of a response. Other heads lead to responses and never answer a
    /// request.
    #[must_use]
    pub fn is_response(&self) -> bool {
        matches!(self.kind, Kind::Response)
    }

    /// Whether this is an annotation.
    pub(crate) fn is_annotation(&self) -> bool {
        matches!(self.kind, Kind::Annotation)
    }

    /// Adds a header line, unless there is no room for it.
    pub(crate) fn with_field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        let mut lines = self.headers.into_map();
        let _no_room = lines.try_append(name, value);
        self.headers = lines.into();
        self
    }

    /// The same head with its fields in memory of their own, and not in a buffer from the network.
    #[cfg(feature = "memory")]
    pub(crate) fn compact(mut self) -> Self {
        self.headers = self.headers.compact();
        if let Some(trailers) = &mut self.trailers {
            **trailers = compact(trailers, |_| true);
        }
        self
    }

    /// The header lines and the trailers.
    pub(crate) fn into_fields(self) -> (HeaderMap, Option<HeaderMap>) {
        (self.headers.into_map(), self.trailers.map(|trailers| *trailers))
    }

    /// The approximate size of the head in memory, for stores with a size limit. It includes what
    /// the cache keeps of the head's fields once it has parsed them.
    #[must_use]
    pub fn size(&self) -> usize {
        let trailers =
            self.trailers.as_deref().map_or(0, |it| mem::size_of::<HeaderMap>() + map_size(it));
        let variance = self.variance().map_or(0, Variance::size);
        let tags: usize = self.tags.iter().map(|tag| mem::size_of::<Box<str>>() + tag.len()).sum();
        #[cfg(feature = "files")]
        let recorded = self.recorded.as_deref().map_or(0, |it| it.size() + map_size(&it.headers));
        #[cfg(not(feature = "files"))]
        let recorded = 0;
        let lists = trailers + variance + tags + mem::size_of_val(self.notes()) + recorded;
        mem::size_of::<Self>() + self.url.len() + self.headers.size() + Facts::SIZE + lists
    }
}
