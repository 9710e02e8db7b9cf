//! The default policy: time alone decides, and cache headers are ignored.
//!
//! A shared cache stores nothing that may be for one user only: no response to a request with
//! credentials, and no response that sets a cookie. It stores no response at all until an
//! expiration is set.

use http::{header::SET_COOKIE, response};

use super::{Scope, Storable};
use crate::{
    entry::Head,
    policy::Expiration,
    status::{Miss, Refusal},
    time::Timestamp,
};

pub(super) fn may_answer(store_set_cookie: bool, head: &Head) -> Result<(), Miss> {
    // Another layer over the same store may have stored a response that this one refuses.
    if head.headers().contains_key(SET_COOKIE) && !store_set_cookie {
        return Err(Miss::NotAllowed);
    }
    Ok(())
}

pub(super) fn storable(
    scope: Scope,
    store_set_cookie: bool,
    response: &response::Parts,
    chosen: Option<Expiration>,
    now: Timestamp,
) -> Result<Storable, Refusal> {
    if let Some(refusal) = refused_by_origin(store_set_cookie, response) {
        return Err(refusal);
    }
    let expiration = match (chosen, scope) {
        (Some(expiration), _) => expiration,
        (None, Scope::Private) => Expiration::Never,
        (None, Scope::Shared) => return Err(Refusal::NoExpiration),
    };
    let expires_at = expiration.expires_at(now).ok_or(Refusal::Expiration)?;
    Ok(Storable { expires_at, omitted: Vec::new() })
}

/// The reason in the response that forbids storing it. `Vary` is judged elsewhere for both
/// policies.
pub(super) fn refused_by_origin(
    store_set_cookie: bool,
    response: &response::Parts,
) -> Option<Refusal> {
    let sets_cookie = response.headers.contains_key(SET_COOKIE);
    (sets_cookie && !store_set_cookie).then_some(Refusal::SetCookie)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{Request, Response, request};

    use super::*;
    use crate::{
        entry::ResponseHead,
        options::CacheOptions,
        policy::{Exchange, Rules, StaleLimit, Verdict},
        status::Bypass,
    };

    const NONE: CacheOptions = CacheOptions::new();

    fn request(builder: http::request::Builder) -> request::Parts {
        builder.body(()).unwrap().into_parts().0
    }

    fn admit_plain(
        rules: &Rules,
        response: http::response::Builder,
    ) -> Result<Option<Timestamp>, Refusal> {
        let response = response.body(()).unwrap().into_parts().0;
        let request = request(Request::get("http://a/"));
        let exchange = Exchange {
            options: &NONE,
            url: "http://a/",
            request: &request,
            response: &ResponseHead::new(response, Timestamp::MIN),
            requested_at: Timestamp::MIN,
            now: Timestamp::MIN,
        };
        rules.storable(&exchange).map(|storable| storable.expires_at)
    }

    #[test]
    fn private_caches_store_forever_and_replay_cookies() {
        let rules = Rules::new(Scope::Private);
        assert_eq!(admit_plain(&rules, Response::builder()), Ok(None));
        assert_eq!(admit_plain(&rules, Response::builder().header("set-cookie", "a=1")), Ok(None));
        // Cache headers are ignored.
        let no_store = Response::builder().header("cache-control", "no-store");
        assert_eq!(admit_plain(&rules, no_store), Ok(None));
        let auth = request(Request::get("http://a/").header("authorization", "x"));
        assert_eq!(rules.gate(&NONE, &auth), Ok(()));
    }

    #[test]
    fn shared_caches_store_nothing_by_default() {
        let mut rules = Rules::new(Scope::Shared);
        assert_eq!(admit_plain(&rules, Response::builder()), Err(Refusal::NoExpiration));
        rules.expiration.layer = Some(Duration::from_secs(1).into());
        assert_eq!(
            admit_plain(&rules, Response::builder()),
            Ok(Some(Timestamp::from_millis(1_000)))
        );
        let cookie = || Response::builder().header("set-cookie", "a=1");
        assert_eq!(admit_plain(&rules, cookie()), Err(Refusal::SetCookie));
        rules.store_set_cookie = true;
        assert!(admit_plain(&rules, cookie()).is_ok());
    }

    #[test]
    fn shared_caches_bypass_requests_with_credentials() {
        let mut rules = Rules::new(Scope::Shared);
        let requests = [
            request(Request::get("http://a/").header("authorization", "x")),
            request(Request::get("http://a/").header("cookie", "x=1")),
            request(Request::get("http://me:pw@a/")),
        ];
        for request in &requests {
            assert_eq!(rules.gate(&NONE, request), Err(Bypass::Credentials));
        }
        rules.store_credentialed = Some(true);
        assert!(requests.iter().all(|request| rules.gate(&NONE, request).is_ok()));
    }

    #[test]
    fn statuses_predicates_and_modes_refuse_by_name() {
        let mut rules = Rules::new(Scope::Private);
        assert_eq!(admit_plain(&rules, Response::builder().status(404)), Err(Refusal::Status));
        rules.store_if =
            Some(std::sync::Arc::new(|_, response| !response.headers.contains_key("x-no")));
        assert_eq!(
            admit_plain(&rules, Response::builder().header("x-no", "1")),
            Err(Refusal::Predicate)
        );
        rules.expiration.layer = Some(Expiration::DoNotStore);
        assert_eq!(admit_plain(&rules, Response::builder()), Err(Refusal::Expiration));
        rules.read_only = true;
        assert_eq!(admit_plain(&rules, Response::builder()), Err(Refusal::ReadOnly));
    }

    #[test]
    fn responses_expire_exactly_at_their_expiry() {
        let parts = Response::new(()).into_parts().0;
        let head = Head::new(http::Method::GET, "", parts, Timestamp::MIN)
            .with_expires_at(Some(Timestamp::from_millis(10)));
        let rules = Rules::new(Scope::Private);
        let verdict =
            |now| rules.verdict(&NONE, &http::Method::GET, &head, Timestamp::from_millis(now));
        assert_eq!(verdict(9), Verdict::Fresh);
        assert_eq!(verdict(10), Verdict::Unsatisfying(Miss::Expired));
    }

    #[test]
    fn shared_caches_replay_no_cookie_that_a_private_cache_stored() {
        let parts =
            Response::builder().header("set-cookie", "a=1").body(()).unwrap().into_parts().0;
        let head = Head::new(http::Method::GET, "", parts, Timestamp::MIN);
        let verdict = |scope, options: &CacheOptions| {
            Rules::new(scope).verdict(options, &http::Method::GET, &head, Timestamp::MIN)
        };
        assert_eq!(verdict(Scope::Private, &NONE), Verdict::Fresh);
        for options in [NONE, NONE.refresh(true), NONE.only_if_cached(true)] {
            assert_eq!(verdict(Scope::Shared, &options), Verdict::Unsatisfying(Miss::NotAllowed));
        }
        // The same holds for a response that a 304 would freshen, and for one served as
        // stale-if-error.
        let mut rules = Rules::new(Scope::Shared);
        rules.stale_if_error = StaleLimit::Unlimited;
        assert!(!rules.may_be_freshened(&NONE, &http::Method::GET, &head));
        assert!(!rules.may_serve_if_error(&NONE, &http::Method::GET, &head, Timestamp::MIN));
    }
}
