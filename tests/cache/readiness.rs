//! Hits do not depend on the state of the inner service. Misses wait until it is ready, and do not
//! hold its permits longer than they need them.

use std::{
    future::{Future, Pending, pending},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::FutureExt;
use http::{Request, Response};
use larder::{CacheLayer, store::Memory};
use tokio::sync::Notify;
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt, buffer::Buffer, limit::ConcurrencyLimitLayer,
    load_shed::LoadShedLayer, service_fn,
};

use crate::support::{Broken, Double, Reply, TestBody, empty, get, ok};

/// A layer whose store has the response to `GET /`.
async fn filled() -> CacheLayer<Memory> {
    let layer = CacheLayer::private(Memory::default());
    let request = get("/").body(empty()).unwrap();
    Reply::read(layer.layer(Double::counting()).oneshot(request).await.unwrap()).await;
    layer
}

/// Asserts that `service` answers `GET /` from the store without waiting.
#[track_caller]
fn hits<S, B>(service: S)
where
    S: Service<Request<TestBody>, Response = Response<B>>,
    S::Error: std::fmt::Debug,
    B: http_body::Body<Data = bytes::Bytes>,
    B::Error: Into<larder::BoxError>,
{
    let answer = async {
        let request = get("/").body(empty()).unwrap();
        Reply::read(service.oneshot(request).await.unwrap()).await
    };
    let reply = answer.now_or_never().expect("a hit does not wait");
    assert!(reply.is_from_store());
    assert_eq!(reply.text(), "1");
}

/// A service with a given readiness, whose calls fail.
#[derive(Clone)]
struct Scripted {
    ready: Poll<Result<(), Broken>>,
}

impl<B> Service<Request<B>> for Scripted {
    type Response = Response<TestBody>;
    type Error = Broken;
    type Future = std::future::Ready<Result<Response<TestBody>, Broken>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        self.ready
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        std::future::ready(Err(Broken("called")))
    }
}

#[tokio::test]
async fn hit_is_served_in_any_state_of_the_inner_service() {
    let layer = filled().await;
    let miss = || get("/new").body(empty()).unwrap();

    let never_ready = layer.layer(Scripted { ready: Poll::Pending });
    hits(never_ready.clone());
    assert!(never_ready.oneshot(miss()).now_or_never().is_none(), "a miss has to wait");

    let broken = layer.layer(Scripted { ready: Poll::Ready(Err(Broken("not ready"))) });
    hits(broken.clone());
    assert_eq!(broken.oneshot(miss()).await.unwrap_err(), Broken("not ready"));

    let failing = layer.layer(Scripted { ready: Poll::Ready(Ok(())) });
    hits(failing.clone());
    assert_eq!(failing.oneshot(miss()).await.unwrap_err(), Broken("called"));
}

#[tokio::test]
async fn the_cache_itself_is_always_ready() {
    let mut cached = filled().await.layer(Scripted { ready: Poll::Pending });
    let ready = ServiceExt::<Request<TestBody>>::ready(&mut cached);
    assert!(ready.now_or_never().is_some_and(|ready| ready.is_ok()));
}

#[tokio::test]
async fn a_hit_is_served_when_the_worker_behind_a_buffer_has_gone() {
    let (buffer, worker) = Buffer::<Request<_>, _>::pair(Double::counting(), 1);
    drop(worker);
    let cached = filled().await.layer(buffer);
    hits(cached.clone());
    assert!(cached.oneshot(get("/new").body(empty()).unwrap()).await.is_err());
}

#[tokio::test]
async fn a_hit_is_served_while_a_hanging_call_holds_the_only_permit() {
    let called = Arc::new(Notify::new());
    let begun = called.clone();
    let hangs = service_fn(move |_: Request<_>| {
        begun.notify_one();
        pending::<Result<Response<TestBody>, Broken>>()
    });
    let miss = |path| get(path).body(empty()).unwrap();
    let limited = ServiceBuilder::new().layer(ConcurrencyLimitLayer::new(1)).service(hangs);

    let cached = filled().await.layer(limited.clone());
    let mut hanging = std::pin::pin!(cached.clone().oneshot(miss("/hangs")));
    assert!(hanging.as_mut().now_or_never().is_none());
    called.notified().now_or_never().expect("the call has begun");
    hits(cached.clone());
    assert!(cached.oneshot(miss("/new")).now_or_never().is_none(), "the next miss waits");

    let shed = filled().await.layer(LoadShedLayer::new().layer(limited));
    hits(shed.clone());
    let refused = shed.oneshot(miss("/new")).now_or_never().expect("the next miss is shed");
    assert!(refused.is_err());
}

/// A limited service that is ready holds a permit until it is called or dropped.
#[tokio::test]
async fn cache_that_is_ready_after_a_call_holds_no_permit() {
    let layer = CacheLayer::private(Memory::default());
    let inner =
        ServiceBuilder::new().layer(ConcurrencyLimitLayer::new(1)).service(Double::counting());
    // These caches stay alive. Each is ready for a next call, which never comes.
    let mut left = Vec::new();
    for path in ["/a", "/b", "/c"] {
        let mut cached = layer.layer(inner.clone());
        let answered = async {
            let ready = ServiceExt::<Request<TestBody>>::ready(&mut cached).await.unwrap();
            let response = ready.call(get(path).body(empty()).unwrap()).await.unwrap();
            Reply::read(response).await;
            ServiceExt::<Request<TestBody>>::ready(&mut cached).await.unwrap();
        };
        answered.now_or_never().expect("the permit is free");
        left.push(cached);
    }
}

/// Counts the calls in flight.
#[derive(Clone, Default)]
struct CallsInFlight(Arc<AtomicUsize>);

struct Held(Arc<AtomicUsize>, Pending<()>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Future for Held {
    type Output = Result<Response<TestBody>, Broken>;

    fn poll(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

impl<B> Service<Request<B>> for CallsInFlight {
    type Response = Response<TestBody>;
    type Error = Broken;
    type Future = Held;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Held {
        self.0.fetch_add(1, Ordering::SeqCst);
        Held(self.0.clone(), pending())
    }
}

#[tokio::test]
async fn dropping_a_call_drops_the_inner_call() {
    let inner = CallsInFlight::default();
    let cached = CacheLayer::private(Memory::default()).layer(inner.clone());
    for method in ["GET", "POST"] {
        let request = Request::builder().method(method).uri("http://example.com/");
        let mut call = cached.clone().oneshot(request.body(empty()).unwrap());
        assert!((&mut call).now_or_never().is_none());
        assert_eq!(inner.0.load(Ordering::SeqCst), 1);
        drop(call);
        assert_eq!(inner.0.load(Ordering::SeqCst), 0);
    }
    let layer = cached.layer();
    assert_eq!(layer.entries().len().await.unwrap(), 0);
}

/// The future fetches nothing before it is polled.
#[test]
fn a_miss_and_a_hit_need_no_runtime() {
    let layer = CacheLayer::private(Memory::default());
    let mut cached = layer.layer(service_fn(|_: Request<_>| async { Ok::<_, Broken>(ok("x")) }));
    let unpolled = cached.call(get("/").body(empty()).unwrap());
    drop(unpolled);
    assert_eq!(layer.stats().misses, 0);
    for hit in [false, true] {
        let call = cached.call(get("/").body(empty()).unwrap());
        let reply = async { Reply::read(call.await.unwrap()).await }.now_or_never().unwrap();
        assert_eq!((reply.is_from_store(), reply.text()), (hit, "x"));
    }
}
