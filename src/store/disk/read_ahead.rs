//! Streams that read ahead.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_core::Stream;

use super::task::Task;
use crate::store::Result;

/// How many chunks of a body are read at a time. As many again are read ahead.
pub(in crate::store) const AHEAD: usize = 4;

/// How many entries are listed at a time, and at most how many bytes of heads. As many again are
/// read ahead.
pub(in crate::store) const PAGE: usize = 256;
pub(in crate::store) const PAGE_BYTES: usize = 1 << 20;

/// What is left to read, and what was read.
pub(in crate::store) type Page<R, T> = (Option<R>, VecDeque<Result<T>>);

/// Items that are read some at a time. The next ones are read while the caller uses the last ones.
pub(in crate::store) struct ReadAhead<R, T, F> {
    ready: VecDeque<Result<T>>,
    ahead: Option<Task<Page<R, T>>>,
    rest: Option<R>,
    /// Begins to read the next items. It keeps the store open.
    read: F,
}

impl<R, T, F> ReadAhead<R, T, F>
where
    F: FnMut(R) -> Task<Page<R, T>>,
{
    /// Returns the items in `ready`, and then those in `rest`.
    pub(in crate::store) fn new(ready: VecDeque<Result<T>>, rest: R, read: F) -> Self {
        Self { ready, ahead: None, rest: Some(rest), read }
    }
}

impl<R, T, F> Stream for ReadAhead<R, T, F>
where
    R: Unpin,
    T: Unpin,
    F: FnMut(R) -> Task<Page<R, T>> + Unpin,
{
    type Item = Result<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(rest) = this.rest.take() {
                this.ahead = Some((this.read)(rest));
            }
            if let Some(item) = this.ready.pop_front() {
                return Poll::Ready(Some(item));
            }
            let Some(ahead) = &mut this.ahead else { return Poll::Ready(None) };
            let result = ready!(Pin::new(ahead).poll(cx));
            this.ahead = None;
            match result {
                Ok((rest, ready)) => (this.rest, this.ready) = (rest, ready),
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}
