//! What only a server can show: commands, keys and times to live on it, faults of the network and of the server, other
//! processes, a cluster, Sentinels. What every store promises is tested by the conformance suite.

#![cfg(test)]
#![allow(clippy::unwrap_used)]

mod clusters;
mod commands;
mod connections;
mod damage;
mod expiry;
mod faults;
mod processes;
mod round_trips;
mod trips;

#[path = "../../support/child.rs"]
mod child;
#[path = "../../support/entries.rs"]
mod entries;
#[path = "../../support/proxy.rs"]
mod proxy;
#[path = "../../support/reads.rs"]
mod reads;
#[path = "../../support/redis.rs"]
mod servers;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    env,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use futures_util::{StreamExt, future};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use larder::{
    CacheLayer, CacheStatus, Key,
    entry::Head,
    store::{ErrorKind, Redis, Result, Store, Writer, redis::Builder},
    time::Timestamp,
};
use tower::{Layer, ServiceExt};

#[cfg(target_os = "linux")]
use self::child::peak;
use self::{
    child::{CHILD, child},
    entries::{MIB, body, get, head_at, key, mixed, put, read},
    proxy::Proxy,
    servers::{Cluster, Server, any_server, namespace},
};

fn now() -> Timestamp {
    SystemTime::now().into()
}

fn head() -> Head {
    head_at(now())
}

fn tagged(tags: &[&str]) -> Head {
    head().with_tags(tags.iter().map(|&tag| tag.into()).collect())
}

fn expiring(after: Duration) -> Head {
    head().with_expires_at(Some(now().saturating_add(after)))
}

/// Nothing takes so long unless it never comes.
const NEVER: Duration = Duration::from_secs(120);

/// With more time than a busy machine takes, or one that stands still for a while.
fn patient(builder: Builder) -> Builder {
    builder.connect_timeout(NEVER).response_timeout(NEVER)
}

fn builder(server: &Server) -> Builder {
    patient(Redis::builder(server.url()))
}

/// A server of the test's own, and a store on it.
async fn place() -> (Server, Redis) {
    let server = Server::start();
    let store = builder(&server).connect().await.unwrap();
    (server, store)
}

/// Waits until `is_so`.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < NEVER, "{what}: it never came to pass");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Every key on the server, sorted.
fn keys(server: &Server) -> Vec<String> {
    let mut keys: Vec<String> = server.ask(&["KEYS", "*"]);
    keys.sort_unstable();
    keys
}

fn entry_name(key: Key) -> String {
    format!("larder:{{{key}}}")
}

/// The name of the entry's body, or of one that is being written.
fn body_name(server: &Server, key: Key) -> Option<String> {
    let entry = entry_name(key);
    keys(server).into_iter().find(|name| name.len() > entry.len() && name.starts_with(&entry))
}

/// Which commands the server was given meanwhile, and how often, without those of the test.
fn commands(server: &Server) -> BTreeMap<String, u64> {
    let info: String = server.ask(&["INFO", "commandstats"]);
    info.lines()
        .filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="))
        .map(|(name, rest)| (name.to_owned(), rest.split(',').next().unwrap().parse().unwrap()))
        .filter(|(name, _)| {
            !["config|resetstat", "info", "hello", "client|setinfo"].contains(&name.as_str())
        })
        .collect()
}

async fn counted(server: &Server, what: impl Future<Output = ()>) -> BTreeMap<String, u64> {
    server.ask::<String>(&["CONFIG", "RESETSTAT"]);
    what.await;
    commands(server)
}

type Fetched = (bool, Bytes);

/// What is behind the error of a body.
fn cause(error: larder::BodyError) -> String {
    error.into_source().map_or_else(String::new, |source| source.to_string())
}

/// Sends a request through a layer over the store. The origin answers with the path and `len` bytes.
async fn fetch(
    layer: &CacheLayer<Redis>,
    path: u64,
    len: usize,
) -> std::result::Result<Fetched, String> {
    let origin = tower::service_fn(move |request: Request<_>| async move {
        let path: u64 = Request::uri(&request).path()[1..].parse().unwrap();
        let _body: Request<larder::RequestBody<Full<Bytes>>> = request;
        Ok::<_, Infallible>(Response::new(Full::new(body(path, len))))
    });
    let request = Request::get(format!("http://example.com/{path}")).body(Full::default()).unwrap();
    let response = layer.layer(origin).oneshot(request).await.unwrap();
    let hit = response.extensions().get::<CacheStatus>().unwrap().is_from_store();
    let bytes = response.into_body().collect().await.map_err(cause)?.to_bytes();
    Ok((hit, bytes))
}
