//! Slow stores and slow callers: what waits for them, and what does not.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use larder::{BoxError, CacheOptions, Stored, store::Memory};

use crate::{
    streaming::{call, fed, pattern, stored},
    support::{Double, Gated, Reply, Stand, boxed, chunk, frames, full, ok, with},
};

/// A reader that has polled to the end finds the entry stored, and need not wait for it.
#[tokio::test]
async fn end_of_a_body_is_returned_after_the_entry_is_stored() {
    let store = Gated::new(Memory::default());
    let stand = Stand::over(store.clone(), Double::new(|_, _| Response::new(frames(["ab"], None))));
    let mut response = call(&stand).await;
    let mut read = pin!(async {
        while response.body_mut().frame().await.is_some() {}
        stored(&response)
    });
    assert!(read.as_mut().now_or_never().is_none(), "the store has not taken it yet");
    store.open(1);
    assert_eq!(read.await, Stored::Yes);
    assert_eq!(stand.len().await, 1);
}

#[tokio::test]
async fn slow_store_bounds_memory_by_holding_the_caller_back_and_loses_no_byte() {
    const CHUNK: usize = 32 * 1024;
    const CHUNKS: usize = 64;
    /// The most bytes that may be in flight between origin and store: the replay buffer, and a
    /// chunk on either side.
    const MOST: usize = 256 * 1024 + 2 * CHUNK;

    let produced = Arc::<AtomicUsize>::default();
    let count = produced.clone();
    let inner = Double::new(move |_, _| {
        let count = count.clone();
        let chunks = (0..CHUNKS).map(move |n| {
            count.fetch_add(CHUNK, Ordering::SeqCst);
            Ok::<_, BoxError>(Frame::data(Bytes::from(vec![n as u8; CHUNK])))
        });
        Response::new(boxed(StreamBody::new(stream::iter(chunks))))
    });
    let store = Gated::new(Memory::default());
    let stand = Stand::over(store.clone(), inner);
    let mut body = call(&stand).await.into_body();
    let mut read = Vec::new();
    let mut stalls = 0;
    while read.len() < CHUNK * CHUNKS {
        match body.frame().now_or_never() {
            Some(frame) => read.extend_from_slice(&frame.unwrap().unwrap().into_data().unwrap()),
            None => {
                stalls += 1;
                store.open(1);
            }
        }
        let in_flight = produced.load(Ordering::SeqCst) - store.written() as usize;
        assert!(in_flight <= MOST, "{in_flight} bytes wait for the store");
    }
    assert!(stalls >= CHUNKS - MOST / CHUNK, "the caller was held back {stalls} times");
    store.open(CHUNKS);
    assert!(body.frame().await.is_none());
    let expected: Vec<u8> = (0..CHUNKS).flat_map(|n| vec![n as u8; CHUNK]).collect();
    assert!(read == expected);
    let reply = stand.get("/").await;
    assert!(reply.is_from_store() && reply.body == expected);
}

/// Another task opens the gate while the caller waits. That wakes the caller.
#[tokio::test]
async fn a_store_that_answers_later_wakes_the_caller() {
    let store = Gated::new(Memory::default());
    let stand = Stand::over(store.clone(), Double::new(|_, _| ok("small")));
    let tasks = tokio::task::LocalSet::new();
    let reading = tasks.spawn_local(async move { stand.get("/").await });
    let opening = tasks.spawn_local(async move { store.open(1) });
    tasks.await;
    opening.await.unwrap();
    let reply = reading.await.unwrap();
    assert_eq!((reply.text(), reply.stored()), ("small", Stored::Yes));
}

#[tokio::test]
async fn two_calls_in_a_row_with_the_first_body_unread_do_not_deadlock() {
    let (senders, inner) = fed(1);
    let stand = Stand::new(inner);
    let first = call(&stand).await;
    let second = call(&stand).await;
    senders[0].send("one");
    senders[0].send("two");
    drop(senders);
    assert_eq!(Reply::read(second).await.text(), "onetwo");
    assert!(stand.get("/").await.is_from_store());
    assert_eq!(Reply::read(first).await.text(), "onetwo");
    assert_eq!(stand.calls(), 1);
}

#[tokio::test]
async fn hit_is_read_to_its_end_though_the_entry_is_replaced_or_removed() {
    let (bytes, _) = pattern(1 << 20);
    let body = Bytes::from(bytes.clone());
    let inner = Double::new(move |_, call| match call {
        1 => Response::new(full(body.clone())),
        _ => ok("new"),
    });
    let stand = Stand::new(inner);
    stand.get("/").await;
    let mut begun = call(&stand).await.into_body();
    let mut read = chunk(&mut begun).await.unwrap().to_vec();
    let refresh = CacheOptions::new().refresh(true);
    stand.ask(with(refresh)).await;
    stand.layer.entries().clear().await.unwrap();
    read.extend_from_slice(&begun.collect().await.unwrap().to_bytes());
    assert!(read == bytes);
}
