//! [`ResponseFuture`]: what a call of the cache returns.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use http::Response;
use http_body::Body;

use super::ResponseBody;
use crate::event::{Observer, Spanned};

type Boxed<B, E> = Pin<Box<dyn Future<Output = Result<Response<ResponseBody<B>>, E>> + Send>>;

/// The response to come.
///
/// It is boxed inside: stores answer with futures that have no name, and what the cache does meanwhile may change
/// without the type.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<B: Body, E> {
    // The bound is `ResponseBody`'s.
    inner: Spanned<Boxed<B, E>>,
}

impl<B: Body, E> ResponseFuture<B, E> {
    pub(super) fn new(
        observer: &Observer,
        future: impl Future<Output = Result<Response<ResponseBody<B>>, E>> + Send + 'static,
    ) -> Self {
        Self { inner: Spanned::call(observer, Box::pin(future)) }
    }
}

impl<B: Body, E> Future for ResponseFuture<B, E> {
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.inner).poll(cx)
    }
}

impl<B: Body, E> fmt::Debug for ResponseFuture<B, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
