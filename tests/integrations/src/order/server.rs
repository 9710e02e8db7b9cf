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

/// What the cache did, and the bytes of a gzip body or the text of another.
async fn encoded(server: &Origin, accepted: &str) -> (String, bool) {
    let reply = fetch(asking(server, "accept-encoding", accepted)).await;
    let gzip = reply.header("content-encoding") == Some("gzip");
    assert_eq!(gzip, reply.body.starts_with(&[0x1f, 0x8b]), "encoded once, or not at all");
    assert!(gzip || reply.text() == TEXT);
    (reply.cache(), gzip)
}

#[tokio::test]
async fn compression_outside_leaves_one_entry_and_inside_one_for_each_encoding() {
    let layer = shared();
    let outside = Origin::new(text().layer(layer.clone()).layer(CompressionLayer::new())).await;
    assert_eq!(encoded(&outside, "gzip").await, ("fwd=uri-miss".into(), true));
    assert_eq!(encoded(&outside, "identity").await, ("hit".into(), false));
    assert_eq!(encoded(&outside, "gzip").await, ("hit".into(), true));
    assert_eq!(len(&layer).await, 1);
    // A part is cut from the stored whole, and left as it is.
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

    // It says `Vary: origin`, or else the first origin would be everybody's.
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

/// What a header that is no credential to HTTP lets in is stored for all.
#[allow(clippy::result_large_err, reason = "tower-http's own type")]
#[tokio::test]
async fn a_check_of_requests_belongs_outside() {
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
    assert_eq!((leaked.status.as_u16(), leaked.text()), (200, TEXT), "the wrong order");
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
async fn a_request_id_outside_is_each_requests_and_inside_the_stored_ones() {
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

/// One that says how long to keep it stands inside, for the cache to hear it; one for browsers alone, outside.
#[tokio::test]
async fn a_response_header_inside_is_stored_and_heard() {
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
        assert!(!fetch(Request::get(outside.url("/"))).await.is_hit(), "it was not told");
    }
}

/// Inside, a panic is an answer with 500, which a stale response may stand in for.
#[tokio::test]
async fn a_panic_is_caught_inside_if_a_stale_response_is_to_be_served() {
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
        // And nothing hangs behind the call that never ended.
        assert_eq!(fetch(Request::get(outside.url("/"))).await.status, 500);
    }
}

/// Inside, a timeout is an answer with its status, which a stale response may stand in for.
#[tokio::test]
async fn a_timeout_belongs_inside_if_a_stale_response_is_to_be_served() {
    let routes = |calls: Arc<AtomicUsize>| {
        let handler = async move || match calls.fetch_add(1, Ordering::SeqCst) {
            0 => TEXT,
            _ => std::future::pending().await,
        };
        Router::new().route("/", routing::get(handler))
    };
    let layer = || shared().expire_after(Duration::ZERO).stale_if_error(Duration::from_secs(60));
    // The first answer needs no wait, and the others would never end: how long does not matter, if it is not zero.
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

/// A router has chosen its route before its layers are asked, so this one goes around it, and the cache between.
#[tokio::test]
async fn a_path_is_normalised_outside() {
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
