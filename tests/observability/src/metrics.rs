//! The metrics of a recorder, compared with the counters.

use std::{collections::BTreeMap, sync::Mutex};

use larder::{CacheLayer, store::Memory};
use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};
use tower::Layer;

use crate::{
    day::{self, FAILED, OUTCOMES},
    metered::{Metered, recorder},
    support::{Double, Stand, empty, get, ok, url},
};

#[tokio::test]
async fn metrics_and_counters_and_statuses_agree_over_a_whole_day() {
    let recorder = recorder();
    let (mut metered, _guard) = Metered::begin(&recorder);
    let day = day::live(|layer| layer).await;

    // Each request counts once, by outcome and reason.
    let mut expected = BTreeMap::<String, f64>::new();
    for outcome in OUTCOMES {
        let labels = match outcome.split_once(" (") {
            Some((outcome, reason)) => {
                format!("cache=larder,outcome={outcome},reason={}}}", reason.trim_end_matches(')'))
            }
            None if outcome == "revalidated" => {
                format!("cache=larder,outcome={outcome},reason=expired}}")
            }
            None => format!("cache=larder,outcome={outcome}}}"),
        };
        *expected.entry(labels).or_default() += 1.0;
    }
    assert_eq!(metered.of("larder_requests_total"), expected);
    assert_eq!(day.sum(larder::Stats::requests), OUTCOMES.len() as u64);
    let said = day.said.iter().flatten().map(|said| said.outcome().to_string());
    let answered: Vec<_> = OUTCOMES
        .iter()
        .enumerate()
        .filter(|(n, _)| !FAILED.contains(n))
        .map(|(_, outcome)| (*outcome).to_owned())
        .collect();
    assert_eq!(said.collect::<Vec<_>>(), answered);

    // Each counter is the sum of one metric.
    for (metric, counted) in [
        ("larder_failed_requests_total", day.sum(|stats| stats.failed)),
        ("larder_calls_total", day.sum(|stats| stats.calls)),
        ("larder_refreshes_total", day.sum(|stats| stats.refreshes)),
        ("larder_failed_refreshes_total", day.sum(|stats| stats.failed_refreshes)),
        ("larder_stored_entries_total", day.sum(|stats| stats.stored)),
        ("larder_stored_bytes_total", day.sum(|stats| stats.stored_bytes)),
        ("larder_refused_entries_total", day.sum(|stats| stats.refused)),
        ("larder_corrupt_entries_total", day.sum(|stats| stats.corrupt)),
        ("larder_store_errors_total", day.sum(|stats| stats.store_errors)),
        ("larder_invalidated_entries_total", day.sum(|stats| stats.invalidated)),
    ] {
        assert!(counted > 0, "{metric} is not tested");
        assert_eq!(metered.sum(metric), counted as f64, "{metric}");
    }
    for outcome in ["hit", "miss", "stale", "revalidated", "coalesced", "bypass", "only-if-cached"]
    {
        let counted = day.sum(|stats| match outcome {
            "hit" => stats.hits - stats.stale_hits,
            "miss" => stats.misses,
            "stale" => stats.stale_hits + stats.stale_if_error,
            "revalidated" => stats.revalidated,
            "coalesced" => stats.coalesced,
            "bypass" => stats.bypasses,
            _ => stats.only_if_cached,
        });
        let expected = OUTCOMES.iter().filter(|it| it.split(' ').next() == Some(outcome));
        assert_eq!(counted as usize, expected.count(), "{outcome}");
    }
    assert_eq!(day.sum(|stats| stats.failed) as usize, FAILED.len());
    assert_eq!((day.sum(|stats| stats.in_flight), metered.sum("larder_calls_in_flight")), (0, 0.0));

    // Every store operation is timed.
    for operation in ["get", "put", "write", "finish", "update", "remove"] {
        let metric = format!("larder_store_seconds{{cache=larder,operation={operation}}}");
        assert!(metered.value(&metric) > 0.0, "{operation}");
    }
    for (reason, count) in [("status", 1.0), ("body-failed", 1.0), ("store-failed", 1.0)] {
        let metric = format!("larder_refused_entries_total{{cache=larder,reason={reason}}}");
        assert_eq!(metered.value(&metric), count, "{reason}");
    }
}

#[tokio::test]
async fn gauge_counts_the_calls_in_flight() {
    let recorder = recorder();
    let (mut metered, _guard) = Metered::begin(&recorder);
    let (inner, gate) = Double::counting().gated();
    let stand = Stand::new(inner.clone());
    let calls =
        ["/a", "/b", "/a"].map(|path| Box::pin(stand.call(get(path).body(empty()).unwrap())));
    let calls = futures_util::future::join_all(calls);
    let mut calls = std::pin::pin!(calls);
    assert!(futures_util::poll!(calls.as_mut()).is_pending());
    inner.begun(0).await;
    assert_eq!((metered.sum("larder_calls_in_flight"), stand.layer.stats().in_flight), (2.0, 2));
    gate.open(2);
    drop(calls.await);
    assert_eq!((metered.sum("larder_calls_in_flight"), stand.layer.stats().in_flight), (0.0, 0));

    // Dropped calls are not in flight either.
    let mut call = Box::pin(stand.call(get("/c").body(empty()).unwrap()));
    assert!(futures_util::poll!(call.as_mut()).is_pending());
    assert_eq!(metered.sum("larder_calls_in_flight"), 1.0);
    drop(call);
    assert_eq!(metered.sum("larder_calls_in_flight"), 0.0);
}

/// If a leader is dropped, a follower takes its call over and makes another one.
#[tokio::test]
async fn call_taken_over_by_a_follower_is_in_flight() {
    let recorder = recorder();
    let (mut metered, _guard) = Metered::begin(&recorder);
    let (inner, gate) = Double::counting().gated();
    let stand = Stand::new(inner.clone());
    let ask = || Box::pin(stand.call(get("/").body(empty()).unwrap()));
    let (mut leader, mut follower) = (ask(), ask());
    assert!(futures_util::poll!(leader.as_mut()).is_pending());
    assert!(futures_util::poll!(follower.as_mut()).is_pending());
    assert_eq!(inner.calls(), 1);
    drop(leader);
    assert!(futures_util::poll!(follower.as_mut()).is_pending());
    assert_eq!(inner.calls(), 2);
    assert_eq!((metered.sum("larder_calls_in_flight"), stand.layer.stats().in_flight), (1.0, 1));
    gate.open(1);
    drop(follower.await);
    assert_eq!((metered.sum("larder_calls_in_flight"), stand.layer.stats().in_flight), (0.0, 0));
}

/// These calls bypass the cache, although it may store their responses.
#[tokio::test]
async fn calls_for_parts_and_posts_are_not_counted_in_flight() {
    let recorder = recorder();
    let (mut metered, _guard) = Metered::begin(&recorder);
    let (inner, _gate) = Double::counting().gated();
    let stand = Stand::new(inner).with(CacheLayer::http_rules);
    let part = get("/").header("range", "bytes=0-1");
    let post = http::Request::post(url("/"));
    let [part, post] = [part, post].map(|it| stand.call(it.body(empty()).unwrap()));
    let mut both = std::pin::pin!(futures_util::future::join(part, post));
    assert!(futures_util::poll!(both.as_mut()).is_pending());
    assert_eq!(stand.calls(), 2);
    assert_eq!((metered.sum("larder_calls_in_flight"), stand.layer.stats().in_flight), (0.0, 0));
    assert_eq!((metered.sum("larder_calls_total"), stand.layer.stats().calls), (0.0, 0));
}

#[tokio::test]
async fn caches_are_distinguished_by_name() {
    let recorder = recorder();
    let (mut metered, _guard) = Metered::begin(&recorder);
    let stand = Stand::new(Double::counting());
    stand.get("/").await;
    let named = stand.clone_with(|layer| layer.named("near").unwrap());
    named.get("/").await;
    named.get("/").await;
    let mut hits =
        |name| metered.value(&format!("larder_requests_total{{cache={name},outcome=hit}}"));
    assert_eq!((hits("larder"), hits("near")), (0.0, 2.0));
}

#[tokio::test]
async fn store_reports_its_evictions() {
    let recorder = recorder();
    let (mut metered, _guard) = Metered::begin(&recorder);
    let store = Memory::new(200_000);
    let body = "x".repeat(20_000);
    let stand = Stand::over(store.clone(), Double::new(move |_, _| ok(body.clone())));
    for n in 0..50 {
        stand.get(&format!("/{n}")).await;
    }
    let (evicted, left) = (store.evicted(), stand.len().await);
    assert_eq!((evicted.entries, left > 0), (50 - left, true));
    assert!(evicted.bytes > evicted.entries * 20_000);
    let metric = |name| format!("larder_evicted_{name}_total{{store=memory}}");
    assert_eq!(metered.value(&metric("entries")), evicted.entries as f64);
    assert_eq!(metered.value(&metric("bytes")), evicted.bytes as f64);
}

#[tokio::test]
async fn every_metric_has_a_unit_and_a_description() {
    let recorder = recorder();
    let (mut metered, _guard) = Metered::begin(&recorder);
    day::live(|layer| layer).await;
    let described = metered.described();
    assert!(described.len() >= 13, "{described:#?}");
    for (name, (unit, is_described)) in described {
        let expected = match name {
            name if name.contains("_seconds") => Unit::Seconds,
            name if name.contains("_bytes") => Unit::Bytes,
            _ => Unit::Count,
        };
        assert_eq!((unit, is_described), (&Some(expected), &true), "{name}");
    }
}

/// A layer that was created before the recorder still reports to it.
#[tokio::test]
async fn recorder_may_be_installed_late() {
    let layer = CacheLayer::private(Memory::default());
    let stand = Stand::new(Double::counting());
    let recorder = recorder();
    let (mut metered, _guard) = Metered::begin(&recorder);
    drop(layer.layer(stand.inner.clone()));
    stand.get("/").await;
    assert_eq!(metered.sum("larder_requests_total"), 1.0);
}

/// A recorder that only counts descriptions.
#[derive(Debug, Default)]
struct Describing(Mutex<Vec<String>>);

impl Describing {
    fn describe(&self, name: KeyName) {
        self.0.lock().unwrap().push(name.as_str().to_owned());
    }
}

impl Recorder for Describing {
    fn describe_counter(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(name);
    }

    fn describe_gauge(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(name);
    }

    fn describe_histogram(&self, name: KeyName, _: Option<Unit>, _: SharedString) {
        self.describe(name);
    }

    fn register_counter(&self, _: &Key, _: &Metadata<'_>) -> Counter {
        Counter::noop()
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

/// Some frameworks apply a layer again for each request.
#[test]
fn layer_describes_its_metrics_only_once() {
    let recorder = Describing::default();
    let apply = |layer: &CacheLayer<Memory>| {
        with_local_recorder(&recorder, || drop(layer.layer(Double::counting())));
        std::mem::take(&mut *recorder.0.lock().unwrap())
    };
    let layer = CacheLayer::private(Memory::default());
    let mut described = apply(&layer);
    assert_eq!(described.len(), 17, "{described:?}");
    described.sort();
    described.dedup();
    assert_eq!(described.len(), 17, "each metric is described once");
    let named = layer.clone().named("near").unwrap();
    for again in [&layer, &layer.clone(), &named] {
        assert!(apply(again).is_empty());
    }
    assert_eq!(
        apply(&CacheLayer::private(Memory::default())).len(),
        17,
        "another layer describes its own metrics"
    );
}
