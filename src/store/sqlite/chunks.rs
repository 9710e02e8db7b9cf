//! Large bodies: some chunks are read at a time, while the reader goes on.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use rusqlite::params;

use super::{
    fault::{STORE, corrupt_entry},
    inner::Inner,
    link::Link,
    schema::{CHUNK, Damage, chunk_checksum, chunk_count, chunk_len},
    shared::Shared,
    task::{here, off},
};
use crate::{
    Key,
    store::{
        Error, ErrorKind, Result,
        embedded::{Lease, Reads, Task},
    },
};

/// How many chunks are read at a time. As many again are read ahead.
const AHEAD: usize = 4;

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
        Self { key, body, len, next: 0, count: chunk_count(len), _lease: lease }
    }

    pub(super) fn is_read(&self) -> bool {
        self.next == self.count
    }

    /// Reads the next chunks, at most `limit`. Returns `None` if the next one is missing.
    pub(super) fn read(
        &mut self,
        shared: &Shared,
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
            .map_err(|error| shared.entry_fault(&self.key, error))?;
        let mut whole = VecDeque::with_capacity(rows.len());
        for (number, checksum, data) in rows {
            match self.check(number, checksum, &data) {
                Ok(()) => whole.push_back(data),
                Err(None) => break,
                // The valid chunks are returned first; the error occurs again next time.
                Err(Some(_)) if !whole.is_empty() => break,
                Err(Some(damage)) => return Err(corrupt_entry(&self.key, damage.0)),
            }
            self.next += 1;
        }
        Ok((!whole.is_empty() || self.is_read()).then_some(whole))
    }

    /// Returns `Err(None)` if it is not the next chunk.
    fn check(&self, number: u64, checksum: u32, data: &[u8]) -> Result<(), Option<Damage>> {
        if number != self.next || number >= self.count {
            return Err(None);
        }
        let number =
            u32::try_from(number).map_err(|_| Damage("a body with an impossible length"))?;
        if data.len() != chunk_len(self.len, number) {
            return Err(Some(Damage("a chunk with a wrong length")));
        }
        if chunk_checksum(self.body, number, data) != checksum {
            return Err(Some(Damage("a chunk that does not match its checksum")));
        }
        Ok(())
    }

    fn read_some(mut self, shared: &Shared) -> Result<Ahead> {
        if self.is_read() {
            return Ok((None, VecDeque::new()));
        }
        let link = shared.link()?;
        match self.read(shared, &link, AHEAD)? {
            Some(chunks) => Ok((Some(self), chunks)),
            None => Err(self.missing(shared, &link)),
        }
    }

    /// Returns why the next chunk is missing.
    fn missing(&self, shared: &Shared, link: &Link) -> Error {
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
            Err(error) => shared.read_fault(error),
        }
    }
}

/// What is left to read, and what was read.
type Ahead = (Option<Chunks>, VecDeque<Bytes>);

/// A large body as a stream. It keeps the store open until it is dropped.
pub(super) struct Body {
    inner: Arc<Inner>,
    ready: VecDeque<Bytes>,
    ahead: Option<Task<Ahead>>,
    rest: Option<Chunks>,
}

impl Body {
    pub(super) fn new(inner: Arc<Inner>, ready: VecDeque<Bytes>, rest: Option<Chunks>) -> Self {
        Self { inner, ready, ahead: None, rest }
    }
}

impl Stream for Body {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            // The next chunks are read while the caller uses these.
            if let Some(rest) = this.rest.take() {
                let work = move |shared: &Shared| rest.read_some(shared);
                let shared = &this.inner.shared;
                this.ahead = Some(match shared.config.reads.setting() {
                    Reads::InPlace => here(shared, work),
                    _ => off(shared, work),
                });
            }
            if let Some(chunk) = this.ready.pop_front() {
                return Poll::Ready(Some(Ok(chunk)));
            }
            let Some(ahead) = &mut this.ahead else { return Poll::Ready(None) };
            let result = ready!(Pin::new(ahead).poll(cx));
            this.ahead = None;
            match result {
                Ok((rest, ready)) => (this.rest, this.ready) = (rest, ready),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}
