//! Validators: entity tags and dates in header lines (RFC 9110 §8.8).

use http::{
    HeaderMap, HeaderValue,
    header::{ETAG, LAST_MODIFIED},
};

use crate::fields::only;

/// Whether a response with these fields can be revalidated.
pub(in crate::policy) fn has_validator(headers: &HeaderMap) -> bool {
    etag(headers).is_some() || only(headers, LAST_MODIFIED).is_some()
}

/// The stored `ETag`, if it is a single tag. A tag without quotes is invalid by the RFC, but it is
/// accepted, since some origins send and expect such tags.
pub(in crate::policy) fn etag(headers: &HeaderMap) -> Option<&HeaderValue> {
    only(headers, ETAG).filter(|value| match opaque(bytes(value)) {
        [b'"', tag @ .., b'"'] => !tag.contains(&b'"'),
        // As a condition, `*` would match anything, and a list would match each of its members.
        b"" | b"*" => false,
        bare => !bare.iter().any(|byte| b"\", \t".contains(byte)),
    })
}

/// The strong entity tag of a response with these fields. It must have quotes.
pub(in crate::policy) fn strong_tag(headers: &HeaderMap) -> Option<&[u8]> {
    let tag = bytes(etag(headers)?);
    (!is_weak(tag) && tag.starts_with(b"\"")).then_some(tag)
}

/// Whether both responses have the same strong tag, and so are the same representation.
pub(crate) fn is_same_tag(stored: &HeaderMap, answer: &HeaderMap) -> bool {
    strong_tag(stored).is_some_and(|tag| strong_tag(answer) == Some(tag))
}

pub(super) fn bytes(value: &HeaderValue) -> &[u8] {
    value.as_bytes().trim_ascii()
}

pub(in crate::policy) fn is_weak(tag: &[u8]) -> bool {
    tag.starts_with(b"W/")
}

/// The tag without `W/`, for weak comparison (RFC 9110 §8.8.3.2).
pub(super) fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// The members of a list of entity tags. A comma in quotes is part of its tag. There are no escapes
/// (RFC 9110 §8.8.3).
pub(super) fn tags(line: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let mut is_quoted = false;
    let members = line.as_bytes().split(move |&byte| {
        is_quoted ^= byte == b'"';
        byte == b',' && !is_quoted
    });
    members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}
