//! [`ResponseBody`]: what the caller receives: the inner service's body, on its way into the store or not, or a stored one.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::keep::Tee;
use crate::{error::BoxError, store::StoredBody};

pin_project! {
    /// The body of a response as the caller receives it.
    ///
    /// From the store, its length is exact, and it ends with an error where it could not be read to its end, never
    /// silently short: a `store::Error` that the boxed error can be downcast to. From the inner service, it is that
    /// service's body, trailers and error included.
    ///
    /// A body that is being stored is published before its end is told, so that whoever has read it to the end finds it
    /// stored.
    pub struct ResponseBody<B> {
        #[pin]
        inner: Inner<B>,
    }
}

pin_project! {
    #[project = InnerProj]
    enum Inner<B> {
        Passthrough { #[pin] body: B },
        Tee { tee: Box<Tee<B>> },
        Stored { #[pin] body: StoredBody },
    }
}

impl<B> ResponseBody<B> {
    /// The inner service's body, untouched.
    pub(crate) fn passthrough(body: B) -> Self {
        Self { inner: Inner::Passthrough { body } }
    }

    /// The inner service's body on its way into the store.
    pub(crate) fn tee(tee: Box<Tee<B>>) -> Self {
        Self { inner: Inner::Tee { tee } }
    }

    /// A body from the store, or one of the cache's own making.
    pub(crate) fn stored(body: StoredBody) -> Self {
        Self { inner: Inner::Stored { body } }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.project().inner.project() {
            InnerProj::Passthrough { body } => body.poll_frame(cx).map_err(Into::into),
            InnerProj::Tee { tee } => tee.poll_frame(cx),
            InnerProj::Stored { body } => body.poll_frame(cx).map_err(Into::into),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.inner {
            Inner::Passthrough { body } => body.is_end_stream(),
            Inner::Tee { tee } => tee.is_end_stream(),
            Inner::Stored { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Passthrough { body } => body.size_hint(),
            Inner::Tee { tee } => tee.size_hint(),
            Inner::Stored { body } => body.size_hint(),
        }
    }
}

impl<B: Default> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::passthrough(B::default())
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.inner {
            Inner::Passthrough { .. } => "ResponseBody::Passthrough",
            Inner::Tee { .. } => "ResponseBody::Tee",
            Inner::Stored { .. } => "ResponseBody::Stored",
        })
    }
}
