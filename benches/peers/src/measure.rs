//! Measures a case: times in rounds that take turns, allocations in a round of their own.

use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{
    caches::Cache,
    client::Client,
    origin::{Origin, request},
};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// Each response is stored before.
    Hit,
    /// Each request is for something new, and its response is stored.
    Miss,
}

#[derive(Clone, Copy)]
pub struct Effort {
    pub rounds: usize,
    /// How long a round of one cache takes at least.
    pub round: Duration,
    /// How many requests a round has at least, if `MAX_ROUND_BYTES` allows so many.
    pub batch: usize,
}

#[derive(Clone, Copy)]
pub struct Measured {
    /// The median of the rounds, per request.
    pub time: Duration,
    /// Allocations per request, of the thread that asks.
    pub allocations: u64,
}

/// The requests of a round of hits are for so many responses in turn.
const ITEMS: usize = 4;
/// A round stores at most this many bytes, so that no cache evicts anything.
const MAX_ROUND_BYTES: usize = 64 << 20;
const MAX_BATCH: usize = 10_000;

/// Measures all caches with a body of `size` bytes. A slow moment of the machine hits all alike,
/// since their rounds take turns.
pub fn measure(
    runtime: &Runtime,
    caches: &[Cache],
    case: Case,
    size: usize,
    effort: Effort,
) -> Vec<Measured> {
    let mut lanes: Vec<_> =
        caches.iter().map(|cache| Lane::new(runtime, *cache, case, size, effort.batch)).collect();
    for lane in &mut lanes {
        lane.choose_batch(effort.round);
    }
    for _ in 0..effort.rounds {
        for lane in &mut lanes {
            let time = lane.round(false).time;
            lane.times.push(time);
        }
    }
    lanes.iter_mut().map(Lane::finish).collect()
}

/// One cache in one case.
struct Lane<'a> {
    runtime: &'a Runtime,
    cache: Cache,
    case: Case,
    origin: Origin,
    client: Box<dyn Client>,
    folder: TempDir,
    /// The number of requests in a round.
    batch: usize,
    times: Vec<Duration>,
}

impl<'a> Lane<'a> {
    fn new(runtime: &'a Runtime, cache: Cache, case: Case, size: usize, batch: usize) -> Self {
        let origin = Origin::new(size, 1, None);
        let (client, folder) = build(runtime, cache, &origin);
        let mut lane =
            Self { runtime, cache, case, origin, client, folder, batch, times: Vec::new() };
        if case == Case::Hit {
            runtime.block_on(async {
                lane.client.send((0..ITEMS).map(request).collect()).await;
                lane.client.settle().await;
            });
        }
        lane
    }

    /// Doubles the batch until a round takes long enough.
    fn choose_batch(&mut self, round: Duration) {
        let max = match self.case {
            Case::Hit => MAX_BATCH,
            Case::Miss => MAX_BATCH.min(MAX_ROUND_BYTES / self.origin.len()),
        };
        self.batch = self.batch.min(max);
        while self.batch < max && self.round(false).time * (self.batch as u32) < round {
            self.batch = max.min(self.batch * 2);
        }
    }

    /// Sends a batch, with the allocations counted or with the counter off. Checks that every
    /// response came from where it should, whole.
    fn round(&mut self, count: bool) -> Measured {
        if self.case == Case::Miss {
            (self.client, self.folder) = build(self.runtime, self.cache, &self.origin);
        }
        let items = if self.case == Case::Hit { ITEMS } else { self.batch };
        let requests = (0..self.batch).map(|index| request(index % items)).collect();
        let calls_before = self.origin.calls();
        let mut len = 0;
        let work = || {
            self.runtime.block_on(async {
                len = self.client.send(requests).await;
                if self.case == Case::Miss {
                    self.client.settle().await;
                }
            });
        };

        let start = Instant::now();
        let mut allocations = 0;
        if count {
            allocations = mockalloc::record_allocs(work).num_allocs();
        } else {
            work();
        }
        let time = start.elapsed();

        let name = self.cache.name;
        assert_eq!(len, self.batch * self.origin.len(), "{name}: the bodies are not whole");
        let calls = self.origin.calls() - calls_before;
        match self.case {
            Case::Hit => assert_eq!(calls, 0, "{name}: not every request was a hit"),
            Case::Miss => {
                assert_eq!(calls, self.batch, "{name}: not every request was a miss");
                let ends = vec![request(0), request(self.batch - 1)];
                self.runtime.block_on(self.client.send(ends));
                let calls_now = self.origin.calls() - calls_before;
                assert_eq!(calls_now, calls, "{name}: a response was not stored");
            }
        }
        Measured {
            time: time / self.batch as u32,
            allocations: (allocations as f64 / self.batch as f64).round() as u64,
        }
    }

    fn finish(&mut self) -> Measured {
        self.times.sort();
        Measured { time: self.times[self.times.len() / 2], ..self.round(true) }
    }
}

/// An empty cache, and the folder that it may write to.
pub fn build(runtime: &Runtime, cache: Cache, origin: &Origin) -> (Box<dyn Client>, TempDir) {
    let _entered = runtime.enter();
    let folder = tempfile::tempdir().expect("a folder");
    ((cache.build)(origin.clone(), folder.path().into()), folder)
}
