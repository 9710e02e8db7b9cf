//! Whether a stored response may answer at all ([`may_answer`], RFC 9111 §4), and whether it
//! satisfies the request directives ([`satisfies`], §5.2.1).

use http::header::SET_COOKIE;

use super::{
    age::current_age,
    omitted::omitted_fields,
    request_directives::RequestDirectives,
    stale::StaleRules,
    storable::{Settings, is_understood},
};
use crate::{
    entry::Head,
    fields::{Directives, Fields},
    policy::{Scope, StaleLimit},
    status::Miss,
    time::Timestamp,
};

/// Whether a cache with these settings may answer with a stored response, whichever layer stored
/// it. Another layer over the same store may have stored a response that this one refuses.
/// `directives` are those of the response for this cache.
pub(crate) fn may_answer(
    settings: &Settings<'_>,
    directives: &Directives,
    head: &Head,
) -> Result<(), Miss> {
    let (status, headers) = (head.status(), head.headers());
    let is_shared = settings.scope == Scope::Shared;
    let is_lifted = directives.must_understand && is_understood(status);
    let no_cache = directives.no_cache.as_ref();
    let private = directives.private.as_ref().filter(|_| is_shared);
    let is_forbidden = (directives.no_store && !is_lifted)
        || private == Some(&Fields::All)
        || !omitted_fields(headers, [no_cache, private]).is_empty()
        || (!settings.store_set_cookie && headers.contains_key(SET_COOKIE));
    if is_forbidden { Err(Miss::NotAllowed) } else { Ok(()) }
}

/// How a stored response satisfies a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Satisfied {
    /// It is fresh.
    Fresh,
    /// It is stale, and the request accepts that (`max-stale`).
    Stale,
}

/// How the response satisfies the request directives at `now`, or why it does not:
/// [`Miss::Refresh`] if only the request directives rule it out, [`Miss::Expired`] if it is stale.
/// `rules` are the [`stale_rules`](super::stale) of the response.
///
/// A fresh response that is `immutable` satisfies any `max-age`. A reload sends `max-age=0` and
/// receives it. `no-cache` still rules it out (RFC 8246 §2).
pub(crate) fn satisfies(
    request: &RequestDirectives,
    rules: &StaleRules,
    head: &Head,
    now: Timestamp,
) -> Result<Satisfied, Miss> {
    // §5.2.1.4, §5.2.2.4.
    if request.no_cache {
        return Err(Miss::Refresh);
    }
    if rules.is_no_cache {
        return Err(Miss::Expired);
    }
    let end = head.expires_at().unwrap_or(Timestamp::MAX);
    let is_fresh = head.expires_at().is_none() || now < end;
    // §5.2.1.1.
    let is_young = |head| request.max_age.is_none_or(|limit| current_age(head, now) <= limit);
    if is_fresh {
        // §5.2.1.3.
        let stays_fresh = request.min_fresh.is_none_or(|length| {
            head.expires_at().is_none() || end.saturating_since(now) >= length
        });
        let is_satisfied = stays_fresh && (is_young(head) || rules.is_immutable);
        return if is_satisfied { Ok(Satisfied::Fresh) } else { Err(Miss::Refresh) };
    }
    // §5.2.1.2.
    let may_be_stale = match request.max_stale {
        Some(StaleLimit::Unlimited) => true,
        Some(StaleLimit::Within(limit)) => now.saturating_since(end) <= limit,
        Some(StaleLimit::None) | None => false,
    };
    if may_be_stale && !rules.is_forbidden && request.min_fresh.is_none() && is_young(head) {
        Ok(Satisfied::Stale)
    } else {
        Err(Miss::Expired)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method, Response};

    use super::{
        super::{request_directives::request_directives, stale::stale_rules},
        *,
    };
    use crate::policy::Scope;

    const fn secs(secs: u64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    /// A response that arrives at second 1000 with that `Cache-Control` and `Age`, and expires at
    /// second 1500.
    fn head(line: &'static str, age: &'static str) -> Head {
        let mut parts = Response::new(()).into_parts().0;
        parts.headers.append("cache-control", HeaderValue::from_static(line));
        parts.headers.append("age", HeaderValue::from_static(age));
        Head::new(Method::GET, "http://a/", parts, secs(1000)).with_expires_at(Some(secs(1500)))
    }

    fn at(now: u64, request: &'static str, head: &Head) -> Result<Satisfied, Miss> {
        let mut headers = HeaderMap::new();
        headers.append("cache-control", HeaderValue::from_static(request));
        let rules = stale_rules(Scope::Shared, &head.fields().facts().directives);
        satisfies(&request_directives(&headers), &rules, head, secs(now))
    }

    const FRESH: Result<Satisfied, Miss> = Ok(Satisfied::Fresh);
    const STALE: Result<Satisfied, Miss> = Ok(Satisfied::Stale);
    const REFRESH: Result<Satisfied, Miss> = Err(Miss::Refresh);
    const EXPIRED: Result<Satisfied, Miss> = Err(Miss::Expired);

    /// `cc-request.mjs`.
    #[test]
    fn request_directives_apply_to_the_second() {
        let aged = head("", "100");
        for (now, request, expected) in [
            (1499, "", FRESH),
            (1500, "", EXPIRED),
            (1000, "no-cache", REFRESH),
            (1500, "no-cache, max-stale", REFRESH),
            (1000, "max-age=0", REFRESH),
            (1000, "max-age=99", REFRESH),
            (1000, "max-age=100", FRESH),
            (1001, "max-age=100", REFRESH),
            (1000, "max-age=soon", REFRESH),
            (1000, "min-fresh=500", FRESH),
            (1000, "min-fresh=501", REFRESH),
            (1001, "min-fresh=500", REFRESH),
            (1000, "min-fresh=x", REFRESH),
            (1510, "max-stale=9", EXPIRED),
            (1510, "max-stale=10", STALE),
            (9999, "max-stale", STALE),
            (1500, "max-stale=0", STALE),
            (1501, "max-stale=x", EXPIRED),
            (1510, "max-stale=10, max-age=610", STALE),
            (1510, "max-stale=10, max-age=609", EXPIRED),
            (1510, "max-age=9999", EXPIRED),
            (1510, "max-stale=10, min-fresh=0", EXPIRED),
            (1499, "max-stale", FRESH),
        ] {
            assert_eq!(at(now, request, &aged), expected, "{now} {request}");
        }
    }

    #[test]
    fn max_stale_does_not_override_must_revalidate() {
        for line in ["must-revalidate", "proxy-revalidate", "s-maxage=500"] {
            assert_eq!(at(1499, "max-stale", &head(line, "0")), FRESH, "{line}");
            assert_eq!(at(1500, "max-stale", &head(line, "0")), EXPIRED, "{line}");
        }
        for now in [1000, 1500] {
            assert_eq!(at(now, "max-stale", &head("max-age=500, no-cache", "0")), EXPIRED);
        }
    }

    #[test]
    fn fresh_immutable_responses_satisfy_any_max_age() {
        let immutable = head("max-age=500, immutable", "100");
        assert_eq!(at(1000, "max-age=0", &immutable), FRESH);
        assert_eq!(at(1000, "no-cache", &immutable), REFRESH);
        assert_eq!(at(1000, "min-fresh=501", &immutable), REFRESH);
        assert_eq!(at(1500, "max-age=0", &immutable), EXPIRED);
        assert_eq!(at(1500, "max-age=0, max-stale", &immutable), EXPIRED);
    }

    #[test]
    fn responses_that_never_expire_satisfy_any_min_fresh() {
        let forever = head("", "0").with_expires_at(None);
        assert_eq!(at(9999, "min-fresh=99999999999999999999", &forever), FRESH);
        assert_eq!(at(9999, "max-age=5", &forever), REFRESH);
    }

    #[test]
    fn responses_stored_by_another_layer_are_judged_again() {
        let cookie = ("set-cookie", "a=1");
        let cc = |line| ("cache-control", line);
        let may = |scope, lines: &[(&'static str, &'static str)]| {
            let mut response = Response::new(()).into_parts().0;
            for (name, value) in lines {
                response.headers.append(*name, HeaderValue::from_static(value));
            }
            let head = Head::new(Method::GET, "http://a/", response, secs(784_111_777));
            may_answer(&Settings::plain(scope), &head.fields().facts().directives, &head)
                .map_err(|miss| assert_eq!(miss, Miss::NotAllowed))
                .is_ok()
        };
        for (line, private, shared) in [
            ("", true, true),
            ("no-store, max-age=60", false, false),
            ("no-store, max-age=60, must-understand", true, true),
            ("private, max-age=60", true, false),
            ("private=\"b\", max-age=60", true, true),
            ("private=\"a\", max-age=60", true, false),
            ("no-cache=\"b\", max-age=60", true, true),
            ("no-cache=\"a\", max-age=60", false, false),
            ("private=\"vary\", max-age=60", true, false),
            ("no-cache", true, true),
        ] {
            let lines = [cc(line), ("a", "1")];
            assert_eq!(may(Scope::Private, &lines), private, "{line}");
            assert_eq!(may(Scope::Shared, &lines), shared, "{line}");
        }
        for line in ["max-age=60", "max-age=0", "public, max-age=60", "no-cache"] {
            assert!(may(Scope::Private, &[cc(line), cookie]), "{line}");
            assert!(!may(Scope::Shared, &[cc(line), cookie]), "{line}");
        }
    }
}
