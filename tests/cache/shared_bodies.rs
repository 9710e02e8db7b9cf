//! One body, many readers: whoever is hungry drives it for all, and nobody depends on another.

use std::{pin::Pin, sync::Arc};

use futures_util::{FutureExt, future::join_all};
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, StreamBody};
use larder::{BodyError, BoxError, CacheStatus, Outcome, Refusal, ResponseBody, Stored};

use crate::{
    streaming::{call, fed, pattern, stored},
    support::{
        Broken, Double, Reply, Sender, Stand, TestBody, boxed, chunk, empty, frames, get, line,
        soon,
    },
};

type SharedBody = ResponseBody<TestBody>;

async fn bodies(stand: &Stand, readers: usize) -> Vec<SharedBody> {
    let mut bodies = Vec::new();
    for _ in 0..readers {
        bodies.push(call(stand).await.into_body());
    }
    assert_eq!(stand.calls(), 1);
    bodies
}

/// An inner service with one body and one head for it, and what feeds the body.
fn one(name: &'static str, value: &'static str) -> (Sender, Stand) {
    let (mut senders, inner) = fed(1);
    let body = std::sync::Mutex::new(Some(inner));
    let inner = Double::new({
        let (sender, fed) = crate::support::channel();
        senders[0] = sender;
        let fed = std::sync::Mutex::new(Some(fed));
        move |_, call| match fed.lock().unwrap().take() {
            Some(body) => line(Response::new(body), name, value),
            None => crate::support::ok(call.to_string()),
        }
    });
    drop(body);
    (senders.pop().unwrap(), Stand::new(inner))
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
async fn the_leader_may_drop_its_body_midway() {
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
async fn when_the_last_reader_goes_the_inner_body_goes_with_it() {
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
    assert_eq!(stand.calls(), 2, "what was given up is nobody's to follow");
}

/// The inner body knows one waker only, that of the last poll: it must be everybody's.
#[tokio::test(start_paused = true)]
async fn a_reader_that_is_never_polled_again_strands_nobody() {
    for drops in [false, true] {
        let (senders, inner) = fed(1);
        let stand = Stand::new(inner);
        let mut bodies = bodies(&stand, 4).await;
        let mut lazy = bodies.remove(1);
        let readers: Vec<_> = bodies.into_iter().map(reading).collect();
        settle().await;
        // The last one to have polled the inner body.
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

/// Each of them in turn is the only one that is polled.
#[tokio::test]
async fn any_reader_can_carry_the_body_alone() {
    for carrier in 0..3 {
        let (senders, inner) = fed(1);
        let stand = Stand::new(inner);
        let mut bodies = bodies(&stand, 3).await;
        senders[0].send("one");
        senders[0].send("two");
        drop(senders);
        let body = bodies.remove(carrier);
        assert_eq!(soon(body.collect()).await.unwrap().to_bytes(), "onetwo");
        assert_eq!((stand.len().await, stand.layer.stats().in_flight), (1, 0));
        for body in bodies {
            assert_eq!(body.collect().await.unwrap().to_bytes(), "onetwo");
        }
    }
}

/// A burst on several threads, each reader with pauses of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn readers_on_several_threads_all_see_the_same() {
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
                    // One stops midway, and one goes.
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

// ===== Ends =====

#[tokio::test]
async fn a_body_that_fails_tells_the_leader_the_error_and_the_others_that_there_was_one() {
    for leader_first in [true, false] {
        let (senders, inner) = fed(1);
        let stand = Stand::new(inner);
        let mut bodies = bodies(&stand, 3).await;
        senders[0].send("a");
        senders[0].fail(Broken("cut"));
        let order = if leader_first { [0, 1, 2] } else { [2, 1, 0] };
        for reader in order {
            let body = &mut bodies[reader];
            assert_eq!(chunk(body).await.unwrap(), "a");
            match body.frame().await.unwrap().unwrap_err() {
                BodyError::Inner(error) if reader == 0 => {
                    assert_eq!(*error.downcast::<Broken>().unwrap(), Broken("cut"));
                }
                BodyError::Coalesced(_) if reader != 0 => {}
                other => panic!("reader {reader}: {other:?}"),
            }
            assert!(body.frame().await.is_none(), "nothing comes behind an error");
        }
        assert_eq!((stand.len().await, stand.layer.stats().in_flight), (0, 0));
    }
}

#[tokio::test]
async fn trailers_reach_every_reader() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "7".parse().unwrap());
    let sent = trailers.clone();
    let stand = Stand::new(Double::new(move |_, _| {
        Response::new(frames(["ab", "cd"], Some(Ok(sent.clone()))))
    }));
    let mut responses = Vec::new();
    for _ in 0..3 {
        responses.push(call(&stand).await);
    }
    assert_eq!(stand.calls(), 1);
    for response in responses {
        let reply = Reply::read(response).await;
        assert_eq!((reply.text(), reply.trailers.as_ref()), ("abcd", Some(&trailers)));
    }
    assert_eq!(stand.get("/").await.trailers, Some(trailers));
}

#[tokio::test]
async fn every_reader_knows_how_much_is_to_come_for_itself() {
    // A body that knows its length, fed piece by piece.
    struct Sized(TestBody, u64);
    impl Body for Sized {
        type Data = bytes::Bytes;
        type Error = BoxError;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<Frame<bytes::Bytes>, BoxError>>> {
            let frame = std::task::ready!(Pin::new(&mut self.0).poll_frame(cx));
            if let Some(Ok(frame)) = &frame {
                self.1 -= frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            std::task::Poll::Ready(frame)
        }
        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.1)
        }
    }
    const LEN: u64 = 100_000;
    let (sender, body) = crate::support::channel();
    let body = std::sync::Mutex::new(Some(body));
    let stand = Stand::new(Double::new(move |_, _| {
        Response::new(boxed(Sized(body.lock().unwrap().take().unwrap(), LEN)))
    }));
    let mut bodies = bodies(&stand, 2).await;
    let exact = |body: &SharedBody| body.size_hint().exact().unwrap();
    let (mut behind, mut ahead) = (bodies.remove(0), bodies.remove(0));
    assert_eq!((exact(&behind), exact(&ahead)), (LEN, LEN));
    sender.send(vec![1; 60_000]);
    assert_eq!((exact(&behind), exact(&ahead)), (LEN, LEN));
    chunk(&mut ahead).await.unwrap();
    assert_eq!((exact(&behind), exact(&ahead)), (LEN, 40_000));
    sender.send(vec![2; 40_000]);
    drop(sender);
    chunk(&mut ahead).await.unwrap();
    assert_eq!((exact(&behind), exact(&ahead)), (LEN, 0));
    assert!(!behind.is_end_stream(), "there is something left for this one");
    assert!(chunk(&mut ahead).await.is_none());
    assert!(ahead.is_end_stream());
    for rest in [40_000, 0] {
        assert!(!behind.is_end_stream());
        chunk(&mut behind).await.unwrap();
        assert_eq!(exact(&behind), rest);
    }
    assert!(behind.is_end_stream(), "the end is known by now");
    assert!(chunk(&mut behind).await.is_none());
    assert!(behind.is_end_stream());
}

#[tokio::test]
async fn a_size_that_is_not_known_is_not_made_up() {
    let (senders, inner) = fed(1);
    let stand = Stand::new(inner);
    let mut bodies = bodies(&stand, 2).await;
    assert_eq!(bodies[1].size_hint().upper(), None);
    senders[0].send("abc");
    chunk(&mut bodies[0]).await.unwrap();
    assert_eq!((bodies[1].size_hint().lower(), bodies[1].size_hint().upper()), (3, None));
    drop(senders);
    assert!(chunk(&mut bodies[0]).await.is_none());
    assert_eq!(bodies[1].size_hint().exact(), Some(3));
}

/// Panics when it has given its chunks.
struct Panicking(u8);

impl Body for Panicking {
    type Data = bytes::Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<bytes::Bytes>, BoxError>>> {
        self.0 = self.0.checked_sub(1).expect("on purpose");
        std::task::Poll::Ready(Some(Ok(Frame::data("ab".into()))))
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_panics_strands_nobody() {
    let stand = Stand::new(Double::new(|_, _| Response::new(boxed(Panicking(1)))));
    let response = call(&stand).await;
    let status = stored(&response);
    let others: Vec<_> = [call(&stand).await, call(&stand).await].into();
    assert_eq!((status, stand.calls()), (Stored::Pending, 1));
    let unlucky =
        tokio::spawn(async move { response.into_body().collect().await.map(drop).is_ok() });
    assert!(soon(unlucky).await.unwrap_err().is_panic());
    for other in others {
        let mut body = other.into_body();
        assert_eq!(chunk(&mut body).await.unwrap(), "ab");
        let error = soon(body.frame()).await.unwrap().unwrap_err();
        assert!(matches!(error, BodyError::Coalesced(_)));
    }
    assert_eq!((stand.len().await, stand.layer.stats().in_flight), (0, 0));
}

// ===== Bodies that go on and on =====

#[tokio::test]
async fn a_stream_of_events_passes_at_once_and_nobody_waits_behind_it() {
    let (sender, stand) = one("content-type", "text/event-stream");
    let mut bodies = bodies(&stand, 2).await;
    let event = |n: usize| format!("data: {n} {}\n\n", "x".repeat(1_000));
    for n in 0..1_000 {
        sender.send(event(n));
        for body in &mut bodies {
            assert_eq!(chunk(body).now_or_never().expect("at once").unwrap(), event(n));
        }
    }
    // Its beginning is gone, and its end may never come.
    let late = stand.call(get("/").body(empty()).unwrap()).now_or_never().expect("at once");
    assert_eq!(Reply::read(late.unwrap()).await.text(), "2");
    sender.send("more");
    for body in &mut bodies {
        assert_eq!(chunk(body).now_or_never().expect("at once").unwrap(), "more");
    }
}

#[tokio::test]
async fn an_endless_response_of_another_kind_passes_at_once_as_well() {
    let (senders, inner) = fed(2);
    let stand = Stand::new(inner);
    let mut bodies = bodies(&stand, 2).await;
    for n in 0..600 {
        senders[0].send(vec![n as u8; 1_000]);
        for body in &mut bodies {
            assert_eq!(chunk(body).now_or_never().expect("at once").unwrap()[0], n as u8);
        }
    }
    let late = stand.call(get("/").body(empty()).unwrap()).now_or_never();
    assert!(late.is_some() && stand.calls() == 2, "the late one makes a call of its own");
}

#[tokio::test]
async fn a_late_follower_waits_for_the_entry_where_the_length_is_known() {
    let (sender, stand) = one("content-length", "600000");
    let mut leader = bodies(&stand, 1).await.remove(0);
    for n in 0..5 {
        sender.send(vec![n; 100_000]);
        chunk(&mut leader).await.unwrap();
    }
    let mut late = std::pin::pin!(stand.get("/"));
    assert!(late.as_mut().now_or_never().is_none());
    assert_eq!(stand.calls(), 1);
    sender.send(vec![5; 100_000]);
    drop(sender);
    // The leader reads no more: who waits drives the body to its end by itself.
    let late = soon(late).await;
    assert_eq!((stand.calls(), late.stored(), late.cache.is_coalesced()), (1, Stored::Yes, true));
    assert_eq!(late.body.len(), 600_000);
    let rest = leader.collect().await.unwrap().to_bytes();
    assert!(rest.len() == 100_000 && rest.iter().all(|byte| *byte == 5));
}

#[tokio::test]
async fn a_late_follower_of_a_body_that_comes_to_nothing_makes_its_own_call() {
    let (sender, stand) = one("content-length", "600000");
    let mut leader = bodies(&stand, 1).await.remove(0);
    for n in 0..5 {
        sender.send(vec![n; 100_000]);
        chunk(&mut leader).await.unwrap();
    }
    let mut late = std::pin::pin!(stand.get("/"));
    assert!(late.as_mut().now_or_never().is_none());
    sender.fail(Broken("cut"));
    assert_eq!(soon(late).await.text(), "2");
    assert!(matches!(leader.frame().await.unwrap(), Err(BodyError::Inner(_))));
}
