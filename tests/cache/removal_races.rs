//! Removals that happen between two steps of a call, or of another removal.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, Request, request};
use larder::{
    CacheOptions, Expiration, Filter, Stored,
    status::Refusal,
    store::{Memory, Store},
};

use crate::support::{
    Double, Gate, Gated, Stand, get, head, line, not_modified, ok, soon, tagged, url,
};

/// The version of the origin's response.
#[derive(Clone, Default)]
struct Versions(Arc<AtomicUsize>);

impl Versions {
    fn change(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// An origin with the same response for every language, and one strong ETag for each version.
    fn origin(&self) -> Double {
        let versions = self.0.clone();
        Double::new(move |request: Request<Bytes>, _| {
            let version = versions.load(Ordering::SeqCst);
            let tag = format!("\"{version}\"");
            let is_known = request
                .headers()
                .get("if-none-match")
                .is_some_and(|tags| tags.to_str().unwrap().split(", ").any(|known| known == tag));
            let mut response = match request.headers().get("range") {
                _ if is_known => not_modified(),
                Some(_) => {
                    let mut part = line(ok(format!("{version}-")), "content-range", "bytes 0-1/4");
                    *part.status_mut() = http::StatusCode::PARTIAL_CONTENT;
                    part
                }
                None => ok(format!("{version}-{version}-")),
            };
            response =
                line(line(response, "cache-control", "max-age=600"), "content-language", "de");
            line(line(response, "vary", "accept-language"), "etag", tag)
        })
    }
}

fn over<B: Store>(store: B, inner: Double) -> Stand<B> {
    Stand::over(store, inner).with(|layer| layer.http_rules().reuse_post_for_get(true))
}

fn asking(language: &str) -> request::Builder {
    get("/").header("accept-language", format!("de-{language}"))
}

// ===== By request: a variant that is being published =====

#[tokio::test]
async fn variant_being_published_is_removed_by_its_request() {
    for range in [None, Some("bytes=0-1")] {
        let ask = |language| match range {
            Some(range) => asking(language).header("range", range),
            None => asking(language),
        };
        let (versions, store) = (Versions::default(), Gated::at_finish(Memory::default()));
        let stand = over(store.clone(), versions.origin());
        let mut caller = Box::pin(stand.ask(ask("b")));
        assert!(caller.as_mut().now_or_never().is_none(), "it is being published");
        versions.change();
        let (entries, request) = (stand.layer.entries(), asking("b").body(()).unwrap());
        let mut removing = Box::pin(entries.remove(&request));
        assert!(removing.as_mut().now_or_never().is_none(), "the removal waits for that");
        store.publish(100);
        assert_eq!(soon(removing).await.unwrap(), 1);
        assert!(soon(caller).await.text().starts_with('0'));
        // This stores a resident, which leads to the variants again.
        stand.ask(ask("a")).await;
        let reply = stand.ask(ask("b")).await;
        assert!(reply.text().starts_with('1'), "{range:?}: {}", reply.text());
    }
}

/// A call for another variant is not affected.
#[tokio::test]
async fn removal_by_request_removes_no_other_variant() {
    let gate = Gate::closed();
    let inner = Double::new(|_, call| line(ok(call.to_string()), "vary", "accept-language"));
    let inner = inner.nth_behind(3, &gate);
    let stand = Stand::new(inner);
    stand.ask(asking("resident")).await;
    stand.ask(asking("a")).await;
    let mut caller = Box::pin(stand.ask(asking("b")));
    assert!(caller.as_mut().now_or_never().is_none());
    let entries = stand.layer.entries();
    assert_eq!(entries.remove(&asking("a").body(()).unwrap()).await.unwrap(), 1);
    gate.open(1);
    assert_eq!(soon(caller).await.stored(), Stored::Yes);
    assert!(stand.ask(asking("b")).await.is_from_store());
}

// ===== By request: a variant that is being freshened =====

#[tokio::test]
async fn variant_removed_while_it_is_revalidated_stays_removed() {
    let gate = Gate::closed();
    let versions = Versions::default();
    let inner = versions.origin().nth_behind(3, &gate);
    let stand = over(Memory::default(), inner);
    stand.ask(asking("a")).await;
    stand.ask(asking("b")).await;
    versions.change();
    let refresh = CacheOptions::new().refresh(true);
    let mut caller = Box::pin(stand.ask(asking("b").extension(refresh)));
    assert!(caller.as_mut().now_or_never().is_none());
    let entries = stand.layer.entries();
    assert_eq!(entries.remove(&asking("b").body(()).unwrap()).await.unwrap(), 1);
    gate.open(1);
    let caller = soon(caller).await;
    assert_eq!((caller.text(), caller.stored()), ("1-1-", Stored::No(Refusal::Removed)));
    versions.change();
    assert_eq!(stand.ask(asking("b")).await.text(), "2-2-");
    assert!(stand.ask(asking("a")).await.is_from_store(), "the other variant is not removed");
}

#[tokio::test]
async fn variant_removed_while_its_head_is_updated_stays_removed() {
    for step in 0..2 {
        let (versions, store) = (Versions::default(), Gated::at_update(Memory::default()));
        let stand = over(store.clone(), versions.origin());
        stand.ask(asking("a")).await;
        // The second variant is published after the head of the resident is updated.
        store.update(1);
        stand.ask(asking("b")).await;
        stand.clock.advance(Duration::from_secs(601));
        store.update(step);
        let mut caller = Box::pin(stand.ask(asking("b")));
        assert!(caller.as_mut().now_or_never().is_none(), "it waits to update a head");
        versions.change();
        let (entries, request) = (stand.layer.entries(), asking("b").body(()).unwrap());
        entries.remove(&request).now_or_never().expect("nothing to wait for").unwrap();
        store.update(100);
        assert_eq!(soon(caller).await.text(), "0-0-", "its call began before the removal");
        let reply = stand.ask(asking("b")).await;
        assert_eq!(reply.text(), "1-1-", "at step {step}");
    }
}

// ===== All entries: one that is being freshened =====

/// A 304 writes its head after the entry was scanned, and before the scanned entry is changed. A
/// change that loses the compare and swap is made again.
#[tokio::test]
async fn change_of_all_entries_wins_over_a_head_being_updated() {
    for change in ["remove_where", "do not store", "a new expiry"] {
        let store = Gated::at_change(Memory::default());
        let inner = Double::new(|request, call| {
            let response = if call < 3 { tagged(&request, "\"a\"", "old") } else { ok("new") };
            line(response, "cache-control", "max-age=600")
        });
        let stand = over(store.clone(), inner);
        stand.get("/").await;
        stand.clock.advance(Duration::from_secs(601));
        let mut caller = Box::pin(stand.get("/"));
        assert!(caller.as_mut().now_or_never().is_none(), "it waits to update the head");
        let entries = stand.layer.entries();
        let filter = Filter::new().status(http::StatusCode::OK);
        let mut changing = Box::pin(async {
            match change {
                "remove_where" => entries.remove_where(&filter, |_| {}).await,
                "do not store" => entries.reset_expiration(Expiration::DoNotStore, |_| {}).await,
                _ => entries.reset_expiration(Duration::from_secs(1), |_| {}).await,
            }
        });
        assert!(changing.as_mut().now_or_never().is_none(), "it waits to change what it scanned");
        store.update(1);
        assert_eq!(soon(caller).await.text(), "old", "the head of the 304 comes first");
        store.update(100);
        store.remove_versions(100);
        assert_eq!(soon(changing).await.unwrap(), 1, "{change}");
        stand.clock.advance(Duration::from_secs(1));
        assert_eq!(stand.get("/").await.text(), "new", "{change}");
    }
}

// ===== A POST whose response is what a GET would receive =====

/// An origin whose response to a POST says that it is the response to a GET of the same URL.
fn post_answers_get() -> Double {
    Double::new(|request, call| {
        let response = line(ok(call.to_string()), "cache-control", "max-age=600");
        if *request.method() == Method::POST {
            line(response, "content-location", url("/"))
        } else {
            response
        }
    })
}

#[tokio::test]
async fn post_response_is_stored_for_its_url_after_its_own_removal() {
    let stand = over(Memory::default(), post_answers_get());
    stand.get("/").await;
    assert_eq!(stand.ask(Request::post(url("/"))).await.stored(), Stored::Yes);
    let reply = stand.get("/").await;
    assert!(reply.is_from_store() && reply.text() == "2");
}

#[tokio::test]
async fn post_response_is_not_stored_for_its_url_after_a_removal() {
    for by_clear in [false, true] {
        let store = Gated::at_tag(Memory::default());
        let stand = over(store.clone(), post_answers_get());
        let mut post = Box::pin(stand.ask(Request::post(url("/"))));
        assert!(post.as_mut().now_or_never().is_none(), "it removes what is stored for its URL");
        let entries = stand.layer.entries();
        if by_clear {
            soon(entries.clear()).await.unwrap();
        } else {
            let target = url("/");
            let mut removing = pin!(entries.remove(&target));
            assert!(removing.as_mut().now_or_never().is_none());
            store.remove(2);
            soon(removing).await.unwrap();
        }
        store.remove(100);
        let post = soon(post).await;
        assert_eq!((post.text(), post.stored()), ("1", Stored::No(Refusal::Removed)));
        assert_eq!(stand.get("/").await.text(), "2");
    }
}

#[tokio::test]
async fn post_response_does_not_replace_the_response_to_a_later_request() {
    let store = Gated::at_tag(Memory::default());
    let stand = over(store.clone(), post_answers_get());
    let mut post = Box::pin(stand.ask(Request::post(url("/"))));
    assert!(post.as_mut().now_or_never().is_none(), "it removes what is stored for its URL");
    let newer = stand.get("/").await;
    assert_eq!((newer.text(), newer.stored()), ("2", Stored::Yes));
    store.remove(100);
    assert_eq!(soon(post).await.stored(), Stored::No(Refusal::Superseded));
    let reply = stand.get("/").await;
    assert!(reply.is_from_store() && reply.text() == "2");
}

// ===== A HEAD that updates a stored response =====

#[tokio::test]
async fn tag_removed_during_a_head_is_not_added_to_the_stored_response() {
    let gate = Gate::closed();
    let waits = gate.clone();
    let inner = Double::new(|_, call| {
        let (age, tag) = if call == 1 { ("max-age=1", "one") } else { ("max-age=600", "other") };
        let response = line(ok(if call < 3 { "old" } else { "new" }), "cache-control", age);
        let entity = if call < 3 { "\"a\"" } else { "\"b\"" };
        line(line(response, "surrogate-key", tag), "etag", entity)
    });
    let inner = inner.waiting(move |call| {
        let gate = waits.clone();
        async move {
            if call == 2 {
                gate.pass().await;
            }
        }
    });
    let stand = over(Memory::default(), inner)
        .with(|layer| layer.add_tag_headers(["surrogate-key"]).unwrap());
    stand.get("/").await;
    stand.clock.advance(Duration::from_secs(5));
    let mut caller = Box::pin(stand.ask(head("/")));
    assert!(caller.as_mut().now_or_never().is_none());
    stand.layer.entries().remove_tag("other").await.unwrap();
    gate.open(1);
    soon(caller).await;
    assert_eq!(stand.get("/").await.text(), "new");
}
