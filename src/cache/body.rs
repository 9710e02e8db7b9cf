//! [`ResponseBody`]: the body that the caller receives.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::{
    error::{BodyError, BrokenBody},
    peeked::Peeked,
    tee::SharedBody,
};
use crate::{error::BoxError, store::StoredBody};

pin_project! {
    /// The body of a response as the caller receives it.
    ///
    /// A stored body has an exact length. If it cannot be read to its end, it ends with a
    /// [`BodyError`] of kind [`Store`](crate::BodyErrorKind::Store), and is never silently short. A
    /// stored response to a `HEAD` has no body. Its size is that of the `GET`'s body where that is
    /// known, since servers make a `Content-Length` of it. A body of the inner service comes with
    /// its trailers and its error.
    ///
    /// A body that is being stored is published before its end is handed out: a caller that has
    /// read it to the end finds it stored. The store may be 256 KiB behind its readers. A slower
    /// store slows them down. Several callers may read the same body, each at its own pace: the
    /// reader that needs more polls the inner body. A reader that is far behind [may have to
    /// wait](crate::CacheLayer::coalesce) until the response is stored, and continues from there.
    pub struct ResponseBody<B: Body> {
        // `inner` needs the bound: an error of the inner body waits there behind earlier chunks.
        #[pin]
        inner: Inner<B>,
        // Taken where the error is known to become a `BoxError`. As a bound of `impl Body`, that
        // would keep the compiler from seeing that a task which reads a body with boxed errors is
        // `Send`.
        into_box: Option<fn(B::Error) -> BoxError>,
    }
}

pin_project! {
    #[project = InnerProj]
    enum Inner<B: Body> {
        Passthrough { #[pin] body: B },
        Peeked { peeked: Peeked<B> },
        Shared { body: SharedBody<B::Error> },
        Stored { #[pin] body: StoredBody },
        Absent { len: Option<u64> },
    }
}

impl<B: Body<Error: Into<BoxError>>> ResponseBody<B> {
    /// The inner service's body, unread.
    pub(crate) fn passthrough(body: B) -> Self {
        Self { inner: Inner::Passthrough { body }, into_box: Some(Into::into) }
    }

    /// The inner service's body, of which something has been read.
    pub(crate) fn peeked(peeked: Peeked<B>) -> Self {
        Self { inner: Inner::Peeked { peeked }, into_box: Some(Into::into) }
    }

    /// The inner service's body on its way into the store.
    pub(crate) fn shared(body: SharedBody<B::Error>) -> Self {
        Self { inner: Inner::Shared { body }, into_box: Some(Into::into) }
    }
}

impl<B: Body> ResponseBody<B> {
    /// The body of a response that has none: to a `HEAD`, or of a status such as 304. `len` is the
    /// length of the `GET`'s body if that is known. A server that makes a `Content-Length` of the
    /// size hint then names that length.
    pub(crate) fn absent(len: Option<u64>) -> Self {
        Self { inner: Inner::Absent { len }, into_box: None }
    }

    /// A body from the store, or one that the cache has made.
    pub(crate) fn stored(body: StoredBody) -> Self {
        Self { inner: Inner::Stored { body }, into_box: None }
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.project();
        let frame = match this.inner.project() {
            InnerProj::Passthrough { body } => body.poll_frame(cx).map_err(BrokenBody::Inner),
            InnerProj::Peeked { peeked } => peeked.poll_frame(cx).map_err(BrokenBody::Inner),
            InnerProj::Shared { body } => body.poll_frame(cx),
            InnerProj::Stored { body } => body.poll_frame(cx).map_err(BrokenBody::Store),
            InnerProj::Absent { .. } => Poll::Ready(None),
        };
        frame.map_err(|broken| BodyError::new(broken, *this.into_box))
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Passthrough { body } => body.is_end_stream(),
            Inner::Peeked { peeked } => peeked.is_end_stream(),
            Inner::Shared { body } => body.is_end_stream(),
            Inner::Stored { body } => body.is_end_stream(),
            Inner::Absent { .. } => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Passthrough { body } => body.size_hint(),
            Inner::Peeked { peeked } => peeked.size_hint(),
            Inner::Shared { body } => body.size_hint(),
            Inner::Stored { body } => body.size_hint(),
            Inner::Absent { len } => len.map(SizeHint::with_exact).unwrap_or_default(),
        }
    }
}

impl<B: Body<Error: Into<BoxError>> + Default> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::passthrough(B::default())
    }
}

impl<B: Body> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.inner {
            Inner::Passthrough { .. } => "ResponseBody::Passthrough",
            Inner::Peeked { .. } => "ResponseBody::Peeked",
            Inner::Shared { .. } => "ResponseBody::Shared",
            Inner::Stored { .. } => "ResponseBody::Stored",
            Inner::Absent { .. } => "ResponseBody::Absent",
        })
    }
}
