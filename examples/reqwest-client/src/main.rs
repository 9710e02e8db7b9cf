//! A [reqwest](https://docs.rs/reqwest) client with a cache, in a struct.
//!
//! ```sh
//! cargo run -p reqwest-client
//! cargo run -p reqwest-client --bin retries
//! ```

use std::time::Duration;

use axum::{
    Json, Router,
    extract::Query,
    routing::{get, post},
};
use http::Method;
use larder::{BoxError, Cache, CacheLayer, Event, RequestBody, store::Memory};
use reqwest::{Body, Client, RequestBuilder, Response, ResponseBuilderExt};
use serde::{Deserialize, Serialize};
use tower::{ServiceBuilder, util::MapRequest};
use tower_reqwest::{HttpClientLayer, HttpClientService};

/// A reqwest client behind a cache.
type CachedClient = Cache<MapRequest<HttpClientService<Client>, OwnBody>, Memory>;
type OwnBody = fn(http::Request<RequestBody<Body>>) -> http::Request<Body>;

fn cached(client: Client, layer: CacheLayer<Memory>) -> CachedClient {
    let own_body: OwnBody = |request| request.map(|body| body.into_inner_or_else(Body::wrap));
    ServiceBuilder::new()
        .layer(layer)
        // The cache sends bodies of its own type. This gives reqwest its type back.
        .map_request(own_body)
        .layer(HttpClientLayer)
        .service(client)
}

struct Api {
    url: String,
    /// Builds requests.
    client: Client,
    /// Sends them.
    http: CachedClient,
}

#[derive(Debug, Deserialize, Serialize)]
struct Item {
    name: String,
}

impl Api {
    fn new(url: String) -> Result<Self, BoxError> {
        let client = Client::new();
        let layer = CacheLayer::private(Memory::default())
            .expire_after(Duration::from_secs(60))
            // A search is a `POST` that changes nothing. Its body is part of the key.
            .methods([Method::GET, Method::HEAD, Method::POST])?
            .add_event_hook(|event| {
                if let Event::Answered { request, code, status, .. } = event {
                    println!("{request} -> {} {}", code.as_u16(), status.outcome());
                }
            });
        Ok(Self { url, http: cached(client.clone(), layer), client })
    }

    /// The error is `reqwest::Error`: the cache adds none.
    async fn send(&self, request: RequestBuilder) -> reqwest::Result<Response> {
        let request = request.build()?;
        // An `http::Response` has no URL. reqwest's has this one, and names it in errors.
        let url = http::Response::builder().url(request.url().clone());
        let mut response = self.http.request(http::Request::try_from(request)?).await?;
        response.extensions_mut().extend(url.extensions_ref().cloned().unwrap_or_default());
        Ok(response.map(Body::wrap).into())
    }

    async fn item(&self, name: &str) -> reqwest::Result<Item> {
        let request = self.client.get(format!("{}/item", self.url)).query(&[("name", name)]);
        self.send(request.bearer_auth("token")).await?.error_for_status()?.json().await
    }

    async fn search(&self, item: &Item) -> reqwest::Result<Vec<Item>> {
        let request = self.client.post(format!("{}/search", self.url)).json(item);
        self.send(request).await?.error_for_status()?.json().await
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let api = Api::new(start_server().await?)?;
    for name in ["tea", "tea", "milk"] {
        let item = api.item(name).await?;
        println!("{item:?}");
        let found = api.search(&item).await?;
        println!("{found:?}");
    }
    Ok(())
}

/// Starts the server that this example calls. It answers with what it was asked for.
async fn start_server() -> std::io::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let routes = Router::new()
        .route("/item", get(async |Query(item): Query<Item>| Json(item)))
        .route("/search", post(async |Json(item): Json<Item>| Json([item])));
    tokio::spawn(axum::serve(listener, routes).into_future());
    Ok(url)
}
