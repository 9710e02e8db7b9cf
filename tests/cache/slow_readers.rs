//! Readers of one body at different paces. A slow reader neither delays the others nor fills the
//! memory, and misses nothing.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::Response;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, StreamBody};
use larder::{
    BodyError, BodyErrorKind, BoxError, ResponseBody, Stored,
    status::Refusal,
    store::{ErrorKind, Memory, Store},
};

use crate::{
    streaming::{call, pattern, stored},
    support::{Double, Faulty, Op, Stand, TestBody, boxed, chunk, empty, get, soon},
};

const LEN: usize = 3 << 20;

/// The bytes that all bodies together may hold beyond their replay buffers.
const OVERFLOW: usize = 16 << 20;

/// The bytes that each body may hold for newcomers and slow readers.
const REPLAY: usize = 256 << 10;

/// An inner service whose responses have a body of these chunks.
fn giving(chunks: &[Bytes]) -> Double {
    let chunks = chunks.to_vec();
    Double::new(move |_, _| {
        let chunks = chunks.clone().into_iter().map(|chunk| Ok::<_, BoxError>(Frame::data(chunk)));
        Response::new(boxed(StreamBody::new(stream::iter(chunks))))
    })
}

/// Reads the rest of a body. Also returns the error that it ends in, if any.
async fn rest(mut body: ResponseBody<TestBody>) -> (Vec<u8>, Option<BodyError>) {
    let mut read = Vec::new();
    while let Some(frame) = soon(body.frame()).await {
        match frame {
            Ok(frame) => read.extend_from_slice(&frame.into_data().unwrap()),
            Err(error) => return (read, Some(error)),
        }
    }
    (read, None)
}

/// Lets a slow reader read some chunks, and then a fast one everything. Returns what the slow
/// reader has read, and its body.
async fn let_a_fast_reader_finish<B: Store>(
    stand: &Stand<B>,
    chunks: usize,
    expected: &[u8],
) -> (Vec<u8>, ResponseBody<TestBody>) {
    let mut slow = call(stand).await.into_body();
    let fast = call(stand).await.into_body();
    assert_eq!(stand.calls(), 1);
    let mut read = Vec::new();
    for _ in 0..chunks {
        read.extend_from_slice(&chunk(&mut slow).await.unwrap());
    }
    let (all, error) = rest(fast).await;
    assert!(error.is_none() && all == expected, "the fast reader gets every byte");
    (read, slow)
}

async fn a_slow_reader_gets_every_byte<B: Store>(store: impl Fn() -> B) {
    let (bytes, chunks) = pattern(LEN);
    for read_before in [0, 1, 20] {
        let stand = Stand::over(store(), giving(&chunks));
        let (mut read, slow) = let_a_fast_reader_finish(&stand, read_before, &bytes).await;
        assert_eq!(stand.len().await, 1);
        assert!(slow.size_hint().lower() > 0 && !slow.is_end_stream());
        let (all, error) = rest(slow).await;
        assert!(error.is_none(), "{error:?}");
        read.extend_from_slice(&all);
        assert!(read == bytes, "every byte in its place after {read_before} chunks");
        assert_eq!((stand.calls(), stand.layer.stats().in_flight), (1, 0));
    }
}

#[tokio::test]
async fn slow_reader_reads_on_from_the_store() {
    a_slow_reader_gets_every_byte(Memory::default).await;
}

#[cfg(feature = "redb")]
#[tokio::test]
async fn slow_reader_reads_on_from_the_file() {
    a_slow_reader_gets_every_byte(|| larder::store::Redb::temporary().unwrap()).await;
}

#[tokio::test]
async fn slow_reader_reads_on_from_a_store_whose_bodies_stream() {
    a_slow_reader_gets_every_byte(|| Faulty::new(Memory::default())).await;
}

#[tokio::test]
async fn slow_reader_knows_how_many_bytes_are_left() {
    let (bytes, chunks) = pattern(LEN);
    let stand = Stand::new(giving(&chunks));
    let (read, mut slow) = let_a_fast_reader_finish(&stand, 10, &bytes).await;
    let mut left = bytes.len() - read.len();
    while left > 0 {
        assert_eq!(slow.size_hint().exact(), Some(left as u64));
        assert!(!slow.is_end_stream());
        left -= chunk(&mut slow).await.unwrap().len();
    }
    assert_eq!(slow.size_hint().exact(), Some(0));
    assert!(chunk(&mut slow).await.is_none() && slow.is_end_stream());
}

// ===== Memory =====

const CHUNK: usize = 32 * 1024;

/// A chunk that is counted until nothing holds it any more.
struct Counted(Vec<u8>, Arc<AtomicUsize>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An inner service with an endless body. Also returns how many chunks of it are held.
fn endless() -> (Double, Arc<AtomicUsize>) {
    let held = Arc::<AtomicUsize>::default();
    let count = held.clone();
    let inner = Double::new(move |_, _| {
        let count = count.clone();
        let chunks = stream::repeat_with(move || {
            count.fetch_add(1, Ordering::SeqCst);
            let chunk = Bytes::from_owner(Counted(vec![7; CHUNK], count.clone()));
            Ok::<_, BoxError>(Frame::data(chunk))
        });
        Response::new(boxed(StreamBody::new(chunks)))
    });
    (inner, held)
}

/// Reads this many chunks. Asserts that none of them has to wait.
fn read_on(body: &mut ResponseBody<TestBody>, chunks: usize) {
    for n in 0..chunks {
        assert!(chunk(body).now_or_never().flatten().is_some(), "chunk {n} has to wait");
    }
}

/// Two readers of the body under `path`. Neither has read anything yet.
async fn fast_and_slow(
    stand: &Stand,
    path: &str,
) -> (ResponseBody<TestBody>, ResponseBody<TestBody>) {
    let request = || get(path).body(empty()).unwrap();
    let fast = stand.call(request()).await.unwrap().into_body();
    let slow = stand.call(request()).await.unwrap().into_body();
    (fast, slow)
}

/// The fast reader never waits for the slow ones. It makes no difference whether they have read
/// anything, or have left a waker.
#[tokio::test]
async fn slow_readers_hold_at_most_the_replay_buffer_and_the_overflow_budget() {
    const MOST: usize = (REPLAY + OVERFLOW) / CHUNK + 3;
    let (inner, held) = endless();
    let stand = Stand::new(inner);
    let mut fast = call(&stand).await.into_body();
    let mut slow = Vec::new();
    for chunks in 0..4 {
        let mut body = call(&stand).await.into_body();
        read_on(&mut body, chunks);
        slow.push(body);
    }
    for n in 0..3 * OVERFLOW / CHUNK {
        read_on(&mut fast, 1);
        let held = held.load(Ordering::SeqCst);
        assert!(held <= MOST, "{held} chunks are held after {n}");
    }
    assert_eq!(stand.calls(), 1);
    drop((fast, slow));
    assert_eq!(held.load(Ordering::SeqCst), 0);
}

/// When one body uses the whole overflow budget, the slow readers of another hold no more than a
/// replay buffer. They take nothing from the readers that use the budget.
#[tokio::test]
async fn slow_readers_of_all_bodies_share_the_overflow_budget() {
    let (inner, held) = endless();
    let stand = Stand::new(inner);
    let (mut fast, mut slow) = fast_and_slow(&stand, "/").await;
    read_on(&mut fast, OVERFLOW / CHUNK);
    let (mut fast_there, slow_there) = fast_and_slow(&stand, "/other").await;
    let before = held.load(Ordering::SeqCst);
    assert!(before >= OVERFLOW / CHUNK, "the slow reader is behind, and has the whole budget");
    for n in 0..100 {
        read_on(&mut fast_there, 1);
        let held = held.load(Ordering::SeqCst);
        assert!(held <= (2 * REPLAY + OVERFLOW) / CHUNK + 3, "{held} chunks are held after {n}");
    }
    read_on(&mut slow, OVERFLOW / CHUNK);
    drop((fast, slow, fast_there, slow_there));
    assert_eq!(held.load(Ordering::SeqCst), 0);
}

/// It reads on from the store, and not from memory. The slow readers of other bodies may use the
/// memory that it has released.
#[tokio::test]
async fn reader_that_fell_out_of_memory_holds_none_while_the_body_is_stored() {
    let (inner, held) = endless();
    let stand = Stand::new(inner);
    let response = call(&stand).await;
    let status = response.extensions().get::<larder::CacheStatus>().unwrap().clone();
    let (mut fast, slow) = (response.into_body(), call(&stand).await.into_body());
    read_on(&mut fast, 2 * OVERFLOW / CHUNK);
    assert_eq!(status.stored(), Stored::Pending);
    assert!(held.load(Ordering::SeqCst) <= 1, "the newest chunk at most");
    // A slow reader of another body may use the whole budget.
    let (mut fast_there, mut slow_there) = fast_and_slow(&stand, "/other").await;
    read_on(&mut fast_there, OVERFLOW / CHUNK);
    read_on(&mut slow_there, OVERFLOW / CHUNK);
    drop((fast, slow, fast_there, slow_there));
    assert_eq!(held.load(Ordering::SeqCst), 0);
}

/// Without a store, a slow reader depends on the memory. `max_slow_reader_memory` bounds that.
#[tokio::test]
async fn max_slow_reader_memory_bounds_slow_readers_with_any_max_body() {
    for (limit, max_body) in
        [(None, 4 * OVERFLOW), (None, CHUNK), (Some(2 * OVERFLOW), CHUNK), (Some(0), 4 * OVERFLOW)]
    {
        let (inner, held) = endless();
        let store = Faulty::new(Memory::default());
        store.fail(Op::Put, ErrorKind::Unavailable);
        let stand = Stand::over(store, inner).with(|layer| layer.max_body(max_body as u64));
        let stand = stand.with(|layer| match limit {
            Some(limit) => layer.max_slow_reader_memory(limit as u64),
            None => layer,
        });
        let limit = limit.unwrap_or(OVERFLOW);
        let mut fast = call(&stand).await.into_body();
        let mut slow = call(&stand).await.into_body();
        read_on(&mut fast, limit / CHUNK);
        assert!(held.load(Ordering::SeqCst) >= limit / CHUNK, "the slow reader has all of it");
        read_on(&mut slow, (limit / CHUNK).min(1));
        for _ in 0..limit / CHUNK + 2 * REPLAY / CHUNK {
            read_on(&mut fast, 1);
            let held = held.load(Ordering::SeqCst);
            assert!(held <= (REPLAY + limit) / CHUNK + 3, "{limit} {max_body}: {held} are held");
        }
        let error = slow.frame().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), BodyErrorKind::Lagged, "an error, not a short body");
        assert_eq!(stand.layer.stats().lost, 1);
    }
}

/// The body turns out to be too large to be stored while it is read.
#[tokio::test]
async fn small_max_body_does_not_end_slow_readers() {
    let (bytes, chunks) = pattern(LEN);
    for max_body in [0, 1000, LEN as u64 / 2] {
        let stand = Stand::new(giving(&chunks)).with(|layer| layer.max_body(max_body));
        let (mut read, slow) = let_a_fast_reader_finish(&stand, 1, &bytes).await;
        assert_eq!(stand.len().await, 0, "{max_body}");
        let (all, error) = rest(slow).await;
        read.extend_from_slice(&all);
        assert!(error.is_none() && read == bytes, "{max_body}: {error:?}");
    }
}

// ===== Stores that fail =====

/// The store fails at the beginning of the body, midway, or at its end.
#[tokio::test]
async fn readers_get_every_byte_when_the_store_fails_midway() {
    let (bytes, chunks) = pattern(200_000);
    for op in [Op::Put, Op::Write, Op::Finish] {
        for healthy in [0, 3, chunks.len()] {
            let store = Faulty::new(Memory::default());
            let stand = Stand::over(store.clone(), giving(&chunks));
            let mut responses = Vec::new();
            for _ in 0..3 {
                responses.push(call(&stand).await);
            }
            let mut first = responses.remove(0);
            let mut read = Vec::new();
            if op == Op::Put {
                store.fail(op, ErrorKind::Full);
            }
            for _ in 0..healthy.min(chunks.len() - 1) {
                read.extend_from_slice(&chunk(first.body_mut()).await.unwrap());
            }
            store.fail(op, ErrorKind::Full);
            let status = first.extensions().get::<larder::CacheStatus>().unwrap().clone();
            read.extend_from_slice(&rest(first.into_body()).await.0);
            assert!(read == bytes, "{op:?} after {healthy}");
            assert_eq!(status.stored(), Stored::No(Refusal::StoreFailed(ErrorKind::Full)));
            for response in responses {
                assert_eq!(stored(&response), status.stored());
                let (all, error) = rest(response.into_body()).await;
                assert!(error.is_none() && all == bytes, "{op:?} after {healthy}: {error:?}");
            }
            assert_eq!((stand.len().await, stand.calls()), (0, 1));
        }
    }
}

/// The body is much larger than the replay buffer, and its readers read one after the other. The
/// memory takes the place of the store.
#[tokio::test]
async fn slow_reader_gets_every_byte_when_the_store_fails_at_once() {
    let (bytes, chunks) = pattern(LEN);
    let store = Faulty::new(Memory::default());
    store.fail(Op::Put, ErrorKind::Unavailable);
    let stand = Stand::over(store, giving(&chunks));
    let (mut read, slow) = let_a_fast_reader_finish(&stand, 3, &bytes).await;
    let (all, error) = rest(slow).await;
    read.extend_from_slice(&all);
    assert!(error.is_none() && read == bytes);
}

/// The bytes that it has missed are gone. Its body ends in an error, never in a normal end.
#[tokio::test]
async fn slow_reader_gets_an_error_when_the_bytes_it_missed_are_gone() {
    const LEN: usize = 3 * OVERFLOW;
    let (bytes, chunks) = pattern(LEN);
    for removed in [false, true] {
        let store = Faulty::new(Memory::default());
        let stand = Stand::over(store.clone(), giving(&chunks));
        let mut slow = call(&stand).await.into_body();
        let mut fast = call(&stand).await.into_body();
        let mut read = Vec::new();
        while read.len() < LEN / 2 {
            read.extend_from_slice(&chunk(&mut fast).await.unwrap());
        }
        if removed {
            stand.layer.entries().clear().await.unwrap();
        } else {
            store.fail(Op::Write, ErrorKind::Full);
        }
        read.extend_from_slice(&rest(fast).await.0);
        assert!(read == bytes, "the fast reader gets every byte");
        let error = slow.frame().await.unwrap().unwrap_err();
        assert_eq!(error.kind(), BodyErrorKind::Lagged);
        assert!(slow.frame().await.is_none());
    }
}
