//! An [axum](https://docs.rs/axum) server with cached responses, purged by URL and by tag.
//!
//! ```sh
//! cargo run -p axum-server                               # sends itself requests, and ends
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
    body::{Body, to_bytes},
    extract::{Path, Query, State},
    http::{HeaderMap, Request, StatusCode, header},
    routing::{get, post},
};
use larder::{
    BoxError, CacheLayer, Entries,
    store::{ErrorKind, Memory},
};
use serde::Deserialize;
use tokio::net::TcpListener;
use tower::ServiceExt;

fn cache() -> Result<CacheLayer<Memory>, BoxError> {
    let layer = CacheLayer::shared(Memory::default())
        .expire_after(Duration::from_secs(60))
        // Handlers write the tags of a response into this header.
        .add_tag_headers(["surrogate-key"])?
        // Tells clients what the cache did.
        .cache_status_header("larder")?;
    Ok(layer)
}

fn routes(layer: CacheLayer<Memory>) -> Router {
    let purges = Router::new().route("/purge", post(purge)).with_state(layer.entries());
    Router::new()
        .route("/news/{id}", get(news))
        .route("/login", get(login))
        .route("/me", get(me))
        // The layer caches the routes above it. Of those below it, it caches only `/report`.
        .layer(layer.clone())
        .route("/report", get(made).layer(layer))
        .route("/now", get(made))
        .merge(purges)
}

async fn news(Path(id): Path<u32>) -> ([(&'static str, &'static str); 1], String) {
    ([("surrogate-key", "news")], format!("news {id}, {}", made().await))
}

/// The response sets a cookie, so it is not stored.
async fn login() -> ([(header::HeaderName, &'static str); 1], &'static str) {
    ([(header::SET_COOKIE, "session=alice; HttpOnly")], "welcome")
}

/// The request has a cookie, so it bypasses the cache.
async fn me(headers: HeaderMap) -> Result<String, StatusCode> {
    let cookie = headers.get(header::COOKIE).ok_or(StatusCode::UNAUTHORIZED)?;
    Ok(format!("{cookie:?}, {}", made().await))
}

/// Tells one response from the next.
async fn made() -> String {
    static MADE: AtomicU64 = AtomicU64::new(1);
    format!("made as number {}", MADE.fetch_add(1, Ordering::Relaxed))
}

#[derive(Deserialize)]
struct Purge {
    /// As clients write it, with the host that they name.
    url: Option<String>,
    tag: Option<String>,
}

/// `POST /purge?url=URL` or `POST /purge?tag=TAG`. Add a layer that checks who may do this.
async fn purge(
    State(entries): State<Entries<Memory>>,
    Query(purge): Query<Purge>,
) -> Result<String, (StatusCode, String)> {
    let removed = match (purge.url, purge.tag) {
        (Some(url), None) => entries.remove(&url).await,
        (None, Some(tag)) => entries.remove_tag(&tag).await,
        _ => return Err((StatusCode::BAD_REQUEST, "write ?url=URL or ?tag=TAG".to_owned())),
    };
    let removed = removed.map_err(|error| match error.kind() {
        ErrorKind::Invalid => (StatusCode::BAD_REQUEST, error.to_string()),
        _ => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    })?;
    Ok(format!("{removed} removed"))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let app = routes(cache()?);
    if let Some(address) = std::env::args().skip_while(|arg| arg != "--listen").nth(1) {
        let listener = TcpListener::bind(address).await?;
        println!("at http://{}", listener.local_addr()?);
        return Ok(axum::serve(listener, app).await?);
    }

    for (method, path, cookie) in [
        ("GET", "/news/1", ""),
        ("GET", "/news/1", ""),
        ("GET", "/news/2", ""),
        ("GET", "/report", ""),
        ("GET", "/report", ""),
        ("GET", "/now", ""),
        ("GET", "/login", ""),
        ("GET", "/me", "session=alice"),
        ("POST", "/purge?url=http://localhost/news/1", ""),
        ("GET", "/news/1", ""),
        ("POST", "/purge?tag=news", ""),
        ("GET", "/news/2", ""),
    ] {
        let url = format!("http://localhost{path}");
        let mut request = Request::builder().method(method).uri(url);
        if !cookie.is_empty() {
            request = request.header(header::COOKIE, cookie);
        }
        let response = app.clone().oneshot(request.body(Body::empty())?).await?;
        let (parts, body) = response.into_parts();
        let cache = parts.headers.get("cache-status");
        let cache = cache.map_or(Ok("not cached"), |value| value.to_str())?;
        let body = to_bytes(body, usize::MAX).await?;
        let body = String::from_utf8_lossy(&body);
        println!("{method:4} {path:36} {} {body:36} {cache}", parts.status.as_u16());
    }
    Ok(())
}
