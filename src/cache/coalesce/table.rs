//! The table of calls in flight: at most one open call for a key. A call is in the table as long as
//! it has a leader or followers.
//!
//! - `join` says which part a request takes in a call.
//! - `leader` is the request that makes the call.
//! - `follower` is a request that waits for it.
//! - `call` is the state of one call.
//! - `removals` knows what was removed since a call began.
//!
//! Keys come in groups. The group of a call is the primary key of its request. The response may
//! turn out to belong under another key than the one that the request joined under, but always
//! under a key of the same group. The calls of a group are kept together, so that a call finds the
//! older ones that it [supersedes](Table::supersede) without looking at others.
//!
//! The table knows neither HTTP nor stores. Keys, what is known of a call, and outcomes are
//! parameters. One lock guards all calls of a shard. No foreign code that could come back here runs
//! under it: what a call leaves behind is dropped, and wakers are woken, after the lock is
//! released.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    sync::PoisonError,
};

use foldhash::fast::RandomState;
use smallvec::SmallVec;

use super::{
    call::{Call as CallState, Newer, Phase},
    removals::{Mark, RemovalLog, Since},
};
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};

/// The result of a call.
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

/// What is known of a call from its request.
pub(crate) trait Marked<O: Shareable> {
    /// Everything whose removal concerns the call, which requests join under `key`. Without an
    /// outcome, that is what the request alone says.
    fn marks<'a>(
        &'a self,
        key: &'a O::Key,
        outcome: Option<&'a O>,
    ) -> impl Iterator<Item = Mark> + 'a;

    /// Takes over what the call has learned under its former leader.
    fn inherit(&self, _former: &Self) {}
}

pub(super) type Call<I, O> = CallState<I, O, <O as Shareable>::Key, <O as Shareable>::Share>;

/// The calls of one layer and its clones.
pub(crate) struct Table<I, O: Shareable> {
    shards: Box<[Shard<I, O>]>,
    /// How many calls have stored something, counted in many places so that keys seldom share one.
    /// A request that read the store before the last of them, and found nothing, has to look again
    /// before it calls.
    generations: Box<[AtomicU64]>,
    pub(super) removals: RemovalLog,
    /// How many calls there are.
    pub(super) calls: AtomicU64,
    /// How many of them are not detached: their requests do not bypass the cache.
    pub(super) attached: AtomicU64,
    next_number: AtomicU64,
}

pub(super) struct Shard<I, O: Shareable> {
    calls: Mutex<Groups<I, O>>,
    /// The calls whose responses are being published, by their groups. A removal waits for those
    /// that it concerns.
    publishing: Mutex<Vec<(O::Key, u64)>>,
}

/// The calls of each group. The keys are digests, so a fast hash of them will do. It has a seed:
/// a client could search for digests that collide.
pub(super) type Groups<I, O> = HashMap<<O as Shareable>::Key, Group<I, O>, RandomState>;

/// Most groups have one call. It is boxed, since a call is large.
pub(super) type Group<I, O> = SmallVec<[Box<Call<I, O>>; 1]>;

/// How many counters of generations there are for each shard.
const COUNTERS: usize = 64;

/// Identifies a call.
#[derive(Clone, Debug)]
pub(crate) struct CallId<K> {
    pub(crate) group: K,
    pub(super) key: K,
    pub(super) call: u64,
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

impl<I, O: Shareable> Table<I, O> {
    pub(crate) fn new(shards: usize) -> Self {
        let shards = shards.max(1);
        Self {
            shards: (0..shards).map(|_| Shard::new()).collect(),
            generations: (0..shards * COUNTERS).map(|_| AtomicU64::new(0)).collect(),
            removals: RemovalLog::new(),
            calls: AtomicU64::new(0),
            attached: AtomicU64::new(0),
            next_number: AtomicU64::new(0),
        }
    }

    pub(super) fn shard(&self, group: &O::Key) -> &Shard<I, O> {
        &self.shards[fold(group) % self.shards.len()]
    }

    pub(super) fn counter(&self, key: &O::Key) -> &AtomicU64 {
        &self.generations[fold(key) % self.generations.len()]
    }

    /// The generation of `key`. A request takes it before it reads the store, and gives it to
    /// [`join`](Self::join).
    pub(crate) fn generation(&self, key: &O::Key) -> Generation<O::Key> {
        let count = self.counter(key).load(Ordering::Acquire);
        Generation { key: key.clone(), count }
    }

    /// Whether nothing was stored for the key since `generation` was taken.
    pub(crate) fn is_current(&self, generation: &Generation<O::Key>) -> bool {
        self.counter(&generation.key).load(Ordering::Acquire) == generation.count
    }

    /// The next number. Numbers identify calls, and order their beginnings.
    pub(super) fn next_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// Closes the calls that match: nobody joins them, and their responses must not be stored.
    /// Returns the outcomes of those that have settled, which the caller has to keep out of the
    /// store. It looks at each call.
    pub(crate) fn invalidate_where(&self, matches: impl Fn(&I, Option<&O>) -> bool) -> Vec<O> {
        let mut settled = Vec::new();
        if self.calls.load(Ordering::Acquire) > 0 {
            for shard in &self.shards {
                for call in shard.lock().values_mut().flatten() {
                    settled.extend(call.invalidate_if(|_, info, outcome| matches(info, outcome)));
                }
            }
        }
        settled
    }

    /// The same for the calls of one group.
    pub(crate) fn invalidate_in_group(
        &self,
        group: &O::Key,
        matches: impl Fn(&O::Key, &I, Option<&O>) -> bool,
    ) -> Vec<O> {
        let mut calls = self.shard(group).lock();
        let calls = calls.get_mut(group).into_iter().flatten();
        calls.filter_map(|call| call.invalidate_if(&matches)).collect()
    }

    /// Supersedes the older responses for `key`: the response of `call` is about to be stored for
    /// the requests that join under this key. Returns the outcomes that are on their way there,
    /// which the caller has to keep out of the store. A call without an outcome learns of it when
    /// it settles. If requests join it under this key, nobody joins it any more.
    pub(crate) fn supersede(&self, call: &CallId<O::Key>, key: &O::Key) -> Vec<O> {
        self.supersede_where(call, key, Newer::Response, |outcome| {
            outcome.stored_for() == Some(key)
        })
    }

    /// The same if the answer of `call` ends those responses. `is_there` says whether an outcome is
    /// one of them.
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
            // Both calls were made for the same requests.
            _ if older.key == call.key => true,
            // Its response may come to lie there, or elsewhere. Requests that join under this key
            // from now on require a newer one.
            _ => {
                older.is_open &= older.key != *key;
                older.supersede_at(key, by);
                false
            }
        })
    }

    /// Supersedes all older responses of the group: the response of `call` is about to be stored
    /// for all of its requests. Returns the outcomes that are on their way into the store.
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

    /// Shows what is known of each call of the group.
    pub(crate) fn each_in_group(&self, group: &O::Key, mut show: impl FnMut(&I)) {
        let calls = self.shard(group).lock();
        calls.get(group).into_iter().flatten().for_each(|call| show(&call.info));
    }

    /// Looks at what is known of a call. `None` if it has left the table.
    pub(crate) fn look_at<R>(&self, id: &CallId<O::Key>, look: impl FnOnce(&I) -> R) -> Option<R> {
        let calls = self.shard(&id.group).lock();
        let call = calls.get(&id.group)?.iter().find(|call| call.id == id.call)?;
        Some(look(&call.info))
    }

    /// How many calls there are, without those of requests that bypass the cache.
    pub(crate) fn len(&self) -> u64 {
        self.attached.load(Ordering::Acquire)
    }

    /// Runs `change` on one call, and takes the call out of the table if nobody is left in it. The
    /// returned values have to be dropped after the lock is released.
    pub(super) fn with<R>(
        &self,
        group: &O::Key,
        id: u64,
        change: impl FnOnce(&mut Call<I, O>) -> R,
    ) -> (Option<R>, Option<Box<Call<I, O>>>) {
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

/// # A removal wins
impl<I: Marked<O>, O: Shareable> Table<I, O> {
    /// Removes what carries `mark`, or everything. Calls that began before this do not store it,
    /// and requests that join from now on do not receive it from them. The `spared` call is not
    /// concerned.
    ///
    /// Responses that are being published cannot be stopped. Returns the outcomes of those that the
    /// removal concerns, which the caller has to wait for. Calls `publishing` for every call that
    /// is being published, whether the removal concerns it or not.
    pub(crate) fn invalidate(
        &self,
        mark: Option<Mark>,
        spared: Option<&CallId<O::Key>>,
        mut publishing: impl FnMut(&I),
    ) -> Vec<O> {
        let mut settled = Vec::new();
        if self.removals.is_full() {
            self.removals.forget(self.oldest_beginning());
        }
        let has_calls = || self.calls.load(Ordering::Acquire) > 0;
        let spared = spared.map(|call| call.call);
        self.removals.add(mark, spared, has_calls, || self.next_number());
        if !has_calls() {
            return settled;
        }
        for shard in &self.shards {
            let publishing_there = shard.publishing().clone();
            for (group, id) in publishing_there {
                let calls = shard.lock();
                let group = calls.get(&group).into_iter().flatten();
                for call in group.filter(|call| call.id == id && spared != Some(id)) {
                    publishing(&call.info);
                    let outcome = call.outcome();
                    let is_meant = |own: Mark| mark.is_none_or(|mark| mark == own);
                    if call.info.marks(&call.key, outcome).any(is_meant) {
                        settled.extend(outcome.cloned());
                    }
                }
            }
        }
        settled
    }

    /// When the oldest call began. No call that begins from now on is older.
    fn oldest_beginning(&self) -> u64 {
        // Taken first: a call may begin in a shard that has been looked at. It draws its number
        // under the lock of that shard.
        let now = self.next_number();
        let oldest =
            |shard: &Shard<I, O>| shard.lock().values().flatten().map(|call| call.began).min();
        self.shards.iter().filter_map(oldest).min().map_or(now, |oldest| oldest.min(now))
    }

    /// Registers the call as publishing, then runs `change` on its information under the lock.
    /// Removals wait for the call from now on, until it leaves the table. Returns `false` if its
    /// response was removed: by what is known of the call, or by one of the other `marks`.
    pub(crate) fn begin_publishing(
        &self,
        id: &CallId<O::Key>,
        change: impl FnOnce(&I),
        marks: impl Iterator<Item = Mark>,
    ) -> bool {
        let entry = (id.group.clone(), id.call);
        let mut publishing = self.shard(&id.group).publishing();
        if !publishing.contains(&entry) {
            publishing.push(entry);
        }
        drop(publishing);
        // Looked for after that: a removal is found here, or finds the call.
        let since = Since { call: id.call, began: id.began, until: u64::MAX };
        let look = |call: &mut Call<I, O>| {
            change(&call.info);
            self.is_invalidated(call)
        };
        let (is_invalidated, gone) = self.with(&id.group, id.call, look);
        drop(gone);
        is_invalidated == Some(false) && !self.removals.concern(since, marks)
    }

    /// Whether the response of a call was removed since it began, as far as is known.
    pub(super) fn is_invalidated(&self, call: &Call<I, O>) -> bool {
        call.is_invalidated || self.is_invalidated_until(call, call.outcome(), u64::MAX)
    }

    /// Whether the response of a call was removed since it began, by a removal up to this number.
    pub(super) fn is_invalidated_until(
        &self,
        call: &Call<I, O>,
        outcome: Option<&O>,
        until: u64,
    ) -> bool {
        let since = Since { call: call.id, began: call.began, until };
        self.removals.concern(since, call.info.marks(&call.key, outcome))
    }

    /// Shows the outcomes of the group that may be stored, and when their calls began.
    pub(crate) fn each_outcome(&self, group: &O::Key, mut show: impl FnMut(u64, &O)) {
        let calls = self.shard(group).lock();
        for call in calls.get(group).into_iter().flatten() {
            if let Some(outcome) = call.outcome()
                && call.superseded.is_none()
                && !self.is_invalidated(call)
            {
                show(call.began, outcome);
            }
        }
    }
}

/// A number of `key`. The key is a digest, so any of its bytes are as good as a hash of them.
fn fold(key: &impl Hash) -> usize {
    struct Fold(u64);

    impl Hasher for Fold {
        fn write(&mut self, bytes: &[u8]) {
            let (words, rest) = bytes.as_chunks();
            for word in words {
                self.0 = self.0.rotate_left(7) ^ u64::from_be_bytes(*word);
            }
            for byte in rest {
                self.0 = self.0.rotate_left(7) ^ u64::from(*byte);
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
    fn new() -> Self {
        Self { calls: Mutex::new(HashMap::default()), publishing: Mutex::new(Vec::new()) }
    }

    fn publishing(&self) -> MutexGuard<'_, Vec<(O::Key, u64)>> {
        self.publishing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The call has left: nothing of it is being published.
    pub(super) fn end_publishing(&self, id: u64) {
        self.publishing().retain(|(_, publishing)| *publishing != id);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Groups<I, O>> {
        // The state is whole between any two statements under the lock.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<R>(
        &self,
        group: &O::Key,
        id: u64,
        change: impl FnOnce(&mut Call<I, O>) -> R,
    ) -> (Option<R>, Option<Box<Call<I, O>>>) {
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
