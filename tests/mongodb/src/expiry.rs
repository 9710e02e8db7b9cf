//! Entries that expire, and the index that expires them.

use super::*;

/// The index that expires entries: its name and its seconds.
pub(crate) async fn expiry_index(seen: &Seen) -> Vec<(String, Option<u64>)> {
    let indexes: Vec<IndexModel> =
        seen.entries.list_indexes().await.unwrap().try_collect().await.unwrap();
    let ours = indexes.into_iter().filter(|index| index.keys.contains_key("keep_until"));
    let shown = ours.map(|index| {
        let options = index.options.unwrap();
        (options.name.unwrap(), options.expire_after.map(|after| after.as_secs()))
    });
    shown.collect()
}

#[tokio::test]
async fn ttl_index_follows_the_settings() {
    let server = Server::start();
    let seen = Seen::on(&server).await;
    // The store is not connected, because this starts a sweep.
    let connect = async |grace| {
        let store = builder(&server).grace(grace).build().await.unwrap();
        put(&store, key(1), expiring(Duration::ZERO), body(1, 9)).await.unwrap();
        store
    };
    let ours = |seconds| vec![("keep_until_1".to_owned(), seconds)];
    let store = connect(Duration::ZERO).await;
    assert_eq!(expiry_index(&seen).await, ours(Some(0)));
    connect(Duration::ZERO).await;
    assert_eq!(expiry_index(&seen).await, ours(Some(0)));
    connect(Duration::from_millis(90_001)).await;
    assert_eq!(expiry_index(&seen).await, ours(Some(91)));
    // Without native expiry, and with it again.
    connect(Duration::MAX).await;
    assert_eq!(expiry_index(&seen).await, ours(None));
    connect(Duration::from_secs(60)).await;
    assert_eq!(expiry_index(&seen).await, ours(Some(60)));
    // Another index has the name, or the same keys have another index.
    for (keys, name) in [
        (doc! { "keep_until": -1, "url": 1 }, "keep_until_1"),
        (doc! { "keep_until": 1 }, "by hand"),
    ] {
        seen.entries.drop_index("keep_until_1").await.unwrap();
        let options = IndexOptions::builder().name(name.to_owned()).build();
        let index = IndexModel::builder().keys(keys).options(options).build();
        seen.entries.create_index(index).await.unwrap();
        connect(Duration::from_secs(5)).await;
        // Some servers allow two indexes of the same keys.
        let found = expiry_index(&seen).await;
        assert!(found.contains(&ours(Some(5))[0]), "{found:?} instead of {name}");
    }
    assert_eq!(store.len().await.unwrap(), 1, "the stored entry stays");
}

/// The command `larder` does this, because it does not know the program's grace.
#[tokio::test]
async fn store_that_keeps_the_grace_does_not_change_the_index() {
    let server = Server::start();
    let seen = Seen::on(&server).await;
    let put = async |builder: Builder| {
        let store = builder.connect().await.unwrap();
        put(&store, key(1), head(), body(1, 9)).await.unwrap();
    };
    // There is no index yet.
    put(builder(&server).grace(Duration::from_secs(7)).keep_grace()).await;
    assert_eq!(expiry_index(&seen).await, [("keep_until_1".to_owned(), Some(7))]);
    for (grace, seconds) in [
        (Duration::from_secs(86_400), Some(86_400)),
        (Duration::MAX, None),
        (Duration::ZERO, Some(0)),
    ] {
        put(builder(&server).grace(grace)).await;
        put(builder(&server).keep_grace()).await;
        assert_eq!(expiry_index(&seen).await, [("keep_until_1".to_owned(), seconds)]);
    }
}

#[tokio::test]
async fn dropped_collections_get_their_indexes_again() {
    let server = Server::start();
    let seen = Seen::on(&server).await;
    let grace = |seconds| builder(&server).grace(Duration::from_secs(seconds));
    // The store is not connected, because this starts a sweep.
    let store = grace(7).build().await.unwrap();
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    let ours = |seconds| [("keep_until_1".to_owned(), Some(seconds))];
    assert_eq!(expiry_index(&seen).await, ours(7));
    for collection in [&seen.entries, &seen.files, &seen.chunks] {
        collection.drop().await.unwrap();
    }
    assert!(get(&store, key(1)).await.is_none());
    put(&store, key(1), expiring(Duration::ZERO), body(1, MIB)).await.unwrap();
    assert_eq!(expiry_index(&seen).await, []);
    assert_eq!(store.remove_expired(now()).await.unwrap(), 1);
    assert_eq!(expiry_index(&seen).await, ours(7));
    // A grace that another process has chosen in the meantime stays.
    let other = grace(8).build().await.unwrap();
    put(&other, key(1), head(), body(1, 9)).await.unwrap();
    assert_eq!(store.remove_expired(now()).await.unwrap(), 0);
    assert_eq!(expiry_index(&seen).await, ours(8));
}

#[tokio::test]
async fn server_removes_expired_entries_and_a_sweep_removes_their_files() {
    let server = Server::expiring();
    let seen = Seen::on(&server).await;
    let store = builder(&server).timeout(BRIEF).linger(Duration::ZERO);
    let store = store.connect().await.unwrap();
    for (number, len) in [(1, 9), (2, MIB), (3, 2 * MIB)] {
        put(&store, key(number), expiring(Duration::from_secs(1)), body(number, len))
            .await
            .unwrap();
    }
    put(&store, key(4), expiring(DAY), body(4, MIB)).await.unwrap();
    put(&store, key(5), head(), body(5, MIB)).await.unwrap();
    until("the server removes what expires", async || store.len().await.unwrap() == 2).await;
    assert!(get(&store, key(2)).await.is_none());
    // No request asks for these entries.
    seen.settle([2, 2, 10]).await;
    assert_eq!(store.remove_expired(now()).await.unwrap(), 0, "the server was first");
    assert_eq!(get(&store, key(4)).await.unwrap(), body(4, MIB));
    assert_eq!(get(&store, key(5)).await.unwrap(), body(5, MIB));
}
