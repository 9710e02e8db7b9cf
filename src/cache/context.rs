//! [`RequestContext`]: a request on its way through the pipeline. [`Upstream`]: what calling the
//! inner service for it needs. [`Origin`]: the inner service, with every bound that the cache puts
//! on it.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderName, Method, Request, Response, request};
use http_body::Body;
use pin_project_lite::pin_project;
use smallvec::SmallVec;
use tower_service::Service;

use super::{
    layer::Inner,
    request_body::{ReadBody, RequestBody},
};
use crate::{
    error::BoxError,
    event::RequestLine,
    key::{Content, Key, RequestUrl},
    options::CacheOptions,
    status::Miss,
};

/// A body that the cache can read and hand on.
pub trait AnyBody: Body<Data = Bytes, Error: Send> + Send + 'static {}

impl<B: Body<Data = Bytes, Error: Send> + Send + 'static> AnyBody for B {}

/// A body of the inner service's responses.
pub trait OriginBody: AnyBody<Error: Into<BoxError>> {}

impl<B: AnyBody<Error: Into<BoxError>>> OriginBody for B {}

/// The inner service.
pub trait Origin<ReqBody: Body>: Clone + Send + 'static {
    type Body: OriginBody;
    type Error: Send;

    /// Waits until this clone of the inner service is ready, and calls it. It has not been polled
    /// before, so that a clone left behind holds no permit.
    fn send(
        self,
        request: Request<RequestBody<ReqBody>>,
    ) -> impl Future<Output = Result<Response<Self::Body>, Self::Error>> + Send;
}

impl<S, ReqBody, ResBody> Origin<ReqBody> for S
where
    S: Service<Request<RequestBody<ReqBody>>, Response = Response<ResBody>>,
    S: Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    ReqBody: AnyBody,
    ResBody: OriginBody,
{
    type Body = ResBody;
    type Error = S::Error;

    fn send(
        self,
        request: Request<RequestBody<ReqBody>>,
    ) -> impl Future<Output = Result<Response<ResBody>, S::Error>> + Send {
        Sending::Waiting { service: self, request: Some(request) }
    }
}

pin_project! {
    /// Sends a request when the service is ready, and drops the service then, as tower's `Oneshot`
    /// does. An `async fn` would store the request twice.
    #[project = SendingProj]
    enum Sending<S: Service<Request<B>>, B> {
        Waiting { service: S, request: Option<Request<B>> },
        Called { #[pin] response: S::Future },
    }
}

impl<S: Service<Request<B>>, B> Future for Sending<S, B> {
    type Output = Result<S::Response, S::Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let response = match self.as_mut().project() {
                SendingProj::Called { response } => return response.poll(cx),
                SendingProj::Waiting { service, request } => {
                    ready!(service.poll_ready(cx))?;
                    let request = request.take().expect("the inner service has not panicked");
                    service.call(request)
                }
            };
            self.set(Self::Called { response });
        }
    }
}

/// What a request needs to call the inner service.
pub(super) struct Upstream<S, ReqBody: Body> {
    pub(super) inner: S,
    pub(super) body: RequestBody<ReqBody>,
}

/// A request on its way. It knows no type of the inner service.
pub(super) struct RequestContext<B> {
    pub(super) cache: Arc<Inner<B>>,
    pub(super) parts: request::Parts,
    pub(super) url: RequestUrl,
    pub(super) options: CacheOptions,
    /// What was read of its body for the key.
    read_body: ReadBody,
    /// When the request arrived. `None` where no time limit depends on it.
    arrived: Option<Instant>,
    /// Whether it has waited for another request's call.
    pub(super) has_waited: bool,
    /// The reason for the miss before it waited for another request's call. It is set before the
    /// request may wait.
    pub(super) first_reason: Miss,
}

/// The calls that a request is part of. The inner service receives them in the extensions of the
/// request. If a layer is in a stack twice, the inner one finds the call of the outer one here.
#[derive(Clone, Default)]
struct OuterCalls(SmallVec<[(usize, Key); 1]>);

impl<B> RequestContext<B> {
    /// Boxed, since a request is moved between many futures on its way.
    pub(super) fn new(
        cache: Arc<Inner<B>>,
        parts: request::Parts,
        url: RequestUrl,
        options: CacheOptions,
        read_body: ReadBody,
        arrived: Option<Instant>,
    ) -> Box<Self> {
        Box::new(Self {
            cache,
            parts,
            url,
            options,
            read_body,
            arrived,
            has_waited: false,
            first_reason: Miss::Absent,
        })
    }

    /// What a lookup or a removal needs of it.
    pub(super) fn view(&self) -> RequestRef<'_, B> {
        RequestRef {
            cache: &self.cache,
            options: &self.options,
            parts: &self.parts,
            url: &self.url,
            content: self.read_body.content(),
        }
    }

    /// Its method and URL, for events.
    pub(super) fn line(&self) -> RequestLine<'_> {
        RequestLine::new(&self.parts.method, &self.url.text)
    }

    /// Whether this layer's own call for `key` caused this request. Waiting for that call would
    /// deadlock.
    pub(super) fn is_inside_call(&self, key: &Key) -> bool {
        let calls: Option<&OuterCalls> = self.parts.extensions.get();
        calls.is_some_and(|calls| calls.0.contains(&(self.cache.shared.calls.id(), *key)))
    }

    /// The time left until the request's own deadline, if it has one.
    pub(super) fn time_left(&self) -> Option<Duration> {
        let limit = self.cache.settings.rules.time_limit(&self.parts.headers)?;
        Some(limit.saturating_sub(self.arrived?.elapsed()))
    }

    /// The head of the request as the origin receives it, marked as part of the call for `key`.
    pub(super) fn forwarded(&self, key: &Key) -> request::Parts {
        let mut forwarded = self.parts.clone();
        self.cache.settings.remove_own_conditions(&mut forwarded.headers);
        if self.has_waited
            && let Some(left) = self.time_left()
        {
            // Where no time is left, the inner service reports it in its own way.
            self.cache.settings.rules.limit_time(&mut forwarded.headers, left);
        }
        let calls = forwarded.extensions.get_or_insert_default::<OuterCalls>();
        calls.0.push((self.cache.shared.calls.id(), *key));
        forwarded
    }

    /// Whether the request may wait for another request's call, and others for its own.
    pub(super) fn may_coalesce(&self, key: &Key) -> bool {
        let settings = &self.cache.settings;
        self.options.coalesce.unwrap_or(settings.calls.coalesce)
            && self.may_store(key)
            && !settings.rules.is_authenticated(&self.parts.headers)
    }

    /// Whether the response can be expected to be stored: the request allows it, and the last
    /// response was not refused.
    pub(super) fn may_store(&self, key: &Key) -> bool {
        self.cache.settings.rules.may_keep(&self.options)
            && !self.cache.shared.calls.is_hit_for_miss(key)
    }
}

/// What a lookup or a removal needs of a request.
pub(super) struct RequestRef<'a, B> {
    pub(super) cache: &'a Inner<B>,
    pub(super) options: &'a CacheOptions,
    pub(super) parts: &'a request::Parts,
    pub(super) url: &'a RequestUrl,
    pub(super) content: Content<'a>,
}

impl<B> Clone for RequestRef<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for RequestRef<'_, B> {}

impl<B> RequestRef<'_, B> {
    /// The primary key of a request with this method for the same URL.
    pub(super) fn primary(&self, method: &Method) -> Key {
        let Self { cache, options, parts, url, content } = self;
        let recipe = &cache.settings.recipe;
        options.key.unwrap_or_else(|| recipe.primary(method, url, parts, *content))
    }

    /// The key of the variant that the request selects by these names.
    pub(super) fn variant(&self, primary: &Key, names: &[HeaderName]) -> Key {
        self.cache.settings.recipe.variant(primary, names, &self.parts.headers)
    }
}
