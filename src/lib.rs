//! An HTTP response cache for [tower](https://docs.rs/tower): one layer in front of any
//! `Service<http::Request<_>, Response = http::Response<_>>`, and every repeated request is answered from a store, in
//! this run and the next.
//!
//! ```
//! use std::{convert::Infallible, time::Duration};
//! # use bytes::Bytes;
//! # use http::{Request, Response};
//! # use http_body_util::{BodyExt, Full};
//! use larder::{CacheLayer, CacheStatus, store::Memory};
//! use tower::{ServiceBuilder, ServiceExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//! # let client = tower::service_fn(|_: Request<_>| async {
//! #     Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("hello"))))
//! # });
//! let client = ServiceBuilder::new()
//!     .layer(CacheLayer::private(Memory::default()).expire_after(Duration::from_secs(3600)))
//!     .service(client);
//!
//! for is_hit in [false, true] {
//!     let request = Request::get("http://example.com/").body(Full::<Bytes>::default())?;
//!     let response = client.clone().oneshot(request).await?;
//!     assert_eq!(response.extensions().get::<CacheStatus>().unwrap().is_hit(), is_hit);
//!     assert_eq!(response.into_body().collect().await?.to_bytes(), "hello");
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # One client or many users
//!
//! [`CacheLayer::private`] makes a *private* cache, for one client: it keeps what its methods and statuses allow, forever
//! until told otherwise, cookies included. [`CacheLayer::shared`] makes a cache that stands in front of many users, on a
//! server or a gateway: it keeps nothing before an expiration has been chosen, lets requests with credentials past, and
//! does not keep responses that set cookies.
//!
//! # Time, or the HTTP rules
//!
//! By default time alone decides, and cache headers are ignored. With [`CacheLayer::http_rules`] they decide, as RFC 9111
//! has it, for a private cache as for a shared one; what they leave open, the expirations of the layer do.
//!
//! ```
//! # use larder::{CacheLayer, store::Memory};
//! let gateway = CacheLayer::shared(Memory::default()).http_rules();
//! ```
//!
//! # Where to look
//!
//! - [`CacheLayer`] has every setting: what is cached, the key, the expiry. [`Cache`] is the service that it makes.
//! - [`CacheOptions`], in a request's extensions, asks for something else for that one request.
//! - [`CacheStatus`], in every response's extensions, says what was done, and why.
//! - [`Stats`] has the sums, and each [`Event`] goes to hooks, to `tracing` and to `metrics`: [`seeing`] has the names.
//! - [`Entries`], from [`CacheLayer::entries`], manages what is stored.
//! - [`store`] has the stores, and the contract for one of your own; [`store::choosing`] tells them apart.
//! - [`stacks`] has the layer with hyper, reqwest, axum, gRPC, and the layers of tower-http: which side of it each belongs on.
//! - [`time`] has the clock, for tests without waiting.
//!
//! # In your stack
//!
//! A hyper client takes the layer as it is:
//!
//! ```
//! # use bytes::Bytes;
//! # use http::Request;
//! # use http_body_util::Empty;
//! # use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! # use larder::{CacheLayer, store::Memory};
//! # use tower::Layer;
//! let hyper = Client::builder(TokioExecutor::new()).build_http();
//! let hyper = CacheLayer::private(Memory::default()).layer(hyper);
//! # fn is_service<S: tower::Service<Request<Empty<Bytes>>>>(_: &S) {}
//! # is_service(&hyper);
//! ```
//!
//! An axum router takes it for all routes or for some (`examples/axum-server` in the repository):
//!
//! ```rust,ignore
//! fn routes(layer: CacheLayer<Memory>) -> Router {
//!     let purges = Router::new().route("/purge", post(purge)).with_state(layer.entries());
//!     Router::new()
//!         .route("/news/{id}", get(news))
//!         // The layer caches the routes above it. Of those below it, it caches only `/report`.
//!         .layer(layer.clone())
//!         .route("/report", get(made).layer(layer))
//!         .route("/now", get(made))
//!         .merge(purges)
//! }
//! ```
//!
//! reqwest does by way of [`tower_reqwest`](https://docs.rs/tower-reqwest), with its own body handed
//! back to it (`examples/reqwest-client` in the repository):
//!
//! ```rust,ignore
//! let client = ServiceBuilder::new()
//!     .layer(CacheLayer::private(Memory::default()))
//!     .map_request(|request: Request<RequestBody<_>>| {
//!         request.map(|body| body.into_inner_or_else(reqwest::Body::wrap))
//!     })
//!     .layer(HttpClientLayer)
//!     .service(reqwest::Client::new());
//! ```
//!
//! A tonic channel, and any generated client over it, with the unary calls that
//! [`CacheLayer::grpc`] lists (`examples/grpc` in the repository):
//!
//! ```rust,ignore
//! let layer = CacheLayer::private(Memory::default())
//!     .grpc(["/shop.Catalog/GetItem", "/shop.Prices/*"])?
//!     .expire_after(Duration::from_secs(60));
//! let cached = ServiceBuilder::new()
//!     .layer(layer)
//!     .map_request(|request: http::Request<_>| request.map(Body::new))
//!     .service(channel);
//! let mut client = CatalogClient::new(cached);
//! ```
//!
//! [`stacks`] tells of each what is keyed and stored, and has the [order](stacks#the-order-of-layers) in which
//! compression, CORS, redirects, timeouts, retries, limits and traces go around it.
//!
//! # What is cached, and what is not
//!
//! By default the responses of status 200 to `GET` and `HEAD`, whatever their cache headers say, for as long as the
//! [expiry table](CacheLayer#expiry) gives; with [`http_rules`](CacheLayer::http_rules), what the cache headers say
//! (RFC 9111). A part (`Range`) is taken from what is stored whole; with the HTTP rules, parts are stored too, until
//! those of one response are all of it. Not cached are upgrades and tunnels, bodies over
//! [64 MiB](CacheLayer::max_body), bodies that broke off or that were dropped on their way, and what varies by `*`. Each
//! refusal has a name: [`Bypass`] for requests, [`Refusal`] for responses.
//!
//! A request that already holds a copy (`If-None-Match`, `If-Modified-Since`) is answered with 304 where that copy is as
//! good as the stored one. The origin is not told of it: what it sends is the whole response, to be stored.
//!
//! # One call for many, and stale answers
//!
//! Requests that miss for the same thing at the same time share one call, and its body as it comes; so do those that ask
//! whether an expired response still holds. Where the first caller goes away, the others read on; where its call fails,
//! one of them makes the next. What an origin sends that is not to be stored, each fetches for itself.
//!
//! ```
//! # use std::time::Duration;
//! # use larder::{CacheLayer, store::Memory};
//! let layer = CacheLayer::private(Memory::default())
//!     .expire_after(Duration::from_secs(60))
//!     // For an hour after that, the old response at once, while a new one is fetched in the background;
//!     .stale_while_revalidate(Duration::from_secs(3600))
//!     // for a day, where the origin is down.
//!     .stale_if_error(Duration::from_secs(24 * 3600));
//! ```
//!
//! The [settings](CacheLayer#calls-to-the-origin-and-stale-answers) have more. What is
//! [removed](Entries::remove) while a call for it is under way is not brought back by that call.
//!
//! # What holds always
//!
//! - **Hits do not depend on the inner service.** The cache is always ready; only a request that needs the inner
//!   service waits for it.
//! - **No error is added.** The error type is the inner service's; a store that fails is a miss, or "not stored". One that
//!   hangs is waited for: a server as long as its store says, a disk until it answers, or for as long as
//!   `store::Timeout` allows.
//! - **Bodies stream** in both directions; memory is bounded whatever their size, and however many
//!   [read](CacheLayer::coalesce) them.
//! - **The layer spawns nothing**, save the refreshes in the background that a setting asks for. Bodies are pulled by those
//!   who read them. What a store runs is the store's own.
//! - **A response is stored whole or not at all**, and comes back as it was: status, version, header lines with their
//!   repeats, body and trailers. What belongs to the connection (RFC 9110 §7.6.1) is not part of it.
//! - **The latest answer wins.** An answer that forbids storing, a 3xx, 401, 403, 404, 410 or 451
//!   ends the stored response that it supersedes; failures leave it for stale use. In a shared
//!   cache, bad credentials end nothing: no full answer to a request with `Authorization` does,
//!   nor, under the HTTP rules, a 401 or 403 to one with a `Cookie`.
//! - **URLs are normalised** by RFC 3986 (case, default port, dot segments, percent-encoding); in a shared cache, host,
//!   path and query stay as they were sent. A request that names no scheme, as all that a server receives over HTTP/1.1, counts as
//!   `http`.
//! - **Credentials separate and never leak**: `Authorization`, `Cookie` and user information in URLs are part of the key
//!   as a digest, and reach neither store nor log. (In a shared cache under the HTTP rules, the response says for whom it
//!   is, and the first two are no part of the key.)
//!
//! # Seeing what it does
//!
//! Each response tells for itself, in its [`CacheStatus`]: what was done, and why. [`CacheLayer::stats`] has the sums,
//! without any feature. Whatever is counted there is an [`Event`] that a hook is told of as it happens, and that goes to
//! `tracing` and `metrics` under the features of their names:
//!
//! ```
//! use larder::{CacheLayer, Event, store::Memory};
//!
//! let layer = CacheLayer::private(Memory::default()).on_event(|event| match event {
//!     Event::NotStored { refusal, .. } => println!("not stored: {refusal}"),
//!     Event::StoreFailed { operation, error, .. } => eprintln!("{operation}: {error}"),
//!     _ => {}
//! });
//! ```
//!
//! [`seeing`] has the fields of the spans and the names of the metrics.
//!
//! # Features
//!
//! | feature | default | brings | pulls in |
//! |---|---|---|---|
//! | `memory` | yes | `store::Memory` | quick_cache |
//! | `redb` | yes | `store::Redb` | redb, etcetera, tempfile |
//! | `sqlite` | | `store::Sqlite` | rusqlite with SQLite itself (C, compiled in), etcetera, tempfile |
//! | `redis` | | `store::Redis` | redis, rustls (with ring), tokio's `net`, futures-util |
//! | `mongodb` | | `store::MongoDb` | mongodb with bson, rustls (with ring) and a DNS client, tokio's `net`, futures-util |
//! | `compression` | | `store::Compressed` | zstd (C, compiled in) |
//! | `conformance` | | `store::conformance`, the suite for stores | futures-util |
//! | `metrics` | | counters, a gauge and a histogram of the `metrics` facade | metrics |
//! | `tracing` | | a span for each call, events for decisions and faults | tracing |
//!
//! tokio (`rt`, `sync`, `time`) is a plain dependency. The layer, `Memory` and the embedded stores
//! also work outside of a tokio runtime, or in one without timers: nothing is then refreshed in the
//! background, so that a request that finds a stale response waits for a new one, and limits on
//! waits do nothing. `Redis` and `MongoDb` need a runtime, and return an error without one.
//!
//! The minimum Rust version is 1.90.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod cache;
mod entries;
pub mod entry;
mod error;
mod event;
mod key;
mod options;
mod pattern;
mod policy;
mod runtime;
pub mod seeing;
pub mod stacks;
mod stats;
mod status;
pub mod store;
mod sync;
pub mod time;

pub use self::{
    cache::{
        BodyError, BodyErrorKind, Cache, CacheLayer, RequestBody, ResponseBody, ResponseFuture,
    },
    entries::{Entries, EntryInfo, Filter, Target},
    error::{BoxError, ConfigError},
    event::{Event, StoreOperation},
    key::{Key, ParseKeyError},
    options::CacheOptions,
    policy::{Expiration, StaleLimit},
    stats::Stats,
    status::{
        Bypass, CacheStatus, Miss, Outcome, RefreshError, RefreshFailure, Refusal, Stale, Stored,
    },
};
