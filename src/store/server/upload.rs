//! The body of an entry that is being written. It is kept while it is small, else sent to the
//! server in chunks, where nothing refers to it until the entry is published.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use tokio::runtime::Handle;

use super::{backend::Backend, chunked::Chunked, needs_runtime};
use crate::{Key, store::Result};

/// A body that is being written. If it is dropped before it was [published](Self::published), what
/// was sent of it is removed in a task.
pub(in crate::store) struct Upload<B: Backend> {
    pub(in crate::store) backend: Arc<B>,
    pub(in crate::store) key: Key,
    pub(in crate::store) body: Chunked,
    /// The body on the server, once there is one.
    pub(in crate::store) staged: Option<B::Staged>,
}

impl<B: Backend> Upload<B> {
    pub(in crate::store) fn new(backend: Arc<B>, key: Key) -> Self {
        let settings = backend.settings();
        let body = Chunked::new(settings.inline_limit, settings.chunk_size);
        Self { backend, key, body, staged: None }
    }

    pub(in crate::store) async fn write(&mut self, chunk: Bytes) -> Result<()> {
        // Chunks that a cancelled call has left.
        self.drain().await?;
        self.body.push(chunk);
        self.drain().await
    }

    /// Sends chunks while there are whole ones. It can be cancelled anywhere and called again.
    pub(in crate::store) async fn drain(&mut self) -> Result<()> {
        while let Some((number, payload)) = self.body.next_chunk() {
            self.send(number, payload).await?;
        }
        Ok(())
    }

    /// Sends what is left at the end of the body, unless all of it is small.
    pub(in crate::store) async fn send_rest(&mut self) -> Result<()> {
        while let Some((number, payload)) = self.body.last_chunk() {
            self.send(number, payload).await?;
        }
        Ok(())
    }

    async fn send(&mut self, number: u64, payload: Bytes) -> Result<()> {
        self.backend.send_chunk(&self.key, &mut self.staged, number, payload).await?;
        self.body.sent();
        Ok(())
    }

    /// Notes that an entry has the body.
    pub(in crate::store) fn published(&mut self) {
        self.staged = None;
    }

    /// Removes what was sent. If the future is dropped before it is done, a task does it.
    pub(in crate::store) async fn abort(mut self) {
        if let Some(staged) = &self.staged
            && needs_runtime::when_used(B::STORE).is_ok()
        {
            self.backend.discard(staged).await;
            self.staged = None;
        }
    }
}

impl<B: Backend> Drop for Upload<B> {
    fn drop(&mut self) {
        let Some(staged) = self.staged.take() else { return };
        // Without a runtime, the body goes later.
        if let Ok(runtime) = Handle::try_current() {
            let backend = self.backend.clone();
            runtime.spawn(async move { backend.discard(&staged).await });
        }
    }
}

impl<B: Backend> fmt::Debug for Upload<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upload")
            .field("key", &self.key)
            .field("len", &self.body.len())
            .finish_non_exhaustive()
    }
}
