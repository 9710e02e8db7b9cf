//! Responses over connections: cut, chunked, framed by a length, with trailers, and passed on by a
//! server.

use std::{net::SocketAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use larder::{Cache, CacheLayer, RequestBody, Stored, status::Refusal, store::Memory};
use tokio::sync::Mutex;
use tower::{Layer, ServiceExt};

use crate::support::{
    Origin, RawOrigin, Reply, channel, chunk, client, frames, full, h2_client, line, ok,
    raw_exchange, serve,
};

type Client<B> = hyper_util::client::legacy::Client<
    hyper_util::client::legacy::connect::HttpConnector,
    RequestBody<B>,
>;

fn layer() -> CacheLayer<Memory> {
    CacheLayer::private(Memory::default())
}

async fn ask(client: &Cache<Client<Full<Bytes>>, Memory>, url: String) -> Reply {
    let request = Request::get(url).body(Full::default()).unwrap();
    Reply::read(client.clone().oneshot(request).await.unwrap()).await
}

async fn sizes(layer: &CacheLayer<Memory>) -> (u64, u64) {
    let entries = layer.entries();
    (entries.len().await.unwrap(), entries.size_bytes().await.unwrap())
}

/// A gateway: a cache between a client and a server.
async fn gateway(
    layer: &CacheLayer<Memory>,
    origin: impl Fn(&str) -> String + Clone + Send + 'static,
) -> SocketAddr {
    let to_origin = tower::ServiceBuilder::new()
        .map_request(move |mut request: Request<Incoming>| {
            let path = request.uri().path().to_owned();
            *request.uri_mut() = origin(&path).parse().unwrap();
            request
        })
        .layer(layer.clone())
        .service(client::<RequestBody<Incoming>>());
    serve(to_origin).await
}

fn wire(method: &str, path: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nhost: gateway\r\nconnection: close\r\n\r\n")
}

fn body_of(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

// ===== From the origin =====

#[tokio::test]
async fn response_of_a_connection_cut_midway_is_not_stored() {
    for (what, answer) in [
        ("short of its length", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"),
        ("nothing of its length", "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n"),
        ("within a chunk", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf"),
        ("between chunks", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"),
        (
            "before the last CRLF",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
        ),
        (
            "an invalid chunk",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nz\r\n",
        ),
    ] {
        let origin = RawOrigin::new(answer).await;
        let layer = layer();
        let client = layer.layer(client());
        for _ in 0..2 {
            let reply = ask(&client, origin.url("/")).await;
            assert!(reply.error.as_ref().is_some_and(|error| error.is::<hyper::Error>()), "{what}");
            assert!(["half", ""].contains(&std::str::from_utf8(&reply.body).unwrap()), "{what}");
            assert_eq!(reply.stored(), Stored::No(Refusal::BodyFailed), "{what}");
            assert_eq!(sizes(&layer).await, (0, 0), "{what}");
        }
        assert_eq!(origin.received().len(), 2, "{what}: each request calls the origin");
    }
}

#[tokio::test]
async fn connection_cut_before_the_head_is_an_error_of_the_client() {
    let origin = RawOrigin::new("HTTP/1.1 200 OK\r\ncontent-le").await;
    let layer = layer();
    let request = Request::get(origin.url("/")).body(Full::<Bytes>::default()).unwrap();
    let error = layer.layer(client()).oneshot(request).await.unwrap_err();
    assert!(!error.is_connect());
    assert_eq!(sizes(&layer).await, (0, 0));
}

#[tokio::test]
async fn bytes_after_the_content_length_are_not_part_of_the_response() {
    let origin = RawOrigin::new("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfour and more").await;
    let layer = layer();
    let client = layer.layer(client());
    for hit in [false, true] {
        let reply = ask(&client, origin.url("/")).await;
        assert_eq!((reply.is_from_store(), reply.text()), (hit, "four"));
    }
}

#[tokio::test]
async fn a_chunked_response_is_stored_with_its_trailers() {
    let origin = RawOrigin::new(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
         2\r\nab\r\n3\r\ncde\r\n0\r\nx-sum: 5\r\n\r\n",
    )
    .await;
    let layer = layer();
    let client = layer.layer(client());
    for hit in [false, true] {
        let reply = ask(&client, origin.url("/")).await;
        assert_eq!((reply.is_from_store(), reply.text()), (hit, "abcde"));
        assert_eq!(reply.trailers.unwrap()["x-sum"], "5");
        assert_eq!(reply.headers["trailer"], "x-sum");
        assert_eq!(reply.headers.contains_key("transfer-encoding"), !hit);
    }
}

#[tokio::test]
async fn trailers_over_http2_are_stored_and_replayed() {
    let origin = Origin::h2(async |_, _| {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        Response::new(frames(["ab", "cd"], Some(Ok(trailers))))
    })
    .await;
    let layer = layer();
    let client = layer.layer(h2_client());
    for hit in [false, true] {
        let reply = ask(&client, origin.url("/")).await;
        assert_eq!((reply.is_from_store(), reply.text()), (hit, "abcd"));
        assert_eq!(reply.trailers.unwrap()["grpc-status"], "0");
        assert_eq!(reply.version, http::Version::HTTP_2);
    }
    assert_eq!(origin.requests(), 1);
}

/// An HTTP/1.0 response without a length ends where its connection does (RFC 9112 §6.3).
#[tokio::test]
async fn response_that_ends_with_its_connection_is_complete() {
    let origin = RawOrigin::new("HTTP/1.0 200 OK\r\n\r\nold style").await;
    let layer = layer();
    let client = layer.layer(client());
    for hit in [false, true] {
        let reply = ask(&client, origin.url("/")).await;
        assert_eq!((reply.is_from_store(), reply.text()), (hit, "old style"));
    }
}

// ===== Chunk by chunk =====

/// An origin whose response has the body that the sender feeds.
async fn fed(length: Option<&'static str>) -> (crate::support::Sender, Origin) {
    let (sender, body) = channel();
    let body = Arc::new(Mutex::new(Some(body)));
    let origin = Origin::new(move |_, _| {
        let body = body.clone();
        async move {
            let response = Response::new(body.lock().await.take().unwrap());
            match length {
                Some(length) => line(response, "content-length", length),
                None => response,
            }
        }
    })
    .await;
    (sender, origin)
}

#[tokio::test]
async fn caller_receives_each_chunk_before_the_origin_sends_the_next() {
    for length in [None, Some("6")] {
        let (sender, origin) = fed(length).await;
        let layer = layer();
        let request = Request::get(origin.url("/")).body(Full::<Bytes>::default()).unwrap();
        let mut response = layer.layer(client()).oneshot(request).await.unwrap();
        for text in ["one", "two"] {
            assert_eq!(sizes(&layer).await.0, 0);
            sender.send(text);
            assert_eq!(chunk(response.body_mut()).await.unwrap(), text);
        }
        drop(sender);
        assert!(response.body_mut().frame().await.is_none());
        assert_eq!(sizes(&layer).await.0, 1);
    }
}

#[tokio::test]
async fn response_that_breaks_off_midway_is_not_stored() {
    let (sender, origin) = fed(None).await;
    let layer = layer();
    let request = Request::get(origin.url("/")).body(Full::<Bytes>::default()).unwrap();
    let mut response = layer.layer(client()).oneshot(request).await.unwrap();
    sender.send("one");
    assert_eq!(chunk(response.body_mut()).await.unwrap(), "one");
    sender.fail("out of words");
    assert!(response.body_mut().frame().await.unwrap().is_err());
    assert_eq!(sizes(&layer).await, (0, 0));
}

// ===== To a client =====

#[tokio::test]
async fn a_server_in_front_frames_a_hit_by_its_length() {
    let origin = Origin::new(async |_, _| Response::new(frames(["ab", "cd"], None))).await;
    let layer = layer();
    let to = origin.url("");
    let gateway = gateway(&layer, move |path| format!("{to}{path}")).await;
    let miss = raw_exchange(gateway, &wire("GET", "/")).await;
    assert!(miss.contains("transfer-encoding: chunked"), "{miss}");
    let hit = raw_exchange(gateway, &wire("GET", "/")).await;
    assert!(hit.contains("content-length: 4\r\n") && !hit.contains("transfer-encoding"), "{hit}");
    assert_eq!(body_of(&hit), "abcd");
    assert_eq!(origin.requests(), 1);
}

/// A response to HEAD has the length of the response to GET, or none (RFC 9110 §8.6).
#[tokio::test]
async fn server_in_front_sends_no_wrong_length_for_a_head() {
    let origin = Origin::new(async |request: Request<Incoming>, _| match request.uri().path() {
        "/known" => ok("abcd"),
        _ => Response::new(frames(["ab", "cd"], None)),
    })
    .await;
    let layer = layer();
    let to = origin.url("");
    let gateway = gateway(&layer, move |path| format!("{to}{path}")).await;
    for path in ["/known", "/unknown"] {
        raw_exchange(gateway, &wire("GET", path)).await;
        let head = raw_exchange(gateway, &wire("HEAD", path)).await.to_ascii_lowercase();
        assert_eq!(body_of(&head), "");
        assert!(!head.contains("content-length: 0"), "{path}: {head}");
        assert_eq!(head.contains("content-length: 4"), path == "/known", "{head}");
    }
    assert_eq!(origin.requests(), 2);
}

/// hyper's server stops polling a body at its length. The body is stored nevertheless.
#[tokio::test]
async fn response_that_a_server_has_sent_in_full_is_stored() {
    for size in [4, 100_000, 3_000_000] {
        let text = "x".repeat(size);
        let origin = Origin::new(move |_, _| {
            let response = ok(text.clone());
            async { response }
        })
        .await;
        let layer = layer();
        let to = origin.url("");
        let gateway = gateway(&layer, move |path| format!("{to}{path}")).await;
        for _ in 0..3 {
            let answer = raw_exchange(gateway, &wire("GET", "/")).await;
            assert_eq!(body_of(&answer).len(), size);
        }
        assert_eq!((origin.requests(), layer.stats().hits), (1, 2), "{size}");
    }
}

#[tokio::test]
async fn an_event_stream_passes_a_gateway_event_by_event() {
    let (sender, origin) = fed(None).await;
    let layer = layer();
    let to = origin.url("");
    let gateway = gateway(&layer, move |path| format!("{to}{path}")).await;
    let request =
        Request::get(format!("http://{gateway}/")).body(Full::<Bytes>::default()).unwrap();
    let mut response = client().oneshot(request).await.unwrap();
    for event in ["data: 1\n\n", "data: 2\n\n"] {
        sender.send(event);
        assert_eq!(chunk(response.body_mut()).await.unwrap(), event);
    }
    drop(response);
    while !sender.is_closed() {
        sender.send("data: more\n\n");
        tokio::task::yield_now().await;
    }
    assert_eq!(sizes(&layer).await, (0, 0));
}

#[tokio::test]
async fn response_is_not_stored_when_the_client_disconnects_midway() {
    let (sender, origin) = fed(Some("1000")).await;
    let layer = layer();
    let to = origin.url("");
    let gateway = gateway(&layer, move |path| format!("{to}{path}")).await;
    let request =
        Request::get(format!("http://{gateway}/")).body(Full::<Bytes>::default()).unwrap();
    let mut response = client().oneshot(request).await.unwrap();
    sender.send("half");
    assert_eq!(chunk(response.body_mut()).await.unwrap(), "half");
    drop(response);
    sender.closed().await;
    assert_eq!(sizes(&layer).await, (0, 0));
}

#[tokio::test]
async fn concurrent_clients_all_get_the_complete_response() {
    let origin = Origin::new(async |request: Request<Incoming>, _| {
        Response::new(full(request.uri().path().repeat(1000)))
    })
    .await;
    let layer = layer();
    let client = layer.layer(client());
    let asks = (0..100).map(|n| {
        let (client, path) = (client.clone(), format!("/{}", n % 10));
        let url = origin.url(&path);
        async move {
            let reply = ask(&client, url).await;
            assert_eq!(reply.status, StatusCode::OK);
            assert_eq!(reply.text(), path.repeat(1000));
        }
    });
    futures_util::future::join_all(asks).await;
    assert_eq!(layer.entries().len().await.unwrap(), 10);
    assert!(origin.requests() >= 10);
}
