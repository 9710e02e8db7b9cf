//! [`Rules`]: every decision in the order in which a request meets them, and which policy is asked for it.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri,
    header::{AUTHORIZATION, DATE, IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, RANGE, UPGRADE},
    request, response,
};

use super::{
    Demands, Expiration, ExpirationRules, Policy, Scope, StaleLimit, TagRules, Verdict, fixed,
    is_live, is_safe,
    range::ContentRange,
    rfc9111::{self, Fit, HeadSays},
    validation,
};
use crate::{
    entry::Head,
    options::CacheOptions,
    status::{Bypass, Miss, Refusal, Stale},
    time::Timestamp,
};

/// Whether a response may be kept, by its request and its head.
pub(crate) type StoreFn = Arc<dyn Fn(&request::Parts, &response::Parts) -> bool + Send + Sync>;

/// Everything the decisions depend on beside the exchange itself.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) scope: Scope,
    pub(crate) policy: Policy,
    pub(crate) methods: Vec<Method>,
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
    pub(crate) store_credentialed: bool,
}

/// From then on there is no way to write a date (RFC 9110 §5.6.7).
const YEAR_10_000: Timestamp = Timestamp::from_millis(253_402_300_800_000);

/// A response that has come, and all that the decision to keep it depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Exchange<'a> {
    pub(crate) options: &'a CacheOptions,
    pub(crate) url: &'a str,
    pub(crate) request: &'a request::Parts,
    pub(crate) response: &'a response::Parts,
    pub(crate) requested_at: Timestamp,
    pub(crate) now: Timestamp,
}

/// That a response may be kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Admission {
    /// `None` is forever.
    pub(crate) expires_at: Option<Timestamp>,
    /// The fields of it that may not.
    pub(crate) withheld: Vec<HeaderName>,
}

/// For how long an expired response may be served, by the reason for it.
#[derive(Clone, Copy, Debug, Default)]
struct StaleLimits {
    while_revalidate: StaleLimit,
    if_error: StaleLimit,
}

impl Rules {
    pub(crate) fn new(scope: Scope) -> Self {
        Self {
            scope,
            policy: Policy::Fixed,
            methods: vec![Method::GET, Method::HEAD],
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
            store_credentialed: scope == Scope::Private,
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
        if request.method == Method::CONNECT || !self.methods.contains(&request.method) {
            return Err(Bypass::Method);
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
        match self.policy {
            Policy::Fixed => fixed::gate(self, request),
            // By the responses it is decided whose they are.
            Policy::Http { .. } => Ok(()),
        }
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
        match &self.policy {
            Policy::Fixed if head.is_expired(now) => Err(Miss::Expired),
            Policy::Fixed => Ok(Fit::Fresh),
            Policy::Http { targets } => {
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

    /// Whether the entry may be served in place of the origin's failure. Not for a request that asked for the whole
    /// response, and not where the entry is such a failure itself.
    pub(crate) fn may_stand_in(
        &self,
        options: &CacheOptions,
        method: &Method,
        head: &Head,
        now: Timestamp,
    ) -> bool {
        (!options.force_refresh || options.only_if_cached)
            && self.may_answer(method, head).is_ok()
            && !self.is_failure(head.status())
            && self.stale_limits(options, head.headers()).if_error.allows(head, now)
    }

    /// Whether a response of `status` says that the origin failed.
    pub(crate) fn is_failure(&self, status: StatusCode) -> bool {
        self.error_statuses.contains(&status)
    }

    /// Until when a response with these fields is of use, and so to be kept; `None` is forever. Beyond its expiry, that
    /// is while a stale limit allows it, and, where the origin can confirm it, for the time that is set for that; it counts
    /// from the arrival of what had expired on its way.
    pub(crate) fn keep_until(
        &self,
        options: &CacheOptions,
        headers: &HeaderMap,
        expires_at: Option<Timestamp>,
        arrived_at: Timestamp,
    ) -> Option<Timestamp> {
        let limits = self.stale_limits(options, headers);
        self.end_of_use(limits, validation::has_validator(headers), expires_at?, arrived_at)
    }

    /// Until when a list of variants that expire at `expires_at` is to be kept: as long as any of them may be.
    pub(crate) fn keep_list_until(&self, expires_at: Option<Timestamp>) -> Option<Timestamp> {
        let limits = self.stale_limits(&CacheOptions::new(), &HeaderMap::new());
        self.end_of_use(limits, true, expires_at?, Timestamp::MIN)
    }

    fn end_of_use(
        &self,
        limits: StaleLimits,
        has_validator: bool,
        expires_at: Timestamp,
        arrived_at: Timestamp,
    ) -> Option<Timestamp> {
        let grace = if has_validator { self.keep_expired } else { Duration::ZERO };
        let revalidate = expires_at.max(arrived_at).saturating_add(grace);
        let while_revalidate = limits.while_revalidate.end(expires_at)?;
        Some(revalidate.max(while_revalidate).max(limits.if_error.end(expires_at)?))
    }

    /// For how long a response with these fields may be served stale. The request's own limits go before those that the
    /// response names, and these before the layer's; but what the response forbids, nobody allows.
    fn stale_limits(&self, options: &CacheOptions, headers: &HeaderMap) -> StaleLimits {
        let said = match &self.policy {
            Policy::Fixed => rfc9111::StaleRules::default(),
            Policy::Http { targets } => rfc9111::stale_rules(self.scope, targets, headers),
        };
        if said.is_forbidden {
            return StaleLimits::default();
        }
        let limit = |own: Option<StaleLimit>, said: Option<Duration>, layer| {
            own.or(said.map(StaleLimit::Within)).unwrap_or(layer)
        };
        StaleLimits {
            while_revalidate: limit(
                options.stale_while_revalidate,
                said.while_revalidate,
                self.stale_while_revalidate,
            ),
            if_error: limit(options.stale_if_error, said.if_error, self.stale_if_error),
        }
    }

    /// Whether a response with this head would answer a request of `method` at all, whatever the time.
    pub(crate) fn may_answer(&self, method: &Method, head: &Head) -> Result<(), Miss> {
        // The key says as much, but for keys of the user's own making: a HEAD's empty body answers no GET.
        if head.method() != method && !(*method == Method::HEAD && *head.method() == Method::GET) {
            return Err(Miss::Absent);
        }
        match &self.policy {
            Policy::Fixed => fixed::may_answer(self, head),
            Policy::Http { targets } => {
                rfc9111::may_answer(&self.http_settings(targets, None), head)
            }
        }
    }

    /// Whether what another request's call has brought may answer a request that waited for it. Time alone does not mind
    /// whose call it was. Under the HTTP rules it has to be reusable (RFC 9111 §4): what the origin wants to be asked about
    /// each time, it may answer differently for each who asks.
    pub(crate) fn may_follow(&self, options: &CacheOptions, head: &Head, now: Timestamp) -> bool {
        match self.policy {
            Policy::Fixed => true,
            Policy::Http { .. } => self.fits(options, head, now) == Ok(Fit::Fresh),
        }
    }

    /// Whether it is time to refresh an entry that is fresh.
    fn is_ending(&self, head: &Head, now: Timestamp) -> bool {
        let (Some(fraction), Some(end)) = (self.refresh_ahead, head.expires_at()) else {
            return false;
        };
        let lifetime = end.saturating_since(head.stored_at());
        end.saturating_since(now).as_secs_f64() < lifetime.as_secs_f64() * fraction
    }

    /// Whether any response to the request may be kept, as far as that is known before there is one.
    pub(crate) fn may_keep(&self, options: &CacheOptions) -> bool {
        let is_refused = options.expire_after == Some(Expiration::DoNotStore);
        !self.read_only && !options.no_store && !is_refused
    }

    /// Step 7: whether the response may be kept, until when, and what of it.
    pub(crate) fn admit(&self, exchange: &Exchange<'_>) -> Result<Admission, Refusal> {
        let Exchange { options, request, response, .. } = *exchange;
        if self.read_only {
            return Err(Refusal::ReadOnly);
        }
        if options.no_store {
            return Err(Refusal::NoStore);
        }
        // Under the HTTP rules, any status may say for how long it may be kept.
        let is_named = self.statuses.contains(&response.status)
            || self.expiration.names_status(response.status);
        if !is_named && matches!(self.policy, Policy::Fixed) {
            return Err(Refusal::Status);
        }
        if request.method == Method::GET && is_live(&response.headers) {
            return Err(Refusal::EventStream);
        }
        if self.store_if.as_ref().is_some_and(|store_if| !store_if(request, response)) {
            return Err(Refusal::Predicate);
        }
        self.admit_by_policy(exchange, is_named)
    }

    /// Whether a response that is put there by hand may be, and until when. Methods, statuses and the user's predicate
    /// have nothing to say.
    pub(crate) fn admit_by_hand(&self, exchange: &Exchange<'_>) -> Result<Admission, Refusal> {
        self.admit_by_policy(exchange, true)
    }

    /// `is_named` is whether the user's expirations are meant for this status.
    fn admit_by_policy(
        &self,
        exchange: &Exchange<'_>,
        is_named: bool,
    ) -> Result<Admission, Refusal> {
        let Exchange { options, url, request, response, .. } = *exchange;
        let chosen = self.expiration.choose(options.expire_after, url, request, response);
        match &self.policy {
            Policy::Fixed => fixed::admit(self, response, chosen, exchange.now),
            Policy::Http { targets } => {
                let chosen = chosen.filter(|it| is_named || matches!(it, Expiration::DoNotStore));
                let settings = self.http_settings(targets, chosen);
                let Exchange { requested_at, now, .. } = *exchange;
                rfc9111::admit(&settings, request, response, requested_at, now)
            }
        }
    }

    /// Whether the response to this request says more of who asked than of what was asked for: it neither waits for others
    /// nor others for it, and what it says of what is stored does not count.
    pub(crate) fn is_personal(&self, request: &HeaderMap) -> bool {
        self.scope == Scope::Shared
            && matches!(self.policy, Policy::Http { .. })
            && request.contains_key(AUTHORIZATION)
    }

    /// Whether parts of responses are kept by themselves.
    pub(crate) fn keeps_parts(&self) -> bool {
        matches!(self.policy, Policy::Http { .. })
    }

    /// Whether the response to a request that goes past the cache may be of use to others: a part, and what a `POST` says
    /// that a `GET` would bring (RFC 9110 §9.3.3).
    pub(crate) fn may_keep_aside(
        &self,
        options: &CacheOptions,
        reason: Bypass,
        method: &Method,
    ) -> bool {
        let is_of_use = match reason {
            Bypass::Range => *method == Method::GET,
            Bypass::Method => *method == Method::POST,
            _ => false,
        };
        is_of_use && matches!(self.policy, Policy::Http { .. }) && self.may_keep(options)
    }

    /// Whether this response to such a request, for the URL `url`, is one.
    pub(crate) fn keeps_aside<Body>(
        &self,
        url: &str,
        method: &Method,
        response: &Response<Body>,
        now: Timestamp,
    ) -> bool {
        let Policy::Http { targets } = &self.policy else { return false };
        let (status, headers) = (response.status(), response.headers());
        if *method == Method::POST {
            status == StatusCode::OK
                && url.parse().is_ok_and(|url| {
                    rfc9111::speaks_for_get(self.scope, targets, &url, headers, now)
                })
        } else {
            status == StatusCode::PARTIAL_CONTENT && ContentRange::of(headers).is_some()
        }
    }

    /// What the answer to a `HEAD` says of the stored response to a `GET` (RFC 9111 §4.3.5).
    pub(crate) fn head_says(&self, stored: &Head, answer: &response::Parts) -> HeadSays {
        match self.policy {
            Policy::Fixed => HeadSays::Nothing,
            Policy::Http { .. } => rfc9111::head_says(stored, answer),
        }
    }

    /// The URLs beside its own, `url`, that the response to a successful unsafe request makes stale (RFC 9111 §4.4).
    pub(crate) fn named_urls(&self, url: &str, response: &HeaderMap) -> Vec<Uri> {
        match (&self.policy, url.parse()) {
            (Policy::Http { .. }, Ok(url)) => rfc9111::named_urls(&url, response),
            _ => Vec::new(),
        }
    }

    /// The tags of the groups that the response for `url` is in (RFC 9875 §2).
    pub(crate) fn group_tags(
        &self,
        url: &str,
        response: &HeaderMap,
    ) -> Result<Vec<Box<str>>, Refusal> {
        match (&self.policy, url.parse()) {
            (Policy::Http { .. }, Ok(url)) => rfc9111::group_tags(&url, response),
            _ => Ok(Vec::new()),
        }
    }

    /// The tags of a confirmed response for `url`: its groups are those that it names now.
    pub(crate) fn with_groups(
        &self,
        mut tags: Vec<Box<str>>,
        url: &str,
        response: &HeaderMap,
    ) -> Result<Vec<Box<str>>, Refusal> {
        if matches!(self.policy, Policy::Http { .. }) {
            tags.retain(|tag| !tag.starts_with(rfc9111::GROUP_TAG_PREFIX));
            tags.extend(self.group_tags(url, response)?);
        }
        Ok(tags)
    }

    /// The tags of the groups that the response to a successful unsafe request for `url` makes stale (RFC 9875 §3).
    pub(crate) fn named_groups(&self, url: &str, response: &HeaderMap) -> Vec<Box<str>> {
        match (&self.policy, url.parse()) {
            (Policy::Http { .. }, Ok(url)) => rfc9111::invalidated_group_tags(&url, response),
            _ => Vec::new(),
        }
    }

    /// The fields of a response as they are stored: without those that may not be, and, under the HTTP rules, with the
    /// time of receipt where the origin names no `Date` (RFC 9110 §6.6.1).
    pub(crate) fn stored_fields(
        &self,
        mut fields: HeaderMap,
        admission: &Admission,
        now: Timestamp,
    ) -> HeaderMap {
        for name in &admission.withheld {
            fields.remove(name);
        }
        self.dated(fields, now)
    }

    /// The fields with the time of receipt where the origin names no `Date` (RFC 9110 §6.6.1), where the HTTP rules hold.
    fn dated(&self, mut fields: HeaderMap, now: Timestamp) -> HeaderMap {
        if matches!(self.policy, Policy::Http { .. })
            && !fields.contains_key(DATE)
            && now < YEAR_10_000
            && let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(now.into()))
        {
            fields.insert(DATE, date);
        }
        fields
    }

    /// The fields of a stored response, updated by those of an answer of `now` that confirms it.
    pub(crate) fn merged(
        &self,
        stored: &HeaderMap,
        update: &HeaderMap,
        now: Timestamp,
    ) -> HeaderMap {
        // The `Date` of the old response would make it as old as that.
        validation::merged(stored, &self.dated(update.clone(), now))
    }

    /// What a stored response says of its age at `now` (RFC 9111 §5.1), where the HTTP rules hold.
    pub(crate) fn age(&self, head: &Head, now: Timestamp) -> Option<HeaderValue> {
        match self.policy {
            Policy::Fixed => None,
            Policy::Http { .. } => Some(rfc9111::current_age(head, now).as_secs().into()),
        }
    }

    fn http_settings<'a>(
        &self,
        targets: &'a [HeaderName],
        fallback: Option<Expiration>,
    ) -> rfc9111::Settings<'a> {
        rfc9111::Settings {
            scope: self.scope,
            targets,
            fallback,
            store_set_cookie: self.store_set_cookie,
        }
    }

    /// Whether a response of `status` to a request of `method` makes what is stored for its URL stale
    /// (RFC 9111 §4.4): an unsafe method that succeeded. A method that is itself cached is taken for a query.
    pub(crate) fn invalidates(&self, method: &Method, status: StatusCode) -> bool {
        (status.is_success() || status.is_redirection())
            && !self.methods.contains(method)
            && !is_safe(method)
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("scope", &self.scope)
            .field("policy", &self.policy)
            .field("methods", &self.methods)
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
            .field("store_credentialed", &self.store_credentialed)
            .finish()
    }
}

#[cfg(test)]
mod tests;
