//! While a finished body is being published, its call answers newcomers.

use bytes::Bytes;
use futures_util::FutureExt;
use http::Response;
use larder::{Outcome, Stored, store::Memory};

use crate::{
    streaming::call,
    support::{Double, Gated, Stand, chunk, frames, full, line, soon},
};

#[tokio::test]
async fn response_being_published_answers_newcomers() {
    for body in [&["ab", "cd"][..], &[]] {
        let store = Gated::at_finish(Memory::default());
        let inner = Double::new(move |_, _| Response::new(frames(body.iter().copied(), None)));
        let stand = Stand::over(store.clone(), inner);
        let mut reader = Box::pin(stand.get("/"));
        assert!(reader.as_mut().now_or_never().is_none());
        let mut newcomer = Box::pin(stand.get("/"));
        assert!(newcomer.as_mut().now_or_never().is_none(), "it waits as well");
        assert_eq!(stand.calls(), 1);
        store.publish(1);
        for reply in [soon(newcomer).await, soon(reader).await] {
            assert_eq!((reply.text(), reply.stored()), (&*body.concat(), Stored::Yes));
        }
        assert_eq!((stand.get("/").await.outcome(), stand.calls()), (Outcome::Hit, 1));
    }
}

/// This holds for a body of any length, known in advance or not, since its end is known.
#[tokio::test]
async fn large_body_being_published_answers_newcomers() {
    let chunks = std::iter::repeat_n(X, 100);
    let store = Gated::at_finish(Memory::default());
    let inner = Double::new(move |_, _| Response::new(frames(chunks.clone(), None)));
    let stand = Stand::over(store.clone(), inner);
    let mut reader = Box::pin(stand.get("/"));
    assert!(reader.as_mut().now_or_never().is_none());
    let mut newcomer = Box::pin(stand.get("/"));
    assert!(newcomer.as_mut().now_or_never().is_none(), "it waits as well");
    assert_eq!(stand.calls(), 1);
    store.publish(1);
    for reply in [soon(newcomer).await, soon(reader).await] {
        assert_eq!((reply.body.len(), reply.stored()), (100 * X.len(), Stored::Yes));
    }
    assert_eq!(stand.calls(), 1);
}

const X: &str = include_str!("streaming.rs");

/// A server stops after `Content-Length` bytes. So the last of them wait until the response is
/// stored.
#[tokio::test]
async fn last_chunk_is_returned_after_the_entry_is_stored() {
    // The body is too long to be read before the head is returned.
    let body = Bytes::from(vec![7; 100_000]);
    let store = Gated::at_finish(Memory::default());
    let inner = Double::new(move |_, _| {
        line(Response::new(full(body.clone())), "content-length", "100000")
    });
    let stand = Stand::over(store.clone(), inner);
    let mut bodies = [call(&stand).await.into_body(), call(&stand).await.into_body()];
    for body in &mut bodies {
        assert!(chunk(body).now_or_never().is_none(), "it is not stored yet");
    }
    store.publish(1);
    for body in &mut bodies {
        assert_eq!(soon(chunk(body)).await.unwrap().len(), 100_000);
        assert_eq!(stand.len().await, 1);
    }
    assert_eq!(stand.calls(), 1);
}

/// This is repeated, as in a client that reads one response after the other.
#[cfg(feature = "redb")]
#[tokio::test(flavor = "multi_thread")]
async fn request_after_a_body_was_read_to_its_end_makes_no_call() {
    let chunks = std::iter::repeat_n(X, 50);
    let stand = Stand::over(
        larder::store::Redb::temporary().unwrap(),
        Double::new(move |_, _| Response::new(frames(chunks.clone(), None))),
    );
    for n in 0..100 {
        let path = format!("/{n}");
        assert!(!stand.get(&path).await.is_from_store());
        assert!(stand.get(&path).await.is_from_store());
    }
    assert_eq!(stand.calls(), 100);
}
