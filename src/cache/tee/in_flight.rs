//! [`Tee`]: a response whose body is on its way into the store. Its call, the readers of its body
//! and its source refer to it.
//!
//! It is one allocation, with its readers and the queue of its writer. The [`Queue`] has one consumer and keeps no waker: the
//! [`Source`](super::source::Source) fills it, and polls the writer with each step.

use std::{
    future::poll_fn,
    ops::Deref,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use smallvec::SmallVec;

use super::{
    drive::{Drive, SourceState, Step},
    replay_buffer::OverflowBudget,
    shared::{self, NewReader, Shared},
};
use crate::{
    entry::{Head, VaryNames},
    event::Observer,
    key::Key,
    status::{Progress, Refusal},
    store::StoredBody,
};

/// A reader of a body in flight.
pub(crate) type Reader = shared::Reader<AnySource, EntryInFlight>;

/// A response whose body is on its way into the store, as followers find it.
#[derive(Clone)]
pub(crate) struct Tee(pub(super) Arc<Shared<AnySource, EntryInFlight>>);

/// The entry that a body in flight is stored as.
pub(crate) struct EntryInFlight {
    pub(crate) key: Key,
    /// The key under which requests for it join calls.
    pub(crate) call_key: Key,
    pub(crate) head: Arc<Head>,
    /// The request headers that select it, if it varies.
    pub(crate) names: Option<VaryNames>,
    /// Whether it has been stored.
    pub(crate) progress: Progress,
    pub(super) queue: Queue,
    pub(crate) observer: Arc<Observer>,
}

/// What is stored of a response, except its body, and where.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) key: Key,
    /// The key under which requests for it join calls.
    pub(crate) call_key: Key,
    pub(crate) head: Head,
    /// The request headers that select it, if it varies.
    pub(crate) names: Option<VaryNames>,
}

/// Any source. This is a type of its own: the hidden lifetime of an alias would keep the compiler
/// from seeing that futures around it are `Send`.
pub(crate) struct AnySource(Box<dyn Drive<Copy = StoredBody>>);

impl Drive for AnySource {
    type Copy = StoredBody;

    fn poll_step(&mut self, behind: usize, cx: &mut Context<'_>) -> Poll<Step<StoredBody>> {
        self.0.poll_step(behind, cx)
    }

    fn state(&self) -> SourceState {
        self.0.state()
    }
}

impl Deref for Tee {
    type Target = EntryInFlight;

    fn deref(&self) -> &EntryInFlight {
        &self.0.info
    }
}

impl Tee {
    /// The response that is stored as `entry`, and the first reader of its body. All readers wait
    /// until the body is [given](Self::begin) its source.
    pub(super) fn new(
        entry: Entry,
        observer: Arc<Observer>,
        state: SourceState,
        budget: OverflowBudget,
    ) -> (Self, Reader) {
        let Entry { key, call_key, head, names } = entry;
        let entry = EntryInFlight {
            key,
            call_key,
            head: Arc::new(head),
            names,
            progress: Progress::default(),
            queue: Queue::default(),
            observer,
        };
        let (shared, reader) = Shared::new(entry, state, budget);
        (Self(shared), reader)
    }

    /// Gives the body its source.
    pub(super) fn begin(&self, source: impl Drive<Copy = StoredBody>) {
        self.0.begin(AnySource(Box::new(source)));
    }

    /// Adds a reader. `None` if the response has been stored or given up.
    pub(crate) fn join(&self) -> Option<JoinedBody> {
        self.0.join().map(|reader| match reader {
            NewReader::FromStart(reader) => JoinedBody::FromStart(reader),
            NewReader::Late(reader) => JoinedBody::Late(UntilStored(reader)),
        })
    }

    /// Forbids to store the response. `false` if it is being published already.
    pub(crate) fn forbid(&self, why: Refusal) -> bool {
        self.queue.forbid(why)
    }

    /// Keeps the response out of the store. Returns when it cannot be stored any more, or has been
    /// stored.
    pub(crate) async fn keep_out(&self, why: Refusal) {
        if !self.forbid(why)
            && let Some(reader) = self.0.watch()
        {
            UntilStored(reader).done().await;
        }
    }
}

/// How one more request joins a response in flight.
pub(crate) enum JoinedBody {
    /// It reads the body from the first byte.
    FromStart(Reader),
    /// The start of the body is gone. It waits for the entry.
    Late(UntilStored),
}

/// Waits until an entry is stored or given up, and drives its source meanwhile.
pub(crate) struct UntilStored(Reader);

impl UntilStored {
    pub(crate) async fn done(mut self) {
        poll_fn(|cx| self.0.poll_settled(cx)).await;
    }
}

/// How far the readers may be ahead of the store, in bytes. Beyond that, they wait, and drive the
/// store meanwhile. A chunk is never split, so the queue may hold one of any size in addition.
const BACKLOG: usize = 256 * 1024;

/// The chunks that wait to be written.
#[derive(Debug, Default)]
pub(crate) struct Queue(Mutex<QueueState>);

#[derive(Debug, Default)]
struct QueueState {
    /// Few, since what they cost is bounded. Most bodies have one.
    chunks: SmallVec<[Bytes; 1]>,
    bytes: usize,
    end: Option<Option<Box<HeaderMap>>>,
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
pub(super) enum Input {
    Chunk(Bytes),
    End(Option<Box<HeaderMap>>),
    KeptOut(Refusal),
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // The state is whole between any two statements under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next item. No waker is kept: the source polls the writer right after it fills the
    /// queue.
    pub(super) fn poll_next(&self) -> Poll<Input> {
        let mut state = self.lock();
        if let Stage::KeptOut(why) = state.stage {
            return Poll::Ready(Input::KeptOut(why));
        }
        if !state.chunks.is_empty() {
            let chunk = state.chunks.remove(0);
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
        state.chunks.push(chunk);
    }

    pub(super) fn clear(&self) {
        let mut state = self.lock();
        state.chunks.clear();
        state.bytes = 0;
    }

    pub(super) fn end(&self, trailers: Option<HeaderMap>) {
        self.lock().end = Some(trailers.map(Box::new));
    }

    pub(super) fn want_copies(&self, copies: usize) {
        self.lock().copies = copies;
    }

    /// How many readers need a copy once the entry is published.
    pub(super) fn copies(&self) -> usize {
        self.lock().copies
    }

    pub(super) fn is_full(&self) -> bool {
        self.lock().bytes >= BACKLOG
    }

    /// Forbids to publish the entry. `false` if it is being published already.
    pub(super) fn forbid(&self, why: Refusal) -> bool {
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
