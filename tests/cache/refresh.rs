//! Requests that demand a refresh, forced or not, and revalidation in the modes of the cache.

use std::time::Duration;

use futures_util::FutureExt;
use http::StatusCode;
use larder::{
    CacheOptions, Outcome, StaleLimit, Stored,
    status::{Bypass, Miss, Refusal},
};

use crate::support::{Double, Stand, get, line, ok, tagged, with};

const SECOND: Duration = Duration::from_secs(1);
const NEW: fn() -> CacheOptions = CacheOptions::new;

/// A cache over an origin that answers 304 to the tags it has sent.
fn stand() -> Stand {
    Stand::new(Double::new(|request, _| tagged(&request, "\"a\"", "whole")))
        .with(|layer| layer.expire_after(SECOND * 10))
}

#[tokio::test]
async fn refresh_revalidates_a_fresh_response() {
    let stand = stand();
    stand.get("/").await;
    stand.clock.advance(SECOND * 6);
    let stand = stand.with(|layer| layer.cache_status_header("larder").unwrap());
    let reply = stand.ask(with(NEW().refresh(true))).await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Revalidated, "whole"));
    let field = "larder; fwd=request; fwd-status=304; stored; ttl=10";
    assert_eq!(reply.lines("cache-status"), [field.as_bytes()]);
    assert_eq!(stand.inner.take_seen()[1].conditions(), (Some("\"a\""), None));
    stand.clock.advance(SECOND * 6);
    assert_eq!(stand.get("/").await.outcome(), Outcome::Hit, "freshened six seconds ago");
}

#[tokio::test]
async fn refresh_with_a_new_response_replaces_the_old_one() {
    let stand = Stand::new(Double::new(|_, call| {
        line(ok(call.to_string()), "etag", format!("\"{call}\""))
    }));
    stand.get("/").await;
    let reply = stand.ask(with(NEW().refresh(true))).await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Miss(Miss::Refresh), "2"));
    assert_eq!(stand.get("/").await.text(), "2");
}

#[tokio::test]
async fn forced_refresh_sends_no_validator_and_fetches_the_response() {
    for options in [NEW().force_refresh(true), NEW().force_refresh(true).refresh(true)] {
        let stand = stand();
        stand.get("/").await;
        // The caller's own validator is not sent either. A 304 to it could not be stored.
        let request = get("/").extension(options).header("if-none-match", "\"mine\"");
        let reply = stand.ask(request).await;
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Miss(Miss::Refresh), "whole"));
        assert_eq!(stand.inner.take_seen()[1].conditions(), (None, None));
        assert_eq!(stand.layer.stats().stored, 2);
    }
}

/// It does not join the older call, whose response does not replace its own.
#[tokio::test]
async fn forced_refresh_neither_joins_an_older_call_nor_is_replaced_by_it() {
    let (inner, gate) =
        Double::new(|_, call| line(ok(call.to_string()), "etag", format!("\"{call}\""))).gated();
    let stand = Stand::new(inner).with(|layer| layer.expire_after(SECOND));
    gate.open(1);
    stand.get("/").await;
    stand.clock.advance(SECOND);
    let mut older = Box::pin(stand.get("/"));
    assert!((&mut older).now_or_never().is_none());
    let mut forced = Box::pin(stand.ask(with(NEW().force_refresh(true))));
    assert!((&mut forced).now_or_never().is_none());
    assert_eq!(stand.calls(), 3, "a call of its own");
    // The gate is fair, so the older call passes it first. Its response is stored until the newer
    // one replaces it.
    gate.open(2);
    let (older, forced) = (older.await, forced.await);
    assert_eq!((older.text(), older.stored()), ("2", Stored::Yes));
    assert_eq!((forced.text(), forced.stored()), ("3", Stored::Yes));
    assert_eq!(stand.get("/").await.text(), "3");
}

/// A later request joins the call of the forced refresh.
#[tokio::test]
async fn a_forced_refresh_has_followers() {
    let (inner, gate) = Double::counting().gated();
    let stand = Stand::new(inner).with(|layer| layer.expire_after(SECOND));
    gate.open(1);
    stand.get("/").await;
    stand.clock.advance(SECOND);
    let mut forced = Box::pin(stand.ask(with(NEW().force_refresh(true))));
    assert!((&mut forced).now_or_never().is_none());
    let mut follower = Box::pin(stand.get("/"));
    assert!((&mut follower).now_or_never().is_none());
    gate.open(1);
    assert_eq!(forced.await.text(), "2");
    let follower = follower.await;
    assert_eq!((follower.text(), follower.cache.is_coalesced()), ("2", true));
    assert_eq!(stand.calls(), 2);
}

// ===== Modes =====

#[tokio::test]
async fn only_if_cached_serves_stale_within_a_limit_and_makes_no_call() {
    for set in [
        |options: CacheOptions| options.stale_if_error(SECOND * 5),
        |options: CacheOptions| options.stale_while_revalidate(SECOND * 5),
    ] {
        let stand = stand().with(|layer| layer.cache_status_header("larder").unwrap());
        stand.get("/").await;
        stand.clock.advance(SECOND * 12);
        let only = || NEW().only_if_cached(true);
        let reply = stand.ask(with(only())).await;
        assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT, "no limit allows it");
        assert!(reply.text().contains("expired"));
        for options in [set(only()), set(only()).refresh(true), set(only()).force_refresh(true)] {
            let reply = stand.ask(with(options)).await;
            assert_eq!(reply.outcome(), Outcome::Stale(larder::status::Stale::OnlyIfCached));
            assert_eq!((reply.text(), reply.stored()), ("whole", Stored::Yes));
            assert_eq!(reply.cache.age(), Some(SECOND * 12));
            let field = "larder; hit; ttl=-2; detail=only-if-cached";
            assert_eq!(reply.lines("cache-status"), [field.as_bytes()]);
        }
        stand.clock.advance(SECOND * 3);
        assert_eq!(stand.ask(with(set(only()))).await.outcome(), Outcome::OnlyIfCached);
        let stats = stand.layer.stats();
        assert_eq!((stats.stale_hits, stats.only_if_cached, stats.refreshes), (3, 2, 0));
        assert_eq!(stand.calls(), 1);
    }
}

#[tokio::test]
async fn request_that_may_not_store_is_answered_by_a_304_but_freshens_nothing() {
    let stand = stand();
    stand.get("/").await;
    stand.clock.advance(SECOND * 10);
    let stored = async || stand.layer.entries().get(&crate::support::url("/")).await.unwrap();
    let before = stored().await.unwrap().extensions().get::<larder::CacheStatus>().cloned();
    let reader = stand.clone_with(|layer| layer.read_only(true));
    let no_store = with(NEW().no_store(true));
    for reply in [stand.ask(no_store).await, reader.get("/").await] {
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Revalidated, "whole"));
        assert!(matches!(reply.stored(), Stored::No(Refusal::NoStore | Refusal::ReadOnly)));
    }
    let after = stored().await.unwrap().extensions().get::<larder::CacheStatus>().cloned();
    assert_eq!(before.unwrap().expires_at(), after.unwrap().expires_at());
}

#[tokio::test]
async fn disabled_cache_adds_no_validator_and_starts_no_refresh() {
    let stand = stand().with(|layer| layer.stale_if_error(StaleLimit::Unlimited));
    let stand = stand.with(|layer| layer.stale_while_revalidate(StaleLimit::Unlimited));
    stand.get("/").await;
    stand.clock.advance(SECOND * 10);
    stand.layer.set_enabled(false);
    let reply = stand.ask(get("/").header("if-none-match", "\"mine\"")).await;
    assert_eq!(reply.outcome(), Outcome::Bypass(Bypass::Disabled));
    assert_eq!(stand.inner.take_seen()[1].conditions(), (Some("\"mine\""), None), "unchanged");
    let reply = stand.ask(with(NEW().only_if_cached(true))).await;
    assert_eq!(reply.outcome(), Outcome::OnlyIfCached);
    assert_eq!((stand.calls(), stand.layer.stats().refreshes), (2, 0));
}

#[tokio::test]
async fn bypassing_request_is_never_answered_stale() {
    let stand = stand().with(|layer| layer.stale_if_error(StaleLimit::Unlimited));
    let stand = stand.with(|layer| layer.stale_while_revalidate(StaleLimit::Unlimited));
    stand.get("/").await;
    stand.clock.advance(SECOND * 10);
    for request in [with(NEW().bypass(true)), get("/").header("if-match", "x")] {
        assert!(matches!(stand.ask(request).await.outcome(), Outcome::Bypass(_)));
    }
    assert_eq!((stand.calls(), stand.layer.stats().stale_hits), (3, 0));
}
