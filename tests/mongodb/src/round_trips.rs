//! The number of commands and round trips of an operation. A proxy counts them.

use super::*;

/// The code of an `OP_MSG`, in which the driver sends commands.
const OP_MSG: u32 = 2013;

/// The name of a command, which is the first field of its document. Commands that greet or monitor
/// the server do not count.
fn command_of(message: &[u8]) -> Option<String> {
    if message.get(12..16)? != OP_MSG.to_le_bytes() {
        return None;
    }
    // Header, flags, kind of the section, length of the document, and type of the field.
    let name = message.get(16 + 4 + 1 + 4 + 1..)?.split(|&byte| byte == 0).next()?;
    let name = String::from_utf8(name.to_vec()).ok()?;
    (!["hello", "isMaster", "ismaster"].contains(&&*name)).then_some(name)
}

async fn store_without_sweeps(proxy: &Proxy) -> MongoDb {
    through(proxy).database(DATABASE).timeout(PATIENT).linger(DAY).build().await.unwrap()
}

/// A store behind a proxy, with its indexes and two connections, and without background sweeps.
async fn counted_server_and_store() -> (Server, Proxy, MongoDb) {
    let server = Server::start();
    let proxy = Proxy::counting(server.port, command_of).await;
    let store = store_without_sweeps(&proxy).await;
    put(&store, key(0), all(), body(0, MIB)).await.unwrap();
    assert_eq!(get(&store, key(0)).await.unwrap(), body(0, MIB));
    assert!(store.remove(&key(0)).await.unwrap());
    (server, proxy, store)
}

/// A head that is in each index.
fn all() -> Head {
    expiring(DAY).with_tags(vec!["a".into(), "b".into()])
}

#[tokio::test]
async fn small_hit_and_miss_take_one_command_each() {
    let (_server, proxy, store) = counted_server_and_store().await;
    put(&store, key(1), all(), body(1, 250_000)).await.unwrap();
    let (found, sent) = proxy.of(get(&store, key(1))).await;
    assert_eq!((found.unwrap(), sent), (body(1, 250_000), Sent::new(1, &[("find", 1)])));
    let (found, sent) = proxy.of(get(&store, key(2))).await;
    assert_eq!((found, sent), (None, Sent::new(1, &[("find", 1)])));
}

#[tokio::test]
async fn storing_a_small_entry_takes_one_command() {
    let (_server, proxy, store) = counted_server_and_store().await;
    for seed in 0..2 {
        let (stored, sent) = proxy.of(put(&store, key(1), all(), body(seed, 250_000))).await;
        assert_eq!((stored.unwrap(), sent), ((), Sent::new(1, &[("findAndModify", 1)])));
    }
    // The first write of a process creates the indexes.
    let other = store_without_sweeps(&proxy).await;
    let (stored, sent) = proxy.of(put(&other, key(1), all(), body(3, 9))).await;
    stored.unwrap();
    assert_eq!(sent, Sent::new(5, &[("createIndexes", 4), ("findAndModify", 1)]));
}

#[tokio::test]
async fn miss_takes_two_commands_and_the_hit_after_it_one() {
    let (_server, proxy, store) = counted_server_and_store().await;
    let layer = CacheLayer::private(store);
    let (fetched, sent) = proxy.of(fetch(&layer, 1, 9_000)).await;
    assert_eq!(fetched, Ok((false, body(1, 9_000))));
    assert_eq!(sent, Sent::new(2, &[("find", 1), ("findAndModify", 1)]));
    let (fetched, sent) = proxy.of(fetch(&layer, 1, 9_000)).await;
    assert_eq!(fetched, Ok((true, body(1, 9_000))));
    assert_eq!(sent, Sent::new(1, &[("find", 1)]));
}

#[tokio::test]
async fn large_entry_takes_one_command_per_chunk_and_is_read_in_parallel() {
    let (_server, proxy, store) = counted_server_and_store().await;
    let (stored, sent) = proxy.of(put(&store, key(1), all(), body(1, MIB))).await;
    stored.unwrap();
    let large = [("update", 2), ("insert", 5), ("findAndModify", 1)];
    assert_eq!(sent, Sent::new(8, &large), "begin, five chunks, completion, entry");
    let (stored, sent) = proxy.of(put(&store, key(1), all(), body(2, MIB))).await;
    stored.unwrap();
    let over = [("update", 3), ("insert", 5), ("findAndModify", 1)];
    assert_eq!(sent, Sent::new(9, &over), "one more to set the old file aside");
    let (found, sent) = proxy.of(get(&store, key(1))).await;
    assert_eq!(found.unwrap(), body(2, MIB));
    assert_eq!(sent, Sent::new(3, &[("find", 1 + 3)]), "two parts are requested at a time");
    let (removed, sent) = proxy.of(store.remove(&key(1))).await;
    assert!(removed.unwrap());
    assert_eq!(sent, Sent::new(2, &[("findAndModify", 1), ("update", 1)]));
}

#[tokio::test]
async fn removal_by_key_takes_one_command_and_by_tag_two_per_page() {
    let (_server, proxy, store) = counted_server_and_store().await;
    for number in 0..150 {
        put(&store, key(number), all(), body(number, 9)).await.unwrap();
    }
    let (removed, sent) = proxy.of(store.remove(&key(1))).await;
    assert_eq!((removed.unwrap(), sent), (true, Sent::new(1, &[("findAndModify", 1)])));
    let seen = store.get(&key(2)).await.unwrap().unwrap().version;
    let (removed, sent) = proxy.of(store.remove_if(&key(2), seen)).await;
    assert_eq!((removed.unwrap(), sent), (true, Sent::new(1, &[("findAndModify", 1)])));
    let (removed, sent) = proxy.of(store.remove_tagged("a")).await;
    assert_eq!((removed.unwrap(), sent), (148, Sent::new(5, &[("find", 3), ("delete", 2)])));
}

#[tokio::test]
async fn update_takes_two_commands() {
    let (_server, proxy, store) = counted_server_and_store().await;
    put(&store, key(1), all(), body(1, 9)).await.unwrap();
    let seen = store.get(&key(1)).await.unwrap().unwrap().version;
    let (updated, sent) = proxy.of(store.update(&key(1), seen, all())).await;
    assert_eq!((updated.unwrap(), sent), (true, Sent::new(2, &[("find", 1), ("update", 1)])));
}

#[tokio::test]
async fn index_removals_and_counts_take_the_documented_number_of_commands() {
    let (_server, proxy, store) = counted_server_and_store().await;
    let (removed, sent) = proxy.of(store.remove_tagged("a")).await;
    assert_eq!((removed.unwrap(), sent), (0, Sent::new(1, &[("find", 1)])));
    let (removed, sent) = proxy.of(store.remove_expired(now())).await;
    assert_eq!(removed.unwrap(), 0);
    assert_eq!(sent.commands, Sent::new(0, &[("find", 1 + 5), ("createIndexes", 4)]).commands);
    let (len, sent) = proxy.of(store.len()).await;
    assert_eq!((len.unwrap(), sent), (0, Sent::new(1, &[("count", 1)])));
    let (size, sent) = proxy.of(store.size_bytes()).await;
    assert_eq!((size.unwrap(), sent), (0, Sent::new(1, &[("aggregate", 1)])));
}
