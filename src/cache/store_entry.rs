//! The storing side of a response on its way: what it is given, and what it does with it.
//!
//! It has one consumer and keeps no waker: whoever fills the queue polls the storing future right after. That is the
//! [`Tee`](super::keep::Tee), and nobody else.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use bytes::Bytes;
use http::HeaderMap;

use crate::{
    entry::Head,
    key::Key,
    store::{self, Store, Writer},
};

/// How far the caller may be ahead of the store, in bytes; beyond it, the caller waits. A chunk is never split, so one
/// of any size may stand in the queue beside this.
const WINDOW: usize = 256 * 1024;

#[derive(Debug, Default)]
pub(super) struct Queue(Mutex<QueueState>);

#[derive(Debug, Default)]
struct QueueState {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    end: Option<Option<HeaderMap>>,
}

enum Next {
    Chunk(Bytes),
    End(Option<HeaderMap>),
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // The state is whole between any two statements under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes next. No waker is kept: whoever fills the queue polls the storing side right after.
    fn poll_next(&self) -> Poll<Next> {
        let mut state = self.lock();
        if let Some(chunk) = state.chunks.pop_front() {
            state.bytes -= cost(&chunk);
            return Poll::Ready(Next::Chunk(chunk));
        }
        state.end.take().map_or(Poll::Pending, |trailers| Poll::Ready(Next::End(trailers)))
    }

    pub(super) fn push(&self, chunk: Bytes) {
        let mut state = self.lock();
        state.bytes += cost(&chunk);
        state.chunks.push_back(chunk);
    }

    pub(super) fn clear(&self) {
        *self.lock() = QueueState::default();
    }

    pub(super) fn end(&self, trailers: Option<HeaderMap>) {
        self.lock().end = Some(trailers);
    }

    pub(super) fn is_full(&self) -> bool {
        self.lock().bytes >= WINDOW
    }
}

/// What a chunk counts for: a short one as well may hold on to the whole read buffer that it came in.
fn cost(chunk: &Bytes) -> usize {
    chunk.len().max(4 * 1024)
}

/// What is to be stored, and where.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) head: Head,
    /// The list of variants to lay under the primary key, where it is not there as it should be.
    pub(super) variants: Option<(Key, Head)>,
}

pub(super) type StoringFuture = Pin<Box<dyn Future<Output = Result<(), store::Error>> + Send>>;

/// Writes `entry` with the body that `queue` brings, then the list of variants that leads to it.
pub(super) async fn store_entry<B: Store>(
    store: B,
    entry: Entry,
    queue: Arc<Queue>,
) -> Result<(), store::Error> {
    let mut writer = store.put(&entry.key, entry.head).await?;
    loop {
        match poll_fn(|_| queue.poll_next()).await {
            Next::Chunk(chunk) => writer.write(chunk).await?,
            Next::End(trailers) => break writer.finish(trailers).await?,
        }
    }
    // The list comes last: until then, what the primary key held before keeps answering.
    if let Some((primary, list)) = entry.variants {
        store.put(&primary, list).await?.finish(None).await?;
    }
    Ok(())
}
