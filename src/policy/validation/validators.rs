//! Validators: entity tags and dates in header lines (RFC 9110 §8.8).

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue,
    header::{ETAG, IF_NONE_MATCH, LAST_MODIFIED},
};

use sha2::{Digest as _, Sha256};

use crate::{fields::only, key::Key, policy::remove_fields};

/// How the tags begin that the cache makes itself. They are weak, since layers around the cache may
/// send other representations under the same tag, such as compressed ones.
const MADE: &[u8] = b"W/\"larder-";

/// The tag of a body of these chunks, for a response that the origin sent without one.
pub(crate) fn made_tag<'a>(chunks: impl Iterator<Item = &'a Bytes>) -> HeaderValue {
    let digest = chunks.fold(Sha256::new(), Sha256::chain_update).finalize();
    // Half of the digest, in hexadecimal digits.
    let tag = format!("W/\"larder-{:.32}\"", Key::from_bytes(digest.into()));
    HeaderValue::try_from(tag).expect("hexadecimal digits are valid in a header")
}

/// Removes the tags that the cache has made from the conditions of a request. The origin does not
/// know them.
pub(crate) fn remove_made_tags(headers: &mut HeaderMap) {
    let is_made = |tag: &&[u8]| tag.starts_with(MADE);
    if !headers.get_all(IF_NONE_MATCH).iter().any(|line| tags(line).any(|tag| is_made(&tag))) {
        return;
    }
    let lines = headers.get_all(IF_NONE_MATCH).iter();
    let left: Vec<_> = lines.flat_map(tags).filter(|tag| !is_made(tag)).collect();
    let left = HeaderValue::from_bytes(&left.join(&b", "[..])).ok().filter(|left| !left.is_empty());
    remove_fields(headers, |name| *name == IF_NONE_MATCH);
    if let Some(left) = left {
        headers.insert(IF_NONE_MATCH, left);
    }
}

/// Whether a response with these fields can be revalidated.
pub(in crate::policy) fn has_validator(headers: &HeaderMap) -> bool {
    origin_tag(headers).is_some() || only(headers, LAST_MODIFIED).is_some()
}

/// The stored `ETag`, if the origin has sent it.
pub(super) fn origin_tag(headers: &HeaderMap) -> Option<&HeaderValue> {
    etag(headers).filter(|tag| !bytes(tag).starts_with(MADE))
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
