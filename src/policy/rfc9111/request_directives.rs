//! Request directives ([`RequestDirectives`]): `Cache-Control` in a request (RFC 9111 §5.2.1), or
//! else `Pragma` (§5.4).
//!
//! If two values of a directive conflict, the stricter one counts, as with response directives. An
//! invalid value counts as the strictest one.

use std::time::Duration;

use http::{
    HeaderMap,
    header::{CACHE_CONTROL, PRAGMA},
};

use crate::{
    fields::{Argument, each_directive},
    policy::StaleLimit,
};

/// The directives of a request (RFC 9111 §5.2.1, RFC 5861 §4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RequestDirectives {
    /// The greatest age of an acceptable response.
    pub(crate) max_age: Option<Duration>,
    /// How long after its expiry a stale response is acceptable.
    pub(crate) max_stale: Option<StaleLimit>,
    /// How much longer an acceptable response must stay fresh.
    pub(crate) min_fresh: Option<Duration>,
    /// How long after its expiry a stale response is acceptable if the origin fails.
    pub(crate) stale_if_error: Option<Duration>,
    /// A stored response must be revalidated before it is used.
    pub(crate) no_cache: bool,
    /// The response must not be stored.
    pub(crate) no_store: bool,
    /// Only a stored response is acceptable.
    pub(crate) only_if_cached: bool,
}

impl RequestDirectives {
    pub(crate) const NONE: Self = Self {
        max_age: None,
        max_stale: None,
        min_fresh: None,
        stale_if_error: None,
        no_cache: false,
        no_store: false,
        only_if_cached: false,
    };

    /// Whether the request rules out stale responses (RFC 9111 §5.2.1.1, §5.2.1.3).
    pub(crate) fn wants_fresh(&self) -> bool {
        self.max_age.is_some() || self.min_fresh.is_some()
    }

    fn add(&mut self, name: &[u8], argument: &Argument<'_>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let seconds = argument.seconds();
        let least = |slot: Option<Duration>| {
            let seconds = Duration::from_secs(seconds.unwrap_or(0));
            Some(slot.map_or(seconds, |known| known.min(seconds)))
        };
        if is("max-age") {
            self.max_age = least(self.max_age);
        } else if is("max-stale") {
            let limit = match (seconds, argument) {
                (Some(seconds), _) => StaleLimit::Within(Duration::from_secs(seconds)),
                (None, Argument::None) => StaleLimit::Unlimited,
                (None, _) => StaleLimit::None,
            };
            self.max_stale = Some(self.max_stale.map_or(limit, |known| stricter(known, limit)));
        } else if is("min-fresh") {
            let seconds = Duration::from_secs(seconds.unwrap_or(u64::MAX));
            self.min_fresh = self.min_fresh.max(Some(seconds));
        } else if is("stale-if-error") {
            self.stale_if_error = least(self.stale_if_error);
        } else if is("no-cache") {
            self.no_cache = true;
        } else if is("no-store") {
            self.no_store = true;
        } else if is("only-if-cached") {
            self.only_if_cached |= *argument == Argument::None;
        }
    }
}

fn stricter(one: StaleLimit, other: StaleLimit) -> StaleLimit {
    match (one, other) {
        (StaleLimit::Unlimited, limit) | (limit, StaleLimit::Unlimited) => limit,
        (StaleLimit::Within(one), StaleLimit::Within(other)) => StaleLimit::Within(one.min(other)),
        (StaleLimit::None, _) | (_, StaleLimit::None) => StaleLimit::None,
    }
}

/// The directives of a request. `Pragma: no-cache` counts only without `Cache-Control` (RFC 9111
/// §5.4).
pub(crate) fn request_directives(headers: &HeaderMap) -> RequestDirectives {
    #[cfg(test)]
    crate::fields::Parsed::count(|parsed| parsed.request_directives += 1);
    let mut directives = RequestDirectives::default();
    if headers.contains_key(CACHE_CONTROL) {
        each_directive(headers, &CACHE_CONTROL, |name, argument| directives.add(name, &argument));
    } else {
        each_directive(headers, &PRAGMA, |name, _| {
            directives.no_cache |= name.eq_ignore_ascii_case(b"no-cache");
        });
    }
    directives
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;
    use crate::fields::{Directives, response_directives};

    fn map(name: HeaderName, lines: &[&'static str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&name, HeaderValue::from_static(line));
        }
        headers
    }

    #[test]
    fn malformed_request_directives_count_as_the_strictest() {
        let of = |lines: &[&'static str]| request_directives(&map(CACHE_CONTROL, lines));
        let secs = Duration::from_secs;
        assert_eq!(of(&[]), RequestDirectives::default());
        assert_eq!(
            of(&[
                "Max-Age=5, MAX-stale=\"6\", min-Fresh=7",
                "stale-if-error=8, No-Cache, no-store"
            ]),
            RequestDirectives {
                max_age: Some(secs(5)),
                max_stale: Some(StaleLimit::Within(secs(6))),
                min_fresh: Some(secs(7)),
                stale_if_error: Some(secs(8)),
                no_cache: true,
                no_store: true,
                only_if_cached: false,
            }
        );
        assert!(
            of(&["only-if-cached"]).only_if_cached && !of(&["only-if-cached=1"]).only_if_cached
        );
        for (line, expected) in [
            ("max-stale", StaleLimit::Unlimited),
            ("max-stale, max-stale=5", StaleLimit::Within(secs(5))),
            ("max-stale=6, max-stale=5, max-stale", StaleLimit::Within(secs(5))),
            ("max-stale=x", StaleLimit::None),
            ("max-stale=", StaleLimit::None),
            ("max-stale=-1, max-stale=5", StaleLimit::None),
            ("max-stale, max-stale =5", StaleLimit::None),
        ] {
            assert_eq!(of(&[line]).max_stale, Some(expected), "{line}");
        }
        assert_eq!(of(&["max-age=5, max-age=4, max-age=6"]).max_age, Some(secs(4)));
        assert_eq!(of(&["max-age=soon"]).max_age, Some(Duration::ZERO));
        assert_eq!(of(&["min-fresh=5, min-fresh=6, min-fresh=4"]).min_fresh, Some(secs(6)));
        assert_eq!(of(&["min-fresh=long"]).min_fresh, Some(secs(u64::MAX)));
        assert_eq!(of(&["stale-if-error=long"]).stale_if_error, Some(Duration::ZERO));
    }

    /// `pragma.mjs`.
    #[test]
    fn pragma_counts_only_without_cache_control() {
        let no_cache = |pragma: &'static str, cache_control: Option<&'static str>| {
            let mut headers = map(PRAGMA, &[pragma]);
            if let Some(line) = cache_control {
                headers.append(CACHE_CONTROL, HeaderValue::from_static(line));
            }
            request_directives(&headers).no_cache
        };
        assert!(no_cache("no-cache", None) && no_cache("x=1, No-Cache", None));
        assert!(!no_cache("unrecognised-extension", None));
        assert!(!no_cache("no-cache", Some("max-age=5")) && !no_cache("no-cache", Some("")));
        // `Pragma` in a response has no meaning.
        assert_eq!(response_directives(&map(PRAGMA, &["no-cache"])), Directives::default());
    }
}
