//! The cache among the layers of [tower](https://docs.rs/tower) and
//! [tower-http](https://docs.rs/tower-http), in a server and in two clients.
//!
//! ```sh
//! cargo run -p layers
//! ```
//!
//! `larder::guide::integrations` lists which layers belong outside of the cache, which inside, and why.

use std::time::Duration;

use axum::{Router, response::Redirect, routing::get};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header::ACCEPT_ENCODING};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use larder::{BoxError, CacheLayer, CacheStatus, store::Memory};
use tokio::net::TcpListener;
use tower::{
    Service, ServiceBuilder, ServiceExt, limit::ConcurrencyLimitLayer, timeout::TimeoutLayer,
};
use tower_http::{
    auth::AddAuthorizationLayer, catch_panic::CatchPanicLayer, compression::CompressionLayer,
    cors::CorsLayer, decompression::DecompressionLayer, follow_redirect::FollowRedirectLayer,
    timeout::TimeoutLayer as ServerTimeoutLayer, trace::TraceLayer,
};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let origin = start_server().await?;

    let client = Client::builder(TokioExecutor::new()).build_http();
    let client = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(AddAuthorizationLayer::bearer("token"))
        .layer(CacheLayer::private(Memory::default()))
        .layer(TimeoutLayer::new(Duration::from_secs(10)))
        .layer(ConcurrencyLimitLayer::new(100))
        .layer(DecompressionLayer::new())
        .service(client);
    for _ in 0..2 {
        ask(client.clone(), Request::get(format!("{origin}/report"))).await?;
    }

    let client = Client::builder(TokioExecutor::new()).build_http();
    // Redirects are stored as well, so a repeated one is a hit.
    let layer = CacheLayer::private(Memory::default()).statuses([
        StatusCode::OK,
        StatusCode::MOVED_PERMANENTLY,
        StatusCode::PERMANENT_REDIRECT,
    ])?;
    let client = ServiceBuilder::new()
        .layer(FollowRedirectLayer::new())
        .layer(layer.clone())
        .service(client);
    for path in ["/moved", "/moved", "/report"] {
        ask(client.clone(), Request::get(format!("{origin}{path}"))).await?;
    }
    println!("{} calls for the redirect and its target", layer.stats().calls);

    // The second client has filled the cache of the server.
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = Request::get(format!("{origin}/report")).header(ACCEPT_ENCODING, "gzip");
    let response = client.oneshot(request.body(Full::default())?).await?;
    let header = |name| response.headers().get(name).map_or(Ok("none"), |value| value.to_str());
    println!(
        "server: {}, content-encoding: {}",
        header("cache-status")?,
        header("content-encoding")?
    );
    Ok(())
}

/// The layers of a server, from the inside out.
fn app() -> Result<Router, BoxError> {
    let layer = CacheLayer::shared(Memory::default())
        .expire_after(Duration::from_secs(60))
        .cache_status_header("larder")?;
    let app = Router::new()
        .route("/report", get(async || "slow to make, ".repeat(20)))
        .route("/moved", get(async || Redirect::permanent("/report")))
        .layer(CatchPanicLayer::new())
        .layer(ServerTimeoutLayer::with_status_code(
            StatusCode::GATEWAY_TIMEOUT,
            Duration::from_secs(10),
        ))
        .layer(layer)
        .layer(CompressionLayer::new())
        .layer(CorsLayer::permissive())
        .layer(TraceLayer::new_for_http());
    Ok(app)
}

/// Starts the server on this machine.
async fn start_server() -> Result<String, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?);
    tokio::spawn(axum::serve(listener, app()?).into_future());
    Ok(origin)
}

/// Sends a request and prints what the client's cache did.
async fn ask<S, B>(client: S, request: http::request::Builder) -> Result<(), BoxError>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body,
    B::Error: Into<BoxError>,
{
    let request = request.body(Full::default())?;
    let path = request.uri().path().to_owned();
    let response = client.oneshot(request).await.map_err(Into::into)?;
    let cache = response.extensions().get::<CacheStatus>().map(CacheStatus::outcome);
    let outcome = cache.ok_or("no cache")?.to_string();
    let body = response.into_body().collect().await.map_err(Into::into)?.to_bytes();
    println!("client: {path:8} {} bytes  {outcome}", body.len());
    Ok(())
}
