//! What is logged, and the only place that knows whether the feature `tracing` is on.
//!
//! Events carry keys and reasons; never a URL, a header or a body, which may be secret.

#[cfg(feature = "tokio")]
use crate::RefreshError;
use crate::{
    key::Key,
    status::Refusal,
    store::{Error, ErrorKind},
};

/// An operation of the store failed; the request goes on without it.
pub(crate) fn store_failed(operation: &str, key: &Key, error: &Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!(%key, operation, %error, "the store failed; the request goes on without it");
    #[cfg(not(feature = "tracing"))]
    let _unused = (operation, key, error);
}

/// One tier of a store failed, and the other one did what was asked.
pub(crate) fn tier_failed(tier: &'static str, operation: &'static str, key: &Key, error: &Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!(tier, operation, %key, %error, "a tier of the store failed");
    #[cfg(not(feature = "tracing"))]
    let _unused = (tier, operation, key, error);
}

/// A response was not stored after all.
pub(crate) fn not_stored(key: &Key, refusal: Refusal) {
    #[cfg(feature = "tracing")]
    tracing::debug!(%key, %refusal, "response not stored");
    #[cfg(not(feature = "tracing"))]
    let _unused = (key, refusal);
}

/// A removal after an unsafe method failed: what is stored may be stale.
pub(crate) fn invalidation_failed(kind: ErrorKind, error: &Error) {
    #[cfg(feature = "tracing")]
    tracing::warn!(?kind, %error, "entries of a changed URL could not be removed");
    #[cfg(not(feature = "tracing"))]
    let _unused = (kind, error);
}

/// A reader of a shared response was far behind the others, and the response was not stored to go on from.
pub(crate) fn reader_lost(key: &Key) {
    #[cfg(feature = "tracing")]
    tracing::warn!(%key, "a slow reader of a shared response was lost: the response could not be stored");
    #[cfg(not(feature = "tracing"))]
    let _unused = key;
}

/// A refresh in the background failed.
#[cfg(feature = "tokio")]
pub(crate) fn refresh_failed(key: &Key, reason: &RefreshError) {
    #[cfg(feature = "tracing")]
    tracing::warn!(%key, %reason, "a refresh in the background failed");
    #[cfg(not(feature = "tracing"))]
    let _unused = (key, reason);
}

/// A store had to begin anew after a fault: what it had not synced is gone.
#[cfg(feature = "redb")]
pub(crate) fn store_restarted(store: &'static str, reason: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(store, reason, "the store is opened again; what was not synced is lost");
    #[cfg(not(feature = "tracing"))]
    let _unused = (store, reason);
}
