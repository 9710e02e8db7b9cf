//! The rows for clients.

use std::{
    future::{Ready, ready},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body as AxumBody, routing};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderMap, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use larder::RequestBody;
use tower::{
    Layer, ServiceBuilder, ServiceExt,
    limit::ConcurrencyLimitLayer,
    retry::{Policy, RetryLayer},
    timeout::{TimeoutLayer, error::Elapsed},
};
use tower_http::{
    auth::AddAuthorizationLayer, compression::CompressionLayer, decompression::DecompressionLayer,
    trace::TraceLayer,
};

use crate::support::{HyperClient, Origin, TEXT, client, get, len, private};

fn hyper() -> HyperClient<RequestBody<Full<Bytes>>> {
    client()
}

/// Answers `/` with the number of the request, and never answers `/hang`.
fn numbers() -> Router {
    let calls = Arc::new(AtomicUsize::new(1));
    Router::new()
        .route("/", routing::get(async move || calls.fetch_add(1, Ordering::SeqCst).to_string()))
        .route("/hang", routing::get(std::future::pending::<()>))
}

fn request(url: String) -> Request<Full<Bytes>> {
    Request::get(url).body(Full::default()).unwrap()
}

#[tokio::test]
async fn decompression_outside_stores_compressed_and_inside_stores_plain() {
    let routes = Router::new().route("/", routing::get(async || TEXT));
    let origin = Origin::new(routes.layer(CompressionLayer::new())).await;
    let accepting = Request::get(origin.url("/")).header(header::ACCEPT_ENCODING, "gzip");
    let accepting = accepting.body(()).unwrap();

    let layer = private();
    let outside = ServiceBuilder::new()
        .layer(DecompressionLayer::new())
        .layer(layer.clone())
        .service(hyper());
    for outcome in ["miss (absent)", "hit", "hit"] {
        let reply = get(&outside, origin.url("/")).await;
        assert_eq!((&*reply.cache(), reply.text()), (outcome, TEXT));
        assert_eq!(reply.header("content-encoding"), None);
    }
    let stored = layer.entries().get(&accepting).await.unwrap().unwrap();
    assert_eq!(stored.headers()["content-encoding"], "gzip");
    assert!(stored.into_body().collect().await.unwrap().to_bytes().starts_with(&[0x1f, 0x8b]));

    let layer = private();
    let inside = ServiceBuilder::new()
        .layer(layer.clone())
        .layer(DecompressionLayer::new())
        .service(client());
    for outcome in ["miss (absent)", "hit", "hit"] {
        let reply = get::<_, Full<Bytes>, _>(&inside, origin.url("/")).await;
        assert_eq!((&*reply.cache(), reply.text()), (outcome, TEXT));
        assert_eq!(reply.header("content-encoding"), None);
    }
    let stored = layer.entries().get(&origin.url("/")).await.unwrap().unwrap();
    assert!(!stored.headers().contains_key("content-encoding"));
    assert_eq!(stored.into_body().collect().await.unwrap().to_bytes(), TEXT);
    assert_eq!(origin.asked().len(), 2);
}

#[tokio::test]
async fn credential_set_outside_is_part_of_the_key() {
    let who = async |headers: HeaderMap| {
        headers[header::AUTHORIZATION].to_str().unwrap().trim_start_matches("Bearer ").to_owned()
    };
    let origin = Origin::new(Router::new().route("/", routing::get(who))).await;
    let layer = private();
    let outside = |token| {
        let token = AddAuthorizationLayer::bearer(token);
        ServiceBuilder::new().layer(token).layer(layer.clone()).service(hyper())
    };
    for (token, hit) in [("alice", false), ("bob", false), ("bob", true)] {
        let reply = get(&outside(token), origin.url("/")).await;
        assert_eq!((reply.is_hit(), reply.text()), (hit, token));
    }
    let layer = private();
    let inside = |token| {
        let token = AddAuthorizationLayer::bearer(token);
        ServiceBuilder::new().layer(layer.clone()).layer(token).service(hyper())
    };
    for token in ["alice", "bob"] {
        assert_eq!(get(&inside(token), origin.url("/")).await.text(), "alice");
    }
}

#[tokio::test]
async fn timeout_inside_limits_the_origin_and_not_hits() {
    let origin = Origin::new(numbers()).await;
    let layer = private();
    get(&layer.layer(hyper()), origin.url("/")).await;
    // The limit ends at once, unless the answer is already there.
    let timeout = TimeoutLayer::new(Duration::ZERO);
    let inside = ServiceBuilder::new().layer(layer).layer(timeout).service(hyper());
    assert!(get(&inside, origin.url("/")).await.is_hit());
    let error = inside.oneshot(request(origin.url("/hang"))).await.unwrap_err();
    assert!(error.is::<Elapsed>());
}

#[tokio::test]
async fn timeout_outside_limits_the_wait_for_another_call_too() {
    let origin = Origin::new(numbers()).await;
    let layer = private();
    let leader = tokio::spawn(layer.layer(hyper()).oneshot(request(origin.url("/hang"))));
    origin.is_asked().await;
    let timeout = TimeoutLayer::new(Duration::from_millis(1));
    let outside =
        ServiceBuilder::new().layer(timeout.clone()).layer(layer.clone()).service(hyper());
    let error = outside.oneshot(request(origin.url("/hang"))).await.unwrap_err();
    assert!(error.is::<Elapsed>());
    // Inside, the limit does not apply, because this request has made no call.
    let inside = ServiceBuilder::new().layer(layer.clone()).layer(timeout).service(hyper());
    let mut waits = pin!(inside.oneshot(request(origin.url("/hang"))));
    assert!(waits.as_mut().now_or_never().is_none());
    // Longer than the limit, if it applied.
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert!(waits.as_mut().now_or_never().is_none());
    assert_eq!(origin.asked(), ["GET /hang"]);
    leader.abort();
}

/// Retries if the origin answers 503.
#[derive(Clone)]
struct Again(usize);

impl<A: Clone, B, E> Policy<Request<A>, Response<B>, E> for Again {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Request<A>,
        result: &mut Result<Response<B>, E>,
    ) -> Option<Ready<()>> {
        self.0 = self.0.checked_sub(1)?;
        let again = matches!(result, Ok(response) if response.status() == 503);
        again.then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Request<A>) -> Option<Request<A>> {
        Some(request.clone())
    }
}

/// Inside, the cache sees only the last attempt. Outside, each attempt is a request to the cache,
/// and the stored answer to the first attempt is served to the others.
#[tokio::test]
async fn retry_belongs_inside() {
    let failures = Duration::from_secs(3600);
    let layer =
        || private().expire_statuses([(StatusCode::SERVICE_UNAVAILABLE, failures)]).unwrap();
    let flaky = || {
        let calls = Arc::new(AtomicUsize::new(1));
        Router::new().fallback(async move || match calls.fetch_add(1, Ordering::SeqCst) {
            1 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::OK,
        })
    };
    let origin = Origin::new(flaky()).await;
    let inside =
        ServiceBuilder::new().layer(layer()).layer(RetryLayer::new(Again(3))).service(hyper());
    for outcome in ["miss (absent)", "hit"] {
        let reply = get(&inside, origin.url("/")).await;
        assert_eq!((&*reply.cache(), reply.status), (outcome, StatusCode::OK));
    }
    assert_eq!(origin.asked().len(), 2);

    let origin = Origin::new(flaky()).await;
    let outside =
        ServiceBuilder::new().layer(RetryLayer::new(Again(3))).layer(layer()).service(hyper());
    let reply = get(&outside, origin.url("/")).await;
    assert_eq!((&*reply.cache(), reply.status), ("hit", StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(origin.asked().len(), 1);
}

#[tokio::test]
async fn concurrency_limit_belongs_inside_where_hits_take_no_permit() {
    let origin = Origin::new(numbers()).await;
    let limit = ConcurrencyLimitLayer::new(1);
    let layer = private();
    get(&layer.layer(hyper()), origin.url("/")).await;
    origin.is_asked().await;

    let inside = ServiceBuilder::new().layer(layer.clone()).layer(limit.clone()).service(hyper());
    let call = tokio::spawn(inside.clone().oneshot(request(origin.url("/hang"))));
    origin.is_asked().await;
    assert!(get(&inside, origin.url("/")).await.is_hit());
    call.abort();

    let outside = ServiceBuilder::new().layer(limit).layer(layer).service(hyper());
    let call = tokio::spawn(outside.clone().oneshot(request(origin.url("/hang"))));
    origin.is_asked().await;
    let hit = outside.oneshot(request(origin.url("/")));
    assert!(hit.now_or_never().is_none(), "a hit must wait for the permit");
    call.abort();
}

#[tokio::test]
async fn trace_outside_sees_hits_and_inside_only_calls() {
    let origin = Origin::new(numbers()).await;
    let (outside, inside) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (all, misses) = (outside.clone(), inside.clone());
    let client = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http().on_response(move |_: &Response<_>, _, _: &_| {
            all.fetch_add(1, Ordering::SeqCst);
        }))
        .layer(private())
        .layer(TraceLayer::new_for_http().on_response(move |_: &Response<_>, _, _: &_| {
            misses.fetch_add(1, Ordering::SeqCst);
        }))
        .service(client());
    for hit in [false, true, true] {
        assert_eq!(get::<_, Full<Bytes>, _>(&client, origin.url("/")).await.is_hit(), hit);
    }
    assert_eq!((outside.load(Ordering::SeqCst), inside.load(Ordering::SeqCst)), (3, 1));
}

/// The layers may use any body type in between, and no body is boxed.
#[tokio::test]
async fn layers_work_on_both_sides_at_once() {
    let origin =
        Origin::new(Router::new().route("/", routing::get(async || AxumBody::from(TEXT)))).await;
    let layer = private();
    let client = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(AddAuthorizationLayer::bearer("token"))
        .layer(TimeoutLayer::new(Duration::from_secs(60)))
        .layer(layer.clone())
        .layer(ConcurrencyLimitLayer::new(10))
        .layer(DecompressionLayer::new())
        .layer(TraceLayer::new_for_http())
        .service(client());
    for hit in [false, true] {
        let reply = get::<_, Full<Bytes>, _>(&client, origin.url("/")).await;
        assert_eq!((reply.is_hit(), reply.text()), (hit, TEXT));
    }
    assert_eq!(len(&layer).await, 1);
}
