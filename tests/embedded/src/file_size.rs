//! The size of a redb file with small entries.
//!
//! A closed file is at most twice as long as its entries, plus a mebibyte. While the store is open,
//! redb cannot reuse the pages that were replaced since the last sync. If it needs another page, it
//! doubles the length of the file. The new end takes no space until it is written. So the space on
//! the disk is bounded, and the length is not.

use std::{
    io::{BufRead, BufReader},
    os::unix::fs::MetadataExt,
    path::Path,
    thread,
    time::Duration,
};

use larder::{
    entry::Head,
    store::{Redb, Store, redb::Durability},
    time::Timestamp,
};

use crate::{
    child::{child, child_path, say},
    entries::{body, get, head_at, key, put},
    faults::{random, runtime},
};

const ENTRIES: u64 = 10_000;
const BODY: usize = 200;
const MIB: u64 = 1 << 20;

/// The bytes of the pages from the last sync and the last commits besides the current ones, in a
/// file with this number of entries.
const WAITING: u64 = 24 * MIB;

/// Half of the entries expire, and one in a hundred has a tag.
fn head(number: u64) -> Head {
    let head = head_at(Timestamp::MIN);
    let head = match number % 2 {
        0 => head.with_expires_at(Some(Timestamp::from_millis(1 << 50 | number))),
        _ => head,
    };
    match number % 100 {
        0 => head.with_tags(vec![format!("tag {}", number % 1_000).into()]),
        _ => head,
    }
}

async fn put_all(store: &Redb, numbers: impl Iterator<Item = u64>) {
    for number in numbers {
        put(store, key(number), head(number), body(number, BODY)).await.unwrap();
    }
}

/// The length of the file, and its space on the disk.
fn taken(path: &Path) -> (u64, u64) {
    let file = path.metadata().unwrap();
    (file.len(), file.blocks() * 512)
}

fn open(path: &Path, max_bytes: u64) -> Redb {
    Redb::builder(path).max_bytes(max_bytes).open().unwrap()
}

async fn bytes_of(entries: u64) -> u64 {
    let store = Redb::temporary().unwrap();
    put_all(&store, 0..100).await;
    store.size_bytes().await.unwrap() * entries / 100
}

#[test]
fn closed_file_takes_at_most_twice_its_entries_after_much_churn() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let mut state = 1;
    runtime().block_on(async {
        let store = open(&path, bytes_of(ENTRIES).await);
        put_all(&store, 0..ENTRIES).await;
        let mut next = ENTRIES;
        let mut most = 0;
        for turn in 0..10 * ENTRIES {
            // A new entry, which is stored or was evicted.
            let known = next - 1 - random(&mut state) % ENTRIES;
            match random(&mut state) % 10 {
                0..6 => {
                    put_all(&store, next..=next).await;
                    next += 1;
                }
                6..9 => put_all(&store, known..=known).await,
                _ => drop(store.remove(&key(known)).await.unwrap()),
            }
            if turn % 1_000 == 0 {
                most = most.max(taken(&path).1);
            }
        }
        store.flush().await.unwrap();
        let (len, size) = (store.len().await.unwrap(), store.size_bytes().await.unwrap());
        let bound = 2 * size + MIB;
        let (_, blocks) = taken(&path);
        most = most.max(blocks);
        assert!(most <= bound + WAITING, "{most} bytes on the disk for {size} bytes of entries");
        store.close().await.unwrap();
        drop(store);
        let (length, blocks) = taken(&path);
        println!("{size} bytes of entries: {most} on the disk, {length} after closing");
        assert!(length <= bound, "a length of {length} bytes for {size} bytes of entries");
        assert!(blocks <= bound, "{blocks} bytes on the disk for {size} bytes of entries");

        let store = open(&path, size);
        assert_eq!(store.size_bytes().await.unwrap(), size);
        assert_eq!(store.len().await.unwrap(), len);
    });
}

/// A copy of the open file contains what was synced.
#[test]
fn small_entries_are_synced_after_they_replaced_many_pages() {
    let directory = tempfile::tempdir().unwrap();
    let (path, copy) = (directory.path().join("cache"), directory.path().join("copy"));
    let never = Durability::Every(Duration::from_secs(86_400));
    runtime().block_on(async {
        let store = Redb::builder(&path).durability(never).open().unwrap();
        let written = 64 * MIB / 4_096 + 3_000;
        put_all(&store, 0..written).await;
        // This write waits for its commit. All others come before it.
        assert!(store.remove(&key(0)).await.unwrap());
        std::fs::copy(&path, &copy).unwrap();
        let synced = Redb::open(&copy).unwrap().len().await.unwrap();
        assert!(synced > written / 2 && synced < written - 1, "{synced} of {written} are synced");
    });
}

/// The child: makes the file longer than it should be, and closes it.
fn close_a_sprawling_file(path: &Path) {
    runtime().block_on(async {
        let store = Redb::open(path).unwrap();
        for _ in 0..3 {
            put_all(&store, 0..5_000).await;
            store.flush().await.unwrap();
        }
        // Only compaction makes the file shorter.
        say(&format!("closing {}", path.metadata().unwrap().len()));
        store.close().await.unwrap();
        say("closed");
    });
}

#[test]
fn kill_during_compaction_loses_nothing() {
    let name = "file_size::kill_during_compaction_loses_nothing";
    if let Some(path) = child_path() {
        return close_a_sprawling_file(&path);
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let mut unfinished = 0;
    for round in 0..10 {
        let mut child = child(name, &path).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let length = lines.find_map(|line| line.unwrap().split_once("closing ")?.1.parse().ok());
        let length: u64 = length.expect("the length of the file");
        thread::sleep(Duration::from_millis(5 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let is_closed = lines.any(|line| line.unwrap().contains("closed"));
        let is_compacted = path.metadata().unwrap().len() < length;
        unfinished += u64::from(is_compacted && !is_closed);
        runtime().block_on(async {
            let store = Redb::open(&path).unwrap();
            assert_eq!(store.len().await.unwrap(), 5_000);
            for number in 0..5_000 {
                assert_eq!(get(&store, key(number)).await.unwrap(), body(number, BODY));
            }
        });
    }
    println!("{unfinished} of 10 kills were in time");
    assert!(unfinished > 0, "no kill interrupted a compaction");
}
