//! Retries of a [reqwest](https://docs.rs/reqwest) client with a cache: behind the cache by
//! tower, and around the cache by a loop.
//!
//! ```sh
//! cargo run -p reqwest-client --bin retries
//! ```

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::StatusCode, routing::get};
use larder::{BoxError, Cache, CacheLayer, CacheOptions, CacheStatus, RequestBody, store::Memory};
use reqwest::{Body, Client, RequestBuilder, Response};
use tokio::time::{Sleep, sleep};
use tower::{
    ServiceBuilder,
    retry::{Policy, Retry},
    util::MapRequest,
};
use tower_reqwest::{HttpClientLayer, HttpClientService};

type CachedClient = Cache<MapRequest<HttpClientService<Retrying>, OwnBody>, Memory>;
type Retrying = Retry<Retries, Client>;
type OwnBody = fn(http::Request<RequestBody<Body>>) -> http::Request<Body>;

fn cached(client: Client, layer: CacheLayer<Memory>) -> CachedClient {
    let own_body: OwnBody = |request| request.map(|body| body.into_inner_or_else(Body::wrap));
    ServiceBuilder::new()
        .layer(layer)
        .map_request(own_body)
        .layer(HttpClientLayer)
        .retry(Retries { left: 2 })
        .service(client)
}

/// Tries again after errors and server errors.
#[derive(Clone)]
struct Retries {
    left: u32,
}

impl Policy<reqwest::Request, Response, reqwest::Error> for Retries {
    type Future = Sleep;

    fn retry(
        &mut self,
        _: &mut reqwest::Request,
        result: &mut Result<Response, reqwest::Error>,
    ) -> Option<Sleep> {
        if result.as_ref().is_ok_and(|response| !response.status().is_server_error()) {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        Some(sleep(Duration::from_millis(100)))
    }

    fn clone_request(&mut self, request: &reqwest::Request) -> Option<reqwest::Request> {
        request.try_clone()
    }
}

/// Tries again around the cache: each attempt is a request to it.
async fn send(http: &CachedClient, request: RequestBuilder) -> Result<Response, BoxError> {
    let mut options = CacheOptions::new();
    let mut left = 2;
    loop {
        let attempt = request.try_clone().ok_or("a streaming body can be sent only once")?;
        let mut attempt = http::Request::try_from(attempt.build()?)?;
        attempt.extensions_mut().insert(options.clone());
        match http.request(attempt).await {
            Ok(response) if !response.status().is_server_error() || left == 0 => {
                return Ok(response.map(Body::wrap).into());
            }
            Err(error) if left == 0 => return Err(error.into()),
            _ => left -= 1,
        }
        // The next attempt calls the server even if this failure is stored.
        options = options.refresh(true);
        sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url = start_server().await?;
    let client = Client::new();
    // Failures are stored too.
    let layer = CacheLayer::private(Memory::default())
        .expire_statuses([(StatusCode::SERVICE_UNAVAILABLE, Duration::from_secs(60))])?;
    let http = cached(client.clone(), layer);
    // Two retries behind the cache get the third answer. The fourth needs one around it.
    for path in ["/third", "/third", "/fourth", "/fourth"] {
        let response = send(&http, client.get(format!("{url}{path}"))).await?;
        let cache = response.extensions().get::<CacheStatus>().ok_or("no cache")?.outcome();
        println!("{path} {cache}, answer {}", response.error_for_status()?.text().await?);
    }
    Ok(())
}

/// Starts a server whose answer is its number. `/third` fails before the third, and so on.
async fn start_server() -> std::io::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let failing = |until: u64| {
        let calls = Arc::new(AtomicU64::new(0));
        get(async move || match calls.fetch_add(1, Ordering::Relaxed) + 1 {
            call if call < until => Err(StatusCode::SERVICE_UNAVAILABLE),
            call => Ok(call.to_string()),
        })
    };
    let routes = Router::new().route("/third", failing(3)).route("/fourth", failing(4));
    tokio::spawn(axum::serve(listener, routes).into_future());
    Ok(url)
}
