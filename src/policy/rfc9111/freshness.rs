//! The freshness lifetime of a response (RFC 9111 §4.2.1, §4.2.2), counted from its generation by
//! the origin.

use std::time::Duration;

use http::StatusCode;

use crate::{entry::Facts, fields::Directives, policy::Scope, time::Timestamp};

/// A freshness lifetime and its source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// The origin states it.
    Explicit(Duration),
    /// Heuristic: computed from the time since the last modification.
    Heuristic(Duration),
    /// The response has no basis for a lifetime.
    Unknown,
}

/// The longest heuristic lifetime. Without a limit, a tenth of the time since the last modification
/// would keep a response fresh for a year if it had not changed for ten years. One day is the limit
/// above which RFC 7234 (§5.5.4) required a warning.
const LONGEST_GUESS: Duration = Duration::from_secs(24 * 60 * 60);

/// A `Last-Modified` on the first day of 1970 comes from a clock or a file system that is not set.
const UNKNOWN_UNTIL: Timestamp = Timestamp::from_millis(24 * 60 * 60 * 1000);

/// The lifetime of a response. The first of these that is present counts: `s-maxage` (in a shared
/// cache), `max-age`, `Expires` minus `Date` (RFC 9111 §4.2.1), a tenth of the time since
/// `Last-Modified` (§4.2.2). `is_targeted` says that a targeted field replaces `Cache-Control` and
/// `Expires` (RFC 9213 §2.2). The other inputs are the `facts` of the response.
pub(crate) fn lifetime(
    scope: Scope,
    directives: &Directives,
    is_targeted: bool,
    status: StatusCode,
    facts: &Facts,
    received_at: Timestamp,
) -> Lifetime {
    let shared = directives.s_maxage.filter(|_| scope == Scope::Shared);
    if let Some(seconds) = shared.or(directives.max_age) {
        return Lifetime::Explicit(Duration::from_secs(seconds));
    }
    let written_at = facts.date.unwrap_or(received_at);
    if let Some(end) = facts.expires.filter(|_| !is_targeted) {
        return Lifetime::Explicit(end.saturating_since(written_at));
    }
    if !directives.public && !is_heuristically_cacheable(status) {
        return Lifetime::Unknown;
    }
    match facts.last_modified {
        Some(modified) if modified >= UNKNOWN_UNTIL => {
            let unchanged = written_at.min(received_at).saturating_since(modified);
            Lifetime::Heuristic((unchanged / 10).min(LONGEST_GUESS))
        }
        _ => Lifetime::Unknown,
    }
}

/// Whether a response with this status may have a heuristic lifetime (RFC 9110 §15.1). The RFC
/// also lists 206, which is excluded here. A response with any other final status may be stored if
/// something states its lifetime.
pub(crate) fn is_heuristically_cacheable(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Response};

    use super::*;
    use crate::entry::ResponseHead;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const NOW: Timestamp = Timestamp::from_millis(784_111_777_000);
    const DATE: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");

    fn response(lines: &[(&'static str, &'static str)]) -> ResponseHead {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let mut parts = Response::new(()).into_parts().0;
        parts.headers = headers;
        ResponseHead::new(parts, NOW)
    }

    fn of(scope: Scope, status: u16, lines: &[(&'static str, &'static str)]) -> Lifetime {
        let response = response(lines);
        let facts = response.fields().facts();
        let status = StatusCode::from_u16(status).unwrap();
        lifetime(scope, &facts.directives, false, status, facts, NOW)
    }

    fn ok(lines: &[(&'static str, &'static str)]) -> Lifetime {
        of(Scope::Private, 200, lines)
    }

    const fn explicit(secs: u64) -> Lifetime {
        Lifetime::Explicit(Duration::from_secs(secs))
    }

    const fn guess(secs: u64) -> Lifetime {
        Lifetime::Heuristic(Duration::from_secs(secs))
    }

    /// `cc-freshness.mjs`.
    #[test]
    fn the_most_specific_lifetime_counts() {
        let expires = ("expires", "Sun, 06 Nov 1994 08:49:47 GMT");
        let cc = |line| ("cache-control", line);
        for (line, private, shared) in [
            ("max-age=3600", 3600, 3600),
            ("max-age=0", 0, 0),
            ("max-age=-3600", 0, 0),
            ("MaX-aGe=3600", 3600, 3600),
            ("s-maxage=3600, max-age=1", 1, 3600),
            ("max-age=3600, s-maxage=1", 3600, 1),
            ("s-maxage=1, max-age=3600", 3600, 1),
            ("max-age=0, s-maxage=3600", 0, 3600),
            ("s-maxage=x, max-age=3600", 3600, 0),
            ("s-maxage=3600", 10, 3600),
            ("public", 10, 10),
        ] {
            let lines = [cc(line), expires, DATE];
            assert_eq!(of(Scope::Private, 200, &lines), explicit(private), "{line}");
            assert_eq!(of(Scope::Shared, 200, &lines), explicit(shared), "{line}");
        }
        assert_eq!(ok(&[cc("max-age=3600"), ("expires", "0"), DATE]), explicit(3600));
        assert_eq!(ok(&[cc("max-age=99999999999999999999")]), explicit(u64::MAX));
        assert_eq!(of(Scope::Private, 200, &[cc("s-maxage=5")]), Lifetime::Unknown);
        assert_eq!(ok(&[]), Lifetime::Unknown);
    }

    /// `expires-freshness.mjs`.
    #[test]
    fn expires_is_counted_from_date() {
        let expires = |value| ("expires", value);
        let soon = expires("Sun, 06 Nov 1994 08:49:47 GMT");
        let date = |value| ("date", value);
        assert_eq!(ok(&[soon, DATE]), explicit(10));
        assert_eq!(ok(&[soon]), explicit(10), "counted from receipt");
        assert_eq!(ok(&[soon, date("foo")]), explicit(10));
        assert_eq!(ok(&[soon, DATE, DATE]), explicit(10));
        assert_eq!(ok(&[soon, date("Sun, 06 Nov 1994 08:49:27 GMT")]), explicit(20));
        assert_eq!(ok(&[soon, date("Sun, 06 Nov 1994 08:49:48 GMT")]), explicit(0));
        assert_eq!(ok(&[expires(DATE.1), DATE]), explicit(0));
        for invalid in ["0", "", "Sun, 06 Nov 1994 08:49:47 UTC", "Sun, 6 Nov 1994 08:49:47 GMT"] {
            assert_eq!(ok(&[expires(invalid), DATE]), explicit(0), "{invalid}");
        }
        assert_eq!(ok(&[soon, soon, DATE]), explicit(0), "two lines count as a past date");
        let last_modified = ("last-modified", "Sat, 05 Nov 1994 08:49:37 GMT");
        assert_eq!(
            ok(&[expires("0"), last_modified]),
            explicit(0),
            "an invalid `Expires` rules out the heuristic"
        );
    }

    /// `heuristic-freshness.mjs`.
    #[test]
    fn the_heuristic_lifetime_is_a_tenth_of_the_time_since_last_modified() {
        let last_modified = |value| ("last-modified", value);
        let yesterday = last_modified("Sat, 05 Nov 1994 08:49:37 GMT");
        let kept: Vec<u16> = (200..600)
            .filter(|status| of(Scope::Shared, *status, &[yesterday, DATE]) == guess(8_640))
            .collect();
        assert_eq!(kept, [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501]);
        let public = ("cache-control", "public");
        assert_eq!(of(Scope::Shared, 599, &[yesterday, DATE, public]), guess(8_640));
        assert_eq!(of(Scope::Shared, 599, &[yesterday, DATE]), Lifetime::Unknown);

        assert_eq!(ok(&[yesterday]), guess(8_640));
        assert_eq!(ok(&[last_modified("Sun, 06 Nov 1994 08:49:27 GMT"), DATE]), guess(1));
        assert_eq!(ok(&[last_modified("Sun, 06 Nov 1994 09:49:37 GMT"), DATE]), guess(0));
        assert_eq!(ok(&[last_modified("Sat, 06 Nov 1993 08:49:37 GMT"), DATE]), guess(86_400));
        // A `Date` in the future does not lengthen the heuristic lifetime.
        let ahead = ("date", "Mon, 06 Nov 2000 08:49:37 GMT");
        assert_eq!(ok(&[yesterday, ahead]), guess(8_640));
        for unknown in
            ["yesterday", "Thu, 01 Jan 1970 00:00:01 GMT", "Thu, 01 Jan 1970 23:59:59 GMT"]
        {
            assert_eq!(ok(&[last_modified(unknown), DATE]), Lifetime::Unknown, "{unknown}");
        }
        assert_eq!(ok(&[yesterday, yesterday]), Lifetime::Unknown);
    }

    #[test]
    fn targeted_directives_replace_expires() {
        let response = response(&[
            ("expires", "Sun, 06 Nov 1994 08:49:47 GMT"),
            ("last-modified", "Sat, 05 Nov 1994 08:49:37 GMT"),
            DATE,
        ]);
        let of = |directives: &Directives| {
            let facts = response.fields().facts();
            lifetime(Scope::Shared, directives, true, StatusCode::OK, facts, NOW)
        };
        assert_eq!(of(&Directives::default()), guess(8_640));
        let named = Directives { max_age: Some(5), ..Directives::default() };
        assert_eq!(of(&named), explicit(5));
    }
}
