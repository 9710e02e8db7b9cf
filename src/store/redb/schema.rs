//! The tables of the file, their keys, and the bytes of a chunk.
//!
//! Numbers are big-endian in keys, which compare as bytes, and little-endian elsewhere. [`FORMAT`]
//! pins the layout: every change of the layout has a new number.

use std::{
    hash::{BuildHasher, RandomState},
    ops::RangeInclusive,
};

use redb::TableDefinition;
use sha2::{Digest, Sha256};

use crate::{
    Key,
    store::embedded::{KeyStart, QueueState},
    time::Timestamp,
};

/// The version of everything in this file: tables, keys, records.
pub(super) const FORMAT: u32 = 3;

/// The prefix of our tables. Other tables belong to others.
pub(super) const PREFIX: &str = "larder.";

pub(super) type KeyBytes = [u8; 32];
pub(super) type ChunkKey = [u8; 12];
pub(super) type TagDigest = [u8; 16];

/// `"format"` and `"state"`, see [`State`].
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("larder.meta");
/// Key to record.
pub(super) const ENTRIES: TableDefinition<'_, &KeyBytes, &[u8]> =
    TableDefinition::new("larder.entries");
/// Body and index to checksum and payload.
pub(super) const CHUNKS: TableDefinition<'_, &ChunkKey, &[u8]> =
    TableDefinition::new("larder.chunks");
/// All indexes in one table, so that a small file has few pages: see [`tag_row`], [`expiry_row`]
/// and [`order_row`].
pub(super) const INDEX: TableDefinition<'_, &[u8], ()> = TableDefinition::new("larder.index");
/// Bodies that are being written: the writer, and when (in milliseconds) it last reported that it
/// is alive.
pub(super) const PENDING: TableDefinition<'_, u64, (u64, u64)> =
    TableDefinition::new("larder.pending");
/// Bodies without an entry, whose chunks are to be removed.
pub(super) const GARBAGE: TableDefinition<'_, u64, ()> = TableDefinition::new("larder.garbage");

pub(super) const META_FORMAT: &str = "format";
pub(super) const META_STATE: &str = "state";

/// The payload of a chunk. redb stores a large value in pages of its own, whose number is rounded
/// up to a power of two. With the checksum, the key and the page header, this is just under 128
/// KiB; a payload of 128 KiB would take twice the space.
pub(super) const CHUNK: usize = 128 * 1024 - 64;

pub(super) const CHECKSUM: usize = size_of::<u32>();

/// What the store counts about itself. It is kept in one row, which the transaction that changes it
/// writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// The bytes of all entries, as [`cost`](super::record::cost) counts them.
    pub(super) size: u64,
    /// The next number for a body or a position in the eviction queue.
    pub(super) next: u64,
    /// The state of the eviction queue.
    pub(super) queue: QueueState,
}

/// Five numbers and their checksum.
const STATE: usize = 5 * NUMBER + CHECKSUM;

impl State {
    /// The counters of a new file. The numbers of bodies begin at random, so that a reader of a
    /// body of an older file finds none of this one under its number.
    pub(super) fn begin() -> Self {
        Self { next: RandomState::new().hash_one(0) >> 16, ..Self::default() }
    }

    pub(super) fn encode(self) -> [u8; STATE] {
        let QueueState { hand, boundary, window } = self.queue;
        let mut bytes = [0; STATE];
        let (numbers, checksum) = bytes.as_chunks_mut::<8>();
        for (bytes, number) in
            numbers.iter_mut().zip([self.size, self.next, hand, boundary, window])
        {
            *bytes = number.to_le_bytes();
        }
        checksum.copy_from_slice(&crc32fast::hash(numbers.as_flattened()).to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, checksum) = bytes.as_chunks::<8>();
        if checksum != crc32fast::hash(numbers.as_flattened()).to_le_bytes() {
            return None;
        }
        let numbers: &[[u8; 8]; 5] = numbers.try_into().ok()?;
        let [size, next, hand, boundary, window] = numbers.map(u64::from_le_bytes);
        Some(Self { size, next, queue: QueueState { hand, boundary, window } })
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// What a row of the index is about: its first byte. The eviction queue comes last, since redb
/// fills its pages only if new rows are added at the end of the table.
const TAG: u8 = 0;
const EXPIRY: u8 = 1;
const ORDER: u8 = 2;

/// The length of a number in a row of the index.
const NUMBER: usize = size_of::<u64>();

/// The row of an entry in the eviction queue. The beginning of its key is enough to find the entry,
/// since the record has the place as well. The other rows name an entry by its place.
pub(super) fn order_row(place: u64, start: KeyStart) -> [u8; 1 + 2 * NUMBER] {
    let mut row = [ORDER; 1 + 2 * NUMBER];
    row[1..=NUMBER].copy_from_slice(&place.to_be_bytes());
    row[1 + NUMBER..].copy_from_slice(&start);
    row
}

/// The first and the last possible row of this place in the eviction queue.
pub(super) fn order_rows(place: u64) -> RangeInclusive<[u8; 1 + 2 * NUMBER]> {
    order_row(place, KeyStart::default())..=order_row(place, [u8::MAX; _])
}

/// The place in an [`order_row`], and the beginning of the key unless it is damaged.
pub(super) fn split_order_row(row: &[u8]) -> Option<(u64, Option<KeyStart>)> {
    let (place, start) = row.get(1..)?.split_first_chunk()?;
    Some((u64::from_be_bytes(*place), start.try_into().ok()))
}

/// The first and the last key that begins so.
pub(super) fn keys_from(start: KeyStart) -> RangeInclusive<KeyBytes> {
    let key = |rest: u8| {
        let mut key = [rest; size_of::<KeyBytes>()];
        key[..size_of::<KeyStart>()].copy_from_slice(&start);
        key
    };
    key(0)..=key(u8::MAX)
}

/// The row of an entry that expires.
pub(super) fn expiry_row(expires_at: Timestamp, place: u64) -> [u8; 1 + 2 * NUMBER] {
    let mut row = [EXPIRY; 1 + 2 * NUMBER];
    row[1..=NUMBER].copy_from_slice(&expires_at.as_millis().to_be_bytes());
    row[1 + NUMBER..].copy_from_slice(&place.to_be_bytes());
    row
}

/// The time in an [`expiry_row`].
pub(super) fn expiry_of(row: &[u8]) -> Option<Timestamp> {
    let number = row.get(1..=NUMBER)?.try_into().ok()?;
    Some(Timestamp::from_millis(u64::from_be_bytes(number)))
}

/// The row of an entry with a tag.
pub(super) fn tag_row(tag: &TagDigest, place: u64) -> [u8; 1 + size_of::<TagDigest>() + NUMBER] {
    let mut row = [TAG; 1 + size_of::<TagDigest>() + NUMBER];
    row[1..=size_of::<TagDigest>()].copy_from_slice(tag);
    row[1 + size_of::<TagDigest>()..].copy_from_slice(&place.to_be_bytes());
    row
}

/// The place at the end of an [`expiry_row`] or a [`tag_row`].
pub(super) fn place_of(row: &[u8]) -> Option<u64> {
    row.last_chunk().map(|number| u64::from_be_bytes(*number))
}

/// Tags are stored as digests: rows have one width, whatever the length of a tag, and only the head
/// has the tag in clear.
pub(super) fn tag_digest(tag: &str) -> TagDigest {
    let digest: [u8; 32] = Sha256::digest(tag.as_bytes()).into();
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}

pub(super) fn chunk_key(body: u64, index: u32) -> ChunkKey {
    let mut row = [0; 12];
    row[..8].copy_from_slice(&body.to_be_bytes());
    row[8..].copy_from_slice(&index.to_be_bytes());
    row
}

pub(super) fn split_chunk_key(row: &ChunkKey) -> (u64, u32) {
    let mut body = [0; 8];
    let mut index = [0; 4];
    body.copy_from_slice(&row[..8]);
    index.copy_from_slice(&row[8..]);
    (u64::from_be_bytes(body), u32::from_be_bytes(index))
}

/// The checksum covers the row's key too, so that no chunk is read in place of another.
pub(super) fn chunk_checksum(row: &ChunkKey, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(row);
    hasher.update(payload);
    hasher.finalize()
}

pub(super) fn chunk_value_len(payload: &[u8]) -> usize {
    CHECKSUM + payload.len()
}

pub(super) fn write_chunk(value: &mut [u8], checksum: u32, payload: &[u8]) {
    if let Some((head, rest)) = value.split_first_chunk_mut::<CHECKSUM>() {
        *head = checksum.to_le_bytes();
        rest.copy_from_slice(payload);
    }
}

/// Returns the checked payload of a chunk's value.
pub(super) fn read_chunk<'a>(
    row: &ChunkKey,
    value: &'a [u8],
    len: usize,
) -> Result<&'a [u8], &'static str> {
    let Some((checksum, payload)) = value.split_first_chunk::<CHECKSUM>() else {
        return Err("a truncated chunk");
    };
    if payload.len() != len {
        return Err("a chunk with a wrong length");
    }
    if chunk_checksum(row, payload) != u32::from_le_bytes(*checksum) {
        return Err("a chunk that does not match its checksum");
    }
    Ok(payload)
}

pub(super) fn digests(tags: &[Box<str>]) -> Vec<TagDigest> {
    let mut digests: Vec<_> = tags.iter().map(|tag| tag_digest(tag)).collect();
    digests.sort_unstable();
    digests.dedup();
    digests
}

pub(super) fn key_of(bytes: &KeyBytes) -> Key {
    Key::from_bytes(*bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_keys_round_trip_and_sort_by_number_first() {
        let early = expiry_row(Timestamp::from_millis(255), u64::MAX);
        let late = expiry_row(Timestamp::from_millis(256), 7);
        assert!(early < late);
        assert_eq!(
            (expiry_of(&late), place_of(&late)),
            (Some(Timestamp::from_millis(256)), Some(7))
        );
        let tag = tag_row(&tag_digest("a"), 9);
        assert!(tag[..] < early[..]);
        assert_eq!(place_of(&tag), Some(9));
        let order = order_row(3, [5; 8]);
        assert!(late < order && order < order_row(4, [0; 8]));
        assert!(order_rows(3).contains(&order) && !order_rows(2).contains(&order));
        assert_eq!(split_order_row(&order), Some((3, Some([5; 8]))));
        assert_eq!(split_order_row(&order[..16]), Some((3, None)));
        assert_eq!(split_order_row(&order[..8]), None);
        let key = [7; 32];
        assert!(keys_from([7; 8]).contains(&key) && !keys_from([8; 8]).contains(&key));
        assert!(chunk_key(1, u32::MAX) < chunk_key(2, 0));
        assert_eq!(split_chunk_key(&chunk_key(3, 4)), (3, 4));
        let queue = QueueState { hand: 3, boundary: 4, window: 5 };
        let state = State { size: 1, next: 2, queue };
        assert_eq!(State::decode(&state.encode()), Some(state));
        let mut damaged = state.encode();
        damaged[8] ^= 1;
        assert_eq!((State::decode(&damaged), State::decode(&[0; 40])), (None, None));
    }

    #[test]
    fn chunks_are_valid_only_in_their_place() {
        let row = chunk_key(1, 2);
        let mut value = vec![0; chunk_value_len(b"payload")];
        write_chunk(&mut value, chunk_checksum(&row, b"payload"), b"payload");
        assert_eq!(read_chunk(&row, &value, 7), Ok(&b"payload"[..]));
        assert!(read_chunk(&chunk_key(1, 3), &value, 7).is_err());
        assert!(read_chunk(&row, &value, 6).is_err());
        assert!(read_chunk(&row, &value[..3], 0).is_err());
        value[5] ^= 1;
        assert!(read_chunk(&row, &value, 7).is_err());
    }

    #[test]
    fn digests_of_tags_are_unique() {
        assert_eq!(digests(&["b".into(), "a".into(), "b".into()]).len(), 2);
    }
}
