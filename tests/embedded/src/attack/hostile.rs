use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use larder::store::{Redb, Sqlite, Store, Writer, redb::Durability};

use crate::{
    entries::{body, get, head_at, key, put},
    faults::runtime,
    stores::Embedded,
};

fn head() -> larder::entry::Head {
    head_at(larder::time::Timestamp::MIN)
}

for_each_store! {
    stores_work_without_a_runtime,
    open_and_close_leak_nothing,
    a_crowd_of_puts_ends,
    the_last_handle_may_be_dropped_anywhere,
    futures_may_be_dropped_at_every_point,
    odd_intervals,
    a_lower_limit_is_kept_to,
    sixty_thousand_tags,
    a_buffer_child,
}

fn stores_work_without_a_runtime<S: Embedded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    futures_util::FutureExt::now_or_never(async {});
    block(async {
        use futures_util::StreamExt;
        let store = S::open_file(&path).unwrap();
        for number in 0..50 {
            put(&store, key(number), head().with_tags(vec!["t".into()]), body(number, if number % 5 == 0 { 2_000_000 } else { 500 })).await.unwrap();
            assert_eq!(get(&store, key(number)).await.unwrap(), body(number, if number % 5 == 0 { 2_000_000 } else { 500 }));
        }
        assert_eq!(store.scan().count().await, 50);
        assert_eq!(store.len().await.unwrap(), 50);
        let hit = store.get(&key(0)).await.unwrap().unwrap();
        assert!(store.update(&key(0), hit.version, head()).await.unwrap());
        assert_eq!(store.remove_tagged("t").await.unwrap(), 49);
        assert_eq!(hit.body.bytes().await.unwrap(), body(0, 2_000_000));
        store.flush().await.unwrap();
        let off = store.clone().read_off_thread();
        assert_eq!(get(&off, key(0)).await.unwrap(), body(0, 2_000_000));
        let scan = store.scan();
        drop((store, off));
        assert_eq!(scan.count().await, 1);
        let store = S::open_file(&path).unwrap();
        store.clear().await.unwrap();
        store.close_file().await.unwrap();
    });
}

/// Runs a future as an executor without a runtime does.
fn block<T>(future: impl Future<Output = T>) -> T {
    use std::{sync::Arc, task::{Context, Poll, Wake}, thread::Thread};
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) { self.0.unpark(); }
    }
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park_timeout(Duration::from_secs(20)),
        }
    }
}

fn counts() -> (usize, usize) {
    (fs::read_dir("/proc/self/fd").unwrap().count(), fs::read_dir("/proc/self/task").unwrap().count())
}

fn open_and_close_leak_nothing<S: Embedded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let runtime = runtime();
    runtime.block_on(async {
        let mut before = (0, 0);
        let begun = Instant::now();
        for turn in 0..150 {
            let store = S::open_file(&path).unwrap();
            put(&store, key(turn), head(), body(turn, if turn % 3 == 0 { 900_000 } else { 10 })).await.unwrap();
            let hit = store.get(&key(turn)).await.unwrap().unwrap();
            match turn % 3 {
                0 => { drop(hit); store.close_file().await.unwrap(); }
                1 => drop(hit.body.bytes().await),
                _ => { drop(store); drop(hit); continue; }
            }
            if turn == 20 { before = counts(); }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        println!("{}: {before:?} then {:?} {:?}, {:?}", S::NAME, counts(), begun.elapsed(), fs::read_dir(directory.path()).unwrap().map(|f| f.unwrap().file_name()).collect::<Vec<_>>());
        let after = counts();
        assert!(after.0 <= before.0 && after.1 <= before.1 + 2);
    });
}

fn a_crowd_of_puts_ends<S: Embedded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    runtime().block_on(async {
        let mut times = Vec::new();
        for crowd in [2_000u64, 20_000, 100_000] {
            let store = S::open_file(&path).unwrap();
            let begun = Instant::now();
            let tasks: Vec<_> = (0..crowd).map(|number| {
                let store = store.clone();
                tokio::spawn(async move { put(&store, key(number), head(), body(number, 100)).await })
            }).collect();
            for task in tasks { task.await.unwrap().unwrap(); }
            times.push((crowd, begun.elapsed(), crate::child::peak() >> 20));
            if begun.elapsed() > Duration::from_secs(20) { break; }
        }
        println!("{}: {times:?}", S::NAME);
    });
}

fn the_last_handle_may_be_dropped_anywhere<S: Embedded>(_: &str) {
    use futures_util::StreamExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    for turn in 0..8u64 {
        let runtime = if turn % 2 == 0 { runtime() } else { tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap() };
        runtime.block_on(async {
            let store = S::open_file(&path).unwrap();
            for number in 0..600 {
                put(&store, key(number), head(), body(turn * 1_000 + number, if number == 0 { 3_000_000 } else { 100 })).await.unwrap();
            }
            match turn / 2 {
                0 => drop(store),
                1 => tokio::task::spawn_blocking(move || drop(store)).await.unwrap(),
                2 => {
                    let mut scan = Box::pin(store.scan());
                    drop(store);
                    assert!(scan.next().await.is_some());
                    drop(scan);
                }
                _ => {
                    let hit = store.get(&key(0)).await.unwrap().unwrap();
                    let writer = store.put(&key(900), head()).await.unwrap();
                    drop(store);
                    assert_eq!(hit.body.bytes().await.unwrap(), body(turn * 1_000, 3_000_000));
                    writer.finish(None).await.unwrap();
                }
            }
            let begun = Instant::now();
            let store = loop {
                match S::open_file(&path) { Ok(store) => break store, Err(error) if begun.elapsed() > Duration::from_secs(2) => panic!("turn {turn}: {error:#}"), Err(_) => tokio::time::sleep(Duration::from_millis(1)).await }
            };
            if begun.elapsed() > Duration::from_millis(100) { println!("turn {turn}: open again after {:?}", begun.elapsed()); }
            for number in 1..600 {
                assert_eq!(get(&store, key(number)).await.unwrap(), body(turn * 1_000 + number, 100), "turn {turn}");
            }
            // A runtime that ends while a body is read.
            if turn % 2 == 0 {
                let hit = store.get(&key(0)).await.unwrap().unwrap();
                tokio::spawn(async move { let mut body = hit.body; while let Some(chunk) = body.chunk().await { chunk.unwrap(); tokio::time::sleep(Duration::from_millis(5)).await; } });
                let mut writer = store.put(&key(5_000), head()).await.unwrap();
                tokio::spawn(async move { for _ in 0..1_000 { writer.write(body(1, 60_000)).await.unwrap(); tokio::task::yield_now().await; } });
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        drop(runtime);
        let store = S::open_file(&path).unwrap();
        block(async { assert!(get(&store, key(5_000)).await.is_none()); });
    }
}

fn futures_may_be_dropped_at_every_point<S: Embedded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    runtime().block_on(async {
        let store = S::open_file(&path).unwrap();
        let mut abandoned = 0;
        for turn in 0..400u64 {
            let polls = turn % 4;
            let len = [100, 40_000, 400_000][turn as usize % 3];
            put(&store, key(1), head().with_tags(vec!["t".into()]), body(1, 100)).await.unwrap();
            let version = store.get(&key(1)).await.unwrap().unwrap().version;
            let done = match turn % 5 {
                0 => polled(polls, put(&store, key(1), head(), body(turn, len))).await.is_some(),
                1 => polled(polls, store.remove(&key(1))).await.is_some(),
                2 => polled(polls, store.update(&key(1), version, head().with_tags(vec!["u".into()]))).await.is_some(),
                3 => polled(polls, async {
                    let mut writer = store.put(&key(1), head()).await.unwrap();
                    for piece in 0..len / 50_000 + 1 { writer.write(body(turn + piece as u64, 50_000)).await.unwrap(); }
                    writer.finish(None).await.unwrap();
                }).await.is_some(),
                _ => polled(polls, store.remove_if(&key(1), version)).await.is_some(),
            };
            abandoned += usize::from(!done);
            // What begins later has the last word.
            if turn % 2 == 0 {
                put(&store, key(1), head(), body(7_000 + turn, 50)).await.unwrap();
                assert_eq!(get(&store, key(1)).await.unwrap(), body(7_000 + turn, 50), "turn {turn}");
                store.flush().await.unwrap();
                assert_eq!(get(&store, key(1)).await.unwrap(), body(7_000 + turn, 50), "turn {turn}");
            } else {
                store.remove(&key(1)).await.unwrap();
                assert!(get(&store, key(1)).await.is_none(), "turn {turn}");
                store.flush().await.unwrap();
                assert!(get(&store, key(1)).await.is_none(), "turn {turn}");
            }
        }
        println!("{}: {abandoned} abandoned", S::NAME);
    });
}

/// Polls so many times, and drops the future.
async fn polled<T>(polls: u64, future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    for _ in 0..polls {
        let poll = std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await;
        if let std::task::Poll::Ready(value) = poll { return Some(value); }
        tokio::task::yield_now().await;
    }
    None
}

fn odd_intervals<S: Embedded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        for (number, interval) in [Duration::ZERO, Duration::MAX, Duration::from_nanos(1)].into_iter().enumerate() {
            let path = directory.path().join(format!("{number}"));
            let store = S::open_durable(&path, Durability::Every(interval)).unwrap();
            for number in 0..100 {
                put(&store, key(number), head(), body(number, 1_000)).await.unwrap();
                if number % 10 == 0 { store.flush().await.unwrap(); }
            }
            store.remove(&key(5)).await.unwrap();
            drop(store);
            assert_eq!(S::open_file(&path).unwrap().len().await.unwrap(), 99);
        }
    });
}

fn a_lower_limit_is_kept_to<S: super::eviction::Bounded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    runtime().block_on(async {
        let store = S::open_bounded(&path, u64::MAX);
        for number in 0..10_000 {
            put(&store, key(number), head(), body(number, 50)).await.unwrap();
        }
        store.flush().await.unwrap();
        drop(store);
        for bytes in [1 << 20, 100_000, 3_000, 400, 1] {
            let store = S::open_bounded(&path, bytes);
            let begun = Instant::now();
            while store.size_bytes().await.unwrap() > bytes {
                assert!(begun.elapsed() < Duration::from_secs(10), "{} of {bytes}", store.size_bytes().await.unwrap());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            println!("{} {bytes}: {:?}, {} entries", S::NAME, begun.elapsed(), store.len().await.unwrap());
            // The largest entry that fits.
            let (mut low, mut high) = (0, 1 << 21);
            while low < high {
                let len = (low + high) / 2 + 1;
                match put(&store, key(77_777), head(), body(1, len)).await { Ok(()) => low = len, Err(_) => high = len - 1 }
            }
            if low > 0 {
                store.remove(&key(77_777)).await.unwrap();
                for number in 0..50 { put(&store, key(number), head(), body(1, 10)).await.unwrap(); }
                put(&store, key(77_777), head(), body(1, low)).await.unwrap();
                store.flush().await.unwrap();
                assert_eq!(get(&store, key(77_777)).await.map(|body| body.len()), Some(low), "of {bytes}");
                println!("   the largest body: {low}, size {} len {}", store.size_bytes().await.unwrap(), store.len().await.unwrap());
                for number in 0..500 { put(&store, key(number), head(), body(1, 10)).await.unwrap(); store.flush().await.unwrap(); assert!(get(&store, key(number)).await.is_some(), "{bytes} {number}"); assert!(store.size_bytes().await.unwrap() <= bytes); }
            }
        }
    });
}

fn sixty_thousand_tags<S: Embedded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = S::open_file(&directory.path().join("cache")).unwrap();
        let tags = |from: u64| (from..from + 60_000).map(|tag| tag.to_string().into()).collect();
        let mut times = Vec::new();
        for from in [0, 0] {
            let head = head().with_tags(tags(from));
            let begun = Instant::now();
            put(&store, key(1), head, body(1, 10)).await.unwrap();
            store.flush().await.unwrap();
            times.push(begun.elapsed());
        }
        println!("{}: {times:?}", S::NAME);
    });
}

fn a_buffer_child<S: Embedded>(name: &str) {
    if crate::child::child_path().is_none() {
        let output = crate::child::child(name, "x").output().unwrap();
        println!("{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let store = S::open_file(&directory.path().join("cache")).unwrap();
        let before = crate::child::peak();
        let rest = [0; 4].map(|_| store.clone()).map(|store| tokio::spawn(async move {
            for number in 0..3_000 {
                let buffer = bytes::Bytes::from(vec![1; 256 * 1024]);
                let mut writer = store.put(&key(number), head()).await.unwrap();
                writer.write(buffer.slice(..10)).await.unwrap();
                writer.finish(None).await.unwrap();
            }
        }));
        for task in rest { task.await.unwrap(); }
        println!("{}: buffers {} MiB", S::NAME, (crate::child::peak() - before) >> 20);
    });
}

fn zero(path: &Path, from: u64) {
    let script = format!("dd if=/dev/zero of='{}' bs=4096 seek={from} count=$(( $(stat -L -c %s '{}') / 4096 - {from} )) conv=notrunc 2>&1", path.display(), path.display());
    assert!(Command::new("sh").args(["-c", &script]).status().unwrap().success());
}

#[test]
fn a_damaged_redb_does_not_remove_what_has_its_path_now() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let moved = directory.path().join("moved");
    runtime().block_on(async {
        let store = Redb::builder(&path).cache_bytes(0).open().unwrap();
        for number in 0..500 { put(&store, key(number), head(), body(number, 3_000)).await.unwrap(); }
        store.flush().await.unwrap();
        fs::rename(&path, &moved).unwrap();
        fs::write(&path, "the photos of my grandmother").unwrap();
        zero(&moved, 1);
        for number in 0..50 { let _ = put(&store, key(1_000 + number), head(), body(number, 3_000)).await; let _ = store.remove(&key(number)).await; let _ = store.flush().await; }
        println!("{:?}", store.len().await);
        drop(store);
        println!("{:?}", fs::read(&path).map(|bytes| bytes.len()));
        assert_eq!(fs::read(&path).unwrap(), b"the photos of my grandmother");
    });
}

#[test]
fn a_damaged_redb_behind_a_link_stays_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let real = directory.path().join("real");
    std::os::unix::fs::symlink(&real, &path).unwrap();
    runtime().block_on(async {
        let store = match Redb::builder(&path).cache_bytes(0).open() { Ok(store) => store, Err(error) => { println!("dangling: {error:#}"); fs::remove_file(&path).unwrap(); drop(Redb::open(&real)); std::os::unix::fs::symlink(&real, &path).unwrap(); Redb::builder(&path).cache_bytes(0).open().unwrap() } };
        for number in 0..500 { put(&store, key(number), head(), body(number, 3_000)).await.unwrap(); }
        store.flush().await.unwrap();
        zero(&real, 1);
        for number in 0..50 { let _ = put(&store, key(1_000 + number), head(), body(number, 3_000)).await; let _ = store.flush().await; }
        println!("{:?} {:?}", store.len().await, fs::symlink_metadata(&path).unwrap().file_type());
        drop(store);
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    });
}

#[test]
fn sqlite_through_links() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let real = directory.path().join("real");
    std::os::unix::fs::symlink(&real, &path).unwrap();
    println!("{:?}", Sqlite::open(&path).map(drop));
    drop(Sqlite::open(&real).unwrap());
    let one = Sqlite::builder(&path).exclusive(true).open().unwrap();
    println!("{:?}", Sqlite::builder(&real).exclusive(true).open().map(drop));
    drop(one);
    let one = Redb::open(directory.path().join("r")).unwrap();
    std::os::unix::fs::symlink(directory.path().join("r"), directory.path().join("s")).unwrap();
    println!("{:?}", Redb::open(directory.path().join("s")).map(drop));
    drop(one);
}

#[test]
fn a_body_is_not_mixed_after_a_damaged_sqlite_file_is_emptied() {
    for exclusive in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("cache");
        runtime().block_on(async {
            const LEN: usize = 4 << 20;
            let store = Sqlite::builder(&path).exclusive(exclusive).open().unwrap();
            put(&store, key(1), head(), body(1, LEN)).await.unwrap();
            let mut stream = store.get(&key(1)).await.unwrap().unwrap().body;
            let mut got = stream.chunk().await.unwrap().unwrap().to_vec();
            let other = rusqlite::Connection::open(&path).unwrap();
            other.execute_batch("DELETE FROM state").unwrap();
            put(&store, key(3), head(), body(3, LEN)).await.unwrap();
            let mut end = None;
            while let Some(chunk) = stream.chunk().await {
                match chunk { Ok(chunk) => got.extend_from_slice(&chunk), Err(error) => { end = Some(error.to_string()); break } }
            }
            println!("{} {end:?}", got.len());
            assert!(got[..] == body(1, LEN)[..got.len()], "the bytes of another body");
        });
    }
}
