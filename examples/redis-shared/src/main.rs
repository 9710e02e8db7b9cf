//! Two processes, one cache: what the first has fetched, the second finds.
//!
//! ```sh
//! cargo run -p redis-shared -- --redis redis://127.0.0.1
//! ```

use std::{env, process::Command, time::Duration};

use axum::{Router, routing};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use larder::{BoxError, CacheLayer, CacheStatus, store::Redis};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let flag = |name| env::args().skip_while(move |arg| arg != name).nth(1);
    let redis = flag("--redis").unwrap_or_else(|| "redis://127.0.0.1".to_owned());
    if let Some(url) = flag("--ask") {
        return ask(&redis, &url).await;
    }

    // Both processes send requests to this server. Its port is new, so no earlier run has stored
    // its URL.
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/report", listener.local_addr()?);
    let routes = Router::new().route("/report", routing::get(async || "slow to make"));
    tokio::spawn(axum::serve(listener, routes).into_future());

    ask(&redis, &url).await?;
    let program = env::current_exe()?;
    let second = tokio::task::spawn_blocking(move || {
        Command::new(program).args(["--redis", &redis, "--ask", &url]).status()
    });
    match second.await?? {
        status if status.success() => Ok(()),
        status => Err(format!("the second process: {status}").into()),
    }
}

async fn ask(redis: &str, url: &str) -> Result<(), BoxError> {
    let store = Redis::builder(redis).namespace("redis-shared:").connect().await?;
    let client = ServiceBuilder::new()
        .layer(CacheLayer::private(store.clone()).expire_after(Duration::from_secs(60)))
        .service(Client::builder(TokioExecutor::new()).build_http());
    let request = Request::get(url).body(Empty::<Bytes>::new())?;
    let response = client.oneshot(request).await?;
    let cache = response.extensions().get::<CacheStatus>().map(CacheStatus::outcome);
    let outcome = cache.ok_or("no cache")?.to_string();
    let body = response.into_body().collect().await?.to_bytes();
    println!("process {}: {outcome}, {} bytes", std::process::id(), body.len());
    Ok(())
}
