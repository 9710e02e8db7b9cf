//! Runs reads that may wait for the disk: on tokio's blocking threads, on a thread of the store, or
//! in place.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{runtime::Handle, sync::oneshot, task::JoinHandle};

use crate::store::{Error, ErrorKind, Result};

/// Work that runs elsewhere, or its result.
pub(in crate::store) struct Task<T> {
    /// The name of the store, for errors.
    store: &'static str,
    state: State<T>,
}

enum State<T> {
    Running(JoinHandle<Result<T>>),
    Queued(oneshot::Receiver<Result<T>>),
    Done(Option<Result<T>>),
}

/// Runs `work` on a blocking thread. Outside of a tokio runtime, runs it in place.
pub(in crate::store) fn off<T: Send + 'static>(
    store: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Task<T> {
    match Handle::try_current() {
        Ok(runtime) => Task { store, state: State::Running(runtime.spawn_blocking(work)) },
        Err(_) => here(store, work),
    }
}

/// Runs `work` in place.
pub(in crate::store) fn here<T>(store: &'static str, work: impl FnOnce() -> Result<T>) -> Task<T> {
    Task { store, state: State::Done(Some(work())) }
}

/// The result of work that a thread of the store runs.
pub(in crate::store) fn queued<T>(
    store: &'static str,
    result: oneshot::Receiver<Result<T>>,
) -> Task<T> {
    Task { store, state: State::Queued(result) }
}

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let store = self.store;
        let lost = |message: &str| Error::new(ErrorKind::Unavailable, store, message);
        match &mut self.state {
            State::Running(task) => {
                Poll::Ready(ready!(Pin::new(task).poll(cx)).unwrap_or_else(|error| {
                    let lost = lost("the tokio runtime shut down during a read");
                    Err(lost.with_source(error))
                }))
            }
            State::Queued(task) => Poll::Ready(
                ready!(Pin::new(task).poll(cx))
                    .unwrap_or_else(|_| Err(lost("a read ended without a result"))),
            ),
            State::Done(result) => Poll::Ready(
                result.take().unwrap_or_else(|| Err(lost("a finished read was polled again"))),
            ),
        }
    }
}

// Nothing in it is pinned: the result is returned by value.
impl<T> Unpin for Task<T> {}
