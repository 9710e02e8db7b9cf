//! A custom store: a map behind a lock, with the two indexes that the contract needs, tested by the
//! conformance suite.
//!
//! ```sh
//! cargo run -p custom-store
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use http::HeaderMap;
use larder::{
    Key,
    entry::Head,
    store::{Hit, Result, Scanned, Store, Version, Writer},
    time::Timestamp,
};

/// A handle. Clones share the entries.
#[derive(Clone, Debug, Default)]
struct Shelf(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    entries: BTreeMap<Key, Entry>,
    /// When entries may be removed. A removal by expiry or tag must do work in proportion to
    /// what it removes.
    ends: BTreeSet<(Timestamp, Key)>,
    tags: BTreeSet<(Box<str>, Key)>,
    version: u64,
}

#[derive(Clone, Debug)]
struct Entry {
    head: Arc<Head>,
    body: Bytes,
    version: Version,
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Replaces the entry under `key`, under a version that never existed before.
    fn insert(&mut self, key: Key, head: Head, body: Bytes) {
        self.remove(&key);
        self.version += 1;
        self.ends.extend(head.keep_until().map(|end| (end, key)));
        self.tags.extend(head.tags().iter().map(|tag| (tag.clone(), key)));
        let version = Version::new(self.version);
        self.entries.insert(key, Entry { head: Arc::new(head), body, version });
    }

    fn remove(&mut self, key: &Key) -> bool {
        let Some(Entry { head, .. }) = self.entries.remove(key) else { return false };
        head.keep_until().map(|end| self.ends.remove(&(end, *key)));
        for tag in head.tags() {
            self.tags.remove(&(tag.clone(), *key));
        }
        true
    }
}

impl Store for Shelf {
    type Writer = ShelfWriter;

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        let entry = self.lock().entries.get(key).cloned();
        Ok(entry.map(|Entry { head, body, version }| Hit::new(head, version, body.into())))
    }

    async fn put(&self, key: &Key, head: Head) -> Result<ShelfWriter> {
        // Nothing is visible yet: the writer holds everything until it is finished.
        Ok(ShelfWriter { shelf: self.clone(), key: *key, head, body: BytesMut::new() })
    }

    async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        let mut inner = self.lock();
        let old = inner.entries.get(key).filter(|old| old.version == seen).cloned();
        if let Some(old) = &old {
            inner.insert(*key, head.carry_body(&old.head), old.body.clone());
        }
        Ok(old.is_some())
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        Ok(self.lock().remove(key))
    }

    async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
        let mut inner = self.lock();
        let is_there = inner.entries.get(key).is_some_and(|entry| entry.version == seen);
        Ok(is_there && inner.remove(key))
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
        let mut inner = self.lock();
        let gone = inner.ends.iter().take_while(|(end, _)| *end <= now).copied();
        let gone: Vec<_> = gone.collect();
        Ok(gone.iter().filter(|(_, key)| inner.remove(key)).count() as u64)
    }

    async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        let mut inner = self.lock();
        let from = (Box::from(tag), Key::from_bytes([0; 32]));
        let rows = inner.tags.range(from..).take_while(|(other, _)| **other == *tag);
        let gone: Vec<_> = rows.map(|(_, key)| *key).collect();
        Ok(gone.iter().filter(|key| inner.remove(key)).count() as u64)
    }

    // The contract has defaults for the methods from here on. A store that does not implement
    // them serves a cache as well, but cannot be cleared, listed or counted.

    async fn clear(&self) -> Result<()> {
        let mut inner = self.lock();
        // Versions continue: an old version must never be valid again.
        *inner = Inner { version: inner.version, ..Inner::default() };
        Ok(())
    }

    fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<> {
        // A small map can be listed at once. A larger store lists page by page.
        let inner = self.lock();
        let item = |(key, entry): (&Key, &Entry)| {
            Ok(Scanned::new(*key, entry.version, entry.head.clone()))
        };
        stream::iter(inner.entries.iter().map(item).collect::<Vec<_>>())
    }

    async fn len(&self) -> Result<u64> {
        Ok(self.lock().entries.len() as u64)
    }

    async fn size_bytes(&self) -> Result<u64> {
        let inner = self.lock();
        Ok(inner
            .entries
            .values()
            .map(|entry| entry.head.size() as u64 + entry.head.body_len())
            .sum())
    }
}

struct ShelfWriter {
    shelf: Shelf,
    key: Key,
    head: Head,
    body: BytesMut,
}

impl Writer for ShelfWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.body.extend_from_slice(&chunk);
        Ok(())
    }

    async fn finish(self, trailers: Option<HeaderMap>) -> Result<()> {
        let head = self.head.seal(self.body.len() as u64, trailers);
        self.shelf.lock().insert(self.key, head, self.body.freeze());
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    use larder::store::conformance;

    conformance::all(async || Shelf::default()).await;
    conformance::isolation(&Shelf::default(), &Shelf::default()).await;
    println!("Shelf keeps every promise: {} cases.", conformance::CASES.len() + 1);
}
