//! Acknowledged operations while a store ends.

use std::path::Path;

use larder::store::Writer;

use crate::{
    child::child_path,
    entries::{body, get, head_at, key, put},
    faults::{DONE, ends, expect, fault, note, runtime},
    full_disk::{Disk, fill, make_room, on},
    stores::Embedded,
};

for_each_store! {
    removals_on_a_full_disk_survive_a_close_with_room,
    entries_that_finish_while_the_store_closes_are_kept_or_refused,
    entry_that_finishes_after_the_close_is_refused,
}

fn head() -> larder::entry::Head {
    head_at(larder::time::Timestamp::MIN)
}

fn removals_on_a_full_disk_survive_a_close_with_room<S: Embedded>(name: &str) {
    let Some(place) = child_path() else { return on(Disk::Tmpfs, name) };
    runtime().block_on(removals::<S>(&place));
    crate::child::say(DONE);
}

async fn removals<S: Embedded>(disk: &Path) {
    let file = disk.join("cache");
    let Some(store) = expect("opening", S::open_file(&file)) else { return };
    for number in 0..20 {
        let written = put(&store, key(number), head(), body(number, 20_000)).await;
        expect("a put with room", written);
    }
    expect("closing", store.close_file().await);
    drop(store);
    let Some(store) = expect("opening", S::open_file(&file)) else { return };
    // Waits for the work of the opening.
    expect("flush", store.flush().await);
    fill(disk);
    let mut removed = Vec::new();
    for number in 0..10 {
        match ends("a removal", store.remove(&key(number))).await {
            Ok(true) => removed.push(number),
            other => note(format!("removal {number}: {other:?}")),
        }
    }
    note(format!("{} removals on a full disk are acknowledged", removed.len()));
    let written = ends("a put", put(&store, key(100), head(), body(100, 12 << 20))).await;
    note(format!("a large put on a full disk: {:?}", written.map_err(|error| error.kind())));
    for number in &removed {
        if get(&store, key(*number)).await.is_some() {
            fault(format!("entry {number} is there again before the end"));
        }
    }
    make_room(disk);
    let closed = ends("closing", store.close_file()).await;
    note(format!("closing with room: {closed:?}"));
    drop(store);
    let Some(store) = expect("opening with room", S::open_file(&file)) else { return };
    for number in removed {
        if get(&store, key(number)).await.is_some() && closed.is_ok() {
            fault(format!("entry {number} was removed, and is there again"));
        }
    }
}

fn entries_that_finish_while_the_store_closes_are_kept_or_refused<S: Embedded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    runtime().block_on(async {
        let mut lost = Vec::new();
        for turn in 0..2u64 {
            let store = S::open_file(&path).unwrap();
            let mut writers = Vec::new();
            for number in 0..400 {
                writers
                    .push((number, store.put(&key(turn * 1_000 + number), head()).await.unwrap()));
            }
            let closing = store.clone();
            let closing = tokio::spawn(async move { closing.close_file().await });
            let mut kept = Vec::new();
            for (number, mut writer) in writers {
                writer.write(body(number, 50)).await.unwrap();
                if writer.finish(None).await.is_ok() {
                    kept.push(number);
                }
                tokio::task::yield_now().await;
            }
            closing.await.unwrap().unwrap();
            let unwritten = store.unwritten();
            drop(store);
            let store = S::open_file(&path).unwrap();
            for number in &kept {
                if get(&store, key(turn * 1_000 + number)).await.is_none() {
                    lost.push((turn, *number, unwritten));
                }
            }
        }
        assert!(lost.is_empty(), "{} acknowledged entries are lost: {:?}", lost.len(), lost[0]);
    });
}

fn entry_that_finishes_after_the_close_is_refused<S: Embedded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    runtime().block_on(async {
        let store = S::open_file(&path).unwrap();
        let mut writer = store.put(&key(1), head()).await.unwrap();
        put(&store, key(2), head(), body(2, 10)).await.unwrap();
        store.close_file().await.unwrap();
        writer.write(body(1, 10)).await.unwrap();
        assert!(writer.finish(None).await.is_err());
        for number in [1, 2] {
            assert!(store.get(&key(number)).await.is_err());
        }
        assert!(store.remove(&key(2)).await.is_err() && store.len().await.is_err());
        assert!(store.flush().await.is_err() && store.clear().await.is_err());
        store.close_file().await.unwrap();
    });
}
