//! Scans: heads without annotations.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;
use pin_project_lite::pin_project;

use super::format::without_annotation;
use crate::store::{Result, Scanned};

pin_project! {
    /// The items of a scan without the wrapper's annotations.
    pub(super) struct WithoutAnnotations<T> {
        #[pin]
        scan: T,
    }
}

impl<T> WithoutAnnotations<T> {
    pub(super) fn new(scan: T) -> Self {
        Self { scan }
    }
}

impl<T: Stream<Item = Result<Scanned>>> Stream for WithoutAnnotations<T> {
    type Item = Result<Scanned>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.project().scan.poll_next(cx));
        Poll::Ready(item.map(|item| {
            let Scanned { key, version, head, notes_read } = item?;
            let (head, _) = without_annotation(&key, head)?;
            Ok(Scanned { key, version, head, notes_read })
        }))
    }
}
