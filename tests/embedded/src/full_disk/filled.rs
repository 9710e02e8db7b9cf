//! A store that is open while another process fills its disk.

use std::{path::Path, time::Duration};

use larder::{
    store::{Result, Store},
    time::Timestamp,
};

use super::{
    disk::{fill, make_room},
    read_stored, stored,
    watch::{LARGE, SMALL, Watch, expect_full, old_head},
};
use crate::{
    entries::{body, key, put},
    faults::{ends, expect, fault, note},
    stores::Embedded,
};

/// Longer than a store waits between two syncs.
const SYNC: Duration = Duration::from_millis(1_200);

/// The expiry of the entries that [`Store::remove_expired`] removes.
const EXPIRY: Timestamp = Timestamp::from_millis(1_000);

/// The keys that are changed, besides the twenty that stay unchanged.
struct Keys {
    replaced: Vec<Watch>,
    updated: Vec<Watch>,
    removed: Vec<Watch>,
    tagged: Vec<Watch>,
    expired: Vec<Watch>,
    missing: Vec<Watch>,
}

impl Keys {
    /// Stores the entries that exist before the disk is full.
    async fn stored(store: &impl Store) -> Option<Self> {
        // Every second body is small, and is written at once.
        let len = |number: u64| if number.is_multiple_of(2) { LARGE } else { SMALL };
        let some = |from: u64| (from..from + 4).map(move |number| Watch::old(number, len(number)));
        let keys = Self {
            replaced: some(100).collect(),
            updated: some(200).collect(),
            removed: some(300).collect(),
            tagged: some(400).collect(),
            expired: some(500).collect(),
            missing: (600..630).map(|number| Watch::absent(number, len(number))).collect(),
        };
        for number in [100, 200, 300, 400, 500].into_iter().flat_map(|from| from..from + 4) {
            let head = match number {
                400..500 => old_head().with_tags(vec!["gone".into()]),
                500.. => old_head().with_expires_at(Some(EXPIRY)),
                _ => old_head(),
            };
            let written = put(store, key(number), head, body(number, len(number)));
            expect("a put with room", ends("a put", written).await)?;
        }
        Some(keys)
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Watch> {
        self.replaced
            .iter_mut()
            .chain(&mut self.updated)
            .chain(&mut self.removed)
            .chain(&mut self.tagged)
            .chain(&mut self.expired)
            .chain(&mut self.missing)
    }

    async fn look(&mut self, store: &impl Store, when: &str) {
        for watch in self.all() {
            watch.look(store, when).await;
        }
    }
}

/// The outcomes of one kind of operation.
#[derive(Default)]
struct Outcomes {
    done: usize,
    failed: usize,
}

impl Outcomes {
    fn add<T>(&mut self, what: &str, outcome: &Result<T>) {
        match outcome {
            Ok(_) => self.done += 1,
            Err(error) => {
                self.failed += 1;
                expect_full(what, error);
            }
        }
    }
}

/// Fills the disk below an open store, writes and removes, and frees the space again. If `clears`,
/// the store is cleared while the disk is full.
pub(super) async fn works<S: Embedded>(disk: &Path, clears: bool) {
    let file = disk.join("cache");
    let Some(store) = stored::<S>(&file).await else { return };
    let Some(mut keys) = Keys::stored(&store).await else { return };
    expect("closing", ends("closing", store.close_file()).await);
    drop(store);
    let Some(store) = expect("the third opening", S::open_file(&file)) else { return };
    read_stored(&store, "before the disk is full").await;

    fill(disk);
    change(&store, &mut keys).await;
    for when in ["right after the changes", "after the next sync"] {
        read_stored(&store, when).await;
        keys.look(&store, when).await;
        tokio::time::sleep(SYNC).await;
    }

    let mut is_cleared = false;
    if clears {
        let cleared = ends("clear", store.clear()).await;
        let mut outcomes = Outcomes::default();
        outcomes.add("clear", &cleared);
        is_cleared = cleared.is_ok();
        note(format!("clear on a full disk succeeds: {is_cleared}"));
        for watch in keys.all() {
            watch.removed(&cleared);
        }
        keys.look(&store, "after clear").await;
        check_cleared(&store, is_cleared, "after clear").await;
    }

    make_room(disk);
    let when = "with room again";
    keys.look(&store, when).await;
    if clears {
        check_cleared(&store, is_cleared, when).await;
    } else {
        read_stored(&store, when).await;
    }
    // The removed keys are looked up until the end, so only the others are written.
    for watch in keys.missing.iter_mut().chain(&mut keys.replaced) {
        expect(&format!("a put of key {} {when}", watch.number()), watch.put(&store).await);
        watch.must_be_new(&store, when).await;
    }
    tokio::time::sleep(SYNC).await;
    for watch in keys.missing.iter_mut().chain(&mut keys.replaced) {
        watch.must_be_new(&store, "with room again, after a sync").await;
    }
    keys.look(&store, "with room again, after puts").await;
    expect("closing with room", ends("closing", store.close_file()).await);
    drop(store);

    let when = "opened with room";
    let Some(store) = expect("opening with room", S::open_file(&file)) else { return };
    keys.look(&store, when).await;
    if clears {
        check_cleared(&store, is_cleared, when).await;
    } else {
        read_stored(&store, when).await;
    }
    expect("closing", ends("closing", store.close_file()).await);
}

/// Runs thirty misses and every kind of change on a full disk. Each may fail.
async fn change(store: &impl Store, keys: &mut Keys) {
    let mut puts = Outcomes::default();
    for (number, watch) in keys.missing.iter_mut().enumerate() {
        puts.add("a put", &watch.put(store).await);
        watch.look(store, "after its put").await;
        if number % 10 == 0 {
            read_stored(store, &format!("after {} puts", number + 1)).await;
        }
    }
    for watch in &mut keys.replaced {
        puts.add("a replacement", &watch.put(store).await);
        watch.look(store, "after its replacement").await;
    }
    let mut updates = Outcomes::default();
    for watch in &mut keys.updated {
        updates.add("an update", &watch.update(store).await);
        watch.look(store, "after its update").await;
    }
    let mut removals = Outcomes::default();
    for watch in &mut keys.removed {
        let removed = ends("a removal", store.remove(&key(watch.number()))).await;
        removals.add("a removal", &removed);
        watch.removed(&removed);
        watch.look(store, "after its removal").await;
    }
    let tagged = ends("a removal by tag", store.remove_tagged("gone")).await;
    let expired = ends("a removal of the expired", store.remove_expired(EXPIRY)).await;
    for (what, outcome, watches) in [
        ("a removal by tag", tagged, &mut keys.tagged),
        ("a removal of the expired", expired, &mut keys.expired),
    ] {
        removals.add(what, &outcome);
        for watch in watches {
            watch.removed(&outcome);
            watch.look(store, &format!("after {what}")).await;
        }
    }
    for (what, Outcomes { done, failed }) in
        [("puts", puts), ("updates", updates), ("removals", removals)]
    {
        note(format!("{what} on a full disk: {done} done, {failed} failed"));
    }
}

/// Checks that a cleared store does not have the twenty entries. If the clear failed, each of them
/// may be present or absent.
async fn check_cleared(store: &impl Store, is_cleared: bool, when: &str) {
    for number in 0..super::STORED {
        let found = ends("a lookup", store.get(&key(number))).await;
        let found = expect(&format!("{when}: a lookup of entry {number}"), found).flatten();
        if is_cleared && found.is_some() {
            fault(format!("{when}: entry {number} is there again"));
        }
    }
}
