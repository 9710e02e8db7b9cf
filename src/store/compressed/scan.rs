//! Listing: the heads as they were given.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use pin_project_lite::pin_project;

use super::format::unmarked;
use crate::store::{Result, Scanned};

pin_project! {
    /// The items of a scan without the wrapper's notes.
    pub(super) struct Unmarked<T> {
        #[pin]
        scan: T,
    }
}

impl<T> Unmarked<T> {
    pub(super) fn new(scan: T) -> Self {
        Self { scan }
    }
}

impl<T: Stream<Item = Result<Scanned>>> Stream for Unmarked<T> {
    type Item = Result<Scanned>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.project().scan.poll_next(cx));
        Poll::Ready(item.map(|item| {
            let Scanned { key, version, head, .. } = item?;
            Ok(Scanned::new(key, version, unmarked(&key, head)?.0))
        }))
    }
}
