//! A body in flight, read by several at once: the caller, its followers, and the store.
//!
//! - `in_flight` is the response that the body belongs to, as its call and its followers find it.
//! - `shared` has the readers of one body. The reader that needs more drives the source.
//! - `readers` says how far each reader has read.
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
    sync::PoisonError,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};

use self::{
    in_flight::{EntryInFlight, Reader},
    shared::Next,
    source::{ErrorSlot, Source, Storing},
    writer::write_entry,
};
use super::{error::BrokenBody, handle::Handle, peeked::Peeked};
use crate::{
    event::Event,
    store::{Store, StoredBody},
};

mod drive;
mod in_flight;
mod readers;
mod replay_buffer;
mod shared;
mod source;
mod splice;
#[cfg(all(test, feature = "memory"))]
mod tests;
mod writer;

pub(crate) use self::{
    in_flight::{Entry, JoinedBody, Tee},
    replay_buffer::OverflowBudget,
    source::{Limits, Permit},
    splice::Splice,
    writer::{Publishing, Related},
};

/// Bodies of up to this length that are ready are stored before the head is returned.
const EAGER: u64 = 64 * 1024;

/// A tee whose body nobody reads before it is [started](Self::start).
pub(crate) struct Unstarted<S, B: Body> {
    pub(crate) tee: Tee,
    handle: Handle<S>,
    related: Related,
    body: Peeked<B>,
    limits: Limits,
    reader: Reader,
}

impl<S: Store, B: Body<Data = Bytes>> Unstarted<S, B> {
    /// A tee that stores `body` as `entry`.
    pub(crate) fn new(
        handle: Handle<S>,
        budget: OverflowBudget,
        entry: Entry,
        related: Related,
        body: Peeked<B>,
        limits: Limits,
    ) -> Self {
        let state = source::initial_state(&body, &limits);
        let (tee, reader) = Tee::new(entry, handle.observer.clone(), state, budget);
        Self { tee, handle, related, body, limits, reader }
    }
}

impl<S: Store, B> Unstarted<S, B>
where
    B: Body<Data = Bytes, Error: Send> + Send + 'static,
{
    /// Starts the body. Returns the leader's reader.
    pub(crate) fn start<P: Permit>(self, permit: P) -> SharedBody<B::Error> {
        let Self { tee, handle, related, body, limits, reader } = self;
        let error = ErrorSlot::default();
        let write = write_entry(handle, tee.clone(), related, permit.publishing());
        let storing = Some(Storing { write: Box::pin(write), permit });
        let source = Source {
            tee: tee.clone(),
            body,
            error: error.clone(),
            limits,
            received: 0,
            has_ended: false,
            storing,
        };
        tee.begin(source);
        SharedBody { part: Part::Shared(reader), error: Some(error) }
    }
}

/// One reader's body of a response in flight. `E` is the error of the inner service's body.
pub(crate) struct SharedBody<E> {
    part: Part,
    /// The leader's. It alone receives the error itself.
    error: Option<ErrorSlot<E>>,
}

enum Part {
    Shared(Reader),
    /// The stored copy, after so many bytes that were read before.
    Stored {
        body: StoredBody,
        skip: u64,
    },
    Over,
}

impl<E> SharedBody<E> {
    /// The body of a follower.
    pub(crate) fn follow(reader: Reader) -> Self {
        Self { part: Part::Shared(reader), error: None }
    }

    /// Reads what is ready of a small body, and stores the body if that is all of it. So a
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
                        let EntryInFlight { key, observer, .. } = &reader.shared.info;
                        observer.tell(&Event::ReaderLost { key });
                        self.part = Part::Over;
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
