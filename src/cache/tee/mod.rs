//! A body in flight, read by several at once: the caller, its followers, and the store.
//!
//! - `shared` has the readers of one body. The reader that needs more drives the source.
//! - `drive` says what a source is, and what one step of it brings.
//! - `replay_buffer` holds what is in memory of the body.
//! - `source` reads the origin's body, and feeds the writer.
//! - `writer` writes the entry.
//! - `splice` copies the stored part around a body that continues it.
//!
//! The readers receive the end of the body after the entry is published. So a reader that has seen
//! the end finds the response stored. If the end is known with the last chunk, that chunk waits as
//! well: a server stops polling after `Content-Length` bytes, and the response is stored by then.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use self::{
    drive::{Drive, SourceState, Step},
    shared::{NewReader, Next, Reader, Shared},
    source::{ErrorSlot, Source, Storing},
    writer::{Queue, write_entry},
};
use super::{error::BrokenBody, handle::Handle, peeked::Peeked};
use crate::{
    entry::{Head, VaryNames},
    event::{Event, Observer},
    key::Key,
    status::{Progress, Refusal},
    store::{Store, StoredBody},
};

mod drive;
mod replay_buffer;
mod shared;
mod source;
mod splice;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use self::{
    replay_buffer::OverflowBudget,
    source::{Limits, Permit},
    splice::Splice,
    writer::{Entry, Publishing},
};

/// Bodies of up to this length that are there at once are stored before the head is returned.
const EAGER: u64 = 64 * 1024;

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

/// A response whose body is on its way into the store, as followers find it.
pub(crate) struct Tee {
    shared: Arc<Shared<AnySource>>,
    queue: Arc<Queue>,
    /// The key under which it is stored.
    pub(crate) key: Key,
    /// The key under which requests for it join calls.
    pub(crate) call_key: Key,
    /// The head that it is stored with.
    pub(crate) head: Arc<Head>,
    /// The request headers that select it, if it varies.
    pub(crate) names: Option<VaryNames>,
    /// Whether it has been stored.
    pub(crate) progress: Progress,
    observer: Arc<Observer>,
}

/// A tee whose body nobody reads before it is [started](Self::start).
pub(crate) struct Unstarted<S, B: Body> {
    pub(crate) tee: Arc<Tee>,
    handle: Handle<S>,
    entry: Entry,
    body: Peeked<B>,
    limits: Limits,
    reader: Reader<AnySource>,
}

impl Tee {
    /// A tee that stores `body` as `entry`.
    pub(crate) fn prepare<S: Store, B: Body<Data = Bytes>>(
        handle: Handle<S>,
        budget: OverflowBudget,
        entry: Entry,
        call_key: Key,
        names: Option<VaryNames>,
        body: Peeked<B>,
        limits: Limits,
    ) -> Unstarted<S, B> {
        let state = source::initial_state(&body, &limits);
        let (shared, reader) = Shared::new(state, budget);
        let tee = Arc::new(Self {
            shared,
            queue: Arc::default(),
            key: entry.key,
            call_key,
            head: entry.head.clone(),
            names,
            progress: Progress::default(),
            observer: handle.observer.clone(),
        });
        Unstarted { tee, handle, entry, body, limits, reader }
    }

    /// Adds a reader. `None` if the response has been stored or given up.
    pub(crate) fn join(&self) -> Option<JoinedBody> {
        self.shared.join().map(|reader| match reader {
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
            && let Some(reader) = self.shared.watch()
        {
            UntilStored(reader).done().await;
        }
    }
}

impl<S: Store, B> Unstarted<S, B>
where
    B: Body<Data = Bytes, Error: Send> + Send + 'static,
{
    /// Starts the body. Returns the leader's reader.
    pub(crate) fn start<P: Permit>(self, permit: P) -> SharedBody<B::Error> {
        let Self { tee, handle, entry, body, limits, reader } = self;
        let error = ErrorSlot::default();
        let (queue, progress) = (tee.queue.clone(), tee.progress.clone());
        let write = write_entry(handle, entry, permit.publishing(), queue.clone());
        let source = Source {
            body,
            error: error.clone(),
            limits,
            received: 0,
            has_ended: false,
            queue,
            storing: Some(Storing { write: Box::pin(write), permit, progress }),
        };
        tee.shared.begin(AnySource(Box::new(source)));
        SharedBody { part: Part::Shared(reader), tee, error: Some(error) }
    }
}

/// How one more request joins a response in flight.
pub(crate) enum JoinedBody {
    /// It reads the body from the first byte.
    FromStart(Reader<AnySource>),
    /// The start of the body is gone. It waits for the entry.
    Late(UntilStored),
}

/// Waits until an entry is stored or given up, and drives its source meanwhile.
pub(crate) struct UntilStored(Reader<AnySource>);

impl UntilStored {
    pub(crate) async fn done(mut self) {
        poll_fn(|cx| self.0.poll_settled(cx)).await;
    }
}

/// One reader's body of a response in flight. `E` is the error of the inner service's body.
pub(crate) struct SharedBody<E> {
    part: Part,
    tee: Arc<Tee>,
    /// The leader's. It alone receives the error itself.
    error: Option<ErrorSlot<E>>,
}

enum Part {
    Shared(Reader<AnySource>),
    /// The stored copy, after so many bytes that were read before.
    Stored {
        body: StoredBody,
        skip: u64,
    },
    Over,
}

impl<E> SharedBody<E> {
    /// The body of a follower.
    pub(crate) fn follow(tee: Arc<Tee>, reader: Reader<AnySource>) -> Self {
        Self { part: Part::Shared(reader), tee, error: None }
    }

    /// Reads what is there at once of a small body, and stores it if that is all of it. So a
    /// response that arrived in one piece is stored even if its body is never read.
    pub(crate) async fn read_ahead(&mut self) {
        if let Part::Shared(reader) = &mut self.part
            && reader.size_hint().upper().is_some_and(|upper| upper <= EAGER)
        {
            poll_fn(|cx| reader.poll_ahead(EAGER, cx)).await;
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody<E>>>> {
        loop {
            match &mut self.part {
                Part::Over => return Poll::Ready(None),
                Part::Shared(reader) => match ready!(reader.poll_next(cx)) {
                    Next::Chunk(chunk) => return Poll::Ready(Some(Ok(Frame::data(chunk)))),
                    Next::Trailers(trailers) => {
                        self.part = Part::Over;
                        return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                    }
                    Next::End => self.part = Part::Over,
                    Next::Copy(body, skip) => self.part = Part::Stored { body, skip },
                    Next::Failed => {
                        self.part = Part::Over;
                        return Poll::Ready(Some(Err(self.failure())));
                    }
                    Next::Lost => {
                        self.part = Part::Over;
                        let key = &self.tee.key;
                        self.tee.observer.tell(&Event::ReaderLost { key });
                        return Poll::Ready(Some(Err(BrokenBody::Lagged)));
                    }
                },
                Part::Stored { body, skip } => {
                    let frame = ready!(Pin::new(body).poll_frame(cx));
                    let Some(Ok(mut frame)) = frame else {
                        self.part = Part::Over;
                        return Poll::Ready(frame.map(|frame| frame.map_err(BrokenBody::Store)));
                    };
                    if let Some(chunk) = frame.data_mut() {
                        let skipped = usize::try_from(*skip).unwrap_or(usize::MAX).min(chunk.len());
                        chunk.advance(skipped);
                        *skip -= skipped as u64;
                        if chunk.is_empty() {
                            continue;
                        }
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
            }
        }
    }

    fn failure(&self) -> BrokenBody<E> {
        let own = self
            .error
            .as_ref()
            .and_then(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).take());
        own.map_or(BrokenBody::Coalesced, BrokenBody::Inner)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        match &self.part {
            Part::Shared(reader) => reader.is_end_stream(),
            Part::Stored { body, .. } => body.is_end_stream(),
            Part::Over => true,
        }
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match &self.part {
            Part::Shared(reader) => reader.size_hint(),
            Part::Stored { body, skip } => {
                SizeHint::with_exact(body.size_hint().lower().saturating_sub(*skip))
            }
            Part::Over => SizeHint::with_exact(0),
        }
    }
}

impl<E> fmt::Debug for SharedBody<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedBody").finish_non_exhaustive()
    }
}
