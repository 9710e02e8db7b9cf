//! Range requests. The cache serves them from a complete stored response. Without one, the origin
//! answers.

use std::time::Duration;

use http::StatusCode;
use larder::{
    CacheOptions, Outcome, StaleLimit,
    status::{Bypass, Stale},
};

use crate::support::*;

const BYPASS: Outcome = Outcome::Bypass(Bypass::Range);

/// An origin that understands ranges. It counts its calls in `x-calls`.
fn origin() -> Double {
    Double::new(|request, call| {
        let mut response = ok("0123456789");
        if let Some(range) = request.headers().get("range") {
            response = if range == "bytes=0-1" {
                line(ok("01"), "content-range", "bytes 0-1/10")
            } else {
                line(ok("parts"), "content-type", "multipart/byteranges; boundary=x")
            };
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        let response = line(line(response, "etag", "\"a\""), "content-digest", "of the whole");
        line(response, "x-calls", call.to_string())
    })
}

fn range(value: &'static str) -> http::request::Builder {
    get("/").header("range", value)
}

/// RC and ACC answered a `Range` with the complete 200. http-cache stored a 206 as if it were the
/// complete response.
#[tokio::test]
async fn range_without_a_stored_response_bypasses_and_is_not_stored() {
    let stand = Stand::new(origin());
    for _ in 0..2 {
        let reply = stand.ask(range("bytes=0-1")).await;
        assert_eq!(reply.outcome(), BYPASS);
        assert_eq!((reply.status, reply.text()), (StatusCode::PARTIAL_CONTENT, "01"));
    }
    assert_eq!(stand.len().await, 0);
    assert_eq!(stand.get("/").await.text(), "0123456789");
    assert_eq!(stand.calls(), 3);
}

#[tokio::test]
async fn range_is_served_from_a_complete_stored_response() {
    let stand = Stand::new(origin());
    stand.get("/").await;
    for (asked, content_range, text) in [
        ("bytes=0-1", "bytes 0-1/10", "01"),
        ("bytes=1-", "bytes 1-9/10", "123456789"),
        ("bytes=-1", "bytes 9-9/10", "9"),
        ("bytes=-99", "bytes 0-9/10", "0123456789"),
        ("bytes=8-99", "bytes 8-9/10", "89"),
    ] {
        let reply = stand.ask(range(asked)).await;
        assert!(reply.is_from_store());
        assert_eq!((reply.status, reply.text()), (StatusCode::PARTIAL_CONTENT, text), "{asked}");
        assert_eq!(reply.headers["content-range"], content_range);
        assert_eq!(reply.headers["content-length"], text.len().to_string().as_str());
        assert_eq!(reply.headers["etag"], "\"a\"");
        assert!(!reply.headers.contains_key("content-digest"));
    }
    let reply = stand.ask(range("bytes=10-")).await;
    assert_eq!((reply.status, reply.text()), (StatusCode::RANGE_NOT_SATISFIABLE, ""));
    assert_eq!(reply.headers["content-range"], "bytes */10");
    assert_eq!(stand.calls(), 1);
    assert_eq!(stand.get("/").await.text(), "0123456789", "the entry has not changed");
}

#[tokio::test]
async fn multiple_or_unknown_ranges_get_the_complete_fresh_response() {
    let stand = Stand::new(origin());
    stand.get("/").await;
    for asked in ["bytes=0-1,3-4", "lines=1-2", "nonsense"] {
        let reply = stand.ask(range(asked)).await;
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Hit, "0123456789"), "{asked}");
        assert_eq!(reply.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn if_range_with_another_etag_gets_the_complete_response() {
    let stand = Stand::new(origin());
    stand.get("/").await;
    let reply = stand.ask(range("bytes=0-1").header("if-range", "\"a\"")).await;
    assert_eq!(reply.text(), "01");
    let reply = stand.ask(range("bytes=0-1").header("if-range", "\"b\"")).await;
    assert_eq!((reply.status, reply.text()), (StatusCode::OK, "0123456789"));
    let reply = stand.ask(range("bytes=0-1").header("if-none-match", "\"a\"")).await;
    assert_eq!((reply.status, reply.text()), (StatusCode::NOT_MODIFIED, ""));
    assert_eq!(stand.calls(), 1);
}

#[tokio::test]
async fn range_of_a_stale_response_is_served_only_within_a_stale_limit() {
    let day = Duration::from_secs(24 * 3600);
    let stand = Stand::new(origin()).with(|layer| layer.expire_after(day));
    stand.get("/").await;
    stand.clock.advance(day);
    assert_eq!(stand.ask(range("bytes=0-1")).await.outcome(), BYPASS);
    let only = CacheOptions::new().only_if_cached(true);
    let reply = stand.ask(range("bytes=0-1").extension(only.clone())).await;
    assert_eq!(reply.status, StatusCode::GATEWAY_TIMEOUT);
    assert!(reply.text().starts_with("The stored response has expired"), "{}", reply.text());
    let only = only.stale_if_error(StaleLimit::Unlimited);
    let reply = stand.ask(range("bytes=0-1").extension(only)).await;
    assert_eq!(reply.outcome(), Outcome::Stale(Stale::OnlyIfCached));
    assert_eq!(reply.text(), "01");
}

/// The refresh requests the complete response.
#[tokio::test]
async fn stale_range_starts_a_refresh_of_the_complete_response() {
    let day = Duration::from_secs(24 * 3600);
    let stand = Stand::new(origin())
        .with(|layer| layer.expire_after(day).stale_while_revalidate(StaleLimit::Unlimited));
    stand.get("/").await;
    stand.clock.advance(day);
    let reply = stand.ask(range("bytes=0-1").header("if-range", "\"a\"")).await;
    assert_eq!((reply.status, reply.text()), (StatusCode::PARTIAL_CONTENT, "01"));
    stand.layer.idle().await;
    let reply = stand.get("/").await;
    assert!(reply.is_from_store() && reply.stored() == larder::Stored::Yes);
    assert_eq!(reply.text(), "0123456789");
    assert_eq!(reply.headers["x-calls"], "2");
}

/// The stored body is read from a file in chunks.
#[cfg(feature = "redb")]
#[tokio::test(flavor = "multi_thread")]
async fn range_of_a_large_body_is_served_from_disk() {
    let whole: String = (0..300_000).map(|n| format!("{n:07}")).collect();
    let body = whole.clone();
    let store = larder::store::Redb::temporary().unwrap();
    let stand = Stand::over(store, Double::new(move |_, _| ok(&body)));
    stand.get("/").await;
    for (first, last) in [(0, 0), (65_535, 65_536), (1_000_000, 1_200_000), (2_099_999, 2_099_999)]
    {
        let reply = stand.ask(get("/").header("range", format!("bytes={first}-{last}"))).await;
        assert_eq!(reply.status, StatusCode::PARTIAL_CONTENT);
        assert!(reply.text() == &whole[first..=last], "{first}-{last}");
    }
    assert_eq!(stand.calls(), 1);
}
