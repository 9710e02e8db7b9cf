//! Reads: lookups and counts. Each lookup, each few chunks of a body and each page of a scan uses a
//! connection that is returned at once, so that no reader keeps the log from being written to the
//! file.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rusqlite::{OptionalExtension, Row};

use super::{
    change::{Raw, place},
    chunks::Chunks,
    fault::{corrupt_entry, is_from_busy},
    link::Link,
    schema::Place,
    shared::Shared,
};
use crate::{
    Key,
    entry::Head,
    store::{
        Result, Version,
        embedded::{Found, FoundBody},
    },
};

/// How often a lookup is repeated because the found body is being removed.
const OVERTAKEN: usize = 10;

// ===== look-ups =====

/// The columns of an entry's row.
struct EntryRow {
    version: i64,
    checksum: u32,
    head: Bytes,
    place: Place,
    content: Option<Bytes>,
}

fn entry_row(row: &Row<'_>) -> Raw<EntryRow> {
    let content = row.get_ref(6)?.as_blob_or_null()?;
    Ok(EntryRow {
        version: row.get(0)?,
        checksum: row.get(1)?,
        head: Bytes::copy_from_slice(row.get_ref(2)?.as_blob()?),
        place: place(row, 3)?,
        content: content.map(Bytes::copy_from_slice),
    })
}

pub(super) fn get(shared: &Shared, key: &Key) -> Result<Option<Found<Box<Chunks>>>> {
    let link = shared.link()?;
    get_with(shared, &link, key)
}

/// Like [`get`], but waits for nobody. Returns `None` if it would have to wait for a connection or
/// for a lock on the file.
pub(super) fn try_get(shared: &Shared, key: &Key) -> Result<Option<Option<Found<Box<Chunks>>>>> {
    // If the store is closed, `get` says so.
    let Some(link) = shared.pool.try_take() else { return Ok(None) };
    match link.within(Duration::ZERO, |_| get_with(shared, &link, key)) {
        Err(error) if is_from_busy(&error) => Ok(None),
        found => found.map(Some),
    }
}

fn get_with(shared: &Shared, link: &Link, key: &Key) -> Result<Option<Found<Box<Chunks>>>> {
    for _ in 0..OVERTAKEN {
        match look(shared, link, key)? {
            Look::Found(found) => return Ok(Some(*found)),
            Look::Nothing => return Ok(None),
            Look::Overtaken => {}
        }
    }
    Err(corrupt_entry(key, "a body with a missing chunk"))
}

enum Look {
    Found(Box<Found<Box<Chunks>>>),
    Nothing,
    /// The entry was there, and its body is being removed.
    Overtaken,
}

fn look(shared: &Shared, link: &Link, key: &Key) -> Result<Look> {
    let found = link
        .patiently(|conn| {
            conn.prepare_cached(
                "SELECT version, checksum, head, body, body_bytes, content_checksum, content
                 FROM entries WHERE key = ?1",
            )?
            .query_row([key.as_bytes()], entry_row)
            .optional()
        })
        .map_err(|error| shared.entry_fault(key, error))?;
    let Some(entry) = found else { return Ok(Look::Nothing) };
    let place = entry.place;
    let head = decode(key, entry.checksum, &place, entry.head)?;
    if place.len != head.body_len() {
        return Err(corrupt_entry(key, "a body whose length differs from its head's"));
    }
    let body = match (place.body, entry.content) {
        (None, Some(content)) => {
            if Some(crc32fast::hash(&content)) != place.content_checksum
                || content.len() as u64 != place.len
            {
                return Err(corrupt_entry(key, "a body that does not match its checksum"));
            }
            FoundBody::Here(content)
        }
        (Some(body), _) => {
            let Some(lease) = shared.leases.take(body as u64) else { return Ok(Look::Overtaken) };
            let mut rest = Chunks::new(*key, body, place.len, lease);
            // Only the first: a caller that wants the head only should not wait for more.
            let Some(mut first) = rest.read(shared, link, 1)? else { return Ok(Look::Overtaken) };
            match (first.pop_front(), rest.is_read()) {
                (Some(only), true) => FoundBody::Here(only),
                (Some(first), _) => {
                    FoundBody::Chunks { first, rest: Box::new(rest), len: place.len }
                }
                (None, _) => FoundBody::Here(Bytes::new()),
            }
        }
        (None, None) => return Err(corrupt_entry(key, "no body")),
    };
    shared.visited.set(key.as_bytes());
    let version = Version::new(entry.version as u64);
    Ok(Look::Found(Box::new(Found { head: Arc::new(head), version, body })))
}

/// Returns the checked head of a row.
pub(super) fn decode(key: &Key, checksum: u32, place: &Place, head: Bytes) -> Result<Head> {
    if place.checksum(key.as_bytes(), &head) != checksum {
        return Err(corrupt_entry(key, "a row that does not match its checksum"));
    }
    Head::decode(head).map_err(|error| corrupt_entry(key, "a damaged head").with_source(error))
}

// ===== counting =====

pub(super) fn len(shared: &Shared) -> Result<u64> {
    count(shared, "SELECT entries FROM state")
}

pub(super) fn size(shared: &Shared) -> Result<u64> {
    count(shared, "SELECT bytes FROM state")
}

fn count(shared: &Shared, sql: &str) -> Result<u64> {
    let link = shared.link()?;
    let count =
        link.patiently(|conn| conn.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0)));
    let count = count.map_err(|error| shared.read_fault(error))?;
    Ok(u64::try_from(count).unwrap_or(0))
}
