//! Ten requests to a server that takes a second over each, through a cache on disk.
//!
//! Run it twice: `cargo run --example quickstart`. The first run takes a second, the second none at all.
//! `cargo run --example quickstart -- --fresh` forgets what was stored.

use std::{convert::Infallible, env, error::Error, net::SocketAddr, time::Duration, time::Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use larder::{CacheLayer, CacheStatus, store::Redb};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let origin = start_server().await?;

    // The cache: a store, how long, and one line around the client.
    let store = Redb::open(env::temp_dir().join("larder-quickstart.redb"))?;
    let layer = CacheLayer::new(store).expire_after(Duration::from_secs(3600));
    let client = Client::builder(TokioExecutor::new()).build_http();
    let client = ServiceBuilder::new().layer(layer.clone()).service(client);

    if env::args().any(|argument| argument == "--fresh") {
        layer.entries().clear().await?;
    }

    let all = Instant::now();
    for number in 1..=10 {
        let one = Instant::now();
        let url = format!("http://{origin}/delay/1");
        let request = Request::get(url).body(Empty::<Bytes>::new())?;
        let response = client.clone().oneshot(request).await?;
        let status = response.status();
        let cache = response.extensions().get::<CacheStatus>().cloned();
        let body = response.into_body().collect().await?.to_bytes();
        let outcome = cache.map_or("no cache".into(), |cache| cache.outcome().to_string());
        println!(
            "{number:>2}  {status}  {:>3} bytes  {:>9.1?}  {outcome}",
            body.len(),
            one.elapsed()
        );
    }
    let stats = layer.stats();
    println!("{} hits, {} misses, {:.1?} in all", stats.hits, stats.misses, all.elapsed());
    // Dropping the last handle writes the file out; `close` does the same, and says how it went.
    layer.store().close().await?;
    Ok(())
}

/// A server on this machine that answers `/delay/N` after N seconds. Its port is always the same, where it is free, since
/// the URL is part of the key; it is none that a system gives to outgoing connections.
async fn start_server() -> std::io::Result<SocketAddr> {
    let listener = match TcpListener::bind("127.0.0.1:17470").await {
        Ok(listener) => listener,
        Err(_taken) => TcpListener::bind("127.0.0.1:0").await?,
    };
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection =
                http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(delay));
            tokio::spawn(connection);
        }
    });
    Ok(address)
}

async fn delay(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let seconds = request.uri().path().strip_prefix("/delay/").and_then(|n| n.parse().ok());
    tokio::time::sleep(Duration::from_secs(seconds.unwrap_or(0))).await;
    Ok(Response::new(Full::new(Bytes::from_static(b"worth waiting for once\n"))))
}
