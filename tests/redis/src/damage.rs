//! Damaged data, values of other types, and a full server.

use super::*;

fn raw(server: &Server, words: &[&[u8]]) -> Vec<u8> {
    let mut cmd = redis::cmd(str::from_utf8(words[0]).unwrap());
    cmd.arg(&words[1..]);
    match cmd.query::<redis::Value>(&mut server.connection()).unwrap() {
        redis::Value::BulkString(bytes) => bytes,
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn damaged_record_is_an_error_and_can_be_removed() {
    let (server, store) = server_and_store().await;
    let name = entry_name(key(1));
    put(&store, key(1), tagged(&["a"]), body(1, 100)).await.unwrap();
    let record = raw(&server, &[b"GET", name.as_bytes()]);
    for position in 0..record.len() {
        let mut damaged = record.clone();
        damaged[position] ^= 0x10;
        raw(&server, &[b"SET", name.as_bytes(), &damaged]);
        let error = store.get(&key(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {position}: {error}");
        if position % 16 == 0 {
            raw(&server, &[b"SET", name.as_bytes(), &record[..position]]);
            assert_eq!(store.get(&key(1)).await.unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
    // The damaged entry does not end a scan. It can be counted, removed and replaced.
    raw(&server, &[b"SET", name.as_bytes(), &record[..90]]);
    put(&store, key(2), head(), body(2, 9)).await.unwrap();
    let scanned: Vec<_> = store.scan().collect().await;
    assert_eq!(scanned.len(), 2);
    assert_eq!(scanned.iter().filter(|item| item.is_err()).count(), 1);
    assert!(store.size_bytes().await.unwrap() > 0);
    assert!(store.remove(&key(1)).await.unwrap());
    // The bytes of another entry are not accepted.
    raw(
        &server,
        &[b"SET", name.as_bytes(), &raw(&server, &[b"GET", entry_name(key(2)).as_bytes()])],
    );
    assert_eq!(store.get(&key(1)).await.unwrap_err().kind(), ErrorKind::Corrupt);
    put(&store, key(1), head(), body(1, 9)).await.unwrap();
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 9));
}

#[tokio::test]
async fn damaged_body_is_an_error_and_is_not_returned() {
    let (server, store) = server_and_store().await;
    for (chunk, damage) in [("0", true), ("0", false), ("3", true), ("3", false)] {
        put(&store, key(1), head(), body(1, MIB)).await.unwrap();
        let name = body_name(&server, key(1)).unwrap();
        let mut bytes = raw(&server, &[b"HGET", name.as_bytes(), chunk.as_bytes()]);
        if damage {
            bytes[100] ^= 1;
            raw(&server, &[b"HSET", name.as_bytes(), chunk.as_bytes(), &bytes]);
        } else {
            raw(&server, &[b"HDEL", name.as_bytes(), chunk.as_bytes()]);
        }
        let error = match store.get(&key(1)).await {
            Err(error) => error,
            Ok(hit) => read(hit.unwrap()).await.unwrap_err(),
        };
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        server.ask::<u64>(&["DEL", &name]);
        let error = store.get(&key(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "without its body: {error}");
        server.ask::<String>(&["SET", &name, "no hash"]);
        let error = store.get(&key(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "another type: {error}");
        assert_eq!(error.key(), Some(&key(1)));
        server.ask::<u64>(&["DEL", &name, &entry_name(key(1))]);
    }
}

#[tokio::test]
async fn value_of_another_type_is_an_error_and_can_be_removed() {
    let (server, store) = server_and_store().await;
    let name = entry_name(key(1));
    let layer = CacheLayer::private(store.clone());
    for wrong in
        [["SADD", "m"].as_slice(), &["HSET", "f", "v"], &["LPUSH", "v"], &["ZADD", "1", "m"]]
    {
        let words = [&[wrong[0], &name], &wrong[1..]].concat();
        server.ask::<redis::Value>(&words);
        let error = store.get(&key(1)).await.unwrap_err();
        assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupt, Some(&key(1))), "{error}");
        let scanned: Vec<_> = store.scan().collect().await;
        assert_eq!(scanned[0].as_ref().unwrap_err().key(), Some(&key(1)));
        assert!(
            !store.update(&key(1), larder::store::Version::new(0), head()).await.unwrap_or(false)
        );
        assert!(!store.remove_if(&key(1), larder::store::Version::new(0)).await.unwrap());
        assert_eq!(store.size_bytes().await.unwrap(), 0);
        assert!(store.remove(&key(1)).await.unwrap());
        server.ask::<redis::Value>(&words);
        put(&store, key(1), head(), body(1, 9)).await.unwrap();
        assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 9));
        assert!(store.remove(&key(1)).await.unwrap());
    }
    // Through the cache.
    assert!(!fetch(&layer, 7, 50).await.unwrap().0);
    let name = keys(&server).into_iter().find(|name| name.len() == 8 + 64 + 1).unwrap();
    server.ask::<u64>(&["DEL", &name]);
    server.ask::<u64>(&["SADD", &name, "m"]);
    assert_eq!(fetch(&layer, 7, 50).await.unwrap(), (false, body(7, 50)));
    assert_eq!(fetch(&layer, 7, 50).await.unwrap(), (true, body(7, 50)));
    // A value of another type replaces an index. `clear` removes it. A removal by tag reports it
    // once, and the index is created again.
    put(&store, key(1), tagged(&["a"]), body(1, 9)).await.unwrap();
    let index = keys(&server).into_iter().find(|name| name.contains("{tag.")).unwrap();
    server.ask::<String>(&["SET", &index, "no index"]);
    store.clear().await.unwrap();
    assert!(keys(&server).iter().all(|name| !name.contains("{tag.")), "{:?}", keys(&server));
    put(&store, key(1), tagged(&["a"]), body(1, 9)).await.unwrap();
    let index = keys(&server).into_iter().find(|name| name.contains("{tag.")).unwrap();
    server.ask::<String>(&["SET", &index, "no index"]);
    assert_eq!(store.remove_tagged("a").await.unwrap_err().kind(), ErrorKind::Corrupt);
    put(&store, key(1), tagged(&["a"]), body(1, 9)).await.unwrap();
    server.ask::<String>(&["SET", &index, "no index"]);
    put(&store, key(2), tagged(&["a"]), body(1, 9)).await.unwrap();
    assert_eq!(store.remove_tagged("a").await.unwrap(), 1);
}

#[tokio::test]
async fn full_server_is_reported_and_stores_again_when_it_has_room() {
    let (server, store) = server_and_store().await;
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    server.ask::<String>(&["CONFIG", "SET", "maxmemory", "1mb"]);
    for len in [9, MIB] {
        let error = put(&store, key(2), tagged(&["a"]), body(2, len)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    }
    assert!(get(&store, key(2)).await.is_none());
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, MIB));
    assert!(store.remove(&key(1)).await.unwrap());
    server.ask::<String>(&["CONFIG", "SET", "maxmemory", "0"]);
    put(&store, key(2), head(), body(2, MIB)).await.unwrap();
}

/// After a failure, the server runs the rest of a pipeline, but not the rest of a script.
#[tokio::test]
async fn entry_is_not_stored_if_its_hints_are_refused() {
    let server = Server::start();
    server.ask::<String>(&["ACL", "SETUSER", "default", "-zadd"]);
    let store = builder(&server).connect().await.unwrap();
    for head in [tagged(&["a"]), expiring(Duration::from_secs(99))] {
        for len in [9, MIB] {
            let error = put(&store, key(1), head.clone(), body(1, len)).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
            assert!(get(&store, key(1)).await.is_none());
        }
    }
    until("the bodies go", async || keys(&server).is_empty()).await;
    put(&store, key(1), head(), body(1, 9)).await.unwrap();
    let seen = store.get(&key(1)).await.unwrap().unwrap().version;
    assert!(store.update(&key(1), seen, tagged(&["a"])).await.is_err());
    assert!(store.remove_if(&key(1), seen).await.unwrap(), "the update must change nothing");
}

#[tokio::test]
async fn unreadable_size_is_an_error() {
    let (server, store) = server_and_store().await;
    put(&store, key(1), head(), body(1, 9)).await.unwrap();
    server.ask::<String>(&["ACL", "SETUSER", "default", "-strlen"]);
    assert_eq!(store.size_bytes().await.map_err(|error| error.kind()), Err(ErrorKind::Denied));
}
