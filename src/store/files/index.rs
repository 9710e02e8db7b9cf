//! The index in memory: where each entry lies, its tags and its expiry, and which goes first when
//! the folder is full.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::name;
use crate::{Key, store::Version, time::Timestamp};

/// What the index knows of an entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    /// The path of the head's file, with `/` between its parts.
    pub(super) path: Box<str>,
    /// The name of the body's file beside it.
    pub(super) body: Option<Box<str>>,
    pub(super) version: u64,
    /// The family of a response that varies. Its head has it only if there are other variants.
    pub(super) family: u64,
    /// What selects a variant, of which the path is made instead of the key.
    pub(super) selection: Option<[u8; 16]>,
    /// The head did not match its checksum, so its key may be wrong too.
    pub(super) is_damaged: bool,
    /// The head was written by a newer version of this crate, and nothing is done to its files.
    pub(super) is_foreign: bool,
    /// The head's file: its CRC-32, length, and time of change in nanoseconds.
    pub(super) crc: u32,
    pub(super) len: u64,
    pub(super) changed: u64,
    pub(super) body_len: u64,
    pub(super) keep_until: Option<u64>,
    pub(super) tags: Box<[Box<str>]>,
}

impl Row {
    pub(super) fn version(&self) -> Version {
        Version::new(self.version)
    }

    /// The bytes that both files take on the disk.
    pub(super) fn bytes(&self) -> u64 {
        entry_bytes(self.len, self.body.as_ref().map(|_| self.body_len))
    }

    /// The paths of the files that go with it. A body whose name is not made of that of the head
    /// was put there by hand, and may belong to another head too.
    pub(super) fn own_files(&self) -> Vec<Box<str>> {
        if self.is_foreign {
            return Vec::new();
        }
        let stem = self.path.strip_suffix("json").unwrap_or(&self.path);
        let is_own = |path: &str| {
            name::is_entry_path(path)
                && path.strip_prefix(stem).is_some_and(|ending| ending.starts_with("body."))
        };
        let body = self.body_path().filter(|path| is_own(path));
        body.into_iter().chain([self.path.clone()]).collect()
    }

    /// Whether it is the variant of `key` that this selects. After a fresh clone, only its name
    /// tells: its digits are those of the key, or those of what selects it.
    pub(super) fn is_variant(&self, key: &Key, selection: [u8; 16]) -> bool {
        match self.selection {
            Some(own) => own == selection,
            None => name::digits(&self.path).is_some_and(|own| !key.to_string().starts_with(own)),
        }
    }

    /// The paths of its files.
    pub(super) fn files(&self) -> Vec<Box<str>> {
        self.body_path().into_iter().chain([self.path.clone()]).collect()
    }

    /// The path of the body's file.
    pub(super) fn body_path(&self) -> Option<Box<str>> {
        self.body.as_deref().map(|name| beside(&self.path, name).into())
    }
}

/// A file or a folder takes at least this many bytes of a disk.
const BLOCK: u64 = 4096;

/// The bytes that an entry takes on the disk, without its folders.
fn entry_bytes(head: u64, body: Option<u64>) -> u64 {
    head.max(BLOCK).saturating_add(body.map_or(0, |body| body.max(BLOCK)))
}

/// The bytes that the entry at `path` takes if it is the only one: with its folders.
pub(super) fn lone_bytes(path: &str, head: u64, body: Option<u64>) -> u64 {
    entry_bytes(head, body).saturating_add(BLOCK * folders(path).count() as u64)
}

/// The folders above a path, without the root.
fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').map(|(at, _)| &path[..at])
}

/// The path of the file `name` in the folder of the file at `path`.
pub(super) fn beside(path: &str, name: &str) -> String {
    match path.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}"),
        None => name.to_owned(),
    }
}

/// A row in the index.
#[derive(Debug)]
struct Held {
    row: Arc<Row>,
    /// Its place in the order of eviction.
    place: u64,
    /// Whether it was read since the hand passed it.
    is_visited: bool,
}

#[derive(Debug, Default)]
pub(super) struct Index {
    rows: HashMap<Key, Held>,
    paths: HashMap<Box<str>, Key>,
    ends: BTreeSet<(u64, Key)>,
    tags: HashMap<Box<str>, BTreeSet<Key>>,
    /// The order of eviction, oldest first.
    order: BTreeMap<u64, Key>,
    next: u64,
    /// The place from which the next search for an entry to evict goes on.
    hand: u64,
    /// How many entries are below each folder.
    folders: HashMap<Box<str>, usize>,
    /// Other heads of a key, which were found when the folder was opened. They answer nothing, and
    /// go with the entry.
    copies: HashMap<Key, Vec<Arc<Row>>>,
    /// Without the folders. The lengths may come from somebody else: their sum has room for all.
    bytes: u128,
}

impl Index {
    pub(super) fn get(&self, key: &Key) -> Option<&Arc<Row>> {
        self.rows.get(key).map(|held| &held.row)
    }

    /// The same for a reader: what is read is kept longer.
    pub(super) fn visit(&mut self, key: &Key) -> Option<Arc<Row>> {
        let held = self.rows.get_mut(key)?;
        held.is_visited = true;
        Some(held.row.clone())
    }

    /// The other heads of the entry.
    pub(super) fn copies(&self, key: &Key) -> &[Arc<Row>] {
        self.copies.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    /// The bytes that the entry and its copies take on the disk, without their folders.
    pub(super) fn bytes_of(&self, key: &Key) -> u64 {
        let rows = self.get(key).into_iter().chain(self.copies(key));
        rows.fold(0, |bytes, row| bytes.saturating_add(row.bytes()))
    }

    /// Notes another head of an entry.
    pub(super) fn insert_copy(&mut self, key: Key, row: Arc<Row>) {
        let copies = self.copies(&key);
        let is_known =
            self.paths.contains_key(&row.path) || copies.iter().any(|copy| copy.path == row.path);
        if self.rows.contains_key(&key) && !is_known {
            self.count(&row);
            self.copies.entry(key).or_default().push(row);
        }
    }

    /// The copies of entries that were noted, with their keys.
    pub(super) fn take_copies(&mut self) -> Vec<(Key, Arc<Row>)> {
        let all = std::mem::take(&mut self.copies);
        let all =
            all.into_iter().flat_map(|(key, rows)| rows.into_iter().map(move |row| (key, row)));
        all.inspect(|(_, row)| self.uncount(row)).collect()
    }

    /// The key of the entry whose head is at `path`.
    pub(super) fn owner(&self, path: &str) -> Option<&Key> {
        self.paths.get(path)
    }

    pub(super) fn insert(&mut self, key: Key, row: Row) {
        let copies = self.copies.remove(&key).unwrap_or_default();
        copies.iter().for_each(|row| self.uncount(row));
        let old = self.remove(&key);
        // Another entry had this path. Its file is replaced.
        if let Some(other) = self.paths.get(&row.path).copied() {
            self.remove(&other);
        }
        self.ends.extend(row.keep_until.map(|end| (end, key)));
        for tag in &row.tags {
            self.tags.entry(tag.clone()).or_default().insert(key);
        }
        self.paths.insert(row.path.clone(), key);
        self.count(&row);
        let place = self.next;
        self.next += 1;
        self.order.insert(place, key);
        // What is replaced is in use.
        let held = Held { row: Arc::new(row), place, is_visited: old.is_some() };
        self.rows.insert(key, held);
        // Unless one of them is the entry now.
        copies.into_iter().for_each(|row| self.insert_copy(key, row));
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Arc<Row>> {
        let Held { row, place, .. } = self.rows.remove(key)?;
        row.keep_until.map(|end| self.ends.remove(&(end, *key)));
        for tag in &row.tags {
            if let Some(keys) = self.tags.get_mut(tag) {
                keys.remove(key);
                if keys.is_empty() {
                    self.tags.remove(tag);
                }
            }
        }
        self.paths.remove(&row.path);
        self.order.remove(&place);
        self.uncount(&row);
        for copy in self.copies.remove(key).unwrap_or_default() {
            self.uncount(&copy);
        }
        Some(row)
    }

    /// Counts the files of a head and the folders above them.
    fn count(&mut self, row: &Row) {
        self.bytes += u128::from(row.bytes());
        for folder in folders(&row.path) {
            *self.folders.entry(folder.into()).or_default() += 1;
        }
    }

    fn uncount(&mut self, row: &Row) {
        self.bytes -= u128::from(row.bytes());
        for folder in folders(&row.path) {
            if let Some(count) = self.folders.get_mut(folder) {
                *count -= 1;
                if *count == 0 {
                    self.folders.remove(folder);
                }
            }
        }
    }

    /// The keys of the entries that are kept until `now` or an earlier time.
    pub(super) fn expired(&self, now: Timestamp) -> Vec<Key> {
        let ends = self.ends.iter().take_while(|(end, _)| *end <= now.as_millis());
        ends.map(|(_, key)| *key).collect()
    }

    pub(super) fn tagged(&self, tag: &str) -> Vec<Key> {
        self.tags.get(tag).into_iter().flatten().copied().collect()
    }

    /// The keys of all entries, oldest first.
    pub(super) fn keys(&self) -> Vec<Key> {
        self.order.values().copied().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The bytes that the entries and their folders take on the disk.
    pub(super) fn bytes(&self) -> u64 {
        let folders = u128::from(BLOCK) * self.folders.len() as u128;
        u64::try_from(self.bytes + folders).unwrap_or(u64::MAX)
    }

    /// The entry to evict next, but not `kept`. As in SIEVE, a hand goes from the oldest entry to
    /// the newest one, and passes those that were read since it came by.
    pub(super) fn next_to_evict(&mut self, kept: Option<&Key>) -> Option<Key> {
        // The second round finds no entry that was read meanwhile.
        for _ in 0..=2 * self.rows.len() {
            let place = self.order.range((Bound::Included(self.hand), Bound::Unbounded)).next();
            let Some((&place, &key)) = place else {
                self.hand = 0;
                continue;
            };
            self.hand = place + 1;
            let Some(held) = self.rows.get_mut(&key) else { continue };
            if kept == Some(&key) {
                continue;
            }
            if !std::mem::take(&mut held.is_visited) {
                return Some(key);
            }
        }
        None
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::store::files) fn row(path: &str, tags: &[&str]) -> Row {
        Row {
            path: path.into(),
            body: None,
            version: 1,
            family: 0,
            selection: None,
            is_damaged: false,
            is_foreign: false,
            crc: 0,
            len: 10,
            changed: 0,
            body_len: 5,
            keep_until: Some(7),
            tags: tags.iter().map(|&tag| tag.into()).collect(),
        }
    }

    fn key(number: u8) -> Key {
        Key::from_bytes([number; 32])
    }

    #[test]
    fn every_index_follows_the_rows() {
        let mut index = Index::default();
        index.insert(key(1), row("a", &["x", "y"]));
        index.insert(key(1), row("a", &["y"]));
        index.insert(key(2), row("b", &["y"]));
        assert_eq!((index.len(), index.bytes()), (2, 2 * BLOCK));
        assert_eq!((index.tagged("x").len(), index.tagged("y").len()), (0, 2));
        let now = Timestamp::from_millis;
        assert_eq!((index.expired(now(6)).len(), index.expired(now(7)).len()), (0, 2));
        // Another entry takes the path.
        index.insert(key(3), row("b", &[]));
        assert_eq!((index.len(), index.owner("b"), index.get(&key(2))), (2, Some(&key(3)), None));
        index.remove(&key(1));
        index.remove(&key(3));
        assert_eq!((index.len(), index.bytes(), index.tags.len()), (0, 0, 0));
        let large = |path| Row { body: Some("b".into()), body_len: u64::MAX, ..row(path, &[]) };
        index.insert(key(1), large("x/y/a"));
        index.insert(key(2), large("x/b"));
        assert_eq!((index.bytes(), index.folders.len()), (u64::MAX, 2));
        index.insert(key(1), row("x/y/a", &[]));
        index.remove(&key(2));
        assert_eq!(index.bytes(), 3 * BLOCK);
        index.remove(&key(1));
        assert_eq!((index.bytes(), index.folders.len()), (0, 0));
        assert!(index.ends.is_empty() && index.paths.is_empty() && index.order.is_empty());
    }

    #[test]
    fn copies_count_and_go_with_their_entry() {
        let mut index = Index::default();
        let insert = |index: &mut Index, path| index.insert_copy(key(1), Arc::new(row(path, &[])));
        insert(&mut index, "x/a");
        assert_eq!(index.bytes(), 0, "there is no entry");
        index.insert(key(1), row("a", &[]));
        ["x/a", "x/a", "a", "b"].iter().for_each(|path| insert(&mut index, path));
        assert_eq!((index.copies(&key(1)).len(), index.bytes()), (2, 4 * BLOCK));
        assert_eq!(index.bytes_of(&key(1)), 3 * BLOCK);
        // One of them becomes the entry.
        index.insert(key(1), row("b", &[]));
        assert_eq!((index.copies(&key(1)).len(), index.bytes()), (1, 3 * BLOCK));
        let taken = index.take_copies();
        assert_eq!((taken.len(), index.bytes()), (1, BLOCK));
        taken.into_iter().for_each(|(key, row)| index.insert_copy(key, row));
        index.remove(&key(1));
        assert_eq!((index.bytes(), index.copies(&key(1)).len()), (0, 0));
        assert!(index.folders.is_empty());
    }

    #[test]
    fn what_is_read_is_evicted_last() {
        let mut index = Index::default();
        for number in 0..4 {
            index.insert(key(number), row(&number.to_string(), &[]));
        }
        index.visit(&key(0));
        let mut evict = |kept| {
            let evicted = index.next_to_evict(Some(&key(kept)))?;
            index.remove(&evicted);
            Some(evicted)
        };
        assert_eq!(evict(3), Some(key(1)));
        assert_eq!(evict(3), Some(key(2)));
        assert_eq!(evict(3), Some(key(0)));
        assert_eq!(evict(3), None);
    }
}
