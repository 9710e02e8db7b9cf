//! [`Tasks`]: the background tasks of a layer. The layer counts them, can wait for them, and stops
//! them when its last handle is dropped.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{sync::Notify, task::AbortHandle};

/// The tasks of a layer and its clones. They are stopped when the last handle is dropped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks(Arc<Running>);

/// A handle that does not keep the tasks running, for the tasks themselves.
#[derive(Clone, Debug)]
pub(crate) struct WeakTasks(Weak<Running>);

#[derive(Debug, Default)]
struct Running {
    tasks: Mutex<HashMap<u64, Option<AbortHandle>>>,
    next_id: AtomicU64,
    ended: Notify,
    /// The task that removes expired entries from time to time. Nobody waits for it.
    sweep: Mutex<Option<AbortHandle>>,
}

impl WeakTasks {
    /// Spawns `task` on the current runtime. If the layer is gone, the task is dropped.
    pub(crate) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let Some(running) = self.0.upgrade() else { return };
        let id = running.next_id.fetch_add(1, Ordering::Relaxed);
        running.lock().insert(id, None);
        let ending = Ending { running: self.0.clone(), id };
        // Not under the lock: a runtime that is shutting down drops the task at once.
        let handle = tokio::spawn(async move {
            let _until_the_end = ending;
            task.await;
        });
        if let Some(task) = running.lock().get_mut(&id) {
            *task = Some(handle.abort_handle());
        }
    }
}

impl Tasks {
    pub(crate) fn downgrade(&self) -> WeakTasks {
        WeakTasks(Arc::downgrade(&self.0))
    }

    /// Spawns the task that sweeps the store, and stops an earlier one.
    pub(crate) fn spawn_sweep(&self, sweep: impl Future<Output = ()> + Send + 'static) {
        let sweep = tokio::spawn(sweep).abort_handle();
        let earlier = self.0.sweep().replace(sweep);
        earlier.into_iter().for_each(|task| task.abort());
    }

    /// Waits until no task runs.
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

    fn sweep(&self) -> MutexGuard<'_, Option<AbortHandle>> {
        self.sweep.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.lock().drain().filter_map(|(_, handle)| handle).for_each(|task| task.abort());
        self.sweep().take().into_iter().for_each(|task| task.abort());
    }
}

/// Reports that a task has ended, whether it completed, panicked or was stopped.
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
