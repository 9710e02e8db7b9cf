//! [`Source`]: reads the origin's body, and feeds the store with it.
//!
//! Nothing is spawned. The writer is a future ([`write_entry`](super::writer::write_entry)) that
//! takes chunks from a [`Queue`](super::in_flight::Queue). When a reader needs more, the source
//! reads a chunk, puts it into the queue, and polls that future. A body that nobody reads is not
//! read from the origin either.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use super::{
    drive::{Drive, End, SourceState, Step},
    in_flight::Tee,
    writer::{Published, Publishing, WriteFuture},
};
use crate::{
    cache::peeked::Peeked,
    policy::ResponseCheck,
    status::{Progress, Refusal},
    store::StoredBody,
};

/// The permission to store the response of a call.
pub(crate) trait Permit: Send + 'static {
    /// Whether the response was removed since its call began, as far as is known.
    fn is_invalidated(&self) -> bool;

    /// What the writer asks when it publishes the entry.
    fn publishing(&self) -> impl Publishing;

    /// The trailers that are stored of those that arrived.
    fn stored_trailers(&self, trailers: HeaderMap) -> HeaderMap {
        trailers
    }

    /// Reports what became of the entry: the length of its body, or why it was not stored. Until
    /// this, others may join the call.
    fn finish(self, stored: Result<u64, Refusal>);
}

/// How a body may end.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// The length that the head names, if it names one.
    pub(crate) expected: Option<u64>,
    /// The length of the largest body that is stored.
    pub(crate) max: u64,
    /// What the policy checks of the body and its trailers.
    pub(crate) check: ResponseCheck,
}

/// Holds the error that the body ends with. Only the leader receives it: it cannot be cloned.
pub(crate) type ErrorSlot<E> = Arc<Mutex<Option<E>>>;

/// The origin's body on its way to the readers and the store.
///
/// Source and tee refer to each other. The last reader drops the source, which breaks the cycle.
pub(super) struct Source<B: Body, P: Permit> {
    pub(super) tee: Tee,
    pub(super) body: Peeked<B>,
    pub(super) error: ErrorSlot<B::Error>,
    pub(super) limits: Limits,
    pub(super) received: u64,
    pub(super) has_ended: bool,
    /// `None` once the entry is stored, or is given up.
    pub(super) storing: Option<Storing<P>>,
}

/// An entry that is being stored.
pub(super) struct Storing<P> {
    pub(super) write: WriteFuture,
    pub(super) permit: P,
}

impl<P: Permit> Storing<P> {
    /// Ends the write, and reports what became of the entry.
    fn finish(self, progress: &Progress, stored: Result<u64, Refusal>) {
        let Self { write, permit } = self;
        // Drop the writer first: until `finish`, others may still join the call.
        drop(write);
        if progress.set(stored.map(|_| ())).is_ok() {
            permit.finish(stored);
        }
    }
}

impl<B: Body, P: Permit> Source<B, P> {
    /// Gives up storing the response.
    fn abandon(&mut self, refusal: Refusal) {
        if let Some(storing) = self.storing.take() {
            self.tee.queue.clear();
            storing.finish(&self.tee.progress, Err(refusal));
        }
    }
}

impl<B: Body, P: Permit> Drop for Source<B, P> {
    fn drop(&mut self) {
        self.abandon(Refusal::Dropped);
    }
}

impl<B, P> Source<B, P>
where
    B: Body<Data = Bytes, Error: Send> + 'static,
    P: Permit,
{
    /// Takes what the origin's body has brought.
    fn take(&mut self, frame: Option<Result<Frame<Bytes>, B::Error>>) -> Step<StoredBody> {
        let (chunk, end) = match frame {
            None => (None, Some(self.end(None))),
            Some(Err(error)) => (None, Some(self.fail(error))),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(chunk) => {
                    self.take_chunk(&chunk);
                    // A body says that it has ended only if no more will come.
                    let end = self.body.is_end_stream().then(|| self.end(None));
                    (Some(chunk), end)
                }
                // No other frames than data and trailers exist yet.
                Err(frame) => {
                    let trailers = frame.into_trailers().ok();
                    (None, trailers.map(|trailers| self.end(Some(trailers))))
                }
            },
        };
        Step { chunk, end, copies: Vec::new() }
    }

    /// Counts and checks a chunk, and queues it for the store.
    fn take_chunk(&mut self, chunk: &Bytes) {
        self.received = self.received.saturating_add(chunk.len() as u64);
        if self.received > self.limits.max {
            self.abandon(Refusal::TooLarge);
        } else if self.limits.expected.is_some_and(|expected| self.received > expected) {
            self.abandon(Refusal::Length);
        } else if self.storing.as_ref().is_some_and(|storing| storing.permit.is_invalidated()) {
            self.abandon(Refusal::Removed);
        } else if let Err(refusal) = self.limits.check.take(chunk) {
            self.abandon(refusal);
        } else if self.storing.is_some() && !chunk.is_empty() {
            self.tee.queue.push(chunk.clone());
        }
    }

    /// The origin's body has ended.
    fn end(&mut self, trailers: Option<HeaderMap>) -> End {
        self.has_ended = true;
        if self.limits.expected.is_some_and(|expected| self.received != expected) {
            self.abandon(Refusal::Length);
        }
        if let Err(refusal) = self.limits.check.end(trailers.as_ref()) {
            self.abandon(refusal);
        }
        if let Some(Storing { permit, .. }) = &self.storing {
            let stored = trailers.clone().map(|trailers| permit.stored_trailers(trailers));
            self.tee.queue.end(stored);
        }
        End::Whole(trailers)
    }

    /// The origin's body has failed.
    fn fail(&mut self, error: B::Error) -> End {
        self.abandon(Refusal::BodyFailed);
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        self.has_ended = true;
        End::Failed
    }

    /// Drives the writer. Ready with the copies when it has ended.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Vec<StoredBody>> {
        let Some(storing) = &mut self.storing else { return Poll::Pending };
        let published = ready!(storing.write.as_mut().poll(cx));
        self.tee.queue.clear();
        let (stored, copies) = match published {
            Ok(Published { bytes, copies }) => (Ok(bytes), copies),
            Err(refusal) => (Err(refusal), Vec::new()),
        };
        if let Some(storing) = self.storing.take() {
            storing.finish(&self.tee.progress, stored);
        }
        Poll::Ready(copies)
    }
}

impl<B, P> Drive for Source<B, P>
where
    B: Body<Data = Bytes, Error: Send> + Send + 'static,
    P: Permit,
{
    type Copy = StoredBody;

    fn poll_step(&mut self, behind: usize, cx: &mut Context<'_>) -> Poll<Step<StoredBody>> {
        if self.storing.is_some() {
            self.tee.queue.want_copies(behind);
            if let Poll::Ready(copies) = self.poll_write(cx) {
                return Poll::Ready(Step { copies, ..Step::default() });
            }
            if self.tee.queue.is_full() {
                return Poll::Pending;
            }
        }
        if self.has_ended {
            return Poll::Pending;
        }
        let frame = ready!(self.body.poll_frame(cx));
        let mut step = self.take(frame);
        // Starts writing now. If the store has to wait, the next step continues.
        if self.storing.is_some()
            && step.end.is_none()
            && let Poll::Ready(copies) = self.poll_write(cx)
        {
            step.copies = copies;
        }
        Poll::Ready(step)
    }

    fn state(&self) -> SourceState {
        let rest = if self.has_ended { SizeHint::with_exact(0) } else { self.body.size_hint() };
        SourceState {
            rest,
            is_storing: self.storing.is_some(),
            is_complete: self.limits.expected.is_some_and(|expected| self.received >= expected),
            has_length: self.limits.expected.is_some(),
        }
    }
}

/// The state of a source before its first step.
pub(super) fn initial_state<B: Body<Data = Bytes>>(
    body: &Peeked<B>,
    limits: &Limits,
) -> SourceState {
    SourceState {
        rest: body.size_hint(),
        is_storing: true,
        is_complete: limits.expected == Some(0),
        has_length: limits.expected.is_some(),
    }
}
