//! Files that are no longer needed.

use super::*;

#[tokio::test]
async fn body_stays_for_its_reader_after_a_replacement() {
    let server = Server::start();
    let seen = Seen::on(&server).await;
    let store = builder(&server).timeout(BRIEF).linger(BRIEF * 2).connect().await.unwrap();
    put(&store, key(1), head(), body(1, 8 * MIB)).await.unwrap();
    let old_file = seen.file(key(1)).await;
    let mut old = store.get(&key(1)).await.unwrap().unwrap().body;
    let idle = store.get(&key(1)).await.unwrap().unwrap();
    put(&store, key(1), head(), body(2, 8 * MIB)).await.unwrap();
    assert_eq!(seen.state(old_file).await.as_deref(), Some("removed"));
    let first = seen.touched(old_file).await;
    // Reads more slowly than the time limit of an answer. Each touch keeps the file for the same
    // time again.
    let mut bytes = old.chunk().await.unwrap().unwrap().to_vec();
    let pause = BRIEF + Duration::from_millis(500);
    tokio::time::sleep(pause).await;
    while let Some(chunk) = old.chunk().await {
        bytes.extend_from_slice(&chunk.unwrap());
    }
    assert_eq!(bytes, body(1, 8 * MIB));
    let prolonged = seen.touched(old_file).await - first;
    assert!(prolonged >= pause.as_millis() as i64, "{prolonged} ms");
    // A file without readers is removed.
    seen.set_file(old_file, doc! { "metadata.touched": ago(BRIEF * 3) }).await;
    store.remove_expired(now()).await.unwrap();
    seen.settle([1, 1, 33]).await;
    assert_eq!(read(idle).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(get(&store, key(1)).await.unwrap(), body(2, 8 * MIB));
}

#[tokio::test]
async fn removed_entries_leave_nothing_behind() {
    let server = Server::start();
    let seen = Seen::on(&server).await;
    let store = builder(&server).timeout(BRIEF).linger(Duration::ZERO);
    let store = store.connect().await.unwrap();
    let large = |number| body(number, 600_000);
    for number in 0..6 {
        // Each entry is replaced and updated too.
        put(&store, key(number), tagged(&["c"]), large(number)).await.unwrap();
        put(&store, key(number), tagged(&["a", "b"]), large(number)).await.unwrap();
        let seen = store.get(&key(number)).await.unwrap().unwrap().version;
        assert!(store.update(&key(number), seen, tagged(&["a"])).await.unwrap());
    }
    let version = store.get(&key(0)).await.unwrap().unwrap().version;
    assert!(store.remove(&key(1)).await.unwrap());
    assert!(store.remove_if(&key(0), version).await.unwrap());
    put(&store, key(5), expiring(Duration::ZERO), large(5)).await.unwrap();
    put(&store, key(4), tagged(&["a"]), body(4, 9)).await.unwrap();
    assert_eq!(store.remove_tagged("a").await.unwrap(), 3);
    assert_eq!(store.remove_expired(now()).await.unwrap(), 1);
    // A dropped writer leaves nothing behind either.
    let mut writer = store.put(&key(2), head()).await.unwrap();
    writer.write(body(2, MIB)).await.unwrap();
    assert_eq!(seen.files.count_documents(doc! { "metadata.state": "pending" }).await.unwrap(), 1);
    drop(writer);
    seen.settle([0, 0, 0]).await;
    assert_eq!(store.size_bytes().await.unwrap(), 0);
}

#[tokio::test]
async fn files_of_dead_processes_are_swept() {
    let server = Server::start();
    // The store is not connected, because this starts a sweep, which might see only half of the
    // files that are created here.
    let store = builder(&server).build().await.unwrap();
    let seen = Seen::on(&server).await;
    for number in 1..=4 {
        put(&store, key(number), head(), body(number, MIB)).await.unwrap();
    }
    // Files in these states for a moment, or while a process works on them.
    let fresh = async |state: &str| {
        let id = ObjectId::new();
        let metadata = doc! { "state": state, "touched": ago(Duration::ZERO) };
        let file = doc! {
            "_id": id, "length": 0_i64, "chunkSize": 261_120, "uploadDate": DateTime::now(),
            "filename": key(9).to_string(), "metadata": metadata,
        };
        seen.files.insert_one(file).await.unwrap();
        let data = Binary { subtype: BinarySubtype::Generic, bytes: vec![0; 9] };
        // There are many chunks, and the first ones are already removed.
        let chunks = (300..900).map(|n| doc! { "files_id": id, "n": n, "data": data.clone() });
        seen.chunks.insert_many(chunks).await.unwrap();
        id
    };
    let (writing, finishing, reading) =
        (fresh("pending").await, fresh("live").await, fresh("removed").await);
    // Files in these states for longer than a live process leaves them.
    let left = [
        (fresh("pending").await, Duration::from_secs(601)),
        (fresh("removed").await, Duration::from_secs(61)),
        (fresh("deleting").await, Duration::from_secs(1)),
    ];
    for (file, age) in left {
        seen.set_file(file, doc! { "metadata.touched": ago(age) }).await;
    }
    let unused = fresh("live").await;
    let lost = DAY + Duration::from_secs(1);
    seen.set_file(unused, doc! { "metadata.touched": ago(lost) }).await;
    // These files are in use, in spite of their states.
    for (number, state) in [(1, "pending"), (2, "removed"), (3, "live")] {
        let set = doc! { "metadata.state": state, "metadata.touched": ago(lost) };
        seen.set_file(seen.file(key(number)).await, set).await;
    }
    // Another store sweeps when it connects.
    let other = builder(&server).connect().await.unwrap();
    until("the sweep at connecting removes the unused file", async || {
        seen.state(unused).await.as_deref() == Some("removed")
    })
    .await;
    for (file, _) in left {
        assert_eq!(seen.state(file).await, None);
        assert_eq!(seen.chunks.count_documents(doc! { "files_id": file }).await.unwrap(), 0);
    }
    // The file stays for a while, because it may have had a reader.
    seen.set_file(unused, doc! { "metadata.touched": ago(Duration::from_secs(61)) }).await;
    assert_eq!(other.remove_expired(now()).await.unwrap(), 0);
    assert_eq!(seen.state(unused).await, None);
    for (file, state) in [(writing, "pending"), (finishing, "live"), (reading, "removed")] {
        assert_eq!(seen.state(file).await.as_deref(), Some(state));
        assert_eq!(seen.chunks.count_documents(doc! { "files_id": file }).await.unwrap(), 600);
    }
    for number in 1..=4 {
        assert_eq!(seen.state(seen.file(key(number)).await).await.as_deref(), Some("live"));
        assert_eq!(get(&store, key(number)).await.unwrap(), body(number, MIB));
    }
}

#[tokio::test]
async fn body_of_a_writer_that_was_silent_too_long_is_not_stored() {
    let (server, store) = server_and_store().await;
    let seen = Seen::on(&server).await;
    put(&store, key(1), head(), body(1, 9)).await.unwrap();
    let mut writer = store.put(&key(1), head()).await.unwrap();
    writer.write(body(2, MIB)).await.unwrap();
    let file = seen.files.find_one(doc! {}).await.unwrap().unwrap().get_object_id("_id").unwrap();
    seen.set_file(file, doc! { "metadata.touched": ago(Duration::from_secs(601)) }).await;
    store.remove_expired(now()).await.unwrap();
    assert_eq!(writer.finish(None).await.unwrap_err().kind(), ErrorKind::Unavailable);
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 9));
    seen.settle([1, 0, 0]).await;
}

#[tokio::test]
async fn clear_keeps_foreign_collections_and_unfinished_bodies() {
    let server = Server::start();
    let store = builder(&server).timeout(BRIEF).linger(Duration::ZERO);
    let store = store.connect().await.unwrap();
    let seen = Seen::on(&server).await;
    let database = server.database().await;
    let foreign = ["larder", "larder.other", "larder.entries.more", "fs.files", "Larder.entries"];
    for name in foreign {
        let collection = database.collection::<Document>(name);
        collection.insert_one(doc! { "_id": key(1).to_string(), "tags": ["a"] }).await.unwrap();
    }
    let neighbour = builder(&server).namespace("larder.entries").connect().await.unwrap();
    put(&neighbour, key(1), tagged(&["a"]), body(1, MIB)).await.unwrap();
    for number in 0..50 {
        let head = expiring(DAY).with_tags(vec!["a".into()]);
        put(&store, key(number), head, body(number, 9_000 * number as usize)).await.unwrap();
    }
    let mut unfinished = store.put(&key(99), head()).await.unwrap();
    unfinished.write(body(99, MIB)).await.unwrap();
    assert_eq!(store.len().await.unwrap(), 50);
    store.clear().await.unwrap();
    assert_eq!((store.len().await.unwrap(), store.size_bytes().await.unwrap()), (0, 0));
    unfinished.finish(None).await.unwrap();
    assert_eq!(get(&store, key(99)).await.unwrap(), body(99, MIB));
    store.clear().await.unwrap();
    seen.settle([0, 0, 0]).await;
    for name in foreign {
        let collection = database.collection::<Document>(name);
        assert_eq!(collection.count_documents(doc! {}).await.unwrap(), 1, "{name}");
    }
    assert_eq!(get(&neighbour, key(1)).await.unwrap(), body(1, MIB));
}
