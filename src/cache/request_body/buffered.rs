//! Reading the body of a request for the key: up to a limit, and in a form that holds no more memory than the body has
//! bytes.

use std::{future::poll_fn, sync::Arc};

use bytes::{Bytes, BytesMut};
use http_body::Body;

use super::{Budget, RequestBody, Rest};
use crate::{policy::RequestCheck, runtime::within, status::Bypass};

/// More frames than this are a body too large for the key, however short they are.
const MAX_FRAMES: usize = 16 * 1024;

/// Chunks up to this length are copied together: each may be a slice of a read buffer many times as large, which would be
/// held for it.
const SMALL: usize = 4 * 1024;

impl<B: Body<Data = Bytes>> RequestBody<B> {
    /// Reads `body` for the key, up to `limit` bytes, the rest of the `budget`, and as far as the
    /// `check` allows. Whatever was read is handed on; an `Err` beside it says why the request has
    /// to go past the cache.
    pub(crate) async fn buffered(
        body: B,
        limit: u64,
        budget: &Budget,
        mut check: RequestCheck,
    ) -> (Self, Result<(), Bypass>) {
        if body.is_end_stream() {
            // Kept as it is, since its size hint says "nothing" best.
            return (Self::untouched(body), check.end());
        }
        if body.size_hint().lower() > limit {
            return (Self::untouched(body), Err(Bypass::RequestBodyTooLarge));
        }
        let mut body = Box::pin(body);
        let mut this = Self::with_rest(Rest::Ended);
        let (mut len, mut frames) = (0_u64, 0);
        let mut small = BytesMut::new();
        let mut share = budget.share();
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
                        let is_within_budget = budget.take(&mut share, chunk.len() as u64);
                        let taken = check.take(&chunk);
                        if chunk.len() <= SMALL {
                            small.extend_from_slice(&chunk);
                        } else {
                            this.push(small.split().freeze());
                            this.push(chunk);
                        }
                        if len.max(check.announced()) > limit || frames > MAX_FRAMES {
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
                    Err(frame) => this.trailers = frame.into_trailers().ok(),
                },
            }
        };
        this.push(small.freeze());
        this.share = Some(Arc::new(share));
        (this, verdict)
    }
}
