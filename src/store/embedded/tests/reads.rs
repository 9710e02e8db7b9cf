//! Where lookups run, by a clock that only reads advance.

use std::{sync::Arc, thread, time::Duration};

use futures_util::FutureExt;

use super::{
    KEY,
    fake::{Fake, Plan, open},
};
use crate::store::embedded::{Durability, Engine, Reads};

const SECOND: Duration = Duration::from_secs(1);
const SLOW: Duration = Duration::from_millis(2);
const STALL: Duration = Duration::from_millis(150);

struct Lookups {
    engine: Engine<Fake<true>>,
    plan: Arc<Plan>,
}

impl Lookups {
    fn new() -> Self {
        let (engine, plan) = open(Durability::default(), Reads::Adaptive);
        Self { engine, plan }
    }

    /// Returns how many reads ran on the calling thread, and how many on others.
    async fn run(&self, count: usize) -> (usize, usize) {
        for _ in 0..count {
            assert!(self.engine.get(&KEY).await.unwrap().is_none());
        }
        self.plan.take_reads()
    }
}

#[tokio::test]
async fn slow_lookups_move_off_the_calling_thread_and_come_back() {
    let lookups = Lookups::new();
    let plan = &lookups.plan;
    assert_eq!(lookups.run(20).await, (20, 0));

    // The disk is slow, but answers: the calling thread tries it.
    plan.reads_take(SLOW);
    assert_eq!(lookups.run(20).await, (3, 17));
    plan.reads_take(Duration::ZERO);
    assert_eq!(lookups.run(20).await, (0, 20));
    // Without a runtime, there is no other thread.
    let read = || lookups.engine.get(&KEY).now_or_never().is_some();
    assert!(thread::scope(|scope| scope.spawn(read).join().unwrap()));
    assert_eq!(plan.take_reads(), (0, 1));
    plan.pass(SECOND);
    assert_eq!(lookups.run(20).await, (20, 0));

    // The disk stalls: another thread tries it.
    plan.reads_take(STALL);
    assert_eq!(lookups.run(2).await, (1, 1));
    plan.reads_take(Duration::ZERO);
    plan.pass(SECOND);
    assert_eq!(lookups.run(20).await, (19, 1));
}

/// How soon it is known that a lookup would have to wait says nothing of the disk.
#[tokio::test]
async fn only_reads_show_that_the_disk_is_fast() {
    let lookups = Lookups::new();
    let plan = &lookups.plan;
    plan.reads_take(SLOW);
    for _ in 0..3 {
        plan.set_busy(Some(Duration::ZERO));
        assert_eq!(lookups.run(8).await, (0, 8));
        plan.set_busy(None);
        assert_eq!(lookups.run(1).await, (1, 0));
    }
    assert_eq!(lookups.run(8).await, (0, 8));

    // A trial that would have to wait is made on another thread.
    plan.pass(SECOND);
    plan.set_busy(Some(Duration::ZERO));
    assert_eq!(lookups.run(1).await, (0, 1));
    plan.set_busy(None);
    assert_eq!(lookups.run(8).await, (0, 8));

    // So is a trial that meets a database that must be recovered.
    plan.pass(SECOND);
    lookups.engine.shared().db.break_down();
    lookups.run(1).await;
    assert_eq!(lookups.run(8).await, (0, 8));

    plan.pass(SECOND);
    plan.set_busy(Some(Duration::ZERO));
    plan.reads_take(Duration::ZERO);
    assert_eq!(lookups.run(1).await, (0, 1));
    plan.set_busy(None);
    assert_eq!(lookups.run(8).await, (8, 0));
}

/// The thread is held up all the same.
#[tokio::test]
async fn a_lookup_that_reads_nothing_after_a_long_time_moves_lookups_away() {
    let lookups = Lookups::new();
    lookups.plan.set_busy(Some(STALL));
    assert_eq!(lookups.run(1).await, (0, 1));
    lookups.plan.set_busy(None);
    assert_eq!(lookups.run(8).await, (0, 8));
}
