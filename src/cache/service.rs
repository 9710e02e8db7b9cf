//! [`Cache`]: the service that a layer makes. [`ResponseFuture`]: what its calls return.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::{
    body::ResponseBody, context::Origin, layer::CacheLayer, pipeline::serve,
    request_body::RequestBody,
};
use crate::{
    error::BoxError,
    event::{Observer, Spanned},
    store::Store,
};

/// Answers repeated requests from a store, and asks the inner service for the rest.
///
/// It is always ready: a hit does not depend on the inner service. Any other request works on a
/// clone of the inner service: it waits until the clone is ready, and calls it, within its own
/// future. The instance in here is never polled, so it holds no permit. Dropping the future of a
/// call drops the inner call with it.
///
/// # "implementation of `Clone` is not general enough"
///
/// The compiler says this of a spawned task that calls the cache through a combinator such as
/// `oneshot`, if a closure below the cache holds a reference such as a `&'static str`. It is a
/// limitation of the compiler ([rust#102211](https://github.com/rust-lang/rust/issues/102211)).
/// Call [`request`](Cache::request) instead, or let the closure own a `String` or an `Arc<str>`.
#[derive(Clone, Debug)]
pub struct Cache<S, B> {
    inner: S,
    layer: CacheLayer<B>,
}

impl<S, B> Cache<S, B> {
    /// The layer that made this service: its settings, store and handles.
    pub fn layer(&self) -> &CacheLayer<B> {
        &self.layer
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service, mutably.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service, without the cache.
    pub fn into_inner(self) -> S {
        self.inner
    }

    /// Sends one request, as [`call`](Service::call) does, by `&self`.
    ///
    /// If the inner service does not meet a bound, the compiler's error for this method says so,
    /// and what to do. For `oneshot` and other methods of tower's `ServiceExt`, it says only that
    /// their bounds are not satisfied.
    pub fn request<ReqBody, ResBody, E>(
        &self,
        request: Request<ReqBody>,
    ) -> ResponseFuture<ResBody, E>
    where
        S: InnerService<ReqBody, ResBody, E>,
        B: Store,
        ReqBody: Body<Data = Bytes> + Send + 'static,
        ReqBody::Error: Send,
        ResBody: Body,
    {
        // Nothing in here has been polled, so a clone is as good as the original.
        let response = serve(self.inner.clone(), self.layer.inner.clone(), request);
        ResponseFuture::new(self.layer.inner.observer(), response)
    }
}

/// A service that a [`Cache`] can call for requests with a body of type `ReqBody`. It is
/// implemented for every service that meets these bounds:
///
/// ```text
/// S: Service<http::Request<RequestBody<ReqBody>>, Response = http::Response<ResBody>>,
/// S: Clone + Send + 'static,
/// S::Future: Send,
/// S::Error: Send,
/// ResBody: http_body::Body<Data = Bytes> + Send + 'static,
/// ResBody::Error: Into<BoxError> + Send,
/// ```
///
/// A generic function over `S: InnerService<ReqBody, ResBody, E>` can send requests. The compiler
/// does not take over the bounds of `ResBody` from there. To read the body of the response, the
/// function repeats them: `ResBody: Body<Data = Bytes>` and `ResBody::Error: Into<BoxError>`.
/// [`guide::testing`](crate::guide::testing#one-function-for-the-program-and-its-tests) has an
/// example.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the inner service of this cache",
    label = "the inner service of this cache is `{Self}`",
    note = "it must be `Clone` and take `http::Request<larder::RequestBody<B>>`, where `B` is the \
            body of the request",
    note = "if it takes requests with one type of body only, put a `map_request` between the cache \
            and it: the pages of `larder::guide` show how",
    note = "if it is not `Clone`, put a `tower::buffer::BufferLayer` between the cache and it"
)]
pub trait InnerService<ReqBody: Body, ResBody, E>:
    Origin<ReqBody, Body = ResBody, Error = E>
{
}

impl<S, ReqBody: Body, ResBody, E> InnerService<ReqBody, ResBody, E> for S where
    S: Origin<ReqBody, Body = ResBody, Error = E>
{
}

impl<S, B, ReqBody, ResBody> Service<Request<ReqBody>> for Cache<S, B>
where
    S: Service<Request<RequestBody<ReqBody>>, Response = Response<ResBody>>,
    S: Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Store,
    ReqBody: Body<Data = Bytes> + Send + 'static,
    ReqBody::Error: Send,
    ResBody: Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Into<BoxError> + Send,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<ResBody, S::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        self.request(request)
    }
}

impl<S, B: Store> Layer<S> for CacheLayer<B> {
    type Service = Cache<S, B>;

    fn layer(&self, inner: S) -> Cache<S, B> {
        self.inner.observer().describe();
        Cache { inner, layer: self.clone() }
    }
}

type Boxed<B, E> = Pin<Box<dyn Future<Output = Result<Response<ResponseBody<B>>, E>> + Send>>;

/// The future of a response.
///
/// It is boxed inside: stores return futures without a name, and what the cache does may change
/// without a change of this type.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<B: Body, E> {
    // `ResponseBody` needs the bound.
    inner: Spanned<Boxed<B, E>>,
}

impl<B: Body, E> ResponseFuture<B, E> {
    fn new(
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
