//! [`Shared`]: one body with many readers. The reader that needs more drives the source for all.
//!
//! The source (which reads the origin and feeds the store) is taken out while a reader drives it,
//! so that the lock is never held while foreign code runs. It is polled with a waker that wakes
//! every waiting reader: a reader that is dropped, or never polled again, leaves nobody waiting.
//!
//! No reader waits for a slower one. A reader that falls behind the replay buffer continues from
//! the stored copy once the entry is published.

use std::{
    mem,
    sync::{Arc, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::SizeHint;

use super::{
    drive::{Drive, End, SourceState, Step},
    readers::{Position, Readers, Reading},
    replay_buffer::{OverflowBudget, ReplayBuffer},
};
use crate::sync::{Mutex, MutexGuard};

/// The body as its readers share it. `T` is what else they know of it.
pub(crate) struct Shared<D: Drive, T> {
    pub(crate) info: T,
    state: Mutex<State<D>>,
}

struct State<D: Drive> {
    /// `None` before it is given, while a reader drives it, and when it is done.
    source: Option<D>,
    is_polled: bool,
    /// Whether the source woke while it was polled.
    has_woken: bool,
    source_state: SourceState,
    buffer: ReplayBuffer,
    end: Option<End>,
    copies: Vec<D::Copy>,
    readers: Readers,
    /// How many of them read from the replay buffer.
    attached: usize,
}

/// What a reader reads.
#[derive(Debug)]
pub(crate) enum Next<C> {
    Chunk(Bytes),
    Trailers(HeaderMap),
    End,
    /// The origin's body failed.
    Failed,
    /// The stored copy, to be read from this offset. The reader is done.
    Copy(C, u64),
    /// It fell behind, and there is no stored copy for it.
    Lost,
}

/// How a new reader of a body begins.
pub(crate) enum NewReader<D: Drive, T> {
    /// It reads from the start.
    FromStart(Reader<D, T>),
    /// The start is gone. It may [wait](Reader::poll_settled) for the store.
    Late(Reader<D, T>),
}

impl<D: Drive, T> Shared<D, T> {
    fn lock(&self) -> MutexGuard<'_, State<D>> {
        // The state is whole between any two statements under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Drive, T: Send + Sync + 'static> Shared<D, T> {
    /// A body and its first reader. Others may join at once. All wait until the source is
    /// [given](Self::begin).
    pub(crate) fn new(
        info: T,
        source_state: SourceState,
        budget: OverflowBudget,
    ) -> (Arc<Self>, Reader<D, T>) {
        let mut state = State {
            source: None,
            is_polled: true,
            has_woken: false,
            source_state,
            buffer: ReplayBuffer::new(budget),
            end: None,
            copies: Vec::new(),
            readers: Readers::default(),
            attached: 0,
        };
        let id = state.add(Position::Buffer);
        let shared = Arc::new(Self { info, state: Mutex::new(state) });
        (shared.clone(), Reader { shared, id })
    }

    /// Gives the body its source.
    pub(crate) fn begin(&self, source: D) {
        let wakers = {
            let mut state = self.lock();
            state.source = Some(source);
            state.is_polled = false;
            state.wakers()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Adds a reader. `None` if the body has been published or given up, or if its start is gone
    /// and its end may never come.
    pub(crate) fn join(self: &Arc<Self>) -> Option<NewReader<D, T>> {
        let mut state = self.lock();
        if state.readers.is_empty() || !state.source_state.is_storing {
            return None;
        }
        let is_whole = state.buffer.is_whole();
        if !is_whole && state.end.is_none() && !state.source_state.has_length {
            return None;
        }
        let position = if is_whole { Position::Buffer } else { Position::Watching };
        let reader = Reader { shared: self.clone(), id: state.add(position) };
        drop(state);
        Some(if is_whole { NewReader::FromStart(reader) } else { NewReader::Late(reader) })
    }

    /// A reader that waits until the store is done, and drives it. `None` if it is done.
    pub(crate) fn watch(self: &Arc<Self>) -> Option<Reader<D, T>> {
        let mut state = self.lock();
        let is_over = state.readers.is_empty() || !state.source_state.is_storing;
        (!is_over).then(|| Reader { shared: self.clone(), id: state.add(Position::Watching) })
    }

    /// Drives the source one step on behalf of the reader `id`. `false` if that has to wait, for
    /// the source or for another reader that drives it. The reader's waker is registered then.
    fn drive(self: &Arc<Self>, id: usize, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        // Registered before the source is polled: it may wake at once.
        let replaced = state.register(id, cx.waker());
        let Some(mut source) = state.source.take() else {
            // If nobody drives it, it is done. The caller looks again.
            let is_done = !state.is_polled;
            drop(state);
            drop(replaced);
            return is_done;
        };
        state.is_polled = true;
        state.has_woken = false;
        let behind = state.behind();
        drop(state);
        drop(replaced);

        let waker = Waker::from(self.clone());
        let unwinding = Unwinding(self);
        let step = source.poll_step(behind, &mut Context::from_waker(&waker));
        let source_state = source.state();
        mem::forget(unwinding);

        let mut state = self.lock();
        state.is_polled = false;
        let is_further = step.is_ready();
        let own = match step {
            Poll::Ready(step) => {
                state.advance(step, source_state);
                // This reader continues by itself.
                state.readers.get_mut(id).waker.take()
            }
            Poll::Pending => None,
        };
        let wakers = if is_further || state.has_woken { state.wakers() } else { Vec::new() };
        let done = if state.is_done() {
            Some(source)
        } else {
            state.source = Some(source);
            None
        };
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        drop((own, done));
        is_further
    }
}

impl<D: Drive, T: Send + Sync + 'static> Wake for Shared<D, T> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let wakers = {
            let mut state = self.lock();
            state.has_woken = true;
            state.wakers()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// Ends the body if the source panics while a reader drives it: the others must not wait for it.
struct Unwinding<'a, D: Drive, T>(&'a Shared<D, T>);

impl<D: Drive, T> Drop for Unwinding<'_, D, T> {
    fn drop(&mut self) {
        let wakers = {
            let mut state = self.0.lock();
            state.is_polled = false;
            state.end = Some(End::Failed);
            state.source_state.is_storing = false;
            state.wakers()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<D: Drive> State<D> {
    fn add(&mut self, position: Position) -> usize {
        if position == Position::Buffer {
            self.attached += 1;
            self.buffer.add_reader();
        }
        self.readers.insert(Reading { next: 0, offset: 0, position, has_ended: false, waker: None })
    }

    /// Returns the former waker, to be dropped after the lock is released.
    fn register(&mut self, id: usize, waker: &Waker) -> Option<Waker> {
        let registered = &mut self.readers.get_mut(id).waker;
        if registered.as_ref().is_some_and(|registered| registered.will_wake(waker)) {
            return None;
        }
        registered.replace(waker.clone())
    }

    fn wakers(&mut self) -> Vec<Waker> {
        self.readers.iter_mut().filter_map(|reading| reading.waker.take()).collect()
    }

    /// Whether the source has nothing left to do.
    fn is_done(&self) -> bool {
        self.end.is_some() && !self.source_state.is_storing
    }

    /// How many readers need a stored copy. Once the end is known, no reader falls behind any more.
    fn behind(&self) -> usize {
        if self.end.is_none() {
            return 0;
        }
        self.readers.iter().filter(|reading| reading.position == Position::Behind).count()
    }

    /// Takes in what a step has brought.
    fn advance(&mut self, step: Step<D::Copy>, source_state: SourceState) {
        self.source_state = source_state;
        if let Some(chunk) = step.chunk {
            self.buffer.push(chunk, self.attached, step.end.is_some());
        }
        if step.end.is_some() {
            self.end = step.end;
        }
        self.trim();
        self.copies.extend(step.copies);
    }

    /// Drops the chunks that need not be held any more. A reader that falls behind by that
    /// continues from the stored copy, and holds nothing of the budget any more.
    fn trim(&mut self) {
        if !self.buffer.trim(self.source_state.is_storing) {
            return;
        }
        for reading in self.readers.iter_mut() {
            if reading.position == Position::Buffer && self.buffer.is_past(reading.next) {
                reading.position = Position::Behind;
                self.attached -= 1;
                self.buffer.remove_reader(reading.next);
            }
        }
        // No reader falls behind by this: it drops what those readers alone wanted.
        self.buffer.trim(self.source_state.is_storing);
    }

    fn detach(&mut self, id: usize) {
        let reading = self.readers.get_mut(id);
        if mem::replace(&mut reading.position, Position::Watching) == Position::Buffer {
            self.attached -= 1;
            self.buffer.remove_reader(reading.next);
            self.trim();
        }
    }
}

/// A reader of a body. When the last one is dropped, the source is dropped with it.
pub(crate) struct Reader<D: Drive, T> {
    pub(crate) shared: Arc<Shared<D, T>>,
    id: usize,
}

/// What a reader does next.
enum Turn<C> {
    Take(Next<C>),
    /// Drive the source: there is nothing to read.
    Drive,
    /// Drive the source once, since the end may be there. The reader may not be polled again after
    /// the last chunk.
    LookForEnd,
}

/// How many chunks of a body are read ahead at most. A body that says it is short may not be, or
/// may never end.
const AHEAD_CHUNKS: u64 = 64;

/// How many steps a reader takes before it yields to other tasks. If the whole body is there at
/// once, a reader that waits for its end would never yield otherwise.
const STEPS: usize = 128;

/// How often a reader looks for an end that is due: it may follow an empty chunk or two.
const LOOKS: usize = 4;

impl<D: Drive, T: Send + Sync + 'static> Reader<D, T> {
    /// Reads on. Pending while nothing has arrived, and while it has not been stored: the last
    /// chunk and the end are not handed out before the entry is published or given up.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next<D::Copy>> {
        let mut looks = 0;
        for _ in 0..STEPS {
            match self.turn(looks < LOOKS) {
                Turn::Take(next) => return Poll::Ready(next),
                Turn::LookForEnd => {
                    looks += 1;
                    if !self.shared.drive(self.id, cx) {
                        looks = LOOKS;
                    }
                }
                Turn::Drive => {
                    if !self.shared.drive(self.id, cx) {
                        return Poll::Pending;
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn turn(&mut self, may_look: bool) -> Turn<D::Copy> {
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        let reading = state.readers.get_mut(self.id);
        if reading.has_ended {
            return Turn::Take(Next::End);
        }
        if reading.position != Position::Buffer {
            if state.source_state.is_storing {
                return Turn::Drive;
            }
            reading.has_ended = true;
            let offset = reading.offset;
            let copy = state.copies.pop();
            return Turn::Take(copy.map_or(Next::Lost, |copy| Next::Copy(copy, offset)));
        }
        if reading.next < state.buffer.end() {
            if state.source_state.is_storing && state.buffer.is_last(reading.next) {
                if state.end.is_some() {
                    return Turn::Drive;
                }
                if state.source_state.is_complete && may_look && !state.is_polled {
                    return Turn::LookForEnd;
                }
            }
            let Some(chunk) = state.buffer.read(reading.next) else { return Turn::Drive };
            reading.next += 1;
            reading.offset += chunk.len() as u64;
            state.trim();
            return Turn::Take(Next::Chunk(chunk));
        }
        if state.end.is_none() || state.source_state.is_storing {
            return Turn::Drive;
        }
        reading.has_ended = true;
        Turn::Take(match &state.end {
            Some(End::Whole(Some(trailers))) => Next::Trailers(trailers.clone()),
            Some(End::Whole(None)) | None => Next::End,
            Some(End::Failed) => Next::Failed,
        })
    }

    /// Ready when the entry has been published or given up. Drives the source until then.
    pub(crate) fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..STEPS {
            if !self.shared.lock().source_state.is_storing {
                return Poll::Ready(());
            }
            if !self.shared.drive(self.id, cx) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads ahead what is ready, up to about `bytes`. Ready when no more is there, or when
    /// the whole body is stored.
    pub(crate) fn poll_ahead(&mut self, bytes: u64, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let has_ended = {
                let state = self.shared.lock();
                let is_enough =
                    state.buffer.received() >= bytes || state.buffer.end() >= AHEAD_CHUNKS;
                let has_ended = state.end.is_some();
                if !state.source_state.is_storing || (is_enough && !has_ended) {
                    return Poll::Ready(());
                }
                has_ended
            };
            if !self.shared.drive(self.id, cx) {
                return if has_ended { Poll::Pending } else { Poll::Ready(()) };
            }
        }
    }

    /// Whether there is no more to read.
    pub(crate) fn is_end_stream(&self) -> bool {
        let state = self.shared.lock();
        let reading = state.readers.get(self.id);
        let has_read_all =
            reading.position == Position::Buffer && reading.next == state.buffer.end();
        reading.has_ended
            || (has_read_all
                && !state.source_state.is_storing
                && matches!(state.end, Some(End::Whole(None))))
    }

    /// How many bytes follow.
    pub(crate) fn size_hint(&self) -> SizeHint {
        let state = self.shared.lock();
        let reading = state.readers.get(self.id);
        let unread = state.buffer.received().saturating_sub(reading.offset);
        let rest = match &state.end {
            _ if reading.has_ended => return SizeHint::with_exact(0),
            None => state.source_state.rest,
            Some(End::Whole(_)) => SizeHint::with_exact(0),
            Some(End::Failed) => SizeHint::new(),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(unread));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(unread)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<D: Drive, T> Drop for Reader<D, T> {
    fn drop(&mut self) {
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        state.detach(self.id);
        let left = state.readers.remove(self.id);
        // The last one drops the source, and with it what was written of the entry. It drops the
        // chunks too: the origin's body may keep its waker, which holds all of this.
        let source = if state.readers.is_empty() {
            state.buffer.trim(false);
            state.source.take()
        } else {
            None
        };
        drop(guard);
        drop((left, source));
    }
}
