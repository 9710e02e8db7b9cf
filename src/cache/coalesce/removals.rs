//! [`RemovalLog`]: what was removed while calls are in flight.
//!
//! A removal does not look for the calls that it concerns. Most of them have no response yet, so
//! nobody knows which they are. Instead, the removal is noted here, with a number. Calls have
//! numbers of the same order, and each looks for the removals since it began: when a request joins
//! it, when its response arrives, and when that is about to be stored.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::PoisonError,
};

use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};

/// More marks than this are forgotten, and count as a removal of everything. They take about a
/// megabyte.
pub(super) const MOST: usize = 16 * 1024;

/// A number for something that is removed, such as a key or a tag. If two things have the same
/// number, a response may not be stored that could have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Mark(u64);

impl Mark {
    pub(crate) fn new(of: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        of.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// The removals that calls in flight have to know.
pub(super) struct RemovalLog {
    /// The number of the last removal. Most calls look at nothing else.
    last: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    removed: HashMap<Mark, Removed>,
    everything: Option<Removed>,
}

/// The removals of one thing.
#[derive(Clone, Copy, Debug)]
struct Removed {
    first: u64,
    last: u64,
    /// The call that the last one spares, and the last removal that does not spare it.
    spared: Option<(u64, u64)>,
}

/// What looks for removals.
#[derive(Clone, Copy, Debug)]
pub(super) struct Since {
    pub(super) call: u64,
    /// When the call began.
    pub(super) began: u64,
    /// Up to which removal it looks. It may be told of later ones, too.
    pub(super) until: u64,
}

impl Removed {
    /// Adds a removal to those of the same thing.
    fn then(former: Option<Self>, number: u64, spared: Option<u64>) -> Self {
        let before = former.map_or(0, |former| spared.map_or(0, |call| former.last_for(call)));
        Self {
            first: former.map_or(number, |former| former.first),
            last: number,
            spared: spared.map(|call| (call, before)),
        }
    }

    /// The last removal that does not spare `call`.
    fn last_for(&self, call: u64) -> u64 {
        match self.spared {
            Some((spared, before)) if spared == call => before,
            _ => self.last,
        }
    }

    fn concerns(&self, since: Since) -> bool {
        self.last_for(since.call) > since.began && self.first <= since.until
    }
}

impl RemovalLog {
    pub(super) fn new() -> Self {
        Self { last: AtomicU64::new(0), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The state is whole between any two statements under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the last removal.
    pub(super) fn last(&self) -> u64 {
        self.last.load(Ordering::Acquire)
    }

    /// Whether marks have to be [forgotten](Self::forget) before another is added.
    pub(super) fn is_full(&self) -> bool {
        self.lock().removed.len() >= MOST
    }

    /// Forgets the removals before the oldest call began. If too many are left, they count as a
    /// removal of everything.
    pub(super) fn forget(&self, oldest: u64, number: impl FnOnce() -> u64) {
        let mut state = self.lock();
        state.removed.retain(|_, removed| removed.last > oldest);
        if state.removed.len() >= MOST / 2 {
            state.removed = HashMap::new();
            self.add(&mut state, None, number(), None);
        }
    }

    /// Notes the removal of what carries `mark`, or of everything. It spares a call. If there is no
    /// call in flight, nobody has to know of it.
    pub(super) fn note(
        &self,
        mark: Option<Mark>,
        spared: Option<u64>,
        has_calls: impl FnOnce() -> bool,
        number: impl FnOnce() -> u64,
    ) {
        let mut state = self.lock();
        if has_calls() {
            self.add(&mut state, mark, number(), spared);
        } else if !state.removed.is_empty() {
            *state = State::default();
        }
    }

    fn add(&self, state: &mut State, mark: Option<Mark>, number: u64, spared: Option<u64>) {
        let former = mark.map_or(state.everything, |mark| state.removed.get(&mark).copied());
        let removed = Removed::then(former, number, spared);
        match mark {
            Some(mark) => drop(state.removed.insert(mark, removed)),
            None => state.everything = Some(removed),
        }
        self.last.store(number, Ordering::Release);
    }

    /// Whether any of the `marks` was removed since a call began.
    pub(super) fn concern(&self, since: Since, mut marks: impl Iterator<Item = Mark>) -> bool {
        if self.last() <= since.began {
            return false;
        }
        let state = self.lock();
        let concerns = |removed: &Removed| removed.concerns(since);
        state.everything.as_ref().is_some_and(concerns)
            || marks.any(|mark| state.removed.get(&mark).is_some_and(concerns))
    }
}
