//! Reads the body of a request for the key, up to a limit. The result holds no more memory than the
//! body has bytes.

use std::{future::poll_fn, sync::Arc};

use bytes::{Bytes, BytesMut};
use http_body::Body;

use super::{Budget, RequestBody, Rest};
use crate::{policy::RequestCheck, runtime::within, status::Bypass};

/// A body with more frames than this is too large for the key, however short the frames are.
const MAX_FRAMES: usize = 16 * 1024;

/// Chunks of up to this length are copied together. A small chunk may be a slice of a much larger
/// read buffer, and would keep that whole buffer in memory.
const SMALL: usize = 4 * 1024;

impl<B: Body<Data = Bytes>> RequestBody<B> {
    /// Reads `body` for the key: up to `limit` bytes, up to the rest of the `budget`, and as far as
    /// the `check` allows. The returned body contains everything that was read. An `Err` says why
    /// the request must bypass the cache.
    pub(crate) async fn buffered(
        body: B,
        limit: u64,
        budget: &Budget,
        check: RequestCheck,
    ) -> (Self, Result<(), Bypass>) {
        Self::read_frames(body, (limit, MAX_FRAMES), budget, check).await
    }

    /// Reads `body` to its end, however long it is. The `Err` is that of the body.
    #[cfg(feature = "testing")]
    pub(crate) async fn whole(body: B) -> Result<Self, B::Error> {
        let budget = Budget { held: Arc::default(), limit: u64::MAX };
        let (no_limits, check) = ((u64::MAX, usize::MAX), RequestCheck::default());
        let (mut this, _verdict) = Self::read_frames(body, no_limits, &budget, check).await;
        match this.error.take() {
            Some(error) => Err(error),
            None => Ok(this),
        }
    }

    async fn read_frames(
        body: B,
        (limit, max_frames): (u64, usize),
        budget: &Budget,
        mut check: RequestCheck,
    ) -> (Self, Result<(), Bypass>) {
        if body.is_end_stream() {
            // The body stays as it is, since its size hint best says that it is empty.
            return (Self::untouched(body), check.end());
        }
        if body.size_hint().lower() > limit {
            return (Self::untouched(body), Err(Bypass::RequestBodyTooLarge));
        }
        let mut body = Box::pin(body);
        let mut this = Self::with_rest(Rest::Ended);
        let (mut len, mut frames) = (0_u64, 0);
        let mut small = BytesMut::new();
        let mut held = budget.begin();
        let pause = check.longest_pause();
        let verdict = loop {
            let next = within(pause, poll_fn(|cx| body.as_mut().poll_frame(cx)));
            let Some(next) = next.await else {
                this.rest = Rest::Begun { body };
                break Err(check.paused());
            };
            match next {
                None => break check.end(),
                Some(Err(error)) => {
                    this.error = Some(error);
                    break Err(Bypass::RequestBodyFailed);
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(chunk) => {
                        len = len.saturating_add(chunk.len() as u64);
                        frames += 1;
                        let is_within_budget = budget.take(&mut held, chunk.len() as u64);
                        let taken = check.take(&chunk);
                        if chunk.len() <= SMALL {
                            small.extend_from_slice(&chunk);
                        } else {
                            this.push(small.split().freeze());
                            this.push(chunk);
                        }
                        if len.max(check.announced()) > limit || frames > max_frames {
                            this.rest = Rest::Begun { body };
                            break Err(Bypass::RequestBodyTooLarge);
                        }
                        if !is_within_budget {
                            this.rest = Rest::Begun { body };
                            break Err(Bypass::RequestBodiesFull);
                        }
                        if taken.is_err() {
                            this.rest = Rest::Begun { body };
                            break taken;
                        }
                    }
                    Err(frame) => this.trailers = frame.into_trailers().ok().map(Box::new),
                },
            }
        };
        this.push(small.freeze());
        this.held = Some(Arc::new(held));
        (this, verdict)
    }
}
