use futures_util::StreamExt;
use rusqlite::Connection;

use super::{change::Change, pool::READERS, *};
use crate::store::{
    ErrorKind,
    embedded::{
        Database, Transaction,
        tests::{KEY, head, occupied::Occupied, put},
    },
};

#[test]
fn a_lookup_in_place_waits_for_no_connection() {
    let (store, occupied) = (Sqlite::temporary().unwrap(), Occupied::new());
    occupied.runtime.block_on(put(&store));
    let pool = &store.engine.shared().db.pool;
    let mut lent: Vec<_> = (0..READERS).map(|_| pool.try_take().unwrap()).collect();
    assert!(occupied.in_place(store.get(&KEY)).is_none());
    drop(lent.pop());
    assert!(occupied.in_place(store.get(&KEY)).unwrap().unwrap().is_some());
}

#[tokio::test]
async fn a_damaged_file_is_emptied_by_the_first_write_that_meets_the_damage() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.db");
    let store = Sqlite::open(&path).unwrap();
    put(&store).await;
    store.close().await.unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    // The page that says where the pages of tables are.
    bytes[8_192..16_384].fill(0);
    std::fs::write(&path, bytes).unwrap();
    for _ in 0..2 {
        let store = Sqlite::open(&path).unwrap();
        for _ in 0..3 {
            put(&store).await;
            assert!(store.get(&KEY).await.unwrap().is_some());
            assert_eq!(store.len().await.unwrap(), 1);
        }
        store.close().await.unwrap();
    }
}

#[test]
fn bodies_of_a_dead_process_are_abandoned_although_a_transaction_fails() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.db");
    let (db, mut writing) = Db::open(Sqlite::builder(&path).into_config().1).unwrap();
    let lock_file = directory.path().join("cache.db-writer-0000000000000001");
    std::fs::write(&lock_file, "").unwrap();
    let conn = Connection::open(&path).unwrap();
    conn.execute("INSERT INTO unfinished (body, owner) VALUES (7, 1)", []).unwrap();
    let fail = |txn: &mut Change<'_>| {
        txn.abandon_dead()?;
        Err(rusqlite::Error::InvalidQuery)
    };
    assert!(db.transact(&mut writing, false, fail).is_err());
    db.transact(&mut writing, false, |txn| txn.abandon_dead()).unwrap();
    let left = "SELECT (SELECT count(*) FROM unfinished), (SELECT body FROM garbage)";
    let left = conn.query_row(left, [], |row| Ok((row.get(0)?, row.get(1)?)));
    assert_eq!((left, lock_file.exists()), (Ok((0, 7)), false));
}

#[tokio::test]
async fn errors_of_a_damaged_row_name_its_key() {
    let columns = ["version", "checksum", "head", "body", "body_bytes", "content_checksum"];
    for (column, value) in
        columns.map(|column| (column, "'text'")).into_iter().chain([("head", "x'00'")])
    {
        let (store, key) = (Sqlite::temporary().unwrap(), Some(&KEY));
        put(&store).await;
        let version = store.get(&KEY).await.unwrap().unwrap().version;
        let conn = Connection::open(store.path()).unwrap();
        let damage = format!("UPDATE entries SET {column} = {value}");
        assert_eq!(conn.execute(&damage, []), Ok(1));
        let scanned = store.scan().next().await.unwrap().unwrap_err();
        assert_eq!((scanned.kind(), scanned.key()), (ErrorKind::Corrupt, key), "{column}");
        let got = store.get(&KEY).await.unwrap_err();
        assert_eq!((got.kind(), got.key()), (ErrorKind::Corrupt, key), "{column}");
        // No row has the version that was seen.
        if column != "version" {
            let updated = store.update(&KEY, version, head()).await.unwrap_err();
            assert_eq!((updated.kind(), updated.key()), (ErrorKind::Corrupt, key), "{column}");
        }
    }
}
