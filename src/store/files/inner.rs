//! [`Inner`] keeps an opening of a folder alive.

use std::sync::Arc;

use tempfile::TempDir;

use super::{fault::STORE, shared::Shared};
use crate::store::disk::Worker;

/// What all handles and writers share. It ends with the last of them.
pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    /// The thread that does all changes, in the order of the calls.
    pub(super) worker: Worker,
    /// Removed with the last handle.
    _directory: Option<TempDir>,
}

impl Inner {
    pub(super) fn new(shared: Arc<Shared>, directory: Option<TempDir>) -> Self {
        Self { shared, worker: Worker::new(STORE, "write"), _directory: directory }
    }
}
