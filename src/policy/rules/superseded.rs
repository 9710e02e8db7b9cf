//! Whether an answer of the origin ends the stored response that it supersedes.
//!
//! | answer | ends the stored response |
//! |---|---|
//! | 3xx except 304, 401, 403, 404, 410, 451 | yes, whether it is stored or refused |
//! | 2xx that the origin's own words keep from being stored | yes |
//! | 2xx that a setting, a limit or the store refuses | no |
//! | 304 that confirms it, and whose words forbid storing it | yes, whoever asked |
//! | 304 that sets a cookie | no: the cookie is the caller's |
//! | other 4xx, 5xx, failures of the origin | no |
//!
//! Both policies use this table. The fixed policy ignores all cache fields except `Vary`, so it
//! never refuses a response for one of the others. A stored response that is not ended can still be
//! served stale. In a shared cache under the HTTP rules, a full answer to a request with
//! `Authorization` ends nothing: otherwise a client with bad credentials could end a public
//! response. A read-only cache ends nothing.

use http::{HeaderMap, StatusCode, response};

use super::Rules;
use crate::{
    entry::Head,
    policy::{Policy, Scope, rfc9111},
    status::Refusal,
};

impl Rules {
    /// Whether a full answer to a request with these fields ends the stored response. `refusal`
    /// says why the answer is not stored; it is `None` if the answer is stored.
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

    /// Whether a 304 ends the `stored` response that it confirms. `refusal` says why the freshened
    /// response is not stored.
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
            // The cookie is the caller's. The stored response has none.
            Refusal::SetCookie => false,
            // The stored response may have answered a request with credentials, and the origin no
            // longer allows sharing it.
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
    fn redirects_and_final_refusals_end_the_stored_response_even_if_refused() {
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
    fn a_2xx_that_the_origin_forbids_storing_ends_the_stored_response() {
        let nothing = HeaderMap::new();
        let ends = |refusal| Rules::new(Scope::Private).ends(&nothing, &answer(200), refusal);
        assert!(ends(Some(Refusal::Private)) && ends(Some(Refusal::Vary)));
        for refusal in [None, Some(Refusal::TooLarge), Some(Refusal::Predicate)] {
            assert!(!ends(refusal), "{refusal:?}");
        }
    }

    #[test]
    fn credentials_read_only_caches_and_failures_end_nothing() {
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
