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
use slab::Slab;

use super::{
    window::{SPARE, Spare, Window},
    work::{End, Shape, Step, Work},
};
use crate::sync::{Mutex, MutexGuard};

mod reader;

pub(crate) use self::reader::Reader;

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
    place: Place,
    has_ended: bool,
    waker: Option<Waker>,
}

/// Where a reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It reads from the window.
    Window,
    /// It has fallen out of the window, and holds nothing there any more. It waits for the store's copy, or is lost.
    Behind,
    /// It reads nothing, and waits for the store.
    Watching,
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
        let id = state.add(Place::Window);
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
        let is_whole = state.window.is_whole();
        if !is_whole && state.end.is_none() && !state.shape.has_length {
            return None;
        }
        let place = if is_whole { Place::Window } else { Place::Watching };
        let reader = Reader { core: self.clone(), id: state.add(place) };
        drop(state);
        Some(if is_whole { Seat::Reader(reader) } else { Seat::Late(reader) })
    }

    /// Somebody who wants to know when the store's part is over, and helps it along; `None` where it is.
    pub(crate) fn watch(self: &Arc<Self>) -> Option<Reader<W>> {
        let mut state = self.lock();
        let is_over = state.readers.is_empty() || !state.shape.is_storing;
        (!is_over).then(|| Reader { core: self.clone(), id: state.add(Place::Watching) })
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
    fn add(&mut self, place: Place) -> usize {
        if place == Place::Window {
            self.attached += 1;
            self.window.add_reader();
        }
        self.readers.insert(Reading { next: 0, offset: 0, place, has_ended: false, waker: None })
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
        self.readers.iter().filter(|(_, reading)| reading.place == Place::Behind).count()
    }

    /// Takes in what a step has brought.
    fn advance(&mut self, step: Step<W::Copy>, shape: Shape) {
        self.shape = shape;
        if let Some(chunk) = step.chunk {
            self.window.push(chunk, self.attached);
        }
        if step.end.is_some() {
            self.end = step.end;
        }
        self.trim();
        self.copies.extend(step.copies);
    }

    /// Forgets what need not be held any more. Whoever falls out of the window by that goes on from the store: what others
    /// have to spare is not held for one that will not read it.
    fn trim(&mut self) {
        // Where no copy will come, there may be more of it: as much as one body that could be stored.
        let all = if self.shape.is_storing { SPARE } else { self.shape.limit.max(SPARE) };
        if !self.window.trim(self.shape.is_storing, all) {
            return;
        }
        for (_, reading) in &mut self.readers {
            if reading.place == Place::Window && self.window.is_past(reading.next) {
                reading.place = Place::Behind;
                self.attached -= 1;
                self.window.remove_reader(reading.next);
            }
        }
        // Nobody falls out by this: it takes what they alone wanted.
        self.window.trim(self.shape.is_storing, all);
    }

    fn detach(&mut self, id: usize) {
        let reading = &mut self.readers[id];
        if mem::replace(&mut reading.place, Place::Watching) == Place::Window {
            self.attached -= 1;
            self.window.remove_reader(reading.next);
            self.trim();
        }
    }
}
