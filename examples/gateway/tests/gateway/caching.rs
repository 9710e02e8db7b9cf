//! What is kept, under which key, for how long, and how it is removed.

use std::io::Write;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};

use crate::support::{Gateway, Origin, http2, ok, place};

#[test]
fn the_second_request_is_answered_from_the_store() {
    let origin = Origin::echo();
    let gateway = Gateway::start(origin.addr);
    let [first, second] = ["/a?token=secret"; 2].map(|path| gateway.get(path));
    assert_eq!((first.status(), first.body.as_str()), (200, "/a?token=secret"));
    assert_eq!(first.fields("cache-status"), ["larder; fwd=uri-miss; stored; ttl=3600"]);
    assert_eq!(second.body, first.body);
    assert!(second.is_hit(), "{second:?}");
    assert_eq!(origin.seen().len(), 1);

    let line = gateway.logged("hit");
    assert!(line.starts_with("127.0.0.1 GET /a 200 15B "), "{line}");
    let line = gateway.logged("miss (absent)");
    assert!(line.starts_with("127.0.0.1 GET /a 200 15B "), "{line}");
}

#[test]
fn each_host_that_clients_ask_for_has_keys_of_its_own() {
    let origin = Origin::start(|request, stream| {
        write!(stream, "{}", ok("", &request.fields("host").concat()))
    });
    let gateway = Gateway::start(origin.addr);
    let ask = |target, lines| gateway.connect().ask("GET", target, lines);
    assert_eq!(ask("/", "Host: a.example\r\n").body, "a.example");
    assert_eq!(ask("/", "Host: b.example\r\n").body, "b.example");
    // The host of an absolute target is the one that counts (RFC 9112 §3.2.2).
    let absolute = ask("http://b.example/", "Host: a.example\r\n");
    assert!(absolute.is_hit() && absolute.body == "b.example", "{absolute:?}");
    // The origin sees the host as it was sent, and may answer differently.
    let other = ask("http://B.example:80/", "Host: a.example\r\n");
    assert!(!other.is_hit() && other.body == "B.example:80", "{other:?}");
    assert_eq!(ask("http://c.example?q", "Host: a.example\r\n").body, "c.example");
    assert_eq!(origin.seen()[3].path(), "/?q");
}

#[test]
fn what_a_client_varies_by_is_what_the_origin_sees() {
    let origin = Origin::start(|request, stream| {
        let lines = "Vary: X-Named, Accept-Language\r\n";
        write!(stream, "{}", ok(lines, &request.fields("accept-language").concat()))
    });
    let gateway = Gateway::start(origin.addr);
    let ask = |lines: &str| {
        gateway.connect().ask("GET", "/", &format!("Host: a\r\nAccept-Language: {lines}\r\n"))
    };
    assert_eq!(ask("de").body, "de");
    assert_eq!(ask("fr").body, "fr");
    // What is named in `Connection` does not reach the origin, and so makes no variant.
    assert!(ask("de\r\nX-Named: 1\r\nConnection: X-Named").is_hit());
}

#[test]
fn a_store_on_disk_outlives_the_gateway() {
    let origin = Origin::echo();
    let (_folder, path) = place("cache.redb");
    let store = format!("redb:{path}");
    let flags = ["--expire-after", "1h", "--store", &store];
    let gateway = Gateway::with(origin.addr, &flags);
    assert!(!gateway.get("/kept").is_hit());
    gateway.terminate();
    assert!(gateway.wait().success());

    let gateway = Gateway::with(origin.addr, &flags);
    assert!(gateway.get("/kept").is_hit());
    assert_eq!(origin.seen().len(), 1);
}

#[test]
fn an_expired_response_is_served_if_the_upstream_fails() {
    let origin = Origin::start(|request, stream| match request.connection {
        0 => write!(stream, "{}", ok("Connection: close\r\n", "old")),
        _ => Err(std::io::ErrorKind::Other.into()),
    });
    // Whatever is stored has expired by the next request.
    let flags = ["--expire-after", "1ns", "--stale-if-error", "1h"];
    let gateway = Gateway::with(origin.addr, &flags);
    assert_eq!(gateway.get("/").body, "old");
    let stale = gateway.get("/");
    assert_eq!((stale.status(), stale.body.as_str()), (200, "old"));
    assert!(stale.fields("cache-status")[0].ends_with("detail=stale-if-error"), "{stale:?}");
    assert_eq!(gateway.get("/another").status(), 502);
}

#[test]
fn purges_remove_a_url_and_what_bears_a_tag() {
    let origin = Origin::start(|request, stream| {
        let tags = if request.path() == "/c" { "other" } else { "news, all" };
        write!(stream, "{}", ok(&format!("Cache-Tag: {tags}\r\n"), request.path()))
    });
    let gateway = Gateway::start(origin.addr);
    let hits = || ["/a", "/b", "/c"].map(|path| gateway.get(path).is_hit());
    assert_eq!(hits(), [false; 3]);
    assert_eq!(hits(), [true; 3]);

    let purged = |what: &str| gateway.admin("POST", &format!("/purge?{what}")).body;
    assert_eq!(purged("url=http://example.com/a"), "1 removed\n");
    assert_eq!(hits(), [false, true, true]);
    assert_eq!(purged("url=https://example.com/a"), "1 removed\n");
    assert_eq!(purged("url=http://example.com/nothing"), "0 removed\n");
    assert_eq!(hits(), [false, true, true]);
    assert_eq!(purged("tag=news"), "2 removed\n");
    assert_eq!(hits(), [false, false, true]);

    for (method, target, status) in [
        ("GET", "/purge?tag=news", 405),
        ("POST", "/purge", 400),
        ("POST", "/purge?tag=a&url=http://a/", 400),
        ("POST", "/purge?tags=a", 400),
        ("POST", "/purge?url=%20", 400),
    ] {
        assert_eq!(gateway.admin(method, target).status(), status, "{target}");
    }
    assert_eq!(hits(), [true; 3]);
    let stats = gateway.admin("GET", "/stats").body;
    assert!(stats.contains("hits: 11,") && stats.contains("misses: 7,"), "{stats}");
    // The gateway itself has no such paths.
    assert_eq!(gateway.get("/stats").body, "/stats");
}

#[test]
fn a_scrape_finds_what_was_done() {
    let origin = Origin::echo();
    let gateway = Gateway::with(origin.addr, &["--expire-after", "1h", "--name", "shop"]);
    assert_eq!(["/a", "/a", "/a", "/b"].map(|path| gateway.get(path).status()), [200; 4]);
    let scraped = gateway.admin("GET", "/metrics");
    assert_eq!(scraped.fields("content-type"), ["text/plain; version=0.0.4"]);
    for line in [
        "# HELP larder_requests_total Requests, by outcome and reason",
        "# TYPE larder_requests_total counter",
        "larder_requests_total{cache=\"shop\",outcome=\"hit\"} 2",
        "larder_requests_total{cache=\"shop\",outcome=\"miss\",reason=\"absent\"} 2",
        "larder_stored_bytes_total{cache=\"shop\"} 4",
        "larder_calls_in_flight{cache=\"shop\"} 0",
        "# TYPE larder_store_seconds histogram",
        "larder_store_seconds_count{cache=\"shop\",operation=\"get\"} 4",
    ] {
        assert!(scraped.body.lines().any(|have| have == line), "{line}: {}", scraped.body);
    }
}

#[test]
fn by_the_http_rules_the_headers_decide_and_the_flag_where_they_are_silent() {
    let origin = Origin::start(|request, stream| {
        let lines = match request.path() {
            "/never" => "Cache-Control: no-store\r\n",
            "/minutes" => "Cache-Control: max-age=600\r\n",
            _ => "",
        };
        write!(stream, "{}", ok(lines, "a"))
    });
    let gateway = Gateway::by_http(origin.addr, &[]);
    let status = |gateway: &Gateway, path| gateway.get(path).fields("cache-status").concat();
    // What is stored, and for how many seconds: somewhat fewer than were meant, where the answer
    // took some time.
    let ttl = |status: String| -> u64 {
        let (_, ttl) = status.split_once("; stored; ttl=").expect(&status);
        ttl.parse().unwrap()
    };
    for path in ["/never", "/silent"] {
        for _ in 0..2 {
            assert!(status(&gateway, path).contains("fwd=uri-miss; detail="), "{path}");
        }
    }
    assert!((300..=600).contains(&ttl(status(&gateway, "/minutes"))));
    let hit = gateway.get("/minutes");
    assert!(hit.is_hit() && hit.fields("age").len() == 1, "{hit:?}");

    let gateway = Gateway::by_http(origin.addr, &["--expire-after", "1h"]);
    assert!((3_300..=3_600).contains(&ttl(status(&gateway, "/silent"))));
    assert!((300..=600).contains(&ttl(status(&gateway, "/minutes"))));
    assert!(status(&gateway, "/never").contains("detail="));
}

/// Each response has the length of the whole, whoever asks and how.
#[tokio::test]
async fn a_head_from_the_store_has_the_length_of_the_get() {
    let origin = Origin::start(|request, stream| {
        let head = "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nContent-Length: 11\r\n\r\n";
        let body = if request.head.starts_with("HEAD") { "" } else { "hello there" };
        write!(stream, "{head}{body}")
    });
    for of_get in [false, true] {
        let gateway = Gateway::start(origin.addr);
        let method = if of_get { "GET" } else { "HEAD" };
        let mut first = gateway.connect();
        first.send(&format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        first.rest();
        let mut client = gateway.connect();
        client.send("HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let response = client.rest();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("larder; hit") && body.is_empty(), "{method}: {response}");
        assert!(head.contains("content-length: 11"), "{method}: {head}");

        let request = http::Request::head("http://a/").body(Empty::<Bytes>::new()).unwrap();
        let response = http2(gateway.addr).await.send_request(request).await.unwrap();
        let line = |name| response.headers()[name].to_str().unwrap().to_owned();
        assert!(line("cache-status").starts_with("larder; hit"), "{method}: {response:?}");
        assert_eq!(line("content-length"), "11", "{method}");
        assert!(response.into_body().collect().await.unwrap().to_bytes().is_empty());

        let lines = "Host: a\r\nIf-None-Match: \"a\"\r\nConnection: close\r\n";
        let mut client = gateway.connect();
        client.send(&format!("GET / HTTP/1.1\r\n{lines}\r\n"));
        let response = client.rest();
        let expected = if of_get { "304" } else { "200" };
        assert!(response.starts_with(&format!("HTTP/1.1 {expected}")), "{response}");
        assert!(!response.contains("content-length: 0"), "{response}");
    }
}
