//! The connections that read, each lent to one thread at a time.

use std::{
    ops::Deref,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

use super::link::Link;

/// How many connections read at the same time.
pub(super) const READERS: usize = 6;

pub(super) struct Pool {
    state: Mutex<State>,
    /// For threads that want a connection.
    returned: Condvar,
    /// For the thread that closes or pauses.
    settled: Condvar,
}

struct State {
    idle: Vec<Link>,
    /// How often the connections were replaced.
    generation: usize,
    lent: usize,
    /// Nothing is lent for the moment.
    is_paused: bool,
    closed: bool,
}

impl Pool {
    /// All connections are open from the start: if the file is removed or moved while it is in use,
    /// it stays the same file for all.
    pub(super) fn new(links: Vec<Link>) -> Arc<Self> {
        let state = State { idle: links, generation: 0, lent: 0, is_paused: false, closed: false };
        let (returned, settled) = (Condvar::new(), Condvar::new());
        Arc::new(Self { state: Mutex::new(state), returned, settled })
    }

    // Nothing panics while it holds the lock.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a connection, which nobody holds for longer than a few rows take. Returns `None`
    /// if the pool is closed.
    pub(super) fn take(self: &Arc<Self>) -> Option<Lent> {
        let mut state = self.lock();
        loop {
            if state.closed {
                return None;
            }
            if let Some(lent) = self.lend(&mut state) {
                return Some(lent);
            }
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Returns `None` if no connection is idle, or if the pool is closed.
    pub(super) fn try_take(self: &Arc<Self>) -> Option<Lent> {
        self.lend(&mut self.lock())
    }

    fn lend(self: &Arc<Self>, state: &mut State) -> Option<Lent> {
        let link = if state.closed || state.is_paused { None } else { state.idle.pop() }?;
        state.lent += 1;
        let generation = state.generation;
        Some(Lent { pool: self.clone(), link: Some(link), generation })
    }

    /// Lends these connections from now on. Others are closed when they are returned.
    pub(super) fn replace(&self, links: Vec<Link>) {
        let old = {
            let mut state = self.lock();
            state.generation += 1;
            std::mem::replace(&mut state.idle, links)
        };
        self.returned.notify_all();
        drop(old);
    }

    /// Waits for lent connections, and runs `work` while none is lent.
    pub(super) fn pause<T>(&self, work: impl FnOnce() -> T) -> T {
        let mut state = self.lock();
        state.is_paused = true;
        while state.lent > 0 {
            state = self.settled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        drop(state);
        // Also after a panic.
        let _paused = Paused(self);
        work()
    }

    /// Lends nothing from now on, waits for lent connections, and closes all.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.returned.notify_all();
        while state.lent > 0 {
            state = self.settled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let idle = std::mem::take(&mut state.idle);
        drop(state);
        drop(idle);
    }
}

/// Ends a pause.
struct Paused<'p>(&'p Pool);

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        self.0.lock().is_paused = false;
        self.0.returned.notify_all();
    }
}

/// A connection that is returned when it is dropped.
pub(super) struct Lent {
    pool: Arc<Pool>,
    link: Option<Link>,
    generation: usize,
}

impl Deref for Lent {
    type Target = Link;

    fn deref(&self) -> &Link {
        match &self.link {
            Some(link) => link,
            // It is taken out only by the drop.
            None => unreachable!("a connection is there until it is returned"),
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        if self.generation == state.generation {
            state.idle.extend(self.link.take());
        }
        state.lent -= 1;
        let is_awaited = state.closed || state.is_paused;
        drop(state);
        if is_awaited {
            self.pool.settled.notify_all();
        } else {
            self.pool.returned.notify_one();
        }
    }
}
