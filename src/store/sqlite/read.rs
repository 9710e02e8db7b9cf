//! Reading: look-ups, the chunks of large bodies, and counting. Each look, each few chunks and each page is read on a
//! connection that is given back at once, so that no reader keeps the log from being written to the file.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use rusqlite::{OptionalExtension, Row, params};

use super::{
    Inner,
    change::{Raw, place},
    fault::{self, STORE},
    link::Link,
    schema::{CHUNK, Damage, Place, chunk_checksum, chunk_count, chunk_len},
    shared::Shared,
};
use crate::{
    Key,
    entry::Head,
    store::{
        Error, ErrorKind, Hit, Result, StoredBody, Version,
        embedded::{self, Lease, Task},
    },
};

/// How many chunks are read in one go; as many again are read ahead.
const AHEAD: usize = 4;

/// How often a look-up begins again that is overtaken by the removal of what it found.
const OVERTAKEN: usize = 10;

/// Runs `work` where it may wait for the disk.
pub(super) fn off<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
) -> Task<T> {
    let shared = shared.clone();
    embedded::off(STORE, move || work(&shared))
}

/// Runs `work` where reading is done, as the settings say.
pub(super) fn reading<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
) -> Task<T> {
    if shared.config.inline_reads {
        embedded::here(STORE, || work(shared))
    } else {
        off(shared, work)
    }
}

// ===== look-ups =====

/// An entry as it was found, with its body in memory or the way to it.
pub(super) struct Found {
    head: Arc<Head>,
    version: Version,
    body: FoundBody,
}

enum FoundBody {
    Here(Bytes),
    Chunks { first: VecDeque<Bytes>, rest: Option<Chunks>, len: u64 },
}

impl Found {
    pub(super) fn into_hit(self, inner: &Arc<Inner>) -> Hit {
        let body = match self.body {
            FoundBody::Here(bytes) => bytes.into(),
            FoundBody::Chunks { first, rest, len } => {
                StoredBody::from_stream(len, Body::new(inner.clone(), first, rest))
            }
        };
        Hit::new(self.head, self.version, body)
    }
}

/// What there is in an entry's row.
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

pub(super) fn get(shared: &Shared, key: &Key) -> Result<Option<Found>> {
    let link = shared.link()?;
    for _ in 0..OVERTAKEN {
        match look(shared, &link, key)? {
            Look::Found(found) => return Ok(Some(*found)),
            Look::Nothing => return Ok(None),
            Look::Overtaken => {}
        }
    }
    Err(corrupt_entry(key, "a body of which a chunk is missing"))
}

enum Look {
    Found(Box<Found>),
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
        .map_err(|error| entry_fault(shared, key, error))?;
    let Some(entry) = found else { return Ok(Look::Nothing) };
    let place = entry.place;
    let head = decode(key, entry.checksum, &place, entry.head)?;
    if place.len != head.body_len() {
        return Err(corrupt_entry(key, "a body of another length than its head says"));
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
            let count = chunk_count(place.len);
            let mut rest =
                Chunks { key: *key, body, len: place.len, next: 0, count, _lease: lease };
            // The first alone: whoever wants the head only should not wait for more.
            let Some(mut first) = rest.read(shared, link, 1)? else { return Ok(Look::Overtaken) };
            match (first.pop_front(), first.is_empty() && rest.next == count) {
                (Some(only), true) => FoundBody::Here(only),
                (Some(chunk), false) => {
                    first.push_front(chunk);
                    FoundBody::Chunks { first, rest: Some(rest), len: place.len }
                }
                (None, _) => FoundBody::Here(Bytes::new()),
            }
        }
        (None, None) => return Err(corrupt_entry(key, "no body")),
    };
    shared.marks.set(key.as_bytes());
    let version = Version::new(entry.version as u64);
    Ok(Look::Found(Box::new(Found { head: Arc::new(head), version, body })))
}

/// The head in a row, checked.
pub(super) fn decode(key: &Key, checksum: u32, place: &Place, head: Bytes) -> Result<Head> {
    if place.checksum(key.as_bytes(), &head) != checksum {
        return Err(corrupt_entry(key, "a row that does not match its checksum"));
    }
    Head::decode(head).map_err(|error| corrupt_entry(key, "a damaged head").with_source(error))
}

pub(super) fn corrupt_entry(key: &Key, what: &str) -> Error {
    fault::corrupt(format!("the entry of key {key} has {what}"))
}

/// A column of the wrong type is damage to that entry, not to the file.
fn entry_fault(shared: &Shared, key: &Key, error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        None => corrupt_entry(key, "a row that does not decode").with_source(error),
        Some(_) => shared.read_fault(error),
    }
}

// ===== large bodies =====

/// The chunks of a body whose entry was found.
struct Chunks {
    key: Key,
    body: i64,
    len: u64,
    next: u64,
    count: u64,
    /// They are not collected, whatever becomes of the entry. Other processes know nothing of it.
    _lease: Lease,
}

impl Chunks {
    /// The next chunks, `limit` at most; `None` where the next one is not there.
    fn read(
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
            .map_err(|error| entry_fault(shared, &self.key, error))?;
        let mut whole = VecDeque::with_capacity(rows.len());
        for (number, checksum, data) in rows {
            match self.check(number, checksum, &data) {
                Ok(()) => whole.push_back(data),
                Err(None) => break,
                // What is whole is handed out first; the error comes up again next time.
                Err(Some(_)) if !whole.is_empty() => break,
                Err(Some(damage)) => return Err(corrupt_entry(&self.key, damage.0)),
            }
            self.next += 1;
        }
        Ok((!whole.is_empty() || self.next == self.count).then_some(whole))
    }

    /// `Err(None)` where it is not the next one.
    fn check(&self, number: u64, checksum: u32, data: &[u8]) -> Result<(), Option<Damage>> {
        if number != self.next || number >= self.count {
            return Err(None);
        }
        let number = u32::try_from(number).map_err(|_| Damage("a body of an impossible length"))?;
        if data.len() != chunk_len(self.len, number) {
            return Err(Some(Damage("a chunk of another length")));
        }
        if chunk_checksum(self.body, number, data) != checksum {
            return Err(Some(Damage("a chunk that does not match its checksum")));
        }
        Ok(())
    }

    fn read_some(mut self, shared: &Shared) -> Result<Ahead> {
        if self.next == self.count {
            return Ok((None, VecDeque::new()));
        }
        let link = shared.link()?;
        match self.read(shared, &link, AHEAD)? {
            Some(chunks) => Ok((Some(self), chunks)),
            None => Err(self.missing(shared, &link)),
        }
    }

    /// Why the next chunk is not there.
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
            Ok(_) => corrupt_entry(&self.key, "a body of which a chunk is missing"),
            Err(error) => shared.read_fault(error),
        }
    }
}

/// What there is still to read, and what was read.
type Ahead = (Option<Chunks>, VecDeque<Bytes>);

/// A large body as a stream. It keeps the store open until it is dropped.
struct Body {
    inner: Arc<Inner>,
    ready: VecDeque<Bytes>,
    ahead: Option<Task<Ahead>>,
    rest: Option<Chunks>,
}

impl Body {
    fn new(inner: Arc<Inner>, ready: VecDeque<Bytes>, rest: Option<Chunks>) -> Self {
        Self { inner, ready, ahead: None, rest }
    }
}

impl Stream for Body {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            // Reading goes on while the caller is busy with what it has.
            if let Some(rest) = this.rest.take() {
                let work = move |shared: &Shared| rest.read_some(shared);
                this.ahead = Some(reading(&this.inner.shared, work));
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

// What is copied at once stays small.
const _: () = assert!(AHEAD * CHUNK <= 1 << 20);
