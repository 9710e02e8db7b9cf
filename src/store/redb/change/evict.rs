//! Removes many entries, a bounded number in each transaction: expired ones, tagged ones, those
//! that do not fit any more, and the chunks of bodies that nobody needs.
//!
//! Eviction is SIEVE (Zhang et al., NSDI 2024). Entries stand in the order in which they were
//! added, and a hand moves from the oldest to the newest and round again. An entry that was read
//! since the hand last passed loses its `visited` bit and stays where it is; any other entry is
//! evicted. Unlike second chance, which moves survivors to the end, SIEVE writes nothing for them,
//! and evicts an entry that was never requested again before one that has proved useful.

use redb::{ReadableTable, ReadableTableMetadata};

use super::{Change, Found, Raw};
use crate::{
    store::{
        embedded::{Leases, Visited},
        redb::schema::{
            ChunkKey, ExpiryKey, KeyBytes, TagDigest, TagKey, chunk_key, expiry_key,
            split_chunk_key, split_expiry_key, tag_key, tag_key_key,
        },
    },
    time::Timestamp,
};

/// How many entries are removed in one transaction.
pub(in crate::store::redb) const ENTRIES: usize = 1_000;
/// How many positions the hand visits in one transaction.
const VISITS: usize = 4_096;
/// How many chunks are removed in one transaction, in addition to those that it writes.
pub(in crate::store::redb) const GARBAGE_CHUNKS: u32 = 16;

/// What to remove.
#[derive(Clone, Copy, Debug)]
pub(in crate::store::redb) enum Purge {
    Expired(Timestamp),
    Tagged(TagDigest),
}

/// What one step of a [`Purge`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store::redb) struct Step {
    pub(in crate::store::redb) removed: u64,
    /// How many index rows were read.
    pub(in crate::store::redb) visited: u64,
    pub(in crate::store::redb) done: bool,
}

impl Change<'_> {
    pub(in crate::store::redb) fn purge(&mut self, purge: Purge) -> Raw<Step> {
        match purge {
            Purge::Expired(now) => self.purge_expired(now),
            Purge::Tagged(tag) => self.purge_tagged(&tag),
        }
    }

    fn purge_expired(&mut self, now: Timestamp) -> Raw<Step> {
        let mut rows: Vec<ExpiryKey> = Vec::new();
        let last = expiry_key(now, &[0xff; 32]);
        for row in self.expiry.open()?.range::<&ExpiryKey>(..=&last)?.take(ENTRIES) {
            rows.push(*row?.0.value());
        }
        let mut step = Step { done: rows.len() < ENTRIES, ..Step::default() };
        for row in rows {
            step.visited += 1;
            let (expires_at, key) = split_expiry_key(&row);
            // Before the entry, which may not know this row: damage can leave one.
            self.expiry.edit()?.remove(&row)?;
            match self.look(&key)? {
                Some(found) if found.expires_at().is_none_or(|at| at == Some(expires_at)) => {
                    self.remove_found(&key, &found)?;
                    step.removed += 1;
                }
                _ => {}
            }
        }
        Ok(step)
    }

    fn purge_tagged(&mut self, tag: &TagDigest) -> Raw<Step> {
        let mut rows: Vec<TagKey> = Vec::new();
        let (first, last) = (tag_key(tag, &[0; 32]), tag_key(tag, &[0xff; 32]));
        for row in self.tags.open()?.range::<&TagKey>(&first..=&last)?.take(ENTRIES) {
            rows.push(*row?.0.value());
        }
        let mut step = Step { done: rows.len() < ENTRIES, ..Step::default() };
        for row in rows {
            step.visited += 1;
            let key = tag_key_key(&row);
            self.tags.edit()?.remove(&row)?;
            match self.look(&key)? {
                Some(found) if found.has_tag(tag) => {
                    self.remove_found(&key, &found)?;
                    step.removed += 1;
                }
                _ => {}
            }
        }
        Ok(step)
    }

    /// Evicts until the entries fit. Returns `false` if that takes more transactions. Entries from
    /// `fresh` on were written by this transaction and are evicted last.
    pub(in crate::store::redb) fn evict(&mut self, visited: &Visited, fresh: u64) -> Raw<bool> {
        let (mut visits, mut end) = (0, fresh);
        while self.state.size > self.max_bytes {
            let mut rows: Vec<(u64, KeyBytes)> = Vec::new();
            if self.state.hand < end {
                for row in self.order.open()?.range(self.state.hand..end)?.take(256) {
                    let (seq, key) = row?;
                    rows.push((seq.value(), *key.value()));
                }
            }
            if rows.is_empty() {
                if self.state.hand > 0 {
                    self.state.hand = 0;
                } else if end < u64::MAX {
                    end = u64::MAX;
                } else {
                    // Nothing is left to evict: damage has made the sum wrong.
                    self.recount()?;
                    return Ok(true);
                }
                continue;
            }
            for (seq, key) in rows {
                if self.state.size <= self.max_bytes {
                    break;
                }
                if visits == VISITS || self.evicted.entries == ENTRIES as u64 {
                    return Ok(false);
                }
                visits += 1;
                self.state.hand = seq + 1;
                if visited.take(&key) {
                    continue;
                }
                self.order.edit()?.remove(seq)?;
                if let Some(found) = self.look(&key)?
                    && found.seq().is_none_or(|its| its == seq)
                {
                    let before = self.state.size;
                    self.remove_found(&key, &found)?;
                    self.evicted.entries += 1;
                    self.evicted.bytes += before.saturating_sub(self.state.size);
                }
            }
        }
        Ok(true)
    }

    /// Recomputes the sum, only if nothing is left to evict, so that there is little to read.
    fn recount(&mut self) -> Raw<()> {
        if self.entries.open()?.is_empty()? {
            self.state.size = 0;
        }
        Ok(())
    }

    /// Removes up to `limit` chunks of bodies that nobody needs. Returns whether more can be
    /// removed. Bodies that are being read stay until their readers are gone.
    pub(in crate::store::redb) fn collect(&mut self, limit: u32, leases: &Leases) -> Raw<bool> {
        leases.begin_collecting();
        let (mut left, mut from) = (limit, 0);
        loop {
            let next = self.garbage.open()?.range(from..)?.next().transpose()?;
            let Some(id) = next.map(|(id, _)| id.value()) else {
                return Ok(false);
            };
            if !leases.may_collect(id) {
                from = id + 1;
                continue;
            }
            if left == 0 {
                return Ok(true);
            }
            let chunks = self.chunks.edit()?;
            let (lowest, highest) = (chunk_key(id, 0), chunk_key(id, u32::MAX));
            let first = match chunks.range::<&ChunkKey>(&lowest..=&highest)?.next() {
                Some(row) => Some(*row?.0.value()),
                None => None,
            };
            let Some(first) = first else {
                self.garbage.edit()?.remove(id)?;
                continue;
            };
            let (_, index) = split_chunk_key(&first);
            // No further than the limit: skipping a chunk would mean reading it.
            let last = chunk_key(id, index.saturating_add(left - 1));
            let mut removed = 0;
            chunks.retain_in::<&ChunkKey, _>(&first..=&last, |_, _| {
                removed += 1;
                false
            })?;
            left -= removed;
        }
    }
}

/// What is known of an entry. Of a damaged entry nothing is known, and an index row that leads to
/// it justifies its removal.
impl Found {
    fn expires_at(&self) -> Option<Option<Timestamp>> {
        match self {
            Self::Whole { header, .. } => Some(header.expires_at),
            Self::Damaged { .. } => None,
        }
    }

    fn seq(&self) -> Option<u64> {
        match self {
            Self::Whole { header, .. } => Some(header.seq),
            Self::Damaged { .. } => None,
        }
    }

    fn has_tag(&self, tag: &TagDigest) -> bool {
        match self {
            Self::Whole { tags, .. } => tags.contains(tag),
            Self::Damaged { .. } => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use redb::Database;

    use super::*;
    use crate::{
        Key,
        store::redb::{
            Redb,
            change::{Body, Entry},
            open,
            schema::tag_digest,
        },
    };

    fn database() -> (tempfile::TempDir, Database) {
        let directory = tempfile::tempdir().unwrap();
        let config = Redb::builder(directory.path().join("cache.redb")).into_config();
        let (db, _) = open::open(&config).unwrap();
        (directory, db)
    }

    fn change<T>(db: &Database, max_bytes: u64, work: impl FnOnce(&mut Change<'_>) -> T) -> T {
        let mut txn = db.begin_write().unwrap();
        txn.set_durability(redb::Durability::None).unwrap();
        let versions = RandomState::new();
        let mut change = Change::begin(&txn, &versions, max_bytes).unwrap();
        let result = work(&mut change);
        change.finish().unwrap();
        txn.commit().unwrap();
        result
    }

    fn entry(expires_at: u64, tag: &str) -> Entry {
        Entry {
            head: vec![1; 100],
            expires_at: Some(Timestamp::from_millis(expires_at)),
            tags: vec![tag_digest(tag)],
            body: Body::Inline { bytes: "body".into(), checksum: crc32fast::hash(b"body") },
        }
    }

    fn fill(db: &Database, entries: u64, entry: impl Fn(u64) -> Entry) {
        for first in (0..entries).step_by(2_000) {
            change(db, u64::MAX, |change| {
                for number in first..(first + 2_000).min(entries) {
                    let key = Key::digest(number.to_string());
                    change.put(key.as_bytes(), &entry(number), None).unwrap().unwrap();
                }
            });
        }
    }

    fn purge_all(db: &Database, purge: Purge) -> (Vec<u64>, u64) {
        let (mut visited, mut removed) = (Vec::new(), 0);
        loop {
            let step = change(db, u64::MAX, |change| change.purge(purge).unwrap());
            visited.push(step.visited);
            removed += step.removed;
            if step.done {
                return (visited, removed);
            }
        }
    }

    #[test]
    fn purges_read_only_the_rows_that_they_remove() {
        let (_directory, db) = database();
        fill(&db, 20_000, |number| {
            entry(if number < 1_500 { 10 } else { 1_000 }, if number < 7 { "few" } else { "many" })
        });
        assert_eq!(purge_all(&db, Purge::Tagged(tag_digest("few"))), (vec![7], 7));
        let expired = Purge::Expired(Timestamp::from_millis(10));
        assert_eq!(purge_all(&db, expired), (vec![1_000, 493], 1_493));
        assert_eq!(purge_all(&db, expired), (vec![0], 0));
        assert_eq!(purge_all(&db, Purge::Tagged(tag_digest("none"))), (vec![0], 0));
    }

    #[test]
    fn eviction_of_much_takes_several_transactions() {
        let (_directory, db) = database();
        fill(&db, 5_000, |_| entry(1, "tag"));
        let size = change(&db, u64::MAX, |change| change.state.size);
        let visited = Visited::new();
        let mut steps = 0;
        while !change(&db, size / 2, |change| change.evict(&visited, u64::MAX).unwrap()) {
            steps += 1;
        }
        assert_eq!(steps, 2);
        let (left, order) = change(&db, size, |change| {
            (change.entries.open().unwrap().len().unwrap(), change.order.open().unwrap().len())
        });
        assert_eq!((left, order.unwrap()), (2_500, 2_500));
    }

    #[test]
    fn eviction_ends_if_the_sum_is_wrong() {
        let (_directory, db) = database();
        fill(&db, 10, |_| entry(1, "tag"));
        change(&db, u64::MAX, |change| change.state.size = 1 << 40);
        let visited = Visited::new();
        assert!(change(&db, 1_000, |change| change.evict(&visited, 0).unwrap()));
        assert_eq!(change(&db, u64::MAX, |change| change.state.size), 0);
    }

    #[test]
    fn chunks_are_collected_bit_by_bit() {
        let (_directory, db) = database();
        change(&db, u64::MAX, |change| {
            for body in 0..3 {
                let id = change.begin_body(1, Timestamp::MIN).unwrap();
                for index in 0..10 {
                    change.chunk(id, index, &[body; 10_000]).unwrap();
                }
                if body != 1 {
                    change.abandon(id).unwrap();
                }
            }
        });
        let (queue, commands) = std::sync::mpsc::channel();
        let leases = Leases::new(move || queue.send(()).unwrap_or_default());
        let step = || {
            change(&db, u64::MAX, |change| {
                let more = change.collect(8, &leases).unwrap();
                (change.chunks.open().unwrap().len().unwrap(), more)
            })
        };
        assert_eq!(
            [step(), step(), step(), step()],
            [(22, true), (14, true), (10, false), (10, false)]
        );
        assert!(commands.try_recv().is_err());
    }

    #[test]
    fn bodies_are_not_collected_while_they_are_read() {
        let (_directory, db) = database();
        let id = change(&db, u64::MAX, |change| {
            let id = change.begin_body(1, Timestamp::MIN).unwrap();
            change.chunk(id, 0, b"chunk").unwrap();
            change.abandon(id).unwrap();
            id
        });
        let (queue, commands) = std::sync::mpsc::channel();
        let leases = Leases::new(move || queue.send(()).unwrap_or_default());
        let collect = || {
            change(&db, u64::MAX, |change| {
                let more = change.collect(8, &leases).unwrap();
                (change.chunks.open().unwrap().len().unwrap(), more)
            })
        };
        let readers = [leases.take(id).unwrap(), leases.take(id).unwrap()];
        assert_eq!(collect(), (1, false));
        drop(readers);
        // The last reader reports it once.
        assert!(commands.try_recv().is_ok() && commands.try_recv().is_err());
        assert_eq!(collect(), (0, false));
        assert!(leases.take(id).is_none(), "its chunks may be gone");
    }
}
