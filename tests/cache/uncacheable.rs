//! Responses that are not stored are not shared. Their requests make their calls in parallel.

use std::time::Duration;

use futures_util::future::join_all;
use http::{Response, StatusCode};
use larder::CacheOptions;
use tokio::time::Instant;

use crate::support::{Double, Stand, TestBody, get, line, not_modified, ok, status, tagged, with};

const SLOW: Duration = Duration::from_millis(300);

/// How long five requests at once take, in tenths of a second.
async fn five_at_once(stand: &Stand) -> u128 {
    let begin = Instant::now();
    let replies = join_all((0..5).map(|_| stand.get("/"))).await;
    assert!(replies.iter().all(|reply| !reply.cache.is_coalesced()), "each makes its own call");
    (begin.elapsed().as_millis() + 5) / 100
}

#[tokio::test(start_paused = true)]
async fn responses_that_are_not_stored_are_fetched_in_parallel() {
    type Case = (fn() -> Double, fn(Stand) -> Stand);
    let cases: [Case; 4] = [
        (|| Double::new(|_, _| not_found()), |stand| stand),
        (|| Double::new(|_, _| line(ok("x"), "vary", "*")), |stand| stand),
        (|| Double::counting(), |stand| stand.with(|layer| layer.store_if(|_, _| false))),
        (|| Double::counting(), |stand| stand.with(|layer| layer.max_body(0))),
    ];
    for (case, (inner, set)) in cases.into_iter().enumerate() {
        let stand = set(Stand::new(inner().taking(SLOW)));
        // The followers wait until the first response turns out not to be shared.
        assert_eq!(five_at_once(&stand).await, 6, "case {case}");
        assert_eq!(stand.calls(), 5, "case {case}");
        // From then on, the key is known as hit-for-miss.
        for _ in 0..3 {
            assert_eq!(five_at_once(&stand).await, 3, "case {case}");
        }
        assert_eq!((stand.calls(), stand.layer.stats().in_flight), (20, 0), "case {case}");
    }
}

/// A request does not wait at all if it is known beforehand that its response is not stored.
#[tokio::test(start_paused = true)]
async fn requests_that_store_nothing_are_parallel_from_the_start() {
    let stand = Stand::new(Double::counting().taking(SLOW));
    let begin = Instant::now();
    let no_store = || with(CacheOptions::new().no_store(true));
    join_all((0..5).map(|_| stand.ask(no_store()))).await;
    assert!(begin.elapsed() < SLOW * 2);
    let stand = Stand::new(Double::counting().taking(SLOW)).with(|layer| layer.read_only(true));
    assert_eq!(five_at_once(&stand).await, 3);
    assert_eq!(stand.calls(), 5);
}

/// A failure does not make the key hit-for-miss. The next requests share a call again.
#[tokio::test(start_paused = true)]
async fn failing_status_does_not_make_the_key_hit_for_miss() {
    let fails = [StatusCode::BAD_GATEWAY, StatusCode::TOO_MANY_REQUESTS];
    for failing in fails {
        let inner = Double::new(move |_, call| {
            let mut response = ok(call.to_string());
            if call <= 5 {
                *response.status_mut() = failing;
            }
            response
        });
        let stand = Stand::new(inner.taking(SLOW));
        let stand = stand.with(|layer| layer.error_statuses(fails).unwrap());
        assert_eq!(five_at_once(&stand).await, 6);
        let replies = join_all((0..5).map(|_| stand.get("/"))).await;
        assert!(replies.iter().all(|reply| reply.text() == "6"), "{failing}");
        assert_eq!(stand.calls(), 6);
    }
}

#[tokio::test(start_paused = true)]
async fn key_whose_responses_can_be_stored_again_is_shared_again() {
    let stand = Stand::new(Double::new(|_, call| if call <= 5 { not_found() } else { ok("x") }));
    let stand = Stand { inner: stand.inner.clone().taking(SLOW), ..stand };
    assert_eq!(five_at_once(&stand).await, 6);
    stand.get("/").await;
    stand.layer.entries().clear().await.unwrap();
    join_all((0..5).map(|_| stand.get("/"))).await;
    assert_eq!(stand.calls(), 7);
}

pub(crate) fn not_found() -> Response<TestBody> {
    let mut response = ok("none");
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// After one failure, the URL is stored again even if its clients send the validators of their own
/// copies.
#[tokio::test]
async fn requests_with_validators_do_not_prevent_storing_after_a_failure() {
    let stand = Stand::new(Double::new(|request, call| match call {
        1 => status(404),
        _ if request.headers().contains_key("if-none-match") => not_modified(),
        _ => tagged(&request, "\"a\"", "whole"),
    }));
    stand.get("/").await;
    for _ in 0..10 {
        let reply = stand.ask(get("/").header("if-none-match", "\"a\"")).await;
        assert_eq!(reply.status, 304);
    }
    assert!(stand.get("/").await.is_from_store());
    assert_eq!(stand.calls(), 3, "the condition is sent on once, and then the response is fetched");
}
