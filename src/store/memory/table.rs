//! The table of entries, and the lock that keeps it and its indexes consistent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter, sync::Cache};

use super::{
    super::{
        Error, ErrorKind, Result, Version,
        evictions::{Evicted, Evictions},
    },
    body::Body,
    index::{Index, Row},
};
use crate::{entry::Head, key::Key};

const NAME: &str = "memory";

/// The minimum size of a shard. An entry must fit into one shard, and the default store must hold
/// bodies of 64 MiB.
const SHARD: u64 = 128 << 20;
const MAX_SHARDS: u64 = 16;

/// The part of a shard that one entry may take: the part that the table keeps for entries in
/// lasting use. New entries use the rest.
const HOT: f64 = 0.97;

/// The assumed size of an entry. The table remembers half as many evicted keys as it expects
/// entries, so that an evicted key that is requested again is known. At 8 KiB, that takes less than
/// 2 % of the capacity, which is reserved for it.
const TYPICAL_ENTRY: u64 = 8 << 10;

/// A slot of the table and its place in the map, both twice, for a table that has just doubled.
const SLOT: u64 = 2 * (size_of::<(Key, Entry)>() as u64 + 24 + 6);

/// The cost of an entry beside its head, body and index rows: its slot, and about sixteen bytes for
/// each of its allocations.
const ENTRY_OVERHEAD: u64 = SLOT + 128;

/// All entries and their indexes.
pub(super) struct Table {
    pub(super) entries: Cache<Key, Entry, Weigh, DefaultHashBuilder, Collect>,
    /// Locked by writes only, while `entries` changes, so that both always agree. Evicted entries
    /// are dropped after the lock is released, since freeing a large body takes time.
    index: Mutex<Index>,
    /// The capacity that the user asked for, in bytes.
    pub(super) capacity: u64,
    /// The largest weight of one entry.
    pub(super) largest: u64,
    pub(super) evictions: Evictions,
}

/// An entry as a value. The table clones it for every hit.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) head: Arc<Head>,
    pub(super) body: Body,
    pub(super) version: Version,
    /// Its row in the index.
    pub(super) row: Row,
    /// Computed once, since the table asks for it often.
    weight: u64,
}

impl Table {
    pub(super) fn new(capacity: u64) -> Self {
        // The largest power of two that is not above it: the table would round up, and make the
        // shards too small.
        let shards = 1 << (capacity / SHARD).clamp(1, MAX_SHARDS).ilog2();
        // With fewer than 32 expected entries for each shard, the table would make fewer shards.
        let items = (capacity / TYPICAL_ENTRY).max(32 * shards);
        let weight = capacity.saturating_sub(items / 2 * SLOT);
        // The table rounds a shard's part up. Rounding down first keeps the sum within the
        // capacity.
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
            // All that `build` needs is given above. With shards of its own choice, the table would
            // only accept smaller entries.
            Err(_) => Cache::with(items, weight, Weigh, DefaultHashBuilder::default(), Collect),
        };
        let largest = (entries.shard_capacity() as f64 * HOT) as u64;
        let evictions = Evictions::default();
        Self { entries, index: Mutex::default(), capacity, largest, evictions }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Index> {
        // Nothing panics while the lock is held, so a poisoned lock guards consistent data.
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

    pub(super) fn publish(&self, key: Key, head: Arc<Head>, body: Body) -> Result<()> {
        let weight = weight(&head, &body);
        self.check(&key, weight)?;
        let mut gone = Vec::new();
        let mut index = self.lock();
        let version = index.next_version();
        let old = self.entries.peek(&key).map(|old| old.row);
        let row = old.unwrap_or_else(|| index.next_row());
        let entry = Entry { head, body, version, row, weight };
        self.entries.insert_with_lifecycle(key, entry.clone(), &mut gone);
        settle(&mut index, &key, &entry, &gone);
        drop(index);
        self.evicted(&key, version, &gone);
        Ok(())
    }

    pub(super) fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        let mut gone = Vec::new();
        let mut index = self.lock();
        // No other change can come between this check and the replacement: every change takes the
        // lock.
        let Some(old) = self.entries.peek(key).filter(|old| old.version == seen) else {
            return Ok(false);
        };
        let head = head.carry_body(&old.head);
        let weight = weight(&head, &old.body);
        self.check(key, weight)?;
        let version = index.next_version();
        let entry = Entry { head: Arc::new(head), body: old.body, version, row: old.row, weight };
        // `soft`: a revalidation is not a use.
        let replaced = self.entries.replace_with_lifecycle(*key, entry.clone(), true, &mut gone);
        let updated = replaced.map_err(|refused| gone.push(refused)).is_ok();
        settle(&mut index, key, &entry, &gone);
        drop(index);
        self.evicted(key, version, &gone);
        Ok(updated)
    }

    /// Counts the entries in `gone` after a write under `key` as `version`, except the entry that
    /// it replaced. The written entry may be among them.
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
        index.remove(entry.row, &entry.head);
        Some(entry)
    }
}

/// Updates the index after `written` was written under `key`. `gone` is what the table removed for
/// it, which may include the written entry.
fn settle(index: &mut Index, key: &Key, written: &Entry, gone: &[(Key, Entry)]) {
    let mut kept = true;
    // Removed rows first: the replaced entry may have had the same rows as the new one.
    for (_, entry) in gone {
        if entry.version == written.version {
            kept = false;
        } else {
            index.remove(entry.row, &entry.head);
        }
    }
    if kept {
        index.insert(written.row, key, &written.head);
    }
}

/// The weight of an entry.
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

/// Collects what the table removes: evicted entries, and the replaced one.
#[derive(Clone)]
pub(super) struct Collect;

impl Lifecycle<Key, Entry> for Collect {
    type RequestState = Vec<(Key, Entry)>;

    fn on_evict(&self, gone: &mut Self::RequestState, key: Key, entry: Entry) {
        gone.push((key, entry));
    }
}
