//! Events as the crate `tracing` has them: what was decided at `DEBUG`, faults at `WARN`, times at `TRACE`.

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

/// Whether anybody sees the span of a call.
pub(super) fn is_on() -> bool {
    enabled!(target: TARGET, Level::DEBUG)
}

pub(super) fn event(name: &str, event: &Event<'_>) {
    match event {
        Event::Answered { status } => answered(name, status),
        Event::Failed { key, outcome } => failed(name, key.copied(), *outcome),
        Event::Called { key, reason, is_refresh } => debug!(
            target: TARGET,
            { cache.name = name, cache.key = %Short(**key), cache.reason = %reason, is_refresh },
            "the inner service is asked"
        ),
        Event::Stored { key, bytes } => debug!(
            target: TARGET,
            { cache.name = name, cache.key = %Short(**key), bytes },
            "response stored"
        ),
        Event::NotStored { key, refusal } => debug!(
            target: TARGET,
            { cache.name = name, cache.key = %Short(**key), cache.reason = %refusal },
            "response not stored"
        ),
        Event::StoreDone { operation, elapsed } => {
            store_took(*elapsed);
            trace!(
                target: TARGET,
                { cache.name = name, %operation, ?elapsed },
                "the store has answered"
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
            "the store failed; the request goes on without it"
        ),
        Event::Corrupt { key, error } => warn!(
            target: TARGET,
            { cache.name = name, cache.key = %Short(**key), error = %format_args!("{error:#}") },
            "a stored response is damaged"
        ),
        Event::Invalidated { entries } => debug!(
            target: TARGET,
            { cache.name = name, entries },
            "what an unsafe method has made stale is removed"
        ),
        // Its URL may hold secrets.
        Event::RefreshFailed { failure } => warn!(
            target: TARGET,
            { cache.name = name, cache.key = %Short(failure.key), cache.reason = %failure.reason },
            "a refresh in the background failed"
        ),
        Event::ReaderLost { key } => warn!(
            target: TARGET,
            { cache.name = name, cache.key = %Short(**key) },
            "a slow reader of a shared response was lost: the response could not be stored"
        ),
    }
}

/// How a call has ended: in its span, and as an event for those who see no spans.
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
        "answered"
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
        "the inner service failed, and nothing stands in"
    );
}

/// What went on beneath is the panic hook's to report.
pub(super) fn hook_panicked(name: &str) {
    warn!(target: TARGET, { cache.name = name }, "a hook of on_event panicked");
}
