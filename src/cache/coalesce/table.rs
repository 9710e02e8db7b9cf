//! The table of calls in flight: at most one open call for a key, its leader, and its followers.
//!
//! A leader that [settles](Leader::settle) its call gives every follower a share of the outcome. A
//! leader that fails, or is dropped before that (its request was cancelled, it panicked), leaves
//! the call to the first follower that looks. A call is in the table as long as it has a leader or
//! followers.
//!
//! Keys come in groups: a response may turn out to belong under another key than the one that its
//! request was looked up under, always of the same group. The calls of a group are kept together,
//! so that a call finds the older ones that it [supersedes](Table::supersede) without looking at
//! others.
//!
//! The table knows neither HTTP nor stores. Keys, what is known of a call, and outcomes are
//! parameters. One lock guards all calls of a shard. No foreign code that could come back here runs
//! under it: what a call leaves behind is dropped, and wakers are woken, after the lock is
//! released.

use std::{
    collections::HashMap,
    future::Future,
    hash::{Hash, Hasher},
    mem,
    pin::Pin,
    sync::{Arc, PoisonError},
    task::{Context, Poll, Waker},
};

use super::call::{Call as CallState, Newer, Phase};
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};

/// What a call comes to.
pub(crate) trait Shareable: Clone + Send + 'static {
    type Key: Hash + Eq + Clone + Send + Unpin + 'static;

    /// What each follower receives.
    type Share: Send + 'static;

    /// A share for one more follower. `None` if the next request has to call for itself.
    fn share(&self) -> Option<Self::Share>;

    /// The key of the requests that the response may yet be stored for. `None` if nothing will be
    /// stored.
    fn stored_for(&self) -> Option<&Self::Key>;
}

type Call<I, O> = CallState<I, O, <O as Shareable>::Key, <O as Shareable>::Share>;

/// The calls of one layer and its clones.
pub(crate) struct Table<I, O: Shareable> {
    shards: Box<[Shard<I, O>]>,
    /// How many calls have stored something, counted in many places so that keys seldom share one.
    /// A request that read the store before the last of them, and found nothing, has to look again
    /// before it calls.
    generations: Box<[AtomicU64]>,
    /// How many calls there are.
    calls: AtomicU64,
    /// How many of them are not detached.
    attached: AtomicU64,
    next_id: AtomicU64,
}

struct Shard<I, O: Shareable> {
    calls: Mutex<Groups<I, O>>,
}

/// The calls of each group.
type Groups<I, O> = HashMap<<O as Shareable>::Key, Vec<Call<I, O>>>;

/// How many counters of generations there are for each shard.
const COUNTERS: usize = 64;

/// Identifies a call.
#[derive(Clone, Debug)]
pub(crate) struct CallId<K> {
    pub(crate) group: K,
    key: K,
    call: u64,
    /// When it began, in the order of the table's numbers. A call begins anew with each leader.
    pub(crate) began: u64,
}

impl<K: Clone> CallId<K> {
    /// The same call, compared with the calls of another group, whose primary key this is.
    pub(crate) fn in_group(&self, group: K) -> Self {
        Self { key: group.clone(), group, ..*self }
    }
}

/// How many calls had stored something for a key before a request read the store.
#[derive(Clone, Debug)]
pub(crate) struct Generation<K> {
    key: K,
    count: u64,
}

/// How a request joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// It follows a call in flight, or leads a new one.
    Either,
    /// It leads a new call. It is not needed where a call is in flight.
    UnlessInFlight,
    /// It leads a new call that others may follow, whatever is in flight.
    MustLead,
    /// It makes a call that nobody follows.
    Independent,
    /// It makes a call that nobody follows, for a request that bypasses the cache. Its response may
    /// be stored, and the call does not count as one of the cache's.
    Detached,
}

/// The part that a request takes in a call.
pub(crate) enum Role<I, O: Shareable> {
    Leader(Leader<I, O>),
    Follower(Follower<I, O>),
    Share(O::Share),
    /// Something was stored since the request read the store.
    LookAgain,
    /// There is a call in flight already ([`Join::UnlessInFlight`]).
    InFlight,
}

impl<I, O: Shareable> Table<I, O> {
    pub(crate) fn new(shards: usize) -> Self {
        let shards = shards.max(1);
        Self {
            shards: (0..shards).map(|_| Shard { calls: Mutex::new(HashMap::new()) }).collect(),
            generations: (0..shards * COUNTERS).map(|_| AtomicU64::new(0)).collect(),
            calls: AtomicU64::new(0),
            attached: AtomicU64::new(0),
            next_id: AtomicU64::new(0),
        }
    }

    fn shard(&self, group: &O::Key) -> &Shard<I, O> {
        &self.shards[fold(group) % self.shards.len()]
    }

    fn counter(&self, key: &O::Key) -> &AtomicU64 {
        &self.generations[fold(key) % self.generations.len()]
    }

    /// Is read before the store is read for `key`, and given to [`join`](Self::join).
    pub(crate) fn generation(&self, key: &O::Key) -> Generation<O::Key> {
        let count = self.counter(key).load(Ordering::Acquire);
        Generation { key: key.clone(), count }
    }

    /// Whether nothing was stored for the key since.
    pub(crate) fn is_current(&self, seen: &Generation<O::Key>) -> bool {
        self.counter(&seen.key).load(Ordering::Acquire) == seen.count
    }

    /// Joins the call for `key`, which is of that `group`, or begins one. A follower gives up after
    /// `max_failures` leaders have failed.
    pub(crate) fn join(
        self: &Arc<Self>,
        group: &O::Key,
        key: &O::Key,
        info: I,
        seen: &Generation<O::Key>,
        join: Join,
        max_failures: u32,
    ) -> Role<I, O> {
        let mut calls = self.shard(group).lock();
        let here = calls.entry(group.clone()).or_default();
        for call in here.iter_mut().filter(|call| call.is_open && call.key == *key) {
            match (join, &call.phase) {
                (Join::Independent | Join::Detached, _) => {}
                (Join::MustLead, _) | (_, Phase::Over) => call.is_open = false,
                (_, Phase::Vacant) => {
                    let (leader, former) = self.take_over(call, group, info);
                    drop(calls);
                    drop(former);
                    return Role::Leader(leader);
                }
                (Join::UnlessInFlight, _) => return Role::InFlight,
                (Join::Either, Phase::Calling) => {
                    let (place, give_up_at) = call.add_follower(max_failures);
                    return Role::Follower(Follower {
                        table: self.clone(),
                        group: group.clone(),
                        call: call.id,
                        place,
                        info: Some(info),
                        give_up_at,
                        is_over: false,
                    });
                }
                (Join::Either, Phase::Settled(outcome)) => match outcome.share() {
                    Some(share) => return Role::Share(share),
                    None => call.is_open = false,
                },
            }
        }
        if join == Join::Either && !self.is_current(seen) {
            if here.is_empty() {
                calls.remove(group);
            }
            return Role::LookAgain;
        }
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let is_open = !matches!(join, Join::Independent | Join::Detached);
        let is_detached = join == Join::Detached;
        let mut call = Call::<I, O>::new(id, key.clone(), info, is_open, is_detached);
        let leader = self.lead(&mut call, group);
        here.push(call);
        self.calls.fetch_add(1, Ordering::AcqRel);
        if !is_detached {
            self.attached.fetch_add(1, Ordering::AcqRel);
        }
        Role::Leader(leader)
    }

    fn lead(self: &Arc<Self>, call: &mut Call<I, O>, group: &O::Key) -> Leader<I, O> {
        call.begin(self.next_id.fetch_add(1, Ordering::Relaxed));
        let (group, key) = (group.clone(), call.key.clone());
        let id = CallId { group, key, call: call.id, began: call.began };
        Leader { table: self.clone(), id, is_over: false, stored: None }
    }

    /// Gives the call a new leader. The former information is dropped after the lock is released.
    fn take_over(
        self: &Arc<Self>,
        call: &mut Call<I, O>,
        group: &O::Key,
        info: I,
    ) -> (Leader<I, O>, I) {
        let former = mem::replace(&mut call.info, info);
        (self.lead(call, group), former)
    }

    /// Closes the calls that match: nobody joins them, and their responses must not be stored.
    /// Returns the outcomes of those that have settled, which the caller has to keep out of the
    /// store.
    pub(crate) fn invalidate(&self, matches: impl Fn(&O::Key, &I, Option<&O>) -> bool) -> Vec<O> {
        let mut settled = Vec::new();
        if self.calls.load(Ordering::Acquire) == 0 {
            return settled;
        }
        for shard in &self.shards {
            for call in shard.lock().values_mut().flatten() {
                let outcome = match &call.phase {
                    Phase::Settled(outcome) => Some(outcome),
                    _ => None,
                };
                if matches(&call.key, &call.info, outcome) {
                    settled.extend(outcome.cloned());
                    call.is_open = false;
                    call.is_invalidated = true;
                }
            }
        }
        settled
    }

    /// Closes the calls that match and have no response yet: nobody joins them any more. Present
    /// followers stay, and the responses may be stored.
    pub(crate) fn fence(&self, matches: impl Fn(&I) -> bool) {
        if self.calls.load(Ordering::Acquire) == 0 {
            return;
        }
        for shard in &self.shards {
            for call in shard.lock().values_mut().flatten() {
                if matches!(call.phase, Phase::Calling | Phase::Vacant) && matches(&call.info) {
                    call.is_open = false;
                }
            }
        }
    }

    /// Keeps older responses of the group out of the entry under `key`, where the response of
    /// `call` is about to be stored. Returns the outcomes that are on their way there, which the
    /// caller has to keep out of the store. A call without an outcome is told when it settles.
    pub(crate) fn supersede(&self, call: &CallId<O::Key>, key: &O::Key) -> Vec<O> {
        self.supersede_where(call, key, Newer::Response, |outcome| {
            outcome.stored_for() == Some(key)
        })
    }

    /// The same, where the answer of `call` ends what lies there. `is_there` says whether an
    /// outcome does.
    pub(crate) fn end_where(
        &self,
        call: &CallId<O::Key>,
        key: &O::Key,
        is_there: impl Fn(&O) -> bool,
    ) -> Vec<O> {
        self.supersede_where(call, key, Newer::End, is_there)
    }

    fn supersede_where(
        &self,
        call: &CallId<O::Key>,
        key: &O::Key,
        by: Newer,
        is_there: impl Fn(&O) -> bool,
    ) -> Vec<O> {
        self.supersede_each(call, by, |older| match &older.phase {
            Phase::Settled(outcome) => is_there(outcome),
            // As far as is known, both speak for the same requests.
            _ if older.key == call.key => true,
            // Its response may come to lie there, or elsewhere.
            _ => {
                older.supersede_at(key, by);
                false
            }
        })
    }

    /// Keeps all older responses of the group out of the store: the response of `call` is about to
    /// be stored for all its requests. Returns the outcomes that are on their way there.
    pub(crate) fn supersede_all(&self, call: &CallId<O::Key>) -> Vec<O> {
        self.supersede_each(call, Newer::Response, |older| match &older.phase {
            Phase::Settled(outcome) => outcome.stored_for().is_some(),
            _ => true,
        })
    }

    /// Supersedes the older calls of the group that `is_meant` selects. Returns their outcomes.
    fn supersede_each(
        &self,
        call: &CallId<O::Key>,
        by: Newer,
        mut is_meant: impl FnMut(&mut Call<I, O>) -> bool,
    ) -> Vec<O> {
        let mut settled = Vec::new();
        let mut calls = self.shard(&call.group).lock();
        let group = calls.get_mut(&call.group).into_iter().flatten();
        for older in group.filter(|older| older.began < call.began) {
            if is_meant(older) {
                if let Phase::Settled(outcome) = &older.phase {
                    settled.push(outcome.clone());
                }
                older.supersede(by);
            }
        }
        settled
    }

    /// What is known of the calls of the group that have not ended, and their outcomes where they
    /// may be stored, the latest call first.
    pub(crate) fn find_in_group<R>(
        &self,
        group: &O::Key,
        mut find: impl FnMut(&I, Option<&O>) -> Option<R>,
    ) -> Option<R> {
        let calls = self.shard(group).lock();
        calls.get(group)?.iter().rev().find_map(|call| match &call.phase {
            Phase::Settled(outcome) if !call.is_invalidated && call.superseded.is_none() => {
                find(&call.info, Some(outcome))
            }
            _ => find(&call.info, None),
        })
    }

    /// How many calls there are, without the [detached](Join::Detached) ones.
    pub(crate) fn len(&self) -> u64 {
        self.attached.load(Ordering::Acquire)
    }

    /// Runs `change` on one call, and takes the call out of the table if nobody is left in it. The
    /// returned values have to be dropped after the lock is released.
    fn with<R>(
        &self,
        group: &O::Key,
        id: u64,
        change: impl FnOnce(&mut Call<I, O>) -> R,
    ) -> (Option<R>, Option<Call<I, O>>) {
        let changed = self.shard(group).with(group, id, change);
        if let Some(gone) = &changed.1 {
            if !gone.is_detached {
                self.attached.fetch_sub(1, Ordering::AcqRel);
            }
            self.calls.fetch_sub(1, Ordering::AcqRel);
        }
        changed
    }
}

/// A number of `key`. The key is a digest, so any of its bytes are as good as a hash of them.
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

impl<I, O: Shareable> Shard<I, O> {
    fn lock(&self) -> MutexGuard<'_, Groups<I, O>> {
        // The state is whole between any two statements under the lock.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<R>(
        &self,
        group: &O::Key,
        id: u64,
        change: impl FnOnce(&mut Call<I, O>) -> R,
    ) -> (Option<R>, Option<Call<I, O>>) {
        let mut calls = self.lock();
        let Some(here) = calls.get_mut(group) else { return (None, None) };
        let Some(position) = here.iter().position(|call| call.id == id) else {
            return (None, None);
        };
        let result = change(&mut here[position]);
        let gone = here[position].is_over().then(|| here.swap_remove(position));
        if here.is_empty() {
            calls.remove(group);
            // A burst leaves its room behind otherwise.
            if calls.is_empty() && calls.capacity() > 1024 {
                calls.shrink_to_fit();
            }
        }
        (Some(result), gone)
    }
}

/// The request that makes the call. Dropped before it has settled or failed, it leaves the call to
/// a follower.
pub(crate) struct Leader<I, O: Shareable> {
    table: Arc<Table<I, O>>,
    id: CallId<O::Key>,
    is_over: bool,
    /// Whether something has been stored, and where.
    stored: Option<StoredAt>,
}

/// Which requests a stored response concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoredAt {
    /// Those of the call's key.
    Key,
    /// All of its group: they read the store under the key of the group first.
    Group,
}

impl<I, O: Shareable> Leader<I, O> {
    /// Gives every follower a share of `outcome`, and newcomers too until the leader is dropped.
    /// Returns `false` if it must not be stored: it was removed in flight, or is superseded.
    pub(crate) fn settle(&mut self, outcome: O) -> bool {
        let ((may_store, wakers, old), _) = self.change(|call| {
            let superseded = call.superseded_at(outcome.stored_for());
            let may_store = !call.is_invalidated && superseded.is_none();
            let old = call.settle(outcome, O::share);
            (may_store, call.wakers(), old)
        });
        wakers.into_iter().for_each(Waker::wake);
        drop(old);
        may_store
    }

    /// Reports that the call failed.
    pub(crate) fn fail(mut self) {
        self.leave(|call| {
            call.failures += 1;
            mem::replace(&mut call.phase, Phase::Vacant)
        });
    }

    /// Reports that something has been stored: requests that read the store from now on find it.
    pub(crate) fn has_stored(&mut self, at: StoredAt) {
        self.stored = Some(at);
    }

    /// What is known of the call.
    pub(crate) fn info<R>(&self, look: impl FnOnce(&I) -> R) -> R {
        self.change(|call| look(&call.info)).0
    }

    pub(crate) fn id(&self) -> CallId<O::Key> {
        self.id.clone()
    }

    /// Whether its response was removed in flight.
    pub(crate) fn is_invalidated(&self) -> bool {
        self.change(|call| call.is_invalidated).0
    }

    /// What a call that began after this one has brought in place of all that this one may bring,
    /// or of what belongs under `key`.
    pub(crate) fn superseded(&self, key: Option<&O::Key>) -> Option<Newer> {
        self.change(|call| call.superseded_at(key)).0
    }

    fn leave(&mut self, to: impl FnOnce(&mut Call<I, O>) -> Phase<O>) {
        if mem::replace(&mut self.is_over, true) {
            return;
        }
        if let Some(at) = self.stored {
            // Before the call leaves the table: a request that does not find the call finds this.
            self.table.counter(&self.id.key).fetch_add(1, Ordering::AcqRel);
            if at == StoredAt::Group && self.id.key != self.id.group {
                self.table.counter(&self.id.group).fetch_add(1, Ordering::AcqRel);
            }
        }
        let (left, gone) = self.table.with(&self.id.group, self.id.call, |call| {
            call.has_leader = false;
            let old = to(call);
            (call.wakers(), old)
        });
        if let Some((wakers, old)) = left {
            wakers.into_iter().for_each(Waker::wake);
            drop(old);
        }
        drop(gone);
    }

    fn change<R>(&self, change: impl FnOnce(&mut Call<I, O>) -> R) -> (R, Option<Call<I, O>>) {
        let (result, gone) = self.table.with(&self.id.group, self.id.call, change);
        (result.expect("a call that has a leader is in the table"), gone)
    }
}

impl<I, O: Shareable> Drop for Leader<I, O> {
    fn drop(&mut self) {
        self.leave(|call| {
            let next = match call.phase {
                Phase::Settled(_) => {
                    call.is_open = false;
                    Phase::Over
                }
                _ => Phase::Vacant,
            };
            mem::replace(&mut call.phase, next)
        });
    }
}

/// A request that waits for the leader of a call. Dropped, it leaves nothing behind.
pub(crate) struct Follower<I, O: Shareable> {
    table: Arc<Table<I, O>>,
    group: O::Key,
    call: u64,
    place: usize,
    /// What is known of the call once this request leads it.
    info: Option<I>,
    give_up_at: u32,
    is_over: bool,
}

/// What a follower has waited for.
pub(crate) enum Followed<I, O: Shareable> {
    Share(O::Share),
    /// The call has lost its leader: this request leads it.
    Leader(Leader<I, O>),
    /// As many leaders have failed as this request waits for.
    Failed,
    /// The outcome cannot be shared with it: it may join again.
    JoinAgain,
}

impl<I: Unpin, O: Shareable> Future for Follower<I, O> {
    type Output = Followed<I, O>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (table, group, place) = (&this.table, &this.group, this.place);
        let info = &mut this.info;
        let (mut replaced, mut former) = (None, None);
        let (followed, gone) = table.with(group, this.call, |call| {
            let waiting = call.waiting.get_mut(place)?;
            let followed = match (waiting.share.take(), &call.phase) {
                (Some(share), _) => share.map_or(Followed::JoinAgain, Followed::Share),
                _ if call.failures >= this.give_up_at => Followed::Failed,
                (None, Phase::Calling) => {
                    if !waiting.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                        replaced = waiting.waker.replace(cx.waker().clone());
                    }
                    return None;
                }
                (None, Phase::Vacant) if !call.is_invalidated => match info.take() {
                    Some(info) => {
                        let (leader, old) = table.take_over(call, group, info);
                        former = Some(old);
                        Followed::Leader(leader)
                    }
                    None => Followed::JoinAgain,
                },
                (None, _) => Followed::JoinAgain,
            };
            call.waiting.remove(place);
            Some(followed)
        });
        drop((replaced, former, gone));
        match followed.flatten() {
            Some(followed) => {
                this.is_over = true;
                Poll::Ready(followed)
            }
            None => Poll::Pending,
        }
    }
}

impl<I, O: Shareable> Drop for Follower<I, O> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let (left, gone) = self.table.with(&self.group, self.call, |call| {
            // It may have been woken to lead. So were the others, so nobody depends on this one.
            call.waiting.try_remove(self.place)
        });
        drop((left, gone));
    }
}
