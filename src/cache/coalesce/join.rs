//! Which part a request takes in a call: it leads a new one, or joins one in flight.

use std::sync::Arc;

use super::{
    call::Phase,
    follower::Follower,
    leader::Leader,
    table::{Call, Generation, Group, Marked, Shareable, Table},
};
use crate::sync::Ordering;

/// How a request joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// It follows a call in flight, or leads a new one.
    Either,
    /// It leads a new call, unless one is in flight already.
    UnlessInFlight,
    /// It leads a new call that others may follow, whatever is in flight.
    MustLead,
    /// It makes a call that nobody follows.
    Independent,
}

/// The part that a request takes in a call.
pub(crate) enum Role<I, O: Shareable> {
    Leader(Leader<I, O>),
    Follower(Follower<I, O>),
    Share(O::Share),
    /// Something was stored since the request read the store.
    LookAgain,
    /// A call is in flight already ([`Join::UnlessInFlight`]).
    InFlight,
}

impl<I: Marked<O>, O: Shareable> Table<I, O> {
    /// Joins the call for `key`, or begins one. The key belongs to `group`. A follower gives up
    /// after `max_failures` leaders have failed.
    pub(crate) fn join(
        self: &Arc<Self>,
        group: &O::Key,
        key: &O::Key,
        info: I,
        generation: &Generation<O::Key>,
        join: Join,
        max_failures: u32,
    ) -> Role<I, O> {
        let mut calls = self.shard(group).lock();
        let here = calls.entry(group.clone()).or_default();
        for call in here.iter_mut().filter(|call| call.is_open && call.key == *key) {
            match (join, &call.phase) {
                (Join::Independent, _) => {}
                (Join::MustLead, _) | (_, Phase::Over) => call.is_open = false,
                // Its response was removed before this request.
                (_, Phase::Calling | Phase::Settled(_)) if self.is_invalidated(call) => {
                    call.is_open = false;
                }
                (_, Phase::Vacant) => {
                    let (leader, former) = Leader::take_over(self, group, call, info);
                    drop(calls);
                    drop(former);
                    return Role::Leader(leader);
                }
                (Join::UnlessInFlight, _) => return Role::InFlight,
                (Join::Either, Phase::Calling) => {
                    let follower = Follower::begin(self, group, call, info, max_failures);
                    return Role::Follower(follower);
                }
                (Join::Either, Phase::Settled(outcome)) => match outcome.share() {
                    Some(share) => return Role::Share(share),
                    None => call.is_open = false,
                },
            }
        }
        if join == Join::Either && !self.is_current(generation) {
            if here.is_empty() {
                calls.remove(group);
            }
            return Role::LookAgain;
        }
        let mut call = Box::new(Call::<I, O>::new(self.next_number(), key.clone(), info));
        call.is_open = join != Join::Independent;
        Role::Leader(self.lead(here, group, call))
    }

    /// Begins a call that nobody joins, for a request that bypasses the cache. The response may be
    /// stored, and the call does not count as one of the cache's.
    pub(crate) fn begin_detached(
        self: &Arc<Self>,
        group: &O::Key,
        key: &O::Key,
        info: I,
    ) -> Leader<I, O> {
        let mut call = Box::new(Call::<I, O>::new(self.next_number(), key.clone(), info));
        call.is_detached = true;
        let mut calls = self.shard(group).lock();
        self.lead(calls.entry(group.clone()).or_default(), group, call)
    }

    /// Adds a new call to those of its group, and returns its leader.
    fn lead(
        self: &Arc<Self>,
        here: &mut Group<I, O>,
        group: &O::Key,
        mut call: Box<Call<I, O>>,
    ) -> Leader<I, O> {
        let leader = Leader::begin(self, group, &mut call);
        self.calls.fetch_add(1, Ordering::AcqRel);
        if !call.is_detached {
            self.attached.fetch_add(1, Ordering::AcqRel);
        }
        here.push(call);
        leader
    }
}
