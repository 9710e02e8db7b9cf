//! Refresh-ahead: an entry in use is refreshed shortly before it expires, so it never expires.

use std::time::Duration;

use futures_util::{FutureExt, future::join_all};
use larder::{CacheOptions, Expiration, Outcome, status::Miss};

use crate::support::{Broken, Double, Stand, T0, ok, tagged, with};

const SECOND: Duration = Duration::from_secs(1);
const NEW: fn() -> CacheOptions = CacheOptions::new;

/// A cache whose responses are fresh for a minute, and are refreshed in the last fifth of it.
fn stand(inner: Double) -> Stand {
    Stand::new(inner).with(|layer| layer.expire_after(SECOND * 60).refresh_ahead(0.2).unwrap())
}

/// Sends a request every second for an hour. Each is a hit.
async fn an_hour(stand: &Stand) {
    stand.get("/").await;
    for second in 1..=3600 {
        stand.clock.advance(SECOND);
        let reply = stand.get("/").now_or_never().expect("a hit does not wait");
        assert_eq!(reply.outcome(), Outcome::Hit, "at {second} s");
        assert!(reply.cache.age().unwrap() < SECOND * 60);
        stand.layer.idle().await;
    }
}

#[tokio::test]
async fn entry_in_use_never_expires() {
    let stand = stand(Double::counting());
    an_hour(&stand).await;
    // One refresh every 49 s. Then, for the first time, less than 12 of 60 s are left.
    let refreshes = 3600 / 49;
    let stats = stand.layer.stats();
    assert_eq!((stand.calls(), stats.refreshes), (1 + refreshes, refreshes as u64));
    assert_eq!((stats.hits, stats.misses, stats.stale_hits), (3600, 1, 0));
}

#[tokio::test]
async fn entry_in_use_is_freshened_again_and_again() {
    let stand = stand(Double::new(|request, _| tagged(&request, "\"a\"", "whole")));
    an_hour(&stand).await;
    assert_eq!((stand.calls(), stand.layer.stats().stored), (1 + 3600 / 49, 1));
}

#[tokio::test]
async fn entry_that_is_not_requested_expires() {
    let stand = stand(Double::counting());
    stand.get("/").await;
    for _ in 0..3600 {
        stand.clock.advance(SECOND);
        stand.layer.idle().await;
        tokio::task::yield_now().await;
    }
    assert_eq!(stand.calls(), 1);
    assert_eq!(stand.get("/").await.outcome(), Outcome::Miss(Miss::Expired));
}

#[tokio::test]
async fn refresh_starts_in_the_last_part_of_a_lifetime_and_not_before() {
    let stand = stand(Double::counting());
    stand.get("/").await;
    for (at, calls) in [(0, 1), (48_000, 1), (48_001, 2)] {
        stand.clock.set(larder::time::Timestamp::from_millis(T0.as_millis() + at));
        let reply = stand.get("/").await;
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Hit, "1"));
        stand.layer.idle().await;
        assert_eq!(stand.calls(), calls, "at {at} ms");
    }
    let reply = stand.get("/").await;
    assert_eq!((reply.text(), reply.cache.age()), ("2", Some(Duration::ZERO)));
}

#[tokio::test]
async fn concurrent_hits_start_one_refresh() {
    let (inner, gate) = Double::counting().gated();
    let stand = stand(inner);
    gate.open(1);
    stand.get("/").await;
    stand.clock.advance(SECOND * 59);
    for reply in join_all((0..1000).map(|_| stand.get("/"))).await {
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Hit, "1"));
    }
    gate.open(1000);
    stand.layer.idle().await;
    assert_eq!((stand.calls(), stand.layer.stats().refreshes), (2, 1));
}

#[tokio::test]
async fn hits_go_on_when_refreshes_fail_before_the_expiry() {
    let stand = stand(Double::fallible(|_, call| match call {
        2..4 => Err(Broken("down")),
        _ => Ok(ok(call.to_string())),
    }));
    stand.get("/").await;
    stand.clock.advance(SECOND * 50);
    for (calls, text) in [(2, "1"), (3, "1"), (3, "1"), (4, "1"), (4, "4")] {
        let reply = stand.get("/").await;
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Hit, text));
        stand.layer.idle().await;
        assert_eq!(stand.calls(), calls, "a pause of one second, then of two");
        stand.clock.advance(SECOND);
    }
    assert_eq!(stand.layer.stats().failed_refreshes, 2);
}

#[tokio::test]
async fn request_that_may_not_store_or_call_starts_no_refresh() {
    let stand = stand(Double::counting());
    stand.get("/").await;
    stand.clock.advance(SECOND * 59);
    for options in [NEW().no_store(true), NEW().only_if_cached(true)] {
        assert_eq!(stand.ask(with(options)).await.outcome(), Outcome::Hit);
    }
    let reader = stand.clone_with(|layer| layer.read_only(true));
    assert_eq!(reader.get("/").await.outcome(), Outcome::Hit);
    stand.layer.idle().await;
    assert_eq!((stand.calls(), stand.layer.stats().refreshes), (1, 0));
}

#[tokio::test]
async fn entry_that_never_expires_is_never_refreshed() {
    let stand = stand(Double::counting());
    stand.ask(with(NEW().expire_after(Expiration::Never))).await;
    stand.clock.advance(SECOND * 1_000_000_000);
    assert_eq!(stand.get("/").await.outcome(), Outcome::Hit);
    assert_eq!(stand.layer.stats().refreshes, 0);
}

#[tokio::test]
async fn hit_outside_of_a_runtime_starts_no_refresh() {
    let stand = stand(Double::counting());
    stand.get("/").await;
    stand.clock.advance(SECOND * 59);
    let answer = std::thread::spawn(move || {
        let reply = stand.get("/").now_or_never().expect("nothing to wait for");
        (stand, reply)
    });
    let (stand, reply) = answer.join().expect("no panic");
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Hit, "1"));
    assert_eq!((stand.calls(), stand.layer.stats().refreshes), (1, 0));
    assert_eq!(stand.layer.stats().in_flight, 0);
}
