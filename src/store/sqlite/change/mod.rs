//! What a write transaction does to the tables.
//!
//! An `Err` here is SQLite's and ends the whole transaction. The failure of one operation alone is
//! an [`ChangeResult`] inside the `Ok`. Triggers keep the sums, remove tags, and turn bodies that
//! lose their entry into garbage.

use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::{fault::STORE, schema::Place};
use crate::{
    entry::Head,
    store::{Error, ErrorKind, Evicted},
};

mod bodies;
mod entries;
mod evict;
mod garbage;

pub(super) use self::{
    evict::{Purge, Step},
    garbage::{GARBAGE_CHUNKS, Grace},
};

pub(super) type Raw<T> = Result<T, rusqlite::Error>;

/// The outcome of one operation: a number (a count, or 0 and 1 for no and yes), or why it was
/// refused.
pub(super) type ChangeResult = Result<u64, Error>;

/// An entry that is ready to be written.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) head: Head,
    pub(super) encoded: Vec<u8>,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    Inline(Bytes),
    /// The last chunk comes with the entry, the others before it.
    Chunks {
        last: u32,
        tail: Bytes,
    },
}

pub(super) struct Change<'c> {
    conn: &'c Connection,
    versions: &'c mut Versions,
    /// The lock file of the writer of these unfinished bodies.
    lock_id: i64,
    max_bytes: u64,
    /// What was evicted to make room.
    pub(super) evicted: Evicted,
}

/// Creates versions. They are random for each opening of the file: no other process creates the
/// same ones, and none returns after a crash has undone its first use.
pub(super) struct Versions {
    random: RandomState,
    given: u64,
}

impl Versions {
    pub(super) fn new() -> Self {
        Self { random: RandomState::new(), given: 0 }
    }

    fn next(&mut self) -> i64 {
        self.given += 1;
        self.random.hash_one(self.given) as i64
    }
}

impl<'c> Change<'c> {
    /// `conn` is in a transaction.
    pub(super) fn new(
        conn: &'c Connection,
        versions: &'c mut Versions,
        lock_id: i64,
        max_bytes: u64,
    ) -> Self {
        Self { conn, versions, lock_id, max_bytes, evicted: Evicted::default() }
    }

    /// Returns how many rows the statement changed, without those that triggers change.
    fn execute(&self, sql: &str, params: impl Params) -> Raw<usize> {
        self.conn.prepare_cached(sql)?.execute(params)
    }

    fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Raw<T>,
    ) -> Raw<Option<T>> {
        self.conn.prepare_cached(sql)?.query_row(params, read).optional()
    }

    /// Returns the one number that `sql` selects; 0 if there is none.
    fn number(&self, sql: &str, params: impl Params) -> Raw<i64> {
        Ok(self.one(sql, params, |row| row.get::<_, Option<i64>>(0))?.flatten().unwrap_or(0))
    }

    /// The bytes of all entries.
    fn size(&self) -> Raw<u64> {
        Ok(u64::try_from(self.number("SELECT bytes FROM state", [])?).unwrap_or(0))
    }
}

/// Reads the columns `body, body_bytes, content_checksum`, from `first` on.
pub(super) fn place(row: &Row<'_>, first: usize) -> Raw<Place> {
    Ok(Place {
        body: row.get(first)?,
        len: row.get(first + 1)?,
        content_checksum: row.get(first + 2)?,
    })
}

pub(super) fn too_large(bytes: u64, max_bytes: u64) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        STORE,
        format!("an entry of {bytes} bytes does not fit into max_bytes({max_bytes})"),
    )
}

pub(super) fn abandoned() -> Error {
    Error::new(ErrorKind::Unavailable, STORE, "another process removed the unfinished body")
}
