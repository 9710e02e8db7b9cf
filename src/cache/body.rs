//! [`ResponseBody`]: what the caller receives: the inner service's body, on its way into the store or not, or a stored one;
//! and [`BodyError`], how it may break off.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{begun::Begun, share::SharedBody};
use crate::{
    error::BoxError,
    store::{self, StoredBody},
};

pin_project! {
    /// The body of a response as the caller receives it.
    ///
    /// From the store, its length is exact, and it ends with [`BodyError::Store`] if it could not
    /// be read to its end, never silently short. The answer to a `HEAD` from the store has no body.
    /// Its size hint is the length of the `GET`'s body, if that is known: servers make the
    /// `Content-Length` from it. From the inner service, it is that service's body, trailers and
    /// error included.
    ///
    /// A body that is being stored is published before its end is told, so that whoever has read it to the end finds it
    /// stored. The store may be behind by 256 KiB; one that is slower than that slows its readers down. Several callers
    /// may read the same body: each at its own pace, whoever is hungry asks the inner body for more. One that is far
    /// behind [may have to wait](crate::CacheLayer::coalesce) until the response is stored, and goes on from there.
    pub struct ResponseBody<B: Body> {
        // The bound stands here because the inner body's error waits for its turn behind what came before it.
        #[pin]
        inner: Inner<B>,
    }
}

pin_project! {
    #[project = InnerProj]
    enum Inner<B: Body> {
        Passthrough { #[pin] body: B },
        Begun { begun: Begun<B> },
        Shared { body: SharedBody<B::Error> },
        Stored { #[pin] body: StoredBody },
        Absent { len: Option<u64> },
    }
}

impl<B: Body> ResponseBody<B> {
    /// The inner service's body, untouched.
    pub(crate) fn passthrough(body: B) -> Self {
        Self { inner: Inner::Passthrough { body } }
    }

    /// The inner service's body, of which something has been read, untouched.
    pub(crate) fn begun(begun: Begun<B>) -> Self {
        Self { inner: Inner::Begun { begun } }
    }

    /// The inner service's body on its way into the store, read along.
    pub(crate) fn shared(body: SharedBody<B::Error>) -> Self {
        Self { inner: Inner::Shared { body } }
    }

    /// The body of a response that has none: the answer to a `HEAD`, or a status such as 304. `len`
    /// is the length of the `GET`'s body, if it is known. It becomes the size hint, from which a
    /// server makes the `Content-Length`.
    pub(crate) fn absent(len: Option<u64>) -> Self {
        Self { inner: Inner::Absent { len } }
    }

    /// A body from the store, or one of the cache's own making.
    pub(crate) fn stored(body: StoredBody) -> Self {
        Self { inner: Inner::Stored { body } }
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = BodyError<B::Error>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.project().inner.project() {
            InnerProj::Passthrough { body } => body.poll_frame(cx).map_err(BodyError::Inner),
            InnerProj::Begun { begun } => begun.poll_frame(cx).map_err(BodyError::Inner),
            InnerProj::Shared { body } => body.poll_frame(cx),
            InnerProj::Stored { body } => body.poll_frame(cx).map_err(BodyError::Store),
            InnerProj::Absent { .. } => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Passthrough { body } => body.is_end_stream(),
            Inner::Begun { begun } => begun.is_end_stream(),
            Inner::Shared { body } => body.is_end_stream(),
            Inner::Stored { body } => body.is_end_stream(),
            Inner::Absent { .. } => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Passthrough { body } => body.size_hint(),
            Inner::Begun { begun } => begun.size_hint(),
            Inner::Shared { body } => body.size_hint(),
            Inner::Stored { body } => body.size_hint(),
            Inner::Absent { len } => len.map(SizeHint::with_exact).unwrap_or_default(),
        }
    }
}

impl<B: Body + Default> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::passthrough(B::default())
    }
}

impl<B: Body> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.inner {
            Inner::Passthrough { .. } => "ResponseBody::Passthrough",
            Inner::Begun { .. } => "ResponseBody::Begun",
            Inner::Shared { .. } => "ResponseBody::Shared",
            Inner::Stored { .. } => "ResponseBody::Stored",
            Inner::Absent { .. } => "ResponseBody::Absent",
        })
    }
}

/// Why the body of a response broke off.
///
/// It becomes a [`BoxError`] wherever one is asked for, and is then the error inside, to be downcast to. It is no
/// [`Error`](std::error::Error) itself: inner services whose own error is a box could not be told apart from others then.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError<E> {
    /// The inner service's body failed, with this error.
    Inner(E),
    /// The stored body could not be read to its end.
    Store(store::Error),
    /// The body, which several requests read, broke off for this one.
    Coalesced(CoalescedError),
}

/// The body of a response that several requests [share](crate::CacheLayer::coalesce) broke off for one of them.
///
/// Either the inner service's body failed: its error is told to the request that made the call, and this one to the
/// others. Or the reader was so far behind the others that what it was to read next had left memory, and the response
/// could not be stored after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoalescedError(&'static str);

impl CoalescedError {
    pub(super) const FAILED: Self =
        Self("the response was shared with another request, and its body broke off");
    pub(super) const LOST: Self = Self(
        "the response was shared with other requests; this one was far behind them, and the response was not stored, \
         to go on from there",
    );
}

impl fmt::Display for CoalescedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for CoalescedError {}

impl<E: fmt::Display> fmt::Display for BodyError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inner(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Coalesced(error) => error.fmt(f),
        }
    }
}

impl<E: Into<BoxError>> From<BodyError<E>> for BoxError {
    fn from(error: BodyError<E>) -> Self {
        match error {
            BodyError::Inner(error) => error.into(),
            BodyError::Store(error) => error.into(),
            BodyError::Coalesced(error) => error.into(),
        }
    }
}
