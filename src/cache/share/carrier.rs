//! The work behind a body on its way: reads the inner service's body, and feeds the store as it goes.
//!
//! Nothing is spawned. The storing side is a future of its own ([`store_entry`](super::storing::store_entry)) that takes chunks from a [`Queue`]; the
//! carrier puts them there and polls that future itself, whenever a reader is hungry. So what nobody reads is not read
//! from the origin either.

use std::{
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body::{Body, SizeHint};

use super::{
    storing::{Published, Queue, StoringFuture},
    work::{End, Shape, Step, Work},
};
use crate::{
    cache::{
        begun::Begun,
        flight::{Flights, Lead},
    },
    event::{Event, Observer},
    key::Key,
    policy::ResponseCheck,
    status::{Progress, Refusal},
    store::{ErrorKind, StoredBody},
};

/// How a body may end.
#[derive(Clone, Debug)]
pub(crate) struct Limits {
    /// The length that the head promises, where it does.
    pub(crate) expected: Option<u64>,
    /// The largest body that is kept.
    pub(crate) max: u64,
    /// What else it has to be, and its trailers with it.
    pub(crate) check: ResponseCheck,
}

/// Where the error goes with which the body ends. It is the leader's: the others are told that there was one.
pub(crate) type ErrorSlot<E> = Arc<Mutex<Option<E>>>;

/// Says what has become of an entry, once; an entry of which nothing was said has been dropped.
pub(super) struct Notice {
    pub(super) key: Key,
    pub(super) asked_for: Key,
    pub(super) progress: Progress,
    pub(super) observer: Arc<Observer>,
    pub(super) flights: Flights,
}

impl Notice {
    /// An entry whose body has so many bytes is stored, or is not.
    fn say(&self, verdict: Result<u64, Refusal>) {
        if self.progress.set(verdict.map(|_| ())).is_ok() {
            match verdict {
                Ok(bytes) => {
                    self.observer.tell(&Event::Stored { key: &self.key, bytes });
                    self.flights.admitted(&self.asked_for);
                }
                Err(refusal) => {
                    self.flights.refused(&self.asked_for, refusal, StatusCode::OK);
                    self.observer.tell(&Event::NotStored { key: &self.key, refusal });
                }
            }
        }
    }
}

impl Drop for Notice {
    fn drop(&mut self) {
        self.say(Err(Refusal::Dropped));
    }
}

/// A body on its way from the inner service to the readers and the store.
pub(super) struct Carrier<B: Body> {
    pub(super) body: Begun<B>,
    pub(super) error: ErrorSlot<B::Error>,
    pub(super) queue: Arc<Queue>,
    /// `None` once it is through, one way or the other.
    pub(super) storing: Option<StoringFuture>,
    pub(super) notice: Notice,
    /// Keeps the flight open to newcomers for as long as the entry may yet be published.
    pub(super) lead: Option<Lead>,
    pub(super) limits: Limits,
    pub(super) received: u64,
    pub(super) has_ended: bool,
}

impl<B: Body<Data = Bytes>> Carrier<B> {
    /// Takes the next frame of the inner body, counts it, and shows it to the storing side.
    fn take(
        &mut self,
        frame: Option<Result<http_body::Frame<Bytes>, B::Error>>,
    ) -> Step<StoredBody> {
        let mut step = Step::default();
        let frame = match frame {
            None => {
                step.end = Some(self.end(None));
                return step;
            }
            Some(Err(error)) => {
                self.abandon(Refusal::BodyFailed);
                *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                self.has_ended = true;
                step.end = Some(End::Failed);
                return step;
            }
            Some(Ok(frame)) => frame,
        };
        match frame.into_data() {
            Ok(chunk) => {
                self.received = self.received.saturating_add(chunk.len() as u64);
                if self.received > self.limits.max {
                    self.abandon(Refusal::TooLarge);
                } else if self.limits.expected.is_some_and(|expected| self.received > expected) {
                    self.abandon(Refusal::Length);
                } else if let Err(refusal) = self.limits.check.take(&chunk) {
                    self.abandon(refusal);
                } else if self.storing.is_some() && !chunk.is_empty() {
                    self.queue.push(chunk.clone());
                }
                step.chunk = Some(chunk);
                if self.body.is_end_stream() {
                    // As good as a `None`: a body says so only where no more will come.
                    step.end = Some(self.end(None));
                }
            }
            // Neither data nor trailers is nothing that there is yet.
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    step.end = Some(self.end(Some(trailers)));
                }
            }
        }
        step
    }

    /// The inner body has ended.
    fn end(&mut self, trailers: Option<HeaderMap>) -> End {
        self.has_ended = true;
        if self.limits.expected.is_some_and(|expected| self.received != expected) {
            self.abandon(Refusal::Length);
        }
        if let Err(refusal) = self.limits.check.end(trailers.as_ref()) {
            self.abandon(refusal);
        }
        self.queue.end(trailers.clone());
        End::Whole(trailers)
    }

    /// Gives the storing up, and what has been written with it.
    fn abandon(&mut self, refusal: Refusal) {
        if self.storing.take().is_some() {
            self.queue.clear();
            self.notice.say(Err(refusal));
            self.lead = None;
        }
    }

    /// Drives the storing side; the copies when it has come to its end.
    fn poll_storing(&mut self, cx: &mut Context<'_>) -> Poll<Vec<StoredBody>> {
        let Some(storing) = &mut self.storing else { return Poll::Pending };
        let Poll::Ready(result) = storing.as_mut().poll(cx) else { return Poll::Pending };
        self.storing = None;
        self.queue.clear();
        let (verdict, copies) = match result {
            Ok(Ok(Published { bytes, copies })) => (Ok(bytes), copies),
            Ok(Err(refusal)) => (Err(refusal), Vec::new()),
            Err(error) if error.kind() == ErrorKind::TooLarge => {
                (Err(Refusal::TooLarge), Vec::new())
            }
            Err(error) => (Err(Refusal::StoreFailed(error.kind())), Vec::new()),
        };
        self.notice.say(verdict);
        if let Some(mut lead) = self.lead.take()
            && verdict.is_ok()
        {
            lead.arrived();
        }
        Poll::Ready(copies)
    }
}

impl<B> Work for Carrier<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Send,
{
    type Copy = StoredBody;

    fn poll_step(&mut self, behind: usize, cx: &mut Context<'_>) -> Poll<Step<StoredBody>> {
        if self.storing.is_some() {
            self.queue.want_copies(behind);
            if let Poll::Ready(copies) = self.poll_storing(cx) {
                return Poll::Ready(Step { copies, ..Step::default() });
            }
            if self.queue.is_full() {
                return Poll::Pending;
            }
        }
        if self.has_ended {
            return Poll::Pending;
        }
        let Poll::Ready(frame) = self.body.poll_frame(cx) else { return Poll::Pending };
        let mut step = self.take(frame);
        // The store is set to work at once. Where it has to wait, the next step finds it further.
        if self.storing.is_some()
            && step.end.is_none()
            && let Poll::Ready(copies) = self.poll_storing(cx)
        {
            step.copies = copies;
        }
        Poll::Ready(step)
    }

    fn shape(&self) -> Shape {
        let is_complete = self.limits.expected.is_some_and(|expected| self.received >= expected);
        Shape {
            rest: if self.has_ended { SizeHint::with_exact(0) } else { self.body.size_hint() },
            is_storing: self.storing.is_some(),
            is_complete,
            has_length: self.limits.expected.is_some(),
            limit: self.limits.max,
        }
    }
}
