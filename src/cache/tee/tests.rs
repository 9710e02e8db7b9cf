//! What is in memory of a body in flight, and for how long.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    task::Waker,
};

use http::{Method, Response};
use http_body_util::StreamBody;

use super::{replay_buffer::ReplayBuffer, *};
use crate::{
    entry::{Head, Others},
    key::{Key, RequestUrl},
    policy::ResponseCheck,
    status::Refusal,
    store::Memory,
    time::Timestamp,
};

const SMALL: usize = 4 * 1024;

/// Whether a body that begins with this chunk holds the memory in which it arrived.
fn holds_the_arrived(chunk: &Bytes, is_end: bool) -> bool {
    let mut buffer = ReplayBuffer::new(OverflowBudget { held: Default::default(), limit: 0 });
    buffer.push(chunk.clone(), 1, is_end);
    buffer.read(0).is_some_and(|held| held.as_ptr() == chunk.as_ptr())
}

#[test]
fn a_small_chunk_is_copied_unless_it_is_the_whole_body() {
    let (small, large) = (Bytes::from(vec![1; SMALL]), Bytes::from(vec![1; SMALL + 1]));
    assert!(holds_the_arrived(&small, true) && !holds_the_arrived(&small, false));
    assert!(holds_the_arrived(&large, true) && holds_the_arrived(&large, false));
}

/// A permission that nothing takes back.
struct Free;

impl Permit for Free {
    fn is_invalidated(&self) -> bool {
        false
    }

    fn publishing(&self) -> impl Publishing {
        Self
    }

    fn finish(self, _: Result<u64, Refusal>) {}
}

impl Publishing for Free {
    async fn begin(&self) -> Result<(), Refusal> {
        Ok(())
    }

    fn others(&self) -> Option<Others> {
        None
    }
}

const KEY: Key = Key::from_bytes([1; 32]);

/// A body on its way into an empty store, under [`KEY`].
fn unstarted<B: Body<Data = Bytes>>(body: B) -> Unstarted<Memory, B> {
    let url = RequestUrl::none().text;
    let head = Head::new(Method::GET, url, Response::new(()).into_parts().0, Timestamp::MIN);
    let entry = Entry { key: KEY, call_key: KEY, head, names: None };
    let limits = Limits { expected: None, max: u64::MAX, check: ResponseCheck::default() };
    let budget = OverflowBudget { held: Default::default(), limit: 0 };
    let (handle, body) = (Handle::new(Memory::default()), Peeked::unread(body));
    Unstarted::new(handle, budget, entry, Related::default(), body, limits)
}

/// The source of a body refers to the tee that holds it.
#[tokio::test]
async fn a_tee_goes_with_its_last_reader() {
    for (reads, is_stored) in [(0, false), (1, false), (2, true)] {
        let frames = ["a", "b"].map(|data| Ok::<_, Infallible>(Frame::data(Bytes::from(data))));
        let unstarted = unstarted(StreamBody::new(futures_util::stream::iter(frames)));
        let handle = unstarted.handle.clone();
        let held = Arc::downgrade(&unstarted.tee.0);
        let mut body = unstarted.start(Free);
        for _ in 0..reads {
            assert!(poll_fn(|cx| body.poll_frame(cx)).await.unwrap().is_ok());
        }
        if is_stored {
            assert!(poll_fn(|cx| body.poll_frame(cx)).await.is_none());
        }
        drop(body);
        assert!(held.strong_count() == 0, "after {reads} reads");
        assert_eq!(handle.get(&KEY).await.unwrap().is_some(), is_stored);
    }
}

/// A body that is pending after its first chunk, and keeps the waker that it was polled with.
struct KeepsWaker {
    chunk: Option<Bytes>,
    waker: Arc<Mutex<Option<Waker>>>,
}

impl Body for KeepsWaker {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(chunk) = self.chunk.take() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        *self.waker.lock().expect("the lock is not poisoned") = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// The waker is the tee. It must not hold what was read.
#[tokio::test]
async fn chunks_go_with_the_last_reader_although_the_waker_is_kept() {
    let (chunk, waker) = (Arc::new([0; 8 * 1024]), Arc::default());
    let held = Arc::downgrade(&chunk);
    let chunk = Some(Bytes::from_owner(Owned(chunk)));
    let mut body = unstarted(KeepsWaker { chunk, waker: Arc::clone(&waker) }).start(Free);
    assert!(poll_fn(|cx| body.poll_frame(cx)).await.unwrap().is_ok());
    assert!(poll_fn(|cx| Poll::Ready(body.poll_frame(cx))).await.is_pending());
    drop(body);
    assert!(waker.lock().unwrap().is_some());
    assert_eq!(held.strong_count(), 0);
}

struct Owned(Arc<[u8; 8 * 1024]>);

impl AsRef<[u8]> for Owned {
    fn as_ref(&self) -> &[u8] {
        &*self.0
    }
}
