//! The locks and counters that tasks share. All code imports them from here, so that the
//! interleaving checker in `tests/interleavings.rs` can replace them.

pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};
