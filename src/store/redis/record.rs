//! The bytes of an entry's record: `fixed header | digests of tags | encoded head | inline body`.
//!
//! The scripts read the fixed header at the offsets below, and nothing after the tags. The header
//! has its own checksum, which covers the entry's key as well, so that a record is never served
//! under another key. Numbers are little-endian.

use std::ops::Range;

use bytes::Bytes;

use super::{
    fault::STORE,
    names::{Generation, TagDigest},
};
use crate::{
    Key,
    entry::Head,
    store::{
        Result,
        server::{Chunk, Location, Record, checksum, corrupt},
    },
};

/// The first byte of a record. Every change of the layout has a new number.
const RECORD_VERSION: u8 = 1;
/// The length of the fixed header. The scripts contain it too.
const FIXED: usize = 64;
/// The largest number of tags in a record.
pub(super) const MAX_TAGS: usize = u16::MAX as usize;
const TAG: usize = size_of::<TagDigest>();
const EXPIRES: u8 = 1;

/// The fixed part of a record, with the tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u64,
    /// When this version was written, by the clock of its writer: milliseconds since 1970.
    pub(super) written: u64,
    pub(super) body: Location<Generation>,
    pub(super) body_len: u64,
    /// Whether an index has its expiry.
    pub(super) expires: bool,
    pub(super) tags: Vec<TagDigest>,
}

impl Header {
    /// The record with its inline body.
    pub(super) fn encode(&self, key: &Key, head: &[u8], inline: &[u8]) -> Vec<u8> {
        let len = FIXED + self.tags.len() * TAG + head.len() + inline.len();
        let mut bytes = Vec::with_capacity(len);
        let (kind, generation, checksum, chunk) = match self.body {
            Location::Inline { checksum } => (b'i', [b'0'; 16], checksum, 0),
            Location::Chunks { id, chunk } => (b'c', id, 0, chunk),
        };
        bytes.extend([RECORD_VERSION, kind]); // 0, 1
        bytes.extend([0; 4]); // 2: the checksum
        bytes.extend(self.version.to_le_bytes()); // 6
        bytes.extend(self.written.to_le_bytes()); // 14
        bytes.extend(generation); // 22
        bytes.extend(self.body_len.to_le_bytes()); // 38
        bytes.extend(checksum.to_le_bytes()); // 46
        bytes.extend((head.len() as u32).to_le_bytes()); // 50
        bytes.extend(chunk.to_le_bytes()); // 54
        bytes.extend((self.tags.len() as u16).to_le_bytes()); // 58
        bytes.extend([if self.expires { EXPIRES } else { 0 }, 0, 0, 0]); // 60
        bytes.extend(self.tags.as_flattened());
        let checksum = header_checksum(key, &bytes);
        bytes[2..6].copy_from_slice(&checksum.to_le_bytes());
        bytes.extend_from_slice(head);
        bytes.extend_from_slice(inline);
        bytes
    }

    /// Reads and checks the header of a record. Also returns the place of the head after it.
    pub(super) fn parse(key: &Key, bytes: &[u8]) -> Result<(Self, Range<usize>), &'static str> {
        let short = "a truncated record";
        let fixed = bytes.first_chunk::<FIXED>().ok_or(short)?;
        if fixed[0] != RECORD_VERSION {
            return Err("a record of an unknown version");
        }
        let tags = usize::from(u16::from_le_bytes([fixed[58], fixed[59]])) * TAG;
        let (header, _) = bytes.split_at_checked(FIXED + tags).ok_or(short)?;
        if header_checksum(key, header) != u32_at(fixed, 2) {
            return Err("a record whose header does not match its checksum");
        }
        let body = match fixed[1] {
            b'i' => Location::Inline { checksum: u32_at(fixed, 46) },
            b'c' => Location::Chunks {
                id: std::array::from_fn(|index| fixed[22 + index]),
                chunk: u32_at(fixed, 54),
            },
            _ => return Err("a record of an unknown kind"),
        };
        let (tags, _) = header[FIXED..].as_chunks();
        let parsed = Self {
            version: u64_at(fixed, 6),
            written: u64_at(fixed, 14),
            body,
            body_len: u64_at(fixed, 38),
            expires: fixed[60] & EXPIRES != 0,
            tags: tags.to_vec(),
        };
        let start = header.len();
        Ok((parsed, start..start.saturating_add(u32_at(fixed, 50) as usize)))
    }
}

fn u32_at(fixed: &[u8; FIXED], at: usize) -> u32 {
    u32::from_le_bytes(std::array::from_fn(|index| fixed[at + index]))
}

fn u64_at(fixed: &[u8; FIXED], at: usize) -> u64 {
    u64::from_le_bytes(std::array::from_fn(|index| fixed[at + index]))
}

/// The checksum over the key and the header, without the checksum itself.
fn header_checksum(key: &Key, header: &[u8]) -> u32 {
    checksum(&[key.as_bytes(), &header[..2], &header[6..]])
}

/// Reads a record, which may end after the head. Also returns the length of its header and head.
pub(super) fn parse(key: &Key, bytes: &Bytes) -> Result<(Record<Generation>, usize)> {
    let corrupt = |what| corrupt(STORE, key, what);
    let (Header { version, body, body_len, .. }, front) =
        Header::parse(key, bytes).map_err(corrupt)?;
    let head = bytes.get(front.clone()).ok_or_else(|| corrupt("a truncated record"))?;
    let head = Head::decode(bytes.slice_ref(head));
    let head = head.map_err(|error| corrupt("a damaged head").with_source(error))?;
    if head.body_len() != body_len {
        return Err(corrupt("a body whose length differs from its head's"));
    }
    Ok((Record { version, head, body, inline: bytes.slice(front.end..) }, front.end))
}

// ===== chunks =====

const CHECKSUM: usize = size_of::<u32>();

/// A chunk as it is stored: its checksum, then its bytes.
pub(super) fn seal_chunk(generation: &Generation, number: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(CHECKSUM + payload.len());
    bytes.extend(Chunk::checksum(generation, number, payload).to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Takes a stored chunk apart.
pub(super) fn split_chunk(key: &Key, mut bytes: Bytes) -> Result<Chunk> {
    let checksum = bytes.first_chunk::<CHECKSUM>().copied();
    let checksum = checksum.ok_or_else(|| corrupt(STORE, key, "a truncated chunk"))?;
    let payload = bytes.split_off(CHECKSUM);
    Ok(Chunk { checksum: u32::from_le_bytes(checksum), payload })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> Key {
        Key::from_bytes([7; 32])
    }

    fn header() -> Header {
        Header {
            version: 0x0102,
            written: 0x0304,
            body: Location::Chunks { id: *b"00000000000000ff", chunk: 0x0506 },
            body_len: 0x0708,
            expires: true,
            tags: vec![[0xee; 16]],
        }
    }

    #[test]
    fn records_round_trip() {
        for body in [header().body, Location::Inline { checksum: 9 }] {
            let header = Header { body, ..header() };
            let bytes = header.encode(&key(), b"head", b"");
            let place = bytes.len() - 4..bytes.len();
            assert_eq!(Header::parse(&key(), &bytes), Ok((header, place)));
            assert!(bytes.ends_with(b"head"));
        }
    }

    /// The layout of version 1, never to be changed under that number.
    #[test]
    fn golden_bytes_of_version_1() {
        let hex: String =
            header().encode(&key(), b"hd", b"").iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(
            hex,
            "0163055ef49c02010000000000000403000000000000303030303030303030303030303066660807\
             000000000000000000000200000006050000010001000000eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee6864"
        );
    }

    #[test]
    fn damaged_headers_and_other_keys_are_refused() {
        let bytes = header().encode(&key(), b"", b"");
        for position in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[position] ^= 0x20;
            assert!(Header::parse(&key(), &damaged).is_err(), "byte {position}");
            assert!(Header::parse(&key(), &bytes[..position]).is_err(), "cut at {position}");
        }
        assert!(Header::parse(&Key::from_bytes([8; 32]), &bytes).is_err());
    }

    #[test]
    fn chunks_round_trip() {
        let generation = *b"0000000000000001";
        let stored = Bytes::from(seal_chunk(&generation, 3, b"bytes"));
        let chunk = split_chunk(&key(), stored).unwrap();
        assert_eq!(chunk.payload, "bytes");
        assert_eq!(chunk.checksum, Chunk::checksum(&generation, 3, b"bytes"));
        assert!(split_chunk(&key(), Bytes::from_static(b"abc")).is_err());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _either = parse(&key(), &Bytes::from(bytes.clone()));
            // Passes the first checks, so that the others are reached.
            if bytes.len() > FIXED {
                (bytes[0], bytes[58], bytes[59]) = (RECORD_VERSION, bytes[58] % 16, 0);
                let header = (FIXED + usize::from(bytes[58]) * TAG).min(bytes.len());
                let checksum = header_checksum(&key(), &bytes[..header]);
                bytes[2..6].copy_from_slice(&checksum.to_le_bytes());
                let _either = parse(&key(), &Bytes::from(bytes));
            }
        }
    }
}
