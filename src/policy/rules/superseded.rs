//! What the latest answer of the origin ends: the response that was stored before it.
//!
//! | answer | ends the stored response |
//! |---|---|
//! | 3xx but 304, 401, 403, 404, 410, 451 | yes, stored or refused |
//! | 2xx, refused for what the origin says of it | yes |
//! | 2xx, refused by a setting, a limit or the store | no |
//! | 304 that confirms it, refused for what the origin says | yes, whoever asked |
//! | a failure of the origin, 408, 425, 429, other 4xx, 5xx | no |
//!
//! What the origin says is the same under both policies, except that time alone ignores all cache
//! fields but `Vary`, and so refuses nothing for them. A response that is left serves stale use.
//! In a shared cache, a full answer to a request with `Authorization` ends nothing: nobody can end a
//! public response with bad credentials. A read-only cache ends nothing.

use http::{HeaderMap, StatusCode, response};

use super::Rules;
use crate::{
    entry::Head,
    policy::{Policy, Scope, rfc9111},
    status::Refusal,
};

impl Rules {
    /// Whether a full answer to a request with these fields ends the stored response. `refusal` is
    /// why the answer is not stored, where it is not.
    pub(crate) fn ends(
        &self,
        request: &HeaderMap,
        answer: &response::Parts,
        refusal: Option<Refusal>,
    ) -> bool {
        if self.read_only || self.is_personal(request) || self.is_failure(answer.status) {
            return false;
        }
        match answer.status {
            StatusCode::NOT_MODIFIED => false,
            StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::NOT_FOUND
            | StatusCode::GONE
            | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => true,
            status if status.is_redirection() => true,
            status if status.is_success() => {
                refusal.is_some_and(is_said_by_origin) || self.is_gone(answer)
            }
            _ => false,
        }
    }

    /// Whether a 304 ends the `stored` response that it confirms. `refusal` is why the response with
    /// the fields of the 304 is not stored.
    pub(crate) fn ends_by_304(
        &self,
        stored: &Head,
        freshened: &HeaderMap,
        refusal: Refusal,
    ) -> bool {
        if self.read_only {
            return false;
        }
        match refusal {
            // The cookie is the caller's. What is stored for all has none.
            Refusal::SetCookie => false,
            // A response that the origin allows to be shared may answer anybody. One that it does not
            // allow any more was an answer to somebody's credentials.
            Refusal::Authorization => {
                self.allows_authorization(stored.headers()) && !self.allows_authorization(freshened)
            }
            refusal => is_said_by_origin(refusal),
        }
    }

    /// Whether a response with these fields may be stored although its request has `Authorization`
    /// (RFC 9111 §3.5).
    fn allows_authorization(&self, response: &HeaderMap) -> bool {
        match &self.policy {
            Policy::Http { targets, .. } if self.scope == Scope::Shared => {
                rfc9111::allows_authorization(targets, response)
            }
            _ => true,
        }
    }
}

/// Whether the origin's own words keep a response from being stored.
pub(super) fn is_said_by_origin(refusal: Refusal) -> bool {
    match refusal {
        Refusal::NoStoreDirective
        | Refusal::NoCache
        | Refusal::Private
        | Refusal::MustUnderstand
        | Refusal::NoFreshness
        | Refusal::SetCookie
        | Refusal::Vary => true,
        Refusal::Bypassed
        | Refusal::NotFetched
        | Refusal::NoStore
        | Refusal::ReadOnly
        | Refusal::Status
        | Refusal::Predicate
        | Refusal::Expiration
        | Refusal::NoExpiration
        | Refusal::Authorization
        | Refusal::Cookie
        | Refusal::Tags
        | Refusal::TooLarge
        | Refusal::Length
        | Refusal::BodyFailed
        | Refusal::EventStream
        | Refusal::GrpcStatus
        | Refusal::NotUnary
        | Refusal::Dropped
        | Refusal::Removed
        | Refusal::Superseded
        | Refusal::StoreFailed(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use http::{Response, header::AUTHORIZATION};

    use super::*;

    fn answer(status: u16) -> response::Parts {
        Response::builder().status(status).body(()).unwrap().into_parts().0
    }

    fn shared_http() -> Rules {
        let mut rules = Rules::new(Scope::Shared);
        rules.use_http();
        rules
    }

    #[test]
    fn a_status_ends_the_stored_response_whether_it_is_stored_or_refused() {
        let nothing = HeaderMap::new();
        for refusal in [None, Some(Refusal::Status), Some(Refusal::NoStoreDirective)] {
            let ends = |status| shared_http().ends(&nothing, &answer(status), refusal);
            for status in [300, 301, 302, 303, 307, 308, 401, 403, 404, 410, 451] {
                assert!(ends(status), "{status}");
            }
            for status in [304, 400, 402, 405, 408, 409, 425, 429, 500, 501, 502, 503, 504] {
                assert!(!ends(status), "{status}");
            }
        }
    }

    #[test]
    fn a_success_ends_it_where_the_origin_forbids_storing() {
        let nothing = HeaderMap::new();
        let ends = |refusal| Rules::new(Scope::Private).ends(&nothing, &answer(200), refusal);
        assert!(ends(Some(Refusal::Private)) && ends(Some(Refusal::Vary)));
        for refusal in [None, Some(Refusal::TooLarge), Some(Refusal::Predicate)] {
            assert!(!ends(refusal), "{refusal:?}");
        }
    }

    #[test]
    fn who_may_not_say_what_is_stored_ends_nothing() {
        let own = HeaderMap::from_iter([(AUTHORIZATION, "x".parse().unwrap())]);
        assert!(!shared_http().ends(&own, &answer(403), Some(Refusal::Status)));
        let mut read_only = shared_http();
        read_only.read_only = true;
        assert!(!read_only.ends(&HeaderMap::new(), &answer(404), None));
        let mut failing = shared_http();
        failing.error_statuses.push(StatusCode::NOT_FOUND);
        assert!(!failing.ends(&HeaderMap::new(), &answer(404), None), "a failure ends nothing");
    }
}
