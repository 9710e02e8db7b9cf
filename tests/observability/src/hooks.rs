//! The event hook: the events that it receives, their order, and the effects that it cannot have.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use http::Request;
use larder::{
    CacheLayer, CacheOptions, Event, StoreOperation,
    store::{ErrorKind, Memory, Store},
};

use crate::{
    captured::Captured,
    day,
    support::{Broken, Double, Faulty, Op, Stand, get, ok, status, tagged, url},
};

type Told = Arc<Mutex<Vec<String>>>;

fn listening<B: Store>(layer: CacheLayer<B>, told: &Told) -> CacheLayer<B> {
    let told = told.clone();
    layer.add_event_hook(move |event| told.lock().unwrap().push(text(event)))
}

fn text(event: &Event<'_>) -> String {
    match event {
        Event::Answered { status, .. } => format!("answered: {}", status.outcome()),
        Event::Failed { key, outcome, .. } => format!("failed: {outcome}, {}", key.is_some()),
        Event::Called { reason, is_refresh, .. } => format!("called: {reason}, {is_refresh}"),
        Event::Stored { bytes, .. } => format!("stored: {bytes}"),
        Event::NotStored { refusal, .. } => format!("not stored: {refusal}"),
        Event::StoreDone { operation, .. } => operation.to_string(),
        Event::StoreFailed { operation, key, error, .. } => {
            format!("{operation} failed: {:?}, {}", error.kind(), key.is_some())
        }
        Event::Corrupt { error, .. } => format!("corrupt: {:?}", error.kind()),
        Event::Invalidated { entries, .. } => format!("invalidated: {entries}"),
        Event::RefreshFailed { failure, .. } => failure.to_string(),
        other => format!("{other:?}"),
    }
}

fn take(told: &Told) -> Vec<String> {
    std::mem::take(&mut told.lock().unwrap())
}

#[tokio::test]
async fn hook_receives_all_events_in_order() {
    let (told, store) = (Told::default(), Faulty::new(Memory::default()));
    let inner = Double::fallible(|request, _| match request.uri().path() {
        "/" => Ok(tagged(&request, "\"a\"", "four")),
        "/down" => Err(Broken("down")),
        _ => Ok(status(404)),
    });
    let stand = Stand::over(store.clone(), inner).with(|layer| listening(layer, &told));

    let miss = stand.get("/").await.cache;
    let fetched = ["get", "called: absent, false", "put", "write", "finish", "stored: 4"];
    assert_eq!(take(&told), [&fetched[..], &["answered: miss (absent)"]].concat());
    stand.get("/").await;
    assert_eq!(take(&told), ["get", "answered: hit"]);
    stand.ask(get("/").extension(CacheOptions::new().refresh(true))).await;
    let confirmed = ["get", "called: refresh, false", "update", "answered: revalidated"];
    assert_eq!(take(&told), confirmed);
    stand.get("/missing").await;
    // The last read is for a stored response to a HEAD of the missing resource.
    let refused = ["get", "called: absent, false", "not stored: status", "get"];
    assert_eq!(take(&told), [&refused[..], &["answered: miss (absent)"]].concat());
    stand.error(get("/down")).await;
    let failed = ["get", "called: absent, false", "failed: miss (absent), true"];
    assert_eq!(take(&told), failed);
    stand.error(Request::post(url("/down"))).await;
    assert_eq!(take(&told), ["failed: bypass (method), false"]);
    stand.ask(Request::post(url("/"))).await;
    let removed = ["remove", "remove", "remove", "invalidated: 1", "answered: bypass (method)"];
    assert_eq!(take(&told), removed);

    store.fail(Op::Get, ErrorKind::Corrupt);
    stand.get("/").await;
    let events = take(&told);
    assert_eq!(events[..3], ["get", "corrupt: Corrupt", "remove"]);
    assert_eq!(events.last().unwrap(), "answered: miss (corrupt)");
    store.fail(Op::Get, ErrorKind::Unavailable);
    stand.get("/").await;
    assert_eq!(take(&told)[..2], ["get", "get failed: Unavailable, true"]);
    store.fail(Op::RemoveTagged, ErrorKind::Unavailable);
    stand.ask(Request::post(url("/"))).await;
    assert!(take(&told).contains(&"remove failed: Unavailable, false".to_owned()));
    assert_eq!(miss.key(), stand.get("/").await.cache.key());
}

#[tokio::test]
async fn each_failing_step_of_storing_is_reported_once_by_its_name() {
    for (op, name) in [(Op::Put, "put"), (Op::Write, "write"), (Op::Finish, "finish")] {
        let (told, store) = (Told::default(), Faulty::new(Memory::default()));
        let stand = Stand::over(store.clone(), Double::counting());
        let stand = stand.with(|layer| listening(layer, &told));
        store.fail(op, ErrorKind::Full);
        stand.get("/").await;
        let failed = format!("{name} failed: Full, true");
        let events = take(&told);
        assert_eq!(events.iter().filter(|event| event.contains("failed: Full")).count(), 1);
        let at = events.iter().position(|event| *event == failed).unwrap();
        assert_eq!((&*events[at - 1], &*events[at + 1]), (name, "not stored: store-failed"));
        assert_eq!((stand.layer.stats().store_errors, stand.layer.stats().refused), (1, 1));
    }
    assert_eq!(StoreOperation::Finish.to_string(), StoreOperation::Finish.name());
}

#[tokio::test]
async fn hooks_are_added_and_a_clone_has_its_own() {
    let [first, second, own] = [Told::default(), Told::default(), Told::default()];
    let stand = Stand::new(Double::counting());
    let stand = stand.with(|layer| listening(listening(layer, &first), &second));
    let other = stand.clone_with(|layer| listening(layer, &own));
    stand.get("/").await;
    assert_eq!(take(&first), take(&second));
    assert!(take(&own).is_empty());
    other.get("/").await;
    let hit = ["get", "answered: hit"];
    assert_eq!([take(&first), take(&second), take(&own)], [hit, hit, hit]);
}

#[tokio::test]
async fn panicking_hook_changes_nothing() {
    let told = Told::default();
    let quiet = day::live(|layer| layer).await;
    let captured = Captured::begin();
    let day = day::live(|layer| {
        let layer = layer.add_event_hook(|_| panic!("on purpose"));
        listening(layer, &told)
    })
    .await;
    assert_eq!(day.stats, quiet.stats);
    let outcomes = |day: &day::Day| -> Vec<_> {
        day.said.iter().map(|said| said.as_ref().map(|said| said.outcome())).collect()
    };
    assert_eq!(outcomes(&day), outcomes(&quiet));
    let told = take(&told).len();
    assert!(told > outcomes(&day).len(), "the next hook still receives the events");
    let warned = captured.lines("event hook panicked");
    assert_eq!(warned.len(), told, "each panic is logged once");
    assert!(warned.iter().all(|line| line.level == tracing::Level::WARN));
}

/// What a hook panics with. Its drop is counted, and panics too.
struct Payload(Arc<AtomicUsize>);

impl Drop for Payload {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        std::panic::panic_any("on purpose, in the drop");
    }
}

#[tokio::test]
async fn payload_of_a_panicking_hook_is_dropped_although_that_panics() {
    let (dropped, told) = (Arc::<AtomicUsize>::default(), Told::default());
    let counter = dropped.clone();
    let stand = Stand::new(Double::counting()).with(|layer| {
        let layer = layer.add_event_hook(move |_| std::panic::panic_any(Payload(counter.clone())));
        listening(layer, &told)
    });
    assert_eq!(stand.get("/").await.text(), "1");
    let told = take(&told).len();
    assert!(told > 0 && dropped.load(SeqCst) == told, "each event's payload is dropped");
}

#[tokio::test]
async fn refresh_is_reported_by_its_call_and_its_failure() {
    let told = Told::default();
    let second = std::time::Duration::from_secs(1);
    let stand = Stand::new(Double::fallible(|_, call| match call {
        1 => Ok(ok("old")),
        _ => Err(Broken("down")),
    }))
    .with(|layer| layer.expire_after(second).stale_while_revalidate(second * 60));
    let stand = stand.with(|layer| listening(layer, &told));
    stand.get("/").await;
    stand.clock.advance(second);
    take(&told);
    stand.get("/").await;
    stand.layer.idle().await;
    let failed = format!("refresh of {}: the inner service failed", url("/"));
    let events =
        ["get", "answered: stale (while-revalidate)", "called: expired, true", failed.as_str()];
    assert_eq!(take(&told), events);
}

#[tokio::test]
async fn events_name_their_request() {
    let (told, store) = (Told::default(), Memory::default());
    let inner = Double::fallible(|request, _| match request.uri().path() {
        "/" => Ok(ok("four")),
        "/down" => Err(Broken("down")),
        _ => Ok(status(404)),
    });
    let hook = told.clone();
    let stand = Stand::over(store, inner).with(|layer| {
        layer.add_ignored_parameters(["token"]).unwrap().add_event_hook(move |event| {
            hook.lock().unwrap().push(match event {
                Event::Answered { request, code, status, .. } => {
                    format!("{request} -> {} {}", code.as_u16(), status.outcome())
                }
                Event::Failed { request, .. } => format!("{request} failed"),
                Event::Called { request, .. } => format!("{request} called"),
                Event::Stored { request, code, .. } => format!("{request} {code} stored"),
                Event::NotStored { request, code, .. } => format!("{request} {code} not stored"),
                _ => return,
            });
        })
    });
    let secret = || Request::get("http://me:pw@Example.com:80/?a=1&token=s3cret");
    stand.ask(secret()).await;
    let url = "GET http://example.com/?a=1";
    assert_eq!(
        take(&told),
        [
            format!("{url} called"),
            format!("{url} 200 OK stored"),
            format!("{url} -> 200 miss (absent)")
        ]
    );
    stand.ask(secret()).await;
    assert_eq!(take(&told), [format!("{url} -> 200 hit")]);
    stand.get("/missing").await;
    let missing = "GET http://example.com/missing";
    assert_eq!(
        take(&told),
        [
            format!("{missing} called"),
            format!("{missing} 404 Not Found not stored"),
            format!("{missing} -> 404 miss (absent)")
        ]
    );
    stand.error(get("/down")).await;
    let down = "http://example.com/down";
    assert_eq!(take(&told), [format!("GET {down} called"), format!("GET {down} failed")]);
    stand.error(Request::post(down)).await;
    assert_eq!(take(&told), [format!("POST {down} failed")]);
    stand.ask(Request::post("http://example.com/other")).await;
    assert_eq!(take(&told), ["POST http://example.com/other -> 404 bypass (method)"]);
    stand.ask(get("/gone").extension(CacheOptions::new().only_if_cached(true))).await;
    assert_eq!(take(&told), ["GET http://example.com/gone -> 504 only-if-cached"]);
}

#[tokio::test]
async fn debug_output_of_an_event_shows_no_query() {
    let told = Told::default();
    let hook = told.clone();
    let stand = Stand::new(Double::counting()).with(|layer| {
        layer.add_event_hook(move |event| hook.lock().unwrap().push(format!("{event:?}")))
    });
    stand.get("/path?key=s3cret").await;
    let told = take(&told).concat();
    assert!(told.contains("http://example.com/path") && !told.contains("s3cret"), "{told}");
}
