//! Runs a lookup where the [`ReadMode`] says.

use std::sync::Arc;

use super::{
    read_mode::{Measured, Place, ReadMode, Reads},
    task::{Task, here, off},
};
use crate::store::Result;

/// What the handles, the readers and the writer thread of a store share.
pub(in crate::store) trait Readable: Send + Sync + Sized + 'static {
    /// The name of the store, for errors.
    const STORE: &'static str;

    /// Where lookups run.
    fn read_mode(&self) -> &Arc<ReadMode>;

    /// Runs `read`. An engine that can panic turns that into an error here.
    fn guarded<T>(&self, read: impl FnOnce(&Self) -> Result<T>) -> Result<T> {
        read(self)
    }
}

/// Looks an entry up, on the calling thread or off it.
///
/// `try_read` reads without waiting for a lock, and returns `None` if it would have to wait. `read`
/// may wait. With `off_thread`, the lookup does not run on the calling thread. Outside of a tokio
/// runtime, it does in any case.
pub(in crate::store) fn lookup<S: Readable, T: Send + 'static>(
    shared: &Arc<S>,
    off_thread: bool,
    try_read: impl FnOnce(&S) -> Result<Option<T>>,
    read: impl FnOnce(&S) -> Result<T> + Send + 'static,
) -> Task<T> {
    let mode = shared.read_mode();
    let place = if off_thread { Place::Off } else { mode.place() };
    if matches!(place, Place::Here | Place::TrialHere) {
        let is_measured = mode.setting() == Reads::Adaptive;
        let measured = is_measured
            .then(|| Measured::new(mode.as_ref(), place == Place::TrialHere))
            .map(Measured::begun);
        let result = shared.guarded(try_read).transpose();
        drop(measured);
        if let Some(result) = result {
            return here(S::STORE, || result);
        }
    }
    let trial = (place == Place::TrialOff).then(|| Measured::new(mode.clone(), true));
    let shared = shared.clone();
    off(S::STORE, move || {
        let _trial = trial.map(Measured::begun);
        shared.guarded(read)
    })
}
