//! What the cache reports: the extension on every response, the `Cache-Status` field, and the
//! counters.

use std::{pin::pin, time::Duration};

use futures_util::FutureExt;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use larder::{
    CacheOptions, CacheStatus, Expiration, Outcome, Stored,
    status::{Bypass, Miss, Refusal},
    store::{ErrorKind, Memory},
};

use crate::support::{
    Broken, Double, Faulty, Op, Reply, Stand, T0, channel, empty, frames, get, line, ok, soon, url,
    with,
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn every_miss_has_a_reason() {
    let store = Faulty::new(Memory::default());
    let stand = Stand::over(store.clone(), Double::new(|_, _| line(ok("x"), "vary", "x-a")))
        .with(|layer| layer.expire_after(SECOND));
    let get = |value| get("/").header("x-a", value);
    let outcome = async |request| stand.ask(request).await.outcome();
    assert_eq!(outcome(get("1")).await, Outcome::Miss(Miss::Absent));
    assert_eq!(outcome(get("1")).await, Outcome::Hit);
    assert_eq!(outcome(get("2")).await, Outcome::Miss(Miss::Variant));
    let refresh = get("1").extension(CacheOptions::new().refresh(true));
    assert_eq!(outcome(refresh).await, Outcome::Miss(Miss::Refresh));
    stand.clock.advance(SECOND);
    assert_eq!(outcome(get("1")).await, Outcome::Miss(Miss::Expired));
    store.fail(Op::Get, ErrorKind::Unavailable);
    let failed = Outcome::Miss(Miss::StoreFailed(ErrorKind::Unavailable));
    assert_eq!(outcome(get("1")).await, failed);
    store.fail(Op::Get, ErrorKind::Corrupt);
    assert_eq!(outcome(get("1")).await, Outcome::Miss(Miss::Corrupt));
}

#[tokio::test]
async fn every_bypass_has_a_reason() {
    let stand = Stand::new(Double::counting())
        .with(|layer| layer.methods([Method::GET, Method::PUT]).unwrap().max_request_body(2));
    let bypassed = async |request, body: &'static str| {
        let reply = stand.send(request, body).await;
        assert_eq!(reply.cache.key(), None);
        assert_eq!(reply.stored(), Stored::No(Refusal::Bypassed));
        match reply.outcome() {
            Outcome::Bypass(reason) => reason,
            other => panic!("no bypass: {other}"),
        }
    };
    let requested = with(CacheOptions::new().bypass(true));
    assert_eq!(bypassed(requested, "").await, Bypass::Requested);
    assert_eq!(bypassed(Request::post(url("/")), "").await, Bypass::Method);
    assert_eq!(bypassed(get("/").header("range", "bytes=0-"), "").await, Bypass::Range);
    assert_eq!(bypassed(get("/").header("upgrade", "x"), "").await, Bypass::Upgrade);
    assert_eq!(bypassed(get("/").header("if-match", "x"), "").await, Bypass::Precondition);
    let no_host = Request::get("/").header("host", "no host");
    assert_eq!(bypassed(no_host, "").await, Bypass::InvalidTarget);
    assert_eq!(bypassed(Request::put(url("/")), "abc").await, Bypass::RequestBodyTooLarge);

    let broken = frames(["a"], Some(Err(Broken("gone").into())));
    let request = Request::put(url("/")).body(broken).unwrap();
    let reply = Reply::read(stand.call(request).await.unwrap()).await;
    assert_eq!(reply.outcome(), Outcome::Bypass(Bypass::RequestBodyFailed));

    stand.layer.set_enabled(false);
    assert_eq!(bypassed(get("/"), "").await, Bypass::Disabled);

    let shared = Stand::shared(Double::counting()).with(|layer| layer.expire_after(SECOND));
    let reply = shared.ask(get("/").header("cookie", "a=1")).await;
    assert_eq!(reply.outcome(), Outcome::Bypass(Bypass::Credentials));
}

/// A refusal that depends on the head is known with the head. One that depends on the body is known
/// at its end.
#[tokio::test]
async fn every_refusal_has_a_reason() {
    let store = Faulty::new(Memory::default());
    let stand = Stand::over(
        store.clone(),
        Double::new(|request, _| {
            let mut response = Response::new(frames(["ab", "cd"], None));
            match request.uri().path() {
                "/status" => *response.status_mut() = StatusCode::IM_A_TEAPOT,
                "/vary" => response = line(response, "vary", "*"),
                "/long" => response = line(response, "content-length", "3"),
                "/short" => response = line(response, "content-length", "5"),
                "/large" => response = line(response, "content-length", "11"),
                "/larger" => response = Response::new(frames(["abcdef", "ghijkl"], None)),
                "/broken" => {
                    response = Response::new(frames(["ab"], Some(Err(Broken("cut").into()))))
                }
                _ => {}
            }
            response
        }),
    )
    .with(|layer| layer.max_body(10).store_if(|request, _| request.uri.path() != "/unwanted"));
    let refusal = async |request| match stand.ask(request).await.stored() {
        Stored::No(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    };
    assert_eq!(refusal(with(CacheOptions::new().no_store(true))).await, Refusal::NoStore);
    let never = CacheOptions::new().expire_after(Expiration::DoNotStore);
    assert_eq!(refusal(with(never)).await, Refusal::Expiration);
    assert_eq!(refusal(get("/status")).await, Refusal::Status);
    assert_eq!(refusal(get("/unwanted")).await, Refusal::Predicate);
    assert_eq!(refusal(get("/vary")).await, Refusal::Vary);
    assert_eq!(refusal(get("/large")).await, Refusal::TooLarge);
    assert_eq!(refusal(get("/larger")).await, Refusal::TooLarge);
    assert_eq!(refusal(get("/long")).await, Refusal::Length);
    assert_eq!(refusal(get("/short")).await, Refusal::Length);
    assert_eq!(refusal(get("/broken")).await, Refusal::BodyFailed);
    store.fail(Op::Finish, ErrorKind::Full);
    assert_eq!(refusal(get("/")).await, Refusal::StoreFailed(ErrorKind::Full));
    assert_eq!(stand.len().await, 0);

    let shared = Stand::shared(Double::new(|_, _| line(ok("x"), "set-cookie", "a=1")));
    assert_eq!(shared.get("/").await.stored(), Stored::No(Refusal::SetCookie));
    let shared = Stand::shared(Double::counting());
    assert_eq!(shared.get("/").await.stored(), Stored::No(Refusal::NoExpiration));
    let reader = Stand::new(Double::counting()).with(|layer| layer.read_only(true));
    assert_eq!(reader.get("/").await.stored(), Stored::No(Refusal::ReadOnly));
}

#[tokio::test]
async fn status_of_a_response_in_flight_becomes_stored_or_dropped() {
    for finish in [true, false] {
        let (sender, body) = channel();
        let body = std::sync::Mutex::new(Some(body));
        let stand = Stand::new(Double::new(move |_, _| {
            Response::new(body.lock().unwrap().take().unwrap())
        }));
        let response = stand.call(get("/").body(empty()).unwrap()).await.unwrap();
        let status = response.extensions().get::<CacheStatus>().unwrap().clone();
        assert_eq!(status.stored(), Stored::Pending);
        sender.send("a");
        if finish {
            drop(sender);
            Reply::read(response).await;
            assert_eq!(status.stored(), Stored::Yes);
        } else {
            drop(response);
            assert_eq!(status.stored(), Stored::No(Refusal::Dropped));
            assert_eq!(stand.len().await, 0);
        }
    }
}

#[tokio::test]
async fn status_has_the_key_age_and_times() {
    let stand = Stand::new(Double::counting()).with(|layer| layer.expire_after(SECOND * 60));
    let missed = stand.get("/").await.cache;
    assert_eq!(missed.age(), None, "a miss has no age in the store");
    assert_eq!(missed.stored_at(), Some(T0.into()));
    stand.clock.advance(SECOND * 7);
    let hit = stand.get("/").await.cache;
    assert_eq!(hit.key(), missed.key());
    assert_eq!(hit.age(), Some(SECOND * 7));
    assert_eq!(hit.stored_at(), Some(T0.into()));
    assert_eq!(hit.expires_at(), Some(T0.saturating_add(SECOND * 60).into()));
    assert_eq!(hit.stored(), Stored::Yes);
    assert_eq!(hit.outcome().to_string(), "hit");
    assert_eq!(missed.outcome().to_string(), "miss (absent)");
}

// ===== The field =====

#[tokio::test]
async fn cache_status_field_is_off_by_default_and_has_the_outcome() {
    let stand = Stand::new(Double::counting()).with(|layer| layer.expire_after(SECOND * 30));
    assert!(!stand.get("/").await.headers.contains_key("cache-status"));
    assert!(!stand.get("/").await.headers.contains_key("cache-status"));

    let stand = stand.with(|layer| layer.cache_status_header("my larder").unwrap());
    let field = async |request| {
        let reply = stand.ask(request).await;
        let lines = reply.lines("cache-status");
        assert_eq!(lines.len(), 1, "one field: {lines:?}");
        String::from_utf8(lines[0].to_vec()).unwrap()
    };
    assert_eq!(field(get("/")).await, "\"my larder\"; hit; ttl=30");
    assert_eq!(field(get("/new")).await, "\"my larder\"; fwd=uri-miss; stored; ttl=30");
    stand.clock.advance(SECOND * 30);
    assert_eq!(field(get("/")).await, "\"my larder\"; fwd=stale; stored; ttl=30");
    let refresh = with(CacheOptions::new().refresh(true).no_store(true));
    assert_eq!(field(refresh).await, "\"my larder\"; fwd=request; detail=no-store");
    assert_eq!(field(Request::post(url("/"))).await, "\"my larder\"; fwd=method; detail=method");
    let range = get("/").header("range", "bytes=0-1");
    assert_eq!(field(range).await, "\"my larder\"; fwd=bypass; detail=range");
    let only = get("/none").extension(CacheOptions::new().only_if_cached(true));
    assert_eq!(field(only).await, "\"my larder\"; detail=only-if-cached");
}

#[tokio::test]
async fn cache_status_field_is_appended_to_the_origins_and_never_stored() {
    let inner = Double::new(|_, _| line(ok("x"), "cache-status", "Origin; hit"));
    let stand = Stand::new(inner).with(|layer| layer.cache_status_header("larder").unwrap());
    let reply = stand.get("/").await;
    assert_eq!(reply.lines("cache-status"), [&b"Origin; hit"[..], b"larder; fwd=uri-miss; stored"]);
    for _ in 0..2 {
        let reply = stand.get("/").await;
        assert_eq!(reply.lines("cache-status"), [&b"Origin; hit"[..], b"larder; hit"]);
    }
    let stored = stand.layer.entries().get(&url("/")).await.unwrap().unwrap();
    let lines: Vec<_> = stored.headers().get_all("cache-status").iter().collect();
    assert_eq!(lines, ["Origin; hit"]);
}

// ===== The counters =====

#[tokio::test]
async fn the_counters_count_each_request_once() {
    let stand = Stand::new(Double::new(|request, _| {
        let mut response = ok("x");
        if request.uri().path() == "/missing" {
            *response.status_mut() = StatusCode::NOT_FOUND;
        }
        response
    }));
    stand.get("/").await;
    stand.get("/").await;
    stand.get("/").await;
    stand.get("/missing").await;
    stand.ask(Request::options(url("/"))).await;
    stand.ask(Request::post(url("/"))).await;
    let stats = stand.layer.stats();
    assert_eq!((stats.hits, stats.misses, stats.bypasses), (2, 2, 2));
    assert_eq!((stats.stored, stats.refused, stats.invalidated), (1, 1, 1));
    assert_eq!((stats.corrupt, stats.store_errors), (0, 0));
    assert_eq!(stand.layer.entries().stats(), stats);
    assert_eq!(stand.service().layer().stats(), stats, "clones share the counters");
}

#[tokio::test]
async fn response_with_only_trailers_is_counted_as_stored() {
    let stand =
        Stand::new(Double::new(|_, _| Response::new(frames([], Some(Ok(HeaderMap::new()))))));
    assert_eq!(stand.get("/").await.stored(), Stored::Yes);
    assert_eq!(stand.layer.stats().stored, 1);
}

#[tokio::test]
async fn requests_bypass_while_max_request_bodies_is_used_up() {
    let (inner, gate) = Double::new(|request, _| ok(request.into_body().len().to_string())).gated();
    let stand =
        Stand::new(inner).with(|layer| layer.methods([Method::PUT]).unwrap().max_request_bodies(4));
    let put = |path| Request::put(url(path));
    let mut first = pin!(stand.send(put("/a"), "abc"));
    assert!(first.as_mut().now_or_never().is_none());
    // The limit counts the bodies of all clones of the layer.
    let clone = stand.clone_with(|layer| layer);
    let mut second = pin!(clone.send(put("/b"), "xyz"));
    assert!(second.as_mut().now_or_never().is_none(), "it waits only for the origin");
    gate.open(2);
    let (first, second) = (soon(first).await, soon(second).await);
    assert_eq!((first.outcome(), first.text()), (Outcome::Miss(Miss::Absent), "3"));
    let full = Outcome::Bypass(Bypass::RequestBodiesFull);
    assert_eq!((second.outcome(), second.text()), (full, "3"));
    assert_eq!(second.stored(), Stored::No(Refusal::Bypassed));

    gate.open(1);
    let third = stand.send(put("/b"), "xyz").await;
    assert_eq!((third.outcome(), third.stored()), (Outcome::Miss(Miss::Absent), Stored::Yes));
    assert!(stand.send(put("/b"), "xyz").await.is_from_store());
}
