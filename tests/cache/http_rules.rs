//! The HTTP rules in the layer: whose response is stored, what is stored beside whole responses to
//! `GET`, and what else is removed. The cases of the conformance suite are in `tests/http_cases`.

use std::time::Duration;

use futures_util::StreamExt;
use http::{Method, Request, StatusCode};
use larder::{CacheLayer, Outcome, Stored, status::Refusal, store::Memory};

use crate::support::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Answers each call with its number and the header lines in the path: `/name:value/name:value`.
fn origin() -> Double {
    Double::new(|request, call| {
        let mut response = ok(call.to_string());
        let path: String = request.uri().path().into();
        for (name, value) in path.split('/').filter_map(|pair| pair.split_once(':')) {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            response.headers_mut().append(name, value.parse().unwrap());
        }
        response
    })
}

fn private() -> Stand {
    Stand::new(origin()).with(CacheLayer::http_rules)
}

fn shared() -> Stand {
    Stand::shared(origin()).with(CacheLayer::http_rules)
}

async fn is_reused<B: larder::store::Store>(
    stand: &Stand<B>,
    one: http::request::Builder,
    other: http::request::Builder,
) -> bool {
    stand.ask(one).await;
    stand.ask(other).await.is_from_store()
}

#[tokio::test]
async fn headers_decide_the_lifetime_and_a_hit_has_an_age() {
    let stand = private();
    assert!(!stand.get("/cache-control:max-age=60").await.headers.contains_key("age"));
    stand.clock.advance(MINUTE / 2);
    let reply = stand.get("/cache-control:max-age=60").await;
    assert!(reply.is_from_store());
    assert_eq!(reply.headers["age"], "30");
    stand.clock.advance(MINUTE / 2);
    assert_eq!(stand.get("/cache-control:max-age=60").await.text(), "2");
    let reply = stand.get("/cache-control:no-store").await;
    assert_eq!(reply.stored(), Stored::No(Refusal::NoStoreDirective));
}

#[tokio::test]
async fn expirations_decide_what_the_headers_leave_open() {
    let stand = private().with(|layer| layer.expire_after(MINUTE));
    for (path, is_kept) in
        [("/", true), ("/cache-control:max-age=9", true), ("/cache-control:no-cache", false)]
    {
        assert_eq!(is_reused(&stand, get(path), get(path)).await, is_kept, "{path}");
    }
    stand.clock.advance(MINUTE / 2);
    assert!(stand.get("/").await.is_from_store());
    assert!(!stand.get("/cache-control:max-age=9").await.is_from_store());
}

#[tokio::test]
async fn shared_cache_reuses_only_responses_for_all_users() {
    let alice = |path| get(path).header("authorization", "alice").header("cookie", "a=1");
    let bob = |path| get(path).header("authorization", "bob");
    for (path, is_shared) in [
        ("/cache-control:max-age=60", false),
        ("/cache-control:max-age=60,public", true),
        ("/cache-control:s-maxage=60", true),
        ("/cache-control:max-age=60,private", false),
        ("/cache-control:public,max-age=60/vary:authorization", false),
        ("/cache-control:public,max-age=60/vary:cookie", false),
        ("/cache-control:public,no-cache/etag:x", false),
    ] {
        let stand = shared();
        assert_eq!(is_reused(&stand, alice(path), bob(path)).await, is_shared, "{path}");
        // In a private cache, credentials are part of the key.
        assert!(!is_reused(&private(), alice(path), bob(path)).await, "{path}");
    }
}

/// A response that was stored for one client must not reach all clients through a shared layer over
/// the same store.
#[tokio::test]
async fn shared_cache_does_not_reuse_what_a_private_cache_has_stored() {
    let store = Memory::default();
    let path = "/cache-control:private,max-age=60";
    let one = Stand::over(store.clone(), origin()).with(CacheLayer::http_rules);
    assert_eq!(one.get(path).await.stored(), Stored::Yes);
    let all = CacheLayer::shared(store).clock(one.clock.clone()).http_rules();
    let reply = Reply::read(
        tower::ServiceExt::oneshot(
            tower::Layer::layer(&all, origin()),
            get(path).body(empty()).unwrap(),
        )
        .await
        .unwrap(),
    )
    .await;
    assert!(!reply.is_from_store());
}

/// The origin wants to be asked each time, and may answer each request differently.
#[tokio::test]
async fn response_that_needs_revalidation_is_not_shared_in_flight() {
    for (path, calls) in [
        ("/cache-control:max-age=60", 1),
        ("/cache-control:no-cache/etag:x", 5),
        ("/cache-control:max-age=0/etag:x", 5),
    ] {
        let stand = shared();
        let asked = (0..5).map(|_| stand.ask(get(path)));
        futures_util::future::join_all(asked).await;
        assert_eq!(stand.calls(), calls, "{path}");
    }
}

#[tokio::test]
async fn request_directives_are_obeyed() {
    let path = "/cache-control:max-age=60/etag:x";
    let with_directive = |value: &'static str| get(path).header("cache-control", value);
    let stand = shared();
    stand.get(path).await;
    stand.clock.advance(MINUTE / 2);
    for (demand, is_hit) in [
        ("max-age=30", true),
        ("min-fresh=30", true),
        ("only-if-cached", true),
        ("no-store", true),
        ("max-age=29", false),
    ] {
        assert_eq!(stand.ask(with_directive(demand)).await.is_from_store(), is_hit, "{demand}");
    }
    stand.clock.advance(MINUTE * 2);
    let reply = stand.ask(with_directive("only-if-cached")).await;
    assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT);
    let reply = stand.ask(with_directive("max-stale")).await;
    assert_eq!(reply.outcome(), Outcome::Stale(larder::status::Stale::MaxStale));
    let reply =
        stand.ask(get("/cache-control:max-age=60").header("cache-control", "no-store")).await;
    assert_eq!(reply.stored(), Stored::No(Refusal::NoStore));
}

#[tokio::test]
async fn post_response_for_a_get_answers_it_and_is_removed_with_it() {
    let path = "/cache-control:max-age=60";
    let own = url(path);
    let inner = Double::new(move |_, call| {
        line(line(ok(call.to_string()), "cache-control", "max-age=60"), "content-location", &own)
    });
    let stand = Stand::shared(inner).with(CacheLayer::http_rules);
    stand.ask(Request::post(url(path))).await;
    assert_eq!(stand.get(path).await.text(), "2", "a POST is not stored by default");
    stand.layer.entries().clear().await.unwrap();
    let stand = stand.with(|layer| layer.reuse_post_for_get(true));
    stand.ask(Request::post(url(path))).await;
    let reply = stand.get(path).await;
    assert!(reply.is_from_store());
    assert_eq!(reply.text(), "3");
    assert_eq!(stand.layer.entries().remove(url(path).as_str()).await.unwrap(), 1);
    assert!(!stand.get(path).await.is_from_store());
    // The response to another URL is not stored for this one. But it names this one, so the stored
    // response is invalidated.
    assert!(stand.get(path).await.is_from_store());
    stand.ask(Request::post(url("/other"))).await;
    assert!(!stand.get(path).await.is_from_store());
}

/// A part that was requested before a newer response arrived is older than that response. This
/// holds for the response to a `POST` too.
#[tokio::test]
async fn detached_calls_do_not_replace_newer_responses() {
    let own = url("/");
    let inner = Double::new(move |request, call| {
        let mut response = line(ok(format!("{call:02}")), "cache-control", "max-age=60");
        if request.headers().contains_key("range") {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            response = line(response, "content-range", "bytes 0-1/10");
        }
        line(response, "content-location", &own)
    });
    let first = Gate::closed();
    let stand = Stand::shared(inner.first_behind(&first)).with(CacheLayer::http_rules);
    let range = || get("/").header("range", "bytes=0-1");
    let mut older = std::pin::pin!(stand.ask(range()));
    assert!(futures_util::poll!(older.as_mut()).is_pending());
    assert_eq!(stand.ask(range()).await.text(), "02");
    first.open(1);
    assert_eq!(older.await.text(), "01");
    let reply = stand.ask(range()).await;
    assert!(reply.is_from_store());
    assert_eq!(reply.text(), "02");
}

/// A 304 without a `Date` has the time of its arrival.
#[tokio::test]
async fn a_304_without_a_date_freshens_the_stored_response() {
    let inner = Double::new(|request, call| {
        let mut response = line(ok(call.to_string()), "cache-control", "max-age=60");
        if request.headers().contains_key("if-none-match") {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = empty();
        }
        line(response, "etag", "\"a\"")
    });
    let stand = Stand::shared(inner).with(CacheLayer::http_rules);
    stand.get("/").await;
    stand.clock.advance(MINUTE * 10);
    assert_eq!(stand.get("/").await.outcome(), Outcome::Revalidated);
    let reply = stand.get("/").await;
    assert!(reply.is_from_store());
    assert_eq!((reply.text(), reply.headers["age"].to_str().unwrap()), ("1", "0"));
}

#[tokio::test]
async fn parts_are_stored_as_parts_and_removed_with_the_url() {
    let inner = Double::new(|request, _| {
        if !request.headers().contains_key("range") {
            return line(ok("0123456789"), "cache-control", "no-store");
        }
        let mut response = line(ok("3456"), "content-range", "bytes 3-6/10");
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        line(response, "cache-control", "max-age=60")
    });
    let stand = Stand::shared(inner).with(CacheLayer::http_rules);
    let range = |value: &'static str| get("/").header("range", value);
    assert_eq!(stand.ask(range("bytes=3-6")).await.text(), "3456");
    let reply = stand.ask(range("bytes=4-5")).await;
    assert!(reply.is_from_store());
    assert_eq!((reply.status, reply.text()), (StatusCode::PARTIAL_CONTENT, "45"));
    assert_eq!(reply.headers["content-range"], "bytes 4-5/10");
    assert_eq!(stand.get("/").await.text(), "0123456789", "a part is never the whole");
    assert!(!stand.ask(range("bytes=4-7")).await.is_from_store());
    assert!(stand.layer.entries().remove(url("/").as_str()).await.unwrap() > 0);
    assert!(!stand.ask(range("bytes=4-5")).await.is_from_store());
}

#[tokio::test]
async fn unsafe_request_removes_the_same_origin_urls_that_its_response_names() {
    let page = "/cache-control:max-age=60";
    for (name, value, is_removed) in [
        ("location", page.to_owned(), true),
        ("content-location", url(page), true),
        ("location", format!("http://elsewhere.example{page}"), false),
        ("location", "/other".to_owned(), false),
    ] {
        let inner = Double::new(move |request, call| {
            let response = line(ok(call.to_string()), "cache-control", "max-age=60");
            if request.method() == Method::PUT { line(response, name, &value) } else { response }
        });
        let stand = Stand::shared(inner).with(CacheLayer::http_rules);
        stand.get(page).await;
        stand.ask(Request::put(url("/form"))).await;
        assert_eq!(!stand.get(page).await.is_from_store(), is_removed, "{name}");
    }
}

#[tokio::test]
async fn responses_of_a_group_are_removed_together() {
    let inner = Double::new(|request, call| {
        let response = line(ok(call.to_string()), "cache-control", "max-age=60");
        match request.method() {
            &Method::POST => line(response, "cache-group-invalidation", "\"news\""),
            _ if request.uri().path() == "/alone" => response,
            _ => line(response, "cache-groups", "\"news\", \"all\""),
        }
    });
    let stand = Stand::shared(inner).with(CacheLayer::http_rules);
    for path in ["/a", "/b", "/alone"] {
        stand.get(path).await;
    }
    let listed: Vec<_> = stand.layer.entries().stream().map(Result::unwrap).collect().await;
    assert_eq!(listed.len(), 3);
    assert!(listed.iter().all(|info| info.tags.is_empty()), "the cache's own tags are not shown");
    stand.ask(Request::post(url("/form"))).await;
    assert!(!stand.get("/a").await.is_from_store() && !stand.get("/b").await.is_from_store());
    assert!(stand.get("/alone").await.is_from_store());
}

#[tokio::test]
async fn a_head_freshens_the_same_representation_and_removes_another() {
    for (tag, is_same) in [("\"a\"", true), ("\"b\"", false)] {
        let inner = Double::new(move |request, call| {
            let response = line(ok("body"), "cache-control", "max-age=60");
            let response = line(response, "x-call", call.to_string());
            // The origin ignores conditions.
            line(response, "etag", if request.method() == Method::HEAD { tag } else { "\"a\"" })
        });
        let stand = Stand::shared(inner).with(CacheLayer::http_rules);
        stand.get("/").await;
        stand.clock.advance(MINUTE * 2);
        stand.ask(head("/")).await;
        let reply = stand.get("/").await;
        assert_eq!(reply.is_from_store(), is_same, "{tag}");
        assert_eq!(reply.headers["x-call"], if is_same { "2" } else { "3" });
        assert_eq!(reply.text(), "body");
    }
}

#[tokio::test]
async fn targeted_field_applies_only_to_the_cache_it_is_for() {
    let path = "/cache-control:no-store/x-our-cache-control:max-age=60";
    let stand = shared().with(|layer| layer.targeted_by(["x-our-cache-control"]).unwrap());
    assert!(is_reused(&stand, get(path), get(path)).await);
    assert!(!is_reused(&shared(), get(path), get(path)).await);
}

/// Each of these settings implies `http_rules`, and none undoes another.
#[tokio::test]
async fn settings_of_the_http_rules_apply_in_any_order() {
    let targeted = |layer: CacheLayer<Memory>| layer.targeted_by(["x-our-cache-control"]).unwrap();
    let with_no_vary_search = |layer: CacheLayer<Memory>| layer.no_vary_search(true);
    for stand in [
        Stand::shared(origin()).with(|layer| with_no_vary_search(targeted(layer.http_rules()))),
        Stand::shared(origin()).with(|layer| with_no_vary_search(targeted(layer)).http_rules()),
        Stand::shared(origin()).with(|layer| targeted(with_no_vary_search(layer)).http_rules()),
        Stand::shared(origin()).with(|layer| targeted(with_no_vary_search(layer).http_rules())),
    ] {
        let path = "/cache-control:no-store/x-our-cache-control:max-age=60";
        assert!(is_reused(&stand, get(path), get(path)).await, "the targeted field applies");
        let path = "/cache-control:max-age=60/cdn-cache-control:no-store";
        assert!(is_reused(&stand, get(path), get(path)).await, "it replaces the default field");
        let path = "/x-our-cache-control:max-age=60/no-vary-search:except=()";
        let (one, other) = (format!("{path}?a"), format!("{path}?b"));
        assert!(is_reused(&stand, get(&one), get(&other)).await, "queries do not matter");
    }
}

// ===== A shared cache keeps users apart =====

#[tokio::test]
async fn response_to_a_cookie_without_cache_control_is_not_shared() {
    let stand = shared().with(|layer| layer.expire_after(MINUTE));
    let alice = get("/account").header("cookie", "sid=alice");
    assert!(!is_reused(&stand, alice, get("/account")).await);
    assert!(is_reused(&stand, get("/page"), get("/page").header("cookie", "sid=bob")).await);
}

#[tokio::test]
async fn no_setting_gives_one_users_response_to_another() {
    let path = "/cache-control:max-age=60";
    for stand in [
        Stand::shared(origin()).with(|layer| layer.http_rules().store_credentialed(true)),
        Stand::shared(origin()).with(|layer| layer.store_credentialed(true).http_rules()),
    ] {
        let alice = get(path).header("authorization", "alice");
        assert!(!is_reused(&stand, alice, get(path).header("authorization", "bob")).await);
        assert!(!stand.get(path).await.is_from_store());
    }
}

/// The response is for this user alone. So the request neither follows another nor is followed.
#[tokio::test]
async fn requests_with_credentials_do_not_wait_for_each_other() {
    let (inner, gate) = origin().gated();
    let stand = Stand::shared(inner).with(CacheLayer::http_rules);
    let path = "/cache-control:private";
    let ask = |who: &'static str| stand.ask(get(path).header("authorization", who));
    let both = futures_util::future::join(ask("alice"), ask("bob"));
    let mut both = std::pin::pin!(both);
    assert!(futures_util::poll!(both.as_mut()).is_pending());
    assert_eq!(stand.calls(), 2, "both are under way at once");
    gate.open(2);
    both.await;
}

#[tokio::test]
async fn response_to_credentials_does_not_remove_the_stored_response() {
    let inner = Double::new(|request, call| {
        let is_asked = request.headers().contains_key("authorization");
        let response =
            line(ok(call.to_string()), "etag", if is_asked { "\"own\"" } else { "\"a\"" });
        let response = line(response, "cache-control", "max-age=60");
        if is_asked && request.method() == Method::GET { status(404) } else { response }
    });
    let stand = Stand::shared(inner).with(CacheLayer::http_rules);
    stand.get("/").await;
    let no_cache = |request: http::request::Builder| {
        request.header("cache-control", "no-cache").header("authorization", "x")
    };
    assert_eq!(stand.ask(no_cache(get("/"))).await.status, StatusCode::NOT_FOUND);
    stand.ask(no_cache(head("/"))).await;
    stand.ask(head("/").header("cache-control", "no-cache, no-store")).await;
    assert_eq!(stand.get("/").await.text(), "1");
}

#[tokio::test]
async fn no_cache_with_only_if_cached_is_answered_with_504() {
    let path = "/cache-control:max-age=60";
    let stand = shared();
    stand.get(path).await;
    let reply = stand.ask(get(path).header("cache-control", "no-cache, only-if-cached")).await;
    assert_eq!((reply.status, stand.calls()), (StatusCode::GATEWAY_TIMEOUT, 1));
}

/// A field that is for one user is not stored, but that user receives it.
#[tokio::test]
async fn the_caller_that_revalidated_gets_its_own_fields() {
    let inner = Double::new(|request, call| {
        let mut response = line(ok("body"), "cache-control", "max-age=0, private=\"set-cookie\"");
        if request.headers().contains_key("if-none-match") {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = empty();
        }
        line(line(response, "etag", "\"a\""), "set-cookie", format!("call={call}"))
    });
    let stand = Stand::shared(inner).with(CacheLayer::http_rules);
    for call in 1..4 {
        let reply = stand.get("/").await;
        assert_eq!(reply.headers["set-cookie"], format!("call={call}").as_str());
    }
    let stored = stand.layer.entries().get(url("/").as_str()).await.unwrap().unwrap();
    assert!(!stored.headers().contains_key("set-cookie"));
}

/// A private response is not stored. So the caller's condition is forwarded, and the 304 reaches
/// the caller, who has a copy.
#[tokio::test]
async fn conditions_on_responses_that_are_not_stored_reach_the_origin() {
    let inner = Double::new(|request, call| {
        let mut response = line(ok(call.to_string()), "cache-control", "private");
        if request.headers().contains_key("if-none-match") {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            *response.body_mut() = empty();
        }
        response
    });
    let stand = Stand::shared(inner).with(CacheLayer::http_rules);
    stand.get("/").await;
    let reply = stand.ask(get("/").header("if-none-match", "\"mine\"")).await;
    assert_eq!(reply.status, StatusCode::NOT_MODIFIED);
}

#[tokio::test]
async fn part_removed_in_flight_is_not_stored_again() {
    let inner = Double::new(|_, _| {
        let mut response = line(ok("3456"), "content-range", "bytes 3-6/10");
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        line(response, "cache-control", "max-age=60")
    });
    let (inner, gate) = inner.gated();
    let stand = Stand::shared(inner).with(CacheLayer::http_rules);
    let range = || get("/").header("range", "bytes=3-6");
    let mut first = std::pin::pin!(stand.ask(range()));
    assert!(futures_util::poll!(first.as_mut()).is_pending());
    stand.layer.entries().remove(url("/").as_str()).await.unwrap();
    gate.open(2);
    first.await;
    assert!(!stand.ask(range()).await.is_from_store());
    assert_eq!(stand.calls(), 2);
}

/// The origin's response has changed, and it answers with a part of the new one. That part must not
/// replace the stored whole.
#[tokio::test]
async fn part_never_replaces_the_whole_response() {
    let inner = Double::new(|request, call| {
        let mut response = ok(if call == 1 { "0123456789" } else { "ab" });
        if call > 1 && request.headers().contains_key("range") {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            response = line(response, "content-range", "bytes 0-1/2");
        }
        let response = line(response, "etag", format!("\"{}\"", call.min(2)));
        line(response, "cache-control", "max-age=60, stale-while-revalidate=60")
    });
    let stand = Stand::shared(inner).with(CacheLayer::http_rules);
    stand.get("/").await;
    stand.clock.advance(MINUTE);
    let reply = stand.ask(get("/").header("range", "bytes=0-1")).await;
    assert_eq!(reply.status, StatusCode::PARTIAL_CONTENT);
    stand.layer.idle().await;
    let reply = stand.get("/").await;
    assert_eq!(reply.status, StatusCode::OK);
    assert!(!reply.headers.contains_key("content-range"));
}
