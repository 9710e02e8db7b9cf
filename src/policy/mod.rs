//! The decisions: may this request be answered, is this entry good, may this response be kept.
//!
//! Each is a pure function of settings, heads and the time: no I/O, no clock, and a name forevery refusal. Nothing
//! else in the crate knows which policy is at work. There is one so far, `fixed`: time alone.

use std::{fmt, sync::Arc};

use http::{
    HeaderMap, HeaderName, Method, StatusCode,
    header::{
        CONNECTION, CONTENT_LENGTH, IF_MATCH, IF_UNMODIFIED_SINCE, PROXY_AUTHENTICATE, RANGE, TE,
        TRANSFER_ENCODING, UPGRADE,
    },
    request, response,
};

use crate::{
    entry::Head,
    options::CacheOptions,
    status::{Bypass, Miss, Refusal},
    time::Timestamp,
};

mod expiration;
mod fixed;
#[allow(dead_code, reason = "nothing asks the origin under conditions yet")]
pub(crate) mod validation;
mod vary;

pub use self::expiration::Expiration;
pub(crate) use self::{
    expiration::ExpirationRules,
    vary::{Vary, union, vary},
};

/// Who shares the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// One client.
    Private,
    /// Many users.
    Shared,
}

/// Whether a response may be kept, by its request and its head.
pub(crate) type StoreFn = Arc<dyn Fn(&request::Parts, &response::Parts) -> bool + Send + Sync>;

/// Everything the decisions depend on beside the exchange itself.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) scope: Scope,
    pub(crate) methods: Vec<Method>,
    pub(crate) statuses: Vec<StatusCode>,
    pub(crate) store_if: Option<StoreFn>,
    pub(crate) expiration: ExpirationRules,
    pub(crate) read_only: bool,
    pub(crate) store_set_cookie: bool,
    pub(crate) store_credentialed: bool,
}

impl Rules {
    pub(crate) fn new(scope: Scope) -> Self {
        Self {
            scope,
            methods: vec![Method::GET, Method::HEAD],
            statuses: vec![StatusCode::OK],
            store_if: None,
            expiration: ExpirationRules::default(),
            read_only: false,
            store_set_cookie: scope == Scope::Private,
            store_credentialed: scope == Scope::Private,
        }
    }

    /// Step 1: whether the cache has anything to do with `request`.
    pub(crate) fn gate(
        &self,
        options: &CacheOptions,
        request: &request::Parts,
    ) -> Result<(), Bypass> {
        let headers = &request.headers;
        if options.bypass && !options.only_if_cached {
            return Err(Bypass::Requested);
        }
        if request.method == Method::CONNECT || !self.methods.contains(&request.method) {
            return Err(Bypass::Method);
        }
        if headers.contains_key(UPGRADE) {
            return Err(Bypass::Upgrade);
        }
        if headers.contains_key(RANGE) {
            return Err(Bypass::Range);
        }
        if headers.contains_key(IF_MATCH) || headers.contains_key(IF_UNMODIFIED_SINCE) {
            return Err(Bypass::Precondition);
        }
        fixed::gate(self, request)
    }

    /// Step 4: whether the entry with this head answers a request of `method` at `now`.
    pub(crate) fn judge(
        &self,
        options: &CacheOptions,
        method: &Method,
        head: &Head,
        now: Timestamp,
    ) -> Result<(), Miss> {
        // The key says as much, but for keys of the user's own making: a HEAD's empty body answers no GET.
        if head.method() != method && !(*method == Method::HEAD && *head.method() == Method::GET) {
            return Err(Miss::Absent);
        }
        if options.refresh && !options.only_if_cached {
            return Err(Miss::Refresh);
        }
        fixed::judge(self, head, now)
    }

    /// Step 7: whether the response may be kept, and until when; `Ok(None)` is forever.
    pub(crate) fn admit(
        &self,
        options: &CacheOptions,
        url: &str,
        request: &request::Parts,
        response: &response::Parts,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Refusal> {
        if self.read_only {
            return Err(Refusal::ReadOnly);
        }
        if options.no_store {
            return Err(Refusal::NoStore);
        }
        if !self.statuses.contains(&response.status)
            && !self.expiration.names_status(response.status)
        {
            return Err(Refusal::Status);
        }
        if self.store_if.as_ref().is_some_and(|store_if| !store_if(request, response)) {
            return Err(Refusal::Predicate);
        }
        fixed::admit(self, options, url, request, response, now)
    }

    /// Whether a response that is put there by hand may be, and until when; `Ok(None)` is forever. Methods, statuses and
    /// the user's predicate have nothing to say.
    pub(crate) fn admit_by_hand(
        &self,
        options: &CacheOptions,
        url: &str,
        request: &request::Parts,
        response: &response::Parts,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Refusal> {
        fixed::admit(self, options, url, request, response, now)
    }

    /// Whether a response of `status` to a request of `method` makes what is stored for its URL stale
    /// (RFC 9111 §4.4): an unsafe method that succeeded. A method that is itself cached is taken for a query.
    pub(crate) fn invalidates(&self, method: &Method, status: StatusCode) -> bool {
        (status.is_success() || status.is_redirection())
            && !self.methods.contains(method)
            && !is_safe(method)
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("scope", &self.scope)
            .field("methods", &self.methods)
            .field("statuses", &self.statuses)
            .field("store_if", &self.store_if.is_some())
            .field("expiration", &self.expiration)
            .field("read_only", &self.read_only)
            .field("store_set_cookie", &self.store_set_cookie)
            .field("store_credentialed", &self.store_credentialed)
            .finish()
    }
}

/// The methods that the registry calls safe, and `CONNECT`, which has no URL. Unknown methods are unsafe.
pub(crate) fn is_safe(method: &Method) -> bool {
    const SAFE: [&str; 9] =
        ["GET", "HEAD", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "REPORT", "SEARCH", "QUERY"];
    SAFE.contains(&method.as_str())
}

/// The fields of `headers` without what belongs to the connection and not to the response (RFC 9110 §7.6.1, RFC 9111
/// §3.1): replayed, it would speak of a connection that is long gone. `Trailer` stays, since the trailers do.
pub(crate) fn end_to_end(headers: &HeaderMap) -> HeaderMap {
    const HOP_BY_HOP: [HeaderName; 8] = [
        CONNECTION,
        PROXY_AUTHENTICATE,
        TE,
        TRANSFER_ENCODING,
        UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
        HeaderName::from_static("proxy-authentication-info"),
    ];
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|&byte| byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    // A copy, since removing from a `HeaderMap` moves its last line into the gap.
    let mut kept = HeaderMap::with_capacity(headers.keys_len());
    for (name, value) in headers {
        if !HOP_BY_HOP.contains(name) && !named.contains(name) {
            kept.append(name, value.clone());
        }
    }
    kept
}

/// The length that the head promises, where it does. Several equal values are one (RFC 9112 §6.3); others, and what is
/// no number, promise nothing that a body could keep.
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
    use http::{HeaderValue, Request};

    use super::*;

    fn gate(request: http::request::Builder) -> Result<(), Bypass> {
        let parts = request.body(()).unwrap().into_parts().0;
        Rules::new(Scope::Private).gate(CacheOptions::of(&parts.extensions), &parts)
    }

    #[test]
    fn each_bypass_has_its_reason() {
        assert_eq!(gate(Request::get("http://a/")), Ok(()));
        assert_eq!(gate(Request::head("http://a/")), Ok(()));
        assert_eq!(gate(Request::post("http://a/")), Err(Bypass::Method));
        assert_eq!(gate(Request::connect("a:1")), Err(Bypass::Method));
        let get = |name: &str| Request::get("http://a/").header(name, "x");
        assert_eq!(gate(get("range")), Err(Bypass::Range));
        assert_eq!(gate(get("upgrade")), Err(Bypass::Upgrade));
        assert_eq!(gate(get("if-match")), Err(Bypass::Precondition));
        assert_eq!(gate(get("if-none-match")), Ok(()));
        let asked = Request::get("http://a/").extension(CacheOptions::new().bypass(true));
        assert_eq!(gate(asked), Err(Bypass::Requested));
    }

    #[test]
    fn connect_is_never_cached_even_when_it_is_named() {
        let mut rules = Rules::new(Scope::Private);
        rules.methods.push(Method::CONNECT);
        let parts = Request::connect("a:1").body(()).unwrap().into_parts().0;
        assert_eq!(rules.gate(&CacheOptions::new(), &parts), Err(Bypass::Method));
    }

    #[test]
    fn only_a_successful_unsafe_method_that_is_not_cached_invalidates() {
        let mut rules = Rules::new(Scope::Private);
        for (method, status, expected) in [
            ("POST", 200, true),
            ("PUT", 204, true),
            ("DELETE", 303, true),
            ("FROBNICATE", 200, true),
            ("POST", 404, false),
            ("POST", 500, false),
            ("GET", 200, false),
            ("OPTIONS", 200, false),
            ("CONNECT", 200, false),
            ("PROPFIND", 207, false),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(rules.invalidates(&method, status), expected, "{method} {status}");
        }
        rules.methods.push(Method::POST);
        assert!(!rules.invalidates(&Method::POST, StatusCode::OK));
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
    fn what_belongs_to_the_connection_is_not_stored_and_the_rest_keeps_its_order() {
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
}
