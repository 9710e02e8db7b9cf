//! [`Timeout`]: a store around a store, which waits for it only for a limited time.
//!
//! The stores on servers bound their waits themselves. `Timeout` is for the others: a disk that
//! hangs, a file that another process keeps locked, a store of your own.
//!
//! It bounds what a request waits for. Maintenance (`remove_expired`, `clear`, `scan`, and
//! counting) is not bounded: it does work in proportion to what is stored, and no response waits
//! for it.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use self::limit::Limit;
use super::{Hit, Result, Store, StoredBody, Version, Writer, forward::forward};
use crate::{entry::Head, error::ConfigError, key::Key};

mod body;
mod limit;

/// A slow or hanging store: after the limit, an operation fails, and the cache goes on without the
/// store.
///
/// ```
/// # #[cfg(feature = "redb")]
/// # fn open() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// use larder::{CacheLayer, store::{Redb, Timeout}};
///
/// let store = Timeout::new(Redb::open("http-cache.redb")?, Duration::from_secs(2))?;
/// let layer = CacheLayer::private(store);
/// # Ok(())
/// # }
/// ```
///
/// # What is bounded
///
/// Each single step that a request waits for: finding an entry, reading or writing one chunk of a
/// body, publishing an entry, replacing a head, removing by key or by tag. A step that takes longer
/// is an error of kind [`ErrorKind::Unavailable`](super::ErrorKind::Unavailable). A body that is
/// being read ends in that error. The other operations ([`remove_expired`](Store::remove_expired),
/// [`clear`](Store::clear), [`scan`](Store::scan), [`len`](Store::len),
/// [`size_bytes`](Store::size_bytes)) are not bounded.
///
/// After such an error, the store is spared for as long as the limit: new reads and writes fail at
/// once, so that not every request waits. Removals are still attempted.
///
/// An abandoned step may still be done later. An entry may become visible after its write has
/// failed, and an entry may disappear after its removal has failed: repeat a removal that fails. A
/// removal that succeeds has the last word, since the wrapped store [promises](super) that nothing
/// abandoned before it is done after it.
///
/// # Reading off the runtime's threads
///
/// A read that blocks the polling thread cannot be timed out. The wrapped handle therefore [reads
/// off the runtime's threads](Store::read_off_thread): `store::Redb` and `store::Sqlite` read on
/// blocking threads, also where their setting says otherwise. Each hit then pays for a hop to
/// another thread. Other handles of the same store go on as they were.
///
/// # When it does nothing
///
/// Outside of a tokio runtime, and in a runtime without timers. An operation that is ready at the
/// first poll, as in `store::Memory`, needs no timer. `store::Redis` and `store::MongoDb` have
/// limits of their own, which are more precise: they tell a server that is down from a slow one.
///
/// # Clone
///
/// A clone is another handle to the same data, and spares the store together with this one.
#[derive(Clone, Debug)]
pub struct Timeout<S> {
    inner: S,
    limit: Limit,
}

impl<S: Store> Timeout<S> {
    /// Wraps `store`. Each step may take up to `limit`.
    ///
    /// # Errors
    ///
    /// If `limit` is zero.
    pub fn new(store: S, limit: Duration) -> Result<Self, ConfigError> {
        if limit.is_zero() {
            let message = "the limit must not be zero; write a longer one, such as 2 s";
            return Err(ConfigError::new("limit", message));
        }
        Ok(Self { inner: store.read_off_thread(), limit: Limit::new(limit) })
    }
}

impl<S> Timeout<S> {
    /// The wrapped store, as a handle that [reads off the runtime's
    /// threads](Store::read_off_thread).
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: Store> Store for Timeout<S> {
    type Writer = TimeoutWriter<S::Writer>;

    // No request waits for these.
    forward!(get_ref: remove_expired, clear, flush, scan<S>, len, size_bytes);

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        self.limit.check()?;
        let found = self.limit.bound("reading", Some(key), self.inner.get(key)).await?;
        Ok(found.map(|hit| Hit { body: self.bounded(key, hit.body), ..hit }))
    }

    async fn put(&self, key: &Key, head: Head) -> Result<Self::Writer> {
        self.limit.check()?;
        let inner = self.limit.bound("writing", Some(key), self.inner.put(key, head)).await?;
        Ok(TimeoutWriter { inner, key: *key, limit: self.limit.clone() })
    }

    async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        self.limit.check()?;
        self.limit.bound("writing", Some(key), self.inner.update(key, seen, head)).await
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        self.limit.bound("removing", Some(key), self.inner.remove(key)).await
    }

    async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
        self.limit.bound("removing", Some(key), self.inner.remove_if(key, seen)).await
    }

    async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        self.limit.bound("removing", None, self.inner.remove_tagged(tag)).await
    }

    fn read_off_thread(self) -> Self {
        Self { inner: self.inner.read_off_thread(), ..self }
    }
}

impl<S> Timeout<S> {
    /// Returns the body with a limit for each chunk. A body in memory needs none.
    fn bounded(&self, key: &Key, body: StoredBody) -> StoredBody {
        if body.is_streamed() {
            StoredBody::from_stream(body.len(), body::Bounded::new(body, *key, self.limit.clone()))
        } else {
            body
        }
    }
}

/// Writes the body of one entry of a [`Timeout`] store.
#[derive(Debug)]
pub struct TimeoutWriter<W> {
    inner: W,
    key: Key,
    limit: Limit,
}

impl<W: Writer> Writer for TimeoutWriter<W> {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.limit.bound("writing", Some(&self.key), self.inner.write(chunk)).await
    }

    async fn finish(self, trailers: Option<HeaderMap>) -> Result<()> {
        self.limit.bound("writing", Some(&self.key), self.inner.finish(trailers)).await
    }

    async fn abort(self) {
        let step = async {
            self.inner.abort().await;
            Ok(())
        };
        // If it takes too long, the writer is dropped, which gives the entry up as well.
        let _late = self.limit.bound("removing", Some(&self.key), step).await;
    }
}
