//! Stores on a cluster.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn clear_empties_every_node_and_keeps_foreign_keys() {
    let cluster = Cluster::start();
    let store = patient(Redis::cluster(cluster.urls())).linger(Duration::ZERO);
    let store = store.connect().await.unwrap();
    for number in 0..60 {
        let head = expiring(Duration::from_secs(99)).with_tags(vec!["tag".into()]);
        put(&store, key(number), head, body(number, 3_000 * number as usize)).await.unwrap();
    }
    let ours = |node: &Server| keys(node).len();
    assert!(cluster.nodes.iter().all(|node| ours(node) > 5), "each node must have a part");
    let client = redis::cluster::ClusterClient::new(cluster.urls()).unwrap();
    let mut connection = client.get_async_connection().await.unwrap();
    for number in 0..30 {
        let mut set = redis::cmd("SET");
        set.arg(format!("foreign {number}")).arg("value");
        set.exec_async(&mut connection).await.unwrap();
    }
    assert_eq!(store.len().await.unwrap(), 60);
    assert_eq!(store.scan().count().await, 60);
    let given = patient(Builder::from_cluster_connection(connection));
    assert_eq!(get(&given.build().unwrap(), key(7)).await.unwrap(), body(7, 21_000));
    store.clear().await.unwrap();
    assert_eq!(store.len().await.unwrap(), 0);
    let left: Vec<_> = cluster.nodes.iter().flat_map(keys).collect();
    assert_eq!(left.len(), 30);
    assert!(left.iter().all(|name| name.starts_with("foreign")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_cluster_is_used_again() {
    let mut cluster = Cluster::start();
    let store = patient(Redis::cluster(cluster.urls())).connect().await.unwrap();
    let layer = CacheLayer::private(store.clone());
    for number in 0..20 {
        fetch(&layer, number, 90_000).await.unwrap();
        assert_eq!(fetch(&layer, number, 90_000).await.unwrap(), (true, body(number, 90_000)));
    }
    for victims in [0..1, 0..3] {
        cluster.nodes[victims.clone()].iter_mut().for_each(Server::kill);
        for number in 0..4 {
            let begin = Instant::now();
            let (_, bytes) = fetch(&layer, number, 90_000).await.unwrap();
            assert_eq!(bytes, body(number, 90_000));
            assert!(begin.elapsed() < NEVER, "{:?}", begin.elapsed());
        }
        cluster.nodes[victims].iter_mut().for_each(Server::run);
        let waiting = &cluster;
        tokio::task::block_in_place(|| waiting.wait());
        for number in 0..20 {
            let is_hit = async || fetch(&layer, number, 90_000).await.unwrap().0;
            until("the store is used again", is_hit).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_node_does_not_prevent_connecting() {
    let cluster = Cluster::start();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", silent.local_addr().unwrap());
    let nodes = [url].into_iter().chain(cluster.urls());
    let store =
        Redis::cluster(nodes).connect_timeout(Duration::from_secs(8)).response_timeout(NEVER);
    let store = store.connect().await.unwrap();
    put(&store, key(1), head(), body(1, 9)).await.unwrap();
}
