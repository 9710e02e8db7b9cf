//! Bodies that are stored and replayed, frame by frame.

use std::{
    collections::VecDeque,
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::{HeaderMap, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, StreamBody};
use larder::{BoxError, CacheStatus, ResponseBody, Stored, status::Refusal, store::Memory};

use crate::support::{
    Broken, Double, Faulty, Sender, Stand, TestBody, boxed, channel, chunk, empty, frames, full,
    get, head, line,
};

/// An inner service whose responses have bodies that the senders feed, one body each.
pub(crate) fn fed(bodies: usize) -> (Vec<Sender>, Double) {
    let (senders, bodies): (Vec<_>, Vec<_>) = (0..bodies).map(|_| channel()).unzip();
    let bodies = std::sync::Mutex::new(bodies.into_iter());
    (senders, Double::new(move |_, _| Response::new(bodies.lock().unwrap().next().unwrap())))
}

pub(crate) async fn call<B: larder::store::Store>(
    stand: &Stand<B>,
) -> Response<ResponseBody<TestBody>> {
    stand.call(get("/").body(empty()).unwrap()).await.unwrap()
}

pub(crate) fn stored(response: &Response<ResponseBody<TestBody>>) -> Stored {
    response.extensions().get::<CacheStatus>().unwrap().stored()
}

fn sum(value: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", value.parse().unwrap());
    trailers
}

/// A body of `len` bytes in chunks of changing sizes. The value of a byte depends on its position.
pub(crate) fn pattern(len: usize) -> (Vec<u8>, Vec<Bytes>) {
    let bytes: Vec<u8> = (0..len).map(|n| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect();
    let (mut chunks, mut rest, mut size) = (Vec::new(), &bytes[..], 1);
    while !rest.is_empty() {
        let (chunk, tail) = rest.split_at(size.min(rest.len()));
        chunks.push(Bytes::copy_from_slice(chunk));
        (rest, size) = (tail, size * 7 % 40_009 + 1);
    }
    (bytes, chunks)
}

#[tokio::test]
async fn the_head_and_each_chunk_of_a_miss_arrive_before_the_next_is_sent() {
    let (senders, inner) = fed(1);
    let stand = Stand::new(inner);
    let mut response = call(&stand).await;
    assert_eq!(stored(&response), Stored::Pending);
    for text in ["one", "two", "three"] {
        assert!(response.body_mut().frame().now_or_never().is_none(), "nothing is there yet");
        senders[0].send(text);
        assert_eq!(chunk(response.body_mut()).now_or_never().unwrap().unwrap(), text);
    }
    assert_eq!(stand.len().await, 0, "nothing is visible before the end");
    drop(senders);
    assert!(response.body_mut().frame().await.is_none());
    assert_eq!((stored(&response), stand.len().await), (Stored::Yes, 1));
    assert_eq!(stand.get("/").await.text(), "onetwothree");
}

#[tokio::test]
async fn a_large_body_comes_back_in_order() {
    let (bytes, chunks) = pattern(3 << 20);
    let inner = Double::new(move |_, _| {
        let chunks = chunks.clone().into_iter().map(|chunk| Ok::<_, BoxError>(Frame::data(chunk)));
        Response::new(boxed(StreamBody::new(stream::iter(chunks))))
    });
    let stand = Stand::new(inner);
    assert!(stand.get("/").await.body == bytes);
    for _ in 0..2 {
        let reply = stand.get("/").await;
        assert!(reply.is_from_store());
        assert!(reply.body == bytes, "every byte in its place");
    }
}

#[tokio::test]
async fn dropped_body_is_not_stored() {
    // It is dropped before the first chunk, midway, and after the last chunk but before the end.
    for chunks in 0..3 {
        let (senders, inner) = fed(1);
        let stand = Stand::new(inner);
        let mut response = call(&stand).await;
        let status = response.extensions().get::<CacheStatus>().unwrap().clone();
        for _ in 0..chunks {
            senders[0].send("chunk");
            chunk(response.body_mut()).await.unwrap();
        }
        drop(response);
        assert_eq!(status.stored(), Stored::No(Refusal::Dropped));
        assert!(senders[0].is_closed(), "the origin's body is dropped with it");
        assert_eq!((stand.len().await, stand.size().await), (0, 0));
    }
}

#[tokio::test]
async fn unread_response_is_stored_if_all_of_it_is_available_at_once() {
    let stand = Stand::new(Double::counting());
    let response = call(&stand).await;
    assert_eq!(stored(&response), Stored::Yes);
    drop(response);
    assert_eq!(stand.get("/").await.text(), "1");

    let stand = Stand::new(Double::new(|_, _| Response::new(empty())));
    drop(call(&stand).await);
    assert!(stand.get("/").await.is_from_store());
}

#[tokio::test]
async fn body_that_contradicts_its_head_is_passed_on_and_not_stored() {
    type Case = (Option<&'static str>, fn() -> TestBody, &'static str, bool, Result<(), Refusal>);
    let cases: [Case; 11] = [
        (Some("4"), || frames(["ab", "cd"], None), "abcd", false, Ok(())),
        (Some("5"), || frames(["ab", "cd"], None), "abcd", false, Err(Refusal::Length)),
        (Some("3"), || frames(["ab", "cd"], None), "abcd", false, Err(Refusal::Length)),
        (Some("2"), || frames(["ab", "cd"], None), "abcd", false, Err(Refusal::Length)),
        (Some("0"), || frames(["ab"], None), "ab", false, Err(Refusal::Length)),
        (Some("1"), || frames([], None), "", false, Err(Refusal::Length)),
        (Some("0"), || frames([], None), "", false, Ok(())),
        (Some("5"), || full("abcd"), "abcd", false, Err(Refusal::Length)),
        (Some("2"), || frames(["a"], Some(Ok(sum("1")))), "a", false, Err(Refusal::Length)),
        (
            None,
            || frames(["ab"], Some(Err(Broken("cut").into()))),
            "ab",
            true,
            Err(Refusal::BodyFailed),
        ),
        // All bytes arrive, but then an error.
        (
            Some("2"),
            || frames(["ab"], Some(Err(Broken("cut").into()))),
            "ab",
            true,
            Err(Refusal::BodyFailed),
        ),
    ];
    for (position, (length, body, text, fails, expected)) in cases.into_iter().enumerate() {
        let stand = Stand::new(Double::new(move |_, _| match length {
            Some(length) => line(Response::new(body()), "content-length", length),
            None => Response::new(body()),
        }));
        let reply = stand.get("/").await;
        assert_eq!(reply.body, text, "case {position}");
        assert_eq!(reply.error.is_some(), fails, "case {position}");
        let expected = match expected {
            Ok(()) => Stored::Yes,
            Err(refusal) => Stored::No(refusal),
        };
        assert_eq!(reply.stored(), expected, "case {position}");
        assert_eq!(
            stand.get("/").await.is_from_store(),
            expected == Stored::Yes,
            "case {position}"
        );
        if expected != Stored::Yes {
            assert_eq!((stand.len().await, stand.size().await), (0, 0), "case {position}");
        }
    }
}

#[tokio::test]
async fn trailers_are_stored_and_replayed_after_the_body() {
    let inner = || Double::new(|_, _| Response::new(frames(["ab", "cd"], Some(Ok(sum("7"))))));
    replays_trailers(Stand::new(inner())).await;
    // Also from a store whose bodies stream.
    replays_trailers(Stand::over(Faulty::new(Memory::default()), inner())).await;
}

async fn replays_trailers<B: larder::store::Store>(stand: Stand<B>) {
    for hit in [false, true] {
        let response = call(&stand).await;
        assert_eq!(response.extensions().get::<CacheStatus>().unwrap().is_from_store(), hit);
        let mut body = response.into_body();
        let mut read = Vec::new();
        let trailers = loop {
            match body.frame().await.expect("trailers come at the end").unwrap().into_data() {
                Ok(chunk) => read.extend_from_slice(&chunk),
                Err(frame) => break frame.into_trailers().unwrap(),
            }
            assert!(!body.is_end_stream(), "trailers are to come");
        };
        assert_eq!((&read[..], &trailers), (&b"abcd"[..], &sum("7")));
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test]
async fn a_replayed_body_knows_its_exact_size_and_its_end() {
    let stand = Stand::new(Double::new(|request, _| match request.uri().path() {
        "/" => Response::new(frames(["ab", "cd"], None)),
        _ => Response::new(frames([], None)),
    }));
    stand.get("/").await;
    stand.get("/empty").await;
    let mut body = call(&stand).await.into_body();
    assert_eq!(body.size_hint().exact(), Some(4));
    assert!(!body.is_end_stream());
    while body.frame().await.is_some() {}
    assert_eq!(body.size_hint().exact(), Some(0));
    assert!(body.is_end_stream());
    // The body of a response to HEAD has the size of that to GET. Servers make the length from it.
    for (request, size) in [(get("/empty"), 0), (head("/"), 4)] {
        let response = stand.call(request.body(empty()).unwrap()).await.unwrap();
        assert!(response.extensions().get::<CacheStatus>().unwrap().is_from_store());
        assert!(response.body().is_end_stream());
        assert_eq!(response.body().size_hint().exact(), Some(size));
    }
}

/// Storing a body never makes its size hint less precise, after any frame.
#[tokio::test]
async fn size_hint_stays_precise_while_a_body_is_being_stored() {
    for make in [|| full("abcdef"), || frames(["ab", "", "cdef"], None), empty] {
        let stand = Stand::new(Double::new(move |_, _| Response::new(make())));
        let mut bare = make();
        let mut body = call(&stand).await.into_body();
        loop {
            let (own, exact) = (body.size_hint(), bare.size_hint().exact());
            // The size hint may be more precise, because a body that is available at once may have
            // been collected.
            assert!(exact.is_none() || own.exact() == exact, "{own:?} {exact:?}");
            let (frame, other) = (body.frame().await, bare.frame().await);
            let data = |frame: Frame<Bytes>| frame.into_data().unwrap();
            let (frame, other) =
                (frame.map(|it| data(it.unwrap())), other.map(|it| data(it.unwrap())));
            assert_eq!(frame, other);
            if frame.is_none() {
                break;
            }
        }
        assert!(body.is_end_stream());
    }
}

/// hyper's server stops there, because it has sent what it promised.
#[tokio::test]
async fn body_is_stored_when_the_caller_stops_after_content_length_bytes() {
    let bodies: [fn() -> TestBody; 4] = [
        || full("abcdef"),
        || frames(["abc", "def"], None),
        || frames(["abc", "def", ""], None),
        || frames(["abc", "def"], Some(Ok(sum("1")))),
    ];
    for (position, body) in bodies.into_iter().enumerate() {
        let inner = Double::new(move |_, _| line(Response::new(body()), "content-length", "6"));
        let stand = Stand::new(inner);
        let mut response = call(&stand).await;
        let mut read = 0;
        while read < 6 {
            read += chunk(response.body_mut()).await.unwrap().len();
        }
        drop(response);
        let reply = stand.get("/").await;
        assert!(reply.is_from_store(), "body {position}");
        assert_eq!(reply.text(), "abcdef");
    }
}

/// hyper's client knows by the length that a body has ended, a moment before the connection
/// confirms it.
#[tokio::test]
async fn body_that_knows_its_end_is_stored_before_the_end_arrives() {
    for chunks in [&["abcdef"][..], &["abc", "def"]] {
        let inner = Double::new(move |_, _| {
            let body = boxed(LateEnd(chunks.iter().copied().map(Bytes::from).collect()));
            line(Response::new(body), "content-length", "6")
        });
        let stand = Stand::new(inner);
        let mut response = call(&stand).await;
        let mut read = 0;
        while read < 6 {
            read += chunk(response.body_mut()).await.unwrap().len();
        }
        assert_eq!(stored(&response), Stored::Yes);
        drop(response);
        assert_eq!(stand.get("/").await.text(), "abcdef");
    }
}

#[tokio::test]
async fn nothing_comes_after_the_end_of_a_body() {
    for fails in [false, true] {
        let inner = Double::new(move |_, _| {
            Response::new(frames(["ab"], fails.then(|| Err(Broken("cut").into()))))
        });
        let stand = Stand::new(inner);
        let mut body = call(&stand).await.into_body();
        assert_eq!(chunk(&mut body).await.unwrap(), "ab");
        if fails {
            assert!(body.frame().await.unwrap().is_err());
        }
        assert!(body.frame().await.is_none() && body.frame().await.is_none());
    }
}

/// A body that gives its chunks and knows that it has ended, but never returns its end.
struct LateEnd(VecDeque<Bytes>);

impl Body for LateEnd {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.0.pop_front() {
            Some(chunk) => Poll::Ready(Some(Ok(Frame::data(chunk)))),
            None => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

/// Before the end is seen, an error may still follow, even if the body has reached its length.
#[tokio::test]
async fn body_whose_end_was_not_seen_is_not_stored() {
    let (sender, body) = channel();
    let body = std::sync::Mutex::new(Some(body));
    let stand = Stand::new(Double::new(move |_, _| {
        let body = body.lock().unwrap().take().unwrap();
        line(Response::new(body), "content-length", "6")
    }));
    let mut response = call(&stand).await;
    sender.send("abcdef");
    assert_eq!(chunk(response.body_mut()).await.unwrap(), "abcdef");
    assert_eq!(stored(&response), Stored::Pending);
    sender.fail(Broken("cut"));
    assert!(response.body_mut().frame().await.unwrap().is_err());
    assert_eq!(stored(&response), Stored::No(Refusal::BodyFailed));
    assert_eq!(stand.len().await, 0);
}
