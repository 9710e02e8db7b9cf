//! Events for `tracing`: decisions at `DEBUG`, faults at `WARN`, timings at `TRACE`.

use tracing::{Level, Span, debug, enabled, field::display, trace, warn};

use super::{
    Event,
    names::{Short, TARGET},
    store_time::store_took,
};
use crate::{
    key::Key,
    status::{CacheStatus, Outcome, Stored},
};

/// Whether a subscriber wants the span of a call.
pub(super) fn is_on() -> bool {
    enabled!(target: TARGET, Level::DEBUG)
}

pub(super) fn event(name: &str, event: &Event<'_>) {
    match event {
        Event::Answered { status, .. } => answered(name, status),
        Event::Failed { key, outcome, .. } => failed(name, key.copied(), *outcome),
        Event::Called { key, reason, is_refresh, .. } => debug!(
            target: TARGET,
            { cache.name = name, cache.key = %Short(**key), cache.reason = %reason, is_refresh },
            "inner service called"
        ),
        Event::Stored { key, bytes, .. } => debug!(
            target: TARGET,
            { cache.name = name, cache.key = %Short(**key), bytes },
            "response stored"
        ),
        Event::NotStored { key, refusal, .. } => debug!(
            target: TARGET,
            { cache.name = name, cache.key = %Short(**key), cache.reason = %refusal },
            "response not stored"
        ),
        Event::StoreDone { operation, elapsed } => {
            store_took(*elapsed);
            trace!(
                target: TARGET,
                { cache.name = name, %operation, ?elapsed },
                "store operation finished"
            );
        }
        Event::StoreFailed { operation, key, error } => warn!(
            target: TARGET,
            {
                cache.name = name,
                cache.key = key.map(|key| display(Short(*key))),
                %operation,
                error = %format_args!("{error:#}")
            },
            "store operation failed; the request goes on without the store"
        ),
        Event::Corrupt { key, error } => warn!(
            target: TARGET,
            { cache.name = name, cache.key = %Short(**key), error = %format_args!("{error:#}") },
            "stored response is damaged"
        ),
        Event::Invalidated { entries } => debug!(
            target: TARGET,
            { cache.name = name, entries },
            "stored responses invalidated by an unsafe method"
        ),
        // Without the URL, which may hold secrets.
        Event::RefreshFailed { failure } => warn!(
            target: TARGET,
            { cache.name = name, cache.key = %Short(failure.key), cache.reason = %failure.reason },
            "background refresh failed"
        ),
        Event::ReaderLost { key } => warn!(
            target: TARGET,
            { cache.name = name, cache.key = %Short(**key) },
            "body of a slow reader ended in an error: the shared response could not be stored"
        ),
    }
}

/// Records how a call ended: in its span, and as an event for subscribers without spans.
fn answered(name: &str, status: &CacheStatus) {
    if !is_on() {
        return;
    }
    let (outcome, reason) = (status.outcome().name(), status.reason());
    let age_ms = status.age().map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let stored = match status.stored() {
        Stored::Yes => "yes",
        Stored::Pending => "pending",
        Stored::No(refusal) => refusal.name(),
    };
    let key = status.key().map(|key| display(Short(key)));
    let span = Span::current();
    span.record("cache.key", &key);
    span.record("cache.outcome", outcome);
    span.record("cache.reason", reason);
    span.record("cache.age_ms", age_ms);
    span.record("cache.stored", stored);
    debug!(
        target: TARGET,
        {
            cache.name = name,
            cache.key = key,
            cache.outcome = outcome,
            cache.reason = reason,
            cache.age_ms = age_ms,
            cache.stored = stored
        },
        "request answered"
    );
}

fn failed(name: &str, key: Option<Key>, outcome: Outcome) {
    if !is_on() {
        return;
    }
    let key = key.map(|key| display(Short(key)));
    let span = Span::current();
    span.record("cache.key", &key);
    span.record("cache.outcome", outcome.name());
    span.record("cache.reason", outcome.reason());
    debug!(
        target: TARGET,
        {
            cache.name = name,
            cache.key = key,
            cache.outcome = outcome.name(),
            cache.reason = outcome.reason()
        },
        "inner service failed; no stale response to serve"
    );
}

/// The panic hook has printed the panic itself.
pub(super) fn hook_panicked(name: &str) {
    warn!(target: TARGET, { cache.name = name }, "event hook panicked");
}
