//! What all handles of a store share: the writer thread, the reader thread and the file.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use tempfile::TempDir;

use super::{command::Command, database::Database, shared::Shared};
use crate::store::disk::Worker;

/// What all handles share. It ends with the last of them.
pub(super) struct Inner<D: Database> {
    pub(super) shared: Arc<Shared<D>>,
    pub(super) thread: Mutex<Option<JoinHandle<()>>>,
    /// The thread that reads the chunks of all large bodies.
    ///
    /// Pages that are read stay in the engine's cache, and an allocator cannot well reuse memory
    /// that one thread allocated and another freed. On tokio's blocking threads, which take turns,
    /// a large body would make the process grow by the size of that cache for each thread. One
    /// thread reads as fast as a disk delivers a body that is requested piece by piece.
    pub(super) reader: Worker,
    /// Removed after the file is closed.
    pub(super) _directory: Option<TempDir>,
}

impl<D: Database> Drop for Inner<D> {
    fn drop(&mut self) {
        // The thread syncs and closes first. `close` is for callers that want its result.
        drop(self.shared.send_now(Command::Close { has_time: false }));
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // A waker that the writer thread drops may own the last handle.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != thread::current().id())
        {
            drop(thread.join());
        }
    }
}
