//! Removing many entries, a bounded number in each transaction: what has expired, what carries a tag, what no longer
//! fits, and the chunks of bodies that nobody needs.
//!
//! Eviction is SIEVE (Zhang et al., NSDI 2024): entries stand in the order in which they came, and a hand moves from
//! the oldest to the newest and round again. An entry that was read since the hand last passed loses its mark and
//! stays where it is; any other goes. Against moving survivors to the end (second chance), nothing is written for
//! them, and what came once and was never asked for again goes before what has proved itself.

use redb::{ReadableTable, ReadableTableMetadata};

use super::{Change, Found, Raw};
use crate::{
    store::redb::{
        marks::Marks,
        schema::{
            ChunkKey, ExpiryKey, KeyBytes, TagDigest, TagKey, chunk_key, expiry_key,
            split_chunk_key, split_expiry_key, tag_key, tag_key_key,
        },
    },
    time::Timestamp,
};

/// How many entries are removed in one transaction.
pub(in crate::store::redb) const ENTRIES: usize = 1_000;
/// How many places the hand visits in one transaction.
const VISITS: usize = 4_096;
/// How many chunks are removed in one transaction beside those that it writes.
pub(in crate::store::redb) const GARBAGE_CHUNKS: u32 = 16;

/// What is to be removed.
#[derive(Clone, Copy, Debug)]
pub(in crate::store::redb) enum Purge {
    Expired(Timestamp),
    Tagged(TagDigest),
}

/// What one step of a [`Purge`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store::redb) struct Step {
    pub(in crate::store::redb) removed: u64,
    /// How many index rows were looked at.
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
            // Before the entry, which may not know the row any more: damage can leave one behind.
            self.expiry.open()?.remove(&row)?;
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
            self.tags.open()?.remove(&row)?;
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

    /// Evicts until the entries fit; `false` where more transactions are needed for it. Entries from `fresh` on were
    /// written by this very transaction and go last.
    pub(in crate::store::redb) fn evict(&mut self, marks: &Marks, fresh: u64) -> Raw<bool> {
        let (mut visits, mut evicted) = (0, 0);
        let mut end = fresh;
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
                    // Nothing is left that could go: the sum was wrong, which takes damage.
                    self.recount()?;
                    return Ok(true);
                }
                continue;
            }
            for (seq, key) in rows {
                if self.state.size <= self.max_bytes {
                    break;
                }
                if visits == VISITS || evicted == ENTRIES {
                    return Ok(false);
                }
                visits += 1;
                self.state.hand = seq + 1;
                if marks.take(&key) {
                    continue;
                }
                self.order.open()?.remove(seq)?;
                if let Some(found) = self.look(&key)?
                    && found.seq().is_none_or(|its| its == seq)
                {
                    self.remove_found(&key, &found)?;
                    evicted += 1;
                }
            }
        }
        Ok(true)
    }

    /// The sum of what there is, by reading it: only where nothing is left to evict, so there is little.
    fn recount(&mut self) -> Raw<()> {
        if self.entries.open()?.is_empty()? {
            self.state.size = 0;
        }
        Ok(())
    }

    /// Removes up to `limit` chunks of bodies that nobody needs; whether more are left.
    pub(in crate::store::redb) fn collect(&mut self, limit: u32) -> Raw<bool> {
        let mut left = limit;
        loop {
            let Some(id) = self.garbage.open()?.first()?.map(|(id, _)| id.value()) else {
                return Ok(false);
            };
            if left == 0 {
                return Ok(true);
            }
            let chunks = self.chunks.open()?;
            let (lowest, highest) = (chunk_key(id, 0), chunk_key(id, u32::MAX));
            let first = match chunks.range::<&ChunkKey>(&lowest..=&highest)?.next() {
                Some(row) => Some(*row?.0.value()),
                None => None,
            };
            let Some(first) = first else {
                self.garbage.open()?.remove(id)?;
                continue;
            };
            let (_, index) = split_chunk_key(&first);
            // No further than what may go: passing a chunk over means reading it.
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

/// What is known of an entry; of a damaged one nothing is, and an index row that leads to it speaks for its removal.
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
