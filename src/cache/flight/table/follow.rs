//! Those who wait for the leader of a flight.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{Landing, Lead, Table, flight::Phase};

/// One that waits for the leader. Dropped, it leaves nothing behind.
pub(crate) struct Follow<I, L: Landing> {
    pub(super) table: Arc<Table<I, L>>,
    pub(super) group: L::Key,
    pub(super) flight: u64,
    pub(super) place: usize,
    /// What is known of the flight once this one leads it.
    pub(super) info: Option<I>,
    pub(super) give_up_at: u32,
    pub(super) is_over: bool,
}

/// What a follower waited for.
pub(crate) enum Followed<I, L: Landing> {
    Seated(L::Seat),
    /// The leader is gone without one: this request leads.
    Lead(Lead<I, L>),
    /// As many leaders have failed as the request had patience for.
    Failed,
    /// There was no seat for it: it may board again.
    BoardAgain,
}

impl<I: Unpin, L: Landing> Future for Follow<I, L> {
    type Output = Followed<I, L>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let (table, group, place) = (&this.table, &this.group, this.place);
        let info = &mut this.info;
        let (mut replaced, mut former) = (None, None);
        let (followed, gone) = table.with(group, this.flight, |flight| {
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
                    Some(info) => {
                        let (lead, old) = flight.take_over(table, group, info);
                        former = Some(old);
                        Followed::Lead(lead)
                    }
                    None => Followed::BoardAgain,
                },
                (None, _) => Followed::BoardAgain,
            };
            flight.waiting.remove(place);
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

impl<I, L: Landing> Drop for Follow<I, L> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let (left, gone) = self.table.with(&self.group, self.flight, |flight| {
            // It may be one that was woken to take the lead. So were the others: nobody waits for a word from this one.
            flight.waiting.try_remove(self.place)
        });
        drop((left, gone));
    }
}
