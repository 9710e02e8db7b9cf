//! Tests of storable responses and their expiry. Comments name the files of the cache-tests suite
//! that the cases come from.

use http::{Request, Response, response};

use super::{super::request_directives::request_directives, *};

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

/// Judges a response with that status and these lines, requested and received at [`NOW`].
fn with(
    settings: &Settings<'_>,
    request: http::request::Builder,
    status: u16,
    lines: Lines<'_>,
) -> Result<Storable, Refusal> {
    let request = request.uri("http://a/").body(()).unwrap().into_parts().0;
    let mut response = Response::builder().status(status);
    for (name, value) in lines {
        response = response.header(*name, *value);
    }
    let response = response.body(()).unwrap().into_parts().0;
    storable(settings, &request, &response, NOW, NOW)
}

fn storable(
    settings: &Settings<'_>,
    request: &request::Parts,
    response: &response::Parts,
    requested_at: Timestamp,
    received_at: Timestamp,
) -> Result<Storable, Refusal> {
    let response = ResponseHead::new(response.clone(), received_at);
    let directives = request_directives(&request.headers);
    check_storable(settings, &directives, request, &response, requested_at, received_at).storable()
}

fn plain(scope: Scope) -> Settings<'static> {
    Settings::plain(scope)
}

/// The remaining lifetime in seconds. Negative if the response is stale.
fn left(storable: Result<Storable, Refusal>) -> Result<i64, Refusal> {
    let end = storable?.expires_at.unwrap();
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
fn any_final_status_is_stored_with_an_explicit_lifetime() {
    for status in 200..1000 {
        assert_eq!(shared(status, &[cc("max-age=60"), DATE]), Ok(60), "{status}");
    }
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
    for line in ["no-store", "No-StOrE", "max-age=10000, no-store", "no-store; x", "no-store=1"] {
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
fn private_responses_are_stored_only_in_private_caches() {
    for line in ["private, max-age=60", "PRIVATE, max-age=60", "max-age=60, private=\"\""] {
        assert_eq!(shared(200, &[cc(line)]), Err(Refusal::Private), "{line}");
        assert_eq!(private(200, &[cc(line)]), Ok(60), "{line}");
    }
    assert_eq!(shared(200, &[cc("private; max-age=60"), YESTERDAY]), Err(Refusal::Private));
}

/// `authorization.mjs`.
#[test]
fn responses_to_authorization_are_shared_only_with_permission() {
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
    let refused = storable(&plain(Scope::Shared), &in_url, &response, NOW, NOW);
    assert_eq!(refused, Err(Refusal::Authorization));
}

/// `other.mjs`.
#[test]
fn a_shared_cache_stores_cookies_only_by_setting() {
    let settings = Settings { store_set_cookie: true, ..plain(Scope::Shared) };
    let lines = [cc("max-age=60"), COOKIE];
    assert_eq!(left(with(&settings, Request::builder(), 200, &lines)), Ok(60));
    for lines in [
        &[cc("max-age=60"), COOKIE][..],
        &[YESTERDAY, COOKIE, DATE],
        &[ETAG, COOKIE],
        &[cc("max-age=0"), COOKIE],
        &[cc("public"), ETAG, COOKIE],
        &[cc("max-age=60, no-cache"), ETAG, COOKIE],
    ] {
        assert_eq!(shared(200, lines), Err(Refusal::SetCookie), "{lines:?}");
        assert!(private(200, lines).is_ok(), "{lines:?}");
    }
    // A cookie that is omitted does not matter.
    for line in ["no-cache=\"set-cookie\"", "private=\"Set-Cookie\""] {
        assert_eq!(shared(200, &[cc(line), COOKIE, YESTERDAY, DATE]), Ok(8_640), "{line}");
    }
}

/// `cc-response.mjs`.
#[test]
fn no_cache_responses_are_stored_only_with_a_validator() {
    for line in ["no-cache", "max-age=10000, No-CaChE", "no-cache, no-cache=\"a\""] {
        assert_eq!(private(200, &[cc(line), ETAG]), Ok(0), "{line}");
        assert_eq!(private(200, &[cc(line), YESTERDAY, ("age", "500")]), Ok(0), "{line}");
        assert_eq!(private(200, &[cc(line)]), Err(Refusal::NoCache), "{line}");
        assert_eq!(private(404, &[cc(line), ETAG]), Err(Refusal::NoCache), "{line}");
    }
}

#[test]
fn responses_without_freshness_need_a_validator_or_a_fallback() {
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
    assert_eq!(
        of(five, 200, &[cc("max-age=60")]),
        in_secs(60),
        "the origin's lifetime takes precedence"
    );
    assert_eq!(of(five, 200, &[cc("no-cache"), ETAG]), in_secs(0));
    assert_eq!(of(five, 200, &[COOKIE]), Err(Refusal::SetCookie));
    assert_eq!(of(Expiration::Never, 200, &[]), Ok(None));
    assert_eq!(of(Expiration::DoNotStore, 200, &[ETAG]), Err(Refusal::Expiration));
}

/// `cc-freshness.mjs`, `expires-freshness.mjs`.
#[test]
fn age_is_subtracted_from_the_lifetime() {
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
    let storable = with(&plain(Scope::Shared), Request::builder(), 200, &[forever]);
    assert_eq!(storable.unwrap().expires_at, Some(Timestamp::MAX));
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

/// The fallback precedes the heuristic. What the origin states precedes the fallback.
#[test]
fn the_fallback_applies_only_without_an_explicit_lifetime() {
    let settings = Settings {
        fallback: Some(Expiration::After(Duration::from_secs(5))),
        ..plain(Scope::Shared)
    };
    let of = |status, lines: Lines<'_>| left(with(&settings, Request::builder(), status, lines));
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
fn responses_to_cookies_are_shared_only_with_explicit_freshness() {
    let settings = Settings {
        fallback: Some(Expiration::After(Duration::from_secs(5))),
        ..plain(Scope::Shared)
    };
    let cookie = || Request::builder().header("cookie", "a=1");
    let of = |lines: Lines<'_>| left(with(&settings, cookie(), 200, lines));
    for lines in [&[][..], &[YESTERDAY, DATE], &[ETAG]] {
        assert_eq!(of(lines), Err(Refusal::Cookie));
    }
    assert_eq!(of(&[cc("max-age=60")]), Ok(60));
    assert_eq!(of(&[cc("public")]), Ok(5));
    assert_eq!(left(with(&plain(Scope::Private), cookie(), 200, &[YESTERDAY, DATE])), Ok(8_640));
}

/// If several reasons apply, users see the first in this order. Each row removes the reason before
/// it.
#[test]
fn the_order_of_the_reasons_is_fixed() {
    let user = || {
        Request::builder()
            .header("authorization", "x")
            .header("cookie", "a=1")
            .header("cache-control", "no-store")
    };
    let never = Settings { fallback: Some(Expiration::DoNotStore), ..plain(Scope::Shared) };
    let all = cc("must-understand, no-store, private, no-cache");
    let rows: [(Settings<'_>, u16, Lines<'_>, Refusal); 10] = [
        (never, 299, &[all, cc("no-store=1"), COOKIE], Refusal::Expiration),
        (plain(Scope::Shared), 299, &[all, COOKIE], Refusal::MustUnderstand),
        (
            plain(Scope::Shared),
            299,
            &[cc("no-store, private, no-cache"), COOKIE],
            Refusal::NoStoreDirective,
        ),
        (plain(Scope::Shared), 299, &[cc("private, no-cache"), COOKIE], Refusal::Private),
        (plain(Scope::Shared), 299, &[cc("no-cache"), COOKIE], Refusal::Authorization),
        (
            plain(Scope::Shared),
            299,
            &[cc("no-cache, must-revalidate"), COOKIE],
            Refusal::NoFreshness,
        ),
        (plain(Scope::Shared), 200, &[cc("no-cache, must-revalidate"), COOKIE], Refusal::Cookie),
        (plain(Scope::Shared), 200, &[cc("no-cache, public"), COOKIE], Refusal::SetCookie),
        (plain(Scope::Shared), 200, &[cc("no-cache, public")], Refusal::NoCache),
        (plain(Scope::Shared), 200, &[cc("public, max-age=60")], Refusal::NoStore),
    ];
    for (settings, status, lines, expected) in rows {
        assert_eq!(with(&settings, user(), status, lines), Err(expected), "{lines:?}");
    }
    let refused = with(&plain(Scope::Shared), user(), 200, &[cc("public")]);
    assert_eq!(refused, Err(Refusal::NoFreshness), "reported before the request's no-store");
    let user = Request::builder().header("authorization", "x").header("cookie", "a=1");
    assert!(with(&plain(Scope::Shared), user, 200, &[cc("public, max-age=60")]).is_ok());
}
