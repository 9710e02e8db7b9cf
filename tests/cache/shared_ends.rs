//! How a body ends for each of its readers, and what each knows of the end before.

use std::{
    pin::Pin,
    sync::Mutex,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use larder::{BodyErrorKind, BoxError, Stored};

use crate::{
    shared_bodies::{SharedBody, bodies},
    streaming::{call, fed, stored},
    support::{Broken, Double, Reply, Stand, TestBody, boxed, channel, chunk, frames, soon},
};

#[tokio::test]
async fn body_error_reaches_the_leader_and_followers_learn_that_it_failed() {
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
            let error = body.frame().await.unwrap().unwrap_err();
            if reader == 0 {
                assert_eq!(error.kind(), BodyErrorKind::Inner);
                let source = error.into_source().unwrap();
                assert_eq!(*source.downcast::<Broken>().unwrap(), Broken("cut"));
            } else {
                assert_eq!(error.kind(), BodyErrorKind::Coalesced);
            }
            assert!(body.frame().await.is_none(), "nothing follows an error");
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
async fn size_hint_of_each_reader_is_what_it_has_left_to_read() {
    // A body that knows its length, and is sent chunk by chunk.
    struct Sized(TestBody, u64);
    impl Body for Sized {
        type Data = Bytes;
        type Error = BoxError;
        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            let frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
            if let Some(Ok(frame)) = &frame {
                self.1 -= frame.data_ref().map_or(0, |data| data.len() as u64);
            }
            Poll::Ready(frame)
        }
        fn size_hint(&self) -> SizeHint {
            SizeHint::with_exact(self.1)
        }
    }
    const LEN: u64 = 100_000;
    let (sender, body) = channel();
    let body = Mutex::new(Some(body));
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
    assert!(!behind.is_end_stream(), "this reader has not read everything");
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
async fn size_hint_is_exact_only_once_the_size_is_known() {
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

/// A body that panics after this many chunks.
struct Panicking(u8);

impl Body for Panicking {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.0 = self.0.checked_sub(1).expect("on purpose");
        Poll::Ready(Some(Ok(Frame::data("ab".into()))))
    }
}

#[tokio::test(start_paused = true)]
async fn body_that_panics_does_not_block_its_followers() {
    let stand = Stand::new(Double::new(|_, _| Response::new(boxed(Panicking(1)))));
    let response = call(&stand).await;
    let status = stored(&response);
    let others: Vec<_> = [call(&stand).await, call(&stand).await].into();
    assert_eq!((status, stand.calls()), (Stored::Pending, 1));
    let reader =
        tokio::spawn(async move { response.into_body().collect().await.map(drop).is_ok() });
    assert!(soon(reader).await.unwrap_err().is_panic());
    for other in others {
        let mut body = other.into_body();
        assert_eq!(chunk(&mut body).await.unwrap(), "ab");
        let error = soon(body.frame()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), BodyErrorKind::Coalesced);
    }
    assert_eq!((stand.len().await, stand.layer.stats().in_flight), (0, 0));
}
