//! Copies, made while the far entry is read.
//!
//! A copy is a future. The reader feeds it and polls it while the body is being read, and nobody
//! else does: if the near tier is slow, the chunks wait, and the reader does not. After the last
//! chunk, nobody may poll the body again, so a copy that is not done by then is handed to the next
//! user of the store.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    task::{Context, Poll, Waker, ready},
};

use bytes::Bytes;
use futures_core::Stream;

use super::{
    annotation::Annotation,
    generations::Ticket,
    tiers::Tiered,
    unfinished::{Copying, Unfinished},
};
use crate::{
    entry::Head,
    key::Key,
    store::{Hit, Result, Store, StoredBody, Version, Writer},
};

/// The chunks for a copy, and whether the last one is among them.
#[derive(Debug, Default)]
struct Queue(Mutex<(VecDeque<Bytes>, bool)>);

impl Queue {
    fn lock(&self) -> MutexGuard<'_, (VecDeque<Bytes>, bool)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, chunk: Bytes, is_last: bool) {
        let mut state = self.lock();
        state.0.push_back(chunk);
        state.1 = is_last;
    }

    /// Returns the next chunk, or `None` after the last. It keeps no waker: whoever fills the queue
    /// polls the copy right afterwards.
    fn poll_next(&self) -> Poll<Option<Bytes>> {
        let mut state = self.lock();
        match state.0.pop_front() {
            Some(chunk) => Poll::Ready(Some(chunk)),
            None if state.1 => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl<N: Store, F: Store> Tiered<N, F> {
    /// Returns `far`, which is copied while it is read.
    pub(super) async fn copied(&self, key: Key, mut far: Hit, ticket: Ticket) -> Hit {
        let queue = Arc::<Queue>::default();
        let head = Head::clone(&far.head).without_notes();
        let mut copy: Copying =
            Box::pin(self.near_only().copy(key, head, far.version, queue.clone(), ticket));
        if far.body.is_streamed() {
            let len = far.body.len();
            let copy = Some((copy, queue));
            let body = Copied { body: far.body, copy, unfinished: self.unfinished.clone() };
            far.body = StoredBody::from_stream(len, body);
            return far;
        }
        // A body in memory is copied without a reader.
        let mut whole = Bytes::new();
        if let Poll::Ready(Some(Ok(chunk))) =
            far.body.poll_chunk(&mut Context::from_waker(Waker::noop()))
        {
            whole = chunk;
        }
        queue.push(whole.clone(), true);
        far.body = whole.into();
        let is_done = poll_fn(|cx| Poll::Ready(copy.as_mut().poll(cx).is_ready())).await;
        if !is_done {
            self.unfinished.add(copy);
        }
        far
    }

    /// What a copy needs. It must not hold the list of unfinished copies, which may hold the copy.
    fn near_only(&self) -> Tiered<N, ()> {
        let Self { near, max_body, ttl, generations, counters, .. } = self.clone();
        let unfinished = Arc::default();
        Tiered { near, far: (), max_body, ttl, generations, unfinished, counters }
    }
}

impl<N: Store> Tiered<N, ()> {
    async fn copy(
        self,
        key: Key,
        head: Head,
        version: Version,
        queue: Arc<Queue>,
        mut ticket: Ticket,
    ) {
        if let Err(error) = self.try_copy(&key, head, version, &queue, &mut ticket).await {
            self.near_failed("copy", &key, &error);
        }
    }

    async fn try_copy(
        &self,
        key: &Key,
        head: Head,
        version: Version,
        queue: &Queue,
        ticket: &mut Ticket,
    ) -> Result<()> {
        let trailers = head.trailers().cloned();
        let mut writer = self.near.put(key, head).await?;
        while let Some(chunk) = poll_fn(|_| queue.poll_next()).await {
            writer.write(chunk).await?;
        }
        if self.publish(key, writer, trailers, Some(version), ticket).await? {
            self.counters.copies.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl<N: Store, F> Tiered<N, F> {
    /// Publishes a near entry, unless it is outdated. Returns whether it was published and still
    /// counts.
    pub(super) async fn publish(
        &self,
        key: &Key,
        writer: N::Writer,
        trailers: Option<http::HeaderMap>,
        far: Option<Version>,
        ticket: &mut Ticket,
    ) -> Result<bool> {
        let (instance, number, at) =
            (self.generations.instance(), ticket.number(), self.ttl.clock.now());
        let trailers = Annotation { far, instance, number, at }.add_to(trailers)?;
        if !ticket.begin_publishing(far.is_some()) {
            return Ok(false);
        }
        let finished = writer.finish(Some(trailers)).await;
        ticket.end_publishing();
        finished?;
        let change = self.generations.changed(key);
        if ticket.counts() {
            // It replaced an entry that did not count.
            self.generations.cleaned(key, change);
            return Ok(true);
        }
        // It was outdated while it was published. Remove it before anybody reads it.
        let _current = self.near_entry(key).await;
        Ok(false)
    }
}

/// A body that feeds a copy while it is read. If it is dropped before its end, it drops the copy.
struct Copied {
    body: StoredBody,
    copy: Option<(Copying, Arc<Queue>)>,
    unfinished: Arc<Unfinished>,
}

impl Stream for Copied {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let chunk = ready!(this.body.poll_chunk(cx));
        let Some((mut copy, queue)) = this.copy.take() else { return Poll::Ready(chunk) };
        if let Some(Ok(chunk)) = &chunk {
            let is_last = this.body.is_empty();
            queue.push(chunk.clone(), is_last);
            match copy.as_mut().poll(cx) {
                // Done or failed.
                Poll::Ready(()) => {}
                Poll::Pending if is_last => this.unfinished.add(copy),
                Poll::Pending => this.copy = Some((copy, queue)),
            }
        }
        Poll::Ready(chunk)
    }
}
