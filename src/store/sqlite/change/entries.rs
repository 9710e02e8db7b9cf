//! Entries: written, replaced, updated and removed.

use bytes::Bytes;
use rusqlite::{params, types::Value};

use super::{Body, Change, ChangeResult, Entry, Raw, abandoned, place, too_large};
use crate::{
    Key,
    entry::Head,
    store::{
        Version,
        sqlite::{
            fault,
            schema::{ENTRY_REMOVED, Place, cost, millis},
        },
    },
};

impl Change<'_> {
    /// Publishes an entry. `body` is the number of all chunks but the last, if there are any.
    pub(in crate::store::sqlite) fn put(
        &mut self,
        key: &Key,
        entry: &Entry,
        body: Option<i64>,
    ) -> Raw<ChangeResult> {
        let head = &entry.head;
        let chunked = matches!(entry.body, Body::Chunks { .. });
        let size = cost(entry.encoded.len(), head.url().len(), head.body_len(), chunked);
        if size > self.max_bytes {
            if let Some(body) = body {
                self.abandon(body)?;
            }
            return Ok(Err(too_large(size, self.max_bytes)));
        }
        if let Some(body) = body
            && !self.end_body(body)?
        {
            return Ok(Err(abandoned()));
        }
        let (body, content) = match &entry.body {
            Body::Inline(bytes) => (None, Some(&bytes[..])),
            Body::Chunks { last, tail } => {
                let body = match body {
                    Some(body) => body,
                    None => self.next_body()?,
                };
                self.chunk(body, *last, tail)?;
                (Some(body), None)
            }
        };
        let place =
            Place { body, len: head.body_len(), content_checksum: content.map(crc32fast::hash) };
        let version = self.versions.next();
        let mut insert = self.conn.prepare_cached(
            "INSERT INTO entries (key, version, method, url, status, stored_at, expires_at,
                 keep_until, body_bytes, size, body, checksum, content_checksum, head, content)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
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
                &entry.encoded,
                content,
            ],
            |row| row.get(0),
        )?;
        self.tag(id, head)?;
        Ok(Ok(0))
    }

    /// Gives the entry exactly the tags of its head.
    fn tag(&mut self, id: i64, head: &Head) -> Raw<()> {
        let mut missing: Vec<&str> = head.tags().iter().map(|tag| &**tag).collect();
        missing.sort_unstable();
        missing.dedup();
        let mut select = self.conn.prepare_cached("SELECT tag FROM tags WHERE entry = ?1")?;
        let mut extra = Vec::new();
        let mut rows = select.query([id])?;
        while let Some(row) = rows.next()? {
            // Of any type: damage may have changed it.
            let value: Value = row.get(0)?;
            let known = match &value {
                Value::Text(tag) => missing.iter().position(|other| other == tag),
                _ => None,
            };
            match known {
                Some(position) => drop(missing.swap_remove(position)),
                None => extra.push(value),
            }
        }
        for tag in extra {
            self.execute("DELETE FROM tags WHERE entry = ?1 AND tag = ?2", params![id, tag])?;
        }
        for tag in missing {
            self.execute("INSERT INTO tags (entry, tag) VALUES (?1, ?2)", params![id, tag])?;
        }
        Ok(())
    }

    /// Replaces the head of the entry if it has the version `seen`.
    pub(in crate::store::sqlite) fn update(
        &mut self,
        key: &Key,
        seen: Version,
        head: Head,
    ) -> Raw<ChangeResult> {
        let seen = seen.get() as i64;
        let found = self.one(
            "SELECT id, checksum, head, body, body_bytes, content_checksum
             FROM entries WHERE key = ?1 AND version = ?2",
            params![key.as_bytes(), seen],
            |row| {
                let head = Bytes::copy_from_slice(row.get_ref(2)?.as_blob()?);
                Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?, head, place(row, 3)?))
            },
        )?;
        let Some((id, checksum, old, place)) = found else { return Ok(Ok(0)) };
        let damaged = |what: &str| fault::corrupt(format!("the entry of key {key} has {what}"));
        if place.checksum(key.as_bytes(), &old) != checksum {
            return Ok(Err(damaged("a row that does not match its checksum")));
        }
        let old = match Head::decode(old) {
            Ok(old) => old,
            Err(error) => return Ok(Err(damaged("a damaged head").with_source(error))),
        };
        let head = head.carry_body(&old);
        let encoded = head.encode();
        let size = cost(encoded.len(), head.url().len(), place.len, place.body.is_some());
        if size > self.max_bytes {
            return Ok(Err(too_large(size, self.max_bytes)));
        }
        let version = self.versions.next();
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

    pub(in crate::store::sqlite) fn remove(
        &mut self,
        key: &Key,
        seen: Option<Version>,
    ) -> Raw<ChangeResult> {
        let removed = match seen {
            None => self.execute("DELETE FROM entries WHERE key = ?1", [key.as_bytes()])?,
            Some(seen) => self.execute(
                "DELETE FROM entries WHERE key = ?1 AND version = ?2",
                params![key.as_bytes(), seen.get() as i64],
            )?,
        };
        Ok(Ok(removed as u64))
    }

    /// Removes every entry. Bodies that are being written stay; all others become garbage. Without
    /// the trigger, SQLite drops the tables' pages and reads no row.
    pub(in crate::store::sqlite) fn clear(&mut self) -> Raw<ChangeResult> {
        self.conn.execute_batch(&format!(
            "DROP TRIGGER entry_removed;
             DELETE FROM entries;
             DELETE FROM tags;
             {ENTRY_REMOVED}
             INSERT OR REPLACE INTO garbage SELECT body, 0, count(*) FROM chunks
                 WHERE body NOT IN (SELECT body FROM unfinished) GROUP BY body;
             UPDATE state SET entries = 0, bytes = 0, hand = 0;"
        ))?;
        Ok(Ok(0))
    }
}

/// An annotation is no response and has no status.
fn status(head: &Head) -> Option<u16> {
    head.is_response().then(|| head.status().as_u16())
}
