//! The media type of a request body (RFC 9110 §8.3.1), as far as bodies are normalised by it.

use http::{HeaderMap, header::CONTENT_TYPE};

use crate::fields::only;

/// A media type whose bodies have a canonical form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MediaType<'a> {
    /// `application/json`, or a type that ends with `+json` (RFC 6839 §3.1).
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// `multipart/form-data` with this boundary.
    Multipart(&'a [u8]),
}

impl<'a> MediaType<'a> {
    /// `None` for any other type, for another charset than UTF-8, and for a malformed or repeated
    /// field. Servers read extended parameters (RFC 8187: `charset*`) differently, and some find a
    /// boundary in any parameter.
    pub(super) fn of(headers: &'a HeaderMap) -> Option<Self> {
        let (essence, parameters) = parse(only(headers, CONTENT_TYPE)?.as_bytes())?;
        let is = |name: &[u8]| essence.eq_ignore_ascii_case(name);
        let has_suffix = |suffix: &[u8]| {
            let start = essence.len().checked_sub(suffix.len());
            start.is_some_and(|start| start > 0 && essence[start..].eq_ignore_ascii_case(suffix))
        };
        let mut charsets = parameters.iter().filter(|parameter| parameter.is(b"charset"));
        if !charsets.all(|charset| charset.value.eq_ignore_ascii_case(b"utf-8"))
            || parameters.iter().any(|parameter| parameter.name.contains(&b'*'))
        {
            return None;
        }
        if is(b"application/json") || has_suffix(b"+json") {
            Some(Self::Json)
        } else if is(b"application/x-www-form-urlencoded") {
            Some(Self::Form)
        } else if is(b"multipart/form-data") {
            let mut boundaries = parameters.iter().filter(|parameter| parameter.is(b"boundary"));
            let boundary = boundaries.next()?.value;
            let is_valid = (1..=70).contains(&boundary.len())
                && boundary.iter().all(|&byte| is_boundary_byte(byte))
                && parameters.iter().all(|it| it.is(b"boundary") || it.is(b"charset"));
            (is_valid && boundaries.next().is_none()).then_some(Self::Multipart(boundary))
        } else {
            None
        }
    }
}

/// The value of a `Content-Type` field without the boundary.
pub(crate) fn without_boundary(value: &[u8]) -> Vec<u8> {
    let mut kept = value.to_vec();
    if let Some((_, parameters)) = parse(value) {
        for parameter in parameters.iter().rev().filter(|parameter| parameter.is(b"boundary")) {
            kept.drain(parameter.start..parameter.end);
        }
    }
    kept
}

/// A parameter of a media type.
#[derive(Clone, Copy, Debug)]
struct Parameter<'a> {
    name: &'a [u8],
    /// Without quotes.
    value: &'a [u8],
    /// Where it begins in the field, with its semicolon.
    start: usize,
    end: usize,
}

impl Parameter<'_> {
    fn is(&self, name: &[u8]) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The type without its parameters, and the parameters. `None` if the field is malformed. A value
/// with escapes counts as malformed, since clients and servers disagree about them.
fn parse(field: &[u8]) -> Option<(&[u8], Vec<Parameter<'_>>)> {
    let end = position(field, b";").unwrap_or(field.len());
    let mut parameters = Vec::new();
    let mut start = end;
    while start < field.len() {
        let name_start = start + 1 + spaces(&field[start + 1..]);
        let mut end = name_start;
        if !matches!(field.get(name_start), None | Some(b';')) {
            let name_end = name_start + position(&field[name_start..], b"=")?;
            let (value, value_end) = value(field, name_end + 1)?;
            let name = &field[name_start..name_end];
            if name.is_empty() || !name.iter().all(|&byte| is_token_byte(byte)) {
                return None;
            }
            end = value_end;
            parameters.push(Parameter { name, value, start, end });
        }
        end += spaces(&field[end..]);
        if end < field.len() && field[end] != b';' {
            return None;
        }
        start = end;
    }
    Some((field[..end].trim_ascii(), parameters))
}

/// The value that begins at `start`, and where it ends.
fn value(field: &[u8], start: usize) -> Option<(&[u8], usize)> {
    if field.get(start) == Some(&b'"') {
        let len = position(&field[start + 1..], b"\"\\")?;
        let end = start + 1 + len;
        return (field[end] == b'"').then_some((&field[start + 1..end], end + 1));
    }
    let rest = &field[start..];
    let len = position(rest, b"; \t").unwrap_or(rest.len());
    let value = &rest[..len];
    (!value.is_empty() && !value.contains(&b'"')).then_some((value, start + len))
}

/// Where the first of these bytes is.
fn position(text: &[u8], bytes: &[u8]) -> Option<usize> {
    text.iter().position(|byte| bytes.contains(byte))
}

fn spaces(text: &[u8]) -> usize {
    text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The characters of the boundaries that clients draw. RFC 2046 §5.1.1 allows others too, but a
/// boundary ends before a comma in PHP, and before a space in other servers.
fn is_boundary_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"'+-._=".contains(&byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(field: &str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_str(field).unwrap())])
    }

    #[test]
    fn media_types_are_recognised_with_their_parameters() {
        let json = Some(MediaType::Json);
        let form = Some(MediaType::Form);
        for (field, expected) in [
            ("application/json", json),
            ("Application/JSON ; Charset=UTF-8", json),
            ("application/json;charset=\"utf-8\"", json),
            ("application/json;", json),
            ("application/problem+json", json),
            ("application/json; charset=iso-8859-1", None),
            ("application/json; charset=utf-8; charset=utf-16", None),
            ("application/json; charset=\"utf-8", None),
            ("application/json; x", None),
            ("application/json x", None),
            ("application/json-seq", None),
            ("text/json", None),
            ("+json", None),
            ("", None),
            ("application/x-www-form-urlencoded", form),
            ("application/x-www-form-urlencoded;charset=utf-8", form),
            ("multipart/form-data", None),
            ("multipart/form-data; boundary=", None),
            ("multipart/form-data; boundary=a", Some(MediaType::Multipart(b"a"))),
            ("multipart/form-data; boundary=\"=_a.b\"", Some(MediaType::Multipart(b"=_a.b"))),
            ("multipart/form-data; boundary=\"a b\"", None),
            ("multipart/form-data; boundary=a,b", None),
            ("multipart/form-data; xboundary=b; boundary=a", None),
            ("multipart/form-data; boundary=a; boundary*=b", None),
            ("application/json; charset*=utf-16''", None),
            ("multipart/form-data; boundary=\"a\\b\"", None),
            ("multipart/form-data; boundary=a; boundary=b", None),
            ("multipart/mixed; boundary=a", None),
        ] {
            assert_eq!(MediaType::of(&headers(field)), expected, "{field}");
        }
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        assert_eq!(MediaType::of(&headers(&long)), None);
        let mut twice = headers("application/json");
        twice.append(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        assert_eq!(MediaType::of(&twice), None);
        assert_eq!(MediaType::of(&HeaderMap::new()), None);
    }

    #[test]
    fn the_boundary_is_removed_and_the_rest_stays() {
        for (field, expected) in [
            ("multipart/form-data; boundary=x", "multipart/form-data"),
            ("multipart/form-data; a=b; boundary=\"x;y\" ; c=d", "multipart/form-data; a=b ; c=d"),
            ("multipart/form-data;Boundary=x;charset=utf-8", "multipart/form-data;charset=utf-8"),
            ("multipart/form-data", "multipart/form-data"),
        ] {
            assert_eq!(without_boundary(field.as_bytes()), expected.as_bytes(), "{field}");
        }
    }
}
