//! Asking the origin whether a stored response still holds (RFC 9111 §4.3.1), and what its 304 says of it (§4.3.4).

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{
        AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
        IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, TRAILER,
    },
};

use super::{
    is_conditional,
    validators::{bytes, date, etag, has_validator, is_weak, only, opaque},
};
use crate::{
    entry::Head,
    policy::{end_to_end, remove_fields},
};

/// What makes a request conditional: the validators of a stored response, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conditions {
    etag: Option<HeaderValue>,
    last_modified: Option<HeaderValue>,
}

impl Conditions {
    /// Puts the conditions in place of the caller's own: a 304 is then about the stored response and no other (RFC 9111
    /// §4.3.1).
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        remove_fields(headers, |name| {
            (*name == IF_NONE_MATCH && self.etag.is_none())
                || (*name == IF_MODIFIED_SINCE && self.last_modified.is_none())
        });
        for (name, value) in [(IF_NONE_MATCH, &self.etag), (IF_MODIFIED_SINCE, &self.last_modified)]
        {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
    }
}

/// Whether the caller makes conditions of its own.
pub(crate) fn has_conditions(headers: &HeaderMap) -> bool {
    headers.contains_key(IF_NONE_MATCH) || headers.contains_key(IF_MODIFIED_SINCE)
}

/// Removes the caller's own conditions: what comes is then a whole response, which can be stored.
pub(crate) fn remove_conditions(headers: &mut HeaderMap) {
    remove_fields(headers, |name| *name == IF_NONE_MATCH || *name == IF_MODIFIED_SINCE);
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
