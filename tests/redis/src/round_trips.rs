//! The number of round trips of an operation. A proxy counts them.

use super::*;

/// A proxy that counts each piece that it receives, of any command.
async fn counting(port: u16) -> Proxy {
    Proxy::counting(port, |_| Some(String::new())).await
}

async fn trips(proxy: &Proxy, what: impl Future<Output = ()>) -> u64 {
    proxy.of(what).await.1.trips
}

/// A store behind a proxy. The scripts are loaded into the server.
async fn counted_server_and_store() -> (Server, Proxy, Redis) {
    let server = Server::start();
    let proxy = counting(server.port).await;
    let store = patient(Redis::builder(proxy.url())).connect().await.unwrap();
    warm_up(&store).await;
    (server, proxy, store)
}

/// The only node of a cluster, behind a proxy. The node announces the proxy's address.
async fn cluster_of_one() -> (Server, Proxy) {
    let args = ["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1"];
    let server = Server::start_with(&args);
    let proxy = counting(server.port).await;
    let port = proxy.address.port().to_string();
    server.ask::<String>(&["CONFIG", "SET", "cluster-announce-port", &port]);
    server.ask::<String>(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    let state = || server.ask::<String>(&["CLUSTER", "INFO"]);
    until("the cluster is ready", async || state().contains("cluster_state:ok")).await;
    (server, proxy)
}

/// Runs each script once.
async fn warm_up(store: &Redis) {
    for len in [9, MIB] {
        put(store, key(0), hinted(), body(0, len)).await.unwrap();
    }
    update(store, key(0)).await;
    assert!(store.remove(&key(0)).await.unwrap());
    assert_eq!(store.remove_tagged("a").await.unwrap(), 0);
}

/// A head with hints in several indexes.
fn hinted() -> Head {
    expiring(Duration::from_secs(99)).with_tags(vec!["a".into(), "b".into(), "c".into()])
}

async fn update(store: &Redis, key: Key) {
    let seen = store.get(&key).await.unwrap().unwrap().version;
    assert!(store.update(&key, seen, hinted()).await.unwrap());
}

/// The round trips to store a small entry: without hints, with hints, and over another one.
async fn of_small_stores(proxy: &Proxy, store: &Redis) -> [u64; 3] {
    let stored = async |head| {
        trips(proxy, async { put(store, key(1), head, body(1, 60_000)).await.unwrap() }).await
    };
    [stored(head()).await, stored(hinted()).await, stored(hinted()).await]
}

#[tokio::test]
async fn storing_a_small_entry_takes_one_round_trip() {
    let (_server, proxy, store) = counted_server_and_store().await;
    assert_eq!(of_small_stores(&proxy, &store).await, [1, 1, 1]);
    assert_eq!(store.remove_tagged("b").await.unwrap(), 1);
}

#[tokio::test]
async fn storing_a_small_entry_through_a_sentinel_takes_one_round_trip() {
    let server = Server::start();
    let proxy = counting(server.port).await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sentinel.conf");
    let watched = format!("sentinel monitor main 127.0.0.1 {} 1\n", proxy.address.port());
    std::fs::write(&config, watched).unwrap();
    let sentinel = Server::sentinel(&config);
    let store = patient(Redis::sentinel([sentinel.url()], "main")).connect().await.unwrap();
    warm_up(&store).await;
    // The Sentinel's own connections do not count.
    drop(sentinel);
    assert_eq!(of_small_stores(&proxy, &store).await, [1, 1, 1]);
}

#[tokio::test]
async fn storing_a_small_entry_on_a_cluster_takes_two_round_trips() {
    let (_server, proxy) = cluster_of_one().await;
    let store = patient(Redis::cluster([proxy.url()])).connect().await.unwrap();
    warm_up(&store).await;
    assert_eq!(of_small_stores(&proxy, &store).await, [1, 2, 2]);
    assert_eq!(store.remove_tagged("b").await.unwrap(), 1);
}

/// The first refusal tells the store that a script cannot use all keys.
#[tokio::test]
async fn node_of_a_cluster_is_used_as_a_cluster() {
    let (server, proxy) = cluster_of_one().await;
    let store = patient(Redis::builder(proxy.url())).linger(Duration::ZERO);
    let store = store.connect().await.unwrap();
    warm_up(&store).await;
    assert_eq!(of_small_stores(&proxy, &store).await, [1, 2, 2]);
    assert_eq!(store.remove_tagged("b").await.unwrap(), 1);
    until("the hints are dropped", async || keys(&server).is_empty()).await;
}

#[tokio::test]
async fn small_hit_and_miss_take_one_command_each() {
    let (server, proxy, store) = counted_server_and_store().await;
    put(&store, key(1), hinted(), body(1, 60_000)).await.unwrap();
    for (number, is_there) in [(1, true), (2, false)] {
        let found = async { assert_eq!(get(&store, key(number)).await.is_some(), is_there) };
        let seen = counted(&server, async { assert_eq!(trips(&proxy, found).await, 1) });
        assert_eq!(seen.await, BTreeMap::from([("get".to_owned(), 1)]));
    }
}

#[tokio::test]
async fn miss_that_stores_a_small_response_takes_two_round_trips() {
    let (_server, proxy, store) = counted_server_and_store().await;
    let layer = CacheLayer::private(store);
    let miss = trips(&proxy, async { assert!(!fetch(&layer, 1, 9_000).await.unwrap().0) });
    assert_eq!(miss.await, 2);
    let hit = trips(&proxy, async { assert!(fetch(&layer, 1, 9_000).await.unwrap().0) });
    assert_eq!(hit.await, 1);
}

#[tokio::test]
async fn chunks_of_a_large_hit_are_pipelined() {
    let (_server, proxy, store) = counted_server_and_store().await;
    let large = trips(&proxy, async { put(&store, key(1), hinted(), body(1, MIB)).await.unwrap() });
    assert_eq!(large.await, 4 + 1, "one for each chunk, and one for the entry");
    let hit = trips(&proxy, async { assert_eq!(get(&store, key(1)).await.unwrap(), body(1, MIB)) });
    assert_eq!(hit.await, 2);
}

#[tokio::test]
async fn update_takes_two_round_trips_and_removal_takes_one() {
    let (_server, proxy, store) = counted_server_and_store().await;
    put(&store, key(1), hinted(), body(1, 9)).await.unwrap();
    let seen = store.get(&key(1)).await.unwrap().unwrap().version;
    let updated = trips(&proxy, async {
        assert!(store.update(&key(1), seen, tagged(&["d"])).await.unwrap())
    });
    assert_eq!(updated.await, 2);
    let removed = trips(&proxy, async { assert!(store.remove(&key(1)).await.unwrap()) });
    assert_eq!(removed.await, 1);
}

#[tokio::test]
async fn scripts_are_sent_again_to_a_server_that_lost_them() {
    let (server, proxy, store) = counted_server_and_store().await;
    server.ask::<String>(&["SCRIPT", "FLUSH"]);
    assert_eq!(of_small_stores(&proxy, &store).await, [2, 1, 1]);
    assert_eq!(store.remove_tagged("b").await.unwrap(), 1);
    assert!(get(&store, key(1)).await.is_none());
}
