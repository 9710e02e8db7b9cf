//! Entries that are visible before they are committed. Every operation sees them, in the order of
//! the calls. None of them is lost when a program flushes, closes or drops the store.

use futures_util::StreamExt;
use larder::{store::Writer, time::Timestamp};

use crate::{
    entries::{body, get, head_at, key, put},
    faults::runtime,
    stores::Embedded,
};

for_each_store_and_files! {
    every_operation_sees_the_latest_write,
    last_write_is_kept_however_the_store_ends,
    many_small_entries_in_a_row_are_all_stored,
}

fn head() -> larder::entry::Head {
    head_at(Timestamp::from_millis(1)).with_tags(vec!["tag".into()])
}

fn every_operation_sees_the_latest_write<S: Embedded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = S::open_file(&directory.path().join("cache")).unwrap();
        let put = async |number: u64, head| {
            put(&store, key(number), head, body(number, 100)).await.unwrap()
        };
        for turn in 0..50 {
            put(1, head()).await;
            assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 100));
            let first = store.get(&key(1)).await.unwrap().unwrap().version;
            put(1, head()).await;
            let second = store.get(&key(1)).await.unwrap().unwrap().version;
            assert_ne!(first, second);
            assert!(!store.update(&key(1), first, head()).await.unwrap());
            assert!(!store.remove_if(&key(1), first).await.unwrap());
            assert!(store.update(&key(1), second, head()).await.unwrap());
            assert_ne!(store.get(&key(1)).await.unwrap().unwrap().version, second);
            put(2, head_at(Timestamp::MIN)).await;
            assert_eq!(store.len().await.unwrap(), 2);
            put(3, head_at(Timestamp::MIN)).await;
            assert_eq!(store.scan().count().await, 3);
            let size = store.size_bytes().await.unwrap();
            put(4, head_at(Timestamp::MIN)).await;
            assert!(store.size_bytes().await.unwrap() > size);

            put(5, head()).await;
            assert_eq!(store.remove_tagged("tag").await.unwrap(), 2, "turn {turn}");
            assert!(get(&store, key(5)).await.is_none());
            put(5, head().with_expires_at(Some(Timestamp::from_millis(5)))).await;
            assert_eq!(store.remove_expired(Timestamp::from_millis(5)).await.unwrap(), 1);
            assert!(get(&store, key(5)).await.is_none());
            put(2, head()).await;
            assert!(store.remove(&key(2)).await.unwrap());
            assert!(get(&store, key(2)).await.is_none() && !store.remove(&key(2)).await.unwrap());
            // A body in chunks replaces a small one, and a small one replaces it.
            let mut writer = store.put(&key(3), head()).await.unwrap();
            writer.write(body(7, 200_000)).await.unwrap();
            put(3, head()).await;
            writer.finish(None).await.unwrap();
            assert_eq!(get(&store, key(3)).await.unwrap(), body(7, 200_000));
            put(3, head()).await;
            assert_eq!(get(&store, key(3)).await.unwrap(), body(3, 100));
            store.clear().await.unwrap();
            assert_eq!((store.len().await.unwrap(), store.scan().count().await), (0, 0));
            assert!(get(&store, key(3)).await.is_none());
        }
        assert_eq!(store.unwritten(), 0);
    });
}

fn last_write_is_kept_however_the_store_ends<S: Embedded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    runtime().block_on(async {
        for turn in 0..20 {
            let store = S::open_file(&path).unwrap();
            for number in 0..20 {
                put(&store, key(number), head(), body(turn * 100 + number, 100)).await.unwrap();
            }
            match turn % 2 {
                0 => store.close_file().await.unwrap(),
                _ => drop(store.clone()),
            }
            drop(store);
            let store = S::open_file(&path).unwrap();
            for number in 0..20 {
                let found = get(&store, key(number)).await.unwrap();
                assert_eq!(found, body(turn * 100 + number, 100), "turn {turn}, {number}");
            }
        }
    });
}

/// Writes more than the overlay can hold.
fn many_small_entries_in_a_row_are_all_stored<S: Embedded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    runtime().block_on(async {
        let store = S::open_file(&path).unwrap();
        for number in 0..2_000 {
            put(&store, key(number), head(), body(number, 3_000)).await.unwrap();
            assert_eq!(get(&store, key(number)).await.unwrap(), body(number, 3_000));
        }
        store.flush().await.unwrap();
        assert_eq!((store.len().await.unwrap(), store.unwritten()), (2_000, 0));
        for number in 0..2_000 {
            assert_eq!(get(&store, key(number)).await.unwrap(), body(number, 3_000));
        }
    });
}
