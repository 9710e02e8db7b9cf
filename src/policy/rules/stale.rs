//! For how long what has expired is still of use.

use std::time::Duration;

use http::{HeaderMap, Method};

use super::Rules;
use crate::{
    entry::Head,
    options::CacheOptions,
    policy::{Policy, StaleLimit, rfc9111, validation},
    time::Timestamp,
};

/// For how long an expired response may be served, by the reason for it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StaleLimits {
    pub(super) while_revalidate: StaleLimit,
    pub(super) if_error: StaleLimit,
}

impl Rules {
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

    pub(super) fn end_of_use(
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
    pub(super) fn stale_limits(&self, options: &CacheOptions, headers: &HeaderMap) -> StaleLimits {
        let said = match &self.policy {
            Policy::Fixed => rfc9111::StaleRules::default(),
            Policy::Http { targets, .. } => rfc9111::stale_rules(self.scope, targets, headers),
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

    /// Whether it is time to refresh an entry that is fresh.
    pub(super) fn is_ending(&self, head: &Head, now: Timestamp) -> bool {
        let (Some(fraction), Some(end)) = (self.refresh_ahead, head.expires_at()) else {
            return false;
        };
        let lifetime = end.saturating_since(head.stored_at());
        end.saturating_since(now).as_secs_f64() < lifetime.as_secs_f64() * fraction
    }
}
