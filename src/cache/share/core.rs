//! One body, many readers: whoever is hungry does the work for all.
//!
//! The work (reading the origin, feeding the store) is taken out while somebody is at it, so the lock is never held over
//! foreign code. It is polled with a waker that wakes every reader that waits, whoever polled it last: one that has been
//! dropped, or is never polled again, strands nobody.
//!
//! No reader waits for a slower one. One that falls behind the window gets the store's copy once the entry is published.

use std::{
    mem,
    sync::{Arc, PoisonError},
    task::{Context, Poll, Wake, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::SizeHint;
use slab::Slab;

use super::{
    window::{SPARE, Spare, Window},
    work::{End, Shape, Step, Work},
};
use crate::sync::{Mutex, MutexGuard};

/// The body as its readers share it.
pub(crate) struct Core<W: Work> {
    state: Mutex<State<W>>,
}

struct State<W: Work> {
    /// `None` while somebody polls it, and when it is done.
    work: Option<W>,
    is_polled: bool,
    /// Whether the work woke while it was polled.
    has_woken: bool,
    shape: Shape,
    window: Window,
    end: Option<End>,
    copies: Vec<W::Copy>,
    readers: Slab<Reading>,
    /// How many of them read from the window.
    attached: usize,
}

struct Reading {
    /// The number of the chunk that it reads next.
    next: u64,
    /// How many bytes it has read.
    offset: u64,
    /// Whether it reads from the window. One that is not waits for the store.
    is_attached: bool,
    has_ended: bool,
    waker: Option<Waker>,
}

/// What a reader reads.
#[derive(Debug)]
pub(crate) enum Next<C> {
    Chunk(Bytes),
    Trailers(HeaderMap),
    End,
    /// The origin's body failed.
    Failed,
    /// The store's copy, to be read on from this offset. The reader is done.
    Copy(C, u64),
    /// It fell behind, and the store has no copy for it.
    Lost,
}

/// How the reader of a body joins.
pub(crate) enum Seat<W: Work> {
    /// It reads from the beginning.
    Reader(Reader<W>),
    /// The beginning is gone; it may [wait](Reader::poll_settled) for the store.
    Late(Reader<W>),
}

impl<W: Work> Core<W> {
    /// A body and its first reader. Others may join at once; all wait until the work is [begun](Self::begin).
    pub(crate) fn new(shape: Shape, spare: Arc<Spare>) -> (Arc<Self>, Reader<W>) {
        let mut state = State {
            work: None,
            is_polled: true,
            has_woken: false,
            shape,
            window: Window::new(spare),
            end: None,
            copies: Vec::new(),
            readers: Slab::with_capacity(1),
            attached: 0,
        };
        let id = state.add(true);
        let core = Arc::new(Self { state: Mutex::new(state) });
        (core.clone(), Reader { core, id })
    }

    /// Gives the body its work.
    pub(crate) fn begin(&self, work: W) {
        let wakers = {
            let mut state = self.lock();
            state.work = Some(work);
            state.is_polled = false;
            state.wakers()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// One more reader; `None` where the body has been published or given up, and where its beginning is gone and its end
    /// may never come.
    pub(crate) fn join(self: &Arc<Self>) -> Option<Seat<W>> {
        let mut state = self.lock();
        if state.readers.is_empty() || !state.shape.is_storing {
            return None;
        }
        let is_attached = state.window.is_whole();
        if !is_attached && state.end.is_none() && !state.shape.has_length {
            return None;
        }
        let reader = Reader { core: self.clone(), id: state.add(is_attached) };
        drop(state);
        Some(if is_attached { Seat::Reader(reader) } else { Seat::Late(reader) })
    }

    /// Somebody who wants to know when the store's part is over, and helps it along; `None` where it is.
    pub(crate) fn watch(self: &Arc<Self>) -> Option<Reader<W>> {
        let mut state = self.lock();
        let is_over = state.readers.is_empty() || !state.shape.is_storing;
        (!is_over).then(|| Reader { core: self.clone(), id: state.add(false) })
    }

    fn lock(&self) -> MutexGuard<'_, State<W>> {
        // The state is whole between any two statements under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the work one step further on behalf of the reader `id`; `false` where that has to wait, for the work or for
    /// somebody who is at it. The reader's waker is registered then.
    fn drive(self: &Arc<Self>, id: usize, cx: &Context<'_>) -> bool {
        let mut state = self.lock();
        // Registered before the work is polled: it may wake at once.
        let replaced = state.register(id, cx.waker());
        let Some(mut work) = state.work.take() else {
            // Where nobody is at it, it is done; the caller looks again.
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
        let step = work.poll_step(behind, &mut Context::from_waker(&waker));
        let shape = work.shape();
        mem::forget(unwinding);

        let mut state = self.lock();
        state.is_polled = false;
        let is_further = step.is_ready();
        let own = match step {
            Poll::Ready(step) => {
                state.advance(step, shape);
                // This one goes on by itself.
                state.readers.get_mut(id).and_then(|reading| reading.waker.take())
            }
            Poll::Pending => None,
        };
        let wakers = if is_further || state.has_woken { state.wakers() } else { Vec::new() };
        let done = if state.is_done() {
            Some(work)
        } else {
            state.work = Some(work);
            None
        };
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
        drop((own, done));
        is_further
    }
}

impl<W: Work> Wake for Core<W> {
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

/// The work panicked while a reader polled it: the others are not to wait for it.
struct Unwinding<'a, W: Work>(&'a Core<W>);

impl<W: Work> Drop for Unwinding<'_, W> {
    fn drop(&mut self) {
        let wakers = {
            let mut state = self.0.lock();
            state.is_polled = false;
            state.end = Some(End::Failed);
            state.shape.is_storing = false;
            state.wakers()
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl<W: Work> State<W> {
    fn add(&mut self, is_attached: bool) -> usize {
        if is_attached {
            self.attached += 1;
            self.window.add_reader();
        }
        self.readers.insert(Reading {
            next: 0,
            offset: 0,
            is_attached,
            has_ended: false,
            waker: None,
        })
    }

    /// Returns the waker that was there, to be dropped behind the lock.
    fn register(&mut self, id: usize, waker: &Waker) -> Option<Waker> {
        let registered = &mut self.readers[id].waker;
        if registered.as_ref().is_some_and(|registered| registered.will_wake(waker)) {
            return None;
        }
        registered.replace(waker.clone())
    }

    fn wakers(&mut self) -> Vec<Waker> {
        self.readers.iter_mut().filter_map(|(_, reading)| reading.waker.take()).collect()
    }

    /// Whether the work has nothing left to do.
    fn is_done(&self) -> bool {
        self.end.is_some() && !self.shape.is_storing
    }

    /// How many readers need a copy: once the end is known, nobody falls behind any more.
    fn behind(&self) -> usize {
        if self.end.is_none() {
            return 0;
        }
        let is_behind =
            |reading: &Reading| reading.is_attached && self.window.is_past(reading.next);
        self.readers.iter().filter(|(_, reading)| is_behind(reading)).count()
    }

    /// Takes in what a step has brought.
    fn advance(&mut self, step: Step<W::Copy>, shape: Shape) {
        let was_storing = mem::replace(&mut self.shape, shape).is_storing;
        if let Some(chunk) = step.chunk {
            self.window.push(chunk, self.attached);
        }
        if step.end.is_some() {
            self.end = step.end;
        }
        self.trim();
        if was_storing && !self.shape.is_storing {
            // Those who have fallen out of the window read no more from it: they have a copy, or are lost.
            for (_, reading) in &mut self.readers {
                if reading.is_attached && self.window.is_past(reading.next) {
                    reading.is_attached = false;
                    self.attached -= 1;
                    self.window.remove_reader(reading.next);
                }
            }
            self.trim();
        }
        self.copies.extend(step.copies);
    }

    fn trim(&mut self) {
        // Where no copy will come, there may be more of it: as much as one body that could be stored.
        let all = if self.shape.is_storing { SPARE } else { self.shape.limit.max(SPARE) };
        self.window.trim(self.shape.is_storing, all);
    }

    fn detach(&mut self, id: usize) {
        let reading = &mut self.readers[id];
        if mem::replace(&mut reading.is_attached, false) {
            self.attached -= 1;
            self.window.remove_reader(reading.next);
            self.trim();
        }
    }
}

// ===== The readers =====

/// One of those who read a body. When the last one is dropped, the work is dropped with it.
pub(crate) struct Reader<W: Work> {
    core: Arc<Core<W>>,
    id: usize,
}

/// What a reader has to do for what it reads next.
enum Turn<C> {
    Take(Next<C>),
    /// Go on with the work, for lack of anything to read.
    Drive,
    /// Go on with the work once, for the end may be there: nobody may come to look for it any more behind what comes
    /// next.
    LookForEnd,
}

/// Of how many chunks a body is read ahead, at most: what says how short it is may still be a lie, or never end.
const AHEAD_CHUNKS: u64 = 64;

/// How many steps a reader takes in one go, before it lets other tasks have their turn: one that waits for the end of a
/// body that is all there would not pause otherwise.
const STEPS: usize = 128;

/// How often a reader looks for an end that is due: it may stand behind an empty chunk or two.
const LOOKS: usize = 4;

impl<W: Work> Reader<W> {
    /// What comes next. Pending where it has to come yet, or has not been stored yet: the last chunk and the end are not
    /// handed out before the entry is published or given up.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next<W::Copy>> {
        let mut looks = 0;
        for _ in 0..STEPS {
            match self.turn(looks < LOOKS) {
                Turn::Take(next) => return Poll::Ready(next),
                Turn::LookForEnd => {
                    looks += 1;
                    if !self.core.drive(self.id, cx) {
                        looks = LOOKS;
                    }
                }
                Turn::Drive => {
                    if !self.core.drive(self.id, cx) {
                        return Poll::Pending;
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn turn(&mut self, may_look: bool) -> Turn<W::Copy> {
        let mut guard = self.core.lock();
        let state = &mut *guard;
        let reading = &mut state.readers[self.id];
        if reading.has_ended {
            return Turn::Take(Next::End);
        }
        if !reading.is_attached || state.window.is_past(reading.next) {
            if state.shape.is_storing {
                return Turn::Drive;
            }
            reading.has_ended = true;
            let offset = reading.offset;
            let next = state.copies.pop().map_or(Next::Lost, |copy| Next::Copy(copy, offset));
            state.detach(self.id);
            return Turn::Take(next);
        }
        if reading.next < state.window.end() {
            if state.shape.is_storing && state.window.is_last(reading.next) {
                if state.end.is_some() {
                    return Turn::Drive;
                }
                if state.shape.is_complete && may_look && !state.is_polled {
                    return Turn::LookForEnd;
                }
            }
            let Some(chunk) = state.window.read(reading.next) else { return Turn::Drive };
            reading.next += 1;
            reading.offset += chunk.len() as u64;
            state.trim();
            return Turn::Take(Next::Chunk(chunk));
        }
        if state.end.is_none() || state.shape.is_storing {
            return Turn::Drive;
        }
        reading.has_ended = true;
        Turn::Take(match &state.end {
            Some(End::Whole(Some(trailers))) => Next::Trailers(trailers.clone()),
            Some(End::Whole(None)) | None => Next::End,
            Some(End::Failed) => Next::Failed,
        })
    }

    /// Ready when the entry has been published or given up. Until then, it goes on with the work.
    pub(crate) fn poll_settled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        for _ in 0..STEPS {
            if !self.core.lock().shape.is_storing {
                return Poll::Ready(());
            }
            if !self.core.drive(self.id, cx) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads ahead what is there at once, up to about `bytes`; ready when that is it, or when the whole body is stored.
    pub(crate) fn poll_ahead(&mut self, bytes: u64, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let has_ended = {
                let state = self.core.lock();
                let is_enough =
                    state.window.received() >= bytes || state.window.end() >= AHEAD_CHUNKS;
                let has_ended = state.end.is_some();
                if !state.shape.is_storing || (is_enough && !has_ended) {
                    return Poll::Ready(());
                }
                has_ended
            };
            if !self.core.drive(self.id, cx) {
                return if has_ended { Poll::Pending } else { Poll::Ready(()) };
            }
        }
    }

    /// Whether there is nothing more to read.
    pub(crate) fn is_end_stream(&self) -> bool {
        let state = self.core.lock();
        let reading = &state.readers[self.id];
        let has_read_all = reading.is_attached && reading.next == state.window.end();
        reading.has_ended
            || (has_read_all
                && !state.shape.is_storing
                && matches!(state.end, Some(End::Whole(None))))
    }

    /// How many bytes are still to come.
    pub(crate) fn size_hint(&self) -> SizeHint {
        let state = self.core.lock();
        let reading = &state.readers[self.id];
        let unread = state.window.received().saturating_sub(reading.offset);
        let rest = match &state.end {
            _ if reading.has_ended => return SizeHint::with_exact(0),
            None => state.shape.rest,
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

impl<W: Work> Drop for Reader<W> {
    fn drop(&mut self) {
        let mut guard = self.core.lock();
        let state = &mut *guard;
        state.detach(self.id);
        let left = state.readers.remove(self.id);
        // The last one takes the work along, and with it what was written of the entry.
        let work = if state.readers.is_empty() { state.work.take() } else { None };
        drop(guard);
        drop((left, work));
    }
}
