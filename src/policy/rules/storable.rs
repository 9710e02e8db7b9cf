//! Step 7: whether a response may be stored, until when, and with which fields.

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{AGE, DATE},
};

use super::Rules;
use crate::{
    entry::Head,
    options::CacheOptions,
    policy::{
        Exchange, Expiration, Policy, Storable, asks_for_part, end_to_end_without, fixed, is_live,
        rfc9111, validation,
    },
    status::Refusal,
    time::Timestamp,
};

/// Dates from this time on cannot be written in HTTP (RFC 9110 §5.6.7).
const YEAR_10_000: Timestamp = Timestamp::from_millis(253_402_300_800_000);

/// Whether a response with this status may be stored at all (RFC 9111 §3). A 1xx and a 304 never
/// are. A 206 is stored only if the request asks for a part.
fn is_complete(status: StatusCode, is_part: bool) -> bool {
    !status.is_informational()
        && (is_part || status != StatusCode::PARTIAL_CONTENT)
        && status != StatusCode::NOT_MODIFIED
}

impl Rules {
    /// Whether a response to the request may be stored, as far as this is known before the
    /// response.
    pub(crate) fn may_keep(&self, options: &CacheOptions) -> bool {
        let is_refused = options.expire_after == Some(Expiration::DoNotStore);
        !self.read_only && !options.no_store && !is_refused
    }

    /// Step 7: whether the response may be stored, until when, and without which fields.
    pub(crate) fn storable(&self, exchange: &Exchange<'_>) -> Result<Storable, Refusal> {
        let Exchange { options, request, response, .. } = *exchange;
        if self.read_only {
            return Err(Refusal::ReadOnly);
        }
        let is_named = self.names(response.status);
        if options.no_store {
            // The origin's reason is more useful to report than the request's own.
            let said = self.storable_by_policy(exchange, is_named).err();
            return Err(said.filter(|said| said.is_by_origin()).unwrap_or(Refusal::NoStore));
        }
        if !is_named && matches!(self.policy, Policy::Fixed) {
            return Err(Refusal::Status);
        }
        if request.method == Method::GET && is_live(&response.headers) {
            return Err(Refusal::EventStream);
        }
        if self.store_if.as_ref().is_some_and(|store_if| !store_if(request, response)) {
            return Err(Refusal::Predicate);
        }
        self.storable_by_policy(exchange, is_named)
    }

    /// Whether a response that [`Entries::insert`](crate::Entries::insert) brings may be stored,
    /// and until when. The user's methods, statuses and predicate do not apply. A 206 is refused
    /// even if the request asks for a part: it would be stored under the key of the whole response.
    pub(crate) fn storable_by_hand(&self, exchange: &Exchange<'_>) -> Result<Storable, Refusal> {
        if exchange.response.status == StatusCode::PARTIAL_CONTENT {
            return Err(Refusal::Status);
        }
        self.storable_by_policy(exchange, true)
    }

    /// Asks the policy at work. `is_named` is whether the user's expirations apply to this status.
    pub(super) fn storable_by_policy(
        &self,
        exchange: &Exchange<'_>,
        is_named: bool,
    ) -> Result<Storable, Refusal> {
        let Exchange { request, response, .. } = *exchange;
        let is_part = self.keeps_parts() && asks_for_part(&request.method, &request.headers);
        if !is_complete(response.status, is_part) {
            return Err(Refusal::Status);
        }
        let storable = match &self.policy {
            Policy::Fixed => {
                let chosen = self.chosen(exchange);
                fixed::storable(self.scope, self.store_set_cookie, response, chosen, exchange.now)?
            }
            Policy::Http { targets, .. } => {
                self.check_by_http(targets, exchange, is_named).storable()?
            }
        };
        let expires_at = self.expiration.limited(storable.expires_at, exchange.now);
        Ok(Storable { expires_at, ..storable })
    }

    /// Whether the user's expirations apply to this status. Under the HTTP rules, a response with
    /// any other status may still state its own lifetime.
    pub(super) fn names(&self, status: StatusCode) -> bool {
        self.statuses.as_ref().is_none_or(|named| named.contains(&status))
            || self.expiration.names_status(status)
    }

    fn chosen(&self, exchange: &Exchange<'_>) -> Option<Expiration> {
        let Exchange { options, url, request, response, .. } = *exchange;
        self.expiration.choose(options.expire_after, url, request, response)
    }

    pub(super) fn check_by_http(
        &self,
        targets: &[HeaderName],
        exchange: &Exchange<'_>,
        is_named: bool,
    ) -> rfc9111::StorableCheck {
        let chosen = self.chosen(exchange);
        let chosen = chosen.filter(|it| is_named || matches!(it, Expiration::DoNotStore));
        let settings = self.http_settings(targets, chosen);
        let Exchange { options, request, response, requested_at, now, .. } = *exchange;
        rfc9111::check_storable(
            &settings,
            &options.directives,
            request,
            response,
            requested_at,
            now,
        )
    }

    /// The fields of a response as they are stored, in memory of their own: without those of the
    /// connection and the omitted ones (RFC 9111 §3.1). Under the HTTP rules, a response without a
    /// `Date` gets the time of receipt as its `Date` (RFC 9110 §6.6.1).
    pub(crate) fn stored_fields(
        &self,
        fields: &HeaderMap,
        storable: &Storable,
        now: Timestamp,
    ) -> HeaderMap {
        let mut fields = end_to_end_without(fields, &storable.omitted);
        let lines = fields.len();
        // Only the first line counts (RFC 9111 §5.1). If the others were stored, each hit would
        // have to remove them.
        if matches!(self.policy, Policy::Http { .. }) && fields.get_all(AGE).iter().count() > 1 {
            let mut first = HeaderMap::with_capacity(fields.keys_len());
            for (name, value) in &fields {
                if *name != AGE || !first.contains_key(AGE) {
                    first.append(name, value.clone());
                }
            }
            fields = first;
        }
        let fields = self.dated(fields, now);
        // A map that has grown has room for more lines, a clone of it has not.
        if fields.len() == lines { fields } else { fields.clone() }
    }

    /// Under the HTTP rules, adds the time of receipt as `Date` if the origin sent none (RFC 9110
    /// §6.6.1).
    pub(super) fn dated(&self, mut fields: HeaderMap, now: Timestamp) -> HeaderMap {
        if matches!(self.policy, Policy::Http { .. })
            && !fields.contains_key(DATE)
            && now < YEAR_10_000
            && let Ok(date) = HeaderValue::try_from(httpdate::fmt_http_date(now.into()))
        {
            let _no_room = fields.try_insert(DATE, date);
        }
        fields
    }

    /// The fields of a stored response after a 304 received at `now` has freshened it.
    pub(crate) fn merged(
        &self,
        stored: &HeaderMap,
        update: &HeaderMap,
        now: Timestamp,
    ) -> HeaderMap {
        // A 304 without a `Date` gets the time of receipt. With the stored `Date`, the freshened
        // response would be as old as before.
        validation::merged(stored, &self.dated(update.clone(), now))
    }

    /// The `Age` field of a stored response at `now` (RFC 9111 §5.1). Only the HTTP rules send
    /// one.
    pub(crate) fn age(&self, head: &Head, now: Timestamp) -> Option<HeaderValue> {
        match self.policy {
            Policy::Fixed => None,
            Policy::Http { .. } => Some(rfc9111::current_age(head, now).as_secs().into()),
        }
    }

    pub(super) fn http_settings<'a>(
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
}
