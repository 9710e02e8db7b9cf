//! The body of a stored entry: one chunk where it is small or in memory, else a stream of chunks with a known length.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use futures_core::Stream;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use sync_wrapper::SyncWrapper;

use super::{Error, ErrorKind, Result};

type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// The body of a stored entry, to be read once as a stream of chunks.
///
/// It yields exactly [`len`](StoredBody::len) bytes or an error: a store whose stream ends early or runs on is caught
/// here, so that a short body never passes for a whole one. Cheap for what is in memory already: a [`Bytes`] is handed
/// on as it is.
///
/// It is a [`Stream`] of its bytes, for stores, and a [`Body`] with its trailers behind them, for those who read it.
pub struct StoredBody {
    left: u64,
    source: Source,
    trailers: Option<Box<HeaderMap>>,
}

enum Source {
    Bytes(Bytes),
    // `Sync` costs nothing here and lets the response body be `Sync` where the inner service's is.
    Stream(SyncWrapper<Chunks>),
    Ended,
}

impl StoredBody {
    /// An empty body.
    #[must_use]
    pub fn empty() -> Self {
        Self { left: 0, source: Source::Ended, trailers: None }
    }

    /// A body of `len` bytes that `chunks` will yield. Empty chunks are passed over.
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

    /// The same body with these trailers behind it. A store need not care: the cache takes them from the head.
    #[must_use]
    pub fn with_trailers(mut self, trailers: Option<HeaderMap>) -> Self {
        self.trailers = trailers.map(Box::new);
        self
    }

    /// `len` bytes of the body from `first` on, which it has, without its trailers.
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

    /// How many bytes are still to come.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.left
    }

    /// Whether no bytes are to come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Whether the body is not in memory already.
    pub(crate) fn is_streamed(&self) -> bool {
        matches!(self.source, Source::Stream(_))
    }

    /// The next chunk, never an empty one; `None` once every byte has been yielded.
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
                    // Anything behind the last byte would be the store's fault; nobody waits to find out.
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
                    None => Err(wrong_length("ends before the length its head says")),
                };
                self.source = Source::Ended;
                return Poll::Ready(Some(chunk));
            },
        }
    }
}

/// Some of the bytes of a body. Those before them are read and passed over, those behind them are not read.
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

impl Stream for StoredBody {
    type Item = Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_chunk(cx)
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
                // A body that broke off has no end for trailers to stand behind.
                self.trailers = None;
                Some(Err(error))
            }
            None => self.trailers.take().map(|trailers| Ok(Frame::trailers(*trailers))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.is_empty() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
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

    fn read(body: StoredBody) -> Vec<Result<Bytes>> {
        body.collect().now_or_never().expect("in-memory bodies never wait")
    }

    fn streamed(len: u64, chunks: &'static [&'static [u8]]) -> StoredBody {
        StoredBody::from_stream(
            len,
            stream::iter(chunks.iter().map(|chunk| Ok(Bytes::from_static(chunk)))),
        )
    }

    #[test]
    fn a_body_that_ends_early_or_late_is_an_error() {
        assert!(read(streamed(5, &[b"abc"])).pop().unwrap().is_err());
        assert!(read(streamed(2, &[b"abc"])).pop().unwrap().is_err());
        assert!(read(streamed(5, &[b"abc", b"", b"de"])).iter().all(Result::is_ok));
    }

    #[test]
    fn a_part_that_the_body_has_not_is_what_it_has() {
        let bodies = [(0, 9), (2, 9), (3, 1), (9, 9), (u64::MAX, u64::MAX)];
        let of = |(first, len)| StoredBody::from(Bytes::from_static(b"abc")).part(first, len).len();
        assert_eq!(bodies.map(of), [3, 1, 0, 0, 0]);
    }

    #[test]
    fn a_part_is_those_bytes_and_no_more() {
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
        // What breaks before the part ends is an error, what breaks behind it is not met.
        assert!(read(streamed(10, &[b"abc"]).part(2, 2)).pop().unwrap().is_err());
        assert!(read(streamed(10, &[b"abcd"]).part(2, 2)).iter().all(Result::is_ok));
    }

    #[test]
    fn nothing_comes_after_an_error() {
        let mut body = streamed(2, &[b"abc"]);
        assert!(body.next().now_or_never().flatten().unwrap().is_err());
        assert!(body.next().now_or_never().flatten().is_none());
    }
}
