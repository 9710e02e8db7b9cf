//! A gate to wait at, so that a test says when things go on; and a store that waits at one.

use std::{
    future::Future,
    panic::Location,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::Stream;
use http::HeaderMap;
use larder::{
    Key,
    entry::Head,
    store::{Hit, Result, Scanned, Store, Version, Writer},
    time::Timestamp,
};
use tokio::{sync::Semaphore, task::unconstrained};

/// Whoever passes takes a permit.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Semaphore>);

impl Gate {
    pub(crate) fn closed() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// A gate that nobody waits at.
    pub(crate) fn wide_open() -> Self {
        Self(Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)))
    }

    /// Lets so many more through.
    pub(crate) fn open(&self, passages: usize) {
        self.0.add_permits(passages);
    }

    pub(crate) async fn pass(&self) {
        unconstrained(self.0.acquire()).await.unwrap().forget();
    }
}

/// What `future` comes to, where that needs nothing but itself: one that would wait for ever is a
/// failure. By virtual time, that is seen at once.
#[track_caller]
pub(crate) fn soon<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let caller = Location::caller();
    async move {
        let limit = Duration::from_secs(300);
        let Ok(output) = tokio::time::timeout(limit, future).await else {
            panic!("stranded: {caller}");
        };
        output
    }
}

/// A store whose writes each pass a gate that is closed at first, or whose publications, updates,
/// removals by version or removals by tag do.
#[derive(Clone, Debug)]
pub(crate) struct Gated<S> {
    inner: S,
    writes: Gate,
    finishes: Gate,
    updates: Gate,
    versions: Gate,
    tags: Gate,
    written: Arc<AtomicU64>,
}

impl<S> Gated<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { writes: Gate::closed(), ..Self::open_wide(inner) }
    }

    /// One that takes every byte at once, and then waits before it publishes them.
    pub(crate) fn at_finish(inner: S) -> Self {
        Self { finishes: Gate::closed(), ..Self::open_wide(inner) }
    }

    /// One that waits before it updates.
    pub(crate) fn at_update(inner: S) -> Self {
        Self { updates: Gate::closed(), ..Self::open_wide(inner) }
    }

    /// One that waits before it updates, and before it removes by version.
    pub(crate) fn at_change(inner: S) -> Self {
        Self { updates: Gate::closed(), versions: Gate::closed(), ..Self::open_wide(inner) }
    }

    /// One that waits before it removes by tag.
    pub(crate) fn at_tag(inner: S) -> Self {
        Self { tags: Gate::closed(), ..Self::open_wide(inner) }
    }

    fn open_wide(inner: S) -> Self {
        let [writes, finishes, updates, versions, tags] =
            std::array::from_fn(|_| Gate::wide_open());
        Self { inner, writes, finishes, updates, versions, tags, written: Arc::default() }
    }

    /// Lets `writes` more through.
    pub(crate) fn open(&self, writes: usize) {
        self.writes.open(writes);
    }

    /// Lets so many more entries be published.
    pub(crate) fn publish(&self, entries: usize) {
        self.finishes.open(entries);
    }

    /// Lets so many more entries be updated.
    pub(crate) fn update(&self, entries: usize) {
        self.updates.open(entries);
    }

    /// Lets so many more removals by version through.
    pub(crate) fn remove_versions(&self, removals: usize) {
        self.versions.open(removals);
    }

    /// Lets so many more removals by tag through.
    pub(crate) fn remove(&self, removals: usize) {
        self.tags.open(removals);
    }

    /// How many bytes have come through.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::SeqCst)
    }
}

pub(crate) struct GatedWriter<W> {
    inner: W,
    writes: Gate,
    finishes: Gate,
    written: Arc<AtomicU64>,
}

impl<S: Store> Store for Gated<S> {
    type Writer = GatedWriter<S::Writer>;

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        self.inner.get(key).await
    }

    async fn put(&self, key: &Key, head: Head) -> Result<Self::Writer> {
        let inner = self.inner.put(key, head).await?;
        let Self { writes, finishes, written, .. } = self.clone();
        Ok(GatedWriter { inner, writes, finishes, written })
    }

    async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        self.updates.pass().await;
        self.inner.update(key, seen, head).await
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        self.inner.remove(key).await
    }

    async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
        self.versions.pass().await;
        self.inner.remove_if(key, seen).await
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
        self.inner.remove_expired(now).await
    }

    async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        self.tags.pass().await;
        self.inner.remove_tagged(tag).await
    }

    async fn clear(&self) -> Result<()> {
        self.inner.clear().await
    }

    fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<S> {
        self.inner.scan()
    }

    async fn len(&self) -> Result<u64> {
        self.inner.len().await
    }

    async fn size_bytes(&self) -> Result<u64> {
        self.inner.size_bytes().await
    }
}

impl<W: Writer> Writer for GatedWriter<W> {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.writes.pass().await;
        self.written.fetch_add(chunk.len() as u64, Ordering::SeqCst);
        self.inner.write(chunk).await
    }

    async fn finish(self, trailers: Option<HeaderMap>) -> Result<()> {
        self.finishes.pass().await;
        self.inner.finish(trailers).await
    }
}
