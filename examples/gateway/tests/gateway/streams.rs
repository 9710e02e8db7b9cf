//! Bodies on their way, over HTTP/1.1 and HTTP/2.

use std::io::{Read, Write};

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Empty};

use crate::support::{Gate, Gateway, Origin, http2};

#[test]
fn the_first_chunk_comes_before_the_last_is_sent() {
    let gate = Gate::default();
    let opened = gate.clone();
    let origin = Origin::start(move |_, stream| {
        write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")?;
        opened.wait();
        write!(stream, "4\r\nlast\r\n0\r\n\r\n")
    });
    let gateway = Gateway::start(origin.addr);
    let mut clients = [gateway.connect(), gateway.connect()];
    for client in &mut clients {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(client.head().starts_with("HTTP/1.1 200 OK"));
        assert_eq!(client.chunk(), "first");
    }
    gate.open();
    for client in &mut clients {
        assert_eq!((client.chunk(), client.chunk()), ("last".into(), String::new()));
    }
    assert_eq!(origin.seen().len(), 1, "the second client reads along");
}

#[test]
fn an_upload_streams_too() {
    let gate = Gate::default();
    let arrived = gate.clone();
    let origin = Origin::start(move |_, stream| {
        let mut part = [0; 10];
        stream.read_exact(&mut part)?;
        assert_eq!(&part, b"5\r\nfirst\r\n");
        arrived.open();
        stream.read_exact(&mut [0; 14])?;
        write!(stream, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
    });
    let gateway = Gateway::start(origin.addr);
    let mut client = gateway.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
    gate.wait();
    client.send("4\r\nlast\r\n0\r\n\r\n");
    assert_eq!(client.response().status(), 201);
}

#[test]
fn a_client_that_expects_continue_is_told_to() {
    let origin = Origin::start(|_, stream| {
        stream.read_exact(&mut [0; 4])?;
        write!(stream, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
    });
    let gateway = Gateway::start(origin.addr);
    let mut client = gateway.connect();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
    assert_eq!(client.head(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("body");
    assert_eq!(client.response().status(), 201);
}

#[test]
fn a_large_body_passes_whole_and_again_from_the_store() {
    let body: String = (0..3_000_000).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
    let sent = body.clone();
    let origin = Origin::start(move |_, stream| {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{sent}", sent.len())
    });
    let gateway = Gateway::start(origin.addr);
    for is_hit in [false, true] {
        let response = gateway.get("/");
        assert_eq!(response.is_hit(), is_hit);
        assert!(response.body == body);
    }
}

#[tokio::test]
async fn http2_in_clear_shares_what_http1_has_stored() {
    let origin = Origin::echo();
    let gateway = Gateway::start(origin.addr);
    assert!(!gateway.get("/a").is_hit());

    let mut sender = http2(gateway.addr).await;
    let mut ask = async |path: &str| {
        let url = format!("http://example.com{path}");
        let request = Request::get(url).version(Version::HTTP_2);
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        let response = sender.send_request(request).await.unwrap();
        let status = response.headers()["cache-status"].to_str().unwrap().to_owned();
        (status, response.into_body().collect().await.unwrap().to_bytes())
    };
    let (status, body) = ask("/a").await;
    assert!(status.starts_with("larder; hit"), "{status}");
    assert_eq!(body, "/a");
    let (status, body) = ask("/b").await;
    assert!(status.starts_with("larder; fwd=uri-miss; stored"), "{status}");
    assert_eq!(body, "/b");
    let request = &origin.seen()[1];
    assert_eq!(request.fields("via"), ["2 larder"]);
    assert_eq!(request.fields("host"), ["example.com"]);
    assert!(request.head.starts_with("GET /b HTTP/1.1\r\n"));
    assert!(gateway.get("/b").is_hit());
}
