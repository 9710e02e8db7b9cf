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
        embedded::{Found, FoundBody, Lease, Leases, Lookup, chunk_count, chunk_len},
    },
};

// ===== look-ups =====

pub(super) fn get(db: &Db, key: &Key, leases: &Arc<Leases>) -> Result<Lookup<Db>> {
    let snapshot = db.snapshot()?;
    let opening = snapshot.opening;
    let wrong = |error: redb::Error| db.read_fault(error, opening);
    let found = snapshot.entries.get(key.as_bytes()).map_err(|error| wrong(error.into()))?;
    let Some(value) = found else { return Ok(None) };
    let record =
        Record::parse(key.as_bytes(), value.value()).map_err(|what| corrupt_entry(key, what))?;
    // The only copy: head and body share it.
    let bytes = Bytes::copy_from_slice(record.rest);
    let head = decode_head(key, bytes.slice(..record.head_len))?;
    let body = match record.header.body {
        Location::Inline { checksum, .. } => {
            let body = bytes.slice(record.head_len..);
            if crc32fast::hash(&body) != checksum {
                return Err(corrupt_entry(key, "a body that does not match its checksum"));
            }
            FoundBody::Here(body)
        }
        Location::Chunks { id, len } => {
            let table = snapshot.txn.open_table(CHUNKS).map_err(|error| wrong(error.into()))?;
            let count = chunk_count(len, CHUNK);
            // Other processes know nothing of the leases of this one.
            let lease = if db.config.multi_process { None } else { leases.take(id) };
            let mut rest = Chunks {
                hold: None,
                key: *key,
                version: record.header.version,
                id,
                len,
                next: 0,
                count,
                opening,
            };
            let first = rest.read(db, &table)?;
            rest.hold = Some(lease.map_or(Hold::Snapshot(table), |_lease| Hold::Lease { _lease }));
            match first {
                Some(first) if count == 1 => FoundBody::Here(first),
                Some(first) => FoundBody::Chunks { first, rest: Box::new(rest), len },
                None => FoundBody::Here(Bytes::new()),
            }
        }
    };
    let len = match &body {
        FoundBody::Here(bytes) => bytes.len() as u64,
        FoundBody::Chunks { len, .. } => *len,
    };
    if len != head.body_len() {
        return Err(corrupt_entry(key, "a body whose length differs from its head's"));
    }
    let version = Version::new(record.header.version);
    Ok(Some(Found { head: Arc::new(head), version, body }))
}

// ===== large bodies =====

/// The chunks of a body whose entry was found.
pub(super) struct Chunks {
    hold: Option<Hold>,
    key: Key,
    /// The version of the entry.
    version: u64,
    id: u64,
    len: u64,
    next: u64,
    count: u64,
    opening: u64,
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

impl Chunks {
    fn read(&mut self, db: &Db, table: &Table) -> Result<Option<Bytes>> {
        if self.next == self.count {
            return Ok(None);
        }
        let index = u32::try_from(self.next)
            .map_err(|_| corrupt_entry(&self.key, "a body with an impossible length"))?;
        let row = chunk_key(self.id, index);
        let value = table
            .get(&row)
            .map_err(|error| db.read_fault(error.into(), self.opening))?
            .ok_or_else(|| corrupt_entry(&self.key, "a body with a missing chunk"))?;
        let payload = read_chunk(&row, value.value(), chunk_len(self.len, index, CHUNK))
            .map_err(|what| corrupt_entry(&self.key, what))?;
        self.next += 1;
        Ok(Some(Bytes::copy_from_slice(payload)))
    }

    /// Reads the next few chunks. Returns them, and whether there are more.
    pub(super) fn read_some(&mut self, db: &Db) -> Result<(VecDeque<Result<Bytes>>, bool)> {
        let hold = self.hold.take();
        let result = self.read_from(hold.as_ref(), db);
        self.hold = hold;
        result
    }

    fn read_from(
        &mut self,
        hold: Option<&Hold>,
        db: &Db,
    ) -> Result<(VecDeque<Result<Bytes>>, bool)> {
        let latest;
        let table = match hold {
            Some(Hold::Snapshot(table)) => table,
            Some(Hold::Lease { .. }) | None => {
                let snapshot = db.snapshot()?;
                if snapshot.opening != self.opening {
                    self.find_again(db, &snapshot)?;
                }
                latest = snapshot
                    .txn
                    .open_table(CHUNKS)
                    .map_err(|error| db.read_fault(error.into(), self.opening))?;
                &latest
            }
        };
        let mut chunks = VecDeque::with_capacity(AHEAD);
        while chunks.len() < AHEAD {
            match self.read(db, table) {
                Ok(Some(chunk)) => chunks.push_back(Ok(chunk)),
                Ok(None) => return Ok((chunks, false)),
                // The valid chunks are returned first; the error occurs again next time.
                Err(_) if !chunks.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok((chunks, true))
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

// ===== listing and counting =====

/// Where a listing continues: the beginning, or after a key.
pub(super) type Cursor = Option<KeyBytes>;

pub(super) fn list(db: &Db, after: Cursor) -> Result<Page<Cursor, Scanned>> {
    let (txn, opening) = db.begin_read()?;
    let wrong = |error: redb::Error| db.read_fault(error, opening);
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

fn scanned(bytes: &KeyBytes, value: &[u8]) -> Result<Scanned> {
    let key = key_of(bytes);
    let record = Record::parse(bytes, value).map_err(|what| corrupt_entry(&key, what))?;
    let head = Bytes::copy_from_slice(&record.rest[..record.head_len]);
    let head = decode_head(&key, head)?;
    Ok(Scanned::new(key, Version::new(record.header.version), Arc::new(head)))
}

pub(super) fn len(db: &Db) -> Result<u64> {
    let (txn, opening) = db.begin_read()?;
    let len = || -> Result<u64, redb::Error> { Ok(txn.open_table(ENTRIES)?.len()?) };
    len().map_err(|error| db.read_fault(error, opening))
}

pub(super) fn size(db: &Db) -> Result<u64> {
    let (txn, opening) = db.begin_read()?;
    size_in(&txn).map_err(|error| db.read_fault(error, opening))
}

/// The bytes of all entries, as the counters say it.
pub(super) fn size_in(txn: &ReadTransaction) -> Result<u64, redb::Error> {
    let meta = txn.open_table(META)?;
    let row = meta.get(META_STATE)?;
    Ok(row.and_then(|row| State::decode(row.value())).unwrap_or_default().size)
}
