//! What is stored of a response already, and goes before and behind the part of it that comes.
//!
//! It is read when it is its turn, chunk by chunk, and only as long as it is what was seen when the part came: what has
//! taken its place may be of another response.

use std::future::poll_fn;

use crate::{
    cache::{CacheLayer, heal::watched},
    event::StoreOperation,
    key::Key,
    policy::Union,
    store::{Hit, Result, Store, Version, Writer},
};

/// The stored part that a body is put into, as it was seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Around {
    pub(crate) key: Key,
    pub(crate) seen: Version,
    pub(crate) union: Union,
}

impl Around {
    /// Copies `len` bytes of the stored part, from `first` on, to the writer. `false` where it is not there any more.
    async fn copy<B: Store>(
        &self,
        cache: &CacheLayer<B>,
        (first, len): (u64, u64),
        writer: &mut B::Writer,
    ) -> Result<bool> {
        if len == 0 {
            return Ok(true);
        }
        let get = async {
            let found = cache.shared.store.get(&self.key).await?;
            found.map(Hit::whole).transpose()
        };
        let hit = cache.observer().asked(StoreOperation::Get, &self.key, get).await?;
        let Some(hit) = hit.filter(|hit| hit.version == self.seen) else { return Ok(false) };
        let body = watched(hit.body, cache, self.key, hit.version);
        let mut body = body.part(first, len);
        while let Some(chunk) = poll_fn(|cx| body.poll_chunk(cx)).await {
            let write = writer.write(chunk?);
            cache.observer().asked(StoreOperation::Write, &self.key, write).await?;
        }
        Ok(true)
    }

    /// Copies what goes before the body.
    pub(super) async fn copy_before<B: Store>(
        &self,
        cache: &CacheLayer<B>,
        writer: &mut B::Writer,
    ) -> Result<bool> {
        self.copy(cache, (0, self.union.before), writer).await
    }

    /// Copies what goes behind it.
    pub(super) async fn copy_after<B: Store>(
        &self,
        cache: &CacheLayer<B>,
        writer: &mut B::Writer,
    ) -> Result<bool> {
        self.copy(cache, (self.union.skipped, self.union.after), writer).await
    }

    /// Removes the part of which the whole has been made.
    pub(super) async fn remove<B: Store>(&self, cache: &CacheLayer<B>) {
        let removal = cache.shared.store.remove_if(&self.key, self.seen);
        // What fails is told, and leaves a part that is of no more use.
        drop(cache.observer().asked(StoreOperation::Remove, &self.key, removal).await);
    }
}
