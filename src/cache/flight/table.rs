//! Who calls, and who waits: at most one open flight a key, a leader in each, followers behind it.
//!
//! A leader that [lands](Lead::land) gives every follower a seat; one that fails, or goes without a word (its request was
//! cancelled, it panicked), leaves the lead to the first follower that looks. A flight is in the table for as long as
//! somebody leads it or waits for it, and no longer.
//!
//! The table knows neither HTTP nor stores: keys, what is known of a flight, and what it comes to are parameters. All of
//! a shard's flights are under one lock, which is never held while foreign code runs that could come back here: what a
//! flight leaves behind is dropped, and who is to wake is woken, after it.

use std::{
    collections::HashMap,
    future::Future,
    hash::{Hash, Hasher},
    mem,
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll, Waker},
};

use slab::Slab;

use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};

/// What a flight comes to.
pub(crate) trait Landing: Clone + Send + 'static {
    /// What it gives to each request behind it.
    type Seat: Send + 'static;

    /// A seat for one more; `None` where there is none any more, and the next request has to call for itself.
    fn seat(&self) -> Option<Self::Seat>;

    /// `newer`, whose call began later, is in the store: where this is to lie in the same place, it must not be stored any
    /// more.
    fn supersede(&self, newer: &Self);
}

/// The flights of one layer and its clones.
pub(crate) struct Table<K, I, L: Landing> {
    shards: Box<[Shard<K, I, L>]>,
    /// How many flights have left something in the store, counted in many places so that keys seldom share one. Whoever
    /// looked there before the last of them, and found nothing, has to look again before it calls.
    arrivals: Box<[AtomicU64]>,
    /// How many flights there are.
    flights: AtomicU64,
    /// How many of them are not aside.
    calls: AtomicU64,
    next_id: AtomicU64,
}

struct Shard<K, I, L: Landing> {
    flights: Mutex<HashMap<K, Vec<Flight<I, L>>>>,
}

/// How many places there are to count arrivals in, for each shard.
const COUNTERS: usize = 64;

struct Flight<I, L: Landing> {
    id: u64,
    info: I,
    /// When its last call began, in the order of the table's numbers.
    began: u64,
    /// Whether newcomers may follow.
    open: bool,
    /// Whether it is that of a request that goes past the cache.
    is_aside: bool,
    /// Whether what it brings must not be stored: it was removed on its way.
    doomed: bool,
    /// Whether a response whose call began later has been stored already.
    superseded: bool,
    led: bool,
    phase: Phase<L>,
    /// How many of its leaders have failed.
    failures: u32,
    waiting: Slab<Waiting<L::Seat>>,
}

enum Phase<L> {
    Calling,
    /// Nobody leads.
    Vacant,
    Landed(L),
    Over,
}

struct Waiting<S> {
    waker: Option<Waker>,
    /// `Some(None)` where the flight had none for it.
    seat: Option<Option<S>>,
}

/// How a request comes to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// It follows where there is a flight, and leads where there is none.
    Either,
    /// It leads where there is no flight, and is not needed where there is one.
    #[cfg_attr(not(feature = "tokio"), allow(dead_code, reason = "only the background does so"))]
    UnlessUnderway,
    /// It leads a flight that others may follow, whatever is under way.
    First,
    /// It goes alone: nobody follows it.
    Alone,
    /// The same for a request that goes past the cache: what it brings may be kept, and yet its call is none of the
    /// cache's.
    Aside,
}

pub(crate) enum Boarding<K: Hash + Eq + Clone, I, L: Landing> {
    Lead(Lead<K, I, L>),
    Follow(Follow<K, I, L>),
    Seated(L::Seat),
    /// Something was stored since the request looked there.
    LookAgain,
    /// There is a flight already ([`Join::UnlessUnderway`]).
    Underway,
}

impl<K: Hash + Eq + Clone, I, L: Landing> Table<K, I, L> {
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

    fn shard(&self, key: &K) -> &Shard<K, I, L> {
        &self.shards[fold(key) % self.shards.len()]
    }

    fn counter(&self, key: &K) -> &AtomicU64 {
        &self.arrivals[fold(key) % self.arrivals.len()]
    }

    /// To be asked before the store is looked into for `key`, and given to [`board`](Self::board).
    pub(crate) fn arrivals(&self, key: &K) -> u64 {
        self.counter(key).load(Ordering::Acquire)
    }

    /// A place in the flight for `key`, or one of its own. A follower gives up after `patience` leaders have failed.
    pub(crate) fn board(
        self: &Arc<Self>,
        key: &K,
        info: I,
        arrivals: u64,
        join: Join,
        patience: u32,
    ) -> Boarding<K, I, L> {
        let shard = self.shard(key);
        let mut flights = shard.lock();
        let here = flights.entry(key.clone()).or_default();
        for flight in here.iter_mut().filter(|flight| flight.open) {
            match join {
                Join::Alone | Join::Aside => {}
                Join::First => flight.open = false,
                Join::UnlessUnderway => match flight.phase {
                    Phase::Calling | Phase::Landed(_) => return Boarding::Underway,
                    Phase::Vacant => return Boarding::Lead(flight.take_over(self, key, info)),
                    Phase::Over => flight.open = false,
                },
                Join::Either => match &flight.phase {
                    Phase::Calling => {
                        return Boarding::Follow(flight.follow(self, key, info, patience));
                    }
                    Phase::Vacant => return Boarding::Lead(flight.take_over(self, key, info)),
                    Phase::Landed(landing) => match landing.seat() {
                        Some(seat) => return Boarding::Seated(seat),
                        None => flight.open = false,
                    },
                    Phase::Over => flight.open = false,
                },
            }
        }
        let has_looked_before = self.arrivals(key) != arrivals;
        if has_looked_before && join == Join::Either {
            if here.is_empty() {
                flights.remove(key);
            }
            return Boarding::LookAgain;
        }
        let mut flight = Flight {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            info,
            began: 0,
            open: !matches!(join, Join::Alone | Join::Aside),
            is_aside: join == Join::Aside,
            doomed: false,
            superseded: false,
            led: false,
            phase: Phase::Vacant,
            failures: 0,
            waiting: Slab::new(),
        };
        let lead = flight.lead(self, key);
        here.push(flight);
        self.flights.fetch_add(1, Ordering::AcqRel);
        if join != Join::Aside {
            self.calls.fetch_add(1, Ordering::AcqRel);
        }
        Boarding::Lead(lead)
    }

    /// Closes the flights that `matches` says yes to: nobody follows them from now on, and nothing of what they bring is
    /// to be stored. Returns what those have come to that have landed, for the caller to see to that.
    pub(crate) fn doom(&self, matches: impl Fn(&K, &I, Option<&L>) -> bool) -> Vec<L> {
        let mut landed = Vec::new();
        if self.flights.load(Ordering::Acquire) == 0 {
            return landed;
        }
        for shard in &self.shards {
            for (key, flights) in shard.lock().iter_mut() {
                for flight in flights {
                    let landing = match &flight.phase {
                        Phase::Landed(landing) => Some(landing),
                        _ => None,
                    };
                    if matches(key, &flight.info, landing) {
                        landed.extend(landing.cloned());
                        flight.open = false;
                        flight.doomed = true;
                    }
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

    /// The flight's response is about to be stored: what was asked for earlier is not to be stored over it. Of the flights
    /// whose calls began before this one's, in this key's place or, where it `varies`, in all, `matches` tells which those
    /// are. Returns what those have come to that have landed.
    pub(crate) fn overtake(
        &self,
        key: &K,
        flight: u64,
        varies: bool,
        matches: impl Fn(&K, &I, Option<&L>) -> bool,
    ) -> Vec<L> {
        let own = |flights: &Vec<Flight<I, L>>| {
            flights.iter().find(|other| other.id == flight).map(|own| own.began)
        };
        let own_shard = self.shard(key);
        let Some(began) = own_shard.lock().get(key).and_then(own) else { return Vec::new() };
        let mut landed = Vec::new();
        let shards = if varies { &self.shards[..] } else { std::slice::from_ref(own_shard) };
        for shard in shards {
            for (place, flights) in shard.lock().iter_mut() {
                for other in flights.iter_mut().filter(|other| other.began < began) {
                    let landing = match &other.phase {
                        Phase::Landed(landing) => Some(landing),
                        _ => None,
                    };
                    if matches(place, &other.info, landing) {
                        landed.extend(landing.cloned());
                        other.open = false;
                        other.superseded = true;
                    }
                }
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
        key: &K,
        id: u64,
        change: impl FnOnce(&mut Flight<I, L>) -> R,
    ) -> (Option<R>, Option<Flight<I, L>>) {
        let changed = self.shard(key).with(key, id, change);
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

impl<K: Hash + Eq + Clone, I, L: Landing> Shard<K, I, L> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Vec<Flight<I, L>>>> {
        // The state is whole between any two statements under the lock.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<R>(
        &self,
        key: &K,
        id: u64,
        change: impl FnOnce(&mut Flight<I, L>) -> R,
    ) -> (Option<R>, Option<Flight<I, L>>) {
        let mut flights = self.lock();
        let Some(here) = flights.get_mut(key) else { return (None, None) };
        let Some(position) = here.iter().position(|flight| flight.id == id) else {
            return (None, None);
        };
        let result = change(&mut here[position]);
        let is_over = !here[position].led && here[position].waiting.is_empty();
        let gone = is_over.then(|| here.swap_remove(position));
        if here.is_empty() {
            flights.remove(key);
            // A burst leaves its room behind otherwise.
            if flights.is_empty() && flights.capacity() > 1024 {
                flights.shrink_to_fit();
            }
        }
        (Some(result), gone)
    }
}

impl<I, L: Landing> Flight<I, L> {
    /// Another leads, of whom other things are known.
    fn take_over<K: Hash + Eq + Clone>(
        &mut self,
        table: &Arc<Table<K, I, L>>,
        key: &K,
        info: I,
    ) -> Lead<K, I, L> {
        self.info = info;
        self.lead(table, key)
    }

    fn lead<K: Hash + Eq + Clone>(
        &mut self,
        table: &Arc<Table<K, I, L>>,
        key: &K,
    ) -> Lead<K, I, L> {
        self.led = true;
        self.phase = Phase::Calling;
        self.began = table.next_id.fetch_add(1, Ordering::Relaxed);
        self.superseded = false;
        Lead {
            table: table.clone(),
            key: key.clone(),
            flight: self.id,
            is_over: false,
            has_arrived: false,
        }
    }

    fn follow<K: Hash + Eq + Clone>(
        &mut self,
        table: &Arc<Table<K, I, L>>,
        key: &K,
        info: I,
        patience: u32,
    ) -> Follow<K, I, L> {
        let place = self.waiting.insert(Waiting { waker: None, seat: None });
        Follow {
            table: table.clone(),
            key: key.clone(),
            flight: self.id,
            place,
            info: Some(info),
            give_up_at: self.failures.saturating_add(patience),
            is_over: false,
        }
    }

    fn wakers(&mut self) -> Vec<Waker> {
        self.waiting.iter_mut().filter_map(|(_, waiting)| waiting.waker.take()).collect()
    }
}

// ===== The leader =====

/// The one that calls. Dropped before it has landed or failed, it leaves the lead to a follower.
pub(crate) struct Lead<K: Hash + Eq + Clone, I, L: Landing> {
    table: Arc<Table<K, I, L>>,
    key: K,
    flight: u64,
    is_over: bool,
    has_arrived: bool,
}

impl<K: Hash + Eq + Clone, I, L: Landing> Lead<K, I, L> {
    /// Gives every follower a seat, and newcomers until the lead is dropped. `false` where nothing of it must be stored:
    /// it was removed on its way, or is superseded.
    pub(crate) fn land(&mut self, landing: L) -> bool {
        let ((is_sound, wakers, old), _) = self.change(|flight| {
            for (_, waiting) in &mut flight.waiting {
                waiting.seat = Some(landing.seat());
            }
            let old = mem::replace(&mut flight.phase, Phase::Landed(landing));
            (!flight.doomed && !flight.superseded, flight.wakers(), old)
        });
        wakers.into_iter().for_each(Waker::wake);
        drop(old);
        is_sound
    }

    /// The call failed.
    pub(crate) fn fail(mut self) {
        self.leave(|flight| {
            flight.failures += 1;
            mem::replace(&mut flight.phase, Phase::Vacant)
        });
    }

    /// Something has been stored: whoever looks for it from now on finds it, and what older calls bring is superseded.
    pub(crate) fn arrived(&mut self) {
        self.has_arrived = true;
    }

    /// What is known of the flight.
    pub(crate) fn info<R>(&self, look: impl FnOnce(&I) -> R) -> R {
        self.change(|flight| look(&flight.info)).0
    }

    /// What the table knows the flight by.
    pub(crate) fn id(&self) -> (K, u64) {
        (self.key.clone(), self.flight)
    }

    /// Whether what it brings was removed on its way.
    pub(crate) fn is_doomed(&self) -> bool {
        self.change(|flight| flight.doomed).0
    }

    /// Whether a call that began after this one has brought something.
    pub(crate) fn is_superseded(&self) -> bool {
        self.change(|flight| flight.superseded).0
    }

    fn leave(&mut self, to: impl FnOnce(&mut Flight<I, L>) -> Phase<L>) {
        if mem::replace(&mut self.is_over, true) {
            return;
        }
        if self.has_arrived {
            // Before the flight leaves the table: who does not meet it any more meets this.
            self.table.counter(&self.key).fetch_add(1, Ordering::AcqRel);
            self.supersede_older();
        }
        let (left, gone) = self.table.with(&self.key, self.flight, |flight| {
            flight.led = false;
            let old = to(flight);
            (flight.wakers(), old)
        });
        if let Some((wakers, old)) = left {
            wakers.into_iter().for_each(Waker::wake);
            drop(old);
        }
        drop(gone);
    }

    /// What was asked for earlier is not to be stored over what is stored now.
    fn supersede_older(&self) {
        let mut flights = self.table.shard(&self.key).lock();
        let Some(here) = flights.get_mut(&self.key) else { return };
        let Some(own) = here.iter().find(|flight| flight.id == self.flight) else { return };
        let (began, Phase::Landed(newer)) = (own.began, &own.phase) else { return };
        let newer = newer.clone();
        let mut landed = Vec::new();
        for flight in here.iter_mut().filter(|flight| flight.began < began) {
            flight.open = false;
            flight.superseded = true;
            if let Phase::Landed(older) = &flight.phase {
                landed.push(older.clone());
            }
        }
        drop(flights);
        landed.into_iter().for_each(|older| older.supersede(&newer));
    }

    fn change<R>(&self, change: impl FnOnce(&mut Flight<I, L>) -> R) -> (R, Option<Flight<I, L>>) {
        let (result, gone) = self.table.with(&self.key, self.flight, change);
        (result.expect("a flight that is led is in the table"), gone)
    }
}

impl<K: Hash + Eq + Clone, I, L: Landing> Drop for Lead<K, I, L> {
    fn drop(&mut self) {
        self.leave(|flight| {
            let next = match flight.phase {
                Phase::Landed(_) => {
                    flight.open = false;
                    Phase::Over
                }
                _ => Phase::Vacant,
            };
            mem::replace(&mut flight.phase, next)
        });
    }
}

// ===== The follower =====

/// One that waits for the leader. Dropped, it leaves nothing behind.
pub(crate) struct Follow<K: Hash + Eq + Clone, I, L: Landing> {
    table: Arc<Table<K, I, L>>,
    key: K,
    flight: u64,
    place: usize,
    /// What is known of the flight once this one leads it.
    info: Option<I>,
    give_up_at: u32,
    is_over: bool,
}

/// What a follower waited for.
pub(crate) enum Followed<K: Hash + Eq + Clone, I, L: Landing> {
    Seated(L::Seat),
    /// The leader is gone without one: this request leads.
    Lead(Lead<K, I, L>),
    /// As many leaders have failed as the request had patience for.
    Failed,
    /// There was no seat for it: it may board again.
    BoardAgain,
}

impl<K: Hash + Eq + Clone + Unpin, I: Unpin, L: Landing> Future for Follow<K, I, L> {
    type Output = Followed<K, I, L>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (table, key, place) = (&this.table, &this.key, this.place);
        let info = &mut this.info;
        let mut replaced = None;
        let (followed, gone) = table.with(key, this.flight, |flight| {
            let waiting = flight.waiting.get_mut(place)?;
            let followed = match (waiting.seat.take(), &flight.phase) {
                (Some(seat), _) => seat.map_or(Followed::BoardAgain, Followed::Seated),
                _ if flight.failures >= this.give_up_at => Followed::Failed,
                (None, Phase::Calling) => {
                    if !waiting.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                        replaced = waiting.waker.replace(cx.waker().clone());
                    }
                    return None;
                }
                (None, Phase::Vacant) if !flight.doomed => match info.take() {
                    Some(info) => Followed::Lead(flight.take_over(table, key, info)),
                    None => Followed::BoardAgain,
                },
                (None, _) => Followed::BoardAgain,
            };
            flight.waiting.remove(place);
            Some(followed)
        });
        drop((replaced, gone));
        match followed.flatten() {
            Some(followed) => {
                this.is_over = true;
                Poll::Ready(followed)
            }
            None => Poll::Pending,
        }
    }
}

impl<K: Hash + Eq + Clone, I, L: Landing> Drop for Follow<K, I, L> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let (left, gone) = self.table.with(&self.key, self.flight, |flight| {
            // It may be one that was woken to take the lead. So were the others: nobody waits for a word from this one.
            flight.waiting.try_remove(self.place)
        });
        drop((left, gone));
    }
}
