//! The lines that the gateway writes, and what happens where nobody reads them.

use std::io::Write;

use crate::support::{Client, Gateway, Origin, nobody, ok, until};

#[test]
fn requests_are_answered_while_nobody_reads_the_output() {
    let origin = Origin::start(|request, stream| match request.path() {
        "/fails" => write!(stream, "no line of HTTP\r\n\r\n"),
        path => write!(stream, "{}", ok("", path)),
    });
    let gateway = Gateway::start(origin.addr);
    gateway.stop_listening();
    let mut client = gateway.connect();
    // Each of these is a line of the access log, and some are lines of standard error, too.
    for _ in 0..3 {
        assert_eq!(client.get("/a").body, "/a");
        assert_eq!(client.get("/fails").status(), 502);
        assert_eq!(client.ask("GET", "*", "Host: a\r\n").status(), 400);
        let chunk = "Host: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
        assert_eq!(gateway.connect().ask("POST", "/", chunk).status(), 400);
        gateway.connect().send("no line of HTTP\r\n\r\n");
    }
    assert_eq!(gateway.admin("GET", "/stats").status(), 200);
    gateway.terminate();
    assert!(gateway.wait().success());
}

#[test]
fn requests_are_answered_while_the_reader_of_the_output_stalls() {
    let origin = Origin::echo();
    let gateway = Gateway::start(origin.addr);
    let held = gateway.hold_output();
    // More lines than the pipe takes.
    let path = format!("/{}", "a".repeat(10_000));
    let mut client = gateway.connect();
    for _ in 0..50 {
        assert_eq!(client.get(&path).body, path);
        assert_eq!(gateway.connect().ask("GET", "*", "Host: a\r\n").status(), 400);
    }
    drop(held);
    gateway.terminate();
    assert!(gateway.wait().success());
}

#[test]
fn connections_are_accepted_again_after_too_many_files_were_open() {
    let origin = Origin::echo();
    for is_read in [true, false] {
        let gateway = Gateway::with_files(origin.addr, 40);
        if !is_read {
            gateway.stop_listening();
        }
        let mut many: Vec<Client> = (0..60).map(|_| gateway.connect()).collect();
        let mut last = many.pop().unwrap();
        // It waits in the queue of the listener.
        last.send("GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        if is_read {
            gateway.said("gateway: cannot accept a connection: ");
        }
        drop(many);
        assert_eq!(last.response().body, "/last");
        assert_eq!(gateway.get("/next").body, "/next");
    }
}

#[test]
fn every_request_is_a_line_of_the_log_in_the_order_of_its_connection() {
    let origin = Origin::echo();
    let gateway = Gateway::start(origin.addr);
    gateway.get("/a");
    let mut client = gateway.connect();
    for number in 0..2_000 {
        let status = client.ask("GET", &format!("/a?{}", number % 2), "Host: a\r\n").status();
        assert_eq!(status, 200);
        client.ask("GET", "*", &format!("Host: {number}\r\n"));
    }
    gateway.get("/last");
    gateway.logged(" GET /last ");
    let lines = gateway.all_logged();
    let statuses: Vec<_> = lines.iter().filter_map(|line| line.split(' ').nth(3)).collect();
    let pairs = [["200", "400"]; 2_000];
    assert_eq!(statuses, [&["200"], pairs.as_flattened(), &["200"]].concat());
}

#[test]
fn a_path_cannot_forge_the_log() {
    let origin = Origin::echo();
    let gateway = Gateway::start(origin.addr);
    let paths = [
        ("/nel\u{85}x", "/nel\\u{85}x"),
        ("/csi\u{9b}2Jx", "/csi\\u{9b}2Jx"),
        ("/ls\u{2028}x", "/ls\\u{2028}x"),
        ("/ps\u{2029}x", "/ps\\u{2029}x"),
        ("/rtl\u{202e}x", "/rtl\\u{202e}x"),
        ("/ü", "/ü"),
    ];
    for (path, logged) in paths {
        let status = gateway.connect().ask("GET", path, "Host: a\r\n").status();
        assert_eq!(status, 200, "{path}");
        gateway.logged(&format!(" GET {logged} 200 "));
    }
}

#[test]
fn a_broken_request_body_is_logged_as_the_clients_fault() {
    let origin = Origin::reads(|_| ok("", "a"));
    let gateway = Gateway::start(origin.addr);
    for method in ["GET", "POST"] {
        for lines in ["", "If-Match: *\r\n"] {
            let lines = format!("Host: a\r\n{lines}Transfer-Encoding: chunked\r\n\r\nzz\r\n");
            assert_eq!(gateway.connect().ask(method, "/", &lines).status(), 400);
        }
    }
    gateway.said("gateway: client 127.0.0.1: the request's body is broken");
    let (_kept, addr) = nobody();
    let failing = Gateway::start(addr);
    failing.get("/");
    failing.said("gateway: upstream: ");
    assert!(!gateway.has_said("gateway: upstream: "));
    until(|| gateway.has_said("the request's body is broken"));
}
