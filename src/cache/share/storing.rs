//! The storing side of a body on its way: what it is given, and what it does with it.
//!
//! It has one consumer and keeps no waker: whoever fills the queue polls the storing future right after. That is the
//! [`Carrier`](super::carrier::Carrier), and nobody else.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use bytes::Bytes;
use http::HeaderMap;

use super::around::Around;
use crate::{
    cache::{CacheLayer, flight::CallId, heal::watched, list::Listing, search},
    entry::Head,
    event::{Observer, StoreOperation},
    key::Key,
    status::Refusal,
    store::{self, Store, StoredBody, Writer},
};

/// How far the readers may be ahead of the store, in bytes; beyond it, they wait, and drive the store meanwhile. A chunk
/// is never split, so one of any size may stand in the queue beside this.
const BACKLOG: usize = 256 * 1024;

/// What the store is to be given.
#[derive(Debug, Default)]
pub(crate) struct Queue(Mutex<QueueState>);

#[derive(Debug, Default)]
struct QueueState {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    end: Option<Option<HeaderMap>>,
    /// How many readers are to have a copy once the entry is published.
    copies: usize,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Filling,
    /// The entry is being published; there is no way back.
    Committing,
    /// It must not be published any more.
    Doomed(Refusal),
}

/// What the storing side is given.
enum Input {
    Chunk(Bytes),
    End(Option<HeaderMap>),
    Doomed(Refusal),
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // The state is whole between any two statements under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What comes next. No waker is kept: whoever fills the queue polls the storing side right after.
    fn poll_next(&self) -> Poll<Input> {
        let mut state = self.lock();
        if let Stage::Doomed(why) = state.stage {
            return Poll::Ready(Input::Doomed(why));
        }
        if let Some(chunk) = state.chunks.pop_front() {
            state.bytes -= cost(&chunk);
            return Poll::Ready(Input::Chunk(chunk));
        }
        match state.end.take() {
            Some(trailers) => {
                state.stage = Stage::Committing;
                Poll::Ready(Input::End(trailers))
            }
            None => Poll::Pending,
        }
    }

    pub(super) fn push(&self, chunk: Bytes) {
        let mut state = self.lock();
        state.bytes += cost(&chunk);
        state.chunks.push_back(chunk);
    }

    pub(super) fn clear(&self) {
        let mut state = self.lock();
        state.chunks.clear();
        state.bytes = 0;
    }

    pub(super) fn end(&self, trailers: Option<HeaderMap>) {
        self.lock().end = Some(trailers);
    }

    pub(super) fn want_copies(&self, copies: usize) {
        self.lock().copies = copies;
    }

    pub(super) fn is_full(&self) -> bool {
        self.lock().bytes >= BACKLOG
    }

    /// Forbids to publish the entry; `false` where it is too late, since it is being published.
    pub(super) fn doom(&self, why: Refusal) -> bool {
        let mut state = self.lock();
        if state.stage == Stage::Committing {
            return false;
        }
        state.stage = Stage::Doomed(why);
        true
    }
}

/// What a chunk counts for: a short one as well may hold on to the whole read buffer that it came in.
fn cost(chunk: &Bytes) -> usize {
    chunk.len().max(4 * 1024)
}

/// What is to be stored, and where.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) head: Head,
    /// What the list of variants under the primary key has to say, where it does not yet.
    pub(crate) list: Option<Listing>,
    /// What is stored already, and goes before and behind the body.
    pub(crate) around: Option<Around>,
    /// What leads to it from other URLs.
    pub(crate) notes: Vec<(Key, Head)>,
}

/// An entry that is stored.
pub(super) struct Published {
    /// The length of its body, with what goes around the part that has come.
    pub(super) bytes: u64,
    /// The copies of what has come that readers wait for, fewer where the store fails.
    pub(super) copies: Vec<StoredBody>,
}

/// What was published, or why nothing was.
pub(super) type StoringFuture =
    Pin<Box<dyn Future<Output = store::Result<Result<Published, Refusal>>> + Send>>;

/// Writes `entry` with the body that `queue` brings, then the list of variants that leads to it. What the store fails at is
/// told here.
pub(super) async fn store_entry<B: Store>(
    cache: CacheLayer<B>,
    entry: Entry,
    call: CallId,
    queue: Arc<Queue>,
) -> store::Result<Result<Published, Refusal>> {
    let Entry { key, head, list, around, notes } = entry;
    let (store, given) = (&cache.shared.store, head.clone());
    let observer = cache.observer();
    let mut writer = observer.asked(StoreOperation::Put, &key, store.put(&key, head)).await?;
    if let Some(around) = &around
        && !around.copy_before(&cache, &mut writer).await?
    {
        return Ok(Err(Refusal::Superseded));
    }
    let mut len = 0;
    let mut trailers = loop {
        match poll_fn(|_| queue.poll_next()).await {
            Input::Chunk(chunk) => {
                len += chunk.len() as u64;
                observer.asked(StoreOperation::Write, &key, writer.write(chunk)).await?;
            }
            Input::End(trailers) => break trailers,
            Input::Doomed(why) => return Ok(Err(why)),
        }
    };
    if let Some(around) = &around {
        if !around.copy_after(&cache, &mut writer).await? {
            return Ok(Err(Refusal::Superseded));
        }
        // They are of the one part.
        trailers = None;
    }
    cache.shared.flights.overtake(&call, &key).await;
    let mut there = None;
    if let Some(list) = &list
        && let primary = &list.primary
        && let Ok(Some(hit)) =
            observer.asked(StoreOperation::Get, primary, store.get(primary)).await
        && hit.head.variant_names().is_some()
    {
        if !list.is_found_by(&hit.head) {
            // Meanwhile, others have found that the response varies by more: under this key, nobody would find it.
            return Ok(Err(Refusal::Superseded));
        }
        there = Some(hit);
    }
    let finish = writer.finish(trailers.clone());
    observer.asked(StoreOperation::Finish, &key, finish).await?;
    // The list comes last: until then, what the primary key held before keeps answering.
    if let Some(list) = list {
        list.lay(store, observer, there).await?;
    }
    let part = around.map(|around| around.union);
    if let Some(around) = around.filter(|around| around.key != key) {
        around.remove(&cache).await;
    }
    search::lay(&cache, notes).await;
    let bytes = part.map_or(len, |union| union.len());
    let wanted = queue.lock().copies;
    let mut copies = Vec::with_capacity(wanted);
    if wanted > 0 {
        let published = given.seal(bytes, trailers);
        while copies.len() < wanted {
            match observer.asked(StoreOperation::Get, &key, store.get(&key)).await {
                Ok(Some(mut hit)) if *hit.head == published => {
                    hit.body = watched(hit.body, &cache, key, hit.version);
                    let body = hit.into_response().into_body();
                    copies.push(match &part {
                        Some(union) => body.part(union.before, len),
                        None => body,
                    });
                }
                // Another has taken its place by now, or the store fails.
                _ => break,
            }
        }
    }
    Ok(Ok(Published { bytes, copies }))
}

/// Stores a head that has no body: a list of variants, or a note.
pub(crate) async fn put_head<B: Store>(
    store: &B,
    observer: &Observer,
    key: &Key,
    head: Head,
) -> store::Result<()> {
    let writer = observer.asked(StoreOperation::Put, key, store.put(key, head)).await?;
    observer.asked(StoreOperation::Finish, key, writer.finish(None)).await
}
