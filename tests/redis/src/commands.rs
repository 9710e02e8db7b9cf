//! How many commands an operation takes.

use super::*;

/// What the module's text says beyond the round trips. The scripts' own commands are counted too,
/// so those that were sent are told apart by their names.
#[tokio::test]
async fn the_other_operations_take_as_many_commands_as_documented() {
    let (server, store) = place().await;
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    let large = counted(&server, async { drop(get(&store, key(1)).await.unwrap()) }).await;
    assert_eq!((large["get"], large["hmget"]), (1, 4), "the head, and 256 KiB each");
    // So that the server knows the script.
    store.remove_tagged("nothing").await.unwrap();
    let nothing = async { assert_eq!(store.remove_tagged("nothing").await.unwrap(), 0) };
    assert_eq!(counted(&server, nothing).await["evalsha"], 1, "by index");
    let nothing = async { assert_eq!(store.remove_expired(now()).await.unwrap(), 0) };
    assert_eq!(counted(&server, nothing).await["evalsha"], 16, "by index");
}

/// A removal by tag sends as many commands, and the server does as much of anything, however many
/// entries there are.
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
