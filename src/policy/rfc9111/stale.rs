//! Whether a stored response permits its use once it is stale (RFC 9111 §4.2.4, §5.2.2; RFC
//! 5861).

use std::time::Duration;

use crate::{
    fields::{Directives, Fields},
    policy::Scope,
};

/// The directives of a stored response about its use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct StaleRules {
    /// Whether stale use is forbidden. It overrides the settings, the request and the two limits
    /// below.
    pub(crate) is_forbidden: bool,
    /// Whether the response must be revalidated before each use, fresh or stale (RFC 9111
    /// §5.2.2.4). Stale use is forbidden then, too.
    pub(crate) is_no_cache: bool,
    /// Whether the response does not change while it is fresh (RFC 8246 §2).
    pub(crate) is_immutable: bool,
    /// How long after its expiry the response may be served while it is revalidated (RFC 5861 §3),
    /// if it says so.
    pub(crate) while_revalidate: Option<Duration>,
    /// How long after its expiry the response may be served if the origin fails (RFC 5861 §4), if
    /// it says so.
    pub(crate) if_error: Option<Duration>,
}

/// The rules of a stored response with these directives. `must-revalidate` and `no-cache` forbid
/// stale use to every cache. `proxy-revalidate` and `s-maxage` forbid it to a shared one.
pub(crate) fn stale_rules(scope: Scope, directives: &Directives) -> StaleRules {
    let is_no_cache = directives.no_cache == Some(Fields::All);
    let is_forbidden_to_shared = directives.proxy_revalidate || directives.s_maxage.is_some();
    StaleRules {
        is_forbidden: directives.must_revalidate
            || is_no_cache
            || (scope == Scope::Shared && is_forbidden_to_shared),
        is_no_cache,
        is_immutable: directives.immutable,
        while_revalidate: directives.stale_while_revalidate.map(Duration::from_secs),
        if_error: directives.stale_if_error.map(Duration::from_secs),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName, HeaderValue};

    use super::*;
    use crate::fields::response_directives;

    fn of(scope: Scope, line: &'static str) -> StaleRules {
        let name = HeaderName::from_static("cache-control");
        let headers = HeaderMap::from_iter([(name, HeaderValue::from_static(line))]);
        stale_rules(scope, &response_directives(&headers))
    }

    /// `stale.mjs`.
    #[test]
    fn stale_use_is_forbidden_in_any_spelling() {
        for (line, private, shared) in [
            ("max-age=2", false, false),
            ("max-age=2, must-revalidate", true, true),
            ("max-age=2, Must-Revalidate=1", true, true),
            ("max-age=2, proxy-revalidate", false, true),
            ("max-age=2, PROXY-REVALIDATE", false, true),
            ("max-age=2, no-cache", true, true),
            ("max-age=2, no-cache=\"set-cookie\"", false, false),
            ("max-age=2, no-cache=\"vary\"", true, true),
            ("max-age=2, s-maxage=2", false, true),
            ("s-maxage=x", false, true),
            ("max-age=2; must-revalidate", true, true),
            ("max-age=2, must-revalidate, stale-if-error=60", true, true),
            ("x=\"must-revalidate\"", false, false),
        ] {
            assert_eq!(of(Scope::Private, line).is_forbidden, private, "{line}");
            assert_eq!(of(Scope::Shared, line).is_forbidden, shared, "{line}");
        }
        assert!(of(Scope::Private, "no-cache").is_no_cache);
        assert!(!of(Scope::Shared, "must-revalidate, s-maxage=1, no-cache=a").is_no_cache);
    }

    #[test]
    fn stale_use_is_allowed_for_the_stated_time() {
        let secs = |secs| Some(Duration::from_secs(secs));
        let limits = |line| {
            let rules = of(Scope::Shared, line);
            (rules.while_revalidate, rules.if_error)
        };
        assert_eq!(limits("max-age=1"), (None, None));
        let both = "max-age=1, Stale-While-Revalidate=5, stale-if-error=60";
        assert_eq!(limits(both), (secs(5), secs(60)));
        let twice = "stale-if-error=60, stale-if-error=6, stale-while-revalidate=x";
        assert_eq!(limits(twice), (secs(0), secs(6)));
    }
}
