//! Removals during a call whose response is not known yet. A request that comes after the removal
//! does not receive what was removed.

use std::{pin::Pin, time::Duration};

use futures_util::FutureExt;
use http::{Request, StatusCode};
use larder::{CacheOptions, Filter, Key, Stored, status::Refusal, store::Memory};

use crate::support::{Double, Gate, Gated, Reply, Stand, get, line, ok, soon, status, url, with};

type Asking<'a> = Pin<Box<dyn Future<Output = Reply> + 'a>>;

/// A removal that may concern the response of a call in flight.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Tag,
    Group,
    Path,
    Key,
}

/// The first `GET` waits at `gate`. Each response is the number of its `GET`, and can be removed in
/// each of these ways.
fn stand(gate: &Gate) -> Stand {
    let gets = std::sync::atomic::AtomicUsize::new(0);
    let inner = Double::new(move |request, _| {
        if request.method() == http::Method::POST {
            return line(ok(""), "cache-group-invalidation", "\"a\"");
        }
        let get = gets.fetch_add(1, std::sync::atomic::Ordering::SeqCst) + 1;
        let response = line(ok(get.to_string()), "cache-control", "max-age=60");
        let response = line(response, "no-vary-search", "params=(\"a\")");
        line(line(response, "cache-groups", "\"a\""), "surrogate-key", "news")
    });
    Stand::shared(inner.first_behind(gate)).with(|layer| {
        layer.http_rules().no_vary_search(true).add_tag_headers(["surrogate-key"]).unwrap()
    })
}

async fn remove(stand: &Stand, way: Way) {
    let entries = stand.layer.entries();
    match way {
        Way::Tag => drop(entries.remove_tag("news").await.unwrap()),
        Way::Group => drop(stand.ask(Request::post(url("/other"))).await),
        Way::Path => drop(entries.remove(&url("/p?a=2")).await.unwrap()),
        Way::Key => drop(entries.remove(Key::digest("another key")).await),
    }
}

fn begun<'a>(stand: &'a Stand, path: &'static str) -> Asking<'a> {
    let mut asking: Asking<'a> = Box::pin(stand.get(path));
    assert!(asking.as_mut().now_or_never().is_none());
    asking
}

#[tokio::test]
async fn request_after_a_removal_gets_nothing_requested_before_it() {
    for way in [Way::Tag, Way::Group, Way::Path] {
        let gate = Gate::closed();
        let stand = stand(&gate);
        let leader = begun(&stand, "/p?a=1");
        let follower = begun(&stand, "/p?a=1");
        remove(&stand, way).await;
        let newcomers = [begun(&stand, "/p?a=1"), begun(&stand, "/p?a=1")];
        gate.open(1);
        let older = [soon(leader).await, soon(follower).await];
        // A request from before the removal still follows the older call.
        assert_eq!(older[0].text(), older[1].text(), "{way:?}");
        assert_eq!(older[0].stored(), Stored::No(Refusal::Removed), "{way:?}");
        let [newcomer, other] = newcomers;
        let (newcomer, other) = (soon(newcomer).await, soon(other).await);
        assert_eq!(newcomer.stored(), Stored::Yes, "{way:?}");
        let newest = newcomer.text().to_owned();
        assert_eq!(other.text(), newest, "{way:?}: they make one call");
        assert!(older.iter().all(|reply| reply.text() != newest), "{way:?}");
        let next = stand.get("/p?a=1").await;
        assert!(next.is_from_store() && next.text() == newest, "{way:?}");
        let posts = usize::from(way == Way::Group);
        assert_eq!((stand.calls(), stand.layer.stats().in_flight), (2 + posts, 0), "{way:?}");
    }
}

/// A removal for one path, under one key, or of groups of one origin does not concern calls for
/// others.
#[tokio::test]
async fn unrelated_calls_are_still_joined_after_a_removal() {
    for (way, elsewhere) in [
        (Way::Path, "http://example.com/q?a=1"),
        (Way::Key, "http://example.com/p?a=1"),
        (Way::Group, "http://example.com:81/p?a=1"),
        (Way::Group, "http://example.community/p?a=1"),
    ] {
        let gate = Gate::closed();
        let stand = stand(&gate);
        let ask = || Box::pin(stand.ask(Request::get(elsewhere)));
        let mut leader = ask();
        assert!(leader.as_mut().now_or_never().is_none());
        remove(&stand, way).await;
        let mut newcomer = ask();
        assert!(newcomer.as_mut().now_or_never().is_none(), "{way:?}: it waits");
        gate.open(1);
        assert_eq!(soon(leader).await.text(), soon(newcomer).await.text(), "{way:?}");
        assert!(ask().await.is_from_store(), "{way:?}: it is stored");
    }
}

/// A call that may no longer be joined loses its leader. A follower makes the call anew. That call
/// may not be joined either.
#[tokio::test]
async fn follower_from_before_a_removal_takes_over_a_failed_call() {
    let gate = Gate::closed();
    let stand = stand(&gate);
    let (leader, follower) = (begun(&stand, "/"), begun(&stand, "/"));
    stand.layer.entries().remove_tag("news").await.unwrap();
    drop(leader);
    let reply = soon(follower).await;
    assert_eq!(
        (reply.text(), reply.stored()),
        ("1", Stored::Yes),
        "its call began after the removal"
    );
    assert!(stand.get("/").await.is_from_store());
}

#[tokio::test]
async fn request_after_a_removal_does_not_get_a_refresh_begun_before_it() {
    let gate = Gate::closed();
    let inner = Double::new(|_, call| line(ok(call.to_string()), "surrogate-key", "news"));
    let inner = inner.nth_behind(2, &gate);
    let secs = Duration::from_secs;
    let stand = Stand::new(inner).with(|layer| {
        let layer = layer.add_tag_headers(["surrogate-key"]).unwrap();
        layer.expire_after(secs(10)).stale_while_revalidate(secs(60))
    });
    stand.get("/").await;
    stand.clock.advance(secs(20));
    assert_eq!(stand.get("/").await.text(), "1", "it is served while it is refreshed");
    soon(stand.inner.begun(2)).await;
    stand.layer.entries().remove_tag("news").await.unwrap();
    let mut newcomer = Box::pin(stand.get("/"));
    assert!(newcomer.as_mut().now_or_never().is_none(), "it waits");
    gate.open(1);
    let newcomer = soon(newcomer).await;
    assert_eq!((newcomer.text(), newcomer.stored()), ("3", Stored::Yes));
    while stand.layer.stats().in_flight > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(stand.get("/").await.text(), "3");
}

// ===== Removals by a filter =====

/// Only the URL is known of a call without a response. Its response can be neither expired nor old.
#[tokio::test]
async fn filter_removes_responses_in_flight_that_may_match() {
    let secs = Duration::from_secs;
    for (filter, is_stored) in [
        (Filter::new(), false),
        (Filter::new().url("*/news").unwrap(), false),
        (Filter::new().status(StatusCode::NOT_FOUND), false),
        (Filter::new().expired(false), false),
        (Filter::new().url("*/sport").unwrap(), true),
        (Filter::new().older_than(secs(0)), true),
        (Filter::new().expired(true), true),
    ] {
        let gate = Gate::closed();
        let stand = Stand::new(Double::counting().first_behind(&gate));
        let mut caller = Box::pin(stand.get("/news"));
        assert!(caller.as_mut().now_or_never().is_none());
        stand.layer.entries().remove_where(&filter, |_| ()).await.unwrap();
        gate.open(1);
        let stored = if is_stored { Stored::Yes } else { Stored::No(Refusal::Removed) };
        assert_eq!(soon(caller).await.stored(), stored, "{filter:?}");
    }
}

/// The head is known once the response has arrived.
#[tokio::test]
async fn filter_removes_a_response_being_stored_if_it_matches() {
    for (filter, is_removed) in [
        (Filter::new().status(StatusCode::NOT_FOUND), true),
        (Filter::new().status(StatusCode::OK), false),
    ] {
        let store = Gated::at_finish(Memory::default());
        let stand = Stand::over(store.clone(), Double::new(|_, _| status(404)))
            .with(|layer| layer.statuses([StatusCode::NOT_FOUND]).unwrap());
        let mut caller = Box::pin(stand.get("/"));
        assert!(caller.as_mut().now_or_never().is_none(), "it is being published");
        let entries = stand.layer.entries();
        let mut removing = Box::pin(entries.remove_where(&filter, |_| ()));
        assert_eq!(
            removing.as_mut().now_or_never().is_none(),
            is_removed,
            "it waits only for a match"
        );
        store.publish(1);
        if is_removed {
            assert_eq!(soon(removing).await.unwrap(), 1);
        }
        soon(caller).await;
        assert_eq!(stand.len().await, u64::from(!is_removed), "{filter:?}");
    }
}

// ===== Many removals =====

#[tokio::test]
async fn many_unrelated_removals_do_not_affect_a_call() {
    let gate = Gate::closed();
    let stand = Stand::new(Double::counting().first_behind(&gate));
    let mut caller = Box::pin(stand.ask(with(CacheOptions::new().add_tag("news"))));
    assert!(caller.as_mut().now_or_never().is_none());
    let entries = stand.layer.entries();
    for n in 0..300 {
        entries.remove_tag(&format!("sport {n}")).await.unwrap();
        entries.remove(Key::digest(n.to_string())).await.unwrap();
    }
    gate.open(1);
    assert_eq!(soon(caller).await.stored(), Stored::Yes);
}

/// Each of these variants is newer than the one in flight, and is stored under another key.
#[tokio::test]
async fn many_variants_stored_meanwhile_do_not_affect_a_call() {
    let gate = Gate::closed();
    let inner = Double::new(|_, call| line(ok(call.to_string()), "vary", "x-a"));
    let inner = inner.nth_behind(2, &gate);
    let stand = Stand::new(inner);
    stand.ask(get("/").header("x-a", "first")).await;
    let mut caller = Box::pin(stand.ask(get("/").header("x-a", "slow")));
    assert!(caller.as_mut().now_or_never().is_none());
    for n in 0..100 {
        let alone = CacheOptions::new().coalesce(false);
        stand.ask(get("/").header("x-a", n).extension(alone)).await;
    }
    gate.open(1);
    assert_eq!(soon(caller).await.stored(), Stored::Yes);
    assert!(stand.ask(get("/").header("x-a", "slow")).await.is_from_store());
}
