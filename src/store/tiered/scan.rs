//! Scans: first the entries that the near tier answers with, then the others of the far tier.
//!
//! The near tier's copies are listed, and not only their originals: a copy may be read although the
//! far tier has evicted its original. For the same reason, nothing is copied during a scan.

use std::{
    collections::HashSet,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use pin_project_lite::pin_project;

use super::{
    annotation::{Annotation, shown},
    generations::{Generations, ManyTicket},
    ttl::NearTtl,
};
use crate::{
    key::Key,
    store::{ErrorKind, Result, Scanned},
};

pin_project! {
    /// Lists each key once.
    pub(super) struct Both<N, F> {
        #[pin]
        near: N,
        #[pin]
        far: F,
        is_near_done: bool,
        generations: Arc<Generations>,
        ticket: Option<ManyTicket>,
        ttl: NearTtl,
        // The keys that the near tier has listed.
        listed: HashSet<Key>,
    }
}

impl<N, F> Both<N, F> {
    /// Lists two tiers. The `ticket` was there before they were asked.
    pub(super) fn new(
        ticket: ManyTicket,
        (near, far): (N, F),
        generations: Arc<Generations>,
        ttl: NearTtl,
    ) -> Self {
        let listed = HashSet::new();
        Self { near, far, is_near_done: false, generations, ticket: Some(ticket), ttl, listed }
    }
}

impl<N, F> Stream for Both<N, F>
where
    N: Stream<Item = Result<Scanned>>,
    F: Stream<Item = Result<Scanned>>,
{
    type Item = Result<Scanned>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        while !*this.is_near_done {
            let Some(item) = ready!(this.near.as_mut().poll_next(cx)) else {
                *this.is_near_done = true;
                break;
            };
            match item.map(|item| read_near(this.generations, this.ttl, item)) {
                Ok(None) => {}
                Ok(Some(item)) => {
                    this.listed.insert(item.key);
                    return Poll::Ready(Some(Ok(item)));
                }
                // A damaged copy is not read either; the far tier has the original.
                Err(error) if error.kind() == ErrorKind::Corrupt => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        loop {
            match ready!(this.far.as_mut().poll_next(cx)) {
                Some(Ok(item)) if this.listed.contains(&item.key) => {}
                Some(item) => return Poll::Ready(Some(item)),
                None => {
                    *this.ticket = None;
                    return Poll::Ready(None);
                }
            }
        }
    }
}

/// Returns the item as it is shown, if the near tier answers with it.
fn read_near(generations: &Generations, ttl: &NearTtl, item: Scanned) -> Option<Scanned> {
    let key = item.key;
    let annotation = Annotation::of(&item.head, item.notes_read);
    let is_own = annotation.is_none_or(|annotation| annotation.far.is_none());
    let is_read = generations.counts(&key, annotation.as_ref())
        && (is_own || ttl.allows(annotation.as_ref()));
    let notes_read = item.head.notes().len().min(item.notes_read + 1);
    is_read.then(|| Scanned { version: shown(annotation, item.version), notes_read, ..item })
}
