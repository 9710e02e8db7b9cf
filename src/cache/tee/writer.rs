//! Writes an entry into the store while its body arrives.
//!
//! The [`Queue`] has one consumer and keeps no waker: the [`Source`](super::source::Source) fills
//! it, and polls the writer with each step.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use bytes::Bytes;
use http::HeaderMap;

use super::splice::Splice;
use crate::{
    cache::{
        handle::Handle,
        variance::{Link, lead_to_others},
    },
    entry::Head,
    event::StoreOperation,
    key::Key,
    status::Refusal,
    store::{self, Store, StoredBody, Writer},
};

/// How far the readers may be ahead of the store, in bytes. Beyond that, they wait, and drive the
/// store meanwhile. A chunk is never split, so the queue may hold one of any size in addition.
const BACKLOG: usize = 256 * 1024;

/// The chunks that wait to be written.
#[derive(Debug, Default)]
pub(crate) struct Queue(Mutex<QueueState>);

#[derive(Debug, Default)]
struct QueueState {
    chunks: VecDeque<Bytes>,
    bytes: usize,
    end: Option<Option<HeaderMap>>,
    /// How many readers need a copy once the entry is published.
    copies: usize,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Filling,
    /// The entry is being published, which cannot be stopped.
    Committing,
    /// The entry must not be published.
    KeptOut(Refusal),
}

/// What the writer takes from the queue.
enum Input {
    Chunk(Bytes),
    End(Option<HeaderMap>),
    KeptOut(Refusal),
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // The state is whole between any two statements under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next item. No waker is kept: the source polls the writer right after it fills the
    /// queue.
    fn poll_next(&self) -> Poll<Input> {
        let mut state = self.lock();
        if let Stage::KeptOut(why) = state.stage {
            return Poll::Ready(Input::KeptOut(why));
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

    /// Forbids to publish the entry. `false` if it is being published already.
    pub(super) fn keep_out(&self, why: Refusal) -> bool {
        let mut state = self.lock();
        if state.stage == Stage::Committing {
            return false;
        }
        state.stage = Stage::KeptOut(why);
        true
    }
}

/// What a chunk costs. A short chunk may hold the whole read buffer that it arrived in.
fn cost(chunk: &Bytes) -> usize {
    chunk.len().max(4 * 1024)
}

/// What is stored, and where.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    pub(crate) head: Head,
    /// What leads to it from the resident, if it lies beside one.
    pub(crate) link: Option<Link>,
    /// Whether other variants were stored meanwhile, which it has to lead to.
    pub(crate) others: Arc<AtomicBool>,
    /// The stored part around the body.
    pub(crate) splice: Option<Splice>,
    /// What leads to it from other URLs.
    pub(crate) annotations: Vec<(Key, Head)>,
}

/// An entry that is stored.
pub(super) struct Published {
    /// The length of its body, with the stored part around it.
    pub(super) bytes: u64,
    /// Copies of the body that arrived, for readers that fell behind. Fewer than needed if the
    /// store fails.
    pub(super) copies: Vec<StoredBody>,
}

/// What was published, or why nothing was.
pub(super) type WriteFuture =
    Pin<Box<dyn Future<Output = store::Result<Result<Published, Refusal>>> + Send>>;

/// Writes `entry` with the body that `queue` brings, and what leads to it.
/// `supersede` keeps older responses out of the entry. The observer hears of the store's failures.
pub(super) async fn write_entry<B: Store>(
    handle: Handle<B>,
    entry: Entry,
    supersede: impl Future<Output = ()> + Send,
    queue: Arc<Queue>,
) -> store::Result<Result<Published, Refusal>> {
    let Entry { key, head, link, others, splice, annotations } = entry;
    let (observer, written) = (&handle.observer, head.clone());
    let mut writer = handle.put(&key, head).await?;
    if let Some(splice) = &splice
        && !splice.copy_before(&handle, &mut writer).await?
    {
        return Ok(Err(Refusal::Conflict));
    }
    let mut len = 0;
    let mut trailers = loop {
        match poll_fn(|_| queue.poll_next()).await {
            Input::Chunk(chunk) => {
                len += chunk.len() as u64;
                observer.asked(StoreOperation::Write, &key, writer.write(chunk)).await?;
            }
            Input::End(trailers) => break trailers,
            Input::KeptOut(why) => return Ok(Err(why)),
        }
    };
    if let Some(splice) = &splice {
        if !splice.copy_after(&handle, &mut writer).await? {
            return Ok(Err(Refusal::Conflict));
        }
        // They are those of the part, not of the whole.
        trailers = None;
    }
    supersede.await;
    if let Some(link) = link
        && !link.write(&handle).await?
    {
        // The resident is lost: nobody would find this variant.
        return Ok(Err(Refusal::Conflict));
    }
    let finish = writer.finish(trailers.clone());
    observer.asked(StoreOperation::Finish, &key, finish).await?;
    if written.varies() && others.load(Ordering::Acquire) {
        // The observer hears of a failure. The others are fetched anew then.
        drop(lead_to_others(&handle, key, &written).await);
    }
    if let Some(splice) = splice.filter(|it| it.key != key && !it.leads_to_others) {
        // The whole is complete. A failure leaves a part that is of no more use.
        drop(handle.remove_if(&splice.key, splice.seen).await);
    }
    handle.put_annotations(annotations).await;
    let union = splice.map(|splice| splice.union);
    let bytes = union.map_or(len, |union| union.len());
    let wanted = queue.lock().copies;
    let mut copies = Vec::with_capacity(wanted);
    if wanted > 0 {
        let published = written.seal(bytes, trailers);
        while copies.len() < wanted {
            match handle.get(&key).await {
                Ok(Some(mut hit)) if hit.head.is_same_response(&published) => {
                    hit.body = handle.evict_if_damaged(hit.body, key, hit.version);
                    let body = hit.into_response().into_body();
                    copies.push(match &union {
                        Some(union) => body.part(union.before, len),
                        None => body,
                    });
                }
                // Another entry has taken its place, or the store fails.
                _ => break,
            }
        }
    }
    Ok(Ok(Published { bytes, copies }))
}
