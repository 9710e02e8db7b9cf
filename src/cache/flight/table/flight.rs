//! One flight: who leads it, who waits, and what must not come of it any more.

use std::{mem, sync::Arc, task::Waker};

use slab::Slab;

use super::{CallId, Follow, Join, Landing, Lead, Table};
use crate::sync::Ordering;

/// Of how many keys a flight remembers that something newer lies there. More are as good as all.
const MOST_SUPERSEDED: usize = 256;

pub(super) struct Flight<I, L: Landing> {
    pub(super) id: u64,
    pub(super) key: L::Key,
    pub(super) info: I,
    /// When its last call began, in the order of the table's numbers.
    pub(super) began: u64,
    /// Whether newcomers may follow.
    pub(super) open: bool,
    /// Whether it is that of a request that goes past the cache.
    pub(super) is_aside: bool,
    /// Whether what it brings must not be stored: it was removed on its way.
    pub(super) doomed: bool,
    /// Whether a call that began later has brought what takes the place of all that this one may bring.
    pub(super) superseded: bool,
    /// Under which keys lies what calls that began later have brought.
    pub(super) superseded_at: Vec<L::Key>,
    pub(super) led: bool,
    pub(super) phase: Phase<L>,
    /// How many of its leaders have failed.
    pub(super) failures: u32,
    pub(super) waiting: Slab<Waiting<L::Seat>>,
}

pub(super) enum Phase<L> {
    Calling,
    /// Nobody leads.
    Vacant,
    Landed(L),
    Over,
}

pub(super) struct Waiting<S> {
    pub(super) waker: Option<Waker>,
    /// `Some(None)` where the flight had none for it.
    pub(super) seat: Option<Option<S>>,
}

impl<I, L: Landing> Flight<I, L> {
    /// One that nobody leads yet.
    pub(super) fn new(id: u64, key: L::Key, info: I, join: Join) -> Self {
        Self {
            id,
            key,
            info,
            began: 0,
            open: !matches!(join, Join::Alone | Join::Aside),
            is_aside: join == Join::Aside,
            doomed: false,
            superseded: false,
            superseded_at: Vec::new(),
            led: false,
            phase: Phase::Vacant,
            failures: 0,
            waiting: Slab::new(),
        }
    }

    /// Another leads, of whom other things are known. What was known is to be dropped behind the lock.
    pub(super) fn take_over(
        &mut self,
        table: &Arc<Table<I, L>>,
        group: &L::Key,
        info: I,
    ) -> (Lead<I, L>, I) {
        let former = mem::replace(&mut self.info, info);
        (self.lead(table, group), former)
    }

    pub(super) fn lead(&mut self, table: &Arc<Table<I, L>>, group: &L::Key) -> Lead<I, L> {
        self.led = true;
        self.phase = Phase::Calling;
        self.began = table.next_id.fetch_add(1, Ordering::Relaxed);
        self.superseded = false;
        self.superseded_at.clear();
        let (group, key) = (group.clone(), self.key.clone());
        let id = CallId { group, key, flight: self.id, began: self.began };
        Lead::new(table.clone(), id)
    }

    pub(super) fn follow(
        &mut self,
        table: &Arc<Table<I, L>>,
        group: &L::Key,
        info: I,
        patience: u32,
    ) -> Follow<I, L> {
        let place = self.waiting.insert(Waiting { waker: None, seat: None });
        Follow {
            table: table.clone(),
            group: group.clone(),
            flight: self.id,
            place,
            info: Some(info),
            give_up_at: self.failures.saturating_add(patience),
            is_over: false,
        }
    }

    /// Nothing of what its call brings is to be stored: there is something newer.
    pub(super) fn supersede(&mut self) {
        self.open = false;
        self.superseded = true;
    }

    /// The same, where it turns out to belong under `key`.
    pub(super) fn supersede_at(&mut self, key: &L::Key) {
        if self.superseded || self.superseded_at.contains(key) {
            return;
        }
        if self.superseded_at.len() < MOST_SUPERSEDED {
            self.superseded_at.push(key.clone());
        } else {
            self.superseded = true;
        }
    }

    pub(super) fn is_superseded_at(&self, place: Option<&L::Key>) -> bool {
        self.superseded || place.is_some_and(|place| self.superseded_at.contains(place))
    }

    pub(super) fn wakers(&mut self) -> Vec<Waker> {
        self.waiting.iter_mut().filter_map(|(_, waiting)| waiting.waker.take()).collect()
    }
}
