//! One body with many readers. The reader that needs more drives the body for all, and no reader
//! depends on another.

use std::sync::Arc;

use futures_util::{FutureExt, future::join_all};
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use larder::{BoxError, CacheStatus, Outcome, ResponseBody, Stored, status::Refusal};

use crate::{
    streaming::{call, fed, pattern},
    support::{Double, Reply, Stand, TestBody, boxed, chunk, soon},
};

pub(crate) type SharedBody = ResponseBody<TestBody>;

pub(crate) async fn bodies(stand: &Stand, readers: usize) -> Vec<SharedBody> {
    let mut bodies = Vec::new();
    for _ in 0..readers {
        bodies.push(call(stand).await.into_body());
    }
    assert_eq!(stand.calls(), 1);
    bodies
}

fn reading(mut body: SharedBody) -> tokio::task::JoinHandle<Vec<u8>> {
    tokio::spawn(async move {
        let mut read = Vec::new();
        while let Some(frame) = body.frame().await {
            read.extend_from_slice(&frame.unwrap().into_data().unwrap());
        }
        read
    })
}

/// Lets every task run until it waits.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn followers_read_on_after_the_leader_drops_its_body() {
    let (senders, inner) = fed(1);
    let stand = Stand::new(inner);
    let mut leader = call(&stand).await;
    let followers = [call(&stand).await, call(&stand).await];
    senders[0].send("one");
    assert_eq!(chunk(leader.body_mut()).await.unwrap(), "one");
    drop(leader);
    senders[0].send("two");
    drop(senders);
    for follower in followers {
        let reply = Reply::read(follower).await;
        assert_eq!((reply.text(), reply.stored()), ("onetwo", Stored::Yes));
    }
    assert_eq!((stand.calls(), stand.get("/").await.outcome()), (1, Outcome::Hit));
}

#[tokio::test]
async fn inner_body_is_dropped_with_its_last_reader() {
    let (senders, inner) = fed(2);
    let stand = Stand::new(inner);
    let [leader, follower] = [call(&stand).await, call(&stand).await];
    drop(leader);
    assert!(!senders[0].is_closed());
    let status = follower.extensions().get::<CacheStatus>().unwrap().clone();
    drop(follower);
    assert!(senders[0].is_closed());
    assert_eq!(status.stored(), Stored::No(Refusal::Dropped));
    assert_eq!((stand.layer.stats().in_flight, stand.len().await), (0, 0));
    drop(call(&stand).await);
    assert_eq!(stand.calls(), 2, "no request follows a dropped call");
}

/// The inner body knows only the waker of its last poll. That waker must wake every reader.
#[tokio::test(start_paused = true)]
async fn reader_that_is_never_polled_again_does_not_block_the_others() {
    for drops in [false, true] {
        let (senders, inner) = fed(1);
        let stand = Stand::new(inner);
        let mut bodies = bodies(&stand, 4).await;
        let mut lazy = bodies.remove(1);
        let readers: Vec<_> = bodies.into_iter().map(reading).collect();
        settle().await;
        // It is the last reader that polls the inner body.
        assert!(lazy.frame().now_or_never().is_none());
        let mut lazy = Some(lazy);
        if drops {
            lazy = None;
        }
        senders[0].send("one");
        settle().await;
        senders[0].send("two");
        drop(senders);
        for reader in readers {
            assert_eq!(soon(reader).await.unwrap(), b"onetwo");
        }
        if let Some(body) = lazy {
            assert_eq!(body.collect().await.unwrap().to_bytes(), "onetwo");
        }
        assert_eq!(stand.get("/").await.outcome(), Outcome::Hit);
    }
}

/// Each reader in turn is the only one that is polled.
#[tokio::test]
async fn any_reader_can_drive_the_body_alone() {
    for last in 0..3 {
        let (senders, inner) = fed(1);
        let stand = Stand::new(inner);
        let mut bodies = bodies(&stand, 3).await;
        senders[0].send("one");
        senders[0].send("two");
        drop(senders);
        let body = bodies.remove(last);
        assert_eq!(soon(body.collect()).await.unwrap().to_bytes(), "onetwo");
        assert_eq!((stand.len().await, stand.layer.stats().in_flight), (1, 0));
        for body in bodies {
            assert_eq!(body.collect().await.unwrap().to_bytes(), "onetwo");
        }
    }
}

/// Eight readers on several threads. Each yields at other places of the body.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_on_several_threads_receive_the_same_bytes() {
    let (bytes, chunks) = pattern(400_000);
    for round in 0..20 {
        let chunks = chunks.clone();
        let inner = Double::new(move |_, _| {
            let chunks = chunks.clone();
            let stream = futures_util::stream::unfold(chunks.into_iter(), |mut chunks| async {
                tokio::task::yield_now().await;
                Some((Ok::<_, BoxError>(Frame::data(chunks.next()?)), chunks))
            });
            Response::new(boxed(StreamBody::new(stream)))
        });
        let stand = Arc::new(Stand::new(inner));
        let readers = bodies(&stand, 8).await.into_iter().enumerate().map(|(n, mut body)| {
            tokio::spawn(async move {
                let mut read = Vec::new();
                while let Some(frame) = body.frame().await {
                    read.extend_from_slice(&frame.unwrap().into_data().unwrap());
                    if read.len() % (n + 2) == 0 {
                        tokio::task::yield_now().await;
                    }
                    // In every other round, one reader stops midway.
                    if n == 3 && round % 2 == 0 && read.len() > 100_000 {
                        return None;
                    }
                }
                Some(read)
            })
        });
        for read in soon(join_all(readers)).await {
            assert!(read.unwrap().is_none_or(|read| read == bytes), "round {round}");
        }
        assert_eq!((stand.calls(), stand.layer.stats().in_flight), (1, 0));
    }
}
