//! A thread of the store that reads or writes.

use std::{
    sync::{OnceLock, mpsc},
    thread,
};

use tokio::sync::oneshot;

use super::task::{Task, queued};
use crate::store::Result;

/// A thread that does one job after the other, in the order in which they were given. It starts
/// with the first job, and ends with the store.
pub(in crate::store) struct Worker {
    store: &'static str,
    /// What it does, as the last part of its name.
    name: &'static str,
    jobs: OnceLock<Option<mpsc::Sender<Job>>>,
}

type Job = Box<dyn FnOnce() + Send>;

impl Worker {
    pub(in crate::store) fn new(store: &'static str, name: &'static str) -> Self {
        Self { store, name, jobs: OnceLock::new() }
    }

    pub(in crate::store) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Task<T> {
        let (result, task) = oneshot::channel();
        // The caller may be gone.
        let job: Job = Box::new(move || drop(result.send(work())));
        match self.jobs.get_or_init(|| start(self.store, self.name)) {
            Some(jobs) => match jobs.send(job) {
                Ok(()) => {}
                Err(mpsc::SendError(job)) => job(),
            },
            None => job(),
        }
        queued(self.store, task)
    }
}

/// Returns `None` if no thread can be started. The caller then does the work itself.
fn start(store: &'static str, name: &'static str) -> Option<mpsc::Sender<Job>> {
    let (jobs, queue) = mpsc::channel::<Job>();
    let builder = thread::Builder::new().name(format!("larder-{store}-{name}"));
    let thread = builder.spawn(move || queue.into_iter().for_each(|job| job()));
    thread.is_ok().then_some(jobs)
}
