//! The writer of an entry: it keeps the body while it is small, else sends it to the writer thread
//! in chunks.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::HeaderMap;

use super::{
    change::{Body, Entry, too_large},
    fault::STORE,
    inner::Inner,
    record::{Location, MAX_TAGS, cost},
    schema::{CHUNK, INLINE, digests},
    shared::{Command, Incoming},
};
use crate::{
    Key,
    entry::Head,
    store::{Error, ErrorKind, Result, Writer as StoreWriter, pieces::Pieces},
};

/// Writes the body of one entry of a [`Redb`](super::Redb). It holds at most one chunk of 128 KiB
/// beside the last [`Bytes`] that it received.
pub struct Writer {
    inner: Arc<Inner>,
    key: Key,
    head: Option<Head>,
    pieces: Pieces,
    /// The bytes that were sent.
    sent: u64,
    index: u32,
    body: Option<Arc<Incoming>>,
}

impl Writer {
    pub(super) fn new(inner: Arc<Inner>, key: Key, head: Head) -> Self {
        Self {
            inner,
            key,
            head: Some(head),
            pieces: Pieces::default(),
            sent: 0,
            index: 0,
            body: None,
        }
    }

    fn len(&self) -> u64 {
        self.sent + self.pieces.len() as u64
    }

    fn check(&self) -> Result<()> {
        if let Some(failure) = self.body.as_ref().and_then(|body| body.failed.get()) {
            return Err(failure.error());
        }
        // The head counts too; its size is known, and checked, at the end.
        let max_bytes = self.inner.shared.config.max_bytes;
        let bytes = cost(0, Location::Chunks { id: 0, len: self.len() });
        if bytes > max_bytes {
            return Err(too_large(bytes, max_bytes));
        }
        Ok(())
    }

    /// Sends chunks until at most one is left: the last one goes with the entry. It can be
    /// cancelled anywhere and called again.
    async fn drain(&mut self) -> Result<()> {
        while self.pieces.len() > CHUNK {
            let permit = self.inner.shared.queue.permit(CHUNK).await;
            let payload = self.pieces.take(CHUNK);
            let body = self.body.get_or_insert_with(|| self.inner.shared.incoming());
            let command = Command::Chunk { body: body.clone(), index: self.index, payload };
            self.inner.shared.queue.send(command, None, permit)?;
            self.sent += CHUNK as u64;
            let next = self.index.checked_add(1);
            self.index = next.ok_or_else(|| too_large(self.len(), u64::from(u32::MAX)))?;
        }
        Ok(())
    }
}

impl StoreWriter for Writer {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        // Chunks that a cancelled call has left.
        self.drain().await?;
        self.pieces.push(chunk, CHUNK);
        self.check()?;
        self.drain().await
    }

    async fn finish(mut self, trailers: Option<HeaderMap>) -> Result<()> {
        self.drain().await?;
        self.check()?;
        let len = self.len();
        let tail = self.pieces.take_all();
        let Some(head) = self.head.take() else { return Ok(()) };
        let head = head.seal(len, trailers);
        let body = if self.body.is_none() && tail.len() <= INLINE {
            Body::Inline { checksum: crc32fast::hash(&tail), bytes: tail }
        } else {
            Body::Chunks { len, last: self.index, tail }
        };
        let entry = Entry {
            head: head.encode(),
            expires_at: head.keep_until(),
            tags: digests(head.tags()),
            body,
        };
        check_tags(&head)?;
        let bytes = entry.head.len() + CHUNK.min(len as usize);
        let permit = self.inner.shared.queue.permit(bytes).await;
        // From here on, the thread owns the body, whatever happens to the entry.
        let command =
            Command::Put { key: self.key, entry: Box::new(entry), body: self.body.take() };
        self.inner.shared.queue.ask_with(command, permit).await.map(drop)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            self.inner.shared.queue.tell(Command::Abandon(body));
        }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("key", &self.key)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

pub(super) fn check_tags(head: &Head) -> Result<()> {
    if head.tags().len() > MAX_TAGS {
        let message =
            format!("an entry can have at most {MAX_TAGS} tags, not {}", head.tags().len());
        return Err(Error::new(ErrorKind::TooLarge, STORE, message));
    }
    Ok(())
}
