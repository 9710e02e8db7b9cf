//! Entries and their rows in the index: found, written and removed.

use redb::ReadableTable;

use super::{Change, found::Found};
use crate::store::redb::{
    fault::Raw,
    record::{Header, Location, Record, cost},
    schema::{KeyBytes, TagDigest, expiry_row, order_row, tag_row},
};

impl Change<'_> {
    pub(super) fn look(&mut self, key: &KeyBytes) -> Raw<Option<Found>> {
        let Some(bytes) = self.entries.open()?.get(key)? else { return Ok(None) };
        let bytes = bytes.value();
        Ok(Some(match Record::parse(key, bytes) {
            Ok(record) => {
                Found::Whole { header: record.header, tags: record.tags.to_vec(), len: bytes.len() }
            }
            Err(_) => Found::Damaged { len: bytes.len() },
        }))
    }

    /// Writes a record in place of `old`, and updates the index. Returns its place in the eviction
    /// queue.
    ///
    /// An entry that is replaced keeps its place in the eviction queue. That saves two rows, and an
    /// entry that is fetched again is in use, which the count of its reads says as well.
    pub(super) fn write(
        &mut self,
        key: &KeyBytes,
        mut header: Header,
        tags: &[TagDigest],
        head: &[u8],
        inline: &[u8],
        old: Option<&Found>,
    ) -> Raw<u64> {
        let (old_header, old_tags) = match old {
            Some(Found::Whole { header, tags, len }) => {
                self.shrink(Some(header.seq), cost(*len, header.body));
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
                let place = self.state.number();
                self.index.edit()?.insert(&order_row(place)[..], &key[..])?;
                place
            }
        };
        let (place, nothing) = (header.seq, &[][..]);
        let old_expiry = old_header.and_then(|old| old.expires_at);
        if old_expiry != header.expires_at {
            if let Some(old) = old_expiry {
                self.index.edit()?.remove(&expiry_row(old, place)[..])?;
            }
            if let Some(new) = header.expires_at {
                self.index.edit()?.insert(&expiry_row(new, place)[..], nothing)?;
            }
        }
        // Both are sorted.
        for old in old_tags.iter().filter(|old| tags.binary_search(old).is_err()) {
            self.index.edit()?.remove(&tag_row(old, place)[..])?;
        }
        for new in tags.iter().filter(|new| old_tags.binary_search(new).is_err()) {
            self.index.edit()?.insert(&tag_row(new, place)[..], nothing)?;
        }
        let len = header.record_len(tags, head);
        let mut record = self.entries.edit()?.insert_reserve(key, len)?;
        header.write(key, tags, head, inline, record.as_mut());
        drop(record);
        self.grow(place, cost(len, header.body));
        Ok(place)
    }

    pub(super) fn grow(&mut self, place: u64, bytes: u64) {
        self.state.size = self.state.size.saturating_add(bytes);
        let queue = &mut self.state.queue;
        if place >= queue.boundary {
            queue.window = queue.window.saturating_add(bytes);
        }
    }

    /// The place of a damaged entry is unknown.
    pub(super) fn shrink(&mut self, place: Option<u64>, bytes: u64) {
        self.state.size = self.state.size.saturating_sub(bytes);
        let queue = &mut self.state.queue;
        if place.is_some_and(|place| place >= queue.boundary) {
            queue.window = queue.window.saturating_sub(bytes);
        }
        queue.window = queue.window.min(self.state.size);
    }

    pub(super) fn remove_found(&mut self, key: &KeyBytes, found: &Found) -> Raw<()> {
        self.entries.edit()?.remove(key)?;
        let (header, tags) = match found {
            Found::Damaged { len } => {
                self.forget_damaged(*len);
                return Ok(());
            }
            Found::Whole { header, tags, len } => {
                self.shrink(Some(header.seq), cost(*len, header.body));
                (header, tags)
            }
        };
        let index = self.index.edit()?;
        index.remove(&order_row(header.seq)[..])?;
        if let Some(expires_at) = header.expires_at {
            index.remove(&expiry_row(expires_at, header.seq)[..])?;
        }
        for tag in tags {
            index.remove(&tag_row(tag, header.seq)[..])?;
        }
        if let Location::Chunks { id, .. } = header.body {
            self.garbage.edit()?.insert(id, ())?;
        }
        Ok(())
    }

    /// Of a damaged entry, only the record's length is known. Its chunks are lost until the store
    /// is cleared.
    pub(super) fn forget_damaged(&mut self, len: usize) {
        let body = Location::Inline { len: 0, checksum: 0 };
        self.shrink(None, cost(len, body));
    }

    /// Up to `limit` rows of the index from `first` to `last`.
    pub(super) fn rows(&mut self, first: &[u8], last: &[u8], limit: usize) -> Raw<Vec<Vec<u8>>> {
        let rows = self.index.open()?.range::<&[u8]>(first..=last)?.take(limit);
        rows.map(|row| Ok(row?.0.value().to_vec())).collect()
    }

    /// The entry at this place in the eviction queue.
    pub(super) fn at(&mut self, place: u64) -> Raw<Option<(KeyBytes, Found)>> {
        let key = match self.index.open()?.get(&order_row(place)[..])? {
            Some(row) => KeyBytes::try_from(row.value()).ok(),
            None => None,
        };
        let Some(key) = key else { return Ok(None) };
        Ok(self.look(&key)?.filter(|found| found.is_at(place)).map(|found| (key, found)))
    }
}
