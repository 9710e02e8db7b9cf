//! Variants that no lookup finds for a while, because the resident says that there are no others,
//! is in flight, or was lost. A variant that an answer or a user has removed does not come back
//! with the resident. A variant that is reported as stored is found.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, Request, Response};
use larder::{
    CacheLayer, CacheOptions, Filter, Outcome, Stored,
    status::Refusal,
    store::{ErrorKind, Memory, Store},
};

use crate::{
    parts::{TEXT, part, range},
    support::{
        Double, Faulty, Gate, Reply, Sender, Stand, TestBody, channel, empty, get, head, lang,
        line, ok, soon, status,
    },
};

const SECOND: Duration = Duration::from_secs(1);

fn language(request: &Request<Bytes>) -> String {
    request.headers()["accept-language"].to_str().unwrap().to_owned()
}

fn varied(response: Response<TestBody>) -> Response<TestBody> {
    line(response, "vary", "accept-language")
}

/// A response whose text is the language and the number of the call.
fn numbered(request: &Request<Bytes>, call: usize) -> Response<TestBody> {
    varied(ok(format!("{}{call}", language(request))))
}

fn aged(response: Response<TestBody>, max_age: u32) -> Response<TestBody> {
    line(response, "cache-control", format!("max-age={max_age}"))
}

/// An origin that answers the call with the number `gone` with a 404, others with [`numbered`].
fn gone_at(gone: usize) -> Double {
    Double::new(move |request, call| match call == gone {
        true => status(404),
        false => numbered(&request, call),
    })
}

/// An origin whose answer to the call with the number `sent` has a body that the test sends.
fn sent_at(
    sent: usize,
    others: impl Fn(Request<Bytes>, usize) -> Response<TestBody> + Send + Sync + 'static,
) -> (Sender, Double) {
    let (sender, body) = channel();
    let body = Mutex::new(Some(body));
    let inner = Double::new(move |request, call| match call == sent {
        true => varied(Response::new(body.lock().unwrap().take().unwrap())),
        false => others(request, call),
    });
    (sender, inner)
}

/// Lets the calls with these numbers wait at the gate.
fn waiting_at(inner: Double, calls: &'static [usize]) -> (Double, Gate) {
    let gate = Gate::closed();
    let waits = gate.clone();
    let inner = inner.waiting(move |call| {
        let gate = waits.clone();
        async move {
            if calls.contains(&call) {
                gate.pass().await;
            }
        }
    });
    (inner, gate)
}

fn force_refresh_options() -> CacheOptions {
    CacheOptions::new().force_refresh(true)
}

fn head_in(language: &str) -> http::request::Builder {
    head("/").header("accept-language", language)
}

async fn evict_resident(stand: &Stand<impl Store>, key: larder::Key) {
    assert!(stand.layer.store().remove(&key).await.unwrap());
}

// ===== Variants that an answer removes =====

#[tokio::test]
async fn variant_stored_during_an_insert_is_found_and_can_be_removed() {
    let stand = Stand::new(gone_at(3));
    stand.ask(lang("en")).await;
    let (sender, body) = channel();
    let entries = stand.layer.entries();
    let request = lang("en").body(()).unwrap();
    let mut insert = Box::pin(entries.insert(&request, varied(Response::new(body))));
    assert!(insert.as_mut().now_or_never().is_none(), "it waits for the body");
    assert_eq!(stand.ask(lang("de")).await.stored(), Stored::Yes);
    sender.send("by hand");
    drop(sender);
    soon(insert).await.unwrap();
    assert_eq!(stand.ask(lang("de")).await.outcome(), Outcome::Hit);
    assert_eq!(stand.ask(lang("de").extension(force_refresh_options())).await.status, 404);
    stand.ask(lang("fr")).await;
    assert_ne!(stand.ask(lang("de")).await.text(), "de2");
}

/// The first layer replaces the resident, and does not know the variant of the second layer.
#[tokio::test]
async fn removed_variant_does_not_come_back_through_another_layer() {
    let store = Arc::new(Memory::default());
    let (inner, gate) = waiting_at(Double::new(|request, call| numbered(&request, call)), &[2]);
    let one = Stand::over(store.clone(), inner);
    let two = Stand::over(store.clone(), gone_at(2));
    one.ask(lang("en")).await;
    let mut again = Box::pin(one.ask(lang("en").extension(force_refresh_options())));
    assert!(again.as_mut().now_or_never().is_none(), "its call waits");
    assert_eq!(two.ask(lang("de")).await.text(), "de1");
    gate.open(1);
    soon(again).await;
    assert_eq!(two.ask(lang("de")).await.status, 404);
    two.ask(lang("fr")).await;
    assert_ne!(two.ask(lang("de")).await.text(), "de1");
}

#[tokio::test]
async fn removed_variant_does_not_come_back_with_a_lost_resident() {
    let (sender, inner) = sent_at(3, |request, call| match call {
        4 => status(404),
        _ => numbered(&request, call),
    });
    let stand = Stand::new(inner);
    let key = stand.ask(lang("en")).await.cache.key().unwrap();
    stand.ask(lang("de")).await;
    let request = lang("en").extension(force_refresh_options()).body(empty()).unwrap();
    let en = stand.call(request).await.unwrap();
    evict_resident(&stand, key).await;
    assert_eq!(stand.ask(lang("de")).await.status, 404);
    sender.send("en3");
    drop(sender);
    assert_eq!(Reply::read(en).await.text(), "en3");
    assert_ne!(stand.ask(lang("de")).await.text(), "de2");
}

#[tokio::test]
async fn removed_variant_does_not_come_back_with_the_first_resident() {
    let (sender, inner) = sent_at(1, |request, call| match call {
        3 => status(404),
        _ => numbered(&request, call),
    });
    let stand = Stand::new(inner);
    let alone = |language| lang(language).extension(CacheOptions::new().coalesce(false));
    let en = stand.call(alone("en").body(empty()).unwrap()).await.unwrap();
    assert_eq!(stand.ask(alone("de")).await.stored(), Stored::Yes);
    assert_eq!(stand.ask(alone("de")).await.status, 404);
    sender.send("en1");
    drop(sender);
    assert_eq!(Reply::read(en).await.text(), "en1");
    assert_ne!(stand.ask(lang("de")).await.text(), "de2");
}

/// The response is stored between two answers that would remove it. So the second answer has to
/// look for it again.
#[tokio::test]
async fn second_404_removes_the_response_to_a_head_stored_in_between() {
    for vary in [true, false] {
        let inner = Double::new(move |request, _| {
            let is_first = vary && language(&request) == "en";
            let response = match *request.method() {
                Method::HEAD => status(200),
                _ if is_first => ok("en"),
                _ => status(404),
            };
            if vary { varied(response) } else { response }
        });
        let stand = Stand::new(inner);
        stand.ask(lang("en")).await;
        assert_eq!(stand.ask(lang("de")).await.status, 404);
        assert_eq!(stand.ask(head_in("de")).await.stored(), Stored::Yes);
        assert_eq!(stand.ask(lang("de")).await.status, 404);
        assert_ne!(stand.ask(head_in("de")).await.outcome(), Outcome::Hit, "vary: {vary}");
    }
}

#[tokio::test]
async fn second_404_to_a_head_removes_a_part_stored_in_between() {
    let inner = Double::new(|request, _| match *request.method() {
        Method::HEAD => status(404),
        _ => part(&request, TEXT, "\"a\""),
    });
    let stand = Stand::new(inner).with(CacheLayer::http_rules);
    assert_eq!(stand.ask(head("/")).await.status, 404);
    assert_eq!(stand.ask(range(0, 3)).await.stored(), Stored::Yes);
    assert_eq!(stand.ask(head("/")).await.status, 404);
    assert_ne!(stand.ask(range(0, 3)).await.outcome(), Outcome::Hit);
}

/// The response is inserted, so no call says that it was stored.
#[tokio::test]
async fn later_404_removes_a_response_to_a_head_inserted_in_between() {
    let stand = Stand::new(Double::new(|_, _| status(404)));
    assert_eq!(stand.get("/").await.status, 404);
    let request = head("/").body(()).unwrap();
    let (sender, body) = channel();
    let entries = stand.layer.entries();
    let mut insert = Box::pin(entries.insert(&request, Response::new(body)));
    assert!(insert.as_mut().now_or_never().is_none(), "it waits for the body");
    assert_eq!(stand.get("/").await.status, 404);
    drop(sender);
    soon(insert).await.unwrap();
    assert_eq!(stand.ask(head("/")).await.outcome(), Outcome::Hit);
    stand.clock.advance(SECOND);
    assert_eq!(stand.get("/").await.status, 404);
    assert_ne!(stand.ask(head("/")).await.outcome(), Outcome::Hit);
}

// ===== Variants that a user removes =====

/// The lookup of the removal knows more names of `Vary` than the call.
#[tokio::test]
async fn removal_by_request_wins_over_a_call_that_knows_fewer_vary_names() {
    let inner = Double::new(|_, call| {
        let names = ["x-a", "x-a, x-b, x-c", "x-a, x-b"];
        line(ok(call.to_string()), "vary", names.get(call - 1).copied().unwrap_or("x-a, x-b, x-c"))
    });
    let (inner, gate) = waiting_at(inner, &[2]);
    let stand = Stand::new(inner);
    let request = |value: &str| get("/").header("x-a", value).header("x-b", value);
    stand.ask(request("1")).await;
    let mut second = Box::pin(stand.ask(request("2")));
    assert!(second.as_mut().now_or_never().is_none(), "its call waits");
    stand.ask(request("3")).await;
    stand.layer.entries().remove(&request("2").body(()).unwrap()).await.unwrap();
    gate.open(1);
    assert_eq!(soon(second).await.stored(), Stored::No(Refusal::Removed));
    assert_ne!(stand.ask(request("2")).await.text(), "2");
}

#[tokio::test]
async fn removal_by_request_removes_a_variant_beside_a_resident_in_flight() {
    let (sender, inner) = sent_at(1, |request, call| numbered(&request, call));
    let stand = Stand::new(inner);
    let alone = |language| lang(language).extension(CacheOptions::new().coalesce(false));
    let en = stand.call(alone("en").body(empty()).unwrap()).await.unwrap();
    assert_eq!(stand.ask(alone("de")).await.text(), "de2");
    let removed = stand.layer.entries().remove(&lang("de").body(()).unwrap()).await;
    assert_eq!(removed.unwrap(), 1);
    sender.send("en1");
    drop(sender);
    assert_eq!(Reply::read(en).await.stored(), Stored::Yes, "its call goes on");
    assert_ne!(stand.ask(lang("de")).await.text(), "de2");
}

// ===== Variants that are stored are found =====

#[tokio::test]
async fn failed_read_loses_no_variants() {
    let store = Faulty::new(Memory::default());
    let stand = Stand::over(store.clone(), Double::new(|request, call| numbered(&request, call)));
    for language in ["en", "de", "fr"] {
        stand.ask(lang(language)).await;
    }
    store.fail_nth(1, ErrorKind::Unavailable);
    stand.ask(lang("it")).await;
    for language in ["en", "de", "fr"] {
        assert_eq!(stand.ask(lang(language)).await.outcome(), Outcome::Hit, "{language}");
    }
}

#[tokio::test]
async fn variant_is_inserted_beside_a_resident_in_flight() {
    let (sender, inner) = sent_at(1, |request, call| numbered(&request, call));
    let stand = Stand::new(inner);
    let en = stand.call(lang("en").body(empty()).unwrap()).await.unwrap();
    let entries = stand.layer.entries();
    let request = lang("de").body(()).unwrap();
    let key = entries.insert(&request, varied(ok("by hand"))).await.unwrap();
    sender.send("en1");
    drop(sender);
    assert_eq!(Reply::read(en).await.stored(), Stored::Yes);
    let response = entries.get(key).await.unwrap().unwrap();
    assert_eq!(response.into_body().bytes().await.unwrap(), "by hand");
    assert_eq!(stand.ask(lang("de")).await.text(), "by hand");
}

/// The HEAD is answered with a 304, or with a 200 that has the same ETag.
#[tokio::test]
async fn head_that_freshens_a_variant_keeps_its_resident() {
    for answer in [304, 200] {
        let inner = Double::new(move |request, _| {
            let tag = format!("\"{}\"", language(&request));
            let response = match *request.method() {
                Method::HEAD => status(answer),
                _ => ok(language(&request)),
            };
            aged(line(varied(response), "etag", tag), 100)
        });
        let stand = Stand::new(inner).with(|layer| layer.http_rules().keep_expired(SECOND * 10));
        for language in ["en", "de"] {
            stand.ask(lang(language)).await;
        }
        stand.clock.advance(SECOND * 105);
        stand.ask(head_in("de")).await;
        stand.clock.advance(SECOND * 50);
        stand.layer.entries().remove_expired().await.unwrap();
        assert_eq!(stand.ask(lang("de")).await.outcome(), Outcome::Hit, "{answer}");
    }
}

#[tokio::test]
async fn variant_is_not_stored_beside_a_resident_that_was_lost() {
    let (inner, gate) = waiting_at(Double::new(|request, call| numbered(&request, call)), &[3]);
    let stand = Stand::new(inner);
    let key = stand.ask(lang("en")).await.cache.key().unwrap();
    stand.ask(lang("de")).await;
    let mut fr = Box::pin(stand.ask(lang("fr")));
    assert!(fr.as_mut().now_or_never().is_none(), "its call waits");
    evict_resident(&stand, key).await;
    gate.open(1);
    assert_eq!(soon(fr).await.stored(), Stored::No(Refusal::Conflict));
}

#[tokio::test]
async fn variant_that_is_stored_is_not_hit_for_miss() {
    let (inner, gate) = gone_at(2).gated();
    gate.open(3);
    let stand = Stand::new(inner).with(|layer| layer.expire_after(SECOND * 10));
    let key = stand.ask(lang("en")).await.cache.key().unwrap();
    assert_eq!(stand.ask(lang("de")).await.status, 404);
    evict_resident(&stand, key).await;
    assert_eq!(stand.ask(lang("de")).await.stored(), Stored::Yes);
    stand.clock.advance(SECOND * 10);
    let (mut one, mut other) = (Box::pin(stand.ask(lang("de"))), Box::pin(stand.ask(lang("de"))));
    assert!(one.as_mut().now_or_never().is_none() && other.as_mut().now_or_never().is_none());
    assert_eq!(stand.calls(), 4, "they share a call");
    gate.open(2);
    soon(one).await;
    soon(other).await;
}

#[tokio::test]
async fn resident_of_a_leader_that_takes_over_leads_to_new_variants() {
    let (inner, gate) = waiting_at(Double::new(|request, call| numbered(&request, call)), &[2, 4]);
    let stand = Stand::new(inner)
        .with(|layer| layer.expire_after(SECOND * 10).keep_expired(SECOND * 1_000));
    stand.ask(lang("en")).await;
    stand.clock.advance(SECOND * 10);
    let mut leader = Box::pin(stand.ask(lang("en")));
    assert!(leader.as_mut().now_or_never().is_none());
    let mut follower = Box::pin(stand.ask(lang("en")));
    assert!(follower.as_mut().now_or_never().is_none());
    assert_eq!(stand.ask(lang("de")).await.stored(), Stored::Yes);
    drop(leader);
    assert!(follower.as_mut().now_or_never().is_none());
    assert_eq!(stand.calls(), 4, "the follower calls");
    gate.open(2);
    soon(follower).await;
    assert_eq!(stand.ask(lang("de")).await.outcome(), Outcome::Hit);
}

#[tokio::test]
async fn resident_in_flight_is_kept_as_long_as_a_variant_beside_it() {
    let (sender, inner) = sent_at(1, |request, call| aged(numbered(&request, call), 1_000));
    let stand = Stand::new(inner).with(|layer| layer.http_rules().expire_after(SECOND * 10));
    let en = stand.call(lang("en").body(empty()).unwrap()).await.unwrap();
    assert_eq!(stand.ask(lang("de")).await.stored(), Stored::Yes);
    sender.send("en1");
    drop(sender);
    assert_eq!(Reply::read(en).await.stored(), Stored::Yes);
    stand.clock.advance(SECOND * 20);
    assert_eq!(stand.layer.entries().remove_expired().await.unwrap(), 0);
    assert_eq!(stand.ask(lang("de")).await.outcome(), Outcome::Hit);
}

#[tokio::test]
async fn removal_of_expired_entries_by_filter_loses_no_fresh_variant() {
    let inner = Double::new(|request, call| {
        let max_age = if language(&request) == "en" { 10 } else { 1_000 };
        aged(numbered(&request, call), max_age)
    });
    let stand = Stand::new(inner).with(CacheLayer::http_rules);
    for language in ["en", "de"] {
        stand.ask(lang(language)).await;
    }
    stand.clock.advance(SECOND * 20);
    let expired = Filter::new().expired(true);
    let remove = async || stand.layer.entries().remove_where(&expired, |_| ()).await.unwrap();
    assert_eq!((remove().await, remove().await), (1, 0));
    assert_eq!(stand.ask(lang("de")).await.outcome(), Outcome::Hit);
    // The expired response is gone, so it is not revalidated.
    let again = stand.ask(lang("en")).await;
    assert_eq!((again.outcome(), stand.calls()), (Outcome::Miss(larder::status::Miss::Variant), 3));
    stand.clock.advance(SECOND * 2_000);
    assert_eq!(remove().await, 2);
}
