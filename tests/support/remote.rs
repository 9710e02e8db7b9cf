//! Helpers for the stores on servers: heads, waiting, and requests through a cache over a store.

#![allow(dead_code)]

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use futures_util::future;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use larder::{
    CacheLayer, CacheStatus,
    entry::Head,
    store::{ErrorKind, Store, Writer},
    time::Timestamp,
};
use tower::{Layer, ServiceExt};

use super::{
    entries::{MIB, body, head_at, key, put},
    proxy::Proxy,
};

/// A time after which a test fails, because what it waits for never comes.
pub(crate) const NEVER: Duration = Duration::from_secs(120);

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

pub(crate) fn head() -> Head {
    head_at(now())
}

pub(crate) fn tagged(tags: &[&str]) -> Head {
    head().with_tags(tags.iter().map(|&tag| tag.into()).collect())
}

pub(crate) fn expiring(after: Duration) -> Head {
    head().with_expires_at(Some(now().saturating_add(after)))
}

/// Waits until `is_so`.
pub(crate) async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let begin = Instant::now();
    while !is_so().await {
        assert!(begin.elapsed() < NEVER, "{what}: it never happened");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a response came from the store, and its body.
type Fetched = (bool, Bytes);

/// The cause of a body's error.
fn cause(error: larder::BodyError) -> String {
    error.into_source().map_or_else(String::new, |source| source.to_string())
}

/// Sends a request through a layer over the store. The origin answers with the path and `len`
/// bytes.
pub(crate) async fn fetch(
    layer: &CacheLayer<impl Store>,
    path: u64,
    len: usize,
) -> Result<Fetched, String> {
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

/// Runs an operation of each kind at the same time while the server cannot be reached.
pub(crate) async fn every_operation_is_refused(store: &impl Store) {
    let (a, b, c, d) = future::join4(
        store.get(&key(1)),
        put(store, key(2), tagged(&["a"]), body(2, 9)),
        store.remove_tagged("a"),
        store.len(),
    )
    .await;
    for error in [a.map(drop), b, c.map(drop), d.map(drop)].map(Result::unwrap_err) {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    }
}

/// Cuts the connections during a write. The entry is then stored as a whole, or not at all. `found`
/// reads the entry afterwards.
pub(crate) async fn entry_of_a_cut_write_is_whole_or_missing<S: Store>(
    store: &S,
    proxy: &Proxy,
    found: impl AsyncFn() -> Option<Bytes>,
) {
    let mut writer = store.put(&key(2), head()).await.unwrap();
    writer.write(body(2, MIB)).await.unwrap();
    proxy.cut();
    let written = match writer.write(body(3, MIB)).await {
        Ok(()) => writer.finish(None).await,
        failed => failed,
    };
    match (written, found().await) {
        (Ok(()), Some(bytes)) => assert_eq!(bytes.len(), 2 * MIB),
        (Err(error), None) => assert_eq!(error.kind(), ErrorKind::Unavailable),
        (written, found) => panic!("{written:?} {:?}", found.map(|bytes| bytes.len())),
    }
}

/// Sends requests from eight tasks. `server` kills the server (`false`) and starts it again
/// (`true`), twice. No request fails, and later requests use the store again.
pub(crate) async fn requests_succeed_while_the_server_is_killed(
    store: impl Store,
    name: &'static str,
    mut server: impl FnMut(bool),
) {
    let layer = CacheLayer::private(store);
    let stop = Arc::new(AtomicBool::new(false));
    let hits = Arc::new(AtomicU64::new(0));
    let load = (0..8).map(|worker| {
        let (layer, stop, hits) = (layer.clone(), stop.clone(), hits.clone());
        tokio::spawn(async move {
            let mut number = worker;
            while !stop.load(SeqCst) {
                // Some bodies are inline, and others in chunks.
                number = (number + 1) % 20;
                let len = if number % 4 == 0 { 900_000 } else { 5_000 };
                match fetch(&layer, number, len).await {
                    Ok((hit, bytes)) => {
                        assert_eq!(bytes, body(number, len), "a wrong body");
                        hits.fetch_add(u64::from(hit), SeqCst);
                    }
                    // If the store goes away during the body of a hit, the body ends in an error,
                    // because the head was already sent.
                    Err(error) => assert!(error.contains(name), "{error}"),
                }
            }
        })
    });
    let load: Vec<_> = load.collect();
    let used = || until("the store is used", async || hits.load(SeqCst) > 50);
    used().await;
    for _ in 0..2 {
        server(false);
        tokio::time::sleep(Duration::from_millis(700)).await;
        tokio::task::block_in_place(|| server(true));
        hits.store(0, SeqCst);
        used().await;
    }
    stop.store(true, SeqCst);
    for worker in load {
        worker.await.unwrap();
    }
}
