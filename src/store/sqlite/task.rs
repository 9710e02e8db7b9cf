//! Runs reads that may wait for the disk.

use std::sync::Arc;

use super::{fault::STORE, shared::Shared};
use crate::store::{
    Result,
    embedded::{self, ReadMode, Readable, Task},
};

/// Runs `work` on a blocking thread.
pub(super) fn off<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
) -> Task<T> {
    let shared = shared.clone();
    embedded::off(STORE, move || work(&shared))
}

/// Runs `work` in place.
pub(super) fn here<T>(shared: &Shared, work: impl FnOnce(&Shared) -> Result<T>) -> Task<T> {
    embedded::here(STORE, || work(shared))
}

impl Readable for Shared {
    const STORE: &'static str = STORE;

    fn read_mode(&self) -> &Arc<ReadMode> {
        &self.config.reads
    }
}
