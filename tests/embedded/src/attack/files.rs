//! A damaged file whose path has another file by now.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use larder::store::{Redb, Store};

use crate::{
    entries::{body, head_at, key, put},
    faults::runtime,
};

fn head() -> larder::entry::Head {
    head_at(larder::time::Timestamp::MIN)
}

/// Zeroes all of the file except its first page, from another process.
fn zero(path: &Path, from: u64) {
    let count = fs::metadata(path).unwrap().len() / 4_096 - from;
    let script = format!(
        "dd if=/dev/zero of='{}' bs=4096 seek={from} count={count} conv=notrunc 2>&1",
        path.display()
    );
    assert!(
        Command::new("sh").args(["-c", &script]).stdout(Stdio::null()).status().unwrap().success()
    );
}

/// The file was moved, and another one has its path.
#[test]
fn damaged_redb_does_not_remove_another_file_at_its_path() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let moved = directory.path().join("moved");
    runtime().block_on(async {
        let store = Redb::builder(&path).cache_bytes(0).open().unwrap();
        for number in 0..500 {
            put(&store, key(number), head(), body(number, 3_000)).await.unwrap();
        }
        store.flush().await.unwrap();
        fs::rename(&path, &moved).unwrap();
        fs::write(&path, "the photos of my grandmother").unwrap();
        zero(&moved, 1);
        for number in 0..50 {
            let _ = put(&store, key(1_000 + number), head(), body(number, 3_000)).await;
            let _ = store.remove(&key(number)).await;
            let _ = store.flush().await;
        }
        drop(store);
        let is_kept = fs::read(&path).unwrap() == b"the photos of my grandmother";
        assert!(is_kept, "a file that is not a cache was replaced");
    });
}

/// The link may lead to another disk.
#[test]
fn link_to_a_damaged_redb_stays_a_link() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let real = directory.path().join("real");
    drop(Redb::open(&real).unwrap());
    std::os::unix::fs::symlink(&real, &path).unwrap();
    runtime().block_on(async {
        let store = Redb::builder(&path).cache_bytes(0).open().unwrap();
        for number in 0..500 {
            put(&store, key(number), head(), body(number, 3_000)).await.unwrap();
        }
        store.flush().await.unwrap();
        zero(&real, 1);
        for number in 0..50 {
            let _ = put(&store, key(1_000 + number), head(), body(number, 3_000)).await;
            let _ = store.flush().await;
        }
        drop(store);
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    });
}
