//! The rows for servers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::Request as AxumRequest, routing};
use http::{HeaderValue, Request, Response, StatusCode, header, request};
use larder::{CacheLayer, store::Memory};
use tower::{Layer, ServiceBuilder};
use tower_http::{
    catch_panic::CatchPanicLayer,
    compression::CompressionLayer,
    cors::{AllowOrigin, CorsLayer},
    normalize_path::NormalizePathLayer,
    request_id::{MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
    set_header::SetResponseHeaderLayer,
    timeout::TimeoutLayer,
    validate_request::ValidateRequestHeaderLayer,
};

use crate::support::{Origin, Reply, TEXT, fetch, len, shared};

fn text() -> Router {
    Router::new().route("/", routing::get(async || TEXT))
}

fn asking(server: &Origin, name: &str, value: &str) -> request::Builder {
    Request::get(server.url("/")).header(name, value)
}

/// What the cache did, and whether the body is gzip.
async fn encoded(server: &Origin, accepted: &str) -> (String, bool) {
    let reply = fetch(asking(server, "accept-encoding", accepted)).await;
    let gzip = reply.header("content-encoding") == Some("gzip");
    assert_eq!(gzip, reply.body.starts_with(&[0x1f, 0x8b]), "the body is encoded at most once");
    assert!(gzip || reply.text() == TEXT);
    (reply.cache(), gzip)
}

#[tokio::test]
async fn compression_outside_has_one_entry_and_inside_one_per_encoding() {
    let layer = shared();
    let outside = Origin::new(text().layer(layer.clone()).layer(CompressionLayer::new())).await;
    assert_eq!(encoded(&outside, "gzip").await, ("fwd=uri-miss".into(), true));
    assert_eq!(encoded(&outside, "identity").await, ("hit".into(), false));
    assert_eq!(encoded(&outside, "gzip").await, ("hit".into(), true));
    assert_eq!(len(&layer).await, 1);
    // A part is taken from the stored whole, and is not encoded.
    let part = asking(&outside, "accept-encoding", "gzip").header("range", "bytes=4-8");
    let part = fetch(part).await;
    assert_eq!((part.status.as_u16(), part.text()), (206, &TEXT[4..9]));

    let layer = shared();
    let inside = Origin::new(text().layer(CompressionLayer::new()).layer(layer.clone())).await;
    assert_eq!(encoded(&inside, "gzip").await, ("fwd=uri-miss".into(), true));
    assert_eq!(encoded(&inside, "identity").await, ("fwd=vary-miss".into(), false));
    assert_eq!(encoded(&inside, "gzip").await, ("hit".into(), true));
    assert_eq!(encoded(&inside, "identity").await, ("hit".into(), false));
    assert_eq!(len(&layer).await, 2, "two variants");
}

#[tokio::test]
async fn cors_outside_answers_each_origin_and_inside_stores_for_each() {
    let cors = || {
        let origins = ["http://a.example", "http://b.example"].map(HeaderValue::from_static);
        CorsLayer::new().allow_origin(AllowOrigin::list(origins))
    };
    let ask = async |server: &Origin, origin: &str| {
        let reply = fetch(asking(server, "origin", origin)).await;
        let allowed = reply.header("access-control-allow-origin").map(str::to_owned);
        (reply.is_hit(), allowed)
    };
    let allowed = |origin: &str| Some(origin.to_owned());

    let outside = Origin::new(text().layer(shared()).layer(cors())).await;
    assert_eq!(ask(&outside, "http://a.example").await, (false, allowed("http://a.example")));
    assert_eq!(ask(&outside, "http://b.example").await, (true, allowed("http://b.example")));
    assert_eq!(ask(&outside, "http://c.example").await, (true, None));

    // The layer sends `Vary: origin`. Without it, the answer to the first origin would be served to
    // all.
    let inside = Origin::new(text().layer(cors()).layer(shared())).await;
    for (origin, answer) in [
        ("http://a.example", allowed("http://a.example")),
        ("http://b.example", allowed("http://b.example")),
        ("http://c.example", None),
    ] {
        assert_eq!(ask(&inside, origin).await, (false, answer.clone()));
        assert_eq!(ask(&inside, origin).await, (true, answer));
    }
    let careless = Origin::new(text().layer(cors().vary([])).layer(shared())).await;
    assert_eq!(ask(&careless, "http://a.example").await, (false, allowed("http://a.example")));
    assert_eq!(ask(&careless, "http://b.example").await, (true, allowed("http://a.example")));
}

/// The cache does not know that the header is a credential, so an answer to it is stored for all.
#[allow(clippy::result_large_err, reason = "tower-http's own type")]
#[tokio::test]
async fn request_validation_belongs_outside() {
    let check = || {
        ValidateRequestHeaderLayer::custom(|request: &mut AxumRequest| {
            if request.headers().get("x-api-key").is_some_and(|key| key == "secret") {
                return Ok(());
            }
            let mut refused = Response::new(Body::empty());
            *refused.status_mut() = StatusCode::FORBIDDEN;
            Err(refused)
        })
    };
    let outside = Origin::new(text().layer(shared()).layer(check())).await;
    let inside = Origin::new(text().layer(check()).layer(shared())).await;
    for server in [&outside, &inside] {
        assert_eq!(fetch(Request::get(server.url("/"))).await.status, 403);
        assert_eq!(fetch(asking(server, "x-api-key", "secret")).await.text(), TEXT);
    }
    assert_eq!(fetch(Request::get(outside.url("/"))).await.status, 403);
    let leaked = fetch(Request::get(inside.url("/"))).await;
    assert_eq!(
        (leaked.status.as_u16(), leaked.text()),
        (200, TEXT),
        "the wrong order leaks the response"
    );
}

#[derive(Clone, Default)]
struct Counter(Arc<AtomicUsize>);

impl MakeRequestId for Counter {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<RequestId> {
        let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        Some(RequestId::new(HeaderValue::from(number)))
    }
}

#[tokio::test]
async fn request_id_outside_is_new_and_inside_is_stored() {
    let ids = || {
        ServiceBuilder::new()
            .layer(SetRequestIdLayer::x_request_id(Counter::default()))
            .layer(PropagateRequestIdLayer::x_request_id())
    };
    let outside = Origin::new(text().layer(shared()).layer(ids())).await;
    let inside = Origin::new(text().layer(ids()).layer(shared())).await;
    for (hit, number) in [(false, "1"), (true, "2")] {
        let reply = fetch(Request::get(outside.url("/"))).await;
        assert_eq!((reply.is_hit(), reply.header("x-request-id")), (hit, Some(number)));
        let reply = fetch(Request::get(inside.url("/"))).await;
        assert_eq!((reply.is_hit(), reply.header("x-request-id")), (hit, Some("1")));
    }
}

/// A header with a lifetime for the cache belongs inside. A header for browsers only belongs
/// outside.
#[tokio::test]
async fn response_header_set_inside_is_stored_and_obeyed() {
    let set = |seconds: &'static str| {
        SetResponseHeaderLayer::overriding(header::CACHE_CONTROL, HeaderValue::from_static(seconds))
    };
    let layer = || {
        CacheLayer::shared(Memory::default()).http_rules().cache_status_header("larder").unwrap()
    };
    let inside = Origin::new(text().layer(set("max-age=60")).layer(layer())).await;
    let outside = Origin::new(text().layer(layer()).layer(set("max-age=60"))).await;
    for hit in [false, true] {
        assert_eq!(fetch(Request::get(inside.url("/"))).await.is_hit(), hit);
        assert!(
            !fetch(Request::get(outside.url("/"))).await.is_hit(),
            "the cache does not see the header"
        );
    }
}

/// Inside, a panic becomes an answer with 500. A stale response may replace it.
#[tokio::test]
async fn panic_must_be_caught_inside_to_serve_a_stale_response() {
    let routes = |calls: Arc<AtomicUsize>| {
        let handler = async move || match calls.fetch_add(1, Ordering::SeqCst) {
            0 => TEXT,
            call => panic!("call {call}"),
        };
        Router::new().route("/", routing::get(handler))
    };
    let layer = || shared().expire_after(Duration::ZERO).stale_if_error(Duration::from_secs(60));
    let inside = routes(Arc::default()).layer(CatchPanicLayer::new()).layer(layer());
    let inside = Origin::new(inside).await;
    let outside = routes(Arc::default()).layer(layer()).layer(CatchPanicLayer::new());
    let outside = Origin::new(outside).await;
    for server in [&inside, &outside] {
        assert_eq!(fetch(Request::get(server.url("/"))).await.status, 200);
    }
    for _ in 0..2 {
        assert_eq!(fetch(Request::get(inside.url("/"))).await.text(), TEXT);
        // A call that panicked does not block later requests.
        assert_eq!(fetch(Request::get(outside.url("/"))).await.status, 500);
    }
}

/// Inside, a timeout becomes an answer with its status. A stale response may replace it.
#[tokio::test]
async fn timeout_must_be_inside_to_serve_a_stale_response() {
    let routes = |calls: Arc<AtomicUsize>| {
        let handler = async move || match calls.fetch_add(1, Ordering::SeqCst) {
            0 => TEXT,
            _ => std::future::pending().await,
        };
        Router::new().route("/", routing::get(handler))
    };
    let layer = || shared().expire_after(Duration::ZERO).stale_if_error(Duration::from_secs(60));
    // The first answer comes at once, and the others never. So any limit works that is not zero.
    let timeout =
        || TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_millis(100));
    let inside = Origin::new(routes(Arc::default()).layer(timeout()).layer(layer())).await;
    let outside = Origin::new(routes(Arc::default()).layer(layer()).layer(timeout())).await;
    for server in [&inside, &outside] {
        assert_eq!(fetch(Request::get(server.url("/"))).await.status, 200);
    }
    assert_eq!(fetch(Request::get(inside.url("/"))).await.text(), TEXT);
    assert_eq!(fetch(Request::get(outside.url("/"))).await.status, 504);
}

/// A router chooses its route before its layers run. So this layer goes around the router, with the
/// cache in between.
#[tokio::test]
async fn path_is_normalised_outside() {
    let routes = || Router::new().route("/a", routing::get(async || TEXT));
    let ask = async |server: &Origin, path: &str| -> Reply {
        fetch(Request::get(server.url(path))).await
    };
    let normalize = NormalizePathLayer::trim_trailing_slash;

    let layer = shared();
    let outside = Origin::new(normalize().layer(layer.layer(routes()))).await;
    assert!(!ask(&outside, "/a").await.is_hit());
    assert!(ask(&outside, "/a/").await.is_hit());
    assert_eq!(len(&layer).await, 1);

    let layer = shared();
    let inside = Origin::new(layer.layer(normalize().layer(routes()))).await;
    assert!(!ask(&inside, "/a").await.is_hit());
    assert!(!ask(&inside, "/a/").await.is_hit());
    assert_eq!(len(&layer).await, 2);
}
