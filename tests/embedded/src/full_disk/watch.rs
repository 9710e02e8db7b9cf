//! The entries that a key may have on a full disk, after operations on it. Once a key was seen
//! without its old entry, it never has that entry again.

use bytes::Bytes;
use http::{Method, Response};
use larder::{
    entry::Head,
    store::{Error, ErrorKind, Result, Store},
    time::Timestamp,
};

use crate::{
    entries::{body, key, put},
    faults::{described, ends, fault},
};

/// The entry under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The entry that was synced before the disk was full.
    Old,
    /// The entry that was written or updated since.
    New,
    /// No entry.
    Gone,
}

/// The length of a large body, which is written in chunks.
pub(super) const LARGE: usize = 100_000;

/// The length of a small body.
pub(super) const SMALL: usize = 2_000;

/// A key that is watched.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    number: u64,
    len: usize,
    may_be: Vec<Seen>,
}

impl Watch {
    /// A key with an old entry.
    pub(super) fn old(number: u64, len: usize) -> Self {
        Self { number, len, may_be: vec![Seen::Old] }
    }

    /// A key without an entry.
    pub(super) fn absent(number: u64, len: usize) -> Self {
        Self { number, len, may_be: vec![Seen::Gone] }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Stores an entry. If this fails, no new entry may be seen. If it succeeds, the entry may be
    /// hidden later, but no older entry may be seen.
    pub(super) async fn put(&mut self, store: &impl Store) -> Result<()> {
        let bytes = new_body(self.number, self.len);
        let written = put(store, key(self.number), new_head(), bytes);
        let written = ends(&format!("a put of key {}", self.number), written).await;
        match &written {
            Ok(()) => self.may_be = vec![Seen::New, Seen::Gone],
            Err(_) => self.may_be.push(Seen::Gone),
        }
        written
    }

    /// Replaces the head only.
    pub(super) async fn update(&mut self, store: &impl Store) -> Result<bool> {
        let key = key(self.number);
        let Some(hit) = store.get(&key).await? else { return Ok(false) };
        let updated = store.update(&key, hit.version, new_head());
        let updated = ends(&format!("an update of key {}", self.number), updated).await;
        match &updated {
            Ok(true) => self.may_be = vec![Seen::New, Seen::Gone],
            Ok(false) => fault(format!("key {} is not updated", self.number)),
            Err(_) => self.may_be.push(Seen::Gone),
        }
        updated
    }

    /// Records a removal.
    pub(super) fn removed<T>(&mut self, outcome: &Result<T>) {
        match outcome {
            Ok(_) => self.may_be = vec![Seen::Gone],
            // A failed removal may have removed some entries.
            Err(_) => self.may_be.push(Seen::Gone),
        }
    }

    /// Looks the key up. Reports an entry that must not be there.
    pub(super) async fn look(&mut self, store: &impl Store, when: &str) {
        let number = self.number;
        let seen =
            match ends(&format!("a lookup of key {number}"), see(store, number, self.len)).await {
                Ok(seen) => seen,
                Err(error) => {
                    return fault(format!("{when}: key {number} fails: {}", described(&error)));
                }
            };
        if !self.may_be.contains(&seen) {
            let may_be = &self.may_be;
            return fault(format!("{when}: key {number} is {seen:?} and not one of {may_be:?}"));
        }
        if seen != Seen::Old {
            self.may_be.retain(|&state| state != Seen::Old);
        }
    }

    /// Looks the key up. It must have the entry that was written last.
    pub(super) async fn must_be_new(&mut self, store: &impl Store, when: &str) {
        self.may_be = vec![Seen::New];
        self.look(store, when).await;
    }
}

/// The head of an entry from before the disk is full.
pub(super) fn old_head() -> Head {
    head("old")
}

fn new_head() -> Head {
    head("new")
}

fn head(url: &str) -> Head {
    let (parts, ()) = Response::new(()).into_parts();
    Head::new(Method::GET, url, parts, Timestamp::MIN)
}

/// The body that is put under a key while the disk is full.
fn new_body(number: u64, len: usize) -> Bytes {
    body(number + 1_000_000, len)
}

async fn see(store: &impl Store, number: u64, len: usize) -> Result<Seen> {
    let Some(hit) = store.get(&key(number)).await? else { return Ok(Seen::Gone) };
    let is_old = hit.head.url() == old_head().url();
    let bytes = hit.body.bytes().await?;
    // An update keeps the old body under a new head.
    let (old, new) = (bytes == body(number, len), bytes == new_body(number, len));
    match (is_old, old, new) {
        (true, true, _) => Ok(Seen::Old),
        (false, true, _) | (false, _, true) => Ok(Seen::New),
        _ => {
            fault(format!("key {number} has a body of {} wrong bytes", bytes.len()));
            Ok(Seen::Gone)
        }
    }
}

/// Reports an error on a full disk that is not of the kind `Full`.
pub(super) fn expect_full(what: &str, error: &Error) {
    let text = described(error);
    if error.kind() != ErrorKind::Full {
        fault(format!("{what} fails on a full disk, but not with `Full`: {text}"));
    }
}
