//! A store around a store, that fails where it is told to.

use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::HeaderMap;
use larder::{
    Key,
    entry::Head,
    store::{Error, ErrorKind, Hit, Result, Scanned, Store, StoredBody, Version, Writer},
    time::Timestamp,
};
/// An operation of a store. `Body` is the reading of a body that `Get` has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Get,
    Body,
    Put,
    Write,
    Finish,
    Update,
    Remove,
    RemoveExpired,
    RemoveTagged,
    Scan,
}

/// A store that does what the one inside does, until told to fail.
#[derive(Clone)]
pub(crate) struct Faulty<S> {
    inner: S,
    plan: Arc<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    /// Every operation of this kind fails.
    kind: Mutex<Option<(Op, ErrorKind)>>,
    /// Only the operation of this number, from 1, fails.
    nth: Mutex<Option<(usize, ErrorKind)>>,
    spare_bodies: AtomicBool,
    done: AtomicUsize,
}

impl<S> Faulty<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, plan: Arc::default() }
    }

    /// From now on every `op` fails.
    pub(crate) fn fail(&self, op: Op, kind: ErrorKind) {
        *self.plan.kind.lock().unwrap() = Some((op, kind));
    }

    /// The `n`-th operation from now on fails, whichever it is.
    pub(crate) fn fail_nth(&self, n: usize, kind: ErrorKind) {
        let n = self.plan.done.load(Ordering::SeqCst) + n;
        *self.plan.nth.lock().unwrap() = Some((n, kind));
    }

    /// The same, but that the reading of a body never is the operation that fails.
    pub(crate) fn fail_nth_but_bodies(&self, n: usize, kind: ErrorKind) {
        self.plan.spare_bodies.store(true, Ordering::SeqCst);
        self.fail_nth(n, kind);
    }

    /// From now on nothing fails.
    pub(crate) fn heal(&self) {
        *self.plan.kind.lock().unwrap() = None;
        *self.plan.nth.lock().unwrap() = None;
    }

    /// How many operations there have been.
    pub(crate) fn operations(&self) -> usize {
        self.plan.done.load(Ordering::SeqCst)
    }

    pub(crate) fn inner(&self) -> &S {
        &self.inner
    }
}

impl Plan {
    fn meet(&self, op: Op) -> Result<()> {
        if op == Op::Body && self.spare_bodies.load(Ordering::SeqCst) {
            return Ok(());
        }
        let number = self.done.fetch_add(1, Ordering::SeqCst) + 1;
        let by_kind = self.kind.lock().unwrap().filter(|(failing, _)| *failing == op);
        let by_number = self.nth.lock().unwrap().filter(|(failing, _)| *failing == number);
        match by_kind.map(|(_, kind)| kind).or(by_number.map(|(_, kind)| kind)) {
            Some(kind) => Err(Error::new(kind, "faulty", format!("{op:?} was told to fail"))),
            None => Ok(()),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Faulty<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Faulty").field(&self.inner).finish()
    }
}

pub(crate) struct FaultyWriter<W> {
    inner: W,
    plan: Arc<Plan>,
}

impl<S: Store> Store for Faulty<S> {
    type Writer = FaultyWriter<S::Writer>;

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        self.plan.meet(Op::Get)?;
        let Some(mut hit) = self.inner.get(key).await? else { return Ok(None) };
        let (plan, len) = (self.plan.clone(), hit.body.len());
        // Half of the body comes, then the fault where there is one, then the rest.
        let whole = hit.body.map(|chunk| chunk.unwrap()).collect::<Vec<Bytes>>().await.concat();
        let (first, rest) = whole.split_at(whole.len() / 2);
        let halves = [Bytes::copy_from_slice(first), Bytes::copy_from_slice(rest)];
        hit.body = StoredBody::from_stream(
            len,
            stream::iter(halves.into_iter().enumerate()).map(move |(position, half)| {
                if position == 1 {
                    plan.meet(Op::Body)?;
                }
                Ok(half)
            }),
        );
        Ok(Some(hit))
    }

    async fn put(&self, key: &Key, head: Head) -> Result<Self::Writer> {
        self.plan.meet(Op::Put)?;
        let inner = self.inner.put(key, head).await?;
        Ok(FaultyWriter { inner, plan: self.plan.clone() })
    }

    async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        self.plan.meet(Op::Update)?;
        self.inner.update(key, seen, head).await
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        self.plan.meet(Op::Remove)?;
        self.inner.remove(key).await
    }

    async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
        self.plan.meet(Op::Remove)?;
        self.inner.remove_if(key, seen).await
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
        self.plan.meet(Op::RemoveExpired)?;
        self.inner.remove_expired(now).await
    }

    async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        self.plan.meet(Op::RemoveTagged)?;
        self.inner.remove_tagged(tag).await
    }

    async fn clear(&self) -> Result<()> {
        self.inner.clear().await
    }

    fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<S> {
        let plan = self.plan.clone();
        self.inner.scan().map(move |item| {
            plan.meet(Op::Scan)?;
            item
        })
    }

    async fn len(&self) -> Result<u64> {
        self.inner.len().await
    }

    async fn size_bytes(&self) -> Result<u64> {
        self.inner.size_bytes().await
    }
}

impl<W: Writer> Writer for FaultyWriter<W> {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.plan.meet(Op::Write)?;
        self.inner.write(chunk).await
    }

    async fn finish(self, trailers: Option<HeaderMap>) -> Result<()> {
        self.plan.meet(Op::Finish)?;
        self.inner.finish(trailers).await
    }
}
