//! Time as this process lives it.
//!
//! A clock of the machine goes on while a process is stopped (`SIGSTOP`, a debugger, a frozen
//! container). Limits that are measured by it are all over when the process continues, and every
//! connection would be cut. The clock here counts time in ticks, and a tick that takes longer than
//! two counts as two.

use std::{
    sync::{
        Once,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

const TICK: Duration = Duration::from_millis(250);

/// The time of the clock, in milliseconds.
static TIME: AtomicU64 = AtomicU64::new(0);
static TICKS: Once = Once::new();

/// Starts the clock. Needs a tokio runtime.
pub(crate) fn start() {
    TICKS.call_once(|| {
        tokio::spawn(async {
            loop {
                let began = Instant::now();
                tokio::time::sleep(TICK).await;
                let millis = began.elapsed().min(2 * TICK).as_millis();
                TIME.fetch_add(millis as u64, Ordering::Relaxed);
            }
        });
    });
}

/// The time since the clock was started, to within a tick.
pub(crate) fn now() -> Duration {
    Duration::from_millis(TIME.load(Ordering::Relaxed))
}

/// Waits until the clock says that `duration` has passed.
pub(crate) async fn sleep(duration: Duration) {
    let end = now() + duration;
    loop {
        let left = end.saturating_sub(now());
        if left.is_zero() {
            return;
        }
        // The clock may lag behind by a tick. This does not ask it too often.
        tokio::time::sleep(left.max(TICK / 10)).await;
    }
}
