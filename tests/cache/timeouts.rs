//! Stores that hang, behind a [`Timeout`]. No request waits longer than the limit, and the store is
//! used again once it works. Time is virtual, except where a real file is locked.

use std::time::Duration;

use larder::{
    Outcome, Stored,
    status::{Miss, Refusal},
    store::{ErrorKind, Memory, Store, Timeout},
};
use tokio::time::{Instant, sleep};

use crate::support::{Double, Faulty, Op, Stand, channel, get, ok, url};

const LIMIT: Duration = Duration::from_secs(2);

const HANGS: Outcome = Outcome::Miss(Miss::StoreFailed(ErrorKind::Unavailable));

fn stand() -> (Faulty<Memory>, Stand<Timeout<Faulty<Memory>>>) {
    let store = Faulty::new(Memory::default());
    let limited = Timeout::new(store.clone(), LIMIT).unwrap();
    (store, Stand::over(limited, Double::counting()))
}

#[test]
fn zero_limit_is_refused() {
    let error = Timeout::new(Memory::default(), Duration::ZERO).unwrap_err();
    assert_eq!(error.setting(), "limit");
    assert!(error.to_string().contains("write a longer one"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn read_that_exceeds_the_limit_is_a_miss_and_pauses_the_store() {
    let (store, stand) = stand();
    assert_eq!(stand.get("/").await.text(), "1");
    store.hang(Op::Get);
    let begun = Instant::now();
    let reply = stand.get("/").await;
    assert_eq!((reply.outcome(), reply.text()), (HANGS, "2"));
    assert_eq!(reply.stored(), Stored::No(Refusal::StoreFailed(ErrorKind::Unavailable)));
    assert_eq!(begun.elapsed().as_secs(), 2, "the limit, once");

    // Later requests neither wait for the store nor reach it.
    let operations = store.operations();
    for _ in 0..100 {
        assert_eq!(stand.get("/").await.outcome(), HANGS);
    }
    assert_eq!((begun.elapsed().as_secs(), store.operations()), (2, operations));

    // The store works again, and is used again.
    store.heal();
    sleep(LIMIT).await;
    let reply = stand.get("/").await;
    assert!(reply.is_from_store());
    assert_eq!(reply.text(), "1");
}

#[tokio::test(start_paused = true)]
async fn response_is_complete_when_the_store_takes_none_of_it() {
    for op in [Op::Put, Op::Write, Op::Finish] {
        let store = Faulty::new(Memory::default());
        let limited = Timeout::new(store.clone(), LIMIT).unwrap();
        // The body is larger than the queue for the store.
        let stand = Stand::over(limited, Double::new(|_, _| ok("chunk".repeat(200_000))));
        store.hang(op);
        let begun = Instant::now();
        let reply = stand.get("/").await;
        assert!(reply.body == "chunk".repeat(200_000) && reply.error.is_none(), "{op:?}");
        assert_eq!(reply.stored(), Stored::No(Refusal::StoreFailed(ErrorKind::Unavailable)));
        assert_eq!(begun.elapsed().as_secs(), 2, "{op:?}");
        store.heal();
        sleep(LIMIT).await;
        assert_eq!(stand.get("/").await.outcome(), Outcome::Miss(Miss::Absent), "{op:?}");
        assert!(stand.get("/").await.is_from_store());
    }
}

#[tokio::test(start_paused = true)]
async fn stored_body_that_hangs_ends_in_an_error_with_the_limit() {
    let (store, stand) = stand();
    stand.get("/").await;
    store.hang(Op::Body);
    let begun = Instant::now();
    let reply = stand.get("/").await;
    let error = reply.error.expect("an error, not a short body").to_string();
    assert!(error.contains("took longer than 2s") && error.contains("key "), "{error}");
    assert!(reply.body.is_empty(), "half of one byte is no byte");
    assert_eq!(begun.elapsed().as_secs(), 2);
}

/// A store that works only while it is polled is not late while its body is not read.
#[tokio::test(start_paused = true)]
async fn slow_reader_does_not_count_as_a_slow_store() {
    let faulty = Faulty::new(Memory::default());
    let store = Timeout::new(faulty.clone(), LIMIT).unwrap();
    let stand = Stand::over(store, Double::new(|_, _| ok("0123456789")));
    stand.get("/").await;
    faulty.wait(3);
    let response = stand.call(get("/").body(crate::support::empty()).unwrap()).await.unwrap();
    let mut body = std::pin::pin!(response.into_body());
    let mut read = Vec::new();
    loop {
        // The body is polled once, and then not for a long time.
        let look = futures_util::poll!(http_body_util::BodyExt::frame(&mut body));
        sleep(LIMIT * 10).await;
        match look {
            std::task::Poll::Pending => {}
            std::task::Poll::Ready(None) => break,
            std::task::Poll::Ready(Some(frame)) => read.extend(frame.unwrap().into_data().unwrap()),
        }
    }
    assert_eq!(read, b"0123456789");
}

#[tokio::test(start_paused = true)]
async fn removals_are_tried_while_the_store_is_paused() {
    let (store, stand) = stand();
    stand.get("/").await;
    store.hang(Op::Get);
    stand.get("/").await;
    let operations = store.operations();
    assert_eq!(stand.layer.entries().remove(&url("/")).await.unwrap(), 1);
    assert!(store.operations() > operations);
    // There are three steps: the key of a GET, that of a HEAD, and the entries tagged by the URL.
    for (op, limits) in [(Op::Remove, 2), (Op::RemoveTagged, 1)] {
        store.hang(op);
        let begun = Instant::now();
        let error = stand.layer.entries().remove(&url("/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert_eq!(begun.elapsed().as_secs(), limits * LIMIT.as_secs(), "{op:?}");
        assert!(error.to_string().contains("removing the entr"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn many_requests_wait_together_for_a_store_that_hangs() {
    let (store, stand) = stand();
    store.hang(Op::Get);
    let begun = Instant::now();
    let paths: Vec<String> = (0..1_000).map(|number| format!("/{number}")).collect();
    let replies = futures_util::future::join_all(paths.iter().map(|path| stand.get(path))).await;
    assert!(replies.iter().all(|reply| reply.outcome() == HANGS && reply.error.is_none()));
    assert_eq!(begun.elapsed().as_secs(), 2);
}

/// The limit is for the store. It does not bound the body of the inner service.
#[tokio::test(start_paused = true)]
async fn slow_origin_is_not_limited() {
    let (sender, body) = channel();
    let body = std::sync::Mutex::new(Some(body));
    let inner = Double::new(move |_, _| {
        http::Response::new(body.lock().unwrap().take().expect("one call"))
    });
    let stand = Stand::over(Timeout::new(Memory::default(), LIMIT).unwrap(), inner);
    let sending = async {
        for _ in 0..5 {
            sleep(LIMIT * 10).await;
            sender.send("chunk".to_owned());
        }
        drop(sender);
    };
    let (reply, ()) = futures_util::future::join(stand.get("/"), sending).await;
    assert_eq!((reply.body.len(), reply.error.is_none()), (25, true));
    assert!(stand.get("/").await.is_from_store());
}

/// Without a runtime there is no timer, so the limit does not apply.
#[test]
fn without_a_runtime_the_limit_does_not_apply() {
    let (store, stand) = stand();
    store.wait(3);
    spin(async {
        assert_eq!(stand.get("/").await.text(), "1");
        assert!(stand.get("/").await.is_from_store());
        assert_eq!(stand.layer.store().get_ref().len().await.unwrap(), 1);
    });
}

/// Polls the future until it is ready.
fn spin<T>(future: impl Future<Output = T>) -> T {
    let waker = std::task::Waker::noop();
    let mut context = std::task::Context::from_waker(waker);
    let mut future = std::pin::pin!(future);
    loop {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
}

/// Another connection locks a real file, as another process would. Writes wait for it as long as
/// `busy_timeout` says, which may be minutes.
#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn locked_file_delays_no_request_beyond_the_limit() {
    use larder::store::Sqlite;

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.db");
    let store = Sqlite::builder(&path).busy_timeout(Duration::from_secs(600)).open().unwrap();
    let limited = Timeout::new(store.clone(), Duration::from_millis(300)).unwrap();
    let stand = Stand::over(limited, Double::counting());
    stand.get("/before").await;

    let other = rusqlite::Connection::open(&path).unwrap();
    other.busy_timeout(Duration::from_secs(60)).unwrap();
    other.execute_batch("begin immediate").unwrap();
    let reply = stand.get("/during").await;
    assert_eq!((reply.text(), reply.error.is_none()), ("2", true));
    assert_eq!(reply.stored(), Stored::No(Refusal::StoreFailed(ErrorKind::Unavailable)));
    other.execute_batch("rollback").unwrap();

    // The operations that exceeded the limit are done by now, or will be soon.
    loop {
        let reply = stand.get("/after").await;
        assert!(reply.error.is_none());
        if reply.is_from_store() {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    assert!(stand.get("/before").await.is_from_store());
}
