//! The inner service of every cache, and the requests that every cache gets.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::{BoxFuture, Either, FutureExt};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use tower::Service;

pub type Request = http::Request<Full<Bytes>>;

/// A GET with four headers. Every `item` is another URL.
pub fn request(item: usize) -> Request {
    http::Request::get(format!("http://origin.example/items/{item}"))
        .header(header::HOST, "origin.example")
        .header(header::ACCEPT, "application/json")
        .header(header::ACCEPT_ENCODING, "gzip, br")
        .header(header::USER_AGENT, "peers/0")
        .body(Full::default())
        .expect("a valid request")
}

/// The inner service. It answers every request with the same response, which any cache may keep
/// for an hour. It counts its calls and the chunks of its bodies that were read.
#[derive(Clone)]
pub struct Origin(Arc<Inner>);

struct Inner {
    headers: HeaderMap,
    chunk: Bytes,
    chunks: usize,
    delay: Option<Duration>,
    calls: AtomicUsize,
    chunks_read: AtomicUsize,
}

impl Origin {
    /// The body is `chunks` chunks of `size` bytes. The response comes after `delay`.
    pub fn new(size: usize, chunks: usize, delay: Option<Duration>) -> Self {
        let date = httpdate::fmt_http_date(SystemTime::now());
        let headers = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
            (header::CONTENT_LENGTH, HeaderValue::from(size * chunks)),
            (header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600")),
            (header::ETAG, HeaderValue::from_static("\"0123456789abcdef\"")),
            (header::LAST_MODIFIED, HeaderValue::from_static("Sun, 06 Nov 1994 08:49:37 GMT")),
            (header::DATE, HeaderValue::try_from(date).expect("a date is a valid value")),
            (header::SERVER, HeaderValue::from_static("origin")),
            (header::VARY, HeaderValue::from_static("accept-encoding")),
        ];
        Self(Arc::new(Inner {
            headers: HeaderMap::from_iter(headers),
            chunk: vec![b'x'; size].into(),
            chunks,
            delay,
            calls: AtomicUsize::new(0),
            chunks_read: AtomicUsize::new(0),
        }))
    }

    /// The length of a whole body.
    pub fn len(&self) -> usize {
        self.0.chunk.len() * self.0.chunks
    }

    pub fn calls(&self) -> usize {
        self.0.calls.load(Relaxed)
    }

    pub fn chunks_read(&self) -> usize {
        self.0.chunks_read.load(Relaxed)
    }

    pub fn respond(&self) -> Response<OriginBody> {
        self.0.calls.fetch_add(1, Relaxed);
        self.response_with(OriginBody { origin: self.clone(), left: self.0.chunks })
    }

    /// The response with another body.
    pub fn response_with<B>(&self, body: B) -> Response<B> {
        let mut response = Response::new(body);
        response.headers_mut().clone_from(&self.0.headers);
        response
    }

    /// A whole body of one chunk.
    pub fn chunk(&self) -> Bytes {
        self.0.chunk.clone()
    }
}

type Answer = Result<Response<OriginBody>, Infallible>;

// For any request body, since some caches hand on one of their own.
impl<B> Service<http::Request<B>> for Origin {
    type Response = Response<OriginBody>;
    type Error = Infallible;
    type Future = Either<Ready<Answer>, BoxFuture<'static, Answer>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<B>) -> Self::Future {
        let response = self.respond();
        match self.0.delay {
            None => Either::Left(ready(Ok(response))),
            Some(delay) => {
                let later = tokio::time::sleep(delay).map(|()| Ok(response));
                Either::Right(later.boxed())
            }
        }
    }
}

/// A body that has all its chunks ready.
pub struct OriginBody {
    origin: Origin,
    left: usize,
}

impl Body for OriginBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        let inner = &self.origin.0;
        inner.chunks_read.fetch_add(1, Relaxed);
        let chunk = match inner.chunks {
            1 => inner.chunk.clone(),
            // Memory of its own, as a chunk from a socket has: a cache that keeps all chunks then
            // holds the whole body.
            _ => Bytes::copy_from_slice(&inner.chunk),
        };
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.left * self.origin.0.chunk.len()) as u64)
    }
}
