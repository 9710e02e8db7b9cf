//! Validation (RFC 9111 §4.3), which both policies share: asking the origin whether a stored response still holds, and
//! telling a caller whether its own copy does.
//!
//! All of it is a function of header lines; each line is read once, whatever is in it. A validator that is no single
//! value, or that could be read as a list, counts as none: the worst that comes of it is a whole response.

use std::time::SystemTime;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{
        AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_LOCATION, CONTENT_RANGE,
        CONTENT_TYPE, DATE, ETAG, EXPIRES, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED,
        TRAILER, VARY,
    },
};

use super::end_to_end;
use crate::entry::Head;

/// What makes a request conditional: the validators of a stored response, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conditions {
    etag: Option<HeaderValue>,
    last_modified: Option<HeaderValue>,
}

impl Conditions {
    /// That the response has none of these tags.
    pub(super) fn tags(tags: HeaderValue) -> Self {
        Self { etag: Some(tags), last_modified: None }
    }

    /// Puts the conditions in place of the caller's own: a 304 is then about the stored response and no other (RFC 9111
    /// §4.3.1).
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in [(IF_NONE_MATCH, &self.etag), (IF_MODIFIED_SINCE, &self.last_modified)]
        {
            match value {
                Some(value) => drop(headers.insert(name, value.clone())),
                None => drop(headers.remove(name)),
            }
        }
    }
}

/// Removes the caller's own conditions: what comes is then a whole response, which can be stored.
pub(crate) fn remove_conditions(headers: &mut HeaderMap) {
    headers.remove(IF_NONE_MATCH);
    headers.remove(IF_MODIFIED_SINCE);
}

/// The conditions under which the origin may answer a request of `method` with "what is stored still holds". `None`
/// where it cannot: there is no validator, the method is neither `GET` nor `HEAD`, or the stored status is no success,
/// of which a 304 never speaks (RFC 9110 §13.2.1).
pub(crate) fn conditions(head: &Head, method: &Method) -> Option<Conditions> {
    let is_judged = is_conditional(method) && head.status().is_success();
    if !is_judged || !has_validator(head.headers()) {
        return None;
    }
    Some(Conditions {
        etag: etag(head.headers()).cloned(),
        last_modified: only(head.headers(), LAST_MODIFIED).cloned(),
    })
}

/// Whether a response with these fields can be revalidated.
pub(crate) fn has_validator(headers: &HeaderMap) -> bool {
    etag(headers).is_some() || only(headers, LAST_MODIFIED).is_some()
}

/// More lines than this in the stored response and a 304 together are no update: with names that are new each time, the
/// head would grow for as long as it is confirmed.
const MAX_LINES: usize = 512;

/// Whether a 304 speaks of the stored response (RFC 9111 §4.3.4): by its `ETag`, strong ones strongly; without one, by
/// its `Last-Modified`; and one that names neither speaks of the response that the condition was made from.
pub(crate) fn confirms(stored: &HeaderMap, not_modified: &HeaderMap) -> bool {
    if stored.len() + not_modified.len() > MAX_LINES {
        return false;
    }
    if not_modified.contains_key(ETAG) {
        let Some(own) = etag(stored).map(bytes) else { return false };
        // Several are one too many, unless they agree.
        return not_modified
            .get_all(ETAG)
            .iter()
            .map(bytes)
            .all(|tag| if is_weak(tag) { opaque(tag) == opaque(own) } else { tag == own });
    }
    let Some(own) = only(stored, LAST_MODIFIED) else { return true };
    not_modified.get_all(LAST_MODIFIED).iter().all(|line| match (date(own), date(line)) {
        (Some(own), Some(other)) => own == other,
        _ => bytes(own) == bytes(line),
    })
}

/// The fields of the stored response, updated by a 304 that confirms it (RFC 9111 §3.2): each field of the 304, with
/// all its lines, takes the place of the stored lines of that name; new ones come last.
///
/// What the stored body is read by stays (`Content-Type`, `Content-Encoding`, `Content-Range`, the digests of its
/// bytes, `Trailer`), beside `Content-Length`: a 304 has no body, and what a framework writes there by default,
/// `text/html` for an image, is not about it. A stored `Age` goes where the 304 has none: it was counted up to a time
/// before the confirmation.
pub(crate) fn merged(stored: &HeaderMap, not_modified: &HeaderMap) -> HeaderMap {
    const OF_THE_BODY: [HeaderName; 7] = [
        CONTENT_LENGTH,
        CONTENT_ENCODING,
        CONTENT_RANGE,
        CONTENT_TYPE,
        TRAILER,
        HeaderName::from_static("content-digest"),
        HeaderName::from_static("content-md5"),
    ];
    let update = end_to_end(not_modified);
    let is_updated = |name: &HeaderName| !OF_THE_BODY.contains(name) && update.contains_key(name);
    let mut merged = HeaderMap::with_capacity(stored.keys_len());
    // Beyond the 24 576 names that a map can hold, there is no more to say.
    let mut append = |name: &HeaderName, lines: &HeaderMap| {
        for value in lines.get_all(name) {
            let _is_full = merged.try_append(name, value.clone());
        }
    };
    for name in stored.keys().filter(|name| **name != AGE || update.contains_key(AGE)) {
        append(name, if is_updated(name) { &update } else { stored });
    }
    for name in update.keys().filter(|name| is_updated(name) && !stored.contains_key(*name)) {
        append(name, &update);
    }
    merged
}

/// Whether the caller's own copy still holds, by its `If-None-Match` or `If-Modified-Since` and the stored response: it
/// is answered with 304 then (RFC 9111 §4.3.2, RFC 9110 §13.1.2, §13.1.3).
///
/// `If-None-Match` goes first, and `If-Modified-Since` is not looked at beside it (RFC 9110 §13.2.2). A date that is
/// none, or more than one, is no condition. Only for `GET` and `HEAD`, and where the stored status is a success.
pub(crate) fn is_unmodified(request: &HeaderMap, method: &Method, head: &Head) -> bool {
    if !is_conditional(method) || !head.status().is_success() {
        return false;
    }
    let stored = head.headers();
    if request.contains_key(IF_NONE_MATCH) {
        if only(request, IF_NONE_MATCH).is_some_and(|line| bytes(line) == b"*") {
            return true;
        }
        let Some(own) = etag(stored).map(bytes) else { return false };
        let mut tags = request.get_all(IF_NONE_MATCH).iter().flat_map(tags);
        return tags.any(|tag| opaque(tag) == opaque(own));
    }
    let Some(since) = only(request, IF_MODIFIED_SINCE).and_then(date) else { return false };
    let stored_date = |name| only(stored, name).and_then(date);
    let modified = stored_date(LAST_MODIFIED).or_else(|| stored_date(DATE));
    modified.unwrap_or_else(|| head.stored_at().into()) <= since
}

/// The fields of a 304 that stands for the stored response: those that RFC 9110 §15.4.5 asks for, `Last-Modified` where
/// there is no `ETag`, and `Age`. `Access-Control-*` as well: a script that makes its own condition has the 304 itself
/// checked.
pub(crate) fn not_modified_headers(stored: &HeaderMap) -> HeaderMap {
    const KEPT: [HeaderName; 7] = [AGE, CACHE_CONTROL, CONTENT_LOCATION, DATE, ETAG, EXPIRES, VARY];
    let has_etag = stored.contains_key(ETAG);
    let mut headers = HeaderMap::new();
    for (name, value) in stored {
        let is_kept = KEPT.contains(name)
            || (*name == LAST_MODIFIED && !has_etag)
            || name.as_str().starts_with("access-control-");
        if is_kept {
            headers.append(name, value.clone());
        }
    }
    headers
}

/// The methods whose preconditions of freshness mean anything (RFC 9110 §13.1.2, §13.1.3).
fn is_conditional(method: &Method) -> bool {
    *method == Method::GET || *method == Method::HEAD
}

/// The line of that name, where there is exactly one.
pub(super) fn only(headers: &HeaderMap, name: HeaderName) -> Option<&HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next();
    first.filter(|_| lines.next().is_none())
}

/// The stored `ETag`, where it is one tag. Without quotes it is none by the letter; but there are origins that write,
/// and want to read, such.
pub(super) fn etag(headers: &HeaderMap) -> Option<&HeaderValue> {
    only(headers, ETAG).filter(|value| match opaque(bytes(value)) {
        [b'"', tag @ .., b'"'] => !tag.contains(&b'"'),
        // As a condition, `*` would be met by anything, and a list by each of its members.
        b"" | b"*" => false,
        bare => !bare.iter().any(|byte| b"\", \t".contains(byte)),
    })
}

fn bytes(value: &HeaderValue) -> &[u8] {
    value.as_bytes().trim_ascii()
}

pub(super) fn is_weak(tag: &[u8]) -> bool {
    tag.starts_with(b"W/")
}

/// The tag without its mark of weakness: what weak comparison compares (RFC 9110 §8.8.3.2).
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The members of a list of entity tags. A comma in quotes is part of its tag; nothing is escaped (RFC 9110 §8.8.3).
fn tags(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    let members = line.as_bytes().split(move |&byte| {
        is_quoted ^= byte == b'"';
        byte == b',' && !is_quoted
    });
    members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// An HTTP date in any of its three forms (RFC 9110 §5.6.7).
pub(super) fn date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use http::Response;
    use proptest::prelude::*;

    use super::*;
    use crate::time::Timestamp;

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
        // A second before `T1`.
        Head::new(Method::GET, "http://a/", parts, Timestamp::from_millis(784_111_776_000))
    }

    fn list(headers: &HeaderMap) -> Vec<(&str, &str)> {
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
    }

    // ===== Asking the origin =====

    #[test]
    fn a_request_is_made_conditional_by_what_is_stored_and_by_nothing_else() {
        let of = |lines: &[(&'static str, &str)]| {
            let conditions = conditions(&head_of(200, map(lines)), &Method::GET)?;
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
        // Each would be met by more than what is stored.
        for tag in ["*", "W/*", "", "\"a\", \"b\"", "a,b", "\"", "W/"] {
            assert_eq!(of(&[("etag", tag)]), None, "{tag:?}");
        }
        assert_eq!(of(&[("etag", "\"a\""), ("etag", "\"b\"")]), None);
    }

    #[test]
    fn bytes_that_are_no_text_are_replayed_as_they_are() {
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, HeaderValue::from_bytes(b"\"\xff\xe4\"").unwrap());
        let head = head_of(200, headers);
        let mut request = HeaderMap::new();
        conditions(&head, &Method::GET).unwrap().apply(&mut request);
        assert_eq!(request[IF_NONE_MATCH].as_bytes(), b"\"\xff\xe4\"");
        assert!(is_unmodified(&request, &Method::GET, &head));
        assert!(confirms(head.headers(), head.headers()));
    }

    #[test]
    fn only_a_success_and_only_get_and_head_are_asked_about() {
        let head = |status| head_of(status, map(&[("etag", "\"a\"")]));
        let is_asked = |status, method| conditions(&head(status), &method).is_some();
        assert!(is_asked(200, Method::GET) && is_asked(200, Method::HEAD));
        assert!(is_asked(203, Method::GET));
        assert!(!is_asked(200, Method::POST) && !is_asked(200, Method::OPTIONS));
        assert!(!is_asked(404, Method::GET) && !is_asked(301, Method::GET));
    }

    #[test]
    fn a_304_confirms_what_it_names() {
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
            // The tag says more than the date.
            (both("\"a\"", T1), both("\"a\"", T2), true),
            (both("\"a\"", T1), both("\"b\"", T1), false),
            (both("\"a\"", T1), dated(T2), false),
        ] {
            assert_eq!(confirms(&stored, &not_modified), expected, "{stored:?} {not_modified:?}");
        }
    }

    #[test]
    fn a_304_replaces_what_it_carries_and_leaves_the_rest_where_it_is() {
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
    fn more_fields_than_a_map_holds_are_left_out() {
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
    fn a_copy_holds_where_one_of_its_tags_is_the_stored_one() {
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
    fn a_tag_that_differs_is_not_saved_by_a_date() {
        let stored = [("etag", "\"a\""), ("last-modified", T1)];
        check(&stored, &[("if-none-match", "\"b\""), ("if-modified-since", T2)], false);
        check(&stored, &[("if-none-match", ""), ("if-modified-since", T2)], false);
        let old = "Sun, 06 Nov 1994 08:00:00 GMT";
        check(&stored, &[("if-none-match", "\"a\""), ("if-modified-since", old)], true);
    }

    #[test]
    fn a_copy_holds_where_nothing_was_modified_since() {
        let before = "Sun, 06 Nov 1994 08:49:36 GMT";
        let since = |value| [("if-modified-since", value)];
        let modified = [("last-modified", T1), ("date", T2)];
        check(&modified, &since(T1), true);
        check(&modified, &since(T2), true);
        check(&modified, &since(before), false);
        check(&modified, &since("Sunday, 06-Nov-94 08:49:37 GMT"), true);
        check(&modified, &since("Sun Nov  6 08:49:37 1994"), true);
        // In its place the date of the response, then that of its arrival, the second before.
        check(&[("date", T2)], &since(T1), false);
        check(&[("date", T2)], &since(T2), true);
        check(&[("last-modified", "yesterday"), ("date", T2)], &since(T1), false);
        check(&[], &since(before), true);
        check(&[], &since("Sun, 06 Nov 1994 08:49:35 GMT"), false);
    }

    #[test]
    fn a_date_that_is_none_or_two_is_no_condition() {
        let stored = [("last-modified", T1)];
        for value in ["", "0", "tomorrow", "Mon, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994"] {
            check(&stored, &[("if-modified-since", value)], false);
        }
        check(&stored, &[("if-modified-since", T2), ("if-modified-since", T2)], false);
    }

    #[test]
    fn a_304_has_what_updates_the_callers_copy_and_no_more() {
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
        let dated =
            "[A-Z][a-z]{2,8},? [0-9]{2}[ -][A-Z][a-z]{2}[ -][0-9]{2,4} ([0-9]{2}:?){3}( GMT)?";
        prop_oneof![made, dated.prop_map(String::into_bytes)]
            .prop_map(|bytes| HeaderValue::from_bytes(&bytes).unwrap())
    }

    proptest! {
        #[test]
        fn nothing_panics_and_a_response_always_confirms_itself(
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
            let _ = confirms(&stored, &other);
            let _ = is_unmodified(&other, &Method::GET, &head);
            let _ = (merged(&stored, &other), not_modified_headers(&stored));
            if etag(&stored).is_some() {
                prop_assert!(confirms(&stored, &stored));
                let mut request = other;
                conditions(&head, &Method::GET).unwrap().apply(&mut request);
                prop_assert!(is_unmodified(&request, &Method::GET, &head));
            }
        }
    }
}
