//! Which requests may follow a call: variants, methods, conditions, custom keys, other services.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use futures_util::{FutureExt, future::join_all};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use larder::{BodyErrorKind, CacheOptions, CacheStatus, Filter, Key, Outcome, Stored};
use tower::{Layer, ServiceExt};

use crate::{
    streaming::{call, fed},
    support::{
        Broken, Double, Gate, Reply, Stand, empty, frames, get, head, line, ok, soon, url, with,
    },
};

/// Answers with the requested language and the number of the call.
fn languages() -> Double {
    Double::new(|request, call| {
        let language = request.headers()["accept-language"].to_str().unwrap().to_owned();
        line(ok(format!("{language}{call}")), "vary", "accept-language")
    })
}

#[tokio::test]
async fn callers_of_one_variant_share_a_call_and_others_never_get_its_response() {
    let gate = Gate::closed();
    let stand = Stand::new(languages().behind(&gate));
    let stand = stand.with(|layer| layer.expire_after(Duration::from_secs(10)));
    let languages = ["de", "en", "de", "en", "fr", "fr", "de"];
    let ask = |language| stand.ask(get("/").header("accept-language", language));
    // The first response shows that there are variants. The cache knows this from the second round
    // on.
    for (round, calls) in [(1, 3), (2, 3)] {
        let before = stand.calls();
        let mut burst = pin!(join_all(languages.map(ask)));
        assert!(burst.as_mut().now_or_never().is_none());
        let expected = if round == 1 { 1 } else { calls };
        assert_eq!(stand.calls() - before, expected, "round {round}");
        gate.open(calls);
        let replies = soon(burst).await;
        assert_eq!(stand.calls() - before, calls, "one call a variant in round {round}");
        for (language, reply) in languages.iter().zip(&replies) {
            assert!(reply.text().starts_with(language), "{language}: {}", reply.text());
            assert_eq!(reply.stored(), Stored::Yes);
        }
        for language in ["de", "en", "fr"] {
            assert!(ask(language).await.is_from_store());
        }
        stand.clock.advance(Duration::from_secs(10));
    }
    assert_eq!(stand.layer.stats().in_flight, 0);
}

/// A response in flight is compared by the headers that it varies by, not by all headers of its
/// request.
#[tokio::test]
async fn newcomer_joins_its_variant_in_flight_or_makes_its_own_call() {
    let (senders, inner) = fed(2);
    let stand = Stand::new(inner);
    let stand = Stand {
        inner: Double::new({
            let inner = std::sync::Mutex::new(senders.iter().map(|_| ()).count());
            move |_, call| {
                assert!(call <= *inner.lock().unwrap());
                line(Response::new(frames(["a", "b"], None)), "vary", "x-a")
            }
        }),
        ..stand
    };
    let ask = |value: &'static str| get("/").header("x-a", value).body(empty()).unwrap();
    let one = stand.call(ask("1")).await.unwrap();
    let same = stand.call(ask("1")).await.unwrap();
    assert_eq!(stand.calls(), 1);
    let other = stand.call(ask("2")).await.unwrap();
    assert_eq!(stand.calls(), 2);
    for response in [other, same, one] {
        assert_eq!(Reply::read(response).await.text(), "ab");
    }
    assert_eq!(stand.layer.stats().in_flight, 0);
}

#[tokio::test]
async fn forced_refresh_follows_no_older_call_and_is_not_overwritten_by_it() {
    let gate = Gate::closed();
    let stand = Stand::new(Double::counting().first_behind(&gate));
    let mut older = pin!(stand.get("/"));
    assert!(older.as_mut().now_or_never().is_none());
    let force = || with(CacheOptions::new().force_refresh(true));
    let forced = stand.ask(force()).now_or_never().expect("it does not wait");
    assert_eq!((forced.text(), forced.stored()), ("2", Stored::Yes));
    gate.open(1);
    let older = soon(older).await;
    assert_eq!(older.text(), "1", "the earlier request gets its own response");
    assert_eq!(older.stored(), Stored::No(larder::status::Refusal::Superseded));
    assert_eq!(stand.get("/").await.text(), "2");
}

/// The older response is in flight already. Later requests may follow the newer call.
#[tokio::test]
async fn later_requests_follow_a_forced_refresh() {
    let (senders, inner) = fed(2);
    let stand = Stand::new(inner);
    let older = call(&stand).await;
    senders[0].send("old");
    let force = with(CacheOptions::new().force_refresh(true)).body(empty()).unwrap();
    let forced = stand.call(force).await.unwrap();
    let follower = call(&stand).await;
    assert_eq!(stand.calls(), 2);
    senders[1].send("new");
    drop(senders);
    for (response, text) in [(follower, "new"), (older, "old"), (forced, "new")] {
        assert_eq!(Reply::read(response).await.text(), text);
    }
    assert_eq!(stand.get("/").await.text(), "new");
    assert_eq!((stand.calls(), stand.layer.stats().in_flight), (2, 0));
}

#[tokio::test]
async fn heads_share_a_call_and_gets_share_another() {
    let gate = Gate::closed();
    let inner = Double::new(|request, call| match *request.method() {
        Method::HEAD => line(Response::new(empty()), "content-length", "3"),
        _ => ok(format!("no{call}")),
    });
    let stand = Stand::new(inner.behind(&gate));
    let mut heads = pin!(join_all((0..3).map(|_| stand.ask(head("/")))));
    let mut gets = pin!(join_all((0..3).map(|_| stand.get("/"))));
    assert!(heads.as_mut().now_or_never().is_none());
    assert!(gets.as_mut().now_or_never().is_none());
    assert_eq!(stand.calls(), 2);
    gate.open(2);
    assert!(soon(gets).await.iter().all(|reply| reply.text() == "no2"));
    for reply in soon(heads).await {
        assert_eq!((reply.text(), reply.lines("content-length")), ("", vec![&b"3"[..]]));
    }
    assert_eq!(stand.calls(), 2);
}

#[tokio::test]
async fn follower_that_has_the_response_already_gets_a_304() {
    let gate = Gate::closed();
    let stand = Stand::new(Double::new(|_, _| line(ok("body"), "etag", "\"1\"")).behind(&gate));
    let ask = |etag: &'static str| stand.ask(get("/").header("if-none-match", etag));
    let mut leader = pin!(stand.get("/"));
    assert!(leader.as_mut().now_or_never().is_none());
    let [mut same, mut other] = [Box::pin(ask("\"1\"")), Box::pin(ask("\"2\""))];
    assert!(same.as_mut().now_or_never().is_none());
    assert!(other.as_mut().now_or_never().is_none());
    gate.open(1);
    assert_eq!(soon(leader).await.text(), "body");
    let same = soon(same).await;
    assert_eq!((same.status, same.text()), (StatusCode::NOT_MODIFIED, ""));
    assert_eq!(same.lines("etag"), [b"\"1\""]);
    assert!(same.cache.is_coalesced());
    let other = soon(other).await;
    assert_eq!((other.status, other.text()), (StatusCode::OK, "body"));
    assert_eq!(stand.calls(), 1);
    assert!(stand.get("/").await.is_from_store());
}

/// Different requests may have the same custom key.
#[tokio::test]
async fn methods_that_share_a_key_do_not_share_a_call() {
    let gate = Gate::closed();
    let inner = Double::new(|request, _| ok(request.method().to_string()));
    let stand = Stand::new(inner.behind(&gate));
    let key = Key::digest("mine");
    let options = || CacheOptions::new().key(key);
    let ask = |method: Method| {
        let request = Request::builder().method(method).uri(url("/")).extension(options());
        Box::pin(stand.ask(request))
    };
    let [mut get, mut head, mut again] = [ask(Method::GET), ask(Method::HEAD), ask(Method::GET)];
    for caller in [&mut get, &mut head, &mut again] {
        assert!(caller.as_mut().now_or_never().is_none());
    }
    gate.open(3);
    for (caller, text) in [(get, "GET"), (head, "HEAD"), (again, "GET")] {
        assert_eq!(soon(caller).await.text(), text);
    }
    assert_eq!((stand.calls(), stand.layer.stats().in_flight), (2, 0));
}

#[tokio::test]
async fn urls_that_share_a_key_share_a_call() {
    let gate = Gate::closed();
    let stand = Stand::new(Double::counting().behind(&gate));
    let ask = |path| stand.ask(get(path).extension(CacheOptions::new().key(Key::digest("mine"))));
    let mut burst = pin!(join_all(["/a", "/b", "/c"].map(ask)));
    assert!(burst.as_mut().now_or_never().is_none());
    gate.open(1);
    assert!(soon(burst).await.iter().all(|reply| reply.text() == "1"));
}

#[tokio::test]
async fn only_if_cached_request_never_waits_for_a_call() {
    let gate = Gate::closed();
    let stand = Stand::new(Double::counting().behind(&gate));
    let mut leading = pin!(stand.get("/"));
    assert!(leading.as_mut().now_or_never().is_none());
    let only = with(CacheOptions::new().only_if_cached(true));
    let reply = stand.ask(only).now_or_never().expect("it does not wait");
    assert_eq!(
        (reply.status, reply.outcome()),
        (StatusCode::GATEWAY_TIMEOUT, Outcome::OnlyIfCached)
    );
    gate.open(1);
    assert_eq!(leading.await.text(), "1");
}

/// The services have bodies and errors of different types. A follower does not depend on the
/// leader's.
#[tokio::test]
async fn services_with_bodies_of_other_types_share_calls_over_one_layer() {
    let (senders, inner) = fed(2);
    let stand = Stand::new(inner);
    let unused = tower::service_fn(|_: Request<_>| async {
        panic!("the other service has called already");
        #[allow(unreachable_code, reason = "it states the type")]
        Ok::<_, std::convert::Infallible>(Response::new(Full::new(Bytes::new())))
    });
    let other = stand.layer.clone().layer(unused);
    let ask = async || {
        let request = get("/").body(Full::<Bytes>::default()).unwrap();
        other.clone().oneshot(request).await.unwrap()
    };
    let leading = call(&stand).await;
    let follower = ask().await;
    senders[0].send("shared");
    senders[0].fail(Broken("cut"));
    let mut body = follower.into_body();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "shared");
    let error = body.frame().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), BodyErrorKind::Coalesced);
    drop(leading);

    let leading = call(&stand).await;
    let follower = ask().await;
    senders[1].send("whole");
    drop(senders);
    assert_eq!(follower.into_body().collect().await.unwrap().to_bytes(), "whole");
    assert_eq!(Reply::read(leading).await.text(), "whole");
    assert_eq!(
        (stand.calls(), ask().await.extensions().get::<CacheStatus>().unwrap().is_from_store()),
        (2, true)
    );
}

#[tokio::test]
async fn refreshing_follower_calls_the_origin_if_its_call_fails_in_a_removal() {
    let gate = Gate::closed();
    let inner = Double::fallible(|_, call| match call {
        2 => Err(Broken("down")),
        _ => Ok(ok(call.to_string())),
    });
    let stand = Stand::new(inner.nth_behind(2, &gate));
    assert_eq!(stand.get("/").await.text(), "1");
    let ask = || with(CacheOptions::new().refresh(true));
    let mut leader = pin!(stand.error(ask()));
    assert!(leader.as_mut().now_or_never().is_none());
    let mut follower = pin!(stand.ask(ask()));
    assert!(follower.as_mut().now_or_never().is_none());
    // It removes nothing that is stored, but may match the response in flight.
    let missing = Filter::new().status(StatusCode::NOT_FOUND);
    assert_eq!(stand.layer.entries().remove_where(&missing, |_| {}).await.unwrap(), 0);
    gate.open(1);
    assert_eq!(soon(leader).await, Broken("down"));
    assert_eq!(soon(follower).await.text(), "3");
}
