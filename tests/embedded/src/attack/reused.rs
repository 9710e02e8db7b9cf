//! The chunks of a body that is lost while it is read.

use std::{path::Path, time::Duration};

use larder::store::redb::Durability;

use crate::{
    child::child_path,
    entries::{body, head_at, key, put},
    faults::{DONE, ends, expect, fault, note, runtime},
    full_disk::{Disk, fill, make_room, on},
    stores::Embedded,
};

for_each_store! {
    a_reader_of_a_lost_body_gets_no_other_body,
}

fn head() -> larder::entry::Head {
    head_at(larder::time::Timestamp::MIN)
}

fn a_reader_of_a_lost_body_gets_no_other_body<S: Embedded>(name: &str) {
    let Some(place) = child_path() else { return on(Disk::Tmpfs, name) };
    runtime().block_on(lost::<S>(&place));
    crate::child::say(DONE);
}

const LEN: usize = 4 << 20;

async fn lost<S: Embedded>(disk: &Path) {
    let file = disk.join("cache");
    let durability = Durability::Every(Duration::from_secs(100));
    let Some(store) = expect("opening", S::open_durable(&file, durability)) else { return };
    expect("a put", put(&store, key(1), head(), body(1, LEN)).await);
    let Some(Some(hit)) = expect("a lookup", store.get(&key(1)).await) else { return fault("no hit") };
    let mut stream = hit.body;
    let mut got = Vec::new();
    let first = stream.chunk().await;
    got.extend_from_slice(&first.unwrap().unwrap());
    fill(disk);
    note(format!("{:?}", ends("a put", put(&store, key(2), head(), body(2, LEN))).await.map_err(|e| e.to_string())));
    make_room(disk);
    note(format!("lost: {:?}", store.get(&key(1)).await.map(|hit| hit.is_none())));
    expect("a put", ends("a put", put(&store, key(3), head(), body(3, LEN))).await);
    let mut end = None;
    while let Some(chunk) = stream.chunk().await {
        match chunk {
            Ok(chunk) => got.extend_from_slice(&chunk),
            Err(error) => { end = Some(error.to_string()); break }
        }
    }
    note(format!("read {} bytes, then {end:?}", got.len()));
    let whole = body(1, LEN);
    if got[..] != whole[..got.len()] {
        fault("the bytes of another body");
    }
}
