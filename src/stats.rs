//! [`Stats`]: what a layer has done so far, counted without any feature.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a layer, its clones and their services have done since the layer was made.
///
/// A request is one of `hits`, `coalesced`, `bypasses`, `only_if_cached`, `stale` or `revalidated`, or the inner service
/// answered it; `misses` are those that made a call to it, and so count some of the `stale` and `revalidated` ones again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Requests that were answered from the store, with a fresh response.
    pub hits: u64,
    /// Requests that went to the inner service, since the store had no answer that was good as it was.
    pub misses: u64,
    /// Requests that went past the cache.
    pub bypasses: u64,
    /// Requests that were answered with the response to a call that another request made.
    pub coalesced: u64,
    /// Requests that were answered from the store with a response that is no longer fresh.
    pub stale: u64,
    /// Requests that were answered from the store after the inner service, with a 304, confirmed the response, whoever had
    /// asked it.
    pub revalidated: u64,
    /// Requests that forbade to ask the inner service, and were answered with 504.
    pub only_if_cached: u64,
    /// Responses that were stored whole.
    pub stored: u64,
    /// Responses to misses that were not stored, for whatever reason.
    pub refused: u64,
    /// Entries that were found damaged, and removed, unless the cache is read-only.
    pub corrupt: u64,
    /// Operations in which the store failed.
    pub store_errors: u64,
    /// Entries that an unsafe method removed.
    pub invalidated: u64,
    /// Refreshes in the background that were begun.
    pub refreshes: u64,
    /// Refreshes in the background that failed. [`RefreshError`](crate::RefreshError) has the reasons.
    pub failed_refreshes: u64,
    /// Bodies that broke off since their readers were far behind the others of a shared response that could not be stored.
    pub lost: u64,
    /// Calls to the inner service that are under way now, their bodies included as long as they are being stored. Those of
    /// requests that go past the cache do not count.
    pub in_flight: u64,
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    Hit,
    Miss,
    Bypass,
    Coalesced,
    Stale,
    Revalidated,
    OnlyIfCached,
    Stored,
    Refused,
    Corrupt,
    StoreError,
    Lost,
    #[cfg(feature = "tokio")]
    Refresh,
    #[cfg(feature = "tokio")]
    FailedRefresh,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    bypasses: AtomicU64,
    coalesced: AtomicU64,
    stale: AtomicU64,
    revalidated: AtomicU64,
    only_if_cached: AtomicU64,
    stored: AtomicU64,
    refused: AtomicU64,
    corrupt: AtomicU64,
    store_errors: AtomicU64,
    lost: AtomicU64,
    invalidated: AtomicU64,
    refreshes: AtomicU64,
    failed_refreshes: AtomicU64,
}

impl Counters {
    pub(crate) fn add(&self, count: Count) {
        let counter = match count {
            Count::Hit => &self.hits,
            Count::Miss => &self.misses,
            Count::Bypass => &self.bypasses,
            Count::Coalesced => &self.coalesced,
            Count::Stale => &self.stale,
            Count::Revalidated => &self.revalidated,
            Count::OnlyIfCached => &self.only_if_cached,
            Count::Stored => &self.stored,
            Count::Refused => &self.refused,
            Count::Corrupt => &self.corrupt,
            Count::StoreError => &self.store_errors,
            Count::Lost => &self.lost,
            #[cfg(feature = "tokio")]
            Count::Refresh => &self.refreshes,
            #[cfg(feature = "tokio")]
            Count::FailedRefresh => &self.failed_refreshes,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_invalidated(&self, entries: u64) {
        self.invalidated.fetch_add(entries, Ordering::Relaxed);
    }

    pub(crate) fn snapshot(&self, in_flight: u64) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            in_flight,
            hits: get(&self.hits),
            misses: get(&self.misses),
            bypasses: get(&self.bypasses),
            coalesced: get(&self.coalesced),
            stale: get(&self.stale),
            revalidated: get(&self.revalidated),
            only_if_cached: get(&self.only_if_cached),
            stored: get(&self.stored),
            refused: get(&self.refused),
            corrupt: get(&self.corrupt),
            store_errors: get(&self.store_errors),
            lost: get(&self.lost),
            invalidated: get(&self.invalidated),
            refreshes: get(&self.refreshes),
            failed_refreshes: get(&self.failed_refreshes),
        }
    }
}
