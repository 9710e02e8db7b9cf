//! Whether a response may be kept, and for how long it is fresh (RFC 9111 §3).
//!
//! Of the conditions in §3, two are judged elsewhere: the method by the settings of the cache, `Vary` by the key.

use std::time::Duration;

use http::{
    HeaderMap, HeaderName, StatusCode, Uri,
    header::{AUTHORIZATION, CONTENT_LOCATION, COOKIE, SET_COOKIE},
    request, response,
};

use super::{
    age::initial_age,
    demands::demands,
    directives::Directives,
    freshness::{Lifetime, is_heuristically_cacheable, lifetime},
    invalidate::named_url,
    targeted::effective_directives,
    withheld::{Scoped, withheld},
};
use crate::{
    entry::Head,
    policy::{Admission, Expiration, Scope, asks_for_part, validation::has_validator},
    status::{Miss, Refusal},
    time::Timestamp,
};

/// What the rules depend on beside the exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings<'a> {
    pub(crate) scope: Scope,
    /// The targeted fields that this cache goes by (RFC 9213 §2.2), the most specific first.
    pub(crate) targets: &'a [HeaderName],
    /// How long a response is kept that says nothing of it. It goes before any guess.
    pub(crate) fallback: Option<Expiration>,
    /// Whether a shared cache keeps cookies without the origin's leave.
    pub(crate) store_set_cookie: bool,
}

/// Whether the response may be kept, and how. Its end may be in the past, by as much as the response is stale; what must be
/// confirmed before each use is over on arrival. Not stored are the arguments of `no-cache` and, in a shared cache, of
/// `private` (RFC 9111 §3.1).
pub(crate) fn admit(
    settings: &Settings<'_>,
    request: &request::Parts,
    response: &response::Parts,
    requested_at: Timestamp,
    received_at: Timestamp,
) -> Result<Admission, Refusal> {
    let &Settings { scope, targets, fallback, store_set_cookie } = settings;
    let (status, headers) = (response.status, &response.headers);
    let is_shared = scope == Scope::Shared;
    // §5.2.1.5.
    if demands(&request.headers).no_store {
        return Err(Refusal::NoStore);
    }
    let is_part = asks_for_part(&request.method, &request.headers);
    if !is_complete(status, is_part) {
        return Err(Refusal::Status);
    }
    if fallback == Some(Expiration::DoNotStore) {
        return Err(Refusal::Expiration);
    }
    let (directives, is_targeted) = effective_directives(targets, headers);
    // §5.2.2.3: a status that is understood lifts `no-store`, another one is as good as `no-store`.
    match (directives.must_understand, is_understood(status)) {
        (true, false) => return Err(Refusal::MustUnderstand),
        (false, _) if directives.no_store => return Err(Refusal::NoStoreDirective),
        _ => {}
    }
    let no_cache = directives.no_cache.as_ref().map(Scoped::of);
    let private = directives.private.as_ref().filter(|_| is_shared).map(Scoped::of);
    if private == Some(Scoped::Whole) {
        return Err(Refusal::Private);
    }
    // §3.5.
    if is_shared && has_credentials(request) && !directives.allows_authorization {
        return Err(Refusal::Authorization);
    }
    let lifetime = lifetime(scope, &directives, is_targeted, status, headers, received_at);
    if fallback.is_none() && !is_cacheable(scope, &directives, status, lifetime) {
        return Err(Refusal::NoFreshness);
    }
    // §7.3: what the origin has said nothing about may be for the one whose cookie it got.
    let is_said = matches!(lifetime, Lifetime::Explicit(_)) || directives.public;
    if is_shared && request.headers.contains_key(COOKIE) && !is_said {
        return Err(Refusal::Authorization);
    }
    let withheld = withheld(headers, [no_cache, private]);
    let has_cookie = headers.contains_key(SET_COOKIE) && !withheld.contains(&SET_COOKIE);
    let is_no_cache = no_cache == Some(Scoped::Whole);
    if has_cookie && !store_set_cookie && !may_share_cookie(lifetime, is_no_cache) {
        return Err(Refusal::SetCookie);
    }
    let can_be_confirmed = status.is_success() && has_validator(headers);
    let end_of =
        |lifetime| end(received_at, lifetime, initial_age(headers, requested_at, received_at));
    let expires_at = match lifetime {
        // §5.2.2.4.
        _ if is_no_cache => {
            Some(received_at).filter(|_| can_be_confirmed).ok_or(Refusal::NoCache).map(Some)?
        }
        Lifetime::Explicit(lifetime) => Some(end_of(lifetime)),
        Lifetime::Heuristic(_) | Lifetime::Unknown => match (fallback, lifetime) {
            (Some(fallback), _) => fallback.expires_at(received_at).ok_or(Refusal::Expiration)?,
            (None, Lifetime::Heuristic(lifetime)) => Some(end_of(lifetime)),
            (None, _) if can_be_confirmed => Some(received_at),
            (None, _) => return Err(Refusal::NoFreshness),
        },
    };
    Ok(Admission { expires_at, withheld })
}

/// Whether a stored response may be answered with by a cache with these settings, whoever stored it: another layer over
/// the same store may have kept what this one never would.
pub(crate) fn may_answer(settings: &Settings<'_>, head: &Head) -> Result<(), Miss> {
    let (status, headers) = (head.status(), head.headers());
    let (directives, is_targeted) = effective_directives(settings.targets, headers);
    let is_shared = settings.scope == Scope::Shared;
    let is_lifted = directives.must_understand && is_understood(status);
    let no_cache = directives.no_cache.as_ref().map(Scoped::of);
    let private = directives.private.as_ref().filter(|_| is_shared).map(Scoped::of);
    let may_share = || {
        let at = head.stored_at();
        let lifetime = lifetime(settings.scope, &directives, is_targeted, status, headers, at);
        may_share_cookie(lifetime, no_cache == Some(Scoped::Whole))
    };
    let is_forbidden = (directives.no_store && !is_lifted)
        || private == Some(Scoped::Whole)
        || !withheld(headers, [no_cache, private]).is_empty()
        || (!settings.store_set_cookie && headers.contains_key(SET_COOKIE) && !may_share());
    if is_forbidden { Err(Miss::NotAllowed) } else { Ok(()) }
}

/// Whether one user's cookie may go to all (§7.3): the origin must have said for how long, and not by saying never.
fn may_share_cookie(lifetime: Lifetime, is_no_cache: bool) -> bool {
    matches!(lifetime, Lifetime::Explicit(lifetime) if !lifetime.is_zero()) && !is_no_cache
}

/// Whether the 200 to a `POST` for `target` says that a `GET` would bring the same, for a time that it names (RFC 9110
/// §9.3.3): its `Content-Location` is the URL itself.
pub(crate) fn speaks_for_get(
    scope: Scope,
    targets: &[HeaderName],
    target: &Uri,
    headers: &HeaderMap,
    now: Timestamp,
) -> bool {
    let mut lines = headers.get_all(CONTENT_LOCATION).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else { return false };
    if named_url(target, line).as_ref() != Some(target) {
        return false;
    }
    let (directives, is_targeted) = effective_directives(targets, headers);
    let lifetime = lifetime(scope, &directives, is_targeted, StatusCode::OK, headers, now);
    matches!(lifetime, Lifetime::Explicit(lifetime) if !lifetime.is_zero())
}

/// §3: a final status, and none that speaks of no response, or of a part of one that was not asked for.
fn is_complete(status: StatusCode, is_part: bool) -> bool {
    !status.is_informational()
        && (is_part || status != StatusCode::PARTIAL_CONTENT)
        && status != StatusCode::NOT_MODIFIED
}

/// The statuses of RFC 9110 §15 whose rules for caches are all implemented here: that is every one but 206 and 304.
fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=205 | 300..=303 | 305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505
    )
}

/// §3, the last condition: something allows it to be kept.
fn is_cacheable(
    scope: Scope,
    directives: &Directives,
    status: StatusCode,
    lifetime: Lifetime,
) -> bool {
    matches!(lifetime, Lifetime::Explicit(_))
        || directives.public
        || (scope == Scope::Private && directives.private.is_some())
        || is_heuristically_cacheable(status)
}

/// `Authorization`, or its like in the URL, which a client makes one of.
fn has_credentials(request: &request::Parts) -> bool {
    let in_url = || request.uri.authority().is_some_and(|it| it.as_str().contains('@'));
    request.headers.contains_key(AUTHORIZATION) || in_url()
}

/// §4.2: a response is fresh while its lifetime exceeds its age.
fn end(received_at: Timestamp, lifetime: Duration, age: Duration) -> Timestamp {
    match lifetime.checked_sub(age) {
        Some(left) => received_at.saturating_add(left),
        None => {
            let since = u64::try_from((age - lifetime).as_millis()).unwrap_or(u64::MAX);
            Timestamp::from_millis(received_at.as_millis().saturating_sub(since))
        }
    }
}

#[cfg(test)]
impl Settings<'_> {
    /// Those that leave everything to the origin.
    pub(super) fn plain(scope: Scope) -> Self {
        Settings { scope, targets: &[], fallback: None, store_set_cookie: scope == Scope::Private }
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method, Request, Response};

    use super::*;

    /// Sun, 06 Nov 1994 08:49:37 GMT.
    const NOW: Timestamp = Timestamp::from_millis(784_111_777_000);
    const DATE: (&str, &str) = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    const ETAG: (&str, &str) = ("etag", "\"a\"");
    const YESTERDAY: (&str, &str) = ("last-modified", "Sat, 05 Nov 1994 08:49:37 GMT");
    const COOKIE: (&str, &str) = ("set-cookie", "a=1");

    const fn cc(line: &'static str) -> (&'static str, &'static str) {
        ("cache-control", line)
    }

    type Lines<'a> = &'a [(&'static str, &'static str)];

    /// A request for a response of that status with these lines, both at [`NOW`].
    fn with(
        settings: &Settings<'_>,
        request: http::request::Builder,
        status: u16,
        lines: Lines<'_>,
    ) -> Result<Admission, Refusal> {
        let request = request.uri("http://a/").body(()).unwrap().into_parts().0;
        let mut response = Response::builder().status(status);
        for (name, value) in lines {
            response = response.header(*name, *value);
        }
        let response = response.body(()).unwrap().into_parts().0;
        admit(settings, &request, &response, NOW, NOW)
    }

    fn plain(scope: Scope) -> Settings<'static> {
        Settings::plain(scope)
    }

    /// The lifetime that is left, in seconds, below zero where it is over.
    fn left(admitted: Result<Admission, Refusal>) -> Result<i64, Refusal> {
        let end = admitted?.expires_at.unwrap();
        Ok((end.as_millis() as i64 - NOW.as_millis() as i64) / 1000)
    }

    fn shared(status: u16, lines: Lines<'_>) -> Result<i64, Refusal> {
        left(with(&plain(Scope::Shared), Request::builder(), status, lines))
    }

    fn private(status: u16, lines: Lines<'_>) -> Result<i64, Refusal> {
        left(with(&plain(Scope::Private), Request::builder(), status, lines))
    }

    /// `status.mjs`, `heuristic-freshness.mjs`.
    #[test]
    fn any_final_status_is_kept_where_the_origin_says_for_how_long() {
        for status in 200..1000 {
            let expected = if matches!(status, 206 | 304) { Err(Refusal::Status) } else { Ok(60) };
            assert_eq!(shared(status, &[cc("max-age=60"), DATE]), expected, "{status}");
        }
        assert_eq!(shared(103, &[cc("max-age=60")]), Err(Refusal::Status));
        for (status, expected) in [(200, Ok(8_640)), (404, Ok(8_640)), (501, Ok(8_640))] {
            assert_eq!(shared(status, &[YESTERDAY, DATE]), expected, "{status}");
        }
        for status in [201, 202, 302, 307, 403, 500, 502, 503, 504, 599] {
            assert_eq!(shared(status, &[YESTERDAY, ETAG]), Err(Refusal::NoFreshness), "{status}");
            assert_eq!(shared(status, &[YESTERDAY, DATE, cc("public")]), Ok(8_640), "{status}");
        }
        assert_eq!(private(201, &[ETAG, cc("private")]), Ok(0));
        assert_eq!(shared(201, &[ETAG, cc("private=\"a\"")]), Err(Refusal::NoFreshness));
    }

    /// `cc-response.mjs`, `status.mjs`.
    #[test]
    fn no_store_forbids_unless_the_status_is_understood() {
        let refused = Err(Refusal::NoStoreDirective);
        for line in ["no-store", "No-StOrE", "max-age=10000, no-store", "no-store; x", "no-store=1"]
        {
            assert_eq!(private(200, &[cc(line), ETAG]), refused, "{line}");
        }
        let understood = cc("max-age=60, no-store, must-understand");
        assert_eq!(shared(200, &[understood]), Ok(60));
        assert_eq!(shared(503, &[understood]), Ok(60));
        for unknown in [207, 226, 299, 306, 418, 425, 451, 599] {
            assert_eq!(shared(unknown, &[understood]), Err(Refusal::MustUnderstand), "{unknown}");
            let alone = cc("max-age=60, must-understand");
            assert_eq!(shared(unknown, &[alone]), Err(Refusal::MustUnderstand), "{unknown}");
        }
        let no_store = Request::builder().header("cache-control", "No-Store");
        let lines = [cc("max-age=60")];
        assert_eq!(with(&plain(Scope::Private), no_store, 200, &lines), Err(Refusal::NoStore));
    }

    #[test]
    fn private_is_for_private_caches() {
        for line in ["private, max-age=60", "PRIVATE, max-age=60", "max-age=60, private=\"\""] {
            assert_eq!(shared(200, &[cc(line)]), Err(Refusal::Private), "{line}");
            assert_eq!(private(200, &[cc(line)]), Ok(60), "{line}");
        }
        assert_eq!(shared(200, &[cc("private; max-age=60"), YESTERDAY]), Err(Refusal::Private));
    }

    /// `authorization.mjs`.
    #[test]
    fn answers_to_credentials_are_shared_only_where_the_origin_allows_it() {
        let of = |scope, line: &'static str| {
            let request = Request::builder().header("authorization", "FOO");
            left(with(&plain(scope), request, 200, &[cc(line), DATE]))
        };
        for line in ["max-age=3600, public", "max-age=3600, must-revalidate", "s-maxage=3600"] {
            assert_eq!(of(Scope::Shared, line), Ok(3600), "{line}");
        }
        for line in ["max-age=3600", "max-age=3600, proxy-revalidate", "max-age=3600, public=1"] {
            assert_eq!(of(Scope::Shared, line), Err(Refusal::Authorization), "{line}");
            assert_eq!(of(Scope::Private, line), Ok(3600), "{line}");
        }
        let in_url = Request::get("http://me:pw@a/").body(()).unwrap().into_parts().0;
        let response = Response::builder().header("cache-control", "max-age=5").body(()).unwrap();
        let response = response.into_parts().0;
        let refused = admit(&plain(Scope::Shared), &in_url, &response, NOW, NOW);
        assert_eq!(refused, Err(Refusal::Authorization));
    }

    /// `other.mjs`.
    #[test]
    fn a_cookie_is_shared_only_for_a_time_that_the_origin_says() {
        assert_eq!(shared(200, &[cc("max-age=60"), COOKIE]), Ok(60));
        for lines in [
            &[YESTERDAY, COOKIE, DATE][..],
            &[ETAG, COOKIE],
            &[cc("max-age=0"), COOKIE],
            &[cc("public"), ETAG, COOKIE],
            &[cc("max-age=60, no-cache"), ETAG, COOKIE],
        ] {
            assert_eq!(shared(200, lines), Err(Refusal::SetCookie), "{lines:?}");
            assert!(private(200, lines).is_ok(), "{lines:?}");
        }
        // A cookie that is not stored is nobody's.
        for line in ["no-cache=\"set-cookie\"", "private=\"Set-Cookie\""] {
            assert_eq!(shared(200, &[cc(line), COOKIE, YESTERDAY, DATE]), Ok(8_640), "{line}");
        }
    }

    /// `cc-response.mjs`.
    #[test]
    fn what_must_be_confirmed_is_kept_where_it_can_be() {
        for line in ["no-cache", "max-age=10000, No-CaChE", "no-cache, no-cache=\"a\""] {
            assert_eq!(private(200, &[cc(line), ETAG]), Ok(0), "{line}");
            assert_eq!(private(200, &[cc(line), YESTERDAY, ("age", "500")]), Ok(0), "{line}");
            assert_eq!(private(200, &[cc(line)]), Err(Refusal::NoCache), "{line}");
            assert_eq!(private(404, &[cc(line), ETAG]), Err(Refusal::NoCache), "{line}");
        }
    }

    #[test]
    fn what_says_nothing_is_kept_where_it_can_be_confirmed_or_the_user_says() {
        assert_eq!(private(200, &[ETAG]), Ok(0));
        assert_eq!(private(200, &[("last-modified", "yesterday")]), Ok(0));
        assert_eq!(private(200, &[]), Err(Refusal::NoFreshness));
        assert_eq!(private(404, &[ETAG]), Err(Refusal::NoFreshness));
        let of = |fallback: Expiration, status, lines: Lines<'_>| {
            let settings = Settings { fallback: Some(fallback), ..plain(Scope::Shared) };
            with(&settings, Request::builder(), status, lines).map(|it| it.expires_at)
        };
        let five = Expiration::After(Duration::from_secs(5));
        let in_secs = |secs| Ok(Some(NOW.saturating_add(Duration::from_secs(secs))));
        assert_eq!(of(five, 200, &[]), in_secs(5));
        assert_eq!(of(five, 404, &[]), in_secs(5));
        assert_eq!(of(five, 200, &[cc("max-age=60")]), in_secs(60), "the origin knows better");
        assert_eq!(of(five, 200, &[cc("no-cache"), ETAG]), in_secs(0));
        assert_eq!(of(five, 200, &[COOKIE]), Err(Refusal::SetCookie));
        assert_eq!(of(Expiration::Never, 200, &[]), Ok(None));
        assert_eq!(of(Expiration::DoNotStore, 200, &[ETAG]), Err(Refusal::Expiration));
    }

    /// `cc-freshness.mjs`, `expires-freshness.mjs`.
    #[test]
    fn age_is_taken_off_the_lifetime() {
        let age = |value| ("age", value);
        assert_eq!(shared(200, &[cc("max-age=3600"), age("7200"), DATE]), Ok(-3600));
        assert_eq!(shared(200, &[cc("max-age=3600"), age("600"), DATE]), Ok(3000));
        assert_eq!(shared(200, &[cc("max-age=3600"), age("7200, 0"), DATE]), Ok(-3600));
        assert_eq!(shared(200, &[cc("max-age=3600"), age("x"), DATE]), Ok(3600));
        let ancient = shared(200, &[cc("max-age=3600"), age("99999999999999999999")]);
        assert_eq!(ancient, Ok(-784_111_777));
        let slow = ("date", "Sun, 06 Nov 1994 08:49:27 GMT");
        let expires = ("expires", "Sun, 06 Nov 1994 08:49:47 GMT");
        assert_eq!(shared(200, &[slow, expires, age("25")]), Ok(-5));
        let fast = ("date", "Sun, 06 Nov 1994 08:49:47 GMT");
        let later = ("expires", "Sun, 06 Nov 1994 08:49:57 GMT");
        assert_eq!(shared(200, &[fast, later, age("15")]), Ok(-5));
        let forever = cc("max-age=99999999999999999999");
        let admitted = with(&plain(Scope::Shared), Request::builder(), 200, &[forever]);
        assert_eq!(admitted.unwrap().expires_at, Some(Timestamp::MAX));
    }

    /// `cdn-cache-control.mjs`.
    #[test]
    fn a_targeted_field_decides_alone() {
        let targets = [HeaderName::from_static("cdn-cache-control")];
        let settings = Settings { targets: &targets, ..plain(Scope::Shared) };
        let cdn = |line| ("cdn-cache-control", line);
        let of = |lines: Lines<'_>| left(with(&settings, Request::builder(), 200, lines));
        let expires = ("expires", "Sun, 06 Nov 1994 08:49:47 GMT");
        let (long, no_store) = (cc("max-age=10000"), cc("no-store"));
        assert_eq!(of(&[cdn("max-age=3600"), ("age", "7200"), DATE]), Ok(-3600));
        assert_eq!(of(&[cdn("max-age=3600"), ("expires", "0"), DATE]), Ok(3600));
        assert_eq!(of(&[cdn("max-age=0"), expires, DATE]), Ok(0));
        assert_eq!(of(&[cdn("max-age=1"), long]), Ok(1));
        assert_eq!(of(&[cdn("private"), long, expires, DATE]), Err(Refusal::Private));
        assert_eq!(of(&[cdn("no-cache"), long, expires, DATE]), Err(Refusal::NoCache));
        assert_eq!(of(&[cdn("no-store"), long, expires]), Err(Refusal::NoStoreDirective));
        assert_eq!(of(&[cdn("max-age=10000"), no_store]), Ok(10_000));
        for invalid in ["max-age=10000, &&&&&", "max-age=\"10000\""] {
            assert_eq!(of(&[cdn(invalid), no_store]), Err(Refusal::NoStoreDirective), "{invalid}");
        }
        assert_eq!(of(&[cdn("foo"), long]), Err(Refusal::NoFreshness));
    }

    #[test]
    fn what_another_layer_has_kept_is_judged_again() {
        let may = |scope, lines: Lines<'_>| {
            let mut response = Response::new(()).into_parts().0;
            for (name, value) in lines {
                response.headers.append(*name, HeaderValue::from_static(value));
            }
            let head = Head::new(Method::GET, "http://a/", response, NOW);
            may_answer(&plain(scope), &head)
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
        for (line, shared) in [("max-age=60", true), ("max-age=0", false), ("no-cache", false)] {
            assert!(may(Scope::Private, &[cc(line), COOKIE]), "{line}");
            assert_eq!(may(Scope::Shared, &[cc(line), COOKIE]), shared, "{line}");
        }
        assert!(!may(Scope::Shared, &[COOKIE, YESTERDAY]));
    }

    #[test]
    fn a_post_speaks_for_a_get_by_its_own_url_and_a_time_that_it_names() {
        let of = |lines: Lines<'_>| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let target = Uri::from_static("http://a/x?y");
            speaks_for_get(Scope::Shared, &[], &target, &headers, NOW)
        };
        let (own, fresh) = (("content-location", "http://a/x?y"), cc("max-age=60"));
        assert!(of(&[own, fresh]));
        assert!(of(&[("content-location", "/x?y"), fresh]));
        assert!(of(&[("content-location", ""), fresh]));
        assert!(!of(&[("content-location", "/x"), fresh]));
        assert!(!of(&[("content-location", "http://b/x?y"), fresh]));
        assert!(!of(&[own, own, fresh]));
        assert!(!of(&[fresh]) && !of(&[own]) && !of(&[own, YESTERDAY]));
        assert!(!of(&[own, cc("max-age=0")]));
    }

    /// What the user has chosen goes before a guess, and behind what the origin says.
    #[test]
    fn a_fallback_is_for_what_the_origin_leaves_open() {
        let settings = Settings {
            fallback: Some(Expiration::After(Duration::from_secs(5))),
            ..plain(Scope::Shared)
        };
        let of =
            |status, lines: Lines<'_>| left(with(&settings, Request::builder(), status, lines));
        assert_eq!(of(200, &[YESTERDAY, DATE]), Ok(5));
        assert_eq!(of(200, &[]), Ok(5));
        assert_eq!(of(500, &[]), Ok(5));
        assert_eq!(of(200, &[cc("max-age=60")]), Ok(60));
        assert_eq!(of(200, &[cc("max-age=0"), ETAG]), Ok(0));
        assert_eq!(of(200, &[cc("no-cache"), ETAG]), Ok(0));
        assert_eq!(of(200, &[cc("private")]), Err(Refusal::Private));
        assert_eq!(of(200, &[("set-cookie", "a=1")]), Err(Refusal::SetCookie));
        let never = Settings { fallback: Some(Expiration::DoNotStore), ..settings };
        let refused = with(&never, Request::builder(), 200, &[cc("max-age=60")]);
        assert_eq!(refused, Err(Refusal::Expiration));
    }

    #[test]
    fn what_is_guessed_is_not_for_all_where_one_users_cookie_was_sent() {
        let settings = Settings {
            fallback: Some(Expiration::After(Duration::from_secs(5))),
            ..plain(Scope::Shared)
        };
        let cookie = || Request::builder().header("cookie", "a=1");
        let of = |lines: Lines<'_>| left(with(&settings, cookie(), 200, lines));
        for lines in [&[][..], &[YESTERDAY, DATE], &[ETAG]] {
            assert_eq!(of(lines), Err(Refusal::Authorization));
        }
        assert_eq!(of(&[cc("max-age=60")]), Ok(60));
        assert_eq!(of(&[cc("public")]), Ok(5));
        assert_eq!(
            left(with(&plain(Scope::Private), cookie(), 200, &[YESTERDAY, DATE])),
            Ok(8_640)
        );
    }

    #[test]
    fn a_part_is_kept_for_who_asks_for_parts() {
        let range = || Request::builder().header("range", "bytes=0-1");
        let lines = [cc("max-age=60")];
        assert_eq!(left(with(&plain(Scope::Shared), range(), 206, &lines)), Ok(60));
        assert_eq!(
            left(with(&plain(Scope::Shared), range().method("HEAD"), 206, &lines)),
            Err(Refusal::Status)
        );
    }
}
