//! The table of entries, and the one lock that keeps it and its indexes together.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter, sync::Cache};

use super::{
    super::{
        Error, ErrorKind, Result, Version,
        evictions::{Evicted, Evictions},
    },
    body::Body,
    index::Index,
};
use crate::{entry::Head, key::Key};

const NAME: &str = "memory";

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

/// All entries, and the indexes that lead to them.
pub(super) struct Table {
    pub(super) entries: Cache<Key, Entry, Weigh, DefaultHashBuilder, Collect>,
    /// Taken by writes only, and held while `entries` changes, so that the two always agree. Entries that had to go are
    /// dropped after it is released: giving back a large body takes the allocator a while.
    index: Mutex<Index>,
    /// What the user asked for, in bytes.
    pub(super) capacity: u64,
    /// The most that one entry may weigh.
    pub(super) largest: u64,
    pub(super) evictions: Evictions,
}

/// An entry as a value. The table clones it for every hit.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) head: Arc<Head>,
    pub(super) body: Body,
    pub(super) version: Version,
    /// Counted once; the table asks for it again and again.
    weight: u64,
}

impl Table {
    pub(super) fn new(capacity: u64) -> Self {
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
        let evictions = Evictions::default();
        Self { entries, index: Mutex::default(), capacity, largest, evictions }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Index> {
        // Nothing panics while the lock is held, so there is no half-done work to be afraid of.
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn check(&self, key: &Key, weight: u64) -> Result<()> {
        if weight <= self.largest {
            return Ok(());
        }
        let Self { largest, capacity, .. } = self;
        Err(Error::new(
            ErrorKind::TooLarge,
            NAME,
            format!(
                "the entry of key {key} takes more than {largest} bytes, the limit for one entry in \
                 a store of {capacity} bytes"
            ),
        ))
    }

    pub(super) fn publish(&self, key: Key, head: Head, body: Body) -> Result<()> {
        let weight = weight(&head, &body);
        self.check(&key, weight)?;
        let mut gone = Vec::new();
        let mut index = self.lock();
        let version = index.next_version();
        let head = Arc::new(head);
        let entry = Entry { head: head.clone(), body, version, weight };
        self.entries.insert_with_lifecycle(key, entry, &mut gone);
        settle(&mut index, &key, &head, version, &gone);
        drop(index);
        self.evicted(&key, version, &gone);
        Ok(())
    }

    pub(super) fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
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
        let replaced = self.entries.replace_with_lifecycle(*key, entry, true, &mut gone);
        let updated = replaced.map_err(|refused| gone.push(refused)).is_ok();
        settle(&mut index, key, &head, version, &gone);
        drop(index);
        self.evicted(key, version, &gone);
        Ok(updated)
    }

    /// Counts what has `gone` for what was written under `key` as `version`: all but the entry that it replaced. It may have
    /// had to go itself.
    fn evicted(&self, key: &Key, written: Version, gone: &[(Key, Entry)]) {
        let mut evicted = Evicted::default();
        for (other, entry) in gone {
            if other != key || entry.version == written {
                evicted.entries += 1;
                evicted.bytes += entry.weight;
            }
        }
        self.evictions.add(NAME, evicted);
    }

    pub(super) fn take(&self, index: &mut Index, key: &Key) -> Option<Entry> {
        let (_, entry) = self.entries.remove(key)?;
        index.remove(key, &entry.head);
        Some(entry)
    }
}

/// Follows a write of `head` under `key` as `version`, for which the table has let go of `gone`. That may include
/// what was written.
fn settle(index: &mut Index, key: &Key, head: &Head, version: Version, gone: &[(Key, Entry)]) {
    let mut kept = true;
    // First what has gone: the entry that was replaced may have had the same rows as the new one.
    for (key, entry) in gone {
        if entry.version == version {
            kept = false;
        } else {
            index.remove(key, &entry.head);
        }
    }
    if kept {
        index.insert(key, head);
    }
}

/// What an entry of these takes, everything told.
pub(super) fn weight(head: &Head, body: &Body) -> u64 {
    head.size() as u64 + body.size() + Index::size(head) + ENTRY_OVERHEAD
}

#[derive(Clone)]
pub(super) struct Weigh;

impl Weighter<Key, Entry> for Weigh {
    fn weight(&self, _: &Key, entry: &Entry) -> u64 {
        entry.weight
    }
}

/// Collects what the table lets go of: evicted entries, and the one that was replaced.
#[derive(Clone)]
pub(super) struct Collect;

impl Lifecycle<Key, Entry> for Collect {
    type RequestState = Vec<(Key, Entry)>;

    fn on_evict(&self, gone: &mut Self::RequestState, key: Key, entry: Entry) {
        gone.push((key, entry));
    }
}
