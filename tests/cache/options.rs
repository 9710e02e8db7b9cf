//! The options of one request, the switch, and read-only layers.

use http::{Method, Request, StatusCode};
use larder::{
    CacheOptions, Expiration, Outcome, Stored,
    status::{Bypass, Miss, Refusal},
};

use crate::support::{Double, RawOrigin, Stand, client, empty, get, ok, url, with};

const NEW: fn() -> CacheOptions = CacheOptions::new;

#[tokio::test]
async fn refresh_fetches_and_replaces() {
    let stand = Stand::new(Double::counting());
    stand.get("/").await;
    let reply = stand.ask(with(NEW().refresh(true))).await;
    assert_eq!(reply.outcome(), Outcome::Miss(Miss::Refresh));
    assert_eq!((reply.text(), reply.stored()), ("2", Stored::Yes));
    assert_eq!(stand.get("/").await.text(), "2");
    assert_eq!(stand.len().await, 1);
    // There may be nothing to replace.
    let reply = stand.ask(get("/new").extension(NEW().refresh(true))).await;
    assert_eq!((reply.outcome(), reply.stored()), (Outcome::Miss(Miss::Refresh), Stored::Yes));
}

#[tokio::test]
async fn a_refresh_that_is_refused_leaves_the_old_response() {
    let stand = Stand::new(Double::new(|_, call| {
        let mut response = ok(call.to_string());
        if call == 2 {
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        }
        response
    }));
    stand.get("/").await;
    let reply = stand.ask(with(NEW().refresh(true))).await;
    assert_eq!((reply.text(), reply.stored()), ("2", Stored::No(Refusal::Status)));
    let reply = stand.get("/").await;
    assert!(reply.is_from_store());
    assert_eq!(reply.text(), "1");
}

#[tokio::test]
async fn a_refresh_that_fails_leaves_the_old_response() {
    let stand = Stand::new(Double::fallible(|_, call| match call {
        2 => Err(crate::support::Broken("down")),
        _ => Ok(ok(call.to_string())),
    }));
    stand.get("/").await;
    let request = with(NEW().refresh(true)).body(empty()).unwrap();
    assert!(stand.call(request).await.is_err());
    assert_eq!(stand.get("/").await.text(), "1");
}

#[tokio::test]
async fn only_if_cached_serves_stored_responses_and_never_calls_the_origin() {
    let stand = Stand::new(Double::counting()).with(|layer| layer.expire_after(SECOND));
    let only = || NEW().only_if_cached(true);
    let reply = stand.ask(with(only())).await;
    assert_eq!(reply.outcome(), Outcome::OnlyIfCached);
    assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT);
    assert!(reply.text().contains("only-if-cached"), "the body says why: {}", reply.text());
    assert_eq!(reply.headers["content-type"], "text/plain; charset=utf-8");

    stand.get("/").await;
    assert!(stand.ask(with(only())).await.is_from_store());

    stand.clock.advance(SECOND);
    let reply = stand.ask(with(only())).await;
    assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT);
    assert!(reply.text().contains("expired"), "{}", reply.text());
    assert_eq!(stand.calls(), 1);
}

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

#[tokio::test]
async fn only_if_cached_takes_precedence_over_every_other_option() {
    let stand = Stand::new(Double::counting());
    stand.get("/").await;
    for options in [
        NEW().refresh(true),
        NEW().bypass(true),
        NEW().refresh(true).bypass(true).no_store(true),
        NEW().expire_after(Expiration::DoNotStore).refresh(true),
    ] {
        let reply = stand.ask(with(options.clone().only_if_cached(true))).await;
        assert!(reply.is_from_store(), "{options:?}: {:?}", reply.outcome());
    }
    assert_eq!(stand.calls(), 1);
    assert_eq!(stand.get("/").await.text(), "1");
}

#[tokio::test]
async fn only_if_cached_applies_to_requests_that_the_cache_does_not_answer() {
    let stand = Stand::new(Double::counting());
    stand.get("/").await;
    let request = |method| Request::builder().method(method).uri(url("/"));
    for request in [
        request(Method::POST),
        request(Method::DELETE),
        get("/absent").header("range", "bytes=0-1"),
        get("/").header("if-match", "x"),
        get("/").header("upgrade", "x"),
        Request::get("/").header("host", "no host"),
        Request::connect("example.com:443"),
    ] {
        let reply = stand.ask(request.extension(NEW().only_if_cached(true))).await;
        assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(reply.outcome(), Outcome::OnlyIfCached);
    }
    assert_eq!(stand.calls(), 1);
    assert_eq!(stand.len().await, 1, "a request that is not sent removes nothing");

    stand.layer.set_enabled(false);
    let reply = stand.ask(with(NEW().only_if_cached(true))).await;
    assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(stand.calls(), 1);
}

#[tokio::test]
async fn no_store_reads_and_does_not_write() {
    let stand = Stand::new(Double::counting());
    let reply = stand.ask(with(NEW().no_store(true))).await;
    assert_eq!(reply.stored(), Stored::No(Refusal::NoStore));
    assert_eq!(stand.len().await, 0);
    stand.get("/").await;
    assert!(stand.ask(with(NEW().no_store(true))).await.is_from_store());
}

#[tokio::test]
async fn bypass_neither_reads_nor_writes() {
    let stand = Stand::new(Double::counting());
    let reply = stand.ask(with(NEW().bypass(true))).await;
    assert_eq!(reply.outcome(), Outcome::Bypass(Bypass::Requested));
    assert_eq!(stand.len().await, 0);
    stand.get("/").await;
    let reply = stand.ask(with(NEW().bypass(true))).await;
    assert_eq!(reply.text(), "3");
    assert_eq!(stand.get("/").await.text(), "2");
}

#[tokio::test]
async fn default_and_false_options_change_nothing() {
    let stand = Stand::new(Double::counting());
    stand.get("/").await;
    assert!(stand.ask(with(NEW())).await.is_from_store());
    assert!(
        stand.ask(with(NEW().refresh(false).bypass(false).no_store(false))).await.is_from_store()
    );
}

#[tokio::test]
async fn entries_are_removed_by_their_tags() {
    let stand = Stand::new(Double::counting());
    stand.ask(get("/a").extension(NEW().add_tag("page").add_tag("user:1"))).await;
    stand.ask(get("/b").extension(NEW().add_tag("page"))).await;
    stand.get("/c").await;
    let entries = stand.layer.entries();
    assert_eq!(entries.remove_tag("user:1").await.unwrap(), 1);
    assert!(!entries.contains(&url("/a")).await.unwrap());
    assert_eq!(entries.remove_tag("page").await.unwrap(), 1);
    assert_eq!(entries.remove_tag("none such").await.unwrap(), 0);
    assert_eq!(stand.len().await, 1);
}

// ===== Disabled and read-only layers =====

#[tokio::test]
async fn disabled_cache_neither_reads_nor_writes_nor_removes() {
    let stand = Stand::new(Double::counting());
    stand.get("/").await;
    let service = stand.service();
    stand.layer.set_enabled(false);
    assert!(!stand.layer.is_enabled() && !service.layer().is_enabled(), "clones share the switch");

    let reply = stand.get("/").await;
    assert_eq!(reply.outcome(), Outcome::Bypass(Bypass::Disabled));
    assert_eq!(reply.text(), "2");
    stand.get("/new").await;
    stand.ask(Request::delete(url("/"))).await;
    assert_eq!(stand.len().await, 1);

    stand.layer.set_enabled(true);
    let reply = stand.get("/").await;
    assert!(reply.is_from_store());
    assert_eq!(reply.text(), "1");
}

#[tokio::test]
async fn read_only_cache_serves_and_neither_writes_nor_removes() {
    let stand = Stand::new(Double::counting()).with(|layer| layer.expire_after(SECOND));
    stand.get("/").await;
    let reader = stand.clone_with(|layer| layer.read_only(true));
    assert!(reader.get("/").await.is_from_store());
    for request in [get("/new"), with(NEW().refresh(true))] {
        assert_eq!(reader.ask(request).await.stored(), Stored::No(Refusal::ReadOnly));
    }
    reader.ask(Request::delete(url("/"))).await;
    assert_eq!(reader.get("/").await.text(), "1");
    reader.clock.advance(SECOND);
    let reply = reader.get("/").await;
    assert_eq!(reply.outcome(), Outcome::Miss(Miss::Expired));
    assert_eq!(reply.stored(), Stored::No(Refusal::ReadOnly));
    assert_eq!(reader.len().await, 1);
}

// ===== What the origin sees =====

/// requests-cache sends its internal `Cache-Control: max-age` to the origin.
#[tokio::test]
async fn cache_adds_nothing_to_the_request_that_the_origin_receives() {
    let origin =
        RawOrigin::new("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok").await;
    let request = || {
        Request::get(origin.url("/a?token=1&b=%7e"))
            .header("accept", "*/*")
            .header("X-Odd", "  spaced  ")
    };
    use tower::{Layer, ServiceExt};
    let bare = request().body(http_body_util::Full::<bytes::Bytes>::default()).unwrap();
    client().oneshot(bare).await.unwrap();

    let layer = larder::CacheLayer::private(larder::store::Memory::default())
        .cache_status_header("larder")
        .unwrap()
        .key_secret([1; 32])
        .add_ignored_parameters(["token"])
        .unwrap()
        .expire_after(SECOND);
    for options in [
        NEW(),
        NEW().expire_after(SECOND).refresh(true),
        NEW().no_store(true).refresh(true),
        NEW().bypass(true),
        NEW().key(larder::Key::digest("x")).add_tag("t").expire_after(Expiration::DoNotStore),
    ] {
        let full = http_body_util::Full::<bytes::Bytes>::default();
        let request = request().extension(options).body(full).unwrap();
        layer.layer(client()).oneshot(request).await.unwrap();
    }
    layer.set_enabled(false);
    let full = http_body_util::Full::<bytes::Bytes>::default();
    layer.layer(client()).oneshot(request().body(full).unwrap()).await.unwrap();

    let received = origin.received();
    assert_eq!(received.len(), 7);
    for request in &received[1..] {
        assert_eq!(String::from_utf8_lossy(request), String::from_utf8_lossy(&received[0]));
    }
}
