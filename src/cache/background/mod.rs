//! Calls that no caller waits for: the refresh of what has expired or is about to, and the time that is given to them.
//!
//! The tasks belong to the layer: [`CacheLayer::idle`] waits for them, and the last handle that is dropped stops them.
//! Nothing else in the crate's `cache` is spawned. Without the feature `tokio`, or outside of its runtime, there are none:
//! requests then make such calls themselves.

use std::{future::Future, time::Duration};

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

/// Without a runtime, whoever needs a newer response asks for it.
#[cfg(not(feature = "tokio"))]
pub(super) fn refresh<Errand>(_errand: Errand, _looked: super::lookup::Lookup) {}
