//! The tokio runtime that the stores on a server need, for their sockets, time limits and tasks.

use super::{Error, ErrorKind, Result};
use crate::runtime::has_timers;

/// Checks the runtime when the `store` is made.
///
/// # Errors
///
/// [`ErrorKind::Invalid`] outside of a tokio runtime, and in one without timers.
pub(super) fn when_made(store: &'static str) -> Result<()> {
    let what = "the store has to be made in a tokio runtime with timers and I/O: inside \
                #[tokio::main], or a runtime whose builder has enable_all()";
    if has_timers() { Ok(()) } else { Err(Error::new(ErrorKind::Invalid, store, what)) }
}

/// Checks the runtime before each operation: it may be another one than the `store` was made in.
///
/// # Errors
///
/// [`ErrorKind::Unavailable`] outside of a tokio runtime, and in one without timers.
pub(super) fn when_used(store: &'static str) -> Result<()> {
    let what = "the store was used outside of a tokio runtime, or in one without timers; use it in \
                a runtime like the one that it was made in";
    if has_timers() { Ok(()) } else { Err(Error::new(ErrorKind::Unavailable, store, what)) }
}
