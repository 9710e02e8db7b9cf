//! Upstreams that fail, hang and lie, and clients that do nothing.

use std::io::{ErrorKind, Write};

use crate::support::{Gate, Gateway, Origin, nobody, ok};

/// Flags of a gateway whose patience ends within a test, and yet is longer than a busy machine takes, or one that stands
/// still for a moment.
const PATIENCE: [&str; 4] = ["--expire-after", "1h", "--timeout", "5s"];

#[test]
fn an_upstream_that_is_not_there_is_a_502_and_the_connection_goes_on() {
    let (_kept, addr) = nobody();
    let gateway = Gateway::start(addr);
    let mut client = gateway.connect();
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!(response.status(), 502);
        assert_eq!(response.body, "502 Bad Gateway: the upstream gave no answer of use\n");
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
fn a_request_that_the_upstream_has_seen_is_not_sent_again() {
    let origin = Origin::start(|request, stream| match request.path() {
        "/first" => write!(stream, "{}", ok("", "a")),
        _ => Err(ErrorKind::Other.into()),
    });
    let gateway = Gateway::start(origin.addr);
    let mut client = gateway.connect();
    for (method, path) in [("GET", "/get"), ("POST", "/post"), ("GET", "/another")] {
        // A connection that is kept, for the next to be sent on.
        gateway.admin("POST", "/purge?url=http://example.com/first");
        assert_eq!(client.get("/first").status(), 200);
        let lines = "Host: example.com\r\nContent-Length: 0\r\n";
        assert_eq!(client.ask(method, path, lines).status(), 502);
        let seen = origin.seen();
        assert_eq!(seen.iter().filter(|seen| seen.path() == path).count(), 1);
    }
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
