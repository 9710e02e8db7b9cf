//! The layer in common stacks: over functions, clients and boxed services, and with tower's own
//! layers on either side.

use std::{convert::Infallible, future::Future, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use larder::{BodyErrorKind, BoxError, CacheLayer, CacheStatus, Outcome, store::Memory};
use tower::{
    Layer, Service, ServiceBuilder, ServiceExt,
    buffer::BufferLayer,
    limit::{ConcurrencyLimitLayer, RateLimitLayer},
    load_shed::LoadShedLayer,
    retry::{Policy, RetryLayer},
    service_fn,
    timeout::{TimeoutLayer, error::Elapsed},
    util::{BoxCloneService, BoxCloneSyncService},
};

use crate::support::{
    Broken, Double, NotSync, NotUnpin, Origin, Reply, TestBody, client, empty, frames, full, get,
    ok,
};

fn layer() -> CacheLayer<Memory> {
    CacheLayer::private(Memory::default())
}

/// Sends the same request to `service` twice. Expects a miss, then a hit with the same body.
async fn misses_then_hits<S, B>(service: S)
where
    S: Service<Request<TestBody>, Response = Response<B>> + Clone,
    S::Error: std::fmt::Debug,
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let ask = async || {
        let request = get("/").body(empty()).unwrap();
        Reply::read(service.clone().oneshot(request).await.unwrap()).await
    };
    let first = ask().await;
    assert!(matches!(first.outcome(), Outcome::Miss(_)), "{}", first.outcome());
    let second = ask().await;
    assert!(second.is_from_store(), "{}", second.outcome());
    assert_eq!(first.text(), second.text());
}

// ===== Services =====

#[tokio::test]
async fn works_over_a_function() {
    let inner = service_fn(|_: Request<_>| async { Ok::<_, Infallible>(ok("from a function")) });
    misses_then_hits(layer().layer(inner)).await;
    misses_then_hits(ServiceBuilder::new().layer(layer()).service(inner)).await;
}

#[tokio::test]
async fn works_over_a_client() {
    let origin = Origin::new(async |_, call| ok(call.to_string())).await;
    let client = layer().layer(client());
    for (outcome, text) in [("miss (absent)", "1"), ("hit", "1")] {
        let request = Request::get(origin.url("/")).body(Full::<Bytes>::default()).unwrap();
        let reply = Reply::read(client.clone().oneshot(request).await.unwrap()).await;
        assert_eq!((&*reply.outcome().to_string(), reply.text()), (outcome, text));
    }
    assert_eq!(origin.requests(), 1);
}

/// A service that takes only one body type needs a `map_request` between it and the layer.
#[tokio::test]
async fn works_over_a_boxed_service_with_one_body_type() {
    let boxed = BoxCloneService::new(service_fn(|_: Request<TestBody>| async {
        Ok::<_, Broken>(ok("boxed"))
    }));
    let cached = ServiceBuilder::new()
        .layer(layer())
        .map_request(|request: Request<larder::RequestBody<TestBody>>| {
            request.map(crate::support::boxed)
        })
        .service(boxed);
    misses_then_hits(cached).await;
}

#[tokio::test]
async fn works_inside_boxes() {
    let service = || layer().layer(Double::counting());
    misses_then_hits(BoxCloneService::new(service())).await;
    misses_then_hits(BoxCloneSyncService::new(service())).await;
}

// ===== tower's layers on either side =====

#[tokio::test(start_paused = true)]
async fn works_inside_and_outside_a_timeout() {
    let timeout = TimeoutLayer::new(Duration::from_secs(1));
    misses_then_hits(
        ServiceBuilder::new().layer(timeout.clone()).layer(layer()).service(Double::counting()),
    )
    .await;
    misses_then_hits(
        ServiceBuilder::new().layer(layer()).layer(timeout.clone()).service(Double::counting()),
    )
    .await;

    // The inner service hangs. The timeout returns its own error, whether it is outside or inside.
    let hangs = service_fn(|_: Request<_>| {
        std::future::pending::<Result<Response<TestBody>, Infallible>>()
    });
    let request = || get("/").body(empty()).unwrap();
    let outside = ServiceBuilder::new().layer(timeout.clone()).layer(layer()).service(hangs);
    assert!(outside.oneshot(request()).await.unwrap_err().is::<Elapsed>());
    let inside = ServiceBuilder::new().layer(layer()).layer(timeout).service(hangs);
    assert!(inside.oneshot(request()).await.unwrap_err().is::<Elapsed>());
}

/// http-cache-tower and tower-http-cache wait forever here. The server crate of http-cache-tower
/// panics.
#[tokio::test]
async fn works_inside_and_outside_a_concurrency_limit_of_one() {
    let limit = ConcurrencyLimitLayer::new(1);
    misses_then_hits(
        ServiceBuilder::new().layer(limit.clone()).layer(layer()).service(Double::counting()),
    )
    .await;
    misses_then_hits(ServiceBuilder::new().layer(layer()).layer(limit).service(Double::counting()))
        .await;
}

#[tokio::test]
async fn works_inside_and_outside_a_buffer() {
    let buffer = || BufferLayer::<Request<_>>::new(1);
    misses_then_hits(
        ServiceBuilder::new().layer(buffer()).layer(layer()).service(Double::counting()),
    )
    .await;
    let buffer = || BufferLayer::<Request<_>>::new(1);
    misses_then_hits(
        ServiceBuilder::new().layer(layer()).layer(buffer()).service(Double::counting()),
    )
    .await;
}

#[tokio::test]
async fn works_inside_and_outside_a_load_shed_and_over_a_rate_limit() {
    let shed = LoadShedLayer::new();
    misses_then_hits(
        ServiceBuilder::new().layer(shed.clone()).layer(layer()).service(Double::counting()),
    )
    .await;
    misses_then_hits(
        ServiceBuilder::new().layer(layer()).layer(shed.clone()).service(Double::counting()),
    )
    .await;
    // A rate limit is not `Clone`. A buffer makes it `Clone`, as tower's own documentation says.
    let inner = ServiceBuilder::new()
        .layer(BufferLayer::<Request<_>>::new(1))
        .layer(RateLimitLayer::new(1, Duration::from_secs(3600)))
        .service(Double::counting());
    misses_then_hits(layer().layer(inner)).await;
}

/// Tries again if the inner service failed.
#[derive(Clone)]
struct Again(usize);

impl<B: Clone, R, E> Policy<Request<B>, R, E> for Again {
    type Future = std::future::Ready<()>;

    fn retry(&mut self, _: &mut Request<B>, result: &mut Result<R, E>) -> Option<Self::Future> {
        self.0 = self.0.checked_sub(1)?;
        result.is_err().then(|| std::future::ready(()))
    }

    fn clone_request(&mut self, request: &Request<B>) -> Option<Request<B>> {
        Some(request.clone())
    }
}

#[tokio::test]
async fn works_inside_and_outside_a_retry() {
    let flaky = || {
        Double::fallible(|request, call| match call {
            1 => Err(Broken("try again")),
            _ => Ok(ok(format!("{call}:{}", String::from_utf8_lossy(request.body())))),
        })
    };
    let layer = || layer().methods([http::Method::POST]).unwrap();
    let post =
        || Request::post("http://example.com/").body(Full::new(Bytes::from("again"))).unwrap();
    let inside =
        ServiceBuilder::new().layer(layer()).layer(RetryLayer::new(Again(2))).service(flaky());
    let outside =
        ServiceBuilder::new().layer(RetryLayer::new(Again(2))).layer(layer()).service(flaky());
    let replies = [
        Reply::read(inside.clone().oneshot(post()).await.unwrap()).await,
        Reply::read(outside.clone().oneshot(post()).await.unwrap()).await,
    ];
    for reply in replies {
        assert_eq!(reply.text(), "2:again", "the whole body was sent twice");
    }
    assert!(Reply::read(inside.oneshot(post()).await.unwrap()).await.is_from_store());
    assert!(Reply::read(outside.oneshot(post()).await.unwrap()).await.is_from_store());
}

#[tokio::test]
async fn works_around_another_cache() {
    let near = layer().cache_status_header("near").unwrap();
    let far = layer().cache_status_header("far").unwrap();
    let stack =
        ServiceBuilder::new().layer(near.clone()).layer(far.clone()).service(Double::counting());
    misses_then_hits(stack.clone()).await;
    near.entries().clear().await.unwrap();
    let request = get("/").body(empty()).unwrap();
    let reply = Reply::read(stack.oneshot(request).await.unwrap()).await;
    assert_eq!(reply.lines("cache-status"), [&b"far; hit"[..], b"near; fwd=uri-miss; stored"]);
    assert_eq!((near.stats().misses, far.stats().hits), (2, 1));
}

// ===== Errors and bodies pass unchanged =====

/// http-cache-tower turns the error into a string.
#[tokio::test]
async fn error_of_the_inner_service_is_returned_unchanged() {
    let fails = || Double::fallible(|_, _| Err(Broken("no route to host")));
    let error = layer().layer(fails()).oneshot(get("/").body(empty()).unwrap()).await.unwrap_err();
    assert_eq!(error, Broken("no route to host"));
    // The error of a bypassed request and a boxed error are returned unchanged too.
    let post = Request::post("http://example.com/").body(empty()).unwrap();
    assert_eq!(layer().layer(fails()).oneshot(post).await.unwrap_err(), Broken("no route to host"));
    let boxed = layer().layer(ServiceBuilder::new().map_err(BoxError::from).service(fails()));
    let error = boxed.oneshot(get("/").body(empty()).unwrap()).await.unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&Broken("no route to host")));
}

#[tokio::test]
async fn connection_error_of_a_client_keeps_its_type() {
    // Nobody listens on this port. The bound socket reserves it.
    let kept = tokio::net::TcpSocket::new_v4().unwrap();
    kept.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let unused = kept.local_addr().unwrap();
    let request = Request::get(format!("http://{unused}/")).body(Full::<Bytes>::default()).unwrap();
    let error: hyper_util::client::legacy::Error =
        layer().layer(client()).oneshot(request).await.unwrap_err();
    assert!(error.is_connect());
}

#[tokio::test]
async fn the_error_of_a_body_can_be_downcast() {
    let inner =
        || Double::new(|_, _| Response::new(frames(["ab"], Some(Err(Broken("cut").into())))));
    for request in [get("/"), Request::post("http://example.com/")] {
        let response =
            layer().layer(inner()).oneshot(request.body(empty()).unwrap()).await.unwrap();
        let error = response.into_body().collect().await.unwrap_err();
        assert_eq!(error.kind(), BodyErrorKind::Inner);
        let source = error.into_source().unwrap();
        assert_eq!(source.downcast_ref(), Some(&Broken("cut")));
    }
}

/// Sends and receives bodies of the type that `wrap` makes, in cached and in bypassed requests.
async fn bodies_pass<B, W>(wrap: W)
where
    B: http_body::Body<Data = Bytes, Error = BoxError> + Send + 'static,
    W: Fn(TestBody) -> B + Clone + Send + Sync + 'static,
{
    let make = wrap.clone();
    let inner = service_fn(move |request: Request<larder::RequestBody<B>>| {
        let make = make.clone();
        spawned(async move {
            let body = BodyExt::collect(request.into_body()).await.unwrap().to_bytes();
            Ok::<_, Infallible>(Response::new(make(full(body))))
        })
    });
    let cached = layer().methods([http::Method::POST]).unwrap().layer(inner);
    for (method, hits) in [("POST", [false, true]), ("PUT", [false, false])] {
        for hit in hits {
            let request = Request::builder().method(method).uri("http://example.com/");
            let request = request.body(wrap(frames(["ab", "cd"], None))).unwrap();
            let response = spawned(cached.clone().oneshot(request)).await.unwrap();
            let status = response.extensions().get::<CacheStatus>().unwrap();
            assert_eq!(status.is_from_store(), hit);
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "abcd");
        }
    }
}

/// Compiles only if the future can be sent to another thread.
fn spawned<F: Future + Send + 'static>(future: F) -> F {
    future
}

#[tokio::test]
async fn bodies_that_are_not_unpin_pass() {
    bodies_pass(NotUnpin::new).await;
}

#[tokio::test]
async fn bodies_that_are_not_sync_pass() {
    bodies_pass(NotSync::new).await;
}

#[tokio::test]
async fn inner_service_need_not_be_sync() {
    use std::{cell::Cell, marker::PhantomData};
    let one_thread: PhantomData<Cell<()>> = PhantomData;
    let inner = service_fn(move |_: Request<_>| {
        let _held = one_thread;
        async { Ok::<_, Infallible>(Response::new(frames(["x"], Some(Ok(HeaderMap::new()))))) }
    });
    misses_then_hits(layer().layer(inner)).await;
}

/// Answers with a body that has a boxed error.
#[derive(Clone)]
struct Boxed;

impl<B> Service<Request<B>> for Boxed {
    type Response = Response<TestBody>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<TestBody>, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        std::future::ready(Ok(ok("body")))
    }
}

/// The compiler has to see that these futures are `Send`. It must not take the inner error for
/// another box.
#[tokio::test]
async fn cache_over_a_cache_with_boxed_errors_can_be_spawned() {
    let cached = ServiceBuilder::new().layer(layer()).layer(layer()).service(Boxed);
    let answer = tokio::spawn(async move {
        let request = get("/").body(Full::<Bytes>::default()).unwrap();
        let response = cached.oneshot(request).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes()
    });
    assert_eq!(answer.await.unwrap(), "body");
}

/// The compiler does not see that this task is `Send` if it uses `oneshot`, which asks for `Clone`
/// of a reference with any lifetime.
#[tokio::test]
async fn spawned_task_can_use_an_inner_service_that_holds_a_reference() {
    let greeting: &'static str = "hello";
    let inner = service_fn(move |_: Request<_>| async move {
        Ok::<_, Infallible>(Response::new(full(greeting.to_owned())))
    });
    let cached = layer().layer(inner);
    let task = tokio::spawn(async move {
        let request = get("/").body(Full::<Bytes>::default()).unwrap();
        cached.request(request).await.unwrap().into_body().collect().await.unwrap().to_bytes()
    });
    assert_eq!(task.await.unwrap(), "hello");
}
