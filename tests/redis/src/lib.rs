//! What only a server can show: commands, keys and times to live on it, faults of the network and of the server, other
//! processes, a cluster, Sentinels. What every store promises is tested by the conformance suite.

#![cfg(test)]
#![allow(clippy::unwrap_used)]

#[path = "../../support/child.rs"]
mod child;
#[path = "../../support/entries.rs"]
mod entries;
#[path = "../../support/proxy.rs"]
mod proxy;
#[path = "../../support/reads.rs"]
mod reads;
#[path = "../../support/redis.rs"]
mod servers;

use std::{
    collections::BTreeMap,
    convert::Infallible,
    env,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use futures_util::{StreamExt, future};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use larder::{
    CacheLayer, CacheStatus, Key,
    entry::Head,
    store::{ErrorKind, Redis, Result, Store, Writer, redis::Builder},
    time::Timestamp,
};
use tower::{Layer, ServiceExt};

#[cfg(target_os = "linux")]
use self::child::peak;
use self::{
    child::{CHILD, child},
    entries::{MIB, body, get, head_at, key, mixed, put, read},
    proxy::Proxy,
    servers::{Cluster, Server, any_server, namespace},
};

// ===== support =====

fn now() -> Timestamp {
    SystemTime::now().into()
}

fn head() -> Head {
    head_at(now())
}

fn tagged(tags: &[&str]) -> Head {
    head().with_tags(tags.iter().map(|&tag| tag.into()).collect())
}

fn expiring(after: Duration) -> Head {
    head().with_expires_at(Some(now().saturating_add(after)))
}

/// Nothing takes so long unless it never comes.
const NEVER: Duration = Duration::from_secs(120);

/// With more time than a busy machine takes, or one that stands still for a while.
fn patient(builder: Builder) -> Builder {
    builder.connect_timeout(NEVER).response_timeout(NEVER)
}

fn builder(server: &Server) -> Builder {
    patient(Redis::builder(server.url()))
}

/// A server of the test's own, and a store on it.
async fn place() -> (Server, Redis) {
    let server = Server::start();
    let store = builder(&server).connect().await.unwrap();
    (server, store)
}

/// Waits until `is_so`.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < NEVER, "{what}: it never came to pass");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Every key on the server, sorted.
fn keys(server: &Server) -> Vec<String> {
    let mut keys: Vec<String> = server.ask(&["KEYS", "*"]);
    keys.sort_unstable();
    keys
}

fn entry_name(key: Key) -> String {
    format!("larder:{{{key}}}")
}

/// The name of the entry's body, or of one that is being written.
fn body_name(server: &Server, key: Key) -> Option<String> {
    let entry = entry_name(key);
    keys(server).into_iter().find(|name| name.len() > entry.len() && name.starts_with(&entry))
}

/// Which commands the server was given meanwhile, and how often, without those of the test.
fn commands(server: &Server) -> BTreeMap<String, u64> {
    let info: String = server.ask(&["INFO", "commandstats"]);
    info.lines()
        .filter_map(|line| line.strip_prefix("cmdstat_")?.split_once(":calls="))
        .map(|(name, rest)| (name.to_owned(), rest.split(',').next().unwrap().parse().unwrap()))
        .filter(|(name, _)| {
            !["config|resetstat", "info", "hello", "client|setinfo"].contains(&name.as_str())
        })
        .collect()
}

async fn counted(server: &Server, what: impl Future<Output = ()>) -> BTreeMap<String, u64> {
    server.ask::<String>(&["CONFIG", "RESETSTAT"]);
    what.await;
    commands(server)
}

type Fetched = (bool, Bytes);

/// What is behind the error of a body.
fn cause(error: larder::BodyError) -> String {
    error.into_source().map_or_else(String::new, |source| source.to_string())
}

/// Sends a request through a layer over the store. The origin answers with the path and `len` bytes.
async fn fetch(
    layer: &CacheLayer<Redis>,
    path: u64,
    len: usize,
) -> std::result::Result<Fetched, String> {
    let origin = tower::service_fn(move |request: Request<_>| async move {
        let path: u64 = Request::uri(&request).path()[1..].parse().unwrap();
        let _body: Request<larder::RequestBody<Full<Bytes>>> = request;
        Ok::<_, Infallible>(Response::new(Full::new(body(path, len))))
    });
    let request = Request::get(format!("http://example.com/{path}")).body(Full::default()).unwrap();
    let response = layer.layer(origin).oneshot(request).await.unwrap();
    let hit = response.extensions().get::<CacheStatus>().unwrap().is_from_store();
    let bytes = response.into_body().collect().await.map_err(cause)?.to_bytes();
    Ok((hit, bytes))
}

// ===== commands =====

#[tokio::test]
async fn a_small_hit_is_one_round_trip() {
    let (server, store) = place().await;
    put(&store, key(1), tagged(&["tag"]), body(1, 60_000)).await.unwrap();
    let seen = counted(&server, async {
        for _ in 0..100 {
            assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 60_000));
        }
    });
    assert_eq!(seen.await, BTreeMap::from([("get".to_owned(), 100)]));
    let seen = counted(&server, async { assert!(get(&store, key(2)).await.is_none()) });
    assert_eq!(seen.await, BTreeMap::from([("get".to_owned(), 1)]));
}

/// What the module's text says of the other operations. The scripts' own commands are counted too, so those that were sent
/// are told apart by their names.
#[tokio::test]
async fn the_other_operations_take_as_many_commands_as_documented() {
    let (server, store) = place().await;
    let sent = |seen: BTreeMap<String, u64>| {
        let sent = ["get", "hmget", "evalsha", "getrange"];
        sent.map(|name| seen.get(name).copied().unwrap_or_default())
    };
    // So that the server knows the scripts.
    let warm = tagged(&["a"]).with_expires_at(Some(now().saturating_add(Duration::from_secs(99))));
    put(&store, key(0), warm.clone(), body(0, MIB)).await.unwrap();
    put(&store, key(0), warm, body(0, MIB)).await.unwrap();
    store.remove(&key(0)).await.unwrap();

    let small = counted(&server, async { put(&store, key(1), head(), body(1, 9)).await.unwrap() });
    assert_eq!(sent(small.await)[2], 1, "a small body without expiry and tags");
    let tagged = expiring(Duration::from_secs(99)).with_tags(vec!["a".into(), "b".into()]);
    let small = counted(&server, async { put(&store, key(2), tagged, body(1, 9)).await.unwrap() });
    assert_eq!(sent(small.await)[2], 1 + 3, "one more for the expiry and each tag");
    let large =
        counted(&server, async { put(&store, key(3), head(), body(1, MIB)).await.unwrap() });
    assert_eq!(sent(large.await)[2], 1 + 4, "one more for each chunk");
    let large = counted(&server, async { drop(get(&store, key(3)).await.unwrap()) });
    assert_eq!(sent(large.await)[..2], [1, 2], "one for the head, and one for each 512 KiB");
    let removal = counted(&server, async { assert!(store.remove(&key(1)).await.unwrap()) });
    assert_eq!(sent(removal.await)[2], 1);
    let nothing = counted(&server, async {
        assert_eq!(store.remove_tagged("nothing").await.unwrap(), 0);
    });
    assert_eq!(sent(nothing.await)[2], 1, "by index");
    let nothing =
        counted(&server, async { assert_eq!(store.remove_expired(now()).await.unwrap(), 0) });
    assert_eq!(sent(nothing.await)[2], 16, "by index");
}

/// A removal by tag sends as many commands, and the server does as much of anything, however many entries there are.
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

// ===== keys and times to live =====

#[tokio::test]
async fn keys_live_for_as_long_as_they_are_of_use() {
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
    // An update brings both along, and never is never.
    let seen = store.get(&key(1)).await.unwrap().unwrap().version;
    assert!(store.update(&key(1), seen, kept(200)).await.unwrap());
    assert_eq!(expiry(&entry_name(key(1))), seconds(200 + 50));
    assert_eq!(expiry(&body_name(&server, key(1)).unwrap()), seconds(200 + 50 + 3_000));
    let seen = store.get(&key(1)).await.unwrap().unwrap().version;
    assert!(store.update(&key(1), seen, head()).await.unwrap());
    assert_eq!(expiry(&entry_name(key(1))), -1);
    assert_eq!(expiry(&body_name(&server, key(1)).unwrap()), -1);
    // What is replaced stays for its readers.
    let old = body_name(&server, key(1)).unwrap();
    put(&store, key(1), head(), body(1, 9)).await.unwrap();
    let left = server.ask::<i64>(&["PTTL", &old]);
    assert!((2_900_000..=3_000_000).contains(&left), "{left}");
    // What is being written goes by itself.
    let mut writer = store.put(&key(2), head()).await.unwrap();
    writer.write(body(2, MIB)).await.unwrap();
    let left = server.ask::<i64>(&["PTTL", &body_name(&server, key(2)).unwrap()]);
    assert!((500_000..=600_000).contains(&left), "{left}");
    // Without native expiry.
    let store = builder(&server).grace(Duration::MAX).connect().await.unwrap();
    put(&store, key(3), expiring(Duration::ZERO), body(3, 9)).await.unwrap();
    assert_eq!(expiry(&entry_name(key(3))), -1);
    assert_eq!(store.remove_expired(now()).await.unwrap(), 1);
}

#[tokio::test]
async fn what_expires_is_removed_by_the_server_and_leaves_the_indexes() {
    let server = Server::start();
    let store = builder(&server).linger(Duration::ZERO).connect().await.unwrap();
    let expiring = |after| {
        tagged(&["tag"]).with_expires_at(Some(now().saturating_add(Duration::from_secs(after))))
    };
    for number in 0..20 {
        put(&store, key(number), expiring(3_000), body(number, 100_000)).await.unwrap();
    }
    assert_eq!(store.len().await.unwrap(), 20);
    // However long all that has taken, they are to go soon from here on.
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
    // The hints are there for a while, in case their writers are slow, and go with their indexes.
    store.clear().await.unwrap();
    for name in keys(&server) {
        assert!(name.starts_with("larder:{expiry.") || name.starts_with("larder:{tag."), "{name}");
        let left = server.ask::<i64>(&["PTTL", &name]);
        assert!((3_000_000..=3_600_000).contains(&left), "{name}: {left}");
    }
}

#[tokio::test]
async fn what_is_removed_leaves_nothing_behind() {
    let server = Server::start();
    let store = builder(&server).linger(Duration::ZERO).connect().await.unwrap();
    let tags =
        || tagged(&["a", "b"]).with_expires_at(Some(now().saturating_add(Duration::from_secs(99))));
    for number in 0..4 {
        // Replaced, and updated too.
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
    // Nor does a writer that is dropped.
    let mut writer = store.put(&key(2), head()).await.unwrap();
    writer.write(body(2, MIB)).await.unwrap();
    assert_eq!(keys(&server).len(), 1);
    drop(writer);
    until("the body of a dropped writer goes", || keys(&server).is_empty()).await;
}

#[tokio::test]
async fn clearing_leaves_foreign_keys_and_unfinished_bodies_alone() {
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
async fn a_body_that_is_being_read_stays_after_it_was_replaced() {
    let server = Server::start();
    let store = builder(&server).linger(Duration::from_secs(20)).connect().await.unwrap();
    put(&store, key(1), head(), body(1, 8 * MIB)).await.unwrap();
    let name = body_name(&server, key(1)).unwrap();
    let mut old = store.get(&key(1)).await.unwrap().unwrap().body;
    put(&store, key(1), head(), body(2, 8 * MIB)).await.unwrap();
    // When the server removes it: told to stay, it stays for as long as from the beginning, counted anew.
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

    // One that nobody reads goes.
    let hasty = builder(&server).linger(Duration::from_millis(10)).connect().await.unwrap();
    let name = body_name(&server, key(1)).unwrap();
    let idle = hasty.get(&key(1)).await.unwrap().unwrap();
    put(&hasty, key(1), head(), body(3, 8 * MIB)).await.unwrap();
    until("the body goes", || server.ask::<u64>(&["EXISTS", &name]) == 0).await;
    assert_eq!(read(idle).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(get(&store, key(1)).await.unwrap(), body(3, 8 * MIB));
}

// ===== damage =====

fn raw(server: &Server, words: &[&[u8]]) -> Vec<u8> {
    let mut cmd = redis::cmd(str::from_utf8(words[0]).unwrap());
    cmd.arg(&words[1..]);
    match cmd.query::<redis::Value>(&mut server.connection()).unwrap() {
        redis::Value::BulkString(bytes) => bytes,
        _ => Vec::new(),
    }
}

#[tokio::test]
async fn damaged_bytes_are_a_miss_that_is_removed() {
    let (server, store) = place().await;
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
    // A scan goes on after it, and it can be removed, counted and written over.
    raw(&server, &[b"SET", name.as_bytes(), &record[..90]]);
    put(&store, key(2), head(), body(2, 9)).await.unwrap();
    let scanned: Vec<_> = store.scan().collect().await;
    assert_eq!(scanned.len(), 2);
    assert_eq!(scanned.iter().filter(|item| item.is_err()).count(), 1);
    assert!(store.size_bytes().await.unwrap() > 0);
    assert!(store.remove(&key(1)).await.unwrap());
    // Another entry's bytes are not this one's.
    raw(
        &server,
        &[b"SET", name.as_bytes(), &raw(&server, &[b"GET", entry_name(key(2)).as_bytes()])],
    );
    assert_eq!(store.get(&key(1)).await.unwrap_err().kind(), ErrorKind::Corrupt);
    put(&store, key(1), head(), body(1, 9)).await.unwrap();
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 9));
}

#[tokio::test]
async fn damaged_bodies_are_errors_before_they_are_handed_on() {
    let (server, store) = place().await;
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
        server.ask::<u64>(&["DEL", &name, &entry_name(key(1))]);
    }
}

#[tokio::test]
async fn wrong_types_are_misses_that_are_removed() {
    let (server, store) = place().await;
    let name = entry_name(key(1));
    let layer = CacheLayer::private(store.clone());
    for wrong in
        [["SADD", "m"].as_slice(), &["HSET", "f", "v"], &["LPUSH", "v"], &["ZADD", "1", "m"]]
    {
        let words = [&[wrong[0], &name], &wrong[1..]].concat();
        server.ask::<redis::Value>(&words);
        assert_eq!(store.get(&key(1)).await.unwrap_err().kind(), ErrorKind::Corrupt);
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
    // Under an index: no matter to clear; told once to who asks it, then made anew.
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
async fn a_full_server_says_so_and_takes_more_when_there_is_room() {
    let (server, store) = place().await;
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

// ===== faults =====

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_and_a_restart_during_load_fail_no_request() {
    let mut server = Server::start();
    let layer = CacheLayer::private(builder(&server).connect().await.unwrap());
    let (stop, hits, after) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(0)),
    );
    let back = Arc::new(AtomicBool::new(false));
    let load = (0..8).map(|worker| {
        let (layer, stop, hits) = (layer.clone(), stop.clone(), hits.clone());
        let (back, after) = (back.clone(), after.clone());
        tokio::spawn(async move {
            let mut number = worker;
            while !stop.load(Ordering::SeqCst) {
                // Some inline, some in chunks.
                number = (number + 1) % 20;
                let len = if number % 4 == 0 { 900_000 } else { 5_000 };
                match fetch(&layer, number, len).await {
                    Ok((hit, bytes)) => {
                        assert_eq!(bytes, body(number, len), "a wrong body");
                        if hit {
                            hits.fetch_add(1, Ordering::SeqCst);
                            after.fetch_add(
                                u64::from(back.load(Ordering::SeqCst)),
                                Ordering::SeqCst,
                            );
                        }
                    }
                    // A hit whose store goes away amid its body ends in an error: the head was sent already.
                    Err(error) => assert!(error.contains("redis"), "{error}"),
                }
            }
        })
    });
    let load: Vec<_> = load.collect();
    until("the store is used", || hits.load(Ordering::SeqCst) > 50).await;
    for _ in 0..2 {
        server.kill();
        back.store(false, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(700)).await;
        let server = &mut server;
        tokio::task::block_in_place(|| server.run());
        after.store(0, Ordering::SeqCst);
        back.store(true, Ordering::SeqCst);
        until("the store is used again", || after.load(Ordering::SeqCst) > 50).await;
    }
    stop.store(true, Ordering::SeqCst);
    for worker in load {
        worker.await.unwrap();
    }
    assert!(hits.load(Ordering::SeqCst) > 100);
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
    // Amid a write: nothing is stored, or all of it.
    proxy.refuse(false);
    tokio::time::sleep(Duration::from_millis(150)).await;
    let mut writer = store.put(&key(2), head()).await.unwrap();
    writer.write(body(2, MIB)).await.unwrap();
    proxy.cut();
    let failed = match writer.write(body(3, MIB)).await {
        Ok(()) => writer.finish(None).await,
        failed => failed,
    };
    match (failed, get(&store, key(2)).await) {
        (Ok(()), Some(bytes)) => assert_eq!(bytes.len(), 2 * MIB),
        (Err(error), None) => assert_eq!(error.kind(), ErrorKind::Unavailable),
        (outcome, found) => panic!("{outcome:?} {:?}", found.map(|bytes| bytes.len())),
    }
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 8 * MIB));
}

/// One connection keeps the order: over another one, what begins later would come to the server first.
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
async fn a_server_that_does_not_answer_is_an_error_in_time() {
    let server = Server::start();
    let proxy = Proxy::to(server.port).await;
    let store = patient(Redis::builder(proxy.url())).connect().await.unwrap();
    put(&store, key(1), tagged(&["a"]), body(1, MIB)).await.unwrap();
    let reading = store.get(&key(1)).await.unwrap().unwrap();
    let layer = CacheLayer::private(store.clone());
    fetch(&layer, 1, 100).await.unwrap();
    proxy.stall(true);
    // Nothing comes any more, so that from here on only the limits end anything: by a time that needs no waiting.
    tokio::time::pause();
    for _ in 0..3 {
        let begin = tokio::time::Instant::now();
        let (a, b, c, d) = future::join4(
            store.get(&key(1)),
            put(&store, key(2), head(), body(2, 9)),
            store.remove_tagged("a"),
            store.len(),
        )
        .await;
        for error in [a.map(drop), b, c.map(drop), d.map(drop)].map(Result::unwrap_err) {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        }
        assert!(begin.elapsed() < NEVER * 2, "{:?}", begin.elapsed());
    }
    let begin = tokio::time::Instant::now();
    assert!(read(reading).await.is_err());
    assert_eq!(fetch(&layer, 1, 100).await.unwrap(), (false, body(1, 100)));
    assert!(begin.elapsed() < NEVER * 10, "{:?}", begin.elapsed());
    // What is still being connected to is given up, too.
    tokio::time::sleep(NEVER * 2).await;
    tokio::time::resume();
    // The old connections never come back; new ones do.
    proxy.stall(false);
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, MIB));
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

// ===== connections =====

#[tokio::test]
async fn a_login_is_needed_where_the_server_says_so() {
    let server = Server::start();
    server.ask::<String>(&["CONFIG", "SET", "requirepass", "sesame"]);
    let error = builder(&server).connect().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    let address = format!("127.0.0.1:{}", server.port);
    let connect = |url: String| patient(Redis::builder(url)).connect();
    let error = connect(format!("redis://:wrong@{address}")).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("wrong@"), "{error:?}");
    let store = connect(format!("redis://:sesame@{address}")).await.unwrap();
    put(&store, key(1), head(), body(1, 9)).await.unwrap();
    let store = builder(&server).login(Some("default"), "sesame").connect().await;
    assert_eq!(get(&store.unwrap(), key(1)).await.unwrap(), body(1, 9));
}

#[tokio::test]
async fn a_connection_that_was_made_already_will_do() {
    let server = Server::start();
    let client = redis::Client::open(server.url()).unwrap();
    let store = redis::aio::ConnectionManager::new(client.clone()).await.unwrap();
    let store = patient(Builder::from_connection_manager(store)).build().unwrap();
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    let client = patient(Builder::from_client(client)).connect().await.unwrap();
    assert_eq!(get(&client, key(1)).await.unwrap(), body(1, MIB));
    // The older protocol, too.
    let older = Redis::builder(format!("{}/?protocol=resp2", server.url()));
    let older = patient(older).connect().await.unwrap();
    assert_eq!(get(&older, key(1)).await.unwrap(), body(1, MIB));
    assert_eq!(older.scan().count().await, 1);
    assert!(older.remove(&key(1)).await.unwrap());
}

#[tokio::test]
async fn tls_is_spoken_with_a_trusted_server_alone() {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tls");
    let file = |name: &str| format!("{data}/{name}");
    let tls_port = servers::free_port();
    let server = Server::start_with(&[
        "--tls-port",
        &tls_port.to_string(),
        "--tls-cert-file",
        &file("server.pem"),
        "--tls-key-file",
        &file("server.key"),
        "--tls-ca-cert-file",
        &file("ca.pem"),
        "--tls-auth-clients",
        "no",
    ]);
    let url = format!("rediss://127.0.0.1:{tls_port}");
    let distrusting = patient(Redis::builder(&url)).connect().await;
    assert_eq!(distrusting.unwrap_err().kind(), ErrorKind::Unavailable);
    let authority = std::fs::read(file("ca.pem")).unwrap();
    let store = patient(Redis::builder(&url)).root_certificate(authority);
    let store = store.connect().await.unwrap();
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, MIB));
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn sentinels_tell_which_server_is_the_primary() {
    let mut primary = Server::start();
    let replica = Server::start_with(&["--replicaof", "127.0.0.1", &primary.port.to_string()]);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sentinel.conf");
    let watched = format!(
        "sentinel monitor main 127.0.0.1 {} 1\nsentinel down-after-milliseconds main 600000\n\
         sentinel failover-timeout main 3000\n",
        primary.port
    );
    std::fs::write(&config, watched).unwrap();
    let sentinel = Server::sentinel(&config);
    until("the Sentinel finds the replica", || {
        sentinel.ask::<String>(&["INFO", "sentinel"]).contains("slaves=1")
    })
    .await;
    let store = patient(Redis::sentinel([sentinel.url()], "main")).connect().await.unwrap();
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, MIB));
    until("the replica follows", || replica.ask::<u64>(&["EXISTS", &entry_name(key(1))]) == 1)
        .await;
    primary.kill();
    assert_eq!(store.get(&key(1)).await.map(drop).unwrap_err().kind(), ErrorKind::Unavailable);
    // Only now: a machine that stands still for a moment is no reason to have another primary.
    let soon = ["SENTINEL", "SET", "main", "down-after-milliseconds", "500"];
    sentinel.ask::<String>(&soon);
    let begin = Instant::now();
    while let Err(error) = put(&store, key(2), head(), body(2, 9)).await {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        assert!(begin.elapsed() < NEVER, "the store finds no new primary: {error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, MIB));
    assert_eq!(replica.ask::<u64>(&["EXISTS", &entry_name(key(2))]), 1);
}

// ===== clusters =====

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_cleared_on_every_node_and_foreign_keys_stay() {
    let cluster = Cluster::start();
    let store = patient(Redis::cluster(cluster.urls())).linger(Duration::ZERO);
    let store = store.connect().await.unwrap();
    for number in 0..60 {
        let head = expiring(Duration::from_secs(99)).with_tags(vec!["tag".into()]);
        put(&store, key(number), head, body(number, 3_000 * number as usize)).await.unwrap();
    }
    let ours = |node: &Server| keys(node).len();
    assert!(cluster.nodes.iter().all(|node| ours(node) > 5), "each node has a part");
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
async fn a_cluster_that_was_killed_is_used_again() {
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
        let begin = Instant::now();
        for number in 0..20 {
            while !fetch(&layer, number, 90_000).await.unwrap().0 {
                assert!(begin.elapsed() < NEVER, "the store is not used again");
            }
        }
    }
}

// ===== processes and memory =====

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_share_a_server() {
    let name = "two_processes_share_a_server";
    if let Ok(word) = env::var(CHILD) {
        let (namespace, url) = word.split_once(' ').unwrap();
        let store = patient(Redis::builder(url)).namespace(namespace).connect().await.unwrap();
        mixed(&store, 2, 100_000, now()).await;
        return;
    }
    let (url, _server) = any_server();
    let namespace = namespace();
    let store = patient(Redis::builder(&url)).namespace(&namespace).connect().await.unwrap();
    let mut child =
        child(name, format!("{namespace} {url}")).stdout(Stdio::inherit()).spawn().unwrap();
    mixed(&store, 1, 100_000, now()).await;
    let status = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
    assert!(status.success());
    let entries = store.len().await.unwrap();
    assert_eq!(store.scan().count().await as u64, entries);
    let mut removed = store.remove_tagged("updated").await.unwrap();
    for tag in 0..20 {
        removed += store.remove_tagged(&format!("tag {tag}")).await.unwrap();
    }
    assert_eq!(removed, entries, "the indexes know of every entry");
    assert_eq!(store.len().await.unwrap(), 0);
    store.clear().await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_large_body_passes_through_little_memory() {
    let name = "a_large_body_passes_through_little_memory";
    if let Ok(url) = env::var(CHILD) {
        let store = patient(Redis::builder(&url)).connect().await.unwrap();
        let before = peak();
        let block = body(1, MIB);
        let mut writer = store.put(&key(1), head()).await.unwrap();
        for _ in 0..100 {
            // A memory of its own each time, as from a socket.
            writer.write(Bytes::copy_from_slice(&block)).await.unwrap();
        }
        writer.finish(None).await.unwrap();
        let mut body = store.get(&key(1)).await.unwrap().unwrap().body;
        let mut len = 0;
        while let Some(chunk) = body.chunk().await {
            len += chunk.unwrap().len();
        }
        assert_eq!(len, 100 * MIB);
        let grown = peak() - before;
        println!("grown by {} KiB", grown / 1_024);
        assert!(grown < 48 * MIB as u64, "{} KiB", grown / 1_024);
        return;
    }
    let server = Server::start();
    let output = child(name, server.url()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("grown by"), "{text}");
    println!("{text}");
}

// ===== How often the store is read =====

#[tokio::test(flavor = "multi_thread")]
async fn a_varied_hit_reads_the_store_once() {
    let (_server, store) = place().await;
    reads::are_counted(store).await;
}
