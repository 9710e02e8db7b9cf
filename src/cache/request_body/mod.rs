//! [`RequestBody`]: the body that the inner service receives. It is the caller's body, or the part
//! that was read for the key, followed by the rest.

use std::{
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::key::{Content, NormalBody};

mod budget;
mod buffered;

pub(crate) use self::budget::Budget;
use self::budget::Held;

pin_project! {
    /// The body of a request as the inner service receives it.
    ///
    /// If the cache does not need the body, this is the caller's body, untouched and unbuffered. If
    /// the body is part of the key, this is the part that the cache has read, followed by the rest,
    /// or by the error with which the body ended. The inner service receives the same bytes,
    /// trailers and error that the caller's body gives.
    #[derive(Clone)]
    pub struct RequestBody<B: Body> {
        // The bound is here because the struct holds the body's error until its turn.
        chunks: Vec<Bytes>,
        // How many of the chunks have been passed on.
        sent: usize,
        trailers: Option<Box<HeaderMap>>,
        error: Option<B::Error>,
        held: Option<Arc<Held>>,
        #[pin]
        rest: Rest<B>,
    }
}

pin_project! {
    #[project = RestProj]
    #[derive(Clone)]
    enum Rest<B> {
        Ended,
        Untouched { #[pin] body: B },
        // A body that has been polled may not move any more, so it was boxed before that.
        Begun { body: Pin<Box<B>> },
    }
}

/// What was read of a body for the key. It counts for the bound of all bodies while it is held.
#[derive(Clone, Default)]
pub(crate) struct ReadBody {
    chunks: Vec<Bytes>,
    trailers: Option<Box<HeaderMap>>,
    normal: Option<NormalBody>,
    _held: Option<Arc<Held>>,
}

impl ReadBody {
    pub(crate) fn content(&self) -> Content<'_> {
        let Self { chunks, trailers, normal, .. } = self;
        Content { chunks, trailers: trailers.as_deref(), normal: *normal }
    }

    /// Adds the normalised body, which replaces the bytes in the key. It is computed once, since a
    /// request may need several keys.
    pub(crate) fn normalized(
        mut self,
        normal: impl FnOnce(&[Bytes]) -> Option<NormalBody>,
    ) -> Self {
        self.normal = normal(&self.chunks);
        self
    }
}

impl<B: Body> RequestBody<B> {
    /// The caller's body, if the cache has not touched it: the request bypassed the cache, or the
    /// body is empty. Otherwise `wrap` makes such a body. That is the case for a body that the
    /// cache has read from, and for a request that the cache itself sends in the background.
    ///
    /// This is for clients with a body type of their own, which can do more with their own body
    /// than with a wrapped one. For example, reqwest sends its own body again after a redirect, or
    /// when a server refuses an HTTP/2 stream. [`guide::reqwest`](crate::guide::reqwest) has a
    /// program.
    pub fn into_inner_or_else(self, wrap: impl FnOnce(Self) -> B) -> B {
        // Nothing was read from an untouched body.
        match self.rest {
            Rest::Untouched { body } => body,
            rest => wrap(Self { rest, ..self }),
        }
    }
}

impl<B: Body<Data = Bytes>> RequestBody<B> {
    /// The caller's body, unread.
    pub(crate) fn untouched(body: B) -> Self {
        Self::with_rest(Rest::Untouched { body })
    }

    /// A body that has ended.
    pub(crate) fn ended() -> Self {
        Self::with_rest(Rest::Ended)
    }

    fn with_rest(rest: Rest<B>) -> Self {
        Self { chunks: Vec::new(), sent: 0, trailers: None, error: None, held: None, rest }
    }

    /// What was read, for as long as the request needs it.
    pub(crate) fn read(&self) -> ReadBody {
        let (chunks, trailers) = (self.chunks.clone(), self.trailers.clone());
        ReadBody { chunks, trailers, normal: None, _held: self.held.clone() }
    }

    /// The same body for another call. It contains what was read for the key.
    pub(crate) fn for_another_call(&self) -> Self {
        let mut again = Self::ended();
        again.chunks.clone_from(&self.chunks);
        again.trailers.clone_from(&self.trailers);
        again.held.clone_from(&self.held);
        again
    }

    fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.chunks.push(chunk);
        }
    }
}

impl<B: Body<Data = Bytes>> Body for RequestBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        if let Some(chunk) = this.chunks.get_mut(*this.sent).map(mem::take) {
            *this.sent += 1;
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if let Some(trailers) = this.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(*trailers))));
        }
        if let Some(error) = this.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let frame = match this.rest.as_mut().project() {
            RestProj::Ended => return Poll::Ready(None),
            RestProj::Untouched { body } => return body.poll_frame(cx),
            RestProj::Begun { body } => ready!(body.as_mut().poll_frame(cx)),
        };
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.sent == self.chunks.len()
            && self.trailers.is_none()
            && self.error.is_none()
            && match &self.rest {
                Rest::Ended => true,
                Rest::Untouched { body } => body.is_end_stream(),
                Rest::Begun { body } => body.is_end_stream(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        let read: u64 = self.chunks.iter().map(|chunk| chunk.len() as u64).sum();
        let rest = match &self.rest {
            Rest::Ended if self.error.is_none() => SizeHint::with_exact(0),
            Rest::Ended => SizeHint::new(),
            Rest::Untouched { body } => body.size_hint(),
            Rest::Begun { body } => body.size_hint(),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(read));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(read)) {
            hint.set_upper(upper);
        }
        hint
    }
}

impl<B: Body<Data = Bytes> + Default> Default for RequestBody<B> {
    fn default() -> Self {
        Self::untouched(B::default())
    }
}

impl<B: Body> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the bytes, since a request body may be a password.
        f.debug_struct("RequestBody")
            .field("chunks_read", &self.chunks.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
