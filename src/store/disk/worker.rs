//! A thread of the store that reads or writes.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{OnceLock, mpsc},
    thread,
};

use tokio::sync::oneshot;

use super::task::{Task, panicked};
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
        let store = self.store;
        Box::pin(async move { task.await.unwrap_or_else(|_| Err(panicked(store))) })
    }
}

/// Returns `None` if no thread can be started. The caller then does the work itself.
fn start(store: &'static str, name: &'static str) -> Option<mpsc::Sender<Job>> {
    let (jobs, queue) = mpsc::channel::<Job>();
    let builder = thread::Builder::new().name(format!("larder-{store}-{name}"));
    // A panic ends its job alone.
    let run = |job| drop(catch_unwind(AssertUnwindSafe(job)));
    let thread = builder.spawn(move || queue.into_iter().for_each(run));
    thread.is_ok().then_some(jobs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_thread_survives_a_panic() {
        let worker = Worker::new("files", "test");
        let error = worker.run::<()>(|| panic!("on purpose")).await.unwrap_err();
        assert_eq!(error.to_string(), "files: a panic during work on the disk");
        let name = worker.run(|| Ok(thread::current().name().map(str::to_owned))).await;
        assert_eq!(name.unwrap().as_deref(), Some("larder-files-test"));
    }
}
