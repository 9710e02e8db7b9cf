//! An answer ends stored responses and responses in flight. None of them comes back or stays: after
//! a removal that failed, for another query, and while its call is still in flight.

use std::{pin::pin, time::Duration};

use futures_util::FutureExt;
use http::Method;
use larder::{
    CacheOptions, Stored,
    status::Refusal,
    store::{ErrorKind, Memory},
};

use crate::support::*;

/// The second 404 removes what the first one could not.
#[tokio::test]
async fn removal_that_failed_is_tried_again_by_the_next_answer() {
    let store = Faulty::new(Memory::default());
    let inner = Double::new(|request, call| match *request.method() {
        Method::HEAD => ok(""),
        _ if call == 1 => ok("whole"),
        _ => status(404),
    });
    let stand = Stand::over(store.clone(), inner);
    stand.ask(head("/")).await;
    assert!(stand.ask(head("/")).await.is_hit(), "the response to the HEAD is stored");
    store.fail(Op::Remove, ErrorKind::Unavailable);
    stand.get("/").await;
    store.heal();
    assert!(stand.ask(head("/")).await.is_hit(), "it could not be removed");
    stand.get("/").await;
    assert!(!stand.ask(head("/")).await.is_hit(), "the second 404 must remove it");
}

/// The answer is known to have nothing left to end. Then a response to another query is stored that
/// answers the request too.
#[tokio::test]
async fn answer_ends_a_response_to_another_query_that_was_stored_later() {
    let inner = Double::new(|request, _| match request.uri().query() {
        Some("x=1&utm=2") => {
            let fresh = line(ok("other"), "cache-control", "max-age=60");
            line(fresh, "no-vary-search", "params=(\"utm\")")
        }
        _ => status(404),
    });
    let stand = Stand::new(inner).with(|layer| layer.no_vary_search(true));
    for round in 0..2 {
        stand.get("/?x=1").await;
        let forced = || get("/?x=1").extension(CacheOptions::new().force_refresh(true));
        stand.get("/?x=1&utm=2").await;
        let reply = stand.get("/?x=1").await;
        assert!(reply.is_hit(), "round {round}: the other query answers it: {:?}", reply.outcome());
        stand.ask(forced()).await;
        let reply = stand.get("/?x=1").await;
        assert_eq!((reply.is_hit(), reply.status.as_u16()), (false, 404));
    }
}

/// A `GET` with `If-Match` goes past the cache. Its 404 ends the response to an older `GET`.
#[tokio::test]
async fn answer_to_a_bypassing_request_ends_an_older_response_in_flight() {
    let gate = Gate::closed();
    let inner = Double::new(|request, _| match request.headers().contains_key("if-match") {
        true => status(404),
        false => ok("old"),
    });
    let stand = Stand::new(inner.first_behind(&gate));
    let mut older = pin!(stand.get("/"));
    assert!(older.as_mut().now_or_never().is_none());
    let reply = stand.ask(get("/").header("if-match", "\"a\"")).await;
    assert_eq!(reply.status.as_u16(), 404);
    gate.open(1);
    assert_eq!(soon(older).await.stored(), Stored::No(Refusal::Ended));
    assert_eq!(stand.layer.stats().in_flight, 0);
    assert!(!stand.get("/").await.is_hit());
    assert!(stand.get("/").await.is_hit(), "a later response is stored");
}

/// The response to a `HEAD` has another tag than the stored response to the `GET`. An older `GET`
/// in flight may have the old representation.
#[tokio::test]
async fn head_that_shows_a_change_ends_an_older_response_in_flight() {
    let gate = Gate::closed();
    let inner = Double::new(|request, _| match *request.method() {
        Method::HEAD => line(ok(""), "etag", "\"b\""),
        _ => line(ok("old"), "etag", "\"a\""),
    });
    let inner = inner.nth_behind(2, &gate);
    let stand = Stand::new(inner).with(|layer| layer.http_rules().expire_after(Duration::MAX));
    stand.get("/").await;
    let mut older = pin!(stand.ask(get("/").extension(CacheOptions::new().force_refresh(true))));
    assert!(older.as_mut().now_or_never().is_none());
    stand.ask(head("/").header("cache-control", "no-cache")).await;
    gate.open(1);
    assert_eq!(soon(older).await.stored(), Stored::No(Refusal::Ended));
    assert!(!stand.get("/").await.is_hit());
}

/// The call of a resident is taken over by a follower, after a variant was stored beside that
/// resident. The new resident leads to the variant.
#[tokio::test]
async fn resident_of_a_call_that_was_taken_over_leads_to_variants_stored_meanwhile() {
    let gate = Gate::closed();
    let inner = Double::new(|_, call| line(ok(call.to_string()), "vary", "x-a"));
    let inner = inner.nth_behind(2, &gate);
    // The stale resident stays of use.
    let stand = Stand::new(inner)
        .with(|layer| layer.expire_after(Duration::from_secs(60)).stale_if_error(Duration::MAX));
    let ask = |value| get("/").header("x-a", value);
    stand.ask(ask("resident")).await;
    stand.clock.advance(Duration::from_secs(60));
    let mut leader = Box::pin(stand.ask(ask("resident")));
    assert!(leader.as_mut().now_or_never().is_none());
    let mut follower = Box::pin(stand.ask(ask("resident")));
    assert!(follower.as_mut().now_or_never().is_none());
    assert_eq!(stand.ask(ask("beside")).await.text(), "3");
    drop(leader);
    let reply = soon(follower).await;
    assert_eq!((reply.text(), reply.stored()), ("4", Stored::Yes));
    assert!(stand.ask(ask("beside")).await.is_hit());
}

/// A store that refuses a head as too large has not failed.
#[tokio::test]
async fn head_that_is_too_large_after_a_304_is_refused_as_too_large() {
    let store = Faulty::new(Memory::default());
    let inner = Double::new(|request, _| tagged(&request, "\"a\"", "text"));
    let stand = Stand::over(store.clone(), inner);
    let stand = stand.with(|layer| layer.expire_after(Duration::from_secs(60)));
    stand.get("/").await;
    stand.clock.advance(Duration::from_secs(60));
    store.fail(Op::Update, ErrorKind::TooLarge);
    let reply = stand.get("/").await;
    assert_eq!((reply.text(), reply.stored()), ("text", Stored::No(Refusal::TooLarge)));
}

/// The answer is stored in place of the response that it ends. A follower may have stored it before
/// the leader removes that response.
#[tokio::test]
async fn answer_that_a_follower_has_stored_is_not_removed_as_ended() {
    let store = Faulty::new(Memory::default());
    let gate = Gate::closed();
    let inner = Double::new(|_, call| {
        let response = if call == 1 { ok("old") } else { status(404) };
        line(response, "cache-control", "max-age=60")
    });
    let inner = inner.nth_behind(2, &gate);
    let stand = Stand::over(store.clone(), inner).with(|layer| layer.http_rules());
    stand.get("/").await;
    stand.clock.advance(Duration::from_secs(60));
    let mut leader = Box::pin(stand.get("/"));
    assert!(leader.as_mut().now_or_never().is_none());
    let mut follower = Box::pin(stand.get("/"));
    assert!(follower.as_mut().now_or_never().is_none());
    gate.open(1);
    store.wait(1);
    assert!(leader.as_mut().now_or_never().is_none(), "it waits for the store");
    assert_eq!(soon(follower).await.stored(), Stored::Yes);
    assert_eq!(soon(leader).await.stored(), Stored::Yes);
    let reply = stand.get("/").await;
    assert_eq!((reply.status.as_u16(), reply.is_hit()), (404, true));
}
