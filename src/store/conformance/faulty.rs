//! [`Faulty`]: a store around a store that fails or hangs on demand.
//!
//! The tests of the cache compile this file too, so that they need no feature for it. It uses only
//! the crate's public items.

use std::{
    fmt,
    future::{self, Future},
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::HeaderMap;

use crate::{
    Key,
    entry::Head,
    store::{Error, ErrorKind, Hit, Result, Scanned, Store, StoredBody, Version, Writer},
    time::Timestamp,
};

/// An operation of a [`Faulty`] store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// [`Store::get`].
    Get,
    /// Reading half a chunk of a body that `get` has returned.
    Body,
    /// [`Store::put`].
    Put,
    /// [`Writer::write`].
    Write,
    /// [`Writer::finish`].
    Finish,
    /// [`Store::update`].
    Update,
    /// [`Store::remove`] and [`Store::remove_if`].
    Remove,
    /// [`Store::remove_expired`].
    RemoveExpired,
    /// [`Store::remove_tagged`].
    RemoveTagged,
    /// [`Store::clear`].
    Clear,
    /// [`Store::flush`].
    Flush,
    /// An item of [`Store::scan`].
    Scan,
    /// [`Store::len`] and [`Store::size_bytes`].
    Count,
}

/// A store that does what the wrapped store does, until it is told to fail or to hang.
///
/// Operations are numbered as they come. A test can let the first one fail, then the second, and so
/// on, until what it does has no more operations. Whatever fails, a cache must answer every
/// request, and answer correctly from then on:
///
/// ```
/// # #[cfg(feature = "memory")] {
/// use larder::store::{ErrorKind, Memory, Store, conformance::Faulty};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
/// # runtime.block_on(async {
/// let mut nth = 1;
/// loop {
///     let store = Faulty::new(Memory::default());
///     store.fail_nth(nth, ErrorKind::Unavailable);
///     // The code under test goes here; this stands for it.
///     let failed = store.len().await.is_err();
///     assert_eq!(failed, nth == 1);
///     if store.operations() < nth {
///         break;
///     }
///     nth += 1;
/// }
/// # });
/// # }
/// ```
///
/// # Clone
///
/// A clone is another handle to the same data, with the same faults.
#[derive(Clone)]
pub struct Faulty<S> {
    inner: S,
    plan: Arc<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    faults: Mutex<Faults>,
    done: AtomicUsize,
    /// How often an operation is pending before it begins.
    pending: AtomicUsize,
}

#[derive(Debug, Default)]
struct Faults {
    /// Every operation of this kind has this fault.
    kind: Option<(Operation, Fault)>,
    /// The operation with this number has this fault, and with `Reach::AllFrom` all later ones.
    number: Option<(usize, Reach, Fault)>,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    /// It does nothing and fails.
    Fail(ErrorKind),
    /// It is done, but fails.
    Lose(ErrorKind),
    /// It does nothing and never ends.
    Hang,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Reach {
    One,
    AllFrom,
}

impl<S> Faulty<S> {
    /// Wraps `store`. Nothing fails at first.
    #[must_use]
    pub fn new(store: S) -> Self {
        Self { inner: store, plan: Arc::default() }
    }

    /// From now on, every operation of this kind fails.
    pub fn fail(&self, operation: Operation, kind: ErrorKind) {
        self.plan.faults().kind = Some((operation, Fault::Fail(kind)));
    }

    /// From now on, no operation of this kind ends. An operation that hangs does not continue when
    /// the store is [healed](Faulty::heal).
    pub fn hang(&self, operation: Operation) {
        self.plan.faults().kind = Some((operation, Fault::Hang));
    }

    /// The `n`-th operation from now on, counted from 1, does nothing and fails.
    pub fn fail_nth(&self, n: usize, kind: ErrorKind) {
        self.plan.arrange(n, Reach::One, Fault::Fail(kind));
    }

    /// The `n`-th operation from now on and all later ones fail: the store is down.
    pub fn fail_from(&self, n: usize, kind: ErrorKind) {
        self.plan.arrange(n, Reach::AllFrom, Fault::Fail(kind));
    }

    /// The `n`-th operation from now on is done, but fails: the answer is lost.
    pub fn lose_nth(&self, n: usize, kind: ErrorKind) {
        self.plan.arrange(n, Reach::One, Fault::Lose(kind));
    }

    /// The `n`-th operation from now on does nothing and never ends.
    pub fn hang_nth(&self, n: usize) {
        self.plan.arrange(n, Reach::One, Fault::Hang);
    }

    /// The `n`-th operation from now on and all later ones do nothing and never end: the disk
    /// hangs.
    pub fn hang_from(&self, n: usize) {
        self.plan.arrange(n, Reach::AllFrom, Fault::Hang);
    }

    /// From now on, every operation is pending this many times before it begins.
    pub fn wait(&self, times: usize) {
        self.plan.pending.store(times, Ordering::SeqCst);
    }

    /// From now on, nothing fails or hangs.
    pub fn heal(&self) {
        let mut faults = self.plan.faults();
        (faults.kind, faults.number) = (None, None);
    }

    /// The number of operations so far, failed ones included.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.plan.done.load(Ordering::SeqCst)
    }

    /// The wrapped store.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl Plan {
    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrange(&self, n: usize, reach: Reach, fault: Fault) {
        self.faults().number = Some((self.done.load(Ordering::SeqCst) + n, reach, fault));
    }

    /// The fault of the operation that begins now.
    fn meet(&self, operation: Operation) -> Option<Fault> {
        let faults = self.faults();
        let number = self.done.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some((failing, fault)) = faults.kind
            && failing == operation
        {
            return Some(fault);
        }
        let (first, reach, fault) = faults.number?;
        (number == first || (reach == Reach::AllFrom && number > first)).then_some(fault)
    }

    /// Runs `work`, or fails.
    async fn run<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        Pending(self.pending.load(Ordering::SeqCst)).await;
        let error = |kind| Error::new(kind, "faulty", format!("{operation:?} was told to fail"));
        match self.meet(operation) {
            None => work.await,
            Some(Fault::Fail(kind)) => Err(error(kind)),
            Some(Fault::Lose(kind)) => {
                work.await?;
                Err(error(kind))
            }
            Some(Fault::Hang) => future::pending().await,
        }
    }
}

/// A future that is pending this many times.
struct Pending(usize);

impl Future for Pending {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<S: fmt::Debug> fmt::Debug for Faulty<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Faulty").field(&self.inner).finish()
    }
}

/// Writes the body of one entry of a [`Faulty`] store.
pub struct FaultyWriter<W> {
    inner: W,
    plan: Arc<Plan>,
}

impl<W> fmt::Debug for FaultyWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaultyWriter").finish_non_exhaustive()
    }
}

impl<S: Store> Store for Faulty<S> {
    type Writer = FaultyWriter<S::Writer>;

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        let found = self.plan.run(Operation::Get, self.inner.get(key)).await?;
        let Some(mut hit) = found else { return Ok(None) };
        let (plan, len) = (self.plan.clone(), hit.body.len());
        // Each chunk is split: its first half comes, then the fault if there is one, then its
        // second half.
        let mut body = hit.body;
        let chunks = stream::poll_fn(move |cx| body.poll_chunk(cx));
        let halves = chunks.flat_map(|chunk| {
            let halves = match chunk {
                Ok(mut chunk) => {
                    let first = chunk.split_to(chunk.len() / 2);
                    [Some((false, Ok(first))), Some((true, Ok(chunk)))]
                }
                Err(error) => [Some((false, Err(error))), None],
            };
            stream::iter(halves.into_iter().flatten())
        });
        let chunks = halves.then(move |(is_second, half)| {
            let plan = plan.clone();
            async move {
                match is_second {
                    true => plan.run(Operation::Body, async { half }).await,
                    false => half,
                }
            }
        });
        hit.body = StoredBody::from_stream(len, chunks);
        Ok(Some(hit))
    }

    async fn put(&self, key: &Key, head: Head) -> Result<Self::Writer> {
        let inner = self.plan.run(Operation::Put, self.inner.put(key, head)).await?;
        Ok(FaultyWriter { inner, plan: self.plan.clone() })
    }

    async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        self.plan.run(Operation::Update, self.inner.update(key, seen, head)).await
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        self.plan.run(Operation::Remove, self.inner.remove(key)).await
    }

    async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
        self.plan.run(Operation::Remove, self.inner.remove_if(key, seen)).await
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
        self.plan.run(Operation::RemoveExpired, self.inner.remove_expired(now)).await
    }

    async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        self.plan.run(Operation::RemoveTagged, self.inner.remove_tagged(tag)).await
    }

    async fn clear(&self) -> Result<()> {
        self.plan.run(Operation::Clear, self.inner.clear()).await
    }

    async fn flush(&self) -> Result<()> {
        self.plan.run(Operation::Flush, self.inner.flush()).await
    }

    fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<S> {
        let plan = self.plan.clone();
        let items = self.inner.scan().then(move |item| {
            let plan = plan.clone();
            async move { plan.run(Operation::Scan, async { item }).await }
        });
        items.boxed()
    }

    async fn len(&self) -> Result<u64> {
        self.plan.run(Operation::Count, self.inner.len()).await
    }

    async fn size_bytes(&self) -> Result<u64> {
        self.plan.run(Operation::Count, self.inner.size_bytes()).await
    }

    fn read_off_thread(self) -> Self {
        Self { inner: self.inner.read_off_thread(), ..self }
    }
}

impl<W: Writer> Writer for FaultyWriter<W> {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.plan.run(Operation::Write, self.inner.write(chunk)).await
    }

    async fn finish(self, trailers: Option<HeaderMap>) -> Result<()> {
        let Self { inner, plan } = self;
        plan.run(Operation::Finish, inner.finish(trailers)).await
    }

    async fn abort(self) {
        self.inner.abort().await;
    }
}
