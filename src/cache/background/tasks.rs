//! The tasks of a layer: counted, waited for, and stopped with it.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{sync::Notify, task::AbortHandle};

/// What a layer and its clones have running. When the last of them is dropped, it is stopped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks(Arc<Running>);

#[derive(Debug, Default)]
struct Running {
    tasks: Mutex<HashMap<u64, Option<AbortHandle>>>,
    next_id: AtomicU64,
    ended: Notify,
}

impl Tasks {
    /// Spawns `task` on the current runtime. It must not hold these tasks' handle itself.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let id = self.0.next_id.fetch_add(1, Ordering::Relaxed);
        self.0.lock().insert(id, None);
        let ending = Ending { running: Arc::downgrade(&self.0), id };
        // Not under the lock: a runtime that is shutting down drops the task here and now.
        let handle = tokio::spawn(async move {
            let _until_the_end = ending;
            task.await;
        });
        if let Some(running) = self.0.lock().get_mut(&id) {
            *running = Some(handle.abort_handle());
        }
    }

    /// Waits until nothing runs.
    pub(crate) async fn idle(&self) {
        loop {
            let ended = self.0.ended.notified();
            if self.0.lock().is_empty() {
                return;
            }
            ended.await;
        }
    }
}

impl Running {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Option<AbortHandle>>> {
        // The map is whole between any two statements under the lock.
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.lock().drain().filter_map(|(_, handle)| handle).for_each(|task| task.abort());
    }
}

/// Tells that a task has ended, in whichever way.
struct Ending {
    running: Weak<Running>,
    id: u64,
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(running) = self.running.upgrade() {
            running.lock().remove(&self.id);
            running.ended.notify_waiters();
        }
    }
}
