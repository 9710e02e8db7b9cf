//! The latest answer wins over older responses that are still being stored.

use std::{pin::pin, sync::Mutex, time::Duration};

use futures_util::{FutureExt, future::join_all};
use http::{Response, request};
use larder::{CacheOptions, StaleLimit, Stored, status::Refusal};

use crate::support::{
    Double, Gate, Reply, Sender, Stand, TestBody, channel, empty, get, line, ok, soon, status,
    tagged,
};

/// An origin whose first answer has a body that the test sends.
fn first_is_fed(
    first: impl Fn(Response<TestBody>) -> Response<TestBody> + Send + Sync + 'static,
    others: impl Fn(usize) -> Response<TestBody> + Send + Sync + 'static,
) -> (Sender, Double) {
    let (sender, body) = channel();
    let body = Mutex::new(Some(body));
    let inner = Double::new(move |_, call| match body.lock().unwrap().take() {
        Some(body) => first(Response::new(body)),
        None => others(call),
    });
    (sender, inner)
}

fn varies(response: Response<TestBody>) -> Response<TestBody> {
    line(response, "vary", "x-a")
}

fn forced_refresh() -> request::Builder {
    get("/").extension(CacheOptions::new().force_refresh(true))
}

#[tokio::test]
async fn a_403_keeps_an_older_response_in_flight_out_of_the_store() {
    let requests: [fn() -> request::Builder; 2] =
        [forced_refresh, || get("/").header("range", "bytes=0-1")];
    for first in [|response| response, varies] {
        for request in requests {
            let (sender, inner) = first_is_fed(first, |call| match call {
                2 => status(403),
                _ => ok(call.to_string()),
            });
            let stand = Stand::new(inner);
            let older = stand.call(get("/").body(empty()).unwrap()).await.unwrap();
            sender.send("old");
            assert_eq!(stand.ask(request()).await.status, 403);
            drop(sender);
            let older = Reply::read_any(older).await;
            assert_eq!((older.text(), older.stored()), ("old", Stored::No(Refusal::Ended)));
            assert_eq!(stand.get("/").await.text(), "3");
        }
    }
}

#[tokio::test]
async fn a_403_removes_an_older_response_that_was_stored_after_its_lookup() {
    for first in [|response| response, varies] {
        let gate = Gate::closed();
        let (sender, inner) = first_is_fed(first, |call| match call {
            2 => status(403),
            _ => ok(call.to_string()),
        });
        let stand = Stand::new(inner.nth_behind(2, &gate));
        let older = stand.call(get("/").body(empty()).unwrap()).await.unwrap();
        let mut newer = pin!(stand.ask(forced_refresh()));
        assert!(newer.as_mut().now_or_never().is_none());
        sender.send("old");
        drop(sender);
        assert_eq!(Reply::read_any(older).await.stored(), Stored::Yes);
        gate.open(1);
        assert_eq!(soon(newer).await.status, 403);
        assert_eq!(stand.get("/").await.text(), "3");
    }
}

#[tokio::test]
async fn a_403_removes_a_response_that_an_older_304_freshened_meanwhile() {
    let gates = [Gate::closed(), Gate::closed()];
    let behind = gates.clone();
    let inner = Double::new(|request, call| match call {
        3 => status(403),
        _ => tagged(&request, "\"a\"", &call.to_string()),
    });
    let stand = Stand::new(inner.waiting(move |call| {
        let gate = call.checked_sub(2).and_then(|place| behind.get(place).cloned());
        async move {
            if let Some(gate) = gate {
                gate.pass().await;
            }
        }
    }));
    assert_eq!(stand.get("/").await.text(), "1");
    let refresh = get("/").extension(CacheOptions::new().refresh(true));
    let mut older = pin!(stand.ask(refresh));
    assert!(older.as_mut().now_or_never().is_none());
    let mut newer = pin!(stand.ask(forced_refresh()));
    assert!(newer.as_mut().now_or_never().is_none());
    gates[0].open(1);
    assert_eq!(soon(older).await.text(), "1");
    gates[1].open(1);
    assert_eq!(soon(newer).await.status, 403);
    assert_eq!(stand.get("/").await.text(), "4");
}

#[tokio::test]
async fn older_response_that_does_not_vary_hides_no_newer_variant() {
    let (sender, inner) = first_is_fed(|response| response, |call| varies(ok(call.to_string())));
    let stand = Stand::new(inner);
    let older = stand.call(get("/").body(empty()).unwrap()).await.unwrap();
    assert_eq!(stand.ask(forced_refresh()).await.stored(), Stored::Yes);
    sender.send("old");
    drop(sender);
    assert_eq!(Reply::read_any(older).await.stored(), Stored::No(Refusal::Superseded));
    assert_eq!(stand.get("/").await.text(), "2");
}

#[tokio::test]
async fn older_variant_hides_no_newer_response_that_does_not_vary() {
    let (sender, inner) = first_is_fed(varies, |call| ok(call.to_string()));
    let stand = Stand::new(inner);
    let older = stand.call(get("/").body(empty()).unwrap()).await.unwrap();
    assert_eq!(stand.ask(forced_refresh()).await.stored(), Stored::Yes);
    sender.send("old");
    drop(sender);
    assert_eq!(Reply::read_any(older).await.stored(), Stored::No(Refusal::Superseded));
    assert_eq!(stand.get("/").await.text(), "2");
}

#[tokio::test]
async fn removal_by_request_includes_calls_whose_response_does_not_vary() {
    let gate = Gate::closed();
    let inner = Double::new(|_, call| match call {
        1 => varies(ok("1")),
        _ => ok(call.to_string()),
    });
    let stand = Stand::new(inner.nth_behind(2, &gate));
    let ask = |value| get("/").header("x-a", value);
    assert_eq!(stand.ask(ask("1")).await.text(), "1");
    let mut older = pin!(stand.ask(ask("2")));
    assert!(older.as_mut().now_or_never().is_none());
    let removed = stand.layer.entries().remove(&ask("1").body(()).unwrap()).await;
    assert_eq!(removed.unwrap(), 1);
    gate.open(1);
    assert_eq!(soon(older).await.stored(), Stored::No(Refusal::Removed));
    assert_eq!(stand.ask(ask("1")).await.text(), "3");
}

#[tokio::test]
async fn private_answer_to_a_coalesced_call_removes_the_stored_response() {
    let gate = Gate::closed();
    let inner = Double::new(|_, call| match call {
        1 => line(ok("old"), "cache-control", "max-age=60"),
        2 => line(ok("private"), "cache-control", "private, max-age=60"),
        _ => line(ok(call.to_string()), "cache-control", "max-age=60"),
    });
    let inner = inner.nth_behind(2, &gate);
    let stand =
        Stand::shared(inner).with(|layer| layer.http_rules().stale_if_error(StaleLimit::Unlimited));
    assert_eq!(stand.get("/").await.text(), "old");
    stand.clock.advance(Duration::from_secs(60));
    let mut burst = pin!(join_all((0..3).map(|_| stand.get("/"))));
    assert!(burst.as_mut().now_or_never().is_none());
    gate.open(1);
    // Only the leader receives a private response. The followers make their own calls.
    let texts: Vec<_> = soon(burst).await.iter().map(|reply| reply.text().to_owned()).collect();
    assert_eq!(texts[0], "private");
    assert!(texts.iter().all(|text| text != "old"), "{texts:?}");
    assert_ne!(stand.get("/").await.text(), "old");
}

#[tokio::test]
async fn read_only_cache_removes_nothing() {
    for code in [301, 403, 404] {
        let stand = Stand::new(Double::new(move |_, call| match call {
            1 => ok("old"),
            _ => status(code),
        }));
        assert_eq!(stand.get("/").await.text(), "old");
        let reader = stand.clone_with(|layer| layer.read_only(true));
        assert_eq!(reader.ask(forced_refresh()).await.status, code);
        assert_eq!(reader.ask(get("/").header("range", "bytes=9-")).await.status, 416);
        assert_eq!((reader.get("/").await.text(), reader.calls()), ("old", 2));
    }
}
