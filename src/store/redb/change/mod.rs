//! What a write transaction does to the tables: every operation with all its index rows.
//!
//! An `Err` here is redb's and ends the whole transaction; what concerns one operation alone is a [`Refusal`] inside
//! the `Ok`.

use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use redb::{Key as RedbKey, ReadableTable, Table, TableDefinition, Value, WriteTransaction};

use super::{
    fault,
    schema::{
        CHUNKS, ChunkKey, ENTRIES, EXPIRY, ExpiryKey, GARBAGE, Header, KeyBytes, Location, META,
        META_STATE, ORDER, PENDING, Record, State, TAGS, TagDigest, chunk_checksum, chunk_key,
        chunk_value_len, cost, expiry_key, key_of, split_chunk_key, tag_key, write_chunk,
    },
};
use crate::{
    entry::Head,
    store::{Error, Version},
    time::Timestamp,
};

type Raw<T> = Result<T, redb::Error>;

/// What an operation on its own came to: a number (a count, or 0 and 1 for no and yes), or why it was refused.
pub(super) type Outcome = Result<u64, Error>;

/// A table that is opened when it is first needed: each opening is a look-up, and few transactions need all of them.
struct Lazy<'t, K: RedbKey + 'static, V: Value + 'static> {
    txn: &'t WriteTransaction,
    definition: TableDefinition<'static, K, V>,
    table: Option<Table<'t, K, V>>,
}

impl<'t, K: RedbKey + 'static, V: Value + 'static> Lazy<'t, K, V> {
    fn new(txn: &'t WriteTransaction, definition: TableDefinition<'static, K, V>) -> Self {
        Self { txn, definition, table: None }
    }

    fn open(&mut self) -> Raw<&mut Table<'t, K, V>> {
        match &mut self.table {
            Some(table) => Ok(table),
            none => Ok(none.insert(self.txn.open_table(self.definition)?)),
        }
    }

    /// Empties the table at once.
    fn reset(&mut self) -> Raw<()> {
        self.table = None;
        self.txn.delete_table(self.definition)?;
        self.open()?;
        Ok(())
    }
}

/// An entry, ready to be written.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) head: Vec<u8>,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) tags: Vec<TagDigest>,
    pub(super) body: Body,
}

#[derive(Debug)]
pub(super) enum Body {
    Inline {
        bytes: Bytes,
        checksum: u32,
    },
    /// `len` bytes in all, the last of which come with the entry.
    Chunks {
        len: u64,
        last: u32,
        tail: Bytes,
    },
}

/// What the tables say about an entry that is there.
enum Found {
    Whole {
        header: Header,
        tags: Vec<TagDigest>,
        len: usize,
    },
    /// Its index rows cannot be known; they are removed when they are met.
    Damaged {
        len: usize,
    },
}

pub(super) struct Change<'t> {
    meta: Lazy<'t, &'static str, &'static [u8]>,
    entries: Lazy<'t, &'static KeyBytes, &'static [u8]>,
    chunks: Lazy<'t, &'static [u8; 12], &'static [u8]>,
    expiry: Lazy<'t, &'static ExpiryKey, ()>,
    tags: Lazy<'t, &'static [u8; 48], ()>,
    order: Lazy<'t, u64, &'static KeyBytes>,
    pending: Lazy<'t, u64, (u64, u64)>,
    garbage: Lazy<'t, u64, ()>,
    pub(super) state: State,
    before: State,
    max_bytes: u64,
    versions: &'t RandomState,
}

impl<'t> Change<'t> {
    /// `versions` is random for each opening of the file: a version is a number and what that makes of it, so that a
    /// number given out again, after a crash has undone the first use of it or by another process, is another version.
    pub(super) fn begin(
        txn: &'t WriteTransaction,
        versions: &'t RandomState,
        max_bytes: u64,
    ) -> Raw<Self> {
        let mut meta = Lazy::new(txn, META);
        let state = meta.open()?.get(META_STATE)?.and_then(|row| State::decode(row.value()));
        let state = state
            .ok_or_else(|| redb::Error::Corrupted("the row of counters is missing".to_owned()))?;
        Ok(Self {
            meta,
            entries: Lazy::new(txn, ENTRIES),
            chunks: Lazy::new(txn, CHUNKS),
            expiry: Lazy::new(txn, EXPIRY),
            tags: Lazy::new(txn, TAGS),
            order: Lazy::new(txn, ORDER),
            pending: Lazy::new(txn, PENDING),
            garbage: Lazy::new(txn, GARBAGE),
            state,
            before: state,
            max_bytes,
            versions,
        })
    }

    /// Writes the counters; the transaction can be committed then.
    pub(super) fn finish(mut self) -> Raw<()> {
        if self.state != self.before {
            self.meta.open()?.insert(META_STATE, self.state.encode().as_slice())?;
        }
        Ok(())
    }

    fn version(&mut self) -> u64 {
        let number = self.state.number();
        self.versions.hash_one(number)
    }

    fn look(&mut self, key: &KeyBytes) -> Raw<Option<Found>> {
        let Some(bytes) = self.entries.open()?.get(key)? else { return Ok(None) };
        let bytes = bytes.value();
        Ok(Some(match Record::parse(key, bytes) {
            Ok(record) => {
                Found::Whole { header: record.header, tags: record.tags.to_vec(), len: bytes.len() }
            }
            Err(_) => Found::Damaged { len: bytes.len() },
        }))
    }

    // ===== bodies that are being written =====

    /// Gives out the id of a new body. `touched` is now.
    pub(super) fn begin_body(&mut self, owner: u64, touched: Timestamp) -> Raw<u64> {
        let id = self.state.number();
        self.pending.open()?.insert(id, (owner, touched.as_millis()))?;
        Ok(id)
    }

    /// Says that the writer of body `id` lives; `false` where the body has been given up meanwhile.
    pub(super) fn touch_body(
        &mut self,
        id: u64,
        owner: u64,
        touched: Option<Timestamp>,
    ) -> Raw<bool> {
        let pending = self.pending.open()?;
        if pending.get(id)?.is_none() {
            return Ok(false);
        }
        if let Some(touched) = touched {
            pending.insert(id, (owner, touched.as_millis()))?;
        }
        Ok(true)
    }

    pub(super) fn chunk(&mut self, id: u64, index: u32, payload: &[u8]) -> Raw<()> {
        let row = chunk_key(id, index);
        let chunks = self.chunks.open()?;
        let mut value = chunks.insert_reserve(&row, chunk_value_len(payload))?;
        write_chunk(value.as_mut(), chunk_checksum(&row, payload), payload);
        Ok(())
    }

    /// Gives body `id` up.
    pub(super) fn abandon(&mut self, id: u64) -> Raw<()> {
        if self.pending.open()?.remove(id)?.is_some() {
            self.garbage.open()?.insert(id, ())?;
        }
        Ok(())
    }

    // ===== entries =====

    /// Publishes an entry. `body` is the id under which all chunks but the last were written, where there were some.
    pub(super) fn put(&mut self, key: &KeyBytes, entry: &Entry, body: Option<u64>) -> Raw<Outcome> {
        let (location, inline) = match &entry.body {
            Body::Inline { bytes, checksum } => {
                (Location::Inline { len: bytes.len() as u32, checksum: *checksum }, &bytes[..])
            }
            Body::Chunks { len, .. } => {
                let id = match body {
                    Some(id) => id,
                    None => self.state.number(),
                };
                (Location::Chunks { id, len: *len }, &[][..])
            }
        };
        let header = Header { version: 0, seq: 0, expires_at: entry.expires_at, body: location };
        let record = header.record_len(&entry.tags, &entry.head);
        let bytes = cost(record, location);
        if bytes > self.max_bytes {
            if let Some(id) = body {
                self.abandon(id)?;
            }
            return Ok(Err(too_large(bytes, self.max_bytes)));
        }
        if let Some(id) = body
            && self.pending.open()?.remove(id)?.is_none()
        {
            return Ok(Err(given_up()));
        }
        if let (Location::Chunks { id, .. }, Body::Chunks { last, tail, .. }) =
            (location, &entry.body)
        {
            self.chunk(id, *last, tail)?;
        }
        let old = self.look(key)?;
        self.write(key, header, &entry.tags, &entry.head, inline, old.as_ref())?;
        if let Some(Found::Whole {
            header: Header { body: Location::Chunks { id, .. }, .. }, ..
        }) = old
        {
            self.garbage.open()?.insert(id, ())?;
        }
        Ok(Ok(0))
    }

    /// Writes a record in place of `old`, giving it a version, and sets the indexes right.
    ///
    /// An entry that is replaced keeps its place in the eviction queue: it saves two rows, and what is fetched again
    /// is in use, which the mark that the look-up before it has left says as well.
    fn write(
        &mut self,
        key: &KeyBytes,
        mut header: Header,
        tags: &[TagDigest],
        head: &[u8],
        inline: &[u8],
        old: Option<&Found>,
    ) -> Raw<()> {
        header.version = self.version();
        let (old_header, old_tags) = match old {
            Some(Found::Whole { header, tags, len }) => {
                self.state.size = self.state.size.saturating_sub(cost(*len, header.body));
                (Some(header), tags.as_slice())
            }
            Some(Found::Damaged { len }) => {
                self.forget_damaged(*len);
                (None, &[][..])
            }
            None => (None, &[][..]),
        };
        header.seq = match old_header {
            Some(old) => old.seq,
            None => {
                let seq = self.state.number();
                self.order.open()?.insert(seq, key)?;
                seq
            }
        };
        let old_expiry = old_header.and_then(|old| old.expires_at);
        if old_expiry != header.expires_at {
            if let Some(old) = old_expiry {
                self.expiry.open()?.remove(&expiry_key(old, key))?;
            }
            if let Some(new) = header.expires_at {
                self.expiry.open()?.insert(&expiry_key(new, key), ())?;
            }
        }
        for old in old_tags.iter().filter(|old| !tags.contains(old)) {
            self.tags.open()?.remove(&tag_key(old, key))?;
        }
        for new in tags.iter().filter(|new| !old_tags.contains(new)) {
            self.tags.open()?.insert(&tag_key(new, key), ())?;
        }
        let len = header.record_len(tags, head);
        let mut record = self.entries.open()?.insert_reserve(key, len)?;
        header.write(key, tags, head, inline, record.as_mut());
        drop(record);
        self.state.size = self.state.size.saturating_add(cost(len, header.body));
        Ok(())
    }

    /// Replaces the head of the entry that was `seen`.
    pub(super) fn update(
        &mut self,
        key: &KeyBytes,
        seen: Version,
        head: Head,
        tags: &[TagDigest],
    ) -> Raw<Outcome> {
        let bytes = match self.entries.open()?.get(key)? {
            Some(value) => Bytes::copy_from_slice(value.value()),
            None => return Ok(Ok(0)),
        };
        let damaged =
            |what: &str| fault::corrupt(format!("the entry of key {} is {what}", key_of(key)));
        let record = match Record::parse(key, &bytes) {
            Ok(record) => record,
            Err(damage) => return Ok(Err(damaged(damage.0))),
        };
        if record.header.version != seen.get() {
            return Ok(Ok(0));
        }
        let (old_head, inline) = record.rest.split_at(record.head_len);
        let old = match Head::decode(bytes.slice_ref(old_head)) {
            Ok(old) => old,
            Err(error) => {
                return Ok(Err(damaged("a record whose head is damaged").with_source(error)));
            }
        };
        let head = head.carry_body(&old);
        let header = Header { expires_at: head.expires_at(), ..record.header };
        let encoded = head.encode();
        let size = cost(header.record_len(tags, &encoded), header.body);
        if size > self.max_bytes {
            return Ok(Err(too_large(size, self.max_bytes)));
        }
        let old =
            Found::Whole { header: record.header, tags: record.tags.to_vec(), len: bytes.len() };
        self.write(key, header, tags, &encoded, inline, Some(&old))?;
        Ok(Ok(1))
    }

    pub(super) fn remove(&mut self, key: &KeyBytes) -> Raw<Outcome> {
        let Some(found) = self.look(key)? else { return Ok(Ok(0)) };
        self.remove_found(key, &found)?;
        Ok(Ok(1))
    }

    fn remove_found(&mut self, key: &KeyBytes, found: &Found) -> Raw<()> {
        self.entries.open()?.remove(key)?;
        let (header, tags) = match found {
            Found::Damaged { len } => {
                self.forget_damaged(*len);
                return Ok(());
            }
            Found::Whole { header, tags, len } => {
                self.state.size = self.state.size.saturating_sub(cost(*len, header.body));
                (header, tags)
            }
        };
        self.order.open()?.remove(header.seq)?;
        if let Some(expires_at) = header.expires_at {
            self.expiry.open()?.remove(&expiry_key(expires_at, key))?;
        }
        for tag in tags {
            self.tags.open()?.remove(&tag_key(tag, key))?;
        }
        if let Location::Chunks { id, .. } = header.body {
            self.garbage.open()?.insert(id, ())?;
        }
        Ok(())
    }

    /// Of a damaged entry only the record's own length is known; chunks it had are lost until the store is cleared.
    fn forget_damaged(&mut self, len: usize) {
        let body = Location::Inline { len: 0, checksum: 0 };
        self.state.size = self.state.size.saturating_sub(cost(len, body));
    }

    /// Removes every entry. Bodies that are being written stay; all others become garbage, found by hopping from one
    /// to the next.
    pub(super) fn clear(&mut self) -> Raw<Outcome> {
        self.entries.reset()?;
        self.expiry.reset()?;
        self.tags.reset()?;
        self.order.reset()?;
        self.state.size = 0;
        self.state.hand = 0;
        let mut from = 0;
        loop {
            let row = {
                let mut rows = self.chunks.open()?.range::<&ChunkKey>(&chunk_key(from, 0)..)?;
                rows.next().transpose()?.map(|(row, _)| *row.value())
            };
            let Some(row) = row else { break };
            let (id, _) = split_chunk_key(&row);
            if self.pending.open()?.get(id)?.is_none() {
                self.garbage.open()?.insert(id, ())?;
            }
            let Some(next) = id.checked_add(1) else { break };
            from = next;
        }
        Ok(Ok(0))
    }
}

pub(super) fn too_large(bytes: u64, max_bytes: u64) -> Error {
    Error::new(
        crate::store::ErrorKind::TooLarge,
        fault::STORE,
        format!("an entry of {bytes} bytes does not fit into max_bytes({max_bytes})"),
    )
}

pub(super) fn given_up() -> Error {
    Error::new(
        crate::store::ErrorKind::Unavailable,
        fault::STORE,
        "the body took so long that another process gave it up",
    )
}

mod evict;

pub(super) use self::evict::{GARBAGE_CHUNKS, Purge, Step};
