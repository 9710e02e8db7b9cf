//! Catches redb's panics without a word on standard error.
//!
//! redb trusts the structure of its pages, and panics if that is damaged. For a cache, that is one
//! more error, and no reason to alarm anybody with the message of a panic. Only the hook of the
//! process can keep it back. The hook that is there when the first file is opened is wrapped, and
//! gets every other panic. A program that sets its own hook later gets redb's panics as well.

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe, catch_unwind},
    sync::{Mutex, PoisonError},
    thread,
};

thread_local! {
    /// Whether this thread is in redb's code, and catches its panics.
    static IS_QUIET: Cell<bool> = const { Cell::new(false) };
}

static IS_WRAPPED: Mutex<bool> = Mutex::new(false);

/// Runs `work`, and catches its panic.
pub(super) fn quietly<T>(work: impl FnOnce() -> T) -> thread::Result<T> {
    let was_quiet = IS_QUIET.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    IS_QUIET.set(was_quiet);
    result
}

/// Wraps the hook of the process, once.
pub(super) fn wrap_hook() {
    let mut is_wrapped = IS_WRAPPED.lock().unwrap_or_else(PoisonError::into_inner);
    // Changing the hook while panicking would abort the process.
    if *is_wrapped || thread::panicking() {
        return;
    }
    *is_wrapped = true;
    let hook = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !IS_QUIET.try_with(Cell::get).unwrap_or(false) {
            hook(panic);
        }
    }));
}
