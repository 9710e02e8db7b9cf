//! [`EntryInfo`]: the description of a stored response, and the listing of them all.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::SystemTime,
};

use futures_core::Stream;
use http::{HeaderMap, HeaderName, Method, StatusCode};
use pin_project_lite::pin_project;

use crate::{
    event::without_query,
    key::{Key, OWN_TAG_PREFIX},
    store::{Result, Scanned},
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
    /// The normalised URL of the request, without user information and ignored parameters.
    pub url: String,
    /// The status of the response.
    pub status: StatusCode,
    /// The header fields of the response, as they are stored.
    pub headers: HeaderMap,
    /// The length of the body in bytes.
    pub body_len: u64,
    /// The size of head and body in bytes, without what the store adds.
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
}

impl EntryInfo {
    /// The description of an entry; `None` for an annotation.
    fn of(scanned: &Scanned) -> Option<Self> {
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
        })
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

pin_project! {
    /// A scan without annotations.
    pub(super) struct Listing<S> {
        #[pin]
        pub(super) scan: S,
    }
}

impl<S: Stream<Item = Result<Scanned>>> Stream for Listing<S> {
    type Item = Result<EntryInfo>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut scan = self.project().scan;
        loop {
            return Poll::Ready(match ready!(scan.as_mut().poll_next(cx)) {
                None => None,
                Some(Err(error)) => Some(Err(error)),
                Some(Ok(item)) => match EntryInfo::of(&item) {
                    None => continue,
                    Some(info) => Some(Ok(info)),
                },
            });
        }
    }
}
