//! What is ended or removed does not come back, whatever hides it, and what is stored is found.
use crate::support::Faulty;
use crate::support::{
    Double, Gate, Reply, Stand, TestBody, channel, empty, get, head, line, ok, soon, status,
};
use futures_util::FutureExt;
use http::{Response, request};
use larder::{
    CacheLayer, CacheOptions, Outcome, Stored,
    store::{Memory, Store},
};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

const SECOND: Duration = Duration::from_secs(1);
fn lang(l: &str) -> request::Builder {
    get("/").header("accept-language", l)
}
fn hlang(l: &str) -> request::Builder {
    head("/").header("accept-language", l)
}
fn vary(r: Response<TestBody>) -> Response<TestBody> {
    line(r, "vary", "accept-language")
}
fn langof(r: &http::Request<bytes::Bytes>) -> String {
    r.headers()["accept-language"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_ended_variant_does_not_come_back_after_an_insert() {
    let inner = Double::new(|r, call| {
        if call == 3 { status(404) } else { vary(ok(format!("{}{call}", langof(&r)))) }
    });
    let stand = Stand::new(inner);
    stand.ask(lang("en")).await; // 1
    let (sender, body) = channel();
    let entries = stand.layer.entries();
    let request = lang("en").body(()).unwrap();
    let mut insert = Box::pin(entries.insert(&request, vary(Response::new(body))));
    assert!(insert.as_mut().now_or_never().is_none());
    assert_eq!(stand.ask(lang("de")).await.stored(), Stored::Yes); // 2
    sender.send("by hand");
    drop(sender);
    soon(insert).await.unwrap();
    let refresh = CacheOptions::new().force_refresh(true);
    let de = stand.ask(lang("de").extension(refresh)).await; // 3: 404
    assert_eq!(de.status, 404);
    stand.ask(lang("fr")).await; // 4
    let de = stand.ask(lang("de")).await;
    assert_ne!(de.text(), "de2", "ended by the 404, and back");
}

#[tokio::test]
async fn an_ended_variant_does_not_come_back_through_another_layer() {
    let store = Arc::new(Memory::default());
    let gate = Gate::closed();
    let waits = gate.clone();
    let one = Stand::over(
        store.clone(),
        Double::new(|r, _| vary(ok(format!("one {}", langof(&r))))).waiting(move |call| {
            let g = waits.clone();
            async move {
                if call == 2 {
                    g.pass().await
                }
            }
        }),
    );
    let two = Stand::over(
        store.clone(),
        Double::new(
            |r, call| if call == 2 { status(404) } else { vary(ok(format!("two {}", langof(&r)))) },
        ),
    );
    one.ask(lang("en")).await;
    let mut again =
        Box::pin(one.ask(lang("en").extension(CacheOptions::new().force_refresh(true))));
    assert!(again.as_mut().now_or_never().is_none());
    assert_eq!(two.ask(lang("de")).await.stored(), Stored::Yes);
    gate.open(1);
    soon(again).await;
    let de = two.ask(lang("de")).await;
    assert_eq!(de.status, 404);
    two.ask(lang("fr")).await;
    let de = two.ask(lang("de")).await;
    assert_ne!(de.outcome(), Outcome::Hit);
}

#[tokio::test]
async fn an_ended_variant_does_not_come_back_with_a_family_whose_resident_was_lost() {
    let (sender, body) = channel();
    let body = Arc::new(Mutex::new(Some(body)));
    let inner = Double::new(move |r, call| match call {
        3 => vary(Response::new(body.lock().unwrap().take().unwrap())),
        4 => status(404),
        _ => vary(ok(format!("{}{call}", langof(&r)))),
    });
    let stand = Stand::new(inner);
    let key = stand.ask(lang("en")).await.cache.key().unwrap();
    stand.ask(lang("de")).await;
    let force = CacheOptions::new().force_refresh(true);
    let en = stand.call(lang("en").extension(force).body(empty()).unwrap()).await.unwrap();
    assert!(stand.layer.store().remove(&key).await.unwrap(), "evicted");
    assert_eq!(stand.ask(lang("de")).await.status, 404);
    sender.send("en3");
    drop(sender);
    Reply::read(en).await;
    let de = stand.ask(lang("de")).await;
    assert_ne!(de.text(), "de2");
}

#[tokio::test]
async fn an_ended_variant_does_not_come_back_with_a_resident_in_flight() {
    let (sender, body) = channel();
    let body = Arc::new(Mutex::new(Some(body)));
    let inner = Double::new(move |r, call| match call {
        1 => vary(Response::new(body.lock().unwrap().take().unwrap())),
        3 => status(404),
        _ => vary(ok(format!("{}{call}", langof(&r)))),
    });
    let stand = Stand::new(inner);
    let alone = || CacheOptions::new().coalesce(false);
    let en = stand.call(lang("en").extension(alone()).body(empty()).unwrap()).await.unwrap();
    assert_eq!(stand.ask(lang("de").extension(alone())).await.stored(), Stored::Yes);
    assert_eq!(stand.ask(lang("de").extension(alone())).await.status, 404);
    sender.send("en1");
    drop(sender);
    Reply::read(en).await;
    let de = stand.ask(lang("de")).await;
    assert_ne!(de.text(), "de2");
}

#[tokio::test]
async fn a_second_404_for_a_variant_ends_the_answer_to_a_head() {
    let inner = Double::new(|r, _| {
        if r.method() == http::Method::HEAD {
            return vary(status(200));
        }
        if langof(&r) == "de" { status(404) } else { vary(ok("en")) }
    });
    let stand = Stand::new(inner);
    stand.ask(lang("en")).await;
    assert_eq!(stand.ask(lang("de")).await.status, 404);
    let h = stand.ask(hlang("de")).await;
    assert_eq!(h.stored(), Stored::Yes);
    assert_eq!(stand.ask(lang("de")).await.status, 404);
    let h = stand.ask(hlang("de")).await;
    assert_ne!(h.outcome(), Outcome::Hit, "the GET said 404 since");
}

#[tokio::test]
async fn a_second_404_ends_the_answer_to_a_head() {
    let inner =
        Double::new(
            |r, _| if r.method() == http::Method::HEAD { status(200) } else { status(404) },
        );
    let stand = Stand::new(inner);
    assert_eq!(stand.get("/").await.status, 404);
    assert_eq!(stand.ask(head("/")).await.stored(), Stored::Yes);
    assert_eq!(stand.get("/").await.status, 404);
    assert_ne!(stand.ask(head("/")).await.outcome(), Outcome::Hit);
}

#[tokio::test]
async fn a_second_404_to_a_head_ends_a_part() {
    let inner = Double::new(|r, _| {
        if r.method() == http::Method::HEAD {
            status(404)
        } else {
            crate::parts::part(&r, crate::parts::TEXT, "\"a\"")
        }
    });
    let stand = Stand::new(inner).with(CacheLayer::http_rules);
    assert_eq!(stand.ask(head("/")).await.status, 404);
    assert_eq!(stand.ask(crate::parts::range(0, 3)).await.stored(), Stored::Yes);
    assert_eq!(stand.ask(head("/")).await.status, 404);
    let r = stand.ask(crate::parts::range(0, 3)).await;
    assert_ne!(r.outcome(), Outcome::Hit, "the HEAD said 404 since");
}

#[tokio::test]
async fn a_failed_read_forgets_no_variants() {
    let store = Faulty::new(Memory::default());
    let inner = Double::new(|r, call| vary(ok(format!("{}{call}", langof(&r)))));
    let stand = Stand::over(store.clone(), inner);
    for l in ["en", "de", "fr"] {
        stand.ask(lang(l)).await;
    }
    store.fail_nth(1, larder::store::ErrorKind::Unavailable);
    stand.ask(lang("it")).await;
    for l in ["en", "de", "fr"] {
        let r = stand.ask(lang(l)).await;
        println!("{l} {:?}", r.outcome());
        assert_eq!(r.outcome(), Outcome::Hit);
    }
}

#[tokio::test]
async fn an_insert_lies_beside_a_resident_in_flight() {
    let (sender, body) = channel();
    let body = Arc::new(Mutex::new(Some(body)));
    let inner = Double::new(move |r, call| match call {
        1 => vary(Response::new(body.lock().unwrap().take().unwrap())),
        _ => vary(ok(format!("{}{call}", langof(&r)))),
    });
    let stand = Stand::new(inner);
    let en = stand.call(lang("en").body(empty()).unwrap()).await.unwrap();
    let entries = stand.layer.entries();
    let key = entries.insert(&lang("de").body(()).unwrap(), vary(ok("by hand"))).await.unwrap();
    sender.send("en1");
    drop(sender);
    Reply::read(en).await;
    let by_key = entries.get(key).await.unwrap().unwrap();
    let text = by_key.into_body().bytes().await.unwrap();
    assert_eq!(&text[..], b"by hand");
}

#[tokio::test]
async fn a_head_that_freshens_a_variant_keeps_what_leads_to_it() {
    let inner = Double::new(|r, _| {
        let tag = format!("\"{}\"", langof(&r));
        let known = r.headers().get("if-none-match").is_some_and(|k| *k == *tag);
        let re = if known { status(304) } else { ok(langof(&r)) };
        line(line(vary(re), "etag", tag), "cache-control", "max-age=100")
    });
    let stand =
        Stand::new(inner).with(CacheLayer::http_rules).with(|l| l.keep_expired(SECOND * 10));
    stand.ask(lang("en")).await;
    stand.ask(lang("de")).await;
    stand.clock.advance(SECOND * 105);
    stand.ask(hlang("de")).await;
    stand.clock.advance(SECOND * 50);
    stand.layer.entries().remove_expired().await.unwrap();
    let de = stand.ask(lang("de")).await;
    assert_eq!(de.outcome(), Outcome::Hit);
}

#[tokio::test]
async fn a_variant_is_not_stored_beside_a_resident_that_was_lost() {
    let gate = Gate::closed();
    let waits = gate.clone();
    let inner =
        Double::new(|r, call| vary(ok(format!("{}{call}", langof(&r))))).waiting(move |call| {
            let g = waits.clone();
            async move {
                if call == 3 {
                    g.pass().await
                }
            }
        });
    let stand = Stand::new(inner);
    let key = stand.ask(lang("en")).await.cache.key().unwrap();
    stand.ask(lang("de")).await;
    let mut fr = Box::pin(stand.ask(lang("fr")));
    assert!(fr.as_mut().now_or_never().is_none());
    assert!(stand.layer.store().remove(&key).await.unwrap());
    gate.open(1);
    let fr = soon(fr).await;
    let again = stand.ask(lang("fr")).await;
    assert!(fr.stored() != Stored::Yes || again.outcome() == Outcome::Hit);
}

#[tokio::test]
async fn a_stored_variant_is_no_hit_for_miss() {
    let inner = Double::new(|r, call| {
        if call == 2 { status(404) } else { vary(ok(format!("{}{call}", langof(&r)))) }
    });
    let (inner, gate) = inner.gated();
    gate.open(3);
    let stand = Stand::new(inner).with(|l| l.expire_after(SECOND * 10));
    let key = stand.ask(lang("en")).await.cache.key().unwrap();
    stand.ask(lang("de")).await; // 404
    assert!(stand.layer.store().remove(&key).await.unwrap());
    assert_eq!(stand.ask(lang("de")).await.stored(), Stored::Yes);
    stand.clock.advance(SECOND * 10);
    let (mut a, mut b) = (Box::pin(stand.ask(lang("de"))), Box::pin(stand.ask(lang("de"))));
    assert!(a.as_mut().now_or_never().is_none() && b.as_mut().now_or_never().is_none());
    let calls = stand.calls();
    gate.open(2);
    soon(a).await;
    soon(b).await;
    assert_eq!(calls, 4, "they share a call");
}

#[tokio::test]
async fn a_leader_that_takes_over_knows_the_variants_that_came() {
    let gate = Gate::closed();
    let waits = gate.clone();
    let inner =
        Double::new(|r, call| vary(ok(format!("{}{call}", langof(&r))))).waiting(move |call| {
            let g = waits.clone();
            async move {
                if call == 2 || call == 4 {
                    g.pass().await
                }
            }
        });
    let stand = Stand::new(inner).with(|l| l.expire_after(SECOND * 10).keep_expired(SECOND * 1000));
    stand.ask(lang("en")).await; // 1
    stand.clock.advance(SECOND * 10);
    let mut leader = Box::pin(stand.ask(lang("en"))); // 2
    assert!(leader.as_mut().now_or_never().is_none());
    let mut follower = Box::pin(stand.ask(lang("en")));
    assert!(follower.as_mut().now_or_never().is_none());
    assert_eq!(stand.calls(), 2);
    assert_eq!(stand.ask(lang("de")).await.stored(), Stored::Yes); // 3
    drop(leader);
    assert!(follower.as_mut().now_or_never().is_none());
    assert_eq!(stand.calls(), 4);
    gate.open(2);
    soon(follower).await;
    let de = stand.ask(lang("de")).await;
    assert_eq!(de.outcome(), Outcome::Hit);
}

#[tokio::test]
async fn a_resident_in_flight_is_kept_as_long_as_a_variant_beside_it() {
    let (sender, body) = channel();
    let body = Arc::new(Mutex::new(Some(body)));
    let inner = Double::new(move |r, call| match call {
        1 => line(
            vary(Response::new(body.lock().unwrap().take().unwrap())),
            "cache-control",
            "max-age=10",
        ),
        _ => line(vary(ok(format!("{}{call}", langof(&r)))), "cache-control", "max-age=1000"),
    });
    let stand = Stand::new(inner).with(CacheLayer::http_rules);
    let en = stand.call(lang("en").body(empty()).unwrap()).await.unwrap();
    assert_eq!(stand.ask(lang("de")).await.stored(), Stored::Yes);
    sender.send("en1");
    drop(sender);
    assert_eq!(Reply::read(en).await.stored(), Stored::Yes);
    assert_eq!(stand.ask(lang("de")).await.outcome(), Outcome::Hit);
    stand.clock.advance(SECOND * 20);
    let de = stand.ask(lang("de")).await;
    assert_eq!(de.outcome(), Outcome::Hit);
}

#[tokio::test]
async fn removing_what_has_expired_forgets_no_fresh_variant() {
    let inner = Double::new(|r, call| {
        let l = langof(&r);
        line(
            vary(ok(format!("{l}{call}"))),
            "cache-control",
            if l == "en" { "max-age=10" } else { "max-age=1000" },
        )
    });
    let stand = Stand::new(inner).with(CacheLayer::http_rules);
    stand.ask(lang("en")).await;
    stand.ask(lang("de")).await;
    stand.clock.advance(SECOND * 20);
    let de = stand.ask(lang("de")).await;
    assert_eq!(de.outcome(), Outcome::Hit);
}

#[tokio::test]
async fn a_removal_by_request_wins_over_a_call_that_knew_fewer_names() {
    let (gate, vb) = (Gate::closed(), 0);
    let _ = vb;
    let waits = gate.clone();
    let inner = Double::new(|_, call| {
        let v = match call {
            1 => "x-a",
            3 => "x-a, x-b",
            _ => "x-a, x-b, x-c",
        };
        line(ok(call.to_string()), "vary", v)
    })
    .waiting(move |call| {
        let g = waits.clone();
        async move {
            if call == 2 {
                g.pass().await
            }
        }
    });
    let stand = Stand::new(inner);
    let r = |a: &str, b: &str| get("/").header("x-a", a).header("x-b", b);
    stand.ask(r("1", "1")).await; // 1
    let mut two = Box::pin(stand.ask(r("2", "2"))); // 2 waits
    assert!(two.as_mut().now_or_never().is_none());
    stand.ask(r("3", "3")).await; // 3: names a, b
    stand.layer.entries().remove(&r("2", "2").body(()).unwrap()).await.unwrap();
    gate.open(1);
    soon(two).await;
    let again = stand.ask(r("2", "2")).await;
    assert_ne!(again.text(), "2", "removed while in flight");
}
