//! The writer of an entry: it keeps the body while it is small, else sends it to the writer thread
//! in chunks.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::HeaderMap;

use super::{
    command::{Command, Incoming},
    database::{Body, Database, Entry},
    inner::Inner,
    overlay::Pending,
};
use crate::{
    Key,
    entry::Head,
    store::{Error, ErrorKind, Result, pieces::Pieces},
};

/// A body up to this length is in its entry's row: one lookup, one copy.
pub(in crate::store) const INLINE: usize = 32 * 1024;

/// A body up to this length is copied. It may be a slice of a large network buffer, which would be
/// kept until the entry is committed.
const COPIED: usize = 4 * 1024;

/// The largest number of tags of an entry.
pub(in crate::store) const MAX_TAGS: usize = u16::MAX as usize;

/// Writes the body of one entry. It holds at most one chunk beside the last [`Bytes`] that it
/// received.
pub(in crate::store) struct Writer<D: Database> {
    inner: Arc<Inner<D>>,
    key: Key,
    head: Option<Head>,
    pieces: Pieces,
    /// The bytes that were sent.
    sent: u64,
    index: u32,
    body: Option<Arc<Incoming>>,
}

impl<D: Database> Writer<D> {
    pub(super) fn new(inner: Arc<Inner<D>>, key: Key, head: Head) -> Self {
        let pieces = Pieces::default();
        Self { inner, key, head: Some(head), pieces, sent: 0, index: 0, body: None }
    }

    fn len(&self) -> u64 {
        self.sent + self.pieces.len() as u64
    }

    fn check(&self) -> Result<()> {
        if let Some(failure) = self.body.as_ref().and_then(|body| body.failed.get()) {
            return Err(failure.repeat());
        }
        // The head counts too; its size is known, and checked, at the end.
        self.check_size(self.len())
    }

    fn check_size(&self, bytes: u64) -> Result<()> {
        let shared = &self.inner.shared;
        if bytes > shared.settings.max_bytes { Err(shared.too_large(bytes)) } else { Ok(()) }
    }

    /// Sends chunks until at most one is left: the last one goes with the entry. It can be
    /// cancelled anywhere and called again.
    async fn drain(&mut self) -> Result<()> {
        let shared = &self.inner.shared;
        while self.pieces.len() > D::CHUNK {
            let permit = shared.permit(D::CHUNK).await;
            let payload = self.pieces.take(D::CHUNK);
            let body = self.body.get_or_insert_with(|| shared.incoming());
            let command = Command::Chunk { body: body.clone(), index: self.index, payload };
            shared.send(command, None, permit)?;
            self.sent += D::CHUNK as u64;
            let next = self.index.checked_add(1);
            self.index = next.ok_or_else(|| shared.too_large(self.sent))?;
        }
        Ok(())
    }

    pub(in crate::store) async fn write(&mut self, chunk: Bytes) -> Result<()> {
        // Chunks that a cancelled call has left.
        self.drain().await?;
        self.pieces.push(chunk, D::CHUNK);
        self.check()?;
        self.drain().await
    }

    pub(in crate::store) async fn finish(mut self, trailers: Option<HeaderMap>) -> Result<()> {
        self.drain().await?;
        self.check()?;
        let len = self.len();
        let mut tail = self.pieces.take_all();
        if tail.len() <= COPIED {
            tail = Bytes::copy_from_slice(&tail);
        }
        let Some(head) = self.head.take() else { return Ok(()) };
        let head = Arc::new(head.seal(len, trailers));
        let is_small = self.body.is_none() && tail.len() <= INLINE;
        let body = if is_small {
            Body::Inline(tail.clone())
        } else {
            Body::Chunks { last: self.index, tail: tail.clone() }
        };
        let shared = &self.inner.shared;
        let encoded = head.encode().into();
        let entry = Entry { head, encoded, version: shared.next_version(), body };
        self.check_size(D::cost(&entry))?;
        let bytes = entry.encoded.len() + D::CHUNK.min(len as usize);
        let permit = shared.permit(bytes).await;
        let key = self.key;
        if is_small && shared.settings.writes_behind() && !shared.overlay.is_failing() {
            let (head, version) = (entry.head.clone(), entry.version);
            let pending = Pending { head, version, body: tail, number: 0 };
            return shared.overlay.add(
                key,
                pending,
                || shared.closed(),
                |number| {
                    let command = Command::Put { key, entry, body: None, pending: Some(number) };
                    shared.send(command, None, permit)
                },
            );
        }
        // From here on, the thread owns the body, whatever happens to the entry.
        let command = Command::Put { key, entry, body: self.body.take(), pending: None };
        shared.ask_with(command, permit).await.map(drop)
    }
}

impl<D: Database> Drop for Writer<D> {
    fn drop(&mut self) {
        if let Some(body) = self.body.take() {
            self.inner.shared.tell(Command::Abandon(body));
        }
    }
}

impl<D: Database> fmt::Debug for Writer<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("key", &self.key)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

pub(super) fn check_tags(store: &'static str, head: &Head) -> Result<()> {
    if head.tags().len() > MAX_TAGS {
        let message =
            format!("an entry can have at most {MAX_TAGS} tags, not {}", head.tags().len());
        return Err(Error::new(ErrorKind::TooLarge, store, message));
    }
    Ok(())
}
