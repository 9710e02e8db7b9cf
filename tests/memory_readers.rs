//! The memory that many readers of one large body hold. A counting allocator measures it, so this
//! is a test binary of its own.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used)]

use std::{alloc::System, convert::Infallible, time::Instant};

use bytes::Bytes;
use cap::Cap;
use futures_util::{future::join_all, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, StreamBody};
use larder::{CacheLayer, ResponseBody, store::Redb};
use tower::{Layer, ServiceExt};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const MIB: usize = 1 << 20;
const CHUNK: usize = 256 * 1024;
const LEN: usize = 200 * MIB;
const READERS: usize = 50;

/// The readers that start when the others have reached the end.
const SLOW: usize = 2;

/// Reads the body to its end, and compares it with the chunk that it repeats.
async fn read<B>(mut body: ResponseBody<B>, chunk: &Bytes)
where
    B: http_body::Body<Data = Bytes>,
    ResponseBody<B>: Unpin + http_body::Body<Data = Bytes>,
    <ResponseBody<B> as http_body::Body>::Error: std::fmt::Debug,
{
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        let mut data = frame.unwrap().into_data().unwrap();
        while !data.is_empty() {
            let place = read % CHUNK;
            let part = data.split_to(data.len().min(CHUNK - place));
            let expected = &chunk[place..place + part.len()];
            assert!(part == expected, "at {read}");
            read += part.len();
        }
    }
    assert_eq!(read, LEN);
}

#[tokio::test]
async fn fifty_readers_of_one_large_body_hold_little_of_it() {
    let chunk = Bytes::from((0..CHUNK).map(|n| (n ^ (n >> 8)) as u8).collect::<Vec<_>>());
    let served = chunk.clone();
    let inner = tower::service_fn(move |_: Request<_>| {
        let chunk = served.clone();
        let chunks = (0..LEN / CHUNK).map(move |_| {
            // Each chunk has memory of its own, which must be freed.
            Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(&chunk)))
        });
        async move { Ok::<_, Infallible>(Response::new(StreamBody::new(stream::iter(chunks)))) }
    });
    let layer = CacheLayer::private(Redb::temporary().unwrap()).max_body(2 * LEN as u64);
    let service = layer.layer(inner);
    let before = ALLOCATOR.allocated();
    let begin = Instant::now();
    let mut bodies = Vec::new();
    for _ in 0..READERS {
        let request = Request::get("http://example.com/").body(Empty::<Bytes>::new()).unwrap();
        bodies.push(service.clone().oneshot(request).await.unwrap().into_body());
    }
    let slow = bodies.split_off(READERS - SLOW);
    join_all(bodies.into_iter().map(|body| read(body, &chunk))).await;
    for body in slow {
        read(body, &chunk).await;
    }
    let stats = layer.stats();
    assert_eq!((stats.misses, stats.coalesced, stats.stored), (1, READERS as u64 - 1, 1));
    let grown = ALLOCATOR.max_allocated() - before;
    println!("{READERS} readers: {} MiB at the peak, {:?}", grown / MIB, begin.elapsed());
    assert!(grown < 64 * MIB, "{grown} bytes were held at the peak");
}
