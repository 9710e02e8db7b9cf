//! Removals beside many calls in flight.
//!
//! `cargo bench --bench removal` prints the time of a removal by URL, by key and by tag, and of an
//! unsafe request. It measures each with no call in flight and with 10,000, and prints the ratio of
//! the two. With `-- --test`, it runs once with few calls.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use larder::{Cache, CacheLayer, Entries, Key, RequestBody, store::Memory};
use tokio::{
    runtime::{Builder, Runtime},
    sync::watch,
    task::JoinHandle,
};
use tower::{Layer, Service};

const CALLS: usize = 10_000;
const BATCHES: usize = 40;
const BATCH: usize = 50;

/// Answers an unsafe request at once, and others when the gate opens.
#[derive(Clone)]
struct Origin(watch::Receiver<bool>);

impl Service<Request<RequestBody<Full<Bytes>>>> for Origin {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody<Full<Bytes>>>) -> Self::Future {
        let mut gate = self.0.clone();
        Box::pin(async move {
            if request.method().is_safe() {
                gate.wait_for(|is_open| *is_open).await.expect("the gate is there");
            }
            Ok(Response::new(Full::default()))
        })
    }
}

type Client = Cache<Origin, Memory>;

fn main() {
    let is_test = std::env::args().any(|argument| argument == "--test");
    let (calls, batches) = if is_test { (100, 1) } else { (CALLS, BATCHES) };
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let (gate, opened) = watch::channel(false);
    let layer = CacheLayer::private(Memory::default());
    let (entries, client) = (layer.entries(), layer.layer(Origin(opened)));

    let idle = measure(&runtime, &entries, &client, batches);
    let in_flight = begin(&runtime, &entries, &client, calls);
    let busy = measure(&runtime, &entries, &client, batches);
    gate.send(true).expect("the origin listens");
    runtime.block_on(async {
        for call in in_flight {
            call.await.expect("no call fails");
        }
    });

    println!("one removal, median of batches, with 0 and with {calls} calls in flight");
    for ((name, idle), (_, busy)) in idle.into_iter().zip(busy) {
        let ratio = busy.as_secs_f64() / idle.as_secs_f64();
        let rate = 1.0 / busy.as_secs_f64();
        println!("{name:10} {idle:>9.1?} {busy:>9.1?}  x {ratio:<6.1} {rate:>9.0} per second");
    }
}

/// Begins so many calls, each for a URL of its own.
fn begin(
    runtime: &Runtime,
    entries: &Entries<Memory>,
    client: &Client,
    calls: usize,
) -> Vec<JoinHandle<()>> {
    let waiting = (0..calls).map(|item| {
        let mut client = client.clone();
        runtime.spawn(async move {
            let Ok(_response) = client.call(request("GET", item)).await;
        })
    });
    let waiting = waiting.collect();
    runtime.block_on(async {
        while entries.stats().in_flight < calls as u64 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    waiting
}

/// The time of one removal, in each way. None finds anything.
fn measure(
    runtime: &Runtime,
    entries: &Entries<Memory>,
    client: &Client,
    batches: usize,
) -> [(&'static str, Duration); 4] {
    let key = Key::digest("absent");
    let mut unsafe_client = client.clone();
    let url = time(runtime, batches, async || {
        entries.remove("http://example.com/absent").await.expect("memory does not fail");
    });
    let key = time(runtime, batches, async || {
        entries.remove(key).await.expect("memory does not fail");
    });
    let tag = time(runtime, batches, async || {
        entries.remove_tag("absent").await.expect("memory does not fail");
    });
    let post = time(runtime, batches, async || {
        let Ok(_response) = unsafe_client.call(request("POST", usize::MAX)).await;
    });
    [("URL", url), ("key", key), ("tag", tag), ("POST", post)]
}

fn time(runtime: &Runtime, batches: usize, mut operation: impl AsyncFnMut()) -> Duration {
    let mut times: Vec<Duration> = (0..batches)
        .map(|_| {
            runtime.block_on(async {
                let begun = Instant::now();
                for _ in 0..BATCH {
                    operation().await;
                }
                begun.elapsed() / BATCH as u32
            })
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn request(method: &str, item: usize) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(format!("http://example.com/api/items/{item}"))
        .body(Full::default())
        .expect("a valid request")
}
