//! A client that asks a slow server for the same thing sixty times.

use std::time::{Duration, Instant};

use axum::{Router, routing};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use larder::{BoxError, CacheLayer, store::Redb};
use tokio::{net::TcpListener, time::sleep};
use tower::{ServiceBuilder, ServiceExt};

pub(crate) async fn before() -> Result<(), BoxError> {
    let url = start_server().await?;
    let start = Instant::now();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let client = ServiceBuilder::new().service(client);
    for _ in 0..60 {
        let request = Request::get(&url).body(Empty::<Bytes>::new())?;
        let response = client.clone().oneshot(request).await?;
        let body = response.into_body().collect().await?.to_bytes();
        assert_eq!(body, "slow to make");
    }
    println!("  before: 60 responses in {:.1?}", start.elapsed());
    Ok(())
}

pub(crate) async fn after() -> Result<(), BoxError> {
    let url = start_server().await?;
    let start = Instant::now();
    let client = Client::builder(TokioExecutor::new()).build_http();
    let client = ServiceBuilder::new()
        .layer(CacheLayer::private(Redb::open("http-cache.redb")?))
        .service(client);
    for _ in 0..60 {
        let request = Request::get(&url).body(Empty::<Bytes>::new())?;
        let response = client.clone().oneshot(request).await?;
        let body = response.into_body().collect().await?.to_bytes();
        assert_eq!(body, "slow to make");
    }
    println!("  after: 60 responses in {:.1?}", start.elapsed());
    Ok(())
}

/// Starts a server on this machine that takes its time. Returns a URL of it.
async fn start_server() -> Result<String, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/", listener.local_addr()?);
    let slow = async || {
        sleep(Duration::from_millis(20)).await;
        "slow to make"
    };
    let routes = Router::new().route("/", routing::get(slow));
    tokio::spawn(axum::serve(listener, routes).into_future());
    Ok(url)
}
