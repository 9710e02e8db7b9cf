//! Removing expired entries: by hand, with and without those kept for stale use, and in the
//! background.

use std::time::Duration;

use larder::{
    CacheLayer, Event,
    store::{ErrorKind, Memory},
};

use crate::support::{Double, Faulty, Op, Stand, get, soon, tagged, url};

const SECOND: Duration = Duration::from_secs(1);

fn kept_after_expiry(layer: CacheLayer<Memory>) -> CacheLayer<Memory> {
    layer.expire_after(SECOND).stale_if_error(SECOND * 10)
}

#[tokio::test]
async fn remove_expired_leaves_entries_that_are_kept_for_stale_use() {
    let stand = Stand::new(Double::counting()).with(kept_after_expiry);
    let entries = stand.layer.entries();
    for (path, fresh) in [("/old", false), ("/new", true)] {
        if fresh {
            stand.clock.advance(SECOND);
        }
        stand.get(path).await;
    }
    assert_eq!((entries.remove_expired().await.unwrap(), stand.len().await), (0, 2));
    assert_eq!((entries.remove_all_expired().await.unwrap(), stand.len().await), (1, 1));
    assert!(entries.contains(&url("/new")).await.unwrap());
    stand.clock.advance(SECOND * 11);
    assert_eq!((entries.remove_expired().await.unwrap(), stand.len().await), (1, 0));
}

#[tokio::test]
async fn entry_with_a_validator_is_removed_only_by_remove_all_expired() {
    let stand = Stand::new(Double::new(|request, _| tagged(&request, "\"a\"", "text")))
        .with(|layer| layer.expire_after(SECOND));
    stand.ask(get("/")).await;
    stand.clock.advance(SECOND);
    let entries = stand.layer.entries();
    assert_eq!(entries.remove_expired().await.unwrap(), 0);
    assert_eq!(entries.remove_all_expired().await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn sweep_removes_expired_entries_and_ends_with_the_layer() {
    let stand = Stand::new(Double::counting()).with(|layer| layer.expire_after(SECOND));
    stand.layer.entries().sweep_every(SECOND * 60).unwrap();
    let store = stand.layer.store().clone();
    let count = || async { larder::store::Store::len(&store).await.unwrap() };
    stand.get("/a").await;
    stand.clock.advance(SECOND * 5);
    tokio::time::sleep(SECOND * 59).await;
    assert_eq!(count().await, 1, "not yet");
    tokio::time::sleep(SECOND * 2).await;
    assert_eq!(count().await, 0);

    // `idle` does not wait for a sweep.
    soon(stand.layer.idle()).await;
    // Another call replaces the interval.
    stand.layer.entries().sweep_every(SECOND).unwrap();
    stand.get("/b").await;
    stand.clock.advance(SECOND * 5);
    tokio::time::sleep(SECOND * 2).await;
    assert_eq!(count().await, 0);

    stand.get("/c").await;
    stand.clock.advance(SECOND * 5);
    drop(stand);
    tokio::time::sleep(SECOND * 120).await;
    assert_eq!(count().await, 1, "the layer is gone");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_removes_nothing_while_the_cache_is_off_or_read_only() {
    let stand = Stand::new(Double::counting()).with(|layer| layer.expire_after(SECOND));
    let entries = stand.layer.entries();
    stand.get("/").await;
    stand.clock.advance(SECOND * 5);
    stand.layer.clone().read_only(true).entries().sweep_every(SECOND).unwrap();
    tokio::time::sleep(SECOND * 2).await;
    assert_eq!(stand.len().await, 1, "read-only");
    stand.layer.set_enabled(false);
    entries.sweep_every(SECOND).unwrap();
    tokio::time::sleep(SECOND * 2).await;
    assert_eq!(stand.len().await, 1, "off");
    stand.layer.set_enabled(true);
    tokio::time::sleep(SECOND * 2).await;
    assert_eq!(stand.len().await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_fails_is_reported_and_tried_again() {
    let store = Faulty::new(Memory::default());
    let (failed, failures) = std::sync::mpsc::channel();
    let stand = Stand::over(store.clone(), Double::counting()).with(|layer| {
        layer.expire_after(SECOND).add_event_hook(move |event| {
            if let Event::StoreFailed { operation, .. } = event {
                let _gone = failed.send(*operation);
            }
        })
    });
    stand.layer.entries().sweep_every(SECOND * 60).unwrap();
    stand.get("/").await;
    stand.clock.advance(SECOND * 5);
    store.fail(Op::RemoveExpired, ErrorKind::Unavailable);
    tokio::time::sleep(SECOND * 61).await;
    assert_eq!((failures.try_iter().count(), stand.len().await), (1, 1));
    store.heal();
    tokio::time::sleep(SECOND * 61).await;
    assert_eq!((failures.try_iter().count(), stand.len().await), (0, 0));
}

#[test]
fn a_sweep_without_a_runtime_or_an_interval_is_refused() {
    let entries = CacheLayer::private(Memory::default()).entries();
    let error = entries.sweep_every(SECOND).unwrap_err();
    assert_eq!(error.setting(), "sweep_every");
    assert!(error.to_string().contains("runtime"), "{error}");
    let error = entries.sweep_every(Duration::ZERO).unwrap_err();
    assert!(error.to_string().contains("zero"), "{error}");
}
