//! The memory that `Memory` holds and allocates. A counting allocator measures it, so this is a
//! test binary of its own.
//!
//! There is one test, without the harness, because the figures include the allocations of
//! everything else: another test, the harness's own thread, or the buffer in which it collects
//! output.

#![allow(clippy::unwrap_used)]

use std::{alloc::System, convert::Infallible, time::Duration};

use bytes::Bytes;
use cap::Cap;
use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Empty};
use larder::{
    CacheLayer, Key,
    entry::Head,
    store::{ErrorKind, Memory, Store, Writer},
    time::Timestamp,
};
use tower::service_fn;
use tower_layer::Layer;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;
const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("an operation in memory must not wait")
}

fn head(headers: HeaderMap) -> Head {
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.headers = headers;
    Head::new(Method::GET, "http://example.com/", parts, NOW)
}

fn head_of_length(length: Option<u64>) -> Head {
    head(length.map(|length| (http::header::CONTENT_LENGTH, length.into())).into_iter().collect())
}

fn allocated_since(before: usize) -> usize {
    ALLOCATOR.allocated().saturating_sub(before)
}

fn main() {
    // The first line allocates the buffer of the standard output, before anything is measured.
    println!("held and counted bytes:");
    // The test with the largest peak is first, because the allocator knows only the highest peak so
    // far.
    a_large_body_is_in_memory_once();
    refused_body_is_freed();
    deep_request_body_is_not_copied_at_every_level();
    wrong_content_length_reserves_little();
    a_hit_allocates_nothing();
    a_hit_through_the_layer_allocates_little();
    a_miss_allocates_little();
    parsed_fields_are_counted();
    full_store_counts_what_it_holds();
}

fn a_large_body_is_in_memory_once() {
    const LEN: usize = 64 * MIB;
    for length in [None, Some(LEN as u64), Some(1_000), Some(u64::MAX)] {
        let store = Memory::default();
        let before = ALLOCATOR.allocated();
        let mut writer = now(store.put(&Key::digest("large"), head_of_length(length))).unwrap();
        let mut written = 0;
        while written < LEN {
            let chunk = Bytes::from(vec![7; (10_000).min(LEN - written)]);
            written += chunk.len();
            now(writer.write(chunk)).unwrap();
        }
        now(writer.finish(None)).unwrap();
        let held = allocated_since(before);
        let counted = now(store.size_bytes()).unwrap() as usize;
        let peak = ALLOCATOR.max_allocated() - before;
        println!("64 MiB, length {length:?}: {held} held, {counted} counted, {peak} at the peak");
        assert!(held <= counted, "everything that is held must be counted");
        assert!(held < LEN + 128 * KIB, "there must be one copy of the body");
        assert!(peak < LEN + 512 * KIB, "there must never be a second copy of the body");

        let mut body = now(store.get(&Key::digest("large"))).unwrap().unwrap().body;
        let mut read = 0;
        while let Some(chunk) = now(body.chunk()) {
            read += chunk.unwrap().len();
            assert!(allocated_since(before) < held + KIB, "reading must not copy");
        }
        assert_eq!(read, LEN);
        drop(body);
        drop(store);
        assert_eq!(allocated_since(before), 0, "the last handle must take everything with it");
    }
}

fn refused_body_is_freed() {
    let store = Memory::new(8 * MIB as u64);
    let before = ALLOCATOR.allocated();
    let mut writer = now(store.put(&Key::digest("refused"), head_of_length(None))).unwrap();
    let mut most = 0;
    let chunk = Bytes::from(vec![7; 10_000]);
    let error = loop {
        most = most.max(allocated_since(before));
        if let Err(error) = now(writer.write(chunk.clone())) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(most < 8 * MIB, "a writer must not hold more than the store may");
    drop(chunk);
    assert!(allocated_since(before) < 4 * KIB, "a refused body must be freed at once");
}

fn wrong_content_length_reserves_little() {
    let store = Memory::default();
    let before = ALLOCATOR.allocated();
    let mut writer = now(store.put(&Key::digest("lie"), head_of_length(Some(u64::MAX)))).unwrap();
    now(writer.write("a few bytes".into())).unwrap();
    assert!(allocated_since(before) < 260 * KIB, "a length must reserve a segment at most");
    now(writer.finish(None)).unwrap();
    assert!(allocated_since(before) < 4 * KIB, "a short body must take little");
}

fn a_hit_allocates_nothing() {
    let store = Memory::default();
    for len in [0, 1, 10 * KIB, 200 * KIB] {
        let key = Key::digest("hit");
        let mut writer = now(store.put(&key, head_of_length(None))).unwrap();
        now(writer.write(vec![7; len].into())).unwrap();
        now(writer.finish(None)).unwrap();
        let total = ALLOCATOR.total_allocated();
        for _ in 0..1_000 {
            let mut hit = now(store.get(&key)).unwrap().unwrap();
            let chunk = now(hit.body.chunk());
            assert_eq!(chunk.map_or(0, |chunk| chunk.unwrap().len()), len);
        }
        assert_eq!(ALLOCATOR.total_allocated(), total, "a hit of {len} bytes must not allocate");
    }
}

/// A hit allocates its future, a copy of the header map (whose values are shared), and the status
/// in the extensions of the response. Its URL and its `Accept-Encoding` are not copied.
fn a_hit_through_the_layer_allocates_little() {
    let layer = || CacheLayer::private(Memory::default()).expire_after(Duration::from_secs(3600));
    let each = allocated_by_a_hit(layer());
    println!("a hit through the layer allocates {each} bytes");
    assert!(each < 2 * KIB, "a hit must allocate little");
    let normalizing = layer().add_ignored_request_body_fields(["/a/b", "c"]).unwrap();
    assert_eq!(allocated_by_a_hit(normalizing), each, "the request has no body to normalise");
}

/// A miss allocates its futures, its call, a copy of the request, the entry, and the response in
/// flight, which is one allocation with its readers and its queue.
fn a_miss_allocates_little() {
    const MISSES: usize = 1_000;
    let mut stored = HeaderMap::new();
    for name in ["content-type", "etag", "last-modified", "date", "server", "x-request-id"] {
        stored.insert(name, HeaderValue::from_static("some value"));
    }
    stored.insert("vary", HeaderValue::from_static("accept-encoding"));
    let origin = service_fn(move |_| {
        let mut response = Response::new(http_body_util::Full::new(Bytes::from_static(b"body")));
        *response.headers_mut() = stored.clone();
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let layer = CacheLayer::private(Memory::default()).expire_after(Duration::from_secs(3600));
    let service = layer.layer(origin);
    let request = |number| {
        Request::get(format!("http://example.com/a/path?with={number}"))
            .header("host", "example.com")
            .header("accept-encoding", "gzip, deflate, BR")
            .body(Empty::<Bytes>::new())
            .unwrap()
    };
    let requests: Vec<_> = (0..MISSES).map(request).collect();
    let before = ALLOCATOR.total_allocated();
    for request in requests {
        drop(now(service.request(request)).unwrap());
    }
    let each = (ALLOCATOR.total_allocated() - before) / MISSES;
    assert_eq!(now(layer.store().len()).unwrap(), MISSES as u64, "each miss must be stored");
    println!("a miss allocates {each} bytes");
    assert!(each < 11 * KIB, "a miss must allocate little");
}

/// Each object around the large one has its members in the wrong order. A copy at each of the 100
/// levels would make 100 MiB.
fn deep_request_body_is_not_copied_at_every_level() {
    const DEPTH: usize = 100;
    let layer = CacheLayer::private(Memory::default())
        .methods([Method::POST])
        .unwrap()
        .normalize_request_body(true)
        .max_request_body(4 * MIB as u64);
    let origin = service_fn(async |_| Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new())));
    let service = layer.layer(origin);
    let body =
        "{\"b\":".repeat(DEPTH) + "\"" + &"x".repeat(MIB) + "\"" + &",\"a\":1}".repeat(DEPTH);
    let request = Request::post("http://example.com/")
        .header("content-type", "application/json")
        .body(http_body_util::Full::new(Bytes::from(body)))
        .unwrap();
    let before = ALLOCATOR.total_allocated();
    drop(now(service.request(request)).unwrap());
    let allocated = ALLOCATOR.total_allocated() - before;
    println!("a request body of 1 MiB, nested {DEPTH} deep: {allocated} allocated");
    assert!(allocated > MIB, "it must be normalised");
    assert!(allocated < 8 * MIB, "it must be copied only a few times");
}

fn allocated_by_a_hit(layer: CacheLayer<Memory>) -> usize {
    const HITS: usize = 1_000;
    let origin = service_fn(async |_| {
        let response = ["content-type", "etag", "last-modified", "date", "server", "x-request-id"]
            .into_iter()
            .fold(Response::builder(), |response, name| response.header(name, "some value"));
        let response = response.header("vary", "accept-encoding");
        Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap())
    });
    let request = || {
        Request::get("http://example.com/a/path?with=a&query")
            .header("host", "example.com")
            .header("accept-encoding", "gzip, deflate, BR")
            .body(Empty::<Bytes>::new())
            .unwrap()
    };
    let service = layer.layer(origin);
    now(service.request(request())).unwrap();
    let requests: Vec<_> = (0..HITS).map(|_| request()).collect();
    let before = ALLOCATOR.total_allocated();
    for request in requests {
        drop(now(service.request(request)).unwrap());
    }
    let each = (ALLOCATOR.total_allocated() - before) / HITS;
    assert_eq!(layer.stats().hits, HITS as u64);
    each
}

/// Under the HTTP rules, the first hit of an entry parses its fields. The entry stores the result.
fn parsed_fields_are_counted() {
    const ENTRIES: usize = 4_000;
    let before = ALLOCATOR.allocated();
    let layer = CacheLayer::private(Memory::new(32 * MIB as u64)).http_rules();
    let origin = service_fn(async |_| {
        let response = Response::builder().header("cache-control", "max-age=3600");
        Ok::<_, Infallible>(response.body(Empty::<Bytes>::new()).unwrap())
    });
    let request_each = || {
        for number in 0..ENTRIES {
            let request = Request::get(format!("http://example.com/{number}"));
            let request = request.body(Empty::<Bytes>::new()).unwrap();
            let response = now(layer.layer(origin).request(request)).unwrap();
            now(response.into_body().collect()).unwrap();
        }
    };
    request_each();
    let stored = allocated_since(before);
    request_each();
    let held = allocated_since(before);
    let counted = now(layer.store().size_bytes()).unwrap() as usize;
    println!(
        "{ENTRIES} entries: {stored} held before hits, {held} held after hits, {counted} counted"
    );
    assert!(held > stored, "entries must store the parsed fields");
    assert!(held <= counted + 64 * KIB, "the parsed fields must be counted");
}

/// Entries as the network delivers them: the header values and the body are slices of one large
/// read buffer.
fn full_store_counts_what_it_holds() {
    const CAPACITY: usize = 32 * MIB;
    for body_len in [0, 300, 6_000, 90_000, 700_000] {
        let before = ALLOCATOR.allocated();
        let store = Memory::new(CAPACITY as u64);
        for number in 0..2 * CAPACITY / (body_len + 1_500) {
            let mut buffer = Bytes::from(vec![b'v'; 64 * KIB + body_len]);
            let mut headers = HeaderMap::new();
            for name in ["content-type", "etag", "x-request-id", "x-repeated", "x-repeated"] {
                let value = HeaderValue::from_maybe_shared(buffer.split_to(40)).unwrap();
                headers.append(name, value);
            }
            let expires_at = NOW.saturating_add(Duration::from_millis(number as u64));
            let head = head(headers)
                .with_expires_at(Some(expires_at))
                .with_tags(vec![format!("https://example.com/{number}").into()]);
            let key = Key::digest(number.to_le_bytes());
            let mut writer = now(store.put(&key, head)).unwrap();
            now(writer.write(buffer.split_to(body_len))).unwrap();
            now(writer.finish(None)).unwrap();
        }
        let (held, counted) = (allocated_since(before), now(store.size_bytes()).unwrap() as usize);
        let entries = now(store.len()).unwrap();
        println!("{entries} entries with {body_len} bytes: {held} held, {counted} counted");
        assert!(held <= CAPACITY, "a store must not hold more than its capacity");
        // The table also remembers evicted entries. They belong to no entry, but count towards the
        // capacity.
        assert!(held <= counted + CAPACITY / 50, "everything that is held must be counted");
        assert!(held >= counted / 10 * 7, "not much more must be counted than is held");
        assert!(counted >= CAPACITY / 10 * 9, "the capacity must be used");
    }
}
