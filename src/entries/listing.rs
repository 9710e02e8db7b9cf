//! [`EntryInfo`]: the description of a stored response, and the listing of them all.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::SystemTime,
};

use futures_core::Stream;
use http::{HeaderMap, HeaderName, Method, StatusCode};

use crate::{
    event::without_query,
    key::{Key, OWN_TAG_PREFIX},
    store::{Result, Scanned},
    time::{Clock, Timestamp},
};

/// One stored response, as [`Entries::stream`](crate::Entries::stream) lists it. Its `Debug` output
/// has the names of the header fields without their values, and the URL without its query.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EntryInfo {
    /// The key it is stored under.
    pub key: Key,
    /// The method of the request.
    pub method: Method,
    /// The normalised URL of the request, without user information and ignored parameters. A
    /// request without a host has a URL such as `http:///a`. A response that was
    /// [inserted](crate::Entries::insert_at) at a key alone has an empty one.
    ///
    /// It is a [`Target`](crate::Target): [`remove`](crate::Entries::remove) removes this entry
    /// and all others of the URL. [`get`](crate::Entries::get) and
    /// [`contains`](crate::Entries::contains) look for a `GET` without headers, so they may not
    /// find this entry by its URL: of another method, with a body, with credentials, with another
    /// value of a key header, or, in a shared cache, with another spelling of the host. To name
    /// this entry alone, use [`key`](EntryInfo::key).
    pub url: String,
    /// The status of the response.
    pub status: StatusCode,
    /// The header fields of the response, as they are stored.
    pub headers: HeaderMap,
    /// The length of the body in bytes.
    pub body_len: u64,
    /// The length of the body plus the size of the head in memory, in bytes. Even a small head
    /// takes more than 500 bytes there. This is not what
    /// [`size_bytes`](crate::Entries::size_bytes) counts: each store counts heads in its own way,
    /// and stores on disk and on servers keep them encoded, which is smaller.
    /// [`body_len`](EntryInfo::body_len) is the body alone.
    pub size: u64,
    /// When the response arrived.
    pub stored_at: SystemTime,
    /// When it expires; `None` means never.
    pub expires_at: Option<SystemTime>,
    /// Until when it is of use: after its expiry, it may be revalidated or served stale. `None`
    /// means forever. [`Entries::remove_expired`](crate::Entries::remove_expired) removes it then.
    pub keep_until: Option<SystemTime>,
    /// Its tags, without the tags that the cache uses itself.
    pub tags: Vec<String>,
    listed_at: Listed,
}

/// When the entry was listed. Two descriptions are equal whenever they were made.
#[derive(Clone, Copy)]
struct Listed(Timestamp);

impl PartialEq for Listed {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Listed {}

impl EntryInfo {
    /// The description of an entry at `now`; `None` for an annotation.
    fn of(scanned: &Scanned, now: Timestamp) -> Option<Self> {
        let head = &scanned.head;
        if !head.is_response() {
            return None;
        }
        Some(Self {
            key: scanned.key,
            method: head.method().clone(),
            url: head.url().to_owned(),
            status: head.status(),
            headers: head.headers().clone(),
            body_len: head.body_len(),
            size: head.body_len() + head.size() as u64,
            stored_at: head.stored_at().into(),
            expires_at: head.expires_at().map(Into::into),
            keep_until: head.keep_until().map(Into::into),
            tags: head
                .tags()
                .iter()
                .filter(|tag| !tag.starts_with(OWN_TAG_PREFIX))
                .map(ToString::to_string)
                .collect(),
            listed_at: Listed(now),
        })
    }

    /// Whether the entry had expired when it was listed.
    #[must_use]
    pub fn is_expired(&self) -> bool {
        let now = SystemTime::from(self.listed_at());
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    pub(super) fn listed_at(&self) -> Timestamp {
        self.listed_at.0
    }
}

impl fmt::Debug for EntryInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let headers: Vec<_> = self.headers.keys().map(HeaderName::as_str).collect();
        f.debug_struct("EntryInfo")
            .field("key", &self.key)
            .field("method", &self.method)
            .field("url", &without_query(&self.url))
            .field("status", &self.status)
            .field("headers", &headers)
            .field("body_len", &self.body_len)
            .field("size", &self.size)
            .field("stored_at", &self.stored_at)
            .field("expires_at", &self.expires_at)
            .field("keep_until", &self.keep_until)
            .field("tags", &self.tags)
            .finish()
    }
}

/// A scan without annotations.
pub(super) struct Listing<S> {
    pub(super) scan: Pin<Box<S>>,
    pub(super) clock: Arc<dyn Clock>,
}

impl<S: Stream<Item = Result<Scanned>>> Stream for Listing<S> {
    type Item = Result<EntryInfo>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            return Poll::Ready(match ready!(self.scan.as_mut().poll_next(cx)) {
                None => None,
                Some(Err(error)) => Some(Err(error)),
                Some(Ok(item)) => match EntryInfo::of(&item, self.clock.now()) {
                    None => continue,
                    Some(info) => Some(Ok(info)),
                },
            });
        }
    }
}
