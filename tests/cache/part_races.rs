//! Concurrent requests for parts of a response and for the whole. The response to the latest
//! request stays.

use std::{
    pin::pin,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Request, Response};
use larder::{Outcome, Stored, status::Refusal};

use crate::{
    parts::{TEXT, part, range, stand},
    support::{
        Double, Gate, Reply, Stand, TestBody, channel, empty, get, head, line, ok, soon, url,
    },
};

/// The response of an origin whose response changes with the call `new`. It has a `Vary` if
/// `varies` is set.
fn changing(
    request: &Request<Bytes>,
    (call, new): (usize, usize),
    varies: bool,
) -> Response<TestBody> {
    let response = match call < new {
        true => part(request, TEXT, "\"a\""),
        false => part(request, &TEXT.to_uppercase(), "\"b\""),
    };
    if varies { line(response, "vary", "accept-language") } else { response }
}

/// The same double, and the gate that its call of this number waits at.
fn held(inner: Double, held: usize) -> (Double, Gate) {
    let gate = Gate::closed();
    let inner = inner.waiting({
        let gate = gate.clone();
        move |call| {
            let gate = gate.clone();
            async move {
                if call == held {
                    gate.pass().await;
                }
            }
        }
    });
    (inner, gate)
}

/// Checks that the cache has the new response as a whole.
async fn assert_has_new(stand: &Stand) {
    let reply = stand.get("/").await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Hit, &*TEXT.to_uppercase()));
}

#[tokio::test]
async fn combined_parts_do_not_replace_a_whole_requested_later() {
    // The second part is the rest, or everything.
    for (varies, first) in [(false, 10), (false, 0), (true, 10), (true, 0)] {
        let inner = Double::new(move |request, call| changing(&request, (call, 3), varies));
        let (inner, gate) = held(inner, 2);
        let stand = stand(inner);
        stand.ask(range(0, 9)).await;
        let mut rest = pin!(stand.ask(range(first, 19)));
        assert!(rest.as_mut().now_or_never().is_none());
        assert_eq!(stand.get("/").await.text(), TEXT.to_uppercase());
        gate.open(1);
        let rest = soon(rest).await;
        assert_eq!(rest.text(), &TEXT[first..]);
        assert_eq!(rest.stored(), Stored::No(Refusal::Superseded), "{varies} {first}");
        assert_has_new(&stand).await;
    }
}

/// Here, the part has begun to arrive.
#[tokio::test]
async fn stored_whole_stops_an_older_one_that_is_being_combined() {
    for varies in [false, true] {
        let (sender, body) = channel();
        let body = Arc::new(Mutex::new(Some(body)));
        let stand = stand(Double::new(move |request, call| {
            let response = changing(&request, (call, 3), varies);
            match call {
                2 => response.map(|_| body.lock().unwrap().take().unwrap()),
                _ => response,
            }
        }));
        stand.ask(range(0, 9)).await;
        let rest = stand.call(range(10, 19).body(empty()).unwrap()).await.unwrap();
        sender.send(&TEXT[10..12]);
        assert_eq!(stand.get("/").await.text(), TEXT.to_uppercase());
        sender.send(&TEXT[12..]);
        drop(sender);
        let rest = soon(Reply::read_any(rest)).await;
        assert_eq!((rest.text(), rest.stored()), (&TEXT[10..], Stored::No(Refusal::Superseded)));
        assert_has_new(&stand).await;
    }
}

#[tokio::test]
async fn older_whole_does_not_overwrite_one_of_newer_parts() {
    for varies in [false, true] {
        let inner = Double::new(move |request, call| changing(&request, (call, 2), varies));
        let (inner, gate) = held(inner, 1);
        let stand = stand(inner);
        let mut older = pin!(stand.get("/"));
        assert!(older.as_mut().now_or_never().is_none());
        stand.ask(range(0, 9)).await;
        let rest = stand.ask(range(10, 19)).await;
        assert_eq!((rest.text(), rest.stored()), ("ABCDEFGHIJ", Stored::Yes));
        gate.open(1);
        let older = soon(older).await;
        assert!(!matches!(older.stored(), Stored::Yes), "{varies}");
        assert_has_new(&stand).await;
    }
}

/// The combined parts do not answer a request that waits for the whole.
#[tokio::test]
async fn whole_requested_later_replaces_the_combined_parts() {
    let (inner, gate) = held(Double::new(|request, call| changing(&request, (call, 3), false)), 3);
    let stand = stand(inner);
    stand.ask(range(0, 9)).await;
    let mut newer = pin!(stand.ask(get("/").header("cache-control", "no-cache")));
    stand.ask(range(10, 19)).await;
    assert!(newer.as_mut().now_or_never().is_none());
    assert_eq!(stand.get("/").await.text(), TEXT);
    gate.open(1);
    assert_eq!(soon(newer).await.text(), TEXT.to_uppercase());
    assert_has_new(&stand).await;
}

// ===== Counters =====

#[tokio::test]
async fn stored_bytes_count_the_combined_parts() {
    let stand = stand(Double::new(|request, _| part(&request, TEXT, "\"a\"")));
    stand.ask(range(0, 9)).await;
    assert_eq!(stand.layer.stats().stored_bytes, 10);
    stand.ask(range(8, 12)).await;
    assert_eq!(stand.layer.stats().stored_bytes, 10 + 13);
    stand.ask(range(13, 19)).await;
    assert_eq!(stand.layer.stats().stored_bytes, 10 + 13 + 20);
}

/// These requests bypass the cache, though their responses may be stored.
#[tokio::test]
async fn requests_for_parts_and_posts_do_not_count_as_calls_in_flight() {
    let (inner, gate) = Double::new(|request, _| {
        let response = part(&request, TEXT, "\"a\"");
        line(response, "content-location", request.uri().to_string())
    })
    .gated();
    let stand = stand(inner).with(|layer| layer.reuse_post_for_get(true));
    let post = || Request::post(url("/"));
    for request in [range(0, 9), post()] {
        let mut asked = pin!(stand.ask(request));
        assert!(asked.as_mut().now_or_never().is_none());
        assert_eq!((stand.layer.stats().in_flight, stand.layer.stats().calls), (0, 0));
        gate.open(1);
        assert_eq!(soon(asked).await.stored(), Stored::Yes);
    }
    // A request that does not bypass the cache counts.
    let mut whole = pin!(stand.ask(get("/").header("cache-control", "no-cache")));
    assert!(whole.as_mut().now_or_never().is_none());
    assert_eq!((stand.layer.stats().in_flight, stand.layer.stats().calls), (1, 1));
    gate.open(1);
    soon(whole).await;
    assert_eq!((stand.layer.stats().in_flight, stand.layer.stats().calls), (0, 1));
}

#[tokio::test]
async fn part_in_flight_is_not_stored_after_a_newer_no_store_answer() {
    for varies in [false, true] {
        for newer in [get, head] {
            for has_begun in [false, true] {
                let (sender, body) = channel();
                let body = Mutex::new(Some(body));
                let inner = Double::new(move |request, call| match call {
                    1 => {
                        let body = body.lock().unwrap().take().unwrap();
                        changing(&request, (call, 2), varies).map(|_| body)
                    }
                    _ => line(ok("new"), "cache-control", "no-store"),
                });
                let (inner, gate) = held(inner, 1);
                let stand = stand(inner);
                if has_begun {
                    gate.open(1);
                }
                let mut part = pin!(stand.ask(range(0, 4)));
                assert!(part.as_mut().now_or_never().is_none());
                let newer = stand.ask(newer("/")).await;
                assert_eq!(newer.stored(), Stored::No(Refusal::NoStoreDirective));
                gate.open(1);
                sender.send(&TEXT[..5]);
                drop(sender);
                let part = soon(part).await;
                assert_eq!(part.text(), &TEXT[..5]);
                assert_eq!(part.stored(), Stored::No(Refusal::Ended), "{varies} {has_begun}");
                assert_eq!(stand.layer.stats().refused, 2, "an event reports each");
                assert!(!stand.ask(range(0, 4)).await.is_from_store());
            }
        }
    }
}

#[tokio::test]
async fn a_part_that_is_removed_before_it_arrives_reports_why_it_is_not_stored() {
    let inner = Double::new(|request, call| changing(&request, (call, 9), false));
    let (inner, gate) = held(inner, 1);
    let stand = stand(inner);
    let mut part = pin!(stand.ask(range(0, 4)));
    assert!(part.as_mut().now_or_never().is_none());
    stand.layer.entries().remove(&url("/")).await.unwrap();
    gate.open(1);
    let part = soon(part).await;
    assert_eq!((part.text(), part.stored()), (&TEXT[..5], Stored::No(Refusal::Removed)));
    assert_eq!(stand.layer.stats().refused, 1, "an event reports it");
    assert!(!stand.ask(range(0, 4)).await.is_from_store());
}
