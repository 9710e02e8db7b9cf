//! What one client can hold, and for how long.

use std::{
    io::{ErrorKind, Read, Write},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};

use crate::support::{Client, Gate, Gateway, Origin, http2, ok, until};

/// The gateway waits for a client for six seconds.
const PATIENCE: [&str; 4] = ["--expire-after", "1h", "--timeout", "3s"];

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream], payload].concat()
}

/// A frame with the head of a request for `http://a/`.
fn headers(method: u8, flags: u8, stream: u8) -> Vec<u8> {
    frame(1, flags | 4, stream, &[method, 0x86, 0x84, 0x41, 1, b'a'])
}

const GET: u8 = 0x82;
const POST: u8 = 0x83;

/// Sends `first`, and then `drip` again and again, until the gateway ends the connection. Returns
/// what has come until then.
fn drip(gateway: &Gateway, first: &[u8], drip: &[u8]) -> Vec<u8> {
    let mut client = gateway.connect();
    let stream = client.0.get_mut();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    stream.write_all(first).unwrap();
    let (mut all, mut buffer) = (Vec::new(), vec![0; 64 * 1024]);
    let end = Instant::now() + Duration::from_secs(60);
    let mut drips = drip.iter().cycle();
    // A drip of HTTP/2 is a frame, which is whole; one of HTTP/1.1 is a byte.
    let len = if drip.first() == Some(&0) { drip.len() } else { 1 };
    while Instant::now() < end {
        match stream.read(&mut buffer) {
            Ok(0) => return all,
            Ok(read) => all.extend(&buffer[..read]),
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::TimedOut].contains(&error.kind()) => {
                let next: Vec<u8> = drips.by_ref().take(len).copied().collect();
                if stream.write_all(&next).is_err() {
                    return all;
                }
            }
            Err(_) => return all,
        }
    }
    panic!("the connection stays: {:?}", String::from_utf8_lossy(first));
}

#[test]
fn a_client_that_sends_a_byte_now_and_then_is_disconnected() {
    // More than the windows of HTTP/2 and the buffers of the sockets take.
    let body = "0123456789".repeat(1_000_000);
    let origin = Origin::reads(move |_| ok("", &body));
    let gateway = Gateway::with(origin.addr, &PATIENCE);
    let settings = frame(4, 0, 0, &[]);
    let no_window = frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]);
    let ping = frame(6, 0, 0, &[0; 8]);
    let cases: [(&str, Vec<u8>, &[u8], &str); 9] = [
        ("pings", [PREFACE, &settings].concat(), &ping, ""),
        ("pings behind a request", [PREFACE, &settings, &headers(GET, 1, 1)].concat(), &ping, ""),
        (
            "pings, and a response without a window",
            [PREFACE, &no_window, &headers(GET, 1, 1)].concat(),
            &ping,
            "",
        ),
        (
            "a body of HTTP/2",
            [PREFACE, &settings, &headers(POST, 0, 1)].concat(),
            &frame(0, 0, 1, b"a"),
            "",
        ),
        ("a preface", b"P".to_vec(), &PREFACE[1..], ""),
        ("a head", b"G".to_vec(), b"ET / HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ""),
        (
            "a body",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n".to_vec(),
            b"a",
            "HTTP/1.1 408 ",
        ),
        (
            "a body that is read for the key",
            b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n".to_vec(),
            b"a",
            "HTTP/1.1 408 ",
        ),
        (
            "chunks",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
            b"1\r\na\r\n",
            "HTTP/1.1 408 ",
        ),
    ];
    thread::scope(|scope| {
        for (what, first, drips, answer) in &cases {
            let gateway = &gateway;
            scope.spawn(move || {
                let all = drip(gateway, first, drips);
                assert!(
                    all.starts_with(answer.as_bytes()),
                    "{what}: {:?}",
                    String::from_utf8_lossy(&all[..all.len().min(100)])
                );
            });
        }
    });
    assert!(!gateway.has_said("gateway: upstream: nothing"));
}

#[test]
fn a_slow_but_steady_client_is_served() {
    let body = "0123456789".repeat(1_000_000);
    let large = body.clone();
    let origin = Origin::start(move |request, stream| match request.path() {
        "/large" => write!(stream, "{}", ok("", &large)),
        "/events" => {
            write!(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            for _ in 0..10 {
                thread::sleep(Duration::from_secs(1));
                write!(stream, "1\r\na\r\n")?;
            }
            write!(stream, "0\r\n\r\n")
        }
        _ => {
            stream.read_exact(&mut [0; 2_000])?;
            write!(stream, "{}", ok("", "uploaded"))
        }
    });
    let gateway = Gateway::with(origin.addr, &PATIENCE);
    thread::scope(|scope| {
        // Each takes longer than the gateway waits for a client.
        scope.spawn(|| {
            let mut client = gateway.connect();
            client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n");
            for _ in 0..10 {
                thread::sleep(Duration::from_secs(1));
                client.send(&"a".repeat(200));
            }
            assert_eq!(client.response().body, "uploaded");
        });
        scope.spawn(|| assert_eq!(gateway.get("/events").body, "a".repeat(10)));
        scope.spawn(|| {
            let mut client = gateway.connect();
            client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
            client.head();
            for part in body.as_bytes().chunks(1_000_000) {
                thread::sleep(Duration::from_secs(1));
                assert_eq!(client.bytes(part.len()).as_bytes(), part);
            }
        });
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_process_keeps_its_connections_when_it_continues() {
    let gate = Gate::default();
    let opened = gate.clone();
    let origin = Origin::reads(move |request| {
        if request.path() == "/slow" {
            opened.wait();
        }
        ok("", &format!("{}{}", request.path(), request.body))
    });
    let gateway = Gateway::with(origin.addr, &PATIENCE);
    let mut idle = gateway.connect();
    idle.get("/idle");
    let mut fresh = gateway.connect();
    let mut head = gateway.connect();
    head.send("GET /head HTTP/1.1\r\nHo");
    let mut body = gateway.connect();
    body.send("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbo");
    let mut slow = gateway.connect();
    slow.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut modern = http2::<Empty<Bytes>>(gateway.addr).await;
    let get = || Request::get("http://a/modern").body(Empty::new()).unwrap();
    modern.send_request(get()).await.unwrap().into_body().collect().await.unwrap();
    until(|| origin.seen().len() == 3);

    gateway.signal("-STOP");
    // Longer than the gateway waits for clients, and for the upstream.
    tokio::time::sleep(Duration::from_secs(10)).await;
    gateway.signal("-CONT");
    // The gateway has seen by then that its timers are over.
    tokio::time::sleep(Duration::from_secs(1)).await;

    assert_eq!(idle.get("/idle").body, "/idle");
    assert_eq!(fresh.get("/fresh").body, "/fresh");
    head.send("st: a\r\n\r\n");
    assert_eq!(head.response().body, "/head");
    body.send("dy");
    assert_eq!(body.response().body, "/bodybody");
    gate.open();
    assert_eq!(slow.response().body, "/slow");
    assert_eq!(modern.send_request(get()).await.unwrap().status(), 200);
}

#[test]
fn one_address_has_a_share_of_the_places() {
    let origin = Origin::echo();
    let share = ["--expire-after", "1h", "--connections-per-client", "2"];
    let gateway = Gateway::with(origin.addr, &share);
    let mut first = gateway.connect();
    let mut second = gateway.connect();
    assert_eq!(first.get("/first").status(), 200);
    assert_eq!(second.get("/second").status(), 200);
    assert_eq!(gateway.connect().rest(), "");
    gateway.said("gateway: too many connections of 127.0.0.1: ");
    let mut other = Client::connect_from([127, 0, 0, 2], gateway.addr);
    assert_eq!(other.get("/other").status(), 200);
    assert_eq!(first.get("/again").status(), 200);
    // A place that is left is free.
    drop(second);
    until(|| {
        let mut next = gateway.connect();
        let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
        next.0.get_mut().write_all(request).is_ok() && !next.rest().is_empty()
    });
}

#[test]
fn a_trusted_gateway_in_front_has_no_connection_limit() {
    let origin = Origin::echo();
    let flags = ["--expire-after", "1h", "--connections-per-client", "2", "--trust-forwarded"];
    let gateway = Gateway::with(origin.addr, &flags);
    let mut many = [(); 10].map(|()| gateway.connect());
    for client in &mut many {
        assert_eq!(client.get("/").status(), 200);
    }
}
