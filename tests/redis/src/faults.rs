//! Servers that die or are silent, connections that break.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_and_a_restart_during_load_fail_no_request() {
    let mut server = Server::start();
    let store = builder(&server).connect().await.unwrap();
    let restart = |up| if up { server.run() } else { server.kill() };
    requests_succeed_while_the_server_is_killed(store, "redis", restart).await;
}

#[tokio::test]
async fn a_connection_that_is_cut_is_made_again() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let store = patient(Redis::builder(proxy.url())).connect().await.unwrap();
    put(&store, key(1), head(), body(1, 8 * MIB)).await.unwrap();
    // Amid a body: it is read on over another connection.
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
    // Where there is no other, the body ends in an error, never short.
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

/// One connection keeps the order: over another one, what begins later would come to the server
/// first.
#[tokio::test]
async fn what_was_given_up_is_done_before_what_begins_later() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let limit = Duration::from_secs(20);
    let store = Redis::builder(proxy.url()).response_timeout(limit).connect().await.unwrap();
    // So that the server knows the scripts.
    put(&store, key(1), tagged(&["a"]), body(1, MIB)).await.unwrap();
    for len in [9, MIB] {
        for later in ["remove", "remove_tagged", "clear", "write"] {
            // What publishes the entry is the first to name it.
            proxy.hold(format!("{}\r\n", entry_name(key(1))));
            tokio::select! {
                biased;
                _ = put(&store, key(1), tagged(&["a"]), body(2, len)) => panic!("it is held back"),
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
async fn a_silent_server_holds_operations_for_the_limit_once() {
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
    // The first time over the old connection, then over ones that cannot be made.
    let margin = Duration::from_secs(1);
    for _ in 0..3 {
        let begin = tokio::time::Instant::now();
        let later = async {
            tokio::time::sleep(NEVER / 2).await;
            every_operation_is_refused(&store).await;
        };
        future::join(every_operation_is_refused(&store), later).await;
        // Those that began later have waited for as long at most.
        let waited = begin.elapsed();
        assert!((NEVER..NEVER * 3 / 2 + margin).contains(&waited), "{waited:?}");
        // Nothing else waits, until the limit has passed once more.
        let begin = tokio::time::Instant::now();
        every_operation_is_refused(&store).await;
        tokio::time::sleep(NEVER - margin).await;
        every_operation_is_refused(&store).await;
        assert!(begin.elapsed() < NEVER, "{:?}", begin.elapsed());
        tokio::time::sleep(margin).await;
    }
    // A request, which looks up, and stores what it gets from the origin.
    let begin = tokio::time::Instant::now();
    assert_eq!(fetch(&layer, 1, 100).await.unwrap(), (false, body(1, 100)));
    assert!(read(reading).await.is_err());
    let waited = begin.elapsed();
    assert!((NEVER..NEVER + margin).contains(&waited), "{waited:?}");
    // The old connections never come back; new ones do.
    tokio::time::sleep(NEVER + margin).await;
    tokio::time::resume();
    proxy.stall(false);
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 8 * MIB));
    assert!(fetch(&layer, 1, 100).await.unwrap().0);
}

#[tokio::test]
async fn a_store_can_be_made_before_its_server() {
    let mut server = Server::start();
    server.kill();
    let error = builder(&server).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(&server.port.to_string()), "{error}");
    let store = builder(&server).build().unwrap();
    let begin = Instant::now();
    assert_eq!(store.get(&key(1)).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(begin.elapsed() < NEVER, "it does not wait for a server that is not there");
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
async fn a_slow_reader_needs_no_right_to_write() {
    let server = Server::start();
    let store = builder(&server).linger(Duration::from_millis(40)).connect().await.unwrap();
    put(&store, key(1), head(), body(1, 8 * MIB)).await.unwrap();
    let hit = store.get(&key(1)).await.unwrap().unwrap();
    server.ask::<String>(&["ACL", "SETUSER", "default", "-evalsha", "-eval"]);
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(read(hit).await.unwrap(), body(1, 8 * MIB));
}
