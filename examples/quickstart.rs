//! Ten requests to a server that takes a second over each, through a cache on disk.
//!
//! Run it twice: `cargo run --example quickstart`. The first run takes a second, the second none at all.
//! `cargo run --example quickstart -- --fresh` forgets what was stored.
//!
//! Any other store does it as well, with its feature: `cargo run --example quickstart --features sqlite -- --store sqlite`.
//! A colon and a place may follow: `redb:FILE`, `sqlite:FILE`, `redis:URL`, `mongodb:URL`. In `memory` nothing is kept for the second run.

use std::{
    convert::Infallible, env, net::SocketAddr, path::PathBuf, time::Duration, time::Instant,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo};
use larder::{
    BoxError, CacheLayer, CacheStatus,
    store::{AnyStore, Redb},
};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let args: Vec<String> = env::args().skip(1).collect();
    let origin = start_server().await?;

    // The cache: a store, how long, and one line around the client.
    let store = open(args.iter().skip_while(|arg| *arg != "--store").nth(1)).await?;
    let layer = CacheLayer::new(store).expire_after(Duration::from_secs(3600));
    let client = Client::builder(TokioExecutor::new()).build_http();
    let client = ServiceBuilder::new().layer(layer.clone()).service(client);

    if args.iter().any(|arg| arg == "--fresh") {
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
    // Dropping the last handle writes a file out; `close` of the store does the same, and says how it went.
    Ok(())
}

/// The store that is asked for. A program that has but one opens that: `Redb::open("cache.redb")?`.
async fn open(wanted: Option<&String>) -> Result<AnyStore, BoxError> {
    let wanted = wanted.map_or("redb", String::as_str);
    let (name, place) = match wanted.split_once(':') {
        Some((name, rest)) if rest.starts_with("//") => (name, Some(wanted)),
        Some((name, place)) => (name, Some(place)),
        None => (wanted, None),
    };
    let file = |default| place.map_or_else(|| env::temp_dir().join(default), PathBuf::from);
    Ok(match name {
        "redb" => AnyStore::new(Redb::open(file("larder-quickstart.redb"))?),
        #[cfg(feature = "memory")]
        "memory" => AnyStore::new(larder::store::Memory::default()),
        #[cfg(feature = "sqlite")]
        "sqlite" => AnyStore::new(larder::store::Sqlite::open(file("larder-quickstart.db"))?),
        #[cfg(feature = "redis")]
        "redis" => {
            let server = larder::store::Redis::builder(place.unwrap_or("redis://127.0.0.1"));
            AnyStore::new(server.namespace("quickstart:").connect().await?)
        }
        #[cfg(feature = "mongodb")]
        "mongodb" => {
            let server = larder::store::MongoDb::builder(place.unwrap_or("mongodb://127.0.0.1"));
            AnyStore::new(server.namespace("quickstart").connect().await?)
        }
        _ => return Err(format!("no store {name:?}; is it a feature: --features {name}?").into()),
    })
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
