//! Large bodies: some chunks are read at a time, while the reader goes on.

use std::collections::VecDeque;

use bytes::Bytes;
use rusqlite::params;

use super::{
    db::Db,
    fault::{STORE, corrupt_entry},
    link::Link,
    schema::{CHUNK, chunk_checksum},
};
use crate::{
    Key,
    store::{
        Error, ErrorKind, Result,
        disk::AHEAD,
        embedded::{Lease, chunk_count, chunk_len},
    },
};

// A read copies little at a time.
const _: () = assert!(AHEAD * CHUNK <= 1 << 20);

/// The chunks of a body whose entry was found.
pub(super) struct Chunks {
    key: Key,
    body: i64,
    len: u64,
    next: u64,
    count: u64,
    /// The chunks are not collected, whatever happens to the entry. Other processes know nothing of
    /// it.
    _lease: Lease,
}

impl Chunks {
    pub(super) fn new(key: Key, body: i64, len: u64, lease: Lease) -> Self {
        Self { key, body, len, next: 0, count: chunk_count(len, CHUNK), _lease: lease }
    }

    pub(super) fn is_read(&self) -> bool {
        self.next == self.count
    }

    /// Reads the next chunks, at most `limit`. Returns `None` if the next one is missing.
    pub(super) fn read(
        &mut self,
        db: &Db,
        link: &Link,
        limit: usize,
    ) -> Result<Option<VecDeque<Bytes>>> {
        let rows = link
            .patiently(|conn| {
                let mut select = conn.prepare_cached(
                    "SELECT number, checksum, data FROM chunks
                     WHERE body = ?1 AND number >= ?2 ORDER BY number LIMIT ?3",
                )?;
                let mut rows = select.query(params![self.body, self.next, limit])?;
                let mut chunks = Vec::with_capacity(limit);
                while let Some(row) = rows.next()? {
                    let data = Bytes::copy_from_slice(row.get_ref(2)?.as_blob()?);
                    chunks.push((row.get::<_, u64>(0)?, row.get::<_, u32>(1)?, data));
                }
                Ok(chunks)
            })
            .map_err(|error| db.entry_fault(&self.key, error))?;
        let mut whole = VecDeque::with_capacity(rows.len());
        for (number, checksum, data) in rows {
            match self.check(number, checksum, &data) {
                Ok(()) => whole.push_back(data),
                Err(None) => break,
                // The valid chunks are returned first; the error occurs again next time.
                Err(Some(_)) if !whole.is_empty() => break,
                Err(Some(what)) => return Err(corrupt_entry(&self.key, what)),
            }
            self.next += 1;
        }
        Ok((!whole.is_empty() || self.is_read()).then_some(whole))
    }

    /// Returns `Err(None)` if it is not the next chunk.
    fn check(&self, number: u64, checksum: u32, data: &[u8]) -> Result<(), Option<&'static str>> {
        if number != self.next || number >= self.count {
            return Err(None);
        }
        let number = u32::try_from(number).map_err(|_| "a body with an impossible length")?;
        if data.len() != chunk_len(self.len, number, CHUNK) {
            return Err(Some("a chunk with a wrong length"));
        }
        if chunk_checksum(self.body, number, data) != checksum {
            return Err(Some("a chunk that does not match its checksum"));
        }
        Ok(())
    }

    /// Reads the next few chunks. Returns them, and whether there are more.
    pub(super) fn read_some(&mut self, db: &Db) -> Result<(VecDeque<Result<Bytes>>, bool)> {
        if self.is_read() {
            return Ok((VecDeque::new(), false));
        }
        let link = db.link()?;
        match self.read(db, &link, AHEAD)? {
            Some(chunks) => Ok((chunks.into_iter().map(Ok).collect(), true)),
            None => Err(self.missing(db, &link)),
        }
    }

    /// Returns why the next chunk is missing.
    fn missing(&self, db: &Db, link: &Link) -> Error {
        let sql = "SELECT count(*) FROM entries WHERE key = ?1 AND body = ?2";
        let count = link.patiently(|conn| {
            conn.query_row(sql, params![self.key.as_bytes(), self.body], |row| row.get::<_, i64>(0))
        });
        match count {
            Ok(0) => {
                let key = &self.key;
                let message = format!(
                    "another process removed the body of key {key} while it was being read"
                );
                Error::new(ErrorKind::Unavailable, STORE, message)
            }
            Ok(_) => corrupt_entry(&self.key, "a body with a missing chunk"),
            Err(error) => db.read_fault(error),
        }
    }
}
