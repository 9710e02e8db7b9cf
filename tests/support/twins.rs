//! Tests that all embedded stores share. Each store opens its own file, and counts its rows.

#![allow(dead_code)]

use std::{path::Path, pin::Pin, task::Poll};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Response};
use larder::{
    entry::Head,
    store::{ErrorKind, Evicted, Result, Store, Version, Writer},
    time::Timestamp,
};

use super::entries::{MIB, body, get, head_at, key, put, read};

const STORED_AT: Timestamp = Timestamp::from_millis(1_000);

fn head() -> Head {
    head_at(STORED_AT)
}

/// Checks that the store reports that it is closed.
pub(crate) fn assert_closed<T>(answer: Result<T>) {
    let error = answer.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("is closed"), "{error}");
}

/// Checks that a closed store fails every operation. Leaves an entry of 500,000 bytes, and an
/// unfinished body of which 500,000 bytes are written.
pub(crate) async fn every_operation_of_a_closed_store_fails<S: Store>(
    store: S,
    close: impl AsyncFn(&S) -> Result<()>,
) {
    put(&store, key(1), head(), body(1, 500_000)).await.unwrap();
    let mut writing = store.put(&key(2), head()).await.unwrap();
    writing.write(body(2, 500_000)).await.unwrap();
    let reading = store.get(&key(1)).await.unwrap().unwrap();
    let clone = store.clone();
    close(&store).await.unwrap();
    close(&clone).await.unwrap();

    assert_closed(clone.get(&key(1)).await);
    assert_closed(clone.put(&key(1), head()).await);
    assert_closed(clone.update(&key(1), Version::new(1), head()).await);
    assert_closed(clone.remove(&key(1)).await);
    assert_closed(clone.remove_expired(Timestamp::MAX).await);
    assert_closed(clone.remove_tagged("a").await);
    assert_closed(clone.clear().await);
    assert_closed(clone.len().await);
    assert_closed(clone.size_bytes().await);
    assert_closed(Box::pin(clone.scan()).next().await.unwrap());
    assert_closed(writing.finish(None).await);
    assert_closed(read(reading).await);
}

/// Fills a store of 200,000 bytes. Returns the number of entries at the end.
pub(crate) async fn crawl_evicts_its_own_entries(
    store: &impl Store,
    evicted: impl Fn() -> Evicted,
) -> u64 {
    let has = async |number| get(store, key(number)).await.is_some();
    let fill = async |number| put(store, key(number), head(), body(number, 10_000)).await.unwrap();
    for number in 0..18 {
        fill(number).await;
    }
    assert_eq!(store.len().await.unwrap(), 18);
    for number in 100..200 {
        fill(number).await;
    }
    assert!(store.size_bytes().await.unwrap() <= 200_000);
    for number in [0, 3, 10, 199] {
        assert!(has(number).await, "{number}");
    }
    assert!(!has(150).await);

    // An entry that is stored again soon or read while it is new stays. Others are evicted, and
    // those that were read go last.
    for number in 150..160 {
        fill(number).await;
    }
    for number in 200..220 {
        fill(number).await;
        assert!(has(number).await);
    }
    assert!(store.size_bytes().await.unwrap() <= 200_000);
    assert!(has(219).await && has(210).await && !has(5).await);

    let len = store.len().await.unwrap();
    // All entries have the same size, so the remaining ones tell what was evicted.
    let (evicted, size) = (evicted(), store.size_bytes().await.unwrap());
    assert_eq!(evicted.entries, 18 + 100 + 10 + 20 - len);
    assert_eq!(evicted.bytes, evicted.entries * (size / len));
    len
}

/// Fills a store of 3 MiB. Returns the number of entries at the end, one of which has 2.5 MiB.
pub(crate) async fn large_bodies_evict_by_their_size(store: &impl Store) -> u64 {
    for number in 0..30 {
        put(store, key(number), head(), body(number, 20_000)).await.unwrap();
    }
    put(store, key(100), head(), body(100, 2 * MIB + MIB / 2)).await.unwrap();
    assert!(store.size_bytes().await.unwrap() <= 3 * MIB as u64);
    assert_eq!(get(store, key(100)).await.unwrap(), body(100, 2 * MIB + MIB / 2));
    assert!(store.len().await.unwrap() > 20);

    let error = put(store, key(101), head(), body(101, 4 * MIB)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    // A head alone may be too large as well.
    let long = Response::builder().header("x-long", vec![b'a'; 4 * MIB].as_slice());
    let (parts, ()) = long.body(()).unwrap().into_parts();
    let long = Head::new(Method::GET, "/", parts, Timestamp::MIN);
    let error = put(store, key(102), long, body(102, 300_000)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(get(store, key(100)).await.is_some());
    store.len().await.unwrap()
}

pub(crate) async fn writers_that_are_not_polled_do_not_block_others(store: &impl Store) {
    let mut stalled = Vec::new();
    for number in 0..64 {
        let mut writing = Box::pin(async move {
            let mut writer = store.put(&key(number), head()).await.unwrap();
            for _ in 0..1_000 {
                writer.write(Bytes::from(vec![1; MIB])).await.unwrap();
            }
        });
        // Polled until it waits for room once, and never again.
        std::future::poll_fn(|cx| Poll::Ready(writing.as_mut().poll(cx).is_pending())).await;
        stalled.push(writing as Pin<Box<dyn Future<Output = ()>>>);
    }
    put(store, key(1_000), head(), body(1, 32 * MIB)).await.unwrap();
    assert!(store.get(&key(1_000)).await.unwrap().is_some());
    store.clear().await.unwrap();
}

#[cfg(target_os = "linux")]
pub(crate) mod limits {
    //! Tests in a process of their own, with limits.

    use std::{env, process::Command};

    use super::*;
    use crate::child::CHILD;

    /// Runs the test `name` in a process that may not write beyond the first 8 MiB of a file.
    pub(crate) fn survives_on_8_mib(name: &str, path: &Path) {
        // The signal of the limit would end the process. If it is ignored, the call fails. The
        // limit counts blocks of 512 bytes.
        let output = Command::new("sh")
            .args([
                "-c",
                "trap '' XFSZ; ulimit -S -f 16384; exec \"$0\" --exact \"$1\" --nocapture",
            ])
            .arg(env::current_exe().unwrap())
            .arg(name)
            .env(CHILD, path)
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("survived"), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    }

    /// The work of that process. It leaves 100 entries of 200,000 bytes, from number 2,000 on,
    /// among others.
    pub(crate) async fn full_disk_is_an_error_and_freed_space_is_used_again(store: &impl Store) {
        put(store, key(0), head(), body(0, 100_000)).await.unwrap();
        let mut number = 0;
        let error = loop {
            number += 1;
            assert!(number < 1_000, "the limit was never reached");
            if let Err(error) = put(store, key(number), head(), body(number, 200_000)).await {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::Full, "{error}");
        assert!(error.to_string().contains("make room"), "{error}");
        // The entry that failed is absent, and no entry is stored in part.
        assert_eq!(get(store, key(number)).await, None);
        for item in store.scan().collect::<Vec<_>>().await {
            let key = item.unwrap().key;
            assert!(get(store, key).await.is_some());
        }
        // The disk is still full.
        let error = put(store, key(9_999), head(), body(1, 9 * MIB)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full, "{error}");

        let pid = std::process::id().to_string();
        let raised =
            Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status().unwrap();
        assert!(raised.success());
        for number in 2_000..2_100 {
            put(store, key(number), head(), body(number, 200_000)).await.unwrap();
        }
        assert_eq!(get(store, key(2_050)).await.unwrap(), body(2_050, 200_000));
    }
}
