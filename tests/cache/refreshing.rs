//! The requests of background refreshes, and what they change in the store.

use std::{sync::Mutex, time::Duration};

use futures_util::FutureExt;
use http::{Method, Response, StatusCode};
use larder::{
    CacheOptions, Outcome, StaleLimit, Stored,
    status::{RefreshError, Stale},
};

use crate::support::{
    Double, Reply, Stand, channel, empty, get, head, line, ok, status, tagged, url, with,
};

const SECOND: Duration = Duration::from_secs(1);
const STALE: Outcome = Outcome::Stale(Stale::WhileRevalidate);

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

#[track_caller]
fn is_stale(reply: &Reply, text: &str) {
    assert_eq!((reply.outcome(), reply.status), (STALE, StatusCode::OK));
    assert_eq!((reply.text(), reply.stored()), (text, Stored::Yes));
}

#[tokio::test]
async fn refresh_revalidates_a_response_that_has_a_validator() {
    let stand = expired(Double::new(|request, _| tagged(&request, "\"a\"", "whole"))).await;
    is_stale(&stand.get("/").await, "whole");
    stand.layer.idle().await;
    assert_eq!(stand.inner.take_seen()[0].conditions(), (Some("\"a\""), None));
    let reply = stand.get("/").await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Hit, "whole"));
    assert_eq!(reply.cache.age(), Some(Duration::ZERO));
    assert_eq!((stand.calls(), stand.layer.stats().stored), (2, 1));
}

#[tokio::test]
async fn refresh_that_has_to_call_twice_counts_as_one_refresh() {
    let stand = expired(Double::new(|_, call| match call {
        1 => line(ok("old"), "etag", "\"a\""),
        2 => line(status(304), "etag", "\"b\""),
        _ => line(ok("new"), "etag", "\"b\""),
    }))
    .await;
    is_stale(&stand.get("/").await, "old");
    stand.layer.idle().await;
    assert_eq!(stand.get("/").await.text(), "new");
    let stats = stand.layer.stats();
    assert_eq!((stand.calls(), stats.calls, stats.refreshes), (3, 3, 1));
}

/// The stale response answers the caller's condition. The refresh is about the stored response.
#[tokio::test]
async fn refresh_does_not_send_the_callers_conditions() {
    let stand = expired(Double::new(|_, call| line(ok(call.to_string()), "date", "never"))).await;
    let since = "Fri, 01 Jan 2100 00:00:00 GMT";
    let reply = stand.ask(get("/").header("if-modified-since", since)).await;
    assert_eq!((reply.outcome(), reply.status), (STALE, StatusCode::NOT_MODIFIED));
    stand.layer.idle().await;
    assert_eq!(stand.inner.take_seen()[0].conditions(), (None, None));
    assert_eq!(stand.get("/").await.text(), "2");
}

/// The last response was not stored, so the next one is not expected to be stored either.
#[tokio::test]
async fn refresh_after_a_refused_response_does_not_send_the_callers_conditions() {
    let inner = Double::new(|_, call| match call {
        2 => status(400),
        _ => ok(call.to_string()),
    });
    let stand = expired(inner).await;
    is_stale(&stand.get("/").await, "1");
    stand.layer.idle().await;
    stand.clock.advance(SECOND);
    stand.ask(get("/").header("if-none-match", "\"mine\"")).await;
    stand.layer.idle().await;
    assert_eq!(stand.inner.take_seen()[1].conditions(), (None, None));
    assert_eq!(stand.get("/").await.text(), "3");
}

#[tokio::test]
async fn a_refresh_has_the_requests_method_headers_and_body() {
    let stand = Stand::new(Double::counting()).with(|layer| {
        let layer = layer.expire_after(SECOND).stale_while_revalidate(SECOND * 5);
        layer.methods([Method::POST]).unwrap()
    });
    let query = || http::Request::post(url("/")).header("x-own", "1");
    stand.send(query(), "a query").await;
    stand.clock.advance(SECOND);
    is_stale(&stand.send(query(), "a query").await, "1");
    stand.layer.idle().await;
    let seen = &stand.inner.take_seen()[1];
    assert_eq!((&seen.method, &seen.body[..]), (&Method::POST, &b"a query"[..]));
    assert_eq!(seen.headers["x-own"], "1");
    assert_eq!(stand.send(query(), "a query").await.text(), "2");
}

#[tokio::test]
async fn refresh_of_one_variant_does_not_refresh_the_others() {
    let inner = Double::new(|request, call| {
        let of = request.headers()["x-a"].to_str().unwrap();
        line(ok(format!("{of} {call}")), "vary", "x-a")
    });
    let stand = Stand::new(inner)
        .with(|layer| layer.expire_after(SECOND).stale_while_revalidate(SECOND * 5));
    let of = |value: &str| get("/").header("x-a", value);
    stand.ask(of("a")).await;
    stand.ask(of("b")).await;
    stand.clock.advance(SECOND);
    is_stale(&stand.ask(of("a")).await, "a 1");
    stand.layer.idle().await;
    is_stale(&stand.ask(of("b")).await, "b 2");
    stand.layer.idle().await;
    assert_eq!(stand.ask(of("a")).await.text(), "a 3");
    assert_eq!(stand.ask(of("b")).await.text(), "b 4");
}

#[tokio::test]
async fn head_request_refreshes_the_stored_response_to_a_get() {
    let stand = expired(Double::new(|request, _| tagged(&request, "\"a\"", "whole"))).await;
    let reply = stand.ask(head("/")).await;
    assert_eq!((reply.outcome(), reply.text()), (STALE, ""));
    stand.layer.idle().await;
    assert_eq!(stand.inner.take_seen()[0].method, Method::HEAD);
    assert_eq!(stand.get("/").await.outcome(), Outcome::Hit);
}

// ===== Large bodies =====

#[cfg(feature = "redb")]
#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_is_refreshed_in_a_file_while_the_old_one_is_read() {
    let size = 3_000_000;
    let text = move |call: usize| call.to_string().repeat(size);
    let inner = Double::new(move |request, call| match call {
        // Freshened once, then replaced.
        2 => tagged(&request, "\"a\"", ""),
        _ => line(ok(text(call)), "etag", "\"a\""),
    });
    let stand = Stand::over(larder::store::Redb::temporary().unwrap(), inner)
        .with(|layer| layer.expire_after(SECOND).stale_while_revalidate(StaleLimit::Unlimited));
    assert_eq!(stand.get("/").await.stored(), Stored::Yes);
    for (old, new) in [(1, 1), (1, 3)] {
        stand.clock.advance(SECOND);
        let response = stand.call(get("/").body(empty()).unwrap()).await.unwrap();
        stand.layer.idle().await;
        let hit = stand.get("/").await;
        assert_eq!(hit.outcome(), Outcome::Hit);
        assert!(hit.text() == text(new));
        let stale = Reply::read(response).await;
        assert_eq!(stale.outcome(), STALE);
        // A body that is replaced while it is read is complete, or ends in an error. It never
        // mixes the old and the new.
        assert!(stale.error.is_some() || stale.body == text(old), "{}", stale.body.len());
    }
    assert_eq!((stand.calls(), stand.len().await), (3, 1));
    assert_eq!(stand.layer.stats().failed_refreshes, 0);
}

/// The time limit ends the refresh task only. The follower reads on, and the body is stored.
#[tokio::test(start_paused = true)]
async fn follower_of_a_refresh_outlives_its_time_limit() {
    let (sender, body) = channel();
    let body = Mutex::new(Some(body));
    let stand = expired(Double::new(move |_, call| match call {
        1 => ok("1"),
        _ => Response::new(body.lock().unwrap().take().unwrap()),
    }))
    .await;
    is_stale(&stand.get("/").await, "1");
    stand.inner.begun(2).await;
    sender.send("one ");
    let none = with(CacheOptions::new().stale_while_revalidate(StaleLimit::None));
    let response = stand.call(none.body(empty()).unwrap()).await.unwrap();
    stand.layer.idle().await;
    assert_eq!(stand.layer.stats().failed_refreshes, 1, "{}", RefreshError::TimedOut);
    sender.send("two");
    drop(sender);
    let reply = Reply::read(response).await;
    assert_eq!((reply.text(), reply.stored()), ("one two", Stored::Yes));
    assert!(reply.cache.is_coalesced());
    let reply = stand.get("/").now_or_never().unwrap();
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Hit, "one two"));
    assert_eq!(stand.calls(), 2);
}
