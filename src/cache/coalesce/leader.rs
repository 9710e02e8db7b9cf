//! [`Leader`]: the request that makes a call.

use std::{mem, sync::Arc, task::Waker};

use super::{
    call::{Newer, Phase},
    table::{Call, CallId, Marked, Shareable, Table},
};
use crate::sync::Ordering;

/// The request that makes a call.
///
/// A leader that [settles](Self::settle) the call gives every follower a share of the outcome. A
/// leader that [fails](Self::fail) leaves the call to the first follower that looks. So does one
/// that is dropped before that, because its request was cancelled or panicked.
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
    /// All of its group: they read the store under the primary key first.
    Group,
}

impl<I, O: Shareable> Leader<I, O> {
    /// A new leader of `call`, which belongs to `group`.
    pub(super) fn begin(table: &Arc<Table<I, O>>, group: &O::Key, call: &mut Call<I, O>) -> Self {
        call.begin(table.next_number());
        let (group, key) = (group.clone(), call.key.clone());
        let id = CallId { group, key, call: call.id, began: call.began };
        Self { table: table.clone(), id, is_over: false, stored: None }
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

    pub(crate) fn id(&self) -> CallId<O::Key> {
        self.id.clone()
    }

    /// What a call that began after this one has brought in place of its response, if that is for
    /// the requests that join under `key`. Without a key, whatever the response is.
    pub(crate) fn newer(&self, key: Option<&O::Key>) -> Option<Newer> {
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
        self.table.shard(&self.id.group).end_publishing(self.id.call);
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

    fn change<R>(&self, change: impl FnOnce(&mut Call<I, O>) -> R) -> (R, Option<Box<Call<I, O>>>) {
        let (result, gone) = self.table.with(&self.id.group, self.id.call, change);
        (result.expect("a call that has a leader is in the table"), gone)
    }
}

impl<I: Marked<O>, O: Shareable> Leader<I, O> {
    /// Gives a call that has lost its leader a new one, whose request is known by `info`. Returns
    /// the former information, to be dropped after the lock is released.
    pub(super) fn take_over(
        table: &Arc<Table<I, O>>,
        group: &O::Key,
        call: &mut Call<I, O>,
        info: I,
    ) -> (Self, I) {
        info.inherit(&call.info);
        let former = mem::replace(&mut call.info, info);
        (Self::begin(table, group, call), former)
    }

    /// Gives every follower a share of `outcome`, and newcomers too until the leader is dropped. A
    /// follower that joined after the response was removed has to join again. Returns `false` if it
    /// must not be stored: it was removed in flight, or is superseded.
    pub(crate) fn settle(&mut self, outcome: O) -> bool {
        let table = &self.table;
        let ((may_store, wakers, old), _) = self.change(|call| {
            let superseded = call.superseded_at(outcome.stored_for());
            let old = call.settle(outcome, O::share, |call, outcome, joined| {
                !table.is_invalidated_until(call, Some(outcome), joined)
            });
            let may_store = superseded.is_none() && !table.is_invalidated(call);
            (may_store, call.wakers(), old)
        });
        wakers.into_iter().for_each(Waker::wake);
        drop(old);
        may_store
    }

    /// Whether its response was removed in flight, as far as is known.
    pub(crate) fn is_invalidated(&self) -> bool {
        self.change(|call| self.table.is_invalidated(call)).0
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
