//! A body on its way, read by several at once: the caller, those who follow it, and the store.
//!
//! - `core`: the readers, and whoever of them is hungry does the work;
//! - `work`: what that is, and what it brings;
//! - `window`: what is in memory of the body;
//! - `carrier`: the work itself: the inner service's body, and what the store is given;
//! - `storing`: what the store does with it;
//! - `around`: what of it the store has already.
//!
//! The end is not told before the entry is published: a reader that has seen it finds the response stored. Where the end
//! is known by the time of the last chunk, that chunk waits as well, so that a caller that stops polling after
//! `Content-Length` bytes, as servers do, has stored it too.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::HeaderName;
use http_body::{Body, Frame, SizeHint};

use self::{
    carrier::{Carrier, ErrorSlot, Notice},
    core::{Core, Next, Reader, Seat},
    storing::{Queue, store_entry},
    work::{Shape, Step, Work},
};
use super::{
    BodyError, CacheLayer,
    begun::Begun,
    body::CoalescedError,
    flight::{Landed, Lead},
};
use crate::{
    entry::Head,
    event::{Event, Observer},
    key::Key,
    status::{Progress, Refusal},
    store::{Store, StoredBody},
};

mod around;
mod carrier;
mod core;
mod storing;
mod window;
mod work;

pub(crate) use self::{
    around::Around,
    carrier::Limits,
    storing::{Entry, put_head},
    window::Spare,
};

/// Bodies of up to this length that are there at once are stored before the head is returned.
const EAGER: u64 = 64 * 1024;

/// The work behind any inner body. A type of its own: as an alias, its hidden lifetime keeps the compiler from seeing
/// that futures around it can be sent.
pub(crate) struct AnyWork(Box<dyn Work<Copy = StoredBody>>);

impl Work for AnyWork {
    type Copy = StoredBody;

    fn poll_step(&mut self, behind: usize, cx: &mut Context<'_>) -> Poll<Step<StoredBody>> {
        self.0.poll_step(behind, cx)
    }

    fn shape(&self) -> Shape {
        self.0.shape()
    }
}

/// A response on its way, as those who follow it find it.
pub(crate) struct Carried {
    core: Arc<Core<AnyWork>>,
    queue: Arc<Queue>,
    /// Under which key it is being stored.
    pub(crate) key: Key,
    /// What is being stored beside the body.
    pub(crate) head: Arc<Head>,
    /// The request headers that select it, where it varies.
    pub(crate) names: Option<Vec<HeaderName>>,
    /// Whether it has been stored.
    pub(crate) progress: Progress,
    observer: Arc<Observer>,
}

impl Carried {
    /// Begins to carry `body`, which is to be stored as `entry`, and lands the flight with it. Returns the leader's part.
    /// It was asked for under another key than the entry's, where it varies and nobody knew.
    pub(crate) fn begin<S, B>(
        cache: &CacheLayer<S>,
        asked_for: Key,
        entry: Entry,
        names: Option<Vec<HeaderName>>,
        body: Begun<B>,
        limits: Limits,
        mut lead: Lead,
    ) -> (Arc<Self>, SharedBody<B::Error>)
    where
        S: Store,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Send,
    {
        let (key, head) = (entry.key, Arc::new(entry.head.clone()));
        let (queue, progress) = (Arc::<Queue>::default(), Progress::default());
        let error = ErrorSlot::default();
        let (observer, flights) = (cache.observer().clone(), cache.shared.flights.clone());
        let storing = store_entry(cache.clone(), entry, lead.id(), queue.clone());
        let mut carrier = Carrier {
            body,
            error: error.clone(),
            queue: queue.clone(),
            storing: Some(Box::pin(storing)),
            notice: Notice { key, asked_for, progress: progress.clone(), observer, flights },
            lead: None,
            limits,
            received: 0,
            has_ended: false,
        };
        let (core, reader) = Core::new(carrier.shape(), cache.shared.flights.spare.clone());
        let observer = cache.observer().clone();
        let carried = Arc::new(Self { core, queue, key, head, names, progress, observer });
        let is_sound = lead.land(Landed::Body(carried.clone()));
        let is_removed = lead.is_doomed()
            || lead.info(|bound| bound.removed.contains(&carried.key, &carried.head));
        if is_removed || !is_sound {
            carried.queue.doom(if is_removed { Refusal::Removed } else { Refusal::Superseded });
        }
        carrier.lead = Some(lead);
        carried.core.begin(AnyWork(Box::new(carrier)));
        let part = Part::Along(reader);
        (carried.clone(), SharedBody { part, carried, error: Some(error) })
    }

    /// One more who reads it; `None` where it has been stored or given up.
    pub(crate) fn join(&self) -> Option<Joined> {
        self.core.join().map(|seat| match seat {
            Seat::Reader(reader) => Joined::Along(reader),
            Seat::Late(reader) => Joined::Behind(Waiting(reader)),
        })
    }

    /// A newer response is about to be stored in its place; returns when this one cannot come after it any more.
    pub(crate) async fn overtaken(&self) {
        if !self.queue.doom(Refusal::Superseded)
            && let Some(reader) = self.core.watch()
        {
            Waiting(reader).settled().await;
        }
    }

    /// Sees to it that nothing of it is stored; returns when that is so, or when it has been stored before.
    pub(crate) async fn doom(&self) {
        if !self.queue.doom(Refusal::Removed)
            && let Some(reader) = self.core.watch()
        {
            Waiting(reader).settled().await;
        }
    }
}

/// How one request comes to a response on its way.
pub(crate) enum Joined {
    /// It reads along, from the first byte.
    Along(Reader<AnyWork>),
    /// The beginning is gone: it waits for the entry.
    Behind(Waiting),
}

/// One who waits until an entry has been stored, or given up, and helps it along.
pub(crate) struct Waiting(Reader<AnyWork>);

impl Waiting {
    pub(crate) async fn settled(mut self) {
        poll_fn(|cx| self.0.poll_settled(cx)).await;
    }
}

// ===== The body that a caller reads =====

/// One caller's part of a response on its way. `E` is the error of the inner service's body.
pub(crate) struct SharedBody<E> {
    part: Part,
    carried: Arc<Carried>,
    /// The leader's, who alone is told the error itself.
    error: Option<ErrorSlot<E>>,
}

enum Part {
    Along(Reader<AnyWork>),
    /// Behind the window, from the store, once so many bytes have been passed over.
    Stored {
        body: StoredBody,
        skip: u64,
    },
    Over,
}

impl<E> SharedBody<E> {
    /// A follower's part.
    pub(crate) fn along(carried: Arc<Carried>, reader: Reader<AnyWork>) -> Self {
        Self { part: Part::Along(reader), carried, error: None }
    }

    /// Takes what is there at once of a small body, and stores it where that is all of it: so a response that came in one
    /// piece is stored even when its body is never read.
    pub(crate) async fn settle(&mut self) {
        if let Part::Along(reader) = &mut self.part
            && reader.size_hint().upper().is_some_and(|upper| upper <= EAGER)
        {
            poll_fn(|cx| reader.poll_ahead(EAGER, cx)).await;
        }
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError<E>>>> {
        loop {
            match &mut self.part {
                Part::Over => return Poll::Ready(None),
                Part::Along(reader) => match ready!(reader.poll_next(cx)) {
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
                        let key = &self.carried.key;
                        self.carried.observer.tell(&Event::ReaderLost { key });
                        return Poll::Ready(Some(Err(BodyError::Coalesced(CoalescedError::LOST))));
                    }
                },
                Part::Stored { body, skip } => {
                    let frame = ready!(Pin::new(body).poll_frame(cx));
                    let Some(Ok(mut frame)) = frame else {
                        self.part = Part::Over;
                        return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Store)));
                    };
                    if let Some(chunk) = frame.data_mut() {
                        let passed = usize::try_from(*skip).unwrap_or(usize::MAX).min(chunk.len());
                        chunk.advance(passed);
                        *skip -= passed as u64;
                        if chunk.is_empty() {
                            continue;
                        }
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
            }
        }
    }

    fn failure(&self) -> BodyError<E> {
        let own = self
            .error
            .as_ref()
            .and_then(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner).take());
        own.map_or(BodyError::Coalesced(CoalescedError::FAILED), BodyError::Inner)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        match &self.part {
            Part::Along(reader) => reader.is_end_stream(),
            Part::Stored { body, .. } => body.is_end_stream(),
            Part::Over => true,
        }
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match &self.part {
            Part::Along(reader) => reader.size_hint(),
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
