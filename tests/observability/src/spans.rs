//! The span of each call, and the events during the call and after it.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use http::Response;
use larder::{
    CacheLayer, Event, Stored,
    store::{ErrorKind, Memory, Redb},
};
use tower::{Layer, ServiceExt};
use tracing::Level;

use crate::{
    captured::Captured,
    day::{self, FAILED, OUTCOMES},
    support::{Double, Faulty, Gated, Op, Stand, TestBody, empty, full, get},
};

fn outcome(span: &crate::captured::Span) -> String {
    match span.fields.get("cache.reason") {
        Some(reason) => format!("{} ({reason})", span.fields["cache.outcome"]),
        None => span.fields["cache.outcome"].clone(),
    }
}

#[tokio::test]
async fn each_call_has_a_span_with_its_outcome_and_reason() {
    let captured = Captured::begin();
    let day = day::live(|layer| layer).await;
    let spans = captured.spans("larder.call");
    // A revalidated response has the reason for its revalidation.
    let expected =
        OUTCOMES.map(|it| if it == "revalidated" { "revalidated (expired)" } else { it });
    assert_eq!(spans.iter().map(outcome).collect::<Vec<_>>(), expected);
    for (n, (span, said)) in spans.iter().zip(&day.said).enumerate() {
        let field = |name: &str| span.fields.get(name).map(String::as_str);
        assert_eq!(field("cache.name"), Some("larder"));
        assert!(field("cache.store_us").unwrap().parse::<u64>().is_ok());
        let Some(said) = said else {
            assert!(FAILED.contains(&n) && field("cache.stored").is_none());
            continue;
        };
        let key = said.key().map(|key| key.to_string()[..8].to_owned());
        assert_eq!(field("cache.key").map(str::to_owned), key);
        let age = said.age().map(|age| age.as_millis().to_string());
        assert_eq!(field("cache.age_ms").map(str::to_owned), age);
        match (field("cache.stored").unwrap(), said.stored()) {
            // The outcome was not known yet when the head was returned.
            ("pending", Stored::Yes | Stored::No(_)) | ("yes", Stored::Yes) => {}
            (told, Stored::No(refusal)) => assert_eq!(told, refusal.to_string()),
            other => panic!("{n}: {other:?}"),
        }
    }
    let ages: Vec<_> = spans.iter().filter_map(|span| span.fields.get("cache.age_ms")).collect();
    assert!(ages.iter().any(|age| *age == "15000"), "{ages:?}");
    // The log lines without spans have the same fields.
    let answered = captured.lines("request answered");
    let failed = captured.lines("inner service failed; no stale response to serve");
    assert_eq!(answered.len(), OUTCOMES.len() - FAILED.len());
    assert_eq!(failed.len(), FAILED.len());
    let (mut answered, mut failed) = (answered.iter(), failed.iter());
    for (n, span) in spans.iter().enumerate() {
        let line = if FAILED.contains(&n) { failed.next() } else { answered.next() };
        for field in ["cache.name", "cache.key", "cache.outcome", "cache.reason", "cache.stored"] {
            assert_eq!(line.unwrap().fields.get(field), span.fields.get(field), "{n}: {field}");
        }
    }
}

#[tokio::test]
async fn store_time_of_a_span_is_the_sum_of_its_operations() {
    let captured = Captured::begin();
    let times = Arc::<Mutex<Duration>>::default();
    let sum = times.clone();
    let stand = Stand::new(Double::counting()).with(|layer| {
        layer.add_event_hook(move |event| {
            if let Event::StoreDone { elapsed, .. } = event {
                *sum.lock().unwrap() += *elapsed;
            }
        })
    });
    for _ in 0..2 {
        stand.get("/").await;
        let took = std::mem::take(&mut *times.lock().unwrap()).as_micros().to_string();
        assert_eq!(captured.spans("larder.call").last().unwrap().fields["cache.store_us"], took);
    }
}

#[tokio::test]
async fn span_of_the_inner_service_is_inside_its_call_or_refresh() {
    let captured = Captured::begin();
    let second = Duration::from_secs(1);
    let inner = tower::service_fn(|_| async {
        // The span is entered after the call was suspended once.
        tokio::task::yield_now().await;
        tracing::info_span!("inner").in_scope(|| ());
        Ok::<Response<TestBody>, Infallible>(Response::new(full("text")))
    });
    let clock = larder::time::ManualClock::new(crate::support::T0);
    let layer = CacheLayer::private(Memory::default())
        .clock(clock.clone())
        .expire_after(second)
        .stale_while_revalidate(second * 60);
    let around = tracing::info_span!("around");
    for seconds in [0, 1] {
        clock.advance(second * seconds);
        let request = get("/").body(empty()).unwrap();
        let call = around.in_scope(|| layer.layer(inner).oneshot(request));
        call.await.unwrap();
        layer.idle().await;
    }
    let parents = |name| captured.spans(name).iter().map(|it| it.parent).collect::<Vec<_>>();
    assert_eq!(parents("larder.call"), [None, None], "the span of a call has no parent");
    assert_eq!(parents("inner"), [Some("larder.call"), Some("larder.refresh")]);
    assert_eq!(parents("larder.refresh"), [None]);
    let (call, refresh) = (captured.spans("larder.call"), captured.spans("larder.refresh"));
    assert_eq!(call[1].fields["cache.key"], refresh[0].fields["cache.key"]);
    let called = captured.lines("inner service called");
    let spans: Vec<_> = called.iter().map(|line| line.span).collect();
    assert_eq!(spans, [Some("larder.call"), Some("larder.call")]);
}

/// Events of destructors in a dropped call belong to the span of the call.
#[tokio::test]
async fn dropped_call_ends_within_its_span() {
    struct Telling;
    impl Drop for Telling {
        fn drop(&mut self) {
            tracing::info!("the inner call is dropped");
        }
    }
    let captured = Captured::begin();
    let inner = tower::service_fn(|_| async {
        let _telling = Telling;
        std::future::pending::<Result<Response<TestBody>, Infallible>>().await
    });
    let layer = CacheLayer::private(Memory::default());
    let mut call = Box::pin(layer.layer(inner).oneshot(get("/").body(empty()).unwrap()));
    assert!(futures_util::poll!(call.as_mut()).is_pending());
    drop(call);
    let told = captured.lines("the inner call is dropped");
    assert_eq!(told.iter().map(|line| line.span).collect::<Vec<_>>(), [Some("larder.call")]);

    // A response that is dropped while it waits to be stored.
    let gated = Gated::at_finish(Memory::default());
    let stand = Stand::over(gated, Double::counting());
    let mut call = Box::pin(stand.call(get("/").body(empty()).unwrap()));
    assert!(futures_util::poll!(call.as_mut()).is_pending());
    drop(call);
    let refused = captured.lines("response not stored");
    assert_eq!(refused[0].fields["cache.reason"], "dropped");
    assert_eq!(refused[0].span, Some("larder.call"));
}

#[tokio::test]
async fn nested_caches_have_their_own_spans() {
    let captured = Captured::begin();
    let times = Arc::<Mutex<Vec<Option<Duration>>>>::default();
    let near_times = times.clone();
    let near = CacheLayer::private(Memory::default()).named("near").unwrap().add_event_hook(
        move |event| match event {
            Event::Answered { .. } => near_times.lock().unwrap().push(None),
            Event::StoreDone { elapsed, .. } => near_times.lock().unwrap().push(Some(*elapsed)),
            _ => {}
        },
    );
    let far = CacheLayer::private(Redb::temporary().unwrap()).named("far").unwrap();
    let stack = near.layer(far.layer(Double::counting()));
    for _ in 0..2 {
        stack.clone().oneshot(get("/").body(empty()).unwrap()).await.unwrap();
        near.entries().clear().await.unwrap();
    }
    let said: Vec<_> = captured
        .spans("larder.call")
        .iter()
        .map(|span| format!("{} {}", span.fields["cache.name"], outcome(span)))
        .collect();
    assert_eq!(said, ["near miss (absent)", "far miss (absent)", "near miss (absent)", "far hit"]);
    assert_eq!(captured.spans("larder.call")[1].parent, Some("larder.call"));
    // A file takes some time, which does not count for the cache before it.
    let took = |n: usize| captured.spans("larder.call")[n].fields["cache.store_us"].clone();
    assert!(took(1).parse::<u64>().unwrap() > 0);
    let near: Duration = first_call(&times).iter().sum();
    assert_eq!(took(0), near.as_micros().to_string());
}

/// The times of the store during the first call, up to its answer.
fn first_call(times: &Mutex<Vec<Option<Duration>>>) -> Vec<Duration> {
    times.lock().unwrap().iter().copied().map_while(|time| time).collect()
}

#[tokio::test]
async fn faults_are_warnings_and_decisions_are_not() {
    let captured = Captured::begin();
    let store = Faulty::new(Memory::default());
    let stand = Stand::over(store.clone(), Double::counting());
    store.fail(Op::Finish, ErrorKind::Full);
    stand.get("/").await;
    store.fail(Op::Get, ErrorKind::Corrupt);
    stand.get("/").await;
    let level = |message| captured.lines(message)[0].level;
    assert_eq!(level("store operation failed; the request goes on without the store"), Level::WARN);
    assert_eq!(level("stored response is damaged"), Level::WARN);
    assert_eq!(level("response not stored"), Level::DEBUG);
    assert_eq!(level("request answered"), Level::DEBUG);
    assert_eq!(level("store operation finished"), Level::TRACE);
    let failed =
        &captured.lines("store operation failed; the request goes on without the store")[0].fields;
    let key = stand.get("/").await.cache.key().unwrap().to_string();
    assert_eq!((&*failed["operation"], &*failed["cache.key"]), ("finish", &key[..8]));
    assert_eq!(captured.lines("response not stored")[0].fields["cache.reason"], "store-failed");
}

#[test]
fn empty_name_is_refused() {
    let error = CacheLayer::private(Memory::default()).named("").unwrap_err();
    assert_eq!(error.setting(), "named");
}
