//! The decisions: may this request be answered, is this entry good, may this response be kept.
//!
//! Each is a pure function of settings, heads and the time: no I/O, no clock, and a name for every refusal. Nothing
//! else in the crate knows which policy is at work. There is one so far, `fixed`: time alone.

use std::{fmt, sync::Arc, time::Duration};

use http::{
    HeaderMap, Method, StatusCode,
    header::{IF_MATCH, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, RANGE, UPGRADE},
    request, response,
};

use crate::{
    entry::Head,
    options::CacheOptions,
    status::{Bypass, Miss, Refusal, Stale},
    time::Timestamp,
};

mod expiration;
mod fixed;
mod message;
mod stale;
mod tags;
mod validation;
mod vary;

pub use self::{expiration::Expiration, stale::StaleLimit};
pub(crate) use self::{
    expiration::ExpirationRules,
    message::{content_length, end_to_end, is_live, is_safe},
    tags::TagRules,
    validation::{
        conditions, confirms, is_unmodified, merged, not_modified_headers, remove_conditions,
    },
    vary::{Vary, union, vary},
};

/// Who shares the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// One client.
    Private,
    /// Many users.
    Shared,
}

/// Whether a response may be kept, by its request and its head.
pub(crate) type StoreFn = Arc<dyn Fn(&request::Parts, &response::Parts) -> bool + Send + Sync>;

/// What a stored response is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It answers the request.
    Fresh,
    /// It answers the request; but what is left of its lifetime is so short that it is time to refresh it.
    Ending,
    /// It has expired and answers the request all the same; with [`Stale::WhileRevalidate`], while it is refreshed.
    Stale(Stale),
    /// It does not answer the request. The origin may still confirm it ([`Rules::may_be_confirmed`]), or fail and leave
    /// it to stand in ([`Rules::may_stand_in`]).
    Unfit(Miss),
}

/// Everything the decisions depend on beside the exchange itself.
#[derive(Clone)]
pub(crate) struct Rules {
    pub(crate) scope: Scope,
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

impl Rules {
    pub(crate) fn new(scope: Scope) -> Self {
        Self {
            scope,
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
        if headers.contains_key(RANGE) {
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
        fixed::gate(self, request)
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
        if !fixed::has_expired(head, now) {
            return if may_refresh && self.is_ending(head, now) {
                Verdict::Ending
            } else {
                Verdict::Fresh
            };
        }
        let may_be_stale = self.while_revalidate(options).allows(head, now);
        if may_refresh && may_be_stale {
            return Verdict::Stale(Stale::WhileRevalidate);
        }
        if options.only_if_cached && (may_be_stale || self.may_stand_in(options, method, head, now))
        {
            return Verdict::Stale(Stale::OnlyIfCached);
        }
        Verdict::Unfit(Miss::Expired)
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
            && self.if_error(options).allows(head, now)
    }

    /// Whether a response of `status` says that the origin failed.
    pub(crate) fn is_failure(&self, status: StatusCode) -> bool {
        self.error_statuses.contains(&status)
    }

    /// Until when a response with these fields is of use, and so to be kept; `None` is forever. Beyond its expiry, that
    /// is while a stale limit allows it, and, where the origin can confirm it, for the time that is set for that.
    pub(crate) fn keep_until(
        &self,
        options: &CacheOptions,
        headers: &HeaderMap,
        expires_at: Option<Timestamp>,
    ) -> Option<Timestamp> {
        self.end_of_use(options, validation::has_validator(headers), expires_at?)
    }

    /// Until when a list of variants that expire at `expires_at` is to be kept: as long as any of them may be.
    pub(crate) fn keep_list_until(&self, expires_at: Option<Timestamp>) -> Option<Timestamp> {
        self.end_of_use(&CacheOptions::new(), true, expires_at?)
    }

    fn end_of_use(
        &self,
        options: &CacheOptions,
        has_validator: bool,
        expires_at: Timestamp,
    ) -> Option<Timestamp> {
        let grace = if has_validator { self.keep_expired } else { Duration::ZERO };
        let revalidate = expires_at.saturating_add(grace);
        let while_revalidate = self.while_revalidate(options).end(expires_at)?;
        Some(revalidate.max(while_revalidate).max(self.if_error(options).end(expires_at)?))
    }

    fn while_revalidate(&self, options: &CacheOptions) -> StaleLimit {
        options.stale_while_revalidate.unwrap_or(self.stale_while_revalidate)
    }

    fn if_error(&self, options: &CacheOptions) -> StaleLimit {
        options.stale_if_error.unwrap_or(self.stale_if_error)
    }

    /// Whether a response with this head would answer a request of `method` at all, whatever the time.
    pub(crate) fn may_answer(&self, method: &Method, head: &Head) -> Result<(), Miss> {
        // The key says as much, but for keys of the user's own making: a HEAD's empty body answers no GET.
        if head.method() != method && !(*method == Method::HEAD && *head.method() == Method::GET) {
            return Err(Miss::Absent);
        }
        fixed::may_answer(self, head)
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

    /// Step 7: whether the response may be kept, and until when; `Ok(None)` is forever.
    pub(crate) fn admit(
        &self,
        options: &CacheOptions,
        url: &str,
        request: &request::Parts,
        response: &response::Parts,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Refusal> {
        if self.read_only {
            return Err(Refusal::ReadOnly);
        }
        if options.no_store {
            return Err(Refusal::NoStore);
        }
        if !self.statuses.contains(&response.status)
            && !self.expiration.names_status(response.status)
        {
            return Err(Refusal::Status);
        }
        if request.method == Method::GET && is_live(&response.headers) {
            return Err(Refusal::EventStream);
        }
        if self.store_if.as_ref().is_some_and(|store_if| !store_if(request, response)) {
            return Err(Refusal::Predicate);
        }
        fixed::admit(self, options, url, request, response, now)
    }

    /// Whether a response that is put there by hand may be, and until when; `Ok(None)` is forever. Methods, statuses and
    /// the user's predicate have nothing to say.
    pub(crate) fn admit_by_hand(
        &self,
        options: &CacheOptions,
        url: &str,
        request: &request::Parts,
        response: &response::Parts,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Refusal> {
        fixed::admit(self, options, url, request, response, now)
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
mod tests {
    use http::{HeaderValue, Request};

    use super::*;

    fn gate(request: http::request::Builder) -> Result<(), Bypass> {
        let parts = request.body(()).unwrap().into_parts().0;
        Rules::new(Scope::Private).gate(CacheOptions::of(&parts.extensions), &parts)
    }

    #[test]
    fn each_bypass_has_its_reason() {
        assert_eq!(gate(Request::get("http://a/")), Ok(()));
        assert_eq!(gate(Request::head("http://a/")), Ok(()));
        assert_eq!(gate(Request::post("http://a/")), Err(Bypass::Method));
        assert_eq!(gate(Request::connect("a:1")), Err(Bypass::Method));
        let get = |name: &str| Request::get("http://a/").header(name, "x");
        assert_eq!(gate(get("range")), Err(Bypass::Range));
        assert_eq!(gate(get("upgrade")), Err(Bypass::Upgrade));
        assert_eq!(gate(get("if-match")), Err(Bypass::Precondition));
        assert_eq!(gate(get("if-none-match")), Ok(()));
        let asked = Request::get("http://a/").extension(CacheOptions::new().bypass(true));
        assert_eq!(gate(asked), Err(Bypass::Requested));
    }

    #[test]
    fn connect_is_never_cached_even_when_it_is_named() {
        let mut rules = Rules::new(Scope::Private);
        rules.methods.push(Method::CONNECT);
        let parts = Request::connect("a:1").body(()).unwrap().into_parts().0;
        assert_eq!(rules.gate(&CacheOptions::new(), &parts), Err(Bypass::Method));
    }

    /// Stored at 0 s, expires at 10 s.
    fn head(status: StatusCode, lines: &[(&'static str, &'static str)]) -> Head {
        let mut parts = http::Response::new(()).into_parts().0;
        parts.status = status;
        for (name, value) in lines {
            parts.headers.append(*name, HeaderValue::from_static(value));
        }
        Head::new(Method::GET, "http://a/", parts, Timestamp::MIN).with_expires_at(Some(secs(10)))
    }

    fn secs(secs: u64) -> Timestamp {
        Timestamp::from_millis(secs * 1000)
    }

    fn within(secs: u64) -> StaleLimit {
        Duration::from_secs(secs).into()
    }

    const NEW: fn() -> CacheOptions = CacheOptions::new;

    #[test]
    fn what_has_expired_is_good_for_what_the_limits_allow() {
        let mut rules = Rules::new(Scope::Private);
        let head = head(StatusCode::OK, &[]);
        let only = || NEW().only_if_cached(true);
        let judge = |rules: &Rules, options: CacheOptions, now| {
            rules.judge(&options, &Method::GET, &head, secs(now))
        };
        let expired = Verdict::Unfit(Miss::Expired);
        assert_eq!(judge(&rules, NEW(), 9), Verdict::Fresh);
        assert_eq!(judge(&rules, NEW(), 10), expired);
        assert_eq!(judge(&rules, only(), 10), expired);

        rules.stale_if_error = within(5);
        assert_eq!(judge(&rules, NEW(), 10), expired, "there is no error yet");
        assert_eq!(judge(&rules, only(), 14), Verdict::Stale(Stale::OnlyIfCached));
        assert_eq!(judge(&rules, only(), 15), expired);

        rules.stale_while_revalidate = within(20);
        let meanwhile = Verdict::Stale(Stale::WhileRevalidate);
        assert_eq!(judge(&rules, NEW(), 10), meanwhile);
        assert_eq!(judge(&rules, NEW(), 29), meanwhile);
        assert_eq!(judge(&rules, NEW(), 30), expired);
        assert_eq!(judge(&rules, only(), 29), Verdict::Stale(Stale::OnlyIfCached));
        assert_eq!(judge(&rules, NEW().no_store(true), 10), expired, "nothing would be refreshed");
        let reader = Rules { read_only: true, ..rules.clone() };
        assert_eq!(judge(&reader, NEW(), 10), expired, "nothing would be refreshed");

        // The request's own limit goes first, either way.
        let own = |limit| CacheOptions {
            stale_while_revalidate: Some(limit),
            stale_if_error: Some(StaleLimit::None),
            ..NEW()
        };
        assert_eq!(judge(&rules, own(StaleLimit::None), 10), expired);
        assert_eq!(judge(&rules, own(StaleLimit::None).only_if_cached(true), 10), expired);
        assert_eq!(judge(&rules, own(StaleLimit::Unlimited), 1_000_000), meanwhile);
    }

    #[test]
    fn a_refresh_takes_nothing_that_is_stored_unless_that_is_all_there_may_be() {
        let mut rules = Rules::new(Scope::Private);
        rules.stale_while_revalidate = StaleLimit::Unlimited;
        let head = head(StatusCode::OK, &[]);
        for options in [NEW().refresh(true), NEW().force_refresh(true)] {
            for now in [9, 10] {
                let judge = |options| rules.judge(&options, &Method::GET, &head, secs(now));
                assert_eq!(judge(options.clone()), Verdict::Unfit(Miss::Refresh));
                assert!(!matches!(judge(options.clone().only_if_cached(true)), Verdict::Unfit(_)));
            }
        }
    }

    #[test]
    fn an_entry_is_refreshed_ahead_in_the_last_part_of_its_lifetime() {
        let mut rules = Rules::new(Scope::Private);
        rules.refresh_ahead = Some(0.2);
        let head = head(StatusCode::OK, &[]);
        let judge = |options: CacheOptions, millis| {
            rules.judge(&options, &Method::GET, &head, Timestamp::from_millis(millis))
        };
        assert_eq!(judge(NEW(), 8_000), Verdict::Fresh);
        assert_eq!(judge(NEW(), 8_001), Verdict::Ending);
        assert_eq!(judge(NEW(), 9_999), Verdict::Ending);
        assert_eq!(judge(NEW(), 10_000), Verdict::Unfit(Miss::Expired));
        for options in [NEW().only_if_cached(true), NEW().no_store(true)] {
            assert_eq!(judge(options, 9_999), Verdict::Fresh);
        }
        let forever = head.clone().with_expires_at(None);
        assert_eq!(rules.judge(&NEW(), &Method::GET, &forever, Timestamp::MAX), Verdict::Fresh);
    }

    #[test]
    fn an_entry_stands_in_for_a_failure_that_it_is_not_itself() {
        let mut rules = Rules::new(Scope::Private);
        let ok = head(StatusCode::OK, &[]);
        let stands_in = |rules: &Rules, options: CacheOptions, head: &Head, now| {
            rules.may_stand_in(&options, &Method::GET, head, secs(now))
        };
        assert!(!stands_in(&rules, NEW(), &ok, 10), "nobody has allowed it");
        rules.stale_if_error = within(5);
        assert!(stands_in(&rules, NEW(), &ok, 10));
        assert!(
            stands_in(&rules, NEW().refresh(true), &ok, 9),
            "fresh, and could not be confirmed"
        );
        assert!(!stands_in(&rules, NEW(), &ok, 15));
        assert!(stands_in(&rules, NEW().stale_if_error(StaleLimit::Unlimited), &ok, 15));
        assert!(!stands_in(&rules, NEW().stale_if_error(StaleLimit::None), &ok, 10));
        assert!(!stands_in(&rules, NEW().force_refresh(true), &ok, 10));
        assert!(!stands_in(&rules, NEW(), &head(StatusCode::BAD_GATEWAY, &[]), 10));
        assert!(stands_in(&rules, NEW(), &head(StatusCode::NOT_FOUND, &[]), 10));
        assert!(!rules.may_stand_in(&NEW(), &Method::POST, &ok, secs(10)), "another method's");
        assert!(rules.may_stand_in(&NEW(), &Method::HEAD, &ok, secs(10)));

        let failures: Vec<u16> = (100..600)
            .filter(|status| rules.is_failure(StatusCode::from_u16(*status).unwrap()))
            .collect();
        assert_eq!(failures, [500, 502, 503, 504]);
    }

    #[test]
    fn a_304_may_confirm_what_would_be_answered_with() {
        let rules = Rules::new(Scope::Private);
        let may = |options: CacheOptions, method| {
            rules.may_be_confirmed(&options, &method, &head(StatusCode::OK, &[]))
        };
        assert!(may(NEW(), Method::GET) && may(NEW(), Method::HEAD));
        assert!(may(NEW().refresh(true), Method::GET));
        assert!(!may(NEW().force_refresh(true), Method::GET));
        assert!(!may(NEW().refresh(true).force_refresh(true), Method::GET));
        assert!(!may(NEW(), Method::POST));
    }

    #[test]
    fn what_has_expired_is_kept_for_as_long_as_it_is_of_use() {
        let mut rules = Rules::new(Scope::Private);
        let keep = |rules: &Rules, options: CacheOptions, lines: &[_]| {
            rules.keep_until(&options, head(StatusCode::OK, lines).headers(), Some(secs(10)))
        };
        let tagged = [("etag", "\"a\"")];
        assert_eq!(keep(&rules, NEW(), &[]), Some(secs(10)), "no validator, no use");
        assert_eq!(keep(&rules, NEW(), &tagged), Some(secs(3_610)));
        assert_eq!(keep(&rules, NEW(), &[("last-modified", "x")]), Some(secs(3_610)));
        assert_eq!(rules.keep_list_until(Some(secs(10))), Some(secs(3_610)));
        rules.keep_expired = Duration::ZERO;
        assert_eq!(keep(&rules, NEW(), &tagged), Some(secs(10)));
        rules.stale_if_error = within(5);
        assert_eq!(keep(&rules, NEW(), &[]), Some(secs(15)));
        rules.stale_while_revalidate = within(7);
        assert_eq!(keep(&rules, NEW(), &[]), Some(secs(17)));
        let longer = NEW().stale_if_error(Duration::from_secs(9));
        assert_eq!(keep(&rules, longer, &[]), Some(secs(19)));
        assert_eq!(keep(&rules, NEW().stale_if_error(StaleLimit::Unlimited), &[]), None);
        assert_eq!(rules.keep_until(&NEW(), &HeaderMap::new(), None), None);
        let ever = NEW().stale_if_error(Duration::MAX);
        assert_eq!(keep(&rules, ever, &[]), Some(Timestamp::MAX));
    }

    #[test]
    fn only_a_successful_unsafe_method_that_is_not_cached_invalidates() {
        let mut rules = Rules::new(Scope::Private);
        for (method, status, expected) in [
            ("POST", 200, true),
            ("PUT", 204, true),
            ("DELETE", 303, true),
            ("FROBNICATE", 200, true),
            ("POST", 404, false),
            ("POST", 500, false),
            ("GET", 200, false),
            ("OPTIONS", 200, false),
            ("CONNECT", 200, false),
            ("PROPFIND", 207, false),
        ] {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(rules.invalidates(&method, status), expected, "{method} {status}");
        }
        rules.methods.push(Method::POST);
        assert!(!rules.invalidates(&Method::POST, StatusCode::OK));
    }
}
