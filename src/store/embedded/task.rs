//! Where reading waits for the disk: on tokio's blocking threads, on a thread of the store's own, or in place.

use std::{
    pin::Pin,
    sync::{OnceLock, mpsc},
    task::{Context, Poll, ready},
    thread,
};

use tokio::{runtime::Handle, sync::oneshot, task::JoinHandle};

use crate::store::{Error, ErrorKind, Result};

/// Work that runs elsewhere, or what it came to.
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

/// Runs `work` where it may wait for the disk. Outside of a tokio runtime that is here.
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

/// The thread that reads the chunks of large bodies, all of them: it is started with the first.
///
/// Pages that are read stay in the engine's cache, and memory that one thread has taken from the allocator and another
/// gave back is of little use to a third. On tokio's blocking threads, which take turns, a large body would make the
/// process grow by the size of the cache for each of them. One thread reads as fast as a disk gives what is asked for
/// piece by piece.
pub(in crate::store) struct Reader {
    store: &'static str,
    jobs: OnceLock<Option<mpsc::Sender<Job>>>,
}

type Job = Box<dyn FnOnce() + Send>;

impl Reader {
    pub(in crate::store) fn new(store: &'static str) -> Self {
        Self { store, jobs: OnceLock::new() }
    }

    pub(in crate::store) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Task<T> {
        let (result, task) = oneshot::channel();
        // Who asked may have gone away meanwhile.
        let job: Job = Box::new(move || drop(result.send(work())));
        match self.jobs.get_or_init(|| start(self.store)) {
            Some(jobs) => match jobs.send(job) {
                Ok(()) => {}
                Err(mpsc::SendError(job)) => job(),
            },
            None => job(),
        }
        Task { store: self.store, state: State::Queued(task) }
    }
}

/// `None` where there are no threads to be had; then who asks reads.
fn start(store: &'static str) -> Option<mpsc::Sender<Job>> {
    let (jobs, queue) = mpsc::channel::<Job>();
    let reading = thread::Builder::new().name(format!("larder-{store}-read"));
    let thread = reading.spawn(move || queue.into_iter().for_each(|job| job()));
    thread.is_ok().then_some(jobs)
}

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let store = self.store;
        let lost = |message: &str| Error::new(ErrorKind::Unavailable, store, message);
        match &mut self.state {
            State::Running(task) => {
                Poll::Ready(ready!(Pin::new(task).poll(cx)).unwrap_or_else(|error| {
                    let lost = lost("the runtime shut down while the store was being read");
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

// Nothing in it is pinned: the result is handed out by value.
impl<T> Unpin for Task<T> {}
