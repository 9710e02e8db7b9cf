//! Tags: where they come from, which are refused, and removals by tag while a call is in flight.

use std::{pin::pin, time::Duration};

use futures_util::{FutureExt, StreamExt};
use http::{HeaderValue, Request, Response};
use larder::{
    CacheLayer, CacheOptions, Outcome, Stored,
    status::Refusal,
    store::{ErrorKind, Memory, Store},
};

use crate::support::{
    Double, Faulty, Gate, Gated, Op, Reply, Stand, TestBody, channel, chunk, empty, full, get,
    head, line, ok, soon, tagged, url, with,
};

const SECOND: Duration = Duration::from_secs(1);

fn by_headers<B: Store>(layer: CacheLayer<B>) -> CacheLayer<B> {
    layer.add_tag_headers(["Surrogate-Key", "cache-tag"]).unwrap()
}

fn keyed(response: Response<TestBody>, tags: impl AsRef<[u8]>) -> Response<TestBody> {
    line(response, "surrogate-key", tags)
}

/// The tags of each entry, in the order of their URLs.
async fn tags<B: Store>(stand: &Stand<B>) -> Vec<Vec<String>> {
    let entries = stand.layer.entries();
    let mut all: Vec<_> = entries.stream().map(|entry| entry.unwrap()).collect().await;
    all.sort_by(|a, b| a.url.cmp(&b.url));
    all.into_iter().map(|entry| entry.tags).collect()
}

async fn remove_tag<B: Store>(stand: &Stand<B>, tag: &str) -> u64 {
    soon(stand.layer.entries().remove_tag(tag)).await.unwrap()
}

// ===== Sources =====

#[tokio::test]
async fn values_of_tag_headers_are_tags_and_reach_the_caller() {
    let inner = Double::new(|request, _| match request.uri().path() {
        "/a" => line(keyed(keyed(ok("a"), "page  user:1"), "user:2"), "cache-tag", "News, page"),
        _ => line(ok("b"), "x-tag", "page"),
    });
    let stand = Stand::new(inner).with(by_headers);
    for _ in 0..2 {
        let reply = stand.get("/a").await;
        assert_eq!(reply.lines("surrogate-key"), [&b"page  user:1"[..], b"user:2"]);
        assert_eq!(reply.lines("cache-tag"), [b"News, page"]);
    }
    stand.get("/b").await;
    let expected: [&[&str]; 2] = [&["page", "user:1", "user:2", "News"], &[]];
    assert_eq!(tags(&stand).await, expected);
    for (tag, removed) in [("news", 0), ("user:", 0), ("page  user:1", 0), ("", 0), ("News", 1)] {
        assert_eq!(remove_tag(&stand, tag).await, removed, "{tag}");
    }
    assert!(!stand.get("/a").await.is_from_store() && stand.get("/b").await.is_from_store());
}

#[tokio::test]
async fn header_that_is_not_set_as_a_tag_header_gives_no_tags() {
    let stand = Stand::new(Double::new(|_, _| keyed(ok("a"), "page")));
    stand.get("/").await;
    assert_eq!((tags(&stand).await, remove_tag(&stand, "page").await), (vec![vec![]], 0));
}

#[tokio::test]
async fn a_closure_tags_by_the_heads_of_request_and_response() {
    let stand = Stand::new(Double::new(|_, _| line(ok("a"), "x-kind", "big"))).with(|layer| {
        layer.tag_with(|request, response| {
            let credentials = request.headers.get("authorization").map(HeaderValue::len);
            let path = request.uri.path().to_owned();
            let kind = response.headers["x-kind"].to_str().unwrap().to_owned();
            [path, kind, format!("{credentials:?} {}", request.method)]
        })
    });
    stand.ask(get("/a").header("authorization", "secret")).await;
    stand.ask(head("/b")).await;
    assert_eq!(tags(&stand).await, [["/a", "big", "Some(6) GET"], ["/b", "big", "None HEAD"]]);
    assert_eq!(remove_tag(&stand, "/b").await, 1);
    assert_eq!(remove_tag(&stand, "big").await, 1);
}

#[tokio::test]
async fn tags_of_all_sources_add_up_and_the_last_closure_counts() {
    let stand = Stand::new(Double::new(|_, _| keyed(ok("a"), "header both"))).with(|layer| {
        by_headers(
            layer.tag_with(|_, _| ["not this"]).tag_with(|_, _| Some("closure both".to_owned())),
        )
        .tag_with(|_, _| ["closure", "both"])
        .add_tag_headers(["surrogate-key"])
        .unwrap()
    });
    stand.ask(with(CacheOptions::new().add_tag("request").add_tag("both"))).await;
    assert_eq!(tags(&stand).await, [["request", "both", "closure", "header"]]);
}

#[tokio::test]
async fn variants_have_their_own_tags() {
    let inner = Double::new(|request, _| {
        let of = request.headers()["x-a"].clone();
        keyed(line(ok("a"), "vary", "x-a"), of)
    });
    let stand = Stand::new(inner).with(by_headers);
    let ask = |of: &str| stand.ask(get("/").header("x-a", of));
    for of in ["two all", "one all"] {
        ask(of).await;
    }
    assert_eq!(remove_tag(&stand, "one").await, 1);
    assert!(ask("two all").await.is_from_store());
    assert!(!ask("one all").await.is_from_store());
    assert_eq!(remove_tag(&stand, "all").await, 2);
    assert!(!ask("two all").await.is_from_store());
}

#[tokio::test]
async fn inserted_response_is_tagged_like_any_other() {
    let stand = Stand::new(Double::counting())
        .with(|layer| by_headers(layer).tag_with(|_, _| Some("closure")));
    let request = get("/").extension(CacheOptions::new().add_tag("request")).body(()).unwrap();
    let entries = stand.layer.entries();
    entries.insert(&request, keyed(ok("a"), "header")).await.unwrap();
    assert_eq!(tags(&stand).await, [["request", "closure", "header"]]);
    let many = (0..1_001).map(|n| format!("{n} ")).collect::<String>();
    let error = entries.insert(&request, keyed(ok("b"), many)).await.unwrap_err();
    assert!(error.to_string().contains("must not be stored (tags)"), "{error}");
    assert!(entries.contains(&request).await.unwrap(), "the stored response stays");
}

// ===== Refused tags =====

#[tokio::test]
async fn response_with_too_many_or_invalid_tags_is_not_stored() {
    let many = (0..1_001).map(|n| format!("{n} ")).collect::<String>();
    let long = "x".repeat(1_025);
    for line in [many.as_bytes(), long.as_bytes(), b"caf\xe9"] {
        let line = line.to_vec();
        let inner = Double::new(move |_, _| keyed(ok("whole"), &line));
        let stand = Stand::new(inner).with(by_headers);
        for _ in 0..2 {
            let reply = stand.get("/").await;
            assert_eq!((reply.text(), reply.stored()), ("whole", Stored::No(Refusal::Tags)));
        }
        assert_eq!((stand.len().await, stand.layer.stats().refused), (0, 2));
        let plain = stand.clone_with(|_| CacheLayer::private(Memory::default()));
        assert_eq!(plain.get("/").await.stored(), Stored::Yes, "without the setting");
    }
}

#[tokio::test]
async fn response_to_a_request_with_too_many_tags_is_not_stored() {
    let stand = Stand::new(Double::counting());
    let options = (0..1_001).fold(CacheOptions::new(), |options, n| options.add_tag(n.to_string()));
    let reply = stand.ask(with(options)).await;
    assert_eq!((reply.text(), reply.stored()), ("1", Stored::No(Refusal::Tags)));
    assert_eq!(stand.len().await, 0);
}

// ===== Freshening =====

/// An origin whose first response has the tags `first`, and each 304 the tags `then`.
fn freshening(first: &'static str, then: impl Into<Vec<u8>>) -> Double {
    let then = then.into();
    Double::new(move |request, call| {
        let response = tagged(&request, "\"a\"", "whole");
        if call == 1 { keyed(response, first) } else { keyed(response, &then) }
    })
}

async fn a_304_replaces_the_tags_of_headers<B: Store>(store: B) {
    let stand = Stand::over(store, freshening("old both", "new both"))
        .with(|layer| by_headers(layer).expire_after(SECOND));
    stand.ask(with(CacheOptions::new().add_tag("asked"))).await;
    stand.clock.advance(SECOND);
    let reply = stand.ask(with(CacheOptions::new().add_tag("also"))).await;
    assert_eq!((reply.outcome(), reply.stored()), (Outcome::Revalidated, Stored::Yes));
    assert_eq!(tags(&stand).await, [["asked", "also", "new", "both"]]);
    assert!(stand.get("/").await.is_from_store());
    assert_eq!(remove_tag(&stand, "old").await, 0);
    assert_eq!(remove_tag(&stand, "new").await, 1);
    assert_eq!(stand.len().await, 0);
}

#[tokio::test]
async fn a_304_replaces_the_tags_of_headers_in_memory() {
    a_304_replaces_the_tags_of_headers(Memory::default()).await;
}

#[cfg(feature = "redb")]
#[tokio::test]
async fn a_304_replaces_the_tags_of_headers_in_a_redb_file() {
    a_304_replaces_the_tags_of_headers(larder::store::Redb::temporary().unwrap()).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test]
async fn a_304_replaces_the_tags_of_headers_in_an_sqlite_file() {
    a_304_replaces_the_tags_of_headers(larder::store::Sqlite::temporary().unwrap()).await;
}

#[tokio::test]
async fn a_304_without_tags_keeps_the_tags_and_the_url_of_the_entry() {
    let inner = Double::new(|request, call| {
        let response = tagged(&request, "\"a\"", "whole");
        if call == 1 { keyed(response, "old") } else { response }
    });
    let stand = Stand::new(inner)
        .with(|layer| by_headers(layer).expire_after(SECOND).tag_with(|_, _| ["closure"]));
    let ask = || stand.ask(get("/").header("cookie", "a=1"));
    ask().await;
    for _ in 0..3 {
        stand.clock.advance(SECOND);
        assert_eq!(ask().await.outcome(), Outcome::Revalidated);
        assert_eq!(tags(&stand).await, [["closure", "old"]]);
    }
    assert_eq!(stand.layer.entries().remove(&url("/")).await.unwrap(), 1);
}

#[tokio::test]
async fn a_304_with_too_many_tags_freshens_nothing() {
    let many = (0..1_001).map(|n| format!("{n} ")).collect::<String>();
    let stand =
        Stand::new(freshening("old", many)).with(|layer| by_headers(layer).expire_after(SECOND));
    stand.get("/").await;
    stand.clock.advance(SECOND);
    for _ in 0..2 {
        let reply = stand.get("/").await;
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Revalidated, "whole"));
        assert_eq!(reply.stored(), Stored::No(Refusal::Tags));
    }
    assert_eq!(
        (tags(&stand).await, remove_tag(&stand, "old").await),
        (vec![vec!["old".into()]], 1)
    );
}

// ===== Removal by a tag while a call is in flight =====

/// Where the tag "news" comes from.
#[derive(Clone, Copy, Debug)]
enum From {
    Request,
    Closure,
    Header,
}

const ALL: [From; 3] = [From::Request, From::Closure, From::Header];

impl From {
    fn set<B: Store>(self, layer: CacheLayer<B>) -> CacheLayer<B> {
        let layer = layer.expire_after(SECOND);
        match self {
            Self::Request => layer,
            // It tags the response to the second call, and the first one if a 304 freshens it.
            Self::Closure => layer.tag_with(|_, response| {
                response.headers.get("x-call").filter(|call| *call == "2").map(|_| "news")
            }),
            Self::Header => by_headers(layer),
        }
    }

    fn ask(self, call: usize) -> http::request::Builder {
        match self {
            Self::Request if call == 2 => with(CacheOptions::new().add_tag("news")),
            _ => get("/"),
        }
    }

    /// The response to the call of this number. That to the second call has the tag.
    fn line(self, response: Response<TestBody>, call: usize) -> Response<TestBody> {
        let response = line(response, "x-call", call.to_string());
        match self {
            Self::Header if call == 2 => keyed(response, "news"),
            _ => response,
        }
    }
}

/// A cache whose stored response has expired. Only the tags of the origin's response ever change.
/// Each further call waits at the gate.
async fn expired<B: Store>(store: B, from: From) -> (Stand<B>, Gate) {
    let inner =
        Double::new(move |request, call| from.line(tagged(&request, "\"a\"", "whole"), call));
    let (inner, gate) = inner.gated();
    let stand = Stand::over(store, inner).with(|layer| from.set(layer));
    gate.open(1);
    stand.ask(from.ask(1)).await;
    stand.clock.advance(SECOND);
    (stand, gate)
}

#[tokio::test]
async fn response_is_not_stored_with_a_tag_removed_before_it_arrived() {
    for from in ALL {
        let inner = Double::new(move |_, call| from.line(ok(call.to_string()), call + 1));
        let (inner, gate) = inner.gated();
        let stand = Stand::new(inner).with(|layer| from.set(layer));
        let mut caller = Box::pin(stand.ask(from.ask(2)));
        assert!(caller.as_mut().now_or_never().is_none());
        assert_eq!(remove_tag(&stand, "sport").await, 0);
        assert_eq!(remove_tag(&stand, "news").await, 0);
        gate.open(1);
        let reply = soon(caller).await;
        assert_eq!((reply.text(), reply.stored()), ("1", Stored::No(Refusal::Removed)), "{from:?}");
        assert_eq!(stand.len().await, 0, "{from:?}");
    }
}

#[tokio::test]
async fn response_is_not_stored_with_a_tag_removed_while_its_body_arrived() {
    for from in ALL {
        let (sender, body) = channel();
        let body = std::sync::Mutex::new(Some(body));
        let inner = Double::new(move |_, _| {
            from.line(Response::new(body.lock().unwrap().take().unwrap()), 2)
        });
        let stand = Stand::new(inner).with(|layer| from.set(layer));
        let request: Request<TestBody> = from.ask(2).body(empty()).unwrap();
        let mut response = stand.call(request).await.unwrap();
        sender.send("a");
        assert_eq!(chunk(response.body_mut()).await.unwrap(), "a");
        assert_eq!(remove_tag(&stand, "news").await, 0);
        sender.send("b");
        drop(sender);
        let reply = soon(Reply::read_any(response)).await;
        assert_eq!((reply.text(), reply.stored()), ("b", Stored::No(Refusal::Removed)), "{from:?}");
        assert_eq!(stand.len().await, 0, "{from:?}");
    }
}

#[tokio::test]
async fn entry_is_not_freshened_with_a_tag_removed_before_the_304() {
    for from in ALL {
        let (stand, gate) = expired(Memory::default(), from).await;
        let mut caller = Box::pin(stand.ask(from.ask(2)));
        assert!(caller.as_mut().now_or_never().is_none());
        assert_eq!(remove_tag(&stand, "news").await, 0, "{from:?}: no entry has it yet");
        gate.open(1);
        let reply = soon(caller).await;
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Revalidated, "whole"), "{from:?}");
        assert_eq!(reply.stored(), Stored::No(Refusal::Removed), "{from:?}");
        assert_eq!(tags(&stand).await, [[""; 0]], "{from:?}: the entry has not changed");
        gate.open(1);
        assert_eq!(stand.get("/").await.outcome(), Outcome::Revalidated, "{from:?}: still expired");
    }
}

/// The store is writing the new head. The removal does not wait for that, and removes the entry.
#[tokio::test]
async fn removal_removes_an_entry_that_is_being_freshened() {
    for from in ALL {
        let store = Gated::at_update(Memory::default());
        let (stand, gate) = expired(store.clone(), from).await;
        gate.open(1);
        let mut caller = Box::pin(stand.ask(from.ask(2)));
        assert!(caller.as_mut().now_or_never().is_none(), "{from:?}: it waits for the store");
        assert_eq!(stand.calls(), 2);
        assert_eq!(remove_tag(&stand, "sport").await, 0);
        assert_eq!(remove_tag(&stand, "news").await, 1, "{from:?}: it is about to have the tag");
        assert_eq!(stand.len().await, 0, "{from:?}");
        store.update(1);
        let reply = soon(caller).await;
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Revalidated, "whole"), "{from:?}");
        assert_eq!(reply.stored(), Stored::No(Refusal::Conflict), "{from:?}");
        assert_eq!(stand.len().await, 0, "{from:?}");
    }
}

/// An entry that cannot be removed does not prevent the removal of others.
#[tokio::test]
async fn removal_that_fails_for_a_freshened_entry_removes_the_others() {
    let faulty = Faulty::new(Memory::default());
    let store = Gated::at_update(faulty.clone());
    let (stand, gate) = expired(store.clone(), From::Header).await;
    let other = Stand::over(store.clone(), Double::counting());
    other.ask(get("/other").extension(CacheOptions::new().add_tag("news"))).await;
    gate.open(1);
    let mut caller = pin!(stand.get("/"));
    assert!(caller.as_mut().now_or_never().is_none());
    faulty.fail(Op::Remove, ErrorKind::Unavailable);
    stand.layer.entries().remove_tag("news").await.unwrap_err();
    assert_eq!(stand.layer.stats().store_errors, 1);
    assert!(!other.get("/other").await.is_from_store());
    store.update(1);
    assert_eq!(soon(caller).await.text(), "whole");
}

/// The removal concerns only the version of the entry that was being freshened.
#[tokio::test]
async fn removal_keeps_a_response_that_replaced_the_freshened_entry() {
    let store = Gated::at_update(Memory::default());
    let (stand, gate) = expired(store.clone(), From::Header).await;
    gate.open(1);
    let mut caller = pin!(stand.get("/"));
    assert!(caller.as_mut().now_or_never().is_none());
    let other = Stand::over(store.clone(), Double::new(|_, _| Response::new(full("other"))));
    other.ask(with(CacheOptions::new().force_refresh(true))).await;
    assert_eq!(remove_tag(&stand, "news").await, 0);
    store.update(1);
    assert_eq!(soon(caller).await.stored(), Stored::No(Refusal::Conflict));
    assert_eq!(other.get("/").await.text(), "other");
}

#[tokio::test]
async fn a_closure_returns_one_tag_or_several() {
    type Set = fn(CacheLayer<Memory>) -> CacheLayer<Memory>;
    let (none, one, two): (&[&str], &[&str], &[&str]) = (&[], &["a"], &["a", "b"]);
    let sets: [(Set, &[&str]); 6] = [
        (|layer| layer.tag_with(|_, _| "a"), one),
        (|layer| layer.tag_with(|request, _| request.uri.path()[1..].to_owned()), one),
        (|layer| layer.tag_with(|_, _| None::<String>), none),
        (|layer| layer.tag_with(|_, _| vec!["a".to_owned(), "b".to_owned()]), two),
        (|layer| layer.tag_with(|_, _| ["a", "b"]), two),
        (|layer| layer.tag_with(|_, _| [Some("a"), None, Some("b")]), two),
    ];
    for (set, expected) in sets {
        let stand = Stand::new(Double::counting()).with(set);
        stand.get("/a").await;
        assert_eq!(tags(&stand).await, [expected]);
    }
}
