//! [`RemovalLog`]: what was removed while calls are in flight.
//!
//! A removal does not look for the calls that it concerns. Most of them have no response yet, so
//! nobody knows which they are. Instead, the removal is written down here, with a number. Calls
//! have numbers of the same order, and each looks for the removals since it began: when a request
//! joins it, when its response arrives, and when that is about to be stored.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::PoisonError,
};

use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};

/// If there are more marks than this, the older half is forgotten, and counts as a removal of
/// everything. They take up to four megabytes.
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
    /// The one before the last.
    previous: u64,
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
    /// Up to which removal it looks.
    pub(super) until: u64,
}

impl Removed {
    /// Adds a removal to those of the same thing.
    fn then(former: Option<Self>, number: u64, spared: Option<u64>) -> Self {
        let Some(former) = former else {
            let spared = spared.map(|call| (call, 0));
            return Self { first: number, previous: 0, last: number, spared };
        };
        let spared = spared.map(|call| (call, former.last_for(call)));
        Self { first: former.first, previous: former.last, last: number, spared }
    }

    /// The last removal that does not spare `call`.
    fn last_for(&self, call: u64) -> u64 {
        match self.spared {
            Some((spared, before)) if spared == call => before,
            _ => self.last,
        }
    }

    /// Whether one of them came after the call began, and up to the number that is looked for. If
    /// the last two came later, the answer may be yes although none did.
    fn concerns(&self, Since { call, began, until }: Since) -> bool {
        let last = self.last_for(call);
        if last <= began || until <= began {
            return false;
        }
        match until {
            _ if last <= until => true,
            _ if self.previous <= until => self.previous > began,
            _ => self.first <= until,
        }
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

    /// Forgets the removals before the oldest call began. If too many are left, it forgets the
    /// older half, and to calls that began before these, everything was removed.
    pub(super) fn forget(&self, oldest: u64) {
        let mut state = self.lock();
        state.removed.retain(|_, removed| removed.last > oldest);
        if state.removed.len() < MOST / 2 {
            return;
        }
        let mut numbers: Vec<u64> = state.removed.values().map(|removed| removed.last).collect();
        let middle = numbers.len() / 2;
        let (_, &mut newest, _) = numbers.select_nth_unstable(middle);
        state.removed.retain(|_, removed| removed.last > newest);
        let everything = state.everything.filter(|everything| everything.last >= newest);
        state.everything = everything.or(Some(Removed::then(state.everything, newest, None)));
    }

    /// Adds the removal of what carries `mark`, or of everything. It spares a call. If there is no
    /// call in flight, nobody has to know of it.
    pub(super) fn add(
        &self,
        mark: Option<Mark>,
        spared: Option<u64>,
        has_calls: impl FnOnce() -> bool,
        number: impl FnOnce() -> u64,
    ) {
        let mut state = self.lock();
        if !has_calls() {
            if !state.removed.is_empty() || state.everything.is_some() {
                *state = State::default();
            }
            return;
        }
        let number = number();
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
