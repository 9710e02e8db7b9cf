//! The value of a header field that is part of a key, in one spelling (RFC 9111 §4.1).
//!
//! Two values get the same spelling only if they mean the same to every origin. Lines of one name
//! form one list. Whitespace around commas does not count. In the negotiation fields, case does not
//! count either. Whitespace within a member does count: `e n` is no language range, and must not
//! share a response with the range `en`. Credentials are not changed.

use std::ops::Deref;

use http::{
    HeaderMap, HeaderName,
    header::{
        ACCEPT_CHARSET, ACCEPT_ENCODING, ACCEPT_LANGUAGE, AUTHORIZATION, COOKIE,
        PROXY_AUTHORIZATION,
    },
};
use smallvec::SmallVec;

/// A value in one spelling. Its own bytes if that is their spelling, or a copy, which needs no
/// allocation up to this length.
pub(crate) enum Spelled<'a> {
    AsSent(&'a [u8]),
    Copied(Copied),
}

type Copied = SmallVec<[u8; 128]>;

impl Deref for Spelled<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::AsSent(bytes) => bytes,
            Self::Copied(bytes) => bytes,
        }
    }
}

impl Spelled<'_> {
    fn into_copy(self) -> Copied {
        match self {
            Self::AsSent(bytes) => Copied::from_slice(bytes),
            Self::Copied(bytes) => bytes,
        }
    }

    fn into_lower_case(self) -> Self {
        if !self.iter().any(u8::is_ascii_uppercase) {
            return self;
        }
        let mut copy = self.into_copy();
        copy.make_ascii_lowercase();
        Self::Copied(copy)
    }
}

/// The value of the field `name` in one spelling. `None` if it is absent, which selects differently
/// from an empty value. `by_weight` says that only the weights of languages count, as RFC 9110
/// §12.5.4 defines, and not their order. Some origins take the order for a preference.
pub(crate) fn selecting_value<'a>(
    name: &HeaderName,
    headers: &'a HeaderMap,
    by_weight: bool,
) -> Option<Spelled<'a>> {
    // RFC 9110 §5.3; cookies by RFC 9113 §8.2.3.
    let value = combined(name, headers, if *name == COOKIE { b"; " } else { b", " })?;
    if [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION].contains(name) {
        return Some(value);
    }
    if *name == ACCEPT_CHARSET || *name == ACCEPT_ENCODING {
        return Some(closed_up(value, b",;").into_lower_case());
    }
    if *name == ACCEPT_LANGUAGE {
        let value = closed_up(value, b",;").into_lower_case();
        let ordered = if by_weight { by_preference(&value) } else { None };
        return Some(ordered.map_or(value, Spelled::Copied));
    }
    Some(closed_up(value, b","))
}

/// All lines as one value. Each line is trimmed.
fn combined<'a>(
    name: &HeaderName,
    headers: &'a HeaderMap,
    separator: &[u8],
) -> Option<Spelled<'a>> {
    let mut lines = headers.get_all(name).iter();
    let mut value = Spelled::AsSent(lines.next()?.as_bytes().trim_ascii());
    for line in lines {
        let mut joined = value.into_copy();
        joined.extend_from_slice(separator);
        joined.extend_from_slice(line.as_bytes().trim_ascii());
        value = Spelled::Copied(joined);
    }
    Some(value)
}

/// The value without whitespace beside `delimiters`. Quoted strings are not changed. An open string
/// extends to the end of the value.
fn closed_up<'a>(value: Spelled<'a>, delimiters: &[u8]) -> Spelled<'a> {
    // Without whitespace, nothing can be beside a delimiter.
    if !value.iter().any(|byte| matches!(byte, b' ' | b'\t')) {
        return value;
    }
    let mut closed = Copied::with_capacity(value.len());
    let (mut is_quoted, mut is_escaped, mut is_behind_delimiter) = (false, false, false);
    for &byte in &*value {
        let is_space = matches!(byte, b' ' | b'\t');
        if is_quoted {
            is_quoted = is_escaped || byte != b'"';
            is_escaped = byte == b'\\' && !is_escaped;
        } else if is_space && is_behind_delimiter {
            continue;
        } else {
            is_quoted = byte == b'"';
            is_behind_delimiter = delimiters.contains(&byte);
            if is_behind_delimiter {
                closed.truncate(closed.trim_ascii_end().len());
            }
        }
        closed.push(byte);
    }
    Spelled::Copied(closed)
}

/// Sorts an `Accept-Language` value (RFC 9110 §12.5.4) by weight, the highest first, and equal
/// weights alphabetically. Only the weights have a meaning, not the order. `None` if a member is no
/// language range. The value must be in lower case and without whitespace.
fn by_preference(value: &[u8]) -> Option<Copied> {
    let members = value.split(|&byte| byte == b',').filter(|member| !member.is_empty());
    let mut ranges = members.map(weighted).collect::<Option<Vec<_>>>()?;
    ranges.sort_unstable_by(|(a, a_weight), (b, b_weight)| {
        b_weight.cmp(a_weight).then_with(|| a.cmp(b))
    });
    let mut ordered = Copied::with_capacity(value.len());
    for (range, weight) in ranges {
        if !ordered.is_empty() {
            ordered.push(b',');
        }
        ordered.extend_from_slice(range);
        // The result has the syntax of the field. A value that is no valid list therefore never
        // equals it.
        match weight {
            1000 => {}
            0 => ordered.extend_from_slice(b";q=0"),
            _ => ordered
                .extend_from_slice(format!(";q=0.{weight:03}").trim_end_matches('0').as_bytes()),
        }
    }
    Some(ordered)
}

/// A language range and its weight in thousandths (RFC 9110 §12.4.2).
fn weighted(member: &[u8]) -> Option<(&[u8], u16)> {
    let end = member.iter().position(|&byte| byte == b';').unwrap_or(member.len());
    let (range, weight) = member.split_at(end);
    let is_range = range.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-*".contains(byte));
    let weight = match weight {
        [] => 1000,
        [b';', b'q', b'=', one @ (b'0' | b'1'), fraction @ ..] => {
            let digits = match fraction {
                [] => fraction,
                [b'.', digits @ ..] if digits.len() <= 3 => digits,
                _ => return None,
            };
            let mut thousandths = u16::from(one - b'0') * 1000;
            for (digit, unit) in digits.iter().zip([100, 10, 1]) {
                thousandths +=
                    u16::from(digit.checked_sub(b'0').filter(|digit| *digit < 10)?) * unit;
            }
            thousandths
        }
        _ => return None,
    };
    Some((range, weight)).filter(|_| is_range && !range.is_empty() && weight <= 1000)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn of(name: &'static str, lines: &[&str]) -> Option<String> {
        let name = HeaderName::from_static(name);
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&name, HeaderValue::from_str(line).unwrap());
        }
        selecting_value(&name, &headers, true)
            .map(|value| String::from_utf8(value.to_vec()).unwrap())
    }

    #[track_caller]
    fn one(name: &'static str, values: &[&[&str]], expected: &str) {
        for lines in values {
            assert_eq!(of(name, lines).as_deref(), Some(expected), "{lines:?}");
        }
    }

    /// `vary.mjs`: `vary-normalise-combine`, `vary-normalise-space`.
    #[test]
    fn line_breaks_and_whitespace_around_commas_do_not_count() {
        one("foo", &[&["1,2"], &["1, 2"], &[" 1 ,\t2 "], &["1", "2"], &["1 ", " 2"]], "1,2");
        one("foo", &[&["a b"], &[" a b "]], "a b");
        one("foo", &[&["a  b , c"], &["a  b", "c"]], "a  b,c");
        one("foo", &[&[""], &["  "]], "");
        assert_eq!(of("foo", &[]), None);
    }

    #[test]
    fn opaque_values_stay_distinct() {
        for (one, other) in [
            (&["1, 2"][..], &["1", "3"][..]),
            (&["1,2"], &["2,1"]),
            (&["a"], &["A"]),
            (&["ab"], &["a b"]),
            (&["\"a, b\""], &["\"a,b\""]),
            (&["\"a\\\", b\""], &["\"a\\\",b\""]),
            (&["\"a, b"], &["\"a,b"]),
            (&["\"a\\\", b"], &["\"a\\\",b"]),
            (&["1,2"], &["1;2"]),
            (&["a;b"], &["a; b"]),
        ] {
            assert_ne!(of("foo", one), of("foo", other), "{one:?} {other:?}");
        }
        one("foo", &[&["\"a, b\" , c"], &["\"a, b\"", "c"]], "\"a, b\",c");
        for name in ["authorization", "cookie", "proxy-authorization"] {
            assert_eq!(of(name, &["a,  b=\"1\" ; C"]).as_deref(), Some("a,  b=\"1\" ; C"));
        }
        assert_eq!(of("cookie", &["a=1", "b=2"]).as_deref(), Some("a=1; b=2"));
    }

    /// `vary.mjs`: `vary-normalise-lang-order`, `-case`, `-space`.
    #[test]
    fn languages_are_ordered_by_weight() {
        let all: [&[&str]; 6] = [
            &["en, de"],
            &["de, en"],
            &["eN, De"],
            &[" en ,   de"],
            &["en", "de"],
            &["de;q=1,en;q=1.0"],
        ];
        one("accept-language", &all, "de,en");
        one(
            "accept-language",
            &[&["fr;q=0.5, de;q=1.0"], &["de, fr ; q=0.500"], &["DE,FR;Q=0.50,"]],
            "de,fr;q=0.5",
        );
        one("accept-language", &[&["*;q=0, en-GB;q=0.001"]], "en-gb;q=0.001,*;q=0");
        // A value with an invalid language range or weight keeps its order.
        for invalid in [
            "en,d e",
            "en,de;q=2",
            "en,de;q=1.001",
            "en,de;q=0.1234",
            "en,de;q=.5",
            "en,de;x=1",
            "en,;q=1",
        ] {
            let value = of("accept-language", &[invalid]);
            assert_eq!(value.as_deref(), Some(invalid));
        }
        assert_ne!(of("accept-language", &["en;q=0.5"]), of("accept-language", &["en"]));
        assert_ne!(of("accept-language", &["e n"]), of("accept-language", &["en"]));
        assert_ne!(of("accept-language", &["en;q=1.001"]), of("accept-language", &["en"]));
    }

    #[test]
    fn codings_differ_by_name_and_order() {
        one("accept-encoding", &[&["gzip, BR"], &["GZIP ,br"], &["gzip", "br"]], "gzip,br");
        one("accept-encoding", &[&["gzip ; q=0.5"], &["gzip;q=0.5"]], "gzip;q=0.5");
        assert_ne!(of("accept-encoding", &["gzip, br"]), of("accept-encoding", &["br, gzip"]));
        assert_ne!(of("accept-encoding", &["g zip"]), of("accept-encoding", &["gzip"]));
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(
            value in "[aB\", ;q=01.*\\\\-]{0,30}",
            name in prop_oneof![Just("foo"), Just("accept-language"), Just("accept-encoding")],
        ) {
            let once = of(name, &[&value]).unwrap();
            prop_assert_eq!(of(name, &[&once]), Some(once.clone()));
        }

        #[test]
        fn no_bytes_panic(value in prop::collection::vec(32_u8..=255, 0..40)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                for name in [ACCEPT_LANGUAGE, ACCEPT_ENCODING, COOKIE, http::header::USER_AGENT] {
                    let headers = HeaderMap::from_iter([(name.clone(), value.clone())]);
                    prop_assert!(selecting_value(&name, &headers, true).is_some());
                }
            }
        }
    }

    #[test]
    fn long_hostile_lines_are_read() {
        for piece in ["a,", "\"", "a=\"", ",", " ,", "\\", ";", "a;q=0.5,"] {
            let line = HeaderValue::from_str(&piece.repeat(200_000 / piece.len())).unwrap();
            for name in [ACCEPT_LANGUAGE, ACCEPT_ENCODING, http::header::USER_AGENT] {
                let headers = HeaderMap::from_iter([(name.clone(), line.clone())]);
                assert!(selecting_value(&name, &headers, true).is_some(), "{piece}");
            }
        }
    }
}
