//! Hits and misses, each compared with its floor in the same run.
//!
//! `cargo bench --bench hit` prints divan's measurements, including allocations. After that, it
//! prints one line for each case with the ratio of the cache to its floor. The ratios are medians
//! of alternating batches, so that both run on the same machine in the same state. With `--
//! --test`, each case runs once.
//!
//! The floors are:
//! - for memory, a plain service that formats a string key, looks it up in quick_cache and clones
//!   the head;
//! - for redb, a raw read of the same bytes, in place or behind `spawn_blocking`, and raw puts that
//!   are not synced;
//! - for additions to a memory hit (the HTTP rules, a tier behind the memory), the memory hit
//!   itself.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{Arc, LazyLock, Mutex},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use divan::{AllocProfiler, Bencher, black_box};
use futures_util::future::join_all;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use larder::{
    Cache, CacheLayer, RequestBody,
    store::{Memory, Redb, Store, Tiered, redb::Reads},
};
use redb::{Database, ReadableDatabase, TableDefinition};
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service};

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const SIZES: [usize; 3] = [200, 10 * 1024, 1024 * 1024];
/// How many responses are stored at once where the writer thread can group them.
const GROUP: usize = 64;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().enable_all().build().expect("a runtime"));

fn main() {
    // Every store is made on the runtime, and the process ends without unwinding it.
    let _entered = RUNTIME.enter();
    divan::main();
    if !std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        ratios();
    }
}

// ===== The services =====

type Call = Request<Full<Bytes>>;
type Answer = Response<Full<Bytes>>;

#[derive(Clone)]
struct Origin(Bytes);

impl Service<Request<RequestBody<Full<Bytes>>>> for Origin {
    type Response = Answer;
    type Error = Infallible;
    type Future = Ready<Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<RequestBody<Full<Bytes>>>) -> Self::Future {
        ready(Ok(answer(self.0.clone())))
    }
}

/// The inner service alone: the floor of a miss.
#[derive(Clone)]
struct Uncached(Origin);

impl Service<Call> for Uncached {
    type Response = Answer;
    type Error = Infallible;
    type Future = Ready<Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Call) -> Self::Future {
        self.0.call(request.map(|_| RequestBody::default()))
    }
}

fn answer(body: Bytes) -> Answer {
    Response::builder()
        .header("content-type", "application/json")
        // Fresh for the HTTP rules, whenever this runs.
        .header("cache-control", "public, max-age=2147483648")
        .header("etag", "\"0123456789abcdef\"")
        .header("date", "Sun, 06 Nov 1994 08:49:37 GMT")
        .header("server", "origin")
        .body(Full::new(body))
        .expect("a valid response")
}

fn request(item: usize) -> Call {
    Request::get(format!("http://example.com/api/items/{item}?page=1&limit=50"))
        .header("accept", "application/json")
        .header("user-agent", "bench")
        .body(Full::default())
        .expect("a valid request")
}

/// One call, its body read to the end.
async fn call<S, B>(service: &mut S, request: Call) -> usize
where
    S: Service<Call, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes> + Unpin,
{
    let Ok(response) = service.call(request).await;
    let (mut body, mut len) = (response.into_body(), 0);
    while let Some(Ok(frame)) = body.frame().await {
        len += frame.data_ref().map_or(0, Bytes::len);
    }
    len
}

fn cached<B: Store>(store: B, size: usize) -> Cache<Origin, B> {
    CacheLayer::private(store).layer(Origin(vec![b'x'; size].into()))
}

/// A cache that goes by the HTTP rules, whose item 0 is stored.
fn warm_by_rules<B: Store>(store: B, size: usize) -> Cache<Origin, B> {
    let mut cached = CacheLayer::private(store).http_rules().layer(Origin(vec![b'x'; size].into()));
    RUNTIME.block_on(call(&mut cached, request(0)));
    cached
}

/// A memory store in front of another, as it is when the entry has been asked for before.
fn tiered() -> Tiered<Memory, Memory> {
    Tiered::new(Memory::default(), Memory::default())
}

/// A cache whose item 0 is stored.
fn warm<B: Store>(store: B, size: usize) -> Cache<Origin, B> {
    let mut cached = cached(store, size);
    RUNTIME.block_on(call(&mut cached, request(0)));
    cached
}

/// The floor of a memory hit.
#[derive(Clone)]
struct Floor(Arc<quick_cache::sync::Cache<String, (Arc<HeaderMap>, Bytes)>>);

impl Floor {
    fn new(size: usize) -> Self {
        let cache = quick_cache::sync::Cache::new(1000);
        let (head, _) = answer(Bytes::new()).into_parts();
        cache.insert(Self::key(&request(0)), (Arc::new(head.headers), vec![b'x'; size].into()));
        Self(Arc::new(cache))
    }

    fn key(request: &Call) -> String {
        format!("{} {}", request.method(), request.uri())
    }
}

impl Service<Call> for Floor {
    type Response = Answer;
    type Error = Infallible;
    type Future = Ready<Result<Answer, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Call) -> Self::Future {
        let (headers, body) = self.0.get(&Self::key(&request)).expect("it was put there");
        let mut response = Response::new(Full::new(body));
        *response.headers_mut() = (*headers).clone();
        ready(Ok(response))
    }
}

// ===== redb without the cache =====

const RAW: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("raw");

#[derive(Clone)]
struct Raw(Arc<(Database, tempfile::TempDir)>);

impl Raw {
    fn new(size: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let database = Database::builder()
            .set_cache_size(16 * 1024 * 1024)
            .create(folder.path().join("raw.redb"))
            .expect("a database");
        let raw = Self(Arc::new((database, folder)));
        raw.put(0, &vec![b'x'; size]);
        raw
    }

    fn put(&self, item: u64, value: &[u8]) {
        let mut transaction = self.0.0.begin_write().expect("a transaction");
        transaction.set_durability(redb::Durability::None).expect("no savepoints");
        // Scattered over the tree, as digests are; item 0 is all zeros.
        let mut key = [0; 32];
        key[..8].copy_from_slice(&item.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
        transaction.open_table(RAW).expect("a table").insert(&key, value).expect("room");
        transaction.commit().expect("a commit");
    }

    fn get(&self) -> Bytes {
        let transaction = self.0.0.begin_read().expect("a transaction");
        let table = transaction.open_table(RAW).expect("a table");
        let value = table.get(&[0; 32]).expect("a read").expect("it was put there");
        Bytes::copy_from_slice(value.value())
    }

    async fn get_behind_a_hop(&self) -> Bytes {
        let raw = self.clone();
        tokio::task::spawn_blocking(move || raw.get()).await.expect("no panic")
    }
}

fn redb_at(reads: Reads) -> Redb {
    static FOLDER: Mutex<Vec<tempfile::TempDir>> = Mutex::new(Vec::new());
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("cache.redb");
    FOLDER.lock().expect("no panic").push(folder);
    Redb::builder(path).reads(reads).open().expect("a database")
}

// ===== What divan measures =====

/// Runs `call` on the current thread, its input made outside the measured time.
fn hits<S>(bencher: Bencher<'_, '_>, service: S, call: impl AsyncFn(&mut S, Call) -> usize)
where
    S: Clone,
{
    let service = Mutex::new(service);
    bencher.with_inputs(|| request(0)).bench_local_values(|request| {
        let mut service = service.lock().expect("no panic").clone();
        RUNTIME.block_on(call(&mut service, request))
    });
}

#[divan::bench]
fn bare_inner_service(bencher: Bencher<'_, '_>) {
    hits(bencher, Uncached(Origin(Bytes::from_static(b"body"))), call);
}

#[divan::bench]
fn quick_cache_get(bencher: Bencher<'_, '_>) {
    let (floor, key) = (Floor::new(SIZES[1]), Floor::key(&request(0)));
    bencher.bench_local(|| floor.0.get(&key));
}

#[divan::bench(args = SIZES)]
fn memory_floor(bencher: Bencher<'_, '_>, size: usize) {
    hits(bencher, Floor::new(size), call);
}

#[divan::bench(args = SIZES)]
fn memory_hit(bencher: Bencher<'_, '_>, size: usize) {
    hits(bencher, warm(Memory::default(), size), call);
}

#[divan::bench(args = SIZES)]
fn memory_hit_by_http_rules(bencher: Bencher<'_, '_>, size: usize) {
    hits(bencher, warm_by_rules(Memory::default(), size), call);
}

#[divan::bench(args = SIZES)]
fn tiered_hit(bencher: Bencher<'_, '_>, size: usize) {
    hits(bencher, warm(tiered(), size), call);
}

/// Each call asks for something else, so each is a miss that is stored.
#[divan::bench(args = SIZES)]
fn memory_miss(bencher: Bencher<'_, '_>, size: usize) {
    misses(bencher, cached(Memory::default(), size));
}

#[divan::bench(args = SIZES)]
fn redb_miss(bencher: Bencher<'_, '_>, size: usize) {
    misses(bencher, cached(redb_at(Reads::InPlace), size));
}

fn misses<B: Store>(bencher: Bencher<'_, '_>, mut cached: Cache<Origin, B>) {
    let mut item = 0;
    bencher
        .with_inputs(|| {
            item += 1;
            request(item)
        })
        .bench_local_values(|request| RUNTIME.block_on(call(&mut cached, request)));
}

#[divan::bench(args = SIZES)]
fn redb_floor_in_place(bencher: Bencher<'_, '_>, size: usize) {
    let raw = Raw::new(size);
    bencher.bench_local(|| raw.get());
}

#[divan::bench(args = SIZES)]
fn redb_hit_in_place(bencher: Bencher<'_, '_>, size: usize) {
    hits(bencher, warm(redb_at(Reads::InPlace), size), call);
}

#[divan::bench(args = SIZES)]
fn redb_hit_by_default(bencher: Bencher<'_, '_>, size: usize) {
    hits(bencher, warm(redb_at(Reads::Adaptive), size), call);
}

#[divan::bench(args = SIZES)]
fn redb_hit_behind_a_hop(bencher: Bencher<'_, '_>, size: usize) {
    hits(bencher, warm(redb_at(Reads::OffThread), size), call);
}

// ===== Ratios =====

/// The medians of two kinds of alternating batches, per call. The requests are created outside the
/// measured time.
fn turns(
    runs: usize,
    mut request: impl FnMut() -> Call,
    mut floor: impl FnMut(Vec<Call>),
    mut ours: impl FnMut(Vec<Call>),
) -> (Duration, Duration) {
    const BATCHES: usize = 41;
    let mut times = [Vec::new(), Vec::new()];
    for _ in 0..BATCHES {
        for (times, batch) in
            times.iter_mut().zip([&mut floor as &mut dyn FnMut(Vec<Call>), &mut ours])
        {
            let requests = (0..runs).map(|_| request()).collect();
            let start = Instant::now();
            batch(requests);
            times.push(start.elapsed() / runs as u32);
        }
    }
    let [floor, ours] = times.map(|mut times| {
        times.sort();
        times[BATCHES / 2]
    });
    (floor, ours)
}

fn report(case: &str, (floor, ours): (Duration, Duration)) {
    let ratio = ours.as_secs_f64() / floor.as_secs_f64();
    println!("{case:<48} floor {floor:>9.2?}   larder {ours:>9.2?}   ratio {ratio:>5.2}");
}

/// Calls `service` with one request after the other.
fn one_by_one<S, B>(service: &mut S, requests: Vec<Call>)
where
    S: Service<Call, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes> + Unpin,
{
    RUNTIME.block_on(async {
        for request in requests {
            black_box(call(service, request).await);
        }
    });
}

fn ratios() {
    println!("\nmedians of batches that take turns");
    for size in SIZES {
        let (mut floor, mut ours) = (Floor::new(size), warm(Memory::default(), size));
        let times = turns(
            2_000,
            || request(0),
            |requests| one_by_one(&mut floor, requests),
            |requests| one_by_one(&mut ours, requests),
        );
        report(&format!("memory hit, {size} bytes"), times);

        let mut ours = warm_by_rules(Memory::default(), size);
        let mut plain = warm(Memory::default(), size);
        let times = turns(
            2_000,
            || request(0),
            |requests| one_by_one(&mut plain, requests),
            |requests| one_by_one(&mut ours, requests),
        );
        report(&format!("HTTP rules over time alone, {size} bytes"), times);

        let mut ours = warm(tiered(), size);
        let times = turns(
            2_000,
            || request(0),
            |requests| one_by_one(&mut plain, requests),
            |requests| one_by_one(&mut ours, requests),
        );
        report(&format!("near hit of tiers over memory hit, {size} bytes"), times);
    }
    for size in SIZES {
        let (raw, mut ours) = (Raw::new(size), warm(redb_at(Reads::InPlace), size));
        let runs = if size > 100_000 { 20 } else { 300 };
        let times = turns(
            runs,
            || request(0),
            |requests| requests.iter().for_each(|_| drop(black_box(raw.get()))),
            |requests| one_by_one(&mut ours, requests),
        );
        report(&format!("redb hit in place, {size} bytes"), times);

        let mut ours = warm(redb_at(Reads::Adaptive), size);
        let times = turns(
            runs,
            || request(0),
            |requests| requests.iter().for_each(|_| drop(black_box(raw.get()))),
            |requests| one_by_one(&mut ours, requests),
        );
        report(&format!("redb hit by default, {size} bytes"), times);

        let mut off = warm(redb_at(Reads::OffThread), size);
        let times = turns(
            runs,
            || request(0),
            |requests| one_by_one(&mut ours, requests),
            |requests| one_by_one(&mut off, requests),
        );
        report(&format!("redb hit off the thread over default, {size} bytes"), times);

        let mut ours = off;
        let times = turns(
            runs,
            || request(0),
            |requests| {
                RUNTIME.block_on(async {
                    for _ in requests {
                        black_box(raw.get_behind_a_hop().await);
                    }
                });
            },
            |requests| one_by_one(&mut ours, requests),
        );
        report(&format!("redb hit behind spawn_blocking, {size} bytes"), times);
    }
    let items = || {
        let mut item = 0;
        move || {
            item += 1;
            request(item)
        }
    };
    for size in [200, 10 * 1024] {
        let mut origin = Uncached(Origin(vec![b'x'; size].into()));
        let mut ours = cached(Memory::default(), size);
        let times = turns(
            2_000,
            items(),
            |requests| one_by_one(&mut origin, requests),
            |requests| one_by_one(&mut ours, requests),
        );
        report(&format!("memory miss and store, {size} bytes"), times);

        let (raw, value, mut item) = (Raw::new(size), vec![b'x'; size], 0);
        let ours = cached(redb_at(Reads::InPlace), size);
        let times = turns(
            GROUP,
            items(),
            |requests| {
                for _ in requests {
                    item += 1;
                    raw.put(item, &value);
                }
            },
            |requests| {
                let calls = requests.into_iter().map(|request| {
                    let mut ours = ours.clone();
                    async move { call(&mut ours, request).await }
                });
                black_box(RUNTIME.block_on(join_all(calls)));
            },
        );
        report(&format!("redb miss and store, {GROUP} at once, {size} bytes"), times);
    }
}
