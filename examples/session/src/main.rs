//! A session like that of Python's requests-cache: a reqwest client with a cache in a SQLite file,
//! in a struct with the methods that a script uses.
//!
//! ```sh
//! cargo run -p session
//! ```

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use axum::Router;
use futures_util::TryStreamExt;
use larder::{
    BoxError, Cache, CacheLayer, CacheOptions, CacheStatus, Expiration, RequestBody, StaleLimit,
    store::{self, Sqlite},
};
use reqwest::{Body, Client, Response, ResponseBuilderExt};
use tower::{ServiceBuilder, util::MapRequest};
use tower_reqwest::{HttpClientLayer, HttpClientService};

/// `requests_cache.CachedSession`
struct Session {
    layer: CacheLayer<Sqlite>,
    client: Client,
    http: CachedClient,
}

type CachedClient = Cache<MapRequest<HttpClientService<Client>, OwnBody>, Sqlite>;
type OwnBody = fn(http::Request<RequestBody<Body>>) -> http::Request<Body>;

fn cached(client: Client, layer: CacheLayer<Sqlite>) -> CachedClient {
    let own_body: OwnBody = |request| request.map(|body| body.into_inner_or_else(Body::wrap));
    ServiceBuilder::new()
        .layer(layer)
        // The cache sends bodies of its own type. This gives reqwest its type back.
        .map_request(own_body)
        .layer(HttpClientLayer)
        .service(client)
}

impl Session {
    fn new(client: Client, layer: CacheLayer<Sqlite>) -> Self {
        Self { http: cached(client.clone(), layer.clone()), layer, client }
    }

    /// `session.get(url)`
    async fn get(&self, url: &str) -> reqwest::Result<Response> {
        self.get_with(url, CacheOptions::new()).await
    }

    /// `session.get(url, expire_after=..., refresh=...)`
    async fn get_with(&self, url: &str, options: CacheOptions) -> reqwest::Result<Response> {
        let request = self.client.get(url).build()?;
        let url = http::Response::builder().url(request.url().clone());
        let mut request = http::Request::try_from(request)?;
        request.extensions_mut().insert(options);
        let mut response = self.http.request(request).await?;
        response.extensions_mut().extend(url.extensions_ref().cloned().unwrap_or_default());
        Ok(response.map(Body::wrap).into())
    }

    /// `with session.cache_disabled():`, until the returned value is dropped.
    #[must_use]
    fn cache_disabled(&self) -> Disabled<'_> {
        self.layer.set_enabled(false);
        Disabled(&self.layer)
    }

    /// `session.cache.urls()`
    async fn urls(&self) -> store::Result<Vec<String>> {
        self.layer.entries().stream().map_ok(|entry| entry.url).try_collect().await
    }
}

struct Disabled<'s>(&'s CacheLayer<Sqlite>);

impl Drop for Disabled<'_> {
    fn drop(&mut self) {
        self.0.set_enabled(true);
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url = start_server().await?;
    // To keep the file between runs: `Sqlite::open("http_cache.sqlite")?`.
    let layer = CacheLayer::private(Sqlite::temporary()?)
        .expire_after(Duration::from_secs(3600))
        .stale_if_error(StaleLimit::Unlimited)
        .add_expire_url("*/live{,/**}", Duration::from_secs(30))?
        .add_expire_url("**/static/**", Expiration::Never)?
        .statuses([200, 404])?
        .add_ignored_parameters(["utm_source"])?
        .add_key_headers(["accept"])?
        .sort_query(true);
    let session = Session::new(Client::new(), layer);

    show("get", session.get(&format!("{url}/page?a=1&b=2")).await?).await?;
    show("the order of parameters", session.get(&format!("{url}/page?b=2&a=1")).await?).await?;
    let refresh = CacheOptions::new().refresh(true);
    show("refresh", session.get_with(&format!("{url}/page?a=1&b=2"), refresh).await?).await?;
    {
        let _disabled = session.cache_disabled();
        show("cache_disabled", session.get(&format!("{url}/page?a=1&b=2")).await?).await?;
    }
    // `session.settings.expire_after = 5`: another session over the same file.
    let shorter = session.layer.clone().expire_after(Duration::from_secs(5));
    let shorter = Session::new(session.client.clone(), shorter);
    show("other settings", shorter.get(&format!("{url}/page?a=1&b=2")).await?).await?;
    println!("{:?}", session.urls().await?);
    Ok(())
}

/// Prints what the cache did. Reading the body stores it.
async fn show(what: &str, response: Response) -> Result<(), BoxError> {
    let status = response.extensions().get::<CacheStatus>().ok_or("no cache")?;
    let (from_cache, age) = (status.is_from_store(), status.age());
    let text = response.error_for_status()?.text().await?;
    println!("{what}: {text}, from_cache: {from_cache}, age: {age:?}");
    Ok(())
}

/// Starts the server that this example calls. It counts its answers.
async fn start_server() -> std::io::Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let routes = Router::new().fallback(async || {
        static ANSWERS: AtomicU64 = AtomicU64::new(1);
        format!("answer {}", ANSWERS.fetch_add(1, Ordering::Relaxed))
    });
    tokio::spawn(axum::serve(listener, routes).into_future());
    Ok(url)
}
