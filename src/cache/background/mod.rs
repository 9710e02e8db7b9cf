//! Calls that no caller waits for: the refresh of what has expired or is about to, and the time that is given to them.
//!
//! The tasks belong to the layer: [`CacheLayer::idle`] waits for them, and the last handle that is dropped stops them.
//! Nothing else in the crate's `cache` is spawned. Without the feature `tokio`, or outside of its runtime, there are none:
//! requests then make such calls themselves.

use std::{future::Future, time::Duration};

use super::CacheLayer;
use crate::{key::Key, time::Timestamp};

#[cfg(feature = "tokio")]
mod backoff;
#[cfg(feature = "tokio")]
mod refresh;
#[cfg(feature = "tokio")]
mod tasks;

#[cfg(feature = "tokio")]
pub(super) use self::{backoff::Backoff, refresh::refresh, tasks::Tasks};

/// Whether a call in the background can be made from here.
pub(super) fn is_possible() -> bool {
    #[cfg(feature = "tokio")]
    return tokio::runtime::Handle::try_current().is_ok();
    #[cfg(not(feature = "tokio"))]
    false
}

/// What `future` comes to; `None` where that takes longer than `limit`.
pub(super) async fn within<F: Future>(limit: Option<Duration>, future: F) -> Option<F::Output> {
    #[cfg(feature = "tokio")]
    if let Some(limit) = limit
        && is_possible()
    {
        return tokio::time::timeout(limit, future).await.ok();
    }
    #[cfg(not(feature = "tokio"))]
    let _unset = limit;
    Some(future.await)
}

/// Whether an entry that is stale, or about to be, is to be refreshed now: not while that is under way already, nor in the
/// pause after one that failed.
pub(super) fn is_due<B>(cache: &CacheLayer<B>, key: &Key, now: Timestamp) -> bool {
    #[cfg(feature = "tokio")]
    return cache.shared.backoff.is_due(key, now);
    #[cfg(not(feature = "tokio"))]
    {
        let _unused = (cache, key, now);
        true
    }
}

/// A caller's own call has brought what refreshes of `key` failed to bring: the next need not wait.
pub(super) fn forgive<B>(cache: &CacheLayer<B>, key: &Key) {
    #[cfg(feature = "tokio")]
    cache.shared.backoff.forgive(key);
    #[cfg(not(feature = "tokio"))]
    let _unused = (cache, key);
}

/// Without a runtime, whoever needs a newer response asks for it.
#[cfg(not(feature = "tokio"))]
pub(super) fn refresh<Errand>(_errand: Errand, _looked: super::lookup::Lookup) {}
