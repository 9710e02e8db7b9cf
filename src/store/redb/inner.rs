//! What all handles of a store share: the writer thread, the reader thread and the file.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use tempfile::TempDir;

use super::shared::Shared;
use crate::store::embedded::Reader;

/// What all handles share. It ends with the last of them.
pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    pub(super) thread: Mutex<Option<JoinHandle<()>>>,
    pub(super) reader: Reader,
    /// Removed after the file is closed.
    pub(super) _directory: Option<TempDir>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The thread syncs and closes first. `close` is for callers that want its result.
        drop(self.shared.close());
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            drop(thread.join());
        }
    }
}
