//! A store that waits before and after each operation.

use std::{
    fmt,
    future::{Future, poll_fn},
    pin::pin,
    sync::{Arc, Mutex},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::HeaderMap;
use larder::{
    Key,
    entry::Head,
    store::{Hit, Result, Scanned, Store, StoredBody, Version, Writer},
    time::Timestamp,
};
use tokio::task::{unconstrained, yield_now};

use crate::rng::Rng;

/// The pace of operations. Clones share their random numbers.
#[derive(Clone)]
pub(crate) struct Pace(Arc<Mutex<Option<Rng>>>);

impl Pace {
    /// A pace that never waits.
    pub(crate) fn swift() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }

    /// A pace that waits at random from the next [`Pace::restart`] on.
    pub(crate) fn slow() -> Self {
        Self(Arc::new(Mutex::new(Some(Rng::new(0)))))
    }

    /// Restarts with the random numbers of another seed.
    pub(crate) fn restart(&self, seed: u64) {
        if let Some(rng) = &mut *self.0.lock().unwrap() {
            *rng = Rng::new(seed);
        }
    }

    async fn wait(&self) {
        let (yields, millis) = match &mut *self.0.lock().unwrap() {
            None => return,
            Some(rng) => match rng.below(10) {
                0..4 => return,
                4..7 => (1 + rng.below(3), 0),
                _ => (0, 1 + rng.below(8)),
            },
        };
        for _ in 0..yields {
            yield_now().await;
        }
        if millis > 0 {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
    }
}

/// The inner store at a pace.
#[derive(Clone)]
pub(crate) struct Paced<S> {
    inner: S,
    pace: Pace,
    /// Whether an operation of the inner store ends within one poll. Otherwise, the threads of a
    /// store would race with virtual time.
    in_one_poll: bool,
}

impl<S> fmt::Debug for Paced<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Paced").finish_non_exhaustive()
    }
}

impl<S> Paced<S> {
    /// Wraps a store that waits only for its own threads.
    pub(crate) fn around_threads(inner: S, pace: Pace) -> Self {
        Self { inner, pace, in_one_poll: true }
    }

    /// Wraps a store that waits for other paced stores.
    pub(crate) fn around_paced(inner: S, pace: Pace) -> Self {
        Self { inner, pace, in_one_poll: false }
    }
}

async fn paced<F: Future>(pace: &Pace, in_one_poll: bool, operation: F) -> F::Output {
    pace.wait().await;
    let output = if in_one_poll { block_on(operation) } else { operation.await };
    pace.wait().await;
    output
}

/// Waits for `future` on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(unconstrained(future));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

impl<S> Paced<S> {
    async fn run<F: Future>(&self, operation: F) -> F::Output {
        paced(&self.pace, self.in_one_poll, operation).await
    }

    /// The body, with a wait before and after each chunk.
    fn paced_body(&self, body: StoredBody) -> StoredBody {
        let (len, pace, in_one_poll) = (body.len(), self.pace.clone(), self.in_one_poll);
        let chunks = stream::unfold(body, move |mut body| {
            let pace = pace.clone();
            async move {
                let chunk = paced(&pace, in_one_poll, poll_fn(|cx| body.poll_chunk(cx))).await?;
                Some((chunk, body))
            }
        });
        StoredBody::from_stream(len, chunks)
    }
}

impl<S: Store> Store for Paced<S> {
    type Writer = PacedWriter<S::Writer>;

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        let found = self.run(self.inner.get(key)).await?;
        Ok(found.map(|hit| Hit::new(hit.head, hit.version, self.paced_body(hit.body))))
    }

    async fn put(&self, key: &Key, head: Head) -> Result<Self::Writer> {
        let inner = self.run(self.inner.put(key, head)).await?;
        Ok(PacedWriter { inner, pace: self.pace.clone(), in_one_poll: self.in_one_poll })
    }

    async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        self.run(self.inner.update(key, seen, head)).await
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        self.run(self.inner.remove(key)).await
    }

    async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
        self.run(self.inner.remove_if(key, seen)).await
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
        self.run(self.inner.remove_expired(now)).await
    }

    async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        self.run(self.inner.remove_tagged(tag)).await
    }

    async fn clear(&self) -> Result<()> {
        self.run(self.inner.clear()).await
    }

    /// Lists the items at the start of the scan, in the order of their keys. With another order in
    /// each run, a seed would repeat nothing.
    fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<S> {
        let (store, pace) = (self.clone(), self.pace.clone());
        let items = async move {
            let items = store.inner.scan().collect::<Vec<_>>();
            let mut items = store.run(items).await;
            items.sort_by_key(|item| item.as_ref().map(|item| *item.key.as_bytes()).ok());
            stream::iter(items).then(move |item| {
                let pace = pace.clone();
                async move {
                    pace.wait().await;
                    item
                }
            })
        };
        stream::once(items).flatten().boxed()
    }

    async fn len(&self) -> Result<u64> {
        self.run(self.inner.len()).await
    }

    async fn size_bytes(&self) -> Result<u64> {
        self.run(self.inner.size_bytes()).await
    }
}

pub(crate) struct PacedWriter<W> {
    inner: W,
    pace: Pace,
    in_one_poll: bool,
}

impl<W: Writer> Writer for PacedWriter<W> {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        paced(&self.pace, self.in_one_poll, self.inner.write(chunk)).await
    }

    async fn finish(self, trailers: Option<HeaderMap>) -> Result<()> {
        paced(&self.pace, self.in_one_poll, self.inner.finish(trailers)).await
    }
}
