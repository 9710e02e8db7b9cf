//! [`Splice`]: a stored part, copied around a body that continues it (RFC 9111 §3.4).
//!
//! The stored part is read when it is its turn, chunk by chunk, and only while it is the one that
//! was seen when the body arrived. Another entry in its place may be of another response.

use std::future::poll_fn;

use crate::{
    cache::handle::Handle,
    event::StoreOperation,
    key::Key,
    policy::Union,
    store::{Result, Store, Version, Writer},
};

/// The stored part that a body is spliced into, as it was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Splice {
    pub(crate) key: Key,
    pub(crate) version: Version,
    pub(crate) union: Union,
    /// Whether the part leads to those of other variants, which would be lost with it.
    pub(crate) leads_to_others: bool,
}

impl Splice {
    /// Copies `len` bytes of the stored part to the writer, from `first` on. `false` if the part is
    /// not there any more.
    async fn copy<B: Store>(
        &self,
        handle: &Handle<B>,
        (first, len): (u64, u64),
        writer: &mut B::Writer,
    ) -> Result<bool> {
        if len == 0 {
            return Ok(true);
        }
        let hit = handle.get(&self.key).await?;
        let Some(hit) = hit.filter(|hit| hit.version == self.version) else { return Ok(false) };
        let mut body = handle.evict_if_damaged(hit.body, self.key, hit.version).part(first, len);
        while let Some(chunk) = poll_fn(|cx| body.poll_chunk(cx)).await {
            let write = writer.write(chunk?);
            handle.observer.asked(StoreOperation::Write, &self.key, write).await?;
        }
        Ok(true)
    }

    /// Copies what precedes the body.
    pub(super) async fn copy_before<B: Store>(
        &self,
        handle: &Handle<B>,
        writer: &mut B::Writer,
    ) -> Result<bool> {
        self.copy(handle, (0, self.union.before), writer).await
    }

    /// Copies what follows the body.
    pub(super) async fn copy_after<B: Store>(
        &self,
        handle: &Handle<B>,
        writer: &mut B::Writer,
    ) -> Result<bool> {
        self.copy(handle, (self.union.skipped, self.union.after), writer).await
    }
}
