//! Events for the `metrics` facade: the names of the metrics, what they count, and their units.
//!
//! A metric is registered when it is first counted, so that a recorder that is installed after the
//! layer was made, or for one thread only, receives it too.

use std::sync::Arc;

use metrics::{Gauge, Key, Label, Level, Metadata, SharedString, Unit, with_recorder};

use super::{Event, StoreOperation};
use crate::status::Outcome;

static METADATA: Metadata<'static> = Metadata::new("larder", Level::INFO, Some("larder"));

const REQUESTS: &str = "larder_requests_total";
const FAILED: &str = "larder_failed_requests_total";
const CALLS: &str = "larder_calls_total";
const IN_FLIGHT: &str = "larder_calls_in_flight";
const REFRESHES: &str = "larder_refreshes_total";
const FAILED_REFRESHES: &str = "larder_failed_refreshes_total";
const STORED: &str = "larder_stored_entries_total";
const STORED_BYTES: &str = "larder_stored_bytes_total";
const REFUSED: &str = "larder_refused_entries_total";
const CORRUPT: &str = "larder_corrupt_entries_total";
const INVALIDATED: &str = "larder_invalidated_entries_total";
const EVICTED: &str = "larder_evicted_entries_total";
const EVICTED_BYTES: &str = "larder_evicted_bytes_total";
const UNWRITTEN: &str = "larder_unwritten_entries_total";
const STORE_ERRORS: &str = "larder_store_errors_total";
const STORE_SECONDS: &str = "larder_store_seconds";
const LOST: &str = "larder_lost_bodies_total";

/// The counters with their units and descriptions.
const COUNTERS: [(&str, Unit, &str); 15] = [
    (REQUESTS, Unit::Count, "Requests, by outcome and reason"),
    (FAILED, Unit::Count, "Requests that got the inner service's error"),
    (CALLS, Unit::Count, "Calls to the inner service for responses that may be stored, by reason"),
    (REFRESHES, Unit::Count, "Background refreshes"),
    (FAILED_REFRESHES, Unit::Count, "Background refreshes that failed"),
    (STORED, Unit::Count, "Stored responses"),
    (STORED_BYTES, Unit::Bytes, "Bytes of stored bodies"),
    (REFUSED, Unit::Count, "Responses that were not stored, by reason"),
    (CORRUPT, Unit::Count, "Damaged stored responses"),
    (INVALIDATED, Unit::Count, "Entries that unsafe methods removed"),
    (EVICTED, Unit::Count, "Entries that a store evicted"),
    (EVICTED_BYTES, Unit::Bytes, "Bytes of the entries that a store evicted"),
    (UNWRITTEN, Unit::Count, "Entries that a store had acknowledged and could not write"),
    (STORE_ERRORS, Unit::Count, "Failed operations of the store, by operation"),
    (LOST, Unit::Count, "Bodies that ended in an error because their readers were slow"),
];

pub(super) fn describe() {
    with_recorder(|recorder| {
        for (name, unit, text) in COUNTERS {
            recorder.describe_counter(name.into(), Some(unit), text.into());
        }
        let text = "Calls to the inner service in flight for responses that may be stored";
        recorder.describe_gauge(IN_FLIGHT.into(), Some(Unit::Count), text.into());
        let text = "Time that the store took to answer, by operation";
        recorder.describe_histogram(STORE_SECONDS.into(), Some(Unit::Seconds), text.into());
    });
}

/// The name of a cache in its metrics, and the metric keys that every hit uses, made once.
#[derive(Clone)]
pub(super) struct Meter {
    cache: SharedString,
    hit: Key,
    get: Key,
}

impl Meter {
    pub(super) fn new(name: Arc<str>) -> Self {
        let cache = SharedString::from(name);
        let hit = key(&cache, REQUESTS, &[("outcome", Outcome::Hit.name())]);
        let get = key(&cache, STORE_SECONDS, &[("operation", StoreOperation::Get.name())]);
        Self { cache, hit, get }
    }

    pub(super) fn count(&self, event: &Event<'_>) {
        match event {
            Event::Answered { status, .. } if status.outcome() == Outcome::Hit => add(&self.hit, 1),
            Event::Answered { status, .. } => self.request(status.outcome(), status.reason()),
            Event::Failed { outcome, .. } => {
                self.request(*outcome, outcome.reason());
                self.add(FAILED, &[], 1);
            }
            Event::Called { reason, is_refresh, .. } => {
                self.add(CALLS, &[("reason", reason.name())], 1);
                if *is_refresh {
                    self.add(REFRESHES, &[], 1);
                }
            }
            Event::Stored { bytes, .. } => {
                self.add(STORED, &[], 1);
                self.add(STORED_BYTES, &[], *bytes);
            }
            Event::NotStored { refusal, .. } => {
                self.add(REFUSED, &[("reason", refusal.name())], 1);
            }
            Event::StoreDone { operation, elapsed } => {
                let made;
                let key = if *operation == StoreOperation::Get {
                    &self.get
                } else {
                    made = key(&self.cache, STORE_SECONDS, &[("operation", operation.name())]);
                    &made
                };
                with_recorder(|recorder| {
                    recorder.register_histogram(key, &METADATA).record(elapsed.as_secs_f64());
                });
            }
            Event::StoreFailed { operation, .. } => {
                self.add(STORE_ERRORS, &[("operation", operation.name())], 1);
            }
            Event::Corrupt { .. } => self.add(CORRUPT, &[], 1),
            Event::Invalidated { entries } => self.add(INVALIDATED, &[], *entries),
            Event::RefreshFailed { .. } => self.add(FAILED_REFRESHES, &[], 1),
            Event::ReaderLost { .. } => self.add(LOST, &[], 1),
        }
    }

    fn request(&self, outcome: Outcome, reason: Option<&'static str>) {
        let outcome = ("outcome", outcome.name());
        match reason {
            Some(reason) => self.add(REQUESTS, &[outcome, ("reason", reason)], 1),
            None => self.add(REQUESTS, &[outcome], 1),
        }
    }

    fn add(&self, name: &'static str, pairs: &[Pair], count: u64) {
        add(&key(&self.cache, name, pairs), count);
    }

    /// Counts a call in flight.
    pub(super) fn call(&self) -> MeteredCall {
        let key = key(&self.cache, IN_FLIGHT, &[]);
        let gauge = with_recorder(|recorder| recorder.register_gauge(&key, &METADATA));
        gauge.increment(1.0);
        MeteredCall(gauge)
    }
}

/// Keeps the gauge that it has raised: another recorder may be installed when the call ends.
#[derive(Debug)]
pub(super) struct MeteredCall(Gauge);

impl Drop for MeteredCall {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

#[cfg(any(feature = "files", feature = "memory", feature = "redb", feature = "sqlite"))]
pub(super) fn evicted(store: &'static str, entries: u64, bytes: u64) {
    for (name, count) in [(EVICTED, entries), (EVICTED_BYTES, bytes)] {
        add(&Key::from_parts(name, vec![Label::new("store", store)]), count);
    }
}

#[cfg(any(feature = "redb", feature = "sqlite"))]
pub(super) fn unwritten(store: &'static str, entries: u64) {
    add(&Key::from_parts(UNWRITTEN, vec![Label::new("store", store)]), entries);
}

/// The name of a label and its value.
type Pair = (&'static str, &'static str);

fn key(cache: &SharedString, name: &'static str, pairs: &[Pair]) -> Key {
    let mut labels = Vec::with_capacity(1 + pairs.len());
    labels.push(Label::new("cache", cache.clone()));
    labels.extend(pairs.iter().map(|(name, value)| Label::new(*name, *value)));
    Key::from_parts(name, labels)
}

fn add(key: &Key, count: u64) {
    with_recorder(|recorder| recorder.register_counter(key, &METADATA).increment(count));
}
