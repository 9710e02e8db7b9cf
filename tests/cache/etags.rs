//! The `ETag` that the cache generates for a response without one.

use std::time::Duration;

use http::{Response, StatusCode};
use http_body::Body as _;
use larder::{CacheLayer, CacheOptions, Outcome, Stored, status::Miss, store::Memory};

use tower::Layer;

use crate::support::{
    Double, Reply, Stand, channel, empty, frames, full, get, head, line, ok, url,
};

const SECOND: Duration = Duration::from_secs(1);

fn with_etags(layer: CacheLayer<Memory>) -> CacheLayer<Memory> {
    layer.generate_etags(true)
}

fn tag(reply: &Reply) -> String {
    reply.headers["etag"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn whole_body_gets_a_tag_on_misses_and_hits_and_a_304_for_it() {
    let stand = Stand::new(Double::counting()).with(with_etags);
    let miss = stand.get("/").await;
    let made = tag(&miss);
    assert!(made.starts_with("W/\"larder-") && made.len() == 11 + 32, "{made}");
    let hit = stand.get("/").await;
    assert_eq!((hit.is_hit(), tag(&hit)), (true, made.clone()));
    assert_eq!(tag(&stand.ask(head("/")).await), made);
    let known = stand.ask(get("/").header("if-none-match", &made)).await;
    assert_eq!((known.status, known.text()), (StatusCode::NOT_MODIFIED, ""));
    let other = stand.ask(get("/").header("if-none-match", "W/\"larder-0\"")).await;
    assert_eq!((other.status, other.text()), (StatusCode::OK, "1"));
    // Other bodies have other tags, and the same body has the same tag.
    let same = Stand::new(Double::new(|_, _| ok("1"))).with(with_etags).get("/other").await;
    assert_eq!(tag(&same), made);
    assert_ne!(tag(&stand.get("/b").await), made);
    assert_eq!(stand.calls(), 2);
}

#[tokio::test]
async fn a_miss_answers_304_if_the_caller_has_the_new_response() {
    let stand =
        Stand::new(Double::new(|_, _| ok("same"))).with(|l| with_etags(l).expire_after(SECOND));
    let made = tag(&stand.get("/").await);
    stand.clock.advance(SECOND * 5000);
    let again = stand.ask(get("/").header("if-none-match", &made)).await;
    assert_eq!(again.status, StatusCode::NOT_MODIFIED);
    assert_eq!((again.outcome(), again.stored()), (Outcome::Miss(Miss::Expired), Stored::Yes));
}

#[tokio::test]
async fn generated_tag_never_reaches_the_origin() {
    let stand = Stand::new(Double::counting()).with(|l| with_etags(l).expire_after(SECOND));
    let made = tag(&stand.get("/").await);
    stand.clock.advance(SECOND);
    let list = format!("\"mine\", {made}");
    let bypass = || CacheOptions::new().bypass(true);
    for request in [
        get("/"),
        get("/").header("if-none-match", &made),
        get("/").header("if-none-match", &made).extension(bypass()),
        get("/").header("if-none-match", &list).extension(bypass()),
        get("/").header("if-none-match", &list).extension(CacheOptions::new().no_store(true)),
        get("/none").header("if-none-match", &list).header("range", "bytes=0-1"),
    ] {
        stand.clock.advance(SECOND);
        stand.ask(request).await;
    }
    let seen = stand.inner.take_seen();
    let conditions: Vec<_> = seen.iter().map(|seen| seen.conditions().0).collect();
    assert_eq!(
        conditions,
        [None, None, None, None, Some("\"mine\""), Some("\"mine\""), Some("\"mine\"")]
    );
}

#[tokio::test]
async fn generated_tag_is_no_validator() {
    // A generated tag keeps no response stored for revalidation. It makes no response storable
    // under the HTTP rules.
    let stand = Stand::new(Double::counting()).with(|l| with_etags(l).expire_after(SECOND));
    stand.get("/").await;
    stand.clock.advance(SECOND);
    assert_eq!(stand.layer.entries().remove_expired().await.unwrap(), 1);
    let stand = Stand::new(Double::counting()).with(|l| with_etags(l).http_rules());
    let reply = stand.get("/").await;
    assert!(matches!(reply.stored(), Stored::No(_)) && !reply.headers.contains_key("etag"));
}

#[tokio::test]
async fn tag_of_the_origin_stays_and_other_statuses_get_no_tag() {
    let stand = Stand::new(Double::new(|_, _| line(ok("a"), "etag", "\"own\""))).with(with_etags);
    assert_eq!(tag(&stand.get("/").await), "\"own\"");
    let stand = Stand::new(Double::counting());
    assert!(!stand.get("/").await.headers.contains_key("etag"), "off by default");
    let missing = |_, _| {
        let mut response = Response::new(full("gone"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        response
    };
    let stand = Stand::new(Double::new(missing)).with(|l| with_etags(l).all_statuses());
    let reply = stand.get("/").await;
    assert_eq!((reply.stored(), reply.headers.get("etag")), (Stored::Yes, None));
}

#[tokio::test]
async fn late_body_is_not_waited_for_and_gets_no_tag() {
    let (sender, body) = channel();
    let body = std::sync::Mutex::new(Some(body));
    let inner = Double::new(move |_, _| Response::new(body.lock().unwrap().take().unwrap()));
    let stand = Stand::new(inner).with(with_etags);
    let request = get("/").body(empty()).unwrap();
    let response = stand.call(request).await.unwrap();
    assert!(!response.headers().contains_key("etag"));
    sender.send("late");
    drop(sender);
    let reply = Reply::read_any(response).await;
    assert_eq!((reply.text(), reply.stored()), ("late", Stored::Yes));
    assert!(stand.layer.entries().contains(&url("/")).await.unwrap());
}

#[tokio::test]
async fn body_that_fails_at_once_fails_as_without_generated_tags() {
    let inner = Double::new(|_, _| Response::new(frames(["half"], Some(Err("broken".into())))));
    let stand = Stand::new(inner).with(with_etags);
    let reply = stand.get("/").await;
    assert_eq!(&reply.body[..], b"half");
    assert_eq!(reply.error.unwrap().to_string(), "broken");
    assert_eq!(stand.len().await, 0);
}

/// The inner cache generates tags. To the outer cache, they are the origin's.
#[tokio::test]
async fn tag_generated_by_another_cache_is_a_validator() {
    let inner = with_etags(CacheLayer::private(Memory::default())).layer(Double::counting());
    let clock = larder::time::ManualClock::new(crate::support::T0);
    let outer = CacheLayer::private(Memory::default()).clock(clock.clone()).expire_after(SECOND);
    let outer = outer.layer(inner);
    let ask = async || {
        let request = get("/").body(full("")).unwrap();
        Reply::read(outer.request(request).await.unwrap()).await
    };
    assert_eq!(ask().await.outcome(), Outcome::Miss(Miss::Absent));
    clock.advance(SECOND);
    let reply = ask().await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Revalidated, "1"));
}

/// Without the tag, the date alone would decide, and the origin would answer 304.
#[tokio::test]
async fn date_beside_a_generated_tag_does_not_reach_the_origin() {
    let stand = Stand::new(Double::counting()).with(with_etags);
    let made = tag(&stand.get("/").await);
    let request = get("/").header("if-none-match", &made);
    let request = request.header("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT");
    stand.ask(request.extension(CacheOptions::new().bypass(true))).await;
    assert_eq!(stand.inner.take_seen()[1].conditions(), (None, None));
}

/// A server trusts an exact length more than `Content-Length`. So a body that was read ahead
/// reports only what it reported before.
#[tokio::test]
async fn body_read_ahead_reports_no_length_of_its_own() {
    for (is_stored, fails, length) in [
        (false, true, None),
        (false, true, Some("300")),
        (false, false, Some("300")),
        (true, false, Some("300")),
        (true, false, Some("2")),
    ] {
        let inner = Double::new(move |_, _| {
            let end = fails.then(|| Err("broken".into()));
            let response = Response::new(frames(["hel", "lo"], end));
            match length {
                Some(length) => line(response, "content-length", length),
                None => response,
            }
        });
        let stand = Stand::new(inner).with(|l| with_etags(l).store_if(move |_, _| is_stored));
        let response = stand.call(get("/").body(empty()).unwrap()).await.unwrap();
        let hint = response.body().size_hint();
        assert_eq!((hint.upper(), response.body().is_end_stream()), (None, false), "{length:?}");
        let reply = Reply::read_any(response).await;
        assert_eq!((&reply.body[..], reply.error.is_some()), (&b"hello"[..], fails));
        assert_eq!(stand.len().await, 0);
    }
}

#[tokio::test]
async fn body_read_for_stale_if_error_reports_no_length_of_its_own() {
    let inner = Double::new(|_, call| {
        let response = Response::new(frames(["hello"], None));
        let response = line(response, "cache-control", "max-age=0, stale-if-error=600");
        if call == 1 { response } else { line(response, "content-length", "300") }
    });
    let stand = Stand::new(inner).with(|l| l.http_rules());
    stand.get("/").await;
    stand.clock.advance(SECOND);
    let response = stand.call(get("/").body(empty()).unwrap()).await.unwrap();
    assert_eq!(response.body().size_hint().upper(), None);
    assert_eq!(Reply::read_any(response).await.text(), "hello");
}

/// A header map has room for a limited number of names.
#[tokio::test]
async fn response_with_a_full_header_map_is_served() {
    let inner = Double::new(|_, _| {
        let mut response = ok("text");
        let headers = response.headers_mut();
        headers.insert("cache-control", "max-age=60".parse().unwrap());
        for number in 0.. {
            let name: http::HeaderName = format!("x-{number}").parse().unwrap();
            if headers.try_insert(name, "1".parse().unwrap()).is_err() {
                break;
            }
        }
        response
    });
    let stand = Stand::new(inner)
        .with(|layer| with_etags(layer).http_rules().cache_status_header("larder").unwrap());
    for _ in 0..2 {
        assert_eq!(stand.get("/").await.text(), "text");
    }
}
