//! Where reading waits for the disk: on tokio's blocking threads, on a thread of the store's own, or in place.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, OnceLock, mpsc},
    task::{Context, Poll, ready},
    thread,
};

use tokio::{runtime::Handle, sync::oneshot, task::JoinHandle};

use super::{
    fault::{self, STORE},
    shared::Shared,
};
use crate::store::{Error, ErrorKind, Result};

/// Work that runs elsewhere, or what it came to.
pub(super) enum Task<T> {
    Running(JoinHandle<Result<T>>),
    Queued(oneshot::Receiver<Result<T>>),
    Done(Option<Result<T>>),
}

/// Runs `work` where it may wait for the disk. Outside of a tokio runtime that is here.
pub(super) fn off<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
) -> Task<T> {
    match Handle::try_current() {
        Ok(runtime) => {
            let shared = shared.clone();
            Task::Running(runtime.spawn_blocking(move || guarded(&shared, work)))
        }
        Err(_) => here(shared, work),
    }
}

/// Runs `work` in place.
pub(super) fn here<T>(shared: &Shared, work: impl FnOnce(&Shared) -> Result<T>) -> Task<T> {
    Task::Done(Some(guarded(shared, work)))
}

fn guarded<T>(shared: &Shared, work: impl FnOnce(&Shared) -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(|| work(shared))).unwrap_or_else(|panic| {
        // It may have left redb's locks poisoned.
        shared.poke(shared.opening());
        Err(fault::panicked(&shared.config.path, panic.as_ref()))
    })
}

/// The thread that reads the chunks of large bodies, all of them: it is started with the first.
///
/// Pages that are read stay in redb's cache, and memory that one thread has taken from the allocator and another gave
/// back is of little use to a third. On tokio's blocking threads, which take turns, a large body would make the process
/// grow by the size of the cache for each of them. One thread reads as fast as a disk gives what is asked for piece by
/// piece.
#[derive(Default)]
pub(super) struct Reader(OnceLock<Option<mpsc::Sender<Job>>>);

type Job = Box<dyn FnOnce() + Send>;

impl Reader {
    pub(super) fn run<T: Send + 'static>(
        &self,
        shared: &Arc<Shared>,
        work: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
    ) -> Task<T> {
        let (result, task) = oneshot::channel();
        let this = shared.clone();
        // Who asked may have gone away meanwhile.
        let job: Job = Box::new(move || drop(result.send(guarded(&this, work))));
        match self.0.get_or_init(start) {
            Some(jobs) => match jobs.send(job) {
                Ok(()) => {}
                Err(mpsc::SendError(job)) => job(),
            },
            None => job(),
        }
        Task::Queued(task)
    }
}

/// `None` where there are no threads to be had; then who asks reads.
fn start() -> Option<mpsc::Sender<Job>> {
    let (jobs, queue) = mpsc::channel::<Job>();
    let reading = thread::Builder::new().name("larder-redb-read".to_owned());
    let thread = reading.spawn(move || queue.into_iter().for_each(|job| job()));
    thread.is_ok().then_some(jobs)
}

impl<T> Future for Task<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let lost = |message: &str| Error::new(ErrorKind::Unavailable, STORE, message);
        match &mut *self {
            Self::Running(task) => {
                Poll::Ready(ready!(Pin::new(task).poll(cx)).unwrap_or_else(|error| {
                    let lost = lost("the runtime shut down while the store was being read");
                    Err(lost.with_source(error))
                }))
            }
            Self::Queued(task) => Poll::Ready(
                ready!(Pin::new(task).poll(cx))
                    .unwrap_or_else(|_| Err(lost("a read ended without a result"))),
            ),
            Self::Done(result) => Poll::Ready(
                result.take().unwrap_or_else(|| Err(lost("a finished read was polled again"))),
            ),
        }
    }
}

// Nothing in it is pinned: the result is handed out by value.
impl<T> Unpin for Task<T> {}
