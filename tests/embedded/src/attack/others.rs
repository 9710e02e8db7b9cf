//! Other processes and people that use the same SQLite file.

use std::{
    thread,
    time::{Duration, Instant},
};

use larder::store::{ErrorKind, Sqlite, Store};

use crate::{
    entries::{body, get, head_at, key, put},
    faults::runtime,
};

fn head() -> larder::entry::Head {
    head_at(larder::time::Timestamp::MIN)
}

#[test]
fn opened_and_closed_handles_do_not_refuse_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    drop(Sqlite::open(&path).unwrap());
    let openings = crate::faults::seed("LARDER_ATTACK_OPENINGS", 40);
    let open = |_: usize| {
        let path = path.clone();
        thread::spawn(move || {
            (0..openings)
                .filter_map(|_| Sqlite::open(&path).err().map(|error| format!("{error:#}")))
                .collect::<Vec<_>>()
        })
    };
    let threads: Vec<_> = (0..3).map(open).collect();
    let refused: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert!(refused.is_empty(), "{} openings are refused: {}", refused.len(), refused[0]);
}

/// A reader that opens the file while its log is empty must not treat the file as closed.
#[test]
fn reader_of_a_live_file_sees_new_entries() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    runtime().block_on(async {
        let store = Sqlite::open(&path).unwrap();
        for number in 0..300 {
            put(&store, key(number), head(), body(number, 2_000)).await.unwrap();
        }
        store.close().await.unwrap();
        drop(store);
        let store = Sqlite::open(&path).unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        // It leaves an empty log.
        store.vacuum().await.unwrap();
        let reader = Sqlite::builder(&path).read_only(true).open().unwrap();
        put(&store, key(1_000), head(), body(1_000, 2_000)).await.unwrap();
        let seen = reader.get(&key(1_000)).await.unwrap().is_some();
        for round in 1..4 {
            for number in 0..300 {
                put(&store, key(number), head(), body(number + round * 1_000, 5_000))
                    .await
                    .unwrap();
            }
            store.flush().await.unwrap();
        }
        let (mut errors, mut old) = (Vec::new(), 0);
        for number in 0..300 {
            match reader.get(&key(number)).await {
                Ok(Some(hit)) => {
                    old +=
                        usize::from(hit.body.bytes().await.unwrap() != body(number + 3_000, 5_000))
                }
                Ok(None) => old += 1,
                Err(error) => errors.push(format!("{:?} {error:#}", error.kind())),
            }
        }
        assert!(
            seen && old == 0 && errors.is_empty(),
            "new entry seen: {seen}, outdated: {old}, errors: {} {:?}",
            errors.len(),
            errors.first()
        );
    });
}

#[test]
fn requests_wait_for_busy_timeout() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    runtime().block_on(async {
        let store = Sqlite::open(&path).unwrap();
        let other = Sqlite::open(&path).unwrap();
        for number in 0..4 {
            put(&store, key(number), head().with_tags(vec!["t".into()]), body(number, 100))
                .await
                .unwrap();
        }
        let held = rusqlite::Connection::open(&path).unwrap();
        held.execute_batch("BEGIN IMMEDIATE").unwrap();
        let purge = {
            let store = store.clone();
            tokio::spawn(async move { store.remove_tagged("t").await })
        };
        let tasks: Vec<_> = (0..20u64)
            .map(|number| {
                let store = if number % 2 == 0 { store.clone() } else { other.clone() };
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(number * 37)).await;
                    let begun = Instant::now();
                    let len = if number % 5 == 0 { 600_000 } else { 100 };
                    let result = match number % 4 {
                        3 => store.remove(&key(number % 4)).await.map(drop),
                        _ => put(&store, key(100 + number), head(), body(number, len)).await,
                    };
                    (number, begun.elapsed(), result)
                })
            })
            .collect();
        let mut most = Duration::ZERO;
        for task in tasks {
            let (number, took, result) = task.await.unwrap();
            assert_eq!(
                result.as_ref().unwrap_err().kind(),
                ErrorKind::Unavailable,
                "{number} {result:?}"
            );
            most = most.max(took);
        }
        for number in 0..4 {
            assert_eq!(get(&store, key(number)).await.unwrap(), body(number, 100));
        }
        held.execute_batch("COMMIT").unwrap();
        assert_eq!(purge.await.unwrap().unwrap(), 4);
        tokio::time::sleep(Duration::from_millis(1_300)).await;
        assert!(get(&store, key(0)).await.is_none());
        for number in 0..20 {
            assert!(get(&store, key(100 + number)).await.is_none(), "{number} appears later");
        }
        let left = "SELECT (SELECT count(*) FROM unfinished) + (SELECT count(*) FROM chunks)";
        let left = held.query_row(left, [], |row| row.get::<_, i64>(0)).unwrap();
        assert_eq!(left, 0, "rows of bodies that were refused");
        assert!(most < Duration::from_millis(700), "{most:?}");
    });
}

/// Another program holds the lock for longer than a request waits.
#[test]
fn refused_removal_is_not_done_later() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    runtime().block_on(async {
        let store = Sqlite::open(&path).unwrap();
        put(&store, key(1), head(), body(1, 100)).await.unwrap();
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert!(store.remove(&key(1)).await.is_err());
        assert!(get(&store, key(1)).await.is_some());
        other.execute_batch("COMMIT").unwrap();
        store.flush().await.unwrap();
        assert!(get(&store, key(1)).await.is_some());
    });
}

/// Another program should not write to an exclusive file. This one does, for longer than a request
/// waits.
#[test]
fn acknowledged_entry_of_an_exclusive_file_waits_for_a_foreign_lock() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    runtime().block_on(async {
        let store = Sqlite::builder(&path).exclusive(true).open().unwrap();
        let other = rusqlite::Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        put(&store, key(1), head(), body(1, 100)).await.unwrap();
        tokio::time::sleep(Duration::from_millis(800)).await;
        assert!(get(&store, key(1)).await.is_some());
        other.execute_batch("COMMIT").unwrap();
        store.close().await.unwrap();
        assert_eq!(store.unwritten(), 0);
        let again = Sqlite::open(&path).unwrap();
        assert_eq!(get(&again, key(1)).await.unwrap(), body(1, 100));
    });
}

/// People may delete rows. Any other change is damage, which a store heals.
#[test]
fn changes_of_the_tables_by_hand_are_healed() {
    let changes = [
        "DELETE FROM entries WHERE id % 2",
        "DELETE FROM state",
        "UPDATE state SET bytes = 9223372036854775807",
        "UPDATE state SET bytes = -5, entries = -5, hand = -7, boundary = 99, window_bytes = -9",
        "DELETE FROM chunks",
        "UPDATE entries SET id = 9223372036854775807 WHERE id = 3",
        "UPDATE state SET last_body = 9223372036854775807",
        "UPDATE entries SET body = 1",
        "INSERT INTO unfinished VALUES (0, 0), (-5, 3)",
        "DROP TRIGGER entry_removed",
        "DROP TABLE tags",
        "DROP TABLE garbage",
        "DROP TABLE entries",
    ];
    let len = |number: u64| if number.is_multiple_of(5) { 200_000 } else { 100 };
    let directory = tempfile::tempdir().unwrap();
    let mut faults = Vec::new();
    for (turn, change) in changes.into_iter().enumerate() {
        let path = directory.path().join(turn.to_string());
        runtime().block_on(async {
            let store = Sqlite::open(&path).unwrap();
            for number in 0..10 {
                let head = head().with_tags(vec!["t".into()]);
                put(&store, key(number), head, body(number, len(number))).await.unwrap();
            }
            let other = rusqlite::Connection::open(&path).unwrap();
            other.execute_batch(change).unwrap();
            for number in 0..10 {
                if let Ok(Some(hit)) = store.get(&key(number)).await
                    && let Ok(bytes) = hit.body.bytes().await
                {
                    assert_eq!(bytes, body(number, len(number)), "{change}");
                }
            }
            // The first operations may find the damage.
            for _ in 0..2 {
                let _found = put(&store, key(30), head(), body(30, 200_000)).await;
                let _found = store.remove_tagged("t").await;
            }
            let cleared = store.clear().await;
            let written = put(&store, key(31), head(), body(31, 200_000)).await;
            for (what, outcome) in [("clear", cleared), ("a put", written)] {
                if let Err(error) = outcome {
                    faults.push(format!("after {change:?}, {what} fails: {error:#}"));
                }
            }
        });
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
