//! Other processes, and people, at the same SQLite file.

use std::{thread, time::{Duration, Instant}};

use larder::store::{ErrorKind, Sqlite, Store};

use crate::{
    entries::{body, get, head_at, key, put},
    faults::runtime,
};

fn head() -> larder::entry::Head {
    head_at(larder::time::Timestamp::MIN)
}

#[test]
fn handles_that_come_and_go_do_not_refuse_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    drop(Sqlite::open(&path).unwrap());
    let open = |_: usize| {
        let path = path.clone();
        thread::spawn(move || {
            (0..100).filter_map(|_| Sqlite::open(&path).err().map(|error| format!("{error:#}"))).collect::<Vec<_>>()
        })
    };
    let threads: Vec<_> = (0..3).map(open).collect();
    let refused: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    assert!(refused.is_empty(), "{} of 300 openings are refused: {}", refused.len(), refused[0]);
}

#[test]
fn a_reader_of_a_live_file_sees_what_is_written() {
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
        tokio::time::sleep(Duration::from_millis(100)).await;
        store.vacuum().await.unwrap();
        println!("log: {:?}", std::fs::metadata(directory.path().join("cache-wal")).map(|log| log.len()));
        let reader = Sqlite::builder(&path).read_only(true).open().unwrap();
        put(&store, key(1_000), head(), body(1_000, 2_000)).await.unwrap();
        println!("new: {:?}", reader.get(&key(1_000)).await.map(|hit| hit.is_some()));
        let seen = reader.get(&key(1_000)).await.unwrap().is_some();
        for round in 1..4 {
            for number in 0..300 {
                put(&store, key(number), head(), body(number + round * 1_000, 5_000)).await.unwrap();
            }
            store.flush().await.unwrap();
        }
        let (mut errors, mut old) = (Vec::new(), 0);
        for number in 0..300 {
            match reader.get(&key(number)).await {
                Ok(Some(hit)) => old += usize::from(hit.body.bytes().await.unwrap() != body(number + 3_000, 5_000)),
                Ok(None) => old += 1,
                Err(error) => errors.push(format!("{:?} {error:#}", error.kind())),
            }
        }
        println!("old: {old}, errors: {} {:?}", errors.len(), errors.first());
        assert!(seen && old == 0 && errors.is_empty());
    });
}

#[test]
fn requests_wait_as_long_as_busy_timeout_says() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    runtime().block_on(async {
        let store = Sqlite::open(&path).unwrap();
        let other = Sqlite::open(&path).unwrap();
        for number in 0..4 {
            put(&store, key(number), head().with_tags(vec!["t".into()]), body(number, 100)).await.unwrap();
        }
        let held = rusqlite::Connection::open(&path).unwrap();
        held.execute_batch("BEGIN IMMEDIATE").unwrap();
        let begun = Instant::now();
        let opened = Sqlite::open(&path).map(drop);
        println!("opening: {opened:?} {:?}", begun.elapsed());
        let purge = { let store = store.clone(); tokio::spawn(async move { let begun = Instant::now(); (store.remove_tagged("t").await, begun.elapsed()) }) };
        let tasks: Vec<_> = (0..40u64).map(|number| {
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
        }).collect();
        let mut most = Duration::ZERO;
        for task in tasks {
            let (number, took, result) = task.await.unwrap();
            assert_eq!(result.as_ref().unwrap_err().kind(), ErrorKind::Unavailable, "{number} {result:?}");
            most = most.max(took);
        }
        println!("the longest: {most:?}");
        for number in 0..4 {
            assert_eq!(get(&store, key(number)).await.unwrap(), body(number, 100));
        }
        held.execute_batch("COMMIT").unwrap();
        println!("purge: {:?}", purge.await.unwrap());
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert!(get(&store, key(0)).await.is_none());
        for number in 0..40 {
            assert!(get(&store, key(100 + number)).await.is_none(), "{number} appears later");
        }
        let (unfinished, chunks): (u64, u64) = held.query_row("SELECT (SELECT count(*) FROM unfinished), (SELECT count(*) FROM chunks)", [], |row| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)? as u64))).unwrap();
        println!("left: {unfinished} {chunks}");
        assert!(most < Duration::from_millis(700), "{most:?}");
    });
}

#[test]
fn what_a_person_does_to_the_tables() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    runtime().block_on(async {
        for sql in ["DELETE FROM entries", "DELETE FROM entries WHERE id % 2", "DROP TRIGGER entry_removed", "DROP TRIGGER entry_added",
            "DELETE FROM state", "UPDATE state SET bytes = 9223372036854775807", "UPDATE state SET bytes = -5, entries = -5, hand = -7, boundary = 99999999, window_bytes = -9",
            "DELETE FROM chunks", "DROP TABLE tags", "DROP TABLE garbage", "DROP VIEW responses", "UPDATE entries SET id = 9223372036854775807 WHERE id = 3",
            "UPDATE state SET last_body = 9223372036854775807", "UPDATE entries SET key = x'00' WHERE id = 4", "UPDATE entries SET body = 1", "DROP TABLE entries",
            "PRAGMA user_version = 77", "CREATE TRIGGER bad BEFORE INSERT ON entries BEGIN SELECT RAISE(ABORT, 'no'); END", "INSERT INTO unfinished VALUES (0, 0), (-5, 3)"] {
            drop(std::fs::remove_file(&path));
            let store = Sqlite::builder(&path).max_bytes(2 << 20).open().unwrap();
            for number in 0..20 {
                put(&store, key(number), head().with_tags(vec!["t".into()]), body(number, if number % 5 == 0 { 200_000 } else { 100 })).await.unwrap();
            }
            let other = rusqlite::Connection::open(&path).unwrap();
            other.execute_batch(sql).unwrap();
            let mut reads = (0, 0, 0);
            for number in 0..20 {
                match store.get(&key(number)).await {
                    Ok(Some(hit)) => match hit.body.bytes().await { Ok(bytes) => { assert_eq!(bytes, body(number, if number % 5 == 0 { 200_000 } else { 100 })); reads.0 += 1 } Err(_) => reads.2 += 1 },
                    Ok(None) => reads.1 += 1,
                    Err(_) => reads.2 += 1,
                }
            }
            let mut says = Vec::new();
            for number in 30..33 {
                says.push(match put(&store, key(number), head(), body(number, 300_000)).await { Ok(()) => if get(&store, key(number)).await.is_some() { "ok".into() } else { "gone".into() }, Err(error) => format!("{:?}", error.kind()) });
            }
            let tagged = store.remove_tagged("t").await.map_err(|error| format!("{error:#}"));
            let cleared = store.clear().await.map_err(|error| format!("{error:#}"));
            let after = put(&store, key(50), head(), body(50, 300_000)).await.map_err(|error| format!("{error:#}"));
            let there = store.get(&key(50)).await.map(|hit| hit.is_some()).map_err(|error| format!("{error:#}"));
            let (len, size) = (store.len().await.ok(), store.size_bytes().await.ok());
            drop(other);
            let closed = store.close().await.map_err(|error| format!("{error:#}"));
            drop(store);
            let opened = Sqlite::open(&path).map(drop).map_err(|error| format!("{error:#}"));
            println!("{sql}\n   reads {reads:?} puts {says:?} tagged {tagged:?} clear {cleared:?} put {after:?} there {there:?} len {len:?} size {size:?} close {closed:?} open {opened:?}");
        }
    });
}
