//! What the handle does to every entry: a new expiry, and a copy in another store.

use std::time::Duration;

use futures_util::StreamExt;
use http::{HeaderMap, Response};
use larder::{
    CacheLayer, CacheOptions, Expiration,
    store::{ErrorKind, Memory, Store},
};

use crate::{
    management::kind,
    support::{Double, Faulty, Op, Stand, T0, frames, get, line, ok, url},
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn every_entry_can_be_given_a_new_expiry_from_when_it_was_stored() {
    let stand = Stand::new(Double::new(|_, _| line(ok("x"), "vary", "x-a")));
    stand.get("/a").await;
    stand.clock.advance(SECOND * 5);
    stand.get("/b").await;
    let entries = stand.layer.entries();
    let mut read = 0;
    let count = |n| read = n;
    assert_eq!(entries.reset_expiration(SECOND * 8, count).await.unwrap(), 2);
    assert_eq!(read, 2);
    stand.clock.advance(SECOND * 3);
    assert!(!stand.get("/a").await.is_from_store());
    assert!(stand.get("/b").await.is_from_store());
    stand.clock.advance(SECOND * 5);
    assert!(!stand.get("/b").await.is_from_store());

    assert_eq!(entries.reset_expiration(Expiration::Never, |_| ()).await.unwrap(), 2);
    stand.clock.advance(SECOND * 1000);
    assert!(stand.get("/a").await.is_from_store() && stand.get("/b").await.is_from_store());
    assert_eq!(entries.reset_expiration(Expiration::DoNotStore, |_| ()).await.unwrap(), 2);
    assert!(entries.is_empty().await.unwrap());
}

#[tokio::test]
async fn a_copy_answers_as_the_original_does() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    let stand = Stand::new(Double::new(move |request, _| {
        let of = request.headers().get("x-a").map_or("", |it| it.to_str().unwrap());
        let body = frames([if of == "1" { "one" } else { "other" }], Some(Ok(trailers.clone())));
        line(Response::new(body), "vary", "x-a")
    }));
    for value in ["1", "2"] {
        stand.ask(get("/").header("x-a", value)).await;
    }
    let short = CacheOptions::new().expire_after(SECOND).add_tag("gone");
    stand.ask(get("/expired").extension(short)).await;
    stand.clock.advance(SECOND);

    let other = Memory::default();
    let mut told = Vec::new();
    let entries = stand.layer.entries();
    let copied = entries.copy_to(&other, |n| told.push(n)).await.unwrap();
    assert_eq!((copied, &told[..]), (2, &[1, 2][..]));

    let copy = Stand::over(other.clone(), Double::counting());
    for (value, text) in [("1", "one"), ("2", "other")] {
        let reply = copy.ask(get("/").header("x-a", value)).await;
        assert!(reply.is_from_store());
        assert_eq!(
            (reply.text(), &reply.trailers.as_ref().unwrap()["x-sum"]),
            (text, &"1".parse().unwrap())
        );
        assert_eq!(reply.cache.stored_at(), Some(T0.into()), "nothing is made younger");
    }
    assert!(!copy.layer.entries().contains(&url("/expired")).await.unwrap());
    // A second time, in place of what is there.
    assert_eq!(entries.copy_to(&other, |_| ()).await.unwrap(), 2);
    assert_eq!(copy.len().await, 2);
    // Tags came along, the cache's own too.
    assert_eq!(copy.layer.entries().remove(&url("/")).await.unwrap(), 2);
}

/// The others could not be found without it.
#[tokio::test]
async fn an_expired_response_is_copied_if_it_leads_to_variants_that_are_fresh() {
    let inner = Double::new(|_, call| line(ok(call.to_string()), "vary", "x-a"));
    let stand = Stand::new(inner).with(|layer| layer.expire_after(SECOND * 10));
    let of = |value: &str| get("/").header("x-a", value);
    stand.ask(of("1")).await;
    stand.clock.advance(SECOND * 5);
    stand.ask(of("2")).await;
    stand.clock.advance(SECOND * 5);
    let other = Memory::default();
    assert_eq!(stand.layer.entries().copy_to(&other, |_| ()).await.unwrap(), 1);
    let entries = CacheLayer::private(other).entries();
    let request = |value: &str| of(value).body(()).unwrap();
    assert!(entries.contains(&request("2")).await.unwrap());
}

#[tokio::test]
async fn a_copy_passes_over_what_is_damaged_and_stops_at_a_store_that_fails() {
    let store = Faulty::new(Memory::default());
    let stand = Stand::over(store.clone(), Double::counting());
    for path in ["/a", "/b", "/c"] {
        stand.get(path).await;
    }
    let other = Faulty::new(Memory::default());
    let entries = stand.layer.entries();
    store.fail_nth(1, ErrorKind::Corrupt);
    assert_eq!(entries.copy_to(&other, |_| ()).await.unwrap(), 2);
    store.fail(Op::Body, ErrorKind::Corrupt);
    let fresh = Memory::default();
    assert_eq!(entries.copy_to(&fresh, |_| ()).await.unwrap(), 0);
    assert_eq!(CacheLayer::private(fresh).entries().len().await.unwrap(), 0, "no half copies");
    store.heal();
    other.fail(Op::Finish, ErrorKind::Full);
    assert_eq!(kind(entries.copy_to(&other, |_| ()).await), ErrorKind::Full);
    store.fail(Op::Scan, ErrorKind::Unavailable);
    assert_eq!(kind(entries.copy_to(&Memory::default(), |_| ()).await), ErrorKind::Unavailable);
    assert!(entries.stream().next().await.unwrap().is_err());
}

#[tokio::test]
async fn a_new_expiry_leaves_what_an_entry_is_kept_beyond_it() {
    let stand = Stand::new(Double::new(|_, _| line(line(ok("x"), "etag", "\"a\""), "vary", "x-a")))
        .with(|layer| layer.expire_after(SECOND * 10));
    let options = CacheOptions::new().stale_if_error(SECOND * 5000);
    let key = stand.ask(get("/").extension(options)).await.cache.key().unwrap();
    let entries = stand.layer.entries();
    let kept = async || {
        let hit = stand.layer.store().get(&key).await.unwrap().unwrap();
        hit.head.keep_until().map(|end| end.saturating_since(T0).as_secs())
    };
    assert_eq!(kept().await, Some(5010));
    entries.reset_expiration(SECOND * 20, |_| ()).await.unwrap();
    assert_eq!(kept().await, Some(5020));
    entries.reset_expiration(Expiration::Never, |_| ()).await.unwrap();
    assert_eq!(kept().await, None);
    // Of an entry that never expired, nobody knows but the layer.
    entries.reset_expiration(SECOND * 20, |_| ()).await.unwrap();
    assert_eq!(kept().await, Some(3620));
    stand.clock.advance(SECOND * 3619);
    assert_eq!(entries.remove_expired().await.unwrap(), 0);
    stand.clock.advance(SECOND);
    assert_eq!(entries.remove_expired().await.unwrap(), 1);
}
