//! Conditional requests to the origin (RFC 9111 §4.3.1), and freshening a stored response by its
//! 304 (§4.3.4).

use http::{
    HeaderMap, HeaderName, HeaderValue, Method,
    header::{
        AGE, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
        IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, TRAILER,
    },
};

use super::{
    is_conditional,
    validators::{bytes, etag, is_generated, is_weak, opaque},
};
use crate::{
    entry::Head,
    fields::{date_since_1970, only},
    policy::{end_to_end, remove_fields},
};

/// The validators of a stored response, byte for byte. They make a request conditional.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conditions {
    etag: Option<HeaderValue>,
    last_modified: Option<HeaderValue>,
}

impl Conditions {
    /// Replaces the caller's own conditions. A 304 then refers to the stored response and no other
    /// (RFC 9111 §4.3.1).
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

/// Whether the caller sends conditions of its own.
pub(crate) fn has_conditions(headers: &HeaderMap) -> bool {
    headers.contains_key(IF_NONE_MATCH) || headers.contains_key(IF_MODIFIED_SINCE)
}

/// Removes the caller's own conditions, so that the origin sends a whole response that can be
/// stored.
pub(crate) fn remove_conditions(headers: &mut HeaderMap) {
    remove_fields(headers, |name| *name == IF_NONE_MATCH || *name == IF_MODIFIED_SINCE);
}

/// The conditions for a request of `method`, so that the origin may answer 304. `None` if that is
/// impossible: the stored response has no validator, the method is neither `GET` nor `HEAD`, or the
/// stored status is no success (a 304 never refers to such a response, RFC 9110 §13.2.1).
///
/// `has_generated` is whether this cache generates tags. The origin does not know these.
pub(crate) fn conditions(head: &Head, method: &Method, has_generated: bool) -> Option<Conditions> {
    if !is_conditional(method) || !head.status().is_success() {
        return None;
    }
    let etag = etag(head.headers()).filter(|etag| !(has_generated && is_generated(bytes(etag))));
    let last_modified = only(head.headers(), LAST_MODIFIED);
    let conditions = Conditions { etag: etag.cloned(), last_modified: last_modified.cloned() };
    (etag.is_some() || last_modified.is_some()).then_some(conditions)
}

/// The most lines that the stored response and a 304 may have together. A 304 above this limit does
/// not freshen. Otherwise, a head would grow with each 304 that brings new names.
const MAX_LINES: usize = 512;

/// Whether a 304 refers to the stored response (RFC 9111 §4.3.4). If it has an `ETag`, that is
/// compared, and a strong tag is compared strongly. Without an `ETag`, its `Last-Modified` is
/// compared. A 304 with neither refers to the response whose validators the request sent.
pub(crate) fn is_updated_by(head: &Head, not_modified: &HeaderMap) -> bool {
    let stored = head.headers();
    if stored.len() + not_modified.len() > MAX_LINES {
        return false;
    }
    if not_modified.contains_key(ETAG) {
        let Some(own) = etag(stored).map(bytes) else { return false };
        // Several tags must all match.
        return not_modified
            .get_all(ETAG)
            .iter()
            .map(bytes)
            .all(|tag| if is_weak(tag) { opaque(tag) == opaque(own) } else { tag == own });
    }
    let Some(own) = only(stored, LAST_MODIFIED) else { return true };
    let own_date = || head.fields().facts().last_modified;
    let date = |line| date_since_1970(line, head.stored_at());
    not_modified.get_all(LAST_MODIFIED).iter().all(|line| match (own_date(), date(line)) {
        (Some(own), Some(other)) => own == other,
        _ => bytes(own) == bytes(line),
    })
}

/// The fields of the stored response after a 304 has freshened it (RFC 9111 §3.2). Each field of
/// the 304, with all its lines, replaces the stored lines of that name. New fields come last.
///
/// The fields that describe the stored body stay: `Content-Length`, `Content-Type`,
/// `Content-Encoding`, `Content-Range`, `Trailer` and the digests of its bytes. A 304 has no body,
/// and frameworks may add defaults to it, such as `text/html` for an image. If the 304 has no
/// `Age`, the stored `Age` is removed, since it counts up to a time before the 304.
pub(crate) fn merged(stored: &HeaderMap, not_modified: &HeaderMap) -> HeaderMap {
    static OF_THE_BODY: [HeaderName; 7] = [
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
    // Fields beyond the capacity of a map (24 576 names) are dropped.
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
