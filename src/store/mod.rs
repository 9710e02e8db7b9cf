//! The store contract, and the stores that keep it. `guide::choosing_a_store` says what each store
//! is for, what it survives and what it costs.
//!
//! A store keeps *entries*. Under a [`Key`], an entry has a [`Head`] (status, header fields and the
//! cache's own attributes), a body, and trailers if the response had any. **The store keeps, the
//! cache decides**: a store knows no freshness, no `Vary` and no other rule of HTTP. It receives
//! plain attributes (expiry, tags, sizes) that its engine can index.
//!
//! # What a store promises
//!
//! 1. **Nothing half-written is visible.** [`Writer::finish`] publishes head, body and trailers
//!    together. When it returns, every reader of this process sees the entry. A writer that is
//!    dropped before that leaves nothing, or nothing that outlives the next opening of the store.
//! 2. **Replacing is atomic.** A reader that began on the old entry reads the old body to its end,
//!    or gets an error. It never gets a mixture.
//! 3. **[`Store::update`] compares and swaps.** It replaces only the head, and only of the entry
//!    version that the caller saw. [`Store::remove_if`] removes only that version. Every finished
//!    write and every update gives the entry a new [`Version`]: one that this key never had, also
//!    after a removal, `clear` and reopening.
//! 4. **What comes back is what was given**: every header line in order and every byte of the body,
//!    or an error. Data that does not decode is an error of kind [`ErrorKind::Corrupt`]. The cache
//!    treats that as a miss and removes the entry.
//! 5. **Removal uses an index.** [`Store::remove_expired`] and [`Store::remove_tagged`] do work in
//!    proportion to what they remove.
//! 6. **A store may forget.** An eviction, a restart or an operator's flush is a miss, never an
//!    error. A store may write after [`Writer::finish`] has returned: a process that is killed then
//!    loses its last changes, and if the write fails, the entry disappears. In both cases, nothing
//!    is left half-written, and no later change is kept without an earlier one. As long as the
//!    process lives, nothing older comes back in place of what is lost. [`Store::flush`] waits
//!    until everything is written.
//! 7. **A clone is another handle to the same data.** Dropping the last handle releases files and
//!    connections.
//! 8. **An abandoned operation does not come back.** A caller may stop waiting for an operation by
//!    dropping its future. The operation is then either done or not done. If an abandoned write or
//!    update is done, it is done before any write or removal that begins later, with this handle or
//!    a clone of it, of the same key, by a tag, by expiry or of all entries. A removed entry stays
//!    away, and the entry that was written last is there. An abandoned removal may remove an entry
//!    that is written after it, as a store may forget.
//!
//! A store that works while it is polled, such as one that reads a file, must not block for long.
//! If it may block, it implements [`Store::read_off_thread`], by which [`Timeout`] asks for a
//! handle that does not block.
//!
//! A store need not implement [`Store::clear`], [`Store::scan`], [`Store::len`] and
//! [`Store::size_bytes`]: their defaults return an error of kind [`ErrorKind::Unsupported`]. The
//! cache answers requests without them; the methods of [`Entries`](crate::Entries) that need them
//! return that error.
//!
//! The suite `store::conformance` (feature `conformance`) tests each of these promises on any
//! store.
//!
//! # Writing a store
//!
//! Implement [`Store`] and [`Writer`]. Keep the bytes of [`Head::encode`] unchanged. [`Head::seal`]
//! completes a head with what is known only at the end of its body. [A whole
//! store](self#a-small-store) is below.
//!
//! A store that wraps another store ([`Tiered`], `Compressed`, [`Timeout`], [`AnyStore`], an
//! [`Arc`](std::sync::Arc)) implements every method, also those with a default, and keeps every
//! promise itself: the versions, heads and lengths that it shows are its own, not those of the
//! wrapped store. It can keep an annotation of its own among the trailers, which a store keeps with
//! the body.
//!
//! Promise 8 needs no work in a store that does nothing without its caller, or that sends all
//! changes through one ordered queue or connection. A store that runs changes in separate tasks, or
//! over several connections, must make later operations wait for abandoned ones. When a caller
//! abandons an operation of a wrapping store, the wrapping store abandons its operation on the
//! wrapped store, which keeps the promise. `Timeout` does the same with a step that takes too long,
//! so a removal that succeeds later has the last word. The promise ends at a server: if the
//! connection breaks, or the store stops waiting, the server may still carry out a change after a
//! later removal, and no client can know. The documentation of the stores on servers says when.
//!
//! Requests wait for the store. Every request waits for [`Store::get`]. A miss waits for
//! [`Store::put`], [`Writer::write`] and, before the last bytes of the response,
//! [`Writer::finish`]. A revalidation waits for [`Store::update`], and a request that makes stored
//! responses stale waits for their removal. A store must bound the time that it waits itself, above
//! all for a server. `Timeout` bounds it from outside.
//!
//! # A small store
//!
//! This is the store of `examples/custom-store`: a map behind a lock. To start from it, note:
//!
//! - [`Writer::finish`] completes the head with [`Head::seal`]: the length of the body and the
//!   trailers are known only then.
//! - [`Store::update`] gives the new head the length and the trailers of the stored body, with
//!   [`Head::carry_body`].
//! - [`Head::keep_until`] is the time for the index of [`Store::remove_expired`], and not
//!   [`Head::expires_at`]: an expired response may be of use for longer.
//! - [`Store::scan`] returns a stream that borrows nothing: `use<>` says so.
//! - Versions go on counting after `clear`.
//!
//! ```rust,ignore
//! use std::{
//!     collections::{BTreeMap, BTreeSet},
//!     sync::{Arc, Mutex, MutexGuard, PoisonError},
//! };
//!
//! use bytes::{Bytes, BytesMut};
//! use futures_util::{Stream, stream};
//! use http::HeaderMap;
//! use larder::{
//!     Key,
//!     entry::Head,
//!     store::{Hit, Result, Scanned, Store, Version, Writer},
//!     time::Timestamp,
//! };
//!
//! /// A handle. Clones share the entries.
//! #[derive(Clone, Debug, Default)]
//! struct Shelf(Arc<Mutex<Inner>>);
//!
//! #[derive(Debug, Default)]
//! struct Inner {
//!     entries: BTreeMap<Key, Entry>,
//!     /// When entries may be removed. A removal by expiry or tag must do work in proportion to
//!     /// what it removes.
//!     ends: BTreeSet<(Timestamp, Key)>,
//!     tags: BTreeSet<(Box<str>, Key)>,
//!     version: u64,
//! }
//!
//! #[derive(Clone, Debug)]
//! struct Entry {
//!     head: Arc<Head>,
//!     body: Bytes,
//!     version: Version,
//! }
//!
//! impl Shelf {
//!     fn lock(&self) -> MutexGuard<'_, Inner> {
//!         self.0.lock().unwrap_or_else(PoisonError::into_inner)
//!     }
//! }
//!
//! impl Inner {
//!     /// Replaces the entry under `key`, under a version that never existed before.
//!     fn insert(&mut self, key: Key, head: Head, body: Bytes) {
//!         self.remove(&key);
//!         self.version += 1;
//!         self.ends.extend(head.keep_until().map(|end| (end, key)));
//!         self.tags.extend(head.tags().iter().map(|tag| (tag.clone(), key)));
//!         let version = Version::new(self.version);
//!         self.entries.insert(key, Entry { head: Arc::new(head), body, version });
//!     }
//!
//!     fn remove(&mut self, key: &Key) -> bool {
//!         let Some(Entry { head, .. }) = self.entries.remove(key) else { return false };
//!         head.keep_until().map(|end| self.ends.remove(&(end, *key)));
//!         for tag in head.tags() {
//!             self.tags.remove(&(tag.clone(), *key));
//!         }
//!         true
//!     }
//! }
//!
//! impl Store for Shelf {
//!     type Writer = ShelfWriter;
//!
//!     async fn get(&self, key: &Key) -> Result<Option<Hit>> {
//!         let entry = self.lock().entries.get(key).cloned();
//!         Ok(entry.map(|Entry { head, body, version }| Hit::new(head, version, body.into())))
//!     }
//!
//!     async fn put(&self, key: &Key, head: Head) -> Result<ShelfWriter> {
//!         // Nothing is visible yet: the writer holds everything until it is finished.
//!         Ok(ShelfWriter { shelf: self.clone(), key: *key, head, body: BytesMut::new() })
//!     }
//!
//!     async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
//!         let mut inner = self.lock();
//!         let old = inner.entries.get(key).filter(|old| old.version == seen).cloned();
//!         if let Some(old) = &old {
//!             inner.insert(*key, head.carry_body(&old.head), old.body.clone());
//!         }
//!         Ok(old.is_some())
//!     }
//!
//!     async fn remove(&self, key: &Key) -> Result<bool> {
//!         Ok(self.lock().remove(key))
//!     }
//!
//!     async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
//!         let mut inner = self.lock();
//!         let is_there = inner.entries.get(key).is_some_and(|entry| entry.version == seen);
//!         Ok(is_there && inner.remove(key))
//!     }
//!
//!     async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
//!         let mut inner = self.lock();
//!         let gone = inner.ends.iter().take_while(|(end, _)| *end <= now).copied();
//!         let gone: Vec<_> = gone.collect();
//!         Ok(gone.iter().filter(|(_, key)| inner.remove(key)).count() as u64)
//!     }
//!
//!     async fn remove_tagged(&self, tag: &str) -> Result<u64> {
//!         let mut inner = self.lock();
//!         let from = (Box::from(tag), Key::from_bytes([0; 32]));
//!         let rows = inner.tags.range(from..).take_while(|(other, _)| **other == *tag);
//!         let gone: Vec<_> = rows.map(|(_, key)| *key).collect();
//!         Ok(gone.iter().filter(|key| inner.remove(key)).count() as u64)
//!     }
//!
//!     // The contract has defaults for the methods from here on. A store that does not implement
//!     // them serves a cache as well, but cannot be cleared, listed or counted.
//!
//!     async fn clear(&self) -> Result<()> {
//!         let mut inner = self.lock();
//!         // Versions continue: an old version must never be valid again.
//!         *inner = Inner { version: inner.version, ..Inner::default() };
//!         Ok(())
//!     }
//!
//!     fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<> {
//!         // A small map can be listed at once. A larger store lists page by page.
//!         let inner = self.lock();
//!         let item = |(key, entry): (&Key, &Entry)| {
//!             Ok(Scanned::new(*key, entry.version, entry.head.clone()))
//!         };
//!         stream::iter(inner.entries.iter().map(item).collect::<Vec<_>>())
//!     }
//!
//!     async fn len(&self) -> Result<u64> {
//!         Ok(self.lock().entries.len() as u64)
//!     }
//!
//!     async fn size_bytes(&self) -> Result<u64> {
//!         let inner = self.lock();
//!         Ok(inner
//!             .entries
//!             .values()
//!             .map(|entry| entry.head.size() as u64 + entry.head.body_len())
//!             .sum())
//!     }
//! }
//!
//! struct ShelfWriter {
//!     shelf: Shelf,
//!     key: Key,
//!     head: Head,
//!     body: BytesMut,
//! }
//!
//! impl Writer for ShelfWriter {
//!     async fn write(&mut self, chunk: Bytes) -> Result<()> {
//!         self.body.extend_from_slice(&chunk);
//!         Ok(())
//!     }
//!
//!     async fn finish(self, trailers: Option<HeaderMap>) -> Result<()> {
//!         let head = self.head.seal(self.body.len() as u64, trailers);
//!         self.shelf.lock().insert(self.key, head, self.body.freeze());
//!         Ok(())
//!     }
//! }
//! ```
//!
//! `store::conformance` shows the test of such a store. It needs:
//!
//! ```sh
//! cargo add larder --path ../larder
//! cargo add bytes http
//! cargo add futures-util --no-default-features
//! cargo add --dev larder --features conformance --path ../larder
//! ```

use std::{
    fmt,
    future::{Future, ready},
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_core::Stream;
use http::HeaderMap;

use crate::{entry::Head, key::Key, time::Timestamp};

mod any;
mod arc;
mod body;
#[cfg(feature = "compression")]
mod compressed;
#[cfg(feature = "conformance")]
#[cfg_attr(docsrs, doc(cfg(feature = "conformance")))]
pub mod conformance;
#[cfg(any(feature = "files", feature = "redb", feature = "sqlite"))]
mod disk;
#[cfg(any(feature = "redb", feature = "sqlite"))]
mod embedded;
mod error;
#[cfg(any(feature = "files", feature = "memory", feature = "redb", feature = "sqlite"))]
mod evictions;
#[cfg(feature = "files")]
pub mod files;
mod forward;
mod hit;
#[cfg(feature = "memory")]
mod memory;
#[cfg(feature = "mongodb")]
pub mod mongodb;
#[cfg(any(
    feature = "files",
    feature = "mongodb",
    feature = "redb",
    feature = "redis",
    feature = "sqlite"
))]
mod pieces;
#[cfg(feature = "redb")]
pub mod redb;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(any(feature = "mongodb", feature = "redis"))]
mod server;
#[cfg(feature = "sqlite")]
pub mod sqlite;
mod tiered;
mod timeout;
#[cfg(any(feature = "memory", feature = "compression", feature = "conformance"))]
mod yield_now;

pub use self::{
    any::{AnyStore, AnyWriter},
    body::StoredBody,
    error::{Error, ErrorKind, Result},
    hit::{Hit, Scanned, Version},
    tiered::{Tiered, TieredStats, TieredWriter},
};

#[cfg(feature = "compression")]
#[cfg_attr(docsrs, doc(cfg(feature = "compression")))]
pub use self::compressed::{Compressed, CompressedWriter};

#[cfg(any(feature = "files", feature = "memory", feature = "redb", feature = "sqlite"))]
#[cfg_attr(
    docsrs,
    doc(cfg(any(feature = "files", feature = "memory", feature = "redb", feature = "sqlite")))
)]
pub use self::evictions::Evicted;
#[cfg(feature = "files")]
#[cfg_attr(docsrs, doc(cfg(feature = "files")))]
#[doc(inline)]
pub use self::files::Files;
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

/// A place that keeps responses. The [module documentation](self) lists what it promises.
///
/// # Clone
///
/// A clone is another handle to the same data.
///
/// # `dyn Store`
///
/// There is none: the methods are `async`. [`AnyStore`] holds any store behind one type, for a
/// store that is chosen at run time.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a store for a cache",
    label = "this is not a `larder::store::Store`",
    note = "opening a store returns a `Result`: take the store out of it, such as with `?`",
    note = "for a store that is chosen at run time, use `larder::store::AnyStore`"
)]
// No `is_empty`: a store is counted by its operators, and an implementor should have little to
// write.
#[allow(clippy::len_without_is_empty)]
pub trait Store: fmt::Debug + Clone + Send + Sync + 'static {
    /// Writes the body of one entry.
    type Writer: Writer;

    /// Returns the entry under `key`, expired or not, or `None` if there is no entry.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`] if the entry does not decode, [`ErrorKind::Unavailable`] if the store
    /// does not answer.
    fn get(&self, key: &Key) -> impl Future<Output = Result<Option<Hit>>> + Send;

    /// Begins an entry. Nothing is visible under `key` before [`Writer::finish`]. An older entry
    /// stays there until then.
    ///
    /// # Errors
    ///
    /// If the store knows already that it will not take the entry.
    fn put(&self, key: &Key, head: Head) -> impl Future<Output = Result<Self::Writer>> + Send;

    /// Replaces the head of the entry, if the entry still has the version `seen`, and leaves its
    /// body unchanged. Returns `false`, and changes nothing, if the entry is gone or has another
    /// version.
    ///
    /// The body's length and the trailers are part of the body. An implementation takes them from
    /// the stored entry ([`Head::carry_body`]), not from `head`.
    ///
    /// # Errors
    ///
    /// If the store does not answer or cannot write.
    fn update(
        &self,
        key: &Key,
        seen: Version,
        head: Head,
    ) -> impl Future<Output = Result<bool>> + Send;

    /// Removes the entry under `key`, also one that does not decode. Returns whether there was an
    /// entry.
    ///
    /// # Errors
    ///
    /// If the store does not answer or cannot write.
    fn remove(&self, key: &Key) -> impl Future<Output = Result<bool>> + Send;

    /// Removes the entry under `key`, if it still has the version `seen`. Returns `false`, and
    /// changes nothing, if the entry is gone or has another version. A caller that decides by what
    /// it read of an entry thus removes that entry, and not the one that replaced it.
    ///
    /// # Errors
    ///
    /// If the store does not answer or cannot write.
    fn remove_if(&self, key: &Key, seen: Version) -> impl Future<Output = Result<bool>> + Send;

    /// Removes, by index, every entry that is to be [kept until](Head::keep_until) `now` or an
    /// earlier time. Returns the number of removed entries.
    ///
    /// # Errors
    ///
    /// If the store does not answer or cannot write. Entries that were removed until then stay
    /// removed.
    fn remove_expired(&self, now: Timestamp) -> impl Future<Output = Result<u64>> + Send;

    /// Removes, by index, every entry that has `tag`. Returns the number of removed entries.
    ///
    /// # Errors
    ///
    /// If the store does not answer or cannot write. Entries that were removed until then stay
    /// removed.
    fn remove_tagged(&self, tag: &str) -> impl Future<Output = Result<u64>> + Send;

    /// Removes every entry of this store, and nothing that belongs to others.
    ///
    /// # Errors
    ///
    /// If the store does not answer or cannot write. By default, [`ErrorKind::Unsupported`].
    fn clear(&self) -> impl Future<Output = Result<()>> + Send {
        ready(Err(Error::unsupported("clear")))
    }

    /// Waits until every earlier change is as safe as it will be: written, and synced if the store
    /// has a disk. A program that exits without dropping its handles calls it last. A store that
    /// wraps others flushes them.
    ///
    /// By default, nothing is done, which is right for a store that has written a change when it
    /// acknowledges it.
    ///
    /// # Errors
    ///
    /// If the store cannot write.
    fn flush(&self) -> impl Future<Output = Result<()>> + Send {
        ready(Ok(()))
    }

    /// Lists the head of every entry, in no particular order. Each item is consistent in itself. An
    /// entry that is added or removed during the scan may be listed or not. An entry that does not
    /// decode is an `Err`, and the stream continues after it.
    ///
    /// By default, the stream consists of one error of kind [`ErrorKind::Unsupported`].
    fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<Self> {
        UnsupportedScan { is_done: false }
    }

    /// Returns the number of entries, expired ones included.
    ///
    /// # Errors
    ///
    /// If the store does not answer. By default, [`ErrorKind::Unsupported`].
    fn len(&self) -> impl Future<Output = Result<u64>> + Send {
        ready(Err(Error::unsupported("len")))
    }

    /// Returns how many bytes the entries take, as the store counts them.
    ///
    /// A store counts the bytes that it keeps of each finished body, and adds a size for each head:
    /// the length of [`Head::encode`], [`Head::size`], or a measure of its own. A decoded head may
    /// have another [`Head::size`] than the original, so the sum for the heads may change when a
    /// store is opened again. The sum for the bodies may not.
    ///
    /// # Errors
    ///
    /// If the store does not answer. By default, [`ErrorKind::Unsupported`].
    fn size_bytes(&self) -> impl Future<Output = Result<u64>> + Send {
        ready(Err(Error::unsupported("size_bytes")))
    }

    /// Returns a handle to the same data that reads off the threads of the runtime. It applies to
    /// that handle and its clones, and to no other handle.
    ///
    /// A store that reads a file on the thread that polls it holds that thread up while the disk is
    /// slow, and no time limit can end such a poll. [`Timeout`] therefore asks for this handle. A
    /// wrapper asks the wrapped stores for theirs.
    ///
    /// By default, the handle stays as it is, which is right for a store that never blocks.
    #[must_use]
    fn read_off_thread(self) -> Self {
        self
    }
}

/// The scan of a store that does not implement [`Store::scan`]: one error.
struct UnsupportedScan {
    is_done: bool,
}

impl Stream for UnsupportedScan {
    type Item = Result<Scanned>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let was_done = std::mem::replace(&mut self.is_done, true);
        Poll::Ready((!was_done).then(|| Err(Error::unsupported("scan"))))
    }
}

/// Writes the body of one entry. A writer that is dropped before [`finish`](Writer::finish) leaves
/// nothing in the store.
pub trait Writer: Send + 'static {
    /// Appends `chunk` to the body. A writer holds only a bounded part of the body in memory if the
    /// store allows it.
    ///
    /// # Errors
    ///
    /// If the store fails or the entry grows too large for it. The writer cannot be used
    /// afterwards.
    fn write(&mut self, chunk: Bytes) -> impl Future<Output = Result<()>> + Send;

    /// Publishes the entry and replaces an older one under its key. Every reader of this process
    /// sees the entry when the future is done. A store may write it later (promise 6).
    ///
    /// If the future is dropped before it is done, the entry may be published or not, but not after
    /// a write or a removal that begins later.
    ///
    /// # Errors
    ///
    /// If the store fails. The entry is then not visible.
    fn finish(self, trailers: Option<HeaderMap>) -> impl Future<Output = Result<()>> + Send;

    /// Gives the entry up, and waits until the store has removed what was written of it.
    ///
    /// Dropping the writer gives the entry up as well. A writer that was writing to a server then
    /// removes its chunks in a spawned task; `abort` does so in place. If the removal fails, the
    /// store removes the chunks later, as after a drop.
    ///
    /// By default, `abort` drops the writer.
    fn abort(self) -> impl Future<Output = ()> + Send
    where
        Self: Sized,
    {
        drop(self);
        ready(())
    }
}
