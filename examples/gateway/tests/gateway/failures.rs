//! Upstreams that fail, hang and lie, and clients that do nothing.

use std::{
    collections::HashSet,
    io::{ErrorKind, Write},
    sync::Mutex,
};

use crate::support::{Gate, Gateway, Origin, nobody, ok};

/// Flags of a gateway whose patience ends within a test, and yet is longer than a busy machine
/// takes, or one that stands still for a moment.
const PATIENCE: [&str; 4] = ["--expire-after", "1h", "--timeout", "5s"];

#[test]
fn an_upstream_that_is_not_there_is_a_502_and_the_connection_goes_on() {
    let (_kept, addr) = nobody();
    let gateway = Gateway::start(addr);
    let mut client = gateway.connect();
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!(response.status(), 502);
        assert_eq!(response.body, "502 Bad Gateway: the upstream gave no usable answer\n");
    }
    let line = gateway.logged("GET / 502");
    assert!(line.ends_with(" -"), "{line}");
}

#[test]
fn an_upstream_that_hangs_is_a_504_and_the_connection_goes_on() {
    let gate = Gate::default();
    let closed = gate.clone();
    let origin = Origin::start(move |request, stream| match request.path() {
        "/hangs" => {
            closed.wait();
            Err(ErrorKind::Other.into())
        }
        path => write!(stream, "{}", ok("", path)),
    });
    let gateway = Gateway::with(origin.addr, &PATIENCE);
    let mut client = gateway.connect();
    let response = client.get("/hangs");
    assert_eq!(response.status(), 504);
    assert_eq!(response.body, "504 Gateway Timeout: the upstream took too long\n");
    assert_eq!(client.get("/answers").body, "/answers");
    gate.open();
}

#[test]
fn a_body_that_breaks_off_breaks_the_connection_and_is_not_stored() {
    let gate = Gate::default();
    let closed = gate.clone();
    let origin = Origin::start(move |request, stream| {
        let lines = if request.path() == "/length" {
            "Content-Length: 100\r\n\r\nhalf"
        } else {
            "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
        };
        write!(stream, "HTTP/1.1 200 OK\r\n{lines}")?;
        if request.path() == "/hangs" {
            closed.wait();
        }
        Err(ErrorKind::Other.into())
    });
    let gateway = Gateway::with(origin.addr, &PATIENCE);
    for path in ["/length", "/chunked", "/hangs"] {
        for _again in 0..2 {
            let mut client = gateway.connect();
            client.send(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            let rest = client.rest();
            assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 200 OK"), "{rest}");
            assert!(!rest.ends_with("0\r\n\r\n"), "{path}: {rest}");
        }
    }
    gate.open();
    assert_eq!(origin.seen().len(), 6);
}

#[test]
fn a_connection_on_which_more_came_than_was_promised_is_not_used_again() {
    let origin = Origin::start(|_, stream| {
        let surplus = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad";
        // In one piece: what comes later than the next request cannot be told from its response.
        stream.write_all(format!("{}{surplus}", ok("", "0123456789")).as_bytes())
    });
    let gateway = Gateway::start(origin.addr);
    let mut client = gateway.connect();
    for number in 0..50 {
        assert_eq!(client.get(&format!("/{number}")).body, "0123456789");
    }
    let connections: Vec<usize> = origin.seen().iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, (0..50).collect::<Vec<_>>());
}

#[test]
fn a_safe_request_is_sent_once_more_where_its_pooled_connection_is_closed() {
    let firsts = Mutex::new(HashSet::new());
    let origin = Origin::start(move |request, stream| match request.path() {
        "/broken" => Err(ErrorKind::Other.into()),
        // The first request on a connection is answered.
        path => match firsts.lock().unwrap().insert(request.connection) {
            true if path == "/head" => write!(stream, "HTTP/1.1 204 No Content\r\n\r\n"),
            true => write!(stream, "{}", ok("", path)),
            false => Err(ErrorKind::Other.into()),
        },
    });
    let cases = [
        // method, path, lines, status, times at the upstream
        ("GET", "/get", "", 200, 2),
        ("HEAD", "/head", "", 204, 2),
        ("OPTIONS", "/options", "", 200, 2),
        ("GET", "/broken", "", 502, 2),
        ("POST", "/post", "Content-Length: 0\r\n", 502, 1),
        ("PUT", "/put", "Content-Length: 0\r\n", 502, 1),
        ("DELETE", "/delete", "", 502, 1),
        ("GET", "/body", "If-Match: *\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", 502, 1),
    ];
    for (method, path, lines, status, times) in cases {
        let gateway = Gateway::start(origin.addr);
        let mut client = gateway.connect();
        let before = origin.seen().len();
        // A connection that is kept, for the next request.
        client.get("/first");
        let pooled = origin.seen()[before].connection;
        assert_eq!(client.ask(method, path, &format!("Host: a\r\n{lines}")).status(), status);
        let seen = origin.seen().split_off(before + 1);
        assert_eq!(seen.len(), times, "{method} {path}: {seen:#?}");
        assert_eq!(seen[0].connection, pooled);
        assert!(seen[1..].iter().all(|request| request.connection != pooled));
    }
}

#[test]
fn a_request_is_not_sent_again_where_its_connection_was_new() {
    let origin = Origin::start(|_, _| Err(ErrorKind::Other.into()));
    let gateway = Gateway::start(origin.addr);
    assert_eq!(gateway.get("/").status(), 502);
    assert_eq!(origin.seen().len(), 1);
}

#[test]
fn clients_that_do_nothing_are_let_go() {
    let origin = Origin::echo();
    let gateway = Gateway::with(origin.addr, &PATIENCE);
    let idle = [
        "",
        // As far as it goes, this is the preface of HTTP/2.
        "PRI * HT",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTT",
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf",
    ]
    .map(|unfinished| {
        let mut client = gateway.connect();
        client.send(unfinished);
        (unfinished, client)
    });
    // One whose time for a next request is over, too.
    let mut served = gateway.connect();
    assert_eq!(served.get("/").status(), 200);
    for (unfinished, mut client) in idle {
        // What comes may be nothing, or a 4xx, or a 504, or the settings of HTTP/2; then it ends.
        let mut all = Vec::new();
        match std::io::Read::read_to_end(&mut client.0, &mut all) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{unfinished}"),
        }
    }
    assert_eq!(served.rest(), "");
}
