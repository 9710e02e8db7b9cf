//! The meaning of header lines and methods under either policy.

use http::{
    HeaderMap, HeaderName, Method,
    header::{
        AGE, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, EXPIRES, PRAGMA, VARY,
    },
};

use crate::{
    fields::{compact, is_of_connection},
    status::Refusal,
};

/// The methods that the IANA registry lists as safe, and `CONNECT`, which has no URL. Unknown
/// methods are unsafe.
pub(crate) fn is_safe(method: &Method) -> bool {
    const SAFE: [&str; 9] =
        ["GET", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "REPORT", "SEARCH", "QUERY"];
    SAFE.contains(&method.as_str())
}

/// The fields of `headers` without those that belong to the connection (RFC 9110 §7.6.1, RFC 9111
/// §3.1), in memory of their own. A stored response outlives its connection. `Trailer` stays, since
/// the trailers are stored.
pub(crate) fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    end_to_end_without(headers, &[])
}

/// The same without the `omitted` fields.
pub(crate) fn end_to_end_without(headers: &HeaderMap, omitted: &[HeaderName]) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| !is_for_all(name))
        .collect();
    compact(headers, |name| {
        !is_of_connection(name) && !named.contains(name) && !omitted.contains(name)
    })
}

/// Removes the fields for which `is_removed` is true. The other lines keep their order;
/// [`HeaderMap::remove`] would change it.
pub(crate) fn remove_fields(headers: &mut HeaderMap, is_removed: impl Fn(&HeaderName) -> bool) {
    if !headers.keys().any(&is_removed) {
        return;
    }
    let mut kept = HeaderMap::with_capacity(headers.keys_len());
    for (name, value) in headers.iter().filter(|(name, _)| !is_removed(name)) {
        kept.append(name, value.clone());
    }
    *headers = kept;
}

/// Whether the field restricts who may receive the response, or for how long. `Connection` must not
/// name such a field (RFC 9110 §7.6.1). If it does, the field stays: without it, the response
/// would be stored for others, or for longer. This function sees responses only. A proxy that
/// passes requests on, as `examples/gateway` does, keeps `Authorization` too.
fn is_for_all(name: &HeaderName) -> bool {
    static FOR_ALL: [HeaderName; 6] = [AGE, CACHE_CONTROL, DATE, EXPIRES, PRAGMA, VARY];
    FOR_ALL.contains(name) || name.as_str().ends_with("cache-control")
}

/// Whether the response is an endless stream: events, or images that replace each other.
pub(crate) fn is_live(headers: &HeaderMap) -> bool {
    let Some(media_type) = headers.get(CONTENT_TYPE) else { return false };
    let essence = media_type.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default();
    let is = |name: &[u8]| essence.trim_ascii().eq_ignore_ascii_case(name);
    is(b"text/event-stream") || is(b"multipart/x-mixed-replace")
}

/// The length of the body that the head promises, if any. Several equal values count as one (RFC
/// 9112 §6.3). Different values, or a value that is no number, are an error.
pub(crate) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Refusal> {
    let mut promised = None;
    for line in headers.get_all(CONTENT_LENGTH) {
        for value in line.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
            let digits =
                str::from_utf8(value).ok().filter(|_| value.iter().all(u8::is_ascii_digit));
            let len = digits.and_then(|digits| digits.parse().ok()).ok_or(Refusal::Length)?;
            if promised.is_some_and(|promised| promised != len) {
                return Err(Refusal::Length);
            }
            promised = Some(len);
        }
    }
    Ok(promised)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn removing_fields_keeps_the_order_of_the_others() {
        let names = ["a", "b", "c", "a", "d", "e"];
        let line =
            |name: &&'static str| (HeaderName::from_static(name), HeaderValue::from_static("x"));
        let mut headers = HeaderMap::new();
        for (name, value) in names.iter().map(line) {
            headers.append(name, value);
        }
        remove_fields(&mut headers, |name| *name == "b");
        let left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!((left, headers.len()), (vec!["a", "c", "d", "e"], 5));
        remove_fields(&mut headers, |name| *name == "none");
        assert_eq!(headers.len(), 5);
    }

    #[test]
    fn a_length_is_digits_and_one_number() {
        let of = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(CONTENT_LENGTH, HeaderValue::from_static(line));
            }
            content_length(&headers)
        };
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["42"]), Ok(Some(42)));
        assert_eq!(of(&["42", "42, 42"]), Ok(Some(42)));
        for bad in [&["42", "43"][..], &["+5"], &["-1"], &[""], &["5,"], &["99999999999999999999"]]
        {
            assert_eq!(of(bad), Err(Refusal::Length), "{bad:?}");
        }
    }

    #[test]
    fn connection_fields_are_removed_and_the_rest_keeps_its_order() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "X-Hop, keep-alive"),
            ("x-1", "a"),
            ("x-hop", "1"),
            ("x-2", "a"),
            ("keep-alive", "timeout=5"),
            ("x-3", "a"),
            ("x-1", "b"),
            ("transfer-encoding", "chunked"),
            ("trailer", "x-sum"),
            ("x-4", "a"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let kept = end_to_end(&headers);
        let left: Vec<_> =
            kept.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        let expected: [(&str, &[u8]); 6] = [
            ("x-1", b"a"),
            ("x-1", b"b"),
            ("x-2", b"a"),
            ("x-3", b"a"),
            ("trailer", b"x-sum"),
            ("x-4", b"a"),
        ];
        assert_eq!(left, expected);
    }

    #[test]
    fn connection_does_not_remove_cache_fields() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "cache-control, Vary, cdn-cache-control, x-hop, set-cookie"),
            ("cache-control", "private"),
            ("cdn-cache-control", "no-store"),
            ("vary", "cookie"),
            ("set-cookie", "a=1"),
            ("x-hop", "1"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let kept = end_to_end(&headers);
        assert_eq!(kept.len(), 3);
        for name in ["x-hop", "set-cookie", "connection"] {
            assert!(!kept.contains_key(name), "{name}");
        }
    }

    #[test]
    fn live_streams_are_recognized_by_their_media_type() {
        let of = |value: &'static str| {
            is_live(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]))
        };
        assert!(of("text/event-stream"));
        assert!(of("Text/Event-Stream; charset=utf-8"));
        assert!(of("multipart/x-mixed-replace;boundary=x"));
        assert!(!of("text/event-stream-of-mine") && !of("text/plain") && !of(""));
        assert!(!is_live(&HeaderMap::new()));
    }
}
