//! Parts of a stored response (RFC 9110 §14): the bytes that a request asks for.

use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, IF_RANGE, RANGE},
};

use super::{
    remove_fields,
    validation::{etag, is_weak},
};
use crate::{
    entry::Head,
    fields::{date_since_1970, only},
};

/// The part of a stored response that answers a range request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// The whole response: the `If-Range` of the request names another response, or the stored
    /// status has no parts (RFC 9110 §13.1.5, §14.2).
    Whole,
    /// `len` bytes of the stored body from `offset` on, at least one. `range` is their position in
    /// the whole response.
    Bytes { offset: u64, len: u64, range: ContentRange },
    /// The range cannot be satisfied (RFC 9110 §15.5.17).
    Unsatisfiable,
    /// Several parts, or a range that is not understood. The origin answers the request.
    Other,
}

/// The position of a part in the whole response (RFC 9110 §14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentRange {
    pub(super) first: u64,
    pub(super) last: u64,
    /// The total length, if known.
    pub(super) total: Option<u64>,
}

impl ContentRange {
    /// The `Content-Range` of a 206 with a single range of bytes.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        // In a multipart body, each part names its own range within the body.
        let media_type = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let several = b"multipart/byteranges";
        if media_type.get(..several.len()).is_some_and(|it| it.eq_ignore_ascii_case(several)) {
            return None;
        }
        let value = only(headers, CONTENT_RANGE)?.to_str().ok()?.trim();
        let (unit, rest) = value.split_once(' ')?;
        let (range, total) = rest.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (first, last) = (number(first)?, number(last)?);
        let total = if total == "*" { None } else { Some(number(total)?) };
        let is_valid = first <= last && last < u64::MAX && total.is_none_or(|total| last < total);
        (unit.eq_ignore_ascii_case("bytes") && is_valid).then_some(Self { first, last, total })
    }

    /// The number of bytes in the range.
    pub(super) fn len(&self) -> u64 {
        self.last - self.first + 1
    }

    /// Inserts the range into `headers`.
    pub(super) fn insert(&self, headers: &mut HeaderMap) {
        let Self { first, last, total } = self;
        let value = match total {
            Some(total) => format!("bytes {first}-{last}/{total}"),
            None => format!("bytes {first}-{last}/*"),
        };
        insert_content_range(headers, &value);
    }
}

/// Whether the request asks for a part.
pub(crate) fn asks_for_part(method: &Method, request: &HeaderMap) -> bool {
    *method == Method::GET && request.contains_key(RANGE)
}

/// Changes the request so that it asks for the whole response.
pub(crate) fn remove_range(request: &mut HeaderMap) {
    remove_fields(request, |name| *name == RANGE || *name == IF_RANGE);
}

/// The part of the stored response with `head` that answers a `GET` with these fields, which
/// include a `Range`.
pub(crate) fn part(request: &HeaderMap, head: &Head) -> Part {
    let Some(spec) = only(request, RANGE).and_then(Spec::parse) else { return Part::Other };
    let total = head.body_len();
    if head.status() == StatusCode::PARTIAL_CONTENT {
        // `If-Range` names another response, so no part of this one is an answer.
        return match ContentRange::of(head.headers()) {
            Some(stored) if is_wanted(request, head) => spec.within(stored, total),
            _ => Part::Other,
        };
    }
    if head.status() != StatusCode::OK || !is_wanted(request, head) {
        return Part::Whole;
    }
    spec.of(total)
}

/// The fields of a 206 with `len` bytes (RFC 9110 §15.3.7).
pub(crate) fn part_headers(headers: &mut HeaderMap, len: u64, range: ContentRange) {
    headers.insert(CONTENT_LENGTH, len.into());
    // These digests are of the whole response (RFC 9530 §2).
    remove_fields(headers, |name| matches!(name.as_str(), "content-digest" | "content-md5"));
    range.insert(headers);
}

/// The fields of a 416 for a response of `total` bytes (RFC 9110 §15.5.17).
pub(crate) fn unsatisfiable_headers(total: u64) -> HeaderMap {
    let mut headers = HeaderMap::new();
    insert_content_range(&mut headers, &format!("bytes */{total}"));
    headers
}

fn insert_content_range(headers: &mut HeaderMap, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(CONTENT_RANGE, value);
    }
}

/// Whether `If-Range` is absent or matches. A tag is compared strongly. A date must be equal, and
/// at least one second older than the response: within one second, there may have been two versions
/// (RFC 9110 §13.1.5, §8.8.2.2).
fn is_wanted(request: &HeaderMap, head: &Head) -> bool {
    if !request.contains_key(IF_RANGE) {
        return true;
    }
    let Some(asked) = only(request, IF_RANGE) else { return false };
    let value = asked.as_bytes().trim_ascii();
    if value.starts_with(b"\"") || is_weak(value) {
        let own = etag(head.headers()).map(|own| own.as_bytes().trim_ascii());
        return !is_weak(value) && own == Some(value);
    }
    let facts = head.fields().facts();
    let Some(at) = facts.last_modified else { return false };
    let is_strong = facts.date.is_some_and(|sent| sent.saturating_since(at).as_secs() >= 1);
    is_strong && date_since_1970(asked, head.stored_at()) == Some(at)
}

/// A range of bytes as the request states it (RFC 9110 §14.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spec {
    From(u64),
    FromTo(u64, u64),
    Last(u64),
}

impl Spec {
    fn parse(value: &HeaderValue) -> Option<Self> {
        let value = value.to_str().ok()?.trim();
        let (unit, set) = value.split_once('=')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = set.trim().split_once('-')?;
        match (first, last) {
            ("", last) => Some(Self::Last(number(last)?)),
            (first, "") => Some(Self::From(number(first)?)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::FromTo(first, last))
            }
        }
    }

    /// The part of a representation of `total` bytes.
    fn of(self, total: u64) -> Part {
        let (first, end) = match self {
            Self::From(first) => (first, total),
            Self::FromTo(first, last) => (first, last.saturating_add(1).min(total)),
            // The last bytes of an empty body are the whole body.
            Self::Last(len) if len > 0 && total == 0 => return Part::Whole,
            Self::Last(len) => (total.saturating_sub(len), total),
        };
        match end.checked_sub(first) {
            Some(len) if len > 0 => {
                let range = ContentRange { first, last: end - 1, total: Some(total) };
                Part::Bytes { offset: first, len, range }
            }
            _ => Part::Unsatisfiable,
        }
    }

    /// The part of a stored part with `len` bytes. The range must lie within these bytes
    /// completely.
    fn within(self, stored: ContentRange, len: u64) -> Part {
        let end = (stored.last + 1).min(stored.first.saturating_add(len));
        let asked = match (self, stored.total) {
            (Self::FromTo(first, last), None) => Some((first, last.saturating_add(1))),
            (_, None) => None,
            (spec, Some(total)) => match spec.of(total) {
                Part::Bytes { offset, len, .. } => Some((offset, offset + len)),
                Part::Unsatisfiable => return Part::Other,
                Part::Whole | Part::Other => None,
            },
        };
        match asked {
            Some((from, to)) if stored.first <= from && from < to && to <= end => Part::Bytes {
                offset: from - stored.first,
                len: to - from,
                range: ContentRange { first: from, last: to - 1, total: stored.total },
            },
            _ => Part::Other,
        }
    }
}

/// Parses digits only. A number that is too large becomes the largest value.
fn number(digits: &str) -> Option<u64> {
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use http::Response;
    use proptest::prelude::*;

    use super::*;
    use crate::time::Timestamp;

    const T1: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const T2: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn head(status: u16, len: u64, lines: &[(&'static str, &'static str)]) -> Head {
        let mut parts = Response::builder().status(status).body(()).unwrap().into_parts().0;
        for (name, value) in lines {
            parts.headers.append(*name, HeaderValue::from_static(value));
        }
        Head::new(Method::GET, "http://a/", parts, Timestamp::MIN).seal(len, None)
    }

    fn of(range: &str, head: &Head) -> Part {
        let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_str(range).unwrap())]);
        part(&headers, head)
    }

    #[test]
    fn single_ranges_are_answered_from_the_whole() {
        let ten = head(200, 10, &[]);
        let bytes = |first, len| {
            let range = ContentRange { first, last: first + len - 1, total: Some(10) };
            Part::Bytes { offset: first, len, range }
        };
        for (range, expected) in [
            ("bytes=0-0", bytes(0, 1)),
            ("bytes=0-9", bytes(0, 10)),
            ("BYTES=2-4", bytes(2, 3)),
            ("bytes=9-", bytes(9, 1)),
            ("bytes=5-99999999999999999999999", bytes(5, 5)),
            ("bytes=-3", bytes(7, 3)),
            ("bytes=-30", bytes(0, 10)),
            ("bytes= 1-2", bytes(1, 2)),
            ("bytes=10-", Part::Unsatisfiable),
            ("bytes=10-20", Part::Unsatisfiable),
            ("bytes=-0", Part::Unsatisfiable),
            ("bytes=99999999999999999999999-", Part::Unsatisfiable),
            ("bytes=0-1,3-4", Part::Other),
            ("bytes=4-2", Part::Other),
            ("bytes=-", Part::Other),
            ("bytes=", Part::Other),
            ("bytes=+1-2", Part::Other),
            ("bytes=1 - 2", Part::Other),
            ("lines=0-1", Part::Other),
            ("0-1", Part::Other),
        ] {
            assert_eq!(of(range, &ten), expected, "{range}");
        }
        let nothing = head(200, 0, &[]);
        assert_eq!(of("bytes=0-", &nothing), Part::Unsatisfiable);
        assert_eq!(of("bytes=-1", &nothing), Part::Whole);
        assert_eq!(of("bytes=0-0", &head(404, 10, &[])), Part::Whole, "an error has no parts");
    }

    #[test]
    fn stored_parts_answer_ranges_within_them() {
        let part = |lines: &[(&'static str, &'static str)], len, range: &str| match of(
            range,
            &head(206, len, lines),
        ) {
            Part::Bytes { offset, len, range } => {
                let mut headers = HeaderMap::new();
                part_headers(&mut headers, len, range);
                let range = headers[CONTENT_RANGE].to_str().unwrap().to_owned();
                Some((offset, len, range))
            }
            Part::Other => None,
            other => panic!("{other:?}"),
        };
        let some = |offset, len, range: &str| Some((offset, len, range.to_owned()));
        let known = [("content-range", "bytes 4-8/10")];
        for (range, expected) in [
            ("bytes=4-8", some(0, 5, "bytes 4-8/10")),
            ("bytes=6-7", some(2, 2, "bytes 6-7/10")),
            ("bytes=3-7", None),
            ("bytes=6-9", None),
            ("bytes=6-", None),
            ("bytes=-1", None),
            ("bytes=20-", None),
        ] {
            assert_eq!(part(&known, 5, range), expected, "{range}");
        }
        let to_the_end = [("content-range", "Bytes 4-9/10")];
        assert_eq!(part(&to_the_end, 6, "bytes=6-"), some(2, 4, "bytes 6-9/10"));
        assert_eq!(part(&to_the_end, 6, "bytes=-2"), some(4, 2, "bytes 8-9/10"));
        assert_eq!(part(&to_the_end, 6, "bytes=6-20"), some(2, 4, "bytes 6-9/10"));
        assert_eq!(part(&to_the_end, 5, "bytes=6-"), None, "the last byte is missing");
        let unknown = [("content-range", "bytes 4-8/*")];
        assert_eq!(part(&unknown, 5, "bytes=6-7"), some(2, 2, "bytes 6-7/*"));
        assert_eq!(part(&unknown, 5, "bytes=6-"), None);
        for bad in ["bytes 8-4/10", "bytes 4-10/10", "bytes */10", "4-8/10", "lines 4-8/10", ""] {
            assert_eq!(part(&[("content-range", bad)], 5, "bytes=4-4"), None, "{bad}");
        }
        let end = [("content-range", "bytes 4-18446744073709551615/*")];
        assert_eq!(part(&end, 5, "bytes=4-5"), None, "no byte can have this position");
    }

    #[test]
    fn ranges_apply_only_to_the_response_that_if_range_names() {
        let of = |lines: &[(&'static str, &'static str)], if_range: &'static str| {
            let headers = HeaderMap::from_iter([
                (RANGE, HeaderValue::from_static("bytes=0-0")),
                (IF_RANGE, HeaderValue::from_static(if_range)),
            ]);
            part(&headers, &head(200, 10, lines)) != Part::Whole
        };
        assert!(of(&[("etag", "\"a\"")], "\"a\""));
        assert!(!of(&[("etag", "\"a\"")], "\"b\""));
        assert!(!of(&[("etag", "\"a\"")], "W/\"a\""));
        assert!(!of(&[("etag", "W/\"a\"")], "W/\"a\""), "weak tags do not identify bytes");
        assert!(!of(&[], "\"a\""));
        assert!(of(&[("last-modified", T1), ("date", T2)], T1));
        assert!(!of(&[("last-modified", T1), ("date", T2)], T2));
        assert!(!of(&[("last-modified", T1), ("date", T1)], T1), "within one second");
        assert!(!of(&[("last-modified", T1)], T1));
        assert!(!of(&[("last-modified", T1), ("date", T2)], "nonsense"));
    }

    proptest! {
        #[test]
        fn ranges_never_exceed_the_body(
            range in "[bB]?ytes=[0-9 ,-]{0,24}|bytes=[0-9]{0,3}-[0-9]{0,3}",
            total in 0_u64..200,
        ) {
            if let Part::Bytes { offset, len, .. } = of(&range, &head(200, total, &[])) {
                prop_assert!(len > 0 && offset + len <= total);
            }
            let stored = head(206, total, &[("content-range", "bytes 50-119/150")]);
            if let Part::Bytes { offset, len, range } = of(&range, &stored) {
                prop_assert!(len > 0 && offset + len <= total);
                prop_assert_eq!(range.first, 50 + offset);
                prop_assert!(range.last < 120 && range.last - range.first + 1 == len);
            }
        }
    }
}
