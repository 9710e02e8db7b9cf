//! Reads: lookups, listings and counts. Each lookup, each few chunks of a body and each page of a
//! scan uses a connection that is returned at once, so that no reader keeps the log from being
//! written to the file.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use rusqlite::{OptionalExtension, Row, params};

use super::{
    chunks::Chunks,
    db::Db,
    fault::{self, Raw, corrupt_entry, is_from_busy, undecodable},
    link::Link,
    schema::{Place, key_of},
};
use crate::{
    Key,
    store::{
        Result, Scanned, Version,
        disk::{PAGE, PAGE_BYTES, Page},
        embedded::{Found, Leases, Lookup, Read},
    },
};

/// How often a lookup is repeated because the found body is being removed.
const OVERTAKEN: usize = 10;

impl Read for Db {
    type Chunks = Chunks;
    type Cursor = Cursor;

    fn get(&self, key: &Key, leases: &Arc<Leases>) -> Result<Lookup<Self>> {
        get_with(self, &*self.link()?, key, leases)
    }

    /// Does not wait for a connection either.
    fn try_get(&self, key: &Key, leases: &Arc<Leases>) -> Result<Option<Lookup<Self>>> {
        // If the store is closed, `get` says so.
        let link = if self.must_wait_for_log() { None } else { self.pool.try_take() };
        let Some(link) = link else { return Ok(None) };
        match link.within(Duration::ZERO, |_| get_with(self, &link, key, leases)) {
            Err(error) if is_from_busy(&error) => Ok(None),
            found => found.map(Some),
        }
    }

    fn read_chunks(&self, rest: &mut Chunks) -> Result<(VecDeque<Result<Bytes>>, bool)> {
        rest.read_some(self)
    }

    /// The entries in the order in which they were added. A replaced or updated entry keeps its
    /// place.
    fn list(&self, Cursor(after): Cursor) -> Result<Page<Cursor, Scanned>> {
        let link = self.link()?;
        let page = link.patiently(|conn| {
            let mut select = conn.prepare_cached(
                "SELECT id, key, version, checksum, head, body, body_bytes, content_checksum
                 FROM entries WHERE id > ?1 ORDER BY id LIMIT ?2",
            )?;
            let mut rows = select.query(params![after, PAGE])?;
            let (mut items, mut bytes) = (VecDeque::new(), 0);
            while let Some(row) = rows.next()? {
                let id = row.get(0)?;
                let item = scanned(row);
                bytes += item.as_ref().map_or(0, |item| item.head.size());
                items.push_back(item);
                if items.len() == PAGE || bytes >= PAGE_BYTES {
                    return Ok((Some(Cursor(id)), items));
                }
            }
            Ok((None, items))
        });
        page.map_err(|error| self.read_fault(error))
    }

    fn len(&self) -> Result<u64> {
        count(self, "SELECT entries FROM state")
    }

    fn size(&self) -> Result<u64> {
        count(self, "SELECT bytes FROM state")
    }
}

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
        place: Place::read(row, 3)?,
        content: content.map(Bytes::copy_from_slice),
    })
}

fn get_with(db: &Db, link: &Link, key: &Key, leases: &Arc<Leases>) -> Result<Lookup<Db>> {
    for _ in 0..OVERTAKEN {
        if let Some(found) = look(db, link, key, leases)? {
            return Ok(found);
        }
    }
    Err(corrupt_entry(key, "a body with a missing chunk"))
}

/// Returns `None` if the entry was there, and its body is being removed.
fn look(db: &Db, link: &Link, key: &Key, leases: &Arc<Leases>) -> Result<Option<Lookup<Db>>> {
    let found = link
        .patiently(|conn| {
            conn.prepare_cached(
                "SELECT version, checksum, head, body, body_bytes, content_checksum, content
                 FROM entries WHERE key = ?1",
            )?
            .query_row([key.as_bytes()], entry_row)
            .optional()
        })
        .map_err(|error| db.entry_fault(key, error))?;
    let Some(entry) = found else { return Ok(Some(None)) };
    let place = entry.place;
    let head = place.head(key, entry.checksum, entry.head)?;
    if place.len != head.body_len() {
        return Err(corrupt_entry(key, "a body whose length differs from its head's"));
    }
    let (first, rest) = match (place.body, entry.content) {
        (None, Some(content)) => {
            if Some(crc32fast::hash(&content)) != place.content_checksum
                || content.len() as u64 != place.len
            {
                return Err(corrupt_entry(key, "a body that does not match its checksum"));
            }
            (content, None)
        }
        (Some(body), _) => {
            let Some(lease) = leases.take(body as u64) else { return Ok(None) };
            let mut rest = Chunks::new(*key, body, place.len, lease);
            // Only the first: a caller that wants the head only should not wait for more.
            let Some(mut first) = rest.read(db, link, 1)? else { return Ok(None) };
            let is_read = rest.is_read();
            (first.pop_front().unwrap_or_default(), (!is_read).then(|| Box::new(rest)))
        }
        (None, None) => return Err(corrupt_entry(key, "no body")),
    };
    let version = Version::new(entry.version as u64);
    Ok(Some(Some(Found { head: Arc::new(head), version, first, rest })))
}

// ===== listing and counting =====

/// The number of the entry after which a listing continues. Numbers begin at 1, but a file may have
/// been changed by hand.
#[derive(Clone, Copy)]
pub(super) struct Cursor(i64);

impl Default for Cursor {
    fn default() -> Self {
        Self(i64::MIN)
    }
}

fn scanned(row: &Row<'_>) -> Result<Scanned> {
    let key = row.get_ref(1).ok().and_then(|key| key_of(key.as_blob().ok()?));
    let key = key.ok_or_else(|| fault::corrupt("an entry has a key that does not decode"))?;
    let columns = || -> Raw<_> {
        let head = Bytes::copy_from_slice(row.get_ref(4)?.as_blob()?);
        Ok((row.get::<_, i64>(2)?, row.get(3)?, head, Place::read(row, 5)?))
    };
    let (version, checksum, head, place) = columns().map_err(|error| undecodable(&key, error))?;
    let head = place.head(&key, checksum, head)?;
    Ok(Scanned::new(key, Version::new(version as u64), Arc::new(head)))
}

fn count(db: &Db, sql: &str) -> Result<u64> {
    let link = db.link()?;
    let count =
        link.patiently(|conn| conn.prepare_cached(sql)?.query_row([], |row| row.get::<_, i64>(0)));
    let count = count.map_err(|error| db.read_fault(error))?;
    Ok(u64::try_from(count).unwrap_or(0))
}
