//! [`Stats`]: counters of what a layer has done. They need no feature.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{event::Event, status::Outcome};

/// What a layer, its clones and their services have done since the layer was made.
///
/// Each request counts once in the first seven counters, from `hits` to `only_if_cached`. It counts
/// when the head of its response is there, or when the inner service has failed. The sum of these
/// seven is [`requests`](Stats::requests). A request that its caller drops earlier does not count.
///
/// `hits` counts what [`CacheStatus::is_hit`](crate::CacheStatus::is_hit) means: requests that were
/// not forwarded. The hit ratio is `hits` divided by [`requests`](Stats::requests). Responses from
/// the store that cost a call are not hits: they count in `revalidated` and `stale_if_error`.
///
/// `calls` counts the calls to the inner service separately. A stale response may have cost a call,
/// and a thousand coalesced requests cost one call together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Requests that were answered from the store without waiting for the inner service, with a
    /// fresh response or a stale one.
    pub hits: u64,
    /// Requests that made a call of their own to the inner service, since no stored response could
    /// answer. They were answered with its response, or failed with its error.
    pub misses: u64,
    /// Requests that were answered from the store with a stale response, because the inner service
    /// failed.
    pub stale_if_error: u64,
    /// Requests that were answered from the store after a 304 freshened the response. The call may
    /// have been another request's.
    pub revalidated: u64,
    /// Requests that were answered with the response to another request's call.
    pub coalesced: u64,
    /// Requests that bypassed the cache.
    pub bypasses: u64,
    /// Requests that forbade a call to the inner service, and were answered with 504.
    pub only_if_cached: u64,
    /// Requests that were answered from the store with a stale response, without waiting for the
    /// inner service. They also count in `hits`.
    pub stale_hits: u64,
    /// Requests whose caller got the inner service's error. They also count in `misses` or
    /// `bypasses`.
    pub failed: u64,
    /// Calls to the inner service that have begun, including those of background refreshes. Calls
    /// of requests that bypass the cache do not count.
    pub calls: u64,
    /// Background refreshes that have begun. They also count in `calls`.
    pub refreshes: u64,
    /// Background refreshes that failed. [`RefreshError`](crate::status::RefreshError) has the
    /// reasons.
    pub failed_refreshes: u64,
    /// Responses that were stored whole.
    pub stored: u64,
    /// The total size of the bodies of the stored responses, in bytes.
    pub stored_bytes: u64,
    /// Responses to calls that were not stored, for any reason. A 304 that could not be written to
    /// the stored response counts too.
    pub refused: u64,
    /// Damaged entries that were found. They are removed, unless the cache is read-only.
    pub corrupt: u64,
    /// Store operations that failed.
    pub store_errors: u64,
    /// Entries that requests with unsafe methods removed.
    pub invalidated: u64,
    /// Bodies that broke off because their reader was too far behind the other readers of a shared
    /// response, and the response could not be stored.
    pub lost: u64,
    /// Calls to the inner service that are in flight now. A call counts until its response body is
    /// no longer being stored. Calls of requests that bypass the cache do not count.
    pub in_flight: u64,
}

impl Stats {
    /// All requests: those that were answered, and those that failed with the inner service's
    /// error.
    #[must_use]
    pub fn requests(&self) -> u64 {
        let from_store = self.hits + self.stale_if_error + self.revalidated;
        from_store + self.misses + self.coalesced + self.bypasses + self.only_if_cached
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    stale_if_error: AtomicU64,
    revalidated: AtomicU64,
    coalesced: AtomicU64,
    bypasses: AtomicU64,
    only_if_cached: AtomicU64,
    stale_hits: AtomicU64,
    failed: AtomicU64,
    calls: AtomicU64,
    refreshes: AtomicU64,
    failed_refreshes: AtomicU64,
    stored: AtomicU64,
    stored_bytes: AtomicU64,
    refused: AtomicU64,
    corrupt: AtomicU64,
    store_errors: AtomicU64,
    invalidated: AtomicU64,
    lost: AtomicU64,
}

impl Counters {
    pub(crate) fn count(&self, event: &Event<'_>) {
        let add = |counter: &AtomicU64, count: u64| {
            counter.fetch_add(count, Ordering::Relaxed);
        };
        match event {
            Event::Answered { status, .. } => {
                let outcome = status.outcome();
                add(self.of(outcome), 1);
                let is_stale_hit = outcome.is_hit() && outcome != Outcome::Hit;
                add(&self.stale_hits, u64::from(is_stale_hit));
            }
            Event::Failed { outcome, .. } => {
                add(self.of(*outcome), 1);
                add(&self.failed, 1);
            }
            Event::Called { is_refresh, .. } => {
                add(&self.calls, 1);
                add(&self.refreshes, u64::from(*is_refresh));
            }
            Event::Stored { bytes, .. } => {
                add(&self.stored, 1);
                add(&self.stored_bytes, *bytes);
            }
            Event::NotStored { .. } => add(&self.refused, 1),
            Event::StoreDone { .. } => {}
            Event::StoreFailed { .. } => add(&self.store_errors, 1),
            Event::Corrupt { .. } => add(&self.corrupt, 1),
            Event::Invalidated { entries } => add(&self.invalidated, *entries),
            Event::RefreshFailed { .. } => add(&self.failed_refreshes, 1),
            Event::ReaderLost { .. } => add(&self.lost, 1),
        }
    }

    fn of(&self, outcome: Outcome) -> &AtomicU64 {
        match outcome {
            outcome if outcome.is_hit() => &self.hits,
            Outcome::Miss(_) => &self.misses,
            Outcome::Hit | Outcome::Stale(_) => &self.stale_if_error,
            Outcome::Revalidated => &self.revalidated,
            Outcome::Coalesced(_) => &self.coalesced,
            Outcome::Bypass(_) => &self.bypasses,
            Outcome::OnlyIfCached => &self.only_if_cached,
        }
    }

    pub(crate) fn snapshot(&self, in_flight: u64) -> Stats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            in_flight,
            hits: get(&self.hits),
            misses: get(&self.misses),
            stale_if_error: get(&self.stale_if_error),
            revalidated: get(&self.revalidated),
            coalesced: get(&self.coalesced),
            bypasses: get(&self.bypasses),
            only_if_cached: get(&self.only_if_cached),
            stale_hits: get(&self.stale_hits),
            failed: get(&self.failed),
            calls: get(&self.calls),
            refreshes: get(&self.refreshes),
            failed_refreshes: get(&self.failed_refreshes),
            stored: get(&self.stored),
            stored_bytes: get(&self.stored_bytes),
            refused: get(&self.refused),
            corrupt: get(&self.corrupt),
            store_errors: get(&self.store_errors),
            invalidated: get(&self.invalidated),
            lost: get(&self.lost),
        }
    }
}
