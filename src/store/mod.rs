//! The store contract, and the stores that keep it. Which of them is for what, what each survives and costs, is told in
//! `store::choosing`.
//!
//! A store keeps *entries*: under a [`Key`] one [`Head`] (status, header lines and the cache's own attributes), a body,
//! and trailers where there were some. **The store keeps, the cache decides**: no store knows freshness, `Vary` or any
//! other rule of HTTP. It is given plain attributes (expiry, tags, sizes) that its engine can index.
//!
//! # What a store promises
//!
//! 1. **Nothing half-written is visible.** [`Writer::finish`] publishes head, body and trailers together; a writer
//!    dropped before has left nothing behind, or nothing that outlives the next opening of the store.
//! 2. **Replacing is atomic.** A reader that began on the old entry reads the old body to its end, or gets an error;
//!    never a mixture.
//! 3. **[`Store::update`] compares and swaps.** It replaces the head, and nothing else, of exactly the entry that was
//!    seen, and [`Store::remove_if`] removes that one alone; every finished write and every update gives the entry a new
//!    [`Version`].
//! 4. **What comes back is what was given**: every header line in order, every byte of the body, or an error. Data that
//!    does not decode is an error of kind [`ErrorKind::Corrupt`], which the cache treats as a miss and removes.
//! 5. **By index, not by reading everything**: [`Store::remove_expired`] and [`Store::remove_tagged`] do work in
//!    proportion to what they remove.
//! 6. **A store may forget.** Eviction, a restart, an operator's flush: each is a miss, never an error.
//! 7. **A clone is another handle to the same data.** The last handle that is dropped releases files and connections.
//! 8. **What was given up does not come back.** Whoever waits for an operation may stop waiting, by dropping its future.
//!    Then it is done or it is not; but a write or an update that is done all the same is done before any write or removal
//!    that begins later with this handle or a clone of it, of the same key, by a tag, by expiry or of all. What was removed
//!    stays away, and what was written last is there. A removal that was given up may take what is written after it, as a
//!    store may forget.
//!
//! The suite `store::conformance` (feature `conformance`) holds each of these promises against any store.
//!
//! # Writing a store
//!
//! Implement [`Store`] and [`Writer`]. Keep the bytes of [`Head::encode`] as they are; [`Head::seal`] completes a head
//! with what is known only at the end of its body. `examples/custom-store` in the
//! repository is a whole store that runs the suite on itself.
//!
//! A store around a store ([`Tiered`], `Compressed`, `Timeout`, [`AnyStore`], an [`Arc`]) forwards every method, and keeps every
//! promise itself: the versions, heads and lengths that it shows are its own, not those of what it wraps. What it needs to
//! know of an entry it can note among the trailers, which a store keeps with the body.
//!
//! Promise 8 is kept by itself where nothing goes on without its caller, and where all changes take one way, a queue or a
//! connection that keeps their order. A store that carries them out in tasks of their own, or over several connections, has
//! to let what begins later wait for what was given up. A store around a store gives up what it was waiting for inside
//! when it is given up itself, and leaves the rest to the one inside: so does `Timeout` with a step that takes too long,
//! and a removal that succeeds later has the last word. Where it ends is on a server: what that is still at when the
//! connection breaks, or when the store waits no longer, may be done behind a removal, and no client can know. The stores
//! on servers say when.
//!
//! Requests wait for the store: all for [`Store::get`], those that miss for [`Store::put`], [`Writer::write`] and, before the
//! last bytes of the response, [`Writer::finish`], those that revalidate for [`Store::update`], and those that make stale what
//! is stored for its removal. What a store
//! waits for itself, a server above all, it has to bound; `Timeout` does it from outside.

use std::{fmt, future::Future, sync::Arc};

use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, Response};

use crate::{entry::Head, key::Key, time::Timestamp};

mod any;
mod arc;
mod body;
#[cfg(any(feature = "mongodb", feature = "redis"))]
mod chunked;
// A page of the documentation, without code.
#[cfg(any(doc, doctest))]
pub mod choosing;
#[cfg(feature = "compression")]
mod compressed;
#[cfg(feature = "conformance")]
#[cfg_attr(docsrs, doc(cfg(feature = "conformance")))]
pub mod conformance;
#[cfg(any(feature = "redb", feature = "sqlite"))]
mod embedded;
mod error;
#[cfg(any(feature = "memory", feature = "redb", feature = "sqlite"))]
mod evictions;
mod mark;
#[cfg(feature = "memory")]
mod memory;
#[cfg(feature = "mongodb")]
pub mod mongodb;
#[cfg(any(feature = "mongodb", feature = "redis"))]
mod needs_runtime;
#[cfg(any(feature = "mongodb", feature = "redb", feature = "redis", feature = "sqlite"))]
mod pieces;
#[cfg(feature = "redb")]
pub mod redb;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod tiered;
mod timeout;
#[cfg(any(feature = "memory", feature = "compression"))]
mod turn;

pub use self::{
    any::{AnyStore, AnyWriter},
    body::StoredBody,
    error::{Error, ErrorKind, Result},
    tiered::{Tiered, TieredStats, TieredWriter},
};

#[cfg(feature = "compression")]
#[cfg_attr(docsrs, doc(cfg(feature = "compression")))]
pub use self::compressed::{Compressed, CompressedWriter};

#[cfg(any(feature = "memory", feature = "redb", feature = "sqlite"))]
#[cfg_attr(docsrs, doc(cfg(any(feature = "memory", feature = "redb", feature = "sqlite"))))]
pub use self::evictions::Evicted;
#[cfg(feature = "memory")]
#[cfg_attr(docsrs, doc(cfg(feature = "memory")))]
pub use self::memory::Memory;
#[cfg(feature = "mongodb")]
#[cfg_attr(docsrs, doc(cfg(feature = "mongodb")))]
#[doc(inline)]
pub use self::mongodb::MongoDb;
#[cfg(feature = "redb")]
#[cfg_attr(docsrs, doc(cfg(feature = "redb")))]
#[doc(inline)]
pub use self::redb::Redb;
#[cfg(feature = "redis")]
#[cfg_attr(docsrs, doc(cfg(feature = "redis")))]
#[doc(inline)]
pub use self::redis::Redis;
#[cfg(feature = "sqlite")]
#[cfg_attr(docsrs, doc(cfg(feature = "sqlite")))]
#[doc(inline)]
pub use self::sqlite::Sqlite;
pub use self::timeout::{Timeout, TimeoutWriter};

/// A place where responses are kept. The [module's text](self) lists what it promises.
///
/// # Clone
///
/// A clone is another handle to the same data.
// No `is_empty`: a store is counted by those who look after it, and an implementor should have little to write.
#[allow(clippy::len_without_is_empty)]
pub trait Store: fmt::Debug + Clone + Send + Sync + 'static {
    /// What takes the body of an entry that is being written.
    type Writer: Writer;

    /// The entry under `key`, expired or not; `None` where there is none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`] for what does not decode, [`ErrorKind::Unavailable`] where the store does not answer.
    fn get(&self, key: &Key) -> impl Future<Output = Result<Option<Hit>>> + Send;

    /// Begins an entry. Nothing is visible under `key` before [`Writer::finish`]; what is there until then stays.
    ///
    /// # Errors
    ///
    /// Where the store can tell already that it will not take the entry.
    fn put(&self, key: &Key, head: Head) -> impl Future<Output = Result<Self::Writer>> + Send;

    /// Replaces the head of the entry that was `seen`, leaving its body as it is. `false`, with nothing changed, where
    /// the entry has gone or has another version by now.
    ///
    /// The body's length and the trailers are part of the body: an implementation takes them from the entry that is
    /// there ([`Head::carry_body`]), not from `head`.
    ///
    /// # Errors
    ///
    /// Where the store does not answer or cannot write.
    fn update(
        &self,
        key: &Key,
        seen: Version,
        head: Head,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Removes the entry under `key`; whether there was one. An entry that does not decode is removed as well.
    ///
    /// # Errors
    ///
    /// Where the store does not answer or cannot write.
    fn remove(&self, key: &Key) -> impl Future<Output = Result<bool>> + Send;

    /// Removes the entry that was `seen`. `false`, with nothing changed, if it has gone or has another version by now: who
    /// decides by what was read of an entry removes that one, and not the one that took its place.
    ///
    /// # Errors
    ///
    /// Where the store does not answer or cannot write.
    fn remove_if(&self, key: &Key, seen: Version) -> impl Future<Output = Result<bool>> + Send;

    /// Removes every entry that is to be [kept until](Head::keep_until) `now` or a time before it, by index; how many
    /// there were.
    ///
    /// # Errors
    ///
    /// Where the store does not answer or cannot write; what was removed until then stays removed.
    fn remove_expired(&self, now: Timestamp) -> impl Future<Output = Result<u64>> + Send;

    /// Removes every entry that carries `tag`, by index; how many there were.
    ///
    /// # Errors
    ///
    /// Where the store does not answer or cannot write; what was removed until then stays removed.
    fn remove_tagged(&self, tag: &str) -> impl Future<Output = Result<u64>> + Send;

    /// Removes every entry of this store, and nothing that is not its own.
    ///
    /// # Errors
    ///
    /// Where the store does not answer or cannot write.
    fn clear(&self) -> impl Future<Output = Result<()>> + Send;

    /// Every entry's head, in no particular order. Each item is consistent in itself; entries that come or go
    /// meanwhile may be there or not. An entry that does not decode is an `Err`, and the stream goes on after it.
    fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<Self>;

    /// How many entries there are, expired ones included.
    ///
    /// # Errors
    ///
    /// Where the store does not answer.
    fn len(&self) -> impl Future<Output = Result<u64>> + Send;

    /// How many bytes the entries take, as the store counts them.
    ///
    /// # Errors
    ///
    /// Where the store does not answer.
    fn size_bytes(&self) -> impl Future<Output = Result<u64>> + Send;
}

/// Takes the body of one entry. Dropped before [`finish`](Writer::finish), it leaves nothing behind.
pub trait Writer: Send + 'static {
    /// Appends `chunk` to the body. A writer holds a bounded part of the body in memory where the store can.
    ///
    /// # Errors
    ///
    /// Where the store fails or the entry grows too large for it; the writer is of no use afterwards.
    fn write(&mut self, chunk: Bytes) -> impl Future<Output = Result<()>> + Send;

    /// Publishes the entry in place of whatever was under its key. Where the future is dropped before it is done, the entry
    /// may be published or not, but not behind a write or a removal that begins later.
    ///
    /// # Errors
    ///
    /// Where the store fails; nothing has become visible then.
    fn finish(self, trailers: Option<HeaderMap>) -> impl Future<Output = Result<()>> + Send;
}

/// Which state of an entry was seen: every finished write and every update gives a new one.
///
/// Only equality means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version(u64);

impl Version {
    /// A version from the number a store keeps for it.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The number that a store keeps.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A stored entry: the head, to be shared, and the body, to be read.
#[derive(Debug)]
#[non_exhaustive]
pub struct Hit {
    /// Status, header lines and attributes.
    pub head: Arc<Head>,
    /// The state that was found, for [`Store::update`].
    pub version: Version,
    /// The body, to be read once.
    pub body: StoredBody,
}

impl Hit {
    /// An entry as a store hands it out.
    #[must_use]
    pub fn new(head: Arc<Head>, version: Version, body: StoredBody) -> Self {
        Self { head, version, body }
    }

    /// The entry, where its body is as long as its head says: one that is short would be served so.
    pub(crate) fn whole(self) -> Result<Self> {
        let (len, said) = (self.body.len(), self.head.body_len());
        if len == said {
            return Ok(self);
        }
        let why = format!("the body has {len} bytes, and its head says {said}");
        Err(Error::new(ErrorKind::Corrupt, "store", why))
    }

    /// The response as it was stored, trailers included.
    #[must_use]
    pub fn into_response(self) -> Response<StoredBody> {
        let (status, version) = (self.head.status(), self.head.version());
        // A head that was decoded for this hit alone is taken apart; a shared one is left as it is.
        let (headers, trailers) = match Arc::try_unwrap(self.head) {
            Ok(head) => head.into_fields(),
            Err(head) => (head.headers().clone(), head.trailers().cloned()),
        };
        let mut response = Response::new(self.body.with_trailers(trailers));
        *response.status_mut() = status;
        *response.version_mut() = version;
        *response.headers_mut() = headers;
        response
    }
}

/// One item of [`Store::scan`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Scanned {
    /// The key of the entry.
    pub key: Key,
    /// The state that was found, for [`Store::update`].
    pub version: Version,
    /// Status, header lines and attributes.
    pub head: Arc<Head>,
}

impl Scanned {
    /// An item as a store lists it.
    #[must_use]
    pub fn new(key: Key, version: Version, head: Arc<Head>) -> Self {
        Self { key, version, head }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn a_body_of_another_length_than_its_head_says_is_damaged() {
        let hit = |body: &'static [u8]| {
            let parts = Response::new(()).into_parts().0;
            let head = Head::new(Method::GET, "http://a/", parts, Timestamp::MIN).seal(3, None);
            Hit::new(head.into(), Version::new(1), StoredBody::from(Bytes::from_static(body)))
        };
        assert!(hit(b"abc").whole().is_ok());
        for body in [&b"ab"[..], b"abcd", b""] {
            assert_eq!(hit(body).whole().unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}
