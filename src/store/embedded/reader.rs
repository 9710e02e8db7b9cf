//! A thread of the store that reads.

use std::{
    sync::{OnceLock, mpsc},
    thread,
};

use tokio::sync::oneshot;

use super::task::{Task, queued};
use crate::store::Result;

/// The thread that reads the chunks of all large bodies. It starts with the first of them.
///
/// Pages that are read stay in the engine's cache, and an allocator cannot well reuse memory that
/// one thread allocated and another freed. On tokio's blocking threads, which take turns, a large
/// body would make the process grow by the size of that cache for each thread. One thread reads as
/// fast as a disk delivers a body that is requested piece by piece.
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
        // The caller may be gone.
        let job: Job = Box::new(move || drop(result.send(work())));
        match self.jobs.get_or_init(|| start(self.store)) {
            Some(jobs) => match jobs.send(job) {
                Ok(()) => {}
                Err(mpsc::SendError(job)) => job(),
            },
            None => job(),
        }
        queued(self.store, task)
    }
}

/// Returns `None` if no thread can be started. The caller then reads itself.
fn start(store: &'static str) -> Option<mpsc::Sender<Job>> {
    let (jobs, queue) = mpsc::channel::<Job>();
    let reading = thread::Builder::new().name(format!("larder-{store}-read"));
    let thread = reading.spawn(move || queue.into_iter().for_each(|job| job()));
    thread.is_ok().then_some(jobs)
}
