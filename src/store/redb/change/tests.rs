//! What transactions read and remove, on a real file.

use std::sync::Arc;

use http::{Method, Response};
use redb::{Database, ReadableTableMetadata};

use super::*;
use crate::store::{
    embedded::ENTRIES,
    redb::{Redb, open},
};

fn database() -> (tempfile::TempDir, Database) {
    let directory = tempfile::tempdir().unwrap();
    let (_, config) = Redb::builder(directory.path().join("cache.redb")).into_config();
    let open::Opened::Writable(db) = open::open(&config).unwrap() else { unreachable!() };
    (directory, db)
}

fn change<T>(db: &Database, max_bytes: u64, work: impl FnOnce(&mut Change<'_>) -> T) -> T {
    let mut txn = db.begin_write().unwrap();
    txn.set_durability(redb::Durability::None).unwrap();
    let owner = Owner { id: 1, is_alone: true };
    let mut change = Change::begin(&txn, owner, max_bytes).unwrap();
    let result = work(&mut change);
    change.finish().unwrap();
    txn.commit().unwrap();
    result
}

fn entry(expires_at: u64, tag: &str) -> Entry {
    let parts = Response::new(()).into_parts().0;
    let head = Head::new(Method::GET, "http://a/", parts, Timestamp::MIN)
        .with_expires_at(Some(Timestamp::from_millis(expires_at)))
        .with_tags(vec![tag.into()])
        .seal(4, None);
    Entry {
        encoded: head.encode().into(),
        head: Arc::new(head),
        version: Version::new(1),
        body: Body::Inline("body".into()),
    }
}

fn fill(db: &Database, entries: u64, entry: impl Fn(u64) -> Entry) {
    for first in (0..entries).step_by(2_000) {
        change(db, u64::MAX, |change| {
            for number in first..(first + 2_000).min(entries) {
                let key = Key::digest(number.to_string());
                assert!(change.put(&key, &entry(number), None).unwrap().is_new);
            }
        });
    }
}

fn purge_all(db: &Database, purge: &Purge) -> Vec<u64> {
    let mut removed = Vec::new();
    loop {
        let step = change(db, u64::MAX, |change| change.purge(purge, ENTRIES).unwrap());
        removed.push(step.removed);
        if step.is_done {
            return removed;
        }
    }
}

#[test]
fn purges_remove_what_the_index_names_bit_by_bit() {
    let (_directory, db) = database();
    fill(&db, 20_000, |number| {
        entry(if number < 1_500 { 10 } else { 1_000 }, if number < 7 { "few" } else { "many" })
    });
    assert_eq!(purge_all(&db, &Purge::Tagged("few".into())), [7]);
    let expired = Purge::Expired(Timestamp::from_millis(10));
    assert_eq!(purge_all(&db, &expired), [1_000, 493]);
    assert_eq!(purge_all(&db, &expired), [0]);
    assert_eq!(purge_all(&db, &Purge::Tagged("none".into())), [0]);
    let (entries, index) = change(&db, u64::MAX, |change| {
        (change.entries.open().unwrap().len().unwrap(), change.index.open().unwrap().len().unwrap())
    });
    assert_eq!((entries, index), (18_500, 3 * 18_500), "each entry has three rows in the index");
}

#[test]
fn chunks_are_collected_bit_by_bit() {
    let (_directory, db) = database();
    change(&db, u64::MAX, |change| {
        for body in 0..3 {
            let id = change.begin_body().unwrap().unwrap();
            for index in 0..10 {
                change.chunk(id, index, &[body; 10_000]).unwrap();
            }
            if body != 1 {
                change.abandon(id).unwrap();
            }
        }
    });
    let (queue, commands) = std::sync::mpsc::channel();
    let leases = Leases::new(move || queue.send(()).unwrap_or_default());
    let step = || {
        change(&db, u64::MAX, |change| {
            change.collect(8, false, &leases).unwrap();
            let more = change.garbage(false, &leases).unwrap().is_there;
            (change.chunks.open().unwrap().len().unwrap(), more)
        })
    };
    assert_eq!(
        [step(), step(), step(), step()],
        [(22, true), (14, true), (10, false), (10, false)]
    );
    assert!(commands.try_recv().is_err());
}

#[test]
fn bodies_are_not_collected_while_they_are_read() {
    let (_directory, db) = database();
    let id = change(&db, u64::MAX, |change| {
        let id = change.begin_body().unwrap().unwrap();
        change.chunk(id, 0, b"chunk").unwrap();
        change.abandon(id).unwrap();
        id
    });
    let (queue, commands) = std::sync::mpsc::channel();
    let leases = Leases::new(move || queue.send(()).unwrap_or_default());
    let collect = || {
        change(&db, u64::MAX, |change| {
            change.collect(8, false, &leases).unwrap();
            let more = change.garbage(false, &leases).unwrap().is_there;
            (change.chunks.open().unwrap().len().unwrap(), more)
        })
    };
    let readers = [leases.take(id).unwrap(), leases.take(id).unwrap()];
    assert_eq!(collect(), (1, false));
    drop(readers);
    // The last reader reports it once.
    assert!(commands.try_recv().is_ok() && commands.try_recv().is_err());
    assert_eq!(collect(), (0, false));
    assert!(leases.take(id).is_none(), "its chunks may be gone");
}
