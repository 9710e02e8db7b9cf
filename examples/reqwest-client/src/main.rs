//! A cached [reqwest](https://docs.rs/reqwest) client.
//!
//! ```sh
//! cargo run -p reqwest-client
//! ```

use axum::{Router, routing};
use http::Request;
use larder::{BoxError, CacheLayer, CacheStatus, RequestBody, store::Memory};
use tower::{ServiceBuilder, ServiceExt};
use tower_reqwest::HttpClientLayer;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let origin = start_server().await?;

    // `HttpClientLayer` makes the client a service, and `map_request` gives it bodies of its type.
    let client = ServiceBuilder::new()
        .layer(CacheLayer::private(Memory::default()))
        .map_request(|request: Request<RequestBody<_>>| {
            request.map(|body| body.into_inner_or_else(reqwest::Body::wrap))
        })
        .layer(HttpClientLayer)
        .service(reqwest::Client::new());

    for _ in 0..2 {
        let request = Request::get(format!("{origin}/answer")).body(reqwest::Body::default())?;
        let response = client.clone().oneshot(request).await?;
        // Back to reqwest's own response, for `json`, `text`, `error_for_status` and the like.
        let response = reqwest::Response::from(response.map(reqwest::Body::wrap));
        let cache = response.extensions().get::<CacheStatus>().map(CacheStatus::outcome);
        let outcome = cache.ok_or("no cache")?.to_string();
        let answer: u32 = response.error_for_status()?.json().await?;
        println!("{answer}  {outcome}");
    }
    Ok(())
}

/// A server on this machine, to be asked.
async fn start_server() -> std::io::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let routes = Router::new().route("/answer", routing::get(async || "42"));
    tokio::spawn(axum::serve(listener, routes).into_future());
    Ok(origin)
}
