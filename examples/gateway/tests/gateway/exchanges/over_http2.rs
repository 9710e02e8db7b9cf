//! Exchanges over HTTP/2. hyper makes the frames of the client; the bytes at the upstream are raw.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;

use super::{Gets, OK, Upstream, compare, compare_no_whole, pair};
use crate::support::http2;

struct Row {
    what: &'static str,
    method: Method,
    lines: &'static [(&'static str, &'static str)],
    /// A body in one frame. Its length is in no field.
    body: &'static str,
    upstream: Upstream,
    answer: &'static str,
    /// The status, the names of the fields, and the body.
    out: (u16, &'static [&'static str], &'static str),
}

/// A body of which nobody knows the length before it has ended.
pub(super) struct OfUnknownLength(Option<Bytes>);

impl OfUnknownLength {
    pub(super) fn new(text: String) -> Self {
        Self((!text.is_empty()).then(|| text.into()))
    }
}

impl Body for OfUnknownLength {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

/// A body of four bytes, where `Content-Length` says ten. It ends there, or with an error that
/// resets the stream.
struct TooShort {
    data: Option<Bytes>,
    is_reset: bool,
}

impl Body for TooShort {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(match self.data.take() {
            Some(data) => Some(Ok(Frame::data(data))),
            None => self.is_reset.then(|| Err(io::Error::other("the client goes away"))),
        })
    }
}

const OUT: (u16, &[&str], &str) = (200, &["content-length", "cache-status", "via", "date"], "ok");

fn rows() -> Vec<Row> {
    let row = |what, method, lines, body, upstream| Row {
        what,
        method,
        lines,
        body,
        upstream: Gets(upstream),
        answer: OK,
        out: OUT,
    };
    vec![
        row(
            "a GET of unknown length becomes chunked",
            Method::GET,
            &[("if-match", "*")],
            "body",
            "GET / HTTP/1.1\r\nif-match: *\r\n{own}host: a\r\n\
             transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        ),
        Row {
            answer: "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n",
            out: (200, OUT.1, ""),
            ..row(
                "a HEAD of unknown length becomes chunked",
                Method::HEAD,
                &[("if-match", "*")],
                "body",
                "HEAD / HTTP/1.1\r\nif-match: *\r\n{own}host: a\r\n\
                 transfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
            )
        },
        row(
            "a POST of unknown length becomes chunked",
            Method::POST,
            &[],
            "body",
            "POST / HTTP/1.1\r\n{own}host: a\r\ntransfer-encoding: chunked\r\n\r\n\
             4\r\nbody\r\n0\r\n\r\n",
        ),
        row(
            "a GET with a length keeps it",
            Method::GET,
            &[("if-match", "*"), ("content-length", "4")],
            "body",
            "GET / HTTP/1.1\r\nif-match: *\r\ncontent-length: 4\r\n{own}host: a\r\n\
             \r\nbody",
        ),
        row(
            "a POST without a body has a length of zero",
            Method::POST,
            &[],
            "",
            "POST / HTTP/1.1\r\n{own}host: a\r\ncontent-length: 0\r\n\r\n",
        ),
        row(
            "cookie lines are joined",
            Method::GET,
            &[("cookie", "a=1"), ("cookie", "b=2"), ("x-kept", "1"), ("cookie", "c=3")],
            "",
            "GET / HTTP/1.1\r\ncookie: a=1; b=2; c=3\r\nx-kept: 1\r\n{own}host: a\r\n\r\n",
        ),
        row(
            "what a client says about its way does not pass",
            Method::GET,
            &[("x-forwarded-ssl", "on"), ("x_real_ip", "1"), ("x-method-override", "PUT")],
            "",
            "GET / HTTP/1.1\r\n{own}host: a\r\n\r\n",
        ),
        Row {
            answer: "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            out: (204, &["cache-status", "via", "date"], ""),
            ..row(
                "a 204 has no length",
                Method::GET,
                &[],
                "",
                "GET / HTTP/1.1\r\n{own}host: a\r\n\r\n",
            )
        },
    ]
}

#[tokio::test]
async fn each_row_holds() {
    for row in rows() {
        let (origin, gateway) = pair(row.answer);
        let mut request = Request::builder().method(row.method).uri("http://a/");
        for (name, value) in row.lines {
            request = request.header(*name, *value);
        }
        let body = OfUnknownLength::new(row.body.to_owned());
        let mut client = http2(gateway.addr).await;
        let response = client.send_request(request.body(body).unwrap()).await.expect(row.what);
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let names: Vec<_> = parts.headers.keys().map(|name| name.as_str()).collect();
        let out = (parts.status.as_u16(), &*names, std::str::from_utf8(&body).unwrap());
        assert_eq!(out, row.out, "{}", row.what);
        compare(row.what, &origin, &row.upstream, "2");
    }
}

#[tokio::test]
async fn a_body_that_is_reset_or_too_short_is_no_whole_request_to_the_upstream() {
    for (method, lines) in [
        ("POST", &[][..]),
        ("GET", &[("if-match", "*")]),
        // It is read for the key.
        ("GET", &[]),
    ] {
        for (is_reset, has_length) in [(true, true), (true, false), (false, true)] {
            let what = format!("{method} {lines:?}, reset: {is_reset}, length: {has_length}");
            let (origin, gateway) = pair(OK);
            let mut request = Request::builder().method(method).uri("http://a/");
            for (name, value) in lines {
                request = request.header(*name, *value);
            }
            if has_length {
                request = request.header("content-length", "10");
            }
            let data = Some(Bytes::from("body"));
            let request = request.body(TooShort { data, is_reset }).unwrap();
            // hyper resets the stream of a body that is too short. The client need not get a
            // response, but it never gets the upstream's.
            let response = http2(gateway.addr).await.send_request(request).await;
            let is_good = |status: StatusCode| status == StatusCode::BAD_REQUEST;
            assert!(response.is_err() || response.is_ok_and(|it| is_good(it.status())), "{what}");
            // The gateway has dealt with the request when it has answered another one.
            assert_eq!(gateway.get("/next").status(), 200, "{what}");
            let whole: Vec<_> =
                origin.seen().into_iter().filter(|seen| seen.path() != "/next").collect();
            assert!(whole.len() <= 1, "{what}: {whole:?}");
            compare_no_whole(&what, &whole);
            assert!(!gateway.has_said("upstream: "), "{what}: {:?}", gateway.all_said());
        }
    }
}
