//! What each store on a server does in its own way.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;

use super::{
    record::{Chunk, LargeBody, Record},
    settings::Settings,
};
use crate::{Key, store::Result};

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
