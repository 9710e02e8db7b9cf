//! The writer of an entry: it keeps the body while it is small, else writes it to a file in the
//! hidden folder.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::HeaderMap;

use super::{change, fault::STORE, read::CHUNK, shared::Inner, staged::Staged};
use crate::{
    Key,
    entry::Head,
    store::{
        Error, ErrorKind, Result, Writer as StoreWriter,
        disk::{Task, off, too_large},
        pieces::Pieces,
    },
};

/// Writes the body of one entry of a [`Files`](super::Files). It holds at most one chunk of 128 KiB
/// beside the last [`Bytes`] that it received.
pub struct Writer {
    inner: Arc<Inner>,
    key: Key,
    head: Head,
    pieces: Pieces,
    /// The bytes that were handed to the file.
    sent: u64,
    body: Body,
}

enum Body {
    /// Nothing is written yet.
    Small,
    File(Staged),
    /// A chunk is being written. It is waited for before anything else happens.
    Writing(Task<Staged>),
    Failed,
}

impl Writer {
    pub(super) fn new(inner: Arc<Inner>, key: Key, head: Head) -> Self {
        Self { inner, key, head, pieces: Pieces::default(), sent: 0, body: Body::Small }
    }

    fn len(&self) -> u64 {
        self.sent + self.pieces.len() as u64
    }

    fn check(&self) -> Result<()> {
        let (len, max_bytes) = (self.len(), self.inner.shared.max_bytes);
        if len > max_bytes { Err(too_large(STORE, len, max_bytes)) } else { Ok(()) }
    }

    /// Writes all but the last chunk. It can be cancelled anywhere and called again.
    async fn drain(&mut self) -> Result<()> {
        self.settle().await?;
        while self.pieces.len() > CHUNK {
            let count = (self.pieces.len() - 1) / CHUNK;
            let chunks: Vec<_> = (0..count).map(|_| self.pieces.take(CHUNK)).collect();
            self.sent += (count * CHUNK) as u64;
            let body = std::mem::replace(&mut self.body, Body::Failed);
            let shared = self.inner.shared.clone();
            self.body = Body::Writing(off(STORE, move || {
                let mut file = match body {
                    Body::File(file) => file,
                    _ => Staged::create(&shared)?,
                };
                chunks.iter().try_for_each(|chunk| file.write(chunk))?;
                Ok(file)
            }));
            self.settle().await?;
        }
        Ok(())
    }

    /// Waits for the chunks that are being written.
    async fn settle(&mut self) -> Result<()> {
        match &mut self.body {
            Body::Writing(task) => {
                let written = task.await;
                self.body = Body::Failed;
                self.body = Body::File(written?);
                Ok(())
            }
            Body::Failed => {
                let message = "an earlier part of this body could not be written";
                Err(Error::new(ErrorKind::Unavailable, STORE, message))
            }
            Body::Small | Body::File(_) => Ok(()),
        }
    }
}

impl StoreWriter for Writer {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        // What a cancelled call has left.
        self.drain().await?;
        self.pieces.push(chunk, CHUNK);
        self.check()?;
        self.drain().await
    }

    async fn finish(mut self, trailers: Option<HeaderMap>) -> Result<()> {
        self.drain().await?;
        self.check()?;
        let head = self.head.clone().seal(self.len(), trailers);
        let tail = self.pieces.take_all();
        let body = match std::mem::replace(&mut self.body, Body::Failed) {
            Body::File(file) => Some(file),
            _ => None,
        };
        let (shared, key) = (self.inner.shared.clone(), self.key);
        self.inner.worker.run(move || change::put(&shared, &key, &head, body, &tail)).await
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Body::File(file) = std::mem::replace(&mut self.body, Body::Failed) {
            // Removing a large file takes a while.
            drop(self.inner.worker.run(move || {
                drop(file);
                Ok(())
            }));
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
