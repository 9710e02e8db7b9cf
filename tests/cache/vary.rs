//! Responses that vary by request headers (RFC 9110 §12.5.5). Each is stored beside the others.

use std::time::Duration;

use http::{Method, Response};
use larder::{
    Outcome, Stored, Target,
    status::{Miss, Refusal},
    store::Store,
};

use crate::reads;
use crate::support::{Double, Stand, TestBody, empty, get, head, lang, line, ok, url};

const SECOND: Duration = Duration::from_secs(1);

/// An origin that answers with the requested language, and varies by it.
fn multilingual() -> Double {
    Double::new(|request, call| {
        let language = request.headers().get("accept-language").map(|it| it.to_str().unwrap());
        let text = format!("{}:{call}", language.unwrap_or("none"));
        line(ok(text), "vary", "Accept-Language")
    })
}

/// http-cache has one slot for each URL, in which variants keep replacing each other.
#[tokio::test]
async fn variants_are_stored_side_by_side_and_alternate_as_hits() {
    let stand = Stand::new(multilingual());
    assert_eq!(stand.ask(lang("de")).await.outcome(), Outcome::Miss(Miss::Absent));
    assert_eq!(stand.ask(lang("en")).await.outcome(), Outcome::Miss(Miss::Variant));
    assert_eq!(stand.get("/").await.outcome(), Outcome::Miss(Miss::Variant));
    for _ in 0..3 {
        assert_eq!(stand.ask(lang("de")).await.text(), "de:1");
        assert_eq!(stand.ask(lang("en")).await.text(), "en:2");
        assert_eq!(stand.get("/").await.text(), "none:3");
    }
    assert_eq!(stand.calls(), 3);
    assert_eq!(stand.layer.stats().hits, 9);
}

#[tokio::test]
async fn case_and_spaces_in_negotiation_fields_do_not_matter() {
    let stand = Stand::new(multilingual());
    stand.ask(lang("de, en;q=0.5")).await;
    for same in ["DE,EN;q=0.5", "de,  en ; q=0.5", " de , en;Q=0.5 "] {
        assert!(stand.ask(lang(same)).await.is_from_store(), "{same}");
    }
    // Several lines are one list.
    let lines = get("/").header("accept-language", "de").header("accept-language", "en;q=0.5");
    assert!(stand.ask(lines).await.is_from_store());
    assert!(
        !stand.ask(lang("en;q=0.5, de")).await.is_from_store(),
        "the order may be a preference"
    );
}

/// The weights say which language is preferred (RFC 9110 §12.5.4).
#[tokio::test]
async fn under_the_http_rules_the_order_of_languages_does_not_matter() {
    let stand = Stand::new(multilingual())
        .with(|layer| layer.http_rules().expire_after(std::time::Duration::from_secs(60)));
    stand.ask(lang("de, en;q=0.5")).await;
    assert!(stand.ask(lang("en;q=0.5, de")).await.is_from_store());
    assert!(!stand.ask(lang("en, de;q=0.5")).await.is_from_store());
}

#[tokio::test]
async fn values_of_other_fields_are_compared_as_they_are() {
    let stand = Stand::new(Double::new(|_, call| line(ok(call.to_string()), "vary", "x-a")));
    stand.ask(get("/").header("x-a", "One")).await;
    assert!(stand.ask(get("/").header("X-A", " One ")).await.is_from_store());
    assert!(!stand.ask(get("/").header("x-a", "one")).await.is_from_store());
    assert!(!stand.ask(get("/").header("x-a", "")).await.is_from_store());
    assert!(!stand.get("/").await.is_from_store(), "an empty header is not an absent one");
}

#[tokio::test]
async fn names_of_several_vary_lines_select_together() {
    let inner =
        Double::new(|_, call| line(line(ok(call.to_string()), "vary", "x-a"), "vary", "X-B, x-a"));
    let stand = Stand::new(inner);
    let of = |a: &str, b: &str| get("/").header("x-a", a).header("x-b", b);
    stand.ask(of("1", "1")).await;
    assert!(!stand.ask(of("1", "2")).await.is_from_store());
    assert!(!stand.ask(of("2", "1")).await.is_from_store());
    assert!(stand.ask(of("1", "1")).await.is_from_store());
    // The values of the two headers are not confused.
    assert!(!stand.ask(get("/").header("x-a", "9")).await.is_from_store());
    assert!(!stand.ask(get("/").header("x-b", "9")).await.is_from_store());
}

#[tokio::test]
async fn vary_names_of_different_responses_are_combined() {
    let inner = Double::new(|request, call| {
        let vary = if request.headers().contains_key("x-a") { "x-a" } else { "x-b" };
        line(ok(call.to_string()), "vary", vary)
    });
    let stand = Stand::new(inner);
    let a = || get("/").header("x-a", "1");
    let b = || get("/").header("x-b", "1");
    // Within two rounds, the names are combined. From then on, every request is a hit.
    for request in [a(), b(), a(), b()] {
        stand.ask(request).await;
    }
    let calls = stand.calls();
    for _ in 0..3 {
        assert!(stand.ask(a()).await.is_from_store());
        assert!(stand.ask(b()).await.is_from_store());
    }
    assert_eq!(stand.calls(), calls);
}

#[tokio::test]
async fn a_response_that_varies_by_everything_is_never_reused() {
    for vary in ["*", "accept, *", "not a name"] {
        let stand = Stand::new(Double::new(move |_, _| line(ok("x"), "vary", vary)));
        for _ in 0..2 {
            assert_eq!(stand.get("/").await.stored(), Stored::No(Refusal::Vary), "{vary}");
        }
        assert_eq!(stand.len().await, 0);
    }
}

#[tokio::test]
async fn response_that_no_longer_varies_replaces_the_variants() {
    let inner = Double::new(|_, call| match call {
        1 => line(ok("1"), "vary", "x-a"),
        _ => ok(call.to_string()),
    });
    let stand = Stand::new(inner);
    stand.ask(get("/").header("x-a", "1")).await;
    assert_eq!(stand.ask(get("/").header("x-a", "2")).await.text(), "2");
    let reply = stand.ask(get("/").header("x-a", "1")).await;
    assert!(reply.is_from_store());
    assert_eq!(reply.text(), "2");
}

#[tokio::test]
async fn a_response_that_begins_to_vary_replaces_the_entry() {
    let inner = Double::new(|_, call| match call {
        1 => ok("1"),
        _ => line(ok(call.to_string()), "vary", "x-a"),
    });
    let stand = Stand::new(inner).with(|layer| layer.expire_after(SECOND));
    stand.get("/").await;
    stand.clock.advance(SECOND);
    assert_eq!(stand.ask(get("/").header("x-a", "1")).await.text(), "2");
    assert_eq!(stand.ask(get("/").header("x-a", "1")).await.text(), "2");
    assert_eq!(stand.get("/").await.text(), "3");
}

#[tokio::test]
async fn each_variant_expires_by_itself_and_the_resident_with_the_last() {
    let stand = Stand::new(multilingual()).with(|layer| layer.expire_after(SECOND * 10));
    stand.ask(lang("de")).await;
    stand.clock.advance(SECOND * 5);
    stand.ask(lang("en")).await;
    stand.clock.advance(SECOND * 5);
    assert_eq!(stand.ask(lang("en")).await.text(), "en:2");
    assert_eq!(stand.layer.entries().remove_expired().await.unwrap(), 0);
    assert!(stand.ask(lang("en")).await.is_from_store(), "the resident leads to it");
    assert_eq!(stand.ask(lang("de")).await.text(), "de:3");
    stand.clock.advance(SECOND * 10);
    assert_eq!(stand.layer.entries().remove_expired().await.unwrap(), 2);
    assert_eq!(stand.len().await, 0);
}

#[tokio::test]
async fn a_short_lived_variant_does_not_shorten_the_life_of_the_resident() {
    let stand = Stand::new(multilingual()).with(|layer| layer.expire_after(SECOND * 10));
    stand.ask(lang("de")).await;
    let short = stand.clone_with(|layer| layer.expire_after(SECOND));
    short.ask(lang("en")).await;
    stand.clock.advance(SECOND);
    assert_eq!(stand.layer.entries().remove_expired().await.unwrap(), 1);
    assert_eq!(stand.ask(lang("de")).await.text(), "de:1");
}

#[tokio::test]
async fn variant_that_never_expires_keeps_the_resident() {
    let stand = Stand::new(multilingual());
    let short = stand.clone_with(|layer| layer.expire_after(SECOND));
    short.ask(lang("en")).await;
    stand.ask(lang("de")).await;
    stand.clock.advance(SECOND);
    assert_eq!(stand.layer.entries().remove_expired().await.unwrap(), 0);
    assert!(stand.ask(lang("de")).await.is_from_store());
}

#[tokio::test]
async fn variants_of_a_lost_resident_never_come_back() {
    let stand = Stand::new(multilingual());
    let resident = stand.ask(lang("de")).await.cache.key().unwrap();
    assert_eq!(stand.ask(lang("en")).await.text(), "en:2");
    assert!(stand.layer.store().remove(&resident).await.unwrap());
    assert_eq!(stand.ask(lang("de")).await.text(), "de:3");
    let reply = stand.ask(lang("en")).await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Miss(Miss::Variant), "en:4"));
    assert!(
        stand.ask(lang("de")).await.is_from_store() && stand.ask(lang("en")).await.is_from_store()
    );
}

#[tokio::test]
async fn variants_by_cookie_and_by_authorization_never_mix_users() {
    for name in ["cookie", "authorization"] {
        for ignored in [true, false] {
            let inner = Double::new(move |request, _| {
                let user = request.headers().get(name).map(|it| it.to_str().unwrap().to_owned());
                line(ok(user.unwrap_or_default()), "vary", name)
            });
            let stand = Stand::new(inner).with(|layer| match ignored {
                true => layer.add_ignored_headers([name]).unwrap(),
                false => layer,
            });
            for _ in 0..2 {
                assert_eq!(stand.ask(get("/").header(name, "alice")).await.text(), "alice");
                assert_eq!(stand.ask(get("/").header(name, "bob")).await.text(), "bob");
                assert_eq!(stand.get("/").await.text(), "");
            }
            assert_eq!(stand.calls(), 3, "the origin's `Vary` counts, ignored or not");
        }
    }
}

#[tokio::test]
async fn ignored_header_selects_no_variant() {
    let stand = Stand::new(multilingual())
        .with(|layer| layer.add_ignored_headers(["accept-language"]).unwrap());
    stand.ask(lang("de")).await;
    assert_eq!(stand.ask(lang("en")).await.text(), "de:1");
    assert_eq!(stand.len().await, 1);
}

#[tokio::test]
async fn head_is_answered_from_the_variant_that_it_selects() {
    let stand = Stand::new(Double::new(|request, _| {
        let text = request.headers()["accept-language"].to_str().unwrap().to_owned();
        let response: Response<TestBody> = match *request.method() {
            Method::HEAD => line(Response::new(empty()), "content-language", text),
            _ => line(ok(text.clone()), "content-language", text),
        };
        line(response, "vary", "accept-language")
    }));
    let head = |language| head("/").header("accept-language", language);
    stand.ask(lang("de")).await;
    let reply = stand.ask(head("de")).await;
    assert!(reply.is_from_store());
    assert_eq!((reply.text(), &reply.headers["content-language"]), ("", &"de".parse().unwrap()));
    assert_eq!(stand.ask(head("en")).await.headers["content-language"], "en");
    assert!(stand.ask(head("en")).await.is_from_store());
    assert_eq!(stand.ask(lang("en")).await.text(), "en", "a variant of a HEAD answers no GET");
    assert_eq!(stand.calls(), 3);
}

#[tokio::test]
async fn removal_by_url_removes_all_variants_and_by_request_its_own() {
    let stand = Stand::new(multilingual());
    for language in ["de", "en", "fr"] {
        stand.ask(lang(language)).await;
    }
    stand.get("/other").await;
    let entries = stand.layer.entries();
    let one = lang("en").body(()).unwrap();
    assert!(entries.contains(&one).await.unwrap());
    assert_eq!(entries.remove(&one).await.unwrap(), 1);
    assert!(!entries.contains(&one).await.unwrap());
    assert!(
        stand.ask(lang("de")).await.is_from_store() && stand.ask(lang("fr")).await.is_from_store()
    );
    // The resident leads to the other variants.
    let resident = lang("de").body(()).unwrap();
    assert_eq!(entries.remove(&resident).await.unwrap(), 1);
    for language in ["de", "fr"] {
        assert!(!stand.ask(lang(language)).await.is_from_store(), "{language}");
    }

    entries.remove(Target::from(&url("/"))).await.unwrap();
    assert!(!entries.contains(&url("/")).await.unwrap());
    for language in ["de", "en", "fr"] {
        assert!(!stand.ask(lang(language)).await.is_from_store());
    }
    assert!(stand.get("/other").await.is_from_store());
}

// ===== How often the store is read =====

#[tokio::test]
async fn a_varied_hit_reads_memory_once() {
    reads::are_counted(larder::store::Memory::default()).await;
}

#[cfg(feature = "redb")]
#[tokio::test(flavor = "multi_thread")]
async fn a_varied_hit_reads_a_database_once() {
    reads::are_counted(larder::store::Redb::temporary().unwrap()).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn a_varied_hit_reads_a_sqlite_file_once() {
    let directory = tempfile::tempdir().unwrap();
    let store = larder::store::Sqlite::open(directory.path().join("cache.sqlite")).unwrap();
    reads::are_counted(store).await;
}

#[tokio::test]
async fn a_varied_hit_reads_tiers_once() {
    let memory = larder::store::Memory::default;
    reads::are_counted(larder::store::Tiered::new(memory(), memory())).await;
}

#[cfg(feature = "compression")]
#[tokio::test]
async fn a_varied_hit_reads_a_compressed_store_once() {
    let store = larder::store::Compressed::new(larder::store::Memory::default());
    reads::are_counted(store).await;
}
