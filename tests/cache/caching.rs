//! Which responses are stored, and that they are replayed unchanged.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use larder::{
    CacheLayer, CacheOptions, Key, Outcome, Stored,
    status::{Bypass, Miss, Refusal},
    store::Memory,
};

use crate::support::{
    Double, Reply, Stand, TestBody, empty, frames, full, get, head, line, ok, status, url, with,
};

fn bypass(reason: Bypass) -> Outcome {
    Outcome::Bypass(reason)
}

#[tokio::test]
async fn only_get_and_head_are_cached() {
    for (name, cached) in [
        ("GET", true),
        ("HEAD", true),
        ("POST", false),
        ("PUT", false),
        ("PATCH", false),
        ("DELETE", false),
        ("OPTIONS", false),
        ("TRACE", false),
        ("QUERY", false),
        ("FROBNICATE", false),
        // Methods are case-sensitive (RFC 9110 §9.1).
        ("get", false),
    ] {
        let stand = Stand::new(Double::counting());
        let request = || Request::builder().method(name).uri(url("/"));
        let first = stand.ask(request()).await;
        let second = stand.ask(request()).await;
        assert_eq!(second.is_from_store(), cached, "{name}");
        assert_eq!(stand.calls(), if cached { 1 } else { 2 }, "{name}");
        if !cached {
            assert_eq!(first.outcome(), bypass(Bypass::Method), "{name}");
            assert_eq!(stand.len().await, 0, "{name}");
        }
    }
}

#[tokio::test]
async fn cached_methods_can_be_chosen() {
    let query = Method::from_bytes(b"QUERY").unwrap();
    let chosen = query.clone();
    let stand = Stand::new(Double::counting()).with(|l| l.methods([chosen]).unwrap());
    let request = || Request::builder().method(query.clone()).uri(url("/"));
    stand.ask(request()).await;
    assert!(stand.ask(request()).await.is_from_store());
    assert_eq!(stand.get("/").await.outcome(), bypass(Bypass::Method));
}

#[tokio::test]
async fn a_head_is_answered_from_the_stored_get() {
    let stand = Stand::new(Double::new(|_, _| line(ok("twelve bytes"), "etag", "\"1\"")));
    let fetched = stand.get("/").await;
    let reply = stand.ask(head("/")).await;
    assert!(reply.is_from_store());
    assert_eq!(reply.body, "");
    assert_eq!(reply.headers, fetched.headers);
    assert_eq!(reply.headers["content-length"], "12");
    assert_eq!(stand.calls(), 1);
    assert_eq!(stand.get("/").await.text(), "twelve bytes");
}

#[tokio::test]
async fn trailers_of_a_stored_get_are_not_sent_for_a_head() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    let stand = Stand::new(Double::new(move |_, _| {
        Response::new(frames(["a"], Some(Ok(trailers.clone()))))
    }));
    assert!(stand.get("/").await.trailers.is_some());
    let reply = stand.ask(head("/")).await;
    assert!(reply.is_from_store());
    assert_eq!(reply.trailers, None);
}

#[tokio::test]
async fn stored_head_never_answers_a_get() {
    let stand = Stand::new(Double::new(|request, _| match *request.method() {
        Method::HEAD => line(Response::new(empty()), "content-length", "4"),
        _ => ok("body"),
    }));
    let first = stand.ask(head("/")).await;
    assert_eq!(
        first.stored(),
        Stored::Yes,
        "the Content-Length of a HEAD is not about its own body"
    );
    assert!(stand.ask(head("/")).await.is_from_store());

    let reply = stand.get("/").await;
    assert_eq!(reply.outcome(), Outcome::Miss(Miss::Absent));
    assert_eq!(reply.text(), "body");
    assert_eq!(stand.get("/").await.text(), "body");
    assert_eq!(stand.calls(), 2);
}

#[tokio::test]
async fn stored_head_with_a_custom_key_never_answers_a_get() {
    let stand = Stand::new(Double::new(|request, _| match *request.method() {
        Method::HEAD => Response::new(empty()),
        _ => ok("body"),
    }));
    let own = || CacheOptions::new().key(Key::digest("mine"));
    stand.ask(head("/").extension(own())).await;
    assert!(stand.ask(head("/").extension(own())).await.is_from_store());
    assert_eq!(stand.ask(with(own())).await.text(), "body");
    // A stored `GET` may answer a `HEAD`.
    assert!(stand.ask(head("/").extension(own())).await.is_from_store());
    assert_eq!(stand.ask(with(own())).await.text(), "body");
    assert_eq!(stand.calls(), 2);
}

#[tokio::test]
async fn only_status_200_is_stored() {
    for status in [200, 201, 203, 204, 301, 302, 304, 307, 400, 404, 410, 500, 503, 599] {
        let stand = Stand::new(Double::new(move |_, _| {
            Response::builder().status(status).body(full("answer")).unwrap()
        }));
        let reply = stand.get("/").await;
        assert_eq!((reply.status.as_u16(), reply.text()), (status, "answer"));
        if status == 200 {
            assert_eq!(reply.stored(), Stored::Yes);
        } else {
            assert_eq!(reply.stored(), Stored::No(Refusal::Status), "{status}");
        }
        assert_eq!(stand.get("/").await.is_from_store(), status == 200, "{status}");
    }
}

#[tokio::test]
async fn stored_statuses_can_be_chosen_and_are_replayed() {
    let chosen = [StatusCode::NOT_FOUND, StatusCode::MOVED_PERMANENTLY, StatusCode::NO_CONTENT];
    for status in chosen {
        let stand = Stand::new(Double::new(move |_, _| {
            let body = if status == 204 { empty() } else { full("gone") };
            Response::builder().status(status).header("location", "/new").body(body).unwrap()
        }))
        .with(|layer| layer.statuses(chosen).unwrap());
        stand.get("/").await;
        let reply = stand.get("/").await;
        assert!(reply.is_from_store(), "{status}");
        assert_eq!(reply.status, status);
        assert_eq!(reply.text(), if status == 204 { "" } else { "gone" });
        assert_eq!(reply.headers["location"], "/new");
    }
}

#[tokio::test]
async fn predicate_over_both_heads_decides_what_is_stored() {
    let stand = Stand::new(Double::new(|request, _| {
        line(ok("x"), "x-kind", if request.uri().path() == "/a" { "good" } else { "bad" })
    }))
    .with(|layer| {
        layer.store_if(|request, response| {
            request.headers.contains_key("x-please") && response.headers["x-kind"] == "good"
        })
    });
    let please = |path| get(path).header("x-please", "1");
    assert_eq!(stand.ask(please("/a")).await.stored(), Stored::Yes);
    assert_eq!(stand.ask(get("/a?other")).await.stored(), Stored::No(Refusal::Predicate));
    assert_eq!(stand.ask(please("/b")).await.stored(), Stored::No(Refusal::Predicate));
    assert_eq!(stand.len().await, 1);
}

#[tokio::test]
async fn body_of_the_largest_size_is_stored_and_one_byte_more_is_not() {
    for with_length in [true, false] {
        let answer = move |text: &'static str| {
            let response = Response::new(frames([&text[..2], &text[2..]], None));
            if with_length {
                line(response, "content-length", text.len().to_string())
            } else {
                response
            }
        };
        let stand = Stand::new(Double::new(move |request, _| {
            answer(if request.uri().path() == "/fits" { "1234" } else { "12345" })
        }))
        .with(|layer| layer.max_body(4));

        assert_eq!(stand.get("/fits").await.stored(), Stored::Yes);
        let reply = stand.get("/large").await;
        assert_eq!(reply.text(), "12345", "it passes through whole");
        assert_eq!(reply.stored(), Stored::No(Refusal::TooLarge));
        assert!(!stand.get("/large").await.is_from_store());
        assert_eq!(stand.len().await, 1);
    }
}

#[tokio::test]
async fn new_response_that_is_too_large_leaves_the_old_one_in_place() {
    let stand = Stand::new(Double::new(|_, call| {
        Response::new(if call == 1 { frames(["old"], None) } else { frames(["new", "er"], None) })
    }))
    .with(|layer| layer.max_body(4));
    stand.get("/").await;
    let reply = stand.ask(with(CacheOptions::new().refresh(true))).await;
    assert_eq!(reply.text(), "newer");
    assert_eq!(reply.stored(), Stored::No(Refusal::TooLarge));
    let reply = stand.get("/").await;
    assert!(reply.is_from_store());
    assert_eq!(reply.text(), "old");
}

#[tokio::test]
async fn entry_too_large_for_the_store_is_refused_as_too_large() {
    let inner = Double::new(|_, _| ok("x".repeat(100_000)));
    let stand = Stand::over(larder::store::Memory::new(64 * 1024), inner);
    let reply = stand.get("/").await;
    assert_eq!(reply.text().len(), 100_000);
    assert_eq!(reply.stored(), Stored::No(Refusal::TooLarge));
    assert_eq!(stand.size().await, 0);
    assert_eq!(stand.layer.stats().store_errors, 0);
}

#[tokio::test]
async fn unrequested_206_is_not_stored() {
    let stand = Stand::new(Double::new(|_, _| {
        let mut response = line(ok("01"), "content-range", "bytes 0-1/10");
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        response
    }));
    assert_eq!(stand.get("/").await.stored(), Stored::No(Refusal::Status));
}

#[tokio::test]
async fn requests_with_preconditions_bypass_the_cache() {
    for name in ["if-match", "if-unmodified-since"] {
        let stand = Stand::new(Double::counting());
        stand.get("/").await;
        let reply = stand.ask(get("/").header(name, "x")).await;
        assert_eq!(reply.outcome(), bypass(Bypass::Precondition), "{name}");
        assert_eq!(reply.text(), "2");
        assert_eq!(stand.get("/").await.text(), "1", "the entry is unchanged");
    }
}

/// The cache fetches the whole response in order to store it. It evaluates the caller's condition
/// itself.
#[tokio::test]
async fn callers_condition_is_not_forwarded_and_is_evaluated_by_the_cache() {
    let stand = Stand::new(Double::new(|request, call| {
        assert!(!request.headers().contains_key("if-none-match"));
        line(ok(call.to_string()), "etag", "\"1\"")
    }));
    for hit in [false, true] {
        let reply = stand.ask(get("/").header("if-none-match", "\"1\"")).await;
        assert_eq!((reply.status, reply.is_from_store()), (StatusCode::NOT_MODIFIED, hit));
        assert_eq!((reply.stored(), &reply.body[..]), (Stored::Yes, &b""[..]));
        assert_eq!(reply.lines("etag"), [b"\"1\""]);
    }
    let reply = stand.ask(get("/").header("if-none-match", "\"2\"")).await;
    assert_eq!((reply.status, reply.text()), (StatusCode::OK, "1"));
}

/// The origin evaluates the condition, since nothing may be stored anyway.
#[tokio::test]
async fn callers_condition_is_forwarded_if_nothing_may_be_stored() {
    let stand = Stand::new(Double::new(|request, _| {
        let mut response = Response::new(empty());
        if request.headers().contains_key("if-none-match") {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        response
    }));
    let options = CacheOptions::new().no_store(true);
    let reply = stand.ask(with(options).header("if-none-match", "\"1\"")).await;
    assert_eq!(reply.status, StatusCode::NOT_MODIFIED);
    assert_eq!(reply.stored(), Stored::No(Refusal::NoStore));
}

#[tokio::test]
async fn connect_bypasses_the_cache_even_with_a_custom_key() {
    let stand = Stand::new(Double::counting());
    for _ in 0..2 {
        let options = CacheOptions::new().key(Key::digest("tunnel"));
        let reply = stand.ask(Request::connect("example.com:443").extension(options)).await;
        assert_eq!(reply.outcome(), bypass(Bypass::Method));
    }
    assert_eq!((stand.calls(), stand.len().await), (2, 0));
}

#[tokio::test]
async fn status_101_is_never_stored() {
    let stand =
        Stand::new(Double::new(|_, _| Response::builder().status(101).body(empty()).unwrap()));
    let reply = stand.ask(get("/").header("upgrade", "echo")).await;
    assert_eq!(reply.outcome(), bypass(Bypass::Upgrade));
    // A 101 to a request without `Upgrade` is not stored either.
    assert_eq!(stand.get("/").await.stored(), Stored::No(Refusal::Status));
    assert_eq!((stand.calls(), stand.len().await), (2, 0));
}

/// The crate http-cache keeps only the last of several lines, drops values that are not ASCII, and
/// loses the order.
#[tokio::test]
async fn status_version_header_lines_and_body_are_replayed_exactly() {
    let bytes: Vec<u8> = (0..=255).cycle().take(3000).collect();
    let body = bytes.clone();
    let stand = Stand::new(Double::new(move |_, _| {
        let mut response: Response<TestBody> = Response::new(full(body.clone()));
        *response.version_mut() = Version::HTTP_10;
        for (name, value) in [
            ("set-cookie", &b"a=1; Path=/"[..]),
            ("link", b"</a>; rel=next"),
            ("set-cookie", b"b=2"),
            ("x-odd", b"caf\xe9 \xff"),
            ("link", b"</b>; rel=prev"),
            ("x-empty", b""),
        ] {
            response = line(response, name, value);
        }
        response
    }));
    let fetched = stand.get("/").await;
    let reply = stand.get("/").await;
    assert!(reply.is_from_store());
    assert_eq!((reply.status, reply.version), (StatusCode::OK, Version::HTTP_10));
    assert_eq!(reply.headers, fetched.headers);
    assert_eq!(reply.lines("set-cookie"), [&b"a=1; Path=/"[..], b"b=2"]);
    assert_eq!(reply.lines("x-odd"), [b"caf\xe9 \xff"]);
    let names: Vec<_> = reply.headers.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["set-cookie", "link", "x-odd", "x-empty"]);
    assert_eq!(reply.body, bytes);
    assert_eq!(fetched.body, bytes);
}

/// A body is stored as the bytes that arrived. A compressed body stays compressed, and JSON is not
/// rewritten.
#[tokio::test]
async fn a_content_coding_is_replayed_untouched() {
    let gzip = Bytes::from_static(b"\x1f\x8b\x08\x00not really\x00\xff");
    let body = gzip.clone();
    let stand = Stand::new(Double::new(move |_, _| {
        line(Response::new(full(body.clone())), "content-encoding", "gzip")
    }));
    assert_eq!(stand.get("/").await.body, gzip);
    let reply = stand.get("/").await;
    assert!(reply.is_from_store());
    assert_eq!(reply.body, gzip);
    assert_eq!(reply.headers["content-encoding"], "gzip");
}

#[tokio::test]
async fn headers_of_the_connection_are_not_replayed() {
    let stand = Stand::new(Double::new(|_, _| {
        let response = line(ok("x"), "connection", "x-hop, keep-alive");
        let response = line(response, "keep-alive", "timeout=5");
        line(line(response, "x-hop", "1"), "x-stays", "1")
    }));
    let fetched = stand.get("/").await;
    assert!(fetched.headers.contains_key("x-hop"), "a miss is passed on as it is");
    let reply = stand.get("/").await;
    let names: Vec<_> = reply.headers.keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["content-length", "x-stays"]);
}

#[tokio::test]
async fn extensions_of_a_response_reach_the_caller_of_a_miss() {
    #[derive(Clone, Debug, PartialEq)]
    struct Peer(u32);
    let stand = Stand::new(Double::new(|_, _| {
        let mut response = ok("x");
        response.extensions_mut().insert(Peer(7));
        response
    }));
    let response = stand.call(get("/").body(empty()).unwrap()).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&Peer(7)));
}

#[tokio::test]
async fn head_is_answered_by_a_fresh_get_and_otherwise_by_a_stored_head() {
    let second = std::time::Duration::from_secs(1);
    let stand = Stand::new(Double::new(|_, n| {
        let mut response = ok("body");
        response.headers_mut().insert("x-call", n.into());
        response
    }))
    .with(|layer| layer.expire_after(second * 10));
    let call = |reply: &Reply| reply.lines("x-call")[0].to_vec();
    stand.get("/").await;
    stand.clock.advance(second);
    let refresh = CacheOptions::new().refresh(true);
    assert_eq!(call(&stand.ask(head("/").extension(refresh.clone())).await), b"2");
    assert_eq!(call(&stand.ask(head("/")).await), b"1", "the response to the GET is fresh");
    stand.clock.advance(second * 9);
    assert_eq!(
        call(&stand.ask(head("/")).await),
        b"2",
        "that has expired, and the response to the HEAD has not"
    );
    stand.clock.advance(second);
    stand.ask(get("/").extension(refresh)).await;
    assert_eq!(call(&stand.ask(head("/")).await), b"3");
    assert_eq!(stand.calls(), 3);
}

#[tokio::test]
async fn all_statuses_stores_every_whole_response() {
    let inner = Double::new(|request, _| status(request.uri().path()[1..].parse().unwrap()));
    let stand = Stand::new(inner).with(|layer| layer.all_statuses());
    for code in [200, 204, 301, 404, 410, 500, 503] {
        assert_eq!(stand.get(&format!("/{code}")).await.stored(), Stored::Yes, "{code}");
    }
    for code in [206, 304] {
        let stored = stand.get(&format!("/{code}")).await.stored();
        assert_eq!(stored, Stored::No(Refusal::Status), "{code}");
    }
}

#[tokio::test]
async fn statuses_are_given_as_numbers() {
    let inner = Double::new(|request, _| status(request.uri().path()[1..].parse().unwrap()));
    let stand = Stand::new(inner).with(|layer| layer.statuses([200, 404]).unwrap());
    for (code, stored) in [(200, true), (404, true), (410, false)] {
        assert_eq!(stand.get(&format!("/{code}")).await.stored() == Stored::Yes, stored, "{code}");
    }
    for code in [99, 1000, 206] {
        let error = CacheLayer::private(Memory::default()).statuses([code]).unwrap_err();
        assert_eq!(error.setting(), "statuses", "{error}");
    }
}
