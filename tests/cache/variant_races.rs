//! Variants that are stored at the same time. The first one that arrives becomes the resident, and
//! leads to the others in whatever order their bodies end.

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

/// Sends a request that joins no call. Returns its response, whose body is still to come.
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
async fn two_first_variants_are_found_whichever_is_stored_first() {
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

/// No lookup could find the second variant, so it is not stored.
#[tokio::test]
async fn variant_is_not_stored_beside_a_resident_that_failed() {
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

/// An expired response does not remain the resident. The first of several new ones replaces it.
#[tokio::test]
async fn variants_that_replace_an_expired_resident_at_once_are_all_found() {
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

// ===== A variant that arrives while the resident is fetched again =====

/// Stores another variant for the first time while a call for the resident waits. The call is
/// answered with a new response or with a 304.
async fn store_a_variant_while_the_resident_is_fetched(is_new: bool) {
    let gate = Gate::closed();
    let inner = Double::new(move |request, call| {
        let language = request.headers()["accept-language"].to_str().unwrap().to_owned();
        let response = match call {
            2 if !is_new => not_modified(),
            _ => ok(format!("{language}{call}")),
        };
        line(line(response, "vary", "accept-language"), "etag", "\"a\"")
    })
    .nth_behind(2, &gate);
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
async fn new_variant_does_not_prevent_the_revalidation_of_the_resident() {
    store_a_variant_while_the_resident_is_fetched(false).await;
}

#[tokio::test]
async fn replaced_resident_leads_to_a_variant_that_was_stored_meanwhile() {
    store_a_variant_while_the_resident_is_fetched(true).await;
}

// ===== Responses that must not come back =====

/// The older response does not vary, so it would answer the same request, although it was fetched
/// for another variant.
#[tokio::test]
async fn no_store_answer_keeps_out_an_older_response_that_no_longer_varies() {
    let gate = Gate::closed();
    let inner = Double::new(|_, call| match call {
        1 => line(line(ok("de"), "vary", "accept-language"), "cache-control", "max-age=10"),
        2 => line(ok("for all"), "cache-control", "max-age=10"),
        3 => line(line(ok("never"), "vary", "accept-language"), "cache-control", "no-store"),
        _ => line(ok("new"), "cache-control", "max-age=10"),
    })
    .nth_behind(2, &gate);
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

/// The resident is fetched again while a response that does not vary replaces it, or while it is
/// evicted. The variants that were stored beside it must not come back.
#[tokio::test]
async fn resident_that_was_lost_meanwhile_leads_to_no_older_variant() {
    for is_evicted in [true, false] {
        let gate = Gate::closed();
        let inner = Double::new(|request, call| {
            let language = request.headers()["accept-language"].to_str().unwrap().to_owned();
            let response = ok(format!("{language}{call}"));
            if call == 4 { response } else { line(response, "vary", "accept-language") }
        })
        .nth_behind(3, &gate);
        let stand = Stand::new(inner);
        let key = stand.ask(lang("de")).await.cache.key().unwrap();
        stand.ask(lang("en")).await;
        let force = || CacheOptions::new().force_refresh(true);
        let mut refetched = Box::pin(stand.ask(lang("de").extension(force())));
        assert!(refetched.as_mut().now_or_never().is_none(), "its call waits");
        if is_evicted {
            assert!(stand.layer.store().remove(&key).await.unwrap());
        } else {
            // This response was requested later, and does not vary.
            assert_eq!(stand.ask(lang("en").extension(force())).await.text(), "en4");
        }
        gate.open(1);
        let refetched = soon(refetched).await;
        assert_eq!(refetched.text(), "de3");
        let en = stand.ask(lang("en")).await;
        assert_ne!(en.text(), "en2", "evicted: {is_evicted}");
    }
}

/// Both requests are looked up under the same key of a HEAD, where nothing is stored.
#[tokio::test]
async fn head_joins_no_call_that_freshens_another_variant_of_the_get() {
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
    assert_eq!(stand.calls(), 4, "each makes its own call");
    gate.open(2);
    for (reply, language) in [(soon(de).await, "de"), (soon(en).await, "en")] {
        assert_eq!(reply.outcome(), Outcome::Revalidated, "{language}");
        assert_eq!(reply.headers["etag"], format!("\"{language}\""));
    }
}

/// The resident is not stored yet, so nothing in the store leads to the variant beside it.
#[tokio::test]
async fn head_removes_a_variant_with_another_etag_beside_a_resident_in_flight() {
    for (tag, expected) in [("\"old\"", Outcome::Hit), ("\"new\"", Outcome::Miss(Miss::Variant))] {
        let gate = Gate::closed();
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
        .nth_behind(1, &gate);
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
