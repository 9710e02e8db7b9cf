//! What is of one connection and what goes further, in both directions; and what does not pass at
//! all.

use std::io::Write;

use crate::support::{Client, Gateway, Origin, ok};

const HOST: &str = "Host: example.com\r\n";

#[test]
fn fields_of_one_connection_go_no_further() {
    let hop_by_hop = "Connection: X-Named, close\r\nconnection: X-Other\r\nX-Named: 1\r\nX-Other: 1\r\n\
                      Keep-Alive: timeout=5\r\nProxy-Connection: close\r\nProxy-Authenticate: Basic\r\n\
                      Proxy-Authentication-Info: a\r\nProxy-Authorization: a\r\nUpgrade: h2c\r\n\
                      X-Kept: a\r\nX-Kept: b\r\nTrailer: x-sum\r\n";
    let names = [
        "x-named",
        "x-other",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authentication-info",
        "proxy-authorization",
        "upgrade",
        "expect",
        "te",
    ];
    let origin = Origin::start(move |request, stream| match request.path() {
        "/chunked" => {
            let lines = "Transfer-Encoding: chunked\r\n";
            write!(stream, "HTTP/1.1 200 OK\r\n{lines}{hop_by_hop}\r\n1\r\na\r\n0\r\n\r\n")
        }
        _ => write!(stream, "{}", ok(hop_by_hop, "a")),
    });
    let gateway = Gateway::start(origin.addr);
    let lines = format!("{HOST}{hop_by_hop}TE: gzip\r\nExpect: 100-continue\r\n");
    for (method, path) in
        [("GET", "/"), ("GET", "/"), ("GET", "/chunked"), ("GET", "/chunked"), ("PUT", "/")]
    {
        let response = gateway.connect().ask(method, path, &lines);
        assert_eq!(response.body, "a");
        for name in names {
            assert!(response.fields(name).is_empty(), "{name} in {}", response.head);
        }
        // What it says of its own connection: the client asked for that.
        assert_eq!(response.fields("connection"), ["close"]);
        assert_eq!(response.fields("x-kept"), ["a", "b"]);
        assert_eq!(response.fields("trailer"), ["x-sum"]);
    }
    assert_eq!(origin.seen().len(), 3);
    for request in origin.seen() {
        for name in names.into_iter().chain(["connection"]) {
            assert!(request.fields(name).is_empty(), "{name} in {}", request.head);
        }
        assert_eq!(request.fields("x-kept"), ["a", "b"]);
    }
}

/// Without the fields that say for whom or for how long a message may be used, the cache would
/// share what it must not. Every other field that `Connection` names is of one connection (RFC 9110
/// §7.6.1).
#[test]
fn connection_removes_the_fields_it_names_except_those_that_limit_reuse() {
    let origin = Origin::start(|_, stream| {
        let lines = "Connection: age, vary, Pragma, cache-control, cdn-cache-control, expires\r\n\
                     Connection: set-cookie, etag, Last-Modified, x-hop\r\nAge: 0\r\nVary: a\r\n\
                     Pragma: b\r\nCache-Control: no-store\r\nCDN-Cache-Control: no-store\r\n\
                     Expires: 0\r\nSet-Cookie: c=1\r\nETag: \"e\"\r\n\
                     Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\nX-Hop: 1\r\n";
        write!(stream, "{}", ok(lines, "a"))
    });
    let gateway = Gateway::start(origin.addr);
    let lines = "Connection: authorization, Cache-Control, PRAGMA, x-hop\r\nAuthorization: a\r\n\
                 Cache-Control: no-cache\r\nPragma: no-cache\r\nX-Hop: 1\r\n";
    let response = gateway.connect().ask("GET", "/", &format!("{HOST}{lines}"));
    let request = &origin.seen()[0];
    for name in ["authorization", "cache-control", "pragma"] {
        assert_eq!(request.fields(name).len(), 1, "{name} in {}", request.head);
    }
    for name in ["age", "vary", "pragma", "cache-control", "cdn-cache-control", "expires"] {
        assert_eq!(response.fields(name).len(), 1, "{name}");
    }
    for name in ["set-cookie", "etag", "last-modified", "x-hop"] {
        assert!(response.fields(name).is_empty(), "{name}");
    }
    assert!(request.fields("x-hop").is_empty());
}

#[test]
fn trailers_pass_where_the_client_takes_them_and_come_again_with_a_hit() {
    let origin = Origin::start(|_, stream| {
        let lines = "Transfer-Encoding: chunked\r\nTrailer: x-sum\r\n";
        write!(stream, "HTTP/1.1 200 OK\r\n{lines}\r\n1\r\na\r\n0\r\nx-sum: 42\r\n\r\n")
    });
    let gateway = Gateway::start(origin.addr);
    for is_hit in [false, true] {
        let lines = format!("{HOST}TE: gzip;q=0.5, Trailers\r\nConnection: te\r\n");
        let response = gateway.connect().ask("GET", "/", &lines);
        assert_eq!((response.is_hit(), response.body.as_str()), (is_hit, "ax-sum: 42\r\n"));
    }
    let request = &origin.seen()[0];
    assert_eq!(
        (request.fields("te"), request.fields("connection")),
        (vec!["trailers".to_owned()], vec!["te".to_owned()])
    );
}

#[test]
fn the_way_is_written_down_in_both_directions() {
    let origin = Origin::start(|_, stream| write!(stream, "{}", ok("Via: 1.0 far\r\n", "a")));
    let gateway = Gateway::with(origin.addr, &["--expire-after", "1h", "--name", "near"]);
    let lines = "Host: example.com:8080\r\nVia: 1.0 first\r\nForwarded: for=\"_a\";host=evil\r\n\
                 X-Forwarded-Host: evil\r\nX-Original-URL: /admin\r\n";
    for _hit_or_miss in 0..2 {
        let response = gateway.connect().ask("GET", "/", lines);
        assert_eq!(response.fields("via"), ["1.0 far", "1.1 near"]);
        assert!(response.fields("cache-status")[0].starts_with("near; "));
    }
    let request = &origin.seen()[0];
    assert_eq!(request.fields("via"), ["1.0 first", "1.1 near"]);
    let own = "for=127.0.0.1;host=\"example.com:8080\";proto=http";
    assert_eq!(request.fields("forwarded"), [own], "a client's word is not the gateway's");
    assert_eq!(request.fields("x-forwarded-host"), ["example.com:8080"]);
    assert!(request.fields("x-original-url").is_empty());
    assert_eq!(request.fields("host"), ["example.com:8080"]);
}

#[test]
fn a_request_that_comes_back_is_refused() {
    let origin = Origin::echo();
    let gateway = Gateway::start(origin.addr);
    for via in ["1.1 larder", "1.0 fred, 1.1  larder (me)", "2 a\r\nVia: 1.1\tLarder"] {
        let response = gateway.connect().ask("GET", "/", &format!("{HOST}Via: {via}\r\n"));
        assert_eq!(response.status(), 508, "{via}");
    }
    for via in ["1.1 larder2", "1.1 other (larder)"] {
        let response = gateway.connect().ask("GET", "/", &format!("{HOST}Via: {via}\r\n"));
        assert_eq!(response.status(), 200, "{via}");
    }
    // A gateway whose upstream is itself, by way of another.
    let far = Gateway::with(gateway.addr, &["--expire-after", "1h", "--name", "far"]);
    assert_eq!(far.get("/far").status(), 200);
    let loops = Gateway::start(far.addr);
    assert_eq!(loops.get("/loops").status(), 508);
}

#[test]
fn what_has_no_sense_here_is_refused() {
    let origin = Origin::echo();
    let gateway = Gateway::start(origin.addr);
    for (method, target, lines, status) in [
        ("CONNECT", "example.com:443", HOST, 501),
        ("OPTIONS", "*", HOST, 501),
        ("TRACE", "/", HOST, 501),
        ("GET", "/", "", 400),
        ("GET", "/", "Host: a\r\nHost: b\r\n", 400),
        ("GET", "/", "Host: me@example.com\r\n", 400),
        ("GET", "/", "Host: a b\r\n", 400),
        ("GET", "/", "Host: a/b\r\n", 400),
        ("POST", "/", "Host: a\r\nTransfer-Encoding: gzip, chunked\r\n", 501),
    ] {
        let response = gateway.connect().ask(method, target, lines);
        assert_eq!(response.status(), status, "{method} {target} {lines}: {response:?}");
    }
    let large = format!("{HOST}X-Large: {}\r\n", "a".repeat(70_000));
    assert_eq!(gateway.connect().ask("GET", "/", &large).status(), 431);
    assert_eq!(origin.seen().len(), 0);

    // HTTP/1.0 need not name a host.
    let mut old = gateway.connect();
    old.send("GET /old HTTP/1.0\r\n\r\n");
    assert!(old.rest().ends_with("/old"));
    assert_eq!(origin.seen()[0].fields("host"), [origin.addr.to_string()]);
    assert_eq!(origin.seen()[0].fields("via"), ["1.0 larder"]);
}

#[test]
fn an_upgrade_is_not_passed_on_and_the_request_is_answered() {
    let origin = Origin::echo();
    let gateway = Gateway::start(origin.addr);
    let lines = format!("{HOST}Connection: upgrade\r\nUpgrade: websocket\r\n");
    assert!(!gateway.connect().ask("GET", "/", &lines).is_hit());
    assert!(gateway.connect().ask("GET", "/", &lines).is_hit());
}

#[test]
fn an_upstream_that_talks_nonsense_is_a_bad_one() {
    let origin = Origin::start(|request, stream| match request.path() {
        "/101" => write!(stream, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: a\r\n\r\n"),
        "/coding" => {
            let lines = "Transfer-Encoding: GZip, chunked\r\n";
            write!(stream, "HTTP/1.1 200 OK\r\n{lines}\r\n1\r\na\r\n0\r\n\r\n")
        }
        _ => write!(stream, "SSH-2.0-OpenSSH_9.2\r\n"),
    });
    let gateway = Gateway::start(origin.addr);
    for path in ["/101", "/coding", "/ssh"] {
        assert_eq!(gateway.get(path).status(), 502, "{path}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let origin = Origin::echo();
    let gateway = Gateway::start(origin.addr);
    let mut client = Client::connect(gateway.addr);
    let paths: Vec<String> = (0..50).map(|number| format!("/{}", number % 20)).collect();
    let requests: String =
        paths.iter().map(|path| format!("GET {path} HTTP/1.1\r\n{HOST}\r\n")).collect();
    client.send(&requests);
    for path in &paths {
        assert_eq!(client.response().body, *path);
    }
    assert_eq!(origin.seen().len(), 20);
}
