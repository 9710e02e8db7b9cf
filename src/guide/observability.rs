//! What the cache does, as hooks, logs and metrics have it: the events, the fields of the spans,
//! the names of the metrics.
//!
//! # Statuses, sums and events
//!
//! Each response tells for itself, in its [`CacheStatus`](crate::CacheStatus): what was done, and
//! why. [`CacheLayer::stats`](crate::CacheLayer::stats) has the sums, without any feature. Whatever
//! is counted there is an [`Event`](crate::Event) that a [hook](crate::CacheLayer::add_event_hook)
//! is told of as it happens:
//!
//! ```
//! use larder::{CacheLayer, Event, store::Memory};
//!
//! let layer =
//!     CacheLayer::private(Memory::default()).named("shop")?.add_event_hook(|event| match event {
//!         Event::Answered { status, .. } => println!("{}", status.outcome()),
//!         Event::RefreshFailed { failure, .. } => eprintln!("{failure}"),
//!         _ => {}
//!     });
//! # Ok::<(), larder::ConfigError>(())
//! ```
//!
//! The same events go to `tracing` and `metrics` under the features of their names;
//! [`CacheLayer::named`](crate::CacheLayer::named) tells several caches apart there. Neither is
//! given a URL, a header, a body or the error of an inner service. Without a hook and without these
//! features, an event is a counter that goes up, and nothing is timed.
//!
//! The words for outcomes, reasons and operations are those of
//! [`Outcome::name`](crate::Outcome::name), of the `name` of [`Miss`](crate::status::Miss::name),
//! [`Stale`](crate::status::Stale::name), [`Bypass`](crate::status::Bypass::name) and
//! [`Refusal`](crate::status::Refusal::name), and of
//! [`StoreOperation::name`](crate::StoreOperation::name). They stay as they are.
//!
//! # Tracing
//!
//! A call is a span at `DEBUG`, `larder.call`, which the spans of the inner service lie in; a
//! refresh in the background is one too, `larder.refresh`, which follows from the call that began
//! it. Their target, and that of all events, is `larder`. What happens when the head has been
//! answered, such as that its body was stored, is emitted after the span has closed. A call that is
//! dropped before its head was there ends within its span, without an outcome.
//!
//! | field | of a call |
//! |---|---|
//! | `cache.name` | which cache |
//! | `cache.key` | the first eight digits of the [key](crate::CacheStatus::key), where there is one |
//! | `cache.outcome` | [`hit`, `miss`, `stale`, `revalidated`, `coalesced`, `bypass` or `only-if-cached`](crate::Outcome::name) |
//! | `cache.reason` | why, as in [`CacheStatus::reason`](crate::CacheStatus::reason) |
//! | `cache.age_ms` | the age of what came from the store, in milliseconds |
//! | `cache.stored` | `yes`, `pending` as long as the body is on its way, or [why not](crate::status::Refusal::name) |
//! | `cache.store_us` | what the store has taken until the head was there, in microseconds |
//!
//! Events tell of decisions and of evictions at `DEBUG`, of each answer of the store at `TRACE`,
//! and at `WARN` of faults: a store that fails or is opened anew, a damaged entry, a refresh that
//! failed, a reader that was lost, a hook that panicked. Each has `cache.name`, save what a store
//! tells of itself, which may be several caches' (it has `store` or `tier`); those of one entry
//! have `cache.key`.
//!
//! # Metrics
//!
//! Units and descriptions are given to the recorder when a layer, or a clone of it, is first
//! applied to a service, so install it before that. What is counted goes to the recorder that is
//! there by then. All metrics have the label `cache`, save evictions, which have `store`.
//!
//! | metric | further labels | is |
//! |---|---|---|
//! | `larder_requests_total` | `outcome`, `reason` where there is one | requests, each once; a hit, as [`Stats`](crate::Stats) counts it, has the outcome `hit`, or `stale` with another reason than `if-error` |
//! | `larder_failed_requests_total` | | requests, of those, whose caller got the inner service's error |
//! | `larder_calls_total` | `reason` | calls to the inner service, but for requests past the cache |
//! | `larder_calls_in_flight` | | gauge: those that are under way |
//! | `larder_refreshes_total`, `larder_failed_refreshes_total` | | refreshes in the background |
//! | `larder_stored_entries_total`, `larder_stored_bytes_total` | | responses that were stored, and the bytes of their bodies |
//! | `larder_refused_entries_total` | `reason` | responses to calls that were not stored |
//! | `larder_evicted_entries_total`, `larder_evicted_bytes_total` | `store`, and no `cache` | what `Memory`, `Redb` and `Sqlite` evicted |
//! | `larder_unwritten_entries_total` | `store`, and no `cache` | entries that `Redb` and `Sqlite` had acknowledged and could not write |
//! | `larder_invalidated_entries_total` | | entries that unsafe methods removed |
//! | `larder_corrupt_entries_total` | | damaged entries that were found |
//! | `larder_store_errors_total` | `operation` | operations in which the store failed |
//! | `larder_store_seconds` | [`operation`](crate::StoreOperation::name) | histogram: how long the store took to answer, in seconds |
//! | `larder_lost_bodies_total` | | bodies that broke off since their readers were slow |
