//! The effect of the response to a `HEAD` on the stored response to a `GET` (RFC 9111 §4.3.5).

use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{CONTENT_LENGTH, ETAG, LAST_MODIFIED},
    response,
};

use crate::{entry::Head, policy::content_length};

/// The effect of the response to a `HEAD` on the stored response to a `GET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadSays {
    /// The stored response is still current. The fields of the answer freshen it, as those of a 304
    /// do.
    Same,
    /// The representation has changed. The stored response counts as stale, and a 304 to its own
    /// validators must not freshen it.
    Changed,
    /// No effect: the answer is not a 200, or it has no field to compare.
    Nothing,
}

/// Compares the answer to a `HEAD` with the stored response. The stored response is current if the
/// answer's validators and its `Content-Length` equal the stored ones. A field that cannot be
/// compared counts as a change. An answer with none of the three fields has no effect.
pub(crate) fn head_says(stored: &Head, answer: &response::Parts) -> HeadSays {
    let is_comparable =
        [ETAG, LAST_MODIFIED, CONTENT_LENGTH].iter().any(|name| answer.headers.contains_key(name));
    if answer.status != StatusCode::OK || !is_comparable {
        return HeadSays::Nothing;
    }
    let is_same_length = match content_length(&answer.headers) {
        Ok(length) => length.is_none_or(|length| length == stored.body_len()),
        Err(_) => false,
    };
    let is_same = stored.status() == StatusCode::OK
        && is_same_length
        && agrees(&ETAG, stored.headers(), &answer.headers)
        && agrees(&LAST_MODIFIED, stored.headers(), &answer.headers);
    if is_same { HeadSays::Same } else { HeadSays::Changed }
}

/// Whether each line of that name in `answer` equals the only stored line, byte for byte.
fn agrees(name: &HeaderName, stored: &HeaderMap, answer: &HeaderMap) -> bool {
    let mut own = stored.get_all(name).iter();
    let (own, others) = (own.next(), own.next());
    answer.get_all(name).iter().all(|line| Some(line) == own && others.is_none())
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method, Response};

    use super::*;
    use crate::time::Timestamp;

    type Lines<'a> = &'a [(&'static str, &'static str)];

    fn parts(status: u16, lines: Lines<'_>) -> response::Parts {
        let mut parts = Response::new(()).into_parts().0;
        parts.status = StatusCode::from_u16(status).unwrap();
        for (name, value) in lines {
            parts.headers.append(*name, HeaderValue::from_static(value));
        }
        parts
    }

    /// The effect on the stored response with a body of five bytes.
    fn says(stored: response::Parts, answer: response::Parts) -> HeadSays {
        let stored = Head::new(Method::GET, "http://a/", stored, Timestamp::MIN).seal(5, None);
        head_says(&stored, &answer)
    }

    const TAG: (&str, &str) = ("etag", "\"a\"");
    const DATE: (&str, &str) = ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT");
    const LATER: (&str, &str) = ("last-modified", "Sun, 06 Nov 1994 08:49:38 GMT");

    #[test]
    fn only_agreeing_fields_show_the_same_representation() {
        let length = |value| ("content-length", value);
        for (stored, answer, expected) in [
            (&[][..], &[][..], HeadSays::Nothing),
            (&[TAG, DATE], &[], HeadSays::Nothing),
            (&[TAG, DATE], &[TAG], HeadSays::Same),
            (&[TAG, DATE], &[TAG, DATE, length("5")], HeadSays::Same),
            (&[], &[length("5"), length("5")], HeadSays::Same),
            (&[], &[length("6")], HeadSays::Changed),
            (&[TAG], &[TAG, length("0")], HeadSays::Changed),
            (&[TAG], &[TAG, length("x")], HeadSays::Changed),
            (&[TAG], &[("etag", "\"b\"")], HeadSays::Changed),
            (&[TAG], &[("etag", "W/\"a\"")], HeadSays::Changed),
            (&[TAG], &[TAG, ("etag", "\"b\"")], HeadSays::Changed),
            (&[TAG, ("etag", "\"b\"")], &[TAG], HeadSays::Changed),
            (&[TAG, DATE], &[TAG, LATER], HeadSays::Changed),
            (&[], &[TAG], HeadSays::Changed),
            (&[TAG], &[DATE], HeadSays::Changed),
        ] {
            let said = says(parts(200, stored), parts(200, answer));
            assert_eq!(said, expected, "{stored:?} {answer:?}");
        }
    }

    /// `updateHead.mjs`.
    #[test]
    fn only_a_200_says_anything_and_only_of_a_200() {
        for status in [204, 206, 304, 404, 410, 500] {
            assert_eq!(says(parts(200, &[TAG]), parts(status, &[TAG])), HeadSays::Nothing);
        }
        assert_eq!(says(parts(404, &[TAG]), parts(200, &[TAG])), HeadSays::Changed);
    }
}
