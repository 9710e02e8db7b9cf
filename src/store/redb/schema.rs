//! The tables of the file and the bytes of a record.
//!
//! A record is `fixed header | tag digests | encoded head | inline body`. The header carries a checksum of its own,
//! over the entry's key as well, so that an entry can be removed with all its index rows without decoding the head,
//! and so that a record can never be served under another key. Numbers are little-endian in records and big-endian in
//! table keys, where bytes are compared. The layout is pinned by [`FORMAT`]: it is never changed without a new number.

use std::fmt;

use redb::TableDefinition;
use sha2::{Digest, Sha256};

use crate::{Key, time::Timestamp};

/// The version of everything in this file: tables, keys, records.
pub(super) const FORMAT: u32 = 1;

/// Every table of ours starts with this; others are somebody else's.
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
/// Place in the eviction queue to key.
pub(super) const ORDER: TableDefinition<'_, u64, &KeyBytes> = TableDefinition::new("larder.order");
/// Bodies that are being written: who writes, and when (milliseconds) it last said that it is alive.
pub(super) const PENDING: TableDefinition<'_, u64, (u64, u64)> =
    TableDefinition::new("larder.pending");
/// Bodies that belong to no entry any more and whose chunks are still to be removed.
pub(super) const GARBAGE: TableDefinition<'_, u64, ()> = TableDefinition::new("larder.garbage");

pub(super) const META_FORMAT: &str = "format";
pub(super) const META_STATE: &str = "state";

/// A body up to this length stands in its entry's record: one look-up, one copy.
pub(super) const INLINE: usize = 32 * 1024;

/// The payload of a chunk. redb gives a large value pages of its own, their number rounded up to a power of two; with
/// the checksum, the key and the page's own header this is just under 128 KiB, where 128 KiB itself would take twice
/// the room.
pub(super) const CHUNK: usize = 128 * 1024 - 64;

const CHECKSUM: usize = size_of::<u32>();

/// What the store counts about itself, kept in one row and written by the transaction that changes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    /// Bytes of all entries, as [`cost`] counts them.
    pub(super) size: u64,
    /// The next number to give out: to bodies, and to places in the eviction queue.
    pub(super) next: u64,
    /// Where in the eviction queue the hand stands.
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

/// Tags are kept as digests: rows of one width, whatever a tag's length, and nothing of it in clear beside the head.
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

/// How many chunks a body of `len` bytes has.
pub(super) fn chunk_count(len: u64) -> u64 {
    len.div_ceil(CHUNK as u64)
}

/// How long chunk `index` of a body of `len` bytes is.
pub(super) fn chunk_len(len: u64, index: u32) -> usize {
    let left = len.saturating_sub(u64::from(index) * CHUNK as u64);
    // At most `CHUNK`, so it fits.
    left.min(CHUNK as u64) as usize
}

/// The checksum stands over the row's key too, so that no chunk can be read in another's place.
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

/// The payload of a chunk's value, checked.
pub(super) fn read_chunk<'a>(
    row: &ChunkKey,
    value: &'a [u8],
    len: usize,
) -> Result<&'a [u8], Damage> {
    let Some((checksum, payload)) = value.split_first_chunk::<CHECKSUM>() else {
        return Err(Damage("a chunk that is cut short"));
    };
    if payload.len() != len {
        return Err(Damage("a chunk of another length"));
    }
    if chunk_checksum(row, payload) != u32::from_le_bytes(*checksum) {
        return Err(Damage("a chunk that does not match its checksum"));
    }
    Ok(payload)
}

/// How many bytes an entry counts for: its key, its record and its chunks. What the indexes and redb's pages take
/// beside that is not counted.
pub(super) fn cost(record: usize, body: Location) -> u64 {
    let chunks = match body {
        Location::Inline { .. } => 0,
        Location::Chunks { len, .. } => {
            len + chunk_count(len) * (CHECKSUM + size_of::<ChunkKey>()) as u64
        }
    };
    (size_of::<KeyBytes>() + record) as u64 + chunks
}

/// What is wrong with stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Damage(pub(super) &'static str);

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Where an entry's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// Behind the head, in the record.
    Inline { len: u32, checksum: u32 },
    /// In chunks of the body `id`.
    Chunks { id: u64, len: u64 },
}

/// The fixed part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u64,
    /// The entry's place in the eviction queue.
    pub(super) seq: u64,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) body: Location,
}

/// A record as it lies in a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) header: Header,
    pub(super) tags: &'a [TagDigest],
    /// The encoded head and the inline body behind it.
    pub(super) rest: &'a [u8],
    pub(super) head_len: usize,
}

const RECORD_VERSION: u8 = 1;
const EXPIRES: u8 = 1;
const CHUNKED: u8 = 2;
const FIXED: usize = 56;
const TAG: usize = size_of::<TagDigest>();

/// How many tags fit into a record.
pub(super) const MAX_TAGS: usize = u16::MAX as usize;

impl Header {
    /// The length of the record with these parts.
    pub(super) fn record_len(&self, tags: &[TagDigest], head: &[u8]) -> usize {
        let inline = match self.body {
            Location::Inline { len, .. } => len as usize,
            Location::Chunks { .. } => 0,
        };
        FIXED + size_of_val(tags) + head.len() + inline
    }

    /// Writes the record into `out`, which has [`record_len`](Header::record_len) bytes. There are at most
    /// [`MAX_TAGS`] tags.
    pub(super) fn write(
        &self,
        key: &KeyBytes,
        tags: &[TagDigest],
        head: &[u8],
        inline: &[u8],
        out: &mut [u8],
    ) {
        let expires = if self.expires_at.is_some() { EXPIRES } else { 0 };
        let (chunked, len, id, checksum) = match self.body {
            Location::Inline { len, checksum } => (0, u64::from(len), 0, checksum),
            Location::Chunks { id, len } => (CHUNKED, len, id, 0),
        };
        out[0] = RECORD_VERSION;
        out[1] = expires | chunked;
        out[2..4].copy_from_slice(&(tags.len() as u16).to_le_bytes());
        out[8..16].copy_from_slice(&self.version.to_le_bytes());
        out[16..24].copy_from_slice(&self.seq.to_le_bytes());
        let expires_at = self.expires_at.unwrap_or_default();
        out[24..32].copy_from_slice(&expires_at.as_millis().to_le_bytes());
        out[32..40].copy_from_slice(&len.to_le_bytes());
        out[40..48].copy_from_slice(&id.to_le_bytes());
        out[48..52].copy_from_slice(&checksum.to_le_bytes());
        out[52..56].copy_from_slice(&(head.len() as u32).to_le_bytes());
        let (header, rest) = out.split_at_mut(FIXED + size_of_val(tags));
        header[FIXED..].copy_from_slice(tags.as_flattened());
        rest[..head.len()].copy_from_slice(head);
        rest[head.len()..].copy_from_slice(inline);
        let checksum = header_checksum(key, header);
        header[4..8].copy_from_slice(&checksum.to_le_bytes());
    }
}

/// Over the key and the header, leaving out where it stands itself.
fn header_checksum(key: &KeyBytes, header: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(&header[..4]);
    hasher.update(&header[8..]);
    hasher.finalize()
}

impl<'a> Record<'a> {
    /// Reads the header of a record and checks it; neither the head nor an inline body is looked at.
    pub(super) fn parse(key: &KeyBytes, bytes: &'a [u8]) -> Result<Self, Damage> {
        let short = Damage("a record that is cut short");
        let fixed = bytes.first_chunk::<FIXED>().ok_or(short)?;
        if fixed[0] != RECORD_VERSION {
            return Err(Damage("a record of an unknown version"));
        }
        let (fields, _) = fixed.as_chunks::<8>();
        let number = |field: usize| u64::from_le_bytes(fields[field]);
        let tags = usize::from(u16::from_le_bytes([fixed[2], fixed[3]])) * TAG;
        let (header, rest) = bytes.split_at_checked(FIXED + tags).ok_or(short)?;
        let checksum = u32::from_le_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
        if header_checksum(key, header) != checksum {
            return Err(Damage("a record whose header does not match its checksum"));
        }
        let head_len = u32::from_le_bytes([fixed[52], fixed[53], fixed[54], fixed[55]]) as usize;
        let inline = rest.len().checked_sub(head_len).ok_or(short)?;
        let len = number(4);
        let body = if fixed[1] & CHUNKED != 0 {
            if inline != 0 {
                return Err(Damage("a record with something behind its head"));
            }
            Location::Chunks { id: number(5), len }
        } else {
            let checksum = u32::from_le_bytes([fixed[48], fixed[49], fixed[50], fixed[51]]);
            if inline as u64 != len {
                return Err(Damage("a record whose body has another length"));
            }
            Location::Inline { len: inline as u32, checksum }
        };
        let expires_at = (fixed[1] & EXPIRES != 0).then(|| Timestamp::from_millis(number(3)));
        let header_fields = Header { version: number(1), seq: number(2), expires_at, body };
        let (tags, _) = header[FIXED..].as_chunks();
        Ok(Self { header: header_fields, tags, rest, head_len })
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
