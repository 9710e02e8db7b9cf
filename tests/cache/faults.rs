//! Stores that fail. Requests are answered, the status and the counters show the failure, and
//! damaged entries are replaced.

use std::error::Error;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use larder::{
    CacheOptions, Outcome, Stored,
    status::{Miss, Refusal},
    store::{self, ErrorKind, Memory, Store},
};
use tower::ServiceExt;

use crate::support::{
    Double, Faulty, Op, Stand, client, get, line, ok, raw_exchange, serve, url, with,
};

fn stand() -> (Faulty<Memory>, Stand<Faulty<Memory>>) {
    let store = Faulty::new(Memory::default());
    (store.clone(), Stand::over(store, Double::counting()))
}

const KINDS: [ErrorKind; 4] =
    [ErrorKind::Unavailable, ErrorKind::Full, ErrorKind::Incompatible, ErrorKind::Other];

#[tokio::test]
async fn unreadable_store_is_a_miss() {
    for kind in KINDS {
        let (store, stand) = stand();
        stand.get("/").await;
        store.fail(Op::Get, kind);
        let reply = stand.get("/").await;
        assert_eq!(reply.outcome(), Outcome::Miss(Miss::StoreFailed(kind)));
        assert_eq!(reply.text(), "2");
        assert_eq!(reply.stored(), Stored::Yes, "the store can be written");
        assert_eq!(stand.layer.stats().store_errors, 1);
        assert_eq!(stand.layer.stats().corrupt, 0);
        store.heal();
        assert_eq!(stand.get("/").await.text(), "2");
    }
}

#[tokio::test]
async fn unreadable_store_is_a_504_for_only_if_cached_requests() {
    let (store, stand) = stand();
    stand.get("/").await;
    store.fail(Op::Get, ErrorKind::Unavailable);
    let reply = stand.ask(with(CacheOptions::new().only_if_cached(true))).await;
    assert_eq!((reply.status.as_u16(), stand.calls()), (504, 1));
    assert!(reply.text().contains("could not be read"), "{}", reply.text());
}

#[tokio::test]
async fn failed_write_keeps_the_old_entry_and_returns_the_new_response() {
    for op in [Op::Put, Op::Write, Op::Finish] {
        for kind in KINDS {
            let (store, stand) = stand();
            stand.get("/").await;
            store.fail(op, kind);
            let reply = stand.ask(with(CacheOptions::new().refresh(true))).await;
            assert_eq!(reply.text(), "2", "{op:?} {kind:?}");
            assert_eq!(reply.stored(), Stored::No(Refusal::StoreFailed(kind)), "{op:?}");
            let stats = stand.layer.stats();
            assert_eq!((stats.store_errors, stats.stored, stats.refused), (1, 1, 1), "{op:?}");
            let reply = stand.get("/").await;
            assert!(reply.is_from_store());
            assert_eq!(reply.text(), "1");
            store.heal();
            stand.ask(with(CacheOptions::new().refresh(true))).await;
            assert_eq!(stand.get("/").await.text(), "3");
        }
    }
}

#[tokio::test]
async fn entry_too_large_for_its_store_is_no_store_error() {
    for op in [Op::Put, Op::Write, Op::Finish] {
        let (store, stand) = stand();
        store.fail(op, ErrorKind::TooLarge);
        let reply = stand.get("/").await;
        assert_eq!((reply.text(), reply.stored()), ("1", Stored::No(Refusal::TooLarge)));
        assert_eq!(stand.layer.stats().store_errors, 0, "{op:?}");
        assert_eq!(stand.size().await, 0);
    }
}

#[tokio::test]
async fn damaged_entry_is_a_miss_and_is_counted_removed_and_replaced() {
    let (store, stand) = stand();
    stand.get("/").await;
    store.fail_nth(1, ErrorKind::Corrupt);
    // The entry is removed, though nothing may be stored in its place.
    let reply = stand.ask(with(CacheOptions::new().no_store(true))).await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Miss(Miss::Corrupt), "2"));
    assert_eq!(store.inner().len().await.unwrap(), 0);
    let stats = stand.layer.stats();
    assert_eq!((stats.corrupt, stats.store_errors), (1, 0));

    stand.get("/").await;
    store.fail_nth(1, ErrorKind::Corrupt);
    let reply = stand.get("/").await;
    assert_eq!((reply.outcome(), reply.stored()), (Outcome::Miss(Miss::Corrupt), Stored::Yes));
    assert_eq!(stand.get("/").await.text(), "4", "replaced");
}

#[tokio::test]
async fn damaged_variant_or_resident_is_replaced() {
    for damaged in [1, 2] {
        let store = Faulty::new(Memory::default());
        let inner = Double::new(|_, call| line(ok(call.to_string()), "vary", "x-a"));
        let stand = Stand::over(store.clone(), inner);
        stand.ask(get("/").header("x-a", "1")).await;
        stand.get("/").await;
        store.fail_nth(damaged, ErrorKind::Corrupt);
        let reply = stand.get("/").await;
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Miss(Miss::Corrupt), "3"));
        assert_eq!(stand.get("/").await.text(), "3", "replaced, at step {damaged}");
    }
}

#[tokio::test]
async fn damaged_entry_that_cannot_be_removed_is_still_a_miss() {
    let (store, stand) = stand();
    stand.get("/").await;
    store.fail(Op::Remove, ErrorKind::Unavailable);
    store.fail_nth(1, ErrorKind::Corrupt);
    let reply = stand.get("/").await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Miss(Miss::Corrupt), "2"));
    let stats = stand.layer.stats();
    assert_eq!((stats.corrupt, stats.store_errors), (1, 1));
    assert_eq!(stand.get("/").await.text(), "2");
}

#[tokio::test]
async fn damaged_entry_stays_under_a_read_only_layer() {
    let (store, stand) = stand();
    stand.get("/").await;
    let reader = stand.clone_with(|layer| layer.read_only(true));
    store.fail_nth(1, ErrorKind::Corrupt);
    let reply = reader.get("/").await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Miss(Miss::Corrupt), "2"));
    assert_eq!(store.inner().len().await.unwrap(), 1);
}

// ===== A body that breaks off =====

#[tokio::test]
async fn a_stored_body_that_breaks_off_ends_in_an_error_of_the_store() {
    for kind in [ErrorKind::Unavailable, ErrorKind::Corrupt] {
        let store = Faulty::new(Memory::default());
        let stand = Stand::over(store.clone(), Double::new(|_, _| ok("0123456789")));
        stand.get("/").await;
        store.fail(Op::Body, kind);
        let reply = stand.get("/").await;
        assert!(reply.is_from_store());
        assert_eq!((&reply.body[..], &reply.trailers), (&b"01234"[..], &None));
        let error = reply.error.expect("never silently short");
        let error = error.downcast_ref::<store::Error>().expect("an error of the store");
        assert_eq!((error.kind(), error.store()), (kind, "faulty"));
        assert!(error.source().is_none());
        let stats = stand.layer.stats();
        assert_eq!(stats.store_errors + stats.corrupt, 1);
    }
}

/// Otherwise it would break off at every read (design, decision 8: what does not decode is counted
/// and replaced).
#[tokio::test]
async fn damaged_stored_body_is_counted_and_replaced() {
    let store = Faulty::new(Memory::default());
    let stand = Stand::over(store.clone(), Double::counting());
    stand.get("/").await;
    store.fail(Op::Body, ErrorKind::Corrupt);
    assert!(stand.get("/").await.error.is_some());
    store.heal();
    assert_eq!(stand.layer.stats().corrupt, 1);
    let reply = stand.get("/").await;
    assert!(!reply.is_from_store());
    assert_eq!(reply.text(), "2");
}

#[tokio::test]
async fn client_of_a_caching_server_sees_that_a_body_broke_off() {
    let store = Faulty::new(Memory::default());
    let stand = Stand::over(store.clone(), Double::new(|_, _| ok("0123456789")));
    let address = serve(stand.service()).await;
    let head = "GET / HTTP/1.1\r\nhost: example.com\r\nconnection: close\r\n\r\n";
    assert!(raw_exchange(address, head).await.ends_with("0123456789"));
    store.fail(Op::Body, ErrorKind::Unavailable);
    let answer = raw_exchange(address, head).await;
    // The connection ends before the head or in the middle of the body. The client never receives a
    // shorter response that looks complete.
    assert!(answer.is_empty() || answer.contains("content-length: 10"), "{answer}");
    assert!(!answer.ends_with("0123456789"), "{answer}");

    let request = Request::get(format!("http://{address}/")).header("host", "example.com");
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    if let Ok(response) = client().oneshot(request).await {
        assert_eq!(stand.calls(), 1);
        assert!(response.into_body().collect().await.is_err());
    }
}

// ===== All operations of a kind fail (`any_fault` has each in turn) =====

/// Requests of each kind: misses, hits, variants, refreshes, `HEAD`, and an unsafe request that
/// removes the stored response.
async fn requests_of_each_kind(stand: &Stand<Faulty<Memory>>) {
    let text = async |request| stand.ask(request).await.text().to_owned();
    let varying = |value| get("/vary").header("x-a", value);
    for _ in 0..2 {
        assert_eq!(text(get("/plain")).await, "/plain");
        assert_eq!(text(varying("1")).await, "1");
        assert_eq!(text(varying("2")).await, "2");
        let refresh = CacheOptions::new().refresh(true);
        assert_eq!(text(get("/plain").extension(refresh)).await, "/plain");
        assert_eq!(text(Request::head(url("/plain"))).await, "");
    }
    assert_eq!(text(Request::post(url("/plain"))).await, "/plain");
    assert_eq!(text(get("/plain")).await, "/plain");
}

fn origin() -> Double {
    Double::new(|request, _| {
        let text = match request.headers().get("x-a") {
            Some(value) => value.to_str().unwrap().to_owned(),
            None => request.uri().path().to_owned(),
        };
        let response = if request.method() == http::Method::HEAD { ok("") } else { ok(text) };
        if request.uri().path() == "/vary" { line(response, "vary", "x-a") } else { response }
    })
}

#[tokio::test]
async fn store_that_always_fails_behaves_like_no_cache() {
    for op in [Op::Get, Op::Put, Op::Write, Op::Finish, Op::Remove, Op::RemoveTagged] {
        for kind in [ErrorKind::Unavailable, ErrorKind::Corrupt] {
            let store = Faulty::new(Memory::default());
            let stand = Stand::over(store.clone(), origin());
            store.fail(op, kind);
            requests_of_each_kind(&stand).await;
            requests_of_each_kind(&stand).await;
        }
    }
}

/// The management handle reports failures, since its callers want to know of them.
#[tokio::test]
async fn handle_reports_store_failures() {
    let (store, stand) = stand();
    stand.get("/").await;
    let entries = stand.layer.entries();
    let kind = |result: Result<bool, store::Error>| result.map_err(|error| error.kind());
    store.fail(Op::Get, ErrorKind::Unavailable);
    assert_eq!(kind(entries.contains(&url("/")).await), Err(ErrorKind::Unavailable));
    // A damaged entry counts as absent, and is evicted.
    store.fail(Op::Get, ErrorKind::Corrupt);
    assert!(entries.get(&url("/")).await.unwrap().is_none());
    assert_eq!(entries.remove(&get("/").body(()).unwrap()).await.unwrap(), 0);
    entries.insert(&url("/"), ok("healed")).await.unwrap();
    store.fail(Op::RemoveTagged, ErrorKind::Unavailable);
    assert!(entries.remove(&url("/")).await.is_err());
    store.fail(Op::RemoveExpired, ErrorKind::Unavailable);
    assert!(entries.remove_expired().await.is_err());
    store.fail(Op::Finish, ErrorKind::Full);
    assert!(entries.insert(&url("/b"), ok("b")).await.is_err());
    store.heal();
    assert!(!entries.contains(&url("/b")).await.unwrap());
}
