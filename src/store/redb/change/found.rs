//! What a transaction has found under a key.

use crate::store::{
    embedded::Purge,
    redb::{
        record::{Header, Location, Record, cost},
        schema::{KeyBytes, TagDigest, expiry_of, tag_digest},
    },
};

/// What the tables say about an existing entry.
pub(super) enum Found {
    Whole {
        header: Header,
        tags: Vec<TagDigest>,
        len: usize,
    },
    /// Its index rows are unknown; they are removed when they are met.
    Damaged {
        len: usize,
    },
}

/// What is known of an entry. Of a damaged entry nothing is known, and an index row that leads to
/// it justifies its removal.
impl Found {
    pub(super) fn parse(key: &KeyBytes, bytes: &[u8]) -> Self {
        match Record::parse(key, bytes) {
            Ok(record) => {
                Self::Whole { header: record.header, tags: record.tags.to_vec(), len: bytes.len() }
            }
            Err(_) => Self::Damaged { len: bytes.len() },
        }
    }

    pub(super) fn is_at(&self, place: u64) -> bool {
        match self {
            Self::Whole { header, .. } => header.seq == place,
            Self::Damaged { .. } => true,
        }
    }

    pub(super) fn is_damaged(&self) -> bool {
        matches!(self, Self::Damaged { .. })
    }

    /// How many bytes it counts for.
    pub(super) fn cost(&self) -> u64 {
        match self {
            Self::Whole { header, len, .. } => cost(*len, header.body),
            Self::Damaged { len } => cost(*len, Location::Inline { len: 0, checksum: 0 }),
        }
    }

    /// Whether this row of the index is right.
    pub(super) fn has(&self, purge: &Purge, row: &[u8]) -> bool {
        match (self, purge) {
            (Self::Damaged { .. }, _) => true,
            (Self::Whole { header, .. }, Purge::Expired(_)) => header.expires_at == expiry_of(row),
            (Self::Whole { tags, .. }, Purge::Tagged(tag)) => tags.contains(&tag_digest(tag)),
        }
    }
}
