//! Scans, counts and sizes.

use std::collections::{HashMap, HashSet};

use futures_util::StreamExt;

use super::{
    super::{Store, Writer},
    support::*,
};

/// A scan lists each finished entry once, expired ones included, with the head and the version that
/// `get` returns.
pub async fn a_scan_sees_each_entry_once<S: Store>(store: &S) {
    let Some(empty) = scan(store).await else { return };
    assert!(empty.is_empty(), "an empty store lists nothing");
    let names: Vec<_> = (0..700).map(|number: i64| number.to_string()).collect();
    for (number, name) in names.iter().enumerate() {
        let head = tagged(name, &[name]).with_expires_at(Some(at(number as i64 - 300)));
        store_at(store, &key(name), head, name.clone()).await;
    }
    let mut unfinished = store.put(&key("unfinished"), head("unfinished")).await.expect("`put`");
    unfinished.write("some".into()).await.expect("`write` must take a chunk");

    let mut listed = HashMap::new();
    for item in scan(store).await.unwrap_or_default() {
        assert!(listed.insert(item.key, item).is_none(), "an entry must be listed once");
    }
    assert_eq!(listed.len(), names.len(), "each finished entry must be listed, and no other");
    for name in &names {
        let item = listed.get(&key(name)).expect("each finished entry must be listed");
        let hit = get(store, &key(name)).await;
        assert_eq!(item.head, hit.head, "a scan must show the head that is there");
        assert_eq!(item.version, hit.version, "a scan must show the version that is there");
    }
}

/// If entries are added, removed and changed during a scan, those that stay are listed, and none is
/// listed twice.
pub async fn a_scan_during_changes_sees_what_stays_once<S: Store>(store: &S) {
    if scan(store).await.is_none() {
        return;
    }
    for number in 0..600 {
        store_named(store, &format!("stays {number}")).await;
        store_named(store, &format!("goes {number}")).await;
        store_named(store, &format!("changes {number}")).await;
    }
    let mut listed = HashSet::new();
    let mut scan = std::pin::pin!(store.scan());
    let mut number = 0;
    while let Some(item) = scan.next().await {
        let item = item.expect("a scan of sound entries has no errors");
        assert!(listed.insert(item.key), "an entry must be listed once");
        if number < 600 {
            remove(store, &key(format!("goes {number}"))).await;
            store_named(store, &format!("comes {number}")).await;
            store_named(store, &format!("changes {number}")).await;
            number += 1;
        }
    }
    for number in 0..600 {
        let stays = key(format!("stays {number}"));
        assert!(listed.contains(&stays), "an entry that stays must be listed");
    }
}

/// An abandoned scan blocks nothing.
pub async fn a_scan_may_be_dropped_midway<S: Store>(store: &S) {
    if scan(store).await.is_none() {
        return;
    }
    for number in 0..300 {
        store_named(store, &number.to_string()).await;
    }
    for items in 0..4 {
        let mut scan = std::pin::pin!(store.scan());
        for _ in 0..items {
            scan.next().await.expect("an item").expect("a sound item");
        }
    }
    store_named(store, "after").await;
    assert_listed!(store, 301, "an abandoned scan must change nothing");
}

/// `len` counts finished entries, expired ones included, each key once.
pub async fn len_counts_finished_entries<S: Store>(store: &S) {
    assert_len!(store, 0, "an empty store has no entries");
    for number in 0..50 {
        let name = number.to_string();
        store_at(store, &key(&name), expiring(&name, at(number - 25)), "body").await;
        assert_len!(store, number as u64 + 1, "each entry counts as one");
    }
    store_named(store, "7").await;
    let seen = version(store, &key("8")).await;
    assert!(update(store, &key("8"), seen, head("8")).await);
    assert_len!(store, 50, "replacing and updating adds no entry");
    assert!(remove(store, &key("9")).await);
    assert_len!(store, 49, "removing takes one away");
}

/// `size_bytes` includes the bodies, and shrinks when an entry is removed or replaced by a smaller
/// one.
pub async fn the_size_grows_and_shrinks<S: Store>(store: &S) {
    // Noise cannot be compressed.
    let write = async |name: &str, len| {
        store_at(store, &key(name), head(name), Pattern::noise(len)).await;
    };
    let Some(empty) = size(store).await else { return };
    let size = async || size(store).await.expect("`size_bytes` must answer");
    store_named(store, "small").await;
    let small = size().await;
    assert!(small > empty, "an entry must take bytes");

    write("large", 1 << 20).await;
    let large = size().await;
    assert!(large >= small + (1 << 20), "a body must be counted");

    write("large", 1 << 10).await;
    let replaced = size().await;
    assert!(replaced < large - (1 << 19), "a body that was replaced must not be counted");
    assert!(replaced > small, "the body in its place must be counted");

    write("larger", 3 << 20).await;
    assert!(size().await >= replaced + (3 << 20), "a body must be counted");
    assert!(remove(store, &key("larger")).await);
    assert_eq!(size().await, replaced, "a removed entry takes nothing");
    assert!(remove(store, &key("large")).await && remove(store, &key("small")).await);
    assert_eq!(size().await, empty, "a store without entries is as small as at first");
}
