//! What each store on a server does in its own way, and the entries and chunks that it reads.

use std::{
    hash::{BuildHasher, RandomState},
    ops::Range,
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;

use super::{fault::corrupt, settings::Settings};
use crate::{
    Key,
    entry::Head,
    store::{Result, Scanned, Version},
};

/// What all handles of a store share: its connections, its settings and its commands.
pub(in crate::store) trait Backend: Send + Sync + 'static {
    /// The name of a large body, which no other body has.
    type BodyId: Copy + AsRef<[u8]> + Send + Sync;

    /// A body on the server that no entry refers to yet.
    type Staged: Send + Sync;

    /// The name of the store, for messages.
    const STORE: &'static str;

    /// How many bytes of chunks one command requests, if chunks are smaller.
    const PART: u64;

    fn settings(&self) -> &Settings;

    /// Reads the entry of `key`, with its body if that is small.
    fn find(&self, key: &Key) -> impl Future<Output = Result<Option<Record<Self::BodyId>>>> + Send;

    /// Reads the chunks of a body with these numbers. Chunks after a missing one may be left out.
    fn read_chunks(
        &self,
        body: &LargeBody<Self::BodyId>,
        numbers: Range<u64>,
    ) -> impl Future<Output = Result<Vec<Option<Chunk>>>> + Send;

    /// Keeps a body that is being read, for as long as bodies linger.
    fn touch(&self, body: &LargeBody<Self::BodyId>) -> impl Future<Output = Result<()>> + Send;

    /// Sends a chunk of a body, which begins with the first one. A chunk may have been sent
    /// already, by an abandoned call.
    fn send_chunk(
        &self,
        key: &Key,
        staged: &mut Option<Self::Staged>,
        number: u64,
        payload: Bytes,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Removes a body that was not published. If the server cannot be reached, the body goes later.
    fn discard(self: &Arc<Self>, staged: &Self::Staged) -> impl Future<Output = ()> + Send;
}

/// An entry from the server, decoded and checked.
#[derive(Debug)]
pub(in crate::store) struct Record<I> {
    pub(in crate::store) version: u64,
    pub(in crate::store) head: Head,
    pub(in crate::store) body: Location<I>,
    /// The body beside the head; empty if there is none or it was not requested.
    pub(in crate::store) inline: Bytes,
}

impl<I> Record<I> {
    pub(in crate::store) fn scanned(self, key: Key) -> Scanned {
        Scanned::new(key, Version::new(self.version), Arc::new(self.head))
    }
}

/// Where an entry's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Location<I> {
    /// Beside the head.
    Inline { checksum: u32 },
    /// On its own, in chunks of this size.
    Chunks { id: I, chunk: u32 },
}

/// A body in chunks.
pub(in crate::store) struct LargeBody<I> {
    pub(in crate::store) key: Key,
    pub(in crate::store) id: I,
    pub(in crate::store) len: u64,
    /// The size of all chunks but the last.
    pub(in crate::store) chunk: u64,
}

/// A chunk as it is on the server.
pub(in crate::store) struct Chunk {
    pub(in crate::store) checksum: u32,
    pub(in crate::store) payload: Bytes,
}

impl Chunk {
    /// The checksum covers the place of the chunk too.
    pub(in crate::store) fn checksum(id: &[u8], number: u64, payload: &[u8]) -> u32 {
        checksum(&[id, &number.to_le_bytes(), payload])
    }
}

impl<I: AsRef<[u8]>> LargeBody<I> {
    /// The number of chunks.
    pub(super) fn count(&self) -> u64 {
        self.len.div_ceil(self.chunk)
    }

    /// Returns the bytes of a chunk, if they are what was written in that place.
    pub(super) fn open(
        &self,
        store: &'static str,
        number: u64,
        chunk: Option<Chunk>,
    ) -> Result<Bytes> {
        let corrupt = |what| Err(corrupt(store, &self.key, what));
        let Some(Chunk { checksum, payload }) = chunk else {
            return corrupt("a body with a missing chunk");
        };
        if payload.len() as u64 != (self.len - number * self.chunk).min(self.chunk) {
            return corrupt("a chunk with a wrong length");
        }
        if Chunk::checksum(self.id.as_ref(), number, &payload) != checksum {
            return corrupt("a chunk that does not match its checksum");
        }
        Ok(payload)
    }
}

pub(in crate::store) fn checksum(parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// A number that no other writer creates, on this machine or another.
pub(in crate::store) fn fresh() -> u64 {
    // The standard library seeds it from the system's randomness.
    RandomState::new().hash_one(SystemTime::now())
}

/// The key that `text` shows. Only one spelling is valid, since servers compare the bytes of names.
pub(in crate::store) fn parse_key(text: &str) -> Option<Key> {
    let key: Key = text.parse().ok()?;
    (key.to_string() == text).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_one_spelling() {
        let key = Key::from_bytes([0xab; 32]);
        assert_eq!(parse_key(&key.to_string()), Some(key));
        assert_eq!(parse_key(&key.to_string().to_uppercase()), None);
        assert_eq!(parse_key("1"), None);
    }

    #[test]
    fn chunks_are_valid_only_in_their_place() {
        let body = |id: &'static [u8]| LargeBody { key: Key::digest("a"), id, len: 10, chunk: 5 };
        let open = |id, number, stored, payload: &'static str| {
            let checksum = Chunk::checksum(b"id", stored, payload.as_bytes());
            let chunk = Chunk { checksum, payload: Bytes::from_static(payload.as_bytes()) };
            body(id).open("store", number, Some(chunk))
        };
        assert_eq!(body(b"id").count(), 2);
        assert_eq!(open(b"id", 1, 1, "bytes").unwrap(), "bytes");
        assert!(open(b"id", 0, 1, "bytes").is_err());
        assert!(open(b"id", 1, 1, "byte").is_err());
        assert!(open(b"di", 1, 1, "bytes").is_err());
        assert!(body(b"id").open("store", 1, None).is_err());
    }
}
