//! The expiry of responses: which setting decides, what happens then, and how long stale responses
//! are kept.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use http::{Response, StatusCode};
use larder::{
    CacheOptions, Expiration, Outcome, StaleLimit, Stored,
    status::{Miss, Refusal},
    store::Store,
    time::{Clock, Timestamp},
};

use crate::support::{Double, Stand, T0, full, get, line, ok, tagged, with};

const SECOND: Duration = Duration::from_secs(1);

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// The number of seconds until the response to `GET /` expires. `None` means never.
async fn lifetime(stand: &Stand, options: CacheOptions) -> Option<u64> {
    let reply = stand.ask(with(options)).await;
    assert_eq!(reply.stored(), Stored::Yes);
    let expires_at = reply.cache.expires_at()?;
    Some(expires_at.duration_since(stand.clock.now().into()).unwrap().as_secs())
}

#[tokio::test]
async fn most_specific_expiration_decides() {
    let stand = Stand::new(Double::counting());
    let new = CacheOptions::new;
    assert_eq!(lifetime(&stand, new()).await, None, "a private cache keeps forever");

    let stand = Stand::new(Double::counting()).with(|layer| layer.expire_after(secs(10)));
    assert_eq!(lifetime(&stand, new()).await, Some(10), "layer");

    let stand = stand.with(|layer| layer.expire_statuses([(StatusCode::OK, secs(20))]).unwrap());
    assert_eq!(lifetime(&stand, new().refresh(true)).await, Some(20), "status");

    let stand = stand.with(|layer| layer.expire_urls([("example.com", secs(30))]).unwrap());
    assert_eq!(lifetime(&stand, new().refresh(true)).await, Some(30), "URL");

    let stand = stand.with(|layer| layer.expire_with(|_, _| Some(Expiration::After(secs(40)))));
    assert_eq!(lifetime(&stand, new().refresh(true)).await, Some(40), "closure");

    let own = new().refresh(true).expire_after(secs(50));
    assert_eq!(lifetime(&stand, own).await, Some(50), "request");
}

#[tokio::test]
async fn rule_that_does_not_apply_leaves_the_decision_to_the_next() {
    let stand = Stand::new(Double::counting()).with(|layer| {
        layer
            .expire_after(secs(10))
            .expire_statuses([(StatusCode::NOT_FOUND, secs(20))])
            .unwrap()
            .expire_urls([("example.org", secs(30))])
            .unwrap()
            .expire_with(|request, _| {
                request.headers.contains_key("x-long").then_some(Expiration::Never)
            })
    });
    assert_eq!(lifetime(&stand, CacheOptions::new()).await, Some(10));
    let reply = stand.ask(get("/other").header("x-long", "1")).await;
    assert_eq!((reply.stored(), reply.cache.expires_at()), (Stored::Yes, None));
}

#[tokio::test]
async fn first_matching_url_pattern_decides() {
    let stand = Stand::new(Double::counting()).with(|layer| {
        layer
            .expire_urls([
                ("*.example.com/api/**", secs(1).into()),
                ("/static/**", Expiration::Never),
                ("example.com/a", secs(2).into()),
                ("**", Expiration::DoNotStore),
            ])
            .unwrap()
    });
    for (url, expected) in [
        ("http://x.example.com/api/a", Some(Some(1))),
        ("http://example.com/static/deep/a", Some(None)),
        ("http://example.com/a?q", Some(Some(2))),
        ("http://example.com/a/b", None),
    ] {
        let reply = stand.ask(http::Request::get(url)).await;
        match expected {
            None => assert_eq!(reply.stored(), Stored::No(Refusal::Expiration), "{url}"),
            Some(end) => {
                let end = end.map(|n| SystemTime::from(T0.saturating_add(secs(n))));
                assert_eq!((reply.stored(), reply.cache.expires_at()), (Stored::Yes, end), "{url}");
            }
        }
    }
}

#[tokio::test]
async fn expiration_for_a_status_makes_it_storable() {
    let stand =
        Stand::new(Double::new(|_, _| Response::builder().status(404).body(full("gone")).unwrap()))
            .with(|layer| layer.expire_statuses([(StatusCode::NOT_FOUND, SECOND)]).unwrap());
    stand.get("/").await;
    assert!(stand.get("/").await.is_from_store());
    stand.clock.advance(SECOND);
    assert_eq!(stand.get("/").await.outcome(), Outcome::Miss(Miss::Expired));
}

#[tokio::test]
async fn an_entry_is_served_until_its_expiry_and_not_at_it() {
    let stand = Stand::new(Double::counting()).with(|layer| layer.expire_after(SECOND));
    stand.get("/").await;
    stand.clock.advance(Duration::from_millis(999));
    let reply = stand.get("/").await;
    assert!(reply.is_from_store());
    assert_eq!(reply.cache.age(), Some(Duration::from_millis(999)));

    stand.clock.advance(Duration::from_millis(1));
    let reply = stand.get("/").await;
    assert_eq!(reply.outcome(), Outcome::Miss(Miss::Expired));
    assert_eq!(reply.text(), "2");
}

#[tokio::test]
async fn an_expired_entry_is_replaced_and_served_again() {
    let stand = Stand::new(Double::counting()).with(|layer| layer.expire_after(SECOND));
    for round in 1..4 {
        assert_eq!(stand.get("/").await.text(), round.to_string());
        let reply = stand.get("/").await;
        assert!(reply.is_from_store());
        assert_eq!(reply.text(), round.to_string());
        assert_eq!(stand.len().await, 1);
        stand.clock.advance(SECOND);
    }
}

#[tokio::test]
async fn a_hit_does_not_prolong_an_entry() {
    let stand = Stand::new(Double::counting()).with(|layer| layer.expire_after(SECOND));
    stand.get("/").await;
    stand.clock.advance(Duration::from_millis(600));
    assert!(stand.get("/").await.is_from_store());
    stand.clock.advance(Duration::from_millis(600));
    assert!(!stand.get("/").await.is_from_store());
}

#[tokio::test]
async fn changed_setting_applies_to_later_responses_only() {
    let stand = Stand::new(Double::counting());
    stand.get("/").await;
    let stand = stand.with(|layer| layer.expire_after(SECOND));
    stand.clock.advance(secs(3600));
    assert!(stand.get("/").await.is_from_store(), "stored forever");
    let own = CacheOptions::new().expire_after(Duration::ZERO);
    assert!(
        stand.ask(with(own)).await.is_from_store(),
        "an entry keeps the expiry it was stored with"
    );
}

#[tokio::test]
async fn response_that_expires_at_once_is_stored_and_never_served() {
    for expiration in [
        Expiration::After(Duration::ZERO),
        Expiration::At(T0.into()),
        Expiration::At(SystemTime::from(T0) - SECOND),
        Expiration::At(UNIX_EPOCH - secs(1_000_000)),
    ] {
        let stand = Stand::new(Double::counting()).with(|layer| layer.expire_after(expiration));
        assert_eq!(stand.get("/").await.stored(), Stored::Yes, "{expiration:?}");
        assert_eq!(stand.len().await, 1);
        let reply = stand.get("/").await;
        assert_eq!(reply.outcome(), Outcome::Miss(Miss::Expired), "{expiration:?}");
        assert_eq!(reply.text(), "2");
        assert_eq!(stand.len().await, 1);
    }
}

#[tokio::test]
async fn expiry_at_a_time_is_exact_to_the_millisecond() {
    let end = Expiration::At(SystemTime::from(T0) + Duration::from_millis(1500));
    let stand = Stand::new(Double::counting()).with(|layer| layer.expire_after(end));
    stand.get("/").await;
    stand.clock.set(Timestamp::from_millis(T0.as_millis() + 1499));
    assert!(stand.get("/").await.is_from_store());
    stand.clock.set(Timestamp::from_millis(T0.as_millis() + 1500));
    assert!(!stand.get("/").await.is_from_store());
}

#[tokio::test]
async fn do_not_store_reads_but_does_not_write() {
    let stand = Stand::new(Double::counting());
    let never = || CacheOptions::new().expire_after(Expiration::DoNotStore);
    let reply = stand.ask(with(never())).await;
    assert_eq!(reply.stored(), Stored::No(Refusal::Expiration));
    assert_eq!(stand.len().await, 0);
    stand.get("/").await;
    assert!(stand.ask(with(never())).await.is_from_store());
}

#[tokio::test]
async fn expirations_that_overflow_are_far_ahead_and_do_not_panic() {
    for expiration in [
        Expiration::After(Duration::MAX),
        Expiration::After(Duration::from_millis(u64::MAX)),
        Expiration::At(UNIX_EPOCH + secs(i64::MAX as u64)),
    ] {
        let stand = Stand::new(Double::counting()).with(|layer| layer.expire_after(expiration));
        let stand = stand.with(|layer| layer.cache_status_header("larder").unwrap());
        let reply = stand.get("/").await;
        assert_eq!(reply.stored(), Stored::Yes);
        let now = SystemTime::from(stand.clock.now());
        assert!(reply.cache.expires_at().is_some_and(|end| end > now));
        stand.clock.advance(secs(100 * 365 * 86_400));
        let reply = stand.get("/").await;
        assert!(reply.is_from_store(), "{expiration:?}");
        assert!(reply.headers["cache-status"].to_str().unwrap().contains("ttl="));
        assert_eq!(stand.layer.entries().remove_expired().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn age_is_zero_when_the_clock_is_set_back() {
    let stand = Stand::new(Double::counting()).with(|layer| layer.expire_after(SECOND));
    stand.get("/").await;
    stand.clock.set(Timestamp::from_millis(T0.as_millis() - 5_000));
    let reply = stand.get("/").await;
    assert!(reply.is_from_store());
    assert_eq!(reply.cache.age(), Some(Duration::ZERO));
}

/// requests-cache fails the request for an empty `Expires`, and keeps a response with a malformed
/// `max-age` forever. Here, only the time that was set decides.
#[tokio::test]
async fn cache_headers_change_nothing_without_the_http_rules() {
    for (name, value) in [
        ("expires", ""),
        ("expires", "0"),
        ("expires", "not a date"),
        ("cache-control", "max-age=abc"),
        ("cache-control", "no-store, private, max-age=0"),
        ("cache-control", "max-age=\"60"),
        ("age", "-1"),
        ("date", "yesterday"),
        ("pragma", "no-cache"),
    ] {
        let stand = Stand::new(Double::new(move |_, _| line(ok("x"), name, value)))
            .with(|layer| layer.expire_after(secs(10)));
        assert_eq!(stand.get("/").await.stored(), Stored::Yes, "{name}: {value}");
        stand.clock.advance(secs(9));
        let reply = stand.get("/").await;
        assert!(reply.is_from_store(), "{name}: {value}");
        assert_eq!(reply.headers[name], value);
        stand.clock.advance(SECOND);
        assert!(!stand.get("/").await.is_from_store(), "{name}: {value}");
    }
}

/// aiohttp-client-cache counts the lifetime from the moment that it reads its clock. Here it begins
/// when the head arrives.
#[tokio::test]
async fn a_lifetime_begins_when_the_head_arrives() {
    let stand = Stand::new(Double::counting());
    let clock = stand.clock.clone();
    let stand = Stand {
        inner: Double::new(move |_, _| {
            clock.advance(secs(5));
            ok("slow")
        }),
        ..stand
    }
    .with(|layer| layer.expire_after(SECOND));
    let reply = stand.get("/").await;
    let arrived = T0.saturating_add(secs(5));
    assert_eq!(reply.cache.stored_at(), Some(arrived.into()));
    assert_eq!(reply.cache.expires_at(), Some(arrived.saturating_add(SECOND).into()));
    assert!(stand.get("/").await.is_from_store());
}

// ===== How long stale responses are kept =====

/// The end of the time for which the response to `request` is kept, in seconds after `T0`. `None`
/// means forever.
async fn kept(stand: &Stand, request: http::request::Builder) -> Option<u64> {
    let key = stand.ask(request).await.cache.key().unwrap();
    let hit = stand.layer.store().get(&key).await.unwrap().unwrap();
    hit.head.keep_until().map(|end| end.saturating_since(T0).as_secs())
}

#[tokio::test]
async fn stale_response_is_kept_as_long_as_it_may_be_used() {
    let stand = |line: Option<(&'static str, &'static str)>| {
        Stand::new(Double::new(move |_, _| match line {
            None => ok("x"),
            Some((name, value)) => crate::support::line(ok("x"), name, value),
        }))
        .with(|layer| layer.expire_after(secs(10)))
    };
    let tagged = || stand(Some(("etag", "\"a\"")));
    assert_eq!(kept(&stand(None), get("/")).await, Some(10));
    assert_eq!(kept(&tagged(), get("/")).await, Some(3_610));
    assert_eq!(kept(&stand(Some(("last-modified", "x"))), get("/")).await, Some(3_610));
    let shorter = tagged().with(|layer| layer.keep_expired(secs(5)));
    assert_eq!(kept(&shorter, get("/")).await, Some(15));
    let stale = shorter.with(|layer| layer.stale_if_error(secs(7)));
    assert_eq!(kept(&stale, get("/new")).await, Some(17));
    let ever = CacheOptions::new().stale_if_error(StaleLimit::Unlimited);
    assert_eq!(kept(&stale, get("/ever").extension(ever)).await, None);
    let never = CacheOptions::new().expire_after(Expiration::Never);
    assert_eq!(kept(&stale, get("/never").extension(never)).await, None);
}

/// Otherwise the resident is removed first, and its variants are no longer found.
#[tokio::test]
async fn resident_is_kept_as_long_as_its_variants() {
    let inner = Double::new(|request, _| {
        let response = line(ok("x"), "vary", "x-a");
        if request.headers()["x-a"] == "tagged" {
            line(response, "etag", "\"a\"")
        } else {
            response
        }
    });
    let stand = Stand::new(inner).with(|layer| layer.expire_after(secs(10)));
    let of = |value: &str| get("/").header("x-a", value);
    stand.ask(of("plain")).await;
    stand.ask(of("tagged")).await;
    stand.ask(of("other")).await;
    let entries = stand.layer.entries();
    stand.clock.advance(secs(10));
    assert_eq!(entries.remove_expired().await.unwrap(), 1, "the variant without a validator");
    stand.clock.advance(secs(3599));
    assert_eq!(entries.remove_expired().await.unwrap(), 0);
    assert_eq!(stand.ask(of("tagged")).await.outcome(), Outcome::Miss(Miss::Expired));
}

/// Otherwise a response that was stored while the clock was ahead would be fresh for too long.
#[tokio::test]
async fn response_stored_while_the_clock_was_ahead_is_stale() {
    for http_rules in [false, true] {
        let stand = Stand::new(Double::new(|_, call| {
            line(ok(call.to_string()), "cache-control", "max-age=60")
        }));
        let stand = stand.with(|layer| match http_rules {
            true => layer.http_rules(),
            false => layer.expire_after(secs(60)),
        });
        stand.clock.set(T0.saturating_add(secs(365 * 24 * 3600)));
        stand.get("/").await;
        stand.clock.set(T0);
        let reply = stand.get("/").await;
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Miss(Miss::Expired), "2"));
        assert!(stand.get("/").await.is_from_store());

        // The clocks of machines that share a store may differ a little.
        stand.clock.set(T0.saturating_add(secs(61 + 4 * 60)));
        assert_eq!(stand.get("/").await.text(), "3");
        stand.clock.set(T0.saturating_add(secs(61)));
        assert!(stand.get("/").await.is_from_store());
    }
}

#[tokio::test]
async fn max_ttl_shortens_every_lifetime_under_both_policies() {
    let limited = |stand: Stand| stand.with(|layer| layer.max_ttl(secs(10)));
    let new = CacheOptions::new;
    let stand = limited(Stand::new(Double::counting()));
    assert_eq!(lifetime(&stand, new()).await, Some(10), "a private cache");
    let own = new().refresh(true).expire_after(Expiration::Never);
    assert_eq!(lifetime(&stand, own).await, Some(10), "the request");
    let own = new().refresh(true).expire_after(secs(3));
    assert_eq!(lifetime(&stand, own).await, Some(3), "a shorter lifetime");

    // Under the HTTP rules, the limit applies to a new response and to one that a 304 freshens.
    let inner = Double::new(|request, _| {
        let age = if request.uri().path() == "/short" { "max-age=4" } else { "max-age=3600" };
        line(tagged(&request, "\"a\"", "text"), "cache-control", age)
    });
    let stand = limited(Stand::new(inner)).with(|layer| layer.http_rules());
    let end = |n| Some(SystemTime::from(stand.clock.now().saturating_add(secs(n))));
    assert_eq!(stand.get("/").await.cache.expires_at(), end(10));
    assert_eq!(stand.get("/short").await.cache.expires_at(), end(4));
    stand.clock.advance(secs(10));
    let reply = stand.get("/").await;
    assert_eq!((reply.outcome(), reply.cache.expires_at()), (Outcome::Revalidated, end(10)));

    // The limit also applies to `reset_expiration`.
    let entries = stand.layer.entries();
    entries.reset_expiration(secs(3600), |_| {}).await.unwrap();
    assert_eq!(stand.get("/").await.cache.expires_at(), end(10));
}

#[tokio::test]
async fn url_patterns_are_added_with_a_duration_or_an_expiration() {
    let stand = Stand::new(Double::counting()).with(|layer| {
        layer
            .expire_urls([("/none", Expiration::DoNotStore)])
            .unwrap()
            .add_expire_url("/short", secs(1))
            .unwrap()
            .add_expire_url("/long", Expiration::Never)
            .unwrap()
            .add_expire_url("**", secs(9))
            .unwrap()
    });
    let end = |n| Some(SystemTime::from(T0.saturating_add(secs(n))));
    for (path, stored, expires_at) in [
        ("/none", Stored::No(Refusal::Expiration), None),
        ("/short", Stored::Yes, end(1)),
        ("/long", Stored::Yes, None),
        ("/other", Stored::Yes, end(9)),
    ] {
        let reply = stand.get(path).await;
        assert_eq!((reply.stored(), reply.cache.expires_at()), (stored, expires_at), "{path}");
    }
}

#[tokio::test]
async fn a_closure_may_return_a_duration() {
    let stand = Stand::new(Double::counting()).with(|layer| {
        layer.expire_with(|request, _| (request.uri.path() == "/").then_some(secs(7)))
    });
    assert_eq!(lifetime(&stand, CacheOptions::new()).await, Some(7));
    assert_eq!(stand.get("/other").await.cache.expires_at(), None);
}

#[tokio::test]
async fn closure_runs_as_often_for_refused_responses_as_for_stored_ones() {
    for control in ["max-age=60", "no-store"] {
        let stand = Stand::new(Double::new(move |_, _| {
            Response::builder().header("cache-control", control).body(full("a")).unwrap()
        }));
        let asked = Arc::new(AtomicU64::new(0));
        let count = asked.clone();
        let stand = stand.with(|layer| {
            layer.http_rules().expire_with(move |_, _| {
                count.fetch_add(1, Relaxed);
                None::<Duration>
            })
        });
        stand.get("/").await;
        assert_eq!(asked.load(Relaxed), 2, "{control}");
    }
}
