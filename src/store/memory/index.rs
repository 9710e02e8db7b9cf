//! The indexes of the table: keys, expiries and tags, for entries that are found by something else
//! than their key.

use std::{
    collections::{BTreeSet, hash_map::RandomState},
    hash::BuildHasher,
    ops::Bound,
};

use super::super::Version;
use crate::{entry::Head, key::Key, time::Timestamp};

const FIRST: Key = Key::from_bytes([0; 32]);
const LAST: Key = Key::from_bytes([0xff; 32]);

/// One row of `keys` for each entry, one row of `expiries` if it expires, and one row of `tags` for
/// each tag.
#[derive(Default)]
pub(super) struct Index {
    keys: BTreeSet<Key>,
    expiries: BTreeSet<(Timestamp, Key)>,
    /// A tag is stored as its hash, so that rows have one size and compare as numbers. The reader
    /// checks the head, since two tags may have the same hash. The seed of the hash is random, so
    /// that nobody can cause many collisions.
    tags: BTreeSet<(u64, Key)>,
    hasher: RandomState,
    version: u64,
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
        row::<Key>()
            + u64::from(head.keep_until().is_some()) * row::<(Timestamp, Key)>()
            + head.tags().len() as u64 * row::<(u64, Key)>()
    }

    pub(super) fn next_version(&mut self) -> Version {
        self.version += 1;
        Version::new(self.version)
    }

    pub(super) fn insert(&mut self, key: &Key, head: &Head) {
        self.keys.insert(*key);
        self.expiries.extend(head.keep_until().map(|expires_at| (expires_at, *key)));
        for tag in head.tags() {
            self.tags.insert((self.hasher.hash_one(&**tag), *key));
        }
    }

    pub(super) fn remove(&mut self, key: &Key, head: &Head) {
        self.keys.remove(key);
        if let Some(expires_at) = head.keep_until() {
            self.expiries.remove(&(expires_at, *key));
        }
        for tag in head.tags() {
            self.tags.remove(&(self.hasher.hash_one(&**tag), *key));
        }
    }

    /// Removes and returns one key.
    pub(super) fn pop(&mut self) -> Option<Key> {
        self.keys.pop_first()
    }

    /// Removes and returns the key that expires first, if that is at or before `now`.
    pub(super) fn pop_expired(&mut self, now: Timestamp) -> Option<Key> {
        self.expiries.first().filter(|(expires_at, _)| *expires_at <= now)?;
        self.expiries.pop_first().map(|(_, key)| key)
    }

    /// Returns the first key after `after` that has a row for `tag`, or for another tag with the
    /// same hash.
    pub(super) fn tagged(&self, tag: &str, after: Option<Key>) -> Option<Key> {
        #[cfg(test)]
        self.asked.set(self.asked.get() + 1);
        let hash = self.hasher.hash_one(tag);
        let from = match after {
            None => Bound::Included((hash, FIRST)),
            Some(after) => Bound::Excluded((hash, after)),
        };
        self.tags.range((from, Bound::Included((hash, LAST)))).next().map(|(_, key)| *key)
    }

    /// Returns up to `len` keys from `from` on, in order.
    pub(super) fn page(&self, from: Bound<Key>, len: usize) -> Vec<Key> {
        self.keys.range((from, Bound::Unbounded)).take(len).copied().collect()
    }

    #[cfg(test)]
    pub(super) fn rows(&self) -> (usize, usize, usize) {
        (self.keys.len(), self.expiries.len(), self.tags.len())
    }
}
