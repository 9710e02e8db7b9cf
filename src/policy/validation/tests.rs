//! Tests of both sides of validation with the same heads.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response,
    header::{AGE, DATE, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED},
};
use proptest::prelude::*;

use super::{validators::bytes, *};
use crate::{entry::Head, time::Timestamp};

const T1: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const T2: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in lines {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn head_of(status: u16, headers: HeaderMap) -> Head {
    let mut parts = Response::new(()).into_parts().0;
    parts.status = status.try_into().unwrap();
    parts.headers = headers;
    // Stored one second before `T1`.
    Head::new(Method::GET, "http://a/", parts, Timestamp::from_millis(784_111_776_000))
}

fn list(headers: &HeaderMap) -> Vec<(&str, &str)> {
    headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
}

// ===== Asking the origin =====

#[test]
fn conditions_come_from_the_stored_validators_alone() {
    let of = |lines: &[(&'static str, &str)]| {
        let conditions = conditions(&head_of(200, map(lines)), &Method::GET, false)?;
        let mut headers = map(&[
            ("if-none-match", "\"mine\""),
            ("if-none-match", "\"mine too\""),
            ("x", "1"),
            ("if-modified-since", T2),
        ]);
        conditions.apply(&mut headers);
        let get = |name| headers.get_all(name).iter().map(bytes).collect::<Vec<_>>().concat();
        assert_eq!(headers["x"], "1");
        let of = |name| String::from_utf8(get(name)).unwrap();
        Some((of(IF_NONE_MATCH), of(IF_MODIFIED_SINCE)))
    };
    let some = |tag: &str, date: &str| Some((tag.to_owned(), date.to_owned()));
    assert_eq!(of(&[("etag", "W/\"a, b\"")]), some("W/\"a, b\"", ""));
    assert_eq!(of(&[("last-modified", T1)]), some("", T1));
    assert_eq!(of(&[("last-modified", T1), ("etag", "\"\"")]), some("\"\"", T1));
    assert_eq!(of(&[("etag", "bare")]), some("bare", ""));
    assert_eq!(of(&[]), None);
    // As a condition, each would match more than the stored response.
    for tag in ["*", "W/*", "", "\"a\", \"b\"", "a,b", "\"", "W/"] {
        assert_eq!(of(&[("etag", tag)]), None, "{tag:?}");
    }
    assert_eq!(of(&[("etag", "\"a\""), ("etag", "\"b\"")]), None);
}

#[test]
fn non_text_tags_are_replayed_byte_for_byte() {
    let mut headers = HeaderMap::new();
    headers.insert(ETAG, HeaderValue::from_bytes(b"\"\xff\xe4\"").unwrap());
    let head = head_of(200, headers);
    let mut request = HeaderMap::new();
    conditions(&head, &Method::GET, false).unwrap().apply(&mut request);
    assert_eq!(request[IF_NONE_MATCH].as_bytes(), b"\"\xff\xe4\"");
    assert!(is_unmodified(&request, &Method::GET, &head));
    assert!(is_updated_by(&head, head.headers()));
}

#[test]
fn only_get_and_head_of_a_success_are_conditional() {
    let head = |status| head_of(status, map(&[("etag", "\"a\"")]));
    let is_asked = |status, method| conditions(&head(status), &method, false).is_some();
    assert!(is_asked(200, Method::GET) && is_asked(200, Method::HEAD));
    assert!(is_asked(203, Method::GET));
    assert!(!is_asked(200, Method::POST) && !is_asked(200, Method::OPTIONS));
    assert!(!is_asked(404, Method::GET) && !is_asked(301, Method::GET));
}

#[test]
fn strong_tags_have_quotes_and_no_weak_prefix() {
    let of = |value| strong_tag(&map(&[("etag", value)])).is_some();
    assert!(of("\"a\"") && of(" \"\" "));
    for other in ["W/\"a\"", "a", "*", "\"a\", \"b\"", ""] {
        assert!(!of(other), "{other}");
    }
}

#[test]
fn a_304_refers_to_responses_with_its_validators() {
    let tag = |value| map(&[("etag", value)]);
    let dated = |value| map(&[("last-modified", value)]);
    let both = |etag, date| map(&[("etag", etag), ("last-modified", date)]);
    for (stored, not_modified, expected) in [
        (tag("\"a\""), tag("\"a\""), true),
        (tag("\"a\""), tag("\"b\""), false),
        (tag("\"a\""), tag("W/\"a\""), true),
        (tag("W/\"a\""), tag("W/\"a\""), true),
        (tag("W/\"a\""), tag("\"a\""), false),
        (tag("\"a\""), map(&[("etag", "\"a\""), ("etag", "\"a\"")]), true),
        (tag("\"a\""), map(&[("etag", "\"a\""), ("etag", "\"b\"")]), false),
        (tag("\"a\""), map(&[]), true),
        (dated(T1), tag("\"a\""), false),
        (dated(T1), dated(T1), true),
        (dated(T1), dated("Sunday, 06-Nov-94 08:49:37 GMT"), true),
        (dated(T1), dated("Sun Nov  6 08:49:37 1994"), true),
        (dated(T1), dated(T2), false),
        (dated("yesterday"), dated("yesterday"), true),
        (dated("yesterday"), dated(T1), false),
        (dated(T1), map(&[]), true),
        (tag("\"a\""), dated(T1), true),
        // The tag takes precedence over the date.
        (both("\"a\"", T1), both("\"a\"", T2), true),
        (both("\"a\"", T1), both("\"b\"", T1), false),
        (both("\"a\"", T1), dated(T2), false),
    ] {
        let head = head_of(200, stored.clone());
        assert_eq!(is_updated_by(&head, &not_modified), expected, "{stored:?} {not_modified:?}");
    }
}

#[test]
fn a_304_replaces_its_fields_and_keeps_the_order_of_the_rest() {
    let stored = map(&[
        ("date", T1),
        ("x-many", "1"),
        ("content-type", "image/png"),
        ("content-length", "5"),
        ("content-encoding", "gzip"),
        ("content-language", "de"),
        ("age", "100"),
        ("x-many", "2"),
        ("trailer", "x-sum"),
        ("x-own", "stays"),
    ]);
    let not_modified = map(&[
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("x-new", "last"),
        ("transfer-encoding", "chunked"),
        ("content-type", "text/html"),
        ("content-length", "0"),
        ("content-encoding", "identity"),
        ("content-range", "bytes 0-0/1"),
        ("content-digest", "sha-256=:47DE:"),
        ("content-language", "en"),
        ("trailer", "x-other"),
        ("x-many", "3"),
        ("x-many", "4"),
        ("x-many", "5"),
        ("date", T2),
    ]);
    let expected = [
        ("date", T2),
        ("x-many", "3"),
        ("x-many", "4"),
        ("x-many", "5"),
        ("content-type", "image/png"),
        ("content-length", "5"),
        ("content-encoding", "gzip"),
        ("content-language", "en"),
        ("trailer", "x-sum"),
        ("x-own", "stays"),
        ("x-new", "last"),
    ];
    assert_eq!(list(&merged(&stored, &not_modified)), expected);
    let aged = merged(&stored, &map(&[("age", "7")]));
    assert_eq!(aged["age"], "7");
    assert_eq!(list(&merged(&HeaderMap::new(), &map(&[("a", "1")]))), [("a", "1")]);
}

#[test]
fn fields_beyond_the_capacity_of_a_map_are_dropped() {
    let many = |prefix: &str| {
        let mut headers = HeaderMap::new();
        for n in 0..15_000 {
            let name = HeaderName::try_from(format!("{prefix}{n}")).unwrap();
            headers.append(name, HeaderValue::from_static(""));
        }
        headers
    };
    assert!(merged(&many("a"), &many("b")).len() >= 15_000);
}

// ===== The caller's own copy =====

#[track_caller]
fn check(stored: &[(&'static str, &str)], request: &[(&'static str, &str)], expected: bool) {
    let head = head_of(200, map(stored));
    let request = map(request);
    assert_eq!(is_unmodified(&request, &Method::GET, &head), expected, "{request:?}");
    assert_eq!(is_unmodified(&request, &Method::HEAD, &head), expected, "{request:?}");
    assert!(!is_unmodified(&request, &Method::POST, &head));
    assert!(!is_unmodified(&request, &Method::GET, &head_of(404, map(stored))));
}

#[test]
fn copies_with_the_stored_tag_are_current() {
    let stored = [("etag", "\"a,b\""), ("last-modified", T1)];
    for (line, expected) in [
        ("\"a,b\"", true),
        ("W/\"a,b\"", true),
        ("\"x\", \"a,b\"", true),
        (" ,, \"x\" ,W/\"a,b\" ,", true),
        ("*", true),
        (" * ", true),
        ("\"a\", \"b\"", false),
        ("\"x, \"a,b\"", false),
        ("a,b", false),
        ("w/\"a,b\"", false),
        ("\"A,B\"", false),
        ("\"x\", *", false),
        ("", false),
        ("\"a,b", false),
    ] {
        check(&stored, &[("if-none-match", line)], expected);
    }
    check(&stored, &[("if-none-match", "\"x"), ("if-none-match", "\"a,b\"")], true);
    check(&stored, &[("if-none-match", "*"), ("if-none-match", "\"x\"")], false);
    check(&[("etag", "W/\"a\"")], &[("if-none-match", "\"a\"")], true);
    check(&[("etag", "bare")], &[("if-none-match", "x, bare")], true);
    check(&[("etag", "*")], &[("if-none-match", "\"a\"")], false);
    check(&[], &[("if-none-match", "\"a\"")], false);
    check(&[], &[("if-none-match", "*")], true);
    check(&stored, &[], false);
}

#[test]
fn a_different_tag_overrides_an_equal_date() {
    let stored = [("etag", "\"a\""), ("last-modified", T1)];
    check(&stored, &[("if-none-match", "\"b\""), ("if-modified-since", T2)], false);
    check(&stored, &[("if-none-match", ""), ("if-modified-since", T2)], false);
    let old = "Sun, 06 Nov 1994 08:00:00 GMT";
    check(&stored, &[("if-none-match", "\"a\""), ("if-modified-since", old)], true);
}

#[test]
fn copies_are_current_if_nothing_was_modified_since() {
    let before = "Sun, 06 Nov 1994 08:49:36 GMT";
    let since = |value| [("if-modified-since", value)];
    let modified = [("last-modified", T1), ("date", T2)];
    check(&modified, &since(T1), true);
    check(&modified, &since(T2), true);
    check(&modified, &since(before), false);
    check(&modified, &since("Sunday, 06-Nov-94 08:49:37 GMT"), true);
    check(&modified, &since("Sun Nov  6 08:49:37 1994"), true);
    check(&modified, &since("Mon, 06 nov 1994 08:49:37 GMT"), true);
    // Without `Last-Modified`, `Date` counts, then the time of arrival, which is one second
    // earlier.
    check(&[("date", T2)], &since(T1), false);
    check(&[("date", T2)], &since(T2), true);
    check(&[("last-modified", "yesterday"), ("date", T2)], &since(T1), false);
    check(&[], &since(before), true);
    check(&[], &since("Sun, 06 Nov 1994 08:49:35 GMT"), false);
}

#[test]
fn invalid_and_repeated_dates_are_no_condition() {
    let stored = [("last-modified", T1)];
    for value in ["", "0", "tomorrow", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 1994"] {
        check(&stored, &[("if-modified-since", value)], false);
    }
    check(&stored, &[("if-modified-since", T2), ("if-modified-since", T2)], false);
}

#[test]
fn a_304_carries_only_the_fields_that_update_a_copy() {
    let stored = map(&[
        ("content-type", "text/plain"),
        ("vary", "a"),
        ("vary", "b"),
        ("etag", "\"a\""),
        ("last-modified", T1),
        ("set-cookie", "a=1"),
        ("access-control-allow-origin", "*"),
        ("content-location", "/a"),
        ("cache-control", "no-cache"),
        ("expires", "0"),
        ("age", "1"),
        ("date", T1),
        ("content-length", "3"),
    ]);
    let expected = [
        ("vary", "a"),
        ("vary", "b"),
        ("etag", "\"a\""),
        ("access-control-allow-origin", "*"),
        ("content-location", "/a"),
        ("cache-control", "no-cache"),
        ("expires", "0"),
        ("age", "1"),
        ("date", T1),
    ];
    assert_eq!(list(&not_modified_headers(&stored)), expected);
    let without = map(&[("last-modified", T1), ("server", "x")]);
    assert_eq!(list(&not_modified_headers(&without)), [("last-modified", T1)]);
}

// ===== Hostile input =====

#[test]
fn long_lines_are_read_once() {
    let quotes = "\",".repeat(500_000);
    let commas = ",".repeat(1_000_000);
    for line in [&quotes, &commas] {
        check(&[("etag", "\"a\"")], &[("if-none-match", line)], false);
        check(&[("etag", line)], &[("if-none-match", line)], false);
        check(&[], &[("if-modified-since", line)], false);
    }
}

fn value() -> impl Strategy<Value = HeaderValue> {
    let made = prop::collection::vec(
        prop_oneof![
            Just(b'"'),
            Just(b','),
            Just(b'*'),
            Just(b'W'),
            Just(b'/'),
            32..127_u8,
            128..=255_u8
        ],
        0..40,
    );
    let dated = "[A-Z][a-z]{2,8},? [0-9]{2}[ -][A-Z][a-z]{2}[ -][0-9]{2,4} ([0-9]{2}:?){3}( GMT)?";
    prop_oneof![made, dated.prop_map(String::into_bytes)]
        .prop_map(|bytes| HeaderValue::from_bytes(&bytes).unwrap())
}

proptest! {
    #[test]
    fn arbitrary_fields_never_panic_and_match_themselves(
        lines in prop::collection::vec((0..6_usize, value()), 0..8),
        others in prop::collection::vec((0..6_usize, value()), 0..8),
    ) {
        const NAMES: [HeaderName; 6] =
            [ETAG, LAST_MODIFIED, DATE, IF_NONE_MATCH, IF_MODIFIED_SINCE, AGE];
        let map = |lines: Vec<(usize, HeaderValue)>| {
            lines.into_iter().map(|(name, value)| (NAMES[name].clone(), value))
                .fold(HeaderMap::new(), |mut headers, (name, value)| {
                    headers.append(name, value);
                    headers
                })
        };
        let (stored, other) = (map(lines), map(others));
        let head = head_of(200, stored.clone());
        let _ = is_updated_by(&head, &other);
        let _ = is_unmodified(&other, &Method::GET, &head);
        let _ = (merged(&stored, &other), not_modified_headers(&stored));
        if etag(&stored).is_some() {
            prop_assert!(is_updated_by(&head, &stored));
            let mut request = other;
            conditions(&head, &Method::GET, false).unwrap().apply(&mut request);
            prop_assert!(is_unmodified(&request, &Method::GET, &head));
        }
    }
}
