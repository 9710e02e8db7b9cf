//! An [axum](https://docs.rs/axum) server whose responses are cached, and purged by URL and by tag.
//!
//! ```sh
//! cargo run -p axum-server                               # sends itself a few requests and ends
//! cargo run -p axum-server -- --listen 127.0.0.1:8080    # serves until it is stopped
//! curl -i http://127.0.0.1:8080/news/1
//! curl -X POST 'http://127.0.0.1:8080/purge?tag=news'
//! ```

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, Query, State},
    http::StatusCode,
    routing::{get, post},
};
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use larder::{
    BoxError, CacheLayer, Entries,
    store::{ErrorKind, Memory},
};
use serde::Deserialize;
use tokio::net::TcpListener;

fn routes(layer: CacheLayer<Memory>) -> Router {
    let purges = Router::new().route("/purge", post(purge)).with_state(layer.entries());
    Router::new()
        .route("/news/{id}", get(news))
        // The layer caches the routes above it. Of those below it, it caches only `/report`.
        .layer(layer.clone())
        .route("/report", get(made).layer(layer))
        .route("/now", get(made))
        .merge(purges)
}

async fn news(Path(id): Path<u32>) -> ([(&'static str, &'static str); 1], String) {
    ([("surrogate-key", "news")], format!("news {id}, {}", made().await))
}

/// Tells one answer from the next.
async fn made() -> String {
    static MADE: AtomicU64 = AtomicU64::new(1);
    format!("made as number {}\n", MADE.fetch_add(1, Ordering::Relaxed))
}

#[derive(Deserialize)]
struct Purge {
    /// As clients write it, with the host that they name.
    url: Option<String>,
    tag: Option<String>,
}

/// `POST /purge?url=URL` or `POST /purge?tag=TAG`. A layer around it has to check who may do so.
async fn purge(
    State(entries): State<Entries<Memory>>,
    Query(purge): Query<Purge>,
) -> Result<String, (StatusCode, String)> {
    let removed = match (purge.url, purge.tag) {
        (Some(url), None) => entries.remove(&url).await,
        (None, Some(tag)) => entries.remove_tag(&tag).await,
        _ => return Err((StatusCode::BAD_REQUEST, "write ?url=URL or ?tag=TAG\n".to_owned())),
    };
    let removed = removed.map_err(|error| match error.kind() {
        ErrorKind::Invalid => (StatusCode::BAD_REQUEST, format!("{error}\n")),
        _ => (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")),
    })?;
    Ok(format!("{removed} removed\n"))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let layer = CacheLayer::shared(Memory::default())
        .expire_after(Duration::from_secs(60))
        .add_tag_headers(["surrogate-key"])?
        .cache_status_header("larder")?;
    let listen = std::env::args().skip_while(|arg| arg != "--listen").nth(1);
    let listener = TcpListener::bind(listen.as_deref().unwrap_or("127.0.0.1:0")).await?;
    let server = format!("http://{}", listener.local_addr()?);
    let serving = axum::serve(listener, routes(layer));
    if listen.is_some() {
        println!("at {server}");
        return Ok(serving.await?);
    }
    tokio::spawn(serving.into_future());

    for path in ["/news/1", "/news/1", "/news/2", "/report", "/report", "/now", "/now"] {
        ask(Method::GET, &server, path).await?;
    }
    ask(Method::POST, &server, &format!("/purge?url={server}/news/1")).await?;
    ask(Method::GET, &server, "/news/1").await?;
    ask(Method::POST, &server, "/purge?tag=news").await?;
    ask(Method::GET, &server, "/news/2").await
}

async fn ask(method: Method, server: &str, path: &str) -> Result<(), BoxError> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let request = Request::builder().method(&method).uri(format!("{server}{path}"));
    let response = client.request(request.body(Empty::<bytes::Bytes>::new())?).await?;
    let cache =
        response.headers().get("cache-status").map_or(Ok("not cached"), |it| it.to_str())?;
    let cache = cache.to_owned();
    let body = response.into_body().collect().await?.to_bytes();
    let body = String::from_utf8_lossy(&body);
    println!("{:<47} {:<25} {cache}", format!("{method} {path}"), body.trim_end());
    Ok(())
}
