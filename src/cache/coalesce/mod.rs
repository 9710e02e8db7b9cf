//! Coalescing: requests for the same response at the same time share one call to the origin.
//!
//! Every call whose response may be stored is registered here, whether others may join it or not.
//! It looks here for what was removed since it began, and a removal waits here for the responses
//! that are being published. So no call brings back what was removed. A later answer finds the call
//! here, so that an older response is not stored over a newer one.
//!
//! The type of the outcome is a parameter ([`Removable`]).

use std::{
    cell::Cell,
    cmp::Reverse,
    fmt,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex},
};

use http::HeaderName;

use self::{call::Newer, ended::Ended, hit_for_miss::HitForMiss};
use crate::{
    cache::{handle::later, variance::Resident},
    entry::{Head, Others},
    event::{CallGauge, Observer},
    key::Key,
    status::{Progress, Refusal},
    store::Version,
    time::Timestamp,
};

mod call;
mod ended;
mod follower;
mod hit_for_miss;
mod invalidations;
mod join;
mod leader;
mod removals;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use self::{join::Join, leader::StoredAt, table::Shareable};

/// A leader that is not counted yet.
pub(crate) type Uncounted<O> = leader::Leader<CallInfo, O>;
pub(crate) type Role<O> = join::Role<CallInfo, O>;
pub(crate) type Follower<O> = follower::Follower<CallInfo, O>;
pub(crate) type Followed<O> = follower::Followed<CallInfo, O>;
pub(crate) type CallId = table::CallId<Key>;
pub(crate) type Generation = table::Generation<Key>;

/// The result of a call, as removals and later calls see it.
pub(crate) trait Removable: Shareable<Key = Key> {
    fn view(&self) -> View<'_>;

    /// Keeps the response out of the store, for this reason. Returns when it cannot be stored any
    /// more, or has been stored.
    fn keep_out(&self, why: Refusal) -> impl Future<Output = ()> + Send;
}

/// The response that a call has brought.
pub(crate) enum View<'a> {
    /// It is on its way into the store.
    Storing {
        key: &'a Key,
        /// The key under which requests for it join calls.
        call_key: &'a Key,
        head: &'a Arc<Head>,
        /// The request headers that select it, if it varies.
        names: Option<&'a [HeaderName]>,
        progress: &'a Progress,
    },
    /// A stored response was freshened.
    Freshened { key: &'a Key, head: &'a Head },
    /// Nothing that is stored.
    Nothing,
}

impl<'a> View<'a> {
    fn key(&self) -> Option<&'a Key> {
        match self {
            Self::Storing { key, .. } | Self::Freshened { key, .. } => Some(key),
            Self::Nothing => None,
        }
    }

    fn call_key(&self) -> Option<&'a Key> {
        match self {
            Self::Storing { call_key, .. } => Some(call_key),
            Self::Freshened { .. } | Self::Nothing => None,
        }
    }

    fn head(&self) -> Option<&'a Head> {
        match self {
            Self::Storing { head, .. } => Some(head),
            Self::Freshened { head, .. } => Some(head),
            Self::Nothing => None,
        }
    }
}

/// What is known of a call from its request.
#[derive(Debug)]
pub(crate) struct CallInfo {
    pub(crate) primary: Key,
    /// The key of the stored part that the response may complete to the whole. What removes that
    /// part removes the whole.
    pub(crate) part: Option<Key>,
    pub(crate) url: Arc<str>,
    pub(crate) tags: Vec<Box<str>>,
    /// The stored response that the call is freshening.
    pub(crate) freshening: Mutex<Option<Freshening>>,
    /// The names by which the lookup of the request has selected a variant.
    pub(crate) names: Vec<HeaderName>,
    /// The variants that were stored beside the resident since the call began. If the call brings
    /// a resident, that has to lead to them.
    pub(crate) others: Cell<Option<Others>>,
}

/// An entry that is being given a new head.
#[derive(Debug)]
pub(crate) struct Freshening {
    key: Key,
    version: Version,
    tags: Vec<Box<str>>,
}

/// How many locks guard the calls.
const SHARDS: usize = 64;

/// The calls that a layer and its clones have in flight.
pub(crate) struct Calls<O: Removable>(Arc<Inner<O>>);

struct Inner<O: Removable> {
    table: Arc<table::Table<CallInfo, O>>,
    hit_for_miss: HitForMiss,
    ended: Ended,
}

impl<O: Removable> Clone for Calls<O> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<O: Removable> Default for Calls<O> {
    fn default() -> Self {
        let table = Arc::new(table::Table::new(SHARDS));
        Self(Arc::new(Inner {
            table,
            hit_for_miss: HitForMiss::default(),
            ended: Ended::default(),
        }))
    }
}

impl<O: Removable> fmt::Debug for Calls<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<O: Removable> Calls<O> {
    /// The generation of `key`. A request takes it before it reads the store, and gives it to
    /// [`join`](Self::join).
    pub(crate) fn generation(&self, key: &Key) -> Generation {
        self.0.table.generation(key)
    }

    /// Whether nothing was stored for the key since `generation` was taken.
    pub(crate) fn is_current(&self, generation: &Generation) -> bool {
        self.0.table.is_current(generation)
    }

    /// The residents that are on their way into the store under this primary key, the latest first.
    pub(crate) fn residents(&self, primary: &Key) -> Vec<Resident> {
        let mut found = Vec::new();
        self.0.table.each_outcome(primary, |began, outcome| {
            if let View::Storing { key, head, progress, .. } = outcome.view()
                && key == primary
                && head.varies()
            {
                let in_flight = Some(progress.clone());
                found.push((began, Resident { head: head.clone(), in_flight }));
            }
        });
        found.sort_unstable_by_key(|(began, _)| Reverse(*began));
        found.into_iter().map(|(_, resident)| resident).collect()
    }

    /// Tells the calls of this primary key that a variant is about to be stored beside the
    /// resident, and is kept until then.
    pub(crate) fn announce_variant(&self, primary: &Key, until: Option<Timestamp>) {
        self.0.table.each_in_group(primary, |info| {
            let until = info.others.get().map_or(until, |others| later(others.until, until));
            info.others.set(Some(Others { until }));
        });
    }

    /// The variants that were announced to this call.
    pub(crate) fn others(&self, call: &CallId) -> Option<Others> {
        self.0.table.look_at(call, |info| info.others.get()).flatten()
    }

    /// Joins the call for `key`, or begins one. A follower gives up after `max_failures` leaders
    /// have failed.
    pub(crate) fn join(
        &self,
        key: &Key,
        info: CallInfo,
        generation: &Generation,
        join: Join,
        max_failures: u32,
    ) -> Role<O> {
        // The response lies under the primary key, or under a variant's key that is made of it.
        let group = info.primary;
        self.0.table.join(&group, key, info, generation, join, max_failures)
    }

    /// Begins a call that nobody joins, for a request that bypasses the cache.
    pub(crate) fn begin_detached(&self, key: &Key, info: CallInfo) -> Uncounted<O> {
        let group = info.primary;
        self.0.table.begin_detached(&group, key, info)
    }

    /// How many calls are in flight, without those of requests that bypass the cache.
    pub(crate) fn len(&self) -> u64 {
        self.0.table.len()
    }

    /// Identifies the calls of this layer among those of other layers.
    pub(crate) fn id(&self) -> usize {
        Arc::as_ptr(&self.0.table).addr()
    }

    /// Whether the last response for `key` was not stored, for a reason that is likely to persist.
    pub(crate) fn is_hit_for_miss(&self, key: &Key) -> bool {
        self.0.hit_for_miss.contains(key)
    }

    /// The keys for which nothing is left to end.
    pub(crate) fn ended(&self) -> &Ended {
        &self.0.ended
    }

    /// Reports that a response for `key` was not stored. If the reason is likely to persist, the
    /// next requests do not wait for each other. A failure of the origin is not likely to persist.
    pub(crate) fn refused(&self, key: &Key, refusal: Refusal, is_failure: bool) {
        let is_transient = refusal == Refusal::Status && is_failure;
        if refusal.is_persistent() && !is_transient {
            self.0.hit_for_miss.insert(key, refusal == Refusal::Status);
        }
    }

    /// Reports that the origin has answered 304 to a caller's own condition for `key`. If the last
    /// response was not stored because of its status, that does not count any more. A 304 says
    /// nothing about other reasons.
    pub(crate) fn not_modified(&self, key: &Key) {
        self.0.hit_for_miss.remove_by_status(key);
    }

    /// Reports that a response for `key` was stored.
    pub(crate) fn stored(&self, key: &Key) {
        self.0.hit_for_miss.remove(key);
    }
}

/// The request that makes a call. If it is dropped before it has settled or failed, a follower
/// takes over the call.
///
/// The gauge of calls in flight is part of the leader, not of the call. The call may go on with
/// another leader, and it is changed under a lock, where no metrics recorder may be called.
pub(crate) struct Leader<O: Removable> {
    leader: Uncounted<O>,
    _gauge: Option<CallGauge>,
}

impl<O: Removable> Leader<O> {
    /// The leader of a call that counts as in flight from now on, until this is dropped.
    pub(crate) fn counted(leader: Uncounted<O>, observer: &Observer) -> Self {
        Self { leader, _gauge: Some(observer.call_begins()) }
    }

    /// The leader of a call that is not counted: its request bypasses the cache.
    pub(crate) fn detached(leader: Uncounted<O>) -> Self {
        Self { leader, _gauge: None }
    }

    /// Reports that the call failed.
    pub(crate) fn fail(self) {
        self.leader.fail();
    }

    /// Why its response must not be stored for the requests that join under `call_key`, if a later
    /// call is the reason. Without a key, the later call has to concern all of its responses.
    pub(crate) fn superseded(&self, call_key: Option<&Key>) -> Option<Refusal> {
        self.leader.newer(call_key).map(|by| match by {
            Newer::Response => Refusal::Superseded,
            Newer::End => Refusal::Ended,
        })
    }
}

impl<O: Removable> Deref for Leader<O> {
    type Target = Uncounted<O>;

    fn deref(&self) -> &Uncounted<O> {
        &self.leader
    }
}

impl<O: Removable> DerefMut for Leader<O> {
    fn deref_mut(&mut self) -> &mut Uncounted<O> {
        &mut self.leader
    }
}
