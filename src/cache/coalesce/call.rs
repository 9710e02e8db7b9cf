//! The state of one call in flight: its leader, its followers, and whether its response may be
//! stored.

use std::{mem, task::Waker};

use slab::Slab;

/// How many superseded keys a call remembers. Beyond that, it counts as superseded for every key.
const MOST_SUPERSEDED: usize = 256;

/// What a call that began later has brought in place of an older response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Newer {
    /// A response that is stored instead.
    Response,
    /// An answer that ends the older response.
    End,
}

pub(super) struct Call<I, O, K, S> {
    pub(super) id: u64,
    pub(super) key: K,
    /// What is known of the call from its request.
    pub(super) info: I,
    /// When its last leader began, in the order of the table's numbers.
    pub(super) began: u64,
    /// Whether newcomers may join.
    pub(super) is_open: bool,
    /// Whether it is the call of a request that bypasses the cache.
    pub(super) is_detached: bool,
    /// Whether its response must not be stored, because a removal has found the call.
    pub(super) is_invalidated: bool,
    /// What a call that began later has brought, if it concerns any response of this call.
    pub(super) superseded: Option<Newer>,
    /// What calls that began later have brought for these keys.
    pub(super) superseded_at: Vec<(K, Newer)>,
    pub(super) has_leader: bool,
    pub(super) phase: Phase<O>,
    /// How many of its leaders have failed.
    pub(super) failures: u32,
    pub(super) waiting: Slab<Waiting<S>>,
}

pub(super) enum Phase<O> {
    Calling,
    /// It has no leader.
    Vacant,
    Settled(O),
    Over,
}

pub(super) struct Waiting<S> {
    /// The last removal before it joined.
    pub(super) joined: u64,
    pub(super) waker: Option<Waker>,
    /// `Some(None)` where the outcome cannot be shared with this follower.
    pub(super) share: Option<Option<S>>,
}

impl<I, O, K: Clone + PartialEq, S> Call<I, O, K, S> {
    /// A call that has no leader yet, and that nobody may join.
    pub(super) fn new(id: u64, key: K, info: I) -> Self {
        Self {
            id,
            key,
            info,
            began: 0,
            is_open: false,
            is_detached: false,
            is_invalidated: false,
            superseded: None,
            superseded_at: Vec::new(),
            has_leader: false,
            phase: Phase::Vacant,
            failures: 0,
            waiting: Slab::new(),
        }
    }

    /// A new leader begins at the number `began`.
    pub(super) fn begin(&mut self, began: u64) {
        self.has_leader = true;
        self.phase = Phase::Calling;
        self.began = began;
        // Its request is sent after earlier removals, so they do not apply to it.
        self.is_invalidated = false;
        self.superseded = None;
        self.superseded_at.clear();
    }

    /// Keeps its response out of the store: there is a newer one.
    pub(super) fn supersede(&mut self, by: Newer) {
        self.is_open = false;
        self.superseded = Some(by);
    }

    /// Keeps its response out of the store if that turns out to be for the requests that join under
    /// `key`.
    pub(super) fn supersede_at(&mut self, key: &K, by: Newer) {
        if self.superseded_at(Some(key)).is_some() {
            return;
        }
        if self.superseded_at.len() < MOST_SUPERSEDED {
            self.superseded_at.push((key.clone(), by));
        } else {
            self.superseded = Some(by);
        }
    }

    /// What a later call has brought in place of its response, if the response is for the requests
    /// that join under `key`.
    pub(super) fn superseded_at(&self, key: Option<&K>) -> Option<Newer> {
        let at = |key| self.superseded_at.iter().find(|(at, _)| at == key).map(|(_, by)| *by);
        self.superseded.or_else(|| key.and_then(at))
    }

    pub(super) fn is_over(&self) -> bool {
        !self.has_leader && self.waiting.is_empty()
    }

    /// The outcome, from when the call settles until its leader leaves.
    pub(super) fn outcome(&self) -> Option<&O> {
        match &self.phase {
            Phase::Settled(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// Closes the call if it matches. Returns the outcome if it has settled.
    pub(super) fn invalidate_if(
        &mut self,
        matches: impl Fn(&K, &I, Option<&O>) -> bool,
    ) -> Option<O>
    where
        O: Clone,
    {
        if !matches(&self.key, &self.info, self.outcome()) {
            return None;
        }
        self.is_open = false;
        self.is_invalidated = true;
        self.outcome().cloned()
    }

    /// Gives each follower a share. `may_have` is asked with the number of the last removal before
    /// the follower joined.
    pub(super) fn settle(
        &mut self,
        outcome: O,
        share: impl Fn(&O) -> Option<S>,
        may_have: impl Fn(&Self, &O, u64) -> bool,
    ) -> Phase<O> {
        let mut all = mem::take(&mut self.waiting);
        // Many followers join between two removals.
        let mut known = None;
        for (_, waiting) in &mut all {
            let joined = waiting.joined;
            let may = match known {
                Some((at, may)) if at == joined => may,
                _ => may_have(self, &outcome, joined),
            };
            known = Some((joined, may));
            waiting.share = Some(if may { share(&outcome) } else { None });
        }
        self.waiting = all;
        mem::replace(&mut self.phase, Phase::Settled(outcome))
    }

    pub(super) fn wakers(&mut self) -> Vec<Waker> {
        self.waiting.iter_mut().filter_map(|(_, waiting)| waiting.waker.take()).collect()
    }
}
