//! [`RequestBody`]: what the inner service receives: the caller's body, or what was read of it for the key and the rest.

use std::{
    collections::VecDeque,
    fmt,
    future::poll_fn,
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::background::within;
use crate::{key::Content, policy::RequestCheck, status::Bypass};

/// More frames than this are a body too large for the key, however short they are.
const MAX_FRAMES: usize = 16 * 1024;

/// Chunks up to this length are copied together: each may be a slice of a read buffer many times as large, which would be
/// held for it.
const SMALL: usize = 4 * 1024;

pin_project! {
    /// The body of a request as the inner service receives it.
    ///
    /// Where the cache has nothing to do with a request, this is the caller's body, untouched and unbuffered. Where the
    /// body is part of the key, this is what was read of it, then the rest, or the error with which it ended: the same
    /// bytes, trailers and error that the caller's body gives.
    #[derive(Clone)]
    pub struct RequestBody<B: Body> {
        // The bound stands here because the error, whose type is the body's, waits here for its turn.
        chunks: VecDeque<Bytes>,
        trailers: Option<HeaderMap>,
        error: Option<B::Error>,
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
        // A body that has been polled may not move any more, so it was boxed before it was.
        Begun { body: Pin<Box<B>> },
    }
}

impl<B: Body> RequestBody<B> {
    /// The caller's body, where it is still as the caller gave it: that of a request that went past the cache, and one
    /// that is empty. What the cache has read something of, and what it sends by itself in the background, is made into
    /// such a body by `wrap`.
    ///
    /// For a client with a body type of its own, which can do more with that than with one that is wrapped: reqwest sends
    /// its own bodies once more where a server redirects it or refuses an HTTP/2 stream.
    ///
    /// ```
    /// # use http::Request;
    /// # use larder::RequestBody;
    /// fn for_reqwest(request: Request<RequestBody<reqwest::Body>>) -> Request<reqwest::Body> {
    ///     request.map(|body| body.into_inner_or_else(reqwest::Body::wrap))
    /// }
    /// ```
    pub fn into_inner_or_else(self, wrap: impl FnOnce(Self) -> B) -> B {
        // A body that is untouched has nothing in front of it.
        match self.rest {
            Rest::Untouched { body } => body,
            rest => wrap(Self { rest, ..self }),
        }
    }
}

impl<B: Body<Data = Bytes>> RequestBody<B> {
    /// The body as it is.
    pub(crate) fn untouched(body: B) -> Self {
        Self::with_rest(Rest::Untouched { body })
    }

    /// A body that has ended.
    pub(crate) fn ended() -> Self {
        Self::with_rest(Rest::Ended)
    }

    fn with_rest(rest: Rest<B>) -> Self {
        Self { chunks: VecDeque::new(), trailers: None, error: None, rest }
    }

    /// Reads `body` for the key, up to `limit` bytes, and no further than the `check` allows. Whatever was read is handed
    /// on; an `Err` beside it says why the request has to go past the cache.
    pub(crate) async fn buffered(
        body: B,
        limit: u64,
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
        (this, verdict)
    }

    /// The body for a call, and the same once more, should that be needed.
    pub(crate) fn take_for_call(&mut self) -> (Self, Self) {
        let mut again = Self::ended();
        again.chunks.clone_from(&self.chunks);
        again.trailers.clone_from(&self.trailers);
        (mem::replace(self, Self::ended()), again)
    }

    fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.chunks.push_back(chunk);
        }
    }

    /// What was read, for the key.
    pub(crate) fn content(&mut self) -> Content<'_> {
        Content { chunks: self.chunks.make_contiguous(), trailers: self.trailers.as_ref() }
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
        if let Some(chunk) = this.chunks.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if let Some(trailers) = this.trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
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
        self.chunks.is_empty()
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
        // Never the bytes: a request body may well be a password.
        f.debug_struct("RequestBody")
            .field("chunks_read", &self.chunks.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt, stream};
    use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};

    use super::*;
    use crate::policy::{GrpcMethods, Rules, Scope};

    type Frames = Vec<Result<Frame<Bytes>, &'static str>>;

    fn body(frames: Frames) -> impl Body<Data = Bytes, Error = &'static str> + Send {
        StreamBody::new(stream::iter(frames))
    }

    fn data(text: &'static str) -> Result<Frame<Bytes>, &'static str> {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    fn buffered<B: Body<Data = Bytes>>(
        body: B,
        limit: u64,
    ) -> (RequestBody<B>, Result<(), Bypass>) {
        RequestBody::buffered(body, limit, RequestCheck::default()).now_or_never().unwrap()
    }

    async fn read<B: Body<Data = Bytes>>(
        body: B,
    ) -> (Vec<u8>, Option<HeaderMap>, Option<B::Error>) {
        let mut body = std::pin::pin!(body);
        let (mut bytes, mut trailers) = (Vec::new(), None);
        while let Some(frame) = body.frame().await {
            match frame.map(Frame::into_data) {
                Ok(Ok(chunk)) => bytes.extend_from_slice(&chunk),
                Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
                Err(error) => return (bytes, trailers, Some(error)),
            }
        }
        (bytes, trailers, None)
    }

    #[test]
    fn a_whole_body_is_handed_on_with_its_trailers() {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "1".parse().unwrap());
        let (mut body, verdict) =
            buffered(body(vec![data("ab"), data("cd"), Ok(Frame::trailers(trailers.clone()))]), 4);
        assert_eq!(verdict, Ok(()));
        assert_eq!(body.content().chunks.concat(), b"abcd");
        assert_eq!(body.size_hint().exact(), Some(4));
        assert!(!body.is_end_stream());
        assert_eq!(read(body).now_or_never().unwrap(), (b"abcd".to_vec(), Some(trailers), None));
    }

    #[test]
    fn past_the_limit_the_very_same_bytes_are_handed_on() {
        let (body, verdict) = buffered(body(vec![data("ab"), data("cde"), data("fg")]), 4);
        assert_eq!(verdict, Err(Bypass::RequestBodyTooLarge));
        assert_eq!(read(body).now_or_never().unwrap().0, b"abcdefg");

        let (body, verdict) = buffered(Full::new(Bytes::from_static(b"abcdefg")), 4);
        assert_eq!(verdict, Err(Bypass::RequestBodyTooLarge));
        assert_eq!(body.size_hint().exact(), Some(7));
    }

    #[test]
    fn an_error_comes_after_what_came_before_it() {
        let (body, verdict) = buffered(body(vec![data("ab"), Err("broken")]), 4);
        assert_eq!(verdict, Err(Bypass::RequestBodyFailed));
        assert!(!body.is_end_stream() && body.size_hint().exact().is_none());
        assert_eq!(read(body).now_or_never().unwrap(), (b"ab".to_vec(), None, Some("broken")));
    }

    #[test]
    fn endless_empty_frames_do_not_fill_memory() {
        let endless = StreamBody::new(stream::repeat_with(|| data("")));
        let (body, verdict) = buffered(endless, 4);
        assert_eq!(verdict, Err(Bypass::RequestBodyTooLarge));
        assert!(body.chunks.is_empty());
    }

    #[test]
    fn short_chunks_do_not_hold_on_to_the_buffers_they_came_in() {
        let buffer = Bytes::from(vec![b'x'; 1 << 20]);
        let chunks: Frames = (0..1_000).map(|n| Ok(Frame::data(buffer.slice(n..n + 1)))).collect();
        let (body, verdict) = buffered(body(chunks), 1 << 20);
        assert_eq!((verdict, body.chunks.len()), (Ok(()), 1));
        assert!(buffer.try_into_mut().is_ok(), "something holds the buffer");
    }

    /// What a cache for gRPC asks of bodies.
    fn unary() -> RequestCheck {
        let mut rules = Rules::new(Scope::Private);
        rules.use_grpc(GrpcMethods::new(["/**"]).unwrap());
        rules.request_check()
    }

    fn message<B: Body<Data = Bytes>>(body: B, limit: u64) -> (RequestBody<B>, Result<(), Bypass>) {
        RequestBody::buffered(body, limit, unary()).now_or_never().unwrap()
    }

    #[test]
    fn one_grpc_message_is_read_and_no_more() {
        let whole = || [data("\0\0\0\0"), data("\x02a"), data("b")];
        let (read_body, verdict) = message(body(whole().into()), 100);
        assert_eq!(verdict, Ok(()));
        assert_eq!(read(read_body).now_or_never().unwrap().0, b"\0\0\0\0\x02ab");

        let endless = stream::iter(whole()).chain(stream::repeat_with(|| data("more")));
        let (mut begun, verdict) = message(StreamBody::new(endless), u64::MAX);
        assert_eq!(verdict, Err(Bypass::NotUnary));
        assert_eq!(begun.content().chunks.concat(), b"\0\0\0\0\x02abmore");

        for short in [vec![], vec![data("\0\0\0\0\x02a")]] {
            let bytes = short.len() * 6;
            let (cut, verdict) = message(body(short), 100);
            assert_eq!(verdict, Err(Bypass::NotUnary));
            assert_eq!(read(cut).now_or_never().unwrap().0.len(), bytes);
        }
        assert_eq!(message(http_body_util::Empty::<Bytes>::new(), 1).1, Err(Bypass::NotUnary));
    }

    #[test]
    fn a_grpc_message_that_will_be_too_large_is_not_waited_for() {
        let announced = stream::iter([data("\0\0\0\0\x60")]).chain(stream::pending());
        let (mut body, verdict) = message(StreamBody::new(announced.boxed()), 100);
        assert_eq!(verdict, Err(Bypass::RequestBodyTooLarge));
        assert_eq!(body.content().chunks.concat(), b"\0\0\0\0\x60");
    }

    #[cfg(feature = "tokio")]
    #[tokio::test(start_paused = true)]
    async fn a_grpc_request_that_pauses_is_let_go_with_what_was_read() {
        for begun in [vec![], vec![data("\0\0\0\0\x01a")]] {
            let bytes = begun.len() * 6;
            let paused = StreamBody::new(stream::iter(begun).chain(stream::pending()));
            let before = tokio::time::Instant::now();
            let pause = unary().longest_pause().unwrap();
            let (mut body, verdict) = RequestBody::buffered(paused, 100, unary()).await;
            assert_eq!((verdict, before.elapsed()), (Err(Bypass::NotUnary), pause));
            assert_eq!(body.content().chunks.concat().len(), bytes);
        }
    }

    #[test]
    fn an_untouched_body_is_given_back_and_a_read_one_is_wrapped() {
        type Wrapped = UnsyncBoxBody<Bytes, &'static str>;
        let len = |body: RequestBody<Wrapped>| {
            let mut wrapped = false;
            let body = body.into_inner_or_else(|body| {
                wrapped = true;
                body.boxed_unsync()
            });
            (wrapped, read(body).now_or_never().unwrap().0.len())
        };
        let three = || body(vec![data("ab"), data("cd"), data("ef")]).boxed_unsync();
        assert_eq!(len(RequestBody::untouched(three())), (false, 6));
        let empty = Full::default().map_err(|never| match never {}).boxed_unsync();
        assert_eq!(len(buffered(empty, 4).0), (false, 0));
        // Read whole, read in part, and none at all.
        assert_eq!(len(buffered(three(), 6).0), (true, 6));
        assert_eq!(len(buffered(three(), 3).0), (true, 6));
        assert_eq!(len(RequestBody::ended()), (true, 0));
    }

    #[test]
    fn debug_shows_no_content() {
        let (body, _) = buffered(body(vec![data("password")]), 100);
        assert_eq!(format!("{body:?}"), "RequestBody { chunks_read: 1, .. }");
    }
}
