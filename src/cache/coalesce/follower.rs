//! [`Follower`]: a request that waits for the leader of a call.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    call::{Phase, Waiting},
    leader::Leader,
    table::{Call, Marked, Shareable, Table},
};

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

impl<I, O: Shareable> Follower<I, O> {
    /// A new follower of `call`, which belongs to `group`. It gives up after `max_failures` more
    /// leaders have failed.
    pub(super) fn begin(
        table: &Arc<Table<I, O>>,
        group: &O::Key,
        call: &mut Call<I, O>,
        info: I,
        max_failures: u32,
    ) -> Self {
        Self {
            table: table.clone(),
            group: group.clone(),
            call: call.id,
            place: call.waiting.insert(Waiting {
                joined: table.removals.last(),
                waker: None,
                share: None,
            }),
            info: Some(info),
            give_up_at: call.failures.saturating_add(max_failures),
            is_over: false,
        }
    }
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

impl<I: Marked<O> + Unpin, O: Shareable> Future for Follower<I, O> {
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
                (None, Phase::Vacant) => match info.take() {
                    Some(info) => {
                        let (leader, old) = Leader::take_over(table, group, call, info);
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
