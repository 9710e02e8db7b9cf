//! What a write transaction does to the tables.
//!
//! An `Err` here is redb's and ends the whole transaction. The failure of one operation alone is an
//! [`ChangeResult`] inside the `Ok`.

use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use redb::{ReadableTable, WriteTransaction};

use self::table::Lazy;
use super::{
    fault::{Raw, STORE},
    record::{Header, Record},
    schema::{
        CHUNKS, ChunkKey, ENTRIES, EXPIRY, ExpiryKey, GARBAGE, KeyBytes, META, META_STATE, ORDER,
        PENDING, State, TAGS, TagDigest, TagKey,
    },
};
use crate::{
    store::{Error, ErrorKind, Evicted},
    time::Timestamp,
};

mod bodies;
mod entries;
mod evict;
mod table;

pub(super) use self::evict::{GARBAGE_CHUNKS, Purge, Step};

/// The outcome of one operation: a number (a count, or 0 and 1 for no and yes), or why it was
/// refused.
pub(super) type ChangeResult = Result<u64, Error>;

/// An entry that is ready to be written.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) head: Vec<u8>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) tags: Vec<TagDigest>,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    Inline {
        bytes: Bytes,
        checksum: u32,
    },
    /// `len` bytes in all. The last of them come with the entry.
    Chunks {
        len: u64,
        last: u32,
        tail: Bytes,
    },
}

/// What the tables say about an existing entry.
enum Found {
    Whole {
        header: Header,
        tags: Vec<TagDigest>,
        len: usize,
    },
    /// Its index rows are unknown; they are removed when they are met.
    Damaged {
        len: usize,
    },
}

pub(super) struct Change<'t> {
    meta: Lazy<'t, &'static str, &'static [u8]>,
    entries: Lazy<'t, &'static KeyBytes, &'static [u8]>,
    chunks: Lazy<'t, &'static ChunkKey, &'static [u8]>,
    expiry: Lazy<'t, &'static ExpiryKey, ()>,
    tags: Lazy<'t, &'static TagKey, ()>,
    order: Lazy<'t, u64, &'static KeyBytes>,
    pending: Lazy<'t, u64, (u64, u64)>,
    garbage: Lazy<'t, u64, ()>,
    pub(super) state: State,
    before: State,
    max_bytes: u64,
    versions: &'t RandomState,
    /// What was evicted to make room.
    pub(super) evicted: Evicted,
}

impl<'t> Change<'t> {
    /// `versions` is random for each opening of the file. A version is a hash of a number: a number
    /// that is given out again, after a crash has undone its first use or by another process, is
    /// another version.
    pub(super) fn begin(
        txn: &'t WriteTransaction,
        versions: &'t RandomState,
        max_bytes: u64,
    ) -> Raw<Self> {
        let mut meta = Lazy::new(txn, META);
        let state = meta.open()?.get(META_STATE)?.and_then(|row| State::decode(row.value()));
        let state = state
            .ok_or_else(|| redb::Error::Corrupted("the row of counters is missing".to_owned()))?;
        Ok(Self {
            meta,
            entries: Lazy::new(txn, ENTRIES),
            chunks: Lazy::new(txn, CHUNKS),
            expiry: Lazy::new(txn, EXPIRY),
            tags: Lazy::new(txn, TAGS),
            order: Lazy::new(txn, ORDER),
            pending: Lazy::new(txn, PENDING),
            garbage: Lazy::new(txn, GARBAGE),
            state,
            before: state,
            max_bytes,
            versions,
            evicted: Evicted::default(),
        })
    }

    /// Writes the counters. Returns whether there is anything to commit.
    pub(super) fn finish(mut self) -> Raw<bool> {
        if self.state != self.before {
            self.meta.edit()?.insert(META_STATE, self.state.encode().as_slice())?;
        }
        Ok(self.meta.is_edited()
            || self.entries.is_edited()
            || self.chunks.is_edited()
            || self.expiry.is_edited()
            || self.tags.is_edited()
            || self.order.is_edited()
            || self.pending.is_edited()
            || self.garbage.is_edited())
    }

    /// Whether this transaction has abandoned a body, or has removed some.
    pub(super) fn makes_garbage(&self) -> bool {
        self.garbage.is_edited()
    }

    fn version(&mut self) -> u64 {
        let number = self.state.number();
        self.versions.hash_one(number)
    }

    fn look(&mut self, key: &KeyBytes) -> Raw<Option<Found>> {
        let Some(bytes) = self.entries.open()?.get(key)? else { return Ok(None) };
        let bytes = bytes.value();
        Ok(Some(match Record::parse(key, bytes) {
            Ok(record) => {
                Found::Whole { header: record.header, tags: record.tags.to_vec(), len: bytes.len() }
            }
            Err(_) => Found::Damaged { len: bytes.len() },
        }))
    }
}

pub(super) fn too_large(bytes: u64, max_bytes: u64) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        STORE,
        format!("an entry of {bytes} bytes does not fit into max_bytes({max_bytes})"),
    )
}

pub(super) fn abandoned() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        STORE,
        "another process removed the unfinished body, because its writer was silent for an hour",
    )
}
