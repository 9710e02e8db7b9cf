//! The body of a stored entry: one chunk if it is small or in memory, else a stream of chunks with
//! a known length.

use std::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use futures_core::Stream;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use sync_wrapper::SyncWrapper;

use super::{Error, ErrorKind, Result};

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// How much memory [`StoredBody::bytes`] reserves at once for bytes that have not come yet.
const MOST_RESERVED: usize = 1 << 20;

/// The body of a stored entry. It can be read once.
///
/// A `StoredBody` is a [`Body`]: it yields the bytes, then the trailers if there are any.
/// [`bytes`](StoredBody::bytes) reads it whole, and [`chunk`](StoredBody::chunk) reads the next
/// chunk.
///
/// It yields exactly [`len`](StoredBody::len) bytes, or an error. If the store's stream ends early
/// or yields too much, the body ends in an error of kind [`ErrorKind::Corrupt`], so that a short
/// body is never taken for a whole one. A body that is in memory is one [`Bytes`] and is not
/// copied.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// use larder::store::StoredBody;
///
/// let body = StoredBody::from(bytes::Bytes::from("a body"));
/// assert_eq!(body.bytes().await?, "a body");
/// # Ok::<(), larder::store::Error>(())
/// # }).unwrap();
/// ```
pub struct StoredBody {
    left: u64,
    source: Source,
    trailers: Option<Box<HeaderMap>>,
}

enum Source {
    Bytes(Bytes),
    // The wrapper makes the body `Sync`, so that a response body can be.
    Stream(SyncWrapper<Chunks>),
    Ended,
}

impl StoredBody {
    /// Creates an empty body.
    #[must_use]
    pub fn empty() -> Self {
        Self { left: 0, source: Source::Ended, trailers: None }
    }

    /// Creates a body of `len` bytes from a stream of chunks. Empty chunks are skipped.
    pub fn from_stream(
        len: u64,
        chunks: impl Stream<Item = Result<Bytes>> + Send + 'static,
    ) -> Self {
        Self {
            source: Source::Stream(SyncWrapper::new(Box::pin(chunks))),
            left: len,
            trailers: None,
        }
    }

    /// Returns the same body with these trailers after it. A store need not call this: the cache
    /// takes the trailers from the head.
    #[must_use]
    pub fn with_trailers(mut self, trailers: Option<HeaderMap>) -> Self {
        self.trailers = trailers.map(Box::new);
        self
    }

    /// Returns `len` bytes of the body from `first` on, without the trailers. The body must have
    /// them.
    pub(crate) fn part(self, first: u64, len: u64) -> Self {
        match self.source {
            Source::Bytes(bytes) => {
                let at =
                    |position| usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
                bytes.slice(at(first)..at(first.saturating_add(len))).into()
            }
            Source::Stream(_) => {
                Self::from_stream(len, Part { whole: self, skip: first, left: len })
            }
            Source::Ended => Self::empty(),
        }
    }

    /// How many bytes have not been read yet.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.left
    }

    /// Whether all bytes have been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Whether the body is not in memory already.
    pub(crate) fn is_streamed(&self) -> bool {
        matches!(self.source, Source::Stream(_))
    }

    /// Reads the whole body.
    ///
    /// The result is held in memory. It is copied only if the body consists of several chunks.
    ///
    /// # Errors
    ///
    /// If the store fails, or the body has a different length than its head says.
    pub async fn bytes(mut self) -> Result<Bytes> {
        let first = match self.chunk().await {
            Some(chunk) => chunk?,
            None => return Ok(Bytes::new()),
        };
        if self.is_empty() {
            return Ok(first);
        }
        // The length is the store's word, and may be wrong.
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(MOST_RESERVED);
        let mut whole = BytesMut::with_capacity(first.len() + len);
        whole.extend_from_slice(&first);
        while let Some(chunk) = self.chunk().await {
            whole.extend_from_slice(&chunk?);
        }
        Ok(whole.freeze())
    }

    /// Reads the next chunk, which is never empty. Returns `None` after the last byte.
    ///
    /// # Errors
    ///
    /// If the store fails, or the body has a different length than its head says. Nothing comes
    /// after an error.
    pub async fn chunk(&mut self) -> Option<Result<Bytes>> {
        poll_fn(|cx| self.poll_chunk(cx)).await
    }

    /// Polls for the next chunk, which is never empty. Returns `None` after the last byte.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        match &mut self.source {
            Source::Ended => Poll::Ready(None),
            Source::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                self.left = 0;
                self.source = Source::Ended;
                Poll::Ready(Some(Ok(bytes)))
            }
            Source::Stream(chunks) => loop {
                if self.left == 0 {
                    // Whether the store has more is not looked at: that may take a read.
                    self.source = Source::Ended;
                    return Poll::Ready(None);
                }
                let chunk = match ready!(chunks.get_mut().as_mut().poll_next(cx)) {
                    Some(Ok(chunk)) if chunk.is_empty() => continue,
                    Some(Ok(chunk)) if chunk.len() as u64 <= self.left => {
                        self.left -= chunk.len() as u64;
                        return Poll::Ready(Some(Ok(chunk)));
                    }
                    Some(Ok(_)) => Err(wrong_length("is longer than its head says")),
                    Some(Err(error)) => Err(error),
                    None => Err(wrong_length("ends before the length that its head says")),
                };
                self.source = Source::Ended;
                return Poll::Ready(Some(chunk));
            },
        }
    }
}

/// A part of a body. Bytes before it are read and skipped, and bytes after it are not read.
struct Part {
    whole: StoredBody,
    skip: u64,
    left: u64,
}

impl Stream for Part {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        while self.left > 0 {
            let mut chunk = match ready!(self.whole.poll_chunk(cx)) {
                Some(Ok(chunk)) => chunk,
                other => return Poll::Ready(other),
            };
            let skipped = self.skip.min(chunk.len() as u64);
            chunk.advance(skipped as usize);
            chunk.truncate(self.left.min(chunk.len() as u64) as usize);
            self.skip -= skipped;
            self.left -= chunk.len() as u64;
            if !chunk.is_empty() {
                return Poll::Ready(Some(Ok(chunk)));
            }
        }
        Poll::Ready(None)
    }
}

fn wrong_length(what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, "store", format!("a stored body {what}"))
}

impl From<Bytes> for StoredBody {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            return Self::empty();
        }
        Self { left: bytes.len() as u64, source: Source::Bytes(bytes), trailers: None }
    }
}

impl Body for StoredBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        Poll::Ready(match ready!(self.poll_chunk(cx)) {
            Some(Ok(chunk)) => Some(Ok(Frame::data(chunk))),
            Some(Err(error)) => {
                // A body that failed has no end, so it has no trailers.
                self.trailers = None;
                Some(Err(error))
            }
            None => self.trailers.take().map(|trailers| Ok(Frame::trailers(*trailers))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty() && self.trailers.is_none()
    }

    /// Exact, unless trailers follow: with an exact length, an HTTP/1.1 server would send
    /// `Content-Length` and no trailers.
    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(self.left);
        if self.trailers.is_none() {
            hint.set_upper(self.left);
        }
        hint
    }
}

impl fmt::Debug for StoredBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredBody").field("left", &self.left).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{FutureExt, StreamExt, stream};

    use super::*;

    fn read(mut body: StoredBody) -> Vec<Result<Bytes>> {
        stream::poll_fn(|cx| body.poll_chunk(cx)).collect().now_or_never().unwrap()
    }

    fn streamed(len: u64, chunks: &'static [&'static [u8]]) -> StoredBody {
        StoredBody::from_stream(
            len,
            stream::iter(chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk)))),
        )
    }

    #[test]
    fn bodies_that_end_early_or_late_end_in_an_error() {
        assert!(read(streamed(5, &[b"abc"])).pop().unwrap().is_err());
        assert!(read(streamed(2, &[b"abc"])).pop().unwrap().is_err());
        assert!(read(streamed(5, &[b"abc", b"", b"de"])).iter().all(Result::is_ok));
    }

    #[test]
    fn parts_are_cut_to_what_the_body_has() {
        let bodies = [(0, 9), (2, 9), (3, 1), (9, 9), (u64::MAX, u64::MAX)];
        let of = |(first, len)| StoredBody::from(Bytes::from_static(b"abc")).part(first, len).len();
        assert_eq!(bodies.map(of), [3, 1, 0, 0, 0]);
    }

    #[test]
    fn parts_are_exactly_the_requested_bytes() {
        let whole = b"abcdefghij";
        let bodies = || {
            [
                StoredBody::from(Bytes::from_static(whole)),
                streamed(10, &[b"abc", b"defg", b"", b"hij"]),
                streamed(10, &[b"a", b"bcdefghi", b"j"]),
            ]
        };
        for first in 0..10 {
            for len in 1..=10 - first {
                for body in bodies() {
                    let part = body.part(first as u64, len as u64);
                    assert_eq!(part.len(), len as u64);
                    let bytes: Vec<Bytes> = read(part).into_iter().map(Result::unwrap).collect();
                    assert_eq!(bytes.concat(), whole[first..first + len], "{first} {len}");
                }
            }
        }
        // A failure before the end of the part is an error; a failure after it is not met.
        assert!(read(streamed(10, &[b"abc"]).part(2, 2)).pop().unwrap().is_err());
        assert!(read(streamed(10, &[b"abcd"]).part(2, 2)).iter().all(Result::is_ok));
    }

    #[test]
    fn nothing_comes_after_an_error() {
        let mut body = streamed(2, &[b"abc"]);
        assert!(body.chunk().now_or_never().unwrap().unwrap().is_err());
        assert!(body.chunk().now_or_never().unwrap().is_none());
    }

    #[test]
    fn bytes_reads_the_whole_body_or_fails() {
        let bytes = |body: StoredBody| body.bytes().now_or_never().unwrap();
        assert_eq!(bytes(StoredBody::empty()).unwrap(), "");
        let one = Bytes::from_static(b"abc");
        assert_eq!(bytes(one.clone().into()).unwrap().as_ptr(), one.as_ptr(), "no copy");
        assert_eq!(bytes(streamed(5, &[b"abc", b"", b"de"])).unwrap(), "abcde");
        assert_eq!(bytes(streamed(5, &[b"abc"])).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(bytes(streamed(u64::MAX, &[b"abc"])).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    /// `collect` is ambiguous on a type that is both a `Stream` and a `Body`.
    #[test]
    fn both_extension_traits_can_be_in_scope() {
        use http_body_util::BodyExt;

        let body = streamed(5, &[b"abc", b"de"]).with_trailers(Some(HeaderMap::new()));
        assert_eq!((body.size_hint().lower(), body.size_hint().upper()), (5, None));
        let collected = body.collect().now_or_never().unwrap().unwrap();
        assert!(collected.trailers().is_some());
        assert_eq!(collected.to_bytes(), "abcde");
    }
}
