//! Scans: first the entries that only the near tier has, then the far tier.

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
    generations::Generations,
};
use crate::{
    key::Key,
    store::{ErrorKind, Result, Scanned},
};

pin_project! {
    /// Lists each key once. Copies are skipped, since the far tier lists their originals.
    pub(super) struct Both<N, F> {
        #[pin]
        near: N,
        #[pin]
        far: F,
        is_near_done: bool,
        generations: Arc<Generations>,
        // Keys of entries that only the near tier has, and that hide entries of the far tier.
        own: HashSet<Key>,
    }
}

impl<N, F> Both<N, F> {
    pub(super) fn new(near: N, far: F, generations: Arc<Generations>) -> Self {
        Self { near, far, is_near_done: false, generations, own: HashSet::new() }
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
            let own = item.map(|item| own(this.generations, item));
            match own {
                Ok(None) => {}
                Ok(Some(item)) => {
                    this.own.insert(item.key);
                    return Poll::Ready(Some(Ok(item)));
                }
                // A damaged copy is not read either; the far tier has the original.
                Err(error) if error.kind() == ErrorKind::Corrupt => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
        loop {
            match ready!(this.far.as_mut().poll_next(cx)) {
                Some(Ok(item)) if this.own.contains(&item.key) => {}
                item => return Poll::Ready(item),
            }
        }
    }
}

/// Returns the item if only the near tier has the entry.
fn own(generations: &Generations, item: Scanned) -> Option<Scanned> {
    let key = item.key;
    let annotation = Annotation::of(&item.head, item.notes_read);
    let is_own = match &annotation {
        Some(annotation) => annotation.far.is_none() && generations.counts(&key, annotation),
        None => generations.changed(&key) == 0,
    };
    let notes_read = item.head.notes().len().min(item.notes_read + 1);
    is_own.then(|| Scanned { version: shown(annotation, item.version), notes_read, ..item })
}
