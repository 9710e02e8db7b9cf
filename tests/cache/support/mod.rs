//! What the tests have in common: an inner service that counts, a layer over it, bodies, origins,
//! stores that fail.

mod body;
mod double;
/// `larder::store::conformance::Faulty`, compiled here so that these tests need no feature for it.
#[allow(unreachable_pub)] // It is public there.
#[allow(dead_code)] // Not every test that includes this module uses all of it.
#[path = "../../../src/store/conformance/faulty.rs"]
mod faulty;
mod gate;
mod origin;

use std::error::Error as _;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, request};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use larder::{
    BodyError, BoxError, Cache, CacheLayer, CacheOptions, CacheStatus, Outcome, ResponseBody,
    Stored,
    store::{Memory, Store},
    time::{ManualClock, Timestamp},
};
use tower::{Layer, ServiceExt};

pub(crate) use self::{
    body::{NotSync, NotUnpin, Sender, TestBody, boxed, channel, chunk, empty, frames, full},
    double::{Broken, Double, not_modified, status, tagged},
    faulty::{Faulty, Operation as Op},
    gate::{Gate, Gated, soon},
    origin::{Origin, RawOrigin, client, h2_client, raw_exchange, serve},
};

/// Where every test's clock begins.
pub(crate) const T0: Timestamp = Timestamp::from_millis(1_700_000_000_000);

pub(crate) fn url(path: &str) -> String {
    format!("http://example.com{path}")
}

pub(crate) fn get(path: &str) -> request::Builder {
    Request::get(url(path))
}

pub(crate) fn head(path: &str) -> request::Builder {
    Request::head(url(path))
}

/// A `GET` in this language.
pub(crate) fn lang(language: &str) -> request::Builder {
    get("/").header("accept-language", language)
}

pub(crate) fn with(options: CacheOptions) -> request::Builder {
    get("/").extension(options)
}

/// A response that is `text`, with its length.
pub(crate) fn ok(text: impl Into<String>) -> Response<TestBody> {
    let text = text.into();
    let mut response = Response::new(full(text.clone()));
    response.headers_mut().insert("content-length", text.len().into());
    response
}

/// The same response with one more header line.
pub(crate) fn line<B>(
    mut response: Response<B>,
    name: &'static str,
    value: impl AsRef<[u8]>,
) -> Response<B> {
    response.headers_mut().append(name, HeaderValue::from_bytes(value.as_ref()).unwrap());
    response
}

// ===== A layer over a double =====

/// A cache over a [`Double`], by a clock that stands still until it is told.
pub(crate) struct Stand<B = Memory> {
    pub(crate) layer: CacheLayer<B>,
    pub(crate) inner: Double,
    pub(crate) clock: ManualClock,
}

impl Stand {
    /// A private cache.
    pub(crate) fn new(inner: Double) -> Self {
        Self::over(Memory::default(), inner)
    }

    /// A shared cache.
    pub(crate) fn shared(inner: Double) -> Self {
        let clock = ManualClock::new(T0);
        let layer = CacheLayer::shared(Memory::default()).clock(clock.clone());
        Self { layer, inner, clock }
    }
}

impl<B: Store> Stand<B> {
    /// A private cache over `store`.
    pub(crate) fn over(store: B, inner: Double) -> Self {
        let clock = ManualClock::new(T0);
        Self { layer: CacheLayer::private(store).clock(clock.clone()), inner, clock }
    }

    pub(crate) fn with(self, set: impl FnOnce(CacheLayer<B>) -> CacheLayer<B>) -> Self {
        Self { layer: set(self.layer), ..self }
    }

    /// The same store, switch and counters, with other settings.
    pub(crate) fn clone_with(&self, set: impl FnOnce(CacheLayer<B>) -> CacheLayer<B>) -> Self {
        let layer = set(self.layer.clone());
        Self { layer, inner: self.inner.clone(), clock: self.clock.clone() }
    }

    pub(crate) fn service(&self) -> Cache<Double, B> {
        self.layer.layer(self.inner.clone())
    }

    /// The response, its body unread. Boxed: inside of another future, the compiler does not see
    /// that it can be sent.
    pub(crate) fn call(
        &self,
        request: Request<TestBody>,
    ) -> BoxFuture<'static, Result<Response<ResponseBody<TestBody>>, Broken>> {
        Box::pin(self.service().oneshot(request))
    }

    /// The response to a request with this body, read to its end.
    pub(crate) async fn send(&self, request: request::Builder, body: impl Into<Bytes>) -> Reply {
        Reply::read_any(self.call(request.body(full(body)).unwrap()).await.unwrap()).await
    }

    /// The response to a request without a body, read to its end.
    pub(crate) async fn ask(&self, request: request::Builder) -> Reply {
        self.send(request, Bytes::new()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.ask(get(path)).await
    }

    /// The error that the inner service answers `request` with.
    pub(crate) async fn error(&self, request: request::Builder) -> Broken {
        self.call(request.body(empty()).unwrap()).await.expect_err("an error, not a response")
    }

    /// How often the inner service was called.
    pub(crate) fn calls(&self) -> usize {
        self.inner.calls()
    }

    pub(crate) async fn len(&self) -> u64 {
        self.layer.entries().len().await.unwrap()
    }

    pub(crate) async fn size(&self) -> u64 {
        self.layer.entries().size_bytes().await.unwrap()
    }
}

/// The error behind a [`BodyError`], where there is one.
fn cause(error: BoxError) -> BoxError {
    match error.downcast::<BodyError>() {
        Ok(error) if error.source().is_some() => error.into_source().unwrap(),
        Ok(error) => error,
        Err(error) => error,
    }
}

/// A response that was read to its end, or to the error it ended with.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
    /// What the body ended with: what is behind a [`BodyError`], where there is something.
    pub(crate) error: Option<BoxError>,
    pub(crate) cache: CacheStatus,
}

impl Reply {
    pub(crate) async fn read<B>(response: Response<B>) -> Self
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let (parts, body) = response.into_parts();
        let cache = parts.extensions.get::<CacheStatus>().expect("a status on every response");
        let cache = cache.clone();
        let (body, trailers, error) = Self::read_body(body).await;
        let (status, version, headers) = (parts.status, parts.version, parts.headers);
        Self { status, version, headers, body, trailers, error, cache }
    }

    /// The same, boxed.
    pub(crate) fn read_any(response: Response<ResponseBody<TestBody>>) -> BoxFuture<'static, Self> {
        Box::pin(Self::read(response))
    }

    /// A body to its end, or to its error.
    async fn read_body<B>(body: B) -> (Bytes, Option<HeaderMap>, Option<BoxError>)
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let (mut read, mut trailers, mut error) = (Vec::new(), None, None);
        let mut body = std::pin::pin!(body);
        while let Some(frame) = body.frame().await {
            match frame.map(Frame::into_data) {
                Ok(Ok(chunk)) => read.extend_from_slice(&chunk),
                Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
                Err(failed) => error = Some(cause(failed.into())),
            }
        }
        (read.into(), trailers, error)
    }

    /// The body, which did not end in an error.
    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        assert!(self.error.is_none(), "the body ended in an error: {:?}", self.error);
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn outcome(&self) -> Outcome {
        self.cache.outcome()
    }

    /// Whether the request was not forwarded to the inner service.
    pub(crate) fn is_hit(&self) -> bool {
        self.cache.is_hit()
    }

    pub(crate) fn is_from_store(&self) -> bool {
        self.cache.is_from_store()
    }

    pub(crate) fn stored(&self) -> Stored {
        self.cache.stored()
    }

    /// The lines of one name, in order.
    pub(crate) fn lines(&self, name: &str) -> Vec<&[u8]> {
        self.headers.get_all(name).iter().map(HeaderValue::as_bytes).collect()
    }
}
