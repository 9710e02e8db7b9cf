//! [`Timeout`]: a store around a store, that waits for it so long and no longer.
//!
//! Servers are bounded by the stores that speak to them. This is for the rest: a disk that hangs, a file that another
//! process holds locked, a store of one's own.
//!
//! What is bounded is what a request waits for. Maintenance (`remove_expired`, `clear`, `scan`, and counting) takes as long as it
//! takes: it does work in proportion to what is stored, and nobody's response waits for it.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use self::limit::Limit;
use super::{Hit, Result, Store, StoredBody, Version, Writer, forward::forward};
use crate::{entry::Head, error::ConfigError, key::Key};

mod body;
mod limit;

/// A store that is waited for so long and no longer; beyond, it has failed, and the cache does without it.
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
/// Each single step that a request waits for: finding an entry, each chunk of a body that is read or written, the
/// publishing of an entry, a new head, a removal by key or by tag. One that takes longer is an error of kind
/// [`ErrorKind::Unavailable`](super::ErrorKind::Unavailable); a body that was being read ends in it. The rest
/// ([`remove_expired`](Store::remove_expired), [`clear`](Store::clear), [`scan`](Store::scan), [`len`](Store::len),
/// [`size_bytes`](Store::size_bytes)) is not.
///
/// After such an error, the store is spared for as long again: until then, reads and writes that would begin fail at
/// once, so that not every request waits. Removals are tried nevertheless.
///
/// A step that was given up may be done later. What was to be published may so become visible after all, and what was to
/// be removed may go; that is why a removal that fails is to be tried again. One that succeeds has the last word: the store
/// inside [promises](super) that what was given up before it does not come behind it.
///
/// # Where it does nothing
///
/// Outside of a tokio runtime, and in one without timers. What is there at the first look, as in `store::Memory`, needs no
/// timer. `store::Redis` and `store::MongoDb` have limits of their own, which know more: they tell a server that is down
/// from one that is slow.
///
/// # Clone
///
/// A clone is another handle to the same data, and spares the store together with this one.
#[derive(Clone, Debug)]
pub struct Timeout<S> {
    inner: S,
    limit: Limit,
}

impl<S> Timeout<S> {
    /// `store`, each step of which may take `limit`.
    ///
    /// # Errors
    ///
    /// For zero, in which nothing can be done.
    pub fn new(store: S, limit: Duration) -> Result<Self, ConfigError> {
        if limit.is_zero() {
            let message = "the limit must not be zero; write a longer one, such as 2 s";
            return Err(ConfigError::new("limit", message));
        }
        Ok(Self { inner: store, limit: Limit::new(limit) })
    }

    /// The store that is wrapped.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }
}

impl<S: Store> Store for Timeout<S> {
    type Writer = TimeoutWriter<S::Writer>;

    // No request waits for these.
    forward!(get_ref: remove_expired, clear, scan<S>, len, size_bytes);

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
}

impl<S> Timeout<S> {
    /// The body, each chunk of which may take as long. What is in memory has come already.
    fn bounded(&self, key: &Key, body: StoredBody) -> StoredBody {
        if body.is_streamed() {
            StoredBody::from_stream(body.len(), body::Bounded::new(body, *key, self.limit.clone()))
        } else {
            body
        }
    }
}

/// Takes the body of one entry of a [`Timeout`] store.
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
        // If it takes too long, it is dropped, which gives the entry up as well.
        let _late = self.limit.bound("removing", Some(&self.key), step).await;
    }
}
