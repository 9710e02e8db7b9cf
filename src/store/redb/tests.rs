use super::*;
use crate::store::embedded::tests::{KEY, put};

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
