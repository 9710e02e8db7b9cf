//! Revalidation of variants. The cache sends the variant's own validators, and a 304 freshens that
//! variant and no other.

use std::time::Duration;

use futures_util::future::join;
use http::{Request, StatusCode};
use larder::{CacheLayer, CacheOptions, Outcome, Stored, status::Miss, store::Store};

use crate::support::{Double, Stand, get, lang, line, not_modified, ok};

const SECOND: Duration = Duration::from_secs(1);

/// Whether `If-None-Match` names the ETag.
fn has<B>(request: &Request<B>, tag: &str) -> bool {
    let named = request.headers().get("if-none-match").map(|it| it.to_str().unwrap());
    named.is_some_and(|named| named.split(", ").any(|it| it == tag))
}

/// An origin with one response and one strong ETag for all languages.
fn origin() -> Double {
    Double::new(|request, call| {
        let response = if has(&request, "\"a\"") { not_modified() } else { ok("same") };
        let response = line(line(response, "etag", "\"a\""), "vary", "accept-language");
        line(line(response, "cache-control", "max-age=10"), "x-call", call.to_string())
    })
}

fn fixed<B: Store>(layer: CacheLayer<B>) -> CacheLayer<B> {
    layer.expire_after(SECOND * 10)
}

/// The `If-None-Match` of each request that the origin has seen since the last call.
fn conditions(stand: &Stand<impl Store>) -> Vec<Option<String>> {
    let seen = stand.inner.take_seen();
    seen.iter().map(|seen| seen.conditions().0.map(str::to_owned)).collect()
}

async fn each_variant_is_revalidated_by_itself<B: Store>(stand: Stand<B>) {
    for language in ["de", "en"] {
        let reply = stand.ask(lang(language)).await;
        assert_eq!((reply.text(), reply.stored()), ("same", Stored::Yes));
    }
    assert_eq!(conditions(&stand), [None, None], "the ETags of other variants are not sent");
    stand.clock.advance(SECOND * 10);
    assert_eq!(stand.ask(lang("de")).await.outcome(), Outcome::Revalidated);
    assert_eq!(conditions(&stand), [Some("\"a\"".to_owned())]);
    let reply = stand.ask(lang("de")).await;
    assert!(reply.is_from_store());
    assert_eq!(reply.headers["x-call"], "3", "the fields of the 304");

    let reply = stand.ask(lang("en")).await;
    assert_eq!(reply.outcome(), Outcome::Revalidated, "the 304 did not freshen this variant");
    assert_eq!(reply.headers["x-call"], "4");
}

#[tokio::test]
async fn a_304_freshens_only_the_variant_that_was_revalidated() {
    each_variant_is_revalidated_by_itself(Stand::new(origin()).with(fixed)).await;
    each_variant_is_revalidated_by_itself(Stand::shared(origin()).with(fixed)).await;
    each_variant_is_revalidated_by_itself(Stand::new(origin()).with(CacheLayer::http_rules)).await;
    let shared = Stand::shared(origin()).with(CacheLayer::http_rules);
    each_variant_is_revalidated_by_itself(shared).await;
}

#[cfg(feature = "redb")]
#[tokio::test(flavor = "multi_thread")]
async fn a_304_freshens_only_the_variant_on_disk_that_was_revalidated() {
    let store = larder::store::Redb::temporary().unwrap();
    let stand = Stand::over(store, origin()).with(CacheLayer::http_rules);
    each_variant_is_revalidated_by_itself(stand).await;
}

#[tokio::test]
async fn callers_conditions_are_answered_from_a_new_variant() {
    let stand = Stand::new(origin());
    stand.ask(lang("de")).await;
    for (n, (own, expected)) in [("\"a\"", 304), ("\"mine\"", 200)].into_iter().enumerate() {
        let request = lang(&format!("de-{n}")).header("if-none-match", own);
        let reply = stand.ask(request).await;
        let outcome = Outcome::Miss(Miss::Variant);
        assert_eq!((reply.status.as_u16(), reply.outcome()), (expected, outcome));
        assert_eq!(reply.text(), if expected == 304 { "" } else { "same" });
    }
    assert_eq!(conditions(&stand), [None, None, None]);
    // A request that may not store is forwarded with the caller's own condition.
    let own = lang("fr").extension(CacheOptions::new().no_store(true));
    assert_eq!(stand.ask(own.header("if-none-match", "\"x\"")).await.text(), "same");
    assert_eq!(conditions(&stand), [Some("\"x\"".to_owned())]);
}

/// Some origins have one strong ETag for all forms of a resource, or for all users of a page.
#[tokio::test]
async fn variants_with_the_same_etag_are_not_confused() {
    for name in
        ["accept", "accept-encoding", "accept-language", "authorization", "cookie", "origin"]
    {
        let inner = Double::new(move |request, _| {
            let value = request.headers()[name].to_str().unwrap();
            let response = if has(&request, "\"page\"") { not_modified() } else { ok(value) };
            let response = line(line(response, "etag", "\"page\""), "vary", name);
            line(response, "cache-control", "max-age=10, public")
        });
        let stand = Stand::shared(inner).with(CacheLayer::http_rules);
        for value in ["alice", "bob", "alice", "bob"] {
            assert_eq!(stand.ask(get("/").header(name, value)).await.text(), value, "{name}");
        }
        assert_eq!(stand.calls(), 2);
        stand.clock.advance(SECOND * 10);
        for value in ["alice", "bob"] {
            let reply = stand.ask(get("/").header(name, value)).await;
            assert_eq!((reply.outcome(), reply.text()), (Outcome::Revalidated, value));
        }
    }
}

// ===== The resident, which leads to the other variants =====

#[tokio::test]
async fn variants_that_are_stored_at_the_same_time_are_both_found() {
    let (inner, gate) = origin().gated();
    let stand = Stand::new(inner);
    gate.open(1);
    stand.ask(lang("fr")).await;
    let (de, en) = (stand.ask(lang("de")), stand.ask(lang("en")));
    let opening = async {
        stand.inner.begun(3).await;
        gate.open(2);
    };
    join(join(de, en), opening).await;
    for language in ["de", "en", "fr"] {
        assert!(stand.ask(lang(language)).await.is_from_store());
    }
}

#[tokio::test]
async fn resident_is_kept_as_long_as_a_variant_that_is_freshened() {
    let stand = Stand::new(origin()).with(fixed);
    for language in ["de", "en"] {
        stand.ask(lang(language)).await;
    }
    // In total, this is longer than the resident was to be kept at first.
    for _ in 0..3 {
        stand.clock.advance(SECOND * 3000);
        assert_eq!(stand.layer.entries().remove_expired().await.unwrap(), 0);
        let reply = stand.ask(lang("en")).await;
        assert_eq!((reply.status, reply.outcome()), (StatusCode::OK, Outcome::Revalidated));
    }
    assert!(stand.ask(lang("en")).await.is_from_store());
}

#[tokio::test]
async fn resident_is_written_once_for_any_number_of_variants() {
    let stand = Stand::new(origin());
    let key = stand.ask(lang("de")).await.cache.key().unwrap();
    let version = async || stand.layer.store().get(&key).await.unwrap().unwrap().version;
    let alone = version().await;
    stand.ask(lang("0")).await;
    let before = version().await;
    assert_ne!(before, alone, "it leads to another variant now");
    for n in 1..100 {
        assert_eq!(stand.ask(lang(&n.to_string())).await.stored(), Stored::Yes);
    }
    for n in 0..100 {
        assert!(stand.ask(lang(&n.to_string())).await.is_from_store());
    }
    assert_eq!(version().await, before);
}
