//! Runs reads that may wait for the disk, and catches redb's panics.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    fault::{self, STORE},
    shared::Shared,
};
use crate::store::{
    Result,
    embedded::{self, ReadMode, Readable, Reader, Task},
};

/// Runs `work` on a blocking thread. Outside of a tokio runtime, runs it in place.
pub(super) fn off<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
) -> Task<T> {
    let shared = shared.clone();
    embedded::off(STORE, move || shared.guarded(work))
}

/// Runs `work` in place.
pub(super) fn here<T>(shared: &Shared, work: impl FnOnce(&Shared) -> Result<T>) -> Task<T> {
    embedded::here(STORE, || shared.guarded(work))
}

/// Runs `work` on the thread that reads large bodies.
pub(super) fn read<T: Send + 'static>(
    reader: &Reader,
    shared: &Arc<Shared>,
    work: impl FnOnce(&Shared) -> Result<T> + Send + 'static,
) -> Task<T> {
    let shared = shared.clone();
    reader.run(move || shared.guarded(work))
}

impl Readable for Shared {
    const STORE: &'static str = STORE;

    fn read_mode(&self) -> &Arc<ReadMode> {
        &self.config.reads
    }

    fn guarded<T>(&self, read: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        catch_unwind(AssertUnwindSafe(|| read(self))).unwrap_or_else(|panic| {
            // The panic may have poisoned redb's locks.
            self.poke(self.opening());
            Err(fault::panicked(&self.config.path, panic.as_ref()))
        })
    }
}
