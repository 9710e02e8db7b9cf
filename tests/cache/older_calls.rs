//! Calls in flight while something else happens: a removal, an insertion, a newer call, an expiry.

use std::{pin::pin, time::Duration};

use futures_util::FutureExt;
use larder::{CacheOptions, Outcome, Stored, status::Refusal, store::Memory};
use tower::{Layer, ServiceExt};

use crate::{
    streaming::{call, fed},
    support::{Double, Gate, Gated, Reply, Stand, empty, get, line, ok, soon, tagged},
};

#[tokio::test]
async fn removed_variant_is_not_stored_again_by_a_call_from_before_variants() {
    for by_request in [false, true] {
        let gate = Gate::closed();
        let inner = Double::new(|_, call| line(ok(call.to_string()), "vary", "x-a"));
        let stand = Stand::new(inner.first_behind(&gate));
        let ask = || get("/").header("x-a", "1");
        let mut first = pin!(stand.ask(ask()));
        assert!(first.as_mut().now_or_never().is_none());
        // Another call shows that there are variants.
        let alone = stand.ask(ask().extension(CacheOptions::new().coalesce(false))).await;
        assert_eq!((alone.text(), alone.stored()), ("2", Stored::Yes));
        let entries = stand.layer.entries();
        let removed = if by_request {
            entries.remove(&ask().body(()).unwrap()).await
        } else {
            entries.remove(alone.cache.key().unwrap()).await
        };
        assert_eq!(removed.unwrap(), 1);
        gate.open(1);
        let first = soon(first).await;
        assert_eq!((first.text(), first.stored()), ("1", Stored::No(Refusal::Removed)));
        assert_eq!(stand.ask(ask()).await.text(), "3");
    }
}

/// An inserted response is newer than one in flight.
#[tokio::test]
async fn inserted_response_is_not_overwritten_by_an_older_call() {
    let gate = Gate::closed();
    let stand = Stand::new(Double::counting().first_behind(&gate));
    let mut older = pin!(stand.get("/"));
    assert!(older.as_mut().now_or_never().is_none());
    let entries = stand.layer.entries();
    entries.insert(&get("/").body(()).unwrap(), ok("by hand")).await.unwrap();
    gate.open(1);
    assert_eq!(soon(older).await.text(), "1");
    assert_eq!(stand.get("/").await.text(), "by hand");
}

/// The layer is in one stack twice. The inner one does not wait for the call that it is part of.
#[tokio::test]
async fn layer_that_is_in_a_stack_twice_does_not_wait_for_itself() {
    let stand = Stand::new(Double::counting());
    let nested = stand.layer.layer(stand.layer.layer(stand.inner.clone()));
    let request = || get("/").body(empty()).unwrap();
    let response = soon(nested.clone().oneshot(request())).await.unwrap();
    assert_eq!(Reply::read(response).await.text(), "1");
    let reply = Reply::read(nested.oneshot(request()).await.unwrap()).await;
    assert!(reply.is_from_store() && stand.calls() == 1);
    assert_eq!(stand.layer.stats().in_flight, 0);
}

/// The newer response stays, whichever call ends last.
#[tokio::test]
async fn older_call_does_not_overwrite_what_a_later_one_has_stored() {
    let gate = Gate::closed();
    let stand = Stand::new(Double::counting().first_behind(&gate));
    let mut older = pin!(stand.get("/"));
    assert!(older.as_mut().now_or_never().is_none());
    let alone = get("/").extension(CacheOptions::new().coalesce(false));
    assert_eq!(stand.ask(alone).await.text(), "2");
    gate.open(1);
    let older = soon(older).await;
    assert_eq!((older.text(), older.stored()), ("1", Stored::No(Refusal::Superseded)));
    assert_eq!(stand.get("/").await.text(), "2");
}

/// A response may expire while its body arrives. It answers no request that comes after that.
#[tokio::test]
async fn response_that_expires_in_flight_is_not_shared_with_newcomers() {
    let (senders, inner) = fed(2);
    let stand = Stand::new(inner).with(|layer| layer.expire_after(Duration::from_secs(10)));
    let _first = call(&stand).await;
    senders[0].send("old");
    let _second = call(&stand).await;
    assert_eq!(stand.calls(), 1, "it is shared while it is fresh");
    stand.clock.advance(Duration::from_secs(10));
    let _third = call(&stand).await;
    assert_eq!(stand.calls(), 2);
}

/// The older call began before the variants were known. So it is for another key.
#[tokio::test]
async fn older_call_does_not_overwrite_a_variant_that_a_later_one_has_stored() {
    let gate = Gate::closed();
    let inner = Double::new(|_, call| line(ok(call.to_string()), "vary", "x-a"));
    let stand = Stand::new(inner.first_behind(&gate));
    let ask = |value| get("/").header("x-a", value);
    let mut older = pin!(stand.ask(ask("1")));
    assert!(older.as_mut().now_or_never().is_none());
    let alone = CacheOptions::new().coalesce(false);
    assert_eq!(stand.ask(ask("2").extension(alone.clone())).await.text(), "2");
    assert_eq!(stand.ask(ask("1").extension(alone)).await.text(), "3");
    gate.open(1);
    assert_eq!(soon(older).await.text(), "1");
    assert_eq!(stand.ask(ask("1")).await.text(), "3");
    assert_eq!(stand.ask(ask("2")).await.text(), "2");
}

/// The origin no longer varies its response, or varies it by a header that is part of the key
/// anyway. Such a response is stored under the primary key, whatever key its request was looked up
/// under.
#[tokio::test]
async fn older_call_for_a_variant_does_not_overwrite_what_no_longer_varies() {
    for (n, vary) in (0..8).flat_map(|n| [(n, None), (n, Some("authorization"))]) {
        let gate = Gate::closed();
        let inner = Double::new(move |_, call| match if call == 1 { Some("x-a") } else { vary } {
            Some(vary) => line(ok(call.to_string()), "vary", vary),
            None => ok(call.to_string()),
        });
        let inner = inner.nth_behind(2, &gate);
        let stand = Stand::new(inner).with(|layer| layer.expire_after(Duration::from_secs(10)));
        let ask = |value: usize| get("/").header("x-a", value.to_string());
        assert_eq!(stand.ask(ask(n)).await.stored(), Stored::Yes);
        stand.clock.advance(Duration::from_secs(10));
        let mut older = pin!(stand.ask(ask(n)));
        assert!(older.as_mut().now_or_never().is_none());
        let alone = CacheOptions::new().coalesce(false);
        assert_eq!(stand.ask(ask(n + 1).extension(alone)).await.text(), "3");
        gate.open(1);
        let older = soon(older).await;
        assert_eq!((older.text(), older.stored()), ("2", Stored::No(Refusal::Superseded)));
        assert_eq!(stand.ask(ask(n)).await.text(), "3", "{n}, {vary:?}");
    }
}

/// The response of an older call does not replace one that a later call has freshened or is
/// freshening.
#[tokio::test]
async fn older_call_does_not_overwrite_what_a_later_304_freshened() {
    let gate = Gate::closed();
    let inner = Double::new(|request, call| match call {
        2 => line(ok("2"), "etag", "\"b\""),
        _ => tagged(&request, "\"a\"", &call.to_string()),
    });
    let inner = inner.nth_behind(2, &gate);
    let store = Gated::at_update(Memory::default());
    let stand =
        Stand::over(store.clone(), inner).with(|layer| layer.expire_after(Duration::from_secs(10)));
    assert_eq!(stand.get("/").await.stored(), Stored::Yes);
    stand.clock.advance(Duration::from_secs(10));
    let mut older = pin!(stand.get("/"));
    assert!(older.as_mut().now_or_never().is_none());
    let alone = CacheOptions::new().coalesce(false);
    let mut newer = pin!(stand.ask(get("/").extension(alone)));
    assert!(newer.as_mut().now_or_never().is_none(), "it waits for the store");
    gate.open(1);
    let older = soon(older).await;
    assert_eq!((older.text(), older.stored()), ("2", Stored::No(Refusal::Superseded)));
    store.update(1);
    let newer = soon(newer).await;
    assert_eq!((newer.text(), newer.stored()), ("1", Stored::Yes));
    assert_eq!(newer.outcome(), Outcome::Revalidated);
    let reply = stand.get("/").await;
    assert!(reply.is_from_store() && reply.text() == "1");
}

/// The older response varies by another header. It must not hide the variants that later calls have
/// stored.
#[tokio::test]
async fn older_call_does_not_take_names_from_the_variance_record() {
    let gate = Gate::closed();
    let inner = Double::new(|_, call| {
        line(ok(call.to_string()), "vary", if call == 1 { "x-a" } else { "x-b" })
    });
    let stand = Stand::new(inner.first_behind(&gate));
    let ask = |device| get("/").header("x-a", "1").header("x-b", device);
    let mut older = pin!(stand.ask(ask("phone")));
    assert!(older.as_mut().now_or_never().is_none());
    for (device, text) in [("phone", "2"), ("tablet", "3")] {
        let alone = CacheOptions::new().coalesce(false);
        assert_eq!(stand.ask(ask(device).extension(alone)).await.text(), text);
    }
    gate.open(1);
    assert_eq!(soon(older).await.stored(), Stored::No(Refusal::Superseded));
    for (device, text) in [("phone", "2"), ("tablet", "3")] {
        let reply = stand.ask(ask(device)).await;
        assert!(reply.is_from_store() && reply.text() == text, "{device}: {}", reply.text());
    }
}
