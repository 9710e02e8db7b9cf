//! Stores that are too small for what is put into them.

use larder::store::{Redb, Sqlite, Store, Writer};

use crate::{
    entries::{body, get, head_at, key, put},
    faults::runtime,
    stores::Embedded,
};

for_each_store! {
    an_entry_that_is_replaced_by_a_larger_one_is_there,
    many_tags_are_replaced_in_time,
    a_small_body_keeps_no_large_buffer,
}

fn head() -> larder::entry::Head {
    head_at(larder::time::Timestamp::MIN)
}

fn an_entry_that_is_replaced_by_a_larger_one_is_there<S: Bounded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = S::open_bounded(&directory.path().join("cache"), 1 << 20);
        let mut gone = Vec::new();
        for number in 0..100 {
            put(&store, key(number), head(), body(number, 9_000)).await.unwrap();
        }
        for number in 0..100 {
            put(&store, key(number), head(), body(number, 100)).await.unwrap();
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
        assert!(gone.is_empty(), "{} of 100 entries are evicted by themselves: {gone:?}", gone.len());
    });
}

fn many_tags_are_replaced_in_time<S: Embedded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = S::open_file(&directory.path().join("cache")).unwrap();
        let tags = |from: u64| (from..from + 10_000).map(|tag| tag.to_string().into()).collect();
        let mut times = Vec::new();
        for from in [0, 0, 5_000, 20_000] {
            let begun = std::time::Instant::now();
            put(&store, key(1), head().with_tags(tags(from)), body(1, 10)).await.unwrap();
            store.flush().await.unwrap();
            times.push(begun.elapsed());
        }
        let begun = std::time::Instant::now();
        for number in 2..500 {
            put(&store, key(number), head().with_tags(vec!["20001".into()]), body(1, 10)).await.unwrap();
        }
        assert_eq!(store.remove_tagged("20001").await.unwrap(), 499);
        println!("{}: {times:?}, then {:?}", S::NAME, begun.elapsed());
    });
}

fn a_small_body_keeps_no_large_buffer<S: Embedded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = S::open_file(&directory.path().join("cache")).unwrap();
        let before = crate::child::peak();
        for number in 0..3_000 {
            // What a connection read at once, of which the body is a part.
            let buffer = bytes::Bytes::from(vec![1; 256 * 1024]);
            let mut writer = store.put(&key(number), head()).await.unwrap();
            writer.write(buffer.slice(..10)).await.unwrap();
            writer.finish(None).await.unwrap();
        }
        store.flush().await.unwrap();
        let grown = crate::child::peak() - before;
        println!("{}: {} MiB", S::NAME, grown >> 20);
        assert!(grown < 64 << 20, "{} MiB", grown >> 20);
    });
}

pub(super) trait Bounded: Embedded {
    fn open_bounded(path: &std::path::Path, bytes: u64) -> Self;
}

impl Bounded for Redb {
    fn open_bounded(path: &std::path::Path, bytes: u64) -> Self {
        Self::builder(path).max_bytes(bytes).open().unwrap()
    }
}

impl Bounded for Sqlite {
    fn open_bounded(path: &std::path::Path, bytes: u64) -> Self {
        Self::builder(path).max_bytes(bytes).open().unwrap()
    }
}

impl Bounded for crate::stores::Exclusive {
    fn open_bounded(path: &std::path::Path, bytes: u64) -> Self {
        Self(Sqlite::builder(path).exclusive(true).max_bytes(bytes).open().unwrap())
    }
}
