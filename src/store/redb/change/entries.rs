//! Entries: written, replaced, updated and removed, each with all its index rows.

use bytes::Bytes;
use redb::ReadableTable;

use super::{Body, Change, ChangeResult, Entry, Found, Raw, abandoned, too_large};
use crate::{
    entry::Head,
    store::{
        Version,
        redb::{
            fault,
            record::{Header, Location, Record, cost},
            schema::{
                ChunkKey, KeyBytes, TagDigest, chunk_key, expiry_key, key_of, split_chunk_key,
                tag_key,
            },
        },
    },
};

impl Change<'_> {
    /// Publishes an entry. `body` is the id of all chunks but the last, if there are any.
    pub(in crate::store::redb) fn put(
        &mut self,
        key: &KeyBytes,
        entry: &Entry,
        body: Option<u64>,
    ) -> Raw<ChangeResult> {
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
            && self.pending.edit()?.remove(id)?.is_none()
        {
            return Ok(Err(abandoned()));
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
            self.garbage.edit()?.insert(id, ())?;
        }
        Ok(Ok(0))
    }

    /// Writes a record in place of `old`, gives it a version, and updates the indexes.
    ///
    /// An entry that is replaced keeps its position in the eviction queue. That saves two rows, and
    /// an entry that is fetched again is in use, which its `visited` bit says as well.
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
                self.order.edit()?.insert(seq, key)?;
                seq
            }
        };
        let old_expiry = old_header.and_then(|old| old.expires_at);
        if old_expiry != header.expires_at {
            if let Some(old) = old_expiry {
                self.expiry.edit()?.remove(&expiry_key(old, key))?;
            }
            if let Some(new) = header.expires_at {
                self.expiry.edit()?.insert(&expiry_key(new, key), ())?;
            }
        }
        for old in old_tags.iter().filter(|old| !tags.contains(old)) {
            self.tags.edit()?.remove(&tag_key(old, key))?;
        }
        for new in tags.iter().filter(|new| !old_tags.contains(new)) {
            self.tags.edit()?.insert(&tag_key(new, key), ())?;
        }
        let len = header.record_len(tags, head);
        let mut record = self.entries.edit()?.insert_reserve(key, len)?;
        header.write(key, tags, head, inline, record.as_mut());
        drop(record);
        self.state.size = self.state.size.saturating_add(cost(len, header.body));
        Ok(())
    }

    /// Replaces the head of the entry if it has the version `seen`.
    pub(in crate::store::redb) fn update(
        &mut self,
        key: &KeyBytes,
        seen: Version,
        head: Head,
        tags: &[TagDigest],
    ) -> Raw<ChangeResult> {
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
        let header = Header { expires_at: head.keep_until(), ..record.header };
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

    pub(in crate::store::redb) fn remove(
        &mut self,
        key: &KeyBytes,
        seen: Option<Version>,
    ) -> Raw<ChangeResult> {
        let Some(found) = self.look(key)? else { return Ok(Ok(0)) };
        if let Some(seen) = seen {
            match &found {
                Found::Whole { header, .. } if header.version == seen.get() => {}
                _ => return Ok(Ok(0)),
            }
        }
        self.remove_found(key, &found)?;
        Ok(Ok(1))
    }

    pub(super) fn remove_found(&mut self, key: &KeyBytes, found: &Found) -> Raw<()> {
        self.entries.edit()?.remove(key)?;
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
        self.order.edit()?.remove(header.seq)?;
        if let Some(expires_at) = header.expires_at {
            self.expiry.edit()?.remove(&expiry_key(expires_at, key))?;
        }
        for tag in tags {
            self.tags.edit()?.remove(&tag_key(tag, key))?;
        }
        if let Location::Chunks { id, .. } = header.body {
            self.garbage.edit()?.insert(id, ())?;
        }
        Ok(())
    }

    /// Of a damaged entry, only the record's length is known. Its chunks are lost until the store
    /// is cleared.
    fn forget_damaged(&mut self, len: usize) {
        let body = Location::Inline { len: 0, checksum: 0 };
        self.state.size = self.state.size.saturating_sub(cost(len, body));
    }

    /// Removes every entry. Bodies that are being written stay. All others become garbage; they are
    /// found by hopping from one to the next.
    pub(in crate::store::redb) fn clear(&mut self) -> Raw<ChangeResult> {
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
                self.garbage.edit()?.insert(id, ())?;
            }
            let Some(next) = id.checked_add(1) else { break };
            from = next;
        }
        Ok(Ok(0))
    }
}
