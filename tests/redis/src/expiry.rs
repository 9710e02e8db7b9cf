//! Keys on the server, and their times to live.

use super::*;

#[tokio::test]
async fn keys_expire_when_they_are_no_longer_needed() {
    let server = Server::start();
    let store = builder(&server)
        .grace(Duration::from_secs(50))
        .linger(Duration::from_secs(3_000))
        .connect()
        .await
        .unwrap();
    let at = now().saturating_add(Duration::from_secs(1_000));
    let kept = |extra| {
        let until = at.saturating_add(Duration::from_secs(extra));
        head().with_expires_at(Some(at)).with_keep_until(Some(until))
    };
    let expiry = |name: &str| server.ask::<i64>(&["PEXPIRETIME", name]);
    let seconds = |extra: i64| at.as_millis() as i64 + extra * 1_000;

    put(&store, key(1), kept(100), body(1, MIB)).await.unwrap();
    assert_eq!(expiry(&entry_name(key(1))), seconds(100 + 50));
    assert_eq!(expiry(&body_name(&server, key(1)).unwrap()), seconds(100 + 50 + 3_000));
    // An update changes both times. Without an expiry, neither key expires.
    let seen = store.get(&key(1)).await.unwrap().unwrap().version;
    assert!(store.update(&key(1), seen, kept(200)).await.unwrap());
    assert_eq!(expiry(&entry_name(key(1))), seconds(200 + 50));
    assert_eq!(expiry(&body_name(&server, key(1)).unwrap()), seconds(200 + 50 + 3_000));
    let seen = store.get(&key(1)).await.unwrap().unwrap().version;
    assert!(store.update(&key(1), seen, head()).await.unwrap());
    assert_eq!(expiry(&entry_name(key(1))), -1);
    assert_eq!(expiry(&body_name(&server, key(1)).unwrap()), -1);
    // A replaced body stays for its readers.
    let old = body_name(&server, key(1)).unwrap();
    put(&store, key(1), head(), body(1, 9)).await.unwrap();
    let left = server.ask::<i64>(&["PTTL", &old]);
    assert!((2_900_000..=3_000_000).contains(&left), "{left}");
    // An unfinished body expires by itself.
    let mut writer = store.put(&key(2), head()).await.unwrap();
    writer.write(body(2, MIB)).await.unwrap();
    let left = server.ask::<i64>(&["PTTL", &body_name(&server, key(2)).unwrap()]);
    assert!((500_000..=600_000).contains(&left), "{left}");
    // A time that no clock reaches.
    let store = builder(&server).linger(Duration::MAX).connect().await.unwrap();
    put(&store, key(4), kept(0), body(4, MIB)).await.unwrap();
    assert_eq!(expiry(&body_name(&server, key(4)).unwrap()), seconds(366 * 24 * 3600));
    // Without native expiry.
    let store = builder(&server).grace(Duration::MAX).connect().await.unwrap();
    put(&store, key(3), expiring(Duration::ZERO), body(3, 9)).await.unwrap();
    assert_eq!(expiry(&entry_name(key(3))), -1);
    assert_eq!(store.remove_expired(now()).await.unwrap(), 1);
}

#[tokio::test]
async fn entries_removed_by_the_server_are_no_longer_found_by_indexes() {
    let server = Server::start();
    let store = builder(&server).linger(Duration::ZERO).connect().await.unwrap();
    let expiring = |after| {
        tagged(&["tag"]).with_expires_at(Some(now().saturating_add(Duration::from_secs(after))))
    };
    for number in 0..20 {
        put(&store, key(number), expiring(3_000), body(number, 100_000)).await.unwrap();
    }
    assert_eq!(store.len().await.unwrap(), 20);
    // The entries now expire soon, no matter how long the steps above took.
    let mut last = now();
    for number in 0..20 {
        let seen = store.get(&key(number)).await.unwrap().unwrap().version;
        let head = expiring(1);
        last = head.expires_at().unwrap();
        assert!(store.update(&key(number), seen, head).await.unwrap());
    }
    tokio::time::sleep(last.saturating_since(now()) + Duration::from_millis(100)).await;
    assert!(get(&store, key(1)).await.is_none());
    assert_eq!(store.len().await.unwrap(), 0);
    assert_eq!(store.remove_expired(now()).await.unwrap(), 0, "the server was first");
    assert_eq!(store.remove_tagged("tag").await.unwrap(), 0);
    // Hints stay for a while, because a writer may be slow. They expire with their indexes.
    store.clear().await.unwrap();
    for name in keys(&server) {
        assert!(name.starts_with("larder:{expiry.") || name.starts_with("larder:{tag."), "{name}");
        let left = server.ask::<i64>(&["PTTL", &name]);
        assert!((3_000_000..=3_600_000).contains(&left), "{name}: {left}");
    }
}

#[tokio::test]
async fn removed_entries_leave_nothing_behind() {
    let server = Server::start();
    let store = builder(&server).linger(Duration::ZERO).connect().await.unwrap();
    let tags =
        || tagged(&["a", "b"]).with_expires_at(Some(now().saturating_add(Duration::from_secs(99))));
    for number in 0..4 {
        // Each entry is replaced and updated too.
        put(&store, key(number), tagged(&["c"]), body(number, 100_000)).await.unwrap();
        put(&store, key(number), tags(), body(number, 100_000)).await.unwrap();
        let seen = store.get(&key(number)).await.unwrap().unwrap().version;
        assert!(store.update(&key(number), seen, tags()).await.unwrap());
    }
    let seen = store.get(&key(0)).await.unwrap().unwrap().version;
    assert!(store.remove(&key(1)).await.unwrap());
    assert!(store.remove_if(&key(0), seen).await.unwrap());
    put(&store, key(5), tagged(&["d"]), body(5, 9)).await.unwrap();
    assert_eq!(store.remove_tagged("d").await.unwrap(), 1);
    let later = now().saturating_add(Duration::from_secs(100));
    assert_eq!(store.remove_expired(later).await.unwrap(), 2);
    assert_eq!(keys(&server), [""; 0]);
    // A dropped writer leaves nothing behind either.
    let mut writer = store.put(&key(2), head()).await.unwrap();
    writer.write(body(2, MIB)).await.unwrap();
    assert_eq!(keys(&server).len(), 1);
    drop(writer);
    until("the body of a dropped writer goes", async || keys(&server).is_empty()).await;
}

#[tokio::test]
async fn clear_keeps_foreign_keys_and_unfinished_bodies() {
    let server = Server::start();
    let namespace = "a*[b]?:";
    let store = builder(&server).namespace(namespace).linger(Duration::ZERO);
    let store = store.connect().await.unwrap();
    let hex = key(1).to_string();
    let foreign = [
        "a*[b]?".to_owned(),
        namespace.to_owned(),
        format!("{namespace}{{"),
        format!("{namespace}{{}}"),
        format!("{namespace}{{mine}}"),
        format!("{namespace}{{expiry.1}}x"),
        format!("{namespace}{{{}}}", hex.to_uppercase()),
        format!("{namespace}{{{hex}}}x"),
        format!("{namespace}x{{{hex}}}"),
        format!("axbb:{{{hex}}}"),
        format!("larder:{{{hex}}}"),
        format!("{{{hex}}}"),
    ];
    for name in &foreign {
        server.ask::<String>(&["SET", name, "foreign"]);
    }
    for number in 0..50 {
        let head = expiring(Duration::from_secs(99)).with_tags(vec!["tag".into()]);
        put(&store, key(number), head, body(number, 2_000 * number as usize)).await.unwrap();
    }
    let mut unfinished = store.put(&key(99), head()).await.unwrap();
    unfinished.write(body(99, MIB)).await.unwrap();
    assert_eq!(store.len().await.unwrap(), 50);
    store.clear().await.unwrap();
    assert_eq!(store.len().await.unwrap(), 0);
    unfinished.finish(None).await.unwrap();
    assert_eq!(get(&store, key(99)).await.unwrap(), body(99, MIB));
    store.clear().await.unwrap();
    let mut expected: Vec<_> = foreign.to_vec();
    expected.sort_unstable();
    assert_eq!(keys(&server), expected);
}

#[tokio::test]
async fn body_stays_for_its_reader_after_a_replacement() {
    let server = Server::start();
    let store = builder(&server).linger(Duration::from_secs(20)).connect().await.unwrap();
    put(&store, key(1), head(), body(1, 8 * MIB)).await.unwrap();
    let name = body_name(&server, key(1)).unwrap();
    let mut old = store.get(&key(1)).await.unwrap().unwrap().body;
    put(&store, key(1), head(), body(2, 8 * MIB)).await.unwrap();
    // The time at which the server removes the body. A reader prolongs it by the same time again.
    let end = || server.ask::<i64>(&["PEXPIRETIME", &name]);
    let first = end();
    let mut bytes = old.chunk().await.unwrap().unwrap().to_vec();
    let pause = Duration::from_millis(5_200);
    tokio::time::sleep(pause).await;
    while let Some(chunk) = old.chunk().await {
        bytes.extend_from_slice(&chunk.unwrap());
    }
    assert_eq!(bytes, body(1, 8 * MIB));
    let prolonged = end() - first;
    assert!(prolonged >= pause.as_millis() as i64, "{prolonged} ms");

    // A body without readers is removed.
    let hasty = builder(&server).linger(Duration::from_millis(10)).connect().await.unwrap();
    let name = body_name(&server, key(1)).unwrap();
    let idle = hasty.get(&key(1)).await.unwrap().unwrap();
    put(&hasty, key(1), head(), body(3, 8 * MIB)).await.unwrap();
    until("the body goes", async || server.ask::<u64>(&["EXISTS", &name]) == 0).await;
    assert_eq!(read(idle).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(get(&store, key(1)).await.unwrap(), body(3, 8 * MIB));
}

/// The server must not handle so many tags in one step.
#[tokio::test]
async fn entry_with_many_tags_is_found_by_each_and_leaves_nothing_behind() {
    let (server, store) = server_and_store().await;
    let many: Vec<_> = (0..100).map(|number| number.to_string()).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    for (first, second) in [(&many[..], &many[..1]), (&many[..1], &many[..])] {
        put(&store, key(1), tagged(first), body(1, 9)).await.unwrap();
        put(&store, key(1), tagged(second), body(2, 9)).await.unwrap();
        let seen = store.get(&key(1)).await.unwrap().unwrap().version;
        assert!(store.update(&key(1), seen, tagged(first)).await.unwrap());
        assert_eq!(store.remove_tagged(first.last().unwrap()).await.unwrap(), 1);
        until("the hints are dropped", async || keys(&server).is_empty()).await;
    }
}

#[tokio::test]
async fn body_of_an_entry_with_many_tags_is_counted() {
    let (_server, store) = server_and_store().await;
    let many: Vec<_> = (0..300).map(|number| number.to_string()).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    put(&store, key(1), tagged(&many), body(1, MIB)).await.unwrap();
    assert!(store.size_bytes().await.unwrap() > MIB as u64);
}

/// Other processes drop hints of expired entries while a removal reads the index page by page.
#[tokio::test]
async fn removal_finds_every_entry_while_hints_are_dropped() {
    let (server, store) = server_and_store().await;
    for number in 0..100 {
        put(&store, key(number), tagged(&["a"]), body(1, 9)).await.unwrap();
    }
    let index = keys(&server).into_iter().find(|name| name.contains("{tag.")).unwrap();
    // A page of hints for entries that expired a minute ago, at intervals of a millisecond.
    let mut add = redis::cmd("ZADD");
    add.arg(&index);
    for number in 0..500 {
        let (key, written) = (key(100 + number), now().as_millis());
        let hint = [key.as_bytes(), &[0; 8][..], &written.to_le_bytes()].concat();
        add.arg(written - 60_000 + number).arg(hint);
    }
    add.exec(&mut server.connection()).unwrap();
    assert_eq!(store.remove_tagged("a").await.unwrap(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn entry_written_during_a_clear_keeps_its_body() {
    let (server, store) = server_and_store().await;
    let mut fill = redis::cmd("MSET");
    for number in 0..20_000 {
        fill.arg(format!("foreign {number}")).arg(1);
    }
    fill.exec(&mut server.connection()).unwrap();
    let writing = async {
        for number in 0..200 {
            put(&store, key(number), head(), body(number, 70_000)).await.unwrap();
        }
    };
    let clearing = async {
        loop {
            store.clear().await.unwrap();
        }
    };
    tokio::select! {
        () = writing => {}
        () = clearing => {}
    }
    for name in keys(&server).into_iter().filter(|name| name.len() == 8 + 64 + 1) {
        let has_name = |other: &String| other.starts_with(&name) && *other != name;
        let body = keys(&server).into_iter().find(has_name).unwrap();
        assert_eq!(server.ask::<i64>(&["PTTL", &body]), -1, "{name}");
    }
}

#[tokio::test]
async fn clear_does_not_extend_the_life_of_a_removed_body() {
    let server = Server::start();
    let store = builder(&server).linger(Duration::from_secs(60)).connect().await.unwrap();
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    store.remove(&key(1)).await.unwrap();
    let names = keys(&server);
    let [name] = &names[..] else { panic!("one body stays: {names:?}") };
    server.ask::<i64>(&["PEXPIRE", name, "30000"]);
    store.clear().await.unwrap();
    let left = server.ask::<i64>(&["PTTL", name]);
    assert!((1..=30_000).contains(&left), "{left}");
    // A body that nothing refers to, and that would stay for ever, expires.
    server.ask::<i64>(&["PERSIST", name]);
    store.clear().await.unwrap();
    let left = server.ask::<i64>(&["PTTL", name]);
    assert!((30_001..=60_000).contains(&left), "{left}");
}
