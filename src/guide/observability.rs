//! Observability: what the cache reports to hooks, logs and metrics.
//!
//! # Statuses, totals and events
//!
//! - Each response has a [`CacheStatus`](crate::CacheStatus): what the cache did, and why.
//! - [`CacheLayer::stats`](crate::CacheLayer::stats) has the totals. It needs no feature.
//! - Each change of the totals is an [`Event`](crate::Event). A
//!   [hook](crate::CacheLayer::add_event_hook) receives it when it happens:
//!
//! ```
//! use larder::{CacheLayer, Event, store::Memory};
//!
//! let layer =
//!     CacheLayer::private(Memory::default()).named("shop")?.add_event_hook(|event| match event {
//!         // Such as `GET https://example.com/news -> 200 hit`.
//!         Event::Answered { request, code, status, .. } => {
//!             println!("{request} -> {} {}", code.as_u16(), status.outcome());
//!         }
//!         Event::NotStored { refusal, .. } => println!("not stored: {refusal}"),
//!         Event::RefreshFailed { failure, .. } => eprintln!("{failure}"),
//!         _ => {}
//!     });
//! # Ok::<(), larder::ConfigError>(())
//! ```
//!
//! The crates `tracing` and `metrics` receive the same events if the features of these names are
//! on. [`CacheLayer::named`](crate::CacheLayer::named) distinguishes several caches. Neither crate
//! receives a URL, a header, a body or an error of the inner service. A hook receives the URL,
//! without user information and [ignored parameters](crate::CacheLayer::add_ignored_parameters).
//! Without a hook and without these features, an event only increments a counter, and the cache
//! measures no time.
//!
//! The names of outcomes, reasons and operations do not change. These methods return them:
//! [`Outcome::name`](crate::Outcome::name), [`Miss::name`](crate::status::Miss::name),
//! [`Stale::name`](crate::status::Stale::name), [`Bypass::name`](crate::status::Bypass::name),
//! [`Refusal::name`](crate::status::Refusal::name) and
//! [`StoreOperation::name`](crate::StoreOperation::name).
//! [Troubleshooting](super::troubleshooting) explains each reason.
//!
//! # What to add
//!
//! ```sh
//! cargo add larder --path ../larder --features metrics,tracing
//! cargo add bytes http http-body-util
//! cargo add metrics-exporter-prometheus@0.18 --no-default-features
//! cargo add tokio --features macros,rt
//! cargo add tower --features util
//! cargo add tracing@0.1
//! cargo add tracing-subscriber@0.3
//! ```
//!
//! A recorder must be one for `metrics` 0.24, as that of metrics-exporter-prometheus 0.18 is. A
//! recorder for another version receives nothing. Without the two features, none of this is needed:
//! statuses, totals and hooks are always there.
//!
//! # A program to copy
//!
//! It prints the spans of two calls, and then the metrics as Prometheus reads them, such as
//! `larder_requests_total{cache="shop",outcome="hit"} 1`. It is `examples/observed` of the
//! repository.
//!
//! ```rust,ignore
//! use std::convert::Infallible;
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Empty, Full};
//! use larder::{BoxError, CacheLayer, store::Memory};
//! use metrics_exporter_prometheus::PrometheusBuilder;
//! use tower::{Layer, service_fn};
//! use tracing_subscriber::fmt::format::FmtSpan;
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), BoxError> {
//!     tracing_subscriber::fmt()
//!         .with_max_level(tracing::Level::DEBUG)
//!         .with_span_events(FmtSpan::CLOSE)
//!         .init();
//!     // This comes before the layer is applied, which describes its metrics.
//!     let metrics = PrometheusBuilder::new().install_recorder()?;
//!
//!     let layer = CacheLayer::private(Memory::default()).named("shop")?;
//!     let client = layer.layer(service_fn(|_: Request<_>| async {
//!         Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("news"))))
//!     }));
//!     for _ in 0..2 {
//!         let request = Request::get("http://example.com/news").body(Empty::<Bytes>::new())?;
//!         client.request(request).await?.into_body().collect().await?;
//!     }
//!     println!("{}", metrics.render());
//!     Ok(())
//! }
//! ```
//!
//! # Tracing
//!
//! The target of all spans and events is `larder`.
//!
//! - **Each call is a span** at `DEBUG`, `larder.call`. The spans of the inner service are inside.
//!   The span closes when the head of the response is returned. If the caller drops the call
//!   before that, the span has no outcome.
//! - **Each background refresh is a span** at `DEBUG`, `larder.refresh`. It follows from the call
//!   that began it.
//! - **Later events**, such as that the body was stored, come after the span has closed.
//!
//! | field | of a call |
//! |---|---|
//! | `cache.name` | the name of the cache |
//! | `cache.key` | the first eight digits of the [key](crate::CacheStatus::key), if there is one |
//! | `cache.outcome` | [`hit`, `miss`, `stale`, `revalidated`, `coalesced`, `bypass` or `only-if-cached`](crate::Outcome::name) |
//! | `cache.reason` | the reason, as in [`CacheStatus::reason`](crate::CacheStatus::reason) |
//! | `cache.age_ms` | the age of a response from the store, in milliseconds |
//! | `cache.stored` | `yes`, `pending` while the body is being read, or the [refusal](crate::status::Refusal::name) |
//! | `cache.store_us` | the time that the store took until the head was returned, in microseconds |
//!
//! | level | events |
//! |---|---|
//! | `WARN` | faults: a store that fails or is opened again, a damaged entry, a failed refresh, a reader that lost its body, a hook that panicked |
//! | `DEBUG` | decisions and evictions |
//! | `TRACE` | each answer of the store |
//!
//! Each event has `cache.name`, and `cache.key` if it is about one entry. Events of a store have
//! `store` or `tier` instead of `cache.name`, since several caches may share the store.
//!
//! # Metrics
//!
//! Install the recorder before you apply a layer to a service: the layer then describes its
//! metrics. What is counted before that is lost. Each metric has the label `cache`; metrics of
//! stores have `store` instead.
//!
//! A series begins with its first event: before the first failed refresh, the output has no
//! `larder_failed_refreshes_total`. An alert must treat an absent series as zero, such as with
//! `or vector(0)` in PromQL.
//!
//! | metric | further labels | counts |
//! |---|---|---|
//! | `larder_requests_total` | `outcome`, and `reason` if there is one | requests. The outcome of a hit, as [`Stats`](crate::Stats) counts it, is `hit`, or `stale` with another reason than `if-error` |
//! | `larder_failed_requests_total` | | requests that ended in the inner service's error. They also count as requests |
//! | `larder_calls_total` | `reason` | calls to the inner service, without those of bypassing requests |
//! | `larder_calls_in_flight` | | gauge: calls that have not ended |
//! | `larder_refreshes_total`, `larder_failed_refreshes_total` | | background refreshes |
//! | `larder_stored_entries_total`, `larder_stored_bytes_total` | | stored responses, and the bytes of their bodies |
//! | `larder_refused_entries_total` | `reason` | responses to calls that were not stored |
//! | `larder_evicted_entries_total`, `larder_evicted_bytes_total` | `store` | evictions of `Memory`, `Redb`, `Sqlite` and `Files` |
//! | `larder_unwritten_entries_total` | `store` | entries that `Redb` and `Sqlite` acknowledged and could not write |
//! | `larder_invalidated_entries_total` | | entries that unsafe methods removed |
//! | `larder_corrupt_entries_total` | | damaged entries |
//! | `larder_store_errors_total` | `operation` | failed operations of the store |
//! | `larder_store_seconds` | [`operation`](crate::StoreOperation::name) | histogram: the time that the store took to answer, in seconds |
//! | `larder_lost_bodies_total` | | bodies that broke off because their reader was too slow |
