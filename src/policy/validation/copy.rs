//! Validation of the caller's own copy (RFC 9111 §4.3.2), and the 304 that says the copy is
//! current.

use http::{
    HeaderMap, HeaderName, Method,
    header::{
        AGE, CACHE_CONTROL, CONTENT_LOCATION, DATE, ETAG, EXPIRES, IF_MODIFIED_SINCE,
        IF_NONE_MATCH, LAST_MODIFIED, VARY,
    },
};

use super::{
    is_conditional,
    validators::{bytes, etag, opaque, tags},
};
use crate::{
    entry::Head,
    fields::{date_since_1970, only},
};

/// Whether the caller's own copy is current, by its `If-None-Match` or `If-Modified-Since` and the
/// stored response. If so, the cache answers 304 (RFC 9111 §4.3.2, RFC 9110 §13.1.2, §13.1.3).
///
/// `If-Modified-Since` is ignored if `If-None-Match` is present (RFC 9110 §13.2.2). An invalid
/// date, or several dates, are no condition. The method must be `GET` or `HEAD`, and the stored
/// status must be a success.
pub(crate) fn is_unmodified(request: &HeaderMap, method: &Method, head: &Head) -> bool {
    if !is_conditional(method) || !head.status().is_success() {
        return false;
    }
    let stored = head.headers();
    if request.contains_key(IF_NONE_MATCH) {
        if only(request, IF_NONE_MATCH).is_some_and(|line| bytes(line) == b"*") {
            return true;
        }
        let Some(own) = etag(stored).map(bytes) else { return false };
        let mut tags = request.get_all(IF_NONE_MATCH).iter().flat_map(tags);
        return tags.any(|tag| opaque(tag) == opaque(own));
    }
    let since = only(request, IF_MODIFIED_SINCE);
    let Some(since) = since.and_then(|line| date_since_1970(line, head.stored_at())) else {
        return false;
    };
    let facts = head.fields().facts();
    facts.last_modified.or(facts.date).unwrap_or(head.stored_at()) <= since
}

/// The fields of a 304 for the stored response: those that RFC 9110 §15.4.5 requires,
/// `Last-Modified` if there is no `ETag`, and `Age`. `Access-Control-*` fields are included, too:
/// browsers check them in the 304 itself if a script sends its own condition.
pub(crate) fn not_modified_headers(stored: &HeaderMap) -> HeaderMap {
    static KEPT: [HeaderName; 7] =
        [AGE, CACHE_CONTROL, CONTENT_LOCATION, DATE, ETAG, EXPIRES, VARY];
    let has_etag = stored.contains_key(ETAG);
    let mut headers = HeaderMap::new();
    for (name, value) in stored {
        let is_kept = KEPT.contains(name)
            || (*name == LAST_MODIFIED && !has_etag)
            || name.as_str().starts_with("access-control-");
        if is_kept {
            headers.append(name, value.clone());
        }
    }
    headers
}
