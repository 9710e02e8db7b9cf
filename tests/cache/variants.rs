//! What a 304 says of variants: which of those that are stored the origin would send again, and which are the same.

use std::time::Duration;

use futures_util::future::join;
use http::{Request, StatusCode, request};
use larder::{CacheLayer, CacheOptions, Miss, Outcome, Stored, store::Store};

use crate::support::{Double, Stand, get, line, not_modified, ok, url};

const SECOND: Duration = Duration::from_secs(1);

/// Whether the request names the tag.
fn has<B>(request: &Request<B>, tag: &str) -> bool {
    let named = request.headers().get("if-none-match").map(|it| it.to_str().unwrap());
    named.is_some_and(|named| named.split(", ").any(|it| it == tag))
}

fn language<B>(request: &Request<B>) -> String {
    let asked = request.headers().get("accept-language");
    asked.map_or("none", |it| it.to_str().unwrap()).to_owned()
}

/// An origin with a tag for each language, in which regions make no difference.
fn negotiating() -> Double {
    Double::new(|request, call| {
        let asked = language(&request);
        let language = asked.split('-').next().unwrap();
        let tag = format!("\"{language}\"");
        let response = if has(&request, &tag) { not_modified() } else { ok(language) };
        let response = line(line(response, "etag", tag), "vary", "accept-language");
        let response = line(response, "content-language", language);
        line(line(response, "cache-control", "max-age=10"), "x-call", call.to_string())
    })
}

fn lang(language: &str) -> request::Builder {
    get("/").header("accept-language", language)
}

fn named(stand: &Stand<impl Store>) -> Vec<Option<String>> {
    let seen = stand.inner.take_seen();
    seen.iter().map(|seen| seen.conditions().0.map(str::to_owned)).collect()
}

async fn by_the_tags_of_others<B: Store>(stand: Stand<B>) {
    for language in ["de", "en"] {
        assert_eq!(stand.ask(lang(language)).await.text(), language);
    }
    assert_eq!(named(&stand), [None, Some("\"de\"".to_owned())]);
    let len = stand.len().await;
    for (language, tags) in [("de-AT", "\"en\", \"de\""), ("de-CH", "\"de\", \"en\"")] {
        let reply = stand.ask(lang(language)).await;
        assert_eq!((reply.status, reply.text()), (StatusCode::OK, "de"));
        assert_eq!((reply.outcome(), reply.stored()), (Outcome::Revalidated, Stored::Yes));
        assert_eq!(named(&stand), [Some(tags.to_owned())], "the latest first");
    }
    let calls = stand.calls();
    for language in ["de-AT", "de", "de-CH", "en"] {
        let reply = stand.ask(lang(language)).await;
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Hit, &language[..2]));
    }
    assert_eq!((stand.calls(), stand.len().await), (calls, len), "one body for all of them");
    let stored = stand.layer.entries().get(&lang("de-CH").body(()).unwrap()).await.unwrap();
    assert_eq!(stored.unwrap().headers()["x-call"], "4", "with what the last 304 said");

    // It expires for all of them, and one 304 renews it for all.
    stand.clock.advance(SECOND * 10);
    assert_eq!(stand.ask(lang("de-AT")).await.outcome(), Outcome::Revalidated);
    assert_eq!(named(&stand), [Some("\"de\"".to_owned())]);
    assert!(stand.ask(lang("de")).await.is_hit());
}

fn fixed<B: Store>(layer: CacheLayer<B>) -> CacheLayer<B> {
    layer.expire_after(SECOND * 10)
}

#[tokio::test]
async fn a_variant_that_is_not_stored_is_asked_for_by_the_tags_of_others() {
    by_the_tags_of_others(Stand::new(negotiating()).with(fixed)).await;
    by_the_tags_of_others(Stand::new(negotiating()).with(CacheLayer::http_rules)).await;
    by_the_tags_of_others(Stand::shared(negotiating()).with(CacheLayer::http_rules)).await;
}

#[cfg(feature = "redb")]
#[tokio::test(flavor = "multi_thread")]
async fn a_variant_is_asked_for_by_the_tags_of_others_that_are_on_disk() {
    let store = larder::store::Redb::temporary().unwrap();
    by_the_tags_of_others(Stand::over(store, negotiating()).with(CacheLayer::http_rules)).await;
}

#[tokio::test]
async fn the_callers_own_conditions_are_answered_all_the_same() {
    let stand = Stand::new(negotiating());
    stand.ask(lang("de")).await;
    for (n, (own, expected)) in [("\"de\"", 304), ("\"mine\"", 200)].into_iter().enumerate() {
        let request = lang(&format!("de-{n}")).header("if-none-match", own);
        let reply = stand.ask(request).await;
        assert_eq!((reply.status.as_u16(), reply.outcome()), (expected, Outcome::Revalidated));
        assert_eq!(reply.text(), if expected == 304 { "" } else { "de" });
    }
}

#[tokio::test]
async fn what_has_gone_meanwhile_is_fetched() {
    let stand = Stand::new(negotiating());
    stand.ask(lang("de")).await;
    assert_eq!(stand.layer.entries().remove(&lang("de").body(()).unwrap()).await.unwrap(), 1);
    stand.inner.take_seen();
    let reply = stand.ask(lang("de-AT")).await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Miss(Miss::Variant), "de"));
    assert_eq!(named(&stand), [Some("\"de\"".to_owned()), None]);
    assert!(stand.ask(lang("de-AT")).await.is_hit());
}

/// Origins that have one tag for a thing in all its forms answer rightly where nobody asks by it.
#[tokio::test]
async fn one_tag_for_all_forms_hands_none_of_them_out_for_another() {
    for (field, is, forms) in [
        ("accept", "content-type", ["application/json", "text/html"]),
        ("accept-language", "content-language", ["de", "en"]),
    ] {
        let stand = Stand::new(Double::new(move |request, _| {
            if has(&request, "\"row-42\"") {
                return line(not_modified(), "etag", "\"row-42\"");
            }
            let asked = request.headers()[field].to_str().unwrap();
            let form = asked.split(',').next().unwrap().to_owned();
            let response = line(ok(form.clone()), "etag", "\"row-42\"");
            line(line(response, "vary", field), is, form)
        }));
        for form in forms {
            for asked in [form.to_owned(), format!("{form}, */*;q=0.1, *;q=0.1")] {
                for _ in 0..2 {
                    let reply = stand.ask(get("/").header(field, &asked)).await;
                    assert_eq!(reply.text(), form, "{asked}");
                }
            }
        }
    }
}

/// The `ETag` of a 304 for a request that names the tag of another variant, and what comes of it.
async fn answered_with(tag: Option<&'static str>) -> (Outcome, usize) {
    let stand = Stand::new(Double::new(move |request, call| {
        let response = match request.headers().contains_key("if-none-match") {
            true => match tag {
                Some(tag) => line(not_modified(), "etag", tag),
                None => not_modified(),
            },
            false => line(ok(call.to_string()), "etag", format!("\"{call}\"")),
        };
        line(line(response, "content-language", "de"), "vary", "accept-language")
    }));
    stand.ask(lang("de")).await;
    let reply = stand.ask(lang("de-AT")).await;
    assert_eq!(reply.status, StatusCode::OK);
    (reply.outcome(), stand.calls())
}

#[tokio::test]
async fn a_304_that_names_none_of_them_leads_to_a_whole_fetch() {
    assert_eq!(answered_with(Some("\"1\"")).await, (Outcome::Revalidated, 2));
    for other in [Some("W/\"1\""), Some("\"2\""), None] {
        assert_eq!(answered_with(other).await, (Outcome::Miss(Miss::Variant), 3), "{other:?}");
    }
}

/// An origin that compresses on the way out has one weak tag for two bodies.
#[tokio::test]
async fn nothing_is_asked_by_weak_tags() {
    let stand = Stand::new(Double::new(|request, _| {
        line(line(ok(language(&request)), "etag", "W/\"a\""), "vary", "accept-language")
    }));
    for language in ["1", "2"] {
        stand.ask(lang(language)).await;
    }
    assert_eq!(named(&stand), [None, None]);
}

#[tokio::test]
async fn who_wants_the_whole_gets_it() {
    let stand = Stand::new(negotiating());
    stand.ask(lang("de")).await;
    let forced = lang("de-AT").extension(CacheOptions::new().force_refresh(true));
    assert_eq!(stand.ask(forced).await.outcome(), Outcome::Miss(Miss::Refresh));
    assert_eq!(named(&stand), [None, None]);
    // What is not to be stored is asked for as it was.
    let own = lang("de-CH").extension(CacheOptions::new().no_store(true));
    assert_eq!(stand.ask(own.header("if-none-match", "\"x\"")).await.text(), "de");
    assert_eq!(named(&stand), [Some("\"x\"".to_owned())]);
}

/// An origin that has one strong tag for the compressed body and the plain one.
#[tokio::test]
async fn nobody_gets_a_coding_that_he_cannot_read() {
    let stand = Stand::new(Double::new(|request, _| {
        let is_compressed = request.headers().contains_key("accept-encoding");
        let response = match (has(&request, "\"a\""), is_compressed) {
            (true, _) => not_modified(),
            (_, true) => line(ok("compressed"), "content-encoding", "gzip"),
            (_, false) => ok("plain"),
        };
        line(line(response, "etag", "\"a\""), "vary", "accept-encoding")
    }));
    stand.ask(get("/").header("accept-encoding", "gzip")).await;
    for _ in 0..2 {
        assert_eq!(stand.get("/").await.text(), "plain");
    }
    let reply = stand.ask(get("/").header("accept-encoding", "br, gzip")).await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Revalidated, "plain"));
    assert_eq!(stand.calls(), 4);
}

/// Nor where what was lent to him is replaced by one with the same tag.
#[tokio::test]
async fn what_is_lent_is_read_by_whom_it_is_lent_to() {
    let stand = Stand::new(Double::new(|request, call| {
        let response = match (has(&request, "\"a\""), call) {
            (true, _) => not_modified(),
            (_, 1) => ok("plain"),
            _ => line(ok("compressed"), "content-encoding", "gzip"),
        };
        line(line(response, "etag", "\"a\""), "vary", "accept-encoding")
    }));
    let alice = || get("/").header("accept-encoding", "gzip");
    stand.ask(alice()).await;
    assert_eq!(stand.get("/").await.text(), "plain");
    let fresh = CacheOptions::new().force_refresh(true);
    assert_eq!(stand.ask(alice().extension(fresh)).await.text(), "compressed");
    assert!(!stand.get("/").await.is_hit());
}

/// An origin whose tags are those of the page, whoever sees it.
#[tokio::test]
async fn one_users_response_is_not_lent_to_another() {
    for name in ["cookie", "authorization", "x-api-key", "x-forwarded-user", "origin"] {
        let inner = Double::new(move |request, _| {
            let user = request.headers()[name].to_str().unwrap();
            let response = if has(&request, "\"page\"") { not_modified() } else { ok(user) };
            let response = line(line(response, "etag", "\"page\""), "vary", name);
            line(response, "cache-control", "max-age=10, public")
        });
        let stand = Stand::shared(inner).with(CacheLayer::http_rules);
        for user in ["alice", "bob", "alice", "bob"] {
            assert_eq!(stand.ask(get("/").header(name, user)).await.text(), user);
        }
        assert_eq!(stand.calls(), 2);
        // Nor are the fields of the answer to one for the other.
        stand.clock.advance(SECOND * 10);
        stand.ask(get("/").header(name, "alice")).await;
        assert_eq!(stand.ask(get("/").header(name, "bob")).await.outcome(), Outcome::Revalidated);
    }
}

#[tokio::test]
async fn those_who_wait_get_what_the_304_names() {
    let (inner, gate) = negotiating().gated();
    let stand = Stand::new(inner);
    gate.open(1);
    stand.ask(lang("de")).await;
    let opening = async {
        stand.inner.begun(2).await;
        gate.open(1);
    };
    let both = join(stand.ask(lang("de-AT")), stand.ask(lang("de-AT")));
    let ((one, other), ()) = join(both, opening).await;
    assert_eq!((one.text(), other.text(), stand.calls()), ("de", "de", 2));
}

// ===== What is lent, and for how long =====

/// An origin that answers in the language asked for from call `own_from` on, and in German before.
fn changing(own_from: usize, tag: bool) -> Double {
    Double::new(move |request, call| {
        let text = if call < own_from { "de".to_owned() } else { language(&request) };
        let value = format!("\"{text}\"");
        let response = if has(&request, &value) { not_modified() } else { ok(text.clone()) };
        let response = line(line(response, "content-language", text), "vary", "accept-language");
        if tag || call < own_from { line(response, "etag", value) } else { response }
    })
}

#[tokio::test]
async fn a_response_of_its_own_takes_the_place_of_what_was_lent() {
    for has_tag in [true, false] {
        let stand = Stand::new(changing(3, has_tag)).with(fixed);
        for language in ["de", "de-AT"] {
            assert_eq!(stand.ask(lang(language)).await.text(), "de");
        }
        stand.clock.advance(SECOND * 10);
        let reply = stand.ask(lang("de-AT")).await;
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Miss(Miss::Expired), "de-AT"));
        let reply = stand.ask(lang("de-AT")).await;
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Hit, "de-AT"), "{has_tag}");
        assert_eq!(stand.ask(lang("de")).await.text(), "de");
        assert_eq!(stand.ask(lang("de-AT")).await.text(), "de-AT");
    }
}

/// What the origin has said of one response it has not said of the next one in its place.
#[tokio::test]
async fn what_takes_the_place_of_what_was_lent_is_not_lent() {
    let stand = Stand::new(Double::new(|request, call| {
        let tag = if call <= 2 { "\"old\"" } else { "\"new\"" };
        let response = if has(&request, tag) { not_modified() } else { ok(call.to_string()) };
        let response = line(response, "content-language", "de");
        line(line(response, "etag", tag), "vary", "accept-language")
    }))
    .with(fixed);
    stand.ask(lang("de")).await;
    assert_eq!(stand.ask(lang("de-AT")).await.text(), "1");
    stand.clock.advance(SECOND * 10);
    assert_eq!(stand.ask(lang("de")).await.text(), "3");
    let reply = stand.ask(lang("de-AT")).await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Revalidated, "3"), "the origin says so");
    assert_eq!(stand.calls(), 4);
    assert!(stand.ask(lang("de-AT")).await.is_hit());
}

#[tokio::test]
async fn what_is_lent_is_removed_with_what_lends_it() {
    let stand = Stand::new(negotiating());
    stand.ask(lang("de").extension(CacheOptions::new().tag("german"))).await;
    for _ in 0..2 {
        stand.ask(lang("de-AT")).await;
    }
    assert_eq!(stand.calls(), 2);
    assert_eq!(stand.layer.entries().remove_tag("german").await.unwrap(), 1);
    assert_eq!(stand.ask(lang("de-AT")).await.outcome(), Outcome::Miss(Miss::Variant));
    stand.layer.entries().remove(&url("/")).await.unwrap();
    stand.inner.take_seen();
    assert_eq!(stand.ask(lang("de-AT")).await.outcome(), Outcome::Miss(Miss::Absent));
    assert_eq!(named(&stand), [None]);
}

#[tokio::test]
async fn the_list_lives_on_with_what_is_lent() {
    let stand = Stand::new(negotiating()).with(fixed);
    stand.ask(lang("de")).await;
    stand.ask(lang("de-AT")).await;
    // Longer, in all, than the list was first to be kept.
    for _ in 0..3 {
        stand.clock.advance(SECOND * 3000);
        assert_eq!(stand.layer.entries().remove_expired().await.unwrap(), 0);
        assert_eq!(stand.ask(lang("de-AT")).await.outcome(), Outcome::Revalidated);
    }
    assert!(stand.ask(lang("de")).await.is_hit());
}

// ===== Variants that are the same =====

/// An origin that has one response for all, with this tag, and heeds a condition only where it is that one alone.
fn alike(tag: &'static str) -> Double {
    Double::new(move |request, call| {
        let known = request.headers().get("if-none-match").filter(|_| call > 3);
        let response = if known.is_some() { not_modified() } else { ok("same") };
        let response = line(line(response, "etag", tag), "vary", "accept-language");
        line(response, "x-call", call.to_string())
    })
}

#[tokio::test]
async fn a_304_renews_every_variant_with_its_strong_tag() {
    for (tag, is_renewed) in [("\"a\"", true), ("W/\"a\"", false)] {
        let stand = Stand::new(alike(tag)).with(fixed);
        for language in ["de", "en", "fr"] {
            assert_eq!(stand.ask(lang(language)).await.text(), "same");
        }
        stand.clock.advance(SECOND * 10);
        assert_eq!(stand.ask(lang("de")).await.outcome(), Outcome::Revalidated);
        for language in ["en", "fr"] {
            let reply = stand.ask(lang(language)).await;
            assert_eq!(reply.outcome() == Outcome::Hit, is_renewed, "{tag}");
            if is_renewed {
                assert_eq!(reply.headers["x-call"], "4", "with the fields of the 304");
            }
        }
    }
}

#[tokio::test]
async fn a_variant_that_is_removed_meanwhile_is_not_brought_back() {
    let (inner, gate) = alike("\"a\"").gated();
    gate.open(3);
    let stand = Stand::new(inner).with(fixed);
    for language in ["de", "en", "fr"] {
        stand.ask(lang(language)).await;
    }
    stand.clock.advance(SECOND * 10);
    let asking = stand.ask(lang("de"));
    let removing = async {
        stand.inner.begun(4).await;
        stand.layer.entries().remove(&lang("en").body(()).unwrap()).await.unwrap();
        gate.open(1);
    };
    let (reply, ()) = join(asking, removing).await;
    assert_eq!(reply.outcome(), Outcome::Revalidated);
    let entries = stand.layer.entries();
    assert!(!entries.contains(&lang("en").body(()).unwrap()).await.unwrap());
    assert!(stand.ask(lang("fr")).await.is_hit());
}

// ===== The list =====

#[tokio::test]
async fn variants_that_are_stored_at_once_are_both_known() {
    let (inner, gate) = negotiating().gated();
    let stand = Stand::new(inner);
    gate.open(1);
    stand.ask(lang("fr")).await;
    let (de, en) = (stand.ask(lang("de")), stand.ask(lang("en")));
    let opening = async {
        stand.inner.begun(3).await;
        gate.open(2);
    };
    join(join(de, en), opening).await;
    stand.inner.take_seen();
    gate.open(1);
    stand.ask(lang("es")).await;
    let named = named(&stand).remove(0).unwrap();
    for tag in ["\"de\"", "\"en\"", "\"fr\""] {
        assert!(named.contains(tag), "{named}");
    }
}

#[tokio::test]
async fn a_list_does_not_grow_for_ever() {
    let stand = Stand::new(Double::new(|_, call| {
        let response = line(ok("x"), "etag", format!("\"{}{call}\"", "a".repeat(200)));
        line(response, "vary", "accept-language")
    }));
    for n in 0..100 {
        assert_eq!(stand.ask(lang(&n.to_string())).await.stored(), Stored::Yes);
    }
    let sent = stand
        .inner
        .take_seen()
        .iter()
        .filter_map(|seen| seen.conditions().0)
        .max_by_key(|it| it.len())
        .unwrap()
        .len();
    assert!((400..1_100).contains(&sent), "{sent} bytes of tags");
    let scan = stand.layer.store().scan();
    let lists: Vec<_> = futures_util::StreamExt::collect::<Vec<_>>(scan).await;
    let list =
        lists.into_iter().map(Result::unwrap).find(|item| item.head.variant_names().is_some());
    let size = list.unwrap().head.encode().len();
    assert!((6_000..10_000).contains(&size), "{size} bytes");
    for n in 0..100 {
        assert!(stand.ask(lang(&n.to_string())).await.is_hit(), "{n} is found, known or not");
    }
}

/// Hits, and renewals by which nothing new is said, leave the list as it is.
#[tokio::test]
async fn the_list_is_written_only_where_it_has_something_new_to_say() {
    let stand = Stand::new(negotiating());
    let version = async || {
        let scan = stand.layer.store().scan();
        let items: Vec<_> = futures_util::StreamExt::collect::<Vec<_>>(scan).await;
        let mut lists = items
            .into_iter()
            .map(Result::unwrap)
            .filter(|item| item.head.variant_names().is_some());
        lists.next().unwrap().version
    };
    stand.ask(lang("de")).await;
    stand.ask(lang("de-AT")).await;
    let before = version().await;
    for request in [
        lang("de"),
        lang("de-AT"),
        lang("de").extension(CacheOptions::new().refresh(true)),
        lang("de-AT").extension(CacheOptions::new().refresh(true)),
    ] {
        assert_eq!(stand.ask(request).await.text(), "de");
    }
    assert_eq!(version().await, before);
    stand.ask(lang("en")).await;
    assert_ne!(version().await, before);
}
