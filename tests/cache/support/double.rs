//! An inner service whose answers are a closure, and which counts its calls.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::Body;
use larder::BoxError;
use tower::Service;

use super::{Gate, Reply, TestBody, empty, line, ok};

/// What the inner service of these tests fails with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) &'static str);

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Broken {}

type Answer = dyn Fn(Request<Bytes>, usize) -> Result<Response<TestBody>, Broken> + Send + Sync;
type Wait = dyn Fn(usize) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync;

/// Reads each request to its end, then answers by a closure of the request and the number of the
/// call, from 1.
#[derive(Clone)]
pub(crate) struct Double {
    calls: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Seen>>>,
    answer: Arc<Answer>,
    wait: Option<Arc<Wait>>,
}

/// What reached the inner service of a request.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
    pub(crate) error: Option<String>,
}

impl Seen {
    /// `If-None-Match` and `If-Modified-Since`.
    pub(crate) fn conditions(&self) -> (Option<&str>, Option<&str>) {
        let of = |name| self.headers.get(name).map(|value| value.to_str().unwrap());
        (of("if-none-match"), of("if-modified-since"))
    }
}

/// What an origin says whose response has this tag: the response, or 304 to a request that names
/// the tag.
pub(crate) fn tagged<B>(request: &Request<B>, tag: &str, text: &str) -> Response<TestBody> {
    let is_known = request.headers().get("if-none-match").is_some_and(|known| known == tag);
    line(if is_known { not_modified() } else { ok(text) }, "etag", tag)
}

pub(crate) fn not_modified() -> Response<TestBody> {
    status(304)
}

/// An empty response of this status.
pub(crate) fn status(status: u16) -> Response<TestBody> {
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

impl Double {
    pub(crate) fn new(
        answer: impl Fn(Request<Bytes>, usize) -> Response<TestBody> + Send + Sync + 'static,
    ) -> Self {
        Self::fallible(move |request, call| Ok(answer(request, call)))
    }

    pub(crate) fn fallible(
        answer: impl Fn(Request<Bytes>, usize) -> Result<Response<TestBody>, Broken>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let (calls, seen, answer) = (Arc::default(), Arc::default(), Arc::new(answer));
        Self { calls, seen, answer, wait: None }
    }

    /// The same double with a gate, closed at first.
    pub(crate) fn gated(self) -> (Self, Gate) {
        let gate = Gate::closed();
        (self.behind(&gate), gate)
    }

    /// Answers with the number of the call, so that a reply tells which call it is from.
    pub(crate) fn counting() -> Self {
        Self::new(|_, call| ok(call.to_string()))
    }

    /// Each call takes so long.
    pub(crate) fn taking(self, time: Duration) -> Self {
        self.waiting(move |_| tokio::time::sleep(time))
    }

    /// Each call waits at `gate`.
    pub(crate) fn behind(self, gate: &Gate) -> Self {
        let gate = gate.clone();
        self.waiting(move |_| {
            let gate = gate.clone();
            async move { gate.pass().await }
        })
    }

    /// The first call waits at `gate`.
    pub(crate) fn first_behind(self, gate: &Gate) -> Self {
        self.nth_behind(1, gate)
    }

    /// The call of this number waits at `gate`.
    pub(crate) fn nth_behind(self, nth: usize, gate: &Gate) -> Self {
        let gate = gate.clone();
        self.waiting(move |call| {
            let gate = gate.clone();
            async move {
                if call == nth {
                    gate.pass().await;
                }
            }
        })
    }

    /// Before it answers, each call waits for what `wait` makes of its number.
    pub(crate) fn waiting<F>(self, wait: impl Fn(usize) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self { wait: Some(Arc::new(move |call| Box::pin(wait(call)))), ..self }
    }

    pub(crate) fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    /// Waits until so many calls have begun.
    pub(crate) async fn begun(&self, calls: usize) {
        // By the clock of the machine: there are threads that may get little of it.
        let begin = std::time::Instant::now();
        while self.calls() < calls {
            let waited = begin.elapsed();
            assert!(waited.as_secs() < 120, "{} calls have begun, and no more", self.calls());
            tokio::task::yield_now().await;
        }
    }

    /// What the calls received since this was asked last.
    pub(crate) fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

impl<B> Service<Request<B>> for Double
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<TestBody>;
    type Error = Broken;
    type Future = Pin<Box<dyn Future<Output = Result<Response<TestBody>, Broken>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let (body, trailers, error) = Reply::read_body(body).await;
            let error = error.map(|error| error.to_string());
            let (method, headers) = (parts.method.clone(), parts.headers.clone());
            let seen = Seen { method, headers, body: body.clone(), trailers, error };
            this.seen.lock().unwrap().push(seen);
            let call = this.calls.fetch_add(1, Ordering::SeqCst) + 1;
            if let Some(wait) = &this.wait {
                wait(call).await;
            }
            (this.answer)(Request::from_parts(parts, body), call)
        })
    }
}
