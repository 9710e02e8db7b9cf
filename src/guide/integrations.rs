//! The layer in the stacks of the field: hyper, reqwest, axum, gRPC, the layers of tower and tower-http, redirects.
//!
//! The layer is generic over services and bodies, so that most stacks take it as it is. What each of them is written as,
//! what is keyed and stored there, and what it cannot see, is told here; which side of it other layers belong on is a
//! [table](#the-order-of-layers). The code on this page comes from programs in
//! `examples/` in the repository.
//!
//! # hyper
//!
//! The client of hyper-util, over HTTP/1.1, HTTP/2 and TLS:
//!
//! ```rust,ignore
//! let https = HttpsConnectorBuilder::new()
//!     // Or `.with_webpki_roots()`, with the feature `webpki-tokio`.
//!     .with_tls_config(tls)
//!     .https_or_http()
//!     .enable_all_versions()
//!     .build();
//! let client = ServiceBuilder::new()
//!     .layer(CacheLayer::private(Memory::default()))
//!     .service(Client::builder(TokioExecutor::new()).build(https));
//! ```
//!
//! - The version is no part of the key: what came over HTTP/2 answers over HTTP/1.1. A hit has the version that the
//!   response was stored with.
//! - A hit needs no connection. What the client puts into the extensions of a response (the address of the peer) is not
//!   stored.
//! - As a field of a struct, it is a `Cache<Client<C, RequestBody<B>>, Memory>`, or a
//!   `BoxCloneSyncService<Request<B>, Response<ResponseBody<Incoming>>, hyper_util::client::legacy::Error>`.
//!
//! # reqwest
//!
//! [`tower_reqwest`](https://docs.rs/tower-reqwest) makes a `reqwest::Client` a service of `http::Request`. It takes
//! bodies of reqwest's own type:
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
//! ```rust,ignore
//! let request = Request::get(format!("{origin}/answer")).body(reqwest::Body::default())?;
//! let response = client.clone().oneshot(request).await?;
//! // Back to reqwest's own response, for `json`, `text`, `error_for_status` and the like.
//! let response = reqwest::Response::from(response.map(reqwest::Body::wrap));
//! ```
//!
//! Bodies stream in both directions, trailers and versions come through, the error is `reqwest::Error`, and the
//! [`CacheStatus`](crate::CacheStatus) is in `reqwest::Response::extensions`. What reqwest does by itself, it does inside
//! of the cache:
//!
//! | of reqwest | what the cache sees | for the other way |
//! |---|---|---|
//! | decompression (`gzip`, `brotli`, ...) | decoded bodies, without `Content-Encoding` and without the compressed length; stored so, and decoded once | `no_gzip()`, and tower-http's `DecompressionLayer` [outside](#the-order-of-layers) |
//! | redirects | the first URL, with what the last one answered; see [redirects](#redirects) | `redirect::Policy::none()`, and `FollowRedirectLayer` outside |
//! | cookies (`cookie_store`) | **no cookie of the jar**: it is no part of the key, and a login changes nothing of what is stored. `Set-Cookie` is stored and replayed to the caller, not to the jar | a jar of your own around the cache, which puts `Cookie` on requests; one store or [`key`](crate::CacheOptions::key) a user |
//! | `default_headers` | **none of them**: clients with different tokens over one store share responses | headers on the request, or a layer outside that sets them |
//! | `timeout`, `read_timeout` | an error of the call or the body, which is not stored; hits and their bodies know no timeout | a timeout outside |
//! | `Response::url`, `remote_addr` | the conversion to `http::Response` drops the URL; extensions are not stored | the URL of the request; [redirects](#redirects) outside, which tell it |
//! | its retries, and redirects that send a body again | a body that the cache has not read is handed on as it came, and can be sent again; one that is part of the key cannot | |
//!
//! # axum
//!
//! A router takes the layer as it is: whole, or route by route. In front of many users it is
//! [`CacheLayer::shared`](crate::CacheLayer::shared), with an expiration or the [HTTP
//! rules](crate::CacheLayer::http_rules). Handlers purge by URL and by tag with the [handle](crate::Entries):
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
//! ```rust,ignore
//! #[derive(Deserialize)]
//! struct Purge {
//!     /// As clients write it, with the host that they name.
//!     url: Option<String>,
//!     tag: Option<String>,
//! }
//!
//! /// `POST /purge?url=URL` or `POST /purge?tag=TAG`. A layer around it has to check who may do so.
//! async fn purge(
//!     State(entries): State<Entries<Memory>>,
//!     Query(purge): Query<Purge>,
//! ) -> Result<String, (StatusCode, String)> {
//!     let removed = match (purge.url, purge.tag) {
//!         (Some(url), None) => entries.remove(&url).await,
//!         (None, Some(tag)) => entries.remove_tag(&tag).await,
//!         _ => return Err((StatusCode::BAD_REQUEST, "write ?url=URL or ?tag=TAG\n".to_owned())),
//!     };
//!     let removed = removed.map_err(|error| match error.kind() {
//!         ErrorKind::Invalid => (StatusCode::BAD_REQUEST, format!("{error}\n")),
//!         _ => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
//!     })?;
//!     Ok(format!("{removed} removed\n"))
//! }
//! ```
//!
//! - **The URL** that is keyed, and that a purge names, has the host that the client names, and `http`: an HTTP/1.1
//!   request to a server names no scheme. Over TLS, HTTP/2 does, and its `https` URLs are others, to purges and to what
//!   a `POST` removes as well. Where a server speaks both, a `map_request` outside makes them one:
//!
//!   ```
//!   # type Body = http_body_util::Full<bytes::Bytes>;
//!   # use http::{Request, Uri, uri::Scheme};
//!   use tower::util::MapRequestLayer;
//!
//!   let one_scheme = MapRequestLayer::new(|mut request: Request<Body>| {
//!       let mut uri = request.uri().clone().into_parts();
//!       uri.scheme = uri.scheme.map(|_https| Scheme::HTTP);
//!       *request.uri_mut() = Uri::from_parts(uri).expect("a URI with another scheme");
//!       request
//!   });
//!   ```
//! - **Nested routers** see their paths without the prefix, and so does a layer inside of one: with one store for
//!   several, `/v1/x` would answer for `/v2/x`. The layer belongs around the router that nests, or on routes that are not
//!   nested; else [`key_with`](crate::CacheLayer::key_with) has to take up axum's `OriginalUri` from the extensions.
//! - **`layer` or `route_layer`**: the first is asked for paths without a route as well.
//! - **Extensions and state** reach the handler through the cache. Neither is part of the key: a handler whose answer
//!   depends on an extension (the user, the tenant) needs [`key_with`](crate::CacheLayer::key_with), or no cache.
//!
//! # gRPC
//!
//! [`CacheLayer::grpc`](crate::CacheLayer::grpc) caches the unary calls that it lists; all else passes. Behind a client,
//! tonic's `Channel` takes one type of body, as does any boxed service, so that `map_request` goes between:
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
//! In front of a server, a shared layer goes into `Server::builder().layer(layer)` as it is, inside of `GrpcWebLayer`
//! where there is one. An interceptor that adds credentials goes around the cache (`InterceptedService::new(cached, ..)`):
//! they are then part of the key. Timeouts on the `Channel` bound the calls, and a call's own `grpc-timeout` its wait for
//! another's. `CacheStatus` is in `tonic::Response::extensions`; `CacheOptions` go into
//! `tonic::Request::extensions_mut`. `examples/grpc` in the repository is a whole program.
//!
//! # The order of layers
//!
//! *Outside* is nearer to the caller: earlier in a `ServiceBuilder`, later on an axum router. What stands outside sees
//! every request, hits among them; what stands inside sees what goes to the origin, and what it does to a response is
//! stored. So what is costly and the same for all belongs inside, and what is each request's own, outside.
//!
//! | layer | belongs | since |
//! |---|---|---|
//! | decompression | either side | outside: stored compressed, decoded for each caller. Inside: stored decoded, without `Content-Encoding`; no time spent on hits, more room |
//! | compression | outside | one entry, compressed for each caller as it accepts it; parts (`Range`) are cut from the plain body. Inside: one entry for each `Accept-Encoding`, by its `Vary`, and no time spent on hits |
//! | CORS | outside | each origin is answered by itself, and preflights never come to the cache. Inside: one entry for each `Origin`, by its `Vary`; without that, the first origin's permission is everybody's |
//! | checks of who may (`ValidateRequestHeader`, `from_fn`) | **outside** | inside, a hit goes past them. The default keeps what `Authorization` and `Cookie` let in out of a shared cache, and knows nothing of an `X-Api-Key` |
//! | headers added to requests (`AddAuthorization`, `SetRequestHeader`) | outside where they select the answer | they are part of the key there, where they are named or are credentials. Inside, they are not seen: one token's answer is every token's |
//! | headers added to responses | inside where the cache is to hear them | under the HTTP rules, `Cache-Control` is. Outside: for callers alone, new each time |
//! | request ids | outside | inside, the stored id is replayed |
//! | redirects | [either side](#redirects) | outside: an entry for each hop. Inside: one for the first URL |
//! | normalised paths | outside | one entry for what is one path |
//! | timeouts | inside | they bound the origin, and a timeout that is an answer (504) or an error has [`stale_if_error`](crate::CacheLayer::stale_if_error) stand in for it. Outside: they bound the wait for another's call as well, as [`coalesce_wait`](crate::CacheLayer::coalesce_wait) does |
//! | retries | inside | one request to the cache, however many attempts. Outside, a failure that is stored answers the next attempt |
//! | limits (`ConcurrencyLimit`, `RateLimit`, `LoadShed`, `Buffer`) | inside | hits take no permit, and are answered while there is none. Outside: they count all requests |
//! | panics caught | inside | the 500 has [`stale_if_error`](crate::CacheLayer::stale_if_error) stand in for it. Outside: it is the answer, and nothing hangs either |
//! | traces and metrics | outside for all requests, inside for the origin's | both may stand at once |
//!
//! A client with most of them:
//!
//! ```rust,ignore
//! let client = ServiceBuilder::new()
//!     .layer(TraceLayer::new_for_http())
//!     .layer(AddAuthorizationLayer::bearer("token"))
//!     .layer(CacheLayer::private(Memory::default()))
//!     .layer(TimeoutLayer::new(Duration::from_secs(10)))
//!     .layer(ConcurrencyLimitLayer::new(100))
//!     .layer(DecompressionLayer::new())
//!     .service(client);
//! ```
//!
//! And a server, from the inside out:
//!
//! ```rust,ignore
//! let app = Router::new()
//!     .route("/report", get(async || "slow to make, ".repeat(20)))
//!     .route("/moved", get(async || Redirect::permanent("/report")))
//!     .layer(CatchPanicLayer::new())
//!     .layer(ServerTimeoutLayer::with_status_code(
//!         StatusCode::GATEWAY_TIMEOUT,
//!         Duration::from_secs(10),
//!     ))
//!     .layer(layer)
//!     .layer(CompressionLayer::new())
//!     .layer(CorsLayer::permissive())
//!     .layer(TraceLayer::new_for_http());
//! ```
//!
//! # Redirects
//!
//! Where they are followed *inside* (by reqwest itself, or a `FollowRedirectLayer` behind this one), the cache sees the
//! first URL and the last answer. The first URL is a hit afterwards; the other hops are unknown to it, and so is, on a hit,
//! where the answer came from.
//!
//! Where they are followed *outside*, each hop is a request of its own. Each is a hit afterwards, from wherever one
//! begins, as far as its response is kept: redirects are so where their statuses are named, or, under the HTTP rules,
//! where they say for how long.
//!
//! ```rust,ignore
//! let layer = CacheLayer::private(Memory::default()).statuses([
//!     StatusCode::OK,
//!     StatusCode::MOVED_PERMANENTLY,
//!     StatusCode::PERMANENT_REDIRECT,
//! ])?;
//! let client = ServiceBuilder::new()
//!     .layer(FollowRedirectLayer::new())
//!     .layer(layer.clone())
//!     .service(client);
//! ```
//!
//! tower-http's layer hands the extensions of a request on to the hops of the same origin:
//! [`CacheOptions`](crate::CacheOptions) hold for each of them. One that names a [key](crate::CacheOptions::key) would have
//! the first redirect answer for every hop; `preserve_extensions(false)` leaves it to the first.
