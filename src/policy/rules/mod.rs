//! [`Rules`]: every decision in the order in which a request meets them, and which policy is asked for it.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use http::{
    HeaderMap, Method, StatusCode,
    header::{AUTHORIZATION, COOKIE, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, RANGE, UPGRADE},
    request, response,
};

use super::{
    Demands, ExpirationRules, Policy, Scope, StaleLimit, TagRules, Verdict, fixed,
    grpc::GrpcMethods,
    rfc9111::{self, Fit},
};
use crate::{
    entry::Head,
    options::CacheOptions,
    status::{Bypass, Miss, Stale},
    time::Timestamp,
};

mod admit;
mod calls;
mod chosen;
mod others;
mod stale;
mod superseded;

/// How far ahead of this clock an entry may have been stored, by another machine's clock or by this one before it was set:
/// one from farther ahead has expired. Its end was counted from a time that has not come yet, and it would be fresh until
/// long after that. An entry that never expires has no end that could be wrong.
const AHEAD: Duration = Duration::from_secs(5 * 60);

/// Whether a response may be kept, by its request and its head.
pub(crate) type StoreFn = Arc<dyn Fn(&request::Parts, &response::Parts) -> bool + Send + Sync>;

/// Everything the decisions depend on beside the exchange itself.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) scope: Scope,
    policy: Policy,
    pub(crate) methods: Vec<Method>,
    /// In place of `methods`, where the cache is for gRPC.
    grpc: Option<GrpcMethods>,
    pub(crate) statuses: Vec<StatusCode>,
    pub(crate) store_if: Option<StoreFn>,
    pub(crate) expiration: ExpirationRules,
    pub(crate) tags: TagRules,
    pub(crate) stale_while_revalidate: StaleLimit,
    pub(crate) stale_if_error: StaleLimit,
    /// The statuses that count as a failure of the origin.
    pub(crate) error_statuses: Vec<StatusCode>,
    /// The share of a lifetime, over 0 and below 1, that is left when it is time to refresh.
    pub(crate) refresh_ahead: Option<f64>,
    /// How long what can be revalidated is kept beyond its expiry.
    pub(crate) keep_expired: Duration,
    pub(crate) read_only: bool,
    pub(crate) store_set_cookie: bool,
    /// Whether a response to a `POST` that names itself is stored for `GET`.
    pub(crate) reuse_post_for_get: bool,
    /// Whether requests with credentials use the cache; `None` where that was left to scope and policy.
    pub(crate) store_credentialed: Option<bool>,
}

impl Rules {
    pub(crate) fn new(scope: Scope) -> Self {
        Self {
            scope,
            policy: Policy::Fixed,
            methods: vec![Method::GET, Method::HEAD],
            grpc: None,
            statuses: vec![StatusCode::OK],
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

    /// What a request with these fields asks of the cache: by its `options`, and, where the HTTP rules hold, by its
    /// `Cache-Control` (RFC 9111 §5.2.1).
    pub(crate) fn asked<'a>(
        &self,
        options: &'a CacheOptions,
        headers: &HeaderMap,
    ) -> Cow<'a, CacheOptions> {
        let demands = match self.policy {
            Policy::Fixed => return Cow::Borrowed(options),
            Policy::Http { .. } => rfc9111::demands(headers),
        };
        if demands == Demands::NONE {
            return Cow::Borrowed(options);
        }
        let mut options = options.clone();
        options.refresh |= demands.no_cache;
        options.no_store |= demands.no_store;
        options.only_if_cached |= demands.only_if_cached;
        if let Some(limit) = demands.stale_if_error {
            options.stale_if_error.get_or_insert(StaleLimit::Within(limit));
        }
        // It is heard as `refresh` above; where nobody may be asked, what is stored is not good enough.
        options.demands =
            Demands { no_cache: demands.no_cache && demands.only_if_cached, ..demands };
        Cow::Owned(options)
    }

    /// Step 1: whether the cache has anything to do with `request`.
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
        // Of other methods, a range means nothing (RFC 9110 §14.2), and an origin may answer with a part all the same.
        if headers.contains_key(RANGE) && request.method != Method::GET {
            return Err(Bypass::Range);
        }
        // Of a method that changes something, `If-None-Match` is as much the origin's as `If-Match`.
        let is_read = matches!(request.method, Method::GET | Method::HEAD);
        if headers.contains_key(IF_MATCH)
            || headers.contains_key(IF_UNMODIFIED_SINCE)
            || (headers.contains_key(IF_NONE_MATCH) && !is_read)
        {
            return Err(Bypass::Precondition);
        }
        let allows_credentials = self.store_credentialed.unwrap_or(match self.policy {
            Policy::Fixed => self.scope == Scope::Private,
            // The response says for whom it is.
            Policy::Http { .. } => true,
        });
        if !allows_credentials && has_credentials(request) {
            return Err(Bypass::Credentials);
        }
        Ok(())
    }

    /// Step 4: what the entry with this head is good for, for a request of `method` at `now`.
    ///
    /// Nothing is refreshed ahead or served while it is revalidated where the new response could not be kept, nor for a
    /// request that forbids to ask the origin; what has expired answers the latter where either stale limit allows it.
    pub(crate) fn judge(
        &self,
        options: &CacheOptions,
        method: &Method,
        head: &Head,
        now: Timestamp,
    ) -> Verdict {
        if let Err(miss) = self.may_answer(method, head) {
            return Verdict::Unfit(miss);
        }
        if options.asks_origin() && !options.only_if_cached {
            return Verdict::Unfit(Miss::Refresh);
        }
        let may_refresh = self.may_keep(options) && !options.only_if_cached;
        match self.fits(options, head, now) {
            Ok(Fit::Fresh) if may_refresh && self.is_ending(head, now) => return Verdict::Ending,
            Ok(Fit::Fresh) => return Verdict::Fresh,
            Ok(Fit::Stale) => return Verdict::Stale(Stale::MaxStale),
            Err(Miss::Expired) => {}
            Err(miss) => return Verdict::Unfit(miss),
        }
        let limits = self.stale_limits(options, head.headers());
        let may_be_stale =
            !options.demands.wants_fresh() && limits.while_revalidate.allows(head, now);
        if may_refresh && may_be_stale {
            return Verdict::Stale(Stale::WhileRevalidate);
        }
        if options.only_if_cached && (may_be_stale || self.may_stand_in(options, method, head, now))
        {
            return Verdict::Stale(Stale::OnlyIfCached);
        }
        Verdict::Unfit(Miss::Expired)
    }

    /// As what the entry satisfies the request by its own means, or why it does not.
    fn fits(&self, options: &CacheOptions, head: &Head, now: Timestamp) -> Result<Fit, Miss> {
        if head.expires_at().is_some() && head.stored_at().saturating_since(now) > AHEAD {
            return Err(Miss::Expired);
        }
        match &self.policy {
            Policy::Fixed if head.is_expired(now) => Err(Miss::Expired),
            Policy::Fixed => Ok(Fit::Fresh),
            Policy::Http { targets, .. } => {
                let said = rfc9111::stale_rules(self.scope, targets, head.headers());
                rfc9111::fits(&options.demands, &said, head, now)
            }
        }
    }

    /// Whether a 304 may make the entry answer a request of `method`: not one that asked for the whole response, and
    /// not an entry that would not answer it fresh.
    pub(crate) fn may_be_confirmed(
        &self,
        options: &CacheOptions,
        method: &Method,
        head: &Head,
    ) -> bool {
        !options.force_refresh && self.may_answer(method, head).is_ok()
    }

    /// Whether a response with this head would answer a request of `method` at all, whatever the time.
    pub(crate) fn may_answer(&self, method: &Method, head: &Head) -> Result<(), Miss> {
        // The key says as much, but for keys of the user's own making: a HEAD's empty body answers no GET.
        if head.method() != method && !(*method == Method::HEAD && *head.method() == Method::GET) {
            return Err(Miss::Absent);
        }
        match &self.policy {
            Policy::Fixed => fixed::may_answer(self.store_set_cookie, head),
            Policy::Http { targets, .. } => {
                rfc9111::may_answer(&self.http_settings(targets, None), head)
            }
        }
    }
}

/// Whether the request says who asks.
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
