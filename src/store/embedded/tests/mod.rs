//! What the engines have in common, on real files.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, Response};

mod fake;
mod faults;
#[path = "../../../../tests/support/occupied.rs"]
pub(in crate::store) mod occupied;

use self::occupied::Occupied;
use super::{ReadMode, Reads};
use crate::{
    Key,
    entry::Head,
    store::{Store, Writer},
    time::Timestamp,
};

pub(in crate::store) const KEY: Key = Key::from_bytes([7; 32]);

/// A clock by which every read takes as long as the test says.
#[derive(Clone, Default)]
pub(in crate::store) struct SlowClock {
    micros: Arc<AtomicU64>,
    step: Arc<AtomicU64>,
}

impl SlowClock {
    pub(in crate::store) fn read_mode(&self) -> Arc<ReadMode> {
        let clock = self.clone();
        let now = move || {
            let step = clock.step.load(Ordering::Relaxed);
            Duration::from_micros(clock.micros.fetch_add(step, Ordering::Relaxed))
        };
        Arc::new(ReadMode::with_clock(Reads::Adaptive, now))
    }

    fn reads_take(&self, time: Duration) {
        self.step.store(time.as_micros() as u64, Ordering::Relaxed);
    }

    fn pass(&self, time: Duration) {
        self.micros.fetch_add(time.as_micros() as u64, Ordering::Relaxed);
    }
}

/// Stores an entry under [`KEY`], in the file.
pub(in crate::store) async fn put<S: Store>(store: &S) {
    let parts = Response::new(()).into_parts().0;
    let head = Head::new(Method::GET, "http://a/", parts, Timestamp::MIN);
    let mut writer = store.put(&KEY, head).await.unwrap();
    writer.write(Bytes::from_static(b"body")).await.unwrap();
    writer.finish(None).await.unwrap();
    store.flush().await.unwrap();
}

/// `store` reads by `clock`.
pub(in crate::store) fn slow_reads_move_away_and_come_back<S: Store>(store: &S, clock: &SlowClock) {
    let mut occupied = Occupied::new();
    occupied.runtime.block_on(put(store));
    let is_in_place = |occupied: &Occupied| {
        let found = occupied.in_place(store.get(&KEY));
        found.map(|hit| assert!(hit.unwrap().is_some())).is_some()
    };
    let away = |occupied: &Occupied| (0..20).all(|_| !is_in_place(occupied));
    let back = |occupied: &Occupied| (0..20).all(|_| is_in_place(occupied));
    assert!(back(&occupied));

    // The disk is slow, but answers: the calling thread tries it.
    clock.reads_take(Duration::from_millis(2));
    assert_eq!([(); 4].map(|()| is_in_place(&occupied)), [true, true, true, false]);
    assert!(away(&occupied));
    // Without a runtime, there is no other thread.
    assert!(store.get(&KEY).now_or_never().unwrap().unwrap().is_some());
    clock.reads_take(Duration::ZERO);
    assert!(away(&occupied));
    clock.pass(Duration::from_secs(1));
    assert!(back(&occupied));

    // The disk stalls: another thread tries it.
    clock.reads_take(Duration::from_millis(150));
    assert_eq!([(); 2].map(|()| is_in_place(&occupied)), [true, false]);
    clock.reads_take(Duration::ZERO);
    clock.pass(Duration::from_secs(1));
    assert!(away(&occupied));
    occupied.free();
    assert!(back(&occupied));
}
