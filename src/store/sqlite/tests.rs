use super::{pool::READERS, *};
use crate::store::embedded::tests::{KEY, occupied::Occupied, put};

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
