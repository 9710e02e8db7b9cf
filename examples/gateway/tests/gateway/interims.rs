//! Interim responses, between others.

use std::{io::Write, thread, time::Duration};

use crate::support::{Gate, Gateway, Origin, ok, status, until};

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n";

#[test]
fn an_interim_response_comes_before_the_final_one_is_sent() {
    let gate = Gate::default();
    let opened = gate.clone();
    let origin = Origin::start(move |_, stream| {
        write!(stream, "HTTP/1.1 102 Processing\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n{HINTS}")?;
        opened.wait();
        write!(stream, "{}", ok("", "final"))
    });
    let gateway = Gateway::start(origin.addr);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head(), "HTTP/1.1 102 Processing\r\n\r\n");
    assert_eq!(client.head(), HINTS);
    gate.open();
    let response = client.response();
    assert_eq!((response.status(), response.body.as_str()), (200, "final"));
    assert!(response.fields("link").is_empty());

    // It is not stored, and does not come again.
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let response = client.response();
    assert!(response.is_hit() && response.fields("link").is_empty(), "{response:?}");
}

#[test]
fn an_interim_response_in_one_piece_with_the_final_one_comes_first() {
    let origin = Origin::start(|_, stream| write!(stream, "{HINTS}{}", ok("", "final")));
    let gateway = Gateway::start(origin.addr);
    let mut client = gateway.connect();
    for number in 0..50 {
        client.send(&format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.head(), HINTS);
        assert_eq!(client.response().body, "final");
    }
    // HTTP/1.0 knows none.
    let mut old = gateway.connect();
    old.send("GET /old HTTP/1.0\r\n\r\n");
    let rest = old.rest();
    assert!(rest.starts_with("HTTP/1.0 200 OK") && rest.ends_with("\r\n\r\nfinal"), "{rest}");
    assert!(!rest.contains("103"), "{rest}");
}

#[test]
fn an_interim_response_tears_nothing_apart_that_is_pipelined_before_it() {
    // More than the sockets take. When the next request is taken up, hyper still holds the end of
    // it.
    let body = "0123456789".repeat(2_000_000);
    let (sent, gate) = (body.clone(), Gate::default());
    let opened = gate.clone();
    let origin = Origin::start(move |request, stream| match request.path() {
        "/large" => write!(stream, "{}", ok("", &sent)),
        _ => {
            write!(stream, "{HINTS}")?;
            opened.wait();
            write!(stream, "{}", ok("", "final"))
        }
    });
    let gateway = Gateway::start(origin.addr);
    gateway.get("/large");
    let mut client = gateway.connect();
    let host = "Host: example.com\r\n\r\n";
    client.send(&format!("GET /large HTTP/1.1\r\n{host}GET /next HTTP/1.1\r\n{host}"));
    assert!(client.head().contains("larder; hit"));
    let mut large = String::new();
    until(|| {
        if large.len() + 100_000 < body.len() {
            large.push_str(&client.bytes(10_000));
        }
        origin.seen().len() == 2
    });
    // Time for the hints to reach the gateway. Whether they have or not, nothing may be torn apart.
    thread::sleep(Duration::from_millis(100));
    large.push_str(&client.bytes(body.len() - large.len()));
    assert!(large == body);
    assert_eq!(client.head(), HINTS);
    gate.open();
    assert_eq!(client.response().body, "final");
}

#[test]
fn hints_without_end_are_left_out_and_the_response_comes() {
    let origin =
        Origin::start(|_, stream| write!(stream, "{}{}", HINTS.repeat(20_000), ok("", "final")));
    let gateway = Gateway::start(origin.addr);
    let mut client = gateway.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut head = client.head();
    while status(&head) == 103 {
        assert_eq!(head, HINTS);
        head = client.head();
    }
    assert_eq!(status(&head), 200);
    assert_eq!(client.bytes(5), "final");
}

#[test]
fn a_client_that_sends_its_body_late_gets_both_interim_responses_whole() {
    let origin = Origin::start(|_, stream| {
        write!(stream, "{HINTS}")?;
        std::io::Read::read_exact(stream, &mut [0; 4])?;
        write!(stream, "{}", ok("", "final"))
    });
    let gateway = Gateway::start(origin.addr);
    let mut client = gateway.connect();
    for _ in 0..50 {
        let lines = "Host: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n";
        client.send(&format!("PUT / HTTP/1.1\r\n{lines}\r\n"));
        let mut heads = [client.head(), client.head()];
        heads.sort();
        assert_eq!(heads, ["HTTP/1.1 100 Continue\r\n\r\n", HINTS]);
        client.send("body");
        assert_eq!(client.response().body, "final");
    }
}

#[test]
fn what_a_refresh_in_the_background_announces_is_in_nobodys_response() {
    let gate = Gate::default();
    let opened = gate.clone();
    let origin = Origin::start(move |request, stream| {
        let lines = "Cache-Control: max-age=0, stale-while-revalidate=60\r\n";
        match request.path() {
            "/slow" => opened.wait(),
            _ => write!(stream, "{HINTS}")?,
        }
        write!(stream, "{}", ok(lines, request.path()))
    });
    let gateway = Gateway::by_http(origin.addr, &[]);
    let mut client = gateway.connect();
    client.send("GET /stale HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.head(), HINTS);
    assert_eq!(client.response().body, "/stale");
    // Stale, and refreshed behind the response: the hints of that come while the next request is
    // under way.
    client.send("GET /stale HTTP/1.1\r\nHost: a\r\n\r\nGET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    let stale = client.response();
    assert!(stale.is_hit() && stale.fields("link").is_empty(), "{stale:?}");
    until(|| gateway.admin("GET", "/stats").body.contains("stored: 2,"));
    gate.open();
    assert_eq!(client.response().body, "/slow");
}
