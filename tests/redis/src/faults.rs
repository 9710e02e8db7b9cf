//! Servers that die or are silent, and connections that break.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn requests_succeed_during_kill_9_and_a_restart() {
    let mut server = Server::start();
    let store = builder(&server).connect().await.unwrap();
    let restart = |up| if up { server.run() } else { server.kill() };
    requests_succeed_while_the_server_is_killed(store, "redis", restart).await;
}

#[tokio::test]
async fn cut_connection_is_made_again() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let store = patient(Redis::builder(proxy.url())).connect().await.unwrap();
    put(&store, key(1), head(), body(1, 8 * MIB)).await.unwrap();
    // A cut during a body: the body is read on over another connection.
    let mut reading = store.get(&key(1)).await.unwrap().unwrap().body;
    let mut bytes = Vec::new();
    let mut chunks = 0;
    while let Some(chunk) = reading.chunk().await {
        bytes.extend_from_slice(&chunk.unwrap());
        chunks += 1;
        if chunks % 8 == 0 {
            proxy.cut();
        }
    }
    assert_eq!(bytes, body(1, 8 * MIB));
    assert!(proxy.connections() > 2);
    // Without another connection, the body ends in an error and is never short.
    let reading = store.get(&key(1)).await.unwrap().unwrap();
    proxy.refuse(true);
    proxy.cut();
    assert_eq!(read(reading).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(store.get(&key(1)).await.unwrap_err().kind(), ErrorKind::Unavailable);
    proxy.refuse(false);
    tokio::time::sleep(Duration::from_millis(150)).await;
    entry_of_a_cut_write_is_whole_or_missing(&store, &proxy, async || get(&store, key(2)).await)
        .await;
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 8 * MIB));
}

/// One connection keeps the order. Over another one, the later operation would reach the server
/// first.
#[tokio::test]
async fn abandoned_operation_is_done_before_later_ones() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let limit = Duration::from_secs(20);
    let store = Redis::builder(proxy.url()).response_timeout(limit).connect().await.unwrap();
    // Loads the scripts into the server.
    put(&store, key(1), tagged(&["a"]), body(1, MIB)).await.unwrap();
    for len in [9, MIB] {
        for later in ["remove", "remove_tagged", "clear", "write"] {
            // The command that publishes the entry is the first one with its name.
            proxy.hold(format!("{}\r\n", entry_name(key(1))));
            tokio::select! {
                biased;
                _ = put(&store, key(1), tagged(&["a"]), body(2, len)) => panic!("the write must be held back"),
                () = proxy.held() => {}
            }
            let going_on = async {
                match later {
                    "remove" => store.remove(&key(1)).await.map(drop),
                    "remove_tagged" => store.remove_tagged("a").await.map(drop),
                    "clear" => store.clear().await,
                    _ => put(&store, key(1), head(), body(3, len)).await,
                }
            };
            let release = async {
                tokio::time::sleep(Duration::from_millis(100)).await;
                proxy.release();
            };
            future::join(going_on, release).await.0.unwrap();
            let expected = (later == "write").then(|| body(3, len));
            assert_eq!(get(&store, key(1)).await, expected, "{later}, {len} bytes");
        }
    }
}

#[tokio::test]
async fn silent_server_delays_operations_by_the_limit_once() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let store = patient(Redis::builder(proxy.url())).connect().await.unwrap();
    put(&store, key(1), tagged(&["a"]), body(1, 8 * MIB)).await.unwrap();
    let reading = store.get(&key(1)).await.unwrap().unwrap();
    let layer = CacheLayer::private(store.clone());
    fetch(&layer, 1, 100).await.unwrap();
    proxy.stall(true);
    // The proxy passes nothing on. From here on, only the limits end anything, in virtual time.
    tokio::time::pause();
    // The first round uses the old connection. The later ones fail to connect.
    let margin = Duration::from_secs(1);
    for _ in 0..3 {
        let begin = tokio::time::Instant::now();
        let later = async {
            tokio::time::sleep(NEVER / 2).await;
            every_operation_is_refused(&store).await;
        };
        future::join(every_operation_is_refused(&store), later).await;
        // The operations that began later have not waited longer.
        let waited = begin.elapsed();
        assert!((NEVER..NEVER * 3 / 2 + margin).contains(&waited), "{waited:?}");
        // No other operation waits until the limit has passed once more.
        let begin = tokio::time::Instant::now();
        every_operation_is_refused(&store).await;
        tokio::time::sleep(NEVER - margin).await;
        every_operation_is_refused(&store).await;
        assert!(begin.elapsed() < NEVER, "{:?}", begin.elapsed());
        tokio::time::sleep(margin).await;
    }
    // A request reads the store, and stores the origin's response.
    let begin = tokio::time::Instant::now();
    assert_eq!(fetch(&layer, 1, 100).await.unwrap(), (false, body(1, 100)));
    assert!(read(reading).await.is_err());
    let waited = begin.elapsed();
    assert!((NEVER..NEVER + margin).contains(&waited), "{waited:?}");
    // The old connections stay dead. New ones work.
    tokio::time::sleep(NEVER + margin).await;
    tokio::time::resume();
    proxy.stall(false);
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 8 * MIB));
    assert!(fetch(&layer, 1, 100).await.unwrap().0);
}

#[tokio::test]
async fn store_can_be_created_before_its_server_runs() {
    let mut server = Server::start();
    server.kill();
    let error = builder(&server).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(&server.port.to_string()), "{error}");
    let store = builder(&server).build().unwrap();
    let begin = Instant::now();
    assert_eq!(store.get(&key(1)).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(begin.elapsed() < NEVER, "an operation must not wait for a missing server");
    server.run();
    tokio::time::sleep(Duration::from_millis(150)).await;
    put(&store, key(1), head(), body(1, 9)).await.unwrap();
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 9));
}

#[tokio::test]
async fn scans_and_counts_are_repeated_over_a_new_connection() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let store = patient(Redis::builder(proxy.url())).connect().await.unwrap();
    put(&store, key(1), head(), body(1, 9)).await.unwrap();
    proxy.cut();
    assert_eq!(store.len().await.unwrap(), 1);
    proxy.cut();
    assert!(store.size_bytes().await.unwrap() > 9);
    proxy.cut();
    assert!(store.scan().all(|item| future::ready(item.is_ok())).await);
}

#[tokio::test]
async fn slow_reader_needs_no_permission_to_write() {
    let server = Server::start();
    let store = builder(&server).linger(Duration::from_millis(40)).connect().await.unwrap();
    put(&store, key(1), head(), body(1, 8 * MIB)).await.unwrap();
    let hit = store.get(&key(1)).await.unwrap().unwrap();
    server.ask::<String>(&["ACL", "SETUSER", "default", "-evalsha", "-eval"]);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(read(hit).await.unwrap(), body(1, 8 * MIB));
}
