//! Calls that are under way while something else happens: a removal, an insertion, a newer call, an expiry.

use std::{pin::pin, time::Duration};

use futures_util::FutureExt;
use larder::{CacheOptions, Outcome, Stored, status::Refusal, store::Memory};
use tower::{Layer, ServiceExt};

use crate::{
    streaming::{call, fed},
    support::{Double, Gate, Gated, Reply, Stand, empty, get, line, ok, soon, tagged},
};

#[tokio::test]
async fn a_variant_that_is_removed_is_not_brought_back_by_a_call_that_began_before_there_were_any()
{
    for by_request in [false, true] {
        let gate = Gate::closed();
        let inner = Double::new(|_, call| line(ok(call.to_string()), "vary", "x-a"));
        let stand = Stand::new(inner.first_behind(&gate));
        let ask = || get("/").header("x-a", "1");
        let mut first = pin!(stand.ask(ask()));
        assert!(first.as_mut().now_or_never().is_none());
        // Another call tells that there are variants.
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

/// What is put there by hand is newer than what is on its way.
#[tokio::test]
async fn a_response_that_is_inserted_is_not_overwritten_by_an_older_call() {
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

/// The layer twice in one stack: the inner one does not wait for the call that it is part of.
#[tokio::test]
async fn a_layer_that_is_in_a_stack_twice_does_not_wait_for_itself() {
    let stand = Stand::new(Double::counting());
    let nested = stand.layer.layer(stand.layer.layer(stand.inner.clone()));
    let request = || get("/").body(empty()).unwrap();
    let response = soon(nested.clone().oneshot(request())).await.unwrap();
    assert_eq!(Reply::read(response).await.text(), "1");
    let reply = Reply::read(nested.oneshot(request()).await.unwrap()).await;
    assert!(reply.is_from_store() && stand.calls() == 1);
    assert_eq!(stand.layer.stats().in_flight, 0);
}

/// A newer response that is stored stays, whichever call ends last.
#[tokio::test]
async fn a_call_that_began_earlier_does_not_overwrite_what_a_later_one_has_stored() {
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

/// A body that trickles for longer than the response is fresh answers nobody who comes after that.
#[tokio::test]
async fn a_response_that_has_expired_on_its_way_is_not_shared_with_newcomers() {
    let (senders, inner) = fed(2);
    let stand = Stand::new(inner).with(|layer| layer.expire_after(Duration::from_secs(10)));
    let _first = call(&stand).await;
    senders[0].send("old");
    let _second = call(&stand).await;
    assert_eq!(stand.calls(), 1, "fresh as it is, it is shared");
    stand.clock.advance(Duration::from_secs(10));
    let _third = call(&stand).await;
    assert_eq!(stand.calls(), 2);
}

/// The same where the older call began before anybody knew that there are variants, and lies under another key therefore.
#[tokio::test]
async fn an_older_call_does_not_overwrite_a_variant_that_a_later_one_has_stored() {
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

/// Nor where the origin has ceased to vary its response, or varies it by what is part of the key anyway: it lies in the
/// place of all then, whatever the place was that its request was looked for in.
#[tokio::test]
async fn an_older_call_for_a_variant_does_not_overwrite_what_does_not_vary_any_more() {
    for (n, vary) in (0..8).flat_map(|n| [(n, None), (n, Some("authorization"))]) {
        let gate = Gate::closed();
        let behind = gate.clone();
        let inner = Double::new(move |_, call| match if call == 1 { Some("x-a") } else { vary } {
            Some(vary) => line(ok(call.to_string()), "vary", vary),
            None => ok(call.to_string()),
        });
        let inner = inner.waiting(move |call| {
            let gate = behind.clone();
            async move {
                if call == 2 {
                    gate.pass().await;
                }
            }
        });
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

/// What an older call brings comes neither over what a later one has freshened, nor in between.
#[tokio::test]
async fn an_older_call_does_not_overwrite_what_a_later_304_freshened() {
    let gate = Gate::closed();
    let behind = gate.clone();
    let inner = Double::new(|request, call| match call {
        2 => line(ok("2"), "etag", "\"b\""),
        _ => tagged(&request, "\"a\"", &call.to_string()),
    });
    let inner = inner.waiting(move |call| {
        let gate = behind.clone();
        async move {
            if call == 2 {
                gate.pass().await;
            }
        }
    });
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

/// A response that was found to vary by less is not to hide those that vary by more.
#[tokio::test]
async fn an_older_call_does_not_take_names_from_the_list_of_variants() {
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
