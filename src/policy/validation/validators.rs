//! Validators: entity tags and dates in header lines (RFC 9110 §8.8).

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue,
    header::{ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED},
};
use sha2::{Digest as _, Sha256};

use crate::{fields::only, key::Key, policy::remove_fields};

/// How an `ETag` begins that a cache has generated. It is weak, since layers around the cache may
/// send other representations with it, such as compressed ones.
const GENERATED: &[u8] = b"W/\"larder-";

/// The `ETag` of a body of these chunks, for a response that the origin sent without one.
pub(crate) fn generated_etag<'a>(chunks: impl Iterator<Item = &'a Bytes>) -> HeaderValue {
    let digest = chunks.fold(Sha256::new(), Sha256::chain_update).finalize();
    // Half of the digest, in hexadecimal digits.
    let tag = format!("W/\"larder-{:.32}\"", Key::from_bytes(digest.into()));
    HeaderValue::try_from(tag).expect("hexadecimal digits are valid in a header")
}

/// Removes generated tags from the conditions of a request. The origin does not know them.
pub(crate) fn remove_generated_etags(headers: &mut HeaderMap) {
    let lines = headers.get_all(IF_NONE_MATCH);
    if !lines.iter().flat_map(tags).any(is_generated) {
        return;
    }
    // `*` is not allowed in a list, and would mean any response by itself.
    let is_left = |tag: &&[u8]| !is_generated(tag) && **tag != *b"*";
    let left: Vec<_> = lines.iter().flat_map(tags).filter(is_left).collect();
    let left = HeaderValue::from_bytes(&left.join(&b", "[..])).ok().filter(|left| !left.is_empty());
    match left {
        Some(left) => drop(headers.insert(IF_NONE_MATCH, left)),
        // The date does not count beside a tag (RFC 9110 §13.1.3). By itself, it would.
        None => {
            remove_fields(headers, |name| [IF_NONE_MATCH, IF_MODIFIED_SINCE].contains(name));
        }
    }
}

/// Whether a response with these fields can be revalidated.
pub(in crate::policy) fn has_validator(headers: &HeaderMap) -> bool {
    etag(headers).is_some() || only(headers, LAST_MODIFIED).is_some()
}

/// Whether a cache has generated this tag. The origin may be such a cache.
pub(super) fn is_generated(tag: &[u8]) -> bool {
    tag.starts_with(GENERATED)
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
