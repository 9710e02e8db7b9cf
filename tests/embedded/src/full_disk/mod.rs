//! A disk that another process fills. Committed entries stay readable, removed entries stay absent,
//! and the store works again as soon as there is space.
//!
//! Each test mounts a disk of 24 MiB: a tmpfs, and an ext4 image if root runs the tests. If the
//! machine does not allow the mount, the test fails, and the message says what it needs.

pub(crate) use self::disk::{Disk, fill, make_room, on};

mod denied;
mod disk;
mod filled;
mod watch;

use std::path::Path;

use larder::store::Store;

use crate::{
    child::child_path,
    entries::{body, key, put},
    faults::{DONE, bytes_in, ends, expect, fault, note, runtime},
    stores::Embedded,
};

for_each_store_and_files! {
    full_disk_hides_no_committed_entry,
    store_on_a_full_disk_can_be_cleared,
    closed_file_opens_on_a_full_disk,
    replacing_entries_keeps_the_files_bounded,
    #[ignore = "needs root, who can mount an ext4 image"]
    full_disk_with_ext4_hides_no_committed_entry,
    #[ignore = "needs root, who can mount an ext4 image"]
    store_on_a_full_disk_with_ext4_can_be_cleared,
    #[ignore = "needs root, who can mount an ext4 image"]
    closed_file_opens_on_a_full_disk_with_ext4,
    #[ignore = "needs root, who can mount an ext4 image"]
    replacing_entries_with_ext4_keeps_the_files_bounded,
}

fn full_disk_hides_no_committed_entry<S: Embedded>(name: &str) {
    on_disk(Disk::Tmpfs, name, async |disk| filled::works::<S>(disk, false).await);
}

fn full_disk_with_ext4_hides_no_committed_entry<S: Embedded>(name: &str) {
    on_disk(Disk::Ext4, name, async |disk| filled::works::<S>(disk, false).await);
}

fn store_on_a_full_disk_can_be_cleared<S: Embedded>(name: &str) {
    on_disk(Disk::Tmpfs, name, async |disk| filled::works::<S>(disk, true).await);
}

fn store_on_a_full_disk_with_ext4_can_be_cleared<S: Embedded>(name: &str) {
    on_disk(Disk::Ext4, name, async |disk| filled::works::<S>(disk, true).await);
}

fn closed_file_opens_on_a_full_disk<S: Embedded>(name: &str) {
    on_disk(Disk::Tmpfs, name, async |disk| opens::<S>(disk).await);
}

fn closed_file_opens_on_a_full_disk_with_ext4<S: Embedded>(name: &str) {
    on_disk(Disk::Ext4, name, async |disk| opens::<S>(disk).await);
}

fn replacing_entries_keeps_the_files_bounded<S: Embedded>(name: &str) {
    on_disk(Disk::Tmpfs, name, async |disk| stays_bounded::<S>(disk).await);
}

fn replacing_entries_with_ext4_keeps_the_files_bounded<S: Embedded>(name: &str) {
    on_disk(Disk::Ext4, name, async |disk| stays_bounded::<S>(disk).await);
}

/// Runs `scenario` on the disk, in a child process.
fn on_disk(disk: Disk, name: &str, scenario: impl AsyncFnOnce(&Path)) {
    let Some(place) = child_path() else { return on(disk, name) };
    runtime().block_on(scenario(&place));
    crate::child::say(DONE);
}

/// The number of entries that are stored before the disk is full.
const STORED: u64 = 20;

/// The length of their bodies.
const LEN: usize = watch::LARGE;

/// Stores the entries, closes the file and opens it again.
async fn stored<S: Embedded>(file: &Path) -> Option<S> {
    let store = expect("the first opening", S::open_file(file))?;
    for number in 0..STORED {
        let written = put(&store, key(number), watch::old_head(), body(number, LEN));
        expect("a put with room", ends("a put", written).await)?;
    }
    expect("closing", ends("closing", store.close_file()).await)?;
    drop(store);
    expect("the second opening", S::open_file(file))
}

/// Reads the entries. Reports the missing ones.
async fn read_stored(store: &impl Store, when: &str) {
    for number in 0..STORED {
        let read = async {
            match store.get(&key(number)).await? {
                Some(hit) => hit.body.bytes().await.map(Some),
                None => Ok(None),
            }
        };
        let what = format!("{when}: reading entry {number}");
        match expect(&what, ends(&what, read).await) {
            Some(Some(bytes)) if bytes == body(number, LEN) => {}
            Some(Some(_)) => fault(format!("{what}: wrong bytes")),
            Some(None) => fault(format!("{what}: it is gone")),
            None => {}
        }
    }
}

/// A cleanly closed file opens without free space, and its entries are readable.
async fn opens<S: Embedded>(disk: &Path) {
    let file = disk.join("cache");
    let Some(store) = stored::<S>(&file).await else { return };
    expect("closing", ends("closing", store.close_file()).await);
    drop(store);
    fill(disk);
    for opening in ["the first opening without room", "the second opening without room"] {
        let Some(store) = expect(opening, S::open_file(&file)) else { continue };
        read_stored(&store, opening).await;
        let written = put(&store, key(100), watch::old_head(), body(100, LEN));
        match ends("a put without room", written).await {
            Ok(()) => note(format!("{opening}: a put succeeds")),
            Err(error) => watch::expect_full("a put", &error),
        }
        read_stored(&store, &format!("{opening}, after a put")).await;
        // The new entry may find no space.
        if let Err(error) = ends("closing", store.close_file()).await {
            watch::expect_full("closing", &error);
        }
    }
    make_room(disk);
    let Some(store) = expect("opening with room again", S::open_file(&file)) else { return };
    read_stored(&store, "with room again").await;
    let written = put(&store, key(200), watch::old_head(), body(200, LEN));
    expect("a put with room again", ends("a put", written).await);
    expect("closing", ends("closing", store.close_file()).await);
}

/// Replaces entries of 7 MB again and again. The file and its log must fit on the disk.
async fn stays_bounded<S: Embedded>(disk: &Path) {
    const ENTRIES: u64 = 70;
    let Some(store) = expect("opening", S::open_file(&disk.join("cache"))) else { return };
    let mut most = 0;
    for turn in 0..6 {
        for number in 0..ENTRIES {
            let bytes = body(turn * ENTRIES + number, LEN);
            let written = put(&store, key(number), watch::old_head(), bytes);
            if let Err(error) = ends("a put", written).await {
                let error = crate::faults::described(&error);
                let files = bytes_in(disk);
                fault(format!("put {number} of turn {turn} with files of {files} bytes: {error}"));
            }
            most = most.max(bytes_in(disk));
        }
    }
    note(format!("the files took up to {most} bytes, for entries of {}", ENTRIES * LEN as u64));
    for number in 0..ENTRIES {
        let found = ends("a lookup", store.get(&key(number))).await;
        let Some(found) = expect(&format!("a lookup of entry {number}"), found) else { continue };
        let Some(hit) = found else {
            fault(format!("entry {number} is gone"));
            continue;
        };
        let read = ends("a read", hit.body.bytes()).await;
        if expect(&format!("reading entry {number}"), read)
            .is_some_and(|bytes| bytes != body(5 * ENTRIES + number, LEN))
        {
            fault(format!("entry {number} is not the one that was put last"));
        }
    }
    expect("closing", ends("closing", store.close_file()).await);
}
