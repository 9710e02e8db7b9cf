//! A thread of the store's own that reads.

use std::{
    sync::{OnceLock, mpsc},
    thread,
};

use tokio::sync::oneshot;

use super::task::{Task, queued};
use crate::store::Result;

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
        queued(self.store, task)
    }
}

/// `None` where there are no threads to be had; then who asks reads.
fn start(store: &'static str) -> Option<mpsc::Sender<Job>> {
    let (jobs, queue) = mpsc::channel::<Job>();
    let reading = thread::Builder::new().name(format!("larder-{store}-read"));
    let thread = reading.spawn(move || queue.into_iter().for_each(|job| job()));
    thread.is_ok().then_some(jobs)
}
