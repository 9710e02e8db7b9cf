//! The table of raw exchanges: bytes from the client, bytes at the upstream, bytes to the client.

mod over_http1;
mod over_http2;

use http::Request;

use crate::support::{Gateway, Origin, Seen, http2, until};

/// What the upstream gets of a request.
enum Upstream {
    /// These bytes. `{own}` stands for the lines that the gateway adds.
    Gets(&'static str),
    /// Nothing, or a request that it can tell is not whole.
    GetsNoWhole,
}

use Upstream::{Gets, GetsNoWhole};
use over_http2::OfUnknownLength;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A gateway in front of an origin that answers every request with these bytes.
fn pair(answer: &'static str) -> (Origin, Gateway) {
    let origin = Origin::reads(move |_| answer.to_owned());
    let gateway = Gateway::by_http(origin.addr, &["--expire-after", "1h"]);
    (origin, gateway)
}

/// Compares what came to the upstream with what should. `version` is that of the client.
fn compare(what: &str, origin: &Origin, upstream: &Upstream, version: &str) {
    match upstream {
        Gets(expected) => {
            let own = format!(
                "forwarded: for=127.0.0.1;host=\"a\";proto=http\r\nx-forwarded-for: 127.0.0.1\r\n\
                 x-forwarded-host: a\r\nx-forwarded-proto: http\r\nvia: {version} larder\r\n"
            );
            until(|| !origin.seen().is_empty());
            let got: Vec<_> = origin.seen().iter().map(bytes).collect();
            assert_eq!(got, [expected.replace("{own}", &own)], "{what}");
        }
        GetsNoWhole => compare_no_whole(what, &origin.seen()),
    }
}

/// Compares what came to the upstream with nothing, or a request that it can tell is not whole.
fn compare_no_whole(what: &str, seen: &[Seen]) {
    for request in seen {
        let is_chunked = request.fields("transfer-encoding") == ["chunked"];
        let length = request.fields("content-length").first().map(|text| text.parse());
        let is_short = length.is_some_and(|length| length != Ok(request.body.len()));
        let is_open = is_chunked && !request.body.ends_with("0\r\n\r\n");
        assert!(is_short || is_open, "{what}: {request:?}");
    }
}

/// A request as it came to the upstream.
fn bytes(seen: &Seen) -> String {
    format!("{}{}", seen.head, seen.body)
}

/// A response without the lines that differ between runs.
fn steady(response: &str) -> String {
    let is_steady =
        |line: &&str| !line.starts_with("date: ") && !line.starts_with("cache-status: ");
    response.split_inclusive('\n').filter(is_steady).collect()
}

#[tokio::test]
async fn a_body_that_is_too_large_for_the_key_passes_whole() {
    // More than the cache reads for a key.
    let body = "0123456789".repeat(150_000);
    for method in ["GET", "HEAD", "POST"] {
        let (origin, gateway) = pair("HTTP/1.1 204 No Content\r\n\r\n");
        let mut client = gateway.connect();
        let head = format!("{method} / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(&format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()));
        assert_eq!(client.response().status(), 204);
        let request = Request::builder().method(method).uri("http://a/");
        let mut client = http2(gateway.addr).await;
        let request = request.body(OfUnknownLength::new(body.clone())).unwrap();
        assert_eq!(client.send_request(request).await.unwrap().status(), 204);
        assert_eq!(origin.seen().len(), 2);
        for request in origin.seen() {
            assert_eq!(request.fields("transfer-encoding"), ["chunked"], "{method}");
            let lines = request.body.split("\r\n");
            // Chunks are the lines that are not the size of one.
            let chunks: String = lines.skip(1).step_by(2).collect();
            assert!(chunks == body, "{method}: {} bytes", chunks.len());
        }
    }
}
