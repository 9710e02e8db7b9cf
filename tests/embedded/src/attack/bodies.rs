//! Bodies that are read while their entries are lost or writes fail, and the memory that bodies
//! hold.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use larder::store::{Sqlite, Store, Writer, redb::Durability};

use crate::{
    child::child_path,
    entries::{body, head_at, key, put},
    faults::{DONE, ends, expect, fault, note, runtime},
    full_disk::{Disk, fill, make_room, on},
    stores::Embedded,
};

for_each_store! {
    reader_of_a_lost_body_receives_no_other_body,
    reads_continue_while_writes_fail,
    small_body_does_not_hold_a_large_buffer,
}

fn head() -> larder::entry::Head {
    head_at(larder::time::Timestamp::MIN)
}

/// A full disk undoes what was not synced. The number of the lost body may be used again.
fn reader_of_a_lost_body_receives_no_other_body<S: Embedded>(name: &str) {
    let Some(place) = child_path() else { return on(Disk::Tmpfs, name) };
    runtime().block_on(lost::<S>(&place));
    crate::child::say(DONE);
}

/// Longer than the read-ahead.
const LEN: usize = 4 << 20;

async fn lost<S: Embedded>(disk: &Path) {
    let file = disk.join("cache");
    let durability = Durability::Every(Duration::from_secs(100));
    let Some(store) = expect("opening", S::open_durable(&file, durability)) else { return };
    expect("a put", put(&store, key(1), head(), body(1, LEN)).await);
    let Some(Some(hit)) = expect("a lookup", store.get(&key(1)).await) else {
        return fault("no hit");
    };
    let mut stream = hit.body;
    let mut got = Vec::new();
    let first = stream.chunk().await;
    got.extend_from_slice(&first.unwrap().unwrap());
    fill(disk);
    note(format!(
        "{:?}",
        ends("a put", put(&store, key(2), head(), body(2, LEN))).await.map_err(|e| e.to_string())
    ));
    make_room(disk);
    note(format!("lost: {:?}", store.get(&key(1)).await.map(|hit| hit.is_none())));
    expect("a put", ends("a put", put(&store, key(3), head(), body(3, LEN))).await);
    let mut end = None;
    while let Some(chunk) = stream.chunk().await {
        match chunk {
            Ok(chunk) => got.extend_from_slice(&chunk),
            Err(error) => {
                end = Some(error.to_string());
                break;
            }
        }
    }
    note(format!("read {} bytes, then {end:?}", got.len()));
    let whole = body(1, LEN);
    if got[..] != whole[..got.len()] {
        fault("the bytes of another body");
    }
}

/// Synced entries are read all the time while a full disk refuses writes.
fn reads_continue_while_writes_fail<S: Embedded>(name: &str) {
    let Some(place) = child_path() else { return on(Disk::Tmpfs, name) };
    runtime().block_on(reads::<S>(&place));
    crate::child::say(DONE);
}

async fn reads<S: Embedded>(disk: &Path) {
    let Some(store) = expect("opening", S::open_file(&disk.join("cache"))) else { return };
    for number in 0..20 {
        let len = if number % 2 == 0 { 400_000 } else { 500 };
        expect("a put", put(&store, key(number), head(), body(number, len)).await);
    }
    expect("flush", store.flush().await);
    fill(disk);
    let is_over = Arc::new(AtomicBool::new(false));
    let errors = Arc::new(Mutex::new((0, 0, 0, None)));
    let readers: Vec<_> = (0..3u64)
        .map(|reader| {
            let (store, is_over, errors) = (store.clone(), is_over.clone(), errors.clone());
            tokio::spawn(async move {
                let mut number = reader;
                while !is_over.load(Ordering::Relaxed) {
                    number += 1;
                    let read = async {
                        match store.get(&key(number % 20)).await? {
                            Some(hit) => hit.body.bytes().await.map(Some),
                            None => Ok(None),
                        }
                    };
                    let result = ends("a read", read).await;
                    {
                        let mut errors = errors.lock().unwrap();
                        match result {
                            Ok(Some(_)) => errors.0 += 1,
                            Ok(None) => errors.1 += 1,
                            Err(error) => {
                                errors.2 += 1;
                                errors.3 = Some(format!("{:?} {error:#}", error.kind()));
                            }
                        }
                    }
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let begun = Instant::now();
    let mut failed = 0;
    while begun.elapsed() < Duration::from_millis(300) {
        failed += usize::from(
            ends("a put", put(&store, key(100), head(), body(3, 9_000_000))).await.is_err(),
        );
    }
    is_over.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    let errors = errors.lock().unwrap();
    note(format!("{failed} failed puts, reads (found, gone, failed): {errors:?}"));
    if errors.1 + errors.2 > 0 {
        fault(format!("reads of what is synced: {errors:?}"));
    }
}

/// The body is a small part of a buffer that a connection read at once.
fn small_body_does_not_hold_a_large_buffer<S: Embedded>(name: &str) {
    if child_path().is_none() {
        let output = crate::child::child(name, "here").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = S::open_file(&directory.path().join("cache")).unwrap();
        let before = crate::child::peak();
        let tasks = (0..4).map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..150 {
                    let buffer = bytes::Bytes::from(vec![1; 1 << 20]);
                    let mut writer = store.put(&key(task * 1_000 + number), head()).await.unwrap();
                    writer.write(buffer.slice(..10)).await.unwrap();
                    writer.finish(None).await.unwrap();
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        let grown = (crate::child::peak() - before) >> 20;
        assert!(grown < 48, "the process grew by {grown} MiB");
    });
}

/// The row of counters is missing. So the file is emptied, and the numbers of bodies start again.
#[test]
fn bodies_are_not_mixed_after_a_damaged_sqlite_file_is_emptied() {
    for exclusive in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        runtime().block_on(async {
            let store = Sqlite::builder(&path).exclusive(exclusive).open().unwrap();
            put(&store, key(1), head(), body(1, LEN)).await.unwrap();
            let mut stream = store.get(&key(1)).await.unwrap().unwrap().body;
            let mut got = stream.chunk().await.unwrap().unwrap().to_vec();
            let other = rusqlite::Connection::open(&path).unwrap();
            other.execute_batch("DELETE FROM state").unwrap();
            put(&store, key(3), head(), body(3, LEN)).await.unwrap();
            let mut end = None;
            while let Some(chunk) = stream.chunk().await {
                match chunk {
                    Ok(chunk) => got.extend_from_slice(&chunk),
                    Err(error) => {
                        end = Some(error.to_string());
                        break;
                    }
                }
            }
            let is_right = got[..] == body(1, LEN)[..got.len()];
            assert!(is_right, "the bytes of another body, then {end:?}");
        });
    }
}
