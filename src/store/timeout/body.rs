//! A body with a time limit for each chunk.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures_core::Stream;
use tokio::time::{Sleep, sleep};

use super::limit::Limit;
use crate::{
    key::Key,
    runtime::has_timers,
    store::{Result, StoredBody},
};

/// The chunks of a body.
///
/// A body is read at the pace of its reader. A store that works while it is polled cannot work
/// while nobody polls it. The time is therefore measured in two halves, and the second half counts
/// only if the reader is there when it ends.
pub(super) struct Bounded {
    body: StoredBody,
    key: Key,
    limit: Limit,
    /// The timer of the current half.
    sleep: Option<Pin<Box<Sleep>>>,
    is_second: bool,
}

impl Bounded {
    pub(super) fn new(body: StoredBody, key: Key, limit: Limit) -> Self {
        Self { body, key, limit, sleep: None, is_second: false }
    }
}

impl Stream for Bounded {
    type Item = Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Poll::Ready(chunk) = this.body.poll_chunk(cx) {
            (this.sleep, this.is_second) = (None, false);
            return Poll::Ready(chunk);
        }
        if !has_timers() {
            return Poll::Pending;
        }
        let half = this.limit.time() / 2;
        loop {
            let timer = this.sleep.get_or_insert_with(|| Box::pin(sleep(half)));
            ready!(timer.as_mut().poll(cx));
            let is_late = timer.deadline().elapsed() > half / 2;
            this.sleep = None;
            if std::mem::replace(&mut this.is_second, true) && !is_late {
                // The body is not read any more.
                this.body = StoredBody::empty();
                return Poll::Ready(Some(Err(this.limit.passed("reading", Some(&this.key)))));
            }
        }
    }
}
