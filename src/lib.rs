//! An HTTP response cache for [tower](https://docs.rs/tower): one layer in front of any
//! `Service<http::Request<_>, Response = http::Response<_>>`. It stores responses and answers
//! repeated requests from the store. With a store on disk or on a server, later runs of the program
//! use the same responses.
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
//! [`CacheLayer::private`] makes a *private* cache, for one client. It stores every response that
//! its methods and statuses allow, including responses that set cookies. They never expire unless
//! you set an expiration.
//!
//! [`CacheLayer::shared`] makes a *shared* cache, for a server or a gateway in front of many users.
//! It stores nothing until you set an expiration. By default, requests with credentials bypass it,
//! and it does not store responses that set cookies.
//!
//! # Time, or the HTTP rules
//!
//! By default, time alone decides, and the cache ignores cache headers. With
//! [`CacheLayer::http_rules`], the cache headers decide, as RFC 9111 defines, in a private and in a
//! shared cache. If the headers leave a question open, the expirations of the layer decide.
//!
//! ```
//! # use larder::{CacheLayer, store::Memory};
//! let gateway = CacheLayer::shared(Memory::default()).http_rules();
//! ```
//!
//! # Where to look
//!
//! - [`CacheLayer`] has every setting: what is cached, the key, the expiry. [`Cache`] is the
//!   service that it makes.
//! - [`CacheOptions`] changes settings for one request. It goes into the request's extensions.
//! - [`CacheStatus`] reports what the cache did and why. It is in every response's extensions. The
//!   reasons are in [`status`].
//! - [`Stats`] has the totals. Each [`Event`] goes to hooks, to `tracing` and to `metrics`;
//!   [`guide::observability`] lists the names.
//! - [`Entries`], from [`CacheLayer::entries`], manages the stored responses.
//! - The command `larder` (feature `cli`) lists, shows, removes, copies, exports and checks what a
//!   store has. `larder help` describes it.
//! - [`store`] has the stores, and the contract for a store of your own.
//!   [`guide::choosing_a_store`] compares them.
//! - [`guide::reqwest`], [`guide::hyper`], [`guide::axum`] and [`guide::tonic`] have a program to
//!   copy for each stack, and [`guide::gateway`] for a reverse proxy. [`guide::tower_http`] has the
//!   order of layers.
//! - [`guide::testing`] has tests to copy, with the clock from [`time`], and with recorded
//!   exchanges in place of a network. [`guide::cookies`] is about logins, [`guide::migrating`]
//!   about other caches.
//! - [`guide::troubleshooting`] explains each reason and each error.
//!
//! # In your stack
//!
//! Each stack has a page with a program to copy. The layer wraps a [hyper](guide::hyper) client
//! directly:
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
//! In an [axum](guide::axum) router, it wraps all routes or some of them:
//!
//! ```rust,ignore
//! fn routes(layer: CacheLayer<Memory>) -> Router {
//!     let purges = Router::new().route("/purge", post(purge)).with_state(layer.entries());
//!     Router::new()
//!         .route("/news/{id}", get(news))
//!         .route("/login", get(login))
//!         .route("/me", get(me))
//!         // The layer caches the routes above it. Of those below it, it caches only `/report`.
//!         .layer(layer.clone())
//!         .route("/report", get(made).layer(layer))
//!         .route("/now", get(made))
//!         .merge(purges)
//! }
//! ```
//!
//! [reqwest](guide::reqwest) needs [`tower_reqwest`](https://docs.rs/tower-reqwest) as an adapter:
//!
//! ```rust,ignore
//! type CachedClient = Cache<MapRequest<HttpClientService<Client>, OwnBody>, Memory>;
//! type OwnBody = fn(http::Request<RequestBody<Body>>) -> http::Request<Body>;
//!
//! fn cached(client: Client, layer: CacheLayer<Memory>) -> CachedClient {
//!     let own_body: OwnBody = |request| request.map(|body| body.into_inner_or_else(Body::wrap));
//!     ServiceBuilder::new()
//!         .layer(layer)
//!         // The cache sends bodies of its own type. This gives reqwest its type back.
//!         .map_request(own_body)
//!         .layer(HttpClientLayer)
//!         .service(client)
//! }
//! ```
//!
//! A [tonic](guide::tonic) channel takes the layer too, for any generated client over it. The cache
//! stores the unary calls that [`CacheLayer::grpc`] lists:
//!
//! ```rust,ignore
//! type CachedChannel = Cache<MapRequest<Channel, OwnBody>, Memory>;
//! type OwnBody = fn(http::Request<RequestBody<Body>>) -> http::Request<Body>;
//!
//! fn cached(channel: Channel, layer: CacheLayer<Memory>) -> CachedChannel {
//!     // The cache sends bodies of its own type. This gives the channel its type back.
//!     let own_body: OwnBody = |request| request.map(|body| body.into_inner_or_else(Body::new));
//!     ServiceBuilder::new().layer(layer).map_request(own_body).service(channel)
//! }
//! ```
//!
//! [`guide::tower_http`] gives the [order](guide::tower_http#the-order) of the layers around the
//! cache: compression, CORS, redirects, timeouts, retries, limits and traces.
//!
//! # What is cached, and what is not
//!
//! By default, the cache stores responses of status 200 to `GET` and `HEAD`, whatever their cache
//! headers say, for as long as the [expiry table](CacheLayer#expiry) gives. With
//! [`http_rules`](CacheLayer::http_rules), the cache headers decide what is stored (RFC 9111).
//!
//! A request for a part (`Range`) is answered from a response that is stored whole. With the HTTP
//! rules, the cache also stores parts, and combines those of one response until they are the whole.
//!
//! The cache does not store:
//!
//! - upgrades and tunnels,
//! - bodies larger than [64 MiB](CacheLayer::max_body),
//! - bodies that broke off, or that were dropped before their end,
//! - responses that vary by `*`.
//!
//! Each refusal has a name: [`status::Bypass`] for requests, [`status::Refusal`] for responses.
//!
//! A caller may hold a copy of its own and send `If-None-Match` or `If-Modified-Since`. If that
//! copy is as good as the stored response, the cache answers 304. The cache does not forward these
//! conditions: the origin sends the whole response, so that it can be stored.
//!
//! # Shared calls and stale responses
//!
//! Requests that miss for the same response at the same time share one call to the origin, and read
//! its body as it arrives. Requests that revalidate the same stale response share one call too. If
//! the first caller goes away, the others read on. If its call fails, one of the others makes the
//! next call. If the origin's response may not be stored, each request makes its own call.
//!
//! ```
//! # use std::time::Duration;
//! # use larder::{CacheLayer, store::Memory};
//! let layer = CacheLayer::private(Memory::default())
//!     .expire_after(Duration::from_secs(60))
//!     // For an hour after expiry, serve the stale response and fetch a new one in the background.
//!     .stale_while_revalidate(Duration::from_secs(3600))
//!     // For a day after expiry, serve the stale response if the origin fails.
//!     .stale_if_error(Duration::from_secs(24 * 3600));
//! ```
//!
//! The [settings](CacheLayer#calls-to-the-origin-and-stale-answers) have more. If a response is
//! [removed](Entries::remove) while a call for it is in flight, that call does not bring it back.
//!
//! # Guarantees
//!
//! - **Hits do not depend on the inner service.** The cache is always ready. Only a request that
//!   needs the inner service waits for it.
//! - **The cache adds no error to a call.** Its error type is the inner service's. If the store
//!   fails, the request is a miss, or the response is not stored. There is one exception: if a
//!   stored body fails while it is read, the head has been returned already, and the body ends in
//!   an [error](BodyErrorKind::Store). If the store hangs, the request waits: for a
//!   server as long as its store's settings allow, for a disk until it answers. `store::Timeout`
//!   limits these waits.
//! - **Bodies stream** in both directions. Memory is bounded, however large a body is and however
//!   many requests [read](CacheLayer::coalesce) it.
//! - **The layer spawns only the background refreshes** that a setting asks for. Whoever reads a
//!   body drives it. A store may have tasks of its own.
//! - **A response is stored whole or not at all.** It comes back as it was: status, version, header
//!   lines with their repeats, body and trailers. Fields that belong to the connection (RFC 9110
//!   §7.6.1) are not stored.
//! - **The latest answer wins.** An answer that forbids storing, a 3xx, 401, 403, 404, 410 or 451
//!   ends the stored response that it supersedes. A failure leaves the stored response for stale
//!   use. In a shared cache, bad credentials end nothing: no full answer to a request with
//!   `Authorization` ends a stored response. In a shared cache under the HTTP rules, a 401 or 403
//!   to a request with a `Cookie` ends none either.
//! - **URLs are normalised** by RFC 3986 (case, default port, dot segments, percent-encoding). In a
//!   shared cache, host, path and query stay as they were sent. A request without a scheme counts
//!   as `http`. All requests that a server receives over HTTP/1.1 are of this kind. If a request
//!   names a host in its URI and another one in `Host`, its URL has that of the URI, and its key
//!   has both.
//! - **Credentials separate responses and never leak.** `Authorization`, `Cookie` and user
//!   information in URLs are part of the key as a digest. They reach neither the store nor a log.
//!   (In a shared cache under the HTTP rules, the response says for whom it is, and `Authorization`
//!   and `Cookie` are not part of the key.)
//!
//! # Observability
//!
//! Each response carries a [`CacheStatus`], which reports what the cache did and why.
//! [`CacheLayer::stats`] has the totals and needs no feature. Everything that it counts is also an
//! [`Event`]. Hooks receive each event as it happens, and so do `tracing` and `metrics` if the
//! feature of that name is on:
//!
//! ```
//! use larder::{CacheLayer, Event, store::Memory};
//!
//! let layer = CacheLayer::private(Memory::default()).add_event_hook(|event| match event {
//!     Event::NotStored { refusal, .. } => println!("not stored: {refusal}"),
//!     Event::StoreFailed { operation, error, .. } => eprintln!("{operation}: {error}"),
//!     _ => {}
//! });
//! ```
//!
//! [`guide::observability`] lists the fields of the spans and the names of the metrics.
//!
//! # Features
//!
//! | feature | default | brings | pulls in |
//! |---|---|---|---|
//! | `memory` | yes | `store::Memory` | quick_cache |
//! | `redb` | yes | `store::Redb` | redb, etcetera, tempfile |
//! | `sqlite` | | `store::Sqlite` | rusqlite with SQLite itself (C, compiled in), etcetera, tempfile |
//! | `files` | | `store::Files` | serde_json, humantime, mime2ext, etcetera, tempfile |
//! | `redis` | | `store::Redis` | redis, rustls (with ring), tokio's `net`, futures-util |
//! | `mongodb` | | `store::MongoDb` | mongodb with bson, rustls (with ring) and a DNS client, tokio's `net`, futures-util |
//! | `compression` | | `store::Compressed` | zstd (C, compiled in) |
//! | `cli` | | the command `larder` | clap with completions and man pages, indicatif, jiff, serde_json, base64, terminal_size, unicode-width, futures-util, tokio's `signal` |
//! | `testing` | | `testing::Cassette`, which records and replays exchanges; `files` | strsim |
//! | `conformance` | | `store::conformance`, the suite for stores | futures-util |
//! | `metrics` | | counters, a gauge and a histogram of the `metrics` facade | metrics |
//! | `tracing` | | a span for each call, events for decisions and faults | tracing |
//!
//! tokio (`rt`, `sync`, `time`) is a plain dependency. The layer, `Memory` and the stores on a disk
//! also work outside of a tokio runtime, or in one without timers. Then nothing is refreshed in the
//! background: a request that finds a stale response waits for a new one. Limits on waits have no
//! effect. `Redis` and `MongoDb` need a runtime, and return an error without one.
//!
//! The minimum Rust version is 1.90.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod cache;
mod entries;
pub mod entry;
mod error;
mod event;
mod fields;
mod key;
mod options;
mod pattern;
mod policy;
mod runtime;
mod stats;
pub mod status;
pub mod store;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;
pub mod time;

// The pages of the documentation, which no other build has.
#[cfg(any(doc, doctest))]
pub mod guide;

pub use self::{
    cache::{
        BodyError, BodyErrorKind, Cache, CacheLayer, InnerService, RequestBody, ResponseBody,
        ResponseFuture,
    },
    entries::{CopyReport, Entries, EntryInfo, Filter, IfPresent, Target},
    error::{BoxError, ConfigError},
    event::{Event, RequestLine, StoreOperation},
    key::{Key, ParseKeyError},
    options::CacheOptions,
    policy::{Expiration, IntoTags, StaleLimit},
    stats::Stats,
    status::{CacheStatus, Outcome, Stored},
};
