//! Updates compare and swap, and change nothing but the head.

use std::collections::HashSet;

use futures_util::future;
use http::{HeaderMap, HeaderValue};

use super::{
    super::{Store, Version, Writer},
    support::*,
};

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(
        http::HeaderName::from_static("x-checksum"),
        HeaderValue::from_static("abc"),
    )])
}

/// After an update, the head is new, and the body, its length and the trailers are unchanged.
pub async fn an_update_leaves_the_body_alone<S: Store>(store: &S) {
    let pattern = Pattern::new(1);
    for len in [0, 7, 50_000, 2 << 20] {
        let key = key(format!("{len}"));
        let mut writer = store.put(&key, head("old")).await.expect("`put` must take an entry");
        pattern.write(&mut writer, 0, len, 100_000).await;
        writer.finish(Some(trailers())).await.expect("`finish` must publish the entry");
        let seen = version(store, &key).await;

        // What the new head says about a body must be ignored.
        let new = tagged("new", &["tag"]).with_expires_at(Some(at(5))).seal(3, None);
        assert!(update(store, &key, seen, new.clone()).await, "what was seen is still there");

        let hit = get(store, &key).await;
        let expected = new.seal(len, Some(trailers()));
        assert_eq!(*hit.head, expected, "the head must be the new one, before the old body");
        assert_ne!(hit.version, seen, "an update must give a new version");
        pattern.check(hit.body, len).await;
    }
    assert_len!(store, 4, "an update adds no entry");
}

/// An update for an old version changes nothing: after another update, after a replacement, and
/// after a removal with a new entry in its place.
pub async fn an_update_of_another_version_is_refused<S: Store>(store: &S) {
    let key = key("raced");
    let refused = async |seen: Version, name: &str, body: &str| {
        let before = version(store, &key).await;
        assert!(!update(store, &key, seen, head("late")).await, "an old version must be refused");
        let hit = get(store, &key).await;
        assert_eq!(name_of(&hit.head), name, "a refused update must change nothing");
        assert_eq!(hit.version, before, "a refused update must change nothing");
        assert_eq!(read(hit.body).await, body.as_bytes(), "a refused update must change nothing");
    };

    store_at(store, &key, head("one"), "first body").await;
    let first = version(store, &key).await;
    assert!(update(store, &key, first, head("two")).await, "what was seen is still there");
    refused(first, "two", "first body").await;

    let second = version(store, &key).await;
    store_at(store, &key, head("three"), "second body").await;
    refused(first, "three", "second body").await;
    refused(second, "three", "second body").await;

    let third = version(store, &key).await;
    assert!(remove(store, &key).await);
    store_at(store, &key, head("four"), "third body").await;
    refused(third, "four", "third body").await;
}

/// [`Store::remove_if`] removes the version that was seen, and never a newer one.
pub async fn a_removal_of_another_version_is_refused<S: Store>(store: &S) {
    let key = key("raced");
    let remove_if = async |seen| {
        store.remove_if(&key, seen).await.expect("a removal that is refused is no failure")
    };
    store_at(store, &key, head("one"), "first body").await;
    let first = version(store, &key).await;
    store_at(store, &key, head("two"), "second body").await;
    assert!(!remove_if(first).await, "an old version must be refused");
    let hit = get(store, &key).await;
    assert_eq!(name_of(&hit.head), "two", "a refused removal must change nothing");
    assert_eq!(read(hit.body).await, b"second body", "a refused removal must change nothing");

    let second = version(store, &key).await;
    assert!(update(store, &key, second, head("three")).await, "what was seen is still there");
    assert!(!remove_if(second).await, "an update gives another version");
    assert!(remove_if(version(store, &key).await).await, "what was seen is still there");
    assert!(!remove_if(second).await, "there is nothing to remove");
    assert_len!(store, 0);
}

/// An update of a missing entry is refused and creates nothing.
pub async fn an_update_of_nothing_is_refused<S: Store>(store: &S) {
    store_named(store, "gone").await;
    let seen = version(store, &key("gone")).await;
    assert!(remove(store, &key("gone")).await);
    for name in ["gone", "never"] {
        let head = tagged(name, &["tag"]).with_expires_at(Some(at(-1)));
        assert!(!update(store, &key(name), seen, head).await, "nothing is there to update");
        assert!(!has(store, name).await, "a refused update must bring nothing into being");
    }
    assert_len!(store, 0);
    assert_eq!(remove_tagged(store, "tag").await, 0, "a refused update must leave no tag");
    assert_eq!(remove_expired(store, NOW).await, 0, "a refused update must leave no expiry");
}

/// Every finished write and every update gives a key a version that it never had, also after the
/// entry was removed in whichever way. A read gives no new one.
pub async fn every_write_gives_a_new_version<S: Store>(store: &S) {
    let key = key("versions");
    let mut seen = HashSet::new();
    for round in 0..3 {
        for removal in Removal::ALL {
            // The same entry, written again, has a new version.
            store_at(store, &key, removable("same"), "same").await;
            let written = version(store, &key).await;
            assert!(seen.insert(written), "a finished write must give a new version");
            assert_eq!(version(store, &key).await, written, "reading must give no new version");
            if let Some(listed) = scan(store).await {
                assert_eq!(listed[0].version, written, "a scan must show the same version");
            }
            assert!(update(store, &key, written, removable("same")).await);
            assert!(seen.insert(version(store, &key).await), "an update must give a new version");
            if round == 0 {
                // Replaced, and not removed.
                continue;
            }
            removal.of(store, &key).await;
            store_at(store, &key, removable("same"), "same").await;
            let new = seen.insert(version(store, &key).await);
            assert!(new, "a write after {removal:?} must give a version that the key never had");
        }
    }
}

/// Of many updates for one version, exactly one succeeds, and its head is stored.
pub async fn one_of_many_concurrent_updates_succeeds<S: Store>(store: &S) {
    let key = key("raced");
    store_at(store, &key, head("old"), "body").await;
    let seen = version(store, &key).await;
    let updates = (0..20).map(async |number: usize| {
        yield_now().await;
        update(store, &key, seen, head(&number.to_string())).await
    });
    let succeeded = future::join_all(updates).await;
    let winners: Vec<_> =
        succeeded.iter().enumerate().filter(|(_, succeeded)| **succeeded).collect();
    let [(winner, _)] = winners[..] else {
        panic!("one of many updates for one version must succeed, not {}", winners.len());
    };
    let hit = get(store, &key).await;
    assert_eq!(name_of(&hit.head), winner.to_string(), "the head must be the successful update's");
    assert_eq!(read(hit.body).await, b"body");
}

/// A reader that began before an update gets the body, which has not changed, or an error.
pub async fn an_update_during_a_read_leaves_no_mixture<S: Store>(store: &S) {
    const LEN: u64 = 2 << 20;
    let key = key("read");
    let pattern = Pattern::new(1);
    pattern.store(store, &key, head("old"), LEN, 100_000).await;
    let hit = get(store, &key).await;
    let mut body = hit.body;
    let mut offset = 0;
    let mut updated = false;
    while let Some(Ok(chunk)) = body.chunk().await {
        assert!(pattern.matches(offset, &chunk), "an update must not change the body");
        offset += chunk.len() as u64;
        if !updated {
            assert!(update(store, &key, hit.version, head("new")).await);
            updated = true;
        }
    }
    assert_eq!(name_of(&hit.head), "old", "a head in hand must not change");
    pattern.check(get(store, &key).await.body, LEN).await;
}
