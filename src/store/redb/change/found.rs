//! What a transaction has found under a key.

use crate::store::{
    embedded::Purge,
    redb::{
        record::{Header, Record, cost},
        schema::{KeyBytes, TagDigest, expiry_of, tag_digest},
    },
};

/// What the tables say about an existing entry.
pub(super) struct Found {
    /// The length of the record.
    pub(super) len: usize,
    /// Unknown if the record is damaged. Its index rows are then removed when they are met, and an
    /// index row that leads to it justifies its removal.
    pub(super) whole: Option<(Header, Vec<TagDigest>)>,
}

impl Found {
    pub(super) fn parse(key: &KeyBytes, bytes: &[u8]) -> Self {
        let record = Record::parse(key, bytes).ok();
        let whole = record.map(|record| (record.header, record.tags.to_vec()));
        Self { len: bytes.len(), whole }
    }

    pub(super) fn header(&self) -> Option<&Header> {
        self.whole.as_ref().map(|(header, _)| header)
    }

    pub(super) fn tags(&self) -> &[TagDigest] {
        self.whole.as_ref().map_or(&[], |(_, tags)| tags)
    }

    pub(super) fn is_at(&self, place: u64) -> bool {
        self.header().is_none_or(|header| header.seq == place)
    }

    pub(super) fn is_damaged(&self) -> bool {
        self.whole.is_none()
    }

    /// How many bytes it counts for. The chunks of a damaged entry are lost until the store is
    /// cleared.
    pub(super) fn cost(&self) -> u64 {
        cost(self.len, self.header().and_then(|header| header.body.chunked()))
    }

    /// Whether this row of the index is right.
    pub(super) fn has(&self, purge: &Purge, row: &[u8]) -> bool {
        let Some((header, tags)) = &self.whole else { return true };
        match purge {
            Purge::Expired(_) => header.expires_at == expiry_of(row),
            Purge::Tagged(tag) => tags.contains(&tag_digest(tag)),
        }
    }
}
