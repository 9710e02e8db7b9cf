//! `No-Vary-Search`: the response to one URL answers requests for others.

use std::time::Duration;

use http::Request;
use larder::{
    CacheLayer, Stored,
    store::{ErrorKind, Memory},
};

use crate::support::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Answers each call with its number and query, fresh for a minute. `No-Vary-Search` is `rule`, or
/// what the request has in `x-rule`. The response does not depend on the query otherwise.
fn origin(rule: &'static str) -> Double {
    Double::new(move |request, call| {
        let query = request.uri().query().unwrap_or_default();
        let mut response = ok(format!("{call} {query}"));
        let fields = response.headers_mut();
        fields.insert("cache-control", "max-age=60".parse().unwrap());
        let rule = request.headers().get("x-rule").cloned().unwrap_or(rule.parse().unwrap());
        if !rule.is_empty() {
            fields.insert("no-vary-search", rule);
        }
        for name in ["vary", "etag", "cache-control"] {
            if let Some(value) = request.headers().get(&*format!("x-{name}")) {
                fields.insert(name, value.clone());
            }
        }
        response
    })
}

fn with_no_vary_search<B>(layer: CacheLayer<B>) -> CacheLayer<B> {
    layer.no_vary_search(true)
}

fn private(rule: &'static str) -> Stand {
    Stand::new(origin(rule)).with(with_no_vary_search)
}

fn shared(rule: &'static str) -> Stand {
    Stand::shared(origin(rule)).with(with_no_vary_search)
}

/// Servers drop parameters beyond a limit. Many parameters that do not matter could reach that
/// limit.
#[tokio::test]
async fn response_to_too_many_ignored_parameters_answers_no_other_query() {
    for (utms, is_hit) in [(32, true), (33, false)] {
        let stand = shared("params=(\"utm\")");
        let many = "utm=x&".repeat(utms);
        assert_eq!(stand.get(&format!("/?{many}a=1")).await.stored(), Stored::Yes);
        assert_eq!(stand.get("/?a=1").await.is_hit(), is_hit, "{utms}");
        assert!(stand.get(&format!("/?{many}a=1")).await.is_hit(), "its own URL");
    }
}

#[tokio::test]
async fn queries_that_differ_in_ignored_ways_share_a_response() {
    for (rule, first, equal, others) in [
        (
            "params=(\"utm\")",
            "/?a=1&utm=x",
            &["/?a=1&utm=y", "/?utm=z&a=1", "/?a=1&"][..],
            &["/?a=2", "/?A=1"][..],
        ),
        ("key-order", "/?a=1&b=2", &["/?b=2&a=1", "/?b=%32&a=1"], &["/?a=1", "/?a=2&b=1"]),
        (
            "except=(\"id\")",
            "/?id=7&s=1",
            &["/?s=2&id=7", "/?id=7"],
            &["/?id=8", "/x?id=7", "/?s=1"],
        ),
        ("except=()", "/", &["/?a", "/?b=1"], &["/x?a"]),
        ("params=?1", "/?a=1&utm=x", &[], &["/?a=1&utm=y"]),
        ("", "/?a=1&utm=x", &[], &["/?a=1&utm=y"]),
    ] {
        for stand in [private(rule), shared(rule)] {
            let body = stand.get(first).await.text().to_owned();
            for path in equal {
                let reply = stand.get(path).await;
                assert!(reply.is_from_store(), "{rule}: {path}");
                assert_eq!(reply.text(), body, "{rule}: {path}");
            }
            assert!(stand.get(first).await.is_from_store(), "{rule}: its own URL");
            for path in others {
                assert!(!stand.get(path).await.is_from_store(), "{rule}: {path}");
            }
        }
    }
}

#[tokio::test]
async fn field_is_ignored_unless_it_is_enabled() {
    let off = |layer: CacheLayer<Memory>| layer.no_vary_search(true).no_vary_search(false);
    for stand in [
        Stand::new(origin("except=()")),
        Stand::new(origin("except=()")).with(CacheLayer::http_rules),
        Stand::new(origin("except=()")).with(off),
    ] {
        stand.get("/?a").await;
        assert!(!stand.get("/?b").await.is_from_store());
    }
}

/// Responses are found by the latest rule of a path. Each one is then judged by its own rule.
#[tokio::test]
async fn a_response_answers_what_its_own_rule_allows() {
    let stand = shared("params=(\"utm\")");
    let by_ref = |path| get(path).header("x-rule", "params=(\"ref\")");
    let none = |path| get(path).header("x-rule", "");
    stand.get("/?a=1&utm=1").await;
    stand.ask(by_ref("/?a=2&ref=1")).await;
    assert!(stand.ask(by_ref("/?a=2&ref=2")).await.is_from_store());
    assert!(!stand.ask(by_ref("/?a=2&ref=2&utm=3")).await.is_from_store());
    // A request is looked up by the latest rule. Responses that were stored under an earlier rule
    // are not found.
    assert!(!stand.ask(none("/?a=1&utm=2")).await.is_from_store());
    // A new response without the field answers its own URL alone, though an annotation still leads
    // to it.
    stand.ask(none("/?a=2&ref=1").header("cache-control", "no-cache")).await;
    assert!(stand.ask(none("/?a=2&ref=1")).await.is_from_store());
    assert!(!stand.ask(none("/?a=2&ref=9")).await.is_from_store());
}

#[tokio::test]
async fn stale_response_answers_its_own_url_alone() {
    let stand = shared("except=()").with(|layer| layer.stale_if_error(MINUTE * 60));
    stand.ask(get("/?a").header("x-etag", "\"x\"")).await;
    stand.clock.advance(MINUTE);
    assert!(!stand.get("/?b").await.is_from_store());
    // From now on, the newer response answers.
    assert_eq!(stand.get("/?c").await.text(), "2 b");
    // A request that demands a new response gets one.
    assert!(!stand.ask(get("/?d").header("cache-control", "no-cache")).await.is_from_store());
    let reply = stand.ask(get("/?e").header("cache-control", "only-if-cached")).await;
    assert_eq!(reply.text(), "3 d");
    assert_eq!(stand.ask(get("/f?e").header("cache-control", "only-if-cached")).await.status, 504);
}

#[tokio::test]
async fn variants_and_users_stay_apart() {
    let stand = shared("except=()");
    let asks = |path, language| {
        get(path).header("x-vary", "accept-language").header("accept-language", language)
    };
    stand.ask(asks("/?a", "de")).await;
    assert!(stand.ask(asks("/?b", "de")).await.is_from_store());
    assert!(!stand.ask(asks("/?b", "fr")).await.is_from_store());
    // In a private cache, credentials are part of the key.
    let stand = private("except=()");
    let of = |path, user| get(path).header("authorization", user);
    stand.ask(of("/?a", "alice")).await;
    assert!(stand.ask(of("/?b", "alice")).await.is_from_store());
    assert!(!stand.ask(of("/?b", "bob")).await.is_from_store());
    assert!(!stand.get("/?b").await.is_from_store());
}

#[tokio::test]
async fn removed_response_answers_no_other_url() {
    for stand in [private("params=(\"utm\")"), shared("params=(\"utm\")")] {
        stand.get("/?id=1&utm=1").await;
        assert!(stand.get("/?id=1").await.is_from_store());
        // It is removed by a URL that it would answer, and by an unsafe request for such a URL.
        assert!(stand.layer.entries().remove(&url("/?id=1")).await.unwrap() > 0);
        assert!(!stand.get("/?id=1&utm=2").await.is_from_store());
        assert!(stand.get("/?id=1&utm=1").await.is_from_store());
        let removed = stand.layer.entries().remove(&get("/?id=1&utm=9").body(()).unwrap()).await;
        assert!(removed.unwrap() > 0);
        assert!(!stand.get("/?id=1&utm=1").await.is_from_store());
        let post = Request::post(url("/?id=1&utm=3"));
        stand.ask(post).await;
        assert!(!stand.get("/?id=1&utm=1").await.is_from_store());
    }
}

#[tokio::test]
async fn failed_removal_for_one_url_is_done_for_the_others() {
    let store = Faulty::new(Memory::default());
    let stand = Stand::over(store.clone(), origin("params=(\"utm\")")).with(with_no_vary_search);
    stand.get("/?id=1&utm=1").await;
    store.fail(Op::Remove, ErrorKind::Unavailable);
    let request = get("/?id=1&utm=9").body(()).unwrap();
    stand.layer.entries().remove(&request).await.unwrap_err();
    assert!(!stand.get("/?id=1&utm=9").await.is_from_store());
}

#[tokio::test]
async fn freshened_response_still_answers_other_urls() {
    let stand = Stand::shared(Double::new(|request, call| {
        let is_asked = request.headers().contains_key("if-none-match");
        let mut response = ok(if is_asked { String::new() } else { call.to_string() });
        if is_asked {
            *response.status_mut() = http::StatusCode::NOT_MODIFIED;
        }
        for (name, value) in
            [("etag", "\"x\""), ("cache-control", "max-age=60"), ("no-vary-search", "except=()")]
        {
            response.headers_mut().insert(name, value.parse().unwrap());
        }
        response
    }))
    .with(with_no_vary_search);
    stand.get("/?a").await;
    stand.clock.advance(MINUTE * 50);
    assert_eq!(stand.get("/?a").await.text(), "1");
    stand.clock.advance(MINUTE / 2);
    let reply = stand.get("/?b").await;
    assert!(reply.is_from_store());
    assert_eq!(reply.text(), "1");
}

/// The response answers other URLs of the path once a 304 brings the field. Each of these URLs
/// removes it.
#[tokio::test]
async fn response_given_the_field_by_a_304_is_removed_by_any_url_it_answers() {
    let stand = Stand::new(Double::new(|request, call| {
        let is_asked = request.headers().contains_key("if-none-match");
        let response = if is_asked { not_modified() } else { ok(call.to_string()) };
        let rule = if is_asked { "params=(\"a\")" } else { "" };
        line(line(response, "etag", "\"x\""), "no-vary-search", rule)
    }))
    .with(|layer| with_no_vary_search(layer).expire_after(MINUTE));
    stand.get("/?a=1").await;
    stand.clock.advance(MINUTE);
    assert_eq!(stand.get("/?a=1").await.text(), "1");
    assert!(stand.get("/?a=2").await.is_from_store());
    stand.layer.entries().remove(&url("/?a=2")).await.unwrap();
    for path in ["/?a=1", "/?a=2"] {
        assert!(!stand.get(path).await.is_from_store(), "{path}");
    }
}

/// Other layers over the same store find a response through its annotations. It is listed once.
#[tokio::test]
async fn annotations_are_not_responses() {
    let store = Memory::default();
    let stand = Stand::over(store.clone(), origin("except=()")).with(with_no_vary_search);
    assert_eq!(stand.get("/?a").await.stored(), Stored::Yes);
    let mut listed = std::pin::pin!(stand.layer.entries().stream());
    let mut urls = Vec::new();
    while let Some(entry) = futures_util::StreamExt::next(&mut listed).await {
        urls.push(entry.unwrap().url);
    }
    assert_eq!(urls, [url("/?a")]);
    let other = Stand::over(store, origin("")).with(with_no_vary_search);
    other.clock.advance(Duration::ZERO);
    assert!(other.get("/?b").await.is_from_store());
    stand.layer.entries().clear().await.unwrap();
    assert!(!other.get("/?b").await.is_from_store());
}

/// Annotations that fail cost hits and nothing else. The response is stored, and is reported as
/// stored.
#[tokio::test]
async fn failed_annotations_leave_the_response_stored() {
    let stored_if_it_fails_from = async |n| {
        let store = Faulty::new(Memory::default());
        let stand = Stand::over(store.clone(), origin("except=()")).with(with_no_vary_search);
        store.fail_from(n, ErrorKind::Unavailable);
        let stored = stand.get("/?a").await.stored();
        let operations = store.operations();
        store.heal();
        let is_stored = stored == Stored::Yes;
        assert_eq!(stand.get("/?a").await.is_from_store(), is_stored, "failing from {n} on");
        if is_stored {
            assert_eq!(stand.get("/?b").await.is_from_store(), n == usize::MAX, "from {n} on");
        }
        (is_stored, operations)
    };
    let (is_stored, operations) = stored_if_it_fails_from(usize::MAX).await;
    assert!(is_stored);
    let mut without_annotations = 0;
    for n in 0..operations {
        without_annotations += usize::from(stored_if_it_fails_from(n).await.0);
    }
    assert!(
        without_annotations >= 4,
        "each annotation is looked up and written: {without_annotations}"
    );
}

#[tokio::test]
async fn inserted_response_answers_other_urls_too() {
    let stand = private("except=()");
    let response = http::Response::builder()
        .header("no-vary-search", "except=()")
        .header("cache-control", "max-age=60")
        .body(full("by hand"))
        .unwrap();
    stand.layer.entries().insert(&url("/?a"), response).await.unwrap();
    assert_eq!(stand.get("/?b").await.text(), "by hand");
}
