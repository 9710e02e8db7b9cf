//! Combining two parts of one response (RFC 9111 §3.4, RFC 9110 §15.3.7.3).
//!
//! Two parts belong to one response if both have the same strong tag and name the same total
//! length. To combine them, the stored bytes are copied into the new entry. The size of the new
//! part limits how many bytes are copied. Otherwise a client that requests a large response byte by
//! byte would make the store rewrite all of it for each byte.

use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, TRAILER},
    response,
};

use super::{
    content_length, end_to_end, range::ContentRange, remove_fields, validation::strong_tag,
};
use crate::entry::Head;

/// The most stored bytes that are copied for each new byte, and the number that may be copied in
/// any case. A response that arrives in up to 32 equal parts, one after the other, becomes whole.
const COPIED: u64 = 32;
const COPIED_AT_LEAST: u64 = 1024 * 1024;

/// The result of combining a new part with a stored one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Combination {
    /// Both form one part.
    Union(Union),
    /// Both would form one part, but the new part is too small for the bytes that would be copied.
    TooSmall,
    /// They do not combine: they do not touch, belong to two responses, or are too large together.
    Nothing,
}

/// A part combined from a stored and a new one. New bytes replace stored ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Union {
    /// The number of stored bytes before the new ones.
    pub(crate) before: u64,
    /// The number of new bytes.
    pub(crate) new: u64,
    /// The number of stored bytes after the new ones.
    pub(crate) after: u64,
    /// The offset in the stored part at which those last bytes start.
    pub(crate) skipped: u64,
    range: ContentRange,
}

impl Union {
    pub(crate) fn len(&self) -> u64 {
        self.before + self.new + self.after
    }

    /// Whether it is the whole response.
    pub(crate) fn is_whole(&self) -> bool {
        self.range.total == Some(self.len())
    }
}

/// Combines the part with the head `new` with the stored one, up to `max` bytes in all.
pub(crate) fn combine(stored: &Head, new: &response::Parts, max: u64) -> Combination {
    let ranges = || {
        let own = ContentRange::of(stored.headers())?;
        let other = ContentRange::of(&new.headers)?;
        let tag = strong_tag(&new.headers)?;
        let coding = |headers: &HeaderMap| headers.get(CONTENT_ENCODING).cloned();
        let is_sound = is_part(stored.status())
            && is_part(new.status)
            && own.total.is_some()
            && own.total == other.total
            && strong_tag(stored.headers()) == Some(tag)
            && stored.body_len() == own.len()
            && matches!(content_length(&new.headers), Ok(len) if len.is_none_or(|len| len == other.len()))
            // With `If-Range`, the origin may omit the coding.
            && coding(&new.headers).is_none_or(|new| coding(stored.headers()) == Some(new));
        is_sound.then_some((own, other))
    };
    let Some((own, other)) = ranges() else { return Combination::Nothing };
    // This cannot overflow: neither end is `u64::MAX`.
    if own.last + 1 < other.first || other.last + 1 < own.first {
        return Combination::Nothing;
    }
    let range = ContentRange {
        first: own.first.min(other.first),
        last: own.last.max(other.last),
        total: own.total,
    };
    if range.len() > max {
        return Combination::Nothing;
    }
    let (before, after) =
        (other.first.saturating_sub(own.first), own.last.saturating_sub(other.last));
    if before + after > COPIED_AT_LEAST.max(other.len().saturating_mul(COPIED)) {
        return Combination::TooSmall;
    }
    Combination::Union(Union { before, new: other.len(), after, skipped: own.len() - after, range })
}

/// The part with the head `new`, if it is the whole response although it was requested as a part.
pub(crate) fn all(new: &response::Parts, max: u64) -> Option<Union> {
    let range = ContentRange::of(&new.headers).filter(|_| is_part(new.status))?;
    strong_tag(&new.headers)?;
    let is_sound =
        content_length(&new.headers).is_ok_and(|len| len.is_none_or(|len| len == range.len()));
    let union = Union { before: 0, new: range.len(), after: 0, skipped: 0, range };
    (is_sound && union.is_whole() && union.len() <= max).then_some(union)
}

fn is_part(status: StatusCode) -> bool {
    status == StatusCode::PARTIAL_CONTENT
}

/// The head of the combined response: the stored fields, updated by the new ones (RFC 9111 §3.4).
/// It is a 206, or a 200 if it is the whole response.
pub(crate) fn combined_head(
    stored: Option<&Head>,
    new: &response::Parts,
    union: &Union,
) -> response::Parts {
    /// Fields that describe the bytes of one message.
    static OF_ONE_PART: [HeaderName; 6] = [
        AGE,
        CONTENT_LENGTH,
        CONTENT_RANGE,
        TRAILER,
        HeaderName::from_static("content-digest"),
        HeaderName::from_static("content-md5"),
    ];
    let mut combined = new.clone();
    combined.headers = end_to_end(&new.headers);
    remove_fields(&mut combined.headers, |name| *name != AGE && OF_ONE_PART.contains(name));
    for (name, value) in stored.into_iter().flat_map(Head::headers) {
        if !new.headers.contains_key(name) && !OF_ONE_PART.contains(name) {
            // Fields beyond the capacity of a map are dropped.
            let _is_full = combined.headers.try_append(name, value.clone());
        }
    }
    combined.headers.insert(CONTENT_LENGTH, union.len().into());
    if union.is_whole() {
        combined.status = StatusCode::OK;
    } else {
        union.range.insert(&mut combined.headers);
    }
    combined
}

/// Whether a stored part, or response to a `HEAD`, belongs to another representation than the whole
/// response that was stored after it.
pub(crate) fn is_outdated(part: &Head, whole: &Head) -> bool {
    let tag = strong_tag(part.headers());
    let is_same = tag.is_some() && tag == strong_tag(whole.headers());
    part.stored_at() < whole.stored_at() && !is_same
}

/// Whether a new part shows that the stored `whole` is another representation: the part has another
/// strong tag or another total length.
pub(crate) fn is_of_another(part: &response::Parts, whole: &Head) -> bool {
    let tags = strong_tag(&part.headers).zip(strong_tag(whole.headers()));
    let total = ContentRange::of(&part.headers).and_then(|range| range.total);
    is_part(part.status)
        && (tags.is_some_and(|(own, other)| own != other)
            || total.is_some_and(|total| total != whole.body_len()))
}

#[cfg(test)]
mod tests {
    use http::{Method, Response};
    use proptest::prelude::*;

    use super::*;
    use crate::time::Timestamp;

    const MAX: u64 = u64::MAX;

    fn parts(range: (u64, u64), total: &str, lines: &[(&str, &str)]) -> response::Parts {
        let mut response = Response::builder().status(206);
        let lines = lines.iter().copied().chain([("etag", "\"a\"")]);
        let range = format!("bytes {}-{}/{total}", range.0, range.1);
        for (name, value) in lines.chain([("content-range", &*range)]) {
            response = response.header(name, value);
        }
        response.body(()).unwrap().into_parts().0
    }

    fn stored(range: (u64, u64), total: &str) -> Head {
        Head::new(Method::GET, "http://a/", parts(range, total, &[]), Timestamp::MIN)
            .seal(range.1 - range.0 + 1, None)
    }

    fn of(own: (u64, u64), new: (u64, u64)) -> Option<(u64, u64, u64, bool)> {
        match combine(&stored(own, "10"), &parts(new, "10", &[]), MAX) {
            Combination::Union(it) => Some((it.before, it.new, it.after, it.is_whole())),
            _ => None,
        }
    }

    #[test]
    fn overlapping_and_adjacent_parts_combine() {
        assert_eq!(of((0, 3), (4, 6)), Some((4, 3, 0, false)));
        assert_eq!(of((4, 6), (0, 3)), Some((0, 4, 3, false)));
        assert_eq!(of((0, 3), (5, 6)), None);
        assert_eq!(of((5, 6), (0, 3)), None);
        assert_eq!(of((0, 5), (4, 9)), Some((4, 6, 0, true)));
        assert_eq!(of((4, 9), (0, 5)), Some((0, 6, 4, true)));
        assert_eq!(of((0, 9), (3, 4)), Some((3, 2, 5, true)));
        assert_eq!(of((3, 4), (0, 9)), Some((0, 10, 0, true)));
    }

    #[test]
    fn parts_of_possibly_different_responses_do_not_combine() {
        let own = stored((0, 3), "10");
        let is_combined = |new: &response::Parts| combine(&own, new, MAX) != Combination::Nothing;
        let new = parts((4, 9), "10", &[]);
        assert!(is_combined(&new));
        for (name, value) in [
            ("etag", "\"b\""),
            ("etag", "W/\"a\""),
            ("content-range", "bytes 4-9/11"),
            ("content-range", "bytes 4-9/*"),
            ("content-length", "5"),
            ("content-length", "x"),
            ("content-encoding", "gzip"),
        ] {
            let mut other = new.clone();
            other.headers.insert(name, value.parse().unwrap());
            assert!(!is_combined(&other), "{name}: {value}");
        }
        let mut whole = new.clone();
        whole.status = StatusCode::OK;
        assert!(!is_combined(&whole));
        // The body has fewer bytes than its range says.
        assert_eq!(combine(&own.clone().seal(3, None), &new, MAX), Combination::Nothing);
        let unknown = stored((0, 3), "*");
        assert_eq!(combine(&unknown, &parts((4, 9), "*", &[]), MAX), Combination::Nothing);
        assert_eq!(combine(&own, &new, 9), Combination::Nothing, "too large together");
    }

    #[test]
    fn parts_that_cover_everything_are_the_whole() {
        let is_all = |range, total, lines: &[_]| all(&parts(range, total, lines), 10).is_some();
        assert!(is_all((0, 9), "10", &[]) && is_all((0, 9), "10", &[("content-length", "10")]));
        assert!(!is_all((1, 9), "10", &[]) && !is_all((0, 8), "10", &[]));
        assert!(!is_all((0, 9), "*", &[]) && !is_all((0, 10), "11", &[]));
        assert!(!is_all((0, 9), "10", &[("content-length", "9")]));
        assert!(!is_all((0, 9), "10", &[("etag", "\"b\"")]), "two tags count as no tag");
    }

    #[test]
    fn small_parts_do_not_cause_large_copies() {
        let mib = COPIED_AT_LEAST;
        let combination =
            |own, new| combine(&stored(own, "1000000000"), &parts(new, "1000000000", &[]), MAX);
        assert!(matches!(combination((0, mib - 1), (mib, mib)), Combination::Union(_)));
        assert_eq!(combination((0, mib), (mib + 1, mib + 1)), Combination::TooSmall);
        assert!(matches!(
            combination((0, 32 * mib - 1), (32 * mib, 33 * mib - 1)),
            Combination::Union(_)
        ));
        assert_eq!(combination((0, 32 * mib), (32 * mib + 1, 33 * mib)), Combination::TooSmall);
    }

    #[test]
    fn new_fields_replace_stored_ones() {
        let lines = [("x-a", "1"), ("x-b", "1"), ("age", "5"), ("content-digest", "part")];
        let own = Head::new(Method::GET, "http://a/", parts((0, 3), "10", &lines), Timestamp::MIN)
            .seal(4, None);
        let head = |new: (u64, u64)| {
            let new = parts(new, "10", &[("x-b", "2"), ("x-b", "3"), ("connection", "close")]);
            let Combination::Union(union) = combine(&own, &new, MAX) else { panic!("they touch") };
            combined_head(Some(&own), &new, &union)
        };
        let list = |head: &response::Parts| {
            let mut lines: Vec<_> =
                head.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
            lines.sort();
            lines
        };
        let some = head((4, 8));
        assert_eq!(some.status, StatusCode::PARTIAL_CONTENT);
        assert_eq!(
            list(&some),
            [
                "content-length: \"9\"",
                "content-range: \"bytes 0-8/10\"",
                "etag: \"\\\"a\\\"\"",
                "x-a: \"1\"",
                "x-b: \"2\"",
                "x-b: \"3\"",
            ]
        );
        let all = head((4, 9));
        assert_eq!(all.status, StatusCode::OK);
        assert!(!all.headers.contains_key("content-range"));
        assert_eq!(all.headers["content-length"], "10");
    }

    proptest! {
        /// Compares each byte with two ranges of one text.
        #[test]
        fn combined_parts_have_each_byte_at_its_position(
            own in (0_u64..60, 0_u64..60),
            new in (0_u64..60, 0_u64..60),
        ) {
            let order = |(a, b): (u64, u64)| (a.min(b), a.max(b));
            let (own, new) = (order(own), order(new));
            let text: Vec<u8> = (0..60).collect();
            let bytes = |(first, last): (u64, u64)| &text[first as usize..=last as usize];
            match combine(&stored(own, "60"), &parts(new, "60", &[]), MAX) {
                Combination::Union(it) => {
                    let (before, after) = (it.before as usize, it.after as usize);
                    let kept = bytes(own);
                    let combined =
                        [&kept[..before], bytes(new), &kept[kept.len() - after..]].concat();
                    prop_assert_eq!(combined, bytes((own.0.min(new.0), own.1.max(new.1))));
                }
                other => {
                    prop_assert_eq!(other, Combination::Nothing);
                    prop_assert!(own.1 + 1 < new.0 || new.1 + 1 < own.0);
                }
            }
        }
    }
}
