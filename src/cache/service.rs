//! [`Cache`]: the service that a layer makes.

use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::{CacheLayer, RequestBody, ResponseBody, ResponseFuture, serve::serve};
use crate::store::Store;

/// Answers repeats from a store, and asks the inner service for the rest.
///
/// It is always ready: a hit does not depend on the inner service. A request that does works on a clone of the inner
/// service, waits for that clone's readiness, and calls it, all within its own future; the instance inside here is never
/// polled, so it holds no permit while it waits. Dropping the future of a call drops the inner call with it.
#[derive(Clone, Debug)]
pub struct Cache<S, B> {
    inner: S,
    layer: CacheLayer<B>,
}

impl<S, B> Cache<S, B> {
    pub(super) fn new(inner: S, layer: CacheLayer<B>) -> Self {
        Self { inner, layer }
    }

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
    ResBody::Error: Send,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<ResBody, S::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        // Not `mem::replace`: nothing has been polled in here, so the clone is as good as the original, and the
        // original stays unpolled. See the type's text.
        let answer = serve(self.inner.clone(), self.layer.clone(), request);
        ResponseFuture::new(self.layer.observer(), answer)
    }
}
