//! A body that was read for the key is passed on unchanged.

use futures_util::{FutureExt, StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};

use super::*;
use crate::{
    policy::{GrpcMethods, RequestCheck, Rules, Scope},
    status::Bypass,
};

type Frames = Vec<Result<Frame<Bytes>, &'static str>>;

fn body(frames: Frames) -> impl Body<Data = Bytes, Error = &'static str> + Send {
    StreamBody::new(stream::iter(frames))
}

fn data(text: &'static str) -> Result<Frame<Bytes>, &'static str> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

fn buffered<B: Body<Data = Bytes>>(body: B, limit: u64) -> (RequestBody<B>, Result<(), Bypass>) {
    RequestBody::buffered(body, limit, &plenty(), RequestCheck::default()).now_or_never().unwrap()
}

fn plenty() -> Budget {
    Budget { held: Arc::default(), limit: u64::MAX }
}

#[test]
fn all_bodies_together_are_bounded_until_they_are_dropped() {
    let budget = Budget { held: Arc::default(), limit: 10 };
    let ask = |bytes: usize| {
        let chunk = "x".repeat(bytes);
        let body = body(vec![data(chunk.leak())]);
        let check = RequestCheck::default();
        RequestBody::buffered(body, 100, &budget, check).now_or_never().unwrap()
    };
    let (first, verdict) = ask(6);
    assert_eq!(verdict, Ok(()));
    let (second, verdict) = ask(6);
    assert_eq!(verdict, Err(Bypass::RequestBodiesFull));
    assert_eq!(read(second).now_or_never().unwrap().0, b"xxxxxx", "it is handed on whole");
    assert_eq!(ask(4).1, Ok(()));
    let again = first.for_another_call();
    let sent = first;
    drop(sent);
    assert_eq!(ask(6).1, Err(Bypass::RequestBodiesFull), "a copy holds the bytes");
    drop(again);
    assert_eq!(ask(10).1, Ok(()));
}

async fn read<B: Body<Data = Bytes>>(body: B) -> (Vec<u8>, Option<HeaderMap>, Option<B::Error>) {
    let mut body = std::pin::pin!(body);
    let (mut bytes, mut trailers) = (Vec::new(), None);
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
            Err(error) => return (bytes, trailers, Some(error)),
        }
    }
    (bytes, trailers, None)
}

#[test]
fn a_whole_body_is_handed_on_with_its_trailers() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    let (body, verdict) =
        buffered(body(vec![data("ab"), data("cd"), Ok(Frame::trailers(trailers.clone()))]), 4);
    assert_eq!(verdict, Ok(()));
    assert_eq!(body.read().content().chunks.concat(), b"abcd");
    assert_eq!(body.size_hint().exact(), Some(4));
    assert!(!body.is_end_stream());
    assert_eq!(read(body).now_or_never().unwrap(), (b"abcd".to_vec(), Some(trailers), None));
}

#[test]
fn past_the_limit_the_very_same_bytes_are_handed_on() {
    let (body, verdict) = buffered(body(vec![data("ab"), data("cde"), data("fg")]), 4);
    assert_eq!(verdict, Err(Bypass::RequestBodyTooLarge));
    assert_eq!(read(body).now_or_never().unwrap().0, b"abcdefg");

    let (body, verdict) = buffered(Full::new(Bytes::from_static(b"abcdefg")), 4);
    assert_eq!(verdict, Err(Bypass::RequestBodyTooLarge));
    assert_eq!(body.size_hint().exact(), Some(7));
}

#[test]
fn an_error_comes_after_what_came_before_it() {
    let (body, verdict) = buffered(body(vec![data("ab"), Err("broken")]), 4);
    assert_eq!(verdict, Err(Bypass::RequestBodyFailed));
    assert!(!body.is_end_stream() && body.size_hint().exact().is_none());
    assert_eq!(read(body).now_or_never().unwrap(), (b"ab".to_vec(), None, Some("broken")));
}

#[test]
fn endless_empty_frames_do_not_fill_memory() {
    let endless = StreamBody::new(stream::repeat_with(|| data("")));
    let (body, verdict) = buffered(endless, 4);
    assert_eq!(verdict, Err(Bypass::RequestBodyTooLarge));
    assert!(body.chunks.is_empty());
}

#[test]
fn short_chunks_do_not_hold_on_to_the_buffers_they_came_in() {
    let buffer = Bytes::from(vec![b'x'; 1 << 20]);
    let chunks: Frames = (0..1_000).map(|n| Ok(Frame::data(buffer.slice(n..n + 1)))).collect();
    let (body, verdict) = buffered(body(chunks), 1 << 20);
    assert_eq!((verdict, body.chunks.len()), (Ok(()), 1));
    assert!(buffer.try_into_mut().is_ok(), "something holds the buffer");
}

/// The check that a cache for gRPC makes of request bodies.
fn unary() -> RequestCheck {
    let mut rules = Rules::new(Scope::Private);
    rules.use_grpc(GrpcMethods::new(["/**"]).unwrap());
    rules.request_check()
}

fn message<B: Body<Data = Bytes>>(body: B, limit: u64) -> (RequestBody<B>, Result<(), Bypass>) {
    RequestBody::buffered(body, limit, &plenty(), unary()).now_or_never().unwrap()
}

#[test]
fn one_grpc_message_is_read_and_no_more() {
    let whole = || [data("\0\0\0\0"), data("\x02a"), data("b")];
    let (read_body, verdict) = message(body(whole().into()), 100);
    assert_eq!(verdict, Ok(()));
    assert_eq!(read(read_body).now_or_never().unwrap().0, b"\0\0\0\0\x02ab");

    let endless = stream::iter(whole()).chain(stream::repeat_with(|| data("more")));
    let (begun, verdict) = message(StreamBody::new(endless), u64::MAX);
    assert_eq!(verdict, Err(Bypass::NotUnary));
    assert_eq!(begun.read().content().chunks.concat(), b"\0\0\0\0\x02abmore");

    for short in [vec![], vec![data("\0\0\0\0\x02a")]] {
        let bytes = short.len() * 6;
        let (cut, verdict) = message(body(short), 100);
        assert_eq!(verdict, Err(Bypass::NotUnary));
        assert_eq!(read(cut).now_or_never().unwrap().0.len(), bytes);
    }
    assert_eq!(message(http_body_util::Empty::<Bytes>::new(), 1).1, Err(Bypass::NotUnary));
}

#[test]
fn a_grpc_message_that_will_be_too_large_is_not_waited_for() {
    let announced = stream::iter([data("\0\0\0\0\x60")]).chain(stream::pending());
    let (body, verdict) = message(StreamBody::new(announced.boxed()), 100);
    assert_eq!(verdict, Err(Bypass::RequestBodyTooLarge));
    assert_eq!(body.read().content().chunks.concat(), b"\0\0\0\0\x60");
}

#[tokio::test(start_paused = true)]
async fn a_grpc_request_that_pauses_is_let_go_with_what_was_read() {
    for begun in [vec![], vec![data("\0\0\0\0\x01a")]] {
        let bytes = begun.len() * 6;
        let paused = StreamBody::new(stream::iter(begun).chain(stream::pending()));
        let before = tokio::time::Instant::now();
        let pause = unary().longest_pause().unwrap();
        let (body, verdict) = RequestBody::buffered(paused, 100, &plenty(), unary()).await;
        assert_eq!((verdict, before.elapsed()), (Err(Bypass::NotUnary), pause));
        assert_eq!(body.read().content().chunks.concat().len(), bytes);
    }
}

#[test]
fn an_untouched_body_is_given_back_and_a_read_one_is_wrapped() {
    type Wrapped = UnsyncBoxBody<Bytes, &'static str>;
    let len = |body: RequestBody<Wrapped>| {
        let mut wrapped = false;
        let body = body.into_inner_or_else(|body| {
            wrapped = true;
            body.boxed_unsync()
        });
        (wrapped, read(body).now_or_never().unwrap().0.len())
    };
    let three = || body(vec![data("ab"), data("cd"), data("ef")]).boxed_unsync();
    assert_eq!(len(RequestBody::untouched(three())), (false, 6));
    let empty = Full::default().map_err(|never| match never {}).boxed_unsync();
    assert_eq!(len(buffered(empty, 4).0), (false, 0));
    // Read whole, read in part, and none at all.
    assert_eq!(len(buffered(three(), 6).0), (true, 6));
    assert_eq!(len(buffered(three(), 3).0), (true, 6));
    assert_eq!(len(RequestBody::ended()), (true, 0));
}

#[test]
fn debug_shows_no_content() {
    let (body, _) = buffered(body(vec![data("password")]), 100);
    assert_eq!(format!("{body:?}"), "RequestBody { chunks_read: 1, .. }");
}
