//! [`Memory`]: entries as values in this process, bounded by bytes.
//!
//! * **Durability**: none; the last handle that is dropped takes everything with it. Another process sees nothing.
//! * **Atomicity**: an entry becomes visible as one value, and what readers hold is never changed. A body that is being
//!   read stays whole in memory until its reader is gone, replaced or evicted in the meantime or not.
//! * **Expiry**: an expired entry stays until it is removed, replaced or evicted; the store reads no clock.
//! * **Reads** take one shard's lock, shared, for a lookup. Nothing is decoded or copied: a hit is a clone of an [`Arc`]
//!   and of a [`Bytes`]; only a body of more than one segment (256 KiB) costs one small allocation.
//! * **Writes** go one after another through the lock that keeps entries and indexes together; bodies are gathered
//!   outside of it, each in its own writer.
//!
//! # What is counted
//!
//! The bound is on the weight of the entries: heads, bodies, trailers, index rows and table slots, with less than 2 %
//! of the capacity set aside for what the table remembers of entries that have gone. So that this is also what is held, nothing of the caller's memory is kept: a header line or a chunk that was sliced from a network buffer
//! would keep all of that buffer alive, so both are copied into memory of exactly their size. A body is in memory once,
//! in segments of at most 256 KiB unless it came in larger chunks, and there is never a second copy of the whole.
//! Not counted are the bodies of writers that have not finished, and what readers hold of entries that have gone.
//!
//! # Eviction
//!
//! The table is `quick_cache`'s, whose Clock-PRO resists scans: an entry that nobody has asked for twice goes before
//! those that are asked for again and again, however many of its kind pass through.

use std::{
    fmt,
    ops::Bound,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    vec,
};

use bytes::Bytes;
use futures_core::Stream;
use http::HeaderMap;
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter, sync::Cache};

use super::{Error, ErrorKind, Hit, Result, Scanned, Store, Version, Writer};
use crate::{entry::Head, key::Key, time::Timestamp};

mod body;
mod compact;
mod index;

use self::{
    body::{Body, Gather},
    compact::compact,
    index::Index,
};

const NAME: &str = "memory";

/// What [`Memory::default`] may take: 256 MiB.
const DEFAULT_CAPACITY: u64 = 256 << 20;

/// The least a shard is given: an entry must fit into one shard, and bodies of 64 MiB are to fit into the default store.
const SHARD: u64 = 128 << 20;
const MAX_SHARDS: u64 = 16;

/// The part of a shard that one entry may take, which is what the table keeps for entries in lasting use. The rest is
/// where new entries prove themselves.
const HOT: f64 = 0.97;

/// What an entry is guessed to take. The table remembers half as many evicted keys as this lets it expect entries; one
/// of them that comes again is known to be wanted. At 8 KiB that memory is below 2 % of the capacity, and set aside.
const TYPICAL_ENTRY: u64 = 8 << 10;

/// A slot of the table and its place in the map, both twice, for a table that has just doubled.
const SLOT: u64 = 2 * (size_of::<(Key, Entry)>() as u64 + 24 + 6);

/// What an entry costs beyond its head, its body and its index rows: its slot, and some sixteen bytes for each of the
/// allocations it consists of.
const ENTRY_OVERHEAD: u64 = SLOT + 128;

/// How many entries are removed or listed under one taking of the lock.
const BATCH: usize = 256;

/// A store in this process's memory, bounded by bytes; 256 MiB by [default](Memory::default).
///
/// What it counts is what it holds: heads, bodies, trailers, index rows and table slots. When it is full, the entries
/// go that are used least; an entry that is read again and again outlives any number of entries that are read once.
/// A hit decodes nothing and copies nothing. Nothing outlives the process.
///
/// # Limits
///
/// The capacity is divided among shards of at least 128 MiB (up to sixteen of them), and one entry may take 97 % of a
/// shard: about 122 MiB of the default store. A larger one is refused with [`ErrorKind::TooLarge`] by its writer, as
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
    shared: Arc<Shared>,
}

struct Shared {
    entries: Cache<Key, Entry, Weigh, DefaultHashBuilder, Collect>,
    /// Taken by writes only, and held while `entries` changes, so that the two always agree. Entries that had to go are
    /// dropped after it is released: giving back a large body takes the allocator a while.
    index: Mutex<Index>,
    capacity: u64,
    largest: u64,
}

/// An entry as a value. The table clones it for every hit.
#[derive(Clone)]
struct Entry {
    head: Arc<Head>,
    body: Body,
    version: Version,
    /// Counted once; the table asks for it again and again.
    weight: u64,
}

impl Memory {
    /// An empty store for up to `capacity` bytes of entries. Nothing is allocated in advance. A capacity of
    /// less than eight kilobytes or so holds no entry at all: each is [too large](ErrorKind::TooLarge).
    #[must_use]
    pub fn new(capacity: u64) -> Self {
        // The last power of two that is not above: the table would round up, and make the shards smaller than meant.
        let shards = 1 << (capacity / SHARD).clamp(1, MAX_SHARDS).ilog2();
        // With fewer than 32 entries expected for each, the table would make fewer shards.
        let items = (capacity / TYPICAL_ENTRY).max(32 * shards);
        let weight = capacity.saturating_sub(items / 2 * SLOT);
        // The table rounds a shard's part up; rounding down first keeps the sum within the capacity.
        let weight = weight - weight % shards;
        let items = usize::try_from(items).unwrap_or(usize::MAX);
        let options = OptionsBuilder::new()
            .shards(shards as usize)
            .hot_allocation(HOT)
            .estimated_items_capacity(items)
            .weight_capacity(weight)
            .build();
        let entries = match options {
            Ok(options) => {
                Cache::with_options(options, Weigh, DefaultHashBuilder::default(), Collect)
            }
            // `build` asks for nothing that is not given above. With shards of the table's own choice, the store would
            // take smaller entries only, but be as right.
            Err(_) => Cache::with(items, weight, Weigh, DefaultHashBuilder::default(), Collect),
        };
        let largest = (entries.shard_capacity() as f64 * HOT) as u64;
        Self { shared: Arc::new(Shared { entries, index: Mutex::default(), capacity, largest }) }
    }

    /// How many bytes the entries may take.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.shared.capacity
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
            .field("capacity", &self.shared.capacity)
            .field("entries", &self.shared.entries.len())
            .field("bytes", &self.shared.entries.weight())
            .finish()
    }
}

impl Store for Memory {
    type Writer = MemoryWriter;

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        Ok(self.shared.entries.get(key).map(|entry| {
            let body = entry.body.into_stored(entry.head.body_len());
            Hit::new(entry.head, entry.version, body)
        }))
    }

    /// Begins an entry in a buffer of its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] where the head alone does not fit.
    async fn put(&self, key: &Key, head: Head) -> Result<MemoryWriter> {
        let head = compact(head);
        let weight = weight(&head, &Body::EMPTY);
        self.shared.check(key, weight)?;
        let body = Gather::new(&head);
        Ok(MemoryWriter { shared: self.shared.clone(), key: *key, head, weight, body, written: 0 })
    }

    /// Replaces the head. The entry keeps its place in the order of eviction.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] where the entry with its new head does not fit; nothing has changed then.
    async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        self.shared.update(key, seen, compact(head))
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        let removed = self.shared.take(&mut self.shared.lock(), key);
        Ok(removed.is_some())
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
        Ok(self.remove_each(|_, index| index.pop_expired(now)).await)
    }

    async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        let mut after = None;
        let next = |shared: &Shared, index: &mut Index| {
            // The index has hashes of tags; the head has the word.
            let carries = |entry: Entry| entry.head.tags().iter().any(|other| **other == *tag);
            while let Some(key) = index.tagged(tag, after) {
                after = Some(key);
                if shared.entries.peek(&key).is_some_and(carries) {
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
        Scan { shared: self.shared.clone(), after: None, page: Vec::new().into_iter() }
    }

    async fn len(&self) -> Result<u64> {
        Ok(self.shared.entries.len() as u64)
    }

    async fn size_bytes(&self) -> Result<u64> {
        Ok(self.shared.entries.weight())
    }
}

impl Memory {
    /// Removes what `next` names, until it names nothing more; how many there were. Between batches the lock is
    /// released, and other tasks of this thread have a turn.
    async fn remove_each(
        &self,
        mut next: impl FnMut(&Shared, &mut Index) -> Option<Key> + Send,
    ) -> u64 {
        let shared = &*self.shared;
        let mut removed = 0;
        loop {
            let mut batch = Vec::new();
            let more = {
                let mut index = shared.lock();
                let mut keys = std::iter::from_fn(|| {
                    let key = next(shared, &mut index)?;
                    batch.extend(shared.take(&mut index, &key));
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

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Index> {
        // Nothing panics while the lock is held, so there is no half-done work to be afraid of.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, key: &Key, weight: u64) -> Result<()> {
        if weight <= self.largest {
            return Ok(());
        }
        let Self { largest, capacity, .. } = self;
        Err(Error::new(
            ErrorKind::TooLarge,
            NAME,
            format!(
                "the entry {key} takes more than {largest} bytes, the most that one entry may take \
                 of a capacity of {capacity}"
            ),
        ))
    }

    fn publish(&self, key: Key, head: Head, body: Body) -> Result<()> {
        let weight = weight(&head, &body);
        self.check(&key, weight)?;
        let mut gone = Vec::new();
        let mut index = self.lock();
        let version = index.next_version();
        let head = Arc::new(head);
        let entry = Entry { head: head.clone(), body, version, weight };
        self.entries.insert_with_lifecycle(key, entry, &mut gone);
        index.settle(&key, &head, version, &gone);
        drop(index);
        Ok(())
    }

    fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        let mut gone = Vec::new();
        let mut index = self.lock();
        // Nothing that changes entries gets between this look and the replacement: all of it takes the lock.
        let Some(old) = self.entries.peek(key).filter(|old| old.version == seen) else {
            return Ok(false);
        };
        let head = head.carry_body(&old.head);
        let weight = weight(&head, &old.body);
        self.check(key, weight)?;
        let version = index.next_version();
        let head = Arc::new(head);
        let entry = Entry { head: head.clone(), body: old.body, version, weight };
        // `soft`: to be revalidated is not to be used.
        let replaced = self.entries.replace_with_lifecycle(*key, entry, true, &mut gone).is_ok();
        index.settle(key, &head, version, &gone);
        drop(index);
        Ok(replaced)
    }

    fn take(&self, index: &mut Index, key: &Key) -> Option<Entry> {
        let (_, entry) = self.entries.remove(key)?;
        index.remove(key, &entry.head);
        Some(entry)
    }
}

/// What an entry of these takes, everything told.
fn weight(head: &Head, body: &Body) -> u64 {
    head.size() as u64 + body.size() + Index::size(head) + ENTRY_OVERHEAD
}

/// Gathers the body of an entry for [`Memory`], and holds all of it until it is finished; dropped before, it gives the
/// memory back and has touched nothing else.
pub struct MemoryWriter {
    shared: Arc<Shared>,
    key: Key,
    head: Head,
    /// Of the head alone.
    weight: u64,
    body: Gather,
    written: u64,
}

impl Writer for MemoryWriter {
    /// Copies `chunk` behind what was written before.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] with the first byte that could not be kept; all memory is given back then.
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        // Counted even when refused: what follows a refused chunk must be refused as well.
        self.written = self.written.saturating_add(chunk.len() as u64);
        if let Err(error) = self.shared.check(&self.key, self.weight.saturating_add(self.written)) {
            self.body = Gather::default();
            return Err(error);
        }
        self.body.push(&chunk);
        Ok(())
    }

    /// Publishes the entry and makes room for it. Where the store is full of entries in use, it may soon be the one
    /// that has to go.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] where the entry does not fit; what was stored under its key stays.
    async fn finish(self, trailers: Option<HeaderMap>) -> Result<()> {
        self.shared.check(&self.key, self.weight.saturating_add(self.written))?;
        let trailers = trailers.as_ref().map(compact::map);
        let head = self.head.seal(self.written, trailers);
        self.shared.publish(self.key, head, self.body.finish())
    }
}

impl fmt::Debug for MemoryWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryWriter")
            .field("key", &self.key)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}

/// Lists by the order of keys, a page at a time: each entry is met once however many come and go, and the lock is held
/// for no longer than it takes to copy a page of keys.
struct Scan {
    shared: Arc<Shared>,
    after: Option<Key>,
    page: vec::IntoIter<Key>,
}

impl Stream for Scan {
    type Item = Result<Scanned>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            while let Some(key) = self.page.next() {
                // Not `get`: to be listed is not to be used.
                if let Some(entry) = self.shared.entries.peek(&key) {
                    return Poll::Ready(Some(Ok(Scanned::new(key, entry.version, entry.head))));
                }
            }
            let from = self.after.map_or(Bound::Unbounded, Bound::Excluded);
            let page = self.shared.lock().page(from, BATCH);
            let Some(last) = page.last() else {
                return Poll::Ready(None);
            };
            self.after = Some(*last);
            self.page = page.into_iter();
        }
    }
}

/// Lets the other tasks of this thread have a turn.
async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[derive(Clone)]
struct Weigh;

impl Weighter<Key, Entry> for Weigh {
    fn weight(&self, _: &Key, entry: &Entry) -> u64 {
        entry.weight
    }
}

/// Collects what the table lets go of: evicted entries, and the one that was replaced.
#[derive(Clone)]
struct Collect;

impl Lifecycle<Key, Entry> for Collect {
    type RequestState = Vec<(Key, Entry)>;

    fn on_evict(&self, gone: &mut Self::RequestState, key: Key, entry: Entry) {
        gone.push((key, entry));
    }
}

#[cfg(test)]
mod tests;
