//! The bytes of a record: `fixed header | digests of tags | encoded head | inline body`.
//!
//! The header has its own checksum, which covers the entry's key as well. An entry can therefore be
//! removed with all its index rows without decoding the head, and a record is never served under
//! another key. Numbers are little-endian. [`FORMAT`](super::schema::FORMAT) pins the layout.

use bytes::Bytes;

use super::{
    fault::corrupt_entry,
    schema::{CHECKSUM, CHUNK, ChunkKey, KeyBytes, TagDigest},
};
use crate::{
    Key,
    entry::Head,
    store::{
        Result,
        embedded::{MAX_TAGS, chunk_count},
    },
    time::Timestamp,
};

/// Where an entry's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// After the head, in the record.
    Inline { len: u32, checksum: u32 },
    /// In the chunks of body `id`.
    Chunks { id: u64, len: u64 },
}

impl Location {
    /// The length of a body in chunks.
    pub(super) fn chunked(&self) -> Option<u64> {
        match self {
            Self::Inline { .. } => None,
            Self::Chunks { len, .. } => Some(*len),
        }
    }

    /// The length of the body.
    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Inline { len, .. } => u64::from(*len),
            Self::Chunks { len, .. } => *len,
        }
    }
}

/// The fixed part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u64,
    /// The entry's position in the eviction queue.
    pub(super) seq: u64,
    pub(super) expires_at: Option<Timestamp>,
    pub(super) body: Location,
}

/// A record as it lies in a page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a> {
    pub(super) header: Header,
    pub(super) tags: &'a [TagDigest],
    /// The encoded head, and the inline body after it.
    pub(super) rest: &'a [u8],
    pub(super) head_len: usize,
}

const RECORD_VERSION: u8 = 1;
const EXPIRES: u8 = 1;
const CHUNKED: u8 = 2;
const FIXED: usize = 56;
const TAG: usize = size_of::<TagDigest>();

// The number of tags fits into the record.
const _: () = assert!(MAX_TAGS <= u16::MAX as usize);

/// The length of a record with so many tags, and a head and an inline body of these lengths.
pub(super) fn record_len(tags: usize, head: usize, inline: usize) -> usize {
    FIXED + tags * TAG + head + inline
}

impl Header {
    /// Writes the record into `out`, which has [`record_len`] bytes. There are
    /// at most [`MAX_TAGS`] tags.
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

/// The checksum over the key and the header, without the checksum itself.
fn header_checksum(key: &KeyBytes, header: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(&header[..4]);
    hasher.update(&header[8..]);
    hasher.finalize()
}

impl<'a> Record<'a> {
    /// Reads and checks the header of a record. It does not read the head or an inline body.
    pub(super) fn parse(key: &KeyBytes, bytes: &'a [u8]) -> Result<Self, &'static str> {
        let short = "a truncated record";
        let fixed = bytes.first_chunk::<FIXED>().ok_or(short)?;
        if fixed[0] != RECORD_VERSION {
            return Err("a record of an unknown version");
        }
        let (fields, _) = fixed.as_chunks::<8>();
        let number = |field: usize| u64::from_le_bytes(fields[field]);
        let tags = usize::from(u16::from_le_bytes([fixed[2], fixed[3]])) * TAG;
        let (header, rest) = bytes.split_at_checked(FIXED + tags).ok_or(short)?;
        let checksum = u32::from_le_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]);
        if header_checksum(key, header) != checksum {
            return Err("a record whose header does not match its checksum");
        }
        let head_len = u32::from_le_bytes([fixed[52], fixed[53], fixed[54], fixed[55]]) as usize;
        let inline = rest.len().checked_sub(head_len).ok_or(short)?;
        let len = number(4);
        let body = if fixed[1] & CHUNKED != 0 {
            if inline != 0 {
                return Err("a record with extra bytes after its head");
            }
            Location::Chunks { id: number(5), len }
        } else {
            let checksum = u32::from_le_bytes([fixed[48], fixed[49], fixed[50], fixed[51]]);
            if inline as u64 != len {
                return Err("a record whose body has a wrong length");
            }
            Location::Inline { len: inline as u32, checksum }
        };
        let expires_at = (fixed[1] & EXPIRES != 0).then(|| Timestamp::from_millis(number(3)));
        let header_fields = Header { version: number(1), seq: number(2), expires_at, body };
        let (tags, _) = header[FIXED..].as_chunks();
        Ok(Self { header: header_fields, tags, rest, head_len })
    }
}

/// Returns the head of the entry of `key`.
pub(super) fn decode_head(key: &Key, head: Bytes) -> Result<Head> {
    Head::decode(head).map_err(|error| corrupt_entry(key, "a damaged head").with_source(error))
}

/// How many bytes an entry counts for: its key, its record and its chunks, but not the indexes and
/// the unused space in redb's pages.
///
/// `chunked` is the length of a body in chunks.
pub(super) fn cost(record: usize, chunked: Option<u64>) -> u64 {
    let row = (CHECKSUM + size_of::<ChunkKey>()) as u64;
    let chunks = chunked.map_or(0, |len| len + chunk_count(len, CHUNK) * row);
    (size_of::<KeyBytes>() + record) as u64 + chunks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: KeyBytes = [7; 32];

    fn record(header: Header, tags: &[TagDigest], head: &[u8], inline: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; record_len(tags.len(), head.len(), inline.len())];
        header.write(&KEY, tags, head, inline, &mut bytes);
        bytes
    }

    fn inline() -> Vec<u8> {
        let body = Location::Inline { len: 4, checksum: 99 };
        let expires_at = Some(Timestamp::from_millis(u64::MAX));
        let header = Header { version: 1, seq: 2, expires_at, body };
        record(header, &[[1; 16], [2; 16]], b"head", b"body")
    }

    #[test]
    fn records_round_trip() {
        let bytes = inline();
        let record = Record::parse(&KEY, &bytes).unwrap();
        assert_eq!((record.header.version, record.header.seq), (1, 2));
        assert_eq!(record.header.expires_at, Some(Timestamp::MAX));
        assert_eq!(record.header.body, Location::Inline { len: 4, checksum: 99 });
        assert_eq!(record.tags, [[1; 16], [2; 16]]);
        assert_eq!((record.rest, record.head_len), (&b"headbody"[..], 4));

        let body = Location::Chunks { id: 3, len: 1 << 40 };
        let header = Header { version: 4, seq: 5, expires_at: None, body };
        let bytes = super::tests::record(header, &[], b"head", b"");
        assert_eq!(Record::parse(&KEY, &bytes).unwrap().header, header);
    }

    /// The layout of format 1, never to be changed under that number.
    #[test]
    fn golden_bytes_of_format_1() {
        let body = Location::Chunks { id: 0x0a0b, len: 0x0c0d };
        let expires_at = Some(Timestamp::from_millis(0x0102));
        let header = Header { version: 0x0304, seq: 0x0506, expires_at, body };
        let bytes = record(header, &[[0xee; 16]], b"hd", b"");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            "01030100796cef7c0403000000000000060500000000000002010000000000000d0c000000000000\
             0b0a0000000000000000000002000000eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee6864"
        );
    }

    #[test]
    fn damaged_headers_and_other_keys_are_refused() {
        let bytes = inline();
        for position in 0..FIXED + 2 * TAG {
            let mut damaged = bytes.clone();
            damaged[position] ^= 0x20;
            assert!(Record::parse(&KEY, &damaged).is_err(), "byte {position}");
        }
        for len in 0..bytes.len() {
            assert!(Record::parse(&KEY, &bytes[..len]).is_err(), "cut at {len}");
        }
        assert!(Record::parse(&[8; 32], &bytes).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _either = Record::parse(&KEY, &bytes);
            // Passes the first checks, so that the others are reached.
            if bytes.len() > FIXED {
                bytes[0] = RECORD_VERSION;
                bytes[2] %= 16;
                bytes[3] = 0;
                let header = (FIXED + usize::from(bytes[2]) * TAG).min(bytes.len());
                let checksum = header_checksum(&KEY, &bytes[..header]);
                bytes[4..8].copy_from_slice(&checksum.to_le_bytes());
                let _either = Record::parse(&KEY, &bytes);
            }
        }
    }
}
