//! Documents and files, as people and other programs see them.

use super::*;

/// A head with a field of `len` bytes.
fn long_head(len: usize) -> Head {
    let value = HeaderValue::from_bytes(&vec![b'a'; len]).unwrap();
    let (parts, ()) = Response::builder().header("x-long", value).body(()).unwrap().into_parts();
    Head::new(Method::GET, "http://example.com/", parts, now())
}

#[tokio::test]
async fn people_can_read_the_documents() {
    let (server, store) = server_and_store().await;
    let seen = Seen::on(&server).await;
    let stored_at = Timestamp::from_millis(1_700_000_000_000);
    let (parts, ()) = Response::builder().status(404).body(()).unwrap().into_parts();
    let head = Head::new(Method::HEAD, "http://example.com/a?b=c", parts, stored_at)
        .with_expires_at(Some(now().saturating_add(DAY)))
        .with_tags(vec!["page".into(), "user:1".into()]);
    let kept = head.clone().with_keep_until(Some(Timestamp::from_millis(4_102_444_800_000)));
    put(&store, key(1), kept, body(1, 1_000)).await.unwrap();
    let entry = seen.entry(key(1)).await;
    assert_eq!(entry.get_str("method").unwrap(), "HEAD");
    assert_eq!(entry.get_str("url").unwrap(), "http://example.com/a?b=c");
    assert_eq!(entry.get_i32("status").unwrap(), 404);
    let date = |name| entry.get_datetime(name).unwrap().timestamp_millis();
    assert_eq!(date("stored_at"), 1_700_000_000_000);
    assert_eq!(date("expires_at"), head.expires_at().unwrap().as_millis() as i64);
    assert_eq!(date("keep_until"), 4_102_444_800_000);
    let size = entry.get_i64("size").unwrap();
    assert!((1_000..1_500).contains(&size), "{size}");
    let tags = entry.get_array("tags").unwrap();
    assert_eq!(*tags, vec![Bson::from("page"), Bson::from("user:1")]);
    assert_eq!(entry.get_binary_generic("body").unwrap()[..], body(1, 1_000)[..]);
    assert_eq!(store.size_bytes().await.unwrap(), size as u64);
    // An entry that never expires has no date in an index, even after an update.
    let version = store.get(&key(1)).await.unwrap().unwrap().version;
    assert!(store.update(&key(1), version, tagged(&[])).await.unwrap());
    let entry = seen.entry(key(1)).await;
    assert!(!entry.contains_key("expires_at") && !entry.contains_key("keep_until"), "{entry}");
    assert_eq!(
        (entry.get_i32("status").unwrap(), entry.get_array("tags").unwrap().len()),
        (200, 0)
    );
}

#[tokio::test]
async fn body_is_inline_up_to_the_limit_and_a_file_above_it() {
    let server = Server::start();
    let seen = Seen::on(&server).await;
    for limit in [0, 1, 70_000, 256 << 10, 3 * MIB] {
        let store = builder(&server).inline_limit(limit).connect().await.unwrap();
        for len in [limit.saturating_sub(1), limit, limit + 1] {
            put(&store, key(1), head(), body(len as u64, len)).await.unwrap();
            let entry = seen.entry(key(1)).await;
            assert_eq!(entry.contains_key("file"), len > limit, "{len} bytes, a limit of {limit}");
            assert_eq!(entry.contains_key("body"), len <= limit);
            assert_eq!(get(&store, key(1)).await.unwrap(), body(len as u64, len));
        }
    }
}

#[tokio::test]
async fn entries_never_exceed_the_limit_of_a_document() {
    let server = Server::start();
    let store = builder(&server).inline_limit(15 * MIB).connect().await.unwrap();
    let seen = Seen::on(&server).await;
    // The largest inline body, and the same body with a head that leaves no room for it.
    put(&store, key(1), head(), body(1, 15 * MIB)).await.unwrap();
    assert!(seen.entry(key(1)).await.contains_key("body"));
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 15 * MIB));
    put(&store, key(1), long_head(2 * MIB), body(2, 15 * MIB)).await.unwrap();
    assert!(seen.entry(key(1)).await.contains_key("file"));
    assert_eq!(get(&store, key(1)).await.unwrap(), body(2, 15 * MIB));
    // A head that is too large for a document.
    put(&store, key(2), head(), body(2, 9)).await.unwrap();
    let version = store.get(&key(2)).await.unwrap().unwrap().version;
    for len in [16 * MIB - 10_000, 17 * MIB, 40 * MIB] {
        let error = put(&store, key(2), long_head(len), body(3, 9)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
        let error = store.update(&key(2), version, long_head(len)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    }
    // A head that does not fit beside its stored body.
    put(&store, key(3), head(), body(3, 14 * MIB)).await.unwrap();
    let version3 = store.get(&key(3)).await.unwrap().unwrap().version;
    let error = store.update(&key(3), version3, long_head(3 * MIB)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge, "{error}");
    assert_eq!(get(&store, key(2)).await.unwrap(), body(2, 9), "the stored entry stays");
    assert_eq!(get(&store, key(3)).await.unwrap(), body(3, 14 * MIB));
    // Several documents may together exceed the limit of one.
    assert!(store.update(&key(2), version, long_head(10 * MIB)).await.unwrap());
    assert_eq!(store.scan().filter(|item| future::ready(item.is_ok())).count().await, 3);
}

#[tokio::test]
async fn large_bodies_can_be_read_by_any_gridfs_reader() {
    let (server, store) = server_and_store().await;
    let seen = Seen::on(&server).await;
    let bucket = GridFsBucketOptions::builder().bucket_name("larder".to_owned()).build();
    let bucket = server.database().await.gridfs_bucket(bucket);
    for len in [255 * 1024 * 2, 3 * MIB + 1] {
        put(&store, key(1), head(), body(7, len)).await.unwrap();
        let file = seen.file(key(1)).await;
        let mut bytes = Vec::new();
        let mut download = bucket.open_download_stream(file.into()).await.unwrap();
        download.read_to_end(&mut bytes).await.unwrap();
        assert_eq!(bytes, body(7, len));
        let found = bucket.find_one(doc! { "_id": file }).await.unwrap().unwrap();
        assert_eq!(found.filename.as_deref(), Some(&*key(1).to_string()));
        assert_eq!((found.length, found.chunk_size_bytes), (len as u64, 255 * 1024));
    }
    let indexes: Vec<_> = seen.chunks.list_indexes().await.unwrap().try_collect().await.unwrap();
    let unique = indexes.iter().find(|index| index.keys == doc! { "files_id": 1, "n": 1 });
    assert_eq!(unique.unwrap().options.as_ref().unwrap().unique, Some(true));
}
