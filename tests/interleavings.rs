//! Shared calls and bodies under many orders of events. The checker chooses another order each
//! time.
//!
//! The crate's own files are checked, with the checker's locks and counters in place of the
//! standard library's. At each use of one, the checker may switch to another thread. A thread that
//! waits forever is a failure.

#![allow(clippy::unwrap_used)]

/// The names of `src/sync.rs`, from the checker.
mod sync {
    pub(crate) use shuttle::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    };
}

#[path = "../src/cache/coalesce/call.rs"]
#[allow(dead_code, reason = "not all of it is of use here")]
mod call;
#[path = "../src/cache/tee/drive.rs"]
mod drive;
#[path = "../src/cache/coalesce/follower.rs"]
mod follower;
#[path = "../src/cache/coalesce/join.rs"]
#[allow(dead_code, reason = "not all of it is of use here")]
mod join;
#[path = "../src/cache/coalesce/leader.rs"]
#[allow(dead_code, reason = "not all of it is of use here")]
mod leader;
#[path = "../src/cache/tee/readers.rs"]
mod readers;
#[path = "../src/cache/coalesce/removals.rs"]
#[allow(dead_code, reason = "not all of it is of use here")]
mod removals;
#[path = "../src/cache/tee/replay_buffer.rs"]
#[allow(dead_code, reason = "not all of it is of use here")]
mod replay_buffer;
#[path = "../src/cache/tee/shared.rs"]
#[allow(dead_code, reason = "not all of it is of use here")]
mod shared;
#[path = "../src/cache/coalesce/table.rs"]
#[allow(dead_code, reason = "not all of it is of use here")]
mod table;

#[path = "interleavings/bodies.rs"]
mod bodies;
#[path = "interleavings/calls.rs"]
mod calls;

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use shuttle::{
    Config, Runner,
    scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler},
};

fn run(scheduler: impl Scheduler + 'static, test: fn()) {
    let mut config = Config::new();
    // Futures are large without optimisations.
    config.stack_size = 512 * 1024;
    Runner::new(scheduler, config).run(test);
}

/// Runs `test` in random orders, and in orders that switch threads rarely, at the worst moments.
fn explore(test: fn()) {
    run(RandomScheduler::new(500), test);
    for depth in [2, 3, 5] {
        run(PctScheduler::new(depth, 200), test);
    }
}

/// Runs `test`, which must make no random choices, in all orders, or in the first 5,000.
fn explore_in_turn(test: fn()) {
    run(DfsScheduler::new(Some(5_000), false), test);
}

/// Polls once, and returns the result.
async fn once<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    poll_fn(|cx| Poll::Ready(poll(cx))).await
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    once(|cx| Pin::new(&mut *future).poll(cx)).await
}
