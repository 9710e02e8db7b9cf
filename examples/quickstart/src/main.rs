//! Ten requests to a server that takes a second for each, through a cache on disk.
//!
//! Run it twice. The first run waits for one second, the second run does not wait:
//!
//! ```sh
//! cargo run -p quickstart
//! cargo run -p quickstart -- --fresh                  # removes what is stored first
//! cargo run -p quickstart -- --store redb:cache.redb  # in another file
//! cargo run -p quickstart --features sqlite -- --store sqlite:cache.db
//! cargo run -p quickstart --features files -- --store files:responses
//! ```
//!
//! The other stores are `memory`, which keeps nothing for the second run, `redis://...` with the
//! feature `redis`, and `mongodb://...` with the feature `mongodb`.

use std::{
    convert::Infallible,
    env,
    io::{self, Write},
    net::SocketAddr,
    process::ExitCode,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use larder::{
    BoxError, CacheLayer, CacheStatus,
    store::{AnyStore, Memory, Redb},
};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, ServiceExt};

const STORES: &str =
    "write --store memory, redb:PATH, sqlite:PATH, files:PATH, redis://... or mongodb://...";

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = run().await else { return ExitCode::SUCCESS };
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        line += &format!(": {error}");
        source = error.source();
    }
    // Nobody may read it any more.
    let _ignored = writeln!(io::stderr(), "quickstart: {line}");
    ExitCode::FAILURE
}

async fn run() -> Result<(), BoxError> {
    let mut out = io::stdout();
    let args = env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned());
    let (wanted, is_fresh) = arguments(args)?;
    let origin = start_server(&mut out).await?;

    // The cache: a store, how long it keeps responses, and one line around the client.
    let store = open(wanted.as_deref(), &mut out).await?;
    let layer = CacheLayer::private(store).expire_after(Duration::from_secs(3600));
    let client = Client::builder(TokioExecutor::new()).build_http();
    let client = ServiceBuilder::new().layer(layer.clone()).service(client);

    if is_fresh {
        layer.entries().clear().await?;
    }

    let all = Instant::now();
    for number in 1..=10 {
        let one = Instant::now();
        let url = format!("http://{origin}/delay/1");
        let request = Request::get(url).body(Empty::<Bytes>::new())?;
        let response = client.clone().oneshot(request).await?;
        let status = response.status();
        let cache = response.extensions().get::<CacheStatus>().map(CacheStatus::outcome);
        let outcome = cache.ok_or("no cache")?.to_string();
        let body = response.into_body().collect().await?.to_bytes();
        let (len, time) = (body.len(), one.elapsed());
        writeln!(out, "{number:>2}  {status}  {len:>3} bytes  {time:>9.1?}  {outcome}")?;
    }
    let stats = layer.stats();
    let time = all.elapsed();
    writeln!(out, "{} hits, {} misses, {time:.1?} in all", stats.hits, stats.misses)?;
    // The last handle writes the file out when it is dropped. `close` of the store does the same
    // and returns the error, if there is one.
    Ok(())
}

/// What follows `--store`, and whether `--fresh` is there.
fn arguments(
    mut args: impl Iterator<Item = String>,
) -> Result<(Option<String>, bool), &'static str> {
    let (mut store, mut is_fresh) = (None, false);
    while let Some(arg) = args.next() {
        match &*arg {
            "--fresh" => is_fresh = true,
            "--store" => store = Some(args.next().ok_or(STORES)?),
            _ => return Err("the arguments are --fresh and --store STORE"),
        }
    }
    Ok((store, is_fresh))
}

/// Opens the store that `--store` names, or else a file in the user's cache directory.
///
/// A program with one store needs one line: `Redb::in_cache_dir("my-app")?`.
async fn open(wanted: Option<&str>, out: &mut impl Write) -> Result<AnyStore, BoxError> {
    let Some(wanted) = wanted else {
        let store = Redb::in_cache_dir("larder-quickstart")?;
        writeln!(out, "The cache is {}", store.path().display())?;
        return Ok(AnyStore::new(store));
    };
    let store = match wanted.split_once(':').unwrap_or((wanted, "")) {
        ("memory", "") => AnyStore::new(Memory::default()),
        ("redb", path) if !path.is_empty() => AnyStore::new(Redb::open(path)?),
        #[cfg(feature = "sqlite")]
        ("sqlite", path) if !path.is_empty() => AnyStore::new(larder::store::Sqlite::open(path)?),
        #[cfg(feature = "files")]
        ("files", path) if !path.is_empty() => AnyStore::new(larder::store::Files::open(path)?),
        #[cfg(feature = "redis")]
        ("redis" | "rediss" | "redis+unix", _) => {
            let server = larder::store::Redis::builder(wanted);
            AnyStore::new(server.namespace("quickstart:").connect().await?)
        }
        #[cfg(feature = "mongodb")]
        ("mongodb" | "mongodb+srv", _) => {
            let server = larder::store::MongoDb::builder(wanted);
            AnyStore::new(server.namespace("quickstart").connect().await?)
        }
        (kind, _) => return Err(refuse(kind).into()),
    };
    // A URL may contain a password, so only its scheme is printed.
    match wanted.split_once("://") {
        Some((scheme, _)) => writeln!(out, "The cache is on the {scheme} server")?,
        None => writeln!(out, "The cache is {wanted}")?,
    }
    Ok(store)
}

/// Says which feature is missing, or which forms `--store` takes.
fn refuse(kind: &str) -> String {
    let (feature, form) = match kind {
        "files" => ("files", "files:PATH"),
        "sqlite" => ("sqlite", "sqlite:PATH"),
        "redis" | "rediss" | "redis+unix" => ("redis", "redis://..."),
        "mongodb" | "mongodb+srv" => ("mongodb", "mongodb://..."),
        _ => ("", ""),
    };
    let is_built_in = match feature {
        "files" => cfg!(feature = "files"),
        "sqlite" => cfg!(feature = "sqlite"),
        "redis" => cfg!(feature = "redis"),
        "mongodb" => cfg!(feature = "mongodb"),
        _ => true,
    };
    if is_built_in {
        return STORES.to_owned();
    }
    format!(
        "this program was built without {feature}; write: \
         cargo run -p quickstart --features {feature} -- --store {form}"
    )
}

/// Starts a server on this machine that answers `/delay/N` after N seconds.
///
/// The URL is part of the key, so the port is the same in each run, unless another program has it.
/// Linux, macOS and Windows do not use this port for outgoing connections by default.
async fn start_server(out: &mut impl Write) -> io::Result<SocketAddr> {
    let listener = match TcpListener::bind("127.0.0.1:17470").await {
        Ok(listener) => listener,
        Err(_taken) => {
            writeln!(out, "Port 17470 is taken: the URL is another one, and is not stored yet")?;
            TcpListener::bind("127.0.0.1:0").await?
        }
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
