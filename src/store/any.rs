//! [`AnyStore`]: a store whose type is chosen at run time, for example by a configuration file.

use std::{fmt, future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use futures_core::Stream;
use http::HeaderMap;

use super::{Hit, Result, Scanned, Store, Version, Writer, forward::forward};
use crate::{entry::Head, key::Key, time::Timestamp};

/// A store of any type, chosen at run time.
///
/// Each operation allocates its future. There is no other cost.
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
    /// Erases the type of `store`.
    pub fn new(store: impl Store) -> Self {
        Self(Arc::new(store))
    }

    fn inner(&self) -> &dyn DynStore {
        &*self.0
    }
}

impl fmt::Debug for AnyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Writes the body of one entry of an [`AnyStore`].
pub struct AnyWriter(Box<dyn DynWriter>);

impl fmt::Debug for AnyWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyWriter").finish_non_exhaustive()
    }
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'a>>;

/// [`Store`] as a trait object: the same methods with boxed futures.
trait DynStore: fmt::Debug + Send + Sync {
    fn get<'a>(&'a self, key: &'a Key) -> Boxed<'a, Option<Hit>>;
    fn put<'a>(&'a self, key: &'a Key, head: Head) -> Boxed<'a, AnyWriter>;
    fn update<'a>(&'a self, key: &'a Key, seen: Version, head: Head) -> Boxed<'a, bool>;
    fn remove<'a>(&'a self, key: &'a Key) -> Boxed<'a, bool>;
    fn remove_if<'a>(&'a self, key: &'a Key, seen: Version) -> Boxed<'a, bool>;
    fn remove_expired(&self, now: Timestamp) -> Boxed<'_, u64>;
    fn remove_tagged<'a>(&'a self, tag: &'a str) -> Boxed<'a, u64>;
    fn clear(&self) -> Boxed<'_, ()>;
    fn flush(&self) -> Boxed<'_, ()>;
    fn scan(&self) -> Pin<Box<dyn Stream<Item = Result<Scanned>> + Send>>;
    fn len(&self) -> Boxed<'_, u64>;
    fn size_bytes(&self) -> Boxed<'_, u64>;
    fn read_off_thread(&self) -> AnyStore;
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

    fn flush(&self) -> Boxed<'_, ()> {
        Box::pin(Store::flush(self))
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

    fn read_off_thread(&self) -> AnyStore {
        AnyStore::new(Store::read_off_thread(self.clone()))
    }
}

trait DynWriter: Send {
    fn write(&mut self, chunk: Bytes) -> Boxed<'_, ()>;
    fn finish(self: Box<Self>, trailers: Option<HeaderMap>) -> Boxed<'static, ()>;
    fn abort(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

impl<W: Writer> DynWriter for W {
    fn write(&mut self, chunk: Bytes) -> Boxed<'_, ()> {
        Box::pin(Writer::write(self, chunk))
    }

    fn finish(self: Box<Self>, trailers: Option<HeaderMap>) -> Boxed<'static, ()> {
        Box::pin(Writer::finish(*self, trailers))
    }

    fn abort(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(Writer::abort(*self))
    }
}

impl Store for AnyStore {
    type Writer = AnyWriter;

    forward!(inner: get, put, update, remove, remove_if, remove_expired, remove_tagged);
    forward!(inner: clear, flush, scan<>, len, size_bytes);

    fn read_off_thread(self) -> Self {
        self.inner().read_off_thread()
    }
}

impl Writer for AnyWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.0.write(chunk).await
    }

    async fn finish(self, trailers: Option<HeaderMap>) -> Result<()> {
        self.0.finish(trailers).await
    }

    async fn abort(self) {
        self.0.abort().await;
    }
}
