//! [`Memory`]: entries as values in this process, bounded by bytes.
//!
//! * **Durability**: none; the last handle that is dropped takes everything with it. Another process sees nothing.
//! * **Atomicity**: an entry becomes visible as one value, and what readers hold is never changed. A body that is being
//!   read stays whole in memory until its reader is gone, replaced or evicted in the meantime or not.
//! * **Expiry**: an expired entry stays until it is removed, replaced or evicted; the store reads no clock.
//! * **Reads** take one shard's lock, shared, for a lookup. Nothing is decoded or copied: a hit is a clone of an [`Arc`]
//!   and of a [`Bytes`](bytes::Bytes); only a body of more than one segment (256 KiB) costs one small allocation.
//! * **Writes** go one after another through the lock that keeps entries and indexes together; bodies are gathered
//!   outside of it, each in its own writer.
//!
//! # What is counted
//!
//! The bound is on the weight of the entries: heads, bodies, trailers, index rows and slots of the table, with less than
//! 2 % of the capacity set aside for what the table remembers of entries that have gone. So that this is also what is
//! held, nothing of the caller's memory is kept: a header line or a chunk that was sliced from a network buffer would
//! keep all of that buffer alive, so both are copied into memory of exactly their size. A body is in memory once, in
//! segments of at most 256 KiB unless it came in larger chunks, and there is never a second copy of the whole. Not
//! counted are the bodies of writers that have not finished, and what readers hold of entries that have gone.
//!
//! # Eviction
//!
//! The table is `quick_cache`'s, whose Clock-PRO resists scans: an entry that nobody has asked for twice goes before
//! those that are asked for again and again, however many of its kind pass through.

use std::{
    fmt,
    ops::Bound,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use futures_core::Stream;

use super::{Evicted, Hit, Result, Scanned, Store, Version, yield_now::yield_now};
use crate::{entry::Head, key::Key, time::Timestamp};

mod body;
mod compact;
mod index;
mod table;
mod writer;

use self::{
    compact::compact,
    index::Index,
    table::{Entry, Table},
    writer::MemoryWriter,
};

/// What [`Memory::default`] may take: 256 MiB.
const DEFAULT_CAPACITY: u64 = 256 << 20;

/// How many entries are removed or listed under one taking of the lock.
const BATCH: usize = 256;

/// A store in this process's memory, bounded by bytes; 256 MiB by [default](Memory::default).
///
/// What it counts is what it holds: heads, bodies, trailers, index rows and slots of the table. When it is full, the entries
/// go that are used least; an entry that is read again and again outlives any number of entries that are read once.
/// A hit decodes nothing and copies nothing. Nothing outlives the process.
///
/// # Limits
///
/// The capacity is divided among shards of at least 128 MiB (up to sixteen of them), and one entry may take 97 % of a
/// shard: about 122 MiB of the default store. A larger one is refused with [`ErrorKind::TooLarge`](super::ErrorKind::TooLarge) by its writer, as
/// soon as more has been written than could be kept; what is stored under its key until then stays.
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
}

impl Memory {
    /// An empty store for up to `capacity` bytes of entries. Nothing is allocated in advance. A capacity of
    /// less than eight kilobytes or so holds no entry at all: each is [too large](super::ErrorKind::TooLarge).
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        Self { table: Arc::new(Table::new(capacity)) }
    }

    /// How many bytes the entries may take.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.table.capacity
    }

    /// What had to go so far to make room for others.
    #[must_use]
    pub fn evicted(&self) -> Evicted {
        self.table.evictions.read()
    }
}

impl Default for Memory {
    /// A store for up to 256 MiB of entries.
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
    /// [`ErrorKind::TooLarge`](super::ErrorKind::TooLarge) where the head alone does not fit.
    async fn put(&self, key: &Key, head: Head) -> Result<MemoryWriter> {
        MemoryWriter::new(self.table.clone(), *key, compact(head))
    }

    /// Replaces the head. The entry keeps its place in the order of eviction.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`](super::ErrorKind::TooLarge) where the entry with its new head does not fit; nothing has changed then.
    async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        self.table.update(key, seen, compact(head))
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
            // The index has hashes of tags; the head has the word.
            let carries = |entry: Entry| entry.head.tags().iter().any(|other| **other == *tag);
            while let Some(key) = index.tagged(tag, after) {
                after = Some(key);
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
        Scan { table: self.table.clone(), after: None, page: Vec::new().into_iter() }
    }

    async fn len(&self) -> Result<u64> {
        Ok(self.table.entries.len() as u64)
    }

    async fn size_bytes(&self) -> Result<u64> {
        Ok(self.table.entries.weight())
    }
}

impl Memory {
    /// Removes what `next` names, until it names nothing more; how many there were. Between batches the lock is
    /// released, and other tasks of this thread have a turn.
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

/// Lists by the order of keys, a page at a time: each entry is met once however many come and go, and the lock is held
/// for no longer than it takes to copy a page of keys.
struct Scan {
    table: Arc<Table>,
    after: Option<Key>,
    page: vec::IntoIter<Key>,
}

impl Stream for Scan {
    type Item = Result<Scanned>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            while let Some(key) = self.page.next() {
                // Not `get`: to be listed is not to be used.
                if let Some(entry) = self.table.entries.peek(&key) {
                    return Poll::Ready(Some(Ok(Scanned::new(key, entry.version, entry.head))));
                }
            }
            let from = self.after.map_or(Bound::Unbounded, Bound::Excluded);
            let page = self.table.lock().page(from, BATCH);
            let Some(last) = page.last() else {
                return Poll::Ready(None);
            };
            self.after = Some(*last);
            self.page = page.into_iter();
        }
    }
}

#[cfg(test)]
mod tests;
