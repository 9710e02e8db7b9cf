//! The tables of the file, their keys, and the bytes of a chunk.
//!
//! Numbers are big-endian in keys, which compare as bytes, and little-endian elsewhere. [`FORMAT`]
//! pins the layout: every change of the layout has a new number.

use std::fmt;

use redb::TableDefinition;
use sha2::{Digest, Sha256};

use crate::{Key, time::Timestamp};

/// The version of everything in this file: tables, keys, records.
pub(super) const FORMAT: u32 = 1;

/// The prefix of our tables. Other tables belong to others.
pub(super) const PREFIX: &str = "larder.";

pub(super) type KeyBytes = [u8; 32];
pub(super) type ExpiryKey = [u8; 40];
pub(super) type TagKey = [u8; 48];
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
/// Expiry and key, for entries that expire.
pub(super) const EXPIRY: TableDefinition<'_, &ExpiryKey, ()> =
    TableDefinition::new("larder.expiry");
/// Tag and key.
pub(super) const TAGS: TableDefinition<'_, &TagKey, ()> = TableDefinition::new("larder.tags");
/// Position in the eviction queue to key.
pub(super) const ORDER: TableDefinition<'_, u64, &KeyBytes> = TableDefinition::new("larder.order");
/// Bodies that are being written: the writer, and when (in milliseconds) it last reported that it
/// is alive.
pub(super) const PENDING: TableDefinition<'_, u64, (u64, u64)> =
    TableDefinition::new("larder.pending");
/// Bodies without an entry, whose chunks are to be removed.
pub(super) const GARBAGE: TableDefinition<'_, u64, ()> = TableDefinition::new("larder.garbage");

pub(super) const META_FORMAT: &str = "format";
pub(super) const META_STATE: &str = "state";

/// A body up to this length is in its entry's record: one lookup, one copy.
pub(super) const INLINE: usize = 32 * 1024;

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
    /// The position of the hand in the eviction queue.
    pub(super) hand: u64,
}

impl State {
    pub(super) fn encode(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.size.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.next.to_le_bytes());
        bytes[16..].copy_from_slice(&self.hand.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (numbers, []) = bytes.as_chunks::<8>() else { return None };
        let &[size, next, hand] = numbers else { return None };
        Some(Self {
            size: u64::from_le_bytes(size),
            next: u64::from_le_bytes(next),
            hand: u64::from_le_bytes(hand),
        })
    }

    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

pub(super) fn expiry_key(expires_at: Timestamp, key: &KeyBytes) -> ExpiryKey {
    let mut row = [0; 40];
    row[..8].copy_from_slice(&expires_at.as_millis().to_be_bytes());
    row[8..].copy_from_slice(key);
    row
}

pub(super) fn split_expiry_key(row: &ExpiryKey) -> (Timestamp, KeyBytes) {
    let mut millis = [0; 8];
    let mut key = [0; 32];
    millis.copy_from_slice(&row[..8]);
    key.copy_from_slice(&row[8..]);
    (Timestamp::from_millis(u64::from_be_bytes(millis)), key)
}

/// Tags are stored as digests: rows have one width, whatever the length of a tag, and only the head
/// has the tag in clear.
pub(super) fn tag_digest(tag: &str) -> TagDigest {
    let digest: [u8; 32] = Sha256::digest(tag.as_bytes()).into();
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}

pub(super) fn tag_key(tag: &TagDigest, key: &KeyBytes) -> TagKey {
    let mut row = [0; 48];
    row[..16].copy_from_slice(tag);
    row[16..].copy_from_slice(key);
    row
}

pub(super) fn tag_key_key(row: &TagKey) -> KeyBytes {
    let mut key = [0; 32];
    key.copy_from_slice(&row[16..]);
    key
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

/// The number of chunks of a body of `len` bytes.
pub(super) fn chunk_count(len: u64) -> u64 {
    len.div_ceil(CHUNK as u64)
}

/// The length of chunk `index` of a body of `len` bytes.
pub(super) fn chunk_len(len: u64, index: u32) -> usize {
    let left = len.saturating_sub(u64::from(index) * CHUNK as u64);
    // At most `CHUNK`, so it fits.
    left.min(CHUNK as u64) as usize
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
) -> Result<&'a [u8], Damage> {
    let Some((checksum, payload)) = value.split_first_chunk::<CHECKSUM>() else {
        return Err(Damage("a truncated chunk"));
    };
    if payload.len() != len {
        return Err(Damage("a chunk with a wrong length"));
    }
    if chunk_checksum(row, payload) != u32::from_le_bytes(*checksum) {
        return Err(Damage("a chunk that does not match its checksum"));
    }
    Ok(payload)
}

/// What is wrong with stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage(pub(super) &'static str);

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
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
        let key = [9; 32];
        let early = expiry_key(Timestamp::from_millis(255), &[0xff; 32]);
        let late = expiry_key(Timestamp::from_millis(256), &key);
        assert!(early < late);
        assert_eq!(split_expiry_key(&late), (Timestamp::from_millis(256), key));
        assert_eq!(tag_key_key(&tag_key(&tag_digest("a"), &key)), key);
        assert!(chunk_key(1, u32::MAX) < chunk_key(2, 0));
        assert_eq!(split_chunk_key(&chunk_key(3, 4)), (3, 4));
        let state = State { size: 1, next: 2, hand: 3 };
        assert_eq!(State::decode(&state.encode()), Some(state));
        assert_eq!(State::decode(&[0; 23]), None);
    }

    #[test]
    fn the_last_chunk_has_the_rest() {
        let chunk = CHUNK as u64;
        for (len, count, last) in
            [(1, 1, 1), (chunk, 1, CHUNK), (chunk + 1, 2, 1), (3 * chunk - 1, 3, CHUNK - 1)]
        {
            assert_eq!(chunk_count(len), count, "{len}");
            assert_eq!(chunk_len(len, count as u32 - 1), last, "{len}");
        }
        assert_eq!(chunk_len(5, 1), 0);
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
