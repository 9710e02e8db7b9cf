//! Background tasks belong to the layer. `idle` waits for them, and they stop when the last handle
//! to the layer is dropped. No task is spawned unless a background refresh needs it.

use std::time::Duration;

use futures_util::{FutureExt, future::join_all};
use larder::{CacheOptions, Outcome, StaleLimit, status::Stale};
use tokio::runtime::Handle;

use crate::support::{Broken, Double, Gate, Stand, channel, empty, get, ok, tagged, url, with};

const SECOND: Duration = Duration::from_secs(1);
const STALE: Outcome = Outcome::Stale(Stale::WhileRevalidate);

fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Lets the spawned tasks run.
async fn run_tasks() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// A cache whose entry for `GET /` has expired and may be served stale without a limit. The gate
/// holds back its refresh.
async fn expired(inner: Double) -> (Stand, Gate) {
    let (inner, gate) = inner.gated();
    let stand = Stand::new(inner)
        .with(|layer| layer.expire_after(SECOND).stale_while_revalidate(StaleLimit::Unlimited));
    gate.open(1);
    stand.get("/").await;
    stand.clock.advance(SECOND);
    (stand, gate)
}

// ===== Idle =====

#[tokio::test]
async fn a_layer_without_tasks_is_idle() {
    let (stand, _gate) = expired(Double::counting()).await;
    stand.layer.idle().now_or_never().expect("nothing runs");
}

#[tokio::test]
async fn idle_waits_for_every_refresh_of_every_clone() {
    let (stand, gate) = expired(Double::counting()).await;
    let other = stand.clone_with(|layer| layer.max_body(1000));
    gate.open(2);
    for path in ["/a", "/b"] {
        other.get(path).await;
    }
    stand.clock.advance(SECOND);
    for path in ["/", "/a", "/b"] {
        assert_eq!(other.get(path).await.outcome(), STALE);
    }
    let mut idle = Box::pin(stand.layer.idle());
    for _ in 0..3 {
        run_tasks().await;
        assert!((&mut idle).now_or_never().is_none());
        gate.open(1);
    }
    idle.await;
    assert_eq!((tasks(), stand.layer.stats().refreshes), (0, 3));
    for path in ["/", "/a", "/b"] {
        assert_eq!(stand.get(path).await.outcome(), Outcome::Hit);
    }
}

#[tokio::test]
async fn idle_ends_for_all_waiters_even_if_the_refresh_fails() {
    for fails in [false, true] {
        let (stand, gate) = expired(Double::fallible(move |_, call| match call {
            2 if fails => Err(Broken("down")),
            _ => Ok(ok("x")),
        }))
        .await;
        stand.get("/").await;
        let mut waiting: Vec<_> = (0..10).map(|_| Box::pin(stand.layer.idle())).collect();
        assert!(waiting.iter_mut().all(|idle| idle.now_or_never().is_none()));
        gate.open(1);
        join_all(waiting).await;
        assert_eq!(stand.layer.stats().failed_refreshes, u64::from(fails));
    }
}

#[tokio::test]
async fn idle_ends_when_a_refresh_panics() {
    let (stand, gate) = expired(Double::new(|_, call| match call {
        1 => ok("x"),
        _ => panic!("on purpose"),
    }))
    .await;
    stand.get("/").await;
    gate.open(1);
    stand.layer.idle().await;
    assert_eq!(tasks(), 0);
}

/// A caller reads only its own body. The task reads the body of the refresh.
#[tokio::test]
async fn refresh_continues_when_its_caller_goes_away() {
    let (stand, gate) = expired(Double::counting()).await;
    drop(stand.call(get("/").body(empty()).unwrap()).await.unwrap());
    gate.open(1);
    stand.layer.idle().await;
    assert_eq!(stand.get("/").await.text(), "2");
}

// ===== Stopped =====

#[tokio::test]
async fn dropping_the_last_handle_stops_the_tasks() {
    let (stand, _gate) = expired(Double::counting()).await;
    stand.get("/").await;
    run_tasks().await;
    assert_eq!((stand.calls(), tasks()), (2, 1));
    let store = stand.layer.store().clone();
    let (service, entries) = (stand.service(), stand.layer.entries());
    let (clone, inner) = (stand.layer.clone().max_body(1), stand.inner.clone());
    drop(stand);
    run_tasks().await;
    assert_eq!(tasks(), 1, "a clone, a service and a handle are left");
    drop(clone);
    drop(service);
    run_tasks().await;
    assert_eq!(tasks(), 1, "a handle is left");
    drop(entries);
    run_tasks().await;
    assert_eq!((tasks(), inner.calls()), (0, 2));
    assert_eq!(larder::store::Store::len(&store).await.unwrap(), 1, "what is stored stays");
}

#[tokio::test]
async fn each_kind_of_handle_keeps_the_tasks_running() {
    for kind in ["layer", "clone", "service", "entries"] {
        let (stand, gate) = expired(Double::counting()).await;
        stand.get("/").await;
        let store = stand.layer.store().clone();
        let handle: Box<dyn std::any::Any> = match kind {
            "layer" => Box::new(stand.layer),
            "clone" => Box::new(stand.layer.clone()),
            "service" => Box::new(stand.service()),
            _ => Box::new(stand.layer.entries()),
        };
        run_tasks().await;
        assert_eq!(tasks(), 1, "{kind}");
        gate.open(1);
        run_tasks().await;
        assert_eq!(tasks(), 0, "{kind}");
        let other = Stand::over(store, Double::counting());
        assert_eq!(other.get("/").await.text(), "2", "{kind}: it was stored");
        drop(handle);
    }
}

#[tokio::test]
async fn stopped_refresh_drops_its_call_and_stores_nothing() {
    let (sender, body) = channel();
    let body = std::sync::Mutex::new(Some(body));
    let (stand, gate) = expired(Double::new(move |_, call| match call {
        1 => ok("old"),
        _ => http::Response::new(body.lock().unwrap().take().unwrap()),
    }))
    .await;
    stand.get("/").await;
    gate.open(1);
    sender.send("half");
    run_tasks().await;
    assert!(!sender.is_closed());
    let store = stand.layer.store().clone();
    drop(stand);
    run_tasks().await;
    assert!(sender.is_closed());
    let other = Stand::over(store, Double::counting());
    let only = with(CacheOptions::new().only_if_cached(true).stale_if_error(StaleLimit::Unlimited));
    assert_eq!(other.ask(only).await.text(), "old");
}

/// The tasks end with their runtime. The layer still works in another one.
#[test]
fn a_layer_outlives_its_runtime() {
    let runtime =
        || tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let first = runtime().unwrap();
    let (stand, gate) = first.block_on(async {
        let (stand, gate) = expired(Double::counting()).await;
        stand.get("/").await;
        stand.inner.begun(2).await;
        (stand, gate)
    });
    drop(first);
    assert_eq!(stand.layer.stats().in_flight, 0);
    gate.open(1);
    runtime().unwrap().block_on(async {
        stand.layer.idle().await;
        assert_eq!(stand.get("/").await.outcome(), STALE);
        stand.layer.idle().await;
        assert_eq!(stand.get("/").await.text(), "3");
    });
}

// ===== No task =====

#[tokio::test]
async fn nothing_is_spawned_without_background_refresh() {
    let (inner, gate) = Double::fallible(|request, call| match request.uri().path() {
        "/down" if call > 4 => Err(Broken("down")),
        _ => Ok(tagged(&request, "\"a\"", "whole")),
    })
    .gated();
    let stand =
        Stand::new(inner).with(|layer| layer.expire_after(SECOND).stale_if_error(SECOND * 60));
    gate.open(3);
    for path in ["/", "/down", "/new"] {
        stand.get(path).await;
        assert_eq!(tasks(), 0, "a miss");
    }
    stand.get("/").await;
    stand.clock.advance(SECOND);
    let mut asks: Vec<_> = (0..10).map(|_| Box::pin(stand.get("/"))).collect();
    assert!(asks.iter_mut().all(|ask| ask.now_or_never().is_none()));
    assert_eq!(tasks(), 0, "a revalidation, and followers");
    drop(asks.remove(0));
    gate.open(100);
    for reply in join_all(asks).await {
        assert_eq!(reply.outcome(), Outcome::Revalidated);
    }
    assert_eq!(stand.get("/down").await.outcome(), Outcome::Stale(Stale::IfError));
    stand.ask(with(CacheOptions::new().force_refresh(true))).await;
    stand.layer.entries().remove(&url("/")).await.unwrap();
    drop(stand.call(get("/").body(empty()).unwrap()).await.unwrap());
    assert_eq!((tasks(), stand.layer.stats().refreshes), (0, 0));
}

/// No task is spawned for a response that is fresh, or too stale to be served.
#[tokio::test]
async fn one_task_runs_for_a_stale_response_and_none_for_others() {
    let (stand, gate) = expired(Double::counting()).await;
    let stand = stand.with(|layer| layer.stale_while_revalidate(SECOND * 5));
    for _ in 0..10 {
        assert_eq!(stand.get("/").await.outcome(), STALE);
        assert_eq!(tasks(), 1);
    }
    gate.open(1);
    stand.layer.idle().await;
    assert_eq!((stand.get("/").await.outcome(), tasks()), (Outcome::Hit, 0));
    stand.clock.advance(SECOND * 6);
    gate.open(1);
    assert_eq!((stand.get("/").await.text(), tasks()), ("3", 0));
}
