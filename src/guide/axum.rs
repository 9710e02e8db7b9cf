//! axum: a server with cached routes, purges, and logins.
//!
//! # What to add
//!
//! ```sh
//! cargo add larder --path ../larder    # a clone of the repository, until it is published
//! cargo add axum
//! cargo add serde --features derive
//! cargo add tokio --features macros,net,rt-multi-thread
//! cargo add tower --features util
//! ```
//!
//! # A program to copy
//!
//! `cargo run` sends itself some requests, prints what the cache did, and ends. To serve until it
//! is stopped, write `cargo run -- --listen 127.0.0.1:8080`.
//!
//! ```rust,ignore
//! use std::{
//!     sync::atomic::{AtomicU64, Ordering},
//!     time::Duration,
//! };
//!
//! use axum::{
//!     Router,
//!     body::{Body, to_bytes},
//!     extract::{Path, Query, State},
//!     http::{HeaderMap, Request, StatusCode, header},
//!     routing::{get, post},
//! };
//! use larder::{
//!     BoxError, CacheLayer, Entries,
//!     store::{ErrorKind, Memory},
//! };
//! use serde::Deserialize;
//! use tokio::net::TcpListener;
//! use tower::ServiceExt;
//!
//! fn cache() -> Result<CacheLayer<Memory>, BoxError> {
//!     let layer = CacheLayer::shared(Memory::default())
//!         .expire_after(Duration::from_secs(60))
//!         // Handlers write the tags of a response into this header.
//!         .add_tag_headers(["surrogate-key"])?
//!         // Tells clients what the cache did.
//!         .cache_status_header("larder")?;
//!     Ok(layer)
//! }
//!
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
//!
//! async fn news(Path(id): Path<u32>) -> ([(&'static str, &'static str); 1], String) {
//!     ([("surrogate-key", "news")], format!("news {id}, {}", made().await))
//! }
//!
//! /// The response sets a cookie, so it is not stored.
//! async fn login() -> ([(header::HeaderName, &'static str); 1], &'static str) {
//!     ([(header::SET_COOKIE, "session=alice; HttpOnly")], "welcome")
//! }
//!
//! /// The request has a cookie, so it bypasses the cache.
//! async fn me(headers: HeaderMap) -> Result<String, StatusCode> {
//!     let cookie = headers.get(header::COOKIE).ok_or(StatusCode::UNAUTHORIZED)?;
//!     Ok(format!("{cookie:?}, {}", made().await))
//! }
//!
//! /// Tells one response from the next.
//! async fn made() -> String {
//!     static MADE: AtomicU64 = AtomicU64::new(1);
//!     format!("made as number {}", MADE.fetch_add(1, Ordering::Relaxed))
//! }
//!
//! #[derive(Deserialize)]
//! struct Purge {
//!     /// As clients write it, with the host that they name.
//!     url: Option<String>,
//!     tag: Option<String>,
//! }
//!
//! /// `POST /purge?url=URL` or `POST /purge?tag=TAG`. Add a layer that checks who may do this.
//! async fn purge(
//!     State(entries): State<Entries<Memory>>,
//!     Query(purge): Query<Purge>,
//! ) -> Result<String, (StatusCode, String)> {
//!     let removed = match (purge.url, purge.tag) {
//!         (Some(url), None) => entries.remove(&url).await,
//!         (None, Some(tag)) => entries.remove_tag(&tag).await,
//!         _ => return Err((StatusCode::BAD_REQUEST, "write ?url=URL or ?tag=TAG".to_owned())),
//!     };
//!     let removed = removed.map_err(|error| match error.kind() {
//!         ErrorKind::Invalid => (StatusCode::BAD_REQUEST, error.to_string()),
//!         _ => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
//!     })?;
//!     Ok(format!("{removed} removed"))
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), BoxError> {
//!     let app = routes(cache()?);
//!     if let Some(address) = std::env::args().skip_while(|arg| arg != "--listen").nth(1) {
//!         let listener = TcpListener::bind(address).await?;
//!         println!("at http://{}", listener.local_addr()?);
//!         return Ok(axum::serve(listener, app).await?);
//!     }
//!
//!     for (method, path, cookie) in [
//!         ("GET", "/news/1", ""),
//!         ("GET", "/news/1", ""),
//!         ("GET", "/news/2", ""),
//!         ("GET", "/report", ""),
//!         ("GET", "/report", ""),
//!         ("GET", "/now", ""),
//!         ("GET", "/login", ""),
//!         ("GET", "/me", "session=alice"),
//!         ("POST", "/purge?url=http://localhost/news/1", ""),
//!         ("GET", "/news/1", ""),
//!         ("POST", "/purge?tag=news", ""),
//!         ("GET", "/news/2", ""),
//!     ] {
//!         let url = format!("http://localhost{path}");
//!         let mut request = Request::builder().method(method).uri(url);
//!         if !cookie.is_empty() {
//!             request = request.header(header::COOKIE, cookie);
//!         }
//!         let response = app.clone().oneshot(request.body(Body::empty())?).await?;
//!         let (parts, body) = response.into_parts();
//!         let cache = parts.headers.get("cache-status");
//!         let cache = cache.map_or(Ok("not cached"), |value| value.to_str())?;
//!         let body = to_bytes(body, usize::MAX).await?;
//!         let body = String::from_utf8_lossy(&body);
//!         println!("{method:4} {path:36} {} {body:36} {cache}", parts.status.as_u16());
//!     }
//!     Ok(())
//! }
//! ```
//!
//! # A whole router, or one route
//!
//! - `Router::layer` wraps the routes that were added before it. `MethodRouter::layer` wraps one
//!   route, and `Handler::layer` one handler. Both layers of the program are clones of one: they
//!   share the store, the statistics and the purges.
//! - `layer` also receives requests for paths that have no route. `route_layer` does not.
//! - **Nested routers** see paths without their prefix, and so does a layer inside of one: `/v1/x`
//!   and `/v2/x` would share responses. Put the layer around the router that nests. If it must be
//!   inside, make a key of axum's `OriginalUri`, which is in the extensions, with
//!   [`key_with`](crate::CacheLayer::key_with).
//! - **Extensions and state** reach the handler through the cache. They are not part of the key. If
//!   a response depends on an extension, such as the tenant, use
//!   [`key_with`](crate::CacheLayer::key_with) or no cache.
//! - A layer that checks who may see a response goes outside of the cache, and so do compression
//!   and CORS: [the order](super::tower_http#the-order).
//!
//! # Expiry
//!
//! A shared cache stores nothing until it has an expiry.
//! [`expire_after`](crate::CacheLayer::expire_after) sets one for all,
//! [`expire_urls`](crate::CacheLayer::expire_urls) one for each path. With
//! [`http_rules`](crate::CacheLayer::http_rules), each handler decides by its `Cache-Control`.
//!
//! # Browsers
//!
//! A browser has a cache of its own. It asks again with the `ETag` of its copy, and gets a 304
//! without a body if the copy is as good as the stored response.
//!
//! - **An `ETag` for each response**: a handler sends one, or
//!   [`generate_etags(true)`](crate::CacheLayer::generate_etags) makes one from the stored body.
//! - **How long a browser asks nothing** is what the handler's `Cache-Control` says, under either
//!   policy. By time alone, the cache ignores that field and replays it, and a hit has no `Age`: a
//!   browser counts `max-age` from the hit. So a page may be as old as the layer's expiry plus its
//!   `max-age`. Under [`http_rules`](crate::CacheLayer::http_rules), each hit has its `Age`, and a
//!   browser counts that too.
//! - **A reload** sends `Cache-Control: max-age=0` or `no-cache`. By time alone, that is ignored,
//!   and a reload is a hit. Under the HTTP rules, it reaches the handler: anyone can have a page
//!   made again. No setting turns that off, but a layer outside of the cache can remove the fields:
//!
//! ```
//! use http::{Request, header};
//! # use std::{convert::Infallible, time::Duration};
//! # use bytes::Bytes;
//! # use http::Response;
//! # use http_body_util::{BodyExt, Empty, Full};
//! # use larder::{BoxError, CacheLayer, store::Memory};
//! # use tower::{ServiceBuilder, ServiceExt, service_fn};
//! use tower::util::MapRequestLayer;
//!
//! /// Answers a reload as any other request, and also one that asks not to be stored (`no-store`).
//! fn without_directives<B>(mut request: Request<B>) -> Request<B> {
//!     for name in [header::CACHE_CONTROL, header::PRAGMA] {
//!         request.headers_mut().remove(name);
//!     }
//!     request
//! }
//! #
//! # type Seen = (u64, Vec<u16>, Option<String>);
//! # async fn ask(removes: bool, rules: bool) -> Result<Seen, BoxError> {
//! #     let clock = larder::time::ManualClock::default();
//! #     let cache = CacheLayer::shared(Memory::default())
//! #         .expire_after(Duration::from_secs(60))
//! #         .generate_etags(true)
//! #         .clock(clock.clone());
//! #     let cache = if rules { cache.http_rules() } else { cache };
//! #     let outside: fn(Request<Empty<Bytes>>) -> Request<Empty<Bytes>> =
//! #         if removes { without_directives } else { |request| request };
//! #     let app = ServiceBuilder::new()
//! #         .layer(MapRequestLayer::new(outside))
//! #         .layer(cache.clone())
//! #         .service(service_fn(|_: Request<_>| async {
//! #             let page = Response::builder().header("cache-control", "max-age=60");
//! #             Ok::<_, Infallible>(page.body(Full::new(Bytes::from("page"))).unwrap())
//! #         }));
//! #     let mut tag = None;
//! #     let (mut seen, mut age) = (Vec::new(), None);
//! #     for directive in [None, None, Some("max-age=0"), Some("no-cache")] {
//! #         let mut request = Request::get("/page");
//! #         for value in directive {
//! #             request = request.header("cache-control", value);
//! #         }
//! #         for value in &tag {
//! #             request = request.header("if-none-match", value);
//! #         }
//! #         let response = app.clone().oneshot(request.body(Empty::new())?).await?;
//! #         tag = response.headers().get("etag").cloned();
//! #         assert_eq!(response.headers()["cache-control"], "max-age=60");
//! #         age = age.or(response.headers().get("age").map(|age| format!("{age:?}")));
//! #         seen.push(response.status().as_u16());
//! #         response.into_body().collect().await?;
//! #         clock.advance(Duration::from_secs(10));
//! #     }
//! #     Ok((cache.stats().calls, seen, age))
//! # }
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! #     let seen = vec![200, 304, 304, 304];
//! #     assert_eq!(ask(false, false).await?, (1, seen.clone(), None));
//! #     assert_eq!(ask(true, true).await?, (1, seen, Some("\"10\"".to_owned())));
//! #     assert_eq!(ask(false, true).await?.0, 3);
//! #     Ok(())
//! # }
//! ```
//!
//! On a router: `.layer(cache).layer(MapRequestLayer::new(without_directives))`.
//!
//! # Languages
//!
//! A handler that reads `Accept-Language` says so with `Vary: Accept-Language`. The cache then
//! stores one response for each value of the field, and browsers send hundreds of values. A layer
//! outside of the cache reduces them to the languages that the server has:
//!
//! ```
//! use http::{HeaderValue, Request, header::ACCEPT_LANGUAGE};
//! # use std::{convert::Infallible, time::Duration};
//! # use bytes::Bytes;
//! # use http::Response;
//! # use http_body_util::{BodyExt, Empty, Full};
//! # use larder::{BoxError, CacheLayer, store::Memory};
//! # use tower::{ServiceBuilder, ServiceExt, service_fn, util::MapRequestLayer};
//!
//! /// German for those who name it first, English for all others.
//! fn language<B>(mut request: Request<B>) -> Request<B> {
//!     let asked = request.headers().get(ACCEPT_LANGUAGE).map_or(&b""[..], HeaderValue::as_bytes);
//!     let language = if asked.starts_with(b"de") { "de" } else { "en" };
//!     request.headers_mut().insert(ACCEPT_LANGUAGE, HeaderValue::from_static(language));
//!     request
//! }
//! #
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), BoxError> {
//! #     let cache = CacheLayer::shared(Memory::default()).expire_after(Duration::from_secs(60));
//! #     let app = ServiceBuilder::new()
//! #         .layer(MapRequestLayer::new(language))
//! #         .layer(cache.clone())
//! #         .service(service_fn(|request: Request<_>| async move {
//! #             let page = Response::builder().header("vary", "accept-language");
//! #             let text = Bytes::copy_from_slice(request.headers()[ACCEPT_LANGUAGE].as_bytes());
//! #             Ok::<_, Infallible>(page.body(Full::new(text)).unwrap())
//! #         }));
//! #     for (asked, expected) in [("de-AT", "de"), ("fr", "en"), ("de;q=0.9", "de"), ("", "en")] {
//! #         let request = Request::get("/").header("accept-language", asked);
//! #         let response = app.clone().oneshot(request.body(Empty::<Bytes>::new())?).await?;
//! #         assert_eq!(response.into_body().collect().await?.to_bytes(), expected);
//! #     }
//! #     assert_eq!((cache.stats().calls, cache.entries().len().await?), (2, 2));
//! #     Ok(())
//! # }
//! ```
//!
//! # Purges
//!
//! - **By tag**: a handler names tags in the header that
//!   [`add_tag_headers`](crate::CacheLayer::add_tag_headers) reads, separated by spaces or commas.
//!   [`tag_with`](crate::CacheLayer::tag_with) derives tags from the request.
//! - **By URL**: [`remove`](crate::Entries::remove) removes all variants of the URL. Write it with
//!   the host that clients name, and with `http`: an HTTP/1.1 request to a server names no scheme.
//! - **Over HTTP/2 and TLS**, a request names `https`, so its URLs are others. If a server speaks
//!   both, this function outside of the cache, as `.layer(MapRequestLayer::new(one_scheme))`, makes
//!   them one:
//!
//!   ```
//!   use http::{Request, Uri, uri::Scheme};
//!
//!   fn one_scheme<B>(mut request: Request<B>) -> Request<B> {
//!       let mut uri = request.uri().clone().into_parts();
//!       uri.scheme = uri.scheme.map(|_https| Scheme::HTTP);
//!       *request.uri_mut() = Uri::from_parts(uri).expect("a URI with another scheme");
//!       request
//!   }
//!   ```
//! - A successful `POST`, `PUT` or `DELETE` to a URL removes its stored responses without a purge,
//!   if it passes through the layer.
//!
//! # Logins and cookies
//!
//! By default, `Cookie` and `Authorization` keep users apart:
//!
//! | | a shared cache |
//! |---|---|
//! | request with `Cookie` or `Authorization`, such as `/me` above | bypasses the cache ([`Credentials`](crate::status::Bypass::Credentials)) |
//! | response with `Set-Cookie`, such as `/login` above | is not stored ([`SetCookie`](crate::status::Refusal::SetCookie)) |
//! | request with another credential, such as `X-Api-Key` | uses the cache. Put the check outside, and name the header in [`add_key_headers`](crate::CacheLayer::add_key_headers) if responses depend on it |
//!
//! So a handler needs no `Vary: Cookie` for this cache. Under
//! [`http_rules`](crate::CacheLayer::http_rules), the response decides instead: a user's page says
//! `Cache-Control: private`.
//!
//! Every cookie counts, also one for analytics: a visitor who has one never gets a hit.
//! [Cookies](super::cookies#a-server-with-an-analytics-cookie-and-logins) shows how visitors share
//! responses all the same, and members do not.
