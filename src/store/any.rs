//! [`AnyStore`]: a store whose type is chosen at run time, by a flag or a configuration file.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_core::Stream;
use http::HeaderMap;

use super::{Hit, Result, Scanned, Store, Version, Writer};
use crate::{entry::Head, key::Key, time::Timestamp};

/// Any store, its type erased.
///
/// It costs a boxed future an operation, and nothing else.
///
/// ```
/// # #[cfg(all(feature = "memory", feature = "redb", feature = "sqlite"))] {
/// use larder::{CacheLayer, store::{AnyStore, Memory, Redb, Sqlite}};
///
/// fn store(name: &str) -> larder::store::Result<AnyStore> {
///     Ok(match name.split_once(':') {
///         Some(("redb", path)) => AnyStore::new(Redb::open(path)?),
///         Some(("sqlite", path)) => AnyStore::new(Sqlite::open(path)?),
///         _ => AnyStore::new(Memory::default()),
///     })
/// }
/// let layer = CacheLayer::private(store("memory").unwrap());
/// # }
/// ```
///
/// # Clone
///
/// A clone is another handle to the same data.
#[derive(Clone)]
pub struct AnyStore(Arc<dyn DynStore>);

impl AnyStore {
    /// `store`, its type erased.
    pub fn new(store: impl Store) -> Self {
        Self(Arc::new(store))
    }
}

impl fmt::Debug for AnyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Takes the body of one entry of an [`AnyStore`].
pub struct AnyWriter(Box<dyn DynWriter>);

impl fmt::Debug for AnyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyWriter").finish_non_exhaustive()
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// [`Store`] as a trait object has it: the same methods, their futures boxed.
trait DynStore: fmt::Debug + Send + Sync {
    fn get<'a>(&'a self, key: &'a Key) -> Boxed<'a, Option<Hit>>;
    fn put<'a>(&'a self, key: &'a Key, head: Head) -> Boxed<'a, AnyWriter>;
    fn update<'a>(&'a self, key: &'a Key, seen: Version, head: Head) -> Boxed<'a, bool>;
    fn remove<'a>(&'a self, key: &'a Key) -> Boxed<'a, bool>;
    fn remove_if<'a>(&'a self, key: &'a Key, seen: Version) -> Boxed<'a, bool>;
    fn remove_expired(&self, now: Timestamp) -> Boxed<'_, u64>;
    fn remove_tagged<'a>(&'a self, tag: &'a str) -> Boxed<'a, u64>;
    fn clear(&self) -> Boxed<'_, ()>;
    fn scan(&self) -> Pin<Box<dyn Stream<Item = Result<Scanned>> + Send>>;
    fn len(&self) -> Boxed<'_, u64>;
    fn size_bytes(&self) -> Boxed<'_, u64>;
}

impl<S: Store> DynStore for S {
    fn get<'a>(&'a self, key: &'a Key) -> Boxed<'a, Option<Hit>> {
        Box::pin(Store::get(self, key))
    }

    fn put<'a>(&'a self, key: &'a Key, head: Head) -> Boxed<'a, AnyWriter> {
        Box::pin(async move { Ok(AnyWriter(Box::new(Store::put(self, key, head).await?))) })
    }

    fn update<'a>(&'a self, key: &'a Key, seen: Version, head: Head) -> Boxed<'a, bool> {
        Box::pin(Store::update(self, key, seen, head))
    }

    fn remove<'a>(&'a self, key: &'a Key) -> Boxed<'a, bool> {
        Box::pin(Store::remove(self, key))
    }

    fn remove_if<'a>(&'a self, key: &'a Key, seen: Version) -> Boxed<'a, bool> {
        Box::pin(Store::remove_if(self, key, seen))
    }

    fn remove_expired(&self, now: Timestamp) -> Boxed<'_, u64> {
        Box::pin(Store::remove_expired(self, now))
    }

    fn remove_tagged<'a>(&'a self, tag: &'a str) -> Boxed<'a, u64> {
        Box::pin(Store::remove_tagged(self, tag))
    }

    fn clear(&self) -> Boxed<'_, ()> {
        Box::pin(Store::clear(self))
    }

    fn scan(&self) -> Pin<Box<dyn Stream<Item = Result<Scanned>> + Send>> {
        Box::pin(Store::scan(self))
    }

    fn len(&self) -> Boxed<'_, u64> {
        Box::pin(Store::len(self))
    }

    fn size_bytes(&self) -> Boxed<'_, u64> {
        Box::pin(Store::size_bytes(self))
    }
}

trait DynWriter: Send {
    fn write(&mut self, chunk: Bytes) -> Boxed<'_, ()>;
    fn finish(self: Box<Self>, trailers: Option<HeaderMap>) -> Boxed<'static, ()>;
}

impl<W: Writer> DynWriter for W {
    fn write(&mut self, chunk: Bytes) -> Boxed<'_, ()> {
        Box::pin(Writer::write(self, chunk))
    }

    fn finish(self: Box<Self>, trailers: Option<HeaderMap>) -> Boxed<'static, ()> {
        Box::pin(Writer::finish(*self, trailers))
    }
}

impl Store for AnyStore {
    type Writer = AnyWriter;

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        self.0.get(key).await
    }

    async fn put(&self, key: &Key, head: Head) -> Result<AnyWriter> {
        self.0.put(key, head).await
    }

    async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        self.0.update(key, seen, head).await
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        self.0.remove(key).await
    }

    async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
        self.0.remove_if(key, seen).await
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
        self.0.remove_expired(now).await
    }

    async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        self.0.remove_tagged(tag).await
    }

    async fn clear(&self) -> Result<()> {
        self.0.clear().await
    }

    fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<> {
        self.0.scan()
    }

    async fn len(&self) -> Result<u64> {
        self.0.len().await
    }

    async fn size_bytes(&self) -> Result<u64> {
        self.0.size_bytes().await
    }
}

impl Writer for AnyWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.0.write(chunk).await
    }

    async fn finish(self, trailers: Option<HeaderMap>) -> Result<()> {
        self.0.finish(trailers).await
    }
}
