//! tower-http and tower: which layers go outside of the cache, and which inside.
//!
//! # What to add
//!
//! ```sh
//! cargo add larder --path ../larder    # a clone of the repository, until it is published
//! cargo add axum bytes http http-body-util
//! cargo add hyper-util --features client-legacy,http1,tokio
//! cargo add tokio --features macros,net,rt-multi-thread
//! cargo add tower --features limit,timeout,util
//! cargo add tower-http --features auth,catch-panic,compression-gzip,cors
//! cargo add tower-http --features decompression-gzip,follow-redirect,timeout,trace
//! ```
//!
//! # A program to copy
//!
//! It prints what the cache of the client and the cache of the server did.
//!
//! ```rust,ignore
//! use std::time::Duration;
//!
//! use axum::{Router, response::Redirect, routing::get};
//! use bytes::Bytes;
//! use http::{Request, StatusCode, header::ACCEPT_ENCODING};
//! use http_body_util::{BodyExt, Full};
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use larder::{BoxError, CacheLayer, CacheStatus, store::Memory};
//! use tokio::net::TcpListener;
//! use tower::{ServiceBuilder, ServiceExt, limit::ConcurrencyLimitLayer, timeout::TimeoutLayer};
//! use tower_http::{
//!     auth::AddAuthorizationLayer, catch_panic::CatchPanicLayer, compression::CompressionLayer,
//!     cors::CorsLayer, decompression::DecompressionLayer, follow_redirect::FollowRedirectLayer,
//!     timeout::TimeoutLayer as ServerTimeoutLayer, trace::TraceLayer,
//! };
//!
//! /// A server. On a router, each layer goes around the layers above it.
//! fn app() -> Result<Router, BoxError> {
//!     let cache = CacheLayer::shared(Memory::default())
//!         .expire_after(Duration::from_secs(60))
//!         .cache_status_header("larder")?;
//!     let status = StatusCode::GATEWAY_TIMEOUT;
//!     let timeout = ServerTimeoutLayer::with_status_code(status, Duration::from_secs(10));
//!     let app = Router::new()
//!         .route("/report", get(async || "slow to make, ".repeat(20)))
//!         .route("/moved", get(async || Redirect::permanent("/report")))
//!         .layer(CatchPanicLayer::new())
//!         .layer(timeout)
//!         .layer(cache)
//!         .layer(CompressionLayer::new())
//!         .layer(CorsLayer::permissive())
//!         .layer(TraceLayer::new_for_http());
//!     Ok(app)
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), BoxError> {
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let url = format!("http://{}", listener.local_addr()?);
//!     tokio::spawn(axum::serve(listener, app()?).into_future());
//!
//!     // A client. In a `ServiceBuilder`, each layer goes around the layers below it.
//!     let cache = CacheLayer::private(Memory::default())
//!         // Each redirect is stored too.
//!         .statuses([StatusCode::OK, StatusCode::PERMANENT_REDIRECT])?;
//!     let client = ServiceBuilder::new()
//!         .layer(TraceLayer::new_for_http())
//!         .layer(AddAuthorizationLayer::bearer("token"))
//!         .layer(FollowRedirectLayer::new())
//!         .layer(cache.clone())
//!         .layer(TimeoutLayer::new(Duration::from_secs(10)))
//!         .layer(ConcurrencyLimitLayer::new(100))
//!         .layer(DecompressionLayer::new())
//!         .service(Client::builder(TokioExecutor::new()).build_http());
//!     for path in ["/moved", "/moved", "/report"] {
//!         let request = Request::get(format!("{url}{path}")).body(Full::<Bytes>::default())?;
//!         let response = client.clone().oneshot(request).await?;
//!         let outcome = response.extensions().get().map(CacheStatus::outcome).ok_or("no cache")?;
//!         let body = response.into_body().collect().await?.to_bytes();
//!         println!("client: {path:8} {} bytes  {outcome}", body.len());
//!     }
//!     println!("{} calls for the redirect and its target", cache.stats().calls);
//!
//!     // The requests above carry a token, so they bypass the server's cache. These do not.
//!     let plain = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
//!     for _ in 0..2 {
//!         let request = Request::get(format!("{url}/report")).header(ACCEPT_ENCODING, "gzip");
//!         let response = plain.request(request.body(Full::default())?).await?;
//!         let header = |name| response.headers().get(name).map_or(Ok("none"), |it| it.to_str());
//!         let (cache, encoding) = (header("cache-status")?, header("content-encoding")?);
//!         println!("server: {cache}, content-encoding: {encoding}");
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # The order
//!
//! *Outside* means nearer to the caller: earlier in a `ServiceBuilder`, later on an axum router. A
//! layer outside sees every request, hits included. A layer inside sees only the requests that go
//! to the origin, and its changes to a response are stored. So work that is costly and the same for
//! all requests goes inside. Work that differs between requests goes outside.
//!
//! | layer | place | reason |
//! |---|---|---|
//! | decompression | either | outside: bodies are stored compressed, and decoded for each caller. Inside: they are stored decoded, without `Content-Encoding`, which takes more room, but no time on hits |
//! | compression | outside | one entry, compressed for each caller as it accepts it. Parts (`Range`) are cut from the plain body. Inside: one entry for each `Accept-Encoding`, by its `Vary`, and no time on hits |
//! | CORS | outside | each origin gets its own answer, and preflights do not reach the cache. Inside: one entry for each `Origin`, by its `Vary`; without that, all receive the first origin's permission |
//! | checks of who may see a response (`ValidateRequestHeader`, `from_fn`) | **outside** | inside, a hit passes without a check. By default, a shared cache does not store responses to `Authorization` and `Cookie`, but it does not know an `X-Api-Key` |
//! | headers added to requests (`AddAuthorization`, `SetRequestHeader`) | outside if they select the response | outside, they are part of the key if they are credentials or are named. Inside, the cache does not see them: one token's response answers every token |
//! | headers added to responses | inside if the cache is to obey them | `Cache-Control`, under the HTTP rules. Outside: they are for callers only, and new each time |
//! | request ids | outside | inside, the stored id is replayed |
//! | redirects | [either](#redirects) | outside: one entry for each hop. Inside: one entry, for the first URL |
//! | normalised paths | outside | one entry for one path |
//! | timeouts | inside | they limit the origin. `TimeoutLayer` limits the wait for the head only: [bodies](#bodies-that-stall) need a limit of their own. After a timeout, as an error or as an answer with 504, [`stale_if_error`](crate::CacheLayer::stale_if_error) can serve a stale response. Outside: they also limit the wait for another request's call, as [`coalesce_wait`](crate::CacheLayer::coalesce_wait) does |
//! | retries | inside | one request to the cache, whatever the number of attempts. Outside, a stored failure answers the next attempt |
//! | limits (`ConcurrencyLimit`, `RateLimit`, `LoadShed`, `Buffer`) | inside | hits take no permit, and are served while there is none. Outside: they count all requests |
//! | caught panics | inside | after the 500, [`stale_if_error`](crate::CacheLayer::stale_if_error) can serve a stale response. Outside: the 500 is the answer |
//! | traces and metrics | outside for all requests, inside for the origin's | both can be there at once |
//!
//! # Bodies that stall
//!
//! tower's and tower-http's `TimeoutLayer` end when the head of the response is there. A body that
//! stalls after that holds up its reader, and everyone who shares its call. tower-http's
//! `ResponseBodyTimeoutLayer` (feature `timeout`) limits the wait for each frame of a body. It goes
//! inside of the cache, beside `TimeoutLayer`:
//! `.layer(ResponseBodyTimeoutLayer::new(Duration::from_secs(10)))`. A body that is cut off ends in
//! an error of kind [`Inner`](crate::BodyErrorKind::Inner), and is not stored.
//!
//! It has a cost: the body of that layer does not say how long it is, or that it is empty. A
//! response is then stored only when someone has read its body to the end, also an empty one. A
//! redirect layer outside does not read the bodies of redirects, so redirects are not stored.
//! [`generate_etags`](crate::CacheLayer::generate_etags) makes no tags. If the client has a timeout
//! for reading (reqwest's `read_timeout`), use that.
//!
//! # Redirects
//!
//! **Outside**, as in the program above, each hop is a request of its own. Afterwards each hop is a
//! hit, whichever URL a request begins with, if the redirect is stored: its status is named in
//! [`statuses`](crate::CacheLayer::statuses), or the HTTP rules are set and it says how long it is
//! fresh. A redirect layer also goes inside of `AddAuthorization`: then it removes the token before
//! it follows a redirect to another host.
//!
//! **Inside** (reqwest's own, or a `FollowRedirectLayer` below the cache), the cache sees the first
//! URL and the last response. Afterwards the first URL is a hit, and the other URLs are not. On a
//! hit, the response does not say which URL it came from.
//!
//! tower-http's layer passes the extensions of a request on to all hops of the same origin, so
//! [`CacheOptions`](crate::CacheOptions) apply to each of them. Options with a
//! [`key`](crate::CacheOptions::key) would let the first redirect answer for every hop: with
//! `preserve_extensions(false)`, they apply only to the first.
