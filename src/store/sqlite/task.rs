//! Runs reads that may wait for the disk.

use std::sync::Arc;

use super::{fault::STORE, shared::Shared};
use crate::store::{
    Result,
    embedded::{self, Task},
};

/// Runs `work` on a blocking thread.
pub(super) fn off<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
) -> Task<T> {
    let shared = shared.clone();
    embedded::off(STORE, move || work(&shared))
}

/// Runs `work` where the settings say that reads run.
pub(super) fn reading<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
) -> Task<T> {
    if shared.config.inline_reads {
        embedded::here(STORE, || work(shared))
    } else {
        off(shared, work)
    }
}
