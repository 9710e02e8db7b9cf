//! [`KeyHeaders`]: which request headers are part of the key.

use http::{
    HeaderMap, HeaderName,
    header::{
        AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, COOKIE, EXPECT, HOST, IF_MATCH,
        IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, MAX_FORWARDS, PRAGMA,
        RANGE, TRAILER,
    },
};
use smallvec::SmallVec;

use crate::fields::is_of_connection;

/// The headers that `all` leaves out beside those of the connection, since no two requests would
/// share a response otherwise, or since the key has their meaning already.
static NEVER_BY_ALL: [HeaderName; 18] = [
    // How the body is sent.
    HeaderName::from_static("http2-settings"),
    TRAILER,
    EXPECT,
    // The URL and the body have these.
    HOST,
    CONTENT_LENGTH,
    // They say whether, in which part and how soon the response is sent, and not which one it is.
    IF_MATCH,
    IF_NONE_MATCH,
    IF_MODIFIED_SINCE,
    IF_UNMODIFIED_SINCE,
    IF_RANGE,
    RANGE,
    CACHE_CONTROL,
    PRAGMA,
    MAX_FORWARDS,
    HeaderName::from_static("priority"),
    HeaderName::from_static("grpc-timeout"),
    // W3C Trace Context: they name the request, and each request has others.
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// The request headers whose values are part of the key.
///
/// A field that `Connection` names is part of it, too, if all headers are. The inner service may
/// use the field, and otherwise a client could take any field out of the key by naming it there.
#[derive(Clone, Debug)]
pub(crate) struct KeyHeaders {
    /// The headers that a setting names, and those that are part of the key by default. They are
    /// sorted, so that the order of settings does not matter.
    sorted: Vec<HeaderName>,
    /// The headers among them that a setting names.
    named: Vec<HeaderName>,
    /// Whether `Authorization` and `Cookie` are among them by default.
    with_credentials: bool,
    /// The headers that a setting leaves out.
    ignored: Vec<HeaderName>,
    /// Whether every other header is part of the key.
    all: bool,
}

impl Default for KeyHeaders {
    fn default() -> Self {
        Self {
            sorted: vec![AUTHORIZATION, COOKIE],
            named: Vec::new(),
            with_credentials: true,
            ignored: Vec::new(),
            all: false,
        }
    }
}

impl KeyHeaders {
    pub(crate) fn add(&mut self, name: HeaderName) {
        self.named.push(name);
        self.sort();
    }

    pub(crate) fn ignore(&mut self, name: HeaderName) {
        self.named.retain(|have| *have != name);
        self.ignored.push(name);
        self.sort();
    }

    /// Leaves credentials out of the key by default: the response decides who may receive it.
    pub(crate) fn leave_out_credentials(&mut self) {
        self.with_credentials = false;
        self.sort();
    }

    /// Whether every header is part of the key that is not ignored.
    pub(crate) fn set_all(&mut self, all: bool) {
        self.all = all;
    }

    fn sort(&mut self) {
        let mut sorted = self.named.clone();
        let unasked = [AUTHORIZATION, COOKIE].into_iter();
        sorted.extend(unasked.filter(|name| self.with_credentials && !self.ignored.contains(name)));
        sorted.sort_unstable_by(by_name);
        sorted.dedup();
        self.sorted = sorted;
    }

    /// The headers that a setting leaves out.
    pub(crate) fn ignored(&self) -> &[HeaderName] {
        &self.ignored
    }

    /// Whether requests that differ in the header `name` have different keys.
    pub(crate) fn contains(&self, name: &HeaderName) -> bool {
        self.sorted.contains(name) || (self.all && self.is_by_all(name))
    }

    fn is_by_all(&self, name: &HeaderName) -> bool {
        !is_of_connection(name) && !NEVER_BY_ALL.contains(name) && !self.ignored.contains(name)
    }

    /// Calls `add` with the headers that are part of the key, in alphabetical order. It skips none
    /// that the request has.
    pub(super) fn each(&self, headers: &HeaderMap, add: impl FnMut(&HeaderName)) {
        if !self.all {
            return self.sorted.iter().for_each(add);
        }
        let mut names: SmallVec<[&HeaderName; 32]> =
            headers.keys().filter(|name| self.contains(name)).collect();
        names.sort_unstable_by(|a, b| by_name(a, b));
        names.into_iter().for_each(add);
    }
}

fn by_name(a: &HeaderName, b: &HeaderName) -> std::cmp::Ordering {
    a.as_str().cmp(b.as_str())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn in_key(headers: &KeyHeaders, request: &[&'static str]) -> Vec<String> {
        let line =
            |name: &&'static str| (HeaderName::from_static(name), HeaderValue::from_static("x"));
        let request: HeaderMap = request.iter().map(line).collect();
        let mut names = Vec::new();
        headers.each(&request, |name| names.push(name.to_string()));
        names
    }

    #[test]
    fn all_headers_are_those_that_choose_the_response() {
        let mut headers = KeyHeaders::default();
        headers.set_all(true);
        let sent = [
            "user-agent",
            "accept",
            "host",
            "range",
            "if-none-match",
            "cache-control",
            "connection",
            "content-length",
            "traceparent",
            "x-forwarded-host",
            "cookie",
        ];
        let expected = ["accept", "cookie", "user-agent", "x-forwarded-host"];
        assert_eq!(in_key(&headers, &sent), expected);
        headers.ignore(HeaderName::from_static("user-agent"));
        headers.ignore(COOKIE);
        headers.add(RANGE);
        assert_eq!(in_key(&headers, &sent), ["accept", "range", "x-forwarded-host"]);
        headers.set_all(false);
        assert_eq!(in_key(&headers, &sent), ["authorization", "range"]);
    }

    #[test]
    fn all_headers_include_credentials_that_the_response_would_decide_about() {
        let mut headers = KeyHeaders::default();
        headers.leave_out_credentials();
        assert!(!headers.contains(&COOKIE));
        headers.set_all(true);
        assert_eq!(in_key(&headers, &["cookie", "authorization"]), ["authorization", "cookie"]);
    }
}
