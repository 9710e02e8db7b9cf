//! Many requests and removals at once, over slow stores. A seed decides what happens: everything
//! runs on one thread, and waits only by yielding to the other tasks.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::Poll,
};

use bytes::Bytes;
use futures_util::{FutureExt, Stream, future::join_all};
use http::HeaderMap;
use larder::{
    Filter, Key,
    entry::Head,
    store::{Hit, Memory, Result, Scanned, Store, Tiered, Version, Writer},
    time::Timestamp,
};

use crate::support::{Double, Stand, get, line, ok, url};

const PATHS: [&str; 3] = ["/a", "/b", "/c"];

/// Random numbers. The same seed gives the same numbers.
#[derive(Clone, Debug)]
struct Dice(Arc<AtomicU64>);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    /// A number below `end` (splitmix64).
    fn below(&self, end: u64) -> u64 {
        let mut state = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
        state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (state ^ (state >> 31)) % end
    }

    /// Yields to the other tasks, up to three times.
    async fn wait(&self) {
        for _ in 0..self.below(4) {
            tokio::task::yield_now().await;
        }
    }

    /// Awaits `future`, and drops it if it is still pending after `polls` more polls, as a caller
    /// that goes away does.
    async fn poll_at_most<F: Future>(&self, polls: u64, future: F) -> Option<F::Output> {
        let (mut future, mut left) = (pin!(future), polls);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => {
                left -= 1;
                Poll::Pending
            }
        })
        .await
    }
}

/// A store whose operations yield before they begin and after they end.
#[derive(Clone, Debug)]
struct Slow<S>(S, Dice);

impl<S: Store> Slow<S> {
    async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        self.1.wait().await;
        let done = work.await;
        self.1.wait().await;
        done
    }
}

struct SlowWriter<W>(W, Dice);

impl<S: Store> Store for Slow<S> {
    type Writer = SlowWriter<S::Writer>;

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        self.run(self.0.get(key)).await
    }

    async fn put(&self, key: &Key, head: Head) -> Result<Self::Writer> {
        Ok(SlowWriter(self.run(self.0.put(key, head)).await?, self.1.clone()))
    }

    async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        self.run(self.0.update(key, seen, head)).await
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        self.run(self.0.remove(key)).await
    }

    async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
        self.run(self.0.remove_if(key, seen)).await
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
        self.run(self.0.remove_expired(now)).await
    }

    async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        self.run(self.0.remove_tagged(tag)).await
    }

    async fn clear(&self) -> Result<()> {
        self.run(self.0.clear()).await
    }

    fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<S> {
        self.0.scan()
    }

    async fn len(&self) -> Result<u64> {
        self.0.len().await
    }

    async fn size_bytes(&self) -> Result<u64> {
        self.0.size_bytes().await
    }
}

impl<W: Writer> Writer for SlowWriter<W> {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.1.wait().await;
        self.0.write(chunk).await
    }

    async fn finish(self, trailers: Option<HeaderMap>) -> Result<()> {
        self.1.wait().await;
        self.0.finish(trailers).await?;
        self.1.wait().await;
        Ok(())
    }
}

/// For each path, the number of the last response that was removed. Later requests must get a
/// higher number.
type Floors = Arc<Mutex<[usize; PATHS.len()]>>;

async fn ask<B: Store>(stand: &Stand<B>, dice: &Dice, floors: &Floors) {
    for _ in 0..30 {
        dice.wait().await;
        let path = dice.below(PATHS.len() as u64) as usize;
        let floor = floors.lock().unwrap()[path];
        let asked = stand.get(PATHS[path]);
        let polls = if dice.below(3) == 0 { dice.below(40) } else { u64::MAX };
        let Some(reply) = dice.poll_at_most(polls, asked).await else { continue };
        let number: usize = reply.text().parse().unwrap();
        assert!(number > floor, "{}: {number} was removed up to {floor}", PATHS[path]);
    }
}

async fn remove<B: Store>(stand: &Stand<B>, dice: &Dice, floors: &Floors) {
    let entries = stand.layer.entries();
    for _ in 0..20 {
        for _ in 0..dice.below(4) {
            dice.wait().await;
        }
        let path = dice.below(PATHS.len() as u64) as usize;
        let called = stand.calls();
        let mut is_all = false;
        match dice.below(6) {
            0 => drop(entries.remove(url(PATHS[path])).await.unwrap()),
            1 => drop(entries.remove(&get(PATHS[path]).body(()).unwrap()).await.unwrap()),
            2 => drop(entries.remove_tag(PATHS[path]).await.unwrap()),
            3 => {
                let filter = Filter::new().url(&format!("*{}", PATHS[path])).unwrap();
                entries.remove_where(&filter, |_| {}).await.unwrap();
            }
            4 => {
                is_all = true;
                entries.remove_where(&Filter::new(), |_| {}).await.unwrap();
            }
            _ => {
                is_all = true;
                entries.clear().await.unwrap();
            }
        }
        for (at, floor) in floors.lock().unwrap().iter_mut().enumerate() {
            if is_all || at == path {
                *floor = called.max(*floor);
            }
        }
    }
}

/// Runs requests and removals at once. Asserts that no request gets a response that was removed
/// before the request began.
fn storm<B: Store>(seed: u64, store: impl FnOnce(Dice) -> B) {
    let dice = Dice::new(seed);
    let waits = dice.clone();
    let origin = Double::new(|request, number| {
        line(ok(number.to_string()), "surrogate-key", request.uri().path())
    })
    .waiting(move |_| {
        let dice = waits.clone();
        async move { dice.wait().await }
    });
    let stand = Stand::over(store(dice.clone()), origin)
        .with(|layer| layer.add_tag_headers(["surrogate-key"]).unwrap());
    let floors = Floors::default();
    let asking = (0..6).map(|_| ask(&stand, &dice, &floors).boxed_local());
    let removing = (0..3).map(|_| remove(&stand, &dice, &floors).boxed_local());
    let all = join_all(asking.chain(removing));
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(all);
}

#[test]
fn removed_response_is_never_served_over_a_slow_store() {
    for seed in 0..60 {
        storm(seed, |dice| Slow(Memory::default(), dice));
    }
}

#[test]
fn removed_response_is_never_served_over_slow_tiers() {
    for seed in 0..200 {
        storm(seed, |dice| {
            Tiered::new(
                Slow(Memory::default(), dice.clone()),
                Slow(Memory::default(), dice.clone()),
            )
        });
    }
}

/// The far tier has room for about one response, so copies in the near tier outlive their
/// originals.
#[test]
fn removed_response_is_never_served_over_a_far_tier_that_evicts() {
    for seed in 0..100 {
        storm(seed, |dice| {
            Tiered::new(Slow(Memory::default(), dice.clone()), Slow(Memory::new(4096), dice))
        });
    }
}
