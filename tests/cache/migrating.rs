//! What the page `guide::migrating` says about each option of the Python caches and of http-cache.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use larder::{
    CacheOptions, EntryInfo, Expiration, Filter, Key, Outcome, StaleLimit, Stored,
    status::{Bypass, Miss, Refusal, Stale},
    store::Memory,
    time::Clock,
};

use crate::support::{Broken, Double, Stand, get, line, ok, status, tagged, url, with};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A cache over an origin whose responses have a tag.
fn validated() -> Stand {
    Stand::new(Double::new(|request, _| tagged(&request, "\"1\"", "one")))
}

/// A cache over an origin that answers once, and then fails.
fn failing() -> Stand {
    Stand::new(Double::fallible(|_, call| match call {
        1 => Ok(ok("one")),
        _ => Err(Broken("down")),
    }))
}

async fn entries(stand: &Stand) -> Vec<EntryInfo> {
    stand.layer.entries().stream().try_collect().await.unwrap()
}

// ===== Settings of a session =====

#[tokio::test]
async fn urls_expire_by_the_first_pattern_that_matches() {
    let stand = Stand::new(Double::counting()).with(|layer| {
        layer
            .expire_after(HOUR)
            .expire_urls([
                ("*.com/live/**", Expiration::After(30 * SECOND)),
                ("**/static/**", Expiration::Never),
                ("example.com/off", Expiration::DoNotStore),
            ])
            .unwrap()
    });
    let now = stand.clock.now();
    for (path, lifetime) in [
        ("/live/a/b", Some(30 * SECOND)),
        ("/a/static/b", None),
        ("/static/b", None),
        ("/other", Some(HOUR)),
    ] {
        let expires_at = stand.get(path).await.cache.expires_at();
        let expected = lifetime.map(|lifetime| SystemTime::from(now.saturating_add(lifetime)));
        assert_eq!(expires_at, expected, "{path}");
    }
    assert_eq!(stand.get("/off").await.stored(), Stored::No(Refusal::Expiration));
}

#[tokio::test]
async fn ignored_parameters_and_key_headers_decide_which_requests_are_equal() {
    let stand = Stand::new(Double::counting()).with(|layer| {
        let layer = layer.add_ignored_parameters(["utm_*"]).unwrap();
        layer.add_key_headers(["accept"]).unwrap().add_ignored_headers(["x-trace"]).unwrap()
    });
    assert_eq!(stand.get("/?a=1&utm_source=x").await.text(), "1");
    // The presence of an ignored parameter does not matter.
    assert_eq!(stand.get("/?a=1").await.text(), "1");
    assert_eq!(stand.get("/?a=2").await.text(), "2");
    assert_eq!(stand.ask(get("/?a=1").header("accept", "text/html")).await.text(), "3");
    assert_eq!(stand.ask(get("/?a=1").header("x-trace", "7")).await.text(), "1");
    // Credentials are part of the key by default.
    assert_eq!(stand.ask(get("/?a=1").header("authorization", "x")).await.text(), "4");
}

#[tokio::test]
async fn key_closure_may_use_a_part_of_the_body() {
    let stand = Stand::new(Double::counting()).with(|layer| {
        let layer = layer.methods([Method::POST]).unwrap();
        layer.key_with(|request, body| {
            // Everything before the first comma.
            let root = body.split(|&byte| byte == b',').next().unwrap_or_default();
            [request.uri.path().as_bytes(), root].concat()
        })
    });
    let post = || Request::post(url("/search"));
    assert_eq!(stand.send(post(), "a,1").await.text(), "1");
    assert_eq!(stand.send(post(), "a,2").await.text(), "1");
    assert_eq!(stand.send(post(), "b,1").await.text(), "2");
    // A removal by URL still removes all of its responses.
    assert_eq!(stand.layer.entries().remove(url("/search")).await.unwrap(), 2);
}

#[tokio::test]
async fn statuses_methods_and_a_predicate_decide_what_is_stored() {
    let stand = Stand::new(Double::new(|request, _| match request.uri().path() {
        "/404" => status(404),
        "/html" => line(ok("page"), "content-type", "text/html"),
        _ => ok("text"),
    }))
    .with(|layer| {
        let layer = layer.statuses([StatusCode::OK, StatusCode::NOT_FOUND]).unwrap();
        layer.store_if(|_, response| response.headers.get("content-type").is_none())
    });
    for (path, stored) in
        [("/404", Stored::Yes), ("/html", Stored::No(Refusal::Predicate)), ("/text", Stored::Yes)]
    {
        assert_eq!(stand.get(path).await.stored(), stored, "{path}");
    }
    let put = stand.ask(Request::put(url("/text"))).await;
    assert_eq!(put.outcome(), Outcome::Bypass(Bypass::Method));
    // The successful `PUT` has removed what was stored for its URL.
    assert_eq!(stand.get("/text").await.outcome(), Outcome::Miss(Miss::Absent));
}

#[tokio::test]
async fn a_read_only_or_disabled_cache_stores_nothing() {
    let stand = Stand::new(Double::counting()).with(|layer| layer.read_only(true));
    assert_eq!(stand.get("/").await.stored(), Stored::No(Refusal::ReadOnly));
    let stand = Stand::new(Double::counting());
    stand.layer.set_enabled(false);
    assert!(!stand.layer.is_enabled());
    assert_eq!(stand.get("/").await.outcome(), Outcome::Bypass(Bypass::Disabled));
    assert_eq!(stand.len().await, 0);
}

#[tokio::test]
async fn a_clone_of_a_layer_has_other_settings_over_the_same_store() {
    let stand = Stand::new(Double::counting()).with(|layer| layer.expire_after(HOUR));
    let other = stand.clone_with(|layer| layer.expire_after(SECOND));
    assert_eq!(stand.get("/").await.text(), "1");
    assert_eq!(other.get("/").await.text(), "1");
    let later = other.get("/other").await.cache;
    assert_eq!(later.expires_at(), later.stored_at().map(|stored| stored + SECOND));
}

#[tokio::test]
async fn stale_responses_replace_failures_without_a_limit() {
    let stand =
        failing().with(|layer| layer.expire_after(SECOND).stale_if_error(StaleLimit::Unlimited));
    stand.get("/").await;
    stand.clock.advance(1000 * HOUR);
    let reply = stand.get("/").await;
    assert_eq!((reply.text(), reply.outcome()), ("one", Outcome::Stale(Stale::IfError)));
}

// ===== Expirations =====

#[tokio::test]
async fn every_expiration_of_the_python_caches_has_an_equivalent() {
    let stand = validated();
    let now = SystemTime::from(stand.clock.now());
    for (name, expiration, expires_at) in [
        ("seconds", HOUR.into(), Some(now + HOUR)),
        ("datetime", Expiration::from(now + SECOND), Some(now + SECOND)),
        ("NEVER_EXPIRE", Expiration::Never, None),
        ("EXPIRE_IMMEDIATELY", Expiration::After(Duration::ZERO), Some(now)),
    ] {
        let options = CacheOptions::new().expire_after(expiration).force_refresh(true);
        let reply = stand.ask(with(options)).await;
        assert_eq!((reply.stored(), reply.cache.expires_at()), (Stored::Yes, expires_at), "{name}");
    }
    let options = CacheOptions::new().expire_after(Expiration::DoNotStore).force_refresh(true);
    assert_eq!(stand.ask(with(options)).await.stored(), Stored::No(Refusal::Expiration));
}

/// This replaces `always_revalidate`, and an expiry of 0.
#[tokio::test]
async fn response_that_expires_at_once_is_revalidated_each_time() {
    let stand = validated().with(|layer| layer.expire_after(Duration::ZERO));
    assert_eq!(stand.get("/").await.outcome(), Outcome::Miss(Miss::Absent));
    for _ in 0..3 {
        assert_eq!(stand.get("/").await.outcome(), Outcome::Revalidated);
    }
    assert_eq!(stand.calls(), 4);
    // Without a validator, each use is a call.
    let stand = Stand::new(Double::counting()).with(|layer| layer.expire_after(Duration::ZERO));
    for call in ["1", "2"] {
        assert_eq!(stand.get("/").await.text(), call);
    }
}

// ===== One request =====

#[tokio::test]
async fn options_of_one_request_replace_its_arguments() {
    let stand = validated().with(|layer| layer.expire_after(HOUR));
    let ask = async |options: CacheOptions| stand.ask(with(options)).await;
    let missed = ask(CacheOptions::new().only_if_cached(true)).await;
    assert_eq!((missed.status.as_u16(), missed.outcome()), (504, Outcome::OnlyIfCached));
    assert_eq!(stand.get("/").await.outcome(), Outcome::Miss(Miss::Absent));
    assert_eq!(ask(CacheOptions::new().only_if_cached(true)).await.outcome(), Outcome::Hit);
    assert_eq!(ask(CacheOptions::new().refresh(true)).await.outcome(), Outcome::Revalidated);
    let forced = ask(CacheOptions::new().force_refresh(true)).await;
    assert_eq!(forced.outcome(), Outcome::Miss(Miss::Refresh));
    let bypassed = ask(CacheOptions::new().bypass(true)).await;
    assert_eq!(bypassed.outcome(), Outcome::Bypass(Bypass::Requested));
    // No option reaches the origin.
    assert!(stand.inner.take_seen().iter().all(|seen| !seen.headers.contains_key("cache-control")));
}

#[tokio::test]
async fn max_age_of_a_request_is_the_oldest_age_that_it_accepts() {
    let stand = Stand::new(Double::counting()).with(|layer| layer.expire_after(HOUR).http_rules());
    stand.get("/").await;
    stand.clock.advance(10 * SECOND);
    let ask = async |directive: &str| stand.ask(get("/").header("cache-control", directive)).await;
    assert_eq!(ask("max-age=20").await.text(), "1");
    assert_eq!(ask("max-age=5").await.text(), "2");
}

// ===== A response, and the cache =====

#[tokio::test]
async fn cache_status_replaces_the_attributes_of_a_cached_response() {
    let stand = validated().with(|layer| layer.expire_after(10 * SECOND));
    let stored_at = SystemTime::from(stand.clock.now());
    let first = stand.get("/").await.cache;
    assert!(!first.is_from_store() && first.key().is_some());
    stand.clock.advance(4 * SECOND);
    let hit = stand.get("/").await.cache;
    assert!(hit.is_from_store() && hit.is_hit());
    assert_eq!(hit.key(), first.key());
    assert_eq!((hit.stored_at(), hit.age()), (Some(stored_at), Some(4 * SECOND)));
    assert_eq!(hit.expires_at(), Some(stored_at + 10 * SECOND));
    // A request that refreshes the response with another expiry replaces `reset_expiration` of one
    // response.
    let longer = CacheOptions::new().refresh(true).expire_after(HOUR);
    let longer = stand.ask(with(longer)).await.cache;
    assert_eq!(longer.outcome(), Outcome::Revalidated);
    assert_eq!(longer.expires_at(), Some(stored_at + 4 * SECOND + HOUR));
}

#[tokio::test]
async fn entries_replace_the_methods_of_a_cache() {
    let stand = Stand::new(Double::counting()).with(|layer| layer.expire_after(10 * SECOND));
    let cache = stand.layer.entries();
    let key = stand.get("/a").await.cache.key().unwrap();
    assert!(cache.contains(key).await.unwrap() && cache.contains(url("/a")).await.unwrap());
    assert!(cache.get(key).await.unwrap().is_some());

    // `save_response`, with a key and an expiry.
    let own = CacheOptions::new().key(Key::digest("own")).expire_after(Expiration::Never);
    let request = get("/b").extension(own).body(()).unwrap();
    let response = Response::new(Full::new(Bytes::from("by hand")));
    assert_eq!(cache.insert(&request, response).await.unwrap(), Key::digest("own"));
    assert_eq!((cache.len().await.unwrap(), cache.size_bytes().await.unwrap() > 0), (2, true));
    let mut urls: Vec<_> = entries(&stand).await.into_iter().map(|entry| entry.url).collect();
    urls.sort();
    assert_eq!(urls, [url("/a"), url("/b")]);

    // `update(other)`.
    let other = Memory::default();
    assert_eq!(cache.copy_to(&other, |_| {}).await.unwrap(), 2);

    // `delete(expired=True)`, `delete(older_than=...)`.
    stand.clock.advance(10 * SECOND);
    let expired = Filter::new().expired(true);
    assert_eq!(cache.remove_where(&expired, |_| {}).await.unwrap(), 1);
    let old = Filter::new().older_than(9 * SECOND);
    assert_eq!(cache.remove_where(&old, |_| {}).await.unwrap(), 1);

    // `delete(urls=...)`, `clear`.
    stand.get("/c").await;
    assert_eq!(cache.remove(url("/c")).await.unwrap(), 1);
    stand.get("/d").await;
    cache.clear().await.unwrap();
    assert!(cache.is_empty().await.unwrap());
}

#[tokio::test]
async fn a_new_expiry_counts_from_when_a_response_was_stored() {
    let stand = Stand::new(Double::counting());
    let stored_at = stand.get("/").await.cache.stored_at().unwrap();
    stand.clock.advance(10 * SECOND);
    // A new setting does not change stored responses.
    let stand = stand.with(|layer| layer.expire_after(SECOND));
    assert_eq!(stand.get("/").await.cache.expires_at(), None);
    assert_eq!(stand.layer.entries().reset_expiration(HOUR, |_| {}).await.unwrap(), 1);
    assert_eq!(stand.get("/").await.cache.expires_at(), Some(stored_at + HOUR));
}

// ===== Modes of http-cache =====

#[tokio::test]
async fn modes_of_http_cache_have_equivalents() {
    let stand = || {
        Stand::new(Double::fallible(|request, call| match call {
            1 => Ok(line(tagged(&request, "\"1\"", "one"), "cache-control", "max-age=60")),
            _ => Err(Broken("down")),
        }))
        .with(|layer| layer.http_rules().stale_if_error(StaleLimit::Unlimited))
    };
    // `Default`: a response is fresh by its headers, and is served stale if the revalidation fails.
    let default = stand();
    assert_eq!(default.get("/").await.outcome(), Outcome::Miss(Miss::Absent));
    default.clock.advance(59 * SECOND);
    assert_eq!(default.get("/").await.outcome(), Outcome::Hit);
    default.clock.advance(HOUR);
    assert_eq!(default.get("/").await.outcome(), Outcome::Stale(Stale::IfError));

    // `ForceCache`: a response of any age is served. The origin is called only if nothing is
    // stored.
    let force = stand();
    let ask = async || force.ask(get("/").header("cache-control", "max-stale")).await.outcome();
    assert_eq!(ask().await, Outcome::Miss(Miss::Absent));
    force.clock.advance(1000 * HOUR);
    assert_eq!((ask().await, force.calls()), (Outcome::Stale(Stale::MaxStale), 1));

    // `OnlyIfCached`: a response of any age is served. The origin is never called.
    let options = CacheOptions::new().only_if_cached(true);
    let only = force.ask(with(options.clone())).await;
    assert_eq!(only.outcome(), Outcome::Stale(Stale::OnlyIfCached));
    assert_eq!(stand().ask(with(options)).await.status.as_u16(), 504);

    // `IgnoreRules`: this is the default of a layer.
    let forbidden = || Double::new(|_, _| line(ok("one"), "cache-control", "no-store"));
    assert_eq!(Stand::new(forbidden()).get("/").await.stored(), Stored::Yes);
    let ruled = Stand::new(forbidden()).with(|layer| layer.http_rules());
    assert_eq!(ruled.get("/").await.stored(), Stored::No(Refusal::NoStoreDirective));
}
