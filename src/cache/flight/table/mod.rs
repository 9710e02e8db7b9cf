//! Who calls, and who waits: at most one open flight a key, a leader in each, followers behind it.
//!
//! A leader that [lands](Lead::land) gives every follower a seat; one that fails, or goes without a word (its request was
//! cancelled, it panicked), leaves the lead to the first follower that looks. A flight is in the table for as long as
//! somebody leads it or waits for it, and no longer.
//!
//! Keys come in groups: a response may turn out to lie under another key than its request was looked for under, of the
//! same group always. What lies together is kept together, so that a call meets the older ones whose responses it
//! [overtakes](Table::overtake), and looks at no others.
//!
//! The table knows neither HTTP nor stores: keys, what is known of a flight, and what it comes to are parameters. All of
//! a shard's flights are under one lock, which is never held while foreign code runs that could come back here: what a
//! flight leaves behind is dropped, and who is to wake is woken, after it.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::{Arc, PoisonError},
};

use self::flight::{Flight, Phase};
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};

mod flight;
mod follow;
mod lead;

pub(crate) use self::{
    follow::{Follow, Followed},
    lead::Lead,
};

/// What a flight comes to.
pub(crate) trait Landing: Clone + Send + 'static {
    type Key: Hash + Eq + Clone + Send + Unpin + 'static;

    /// What it gives to each request behind it.
    type Seat: Send + 'static;

    /// A seat for one more; `None` where there is none any more, and the next request has to call for itself.
    fn seat(&self) -> Option<Self::Seat>;

    /// Under which key it may yet be stored; `None` where nothing is to be.
    fn place(&self) -> Option<&Self::Key>;
}

/// The flights of one layer and its clones.
pub(crate) struct Table<I, L: Landing> {
    shards: Box<[Shard<I, L>]>,
    /// How many flights have left something in the store, counted in many places so that keys seldom share one. Whoever
    /// looked there before the last of them, and found nothing, has to look again before it calls.
    arrivals: Box<[AtomicU64]>,
    /// How many flights there are.
    flights: AtomicU64,
    /// How many of them are not aside.
    calls: AtomicU64,
    next_id: AtomicU64,
}

struct Shard<I, L: Landing> {
    flights: Mutex<Groups<I, L>>,
}

/// The flights of each group.
type Groups<I, L> = HashMap<<L as Landing>::Key, Vec<Flight<I, L>>>;

/// How many places there are to count arrivals in, for each shard.
const COUNTERS: usize = 64;

/// What tells a call from all others.
#[derive(Clone, Debug)]
pub(crate) struct CallId<K> {
    pub(crate) group: K,
    key: K,
    flight: u64,
    /// When it began, in the order of the table's numbers: that of one flight may have begun anew.
    pub(crate) began: u64,
}

impl<K: Clone> CallId<K> {
    /// The same call, to be held against those of another group, whose key is `group` as well.
    pub(crate) fn beside(&self, group: K) -> Self {
        Self { key: group.clone(), group, ..*self }
    }
}

/// How a request comes to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// It follows where there is a flight, and leads where there is none.
    Either,
    /// It leads where there is no flight, and is not needed where there is one.
    UnlessUnderway,
    /// It leads a flight that others may follow, whatever is under way.
    First,
    /// It goes alone: nobody follows it.
    Alone,
    /// The same for a request that goes past the cache: what it brings may be kept, and yet its call is none of the
    /// cache's.
    Aside,
}

pub(crate) enum Boarding<I, L: Landing> {
    Lead(Lead<I, L>),
    Follow(Follow<I, L>),
    Seated(L::Seat),
    /// Something was stored since the request looked there.
    LookAgain,
    /// There is a flight already ([`Join::UnlessUnderway`]).
    Underway,
}

impl<I, L: Landing> Table<I, L> {
    pub(crate) fn new(shards: usize) -> Self {
        let shards = shards.max(1);
        Self {
            shards: (0..shards).map(|_| Shard { flights: Mutex::new(HashMap::new()) }).collect(),
            arrivals: (0..shards * COUNTERS).map(|_| AtomicU64::new(0)).collect(),
            flights: AtomicU64::new(0),
            calls: AtomicU64::new(0),
            next_id: AtomicU64::new(0),
        }
    }

    fn shard(&self, group: &L::Key) -> &Shard<I, L> {
        &self.shards[fold(group) % self.shards.len()]
    }

    fn counter(&self, key: &L::Key) -> &AtomicU64 {
        &self.arrivals[fold(key) % self.arrivals.len()]
    }

    /// To be asked before the store is looked into for `key`, and given to [`board`](Self::board).
    pub(crate) fn arrivals(&self, key: &L::Key) -> u64 {
        self.counter(key).load(Ordering::Acquire)
    }

    /// A place in the flight for `key`, which is of that `group`, or one of its own. A follower gives up after `patience`
    /// leaders have failed.
    pub(crate) fn board(
        self: &Arc<Self>,
        group: &L::Key,
        key: &L::Key,
        info: I,
        arrivals: u64,
        join: Join,
        patience: u32,
    ) -> Boarding<I, L> {
        let mut flights = self.shard(group).lock();
        let here = flights.entry(group.clone()).or_default();
        for flight in here.iter_mut().filter(|flight| flight.open && flight.key == *key) {
            match (join, &flight.phase) {
                (Join::Alone | Join::Aside, _) => {}
                (Join::First, _) | (_, Phase::Over) => flight.open = false,
                (_, Phase::Vacant) => {
                    let (lead, former) = flight.take_over(self, group, info);
                    drop(flights);
                    drop(former);
                    return Boarding::Lead(lead);
                }
                (Join::UnlessUnderway, _) => return Boarding::Underway,
                (Join::Either, Phase::Calling) => {
                    return Boarding::Follow(flight.follow(self, group, info, patience));
                }
                (Join::Either, Phase::Landed(landing)) => match landing.seat() {
                    Some(seat) => return Boarding::Seated(seat),
                    None => flight.open = false,
                },
            }
        }
        let has_arrived_since = self.arrivals(key) != arrivals;
        if has_arrived_since && join == Join::Either {
            if here.is_empty() {
                flights.remove(group);
            }
            return Boarding::LookAgain;
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut flight = Flight::new(id, key.clone(), info, join);
        let lead = flight.lead(self, group);
        here.push(flight);
        self.flights.fetch_add(1, Ordering::AcqRel);
        if join != Join::Aside {
            self.calls.fetch_add(1, Ordering::AcqRel);
        }
        Boarding::Lead(lead)
    }

    /// Closes the flights that `matches` says yes to: nobody follows them from now on, and nothing of what they bring is
    /// to be stored. Returns what those have come to that have landed, for the caller to see to that.
    pub(crate) fn doom(&self, matches: impl Fn(&L::Key, &I, Option<&L>) -> bool) -> Vec<L> {
        let mut landed = Vec::new();
        if self.flights.load(Ordering::Acquire) == 0 {
            return landed;
        }
        for shard in &self.shards {
            for flight in shard.lock().values_mut().flatten() {
                let landing = match &flight.phase {
                    Phase::Landed(landing) => Some(landing),
                    _ => None,
                };
                if matches(&flight.key, &flight.info, landing) {
                    landed.extend(landing.cloned());
                    flight.open = false;
                    flight.doomed = true;
                }
            }
        }
        landed
    }

    /// Closes the flights that have not landed yet and that `matches` says yes to: those who follow them do so on, and nobody
    /// else. What they bring may be stored.
    pub(crate) fn close(&self, matches: impl Fn(&I) -> bool) {
        if self.flights.load(Ordering::Acquire) == 0 {
            return;
        }
        for shard in &self.shards {
            for flight in shard.lock().values_mut().flatten() {
                if matches!(flight.phase, Phase::Calling | Phase::Vacant) && matches(&flight.info) {
                    flight.open = false;
                }
            }
        }
    }

    /// What `call` has brought is about to be stored under `key`, which is of its group: what was asked for earlier is not
    /// to be stored over it. Returns what is on its way there, for the caller to see to that; a flight that has yet to
    /// land is told when it does.
    pub(crate) fn overtake(&self, call: &CallId<L::Key>, key: &L::Key) -> Vec<L> {
        self.overtake_where(call, key, |landing| landing.place() == Some(key))
    }

    /// The same, but `is_there` decides whether a landed flight is meant.
    pub(crate) fn overtake_where(
        &self,
        call: &CallId<L::Key>,
        key: &L::Key,
        is_there: impl Fn(&L) -> bool,
    ) -> Vec<L> {
        self.overtake_each(call, |older| match &older.phase {
            Phase::Landed(landing) => is_there(landing),
            // As far as is known, both speak for the same requests.
            _ if older.key == call.key => true,
            // It may come to lie there, or elsewhere.
            _ => {
                older.supersede_at(key);
                false
            }
        })
    }

    /// The response of `call` is about to be stored for all requests of its group. Supersedes all
    /// older flights of the group, and returns what is on its way there.
    pub(crate) fn overtake_all(&self, call: &CallId<L::Key>) -> Vec<L> {
        self.overtake_each(call, |older| match &older.phase {
            Phase::Landed(landing) => landing.place().is_some(),
            _ => true,
        })
    }

    /// Supersedes the older flights of the group that `is_meant` selects. Returns what they have
    /// landed with.
    fn overtake_each(
        &self,
        call: &CallId<L::Key>,
        mut is_meant: impl FnMut(&mut Flight<I, L>) -> bool,
    ) -> Vec<L> {
        let mut landed = Vec::new();
        let mut flights = self.shard(&call.group).lock();
        let group = flights.get_mut(&call.group).into_iter().flatten();
        for older in group.filter(|flight| flight.began < call.began) {
            if is_meant(older) {
                if let Phase::Landed(landing) = &older.phase {
                    landed.push(landing.clone());
                }
                older.supersede();
            }
        }
        landed
    }

    /// How many flights there are, without those [aside](Join::Aside).
    pub(crate) fn len(&self) -> u64 {
        self.calls.load(Ordering::Acquire)
    }

    /// Lets `change` at one flight, and takes it out of the table where nobody is left in it. What is returned is to be
    /// dropped behind the lock.
    fn with<R>(
        &self,
        group: &L::Key,
        id: u64,
        change: impl FnOnce(&mut Flight<I, L>) -> R,
    ) -> (Option<R>, Option<Flight<I, L>>) {
        let changed = self.shard(group).with(group, id, change);
        if let Some(gone) = &changed.1 {
            if !gone.is_aside {
                self.calls.fetch_sub(1, Ordering::AcqRel);
            }
            self.flights.fetch_sub(1, Ordering::AcqRel);
        }
        changed
    }
}

/// A number of `key`, which is a digest: any of its bytes are as good as a hash of them.
fn fold(key: &impl Hash) -> usize {
    struct Fold(u64);

    impl Hasher for Fold {
        fn write(&mut self, bytes: &[u8]) {
            for word in bytes.chunks(8) {
                let word = word.iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
                self.0 = self.0.rotate_left(7) ^ word;
            }
        }

        fn finish(&self) -> u64 {
            self.0
        }
    }

    let mut fold = Fold(0);
    key.hash(&mut fold);
    fold.finish() as usize
}

impl<I, L: Landing> Shard<I, L> {
    fn lock(&self) -> MutexGuard<'_, Groups<I, L>> {
        // The state is whole between any two statements under the lock.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<R>(
        &self,
        group: &L::Key,
        id: u64,
        change: impl FnOnce(&mut Flight<I, L>) -> R,
    ) -> (Option<R>, Option<Flight<I, L>>) {
        let mut flights = self.lock();
        let Some(here) = flights.get_mut(group) else { return (None, None) };
        let Some(position) = here.iter().position(|flight| flight.id == id) else {
            return (None, None);
        };
        let result = change(&mut here[position]);
        let is_over = !here[position].led && here[position].waiting.is_empty();
        let gone = is_over.then(|| here.swap_remove(position));
        if here.is_empty() {
            flights.remove(group);
            // A burst leaves its room behind otherwise.
            if flights.is_empty() && flights.capacity() > 1024 {
                flights.shrink_to_fit();
            }
        }
        (Some(result), gone)
    }
}
