//! [`Rules`]: every decision, in the order in which a request meets them, with the choice of the
//! policy that makes it.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use http::{
    HeaderMap, Method, StatusCode,
    header::{AUTHORIZATION, COOKIE, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, RANGE, UPGRADE},
    request, response,
};

use super::{
    ExpirationRules, Policy, RequestDirectives, Scope, StaleLimit, TagRules, Verdict, fixed,
    grpc::GrpcMethods,
    rfc9111::{self, Satisfied},
};
use crate::{
    entry::{Head, ResponseFields},
    fields::Directives,
    options::CacheOptions,
    status::{Bypass, Miss, Stale},
    time::Timestamp,
};

mod effects;
mod failure;
mod grpc;
mod policy;
mod stale;
mod storable;
mod superseded;

/// How far in the future the storage time of an entry may lie by this clock. Another machine's
/// clock may differ, and this clock may have been set back. An entry from further ahead is treated
/// as expired: its expiry was computed from a wrong time and would keep it fresh for too long. An
/// entry that never expires is not affected.
const AHEAD: Duration = Duration::from_secs(5 * 60);

/// The user's predicate: whether a response may be stored, by the heads of request and response.
pub(crate) type StoreFn = Arc<dyn Fn(&request::Parts, &response::Parts) -> bool + Send + Sync>;

/// All settings that the decisions depend on.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) scope: Scope,
    policy: Policy,
    pub(crate) methods: Vec<Method>,
    /// If the cache is for gRPC: the gRPC methods to cache. They replace `methods`.
    grpc: Option<GrpcMethods>,
    /// The statuses whose responses are stored. `None` means all.
    pub(crate) statuses: Option<Vec<StatusCode>>,
    pub(crate) store_if: Option<StoreFn>,
    pub(crate) expiration: ExpirationRules,
    pub(crate) tags: TagRules,
    pub(crate) stale_while_revalidate: StaleLimit,
    pub(crate) stale_if_error: StaleLimit,
    /// The statuses that count as a failure of the origin.
    pub(crate) error_statuses: Vec<StatusCode>,
    /// A fresh response is due for refresh when less than this share of its lifetime is left.
    /// Between 0 and 1, both excluded.
    pub(crate) refresh_ahead: Option<f64>,
    /// How long a response with a validator stays stored after it expires.
    pub(crate) keep_expired: Duration,
    pub(crate) read_only: bool,
    pub(crate) store_set_cookie: bool,
    /// Whether a response to a `POST` is stored for `GET` if its `Content-Location` is the
    /// request's URL.
    pub(crate) reuse_post_for_get: bool,
    /// Whether requests with credentials use the cache. `None` leaves it to scope and policy.
    pub(crate) store_credentialed: Option<bool>,
}

impl Rules {
    pub(crate) fn new(scope: Scope) -> Self {
        Self {
            scope,
            policy: Policy::Fixed,
            methods: vec![Method::GET, Method::HEAD],
            grpc: None,
            statuses: Some(vec![StatusCode::OK]),
            store_if: None,
            expiration: ExpirationRules::default(),
            tags: TagRules::default(),
            stale_while_revalidate: StaleLimit::None,
            stale_if_error: StaleLimit::None,
            error_statuses: vec![
                StatusCode::INTERNAL_SERVER_ERROR,
                StatusCode::BAD_GATEWAY,
                StatusCode::SERVICE_UNAVAILABLE,
                StatusCode::GATEWAY_TIMEOUT,
            ],
            refresh_ahead: None,
            keep_expired: Duration::from_secs(3600),
            read_only: false,
            store_set_cookie: scope == Scope::Private,
            reuse_post_for_get: false,
            store_credentialed: None,
        }
    }

    /// The options of a request with these fields. Under the HTTP rules, its request directives are
    /// merged into its `options` (RFC 9111 §5.2.1).
    pub(crate) fn asked<'a>(
        &self,
        options: &'a CacheOptions,
        headers: &HeaderMap,
    ) -> Cow<'a, CacheOptions> {
        let directives = match self.policy {
            Policy::Fixed => return Cow::Borrowed(options),
            Policy::Http { .. } => rfc9111::request_directives(headers),
        };
        if directives == RequestDirectives::NONE {
            return Cow::Borrowed(options);
        }
        let mut options = options.clone();
        options.refresh |= directives.no_cache;
        options.no_store |= directives.no_store;
        options.only_if_cached |= directives.only_if_cached;
        if let Some(limit) = directives.stale_if_error {
            options.stale_if_error.get_or_insert(StaleLimit::Within(limit));
        }
        // `no-cache` is covered by `refresh` above. With `only-if-cached`, the origin may not be
        // asked. `no-cache` then stays among the directives, so that no stored response satisfies
        // the request.
        options.directives = RequestDirectives {
            no_cache: directives.no_cache && directives.only_if_cached,
            ..directives
        };
        Cow::Owned(options)
    }

    /// Step 1: whether the cache handles `request`, or the reason why it bypasses the cache.
    pub(crate) fn gate(
        &self,
        options: &CacheOptions,
        request: &request::Parts,
    ) -> Result<(), Bypass> {
        let headers = &request.headers;
        if options.bypass && !options.only_if_cached {
            return Err(Bypass::Requested);
        }
        match &self.grpc {
            Some(methods) => methods.gate(request)?,
            None if request.method == Method::CONNECT => return Err(Bypass::Method),
            None if !self.methods.contains(&request.method) => return Err(Bypass::Method),
            None => {}
        }
        if headers.contains_key(UPGRADE) {
            return Err(Bypass::Upgrade);
        }
        // A range has no meaning for other methods (RFC 9110 §14.2), but an origin may still
        // answer with a part.
        if headers.contains_key(RANGE) && request.method != Method::GET {
            return Err(Bypass::Range);
        }
        // For a method that changes something, `If-None-Match` is for the origin to evaluate, as
        // `If-Match` is.
        let is_read = matches!(request.method, Method::GET | Method::HEAD);
        if headers.contains_key(IF_MATCH)
            || headers.contains_key(IF_UNMODIFIED_SINCE)
            || (headers.contains_key(IF_NONE_MATCH) && !is_read)
        {
            return Err(Bypass::Precondition);
        }
        let allows_credentials = self.store_credentialed.unwrap_or(match self.policy {
            Policy::Fixed => self.scope == Scope::Private,
            // The directives of the response decide who may receive it.
            Policy::Http { .. } => true,
        });
        if !allows_credentials && has_credentials(request) {
            return Err(Bypass::Credentials);
        }
        Ok(())
    }

    /// Step 4: whether and how the stored response with this head answers a request of `method` at
    /// `now`.
    ///
    /// A response is refreshed ahead, or served while it is revalidated, only if the new response
    /// may be stored and the request is not `only_if_cached`. An `only_if_cached` request gets a
    /// stale response if either stale limit allows it.
    pub(crate) fn verdict(
        &self,
        options: &CacheOptions,
        method: &Method,
        head: &Head,
        now: Timestamp,
    ) -> Verdict {
        let directives = self.directives(head.fields());
        if let Err(miss) = self.may_answer_with(&directives, method, head) {
            return Verdict::Unsatisfying(miss);
        }
        if options.asks_origin() && !options.only_if_cached {
            return Verdict::Unsatisfying(Miss::Refresh);
        }
        let may_refresh = self.may_keep(options) && !options.only_if_cached;
        match self.satisfies(options, &directives, head, now) {
            Ok(Satisfied::Fresh) if may_refresh && self.is_due_for_refresh(head, now) => {
                return Verdict::DueForRefresh;
            }
            Ok(Satisfied::Fresh) => return Verdict::Fresh,
            Ok(Satisfied::Stale) => return Verdict::Stale(Stale::MaxStale),
            Err(Miss::Expired) => {}
            Err(miss) => return Verdict::Unsatisfying(miss),
        }
        let limits = self.stale_limits(options, &directives);
        let may_be_stale =
            !options.directives.wants_fresh() && limits.while_revalidate.allows(head, now);
        if may_refresh && may_be_stale {
            return Verdict::Stale(Stale::WhileRevalidate);
        }
        let allows_if_error = || self.allows_if_error(limits, head, now);
        if options.only_if_cached && (may_be_stale || allows_if_error()) {
            return Verdict::Stale(Stale::OnlyIfCached);
        }
        Verdict::Unsatisfying(Miss::Expired)
    }

    /// Whether the stored response satisfies the request as fresh, or as stale by the request's own
    /// directives, or why it does not. Stale limits do not count here.
    fn satisfies(
        &self,
        options: &CacheOptions,
        directives: &Directives,
        head: &Head,
        now: Timestamp,
    ) -> Result<Satisfied, Miss> {
        if head.expires_at().is_some() && head.stored_at().saturating_since(now) > AHEAD {
            return Err(Miss::Expired);
        }
        match &self.policy {
            Policy::Fixed if head.is_expired(now) => Err(Miss::Expired),
            Policy::Fixed => Ok(Satisfied::Fresh),
            Policy::Http { .. } => {
                let said = rfc9111::stale_rules(self.scope, directives);
                rfc9111::satisfies(&options.directives, &said, head, now)
            }
        }
    }

    /// Whether a 304 may freshen the stored response for a request of `method`. It may not if the
    /// request forces a full response, or if the stored response could not answer the request even
    /// when fresh.
    pub(crate) fn may_be_freshened(
        &self,
        options: &CacheOptions,
        method: &Method,
        head: &Head,
    ) -> bool {
        !options.force_refresh && self.may_answer(method, head).is_ok()
    }

    /// Whether a stored response with this head may answer a request of `method`, whatever its age.
    pub(crate) fn may_answer(&self, method: &Method, head: &Head) -> Result<(), Miss> {
        self.may_answer_with(&self.directives(head.fields()), method, head)
    }

    fn may_answer_with(
        &self,
        directives: &Directives,
        method: &Method,
        head: &Head,
    ) -> Result<(), Miss> {
        // The key includes the method, unless it is a custom key. The empty body of a response to a
        // `HEAD` never answers a `GET`.
        if head.method() != method && !(*method == Method::HEAD && *head.method() == Method::GET) {
            return Err(Miss::Absent);
        }
        match &self.policy {
            Policy::Fixed => fixed::may_answer(self.store_set_cookie, head),
            Policy::Http { targets, .. } => {
                rfc9111::may_answer(&self.http_settings(targets, None), directives, head)
            }
        }
    }

    /// The directives of a response with these fields for this cache. The fixed policy reads none.
    fn directives<'a>(&self, fields: ResponseFields<'a>) -> Cow<'a, Directives> {
        static NONE: Directives = Directives::NONE;
        match &self.policy {
            Policy::Fixed => Cow::Borrowed(&NONE),
            Policy::Http { targets, .. } => rfc9111::effective_directives(targets, fields).0,
        }
    }
}

/// Whether the request carries credentials: `Authorization`, `Cookie`, or user information in its
/// URL.
fn has_credentials(request: &request::Parts) -> bool {
    let in_url = || request.uri.authority().is_some_and(|it| it.as_str().contains('@'));
    request.headers.contains_key(AUTHORIZATION) || request.headers.contains_key(COOKIE) || in_url()
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("scope", &self.scope)
            .field("policy", &self.policy)
            .field("methods", &self.methods)
            .field("grpc", &self.grpc)
            .field("statuses", &self.statuses)
            .field("store_if", &self.store_if.is_some())
            .field("expiration", &self.expiration)
            .field("tags", &self.tags)
            .field("stale_while_revalidate", &self.stale_while_revalidate)
            .field("stale_if_error", &self.stale_if_error)
            .field("error_statuses", &self.error_statuses)
            .field("refresh_ahead", &self.refresh_ahead)
            .field("keep_expired", &self.keep_expired)
            .field("read_only", &self.read_only)
            .field("store_set_cookie", &self.store_set_cookie)
            .field("reuse_post_for_get", &self.reuse_post_for_get)
            .field("store_credentialed", &self.store_credentialed)
            .finish()
    }
}

#[cfg(test)]
mod tests;
