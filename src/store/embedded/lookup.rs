//! Runs a lookup where the [`ReadMode`](super::ReadMode) says.

use std::sync::Arc;

use super::{
    Reads,
    database::Database,
    read_mode::{Measured, Place},
    shared::Shared,
};
use crate::store::{
    Result,
    disk::{Task, here, off},
};

/// Looks an entry up, on the calling thread or off it.
///
/// `try_read` reads without waiting for a lock, and returns `None` if it would have to wait. `read`
/// may wait, also for the recovery of a database that fails. With `off_thread`, the lookup does not
/// run on the calling thread. Outside of a tokio runtime, it does in any case.
pub(super) fn lookup<D: Database, T: Send + 'static>(
    shared: &Arc<Shared<D>>,
    off_thread: bool,
    try_read: impl FnOnce(&Shared<D>) -> Result<Option<T>>,
    read: impl Fn(&Shared<D>) -> Result<T> + Send + 'static,
) -> Task<T> {
    let mode = &shared.settings.reads;
    let place = if off_thread { Place::Off } else { mode.place() };
    if matches!(place, Place::Here | Place::TrialHere) {
        let is_measured = mode.setting() == Reads::Adaptive;
        let measured = is_measured
            .then(|| Measured::new(mode.as_ref(), place == Place::TrialHere))
            .map(Measured::begun);
        let seen = shared.recoveries();
        let result = shared.read(try_read).transpose();
        drop(measured);
        match result {
            // Another thread can wait for it.
            Some(Err(_)) if shared.may_be_recovered(seen) => {}
            Some(result) => return here(D::STORE, || result),
            None => {}
        }
    }
    let trial = (place == Place::TrialOff).then(|| Measured::new(mode.clone(), true));
    let shared = shared.clone();
    off(D::STORE, move || {
        let _trial = trial.map(Measured::begun);
        shared.read_patiently(read)
    })
}
