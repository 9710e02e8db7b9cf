//! What stores report about themselves. A store knows no layer and no hook, so its reports go only
//! to `tracing` and `metrics`.

#[cfg(feature = "tracing")]
use super::names::{Short, TARGET};
use crate::{key::Key, store::Error};

/// One tier of a store failed, and the other tier did what was asked.
pub(crate) fn tier_failed(tier: &'static str, operation: &'static str, key: &Key, error: &Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: TARGET,
        { tier, operation, cache.key = %Short(*key), error = %format_args!("{error:#}") },
        "tier of the store failed"
    );
    #[cfg(not(feature = "tracing"))]
    let _unused = (tier, operation, key, error);
}

/// A store reopened or emptied its file after an error. Data that was not synced may be lost.
#[cfg(any(feature = "redb", feature = "sqlite"))]
pub(crate) fn restarted(store: &'static str, reason: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: TARGET, { store, reason }, "store reopened or emptied its file after an error");
    #[cfg(not(feature = "tracing"))]
    let _unused = (store, reason);
}

/// A store could not write entries that it had acknowledged.
#[cfg(any(feature = "redb", feature = "sqlite"))]
pub(crate) fn unwritten(store: &'static str, entries: u64, reason: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: TARGET, { store, entries, reason }, "acknowledged entries could not be written");
    #[cfg(feature = "metrics")]
    super::meter::unwritten(store, entries);
    #[cfg(not(feature = "tracing"))]
    let _unlogged = reason;
    #[cfg(not(any(feature = "tracing", feature = "metrics")))]
    let _unused = (store, entries);
}

/// A store evicted entries to make room.
#[cfg(any(feature = "files", feature = "memory", feature = "redb", feature = "sqlite"))]
pub(crate) fn evicted(store: &'static str, entries: u64, bytes: u64) {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: TARGET, { store, entries, bytes }, "entries evicted");
    #[cfg(feature = "metrics")]
    super::meter::evicted(store, entries, bytes);
    #[cfg(not(any(feature = "tracing", feature = "metrics")))]
    let _unused = (store, entries, bytes);
}
