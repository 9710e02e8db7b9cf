//! Dropped handles and futures, threads without a runtime, and leaks.

use std::{
    fs,
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake},
    thread::Thread,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use larder::store::{Redb, Store, Writer};

use crate::{
    child::child_path,
    entries::{body, get, head_at, key, put},
    faults::runtime,
    stores::Embedded,
};

for_each_store_and_files! {
    stores_work_without_a_runtime,
    open_and_close_leak_nothing,
    last_handle_may_be_dropped_anywhere,
    futures_may_be_dropped_at_every_point,
}

fn head() -> larder::entry::Head {
    head_at(larder::time::Timestamp::MIN)
}

fn stores_work_without_a_runtime<S: Embedded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    block(async {
        let store = S::open_file(&path).unwrap();
        for number in 0..50 {
            put(
                &store,
                key(number),
                head().with_tags(vec!["t".into()]),
                body(number, if number % 5 == 0 { 900_000 } else { 500 }),
            )
            .await
            .unwrap();
            assert_eq!(
                get(&store, key(number)).await.unwrap(),
                body(number, if number % 5 == 0 { 900_000 } else { 500 })
            );
        }
        assert_eq!(store.scan().count().await, 50);
        assert_eq!(store.len().await.unwrap(), 50);
        let hit = store.get(&key(0)).await.unwrap().unwrap();
        assert!(store.update(&key(0), hit.version, head()).await.unwrap());
        assert_eq!(store.remove_tagged("t").await.unwrap(), 49);
        assert_eq!(hit.body.bytes().await.unwrap(), body(0, 900_000));
        store.flush().await.unwrap();
        let off = store.clone().read_off_thread();
        assert_eq!(get(&off, key(0)).await.unwrap(), body(0, 900_000));
        let scan = store.scan();
        drop((store, off));
        assert_eq!(scan.count().await, 1);
        let store = S::open_file(&path).unwrap();
        store.clear().await.unwrap();
        store.close_file().await.unwrap();
    });
}

/// Runs a future like an executor without a runtime.
fn block<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
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

/// The numbers of open files and of threads.
fn counts() -> (usize, usize) {
    (
        fs::read_dir("/proc/self/fd").unwrap().count(),
        fs::read_dir("/proc/self/task").unwrap().count(),
    )
}

fn open_and_close_leak_nothing<S: Embedded>(name: &str) {
    // This runs in a process of its own, because other tests open files too.
    if child_path().is_none() {
        let output = crate::child::child(name, "here").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let runtime = runtime();
    runtime.block_on(async {
        let mut before = (0, 0);
        for turn in 0..42 {
            let store = S::open_file(&path).unwrap();
            put(&store, key(turn), head(), body(turn, if turn % 3 == 0 { 900_000 } else { 10 }))
                .await
                .unwrap();
            let hit = store.get(&key(turn)).await.unwrap().unwrap();
            match turn % 3 {
                0 => {
                    drop(hit);
                    store.close_file().await.unwrap();
                }
                1 => drop(hit.body.bytes().await),
                _ => {
                    drop(store);
                    drop(hit);
                    continue;
                }
            }
            if turn == 21 {
                before = counts();
            }
        }
        // Threads end a moment after they are joined.
        let begun = Instant::now();
        while counts().0 > before.0 || counts().1 > before.1 + 2 {
            assert!(begun.elapsed() < Duration::from_secs(5), "{:?}, {before:?}", counts());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
}

fn last_handle_may_be_dropped_anywhere<S: Embedded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    for turn in 0..8u64 {
        let runtime = if turn % 2 == 0 {
            runtime()
        } else {
            tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
        };
        runtime.block_on(async {
            let store = S::open_file(&path).unwrap();
            for number in 0..60 {
                put(
                    &store,
                    key(number),
                    head(),
                    body(turn * 1_000 + number, if number == 0 { 3_000_000 } else { 100 }),
                )
                .await
                .unwrap();
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
                match S::open_file(&path) {
                    Ok(store) => break store,
                    Err(error) if begun.elapsed() > Duration::from_secs(2) => {
                        panic!("turn {turn}: {error:#}")
                    }
                    Err(_) => tokio::time::sleep(Duration::from_millis(1)).await,
                }
            };
            for number in 1..60 {
                assert_eq!(
                    get(&store, key(number)).await.unwrap(),
                    body(turn * 1_000 + number, 100),
                    "turn {turn}"
                );
            }
            // A runtime ends while a body is read.
            if turn % 2 == 0 {
                let hit = store.get(&key(0)).await.unwrap().unwrap();
                tokio::spawn(async move {
                    let mut body = hit.body;
                    while let Some(chunk) = body.chunk().await {
                        chunk.unwrap();
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                });
                let mut writer = store.put(&key(5_000), head()).await.unwrap();
                tokio::spawn(async move {
                    for _ in 0..1_000 {
                        writer.write(body(1, 60_000)).await.unwrap();
                        tokio::task::yield_now().await;
                    }
                });
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
        drop(runtime);
        let store = S::open_file(&path).unwrap();
        block(async {
            assert!(get(&store, key(5_000)).await.is_none());
        });
    }
}

fn futures_may_be_dropped_at_every_point<S: Embedded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    runtime().block_on(async {
        let store = S::open_file(&path).unwrap();
        let mut abandoned = 0;
        for turn in 0..60u64 {
            let polls = turn % 4;
            let len = [100, 40_000, 400_000][turn as usize % 3];
            put(&store, key(1), head().with_tags(vec!["t".into()]), body(1, 100)).await.unwrap();
            let version = store.get(&key(1)).await.unwrap().unwrap().version;
            let done = match turn % 5 {
                0 => polled(polls, put(&store, key(1), head(), body(turn, len))).await.is_some(),
                1 => polled(polls, store.remove(&key(1))).await.is_some(),
                2 => polled(
                    polls,
                    store.update(&key(1), version, head().with_tags(vec!["u".into()])),
                )
                .await
                .is_some(),
                3 => polled(polls, async {
                    let mut writer = store.put(&key(1), head()).await.unwrap();
                    for piece in 0..len / 50_000 + 1 {
                        writer.write(body(turn + piece as u64, 50_000)).await.unwrap();
                    }
                    writer.finish(None).await.unwrap();
                })
                .await
                .is_some(),
                _ => polled(polls, store.remove_if(&key(1), version)).await.is_some(),
            };
            abandoned += usize::from(!done);
            // The operation that begins later takes effect last.
            if turn % 2 == 0 {
                put(&store, key(1), head(), body(7_000 + turn, 50)).await.unwrap();
                assert_eq!(
                    get(&store, key(1)).await.unwrap(),
                    body(7_000 + turn, 50),
                    "turn {turn}"
                );
                store.flush().await.unwrap();
                assert_eq!(
                    get(&store, key(1)).await.unwrap(),
                    body(7_000 + turn, 50),
                    "turn {turn}"
                );
            } else {
                store.remove(&key(1)).await.unwrap();
                assert!(get(&store, key(1)).await.is_none(), "turn {turn}");
                store.flush().await.unwrap();
                assert!(get(&store, key(1)).await.is_none(), "turn {turn}");
            }
        }
        assert!(abandoned > 10, "{abandoned}");
    });
}

/// Polls the future `polls` times, and drops it.
async fn polled<T>(polls: u64, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    for _ in 0..polls {
        let poll = std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
        if let Poll::Ready(value) = poll {
            return Some(value);
        }
        tokio::task::yield_now().await;
    }
    None
}

#[test]
fn panic_hook_of_the_program_receives_its_own_panics() {
    static SEEN: Mutex<Vec<String>> = Mutex::new(Vec::new());
    if child_path().is_none() {
        let name = "attack::handles::panic_hook_of_the_program_receives_its_own_panics";
        let output = crate::child::child(name, "x").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    std::panic::set_hook(Box::new(|info| SEEN.lock().unwrap().push(info.to_string())));
    runtime().block_on(async {
        let path = directory.path().join("cache");
        let store = Redb::open(&path).unwrap();
        let _ = tokio::spawn(async { panic!("panic first") }).await;
        put(&store, key(1), head(), body(1, 900_000)).await.unwrap();
        let clone = store.clone();
        let _ = tokio::spawn(async move {
            let hit = clone.get(&key(1)).await.unwrap().unwrap();
            drop(hit);
            panic!("panic second")
        })
        .await;
        let _ = std::thread::spawn(|| panic!("panic third")).join();
        // A panic that drops the store while it unwinds.
        let _ = tokio::spawn(async move {
            let _store = store;
            panic!("panic fourth")
        })
        .await;
        let store = Redb::open(&path).unwrap();
        assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 900_000));
        let _ = tokio::spawn(async { panic!("panic fifth") }).await;
    });
    let seen = SEEN.lock().unwrap().clone();
    drop(std::panic::take_hook());
    for word in ["panic first", "panic second", "panic third", "panic fourth", "panic fifth"] {
        assert_eq!(seen.iter().filter(|text| text.contains(word)).count(), 1, "{word}: {seen:?}");
    }
}
