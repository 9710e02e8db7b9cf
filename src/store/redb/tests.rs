use std::sync::Arc;

use ::redb::ReadableTable;

use super::{change::Change, fault::Raw, schema::CHUNK, *};
use crate::store::{
    ErrorKind, Version,
    embedded::{
        Body, Database, Entry, Leases, Read, Transaction,
        tests::{KEY, head, put},
    },
};

#[tokio::test]
async fn a_file_whose_counters_are_damaged_is_emptied_by_the_first_write() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.redb");
    let store = Redb::open(&path).unwrap();
    put(&store).await;
    store.close().await.unwrap();
    let db = redb::Database::open(&path).unwrap();
    let txn = db.begin_write().unwrap();
    let counters = [0; 44];
    txn.open_table(schema::META).unwrap().insert(schema::META_STATE, &counters[..]).unwrap();
    txn.commit().unwrap();
    drop(db);
    for _ in 0..2 {
        let store = Redb::open(&path).unwrap();
        put(&store).await;
        assert!(store.get(&KEY).await.unwrap().is_some());
        assert_eq!(store.len().await.unwrap(), 1);
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn an_update_of_a_damaged_entry_names_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.redb");
    let store = Redb::open(&path).unwrap();
    put(&store).await;
    let version = store.get(&KEY).await.unwrap().unwrap().version;
    store.close().await.unwrap();
    let damage = |edit: fn(&mut Vec<u8>)| {
        let db = redb::Database::open(&path).unwrap();
        let txn = db.begin_write().unwrap();
        let mut entries = txn.open_table(schema::ENTRIES).unwrap();
        let mut record = entries.get(KEY.as_bytes()).unwrap().unwrap().value().to_vec();
        edit(&mut record);
        entries.insert(KEY.as_bytes(), &record[..]).unwrap();
        drop(entries);
        txn.commit().unwrap();
    };
    let edits: [fn(&mut Vec<u8>); 2] = [
        // The version of the head's encoding, after 56 bytes of the header.
        |record| record[56] ^= 0xff,
        |record| record.truncate(10),
    ];
    for edit in edits {
        damage(edit);
        let store = Redb::open(&path).unwrap();
        let error = store.update(&KEY, version, head()).await.unwrap_err();
        assert_eq!((error.kind(), error.key()), (ErrorKind::Corrupt, Some(&KEY)));
        store.close().await.unwrap();
    }
}

#[test]
fn a_lookup_that_commits_overtake_finds_what_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.redb");
    let db = Db::open(Redb::builder(path).into_config().1).unwrap();
    let leases = Leases::new(|| ());
    let transact = |work: fn(&mut Change<'_>, &Leases) -> Raw<()>| {
        db.transact(&mut (), false, |txn| work(txn, &leases)).unwrap();
    };
    let put = |txn: &mut Change<'_>, _: &Leases| {
        let id = txn.begin_body()?.unwrap();
        txn.chunk(id, 0, &[1; CHUNK])?;
        let head = Arc::new(head().seal(CHUNK as u64 + 4, None));
        let (encoded, version) = (head.encode().into(), Version::new(1));
        let body = Body::Chunks { last: 1, tail: "tail".into() };
        txn.put(&KEY, &Entry { head, encoded, version, body }, Some(id)).map(drop)
    };
    let remove = || {
        transact(|txn, _| txn.remove(&KEY, None).map(drop));
        transact(|txn, leases| txn.collect(8, false, leases));
        transact(|txn, leases| txn.collect(8, false, leases));
    };
    transact(put);
    let snapshot = db.snapshot().unwrap();
    // A commit that has nothing to do with the entry.
    transact(|txn, _| txn.begin_body().map(drop));
    let found = read::look(&db, &snapshot, &KEY, &leases).unwrap().unwrap();
    remove();
    assert_eq!(found.first.len(), CHUNK);
    let (chunks, has_more) = db.read_chunks(&mut found.rest.unwrap()).unwrap();
    assert_eq!((chunks.len(), has_more), (1, false));

    transact(put);
    let snapshot = db.snapshot().unwrap();
    remove();
    assert!(read::look(&db, &snapshot, &KEY, &leases).unwrap().is_none());
}
