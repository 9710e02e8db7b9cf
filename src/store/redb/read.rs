//! Reads: lookups, chunks of large bodies, and scans. Each lookup, each few chunks and each page is
//! read in redb's latest snapshot, which no write disturbs and which is released at once.

use std::{collections::VecDeque, ops::Bound, sync::Arc};

use bytes::Bytes;
use redb::{ReadOnlyTable, ReadTransaction, ReadableTableMetadata};

use super::{
    db::{Db, Snapshot},
    fault::{STORE, corrupt_entry},
    record::{Location, Record, decode_head},
    schema::{
        CHUNK, CHUNKS, ChunkKey, ENTRIES, KeyBytes, META, META_STATE, State, chunk_key, key_of,
        read_chunk,
    },
};
use crate::{
    Key,
    store::{
        Error, ErrorKind, Result, Scanned, Version,
        disk::{AHEAD, PAGE, PAGE_BYTES, Page},
        embedded::{Found, Lease, Leases, Lookup, Read, chunk_count, chunk_len},
    },
};

impl Read for Db {
    type Chunks = Chunks;
    /// The beginning, or after a key.
    type Cursor = Option<KeyBytes>;

    fn get(&self, key: &Key, leases: &Arc<Leases>) -> Result<Lookup<Self>> {
        look(self, &*self.snapshot()?, key, leases)
    }

    fn read_chunks(&self, rest: &mut Chunks) -> Result<(VecDeque<Result<Bytes>>, bool)> {
        rest.read_some(self)
    }

    fn list(&self, after: Option<KeyBytes>) -> Result<Page<Option<KeyBytes>, Scanned>> {
        let (txn, opening) = self.begin_read()?;
        let wrong = |error: redb::Error| self.read_fault(error, opening);
        let entries = txn.open_table(ENTRIES).map_err(|error| wrong(error.into()))?;
        let after = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let rows = entries
            .range::<&KeyBytes>((after, Bound::Unbounded))
            .map_err(|error| wrong(error.into()))?;
        let (mut items, mut bytes) = (VecDeque::new(), 0);
        for row in rows {
            let (key, value) = row.map_err(|error| wrong(error.into()))?;
            let key = *key.value();
            let item = scanned(&key, value.value());
            bytes += item.as_ref().map_or(0, |item| item.head.size());
            items.push_back(item);
            if items.len() == PAGE || bytes >= PAGE_BYTES {
                return Ok((Some(Some(key)), items));
            }
        }
        Ok((None, items))
    }

    fn len(&self) -> Result<u64> {
        let (txn, opening) = self.begin_read()?;
        let len = || -> Result<u64, redb::Error> { Ok(txn.open_table(ENTRIES)?.len()?) };
        len().map_err(|error| self.read_fault(error, opening))
    }

    fn size(&self) -> Result<u64> {
        let (txn, opening) = self.begin_read()?;
        size_in(&txn).map_err(|error| self.read_fault(error, opening))
    }
}

pub(super) fn look(
    db: &Db,
    snapshot: &Snapshot,
    key: &Key,
    leases: &Arc<Leases>,
) -> Result<Lookup<Db>> {
    let opening = snapshot.opening;
    let wrong = |error: redb::Error| db.read_fault(error, opening);
    let found = snapshot.entries.get(key.as_bytes()).map_err(|error| wrong(error.into()))?;
    let Some(value) = found else { return Ok(None) };
    let record =
        Record::parse(key.as_bytes(), value.value()).map_err(|what| corrupt_entry(key, what))?;
    let version = record.header.version;
    // The only copy: head and body share it.
    let bytes = Bytes::copy_from_slice(record.rest);
    let head = decode_head(key, bytes.slice(..record.head_len))?;
    if record.header.body.len() != head.body_len() {
        return Err(corrupt_entry(key, "a body whose length differs from its head's"));
    }
    let (first, rest) = match record.header.body {
        Location::Inline { checksum, .. } => {
            let body = bytes.slice(record.head_len..);
            if crc32fast::hash(&body) != checksum {
                return Err(corrupt_entry(key, "a body that does not match its checksum"));
            }
            (body, None)
        }
        Location::Chunks { id, len } => {
            let table = snapshot.txn.open_table(CHUNKS).map_err(|error| wrong(error.into()))?;
            // Other processes know nothing of the leases of this one.
            let lease = if db.config.multi_process { None } else { leases.take(id) };
            if lease.is_some() && !db.is_latest(snapshot) {
                // The entry and its chunks may have been removed before the lease was taken.
                return look(db, &*db.snapshot()?, key, leases);
            }
            let body = Body { key: *key, version, id, len, opening };
            match chunk_count(len, CHUNK) {
                0 => (Bytes::new(), None),
                1 => (body.chunk(db, &table, 0)?, None),
                count => {
                    let first = body.chunk(db, &table, 0)?;
                    let hold = lease.map_or(Hold::Snapshot(table), |_lease| Hold::Lease { _lease });
                    (first, Some(Box::new(Chunks { body, hold, next: 1, count })))
                }
            }
        }
    };
    Ok(Some(Found { head: Arc::new(head), version: Version::new(version), first, rest }))
}

/// A large body whose entry was found.
struct Body {
    key: Key,
    /// The version of the entry.
    version: u64,
    id: u64,
    len: u64,
    opening: u64,
}

/// The chunks that are still to be read.
pub(super) struct Chunks {
    body: Body,
    hold: Hold,
    next: u64,
    count: u64,
}

type Table = ReadOnlyTable<&'static ChunkKey, &'static [u8]>;

/// What keeps the chunks in the file, whatever happens to the entry.
enum Hold {
    /// The chunks are not collected. Each read uses the latest state of the file.
    Lease { _lease: Lease },
    /// The state of the file in which the entry was found, if the chunks are being collected
    /// already or another process may collect them.
    Snapshot(Table),
}

impl Body {
    fn chunk(&self, db: &Db, table: &Table, index: u64) -> Result<Bytes> {
        let index = u32::try_from(index)
            .map_err(|_| corrupt_entry(&self.key, "a body with an impossible length"))?;
        let row = chunk_key(self.id, index);
        let value = table
            .get(&row)
            .map_err(|error| db.read_fault(error.into(), self.opening))?
            .ok_or_else(|| corrupt_entry(&self.key, "a body with a missing chunk"))?;
        let payload = read_chunk(&row, value.value(), chunk_len(self.len, index, CHUNK))
            .map_err(|what| corrupt_entry(&self.key, what))?;
        Ok(Bytes::copy_from_slice(payload))
    }

    /// The file was reopened, which undoes what was not synced. Another body may have this one's
    /// number since, unless the entry is still there.
    fn find_again(&mut self, db: &Db, snapshot: &Snapshot) -> Result<()> {
        let wrong = |error: redb::StorageError| db.read_fault(error.into(), snapshot.opening);
        let found = snapshot.entries.get(self.key.as_bytes()).map_err(wrong)?;
        let is_there = found.is_some_and(|row| {
            Record::parse(self.key.as_bytes(), row.value()).is_ok_and(|record| {
                let body = Location::Chunks { id: self.id, len: self.len };
                record.header.version == self.version && record.header.body == body
            })
        });
        if !is_there {
            let path = db.config.path.display();
            let message = format!("{path} was reopened, and has lost a body that was being read");
            return Err(Error::new(ErrorKind::Unavailable, STORE, message));
        }
        self.opening = snapshot.opening;
        Ok(())
    }
}

impl Chunks {
    /// Reads the next few chunks. Returns them, and whether there are more.
    fn read_some(&mut self, db: &Db) -> Result<(VecDeque<Result<Bytes>>, bool)> {
        let latest;
        let table = match &self.hold {
            Hold::Snapshot(table) => table,
            Hold::Lease { .. } => {
                let snapshot = db.snapshot()?;
                if snapshot.opening != self.body.opening {
                    self.body.find_again(db, &snapshot)?;
                }
                let opened = snapshot.txn.open_table(CHUNKS);
                latest = opened.map_err(|error| db.read_fault(error.into(), snapshot.opening))?;
                &latest
            }
        };
        let mut chunks = VecDeque::with_capacity(AHEAD);
        while chunks.len() < AHEAD && self.next < self.count {
            match self.body.chunk(db, table, self.next) {
                Ok(chunk) => chunks.push_back(Ok(chunk)),
                // The valid chunks are returned first; the error occurs again next time.
                Err(_) if !chunks.is_empty() => break,
                Err(error) => return Err(error),
            }
            self.next += 1;
        }
        Ok((chunks, self.next < self.count))
    }
}

fn scanned(bytes: &KeyBytes, value: &[u8]) -> Result<Scanned> {
    let key = key_of(bytes);
    let record = Record::parse(bytes, value).map_err(|what| corrupt_entry(&key, what))?;
    let head = Bytes::copy_from_slice(&record.rest[..record.head_len]);
    let head = decode_head(&key, head)?;
    Ok(Scanned::new(key, Version::new(record.header.version), Arc::new(head)))
}

/// The bytes of all entries, as the counters say it.
pub(super) fn size_in(txn: &ReadTransaction) -> Result<u64, redb::Error> {
    let meta = txn.open_table(META)?;
    let row = meta.get(META_STATE)?;
    Ok(row.and_then(|row| State::decode(row.value())).unwrap_or_default().size)
}
