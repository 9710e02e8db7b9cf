//! What all handles of a store share: the writer thread, the reader thread and the file.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use tempfile::TempDir;

use super::{Reader, command::Command, database::Database, shared::Shared};

/// What all handles share. It ends with the last of them.
pub(super) struct Inner<D: Database> {
    pub(super) shared: Arc<Shared<D>>,
    pub(super) thread: Mutex<Option<JoinHandle<()>>>,
    pub(super) reader: Reader,
    /// Removed after the file is closed.
    pub(super) _directory: Option<TempDir>,
}

impl<D: Database> Drop for Inner<D> {
    fn drop(&mut self) {
        // The thread syncs and closes first. `close` is for callers that want its result.
        drop(self.shared.queue.send_now(Command::Close { has_time: false }));
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // A waker that the writer thread drops may own the last handle.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id())
        {
            drop(thread.join());
        }
    }
}
