//! reqwest: a client with a cache, in the field of a struct.
//!
//! # What to add
//!
//! ```sh
//! cargo add larder --path ../larder    # a clone of the repository, until it is published
//! cargo add http tower-reqwest
//! cargo add reqwest --features json,query
//! cargo add serde --features derive
//! cargo add tokio --features macros,net,rt-multi-thread,time
//! cargo add tower --features util
//! cargo add axum    # for the server that the program below calls
//! ```
//!
//! # A program to copy
//!
//! It calls its own server, and prints a line for each request. The server has another port in each
//! run, so each run has other URLs and other keys: with a store on disk, use a fixed port.
//!
//! ```text
//! GET http://127.0.0.1:37213/item?name=tea -> 200 miss (absent)
//! GET http://127.0.0.1:37213/item?name=tea -> 200 hit
//! ```
//!
//! ```rust,ignore
//! use std::time::Duration;
//!
//! use axum::{
//!     Json, Router,
//!     extract::Query,
//!     routing::{get, post},
//! };
//! use http::Method;
//! use larder::{BoxError, Cache, CacheLayer, Event, RequestBody, store::Memory};
//! use reqwest::{Body, Client, RequestBuilder, Response, ResponseBuilderExt};
//! use serde::{Deserialize, Serialize};
//! use tower::{ServiceBuilder, util::MapRequest};
//! use tower_reqwest::{HttpClientLayer, HttpClientService};
//!
//! /// A reqwest client behind a cache.
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
//!
//! struct Api {
//!     url: String,
//!     /// Builds requests.
//!     client: Client,
//!     /// Sends them.
//!     http: CachedClient,
//! }
//!
//! #[derive(Debug, Deserialize, Serialize)]
//! struct Item {
//!     name: String,
//! }
//!
//! impl Api {
//!     fn new(url: String) -> Result<Self, BoxError> {
//!         let client = Client::new();
//!         let layer = CacheLayer::private(Memory::default())
//!             .expire_after(Duration::from_secs(60))
//!             // A search is a `POST` that changes nothing. Its body is part of the key.
//!             .methods([Method::GET, Method::HEAD, Method::POST])?
//!             .add_event_hook(|event| {
//!                 if let Event::Answered { request, code, status, .. } = event {
//!                     println!("{request} -> {} {}", code.as_u16(), status.outcome());
//!                 }
//!             });
//!         Ok(Self { url, http: cached(client.clone(), layer), client })
//!     }
//!
//!     /// The error is `reqwest::Error`: the cache adds none.
//!     async fn send(&self, request: RequestBuilder) -> reqwest::Result<Response> {
//!         let request = request.build()?;
//!         // An `http::Response` has no URL. reqwest's has this one, and names it in errors.
//!         let url = http::Response::builder().url(request.url().clone());
//!         let mut response = self.http.request(http::Request::try_from(request)?).await?;
//!         response.extensions_mut().extend(url.extensions_ref().cloned().unwrap_or_default());
//!         Ok(response.map(Body::wrap).into())
//!     }
//!
//!     async fn item(&self, name: &str) -> reqwest::Result<Item> {
//!         let request = self.client.get(format!("{}/item", self.url)).query(&[("name", name)]);
//!         self.send(request.bearer_auth("token")).await?.error_for_status()?.json().await
//!     }
//!
//!     async fn search(&self, item: &Item) -> reqwest::Result<Vec<Item>> {
//!         let request = self.client.post(format!("{}/search", self.url)).json(item);
//!         self.send(request).await?.error_for_status()?.json().await
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), BoxError> {
//!     let api = Api::new(start_server().await?)?;
//!     for name in ["tea", "tea", "milk"] {
//!         let item = api.item(name).await?;
//!         println!("{item:?}");
//!         let found = api.search(&item).await?;
//!         println!("{found:?}");
//!     }
//!     Ok(())
//! }
//!
//! /// Starts the server that this example calls. It answers with what it was asked for.
//! async fn start_server() -> std::io::Result<String> {
//!     let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//!     let url = format!("http://{}", listener.local_addr()?);
//!     let routes = Router::new()
//!         .route("/item", get(async |Query(item): Query<Item>| Json(item)))
//!         .route("/search", post(async |Json(item): Json<Item>| Json([item])));
//!     tokio::spawn(axum::serve(listener, routes).into_future());
//!     Ok(url)
//! }
//! ```
//!
//! The parts, from the outside in:
//!
//! - [`Cache`](crate::Cache) is the client with its cache.
//!   [`Cache::request`](crate::Cache::request) takes `&self`, so `Api` needs neither a lock nor a
//!   clone. For another store, write its type in place of `Memory`, or
//!   [`AnyStore`](crate::store::AnyStore) to choose one at run time.
//! - `map_request` is there because the cache may read the body of a request: a body can be part of
//!   the key. So the cache sends a [`RequestBody`](crate::RequestBody), and reqwest takes only a
//!   `reqwest::Body`. [`into_inner_or_else`](crate::RequestBody::into_inner_or_else) gives a body
//!   that the cache did not read back to reqwest as it was, and wraps any other. `OwnBody` is a
//!   function pointer because a closure has no name that `CachedClient` could use.
//! - `HttpClientLayer`, from [`tower_reqwest`](https://docs.rs/tower-reqwest), makes the client a
//!   service of `http::Request`.
//!
//! # `RequestBuilder` and `Response`
//!
//! `send` accepts whatever a `RequestBuilder` can build: `query`, `json`, `bearer_auth`, `header`,
//! `timeout`. It returns reqwest's own response, with `json`, `text` and `error_for_status`.
//!
//! - **Options for one request**: insert [`CacheOptions`](crate::CacheOptions) into
//!   `request.extensions_mut()` before `self.http.request(request)`.
//! - **What the cache did**: `response.extensions().get::<CacheStatus>()`.
//! - **A `POST` is cached** only if [`methods`](crate::CacheLayer::methods) names it. Its body is
//!   then part of the key. A `POST` that changes something must not be named. `json` writes a
//!   `HashMap` in another order each time: with
//!   [`normalize_request_body(true)`](crate::CacheLayer::normalize_request_body), that makes no
//!   difference.
//! - **`bearer_auth` and `basic_auth`** are part of the key, as a digest.
//! - **`Response::url`** is the URL of the request, since `send` sets it. Without that, it is
//!   `http://no.url.provided.local/`, also in the message of `error_for_status`.
//! - **The error is `reqwest::Error`.** The cache adds none. Only a stored body that breaks off has
//!   an error of the [cache's own](crate::BodyErrorKind::Store), inside of reqwest's.
//! - **A body streams**, in both directions. A response is stored when its body has been read to
//!   the end.
//!
//! # Retries
//!
//! **Inside of the cache** is the place for most: the cache sees one call, and stores its last
//! response. reqwest's own retries (`ClientBuilder::retry`) are inside. tower's can wait between
//! the attempts. Write `.retry(Retries { left: 2 })` after `.layer(HttpClientLayer)`, and
//! `HttpClientService<Retry<Retries, Client>>` in `CachedClient` (`cargo add tower --features
//! retry`). `examples/reqwest-client/src/bin/retries.rs` is a whole program:
//!
//! ```rust,ignore
//! /// Tries again after errors and server errors.
//! #[derive(Clone)]
//! struct Retries {
//!     left: u32,
//! }
//!
//! impl Policy<reqwest::Request, Response, reqwest::Error> for Retries {
//!     type Future = Sleep;
//!
//!     fn retry(
//!         &mut self,
//!         _: &mut reqwest::Request,
//!         result: &mut Result<Response, reqwest::Error>,
//!     ) -> Option<Sleep> {
//!         if result.as_ref().is_ok_and(|response| !response.status().is_server_error()) {
//!             return None;
//!         }
//!         self.left = self.left.checked_sub(1)?;
//!         Some(sleep(Duration::from_millis(100)))
//!     }
//!
//!     fn clone_request(&mut self, request: &reqwest::Request) -> Option<reqwest::Request> {
//!         request.try_clone()
//!     }
//! }
//! ```
//!
//! **Around the cache**, each attempt is a request to it. A body that is part of the key needs
//! this: the cache has read it, so that `try_clone` inside returns `None`. If the cache stores the
//! status of the failure, a further attempt would get the stored response:
//! [`refresh(true)`](crate::CacheOptions::refresh) makes it a call. The same `Retries` goes around
//! with a second policy, as `ServiceBuilder::new().retry(Retries { left: 2 }).service(http)`. That
//! service has no `request` method: write `around.clone().oneshot(request)`.
//!
//! ```rust,ignore
//! /// Tries again around the cache, by tower. Each attempt is a request to the cache.
//! impl<R> Policy<http::Request<Body>, http::Response<R>, reqwest::Error> for Retries {
//!     type Future = Sleep;
//!
//!     fn retry(
//!         &mut self,
//!         request: &mut http::Request<Body>,
//!         result: &mut Result<http::Response<R>, reqwest::Error>,
//!     ) -> Option<Sleep> {
//!         if result.as_ref().is_ok_and(|response| !response.status().is_server_error()) {
//!             return None;
//!         }
//!         self.left = self.left.checked_sub(1)?;
//!         // The next attempt calls the server even if this failure is stored.
//!         request.extensions_mut().insert(CacheOptions::new().refresh(true));
//!         Some(sleep(Duration::from_millis(100)))
//!     }
//!
//!     fn clone_request(&mut self, request: &http::Request<Body>) -> Option<http::Request<Body>> {
//!         // A body that streams can be sent only once.
//!         let mut copy = http::Request::new(request.body().as_bytes()?.to_vec().into());
//!         *copy.method_mut() = request.method().clone();
//!         *copy.uri_mut() = request.uri().clone();
//!         *copy.headers_mut() = request.headers().clone();
//!         *copy.extensions_mut() = request.extensions().clone();
//!         Some(copy)
//!     }
//! }
//! ```
//!
//! # What reqwest does inside of the cache
//!
//! | of reqwest | what the cache sees | alternative |
//! |---|---|---|
//! | decompression (`gzip`, `brotli`, ...) | decoded bodies, without `Content-Encoding`. They are stored decoded, and decoded once | `no_gzip()`, and tower-http's `DecompressionLayer` [outside](super::tower_http#the-order) |
//! | redirects | the first URL, with the last response | `redirect::Policy::none()`, and `FollowRedirectLayer` [outside](super::tower_http#redirects) |
//! | `cookie_store` | **no cookie of the jar**. A login does not change which stored response answers. `Set-Cookie` is stored, and replayed to the caller but not to the jar | a jar in a layer outside, which sets `Cookie`; or one store or one [`key`](crate::CacheOptions::key) for each user |
//! | `default_headers` | **none of them**. Clients with different tokens over one store share responses | headers on the request, or a layer outside that sets them |
//! | `timeout`, `read_timeout` | an error, which is not stored. They do not limit hits | a timeout outside |
//! | `Response::remote_addr` | extensions are not stored: a hit has no address | |
