//! A stored response that a 304 has freshened: whether it may be stored, for how long it is kept,
//! and under which key.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, Request, Response};
use larder::{
    CacheOptions, Outcome, Stored,
    status::{Miss, Refusal},
};

use crate::support::{
    Double, Gate, Stand, TestBody, full, get, head, line, not_modified, ok, tagged, url, with,
};

const SECOND: Duration = Duration::from_secs(1);

/// An origin that answers according to the request and the number of the call.
fn origin(
    answer: impl Fn(&Request<Bytes>, usize) -> Response<TestBody> + Send + Sync + 'static,
) -> Double {
    Double::new(move |request, call| answer(&request, call))
}

/// A cache whose responses are fresh for ten seconds. Its response to `GET /` has just expired.
async fn expired(inner: Double) -> Stand {
    let stand = Stand::new(inner).with(|layer| layer.expire_after(SECOND * 10));
    expire(stand).await
}

async fn expire(stand: Stand) -> Stand {
    stand.get("/").await;
    stand.inner.take_seen();
    stand.clock.advance(SECOND * 10);
    stand
}

// ===== Whether it may be stored =====

#[tokio::test]
async fn shared_cache_does_not_store_a_304_with_a_cookie() {
    let inner = origin(|request, call| match call {
        1 => tagged(request, "\"a\"", "whole"),
        _ => line(tagged(request, "\"a\"", "whole"), "set-cookie", format!("id={call}")),
    });
    let stand = Stand::shared(inner).with(|layer| layer.expire_after(SECOND * 10));
    let stand = expire(stand).await;
    for call in 2..4 {
        let reply = stand.get("/").await;
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Revalidated, "whole"));
        assert_eq!(reply.stored(), Stored::No(Refusal::SetCookie));
        assert_eq!(
            reply.lines("set-cookie"),
            [format!("id={call}").as_bytes()],
            "the cookie of this 304"
        );
    }
    let stored = stand.layer.entries().get(&url("/")).await.unwrap().unwrap();
    assert!(!stored.headers().contains_key("set-cookie"));
}

#[tokio::test]
async fn a_304_is_judged_by_the_rules_of_the_layer_and_of_the_request() {
    let stand = expired(origin(|request, _| tagged(request, "\"a\"", "whole"))).await;
    let new = CacheOptions::new;
    let never = new().expire_after(larder::Expiration::DoNotStore);
    for (options, refusal) in
        [(new().no_store(true), Refusal::NoStore), (never, Refusal::Expiration)]
    {
        let reply = stand.ask(with(options)).await;
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Revalidated, "whole"));
        assert_eq!(reply.stored(), Stored::No(refusal));
    }
    let picky = stand.clone_with(|layer| layer.store_if(|_, _| false));
    assert_eq!(picky.get("/").await.stored(), Stored::No(Refusal::Predicate));
    let reader = stand.clone_with(|layer| layer.read_only(true));
    assert_eq!(reader.get("/").await.stored(), Stored::No(Refusal::ReadOnly));
    let own = new().expire_after(SECOND * 60);
    stand.ask(with(own)).await;
    stand.clock.advance(SECOND * 59);
    assert!(stand.get("/").await.is_from_store(), "the request's own expiration");
    assert_eq!(stand.calls(), 6);
}

/// A stored response answers every request with its key. A 304 that varies by more says that it
/// must no longer do so.
#[tokio::test]
async fn a_304_with_a_new_vary_removes_the_stored_response() {
    for vary in ["*", "x-a", "x-a, x-b"] {
        let inner = origin(move |request, call| match call {
            1 => tagged(request, "\"a\"", "whole"),
            _ => line(tagged(request, "\"a\"", "whole"), "vary", vary),
        });
        let stand = expired(inner).await;
        let reply = stand.ask(get("/").header("x-a", "1")).await;
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Revalidated, "whole"));
        assert_eq!(reply.stored(), Stored::No(Refusal::Vary), "{vary}");
        let other = stand.ask(get("/").header("x-a", "2")).await;
        assert_eq!((other.outcome(), stand.calls()), (Outcome::Miss(Miss::Absent), 3), "{vary}");
    }
}

#[tokio::test]
async fn freshened_entry_keeps_its_tags_and_its_key() {
    let stand = Stand::new(origin(|request, _| tagged(request, "\"a\"", "whole")))
        .with(|layer| layer.expire_after(SECOND));
    stand.ask(with(CacheOptions::new().add_tag("page"))).await;
    stand.clock.advance(SECOND);
    assert_eq!(stand.get("/").await.outcome(), Outcome::Revalidated);
    let entries = stand.layer.entries();
    assert!(entries.contains(&url("/")).await.unwrap());
    assert_eq!(entries.remove_tag("page").await.unwrap(), 1);
}

// ===== How long it is kept =====

#[tokio::test]
async fn responses_with_validators_are_kept_for_an_hour_beyond_their_expiry() {
    let stand = expired(origin(|request, _| tagged(request, "\"a\"", "whole"))).await;
    let entries = stand.layer.entries();
    for _ in 0..2 {
        stand.clock.advance(SECOND * 3600 - Duration::from_millis(1));
        assert_eq!(entries.remove_expired().await.unwrap(), 0);
        assert_eq!(stand.get("/").await.outcome(), Outcome::Revalidated, "kept, and kept again");
        stand.clock.advance(SECOND * 10);
    }
    stand.clock.advance(SECOND * 3600);
    assert_eq!(entries.remove_expired().await.unwrap(), 1);
    assert_eq!(stand.get("/").await.outcome(), Outcome::Miss(Miss::Absent));
}

#[tokio::test]
async fn keep_expired_of_zero_removes_responses_at_their_expiry() {
    let stand = Stand::new(origin(|request, _| tagged(request, "\"a\"", "whole")))
        .with(|layer| layer.expire_after(SECOND * 10).keep_expired(Duration::ZERO));
    let stand = expire(stand).await;
    assert_eq!(stand.layer.entries().remove_expired().await.unwrap(), 1);
    stand.get("/").await;
    assert_eq!(stand.inner.take_seen()[0].conditions(), (None, None));
}

// ===== Variants, and HEAD =====

#[tokio::test]
async fn freshened_variant_keeps_its_resident() {
    let inner = origin(|request, _| {
        let of = request.headers()["x-a"].to_str().unwrap();
        line(tagged(request, &format!("\"{of}\""), of), "vary", "x-a")
    });
    let stand = Stand::new(inner).with(|layer| layer.expire_after(SECOND * 10));
    let of = |value: &str| get("/").header("x-a", value);
    stand.ask(of("2")).await;
    stand.ask(of("1")).await;
    // This is longer in all than the resident was to be kept at first.
    for _ in 0..3 {
        stand.clock.advance(SECOND * 3000);
        stand.layer.entries().remove_expired().await.unwrap();
        let reply = stand.ask(of("1")).await;
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Revalidated, "1"));
    }
    assert_eq!(stand.ask(of("1")).await.outcome(), Outcome::Hit);
    assert_eq!(stand.len().await, 2, "the resident is kept");
    assert_eq!(stand.ask(of("2")).await.outcome(), Outcome::Revalidated);
}

#[tokio::test]
async fn head_freshens_the_stored_response_to_a_get() {
    let stand = expired(origin(|request, _| tagged(request, "\"a\"", "whole"))).await;
    let reply = stand.ask(head("/")).await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Revalidated, ""));
    assert_eq!(reply.headers["content-length"], "5");
    let seen = stand.inner.take_seen();
    assert_eq!((&seen[0].method, seen[0].conditions().0), (&Method::HEAD, Some("\"a\"")));
    let reply = stand.get("/").await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Hit, "whole"), "the GET's is fresh");
    assert_eq!(stand.len().await, 1);
}

#[tokio::test]
async fn new_response_to_a_head_leaves_the_response_to_a_get_stale() {
    let stand = expired(Double::new(|request, call| match *request.method() {
        Method::HEAD => line(Response::new(full("")), "etag", "\"new\""),
        _ => line(ok(call.to_string()), "etag", format!("\"{call}\"")),
    }))
    .await;
    assert_eq!(stand.ask(head("/")).await.outcome(), Outcome::Miss(Miss::Expired));
    assert_eq!(stand.ask(head("/")).await.outcome(), Outcome::Hit);
    let reply = stand.get("/").await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Miss(Miss::Expired), "3"));
}

#[tokio::test]
async fn head_that_began_earlier_updates_or_removes_the_response_to_a_get() {
    for (tag, expected) in [("\"old\"", Outcome::Hit), ("\"new\"", Outcome::Miss(Miss::Absent))] {
        let gate = Gate::closed();
        let inner = Double::new(move |request, _| match *request.method() {
            Method::HEAD => {
                line(line(Response::new(full("")), "etag", tag), "cache-control", "max-age=100")
            }
            _ => line(tagged(&request, "\"old\"", "whole"), "cache-control", "max-age=10"),
        });
        let stand = Stand::new(inner.first_behind(&gate)).with(|layer| layer.http_rules());
        // Nothing is stored when the HEAD begins.
        let mut heading = pin!(stand.ask(head("/")));
        assert!(heading.as_mut().now_or_never().is_none());
        assert_eq!(stand.get("/").await.stored(), Stored::Yes);
        gate.open(1);
        heading.await;
        stand.clock.advance(SECOND * 50);
        assert_eq!(stand.get("/").await.outcome(), expected, "{tag}");
    }
}

/// An origin that sends new names in each 304 does not make the entry grow without limit.
#[tokio::test]
async fn a_stored_head_does_not_grow_with_every_304() {
    let stand = Stand::new(Double::new(|request, call| {
        if !request.headers().contains_key("if-none-match") {
            return tagged(&request, "\"a\"", "whole");
        }
        let mut response = not_modified();
        for n in 0..90 {
            let name = http::HeaderName::try_from(format!("x-{call}-{n}")).unwrap();
            response.headers_mut().insert(name, "x".parse().unwrap());
        }
        response
    }))
    .with(|layer| layer.expire_after(Duration::from_secs(1)));
    for _ in 0..50 {
        assert_eq!(stand.get("/").await.text(), "whole");
        assert!(stand.get("/").await.headers.len() <= 512);
        stand.clock.advance(Duration::from_secs(1));
    }
}
