//! Servers that die or are silent, and connections that break.

use super::{expiry::expiry_index, *};

#[tokio::test]
async fn error_of_the_server_names_the_error_and_the_address() {
    let server = Server::start();
    // The store is not connected, because this starts a sweep, whose commands would fail instead of
    // these.
    let store = builder(&server).build().await.unwrap();
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    server.fail(&["find"], 1, doc! { "errorCode": 96 }).await;
    let error = store.get(&key(1)).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(&server.port.to_string()), "{error}");
    server.fail(&["find"], 1, doc! { "errorCode": 13 }).await;
    let error = store.get(&key(1)).await.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "the login lacks a permission: {error}");
    // A failed write keeps the old entry. Its own files are removed later.
    for (commands, code) in
        [("insert", 96), ("findAndModify", 96), ("update", 96), ("insert", 14_031)]
    {
        server.fail(&[commands], 1, doc! { "errorCode": code }).await;
        let error = put(&store, key(1), head(), body(2, MIB)).await.unwrap_err();
        let kind = if code == 96 { ErrorKind::Unavailable } else { ErrorKind::Full };
        assert_eq!(error.kind(), kind, "{commands}: {error}");
    }
    server.heal().await;
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, MIB));
    let files = Seen::on(&server).await.files;
    let useless = doc! { "metadata.state": { "$in": ["removed", "pending"] } };
    until("the files of failed writes are no longer live", async || {
        files.count_documents(useless.clone()).await.unwrap() == 3
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_succeed_during_kill_9_and_a_restart() {
    let mut server = Server::start();
    let store = builder(&server).timeout(BRIEF).connect().await.unwrap();
    let restart = |up| if up { server.run() } else { server.kill() };
    requests_succeed_while_the_server_is_killed(store, "mongodb", restart).await;
}

/// Repeats `ask` until the store can be reached again.
async fn recovered<T>(ask: impl AsyncFn() -> Result<T>) -> T {
    let begin = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                assert!(begin.elapsed() < NEVER, "not used again: {error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

#[tokio::test]
async fn cut_connections_are_made_again() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let store = through(&proxy).timeout(BRIEF).connect().await.unwrap();
    put(&store, key(1), head(), body(1, 8 * MIB)).await.unwrap();
    // A cut during a body: the body is read on over another connection, or ends in an error. It is
    // never short.
    let mut whole = 0;
    for _ in 0..5 {
        let hit = recovered(async || store.get(&key(1)).await).await;
        let (mut reading, mut bytes, mut chunks) = (hit.unwrap().body, Vec::new(), 0);
        let outcome = loop {
            match reading.chunk().await {
                Some(Ok(chunk)) => bytes.extend_from_slice(&chunk),
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            }
            chunks += 1;
            if chunks == 8 {
                proxy.cut();
            }
        };
        match outcome {
            Ok(()) => {
                assert_eq!(bytes, body(1, 8 * MIB));
                whole += 1;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable),
        }
    }
    assert!(whole > 0, "no body was read on after a cut");
    // Without another connection, the body ends in an error.
    let reading = recovered(async || store.get(&key(1)).await).await.unwrap();
    proxy.refuse(true);
    proxy.cut();
    assert_eq!(read(reading).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(store.get(&key(1)).await.unwrap_err().kind(), ErrorKind::Unavailable);
    proxy.refuse(false);
    recovered(async || store.get(&key(1)).await.map(drop)).await;
    entry_of_a_cut_write_is_whole_or_missing(&store, &proxy, async || {
        let hit = recovered(async || store.get(&key(2)).await).await?;
        Some(read(hit).await.unwrap())
    })
    .await;
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 8 * MIB));
}

#[tokio::test]
async fn silent_server_delays_operations_by_the_limit_once() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let limit = BRIEF;
    let store = through(&proxy).timeout(limit).connect().await.unwrap();
    put(&store, key(1), tagged(&["a"]), body(1, 8 * MIB)).await.unwrap();
    let reading = store.get(&key(1)).await.unwrap().unwrap();
    let layer = CacheLayer::private(store.clone());
    fetch(&layer, 1, 100).await.unwrap();
    proxy.stall(true);
    // The proxy passes nothing on. From here on, only the limits end anything, in virtual time.
    tokio::time::pause();
    // A request reads the store, and stores the origin's response. It waits once.
    let margin = Duration::from_secs(1);
    let begin = tokio::time::Instant::now();
    assert_eq!(fetch(&layer, 1, 100).await.unwrap(), (false, body(1, 100)));
    let waited = begin.elapsed();
    assert!((limit..limit + margin).contains(&waited), "{waited:?}");
    // No other operation waits, before the limit has passed or afterwards.
    let begin = tokio::time::Instant::now();
    for _ in 0..200 {
        every_operation_is_refused(&store).await;
    }
    assert!(begin.elapsed() < margin, "{:?}", begin.elapsed());
    for _ in 0..3 {
        tokio::time::sleep(limit).await;
        let begin = tokio::time::Instant::now();
        every_operation_is_refused(&store).await;
        assert_eq!(fetch(&layer, 1, 100).await.unwrap(), (false, body(1, 100)));
        assert!(begin.elapsed() < margin, "{:?}", begin.elapsed());
    }
    assert_eq!(read(reading).await.unwrap_err().kind(), ErrorKind::Unavailable);
    tokio::time::resume();
    // The old connections stay dead. New ones work.
    proxy.stall(false);
    recovered(async || store.get(&key(1)).await.map(drop)).await;
    until("the store is used again", async || fetch(&layer, 1, 100).await.unwrap().0).await;
}

#[tokio::test]
async fn slow_command_fails_in_time_and_does_not_affect_others() {
    let server = Server::start();
    let store = builder(&server).timeout(BRIEF / 2).connect().await.unwrap();
    put(&store, key(1), head(), body(1, 9)).await.unwrap();
    // The answer arrives, but long after the limit.
    let block = doc! { "blockConnection": true, "blockTimeMS": 60_000 };
    server.fail(&["aggregate"], 2, block).await;
    for _ in 0..2 {
        assert_eq!(store.size_bytes().await.unwrap_err().kind(), ErrorKind::Unavailable);
        // The store first asks whether the server is there. This must not wait for the slow
        // command.
        let begin = Instant::now();
        let hit = recovered(async || store.get(&key(1)).await).await.unwrap();
        assert_eq!(read(hit).await.unwrap(), body(1, 9));
        assert!(begin.elapsed() < BRIEF / 2, "{:?}", begin.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn store_can_be_created_before_its_server_runs() {
    let mut server = Server::start();
    server.kill();
    let limit = BRIEF / 2;
    let error = builder(&server).timeout(limit).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(error.to_string().contains(&server.port.to_string()), "{error}");
    let store = builder(&server).timeout(limit).build().await.unwrap();
    assert_eq!(store.get(&key(1)).await.unwrap_err().kind(), ErrorKind::Unavailable);
    let begin = Instant::now();
    for _ in 0..100 {
        assert_eq!(store.get(&key(1)).await.unwrap_err().kind(), ErrorKind::Unavailable);
    }
    assert!(begin.elapsed() < limit * 20, "each waits: {:?}", begin.elapsed());
    tokio::task::block_in_place(|| server.run());
    recovered(async || put(&store, key(1), tagged(&["a"]), body(1, 9)).await).await;
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 9));
    // The indexes are created then.
    let seen = Seen::on(&server).await;
    assert_eq!(expiry_index(&seen).await, [("keep_until_1".to_owned(), Some(0))]);
}

/// Uses the store in a runtime that then ends, with all of its tasks.
fn in_another_runtime<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(work)
}

#[tokio::test(flavor = "multi_thread")]
async fn store_recovers_after_a_runtime_that_used_it_has_ended() {
    let mut server = Server::start();
    let store = builder(&server).timeout(BRIEF / 2).build().await.unwrap();
    server.kill();
    // The store asks in the background whether the server is back.
    let found = tokio::task::block_in_place(|| in_another_runtime(store.get(&key(1))));
    assert_eq!(found.unwrap_err().kind(), ErrorKind::Unavailable);
    tokio::task::block_in_place(|| server.run());
    recovered(async || store.get(&key(1)).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn store_sweeps_after_a_runtime_that_used_it_has_ended() {
    let server = Server::start();
    let seen = Seen::on(&server).await;
    let store = builder(&server).timeout(BRIEF / 2).linger(Duration::ZERO).build().await.unwrap();
    let writing = put(&store, key(1), head(), body(1, MIB));
    tokio::task::block_in_place(|| in_another_runtime(writing)).unwrap();
    put(&store, key(1), head(), body(2, MIB)).await.unwrap();
    seen.settle([1, 1, 5]).await;
}
