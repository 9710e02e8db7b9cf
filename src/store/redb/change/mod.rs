//! What a write transaction does to the tables.

use std::time::Duration;

use bytes::Bytes;
use redb::{ReadableTable, WriteTransaction};

use self::{found::Found, table::Lazy};
use super::{
    fault::{Raw, STORE, corrupt_entry},
    record::{Header, Location, Record, cost, decode_head, record_len},
    schema::{
        CHUNKS, ChunkKey, ENTRIES, GARBAGE, INDEX, KeyBytes, META, META_STATE, PENDING, State,
        chunk_checksum, chunk_key, chunk_value_len, digests, expiry_row, order_rows, place_of,
        split_chunk_key, split_order_row, tag_digest, tag_row, write_chunk,
    },
};
use crate::{
    Key,
    entry::Head,
    store::{
        Version,
        disk::too_large,
        embedded::{
            Body, Entry, Garbage, KeyStart, Leases, Outcome, Placed, Purge, QueueState, Step,
            Transaction,
        },
    },
    time::{Clock, SystemClock, Timestamp},
};

mod entries;
mod found;
mod table;
#[cfg(test)]
mod tests;

/// How long the writer of a body may be silent before another process considers it dead.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// How often the writer of a body reports that it is alive.
const HEARTBEAT: Duration = Duration::from_secs(60);

pub(super) struct Change<'t> {
    meta: Lazy<'t, &'static str, &'static [u8]>,
    entries: Lazy<'t, &'static KeyBytes, &'static [u8]>,
    chunks: Lazy<'t, &'static ChunkKey, &'static [u8]>,
    index: Lazy<'t, &'static [u8], ()>,
    pending: Lazy<'t, u64, (u64, u64)>,
    garbage: Lazy<'t, u64, ()>,
    state: State,
    before: State,
    owner: Owner,
    max_bytes: u64,
}

/// Who writes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    /// This process's name for itself in the table of unfinished bodies.
    pub(super) id: u64,
    /// No other process has the file.
    pub(super) is_alone: bool,
}

impl<'t> Change<'t> {
    pub(super) fn begin(txn: &'t WriteTransaction, owner: Owner, max_bytes: u64) -> Raw<Self> {
        let mut meta = Lazy::new(txn, META);
        let state = meta.open()?.get(META_STATE)?.and_then(|row| State::decode(row.value()));
        let state = state
            .ok_or_else(|| redb::Error::Corrupted("the row of counters is missing".to_owned()))?;
        Ok(Self {
            meta,
            entries: Lazy::new(txn, ENTRIES),
            chunks: Lazy::new(txn, CHUNKS),
            index: Lazy::new(txn, INDEX),
            pending: Lazy::new(txn, PENDING),
            garbage: Lazy::new(txn, GARBAGE),
            state,
            before: state,
            owner,
            max_bytes,
        })
    }

    /// Writes the counters. Returns whether there is anything to commit.
    pub(super) fn finish(mut self) -> Raw<bool> {
        if self.state != self.before {
            self.meta.edit()?.insert(META_STATE, self.state.encode().as_slice())?;
        }
        Ok(self.meta.is_edited()
            || self.entries.is_edited()
            || self.chunks.is_edited()
            || self.index.is_edited()
            || self.pending.is_edited()
            || self.garbage.is_edited())
    }
}

impl Transaction for Change<'_> {
    type Fault = redb::Error;

    // ----- entries -----

    fn put(&mut self, key: &Key, entry: &Entry, body: Option<u64>) -> Raw<Placed> {
        if let Some(id) = body {
            self.pending.edit()?.remove(id)?;
        }
        let (location, inline) = match &entry.body {
            Body::Inline(bytes) => {
                let checksum = crc32fast::hash(bytes);
                (Location::Inline { len: bytes.len() as u32, checksum }, &bytes[..])
            }
            Body::Chunks { last, tail } => {
                let id = match body {
                    Some(id) => id,
                    None => self.state.number(),
                };
                self.chunk(id, *last, tail)?;
                (Location::Chunks { id, len: entry.head.body_len() }, &[][..])
            }
        };
        let (version, expires_at) = (entry.version.get(), entry.head.keep_until());
        let header = Header { version, seq: 0, expires_at, body: location };
        let key = key.as_bytes();
        let old = self.look(key)?;
        let tags = digests(entry.head.tags());
        let place = self.write(key, header, &tags, &entry.encoded, inline, old.as_ref())?;
        let old = old.as_ref().and_then(Found::header);
        if let Some(Header { body: Location::Chunks { id, .. }, .. }) = old {
            self.garbage.edit()?.insert(id, ())?;
        }
        Ok(Placed { place, is_new: old.is_none() })
    }

    fn update(&mut self, key: &Key, seen: Version, head: Head, version: Version) -> Raw<Outcome> {
        let bytes = match self.entries.open()?.get(key.as_bytes())? {
            Some(value) => Bytes::copy_from_slice(value.value()),
            None => return Ok(Ok(0)),
        };
        let record = match Record::parse(key.as_bytes(), &bytes) {
            Ok(record) => record,
            Err(what) => return Ok(Err(corrupt_entry(key, what))),
        };
        if record.header.version != seen.get() {
            return Ok(Ok(0));
        }
        let (old_head, inline) = record.rest.split_at(record.head_len);
        let old = match decode_head(key, bytes.slice_ref(old_head)) {
            Ok(old) => old,
            Err(error) => return Ok(Err(error)),
        };
        let head = head.carry_body(&old);
        let header =
            Header { version: version.get(), expires_at: head.keep_until(), ..record.header };
        let (encoded, tags) = (head.encode(), digests(head.tags()));
        let len = record_len(tags.len(), encoded.len(), inline.len());
        let size = cost(len, header.body.chunked());
        if size > self.max_bytes {
            return Ok(Err(too_large(STORE, size, self.max_bytes)));
        }
        let whole = Some((record.header, record.tags.to_vec()));
        let old = Found { len: bytes.len(), whole };
        self.write(key.as_bytes(), header, &tags, &encoded, inline, Some(&old))?;
        Ok(Ok(1))
    }

    fn remove(&mut self, key: &Key, seen: Option<Version>) -> Raw<bool> {
        let key = key.as_bytes();
        let Some(found) = self.look(key)? else { return Ok(false) };
        let version = found.header().map(|header| header.version);
        if seen.is_some_and(|seen| version != Some(seen.get())) {
            return Ok(false);
        }
        self.remove_found(key, &found)?;
        Ok(true)
    }

    fn purge(&mut self, purge: &Purge, limit: usize) -> Raw<Step> {
        let rows = match purge {
            Purge::Expired(now) => self.rows(
                &expiry_row(Timestamp::from_millis(0), 0),
                &expiry_row(*now, u64::MAX),
                limit,
            )?,
            Purge::Tagged(tag) => {
                let tag = tag_digest(tag);
                self.rows(&tag_row(&tag, 0), &tag_row(&tag, u64::MAX), limit)?
            }
        };
        let mut step = Step { removed: 0, is_done: rows.len() < limit };
        for row in rows {
            // Before the entry, which may not know this row: damage can leave one.
            self.index.edit()?.remove(&row[..])?;
            let Some(place) = place_of(&row) else { continue };
            let entry = match self.at(place)? {
                Some(entry) => Some(entry),
                // The row of the queue is damaged.
                None => self.find(place)?,
            };
            if let Some((key, found)) = entry
                && found.has(purge, &row)
            {
                self.remove_found(&key, &found)?;
                step.removed += 1;
            }
        }
        Ok(step)
    }

    /// All bodies but the unfinished ones become garbage; they are found by hopping from one to the
    /// next.
    fn clear(&mut self) -> Raw<()> {
        self.entries.reset()?;
        self.index.reset()?;
        self.state.size = 0;
        self.state.queue = QueueState::default();
        let mut from = 0;
        loop {
            let row = {
                let mut rows = self.chunks.open()?.range::<&ChunkKey>(&chunk_key(from, 0)..)?;
                rows.next().transpose()?.map(|(row, _)| *row.value())
            };
            let Some(row) = row else { break };
            let (id, _) = split_chunk_key(&row);
            if self.pending.open()?.get(id)?.is_none() {
                self.garbage.edit()?.insert(id, ())?;
            }
            let Some(next) = id.checked_add(1) else { break };
            from = next;
        }
        Ok(())
    }

    // ----- bodies without an entry -----

    fn begin_body(&mut self) -> Raw<Outcome> {
        let (id, now) = (self.state.number(), SystemClock.now());
        self.pending.edit()?.insert(id, (self.owner.id, now.as_millis()))?;
        Ok(Ok(id))
    }

    /// Reports as well that the writer is alive, from time to time.
    fn is_unfinished(&mut self, id: u64) -> Raw<bool> {
        let Some(touched) = self.pending.open()?.get(id)?.map(|row| row.value().1) else {
            return Ok(false);
        };
        let now = SystemClock.now();
        if now.saturating_since(Timestamp::from_millis(touched)) >= HEARTBEAT {
            self.pending.edit()?.insert(id, (self.owner.id, now.as_millis()))?;
        }
        Ok(true)
    }

    fn chunk(&mut self, id: u64, index: u32, payload: &[u8]) -> Raw<()> {
        let row = chunk_key(id, index);
        let chunks = self.chunks.edit()?;
        let mut value = chunks.insert_reserve(&row, chunk_value_len(payload))?;
        write_chunk(value.as_mut(), chunk_checksum(&row, payload), payload);
        Ok(())
    }

    fn abandon(&mut self, id: u64) -> Raw<()> {
        if self.pending.open()?.get(id)?.is_some() {
            self.pending.edit()?.remove(id)?;
            self.garbage.edit()?.insert(id, ())?;
        }
        Ok(())
    }

    /// A process that is alone with the file abandons all bodies, since nobody else can be writing.
    /// If the file is shared, it abandons bodies whose row is an hour old, and its own bodies from
    /// before it had to reopen the file.
    fn abandon_dead(&mut self) -> Raw<()> {
        let now = SystemClock.now();
        let mut dead = Vec::new();
        for row in self.pending.open()?.iter()? {
            let (body, row) = row?;
            let (writer, touched) = row.value();
            let age = now.saturating_since(Timestamp::from_millis(touched));
            if self.owner.is_alone || writer == self.owner.id || age >= ABANDONED {
                dead.push(body.value());
            }
        }
        dead.into_iter().try_for_each(|body| self.abandon(body))
    }

    fn collect(&mut self, limit: u32, _: bool, leases: &Leases) -> Raw<()> {
        leases.begin_collecting();
        let (mut left, mut from) = (limit, 0);
        while left > 0 {
            let next = self.garbage.open()?.range(from..)?.next().transpose()?;
            let Some(id) = next.map(|(id, _)| id.value()) else { break };
            if !leases.may_collect(id) {
                from = id + 1;
                continue;
            }
            let chunks = self.chunks.edit()?;
            let (lowest, highest) = (chunk_key(id, 0), chunk_key(id, u32::MAX));
            let first = match chunks.range::<&ChunkKey>(&lowest..=&highest)?.next() {
                Some(row) => Some(*row?.0.value()),
                None => None,
            };
            let Some(first) = first else {
                self.garbage.edit()?.remove(id)?;
                continue;
            };
            let (_, index) = split_chunk_key(&first);
            // No further than the limit: skipping a chunk would mean reading it.
            let last = chunk_key(id, index.saturating_add(left - 1));
            let mut removed = 0;
            chunks.retain_in::<&ChunkKey, _>(&first..=&last, |_, _| {
                removed += 1;
                false
            })?;
            left -= removed;
        }
        Ok(())
    }

    fn garbage(&mut self, _: bool, leases: &Leases) -> Raw<Garbage> {
        for row in self.garbage.open()?.iter()? {
            if leases.is_free(row?.0.value()) {
                return Ok(Garbage { is_there: true, ripens: None });
            }
        }
        Ok(Garbage::default())
    }

    // ----- eviction -----

    fn size(&mut self) -> Raw<u64> {
        Ok(self.state.size)
    }

    fn queue(&mut self) -> Raw<QueueState> {
        Ok(self.state.queue)
    }

    fn set_queue(&mut self, queue: QueueState) -> Raw<()> {
        self.state.queue = queue;
        Ok(())
    }

    fn next_place(&mut self) -> Raw<u64> {
        Ok(self.state.next + 1)
    }

    fn places(&mut self, from: u64, end: u64, limit: usize) -> Raw<Vec<(u64, Option<KeyStart>)>> {
        let (first, last) = (order_rows(from), order_rows(end));
        let (first, last) = (first.start(), last.start());
        let mut places = Vec::new();
        for row in self.index.open()?.range::<&[u8]>(&first[..]..&last[..])?.take(limit) {
            places.extend(split_order_row(row?.0.value()));
        }
        Ok(places)
    }

    fn cost_at(&mut self, place: u64, start: Option<KeyStart>) -> Raw<u64> {
        Ok(self.starting(start, place)?.map_or(0, |(_, found)| found.cost()))
    }

    fn evict(&mut self, place: u64, start: Option<KeyStart>) -> Raw<bool> {
        let found = self.starting(start, place)?;
        if let Some((key, found)) = &found {
            self.remove_found(key, found)?;
        }
        if found.as_ref().is_none_or(|(_, found)| found.is_damaged()) {
            // Damage can leave a row without an entry, and a damaged entry does not know its rows.
            let (first, last) = order_rows(place).into_inner();
            self.index.edit()?.retain_in::<&[u8], _>(&first[..]..=&last[..], |_, ()| false)?;
        }
        Ok(found.is_some())
    }

    /// By reading all entries.
    fn recount(&mut self) -> Raw<()> {
        let mut size = 0;
        for row in self.entries.open()?.iter()? {
            let (key, bytes) = row?;
            size += Found::parse(key.value(), bytes.value()).cost();
        }
        self.state.size = size;
        Ok(())
    }
}
