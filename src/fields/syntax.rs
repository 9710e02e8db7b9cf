//! The syntax of `Cache-Control` (RFC 9111 §5.2). Malformed text can never hide a restriction.
//!
//! A well-formed member is one directive. In a malformed member, each word counts as a directive
//! with an invalid argument. Directives that forbid still forbid then (`private; max-age=60`,
//! `"no-store`), and directives that permit do not permit. Each byte is read a bounded number of
//! times, whatever the line contains.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, header::AsHeaderName};

/// The argument of a directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Argument<'a> {
    /// No argument.
    None,
    /// A token, or a quoted string without its quotes. Both forms are equivalent (RFC 9111 §5.2).
    Given(Cow<'a, [u8]>),
    /// A malformed argument.
    Invalid,
}

impl Argument<'_> {
    /// The argument as delta-seconds (RFC 9111 §1.2.2): digits of any number. `None` for anything
    /// else.
    pub(crate) fn seconds(&self) -> Option<u64> {
        match self {
            Self::Given(text) => delta_seconds(text),
            Self::None | Self::Invalid => None,
        }
    }
}

/// Parses delta-seconds (RFC 9111 §1.2.2): digits only. A number that is too large becomes the
/// largest value.
pub(crate) fn delta_seconds(text: &[u8]) -> Option<u64> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let push =
        |value: u64, digit: &u8| value.saturating_mul(10).saturating_add((digit - b'0').into());
    Some(text.iter().fold(0, push))
}

/// The line of that name, if there is exactly one.
pub(crate) fn only(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next();
    first.filter(|_| lines.next().is_none())
}

/// Calls `see` with each directive in all lines of the field `name`, in order.
///
/// The lines form one list (RFC 9110 §5.3), so a quoted string that is open at the end of a line
/// may continue in the next one. The words inside the string then depend on the order of the lines.
/// In that case, each word of each line counts as a directive with an invalid argument. It can
/// forbid, and it never permits.
pub(crate) fn each_directive(
    headers: &HeaderMap,
    name: &HeaderName,
    mut see: impl FnMut(&[u8], Argument<'_>),
) {
    let all = headers.get_all(name);
    let lines = || all.iter().map(HeaderValue::as_bytes);
    if lines().nth(1).is_some() && lines().any(has_open_quote) {
        for line in lines() {
            see_words(line, b"", &mut see);
        }
        return;
    }
    for line in lines() {
        let mut rest = line;
        while !rest.is_empty() {
            rest = first_member(rest, &mut see);
        }
    }
}

/// Calls `see` with the directives in the first member of `line`. Returns the text after its comma.
fn first_member<'a>(line: &'a [u8], see: &mut impl FnMut(&[u8], Argument<'_>)) -> &'a [u8] {
    let member = line.trim_ascii_start();
    let (name, behind) = member.split_at(word_len(member));
    let (argument, tail) = match behind {
        [b'=', b'"', text @ ..] => match quoted(text) {
            Some((text, tail)) => (Argument::Given(text), tail),
            // The end of the string is unknown, so no comma can be trusted.
            None => return see_words(member, b"", see),
        },
        [b'=', value @ ..] => match value.split_at(word_len(value)) {
            (b"", tail) => (Argument::Invalid, tail),
            (token, tail) => (Argument::Given(token.into()), tail),
        },
        tail => (Argument::None, tail),
    };
    match tail.trim_ascii_start() {
        [] | [b',', ..] if name.is_empty() && argument == Argument::None => {}
        [] | [b',', ..] if !name.is_empty() => see(name, argument),
        tail => {
            let end = tail.iter().position(|&byte| byte == b',').unwrap_or(tail.len());
            let (member, rest) = member.split_at(member.len() - tail.len() + end);
            return see_words(member, rest.get(1..).unwrap_or_default(), see);
        }
    }
    tail.trim_ascii_start().get(1..).unwrap_or_default()
}

/// Calls `see` with each word of a malformed member, and returns `rest`.
fn see_words<'a>(
    member: &[u8],
    rest: &'a [u8],
    see: &mut impl FnMut(&[u8], Argument<'_>),
) -> &'a [u8] {
    let words = member.split(|&byte| !is_tchar(byte)).filter(|word| !word.is_empty());
    words.for_each(|word| see(word, Argument::Invalid));
    rest
}

/// Whether the line ends within a quoted string.
fn has_open_quote(line: &[u8]) -> bool {
    let (mut is_open, mut is_escaped) = (false, false);
    for &byte in line {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_open => is_escaped = true,
            b'"' => is_open = !is_open,
            _ => {}
        }
    }
    is_open
}

/// The text up to the closing quote, without escapes (RFC 9110 §5.6.4), and the text after that
/// quote.
fn quoted(text: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut is_escaped = false;
    let mut has_escapes = false;
    let end = text.iter().position(|&byte| {
        let is_end = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        has_escapes |= is_escaped;
        is_end
    })?;
    let (inner, tail) = (&text[..end], &text[end + 1..]);
    if !has_escapes {
        return Some((inner.into(), tail));
    }
    let mut plain = Vec::with_capacity(inner.len());
    let mut bytes = inner.iter();
    while let Some(&byte) = bytes.next() {
        plain.extend(if byte == b'\\' { bytes.next().copied() } else { Some(byte) });
    }
    Some((plain.into(), tail))
}

fn word_len(text: &[u8]) -> usize {
    text.iter().position(|&byte| !is_tchar(byte)).unwrap_or(text.len())
}

/// Whether a token may contain this byte (RFC 9110 §5.6.2).
const fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::CACHE_CONTROL};

    use super::*;

    /// The directives as `name`, `name=argument` or, with an invalid argument, `name!`.
    fn read(line: &'static str) -> Vec<String> {
        let headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static(line))]);
        let mut all = Vec::new();
        each_directive(&headers, &CACHE_CONTROL, |name, argument| {
            let name = str::from_utf8(name).unwrap();
            all.push(match argument {
                Argument::None => name.to_owned(),
                Argument::Given(text) => format!("{name}={}", str::from_utf8(&text).unwrap()),
                Argument::Invalid => format!("{name}!"),
            });
        });
        all
    }

    #[test]
    fn an_open_quote_at_a_line_end_invalidates_every_word() {
        let read = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CACHE_CONTROL, HeaderValue::from_static(line));
            }
            let mut all = Vec::new();
            each_directive(&headers, &CACHE_CONTROL, |name, argument| {
                let is_invalid = argument == Argument::Invalid;
                all.push((String::from_utf8_lossy(name).into_owned(), is_invalid));
            });
            all
        };
        let invalid = |words: &[&str]| -> Vec<_> {
            words.iter().map(|word| ((*word).to_owned(), true)).collect()
        };
        assert_eq!(read(&["x=\"a", "public\""]), invalid(&["x", "a", "public"]));
        assert_eq!(read(&["public", "x=\"a"]), invalid(&["public", "x", "a"]));
        assert_eq!(read(&["x=\"a\\\"", "b"]), invalid(&["x", "a", "b"]));
        assert_eq!(read(&["public", "x=\"a\""]).len(), 2, "each line is closed");
        assert!(!read(&["public", "x=\"a\""])[0].1);
    }

    #[test]
    fn well_formed_members_are_directives() {
        for (line, expected) in [
            ("", &[][..]),
            (" , ,", &[]),
            ("a", &["a"]),
            ("a,b", &["a", "b"]),
            (" a , b=1 ,\tc=\"x\" ,", &["a", "b=1", "c=x"]),
            ("a=\"x, y=1\", b", &["a=x, y=1", "b"]),
            ("a=\"x\\\", y\", b", &["a=x\", y", "b"]),
            ("a=\"\\\\\", b", &["a=\\", "b"]),
            ("a=\"\", b", &["a=", "b"]),
            ("a='x', b", &["a='x'", "b"]),
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
    }

    #[test]
    fn malformed_members_are_read_word_by_word() {
        for (line, expected) in [
            ("a=", &["a!"][..]),
            ("a =1", &["a!", "1!"]),
            ("a= 1, b", &["a!", "1!", "b"]),
            ("a; b=1, c", &["a!", "b!", "1!", "c"]),
            ("a b, c", &["a!", "b!", "c"]),
            ("\"a\", b", &["a!", "b"]),
            ("a=\"b\"c, d", &["a!", "b!", "c!", "d"]),
            ("a=\"b, c=1, d", &["a!", "b!", "c!", "1!", "d!"]),
            ("a=b\"c, d\", e", &["a!", "b!", "c!", "d!", "e"]),
            ("=a, b", &["a!", "b"]),
            ("=, b", &["b"]),
            ("a=\"b\\", &["a!", "b!"]),
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
    }

    #[test]
    fn seconds_are_digits_alone_and_saturate() {
        for (text, expected) in [
            ("0", Some(0)),
            ("003600", Some(3600)),
            ("18446744073709551615", Some(u64::MAX)),
            ("18446744073709551616", Some(u64::MAX)),
            ("99999999999999999999999999999", Some(u64::MAX)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.0", None),
            ("1a", None),
            (" 1", None),
            ("\u{661}", None),
        ] {
            assert_eq!(delta_seconds(text.as_bytes()), expected, "{text}");
        }
    }
}
