//! Variants that are stored at the same time: the first one that arrives takes the primary key, and leads to the others
//! whatever the order in which their bodies end.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::FutureExt;
use http::{Method, Response};
use larder::{
    CacheOptions, Outcome, ResponseBody, Stored,
    status::{Miss, Refusal},
    store::{Memory, Store},
};

use crate::support::{
    Double, Gate, Reply, Sender, Stand, TestBody, channel, empty, full, lang, line, not_modified,
    ok, soon,
};

const SECOND: Duration = Duration::from_secs(1);

/// An origin whose bodies the test sends. They are in the order of the calls.
fn fed(bodies: usize) -> (Vec<Sender>, Double) {
    let (senders, bodies): (Vec<_>, VecDeque<_>) = (0..bodies).map(|_| channel()).unzip();
    let bodies = Arc::new(Mutex::new(bodies));
    let inner = Double::new(move |_, _| {
        let body = bodies.lock().unwrap().pop_front().unwrap();
        line(Response::new(body), "vary", "accept-language")
    });
    (senders, inner)
}

/// The response to a request that joins no call, with its body on the way.
async fn begin<B: Store>(stand: &Stand<B>, language: &str) -> Response<ResponseBody<TestBody>> {
    let request = lang(language).extension(CacheOptions::new().coalesce(false));
    stand.call(request.body(empty()).unwrap()).await.unwrap()
}

async fn end(
    sender: Sender,
    response: Response<ResponseBody<TestBody>>,
    text: &'static str,
) -> Stored {
    sender.send(text);
    drop(sender);
    let reply = Reply::read(response).await;
    assert_eq!(reply.text(), text);
    reply.stored()
}

#[tokio::test]
async fn two_first_variants_are_both_found_whichever_is_stored_first() {
    for de_is_first in [true, false] {
        let (mut senders, inner) = fed(2);
        let stand = Stand::new(inner);
        let (de, en) = (begin(&stand, "de").await, begin(&stand, "en").await);
        let (to_en, to_de) = (senders.pop().unwrap(), senders.pop().unwrap());
        if de_is_first {
            assert_eq!(end(to_de, de, "de").await, Stored::Yes);
            assert_eq!(end(to_en, en, "en").await, Stored::Yes);
        } else {
            assert_eq!(end(to_en, en, "en").await, Stored::Yes);
            assert_eq!(end(to_de, de, "de").await, Stored::Yes);
        }
        for language in ["de", "en"] {
            let reply = stand.ask(lang(language)).await;
            assert_eq!((reply.outcome(), reply.text()), (Outcome::Hit, language));
        }
        assert_eq!((stand.calls(), stand.len().await), (2, 2));
    }
}

/// Nobody could find the second variant, so it is not stored.
#[tokio::test]
async fn a_variant_is_not_stored_beside_a_first_one_that_failed() {
    let (mut senders, inner) = fed(3);
    let stand = Stand::new(inner);
    let (de, en) = (begin(&stand, "de").await, begin(&stand, "en").await);
    let (third, to_en, to_de) =
        (senders.pop().unwrap(), senders.pop().unwrap(), senders.pop().unwrap());
    to_de.fail("broken");
    assert!(Reply::read(de).await.error.is_some());
    assert_eq!(end(to_en, en, "en").await, Stored::No(Refusal::Conflict));
    assert_eq!(stand.len().await, 0);
    let en = begin(&stand, "en").await;
    assert_eq!(end(third, en, "again").await, Stored::Yes);
    assert_eq!(stand.ask(lang("en")).await.text(), "again");
}

/// A response that expired long ago holds no place: the first of several new ones takes it.
#[tokio::test]
async fn variants_that_replace_an_expired_one_at_once_are_all_found() {
    let (mut senders, inner) = fed(4);
    let stand = Stand::new(inner).with(|layer| layer.expire_after(SECOND * 10));
    let old = begin(&stand, "old").await;
    assert_eq!(end(senders.remove(0), old, "old").await, Stored::Yes);
    stand.clock.advance(SECOND * 10);
    let mut replies = Vec::new();
    for language in ["de", "en", "fr"] {
        replies.push(begin(&stand, language).await);
    }
    for (language, response) in ["de", "en", "fr"].into_iter().zip(replies).rev() {
        assert_eq!(end(senders.pop().unwrap(), response, language).await, Stored::Yes);
    }
    for language in ["de", "en", "fr"] {
        let reply = stand.ask(lang(language)).await;
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Hit, language));
    }
}

// ===== A variant that comes while the first one is fetched again =====

/// A request for the first variant, whose call waits, while another variant is stored for the first time.
async fn meanwhile(is_new: bool) {
    let gate = Gate::closed();
    let waits = gate.clone();
    let inner = Double::new(move |request, call| {
        let language = request.headers()["accept-language"].to_str().unwrap().to_owned();
        let response = match call {
            2 if !is_new => not_modified(),
            _ => ok(format!("{language}{call}")),
        };
        line(line(response, "vary", "accept-language"), "etag", "\"a\"")
    })
    .waiting(move |call| {
        let gate = waits.clone();
        async move {
            if call == 2 {
                gate.pass().await;
            }
        }
    });
    let stand = Stand::over(Memory::default(), inner).with(|layer| layer.expire_after(SECOND * 10));
    stand.ask(lang("de")).await;
    stand.clock.advance(SECOND * 10);
    let mut de = Box::pin(stand.ask(lang("de")));
    assert!(de.as_mut().now_or_never().is_none(), "its call waits");
    let en = stand.ask(lang("en")).await;
    assert_eq!((en.outcome(), en.stored()), (Outcome::Miss(Miss::Variant), Stored::Yes));
    gate.open(1);
    let de = soon(de).await;
    let expected = if is_new { "de2" } else { "de1" };
    assert_eq!((de.text(), de.stored()), (expected, Stored::Yes), "new: {is_new}");
    let (de, en) = (stand.ask(lang("de")).await, stand.ask(lang("en")).await);
    assert_eq!((de.outcome(), de.text()), (Outcome::Hit, expected));
    assert_eq!((en.outcome(), en.text()), (Outcome::Hit, "en3"), "new: {is_new}");
    assert_eq!(stand.calls(), 3);
}

#[tokio::test]
async fn a_new_variant_does_not_defeat_the_revalidation_of_the_first() {
    meanwhile(false).await;
}

#[tokio::test]
async fn a_first_variant_that_is_replaced_leads_to_a_variant_that_came_meanwhile() {
    meanwhile(true).await;
}

// ===== What an answer ends =====

/// An older response that does not vary answers the same request, although it was fetched for another variant.
#[tokio::test]
async fn an_answer_for_one_variant_ends_an_older_response_in_flight_that_varies_no_more() {
    let gate = Gate::closed();
    let waits = gate.clone();
    let inner = Double::new(|_, call| match call {
        1 => line(line(ok("de"), "vary", "accept-language"), "cache-control", "max-age=10"),
        2 => line(ok("for all"), "cache-control", "max-age=10"),
        3 => line(line(ok("never"), "vary", "accept-language"), "cache-control", "no-store"),
        _ => line(ok("new"), "cache-control", "max-age=10"),
    })
    .waiting(move |call| {
        let gate = waits.clone();
        async move {
            if call == 2 {
                gate.pass().await;
            }
        }
    });
    let stand = Stand::new(inner).with(|layer| layer.http_rules());
    stand.ask(lang("de")).await;
    stand.clock.advance(SECOND * 10);
    let mut older = Box::pin(stand.ask(lang("de")));
    assert!(older.as_mut().now_or_never().is_none(), "its call waits");
    stand.clock.advance(SECOND);
    assert_eq!(stand.ask(lang("en")).await.text(), "never");
    gate.open(1);
    let older = soon(older).await;
    assert_eq!((older.text(), older.stored()), ("for all", Stored::No(Refusal::Ended)));
    assert_eq!(stand.ask(lang("en")).await.text(), "new");
}

/// The first variant is fetched again while a response that does not vary replaces it, or while it is evicted. What was
/// beside it must not come back.
#[tokio::test]
async fn a_first_variant_that_was_lost_meanwhile_leads_to_no_older_variant() {
    for is_evicted in [true, false] {
        let gate = Gate::closed();
        let waits = gate.clone();
        let inner = Double::new(|request, call| {
            let language = request.headers()["accept-language"].to_str().unwrap().to_owned();
            let response = ok(format!("{language}{call}"));
            if call == 4 { response } else { line(response, "vary", "accept-language") }
        })
        .waiting(move |call| {
            let gate = waits.clone();
            async move {
                if call == 3 {
                    gate.pass().await;
                }
            }
        });
        let stand = Stand::new(inner);
        let key = stand.ask(lang("de")).await.cache.key().unwrap();
        stand.ask(lang("en")).await;
        let force = || CacheOptions::new().force_refresh(true);
        let mut newest = Box::pin(stand.ask(lang("de").extension(force())));
        assert!(newest.as_mut().now_or_never().is_none(), "its call waits");
        if is_evicted {
            assert!(stand.layer.store().remove(&key).await.unwrap());
        } else {
            // It was requested later, and is not the one that is stored in the end.
            assert_eq!(stand.ask(lang("en").extension(force())).await.text(), "en4");
        }
        gate.open(1);
        let newest = soon(newest).await;
        assert_eq!(newest.text(), "de3");
        let en = stand.ask(lang("en")).await;
        assert_ne!(en.text(), "en2", "evicted: {is_evicted}");
    }
}

/// Both are looked up under the same key of a HEAD, where nothing is stored.
#[tokio::test]
async fn a_head_joins_no_call_that_freshens_another_variant_of_the_get() {
    let (inner, gate) = Double::new(|request, _| {
        let language = request.headers()["accept-language"].to_str().unwrap().to_owned();
        let tag = format!("\"{language}\"");
        let asked = request.headers().get("if-none-match").map(|it| it.to_str().unwrap());
        let response = if asked == Some(&tag) { not_modified() } else { ok(language) };
        line(line(response, "vary", "accept-language"), "etag", tag)
    })
    .gated();
    let stand = Stand::new(inner).with(|layer| layer.expire_after(SECOND * 10));
    gate.open(2);
    for language in ["de", "en"] {
        stand.ask(lang(language)).await;
    }
    let head = |language| {
        crate::support::head("/")
            .header("accept-language", language)
            .extension(CacheOptions::new().refresh(true))
    };
    let (mut de, mut en) = (Box::pin(stand.ask(head("de"))), Box::pin(stand.ask(head("en"))));
    assert!(de.as_mut().now_or_never().is_none() && en.as_mut().now_or_never().is_none());
    assert_eq!(stand.calls(), 4, "each of them asks");
    gate.open(2);
    for (reply, language) in [(soon(de).await, "de"), (soon(en).await, "en")] {
        assert_eq!(reply.outcome(), Outcome::Revalidated, "{language}");
        assert_eq!(reply.headers["etag"], format!("\"{language}\""));
    }
}

/// The variant lies beside a first one that is not stored yet, so nothing in the store leads to it.
#[tokio::test]
async fn a_head_that_began_earlier_ends_a_variant_beside_a_first_one_in_flight() {
    for (tag, expected) in [("\"old\"", Outcome::Hit), ("\"new\"", Outcome::Miss(Miss::Variant))] {
        let gate = Gate::closed();
        let waits = gate.clone();
        let (to_de, de_body) = channel();
        let bodies = Arc::new(Mutex::new(VecDeque::from([de_body])));
        let inner = Double::new(move |request, call| {
            let (tag, body) = match call {
                1 => (tag, full("")),
                2 => ("\"old\"", bodies.lock().unwrap().pop_front().unwrap()),
                _ => ("\"old\"", full(request.headers()["accept-language"].as_bytes().to_vec())),
            };
            let response = line(Response::new(body), "vary", "accept-language");
            line(line(response, "etag", tag), "cache-control", "max-age=100")
        })
        .waiting(move |call| {
            let gate = waits.clone();
            async move {
                if call == 1 {
                    gate.pass().await;
                }
            }
        });
        let stand = Stand::new(inner).with(|layer| layer.http_rules());
        let heading = lang("en").method(Method::HEAD).body(empty()).unwrap();
        let mut heading = Box::pin(stand.call(heading));
        assert!(heading.as_mut().now_or_never().is_none(), "its call waits");
        let de = begin(&stand, "de").await;
        let en = stand.ask(lang("en")).await;
        assert_eq!((en.text(), en.stored()), ("en", Stored::Yes));
        gate.open(1);
        Reply::read(heading.await.unwrap()).await;
        assert_eq!(end(to_de, de, "de").await, Stored::Yes);
        assert_eq!(stand.ask(lang("en")).await.outcome(), expected, "{tag}");
        assert_eq!(stand.ask(lang("de")).await.outcome(), Outcome::Hit);
    }
}
