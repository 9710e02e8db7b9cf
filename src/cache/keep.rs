//! Step 8, keep: a response body on its way to the caller, read along by the store.
//!
//! Nothing is spawned. The storing side is a future of its own ([`store_entry`]) that takes chunks from a [`Queue`]; the
//! body that the caller polls ([`Tee`]) puts them there and polls that future itself. So what the caller does not read
//! is not read from the origin either, and a body that the caller drops takes the unfinished entry with it.
//!
//! The end is not told before the entry is published: a caller that has seen it finds the response stored. Where the end
//! is known by the time of the last chunk, that chunk waits as well, so that a caller that stops polling after
//! `Content-Length` bytes, as servers do, has stored it too.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use sync_wrapper::SyncWrapper;

use super::store_entry::{Entry, Queue, StoringFuture, store_entry};
use crate::{
    key::Key,
    stats::{Count, Counters},
    status::{Progress, Refusal},
    store::{ErrorKind, Store},
    trace,
};

/// Bodies of up to this length that are there at once are stored before the head is returned.
const EAGER: u64 = 64 * 1024;

/// In no more frames than this.
const EAGER_FRAMES: usize = 64;

/// Says what has become of an entry, once; an entry of which nothing was said has been dropped.
struct Verdict {
    key: Key,
    progress: Progress,
    counters: Arc<Counters>,
}

impl Verdict {
    fn say(&self, verdict: Result<(), Refusal>) {
        if self.progress.set(verdict).is_ok() {
            match verdict {
                Ok(()) => self.counters.add(Count::Stored),
                Err(refusal) => {
                    self.counters.add(Count::Refused);
                    trace::not_stored(&self.key, refusal);
                }
            }
        }
    }
}

impl Drop for Verdict {
    fn drop(&mut self) {
        self.say(Err(Refusal::Dropped));
    }
}

/// A body on its way to the caller, which feeds the storing side as it goes.
pub(crate) struct Tee<B: Body> {
    body: Pin<Box<B>>,
    /// Frames that have been read but not handed out: those that were there at once, and the last.
    ready: VecDeque<Frame<Bytes>>,
    queue: Arc<Queue>,
    /// `None` once it is through, one way or the other. `Sync` lets the body be so where the inner one is.
    storing: Option<SyncWrapper<StoringFuture>>,
    verdict: Verdict,
    received: u64,
    expected: Option<u64>,
    max: u64,
    state: State,
    error: Option<B::Error>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The inner body has more.
    Reading,
    /// The inner body has ended; the store may be at work yet.
    Ended,
}

/// How a body may end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The length that the head promises, where it does.
    pub(super) expected: Option<u64>,
    /// The largest body that is kept.
    pub(super) max: u64,
}

impl<B: Body<Data = Bytes>> Tee<B> {
    /// Begins to store `body` as `entry`. `progress` and `counters` are told, once, how it went.
    pub(super) fn new<S: Store>(
        store: S,
        entry: Entry,
        body: B,
        limits: Limits,
        progress: Progress,
        counters: Arc<Counters>,
    ) -> Self {
        let queue = Arc::<Queue>::default();
        let verdict = Verdict { key: entry.key, progress, counters };
        Self {
            body: Box::pin(body),
            ready: VecDeque::new(),
            storing: Some(SyncWrapper::new(Box::pin(store_entry(store, entry, queue.clone())))),
            queue,
            verdict,
            received: 0,
            expected: limits.expected,
            max: limits.max,
            state: State::Reading,
            error: None,
        }
    }

    /// Takes what is there at once of a small body, and stores it where that is all of it: so a response that came in
    /// one piece is stored even when its body is never read.
    pub(super) async fn settle(&mut self) {
        if self.body.is_end_stream() {
            self.end(None);
        } else if self.body.size_hint().upper().is_none_or(|upper| upper > EAGER) {
            return;
        }
        poll_fn(|cx| {
            // A body that says how short it is may still be a lie, or never end.
            for _ in 0..EAGER_FRAMES {
                if self.state == State::Ended {
                    return self.poll_storing(cx);
                }
                if self.storing.is_none() || self.poll_read(cx).is_pending() {
                    break;
                }
            }
            Poll::Ready(())
        })
        .await;
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        loop {
            // What is left of an ended body is not handed out before the store is through with it, and no more is read
            // before the store has caught up.
            let waits = self.poll_storing(cx).is_pending();
            if waits && (self.state == State::Ended || self.queue.is_full()) {
                return Poll::Pending;
            }
            if self.ready.len() == 1 && self.is_all_but_ended() {
                // A caller may stop after this one, so this is the last chance to see the end. The length is no proof of it.
                self.look_for_end(cx);
                if self.state == State::Ended {
                    continue;
                }
            }
            if let Some(frame) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            if let Some(error) = self.error.take() {
                return Poll::Ready(Some(Err(error)));
            }
            if self.state == State::Ended {
                return Poll::Ready(None);
            }
            ready!(self.poll_read(cx));
        }
    }

    /// Whether every byte has come that is to be stored, and the end has not.
    fn is_all_but_ended(&self) -> bool {
        self.state == State::Reading
            && self.storing.is_some()
            && self.expected.is_some_and(|expected| self.received >= expected)
    }

    /// Reads on behind the last byte: the end may be there by now, perhaps behind an empty chunk or two.
    fn look_for_end(&mut self, cx: &mut Context<'_>) {
        for _ in 0..4 {
            if !self.is_all_but_ended() || self.poll_read(cx).is_pending() {
                return;
            }
        }
    }

    /// Takes the next frame of the inner body, counts it, and shows it to the storing side. `Ended` afterwards where it
    /// was the last, was an error, or there was none.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let frame = match ready!(self.body.as_mut().poll_frame(cx)) {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => {
                self.abandon(Refusal::BodyFailed);
                self.error = Some(error);
                self.state = State::Ended;
                return Poll::Ready(());
            }
            None => {
                self.end(None);
                return Poll::Ready(());
            }
        };
        if let Some(chunk) = frame.data_ref() {
            self.received = self.received.saturating_add(chunk.len() as u64);
            if self.received > self.max {
                self.abandon(Refusal::TooLarge);
            } else if self.expected.is_some_and(|expected| self.received > expected) {
                self.abandon(Refusal::Length);
            } else if self.storing.is_some() && !chunk.is_empty() {
                self.queue.push(chunk.clone());
                // Set to work at once. Where it has to wait, the next poll finds it further.
                let _pending = self.poll_storing(cx);
            }
        }
        if let Some(trailers) = frame.trailers_ref() {
            self.end(Some(trailers.clone()));
        } else if self.body.is_end_stream() {
            // As good as a `None`: a body says so only where no more will come.
            self.end(None);
        }
        self.ready.push_back(frame);
        Poll::Ready(())
    }

    /// The inner body has ended.
    fn end(&mut self, trailers: Option<HeaderMap>) {
        self.state = State::Ended;
        if self.expected.is_some_and(|expected| self.received != expected) {
            self.abandon(Refusal::Length);
        }
        self.queue.end(trailers);
    }

    /// Gives the storing up, and what has been written with it.
    fn abandon(&mut self, refusal: Refusal) {
        if self.storing.take().is_some() {
            self.queue.clear();
            self.verdict.say(Err(refusal));
        }
    }

    /// Drives the storing side; ready when there is nothing more for it to do, ever.
    fn poll_storing(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(storing) = &mut self.storing else { return Poll::Ready(()) };
        let result = ready!(storing.get_mut().as_mut().poll(cx));
        self.storing = None;
        self.verdict.say(match result {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == ErrorKind::TooLarge => Err(Refusal::TooLarge),
            Err(error) => {
                self.verdict.counters.add(Count::StoreError);
                trace::store_failed("write", &self.verdict.key, &error);
                Err(Refusal::StoreFailed(error.kind()))
            }
        });
        Poll::Ready(())
    }
}

impl<B: Body> Tee<B> {
    pub(super) fn is_end_stream(&self) -> bool {
        self.state == State::Ended
            && self.ready.is_empty()
            && self.error.is_none()
            && self.storing.is_none()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let ready: u64 =
            self.ready.iter().filter_map(Frame::data_ref).map(|chunk| chunk.len() as u64).sum();
        let rest = match self.state {
            State::Reading => self.body.size_hint(),
            State::Ended if self.error.is_some() => SizeHint::new(),
            State::Ended => SizeHint::with_exact(0),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(ready));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(ready)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<B: Body> fmt::Debug for Tee<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tee").field("state", &self.state).finish_non_exhaustive()
    }
}
