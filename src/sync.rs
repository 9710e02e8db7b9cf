//! The locks and counters of what many tasks share. Named in one place, so that the checker of interleavings in
//! `tests/interleavings.rs` can put its own in their stead.

pub(crate) use std::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering},
};
