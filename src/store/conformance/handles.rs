//! Several handles: to the same data, or to separate data.

use super::{
    super::{Store, Writer},
    support::*,
};

/// A clone and its original see what the other writes. A clone may outlive its original.
pub async fn a_clone_is_the_same_store<S: Store>(store: &S) {
    let clone = store.clone();
    same_data(store, &clone).await;
    same_data(&clone, store).await;
    let writer = clone.put(&key("late"), head("late")).await.expect("`put` must take an entry");
    store_named(&clone, "kept").await;
    let hit = get(&clone, &key("kept")).await;
    drop(clone);
    writer.finish(None).await.expect("a writer must outlive the handle it came from");
    assert_eq!(read(hit.body).await, b"kept", "a body must outlive the handle it came from");
    assert!(has(store, "late").await);
}

/// Two handles that were opened separately on the same data (two connections, two openings of one
/// file) see each other's finished entries, updates and removals. Not part of [`all`](super::all).
pub async fn shared<A: Store, B: Store>(one: &A, two: &B) {
    same_data(one, two).await;
    same_data(two, one).await;
}

async fn same_data<A: Store, B: Store>(one: &A, two: &B) {
    let pattern = Pattern::new(1);
    let key = key("seen");
    pattern.store(one, &key, tagged("seen", &["tag"]), 1 << 20, 100_000).await;
    let hit = get(two, &key).await;
    assert_eq!(name_of(&hit.head), "seen", "the other handle must see a finished entry");
    pattern.check(hit.body, 1 << 20).await;
    assert_eq!(len(two).await, len(one).await, "both must count the same");

    assert!(update(two, &key, hit.version, tagged("newer", &["newer"])).await);
    assert_eq!(name_of(&get(one, &key).await.head), "newer", "the other must see an update");
    assert!(
        !update(one, &key, hit.version, head("late")).await,
        "an update for a version that the other handle has replaced must be refused"
    );
    assert_eq!(remove_tagged(one, "tag").await, 0);
    assert_eq!(remove_tagged(one, "newer").await, 1, "tags must be seen by the other");
    assert!(try_get(two, &key).await.is_none(), "the other must see a removal");
}

/// Two separate stores do not see, count, list, expire or clear each other's entries, even under
/// the same keys. Not part of [`all`](super::all): it is for two files, namespaces or databases,
/// and for two values of a store in memory.
pub async fn isolation<A: Store, B: Store>(one: &A, two: &B) {
    let pattern = Pattern::new(1);
    let entry = |name: &str| tagged(name, &["tag"]).with_expires_at(Some(at(-1)));
    store_at(one, &key("same"), entry("one"), "one").await;
    assert!(try_get(two, &key("same")).await.is_none(), "another store's entry is not there");
    assert_len!(two, 0, "another store's entries do not count");
    store_at(two, &key("same"), entry("two"), "two").await;
    pattern.store(two, &key("large"), head("large"), 1 << 20, 100_000).await;

    let hit = get(one, &key("same")).await;
    assert_eq!(name_of(&hit.head), "one", "each store must keep its own");
    assert_eq!(read(hit.body).await, b"one", "each store must keep its own");
    assert_len!(one, 1, "each store must count its own");
    assert_len!(two, 2, "each store must count its own");
    assert_listed!(one, 1, "each store must list its own");
    assert!(!remove(one, &key("large")).await, "another store's entry cannot be removed");
    assert_eq!(remove_tagged(one, "tag").await, 1, "a tag must remove in its own store");
    assert_len!(two, 2, "a tag must not remove in another store");
    store_at(one, &key("same"), entry("one"), "one").await;
    assert_eq!(remove_expired(one, NOW).await, 1, "expiry must remove in its own store");
    assert_len!(two, 2, "expiry must not remove in another store");
    store_named(one, "one").await;
    clear(one).await;
    assert_len!(two, 2, "`clear` must not remove in another store");
    let hit = get(two, &key("same")).await;
    assert_eq!(read(hit.body).await, b"two", "another store's entry must stay as it is");
    pattern.check(get(two, &key("large")).await.body, 1 << 20).await;
}

/// Entries that were finished before the last handle was dropped are there when `open` opens the
/// same data again, with valid indexes and versions. Unfinished entries are not. `size_bytes` is
/// what it was, except for the heads, whose size is the store's own to count. Not part of
/// [`all`](super::all).
pub async fn reopen<S: Store>(open: impl AsyncFn() -> S) {
    let pattern = Pattern::new(1);
    let store = open().await;
    pattern.store(&store, &key("large"), head("large"), 2 << 20, 100_000).await;
    store_at(&store, &key("tagged"), tagged("tagged", &["tag"]), "tagged").await;
    store_at(&store, &key("expired"), expiring("expired", at(-1)), "expired").await;
    store_named(&store, "removed").await;
    assert!(remove(&store, &key("removed")).await);
    store_named(&store, "updated").await;
    let replaced = version(&store, &key("updated")).await;
    assert!(update(&store, &key("updated"), replaced, head("newer")).await);
    let size_before = size(&store).await;
    let head_bytes = 4 * head("updated").size() as u64;
    let mut unfinished = store.put(&key("unfinished"), head("unfinished")).await.expect("`put`");
    pattern.write(&mut unfinished, 0, 1 << 20, 100_000).await;
    drop(unfinished);
    drop(store);

    let store = open().await;
    assert_len!(&store, 4, "what was finished must be there, and nothing else");
    // The bodies count the same. The heads may not: a head takes another size in memory when it
    // comes from a file.
    if let (Some(before), Some(now)) = (size_before, size(&store).await) {
        assert!(
            now.abs_diff(before) <= head_bytes,
            "the size must be what it was, except for heads: it was {before}, and is {now}"
        );
    }
    assert!(!has(&store, "removed").await && !has(&store, "unfinished").await);
    pattern.check(get(&store, &key("large")).await.body, 2 << 20).await;
    let hit = get(&store, &key("updated")).await;
    assert_eq!(name_of(&hit.head), "newer", "an update must have been kept");
    assert!(
        !update(&store, &key("updated"), replaced, head("late")).await,
        "a version of before must not come to life again"
    );
    assert_eq!(remove_tagged(&store, "tag").await, 1, "tags must have been kept");
    assert_eq!(remove_expired(&store, NOW).await, 1, "expiries must have been kept");
    let mut versions = vec![hit.version, replaced];
    for _ in 0..3 {
        store_named(&store, "updated").await;
        let new = version(&store, &key("updated")).await;
        assert!(!versions.contains(&new), "a new version must be new after reopening as well");
        versions.push(new);
    }

    // Nor does a version come to life again if the entry was removed before the store was closed.
    // `clear` is last: it leaves the store without any entry.
    let mut store = store;
    for removal in Removal::ALL {
        let key = key(format!("{removal:?}"));
        store_at(&store, &key, removable("removed"), "removed").await;
        let first = version(&store, &key).await;
        assert!(update(&store, &key, first, removable("removed")).await);
        let old = [first, version(&store, &key).await];
        removal.of(&store, &key).await;
        drop(store);
        store = open().await;
        store_at(&store, &key, removable("removed"), "removed").await;
        let new = version(&store, &key).await;
        let is_new = !old.contains(&new);
        assert!(is_new, "{removal:?} and reopening must not bring a version to life again");
        assert!(remove(&store, &key).await);
    }
}
