//! The setting `key_all_headers`: all request headers are part of the key.

use http::{Method, Request, request};

use crate::support::{Double, Stand, get, line, ok, tagged, url};

/// A cache with all headers in its key.
fn stand(inner: Double) -> Stand {
    Stand::new(inner).with(|layer| layer.key_all_headers(true))
}

fn forwarded(host: &'static str) -> request::Builder {
    get("/").header("x-forwarded-host", host)
}

#[tokio::test]
async fn any_header_separates_requests() {
    let stand = stand(Double::counting());
    assert!(!stand.get("/").await.is_from_store());
    for (name, value) in
        [("user-agent", "a"), ("user-agent", "b"), ("accept", "a"), ("x-forwarded-host", "a")]
    {
        let of = || get("/").header(name, value);
        assert!(!stand.ask(of()).await.is_from_store(), "{name}: {value}");
        assert!(stand.ask(of()).await.is_hit(), "{name}: {value}");
    }
    let both = || get("/").header("accept", "a").header("user-agent", "b");
    assert!(!stand.ask(both()).await.is_from_store());
    let reordered = get("/").header("User-Agent", "b").header("Accept", " a ");
    assert!(stand.ask(reordered).await.is_hit());
}

#[tokio::test]
async fn headers_of_connection_caching_and_tracing_do_not_separate_requests() {
    let stand = stand(Double::counting());
    stand.get("/").await;
    for (name, value) in [
        ("connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic eDp5"),
        ("host", "example.com"),
        ("expect", "100-continue"),
        ("cache-control", "max-age=0"),
        ("pragma", "no-cache"),
        ("content-length", "0"),
        ("priority", "u=1"),
        ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ("tracestate", "a=b"),
    ] {
        assert!(stand.ask(get("/").header(name, value)).await.is_hit(), "{name}");
    }
}

#[tokio::test]
async fn ignored_headers_are_named_in_any_case_and_left_out_of_the_key() {
    let stand = stand(Double::counting())
        .with(|layer| layer.add_ignored_headers(["X-REQUEST-ID", "Authorization"]).unwrap());
    let of = |id: &str| get("/").header("x-request-id", id).header("AUTHORIZATION", id);
    assert!(!stand.ask(of("1")).await.is_from_store());
    assert!(stand.ask(of("2")).await.is_hit());
    assert!(!stand.ask(of("1").header("cookie", "a=1")).await.is_from_store());
}

/// A client must not be able to take a field that the origin uses out of the key.
#[tokio::test]
async fn a_header_that_connection_names_separates_requests() {
    let inner = Double::new(|request, _| {
        let host = request.headers().get("x-forwarded-host");
        ok(host.map_or("none", |host| host.to_str().unwrap()))
    });
    let stand = stand(inner);
    let attack = forwarded("evil.example").header("connection", "x-forwarded-host");
    assert_eq!(stand.ask(attack).await.text(), "evil.example");
    let reply = stand.ask(get("/").header("connection", "x-forwarded-host")).await;
    assert_eq!((reply.text(), reply.is_from_store()), ("none", false));
    assert_eq!(stand.ask(forwarded("a.example")).await.text(), "a.example");
}

#[tokio::test]
async fn conditional_and_range_requests_find_the_stored_whole_response() {
    let stand = stand(Double::new(|request, _| tagged(&request, "\"1\"", "0123456789")));
    let of = || get("/").header("accept", "a");
    stand.ask(of()).await;
    let known = stand.ask(of().header("if-none-match", "\"1\"")).await;
    assert_eq!((known.status.as_u16(), known.is_hit()), (304, true));
    let part = stand.ask(of().header("range", "bytes=2-3").header("if-range", "\"1\"")).await;
    assert_eq!((part.status.as_u16(), part.text(), part.is_hit()), (206, "23", true));
    assert_eq!(stand.len().await, 1);
}

#[tokio::test]
async fn a_stale_response_is_revalidated_under_its_own_key() {
    use std::time::Duration;
    let stand = stand(Double::new(|request, _| tagged(&request, "\"1\"", "text")))
        .with(|layer| layer.expire_after(Duration::from_secs(60)));
    let of = || get("/").header("accept", "a");
    stand.ask(of()).await;
    stand.clock.advance(Duration::from_secs(61));
    assert_eq!(stand.ask(of()).await.text(), "text");
    assert_eq!(stand.inner.take_seen()[1].conditions().0, Some("\"1\""));
    assert!(stand.ask(of()).await.is_hit());
    assert_eq!((stand.calls(), stand.len().await), (2, 1));
}

#[tokio::test]
async fn vary_by_a_header_of_the_key_makes_no_variants() {
    let inner = Double::new(|_, call| line(ok(call.to_string()), "vary", "accept, range"));
    let stand = stand(inner)
        .with(|layer| layer.http_rules().expire_after(std::time::Duration::from_secs(60)));
    for accept in ["a", "b"] {
        let of = || get("/").header("accept", accept);
        assert!(!stand.ask(of()).await.is_from_store());
        assert!(stand.ask(of()).await.is_hit());
    }
    assert!(!stand.get("/").await.is_from_store(), "without the header, too");
    assert!(stand.get("/").await.is_hit());
}

#[tokio::test]
async fn removal_by_url_removes_the_responses_for_all_headers() {
    let stand = stand(Double::counting()).with(|l| l.methods([Method::GET, Method::POST]).unwrap());
    for agent in ["a", "b"] {
        stand.ask(get("/").header("user-agent", agent)).await;
    }
    stand.get("/").await;
    stand.ask(Request::post(url("/")).header("user-agent", "a")).await;
    let entries = stand.layer.entries();
    assert_eq!(stand.len().await, 4);
    let one = get("/").header("user-agent", "b").body(()).unwrap();
    assert!(entries.contains(&one).await.unwrap());
    assert_eq!(entries.remove(&one).await.unwrap(), 1);
    assert_eq!(entries.remove(&url("/")).await.unwrap(), 3);
    assert_eq!(stand.len().await, 0);
}

#[tokio::test]
async fn unsafe_request_removes_the_responses_for_all_headers() {
    let stand = stand(Double::counting());
    stand.ask(get("/").header("user-agent", "a")).await;
    stand.ask(get("/").header("user-agent", "b")).await;
    stand.ask(Request::put(url("/")).header("user-agent", "c")).await;
    assert_eq!(stand.len().await, 0);
}

#[tokio::test]
async fn key_equals_that_of_a_layer_that_names_the_same_headers() {
    let all = stand(Double::counting());
    all.ask(get("/").header("accept", "a").header("user-agent", "b")).await;
    let named = all.clone_with(|layer| {
        layer.key_all_headers(false).add_key_headers(["user-agent", "accept"]).unwrap()
    });
    let same = get("/").header("accept", "a").header("user-agent", "b").header("x-other", "1");
    assert!(named.ask(same).await.is_hit());
}

#[tokio::test]
async fn shared_cache_under_the_http_rules_keys_by_credentials() {
    let inner =
        Double::new(|_, call| line(ok(call.to_string()), "cache-control", "public, max-age=60"));
    let stand = Stand::shared(inner).with(|layer| layer.http_rules().key_all_headers(true));
    let of = |user| get("/").header("authorization", user);
    assert!(!stand.ask(of("alice")).await.is_from_store());
    assert!(!stand.ask(of("bob")).await.is_from_store());
    assert!(stand.ask(of("alice")).await.is_hit());
}
