//! Callers that go away.

use super::*;

/// A client that connects through the proxy, and the number of answered commands.
async fn answering(proxy: &Proxy) -> (Client, Arc<AtomicU64>) {
    let answered = Arc::new(AtomicU64::new(0));
    let url = format!("mongodb://{}/?directConnection=true", proxy.address);
    let mut options = ClientOptions::parse(url).await.unwrap();
    let count = answered.clone();
    options.command_event_handler = Some(EventHandler::callback(move |event| {
        if !matches!(event, CommandEvent::Started(_)) {
            count.fetch_add(1, Ordering::SeqCst);
        }
    }));
    (Client::with_options(options).unwrap(), answered)
}

#[tokio::test]
async fn callers_that_go_away_or_pause_do_not_cost_connections() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let (client, answered) = answering(&proxy).await;
    let store = Builder::from_client(client).database(DATABASE).timeout(BRIEF);
    let store = store.build().await.unwrap();
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    let (before, first) = (proxy.connections(), answered.load(Ordering::SeqCst));
    for number in 1..=100 {
        let key = key(1);
        let asking = store.get(&key);
        tokio::select! {
            biased;
            _ = asking => panic!("the answer arrived before the question was sent"),
            () = tokio::task::yield_now() => {}
        }
        // One at a time, because concurrent questions need several connections.
        until("the answer to an abandoned question arrives", async || {
            answered.load(Ordering::SeqCst) >= first + number
        })
        .await;
    }
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, MIB));
    let made = proxy.connections() - before;
    assert!(made < 10, "{made} connections for 100 questions");
    // The caller polls again after the limit. The answer arrived in time, so it counts.
    let one = key(1);
    let mut writer = store.put(&key(2), head()).await.unwrap();
    {
        let mut asking = Box::pin(store.get(&one));
        assert!(futures_util::poll!(&mut asking).is_pending());
        let mut writing = Box::pin(writer.write(body(2, MIB)));
        assert!(futures_util::poll!(&mut writing).is_pending());
        tokio::time::sleep(BRIEF + Duration::from_millis(500)).await;
        drop(asking.await.unwrap().unwrap());
        writing.await.unwrap();
    }
    // The next call sends what an abandoned call was about to send, or has sent already.
    {
        let mut writing = Box::pin(writer.write(body(3, MIB)));
        assert!(futures_util::poll!(&mut writing).is_pending());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    writer.finish(None).await.unwrap();
    let found = get(&store, key(2)).await.unwrap();
    assert!(found == [body(2, MIB), body(3, MIB)].concat(), "a wrong body");
}

/// Abandons `asking` when its command with `word` is in flight and has not reached the server.
async fn abandon<T>(proxy: &Proxy, word: &'static str, asking: impl Future<Output = T>) {
    proxy.hold(word);
    tokio::select! {
        biased;
        _ = asking => panic!("the command must be held back"),
        () = proxy.held() => {}
    }
}

/// Returns the result of `later`, which must wait for the abandoned operation.
async fn after_release<T>(proxy: &Proxy, later: impl Future<Output = Result<T>>) -> T {
    let mut later = pin!(later);
    tokio::select! {
        biased;
        _ = &mut later => panic!("it did not wait for the abandoned operation"),
        () = tokio::time::sleep(Duration::from_millis(300)) => proxy.release(),
    }
    later.await.unwrap()
}

/// Over another connection, the later operation would reach the server first.
#[tokio::test]
async fn abandoned_operation_is_done_before_later_ones() {
    const PUBLISH: &str = "\x02findAndModify\0";
    const UPDATE: &str = "\x02update\0";
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let store = through(&proxy).timeout(Duration::from_secs(20)).connect().await.unwrap();
    // Creates the indexes.
    put(&store, key(0), head(), body(0, 9)).await.unwrap();
    for len in [9, MIB] {
        let writing = || put(&store, key(1), tagged(&["a"]), body(1, len));
        abandon(&proxy, PUBLISH, writing()).await;
        // Operations on other keys do not wait.
        put(&store, key(2), head(), body(2, 9)).await.unwrap();
        assert!(store.remove(&key(2)).await.unwrap());
        assert!(after_release(&proxy, store.remove(&key(1))).await);
        assert_eq!(get(&store, key(1)).await, None);

        abandon(&proxy, PUBLISH, writing()).await;
        assert_eq!(after_release(&proxy, store.remove_tagged("a")).await, 1);
        assert_eq!(get(&store, key(1)).await, None);

        abandon(&proxy, PUBLISH, writing()).await;
        after_release(&proxy, store.clear()).await;
        assert_eq!(get(&store, key(1)).await, None);

        abandon(&proxy, PUBLISH, writing()).await;
        after_release(&proxy, put(&store, key(1), head(), body(3, len))).await;
        assert_eq!(get(&store, key(1)).await.unwrap(), body(3, len));

        // The abandoned removal does not remove an entry that is written after it.
        abandon(&proxy, PUBLISH, store.remove(&key(1))).await;
        after_release(&proxy, put(&store, key(1), head(), body(4, len))).await;
        assert_eq!(get(&store, key(1)).await.unwrap(), body(4, len));

        let seen = store.get(&key(1)).await.unwrap().unwrap().version;
        abandon(&proxy, UPDATE, store.update(&key(1), seen, tagged(&["b"]))).await;
        assert_eq!(after_release(&proxy, store.remove_tagged("b")).await, 1);
        assert_eq!(get(&store, key(1)).await, None);
    }
}

#[tokio::test]
async fn abandoned_write_sets_the_replaced_file_aside() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let store = through(&proxy).database(DATABASE).timeout(Duration::from_secs(20));
    let store = store.connect().await.unwrap();
    let seen = Seen::on(&server).await;
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    let old = seen.file(key(1)).await;
    abandon(&proxy, "\x02findAndModify\0", put(&store, key(1), head(), body(2, MIB))).await;
    assert_eq!(seen.state(old).await.unwrap(), "live");
    proxy.release();
    until("the old file is set aside", async || seen.state(old).await.unwrap() == "removed").await;
    assert_eq!(get(&store, key(1)).await.unwrap(), body(2, MIB));
    assert_eq!(seen.state(seen.file(key(1)).await).await.unwrap(), "live");
}
