//! The tables of the file, and the contents of their columns.
//!
//! [`FORMAT`] pins the layout: every change of the layout has a new number.

use bytes::Bytes;
use rusqlite::Row;

use super::fault::{Raw, corrupt_entry};
use crate::{
    Key,
    entry::Head,
    store::{Result, embedded::chunk_count},
    time::Timestamp,
};

/// The version of everything in this file; the database's `user_version`.
pub(super) const FORMAT: u32 = 2;

/// Marks our files: the database's `application_id`, `lrdr`.
pub(super) const APPLICATION: i32 = i32::from_be_bytes(*b"lrdr");

/// How much of a body is in one row of `chunks`.
pub(super) const CHUNK: usize = 128 * 1024;

/// What an entry counts for beside its head, URL and body: key, numbers, index rows.
const ROW: u64 = 192;

/// What a chunk counts for beside its bytes.
const CHUNK_ROW: u64 = 32;

/// Our tables, indexes, triggers and views, as `sqlite_schema` names them, without SQLite's own
/// indexes.
pub(super) const OBJECTS: [(&str, &str); 14] = [
    ("view", "responses"),
    ("trigger", "entry_added"),
    ("trigger", "entry_resized"),
    ("trigger", "entry_rewritten"),
    ("trigger", "entry_removed"),
    ("index", "entries_keep_until"),
    ("index", "tags_tag"),
    ("table", "tags"),
    ("table", "chunks"),
    ("table", "unfinished"),
    ("table", "garbage"),
    ("table", "entries"),
    ("table", "state"),
    // SQLite names the indexes of unique keys, and drops them with their tables.
    ("index", "garbage_since"),
];

/// In SQL that tools of ten years ago understand, so that any tool at hand can show the file.
pub(super) const TABLES: &str = "
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    entries INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    last_body INTEGER NOT NULL,
    hand INTEGER NOT NULL,
    boundary INTEGER NOT NULL,
    window_bytes INTEGER NOT NULL
);
-- The numbers of bodies begin at random: a reader of a body of an older file finds none of this one.
INSERT INTO state VALUES (1, 0, 0, abs(random() / 65536), 0, 0, 0);

CREATE TABLE entries (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    version INTEGER NOT NULL,
    method TEXT NOT NULL,
    url TEXT NOT NULL,
    status INTEGER,
    stored_at INTEGER NOT NULL,
    expires_at INTEGER,
    keep_until INTEGER,
    body_bytes INTEGER NOT NULL,
    size INTEGER NOT NULL,
    body INTEGER,
    checksum INTEGER NOT NULL,
    content_checksum INTEGER,
    head BLOB NOT NULL,
    content BLOB
);
CREATE INDEX entries_keep_until ON entries (keep_until) WHERE keep_until IS NOT NULL;

CREATE TABLE tags (
    entry INTEGER NOT NULL,
    tag TEXT NOT NULL,
    PRIMARY KEY (entry, tag)
) WITHOUT ROWID;
CREATE INDEX tags_tag ON tags (tag);

CREATE TABLE chunks (
    id INTEGER PRIMARY KEY,
    body INTEGER NOT NULL,
    number INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    data BLOB NOT NULL,
    UNIQUE (body, number)
);
CREATE TABLE unfinished (body INTEGER PRIMARY KEY, owner INTEGER NOT NULL);
CREATE TABLE garbage (body INTEGER PRIMARY KEY, since INTEGER NOT NULL, bytes INTEGER NOT NULL);
CREATE INDEX garbage_since ON garbage (since);

CREATE TRIGGER entry_added AFTER INSERT ON entries BEGIN
    UPDATE state SET entries = entries + 1, bytes = bytes + new.size,
        window_bytes = window_bytes + CASE WHEN new.id >= boundary THEN new.size ELSE 0 END;
END;
CREATE TRIGGER entry_resized AFTER UPDATE OF size ON entries WHEN old.size <> new.size BEGIN
    UPDATE state SET bytes = bytes - old.size + new.size, window_bytes = window_bytes
        + CASE WHEN new.id >= boundary THEN new.size - old.size ELSE 0 END;
END;
CREATE TRIGGER entry_rewritten AFTER UPDATE OF body ON entries
WHEN old.body IS NOT NULL AND old.body IS NOT new.body BEGIN
    INSERT OR IGNORE INTO garbage VALUES (old.body, strftime('%s', 'now') * 1000, old.body_bytes);
END;

CREATE VIEW responses AS SELECT
    lower(hex(key)) AS key,
    method,
    url,
    status,
    strftime('%Y-%m-%dT%H:%M:%fZ', stored_at / 1000.0, 'unixepoch') AS stored_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', expires_at / 1000.0, 'unixepoch') AS expires_at,
    strftime('%Y-%m-%dT%H:%M:%fZ', keep_until / 1000.0, 'unixepoch') AS keep_until,
    body_bytes,
    size,
    (SELECT group_concat(tag, ' ') FROM tags WHERE entry = entries.id) AS tags
FROM entries WHERE status IS NOT NULL;
";

/// Separate from the others, since clearing works without it.
pub(super) const ENTRY_REMOVED: &str = "
CREATE TRIGGER entry_removed AFTER DELETE ON entries BEGIN
    UPDATE state SET entries = entries - 1, bytes = bytes - old.size,
        window_bytes = window_bytes - CASE WHEN old.id >= boundary THEN old.size ELSE 0 END;
    DELETE FROM tags WHERE entry = old.id;
    INSERT OR IGNORE INTO garbage
        SELECT old.body, strftime('%s', 'now') * 1000, old.body_bytes WHERE old.body IS NOT NULL;
END;
";

/// Milliseconds as SQLite's signed integers.
pub(super) fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// How many bytes an entry counts for, without the indexes and the unused space in SQLite's pages.
pub(super) fn cost(head: usize, url: usize, body: u64, chunked: bool) -> u64 {
    let chunks = if chunked { chunk_count(body, CHUNK) } else { 0 };
    ROW + (head + url) as u64 + body + chunks * CHUNK_ROW
}

/// The columns of an entry that the cache reads, beside the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of the body in `chunks`; `None` if the body is in the row.
    pub(super) body: Option<i64>,
    pub(super) len: u64,
    /// The checksum of a body in the row.
    pub(super) content_checksum: Option<u32>,
}

impl Place {
    /// Reads the columns `body, body_bytes, content_checksum`, from `first` on.
    pub(super) fn read(row: &Row<'_>, first: usize) -> Raw<Self> {
        Ok(Self {
            body: row.get(first)?,
            len: row.get(first + 1)?,
            content_checksum: row.get(first + 2)?,
        })
    }

    /// Returns the checked head of a row.
    pub(super) fn head(&self, key: &Key, checksum: u32, head: Bytes) -> Result<Head> {
        if self.checksum(key.as_bytes(), &head) != checksum {
            return Err(corrupt_entry(key, "a row that does not match its checksum"));
        }
        Head::decode(head).map_err(|error| corrupt_entry(key, "a damaged head").with_source(error))
    }

    /// Covers the key too, so that no row is read as another. Does not cover columns that are only
    /// there for people.
    pub(super) fn checksum(&self, key: &[u8], head: &[u8]) -> u32 {
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(key);
        hasher.update(&self.body.unwrap_or(-1).to_le_bytes());
        hasher.update(&self.len.to_le_bytes());
        hasher.update(&self.content_checksum.unwrap_or(0).to_le_bytes());
        hasher.update(head);
        hasher.finalize()
    }
}

/// Covers the position of the chunk too, so that no chunk is read as another.
pub(super) fn chunk_checksum(body: i64, number: u32, data: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&body.to_le_bytes());
    hasher.update(&number.to_le_bytes());
    hasher.update(data);
    hasher.finalize()
}

pub(super) fn key_of(bytes: &[u8]) -> Option<Key> {
    Some(Key::from_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The checksums of format 2, never to be changed under that number.
    #[test]
    fn golden_checksums_of_format_2() {
        let inline = Place { body: None, len: 4, content_checksum: Some(99) };
        let chunked = Place { body: Some(7), len: 1 << 40, content_checksum: None };
        assert_eq!(
            [inline.checksum(&[7; 32], b"head"), chunked.checksum(&[7; 32], b"head")],
            [2_877_971_009, 2_103_249_028]
        );
        assert_eq!(chunk_checksum(1, 2, b"data"), 2_353_131_974);
    }

    #[test]
    fn times_that_sqlite_cannot_store_become_the_latest() {
        assert_eq!(millis(Timestamp::MAX), i64::MAX);
        assert_eq!(millis(Timestamp::from_millis(5)), 5);
    }
}
