//! Damaged documents and chunks.

use super::*;

#[tokio::test]
async fn damaged_document_is_an_error_and_can_be_removed() {
    let (server, store) = server_and_store().await;
    let seen = Seen::on(&server).await;
    let wrong = [
        doc! { "$set": { "format": 2 } },
        doc! { "$set": { "format": "1" } },
        doc! { "$set": { "version": 7_i64 } },
        doc! { "$set": { "version": "7" } },
        doc! { "$set": { "head": "a text" } },
        doc! { "$set": { "head": { "a": 1 } } },
        doc! { "$set": { "body": "a text" } },
        doc! { "$set": { "body": Binary { subtype: BinarySubtype::Generic, bytes: vec![7; 100] } } },
        doc! { "$set": { "body": Binary { subtype: BinarySubtype::Generic, bytes: vec![7; 99] } } },
        doc! { "$set": { "crc": 7_i64 } },
        doc! { "$set": { "check": 7_i64 } },
        doc! { "$set": { "file": ObjectId::new(), "chunk_size": 9 } },
        doc! { "$unset": { "body": "" } },
        doc! { "$unset": { "head": "" } },
        doc! { "$unset": { "version": "" } },
        doc! { "$unset": { "check": "" } },
    ];
    for change in wrong {
        put(&store, key(1), tagged(&["a"]), body(1, 100)).await.unwrap();
        seen.set_entry(key(1), change.clone()).await;
        let error = store.get(&key(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{change}: {error}");
        assert!(!store.update(&key(1), Version::new(0), head()).await.unwrap_or(false));
        assert!(!store.remove_if(&key(1), Version::new(0)).await.unwrap());
        assert!(store.remove(&key(1)).await.unwrap());
        assert!(get(&store, key(1)).await.is_none());
    }
    // Damaged and foreign documents do not end a scan. All of them can be removed and replaced.
    put(&store, key(1), tagged(&["a"]), body(1, 100)).await.unwrap();
    put(&store, key(2), tagged(&["a"]), body(2, 9)).await.unwrap();
    seen.set_entry(key(1), doc! { "$set": { "head": 1 } }).await;
    let foreign = [Bson::Null, 1.into(), "a text".into(), ObjectId::new().into(), "".into()];
    for id in foreign.clone() {
        seen.entries.insert_one(doc! { "_id": id, "tags": "a", "size": "large" }).await.unwrap();
    }
    let scanned: Vec<_> = store.scan().collect().await;
    let good: Vec<_> = scanned.iter().flatten().map(|item| item.key).collect();
    assert_eq!((good, scanned.len()), (vec![key(2)], 2 + foreign.len()));
    for error in scanned.into_iter().filter_map(std::result::Result::err) {
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
    assert!(store.size_bytes().await.unwrap() > 0);
    put(&store, key(1), tagged(&["b"]), body(1, 9)).await.unwrap();
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 9));
    assert_eq!(store.remove_tagged("a").await.unwrap(), 1 + foreign.len() as u64);
    // The document of another entry is not accepted.
    let mut copy = seen.entry(key(1)).await;
    copy.insert("_id", key(3).to_string());
    seen.entries.insert_one(copy).await.unwrap();
    assert_eq!(store.get(&key(3)).await.unwrap_err().kind(), ErrorKind::Corrupt);
    store.clear().await.unwrap();
    // Through the cache.
    let layer = CacheLayer::private(store.clone());
    assert!(!fetch(&layer, 7, 50).await.unwrap().0);
    seen.entries.update_one(doc! {}, doc! { "$set": { "head": "a text" } }).await.unwrap();
    assert_eq!(fetch(&layer, 7, 50).await.unwrap(), (false, body(7, 50)));
    assert_eq!(fetch(&layer, 7, 50).await.unwrap(), (true, body(7, 50)));
}

#[tokio::test]
async fn damaged_body_is_an_error_and_is_not_returned() {
    let (server, store) = server_and_store().await;
    let seen = Seen::on(&server).await;
    let bytes = |len| Binary { subtype: BinarySubtype::Generic, bytes: vec![7; len] };
    for n in [0, 1, 4] {
        let len = if n == 4 { 4 * 1024 } else { 255 * 1024 };
        let damages = [
            Some(doc! { "data": bytes(len) }),
            Some(doc! { "data": bytes(len - 1) }),
            Some(doc! { "data": bytes(0) }),
            Some(doc! { "data": "a text" }),
            Some(doc! { "crc": 7 }),
            Some(doc! { "n": 99 }),
            None,
        ];
        for damage in damages {
            put(&store, key(1), head(), body(1, MIB)).await.unwrap();
            let which = doc! { "files_id": seen.file(key(1)).await, "n": n };
            match damage.clone() {
                Some(set) => {
                    seen.chunks.update_one(which, doc! { "$set": set }).await.map(drop).unwrap();
                }
                None => seen.chunks.delete_one(which).await.map(drop).unwrap(),
            }
            let error = match store.get(&key(1)).await {
                Err(error) => error,
                Ok(hit) => read(hit.unwrap()).await.unwrap_err(),
            };
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{damage:?} of {n}: {error}");
        }
    }
    // Chunks in the wrong order are not accepted, and those of another file are not either.
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    let file = seen.file(key(1)).await;
    for (from, to) in [(0, 99), (1, 0), (99, 1)] {
        let which = doc! { "files_id": file, "n": from };
        seen.chunks.update_one(which, doc! { "$set": { "n": to } }).await.unwrap();
    }
    assert_eq!(store.get(&key(1)).await.unwrap_err().kind(), ErrorKind::Corrupt);
    put(&store, key(1), head(), body(1, MIB)).await.unwrap();
    put(&store, key(2), head(), body(2, MIB)).await.unwrap();
    let (one, two) = (seen.file(key(1)).await, seen.file(key(2)).await);
    seen.chunks.delete_many(doc! { "files_id": one }).await.unwrap();
    let taken = doc! { "$set": { "files_id": one } };
    seen.chunks.update_many(doc! { "files_id": two }, taken).await.unwrap();
    for number in [1, 2] {
        let error = store.get(&key(number)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    }
}
