//! The cache among the layers of [tower](https://docs.rs/tower) and
//! [tower-http](https://docs.rs/tower-http), in a server and in a client.
//!
//! ```sh
//! cargo run -p layers
//! ```
//!
//! `larder::guide::tower_http` says which layers go outside of the cache, and which inside.

use std::time::Duration;

use axum::{Router, response::Redirect, routing::get};
use bytes::Bytes;
use http::{Request, StatusCode, header::ACCEPT_ENCODING};
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use larder::{BoxError, CacheLayer, CacheStatus, store::Memory};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt, limit::ConcurrencyLimitLayer, timeout::TimeoutLayer};
use tower_http::{
    auth::AddAuthorizationLayer, catch_panic::CatchPanicLayer, compression::CompressionLayer,
    cors::CorsLayer, decompression::DecompressionLayer, follow_redirect::FollowRedirectLayer,
    timeout::TimeoutLayer as ServerTimeoutLayer, trace::TraceLayer,
};

/// A server. On a router, each layer goes around the layers above it.
fn app() -> Result<Router, BoxError> {
    let cache = CacheLayer::shared(Memory::default())
        .expire_after(Duration::from_secs(60))
        .cache_status_header("larder")?;
    let status = StatusCode::GATEWAY_TIMEOUT;
    let timeout = ServerTimeoutLayer::with_status_code(status, Duration::from_secs(10));
    let app = Router::new()
        .route("/report", get(async || "slow to make, ".repeat(20)))
        .route("/moved", get(async || Redirect::permanent("/report")))
        .layer(CatchPanicLayer::new())
        .layer(timeout)
        .layer(cache)
        .layer(CompressionLayer::new())
        .layer(CorsLayer::permissive())
        .layer(TraceLayer::new_for_http());
    Ok(app)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(axum::serve(listener, app()?).into_future());

    // A client. In a `ServiceBuilder`, each layer goes around the layers below it.
    let cache = CacheLayer::private(Memory::default())
        // Each redirect is stored too.
        .statuses([StatusCode::OK, StatusCode::PERMANENT_REDIRECT])?;
    let client = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(AddAuthorizationLayer::bearer("token"))
        .layer(FollowRedirectLayer::new())
        .layer(cache.clone())
        .layer(TimeoutLayer::new(Duration::from_secs(10)))
        .layer(ConcurrencyLimitLayer::new(100))
        .layer(DecompressionLayer::new())
        .service(Client::builder(TokioExecutor::new()).build_http());
    for path in ["/moved", "/moved", "/report"] {
        let request = Request::get(format!("{url}{path}")).body(Full::<Bytes>::default())?;
        let response = client.clone().oneshot(request).await?;
        let outcome = response.extensions().get().map(CacheStatus::outcome).ok_or("no cache")?;
        let body = response.into_body().collect().await?.to_bytes();
        println!("client: {path:8} {} bytes  {outcome}", body.len());
    }
    println!("{} calls for the redirect and its target", cache.stats().calls);

    // The requests above carry a token, so they bypass the server's cache. These do not.
    let plain = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    for _ in 0..2 {
        let request = Request::get(format!("{url}/report")).header(ACCEPT_ENCODING, "gzip");
        let response = plain.request(request.body(Full::default())?).await?;
        let header = |name| response.headers().get(name).map_or(Ok("none"), |it| it.to_str());
        let (cache, encoding) = (header("cache-status")?, header("content-encoding")?);
        println!("server: {cache}, content-encoding: {encoding}");
    }
    Ok(())
}
