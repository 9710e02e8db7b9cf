//! Revalidation under concurrency: many requests at once, entries that are replaced or removed
//! meanwhile, and stores that fail.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::join_all};
use http::Request;
use larder::{
    CacheOptions, Outcome, Stored,
    status::Refusal,
    store::{ErrorKind, Memory, Store},
    time::Clock,
};
use tokio::sync::Barrier;
use tower::Service;

use crate::support::{
    Double, Faulty, Gate, Op, Reply, Stand, empty, get, line, ok, status, tagged, url, with,
};

const SECOND: Duration = Duration::from_secs(1);
const WHOLE: &str = "whole";

/// A cache with an expired response to `GET /`. Its origin answers 304, and each call waits at the
/// gate.
async fn expired<B: Store>(store: B) -> (Stand<B>, Gate) {
    let (inner, gate) = Double::new(|request, _| tagged(&request, "\"a\"", WHOLE)).gated();
    let stand = Stand::over(store, inner).with(|layer| layer.expire_after(SECOND));
    gate.open(1);
    stand.get("/").await;
    stand.clock.advance(SECOND);
    (stand, gate)
}

// ===== Many requests at once =====

#[tokio::test]
async fn thousand_requests_for_an_expired_entry_share_one_revalidation() {
    let (stand, gate) = expired(Memory::default()).await;
    let stand = stand.with(|layer| layer.cache_status_header("larder").unwrap());
    let mut asks: Vec<_> = (0..1000).map(|_| Box::pin(stand.get("/"))).collect();
    assert!(asks.iter_mut().all(|ask| ask.now_or_never().is_none()), "all requests wait");
    assert_eq!(stand.calls(), 2);
    gate.open(1);
    let replies = join_all(asks).await;
    let now = Some(stand.clock.now().into());
    for reply in &replies {
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Revalidated, WHOLE));
        assert_eq!((reply.stored(), reply.cache.stored_at()), (Stored::Yes, now));
    }
    let (followers, leaders): (Vec<_>, Vec<_>) =
        replies.iter().partition(|reply| reply.cache.is_coalesced());
    assert_eq!((followers.len(), leaders.len(), stand.calls()), (999, 1, 2));
    let field = "larder; fwd=stale; fwd-status=304; stored; collapsed; ttl=1";
    assert_eq!(followers[0].lines("cache-status"), [field.as_bytes()]);
    let stats = stand.layer.stats();
    assert_eq!((stats.revalidated, stats.calls, stats.in_flight), (1000, 2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousand_requests_on_many_threads_share_one_revalidation() {
    let (stand, gate) = expired(Memory::default()).await;
    let barrier = Arc::new(Barrier::new(1000));
    let asks = (0..1000).map(|_| {
        let ask = stand.service().call(get("/").body(empty()).unwrap());
        let barrier = barrier.clone();
        tokio::spawn(async move {
            barrier.wait().await;
            ask.await.unwrap()
        })
    });
    let asks: Vec<_> = asks.collect();
    stand.inner.begun(2).await;
    gate.open(1000);
    for response in join_all(asks).await {
        let reply = Reply::read(response.unwrap()).await;
        assert!(reply.is_from_store() && reply.text() == WHOLE, "{}", reply.outcome());
    }
    assert_eq!((stand.calls(), stand.layer.stats().in_flight), (2, 0));
}

#[tokio::test]
async fn each_coalesced_request_is_answered_by_its_own_conditions() {
    let (stand, gate) = expired(Memory::default()).await;
    let ask = |tag: &str| Box::pin(stand.ask(get("/").header("if-none-match", tag)));
    let mut asks = ["\"b\"", "\"a\"", "*", "\"x\""].map(ask);
    assert!(asks.iter_mut().all(|ask| ask.now_or_never().is_none()));
    gate.open(1);
    let replies = join_all(asks).await;
    let statuses: Vec<u16> = replies.iter().map(|reply| reply.status.as_u16()).collect();
    assert_eq!((statuses, stand.calls()), (vec![200, 304, 304, 200], 2));
}

#[tokio::test]
async fn follower_takes_over_when_the_leader_is_cancelled() {
    let (stand, gate) = expired(Memory::default()).await;
    let mut first = Box::pin(stand.get("/"));
    let mut second = Box::pin(stand.get("/"));
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    drop(first);
    gate.open(2);
    let reply = second.await;
    assert_eq!((reply.outcome(), reply.cache.is_coalesced()), (Outcome::Revalidated, false));
    assert_eq!((stand.calls(), stand.layer.stats().in_flight), (3, 0));
}

/// A shared cache does not share a response that sets a cookie.
#[tokio::test]
async fn cookie_in_a_304_reaches_only_its_caller() {
    let (inner, gate) = Double::new(|request, call| {
        line(tagged(&request, "\"a\"", WHOLE), "set-cookie", format!("id={call}"))
    })
    .gated();
    let stand = Stand::shared(inner).with(|layer| layer.expire_after(SECOND));
    stand.layer.entries().insert(&url("/"), line(ok(WHOLE), "etag", "\"a\"")).await.unwrap();
    stand.clock.advance(SECOND);
    let mut asks: Vec<_> = (0..10).map(|_| Box::pin(stand.get("/"))).collect();
    assert!(asks.iter_mut().all(|ask| ask.now_or_never().is_none()));
    gate.open(10);
    let mut cookies: Vec<_> =
        join_all(asks).await.iter().map(|reply| reply.headers["set-cookie"].clone()).collect();
    cookies.sort();
    cookies.dedup();
    assert_eq!((cookies.len(), stand.calls()), (10, 10), "each makes its own call: {cookies:?}");
}

// ===== Newer responses and removals =====

#[tokio::test]
async fn a_newer_response_wins_against_a_304() {
    let (stand, gate) = expired(Memory::default()).await;
    let refresh = with(CacheOptions::new().refresh(true));
    let mut asks = [get("/"), get("/"), refresh].map(|request| Box::pin(stand.ask(request)));
    assert!(asks.iter_mut().all(|ask| ask.now_or_never().is_none()));
    // A second layer over the same store, as in another process. It does not know these calls.
    let other = Stand::over(
        stand.layer.store().clone(),
        Double::new(|_, _| line(ok("newer"), "etag", "\"b\"")),
    );
    other.clock.advance(SECOND);
    let other = other.with(|layer| layer.expire_after(SECOND * 60));
    assert_eq!(other.get("/").await.text(), "newer");
    gate.open(1);
    let [first, rest @ ..] = &join_all(asks).await[..] else { unreachable!() };
    assert_eq!((first.outcome(), first.text()), (Outcome::Revalidated, WHOLE));
    assert_eq!(first.stored(), Stored::No(Refusal::Conflict));
    for reply in rest {
        assert_eq!((reply.text(), reply.stored()), ("newer", Stored::Yes));
    }
    let reply = stand.get("/").await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Hit, "newer"));
    assert_eq!(reply.headers["etag"], "\"b\"");
    assert_eq!(stand.calls(), 2);
}

#[tokio::test]
async fn a_removal_wins_against_a_304() {
    for how in ["by URL", "by tag", "all", "by another method", "behind the layer's back"] {
        let (inner, gate) = Double::new(|request, _| tagged(&request, "\"a\"", WHOLE)).gated();
        let stand = Stand::new(inner).with(|layer| layer.expire_after(SECOND));
        let key = || with(CacheOptions::new().add_tag("page"));
        gate.open(1);
        let key_of = stand.ask(key()).await.cache.key().unwrap();
        stand.clock.advance(SECOND);
        let mut ask = Box::pin(stand.ask(key()));
        assert!((&mut ask).now_or_never().is_none());
        let entries = stand.layer.entries();
        match how {
            "by URL" => assert_eq!(entries.remove(&url("/")).await.unwrap(), 1),
            "by tag" => assert_eq!(entries.remove_tag("page").await.unwrap(), 1),
            "all" => entries.clear().await.unwrap(),
            "by another method" => {
                let poster = Stand {
                    inner: Double::new(|_, _| status(204)),
                    ..stand.clone_with(|layer| layer)
                };
                poster.ask(Request::post(url("/"))).await;
            }
            _ => assert!(stand.layer.store().remove(&key_of).await.unwrap()),
        }
        gate.open(1);
        let reply = ask.await;
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Revalidated, WHOLE), "{how}");
        let is_seen = how != "behind the layer's back";
        let refusal = if is_seen { Refusal::Removed } else { Refusal::Conflict };
        assert_eq!(reply.stored(), Stored::No(refusal), "{how}");
        assert_eq!(stand.len().await, 0, "{how}");
    }
}

/// Two layers over one store do not know each other's calls.
#[tokio::test]
async fn one_of_two_304s_for_an_entry_is_written_and_both_are_served() {
    let (stand, gate) = expired(Memory::default()).await;
    let other = Stand {
        layer: larder::CacheLayer::private(stand.layer.store().clone())
            .clock(stand.clock.clone())
            .expire_after(SECOND),
        inner: stand.inner.clone(),
        clock: stand.clock.clone(),
    };
    let (mut first, mut second) = (Box::pin(stand.get("/")), Box::pin(other.get("/")));
    assert!((&mut first).now_or_never().is_none() && (&mut second).now_or_never().is_none());
    gate.open(2);
    let (first, second) = (first.await, second.await);
    assert_eq!((first.text(), second.text()), (WHOLE, WHOLE));
    assert_eq!(first.stored(), Stored::Yes);
    assert_eq!(second.stored(), Stored::No(Refusal::Conflict));
    assert!(stand.get("/").await.is_from_store());
}

// ===== Stores =====

#[tokio::test]
async fn requests_succeed_when_the_store_cannot_update() {
    for kind in [ErrorKind::Unavailable, ErrorKind::Corrupt, ErrorKind::Full] {
        let store = Faulty::new(Memory::default());
        let (stand, gate) = expired(store.clone()).await;
        store.fail(Op::Update, kind);
        let mut asks = [0; 3].map(|_| Box::pin(stand.get("/")));
        asks.iter_mut().for_each(|ask| assert!(ask.now_or_never().is_none()));
        gate.open(1);
        for reply in join_all(asks).await {
            assert_eq!((reply.outcome(), reply.text()), (Outcome::Revalidated, WHOLE));
            assert_eq!(reply.stored(), Stored::No(Refusal::StoreFailed(kind)));
        }
        assert_eq!((stand.calls(), stand.layer.stats().store_errors), (2, 1));
        store.heal();
        gate.open(1);
        assert_eq!(stand.get("/").await.stored(), Stored::Yes);
        assert!(stand.get("/").await.is_from_store());
    }
}

/// The second request finds a newer entry than the one that the first request revalidates.
#[tokio::test]
async fn a_304_applies_only_to_the_entry_that_was_validated() {
    let store = Faulty::new(Memory::default());
    let (stand, gate) = expired(store.clone()).await;
    let mut first = Box::pin(stand.get("/"));
    assert!((&mut first).now_or_never().is_none());
    let newer = line(ok("newer"), "etag", "\"b\"");
    let other = Stand::over(store.clone(), Double::counting())
        .with(|layer| layer.clock(stand.clock.clone()).expire_after(Duration::ZERO));
    other.layer.entries().insert(&url("/"), newer).await.unwrap();
    let mut second = Box::pin(stand.get("/"));
    assert!((&mut second).now_or_never().is_none());
    store.fail(Op::Update, ErrorKind::Unavailable);
    gate.open(2);
    for reply in [first.await, second.await] {
        assert_eq!(reply.text(), WHOLE);
        assert_eq!(reply.headers["etag"], "\"a\"", "head and body of one response");
    }
    assert_eq!(stand.calls(), 3);
}

/// Freshens an entry while every operation that writes a body fails. No request is affected.
async fn freshens_without_writing_the_body<B: Store>(store: B, size: usize) {
    let body = "x".repeat(size);
    let text = body.clone();
    let store = Faulty::new(store);
    let inner = Double::new(move |request, call| {
        line(tagged(&request, "\"a\"", &text), "x-call", call.to_string())
    });
    let stand = Stand::over(store.clone(), inner).with(|layer| layer.expire_after(SECOND));
    assert_eq!(stand.get("/").await.stored(), Stored::Yes);
    let before = stand.size().await;
    for op in [Op::Put, Op::Write, Op::Finish] {
        store.fail(op, ErrorKind::Full);
        stand.clock.advance(SECOND);
        let reply = stand.get("/").await;
        assert_eq!((reply.outcome(), reply.stored()), (Outcome::Revalidated, Stored::Yes));
        assert!(reply.text() == body);
        let reply = stand.get("/").await;
        assert_eq!(reply.outcome(), Outcome::Hit);
        assert!(reply.text() == body);
        assert_eq!(reply.headers["x-call"].to_str().unwrap(), stand.calls().to_string());
    }
    assert_eq!(stand.layer.stats().store_errors, 0);
    assert!(stand.size().await.abs_diff(before) < 4096, "{before} {}", stand.size().await);
}

#[tokio::test]
async fn a_304_does_not_rewrite_the_body_in_memory() {
    for size in [0, 5, 3_000_000] {
        freshens_without_writing_the_body(Memory::default(), size).await;
    }
}

#[cfg(feature = "redb")]
#[tokio::test(flavor = "multi_thread")]
async fn a_304_does_not_rewrite_the_body_in_a_file() {
    for size in [0, 5, 3_000_000] {
        freshens_without_writing_the_body(larder::store::Redb::temporary().unwrap(), size).await;
    }
}

/// The body that the lookup found before the 304 is read after it.
#[cfg(feature = "redb")]
#[tokio::test(flavor = "multi_thread")]
async fn large_body_streams_from_a_file_after_its_head_is_freshened() {
    let text: String = (0..400_000).map(|n| format!("{n:09} ")).collect();
    let body = text.clone();
    let inner = Double::new(move |request, _| tagged(&request, "\"a\"", &body));
    let stand = Stand::over(larder::store::Redb::temporary().unwrap(), inner)
        .with(|layer| layer.expire_after(SECOND));
    assert_eq!(stand.get("/").await.stored(), Stored::Yes);
    for _ in 0..3 {
        stand.clock.advance(SECOND);
        let reply = stand.get("/").await;
        assert_eq!((reply.outcome(), reply.stored()), (Outcome::Revalidated, Stored::Yes));
        assert!(reply.text() == text, "the body has changed");
    }
    assert_eq!((stand.calls(), stand.len().await), (4, 1));
}
