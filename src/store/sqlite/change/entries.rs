//! Entries: written, replaced, updated and removed.

use bytes::Bytes;
use rusqlite::{params, types::Value};

use super::{Change, Transaction};
use crate::{
    Key,
    entry::Head,
    store::{
        Result, Version,
        disk::too_large,
        embedded::{Body, Entry, Outcome, Placed, Purge},
        sqlite::{
            fault::{Raw, STORE, undecodable},
            schema::{ENTRY_REMOVED, Place, cost, millis},
        },
    },
};

pub(super) const EXPIRED: &str = "DELETE FROM entries WHERE id IN
    (SELECT id FROM entries WHERE keep_until <= ?1 ORDER BY keep_until LIMIT ?2)";
pub(super) const TAGGED: &str = "DELETE FROM entries WHERE id IN
    (SELECT entry FROM tags WHERE tag = ?1 LIMIT ?2)";

impl Change<'_> {
    /// A number that no body has had.
    pub(super) fn next_body(&self) -> Raw<i64> {
        let sql = "UPDATE state SET last_body = last_body + 1 RETURNING last_body";
        self.conn.prepare_cached(sql)?.query_row([], |row| row.get(0))
    }

    /// Removes body `body` from the unfinished ones. Returns `false` if it is not among them:
    /// another process may have got a number that a failed transaction had created.
    pub(super) fn end_body(&mut self, body: i64) -> Raw<bool> {
        let sql = "DELETE FROM unfinished WHERE body = ?1 AND owner = ?2";
        Ok(self.execute(sql, [body, self.writing.lock_id()])? == 1)
    }

    pub(super) fn put_entry(&mut self, key: &Key, entry: &Entry, body: Option<i64>) -> Raw<Placed> {
        let head = &entry.head;
        let chunked = matches!(entry.body, Body::Chunks { .. });
        let size = cost(entry.encoded.len(), head.url().len(), head.body_len(), chunked);
        if let Some(body) = body {
            self.end_body(body)?;
        }
        let (body, content) = match &entry.body {
            Body::Inline(bytes) => (None, Some(&bytes[..])),
            Body::Chunks { last, tail } => {
                let body = match body {
                    Some(body) => body,
                    None => self.next_body()?,
                };
                Transaction::chunk(self, body as u64, *last, tail)?;
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

    pub(super) fn update_head(
        &mut self,
        key: &Key,
        seen: Version,
        head: Head,
        version: Version,
    ) -> Raw<Outcome> {
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

    pub(super) fn purge_entries(&mut self, purge: &Purge, limit: i64) -> Raw<usize> {
        match purge {
            Purge::Expired(now) => self.execute(EXPIRED, params![millis(*now), limit]),
            Purge::Tagged(tag) => self.execute(TAGGED, params![tag, limit]),
        }
    }

    /// Removes every entry. Bodies that are being written stay; all others become garbage. Without
    /// the trigger, SQLite drops the tables' pages and reads no row.
    pub(super) fn remove_all(&mut self) -> Raw<()> {
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
}

/// An annotation is no response and has no status.
fn status(head: &Head) -> Option<u16> {
    head.is_response().then(|| head.status().as_u16())
}
