//! Parts of one response are combined under the HTTP rules (RFC 9111 §3.4).

use std::{sync::Arc, time::Duration};

use futures_util::future::join;
use http::{HeaderMap, HeaderName, Request, Response, StatusCode, request};
use larder::{
    CacheLayer, CacheOptions, Outcome, Stored,
    status::{Bypass, Refusal},
    store::Store,
};

use crate::support::{Double, Stand, T0, TestBody, channel, full, get, line, ok, status, url};

const BYPASS: Outcome = Outcome::Bypass(Bypass::Range);
const MINUTE: Duration = Duration::from_secs(60);

/// Whether the `If-Range` of the request names another response than the one with this tag.
fn is_declined<B>(request: &Request<B>, tag: &str) -> bool {
    request.headers().get("if-range").is_some_and(|wanted| wanted != tag)
}

/// An origin that has `text` with this tag, and supports ranges.
pub(crate) fn origin(text: impl Into<String>, tag: &'static str) -> Double {
    let text: Arc<str> = text.into().into();
    Double::new(move |request, call| line(part(&request, &text, tag), "x-call", call.to_string()))
}

pub(crate) fn part<B>(request: &Request<B>, text: &str, tag: &'static str) -> Response<TestBody> {
    let asked = request.headers().get("range").filter(|_| !is_declined(request, tag));
    let response = match asked {
        None => ok(text),
        Some(asked) => {
            let (first, last) = asked.to_str().unwrap()["bytes=".len()..].split_once('-').unwrap();
            let first: usize = first.parse().unwrap();
            let last = last.parse().unwrap_or(usize::MAX).min(text.len() - 1);
            let response = ok(&text[first..=last]);
            let range = format!("bytes {first}-{last}/{}", text.len());
            let mut response = line(response, "content-range", range);
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            response
        }
    };
    line(line(response, "etag", tag), "cache-control", "max-age=60")
}

pub(crate) fn range(from: usize, to: usize) -> request::Builder {
    get("/").header("range", format!("bytes={from}-{to}"))
}

pub(crate) const TEXT: &str = "0123456789abcdefghij";

pub(crate) fn stand(inner: Double) -> Stand {
    Stand::new(inner).with(CacheLayer::http_rules)
}

async fn assert_combined_in_order<B: Store>(
    stand: Stand<B>,
    text: &str,
    step: usize,
    order: &[usize],
) {
    for n in order {
        let (from, to) = (n * step, ((n + 1) * step).min(text.len()) - 1);
        let reply = stand.ask(range(from, to)).await;
        assert_eq!((reply.outcome(), reply.status), (BYPASS, StatusCode::PARTIAL_CONTENT));
        assert!(reply.text() == &text[from..=to], "{from}-{to}");
        // From now on, the part is a hit with its own range.
        let reply = stand.ask(range(from, to)).await;
        assert!(reply.is_from_store() && reply.text() == &text[from..=to], "{from}-{to}");
    }
    let calls = stand.calls();
    let reply = stand.get("/").await;
    assert_eq!((reply.outcome(), reply.status), (Outcome::Hit, StatusCode::OK));
    assert!(reply.text() == text, "the whole, byte for byte");
    assert_eq!(reply.headers["content-length"], text.len().to_string().as_str());
    assert!(!reply.headers.contains_key("content-range"));
    assert_eq!(reply.headers["x-call"], calls.to_string().as_str(), "the newest fields");
    let inside = stand.ask(range(1, text.len() - 2)).await;
    assert!(inside.is_from_store() && inside.text() == &text[1..text.len() - 1]);
    assert_eq!((stand.calls(), stand.len().await), (calls, 1), "one whole, and no part beside it");
}

#[tokio::test]
async fn parts_that_touch_become_the_whole() {
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 2, 0, 3], [2, 1, 3, 0]] {
        assert_combined_in_order(stand(origin(TEXT, "\"a\"")), TEXT, 5, &order).await;
        let shared = Stand::shared(origin(TEXT, "\"a\"")).with(CacheLayer::http_rules);
        assert_combined_in_order(shared, TEXT, 5, &order).await;
    }
}

/// Each part is larger than a replay buffer. It is read from a file, in chunks.
#[cfg(feature = "redb")]
#[tokio::test(flavor = "multi_thread")]
async fn large_parts_on_disk_become_the_whole() {
    let text: String = (0..400_000).map(|n| format!("{n:07}")).collect();
    let store = larder::store::Redb::temporary().unwrap();
    let stand = Stand::over(store, origin(text.as_str(), "\"a\"")).with(CacheLayer::http_rules);
    assert_combined_in_order(stand, &text, 300_000, &[1, 0, 2, 3, 4, 5, 6, 7, 8, 9]).await;
}

#[tokio::test]
async fn parts_that_overlap_become_one_part() {
    let stand = stand(origin(TEXT, "\"a\""));
    stand.ask(range(2, 8)).await;
    stand.ask(range(5, 12)).await;
    stand.ask(range(0, 3)).await;
    assert_eq!(stand.calls(), 3);
    for (from, to) in [(0, 12), (2, 8), (12, 12), (0, 0), (7, 9)] {
        let reply = stand.ask(range(from, to)).await;
        assert!(reply.is_from_store(), "{from}-{to}");
        assert_eq!(reply.text(), &TEXT[from..=to]);
        assert_eq!(reply.headers["content-range"], format!("bytes {from}-{to}/20").as_str());
    }
    assert_eq!((stand.calls(), stand.len().await), (3, 1));
    assert_eq!(stand.get("/").await.text(), TEXT);
    assert_eq!(stand.calls(), 4, "a part is not the whole");
}

/// Players and downloaders begin with such a request.
#[tokio::test]
async fn part_with_all_bytes_is_stored_as_the_whole() {
    let stand = stand(origin(TEXT, "\"a\""));
    let reply = stand.ask(get("/").header("range", "bytes=0-")).await;
    assert_eq!((reply.status, reply.text()), (StatusCode::PARTIAL_CONTENT, TEXT));
    let reply = stand.get("/").await;
    assert_eq!((reply.outcome(), reply.status, reply.text()), (Outcome::Hit, StatusCode::OK, TEXT));
    assert!(!reply.headers.contains_key("content-range"));
    assert_eq!(stand.len().await, 1);
}

/// A client sends such a request when its download has broken off.
#[tokio::test]
async fn resumed_download_is_stored_as_the_whole() {
    let stand = stand(origin(TEXT, "\"a\""));
    stand.ask(range(0, 6)).await;
    let rest = get("/").header("range", "bytes=7-").header("if-range", "\"a\"");
    assert_eq!(stand.ask(rest).await.text(), &TEXT[7..]);
    let reply = stand.get("/").await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Hit, TEXT));
}

#[tokio::test]
async fn newer_part_replaces_an_older_one_that_it_does_not_touch() {
    let stand = stand(origin(TEXT, "\"a\""));
    stand.ask(range(0, 3)).await;
    stand.ask(range(10, 12)).await;
    assert!(stand.ask(range(10, 12)).await.is_from_store());
    assert!(!stand.ask(range(0, 3)).await.is_from_store());
}

/// A cache that has requested parts of two responses. The origin's response changes with the second
/// call.
async fn stand_with_parts_of_two(first: &'static str, then: &'static str) -> Stand {
    let stand = stand(Double::new(move |request, call| match call {
        1 => part(&request, TEXT, first),
        _ => part(&request, &TEXT.to_uppercase(), then),
    }));
    stand.ask(range(0, 9)).await;
    stand.ask(range(10, 19)).await;
    stand
}

#[tokio::test]
async fn parts_of_two_responses_are_never_mixed() {
    for (first, then) in [("\"a\"", "\"b\""), ("W/\"a\"", "W/\"a\""), ("W/\"a\"", "\"a\"")] {
        let stand = stand_with_parts_of_two(first, then).await;
        let reply = stand.ask(range(10, 19)).await;
        assert!(reply.is_from_store());
        assert_eq!((reply.text(), &reply.headers["etag"]), ("ABCDEFGHIJ", &then.parse().unwrap()));
        assert_eq!(stand.get("/").await.outcome(), Outcome::Miss(larder::status::Miss::Absent));
    }
}

#[tokio::test]
async fn part_shorter_than_its_range_is_not_combined() {
    let stand = stand(Double::new(|request, call| match call {
        1 => part(&request, TEXT, "\"a\""),
        _ => {
            let mut response = line(Response::new(full("abc")), "content-range", "bytes 10-19/20");
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            line(line(response, "etag", "\"a\""), "cache-control", "max-age=60")
        }
    }));
    stand.ask(range(0, 9)).await;
    stand.ask(range(10, 19)).await;
    assert!(!stand.get("/").await.is_from_store());
}

/// The bytes of the part reach the caller before the part is complete. When it breaks off, the
/// stored part stays.
#[tokio::test]
async fn part_that_breaks_off_leaves_the_stored_part() {
    use std::sync::Mutex;

    let (sender, body) = channel();
    let body = Mutex::new(Some(body));
    let stand = stand(Double::new(move |request, call| {
        let response = part(&request, TEXT, "\"a\"");
        match call {
            2 => response.map(|_| body.lock().unwrap().take().unwrap()),
            _ => response,
        }
    }));
    stand.ask(range(0, 9)).await;
    let reply = stand.call(range(10, 19).body(crate::support::empty()).unwrap()).await.unwrap();
    let (_, mut body) = reply.into_parts();
    sender.send("abc");
    let frame = http_body_util::BodyExt::frame(&mut body).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "abc");
    drop((sender, body));
    let reply = stand.ask(range(0, 9)).await;
    assert_eq!((reply.outcome(), reply.text()), (Outcome::Hit, &TEXT[..10]));
    assert_eq!(stand.len().await, 1);
}

/// A part is combined only with the stored part that was seen when its head arrived.
#[tokio::test]
async fn part_replaced_meanwhile_is_not_combined_with_one_in_flight() {
    use std::sync::Mutex;

    let (sender, body) = channel();
    let body = Mutex::new(Some(body));
    let stand = stand(Double::new(move |request, call| match call {
        1 => part(&request, TEXT, "\"a\""),
        2 => part(&request, TEXT, "\"a\"").map(|_| body.lock().unwrap().take().unwrap()),
        _ => part(&request, &TEXT.to_uppercase(), "\"b\""),
    }));
    stand.ask(range(10, 19)).await;
    let first = stand.call(range(0, 9).body(crate::support::empty()).unwrap()).await.unwrap();
    // The stored part behind it is replaced by one of another response.
    let newer = range(10, 19).header("cache-control", "no-cache");
    assert_eq!(stand.ask(newer).await.text(), "ABCDEFGHIJ");
    sender.send(&TEXT[..10]);
    drop(sender);
    assert_eq!(crate::support::Reply::read_any(first).await.text(), &TEXT[..10]);
    let reply = stand.get("/").await;
    assert!(!reply.is_from_store() && reply.text() == TEXT.to_uppercase());
}

/// A client that requests one byte after the other must not make the store write megabytes for
/// each.
#[tokio::test]
async fn tiny_part_is_not_combined_with_a_large_one() {
    let text = "x".repeat(3 << 20);
    let stand = stand(origin(text, "\"a\""));
    stand.ask(range(0, (2 << 20) - 1)).await;
    let reply = stand.ask(range(2 << 20, 2 << 20)).await;
    assert_eq!((reply.outcome(), reply.text()), (BYPASS, "x"));
    assert_eq!(reply.stored(), Stored::No(Refusal::PartTooSmall));
    assert_eq!(stand.layer.stats().refused, 1, "an event reports it");
    assert!(stand.ask(range(0, 9)).await.is_from_store(), "the large one stays");
    assert!(!stand.ask(range(2 << 20, 2 << 20)).await.is_from_store());
    // A part that is large enough is combined.
    stand.ask(range(2 << 20, (3 << 20) - 1)).await;
    assert!(stand.get("/").await.is_from_store());
}

#[tokio::test]
async fn parts_are_not_combined_beyond_max_body() {
    let stand = stand(origin(TEXT, "\"a\"")).with(|layer| layer.max_body(15));
    stand.ask(range(0, 9)).await;
    stand.ask(range(10, 19)).await;
    assert!(stand.ask(range(10, 19)).await.is_from_store());
    assert!(!stand.ask(range(0, 9)).await.is_from_store());
}

// ===== Tags, variants, removals =====

#[tokio::test]
async fn combined_response_has_the_tags_of_both_parts() {
    for tag in ["one", "other"] {
        let stand = stand(origin(TEXT, "\"a\""));
        let tagged = |tag| CacheOptions::new().add_tag(tag);
        stand.ask(range(0, 9).extension(tagged("one"))).await;
        stand.ask(range(10, 19).extension(tagged("other"))).await;
        assert!(stand.get("/").await.is_from_store());
        assert_eq!(stand.layer.entries().remove_tag(tag).await.unwrap(), 1);
        assert!(!stand.get("/").await.is_from_store(), "{tag}");
    }
}

#[tokio::test]
async fn parts_are_combined_per_variant() {
    let stand = stand(Double::new(|request, _| {
        let language = request.headers()["accept-language"].to_str().unwrap().to_owned();
        let (text, tag) = match &*language {
            "de" => (TEXT.to_owned(), "\"de\""),
            _ => (TEXT.to_uppercase(), "\"en\""),
        };
        line(part(&request, &text, tag), "vary", "accept-language")
    }));
    for (from, to) in [(0, 9), (10, 19)] {
        for language in ["de", "en"] {
            stand.ask(range(from, to).header("accept-language", language)).await;
        }
    }
    for (language, text) in [("de", TEXT.to_owned()), ("en", TEXT.to_uppercase())] {
        let reply = stand.ask(get("/").header("accept-language", language)).await;
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Hit, &*text));
    }
    assert_eq!(stand.calls(), 4);
}

#[tokio::test]
async fn part_removed_while_the_rest_arrives_is_not_stored_again() {
    for removed_by_tag in [true, false] {
        let (inner, gate) = origin(TEXT, "\"a\"").gated();
        let stand = stand(inner);
        gate.open(1);
        stand.ask(range(0, 9).extension(CacheOptions::new().add_tag("page"))).await;
        let entries = stand.layer.entries();
        let removing = async {
            stand.inner.begun(2).await;
            match removed_by_tag {
                true => entries.remove_tag("page").await.unwrap(),
                false => entries.remove(&url("/")).await.unwrap(),
            };
            gate.open(1);
        };
        join(stand.ask(range(10, 19)), removing).await;
        gate.open(2);
        assert!(!stand.get("/").await.is_from_store());
        stand.layer.entries().clear().await.unwrap();
    }
}

#[tokio::test]
async fn whole_that_is_gone_removes_its_parts() {
    for code in [404, 410] {
        let stand =
            stand(Double::new(move |request, _| match request.headers().contains_key("range") {
                true => part(&request, TEXT, "\"a\""),
                false => line(status(code), "cache-control", "no-store"),
            }));
        stand.ask(range(0, 9)).await;
        assert!(stand.ask(range(0, 9)).await.is_from_store());
        assert_eq!(stand.get("/").await.status.as_u16(), code);
        assert_eq!(stand.len().await, 0);
    }
}

/// The part is of another response than the later whole, and is fresh for longer.
#[tokio::test]
async fn a_part_that_is_older_than_the_whole_is_not_used() {
    let stand = stand(Double::new(|request, call| {
        let (text, tag, age) = match call {
            1 => (TEXT.to_owned(), "\"a\"", "max-age=600"),
            _ => (TEXT.to_uppercase(), "\"b\"", "max-age=60"),
        };
        let mut response = part(&request, &text, tag);
        response.headers_mut().insert("cache-control", age.parse().unwrap());
        response
    }));
    stand.ask(range(10, 19)).await;
    stand.clock.advance(MINUTE);
    assert_eq!(stand.get("/").await.text(), TEXT.to_uppercase());
    stand.clock.advance(MINUTE);
    assert_eq!(stand.ask(range(10, 19)).await.text(), "ABCDEFGHIJ");
}

#[tokio::test]
async fn no_part_is_stored_without_the_http_rules() {
    let stand = Stand::new(origin(TEXT, "\"a\""));
    for (from, to) in [(0, 9), (10, 19)] {
        stand.ask(range(from, to)).await;
    }
    assert_eq!(stand.len().await, 0);
}

/// The head of a multipart response does not describe its parts.
#[tokio::test]
async fn multipart_response_is_not_stored_as_one_part() {
    let stand = stand(Double::new(|_, _| {
        let body = "--x\r\ncontent-range: bytes 0-0/3\r\n\r\na\r\n--x--\r\n";
        let response = line(ok(body), "content-type", "Multipart/ByteRanges; boundary=x");
        let response = line(response, "content-range", format!("bytes 0-{}/{0}", body.len() - 1));
        let mut response = line(line(response, "etag", "\"a\""), "cache-control", "max-age=60");
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        response
    }));
    stand.ask(get("/").header("range", "bytes=0-0,2-2")).await;
    assert_eq!(stand.len().await, 0);
}

#[tokio::test]
async fn removal_by_request_removes_its_part() {
    let stand = stand(origin(TEXT, "\"a\""));
    for request in [range(0, 9), get("/")] {
        stand.ask(range(0, 9)).await;
        assert!(stand.ask(range(0, 9)).await.is_from_store());
        let request = request.body(()).unwrap();
        assert_eq!(stand.layer.entries().remove(&request).await.unwrap(), 1);
        assert_eq!(stand.ask(range(0, 9)).await.outcome(), BYPASS);
        stand.layer.entries().clear().await.unwrap();
    }
}

#[tokio::test]
async fn stored_part_reports_when_it_was_stored_and_when_it_expires() {
    let stand = stand(origin(TEXT, "\"a\""));
    let expected = (Some(T0.into()), Some(T0.saturating_add(MINUTE).into()));
    for outcome in [BYPASS, Outcome::Hit] {
        let reply = stand.ask(range(0, 4)).await;
        assert_eq!((reply.outcome(), reply.text()), (outcome, &TEXT[..5]));
        assert_eq!((reply.cache.stored_at(), reply.cache.expires_at()), expected, "{outcome}");
        assert!(reply.cache.key().is_some());
    }
    // A part that is not stored has no times.
    let part = |request: &Request<_>| line(part(request, TEXT, "\"a\""), "vary", "*");
    let refused = self::stand(Double::new(move |request, _| part(&request)));
    let reply = refused.ask(range(0, 4)).await;
    assert_eq!(reply.stored(), Stored::No(Refusal::Vary));
    assert_eq!((reply.cache.stored_at(), reply.cache.expires_at()), (None, None));
}

/// The header names that begin with `x-`, in order.
fn order(headers: &HeaderMap) -> Vec<&str> {
    headers.keys().map(HeaderName::as_str).filter(|name| name.starts_with("x-")).collect()
}

#[tokio::test]
async fn header_lines_of_a_stored_part_keep_their_order() {
    const LINES: [(&str, &str); 12] = [
        ("x-1", "1"),
        ("connection", "x-gone"),
        ("x-2", "1"),
        ("x-gone", "1"),
        ("content-range", "bytes 0-4/20"),
        ("x-3", "1"),
        ("etag", "\"a\""),
        ("x-4", "1"),
        ("content-length", "5"),
        ("cache-control", "max-age=60"),
        ("x-5", "1"),
        ("x-6", "1"),
    ];
    let stand = stand(Double::new(|_, _| {
        let mut response = Response::new(full(&TEXT[..5]));
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        LINES.into_iter().fold(response, |response, (name, value)| line(response, name, value))
    }));
    assert_eq!(stand.ask(range(0, 4)).await.outcome(), BYPASS);
    for (from, to) in [(0, 4), (1, 2)] {
        let reply = stand.ask(range(from, to)).await;
        assert_eq!((reply.outcome(), reply.text()), (Outcome::Hit, &TEXT[from..=to]));
        assert_eq!(order(&reply.headers), ["x-1", "x-2", "x-3", "x-4", "x-5", "x-6"]);
    }
}

#[tokio::test]
async fn header_lines_of_a_request_keep_their_order_without_its_conditions() {
    let stand = Stand::new(Double::counting());
    let request = get("/")
        .header("x-1", "1")
        .header("if-none-match", "\"a\"")
        .header("x-2", "1")
        .header("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT")
        .header("x-3", "1")
        .header("x-4", "1")
        .header("x-5", "1");
    stand.ask(request).await;
    let seen = stand.inner.take_seen();
    assert_eq!(seen[0].conditions(), (None, None));
    assert_eq!(order(&seen[0].headers), ["x-1", "x-2", "x-3", "x-4", "x-5"]);
}
