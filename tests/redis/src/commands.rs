//! How many commands an operation takes.

use super::*;

#[tokio::test]
async fn a_small_hit_is_one_round_trip() {
    let (server, store) = place().await;
    put(&store, key(1), tagged(&["tag"]), body(1, 60_000)).await.unwrap();
    let seen = counted(&server, async {
        for _ in 0..100 {
            assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 60_000));
        }
    });
    assert_eq!(seen.await, BTreeMap::from([("get".to_owned(), 100)]));
    let seen = counted(&server, async { assert!(get(&store, key(2)).await.is_none()) });
    assert_eq!(seen.await, BTreeMap::from([("get".to_owned(), 1)]));
}

/// What the module's text says of the other operations. The scripts' own commands are counted too, so those that were sent
/// are told apart by their names.
#[tokio::test]
async fn the_other_operations_take_as_many_commands_as_documented() {
    let (server, store) = place().await;
    let sent = |seen: BTreeMap<String, u64>| {
        let sent = ["get", "hmget", "evalsha", "getrange"];
        sent.map(|name| seen.get(name).copied().unwrap_or_default())
    };
    // So that the server knows the scripts.
    let warm = tagged(&["a"]).with_expires_at(Some(now().saturating_add(Duration::from_secs(99))));
    put(&store, key(0), warm.clone(), body(0, MIB)).await.unwrap();
    put(&store, key(0), warm, body(0, MIB)).await.unwrap();
    store.remove(&key(0)).await.unwrap();

    let small = counted(&server, async { put(&store, key(1), head(), body(1, 9)).await.unwrap() });
    assert_eq!(sent(small.await)[2], 1, "a small body without expiry and tags");
    let tagged = expiring(Duration::from_secs(99)).with_tags(vec!["a".into(), "b".into()]);
    let small = counted(&server, async { put(&store, key(2), tagged, body(1, 9)).await.unwrap() });
    assert_eq!(sent(small.await)[2], 1, "no more for the expiry and each tag");
    let large =
        counted(&server, async { put(&store, key(3), head(), body(1, MIB)).await.unwrap() });
    assert_eq!(sent(large.await)[2], 1 + 4, "one more for each chunk");
    let large = counted(&server, async { drop(get(&store, key(3)).await.unwrap()) });
    assert_eq!(sent(large.await)[..2], [1, 4], "one for the head, and one for each 256 KiB");
    let removal = counted(&server, async { assert!(store.remove(&key(2)).await.unwrap()) });
    assert_eq!(sent(removal.await)[2], 1);
    let nothing = counted(&server, async {
        assert_eq!(store.remove_tagged("nothing").await.unwrap(), 0);
    });
    assert_eq!(sent(nothing.await)[2], 1, "by index");
    let nothing =
        counted(&server, async { assert_eq!(store.remove_expired(now()).await.unwrap(), 0) });
    assert_eq!(sent(nothing.await)[2], 16, "by index");
}

/// A removal by tag sends as many commands, and the server does as much of anything, however many entries there are.
#[tokio::test]
async fn a_removal_by_tag_costs_what_it_removes() {
    let (server, store) = place().await;
    let mut costs = Vec::new();
    // So that the server knows the scripts.
    put(&store, key(0), tagged(&["few"]), body(0, 9)).await.unwrap();
    store.remove_tagged("few").await.unwrap();
    for entries in [20, 10_000] {
        let fill = (0..entries).map(|number| {
            let tag = if number % (entries / 10) == 0 { "few" } else { "many" };
            put(&store, key(number), tagged(&[tag]), body(number, 9))
        });
        futures_util::stream::iter(fill.collect::<Vec<_>>())
            .buffer_unordered(64)
            .for_each(|done| async { done.unwrap() })
            .await;
        assert_eq!(store.len().await.unwrap(), entries);
        let seen = counted(&server, async {
            assert_eq!(store.remove_tagged("few").await.unwrap(), 10);
        });
        costs.push(seen.await);
        store.clear().await.unwrap();
    }
    assert_eq!(costs[0], costs[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_varied_hit_reads_the_store_once() {
    let (_server, store) = place().await;
    reads::are_counted(store).await;
}
