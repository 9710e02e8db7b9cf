//! The number of store reads for a request: one for the variant under the primary key, and two for
//! another variant. A `HEAD` takes one more if no response to a `GET` is stored.

#![allow(dead_code)]

use std::{
    convert::Infallible,
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use larder::{
    CacheLayer, CacheStatus, Key, Outcome,
    entry::Head,
    store::{Hit, Result, Store, Version},
    time::{ManualClock, Timestamp},
};
use tower::{Layer, ServiceExt};

/// A store that counts its reads.
#[derive(Clone, Debug)]
struct Counting<S> {
    store: S,
    reads: Arc<AtomicU64>,
}

impl<S: Store> Store for Counting<S> {
    type Writer = S::Writer;

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.store.get(key).await
    }

    async fn put(&self, key: &Key, head: Head) -> Result<Self::Writer> {
        self.store.put(key, head).await
    }

    async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        self.store.update(key, seen, head).await
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        self.store.remove(key).await
    }

    async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
        self.store.remove_if(key, seen).await
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
        self.store.remove_expired(now).await
    }

    async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        self.store.remove_tagged(tag).await
    }
}

/// Whether a request was a hit, and the number of its reads.
type Cost = (bool, u64);

/// Requests variants of a response over an empty store, and checks the reads of each request.
pub(crate) async fn are_counted(store: impl Store) {
    let reads = Arc::new(AtomicU64::new(0));
    // The current time, because servers remove expired entries by their own clock.
    let clock = ManualClock::new(std::time::SystemTime::now().into());
    let layer = CacheLayer::private(Counting { store, reads: reads.clone() })
        .expire_after(Duration::from_secs(3600))
        .clock(clock.clone());
    let origin = tower::service_fn(|request: Request<_>| async move {
        let headers: &HeaderMap = request.headers();
        let vary = if request.uri().path() == "/plain" { "host" } else { "accept-encoding" };
        let coding = headers.get("accept-encoding").map_or(&[][..], |value| value.as_bytes());
        let body = if request.method() == Method::HEAD { &[][..] } else { coding };
        let response =
            Response::builder().header("vary", vary).body(Full::new(Bytes::copy_from_slice(body)));
        Ok::<_, Infallible>(response.unwrap())
    });
    let cache = layer.layer(origin);
    let ask = async |method: Method, path: &str, coding: &str| -> Cost {
        reads.store(0, Ordering::SeqCst);
        let request =
            Request::builder().method(method.clone()).uri(format!("http://example.com{path}"));
        let request = request.header("accept-encoding", coding).header("host", "example.com");
        let response =
            cache.clone().oneshot(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
        let status: &CacheStatus = response.extensions().get().unwrap();
        let is_hit = status.outcome() == Outcome::Hit;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(method == Method::HEAD || body == coding, "the variant of {coding}");
        (is_hit, mem::take(&mut reads.fetch_and(0, Ordering::SeqCst)))
    };
    let (get, head) = (|| Method::GET, || Method::HEAD);

    assert_eq!(ask(get(), "/", "gzip").await, (false, 1), "the store is empty");
    assert_eq!(ask(get(), "/", "gzip").await, (true, 1), "the resident is a hit");
    assert_eq!(
        ask(get(), "/", "br").await,
        (false, 2),
        "one to look up, and one to update the resident"
    );
    assert_eq!(ask(get(), "/", "br").await, (true, 2), "another variant");
    assert_eq!(
        ask(get(), "/", "zstd").await,
        (false, 3),
        "one more to check that the resident is still there"
    );
    for _ in 0..2 {
        assert_eq!(ask(get(), "/", "gzip").await, (true, 1));
        assert_eq!(ask(get(), "/", "br").await, (true, 2));
        assert_eq!(ask(get(), "/", "zstd").await, (true, 2));
    }

    assert_eq!(ask(head(), "/", "gzip").await, (true, 1), "the response to a GET answers a HEAD");
    assert_eq!(ask(head(), "/", "br").await, (true, 2));
    assert_eq!(ask(head(), "/head", "gzip").await, (false, 2));
    assert_eq!(
        ask(head(), "/head", "gzip").await,
        (true, 2),
        "a response to a HEAD, without one to a GET"
    );
    assert_eq!(ask(head(), "/head", "br").await, (false, 3));
    assert_eq!(ask(head(), "/head", "br").await, (true, 3));
}
