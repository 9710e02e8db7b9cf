//! What the handle does to all entries: it gives them a new expiry, and copies them to another
//! store.

use std::time::Duration;

use futures_util::StreamExt;
use http::{HeaderMap, Response};
use larder::{
    CacheLayer, CacheOptions, CopyReport, Expiration, Filter, IfPresent,
    store::{ErrorKind, Memory, Store},
};

use crate::{
    management::kind,
    support::{Double, Faulty, Op, Stand, T0, frames, get, line, ok, url},
};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn reset_expiration_counts_from_when_each_entry_was_stored() {
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
    let mut reported = Vec::new();
    let entries = stand.layer.entries();
    let copied = entries.copy_to(&other, |n| reported.push(n)).await.unwrap();
    assert_eq!((copied, &reported[..]), (2, &[1, 2][..]));

    let copy = Stand::over(other.clone(), Double::counting());
    for (value, text) in [("1", "one"), ("2", "other")] {
        let reply = copy.ask(get("/").header("x-a", value)).await;
        assert!(reply.is_from_store());
        assert_eq!(
            (reply.text(), &reply.trailers.as_ref().unwrap()["x-sum"]),
            (text, &"1".parse().unwrap())
        );
        assert_eq!(reply.cache.stored_at(), Some(T0.into()), "the copy is as old as the original");
    }
    assert!(!copy.layer.entries().contains(&url("/expired")).await.unwrap());
    // A second copy replaces the entries.
    assert_eq!(entries.copy_to(&other, |_| ()).await.unwrap(), 2);
    assert_eq!(copy.len().await, 2);
    // The tags were copied, and the cache's own tags too.
    assert_eq!(copy.layer.entries().remove(&url("/")).await.unwrap(), 2);
}

/// The variants could not be found without it.
#[tokio::test]
async fn stale_resident_is_copied_if_it_leads_to_fresh_variants() {
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
async fn copy_skips_what_the_other_store_has_unless_it_is_to_be_replaced() {
    let stand = Stand::new(Double::new(|_, call| ok(call.to_string())));
    stand.get("/a").await;
    stand.get("/b").await;
    stand.ask(get("/gone").extension(CacheOptions::new().expire_after(SECOND))).await;
    stand.clock.advance(SECOND);
    let other = Memory::default();
    let entries = stand.layer.entries();
    let copy = async |if_present| {
        let mut last = CopyReport::default();
        let report = entries.copy_with(&other, if_present, |report| last = *report).await.unwrap();
        assert_eq!(report, last);
        (report.copied, report.bytes, report.kept, report.expired)
    };
    assert_eq!(copy(IfPresent::KeepNewer).await, (2, 2, 0, 1));
    assert_eq!(copy(IfPresent::KeepNewer).await, (0, 0, 2, 1));
    assert_eq!(copy(IfPresent::Replace).await, (2, 2, 0, 1));

    // A newer entry of this store is copied. A newer entry of the other store is kept.
    entries.remove(&url("/a")).await.unwrap();
    stand.get("/a").await;
    assert_eq!(copy(IfPresent::KeepNewer).await, (1, 1, 1, 1));
    let copies = Stand::over(other.clone(), Double::new(|_, _| ok("newer")));
    copies.clock.advance(SECOND * 2);
    copies.layer.entries().remove(&url("/b")).await.unwrap();
    copies.get("/b").await;
    assert_eq!(copy(IfPresent::KeepNewer).await, (0, 0, 2, 1));
    assert_eq!(copies.get("/b").await.text(), "newer");
}

/// The filter ignores the order of parameters, whether or not the layer distinguishes it.
#[tokio::test]
async fn exact_url_selects_every_order_of_its_parameters() {
    let stand = Stand::new(Double::counting());
    for path in ["/?a=1&b=2", "/?b=2&a=1", "/?a=1", "/"] {
        stand.get(path).await;
    }
    let filter = Filter::new().exact_url(&url("/?b=2&a=%31")).unwrap();
    assert_eq!(stand.layer.entries().remove_where(&filter, |_| ()).await.unwrap(), 2);
    assert_eq!(stand.len().await, 2);
}

#[tokio::test]
async fn copy_skips_damaged_entries_and_stops_when_a_store_fails() {
    let store = Faulty::new(Memory::default());
    let stand = Stand::over(store.clone(), Double::counting());
    for path in ["/a", "/b", "/c"] {
        stand.get(path).await;
    }
    let other = Faulty::new(Memory::default());
    let entries = stand.layer.entries();
    store.fail_nth(1, ErrorKind::Corrupt);
    let report = entries.copy_with(&other, IfPresent::Replace, |_| ()).await.unwrap();
    assert_eq!((report.copied, report.damaged), (2, 1));
    store.fail(Op::Body, ErrorKind::Corrupt);
    let fresh = Memory::default();
    assert_eq!(entries.copy_to(&fresh, |_| ()).await.unwrap(), 0);
    assert_eq!(CacheLayer::private(fresh).entries().len().await.unwrap(), 0, "no partial copies");
    store.heal();
    other.fail(Op::Finish, ErrorKind::Full);
    assert_eq!(kind(entries.copy_to(&other, |_| ()).await), ErrorKind::Full);
    store.fail(Op::Scan, ErrorKind::Unavailable);
    assert_eq!(kind(entries.copy_to(&Memory::default(), |_| ()).await), ErrorKind::Unavailable);
    assert!(entries.stream().next().await.unwrap().is_err());
}

#[tokio::test]
async fn reset_expiration_preserves_how_long_stale_entries_are_kept() {
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
    // An entry that never expired does not say how long to keep it when it is stale. The layer's
    // setting applies.
    entries.reset_expiration(SECOND * 20, |_| ()).await.unwrap();
    assert_eq!(kept().await, Some(3620));
    stand.clock.advance(SECOND * 3619);
    assert_eq!(entries.remove_expired().await.unwrap(), 0);
    stand.clock.advance(SECOND);
    assert_eq!(entries.remove_expired().await.unwrap(), 1);
}
