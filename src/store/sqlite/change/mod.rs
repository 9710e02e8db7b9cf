//! What a write transaction does to the tables. Triggers keep the sums, remove tags, and turn
//! bodies that lose their entry into garbage.

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Params, Row, params, types::Value};

use super::{
    db::Writing,
    fault::{Raw, STORE, undecodable},
    schema::{ENTRY_REMOVED, Place, chunk_checksum, cost, key_of, millis},
};
use crate::{
    Key,
    entry::Head,
    store::{
        Result, Version,
        disk::too_large,
        embedded::{
            Body, Entry, Garbage, KeyStart, Leases, Outcome, Placed, Purge, QueueState, Step,
            Transaction, key_start,
        },
    },
    time::{Clock, SystemClock},
};

mod garbage;
#[cfg(test)]
mod tests;

/// How many pages are released from the file in one transaction.
const PAGES: i64 = 1_024;

pub(super) const EXPIRED: &str = "DELETE FROM entries WHERE id IN
    (SELECT id FROM entries WHERE keep_until <= ?1 ORDER BY keep_until LIMIT ?2)";
pub(super) const TAGGED: &str = "DELETE FROM entries WHERE id IN
    (SELECT entry FROM tags WHERE tag = ?1 LIMIT ?2)";

pub(super) struct Change<'c> {
    conn: &'c Connection,
    writing: &'c Writing,
    max_bytes: u64,
    incremental_vacuum: bool,
}

impl<'c> Change<'c> {
    /// `conn` is in a transaction.
    pub(super) fn new(
        conn: &'c Connection,
        writing: &'c Writing,
        max_bytes: u64,
        incremental_vacuum: bool,
    ) -> Self {
        Self { conn, writing, max_bytes, incremental_vacuum }
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

    /// A number that no body has had.
    fn next_body(&self) -> Raw<i64> {
        let sql = "UPDATE state SET last_body = last_body + 1 RETURNING last_body";
        self.conn.prepare_cached(sql)?.query_row([], |row| row.get(0))
    }

    /// Removes body `body` from the unfinished ones. Returns `false` if it is not among them:
    /// another process may have got a number that a failed transaction had created.
    fn end_body(&mut self, body: i64) -> Raw<bool> {
        let sql = "DELETE FROM unfinished WHERE body = ?1 AND owner = ?2";
        Ok(self.execute(sql, [body, self.writing.lock_id()])? == 1)
    }

    /// Gives the entry exactly the tags of its head.
    fn tag(&mut self, id: i64, head: &Head) -> Raw<()> {
        let mut missing: Vec<&str> = head.tags().iter().map(|tag| &**tag).collect();
        missing.sort_unstable();
        missing.dedup();
        let mut is_known = vec![false; missing.len()];
        let mut select = self.conn.prepare_cached("SELECT tag FROM tags WHERE entry = ?1")?;
        let mut extra = Vec::new();
        let mut rows = select.query([id])?;
        while let Some(row) = rows.next()? {
            // Of any type: damage may have changed it.
            let value: Value = row.get(0)?;
            let known = match &value {
                Value::Text(tag) => missing.binary_search(&tag.as_str()).ok(),
                _ => None,
            };
            match known {
                Some(position) => is_known[position] = true,
                None => extra.push(value),
            }
        }
        for tag in extra {
            self.execute("DELETE FROM tags WHERE entry = ?1 AND tag = ?2", params![id, tag])?;
        }
        for (tag, _) in missing.iter().zip(is_known).filter(|(_, is_known)| !is_known) {
            self.execute("INSERT INTO tags (entry, tag) VALUES (?1, ?2)", params![id, tag])?;
        }
        Ok(())
    }
}

impl Transaction for Change<'_> {
    type Fault = rusqlite::Error;

    // ----- entries -----

    fn put(&mut self, key: &Key, entry: &Entry, body: Option<u64>) -> Raw<Placed> {
        let head = &entry.head;
        let chunked = matches!(entry.body, Body::Chunks { .. });
        let size = cost(entry.encoded.len(), head.url().len(), head.body_len(), chunked);
        if let Some(body) = body {
            self.end_body(body as i64)?;
        }
        let (body, content) = match &entry.body {
            Body::Inline(bytes) => (None, Some(&bytes[..])),
            Body::Chunks { last, tail } => {
                let body = match body {
                    Some(body) => body as i64,
                    None => self.next_body()?,
                };
                self.chunk(body as u64, *last, tail)?;
                (Some(body), None)
            }
        };
        let place =
            Place { body, len: head.body_len(), content_checksum: content.map(crc32fast::hash) };
        let version = entry.version.get() as i64;
        let next = self.next_place()?;
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO entries (id, key, version, method, url, status, stored_at, expires_at,
                 keep_until, body_bytes, size, body, checksum, content_checksum, head, content)
             VALUES (?16, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
             ON CONFLICT (key) DO UPDATE SET version = excluded.version,
                 method = excluded.method, url = excluded.url, status = excluded.status,
                 stored_at = excluded.stored_at, expires_at = excluded.expires_at,
                 keep_until = excluded.keep_until, body_bytes = excluded.body_bytes,
                 size = excluded.size, body = excluded.body, checksum = excluded.checksum,
                 content_checksum = excluded.content_checksum, head = excluded.head,
                 content = excluded.content
             RETURNING id",
        )?;
        let id: i64 = insert.query_row(
            params![
                key.as_bytes(),
                version,
                head.method().as_str(),
                head.url(),
                status(head),
                millis(head.stored_at()),
                head.expires_at().map(millis),
                head.keep_until().map(millis),
                head.body_len(),
                size as i64,
                place.body,
                place.checksum(key.as_bytes(), &entry.encoded),
                place.content_checksum,
                &entry.encoded[..],
                content,
                next as i64,
            ],
            |row| row.get(0),
        )?;
        self.tag(id, head)?;
        // A replaced entry keeps its number, which is lower.
        Ok(Placed { place: id as u64, is_new: id >= next as i64 })
    }

    fn update(&mut self, key: &Key, seen: Version, head: Head, version: Version) -> Raw<Outcome> {
        let seen = seen.get() as i64;
        let found = self.one(
            "SELECT id, checksum, head, body, body_bytes, content_checksum
             FROM entries WHERE key = ?1 AND version = ?2",
            params![key.as_bytes(), seen],
            |row| {
                let columns = || -> Raw<_> {
                    let head = Bytes::copy_from_slice(row.get_ref(2)?.as_blob()?);
                    Ok((row.get::<_, i64>(0)?, row.get(1)?, head, Place::read(row, 3)?))
                };
                // A column of the wrong type is damage to this entry alone.
                Ok(columns())
            },
        )?;
        let Some(columns) = found else { return Ok(Ok(0)) };
        let old = || -> Result<_> {
            let (id, checksum, old, place) = columns.map_err(|error| undecodable(key, error))?;
            Ok((id, place.head(key, checksum, old)?, place))
        };
        let (id, old, place) = match old() {
            Ok(old) => old,
            Err(error) => return Ok(Err(error)),
        };
        let head = head.carry_body(&old);
        let encoded = head.encode();
        let size = cost(encoded.len(), head.url().len(), place.len, place.body.is_some());
        if size > self.max_bytes {
            return Ok(Err(too_large(STORE, size, self.max_bytes)));
        }
        let version = version.get() as i64;
        self.execute(
            "UPDATE entries SET version = ?2, method = ?3, url = ?4, status = ?5, stored_at = ?6,
                 expires_at = ?7, keep_until = ?8, size = ?9, checksum = ?10, head = ?11
             WHERE id = ?1",
            params![
                id,
                version,
                head.method().as_str(),
                head.url(),
                status(&head),
                millis(head.stored_at()),
                head.expires_at().map(millis),
                head.keep_until().map(millis),
                size as i64,
                place.checksum(key.as_bytes(), &encoded),
                &encoded,
            ],
        )?;
        self.tag(id, &head)?;
        Ok(Ok(1))
    }

    fn remove(&mut self, key: &Key, seen: Option<Version>) -> Raw<bool> {
        let removed = match seen {
            None => self.execute("DELETE FROM entries WHERE key = ?1", [key.as_bytes()])?,
            Some(seen) => self.execute(
                "DELETE FROM entries WHERE key = ?1 AND version = ?2",
                params![key.as_bytes(), seen.get() as i64],
            )?,
        };
        Ok(removed > 0)
    }

    fn purge(&mut self, purge: &Purge, limit: usize) -> Raw<Step> {
        let removed = match purge {
            Purge::Expired(now) => {
                self.execute(EXPIRED, params![millis(*now), row_id(limit as u64)])?
            }
            Purge::Tagged(tag) => self.execute(TAGGED, params![tag, row_id(limit as u64)])?,
        };
        let mut is_done = removed < limit;
        if let (true, Purge::Tagged(tag)) = (is_done, purge) {
            // Rows of a tag without an entry: damage can leave one, and it hides others.
            let orphans =
                "DELETE FROM tags WHERE tag = ?1 AND entry NOT IN (SELECT id FROM entries)";
            is_done = self.execute(orphans, [tag])? == 0;
        }
        Ok(Step { removed: removed as u64, is_done })
    }

    /// Removes every entry. Bodies that are being written stay; all others become garbage. Without
    /// the trigger, SQLite drops the tables' pages and reads no row.
    fn clear(&mut self) -> Raw<()> {
        self.conn.execute_batch(&format!(
            "DROP TRIGGER IF EXISTS entry_removed;
             DELETE FROM entries;
             DELETE FROM tags;
             {ENTRY_REMOVED}
             INSERT OR REPLACE INTO garbage SELECT body, 0, count(*) FROM chunks
                 WHERE body NOT IN (SELECT body FROM unfinished) GROUP BY body;
             UPDATE state SET entries = 0, bytes = 0, hand = 0, boundary = 0, window_bytes = 0;"
        ))
    }

    // ----- bodies without an entry -----

    fn begin_body(&mut self) -> Raw<Outcome> {
        if let Err(error) = self.writing.lock() {
            return Ok(Err(error));
        }
        let body = self.next_body()?;
        let owner = self.writing.lock_id();
        self.execute("INSERT INTO unfinished (body, owner) VALUES (?1, ?2)", [body, owner])?;
        Ok(Ok(body as u64))
    }

    fn is_unfinished(&mut self, id: u64) -> Raw<bool> {
        let sql = "SELECT count(*) FROM unfinished WHERE body = ?1 AND owner = ?2";
        Ok(self.number(sql, [id as i64, self.writing.lock_id()])? == 1)
    }

    fn chunk(&mut self, id: u64, index: u32, payload: &[u8]) -> Raw<()> {
        let id = id as i64;
        self.execute(
            "INSERT INTO chunks (body, number, checksum, data) VALUES (?1, ?2, ?3, ?4)",
            params![id, index, chunk_checksum(id, index, payload), payload],
        )?;
        Ok(())
    }

    /// The body has no readers, so it can be removed at once.
    fn abandon(&mut self, id: u64) -> Raw<()> {
        if self.end_body(id as i64)? {
            self.execute("INSERT OR REPLACE INTO garbage VALUES (?1, 0, 0)", [id as i64])?;
        }
        Ok(())
    }

    fn abandon_dead(&mut self) -> Raw<()> {
        self.writing.find_stale_locks();
        let mut select =
            self.conn.prepare("SELECT DISTINCT cast(owner AS INTEGER) FROM unfinished")?;
        let owners: Vec<i64> = select.query_map([], |row| row.get(0))?.collect::<Raw<_>>()?;
        for owner in owners.into_iter().filter(|owner| self.writing.is_dead(*owner)) {
            self.execute(
                "INSERT OR REPLACE INTO garbage SELECT body, 0, 0 FROM unfinished WHERE owner = ?1",
                [owner],
            )?;
            self.execute("DELETE FROM unfinished WHERE owner = ?1", [owner])?;
        }
        Ok(())
    }

    fn collect(&mut self, limit: u32, at_once: bool, leases: &Leases) -> Raw<()> {
        let grace = self.grace(at_once, SystemClock.now())?;
        self.collect_chunks(limit, grace, leases)
    }

    fn garbage(&mut self, at_once: bool, leases: &Leases) -> Raw<Garbage> {
        // Most transactions leave none.
        if self.number("SELECT EXISTS (SELECT * FROM garbage)", [])? == 0 {
            return Ok(Garbage::default());
        }
        let grace = self.grace(at_once, SystemClock.now())?;
        let is_there = self.has_garbage(grace, leases)?;
        Ok(Garbage { is_there, ripens: self.next_garbage(grace)? })
    }

    // ----- eviction: the place of an entry is its number -----

    fn size(&mut self) -> Raw<u64> {
        Ok(u64::try_from(self.number("SELECT bytes FROM state", [])?).unwrap_or(0))
    }

    fn queue(&mut self) -> Raw<QueueState> {
        let sql = "SELECT hand, boundary, window_bytes FROM state";
        let queue = self.one(sql, [], |row| {
            let number = |column| row.get::<_, i64>(column).map(|number| number.max(0) as u64);
            Ok(QueueState { hand: number(0)?, boundary: number(1)?, window: number(2)? })
        })?;
        Ok(queue.unwrap_or_default())
    }

    fn set_queue(&mut self, QueueState { hand, boundary, window }: QueueState) -> Raw<()> {
        let sql = "UPDATE state SET hand = ?1, boundary = ?2, window_bytes = ?3";
        self.execute(sql, [row_id(hand), row_id(boundary), row_id(window)])?;
        Ok(())
    }

    fn next_place(&mut self) -> Raw<u64> {
        // Never below the boundary, even if the newest entries were removed.
        let sql = "SELECT max(boundary, coalesce((SELECT max(id) FROM entries), 0) + 1) FROM state";
        Ok(self.number(sql, [])?.max(1) as u64)
    }

    fn places(&mut self, from: u64, end: u64, limit: usize) -> Raw<Vec<(u64, Option<KeyStart>)>> {
        let mut select = self.conn.prepare_cached(
            "SELECT id, key FROM entries WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3",
        )?;
        let mut rows = select.query(params![row_id(from), row_id(end), limit])?;
        let mut places = Vec::new();
        while let Some(row) = rows.next()? {
            let key = row.get_ref(1)?.as_blob().ok().and_then(key_of).map(|key| key_start(&key));
            places.push((row.get::<_, i64>(0)?.max(0) as u64, key));
        }
        Ok(places)
    }

    fn cost_at(&mut self, place: u64, _: Option<KeyStart>) -> Raw<u64> {
        let sql = "SELECT cast(size AS INTEGER) FROM entries WHERE id = ?1";
        let bytes = self.number(sql, [row_id(place)])?;
        Ok(bytes.max(0) as u64)
    }

    fn evict(&mut self, place: u64, _: Option<KeyStart>) -> Raw<bool> {
        Ok(self.execute("DELETE FROM entries WHERE id = ?1", [row_id(place)])? > 0)
    }

    /// By reading all entries.
    fn recount(&mut self) -> Raw<()> {
        self.execute(
            "UPDATE state SET entries = (SELECT count(*) FROM entries),
                 bytes = (SELECT coalesce(sum(size), 0) FROM entries)",
            [],
        )?;
        Ok(())
    }

    // ----- the size of the file -----

    fn vacuum(&mut self, has_garbage: bool) -> Raw<Step> {
        let pages = self.pages()?;
        self.shrink(PAGES)?;
        let removed = (pages - self.pages()?).max(0) * self.page_size()?;
        // If a step removes nothing, none will: the file cannot be made smaller.
        let is_done = !has_garbage && (self.unused_pages()? == 0 || removed == 0);
        Ok(Step { removed: removed as u64, is_done })
    }

    fn give_back(&mut self) -> Raw<bool> {
        if !self.incremental_vacuum {
            return Ok(false);
        }
        let too_many = |change: &Self| -> Raw<i64> {
            Ok(change.unused_pages()? - change.pages()? / 8 - PAGES / 4)
        };
        let extra = too_many(self)?;
        if extra <= 0 {
            return Ok(false);
        }
        self.shrink(extra.min(PAGES))?;
        let left = too_many(self)?;
        Ok(left > 0 && left < extra)
    }
}

/// A place as SQLite's signed number.
fn row_id(place: u64) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}

/// An annotation is no response and has no status.
fn status(head: &Head) -> Option<u16> {
    head.is_response().then(|| head.status().as_u16())
}
