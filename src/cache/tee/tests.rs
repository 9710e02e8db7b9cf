//! What is in memory of a body in flight, and for how long.

use std::{convert::Infallible, sync::Arc};

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

/// The source of a body refers to the tee that holds it.
#[tokio::test]
async fn a_tee_goes_with_its_last_reader() {
    for (reads, is_stored) in [(0, false), (1, false), (2, true)] {
        let handle = Handle::new(Memory::default());
        let url = RequestUrl::none().text;
        let head = Head::new(Method::GET, url, Response::new(()).into_parts().0, Timestamp::MIN);
        let key = Key::from_bytes([1; 32]);
        let entry = Entry { key, call_key: key, head, names: None };
        let frames = ["a", "b"].map(|data| Ok::<_, Infallible>(Frame::data(Bytes::from(data))));
        let body = Peeked::unread(StreamBody::new(futures_util::stream::iter(frames)));
        let limits = Limits { expected: None, max: 9, check: ResponseCheck::default() };
        let budget = OverflowBudget { held: Default::default(), limit: 0 };
        let unstarted =
            Unstarted::new(handle.clone(), budget, entry, Related::default(), body, limits);
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
        assert_eq!(handle.get(&key).await.unwrap().is_some(), is_stored);
    }
}
