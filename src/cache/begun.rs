//! A response body of which something may have been read already: to see whether it breaks off at once, while there is
//! still another answer to give.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

/// How much is read ahead of what is there at once.
const AHEAD: usize = 64 * 1024;

/// In no more frames than this.
const AHEAD_FRAMES: usize = 64;

/// An inner service's body, and what was read of it.
pub(crate) struct Begun<B: Body> {
    ahead: VecDeque<Frame<Bytes>>,
    body: Pin<Box<B>>,
    has_ended: bool,
}

impl<B: Body<Data = Bytes>> Begun<B> {
    /// The body as it is, unread.
    pub(crate) fn unread(body: B) -> Self {
        let has_ended = body.is_end_stream();
        Self { ahead: VecDeque::new(), body: Box::pin(body), has_ended }
    }

    /// Waits for the first frame, and takes what is there at once behind it.
    ///
    /// # Errors
    ///
    /// If the body breaks off within that.
    pub(crate) async fn ahead(&mut self) -> Result<(), B::Error> {
        let mut read = 0;
        while !self.has_ended && read < AHEAD && self.ahead.len() < AHEAD_FRAMES {
            let has_begun = !self.ahead.is_empty();
            let next = poll_fn(|cx| match self.body.as_mut().poll_frame(cx) {
                Poll::Pending if has_begun => Poll::Ready(None),
                frame => frame.map(Some),
            });
            match next.await {
                None => break,
                Some(None) => self.has_ended = true,
                Some(Some(Err(error))) => return Err(error),
                Some(Some(Ok(frame))) => {
                    read += frame.data_ref().map_or(0, Bytes::len);
                    self.has_ended = self.body.is_end_stream();
                    self.ahead.push_back(frame);
                }
            }
        }
        Ok(())
    }

    /// The trailers, where they have been read already.
    pub(crate) fn trailers(&self) -> Option<&HeaderMap> {
        self.ahead.iter().find_map(Frame::trailers_ref)
    }

    pub(crate) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.ahead.pop_front() {
            Some(frame) => Poll::Ready(Some(Ok(frame))),
            None if self.has_ended => Poll::Ready(None),
            None => self.body.as_mut().poll_frame(cx),
        }
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.ahead.is_empty() && (self.has_ended || self.body.is_end_stream())
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let ahead: u64 =
            self.ahead.iter().filter_map(Frame::data_ref).map(|chunk| chunk.len() as u64).sum();
        let rest = if self.has_ended { SizeHint::with_exact(0) } else { self.body.size_hint() };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(ahead));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(ahead)) {
            hint.set_upper(upper);
        }
        hint
    }
}
