//! Every kind of exchange is replayed unchanged.

use std::{
    convert::Infallible,
    error::Error as _,
    io::{self, Write as _},
};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header::DATE};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use larder::{
    RequestBody, store,
    testing::{Cassette, Unrecorded},
};
use tower::Layer;

use crate::support::{
    Reply, Server, assert_explained, client, files, full, get, place, post, record, recorded, say,
    send,
};

const FORM: &str = "application/x-www-form-urlencoded";

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("5"))])
}

fn streamed(frames: Vec<Frame<Bytes>>) -> http_body_util::combinators::BoxBody<Bytes, Infallible> {
    StreamBody::new(stream::iter(frames.into_iter().map(Ok::<_, Infallible>))).boxed()
}

fn answer(_: usize, request: Request<Bytes>) -> Reply {
    let builder = Response::builder();
    let path = request.uri().path();
    let built = match path {
        "/moved" => builder.status(302).header("location", "/other").body(full("")),
        "/missing" => builder.status(404).body(full("no such thing")),
        "/broken" => builder.status(500).body(full("broken")),
        "/empty" => builder.status(204).body(full("")),
        "/private" => builder
            .header("cache-control", "no-store, private")
            .header("vary", "*")
            .header("x-list", "a")
            .header("x-list", "b")
            .body(full("as it is")),
        "/known" if request.headers().contains_key("if-none-match") => {
            builder.status(304).header("etag", "\"1\"").body(full(""))
        }
        "/known" => builder.header("etag", "\"1\"").body(full("the whole")),
        "/part" => match request.headers().get("range") {
            Some(range) => builder
                .status(206)
                .header("content-range", format!("{}/9", range.to_str().unwrap().replace('=', " ")))
                .body(full("the")),
            None => builder.body(full("the whole")),
        },
        "/gzip" => {
            builder.header("content-encoding", "gzip").body(full(&b"\x1f\x8b\x08\0\xff"[..]))
        }
        "/trailers" => builder
            .header("trailer", "x-sum")
            .body(streamed(vec![Frame::data(Bytes::from("ab")), Frame::trailers(trailers())])),
        "/stream" => {
            let chunk = |number: u8| Frame::data(Bytes::from(vec![number; 64 * 1024]));
            builder.body(streamed((0..16).map(chunk).collect()))
        }
        _ => {
            let mut body = format!("{} {path}: ", request.method()).into_bytes();
            body.write_all(request.body()).unwrap();
            builder.body(full(body))
        }
    };
    built.unwrap()
}

fn requests(server: &Server) -> Vec<Request<Full<Bytes>>> {
    let with = |path: &str, name: &str, value: &str| {
        let mut request = get(server.url(path));
        request
            .headers_mut()
            .insert(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
        request
    };
    let of = |method: Method, path: &str| {
        let mut request = get(server.url(path));
        *request.method_mut() = method;
        request
    };
    let mut requests: Vec<_> = [
        "/moved", "/missing", "/broken", "/empty", "/private", "/known", "/part", "/gzip",
        "/stream",
    ]
    .map(|path| get(server.url(path)))
    .into();
    requests.extend([
        with("/known", "if-none-match", "\"1\""),
        with("/part", "range", "bytes=0-2"),
        with("/trailers", "te", "trailers"),
        with("/text", "accept", "text/html"),
        with("/text", "accept", "text/plain"),
        of(Method::HEAD, "/known"),
        of(Method::DELETE, "/text"),
        of(Method::OPTIONS, "/text"),
        of("PURGE".parse().unwrap(), "/text"),
        post(server.url("/text"), "application/json", r#"{"a":1,"b":2}"#),
        post(server.url("/text"), FORM, "a=1&b=2"),
        post(server.url("/text"), "application/octet-stream", vec![0, 159, 146, 150]),
    ]);
    requests
}

#[tokio::test]
async fn every_kind_of_exchange_is_replayed_as_it_was_with_the_server_gone() {
    let (_directory, path) = place();
    let server = Server::new(answer).await;
    let requests = requests(&server);
    let mut expected = Vec::new();
    let recording = client(&record(&path));
    for request in &requests {
        expected.push(send(&recording, request.clone()).await.unwrap());
    }
    drop(recording);
    assert_eq!(server.calls(), requests.len());
    assert_eq!(expected.iter().filter(|it| it.trailers == Some(trailers())).count(), 1);
    assert!(expected.iter().any(|it| it.body.len() == 1 << 20));
    server.end().await;

    let replaying = client(&Cassette::replay(&path).unwrap());
    // In another order, and twice.
    for (request, expected) in requests.iter().zip(&mut expected).rev() {
        for _ in 0..2 {
            let mut received = send(&replaying, request.clone()).await.unwrap();
            // The framing of a body belongs to its connection.
            expected.headers.remove("transfer-encoding");
            assert_eq!(
                received.headers.remove(DATE).is_some(),
                expected.headers.contains_key(DATE)
            );
            received.headers.extend(expected.headers.get(DATE).map(|date| (DATE, date.clone())));
            assert_eq!(received, *expected, "{} {}", request.method(), request.uri());
        }
    }
}

#[tokio::test]
async fn equivalent_bodies_are_the_same_request() {
    let (_directory, path) = place();
    let server = Server::new(answer).await;
    let multipart = |boundary: &str, user: &str| {
        let body = format!(
            "--{boundary}\r\ncontent-disposition: form-data; name=\"user\"\r\n\r\n{user}\r\n\
             --{boundary}--\r\n"
        );
        post(server.url("/x"), &format!("multipart/form-data; boundary={boundary}"), body)
    };
    let json = |body: &'static str| post(server.url("/x"), "application/json", body);
    let form = |body: &'static str| post(server.url("/x"), FORM, body);
    let pairs = [
        (json(r#"{"a":1,"b":[1,2]}"#), json("{ \"b\": [1, 2],\n \"a\": 1 }")),
        (form("a=1&b=x+y"), form("b=x%20y&a=1")),
        (multipart("one", "alice"), multipart("other", "alice")),
        (get(server.url("/x?a=1&b=2")), get(server.url("/x?b=2&a=%31"))),
    ];
    let others = [json(r#"{"a":1,"b":[2,1]}"#), form("a=1&b=xy"), multipart("one", "bob")];
    let recording = client(&record(&path));
    let mut answers = Vec::new();
    for (request, _) in &pairs {
        answers.push(say(&recording, request.clone()).await);
    }
    drop(recording);
    server.end().await;
    let replaying = client(&Cassette::replay(&path).unwrap());
    for ((_, request), answer) in pairs.into_iter().zip(answers) {
        assert_eq!(say(&replaying, request).await, answer);
    }
    for request in others {
        assert!(send(&replaying, request).await.is_err());
    }
}

#[tokio::test]
async fn post_keeps_the_recorded_get_of_its_url() {
    let (_directory, path) = place();
    let server = Server::counting().await;
    let recording = client(&record(&path));
    let url = server.url("/x");
    assert_eq!(say(&recording, get(&url)).await, "answer 1");
    assert_eq!(say(&recording, post(&url, "text/plain", "new")).await, "answer 2");
    let replaying = client(&Cassette::replay(&path).unwrap());
    assert_eq!(say(&replaying, get(&url)).await, "answer 1");
    assert_eq!(say(&replaying, post(&url, "text/plain", "new")).await, "answer 2");
}

/// Many services have one URL for all operations, and name the operation in a header.
#[tokio::test]
async fn operations_named_by_a_header_are_recorded_separately() {
    let (_directory, path) = place();
    let server = Server::counting().await;
    let requests: Vec<_> = [
        ("x-amz-target", "DynamoDB_20120810.ListTables"),
        ("x-amz-target", "DynamoDB_20120810.DescribeLimits"),
        ("soapaction", "\"urn:shop#List\""),
        ("depth", "0"),
        ("depth", "1"),
        ("destination", "/b"),
        ("overwrite", "F"),
        ("x-http-method-override", "DELETE"),
        ("x-http-method", "MERGE"),
        ("x-method-override", "PUT"),
        ("prefer", "return=minimal"),
        ("content-range", "bytes 0-1/4"),
        ("upload-offset", "2"),
        ("last-event-id", "7"),
    ]
    .into_iter()
    .map(|(name, value)| {
        let mut request = post(server.url("/"), "application/json", "{}");
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        request
    })
    .collect();
    let recording = client(&record(&path));
    for request in &requests {
        send(&recording, request.clone()).await.unwrap();
    }
    server.end().await;
    let replaying = client(&Cassette::replay(&path).unwrap());
    for (number, request) in (1..).zip(requests) {
        assert_eq!(say(&replaying, request).await, format!("answer {number}"));
    }
}

#[tokio::test]
async fn a_body_that_breaks_off_is_not_recorded() {
    use tokio::{io::AsyncWriteExt, net::TcpListener};
    let (_directory, path) = place();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut stream = listener.accept().await.unwrap().0;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
        stream.write_all(answer).await.unwrap();
    });
    let cassette = record(&path);
    assert!(send(&client(&cassette), get(&url)).await.is_err());
    assert!(files(&path).keys().all(|file| !file.to_string_lossy().contains('~')));
    let replaying = client(&Cassette::replay(&path).unwrap());
    assert!(send(&replaying, get(&url)).await.is_err());
}

#[tokio::test]
async fn a_body_that_is_dropped_before_its_end_is_not_recorded() {
    let (_directory, path) = place();
    let server = Server::new(answer).await;
    let url = server.url("/stream");
    let recording = client(&record(&path));
    let mut response = recording.request(get(&url)).await.unwrap();
    response.body_mut().frame().await.unwrap().unwrap();
    drop((response, recording));
    assert!(recorded(&path).is_empty());
    let replaying = client(&Cassette::replay(&path).unwrap());
    assert!(send(&replaying, get(&url)).await.unwrap_err().is::<Unrecorded>());
}

/// A request is not sent if it cannot be recorded and found again.
#[tokio::test]
async fn request_without_a_key_is_refused() {
    type Unsync = http_body_util::combinators::UnsyncBoxBody<Bytes, io::Error>;
    let (_directory, path) = place();
    let origin = tower::service_fn(|_: Request<RequestBody<Unsync>>| async {
        Err::<Reply, _>(io::Error::other("the origin was called"))
    });
    let client = Cassette::record(&path).unwrap().layer(origin);
    let frames = |count: usize, last: io::Result<Frame<Bytes>>| {
        let frame = || Ok(Frame::data(Bytes::from_static(b"x")));
        let frames = (0..count).map(move |_| frame()).chain([last]);
        StreamBody::new(stream::iter(frames)).boxed_unsync()
    };
    let good = || Ok(Frame::data(Bytes::new()));
    let error = async |target: &str, body: Unsync| {
        client.request(Request::post(target).body(body).unwrap()).await.unwrap_err()
    };
    for (target, body, reason, cause) in [
        ("http://a/", frames(1, Err(io::Error::other("broken"))), "its body failed", "broken"),
        ("*", frames(1, good()), "its target is neither a path nor a URL", ""),
    ] {
        let error = error(target, body).await.downcast::<store::Error>().unwrap();
        assert_eq!(error.kind(), store::ErrorKind::Invalid);
        assert_eq!(error.source().map(ToString::to_string).unwrap_or_default(), cause);
        assert!(error.to_string().contains(reason), "{error}");
        assert_explained(&error.to_string(), "cannot be recorded");
    }
    for count in [1, 20_000] {
        let sent = error("http://a/", frames(count, good())).await;
        assert_eq!(sent.to_string(), "the origin was called");
    }
}

#[tokio::test]
async fn cache_around_a_cassette_uses_recorded_exchanges() {
    use larder::{CacheLayer, CacheStatus, store::Files};
    let (_directory, path) = place();
    let server = Server::counting().await;
    say(&client(&record(&path)), get(server.url("/a"))).await;
    let url = server.url("/a");
    server.end().await;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let replaying = Cassette::replay(&path).unwrap().layer(http);
    let cached = CacheLayer::private(Files::temporary().unwrap()).layer(replaying);
    for is_hit in [false, true] {
        let response = cached.request(get(&url)).await.unwrap();
        assert_eq!(response.extensions().get::<CacheStatus>().unwrap().is_hit(), is_hit);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "answer 1");
    }
}
