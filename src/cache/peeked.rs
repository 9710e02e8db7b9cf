//! [`Peeked`]: a response body whose start may have been read already. It is used to detect
//! an early failure, to compute an `ETag`, and to feed the tee.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// How many bytes are read ahead at most.
const AHEAD: usize = 64 * 1024;

/// How many frames are read ahead at most.
const AHEAD_FRAMES: usize = 64;

/// A body of the inner service, and the frames that were read of it.
pub(crate) struct Peeked<B: Body> {
    peeked: VecDeque<Frame<Bytes>>,
    body: Pin<Box<B>>,
    has_ended: bool,
    /// The error that follows the frames.
    failed: Option<B::Error>,
    /// What the body said of its length before it was read, without the bytes that were given out.
    hint: SizeHint,
}

impl<B: Body<Data = Bytes>> Peeked<B> {
    /// A body that has not been read.
    pub(crate) fn unread(body: B) -> Self {
        let has_ended = body.is_end_stream();
        let hint = body.size_hint();
        Self { peeked: VecDeque::new(), body: Box::pin(body), has_ended, failed: None, hint }
    }

    /// Reads what is ready.
    fn read_ready(&mut self, cx: &mut Context<'_>) {
        let mut read = 0;
        while !self.has_ended && read < AHEAD && self.peeked.len() < AHEAD_FRAMES {
            match self.body.as_mut().poll_frame(cx) {
                Poll::Pending => break,
                Poll::Ready(None) => self.has_ended = true,
                Poll::Ready(Some(Err(error))) => {
                    self.failed = Some(error);
                    self.has_ended = true;
                }
                Poll::Ready(Some(Ok(frame))) => {
                    read += frame.data_ref().map_or(0, Bytes::len);
                    self.has_ended = self.body.is_end_stream();
                    self.peeked.push_back(frame);
                }
            }
        }
    }

    /// Reads what is ready, and waits for nothing.
    pub(crate) async fn peek_ready(&mut self) {
        poll_fn(|cx| {
            self.read_ready(cx);
            Poll::Ready(())
        })
        .await;
    }

    /// Waits for the first frame, and reads what is ready after it.
    ///
    /// # Errors
    ///
    /// If the body fails within that.
    pub(crate) async fn peek(&mut self) -> Result<(), B::Error> {
        poll_fn(|cx| {
            self.read_ready(cx);
            let has_first = self.has_ended || !self.peeked.is_empty();
            if has_first { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        self.failed.take().map_or(Ok(()), Err)
    }

    /// The chunks of the body, if all of it has been read.
    pub(crate) fn whole(&self) -> Option<impl Iterator<Item = &Bytes>> {
        let is_whole = self.has_ended && self.failed.is_none();
        is_whole.then(|| self.peeked.iter().filter_map(Frame::data_ref))
    }

    /// The trailers, if they have been read already.
    pub(crate) fn trailers(&self) -> Option<&HeaderMap> {
        self.peeked.iter().find_map(Frame::trailers_ref)
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.peeked.pop_front() {
            Some(frame) => {
                let given = frame.data_ref().map_or(0, |chunk| chunk.len() as u64);
                self.hint = less(&self.hint, given);
                Poll::Ready(Some(Ok(frame)))
            }
            None if self.has_ended => Poll::Ready(self.failed.take().map(Err)),
            None => self.body.as_mut().poll_frame(cx),
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        let has_ended = self.has_ended || self.body.is_end_stream();
        self.peeked.is_empty() && self.failed.is_none() && has_ended
    }

    /// What the body said of its length before it was read. A server trusts an exact length more
    /// than `Content-Length`: from what was read ahead of a body that fails, or that is not as long
    /// as its head says, the server would make a response that looks whole.
    pub(crate) fn size_hint(&self) -> SizeHint {
        match (self.peeked.is_empty() && self.failed.is_none(), self.has_ended) {
            (false, _) => self.hint,
            (true, true) => SizeHint::with_exact(0),
            (true, false) => self.body.size_hint(),
        }
    }
}

/// The hint for what is left after `given` bytes.
fn less(hint: &SizeHint, given: u64) -> SizeHint {
    let mut left = SizeHint::new();
    left.set_lower(hint.lower().saturating_sub(given));
    if let Some(upper) = hint.upper() {
        left.set_upper(upper.saturating_sub(given));
    }
    left
}
