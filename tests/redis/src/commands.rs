//! The number of commands of an operation.

use super::*;

/// Compares the commands with the module's documentation. The server also counts the commands of
/// scripts, so the names tell which ones were sent.
#[tokio::test]
async fn other_operations_take_the_documented_number_of_commands() {
    let (server, store) = server_and_store().await;
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    let large = counted(&server, async { drop(get(&store, key(1)).await.unwrap()) }).await;
    assert_eq!((large["get"], large["hmget"]), (1, 4), "the head, and one for each 256 KiB");
    // Loads the script into the server.
    store.remove_tagged("nothing").await.unwrap();
    let nothing = async { assert_eq!(store.remove_tagged("nothing").await.unwrap(), 0) };
    assert_eq!(counted(&server, nothing).await["evalsha"], 1, "one for each index");
    let nothing = async { assert_eq!(store.remove_expired(now()).await.unwrap(), 0) };
    assert_eq!(counted(&server, nothing).await["evalsha"], 16, "one for each index");
}

/// A removal by tag costs the same number of commands, sent and in the server, for any number of
/// entries.
#[tokio::test]
async fn cost_of_a_removal_by_tag_depends_on_what_it_removes() {
    let (server, store) = server_and_store().await;
    let mut costs = Vec::new();
    // Loads the scripts into the server.
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
