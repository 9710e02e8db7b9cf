//! Answers that come before the request has been sent, and heads of many lines.

use std::{
    fmt::Write as _,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    thread,
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};

use crate::support::{Gate, Gateway, Origin, http2, ok};

const TOO_LARGE: &str = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n";

/// Sends a large body, and reads what comes. Returns the answer, and whether the gateway took all
/// of the body.
fn upload(gateway: &Gateway, framing: &str, part: &[u8]) -> (String, bool) {
    let mut client = gateway.connect();
    let mut stream: TcpStream = client.0.get_ref().try_clone().unwrap();
    client.send(&format!("POST / HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
    let part = part.to_vec();
    let sent = thread::spawn(move || (0..1_000).all(|_| stream.write_all(&part).is_ok()));
    let response = client.response();
    (format!("{} {}", response.status(), response.body), sent.join().unwrap())
}

#[test]
fn an_early_answer_reaches_the_client() {
    let length = format!("Content-Length: {}", 16_000 * 1_000);
    let chunk = [&b"3e80\r\n"[..], &[b'a'; 16_000], b"\r\n"].concat();
    let framings = [(&*length, vec![b'a'; 16_000]), ("Transfer-Encoding: chunked", chunk)];
    // The upstream reads nothing, and closes; or it reads a part, and closes.
    for read in [0, 100_000] {
        let origin = Origin::start(move |_, stream| {
            stream.read_exact(&mut vec![0; read])?;
            // In one piece: what is not sent when the connection is reset never is.
            stream.write_all(format!("{TOO_LARGE}Connection: close\r\n\r\nfull").as_bytes())?;
            Err(ErrorKind::Other.into())
        });
        let gateway = Gateway::start(origin.addr);
        for (framing, part) in &framings {
            for _ in 0..20 {
                // Many clients send all before they read. They must not fail to send.
                let (answer, is_sent) = upload(&gateway, framing, part);
                assert_eq!((&*answer, is_sent), ("413 full", true), "{read} {framing}");
            }
        }
    }
}

#[test]
fn an_early_answer_of_an_upstream_that_stays_reaches_the_client() {
    let gate = Gate::default();
    let closed = gate.clone();
    let origin = Origin::start(move |_, stream| {
        write!(stream, "{TOO_LARGE}\r\nfull")?;
        closed.wait();
        Err(ErrorKind::Other.into())
    });
    let gateway = Gateway::with(origin.addr, &["--expire-after", "1h", "--timeout", "3s"]);
    let length = format!("Content-Length: {}", 16_000 * 1_000);
    assert_eq!(upload(&gateway, &length, &[b'a'; 16_000]).0, "413 full");
    gate.open();
}

#[test]
fn a_refusal_of_the_gateway_reaches_a_client_that_still_sends() {
    let origin = Origin::echo();
    let gateway = Gateway::start(origin.addr);
    let length = format!("Content-Length: {}\r\nVia: 1.1 larder", 16_000 * 1_000);
    for _ in 0..20 {
        let (answer, is_sent) = upload(&gateway, &length, &[b'a'; 16_000]);
        assert!(answer.starts_with("508 508 Loop Detected: ") && is_sent, "{answer}");
    }
    assert!(origin.seen().is_empty());
}

#[tokio::test]
async fn an_early_answer_reaches_a_client_over_http2() {
    let origin = Origin::start(|_, stream| {
        stream.write_all(format!("{TOO_LARGE}Connection: close\r\n\r\nfull").as_bytes())?;
        Err(ErrorKind::Other.into())
    });
    let gateway = Gateway::start(origin.addr);
    let mut client = http2(gateway.addr).await;
    for _ in 0..20 {
        let body = Full::new(Bytes::from(vec![b'a'; 16_000_000]));
        let response = client.send_request(Request::post("http://a/").body(body).unwrap());
        let response = response.await.unwrap();
        assert_eq!(response.status(), 413);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "full");
    }
}

#[test]
fn heads_of_many_lines_pass_in_both_directions() {
    let lines = |count: usize| {
        (0..count).fold(String::new(), |mut lines, number| {
            write!(lines, "x-{number}: {number}\r\n").unwrap();
            lines
        })
    };
    for count in [101, 4_000] {
        let sent = lines(count);
        let origin = Origin::start(move |_, stream| write!(stream, "{}", ok(&sent, "a")));
        let gateway = Gateway::start(origin.addr);
        for is_hit in [false, true] {
            let request = format!("Host: a\r\n{}", lines(count));
            let response = gateway.connect().ask("GET", "/", &request);
            assert_eq!((response.status(), response.is_hit()), (200, is_hit), "{count}");
            assert!(response.head.contains(&lines(count)), "{count}");
        }
        assert!(origin.seen()[0].head.contains(&lines(count)));
    }
}
