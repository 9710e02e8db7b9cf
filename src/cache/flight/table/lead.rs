//! The leader of a flight.

use std::{mem, sync::Arc, task::Waker};

use super::{
    CallId, Landing, Table,
    flight::{Flight, Phase},
};
use crate::sync::Ordering;

/// The one that calls. Dropped before it has landed or failed, it leaves the lead to a follower.
pub(crate) struct Lead<I, L: Landing> {
    table: Arc<Table<I, L>>,
    id: CallId<L::Key>,
    is_over: bool,
    has_arrived: bool,
}

impl<I, L: Landing> Lead<I, L> {
    pub(super) fn new(table: Arc<Table<I, L>>, id: CallId<L::Key>) -> Self {
        Self { table, id, is_over: false, has_arrived: false }
    }

    /// Gives every follower a seat, and newcomers until the lead is dropped. `false` where nothing of it must be stored:
    /// it was removed on its way, or is superseded.
    pub(crate) fn land(&mut self, landing: L) -> bool {
        let ((is_sound, wakers, old), _) = self.change(|flight| {
            for (_, waiting) in &mut flight.waiting {
                waiting.seat = Some(landing.seat());
            }
            let is_sound = !flight.doomed && !flight.is_superseded_at(landing.place());
            let old = mem::replace(&mut flight.phase, Phase::Landed(landing));
            (is_sound, flight.wakers(), old)
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

    /// Something has been stored: whoever looks for it from now on finds it.
    pub(crate) fn arrived(&mut self) {
        self.has_arrived = true;
    }

    /// What is known of the flight.
    pub(crate) fn info<R>(&self, look: impl FnOnce(&I) -> R) -> R {
        self.change(|flight| look(&flight.info)).0
    }

    /// What tells its call from others, for [`overtake`](Table::overtake).
    pub(crate) fn id(&self) -> CallId<L::Key> {
        self.id.clone()
    }

    /// Whether what it brings was removed on its way.
    pub(crate) fn is_doomed(&self) -> bool {
        self.change(|flight| flight.doomed).0
    }

    /// Whether a call that began after this one has brought what takes the place of all that this one may bring.
    pub(crate) fn is_superseded(&self) -> bool {
        self.change(|flight| flight.superseded).0
    }

    fn leave(&mut self, to: impl FnOnce(&mut Flight<I, L>) -> Phase<L>) {
        if mem::replace(&mut self.is_over, true) {
            return;
        }
        if self.has_arrived {
            // Before the flight leaves the table: who does not meet it any more meets this.
            self.table.counter(&self.id.key).fetch_add(1, Ordering::AcqRel);
        }
        let (left, gone) = self.table.with(&self.id.group, self.id.flight, |flight| {
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

    fn change<R>(&self, change: impl FnOnce(&mut Flight<I, L>) -> R) -> (R, Option<Flight<I, L>>) {
        let (result, gone) = self.table.with(&self.id.group, self.id.flight, change);
        (result.expect("a flight that is led is in the table"), gone)
    }
}

impl<I, L: Landing> Drop for Lead<I, L> {
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
