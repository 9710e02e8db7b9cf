//! The writer of an entry: it keeps the body while it is small, else sends it to the writer thread
//! in chunks.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::HeaderMap;

use super::{
    change::{Body, Entry, too_large},
    inner::Inner,
    schema::{CHUNK, INLINE, cost},
    shared::{Command, Incoming},
};
use crate::{
    Key,
    entry::Head,
    store::{Result, Writer as StoreWriter, pieces::Pieces},
};

/// Writes the body of one entry of a [`Sqlite`](super::Sqlite). It holds at most one chunk of 128
/// KiB beside the last [`Bytes`] that it received.
pub struct Writer {
    inner: Arc<Inner>,
    key: Key,
    head: Option<Head>,
    pieces: Pieces,
    /// The bytes that were sent.
    sent: u64,
    number: u32,
    body: Option<Arc<Incoming>>,
}

impl Writer {
    pub(super) fn new(inner: Arc<Inner>, key: Key, head: Head) -> Self {
        let pieces = Pieces::default();
        Self { inner, key, head: Some(head), pieces, sent: 0, number: 0, body: None }
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
        let bytes = cost(0, 0, self.len(), false);
        if bytes > max_bytes {
            return Err(too_large(bytes, max_bytes));
        }
        Ok(())
    }

    /// Sends chunks until at most one is left: the last one goes with the entry. It can be
    /// cancelled anywhere and called again.
    async fn drain(&mut self) -> Result<()> {
        let queue = &self.inner.shared.queue;
        while self.pieces.len() > CHUNK {
            let permit = queue.permit(CHUNK).await;
            let data = self.pieces.take(CHUNK);
            let body = self.body.get_or_insert_with(|| self.inner.shared.incoming());
            let command = Command::Chunk { body: body.clone(), number: self.number, data };
            queue.send(command, None, permit)?;
            self.sent += CHUNK as u64;
            let next = self.number.checked_add(1);
            self.number = next.ok_or_else(|| too_large(self.sent, u64::from(u32::MAX)))?;
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
            Body::Inline(tail)
        } else {
            Body::Chunks { last: self.number, tail }
        };
        let entry = Entry { encoded: head.encode(), head, body };
        let bytes = entry.encoded.len() + CHUNK.min(len as usize);
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
