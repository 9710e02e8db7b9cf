//! [`Handle`]: the store of a layer. Its observer hears of each operation.
//!
//! A damaged entry is evicted when it is read, or while its body is read. The next request then
//! fetches the response anew, instead of failing at the same place forever.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;

use crate::{
    entry::Head,
    event::{Observer, StoreOperation},
    key::Key,
    status::Refusal,
    store::{Error, ErrorKind, Hit, Result, Store, StoredBody, Version, Writer},
    time::Timestamp,
};

/// The store of a layer, and its observer.
#[derive(Debug)]
pub(crate) struct Handle<B> {
    store: Arc<B>,
    pub(super) observer: Arc<Observer>,
    /// Whether damaged entries stay: the cache is read-only.
    pub(super) keeps_damaged: bool,
}

impl<B> Clone for Handle<B> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            observer: self.observer.clone(),
            keeps_damaged: self.keeps_damaged,
        }
    }
}

impl<B> Handle<B> {
    pub(super) fn new(store: B) -> Self {
        Self { store: Arc::new(store), observer: Arc::default(), keeps_damaged: false }
    }

    pub(crate) fn store(&self) -> &B {
        &self.store
    }

    /// Returns a function that restores the handle while the store is alive.
    pub(crate) fn weak(&self) -> impl Fn() -> Option<Self> + use<B> {
        let (store, observer) = (Arc::downgrade(&self.store), self.observer.clone());
        let keeps_damaged = self.keeps_damaged;
        move || {
            let store = store.upgrade()?;
            Some(Self { store, observer: observer.clone(), keeps_damaged })
        }
    }
}

impl<B: Store> Handle<B> {
    /// Reads an entry. A damaged entry is evicted, and is an error.
    pub(crate) async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        let found = self.observer.asked(StoreOperation::Get, key, self.store().get(key)).await;
        let (error, version) = match found {
            Ok(Some(hit)) => {
                let version = hit.version;
                match hit.whole() {
                    Ok(hit) => return Ok(Some(hit)),
                    Err(error) => {
                        self.observer.store_failed(StoreOperation::Get, Some(key), &error);
                        (error, Some(version))
                    }
                }
            }
            Ok(None) => return Ok(None),
            Err(error) => (error, None),
        };
        if error.kind() == ErrorKind::Corrupt {
            // Boxed, since the future of every hit would have to hold it.
            Box::pin(self.evict(key, version)).await;
        }
        Err(error)
    }

    /// Begins to write an entry. Not an `async fn`, which would store the head twice.
    pub(crate) fn put<'a>(
        &'a self,
        key: &'a Key,
        head: Head,
    ) -> impl Future<Output = Result<B::Writer>> + Send + 'a {
        self.observer.asked(StoreOperation::Put, key, self.store().put(key, head))
    }

    /// Writes an entry that has no body.
    pub(crate) async fn put_head(&self, key: &Key, head: Head) -> Result<()> {
        let writer = self.put(key, head).await?;
        self.observer.asked(StoreOperation::Finish, key, writer.finish(None)).await
    }

    /// Replaces the head of the entry that was seen. `false` if there is another entry by now.
    pub(crate) async fn update(&self, key: &Key, version: Version, head: Head) -> Result<bool> {
        let update = self.store().update(key, version, head);
        self.observer.asked(StoreOperation::Update, key, update).await
    }

    pub(crate) async fn remove(&self, key: &Key) -> Result<bool> {
        self.observer.asked(StoreOperation::Remove, key, self.store().remove(key)).await
    }

    /// Removes the entry that was seen. `false` if there is another entry by now.
    pub(crate) async fn remove_if(&self, key: &Key, version: Version) -> Result<bool> {
        self.observer.asked(StoreOperation::Remove, key, self.store().remove_if(key, version)).await
    }

    pub(crate) async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
        self.observer.asked(StoreOperation::Remove, None, self.store().remove_expired(now)).await
    }

    pub(crate) async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        self.observer.asked(StoreOperation::Remove, None, self.store().remove_tagged(tag)).await
    }

    pub(crate) async fn clear(&self) -> Result<()> {
        self.observer.asked(StoreOperation::Remove, None, self.store().clear()).await
    }

    /// Writes annotations, except those that are stored already. The observer hears of a failure.
    /// Without its annotation, a request for another URL is a miss.
    pub(crate) async fn put_annotations(&self, annotations: Vec<(Key, Head)>) {
        for (key, head) in annotations {
            match self.get(&key).await {
                Ok(Some(stored)) if says_the_same(&stored.head, &head) => {}
                _ => drop(self.put_head(&key, head).await),
            }
        }
    }

    /// The body of a hit. If it turns out to be damaged while it is read, the entry is removed.
    pub(crate) fn evict_if_damaged(
        &self,
        body: StoredBody,
        key: Key,
        version: Version,
    ) -> StoredBody {
        if !body.is_streamed() {
            return body;
        }
        let len = body.len();
        let evicting = EvictingBody { body, handle: self.clone(), key, version, eviction: None };
        StoredBody::from_stream(len, evicting)
    }

    /// Removes a damaged entry. If its version could be read, only that version is removed: by now,
    /// another may have taken its place.
    async fn evict(&self, key: &Key, version: Option<Version>) {
        if self.keeps_damaged {
            return;
        }
        // The observer hears of a failure, and a missing entry is no failure.
        drop(match version {
            Some(version) => self.remove_if(key, version).await,
            None => self.remove(key).await,
        });
    }
}

/// Whether the stored annotation leads where the new one leads, for at least as long.
fn says_the_same(stored: &Head, new: &Head) -> bool {
    let lasts = |end: fn(&Head) -> Option<Timestamp>| later(end(stored), end(new)) == end(stored);
    stored.is_annotation()
        && (stored.url(), stored.headers()) == (new.url(), new.headers())
        && lasts(Head::expires_at)
        && lasts(Head::keep_until)
}

/// The later of two ends. `None` is never.
pub(crate) fn later(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    Some(one?.max(other?))
}

/// A stored body that is being read. The entry is removed if it is damaged.
struct EvictingBody<B> {
    body: StoredBody,
    handle: Handle<B>,
    key: Key,
    version: Version,
    /// The damage that was found, and the eviction that precedes its report.
    eviction: Option<(Error, Eviction)>,
}

type Eviction = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<B: Store> Stream for EvictingBody<B> {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.eviction.is_none() {
            match ready!(this.body.poll_chunk(cx)) {
                Some(Err(error)) => {
                    let Handle { observer, .. } = &this.handle;
                    observer.store_failed(StoreOperation::Read, Some(&this.key), &error);
                    if error.kind() != ErrorKind::Corrupt {
                        return Poll::Ready(Some(Err(error)));
                    }
                    let (handle, key, version) = (this.handle.clone(), this.key, this.version);
                    let eviction = Box::pin(async move { handle.evict(&key, Some(version)).await });
                    this.eviction = Some((error, eviction));
                }
                chunk => return Poll::Ready(chunk),
            }
        }
        if let Some((_, eviction)) = &mut this.eviction {
            ready!(eviction.as_mut().poll(cx));
        }
        Poll::Ready(this.eviction.take().map(|(error, _)| Err(error)))
    }
}

/// Why a response is not stored if the store fails with `error`.
pub(super) fn refusal_of(error: Error) -> Refusal {
    match error.kind() {
        ErrorKind::TooLarge => Refusal::TooLarge,
        kind => Refusal::StoreFailed(kind),
    }
}
