//! Retries of a [reqwest](https://docs.rs/reqwest) client with a cache, by tower: behind the cache,
//! and around it.
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
use reqwest::{Body, Client, Response};
use tokio::time::{Sleep, sleep};
use tower::{
    ServiceBuilder, ServiceExt,
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

/// Tries again around the cache, by tower. Each attempt is a request to the cache.
impl<R> Policy<http::Request<Body>, http::Response<R>, reqwest::Error> for Retries {
    type Future = Sleep;

    fn retry(
        &mut self,
        request: &mut http::Request<Body>,
        result: &mut Result<http::Response<R>, reqwest::Error>,
    ) -> Option<Sleep> {
        if result.as_ref().is_ok_and(|response| !response.status().is_server_error()) {
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        // The next attempt calls the server even if this failure is stored.
        request.extensions_mut().insert(CacheOptions::new().refresh(true));
        Some(sleep(Duration::from_millis(100)))
    }

    fn clone_request(&mut self, request: &http::Request<Body>) -> Option<http::Request<Body>> {
        // A body that streams can be sent only once.
        let mut copy = http::Request::new(request.body().as_bytes()?.to_vec().into());
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = request.uri().clone();
        *copy.headers_mut() = request.headers().clone();
        *copy.extensions_mut() = request.extensions().clone();
        Some(copy)
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
    let around = ServiceBuilder::new().retry(Retries { left: 2 }).service(http);
    // Two retries behind the cache get the third answer. The fourth needs one around it.
    for path in ["/third", "/third", "/fourth", "/fourth"] {
        let request = client.get(format!("{url}{path}")).build()?;
        let response = around.clone().oneshot(http::Request::try_from(request)?).await?;
        let response = Response::from(response.map(Body::wrap));
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
