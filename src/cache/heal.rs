//! Damaged entries are told of and removed: when they are found, or while their body is read. The next request fetches
//! the response anew, instead of breaking off at the same place forever.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;

use super::CacheLayer;
use crate::{
    event::StoreOperation,
    key::Key,
    store::{Error, ErrorKind, Result, Store, StoredBody, Version},
};

/// The body of a hit, watched while it streams. One that is in memory cannot fail, and is left as it is.
pub(super) fn watched<B: Store>(
    body: StoredBody,
    cache: &CacheLayer<B>,
    key: Key,
    seen: Version,
) -> StoredBody {
    if !body.is_streamed() {
        return body;
    }
    let len = body.len();
    StoredBody::from_stream(len, Watched { body, cache: cache.clone(), key, seen, removal: None })
}

struct Watched<B> {
    body: StoredBody,
    cache: CacheLayer<B>,
    key: Key,
    seen: Version,
    /// The damage that was met, and the removal that goes before it is told.
    removal: Option<(Error, Removal)>,
}

type Removal = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Removes a damaged entry where anything may be removed.
///
/// Of an entry whose version could be read, that version alone: by now, another may have taken its place.
pub(super) async fn remove_damaged<B: Store>(
    cache: CacheLayer<B>,
    key: Key,
    seen: Option<Version>,
) {
    if cache.settings.rules.read_only {
        return;
    }
    let store = &cache.shared.store;
    let removal = async {
        match seen {
            Some(seen) => store.remove_if(&key, seen).await,
            None => store.remove(&key).await,
        }
    };
    // Whether there was one, and that it failed, makes no difference here; the latter has been told.
    drop(cache.observer().asked(StoreOperation::Remove, &key, removal).await);
}

impl<B: Store> Stream for Watched<B> {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.removal.is_none() {
            match ready!(this.body.poll_chunk(cx)) {
                Some(Err(error)) => {
                    let observer = this.cache.observer();
                    observer.store_failed(StoreOperation::Read, Some(&this.key), &error);
                    if error.kind() != ErrorKind::Corrupt {
                        return Poll::Ready(Some(Err(error)));
                    }
                    let removal =
                        Box::pin(remove_damaged(this.cache.clone(), this.key, Some(this.seen)));
                    this.removal = Some((error, removal));
                }
                chunk => return Poll::Ready(chunk),
            }
        }
        if let Some((_, removal)) = &mut this.removal {
            ready!(removal.as_mut().poll(cx));
        }
        Poll::Ready(this.removal.take().map(|(error, _)| Err(error)))
    }
}
