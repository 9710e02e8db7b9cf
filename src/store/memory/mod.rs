//! [`Memory`]: entries as values in this process, bounded by bytes.
//!
//! * **Durability**: none. Dropping the last handle drops every entry. Other processes see nothing.
//! * **Atomicity**: an entry becomes visible as one value, and values that readers hold never
//!   change. A body that is being read stays in memory until its reader is gone, even if the entry
//!   is replaced or evicted.
//! * **Expiry**: an expired entry stays until it is removed, replaced or evicted. The store reads
//!   no clock.
//! * **Reads** take a shared lock on one shard for a lookup. Nothing is decoded or copied: a hit
//!   clones an [`Arc`] and a [`Bytes`](bytes::Bytes). Only a body of several pieces costs one
//!   small allocation.
//! * **Writes** take turns on the lock that keeps entries and indexes consistent. Each writer
//!   collects its body outside of that lock.
//!
//! # What is counted
//!
//! The limit bounds the weight of the entries: heads, bodies, trailers, index rows and table slots.
//! Less than 2 % of the capacity is reserved for what the table remembers of evicted entries. To
//! make the count true, header values and chunks of up to 256 KiB are copied into memory of exactly
//! their size: a slice of a network buffer would keep the whole buffer alive. A body is in memory
//! once. Its small chunks are gathered in segments of up to 256 KiB.
//!
//! A larger chunk is kept as it is, since copying it would take most of the time of a write. It may
//! be a part of a larger buffer, so it counts as 64 KiB more than its size, and as at least 408
//! KiB, which is what hyper reserves for a read at most. Chunks that adjoin in memory count as one.
//! A buffer that is larger still is not counted in full:
//! [`keep_large_chunks`](Memory::keep_large_chunks) is for an origin that hands out parts of such
//! buffers.
//!
//! Two things are not counted: the bodies of unfinished writers, and what readers hold of entries
//! that are gone.
//!
//! # Eviction
//!
//! The table is `quick_cache`'s. Its Clock-PRO policy resists scans: an entry that was not
//! requested twice is evicted before entries that are requested again and again, however many such
//! entries pass through.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use futures_core::Stream;

use super::{Evicted, Hit, Result, Scanned, Store, Version, yield_now::yield_now};
use crate::{entry::Head, key::Key, time::Timestamp};

mod body;
mod index;
mod table;
mod writer;

use self::{
    index::{Index, Row},
    table::{Entry, Table},
    writer::MemoryWriter,
};

/// The capacity of [`Memory::default`]: 256 MiB.
const DEFAULT_CAPACITY: u64 = 256 << 20;

/// How many entries are removed or listed at a time under the lock.
const BATCH: usize = 256;

/// A store in this process's memory, bounded by bytes; 256 MiB by [default](Memory::default).
///
/// The limit includes heads, bodies, trailers, index rows and table slots. A full store evicts the
/// entries that are used least: an entry that is read again and again outlives any number of
/// entries that are read once. A hit decodes nothing and copies nothing. No entry outlives the
/// process.
///
/// # Limits
///
/// The capacity is divided into up to sixteen shards of at least 128 MiB. One entry may take 97 %
/// of a shard, which is about 122 MiB of the default store. The writer of a larger entry fails with
/// [`ErrorKind::TooLarge`](super::ErrorKind::TooLarge) as soon as too much has been written. An
/// older entry under its key stays.
///
/// # Clone
///
/// A clone is another handle to the same data.
///
/// ```
/// use larder::store::Memory;
///
/// let store = Memory::new(64 << 20);
/// assert_eq!(store.capacity(), 64 << 20);
/// ```
#[derive(Clone)]
pub struct Memory {
    table: Arc<Table>,
    keeps_chunks: bool,
}

impl Memory {
    /// Creates an empty store for up to `capacity` bytes of entries. It allocates nothing in
    /// advance. A store of less than about eight kilobytes holds no entry: each is [too
    /// large](super::ErrorKind::TooLarge).
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self { table: Arc::new(Table::new(capacity)), keeps_chunks: true }
    }

    /// Whether a chunk of more than 256 KiB is kept as it arrives. Default: `true`. Otherwise, this
    /// handle and its clones copy it into segments of up to 256 KiB.
    ///
    /// A chunk may be a part of a buffer that is much larger, and keeps all of it in memory. The
    /// store cannot see the size of that buffer. It counts the chunk as 64 KiB more than its size,
    /// and as at least 408 KiB.
    #[must_use]
    pub fn keep_large_chunks(self, keep: bool) -> Self {
        Self { keeps_chunks: keep, ..self }
    }

    /// How many bytes the entries may take.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.table.capacity
    }

    /// What the store has evicted so far to make room.
    #[must_use]
    pub fn evicted(&self) -> Evicted {
        self.table.evictions.read()
    }
}

impl Default for Memory {
    /// Creates a store for up to 256 MiB of entries.
    fn default() -> Self {
        Self::new(DEFAULT_CAPACITY)
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("capacity", &self.table.capacity)
            .field("entries", &self.table.entries.len())
            .field("bytes", &self.table.entries.weight())
            .finish()
    }
}

impl Store for Memory {
    type Writer = MemoryWriter;

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        Ok(self.table.entries.get(key).map(|entry| {
            let body = entry.body.into_stored(entry.head.body_len());
            Hit::new(entry.head, entry.version, body)
        }))
    }

    /// Begins an entry in a buffer of its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`](super::ErrorKind::TooLarge) if the head alone does not fit.
    async fn put(&self, key: &Key, head: Head) -> Result<MemoryWriter> {
        MemoryWriter::new(self.table.clone(), *key, head.compact(), self.keeps_chunks)
    }

    /// Replaces the head. The entry keeps its place in the eviction order.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`](super::ErrorKind::TooLarge) if the entry does not fit with its new
    /// head. The entry is then unchanged.
    async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        self.table.update(key, seen, head.compact())
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        let removed = self.table.take(&mut self.table.lock(), key);
        Ok(removed.is_some())
    }

    async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
        let mut index = self.table.lock();
        if self.table.entries.peek(key).is_none_or(|entry| entry.version != seen) {
            return Ok(false);
        }
        Ok(self.table.take(&mut index, key).is_some())
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
        Ok(self.remove_each(|_, index| index.pop_expired(now)).await)
    }

    async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        let mut after = None;
        let next = |table: &Table, index: &mut Index| {
            // The index has hashes of tags; the head has the tags.
            let carries = |entry: Entry| entry.head.tags().iter().any(|other| **other == *tag);
            while let Some((row, key)) = index.tagged(tag, after) {
                after = Some(row);
                if table.entries.peek(&key).is_some_and(carries) {
                    return Some(key);
                }
            }
            None
        };
        Ok(self.remove_each(next).await)
    }

    async fn clear(&self) -> Result<()> {
        self.remove_each(|_, index| index.pop()).await;
        Ok(())
    }

    fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<> {
        let end = self.table.lock().end();
        Scan { table: self.table.clone(), after: Row::START, end, page: Vec::new().into_iter() }
    }

    async fn len(&self) -> Result<u64> {
        Ok(self.table.entries.len() as u64)
    }

    async fn size_bytes(&self) -> Result<u64> {
        Ok(self.table.entries.weight())
    }
}

impl Memory {
    /// Removes the entries that `next` returns, until it returns `None`. Returns their number.
    /// Between batches, the lock is released and other tasks of this thread run.
    async fn remove_each(
        &self,
        mut next: impl FnMut(&Table, &mut Index) -> Option<Key> + Send,
    ) -> u64 {
        let table = &*self.table;
        let mut removed = 0;
        loop {
            let mut batch = Vec::new();
            let more = {
                let mut index = table.lock();
                let mut keys = std::iter::from_fn(|| {
                    let key = next(table, &mut index)?;
                    batch.extend(table.take(&mut index, &key));
                    Some(())
                });
                keys.by_ref().take(BATCH).count() == BATCH
            };
            removed += batch.len() as u64;
            drop(batch);
            if !more {
                return removed;
            }
            yield_now().await;
        }
    }
}

/// Lists entries in the order in which their keys were first stored, page by page. Each entry is
/// listed once, whatever is added or removed meanwhile. The lock is held only while a page of keys
/// is copied.
struct Scan {
    table: Arc<Table>,
    after: Row,
    /// Entries from this row on were added after the scan began.
    end: Row,
    page: vec::IntoIter<(Row, Key)>,
}

impl Stream for Scan {
    type Item = Result<Scanned>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            while let Some((_, key)) = self.page.next() {
                // `get` would count as a use of the entry.
                if let Some(entry) = self.table.entries.peek(&key) {
                    return Poll::Ready(Some(Ok(Scanned::new(key, entry.version, entry.head))));
                }
            }
            let page = self.table.lock().page(self.after, self.end, BATCH);
            let Some((last, _)) = page.last() else {
                return Poll::Ready(None);
            };
            self.after = *last;
            self.page = page.into_iter();
        }
    }
}

#[cfg(test)]
mod tests;
