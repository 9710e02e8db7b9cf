//! Stale-while-revalidate: a stale response is served at once, within its limit, while one call in
//! the background refreshes it.

use std::{sync::Arc, time::Duration};

use futures_util::{FutureExt, future::join_all};
use http::StatusCode;
use larder::{
    CacheOptions, Expiration, Outcome, StaleLimit, Stored,
    status::{Bypass, Miss, Refusal, Stale},
};
use tokio::sync::Barrier;
use tower::Service;

use crate::support::{Broken, Double, Gate, Reply, Stand, T0, empty, get, ok, tagged, url, with};

const SECOND: Duration = Duration::from_secs(1);
const STALE: Outcome = Outcome::Stale(Stale::WhileRevalidate);
const DOWN: Broken = Broken("down");
const NEW: fn() -> CacheOptions = CacheOptions::new;

/// A cache whose responses are fresh for ten seconds and served stale for five more. The response
/// to `GET /` has just expired.
async fn expired(inner: Double) -> Stand {
    let stand = Stand::new(inner)
        .with(|layer| layer.expire_after(SECOND * 10).stale_while_revalidate(SECOND * 5));
    stand.get("/").await;
    stand.inner.take_seen();
    stand.clock.advance(SECOND * 10);
    stand
}

/// Like [`expired`], with a gate before every call except the first.
async fn gated(inner: Double) -> (Stand, Gate) {
    let (inner, gate) = inner.gated();
    gate.open(1);
    (expired(inner).await, gate)
}

#[track_caller]
fn is_stale(reply: &Reply, text: &str) {
    assert_eq!((reply.outcome(), reply.status), (STALE, StatusCode::OK));
    assert_eq!((reply.text(), reply.stored()), (text, Stored::Yes));
}

// ===== At once =====

#[tokio::test]
async fn stale_response_is_served_at_once_and_the_new_one_next() {
    let (stand, gate) = gated(Double::counting()).await;
    let stand = stand.with(|layer| layer.cache_status_header("larder").unwrap());
    stand.clock.advance(SECOND * 3);
    let reply = stand.get("/").now_or_never().expect("nothing to wait for");
    is_stale(&reply, "1");
    assert_eq!(reply.cache.age(), Some(SECOND * 13));
    assert_eq!(reply.cache.stored_at(), Some(T0.into()));
    assert_eq!(reply.cache.expires_at(), Some(T0.saturating_add(SECOND * 10).into()));
    assert!(reply.is_hit() && !reply.cache.is_coalesced());
    let field = "larder; hit; ttl=-3; detail=stale-while-revalidate";
    assert_eq!(reply.lines("cache-status"), [field.as_bytes()]);
    for _ in 0..10 {
        is_stale(&stand.get("/").await, "1");
    }
    gate.open(1);
    stand.layer.idle().await;
    let reply = stand.get("/").await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Hit, "2"));
    let stats = stand.layer.stats();
    assert_eq!(
        (stats.hits, stats.stale_hits, stats.refreshes, stats.failed_refreshes),
        (12, 11, 1, 0)
    );
    assert_eq!((stand.calls(), stats.misses, stats.in_flight), (2, 1, 0));
}

#[tokio::test]
async fn thousand_requests_at_once_start_one_refresh() {
    let (stand, gate) = gated(Double::counting()).await;
    for reply in join_all((0..1000).map(|_| stand.get("/"))).await {
        is_stale(&reply, "1");
    }
    stand.inner.begun(2).await;
    gate.open(1000);
    stand.layer.idle().await;
    assert_eq!((stand.calls(), stand.layer.stats().refreshes), (2, 1));
    assert_eq!(stand.get("/").await.text(), "2");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn thousand_requests_on_many_threads_start_one_refresh_for_each_key() {
    let (inner, gate) = Double::new(|request, _| ok(request.uri().path().to_owned())).gated();
    let stand = Stand::new(inner)
        .with(|layer| layer.expire_after(SECOND).stale_while_revalidate(StaleLimit::Unlimited));
    const KEYS: usize = 4;
    gate.open(KEYS);
    for key in 0..KEYS {
        stand.get(&format!("/{key}")).await;
    }
    stand.clock.advance(SECOND);
    let barrier = Arc::new(Barrier::new(1000));
    let asks = (0..1000).map(|n| {
        let request = get(&format!("/{}", n % KEYS)).body(empty()).unwrap();
        let (ask, barrier) = (stand.service().call(request), barrier.clone());
        tokio::spawn(async move {
            barrier.wait().await;
            ask.await.unwrap()
        })
    });
    for (n, response) in join_all(asks).await.into_iter().enumerate() {
        is_stale(&Reply::read(response.unwrap()).await, &format!("/{}", n % KEYS));
    }
    gate.open(1000);
    stand.layer.idle().await;
    assert_eq!((stand.calls(), stand.layer.stats().refreshes), (2 * KEYS, KEYS as u64));
}

// ===== Limits =====

#[tokio::test]
async fn caller_waits_beyond_the_limit() {
    let stand = expired(Double::counting()).await;
    stand.clock.advance(SECOND * 5);
    let reply = stand.get("/").await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Miss(Miss::Expired), "2"));
    stand.clock.advance(SECOND * 15 - Duration::from_millis(1));
    is_stale(&stand.get("/").await, "2");
}

#[tokio::test]
async fn request_can_have_its_own_limit() {
    let stand = expired(Double::counting()).await;
    stand.clock.advance(SECOND * 1000);
    for (limit, outcome) in [
        (StaleLimit::Unlimited, STALE),
        (StaleLimit::Within(SECOND * 1001), STALE),
        (StaleLimit::Within(SECOND * 1000), Outcome::Miss(Miss::Expired)),
    ] {
        let stand = expired(Double::counting()).await;
        stand.clock.advance(SECOND * 1000);
        let reply = stand.ask(with(NEW().stale_while_revalidate(limit))).await;
        assert_eq!(reply.outcome(), outcome, "{limit:?}");
    }
    let stand = expired(Double::counting()).await;
    let reply = stand.ask(with(NEW().stale_while_revalidate(StaleLimit::None))).await;
    assert_eq!(reply.outcome(), Outcome::Miss(Miss::Expired));
}

/// Within `stale_while_revalidate`, no request waits. Within `stale_if_error`, no request fails.
#[tokio::test]
async fn stale_while_revalidate_and_stale_if_error_work_together() {
    let inner = Double::fallible(|_, call| match call {
        1 => Ok(ok("1")),
        _ => Err(DOWN),
    });
    let stand = expired(inner).await.with(|layer| layer.stale_if_error(SECOND * 60));
    is_stale(&stand.get("/").await, "1");
    stand.layer.idle().await;
    stand.clock.advance(SECOND * 5);
    let reply = stand.get("/").await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Stale(Stale::IfError), "1"));
    stand.clock.advance(SECOND * 55);
    assert_eq!(stand.error(get("/")).await, DOWN);
}

#[tokio::test]
async fn entry_is_kept_as_long_as_it_may_be_served_stale() {
    let stand = expired(Double::counting()).await;
    let entries = stand.layer.entries();
    stand.clock.advance(SECOND * 5 - Duration::from_millis(1));
    assert_eq!(entries.remove_expired().await.unwrap(), 0);
    stand.clock.advance(Duration::from_millis(1));
    assert_eq!(entries.remove_expired().await.unwrap(), 1);
}

// ===== Requests that wait =====

#[tokio::test]
async fn request_for_a_new_response_waits_for_the_refresh_in_flight() {
    let (stand, gate) = gated(Double::counting()).await;
    is_stale(&stand.get("/").await, "1");
    stand.inner.begun(2).await;
    let none = || with(NEW().stale_while_revalidate(StaleLimit::None));
    let mut asks = vec![none(), with(NEW().refresh(true)), none()]
        .into_iter()
        .map(|request| Box::pin(stand.ask(request)))
        .collect::<Vec<_>>();
    assert!(asks.iter_mut().all(|ask| ask.now_or_never().is_none()));
    gate.open(1);
    for (reply, miss) in
        join_all(asks).await.iter().zip([Miss::Expired, Miss::Refresh, Miss::Expired])
    {
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Coalesced(miss), "2"));
        assert!(reply.cache.is_coalesced());
        assert_eq!(reply.stored(), Stored::Yes);
    }
    assert_eq!(stand.calls(), 2);
}

/// The follower needs a response, not a refresh.
#[tokio::test]
async fn follower_of_a_refresh_that_fails_makes_its_own_call() {
    let (inner, gate) = Double::fallible(|_, call| match call {
        2 => Err(DOWN),
        _ => Ok(ok(call.to_string())),
    })
    .gated();
    gate.open(1);
    let stand = expired(inner).await;
    is_stale(&stand.get("/").await, "1");
    stand.inner.begun(2).await;
    let mut ask = Box::pin(stand.ask(with(NEW().stale_while_revalidate(StaleLimit::None))));
    assert!((&mut ask).now_or_never().is_none());
    gate.open(2);
    assert_eq!(ask.await.text(), "3");
    assert_eq!((stand.calls(), stand.layer.stats().failed_refreshes), (3, 1));
}

/// Like any other call, a refresh does not bring back a response that was removed.
#[tokio::test]
async fn refresh_does_not_bring_back_a_removed_response() {
    for tag in [None, Some("\"a\"")] {
        let (stand, gate) = gated(Double::new(move |request, call| match tag {
            Some(tag) => tagged(&request, tag, "whole"),
            None => ok(call.to_string()),
        }))
        .await;
        stand.get("/").await;
        stand.inner.begun(2).await;
        assert_eq!(stand.layer.entries().remove(&url("/")).await.unwrap(), 1);
        gate.open(1);
        stand.layer.idle().await;
        assert_eq!(stand.len().await, 0);
        assert_eq!(stand.layer.stats().failed_refreshes, 0, "a removal is not a failure");
    }
}

// ===== Modes =====

#[tokio::test]
async fn caller_waits_when_nothing_may_be_stored() {
    let stand = expired(Double::counting()).await;
    let reply = stand.ask(with(NEW().no_store(true))).await;
    assert_eq!((reply.text(), reply.stored()), ("2", Stored::No(Refusal::NoStore)));
    let reader = stand.clone_with(|layer| layer.read_only(true));
    let reply = reader.get("/").await;
    assert_eq!((reply.text(), reply.stored()), ("3", Stored::No(Refusal::ReadOnly)));
    let reply = stand.ask(with(NEW().expire_after(Expiration::DoNotStore))).await;
    assert_eq!((reply.text(), reply.stored()), ("4", Stored::No(Refusal::Expiration)));
    let reply = stand.ask(with(NEW().only_if_cached(true))).await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Stale(Stale::OnlyIfCached), "1"));
    stand.layer.set_enabled(false);
    assert_eq!(stand.get("/").await.outcome(), Outcome::Bypass(Bypass::Disabled));
    stand.layer.idle().await;
    assert_eq!((stand.calls(), stand.layer.stats().refreshes), (5, 0));
}

#[tokio::test]
async fn request_that_demands_a_refresh_is_not_answered_stale() {
    let stand = expired(Double::counting()).await;
    for (options, text) in [(NEW().refresh(true), "2"), (NEW().force_refresh(true), "3")] {
        stand.clock.advance(SECOND * 10);
        let reply = stand.ask(with(options)).await;
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Miss(Miss::Refresh), text));
    }
    assert_eq!(stand.layer.stats().refreshes, 0);
}

/// `coalesce(false)` concerns requests, not refreshes.
#[tokio::test]
async fn there_is_one_refresh_without_coalescing() {
    let (stand, gate) = gated(Double::counting()).await;
    let stand = stand.with(|layer| layer.coalesce(false));
    for reply in join_all((0..100).map(|_| stand.get("/"))).await {
        is_stale(&reply, "1");
    }
    gate.open(100);
    stand.layer.idle().await;
    assert_eq!(stand.calls(), 2);
}

// ===== Without a runtime =====

#[tokio::test]
async fn caller_waits_without_a_runtime_or_without_timers() {
    for is_timerless in [false, true] {
        let stand = expired(Double::counting()).await;
        let stand = stand.with(|layer| layer.coalesce_wait(SECOND).unwrap());
        let answer = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let _entered = is_timerless.then(|| runtime.enter());
            let reply = stand.get("/").now_or_never().expect("nothing to wait for");
            (stand, reply)
        });
        let (stand, reply) = answer.join().expect("no panic");
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Miss(Miss::Expired), "2"));
        assert_eq!((reply.stored(), stand.layer.stats().refreshes), (Stored::Yes, 0));
    }
}
