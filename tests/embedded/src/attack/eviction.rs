//! Stores that are too small for their entries, and entries with many tags.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use larder::store::{Files, Redb, Sqlite};

use crate::{
    entries::{body, get, head_at, key, put},
    faults::runtime,
    stores::Embedded,
};

for_each_store_and_files! {
    entry_replaced_by_a_larger_one_is_not_evicted,
    lower_limit_is_kept,
    many_tags_are_replaced_in_time,
}

fn head() -> larder::entry::Head {
    head_at(larder::time::Timestamp::MIN)
}

/// A full store must not evict the entry that it has just stored.
fn entry_replaced_by_a_larger_one_is_not_evicted<S: Bounded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = S::open_bounded(&directory.path().join("cache"), 1 << 20);
        let mut gone = Vec::new();
        for number in 0..100 {
            put(&store, key(number), head(), body(number, 9_000)).await.unwrap();
        }
        for number in (0..100).step_by(11) {
            put(&store, key(number), head(), body(number, 400_000)).await.unwrap();
            store.flush().await.unwrap();
            if get(&store, key(number)).await.is_none() {
                gone.push(number);
            }
            put(&store, key(number), head(), body(number, 9_000)).await.unwrap();
            for other in 0..100 {
                if other != number && get(&store, key(other)).await.is_none() {
                    put(&store, key(other), head(), body(other, 9_000)).await.unwrap();
                }
            }
        }
        assert!(gone.is_empty(), "entries are evicted when they are replaced: {gone:?}");
    });
}

/// The store keeps a limit that is lower than at its last opening. It stores an entry as large as
/// the limit, and small ones after it.
fn lower_limit_is_kept<S: Bounded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    runtime().block_on(async {
        let store = S::open_bounded(&path, u64::MAX);
        for number in 0..1_200 {
            put(&store, key(number), head(), body(number, 50)).await.unwrap();
        }
        store.flush().await.unwrap();
        drop(store);
        for bytes in [1 << 17, 60_000, 3_000, 1] {
            let store = S::open_bounded(&path, bytes);
            let begun = Instant::now();
            while store.size_bytes().await.unwrap() > bytes {
                assert!(
                    begun.elapsed() < Duration::from_secs(10),
                    "{} of {bytes}",
                    store.size_bytes().await.unwrap()
                );
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            // The largest entry that fits.
            let (mut low, mut high) = (0, 1 << 21);
            while low < high {
                let len = (low + high) / 2 + 1;
                match put(&store, key(77_777), head(), body(1, len)).await {
                    Ok(()) => low = len,
                    Err(_) => high = len - 1,
                }
            }
            if low > 0 {
                store.remove(&key(77_777)).await.unwrap();
                for number in 0..50 {
                    put(&store, key(number), head(), body(1, 10)).await.unwrap();
                }
                put(&store, key(77_777), head(), body(1, low)).await.unwrap();
                store.flush().await.unwrap();
                assert_eq!(
                    get(&store, key(77_777)).await.map(|body| body.len()),
                    Some(low),
                    "of {bytes}"
                );
                for number in 0..30 {
                    put(&store, key(number), head(), body(1, 10)).await.unwrap();
                    store.flush().await.unwrap();
                    assert!(get(&store, key(number)).await.is_some(), "{bytes} {number}");
                    assert!(store.size_bytes().await.unwrap() <= bytes);
                }
            }
        }
    });
}

/// A server names thousands of tags, twice.
fn many_tags_are_replaced_in_time<S: Embedded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = S::open_file(&directory.path().join("cache")).unwrap();
        let tags: Vec<Box<str>> = (0..12_000).map(|tag| tag.to_string().into()).collect();
        let write = async |number| {
            let begun = Instant::now();
            let head = head().with_tags(tags.clone());
            put(&store, key(number), head, body(1, 10)).await.unwrap();
            store.flush().await.unwrap();
            begun.elapsed()
        };
        let first = write(1).await.min(write(2).await);
        let again = write(1).await.min(write(2).await);
        let most = 2 * first + Duration::from_millis(100);
        assert!(again < most, "tags written in {first:?} are replaced by the same in {again:?}");
    });
}

trait Bounded: Embedded {
    fn open_bounded(path: &Path, bytes: u64) -> Self;
}

impl Bounded for Files {
    fn open_bounded(path: &Path, bytes: u64) -> Self {
        Self::builder(path).max_bytes(bytes).open().unwrap()
    }
}

impl Bounded for Redb {
    fn open_bounded(path: &Path, bytes: u64) -> Self {
        Self::builder(path).max_bytes(bytes).open().unwrap()
    }
}

impl Bounded for Sqlite {
    fn open_bounded(path: &Path, bytes: u64) -> Self {
        Self::builder(path).max_bytes(bytes).open().unwrap()
    }
}

impl Bounded for crate::stores::Exclusive {
    fn open_bounded(path: &Path, bytes: u64) -> Self {
        Self(Sqlite::builder(path).exclusive(true).max_bytes(bytes).open().unwrap())
    }
}
