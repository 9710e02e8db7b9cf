//! Whether an answer of the origin ends the stored response that it supersedes.
//!
//! | answer | ends the stored response |
//! |---|---|
//! | 3xx except 304, 401, 403, 404, 410, 451 | yes, whether it is stored or refused |
//! | 2xx that its own fields keep from being stored | yes |
//! | 2xx that only a setting, a limit, the request or the store refuses | no |
//! | 304 that refers to it and forbids storing it | yes, whoever asked |
//! | 304 that forbids reuse and is not stored for another reason | yes, whoever asked |
//! | 304 that sets a cookie | no: the cookie is the caller's |
//! | other 4xx, 5xx, failures of the origin | no |
//!
//! The fields that count are the directives, those that state freshness (or their absence), `Vary`,
//! and `Set-Cookie` where responses with cookies are not stored. They count even if another reason
//! also refuses the answer, and even if that other reason is the one that is reported. A response
//! to a `HEAD` and a 206 may omit the fields that state freshness (RFC 9110 §9.3.2, §15.3.7). If
//! they are omitted, the answer says nothing of freshness.
//!
//! Both policies use this table. The fixed policy ignores all cache fields except `Vary`, so no
//! other cache field ends a response there. Neither does a `HEAD` that shows another `ETag`. A
//! stored response that is not ended can still be served stale.
//!
//! Bad credentials must not end a response that is stored for everybody. In a shared cache, a full
//! answer to a request with `Authorization`, or with user information in its URL, ends nothing.
//! Under the HTTP rules, cookies are not part of the key in a shared cache. There, a 401 or 403 to
//! a request with a `Cookie` ends nothing. A read-only cache ends nothing.

use http::{
    Method, StatusCode,
    header::{COOKIE, VARY},
};

use super::Rules;
use crate::{
    entry::{Head, ResponseFields},
    policy::{
        Exchange, Policy, Scope, fixed, rfc9111,
        vary::{Vary, vary},
    },
    status::Refusal,
};

impl Rules {
    /// Whether a full answer ends the stored response. It does not matter whether the answer is
    /// stored.
    pub(crate) fn ends(&self, exchange: &Exchange<'_>) -> bool {
        let answer = exchange.response;
        if self.read_only || self.failure(answer).is_some() || self.depends_on_who_asked(exchange) {
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
                // A failed gRPC call says something about its request, as a 4xx does.
                let is_good = self.response_check(answer).is_ok();
                self.is_gone(answer) || (is_good && self.is_forbidden(exchange))
            }
            _ => false,
        }
    }

    /// Whether a 304 that is not stored ends the `stored` response that it refers to. The response
    /// of `exchange` is the stored one with the fields of the 304. `has_moved` says that the 304
    /// changed the `Vary` of the response, so that requests that it may not answer would find it.
    pub(crate) fn ends_by_304(
        &self,
        stored: &Head,
        exchange: &Exchange<'_>,
        has_moved: bool,
    ) -> bool {
        // The cookie of a 304 is the caller's. The stored response has none.
        let is_forbidden = || {
            self.refused_by_origin(exchange).iter().any(|refusal| *refusal != Refusal::SetCookie)
        };
        !self.read_only
            && (has_moved
                || is_forbidden()
                || self.is_unshared(stored, exchange)
                || self.forbids_reuse(stored, exchange))
    }

    /// Whether a 304 forbids using the stored response without revalidation. The 304 is not stored,
    /// so the stored response would otherwise stay as fresh as it was.
    fn forbids_reuse(&self, stored: &Head, exchange: &Exchange<'_>) -> bool {
        match &self.policy {
            Policy::Fixed => false,
            Policy::Http { targets, .. } => self
                .check_by_http(targets, exchange, self.names(exchange.response.status))
                .forbids_reuse(!stored.is_expired(exchange.now), exchange.now),
        }
    }

    /// Whether the origin forbids storing a full answer.
    fn is_forbidden(&self, exchange: &Exchange<'_>) -> bool {
        let is_part = exchange.response.status == StatusCode::PARTIAL_CONTENT;
        let is_head = exchange.request.method == Method::HEAD;
        self.refused_by_origin(exchange).iter().any(|refusal| match refusal {
            Refusal::NoFreshness => !is_part && !is_head,
            // `must-understand` concerns the status 206 here. The whole response has another
            // status.
            Refusal::MustUnderstand => !is_part,
            _ => true,
        })
    }

    /// All reasons from the origin that forbid storing the response.
    fn refused_by_origin(&self, exchange: &Exchange<'_>) -> Vec<Refusal> {
        let response = exchange.response;
        let mut refusals = match &self.policy {
            Policy::Fixed => {
                Vec::from_iter(fixed::refused_by_origin(self.store_set_cookie, response))
            }
            Policy::Http { targets, .. } => {
                let is_named = self.names(response.status);
                let check = self.check_by_http(targets, exchange, is_named);
                check.refusals().filter(|refusal| refusal.is_by_origin()).collect()
            }
        };
        // No names are ignored here. A list of names that is too long even without the ignored
        // names is refused. If it is too long only with them, the older response still ends: it is
        // not worth keeping.
        if response.headers.contains_key(VARY) && vary(&response.headers, &[]) == Vary::Anything {
            refusals.push(Refusal::Vary);
        }
        refusals
    }

    /// Whether the answer may depend on who asked.
    fn depends_on_who_asked(&self, exchange: &Exchange<'_>) -> bool {
        let Exchange { request, response, .. } = *exchange;
        let is_http = matches!(self.policy, Policy::Http { .. });
        let is_denied = matches!(response.status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        self.scope == Scope::Shared
            && (rfc9111::has_authorization(request)
                || (is_http && is_denied && request.headers.contains_key(COOKIE)))
    }

    /// Whether the origin has withdrawn its permission to share the response: the stored one could
    /// answer requests with `Authorization`, the new one cannot.
    fn is_unshared(&self, stored: &Head, exchange: &Exchange<'_>) -> bool {
        rfc9111::has_authorization(exchange.request)
            && self.allows_authorization(stored.fields())
            && !self.allows_authorization(exchange.response.fields())
    }

    /// Whether a response with these fields may be stored if its request has `Authorization` (RFC
    /// 9111 §3.5).
    fn allows_authorization(&self, response: ResponseFields<'_>) -> bool {
        match &self.policy {
            Policy::Http { targets, .. } if self.scope == Scope::Shared => {
                rfc9111::allows_authorization(targets, response)
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use http::{Request, Response, response};

    use super::*;
    use crate::{entry::ResponseHead, options::CacheOptions, policy::Expiration, time::Timestamp};

    type Lines<'a> = &'a [(&'static str, &'static str)];

    const NONE: CacheOptions = CacheOptions::new();
    const FRESH: (&str, &str) = ("cache-control", "max-age=60");
    const TAG: (&str, &str) = ("etag", "\"e\"");

    fn shared_http() -> Rules {
        let mut rules = Rules::new(Scope::Shared);
        rules.use_http();
        rules
    }

    fn private_http() -> Rules {
        let mut rules = Rules::new(Scope::Private);
        rules.use_http();
        rules
    }

    fn response(status: u16, lines: Lines<'_>) -> response::Parts {
        let mut response = Response::builder().status(status);
        for (name, value) in lines {
            response = response.header(*name, *value);
        }
        response.body(()).unwrap().into_parts().0
    }

    /// Calls `judge` with a request that has these lines, and its answer.
    fn with<T>(
        method: Method,
        options: &CacheOptions,
        asked: Lines<'_>,
        response: &response::Parts,
        judge: impl Fn(&Exchange<'_>) -> T,
    ) -> T {
        let mut request = Request::builder().method(method).uri("http://a/");
        for (name, value) in asked {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap().into_parts().0;
        let (requested_at, now) = (Timestamp::MIN, Timestamp::MIN);
        judge(&Exchange {
            options,
            url: "http://a/",
            request: &request,
            response: &ResponseHead::new(response.clone(), now),
            requested_at,
            now,
        })
    }

    fn ends(rules: &Rules, asked: Lines<'_>, status: u16, lines: Lines<'_>) -> bool {
        with(Method::GET, &NONE, asked, &response(status, lines), |exchange| rules.ends(exchange))
    }

    /// Whether a 304 ends a stored response, if it replaces its `old` lines by the `new` ones.
    fn by_304(rules: &Rules, asked: Lines<'_>, old: Lines<'_>, new: Lines<'_>) -> bool {
        let stored = Head::new(Method::GET, "http://a/", response(200, old), Timestamp::MIN);
        with(Method::GET, &NONE, asked, &response(200, new), |exchange| {
            rules.ends_by_304(&stored, exchange, false)
        })
    }

    #[test]
    fn redirects_and_final_refusals_end_the_stored_response_even_if_refused() {
        for lines in [&[][..], &[FRESH], &[("cache-control", "no-store")]] {
            let ends = |status| ends(&shared_http(), &[], status, lines);
            for status in [300, 301, 302, 303, 307, 308, 401, 403, 404, 410, 451] {
                assert!(ends(status), "{status}");
            }
            for status in [304, 400, 402, 405, 408, 409, 425, 429, 500, 501, 502, 503, 504] {
                assert!(!ends(status), "{status}");
            }
        }
    }

    /// Fields of an answer, and whether they forbid storing it, by scope and policy.
    const WORDS: [(Lines<'_>, [bool; 4]); 10] = [
        // Private and fixed, shared and fixed, private and HTTP, shared and HTTP.
        (&[FRESH], [false, false, false, false]),
        (&[FRESH, ("vary", "*")], [true, true, true, true]),
        (&[FRESH, ("vary", "a b")], [true, true, true, true]),
        (&[FRESH, ("vary", "a, b")], [false, false, false, false]),
        (&[FRESH, ("set-cookie", "a=1")], [false, true, false, true]),
        (&[("cache-control", "no-store")], [false, false, true, true]),
        (&[("cache-control", "max-age=60, private")], [false, false, false, true]),
        (&[("cache-control", "no-cache")], [false, false, true, true]),
        (&[("cache-control", "no-cache"), TAG], [false, false, false, false]),
        (&[], [false, false, true, true]),
    ];

    fn all_rules() -> [Rules; 4] {
        [Rules::new(Scope::Private), Rules::new(Scope::Shared), private_http(), shared_http()]
    }

    #[test]
    fn a_2xx_that_forbids_storing_ends_the_stored_response() {
        for (lines, expected) in WORDS {
            let ended = all_rules().map(|rules| ends(&rules, &[], 200, lines));
            assert_eq!(ended, expected, "{lines:?}");
        }
    }

    #[test]
    fn origin_refusals_count_besides_other_refusals() {
        for (lines, expected) in WORDS {
            let ended = all_rules().map(|mut rules| {
                rules.store_if = Some(Arc::new(|_, _| false));
                rules.expiration.layer = Some(Duration::from_secs(60).into());
                ends(&rules, &[("cache-control", "no-store"), ("cookie", "a=1")], 200, lines)
            });
            // If the user sets an expiration, the answer need not state freshness.
            let expected = if lines.is_empty() { [false; 4] } else { expected };
            assert_eq!(ended, expected, "{lines:?}");
            let options = NONE.no_store(true).expire_after(Expiration::DoNotStore);
            let ended = all_rules().map(|rules| {
                with(Method::GET, &options, &[], &response(200, lines), |it| rules.ends(it))
            });
            assert_eq!(ended, expected, "{lines:?}");
        }
    }

    #[test]
    fn a_304_that_forbids_storing_ends_the_stored_response_except_by_its_cookie() {
        let users: [Lines<'_>; 3] =
            [&[], &[("authorization", "x"), ("cookie", "a=1")], &[("cache-control", "no-store")]];
        for asked in users {
            for (lines, expected) in WORDS {
                let ended = all_rules().map(|rules| by_304(&rules, asked, &[FRESH, TAG], lines));
                let sets_cookie = lines.iter().any(|(name, _)| *name == "set-cookie");
                // This function is called for a 304 that is not stored, here for a reason of its
                // request.
                let forbids_reuse = lines.contains(&("cache-control", "no-cache"));
                let expected = match (sets_cookie, forbids_reuse) {
                    (true, _) => [false; 4],
                    (_, true) => [false, false, true, true],
                    _ => expected,
                };
                assert_eq!(ended, expected, "{asked:?} {lines:?}");
            }
            let both = [FRESH, TAG, ("set-cookie", "a=1"), ("vary", "*")];
            assert!(by_304(&shared_http(), asked, &[FRESH, TAG], &both), "{asked:?}");
        }
        let read_only = Rules { read_only: true, ..shared_http() };
        assert!(!by_304(&read_only, &[], &[FRESH, TAG], &[("vary", "*")]));
    }

    #[test]
    fn a_304_ends_moved_and_unshared_responses() {
        let public = [("cache-control", "public, max-age=60"), TAG];
        let user = [("authorization", "x")];
        assert!(by_304(&shared_http(), &user, &public, &[FRESH, TAG]));
        assert!(!by_304(&shared_http(), &user, &public, &public));
        assert!(!by_304(&shared_http(), &[], &public, &[FRESH, TAG]));
        assert!(!by_304(&private_http(), &user, &public, &[FRESH, TAG]));
        let stored = Head::new(Method::GET, "http://a/", response(200, &[FRESH]), Timestamp::MIN);
        for rules in all_rules() {
            let has_moved = with(Method::GET, &NONE, &[], &response(200, &[FRESH]), |exchange| {
                rules.ends_by_304(&stored, exchange, true)
            });
            assert!(has_moved);
        }
    }

    #[test]
    fn credentials_read_only_caches_and_failures_end_nothing() {
        for user in [("authorization", "x"), ("cookie", "a=1")] {
            let is_cookie = user.0 == "cookie";
            for rules in [shared_http(), Rules::new(Scope::Shared)] {
                let is_ended = is_cookie && matches!(rules.policy, Policy::Fixed);
                for status in [401, 403] {
                    assert_eq!(ends(&rules, &[user], status, &[]), is_ended, "{user:?} {rules:?}");
                }
                assert_eq!(ends(&rules, &[user], 404, &[]), is_cookie);
                assert_eq!(ends(&rules, &[user], 200, &[("vary", "*")]), is_cookie);
            }
            for rules in [private_http(), Rules::new(Scope::Private)] {
                assert!(ends(&rules, &[user], 403, &[]));
            }
        }
        let read_only = Rules { read_only: true, ..shared_http() };
        assert!(!ends(&read_only, &[], 404, &[]));
        let mut failing = shared_http();
        failing.error_statuses.push(StatusCode::NOT_FOUND);
        assert!(!ends(&failing, &[], 404, &[]), "a failure ends nothing");
    }

    #[test]
    fn heads_and_parts_without_freshness_end_nothing() {
        let of = |method: Method, status, lines| {
            with(method, &NONE, &[], &response(status, lines), |it| shared_http().ends(it))
        };
        assert!(of(Method::GET, 200, &[]));
        assert!(!of(Method::HEAD, 200, &[]) && !of(Method::GET, 206, &[TAG]));
        assert!(!of(Method::GET, 206, &[("cache-control", "max-age=60, must-understand")]));
        for lines in [&[("cache-control", "no-store")][..], &[("vary", "*")]] {
            assert!(of(Method::HEAD, 200, lines) && of(Method::GET, 206, lines), "{lines:?}");
        }
    }

    #[test]
    fn failed_grpc_calls_end_nothing_except_not_found() {
        let mut rules = private_http();
        rules.use_grpc(crate::policy::GrpcMethods::new(["/**"]).unwrap());
        for (code, expected) in [("0", true), ("3", false), ("14", false), ("5", true)] {
            assert_eq!(ends(&rules, &[], 200, &[("grpc-status", code)]), expected, "{code}");
        }
    }
}
