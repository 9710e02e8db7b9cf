//! The indexes of the table: keys, expiries and tags, for entries that are found by something else
//! than their key.

use std::{
    collections::{BTreeMap, BTreeSet, hash_map::RandomState},
    hash::BuildHasher,
    ops::Bound,
};

use super::super::Version;
use crate::{entry::Head, key::Key, time::Timestamp};

/// The number of an entry in the index. It stays the same while the entry is replaced or changed,
/// and no other entry ever has it. Rows have numbers in place of keys, which take longer to
/// compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row(u64);

impl Row {
    /// Before every row.
    pub(super) const START: Self = Self(0);
}

/// One row of `keys` for each entry, one row of `expiries` if it expires, and one row of `tags` for
/// each tag.
#[derive(Default)]
pub(super) struct Index {
    keys: BTreeMap<Row, Key>,
    expiries: BTreeSet<(Timestamp, Row)>,
    /// A tag is stored as its hash, so that rows have one size and compare as numbers. The reader
    /// checks the head, since two tags may have the same hash. The seed of the hash is random, so
    /// that nobody can cause many collisions.
    tags: BTreeSet<(u64, Row)>,
    hasher: RandomState,
    version: u64,
    next_row: u64,
    /// How many rows of tags were requested.
    #[cfg(test)]
    pub(super) asked: std::cell::Cell<u64>,
}

impl Index {
    /// The memory of the rows for `head`. A B-tree that is filled in order is half empty, and has
    /// links too.
    pub(super) fn size(head: &Head) -> u64 {
        const fn row<T>() -> u64 {
            size_of::<T>() as u64 * 5 / 2
        }
        row::<(Row, Key)>()
            + u64::from(head.keep_until().is_some()) * row::<(Timestamp, Row)>()
            + head.tags().len() as u64 * row::<(u64, Row)>()
    }

    pub(super) fn next_version(&mut self) -> Version {
        self.version += 1;
        Version::new(self.version)
    }

    /// The row of a new entry. Rows grow.
    pub(super) fn next_row(&mut self) -> Row {
        self.next_row += 1;
        Row(self.next_row)
    }

    pub(super) fn insert(&mut self, row: Row, key: &Key, head: &Head) {
        self.keys.insert(row, *key);
        self.expiries.extend(head.keep_until().map(|expires_at| (expires_at, row)));
        for tag in head.tags() {
            self.tags.insert((self.hasher.hash_one(&**tag), row));
        }
    }

    pub(super) fn remove(&mut self, row: Row, head: &Head) {
        self.keys.remove(&row);
        if let Some(expires_at) = head.keep_until() {
            self.expiries.remove(&(expires_at, row));
        }
        for tag in head.tags() {
            self.tags.remove(&(self.hasher.hash_one(&**tag), row));
        }
    }

    /// Removes and returns one key.
    pub(super) fn pop(&mut self) -> Option<Key> {
        self.keys.pop_first().map(|(_, key)| key)
    }

    /// Removes and returns the key that expires first, if that is at or before `now`.
    pub(super) fn pop_expired(&mut self, now: Timestamp) -> Option<Key> {
        self.expiries.first().filter(|(expires_at, _)| *expires_at <= now)?;
        let (_, row) = self.expiries.pop_first()?;
        self.keys.remove(&row)
    }

    /// Returns the first row after `after` that has `tag`, or another tag with the same hash, and
    /// its key.
    pub(super) fn tagged(&self, tag: &str, after: Option<Row>) -> Option<(Row, Key)> {
        #[cfg(test)]
        self.asked.set(self.asked.get() + 1);
        let hash = self.hasher.hash_one(tag);
        let from = (hash, after.map_or(Row::START, |Row(after)| Row(after + 1)));
        let mut rows = self.tags.range(from..=(hash, Row(u64::MAX)));
        rows.find_map(|(_, row)| self.keys.get(row).map(|key| (*row, *key)))
    }

    /// The row after the last one.
    pub(super) fn end(&self) -> Row {
        Row(self.next_row + 1)
    }

    /// Returns up to `len` rows after `after` and before `end`, in order.
    pub(super) fn page(&self, after: Row, end: Row, len: usize) -> Vec<(Row, Key)> {
        let rows = (Bound::Excluded(after), Bound::Excluded(end));
        self.keys.range(rows).take(len).map(|(row, key)| (*row, *key)).collect()
    }

    #[cfg(test)]
    pub(super) fn rows(&self) -> (usize, usize, usize) {
        (self.keys.len(), self.expiries.len(), self.tags.len())
    }
}
