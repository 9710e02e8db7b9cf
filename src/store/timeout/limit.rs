//! The time limit, and the time for which a store that exceeded it is spared.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
    time::Duration,
};

use tokio::time::{Instant, timeout};

use crate::{
    key::Key,
    runtime::has_timers,
    store::{Error, ErrorKind, Result},
};

const NAME: &str = "timeout";

/// The limit for one step. Clones share the time until which the store is spared.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    time: Duration,
    spared: Arc<Spared>,
}

/// Until when the store is not used.
#[derive(Debug)]
struct Spared {
    /// The time that `until` is counted from.
    origin: Instant,
    /// In milliseconds. Zero while the store has always been in time, so that nobody needs to read
    /// the clock.
    until: AtomicU64,
}

impl Limit {
    pub(super) fn new(time: Duration) -> Self {
        Self { time, spared: Arc::new(Spared { origin: Instant::now(), until: AtomicU64::new(0) }) }
    }

    pub(super) fn time(&self) -> Duration {
        self.time
    }

    /// Fails while the store is spared.
    pub(super) fn check(&self) -> Result<()> {
        let until = self.spared.until.load(Ordering::Relaxed);
        if until == 0 || self.spared.now() >= until {
            return Ok(());
        }
        let message = format!(
            "the store took longer than {:?} a moment ago, and is not used again yet",
            self.time
        );
        Err(Error::new(ErrorKind::Unavailable, NAME, message))
    }

    /// Waits for `step` up to the limit. `doing` and `key` are for the message.
    pub(super) async fn bound<T>(
        &self,
        doing: &'static str,
        key: Option<&Key>,
        step: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut step = pin!(step);
        // A step that is ready at once needs no timer.
        let first = poll_fn(|cx| Poll::Ready(step.as_mut().poll(cx))).await;
        if let Poll::Ready(answer) = first {
            return answer;
        }
        if !has_timers() {
            return step.await;
        }
        match timeout(self.time, step).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(self.passed(doing, key)),
        }
    }

    /// The error for a step that took too long. The store is spared from now on.
    pub(super) fn passed(&self, doing: &'static str, key: Option<&Key>) -> Error {
        let spare = u64::try_from(self.time.as_millis()).unwrap_or(u64::MAX).max(1);
        self.spared.until.fetch_max(self.spared.now().saturating_add(spare), Ordering::Relaxed);
        let what = match key {
            Some(key) => format!("{doing} the entry of key {key}"),
            None => format!("{doing} the entries of a tag"),
        };
        let message =
            format!("{what} took longer than {:?}: the store hangs, or is slow", self.time);
        Error::new(ErrorKind::Unavailable, NAME, message)
    }
}

impl Spared {
    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
