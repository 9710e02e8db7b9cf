//! Entries and their rows in the index: found, written and removed.

use redb::ReadableTable;

use super::{Change, found::Found};
use crate::store::{
    embedded::{KeyStart, key_start},
    redb::{
        fault::Raw,
        record::{Header, Location, cost, record_len},
        schema::{
            KeyBytes, TagDigest, expiry_row, key_of, keys_from, order_row, order_rows,
            split_order_row, tag_row,
        },
    },
};

impl Change<'_> {
    pub(super) fn look(&mut self, key: &KeyBytes) -> Raw<Option<Found>> {
        Ok(self.entries.open()?.get(key)?.map(|bytes| Found::parse(key, bytes.value())))
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
        if let Some(old) = old {
            self.shrink(old);
        }
        let (old_header, old_tags) =
            (old.and_then(Found::header), old.map_or(&[][..], Found::tags));
        header.seq = match old_header {
            Some(old) => old.seq,
            None => {
                let place = self.state.number();
                let start = key_start(&key_of(key));
                self.index.edit()?.insert(&order_row(place, start)[..], ())?;
                place
            }
        };
        let place = header.seq;
        let old_expiry = old_header.and_then(|old| old.expires_at);
        if old_expiry != header.expires_at {
            if let Some(old) = old_expiry {
                self.index.edit()?.remove(&expiry_row(old, place)[..])?;
            }
            if let Some(new) = header.expires_at {
                self.index.edit()?.insert(&expiry_row(new, place)[..], ())?;
            }
        }
        // Both are sorted.
        for old in old_tags.iter().filter(|old| tags.binary_search(old).is_err()) {
            self.index.edit()?.remove(&tag_row(old, place)[..])?;
        }
        for new in tags.iter().filter(|new| old_tags.binary_search(new).is_err()) {
            self.index.edit()?.insert(&tag_row(new, place)[..], ())?;
        }
        let len = record_len(tags.len(), head.len(), inline.len());
        let mut record = self.entries.edit()?.insert_reserve(key, len)?;
        header.write(key, tags, head, inline, record.as_mut());
        drop(record);
        self.grow(place, cost(len, header.body.chunked()));
        Ok(place)
    }

    fn grow(&mut self, place: u64, bytes: u64) {
        self.state.size = self.state.size.saturating_add(bytes);
        let queue = &mut self.state.queue;
        if place >= queue.boundary {
            queue.window = queue.window.saturating_add(bytes);
        }
    }

    /// The place of a damaged entry is unknown.
    fn shrink(&mut self, found: &Found) {
        let bytes = found.cost();
        self.state.size = self.state.size.saturating_sub(bytes);
        let queue = &mut self.state.queue;
        if found.header().is_some_and(|header| header.seq >= queue.boundary) {
            queue.window = queue.window.saturating_sub(bytes);
        }
        queue.window = queue.window.min(self.state.size);
    }

    pub(super) fn remove_found(&mut self, key: &KeyBytes, found: &Found) -> Raw<()> {
        self.entries.edit()?.remove(key)?;
        self.shrink(found);
        let Some((header, tags)) = &found.whole else { return Ok(()) };
        let index = self.index.edit()?;
        index.remove(&order_row(header.seq, key_start(&key_of(key)))[..])?;
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

    /// Up to `limit` rows of the index from `first` to `last`.
    pub(super) fn rows(&mut self, first: &[u8], last: &[u8], limit: usize) -> Raw<Vec<Vec<u8>>> {
        let rows = self.index.open()?.range::<&[u8]>(first..=last)?.take(limit);
        rows.map(|row| Ok(row?.0.value().to_vec())).collect()
    }

    /// The entry at this place in the eviction queue.
    pub(super) fn at(&mut self, place: u64) -> Raw<Option<(KeyBytes, Found)>> {
        let (first, last) = order_rows(place).into_inner();
        let start = match self.index.open()?.range::<&[u8]>(&first[..]..=&last[..])?.next() {
            Some(row) => split_order_row(row?.0.value()).and_then(|(_, start)| start),
            None => None,
        };
        self.starting(start, place)
    }

    /// The entry at this place, by reading all entries.
    pub(super) fn find(&mut self, place: u64) -> Raw<Option<(KeyBytes, Found)>> {
        for row in self.entries.open()?.iter()? {
            let (key, bytes) = row?;
            let found = Found::parse(key.value(), bytes.value());
            if !found.is_damaged() && found.is_at(place) {
                return Ok(Some((*key.value(), found)));
            }
        }
        Ok(None)
    }

    /// The entry at this place, whose key begins so.
    pub(super) fn starting(
        &mut self,
        start: Option<KeyStart>,
        place: u64,
    ) -> Raw<Option<(KeyBytes, Found)>> {
        let Some(start) = start else { return Ok(None) };
        let (first, last) = keys_from(start).into_inner();
        for row in self.entries.open()?.range::<&KeyBytes>(&first..=&last)? {
            let (key, bytes) = row?;
            let found = Found::parse(key.value(), bytes.value());
            if found.is_at(place) {
                return Ok(Some((*key.value(), found)));
            }
        }
        Ok(None)
    }
}
