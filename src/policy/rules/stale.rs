//! How long an expired response may still be served, and how long it stays stored.

use std::time::Duration;

use http::Method;

use super::Rules;
use crate::{
    entry::{Head, ResponseFields},
    fields::Directives,
    options::CacheOptions,
    policy::{StaleLimit, rfc9111, validation},
    time::Timestamp,
};

/// How long an expired response may be served, by reason.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StaleLimits {
    pub(super) while_revalidate: StaleLimit,
    pub(super) if_error: StaleLimit,
}

impl Rules {
    /// Whether the stored response may be served when the origin fails (stale-if-error). It may not
    /// if the request forces a full response, or if the stored response is itself a failure.
    pub(crate) fn may_serve_if_error(
        &self,
        options: &CacheOptions,
        method: &Method,
        head: &Head,
        now: Timestamp,
    ) -> bool {
        let directives = self.directives(head.fields());
        (!options.force_refresh || options.only_if_cached)
            && self.may_answer_with(&directives, method, head).is_ok()
            && self.allows_if_error(self.stale_limits(options, &directives), head, now)
    }

    /// Whether the limits allow serving the stored response when the origin fails.
    pub(super) fn allows_if_error(&self, limits: StaleLimits, head: &Head, now: Timestamp) -> bool {
        !self.is_failure(head.status()) && limits.if_error.allows(head, now)
    }

    /// Until when a response with these fields stays stored. `None` is forever. After it expires,
    /// it stays stored as long as a stale limit allows serving it. If it has a validator, it also
    /// stays for the `keep_expired` time, so that the origin can freshen it. If it had already
    /// expired when it arrived, this time starts on arrival.
    pub(crate) fn keep_until(
        &self,
        options: &CacheOptions,
        fields: ResponseFields<'_>,
        expires_at: Option<Timestamp>,
        arrived_at: Timestamp,
    ) -> Option<Timestamp> {
        let limits = self.stale_limits(options, &self.directives(fields));
        let has_validator = validation::has_validator(fields.lines());
        self.end_of_use(limits, has_validator, expires_at?, arrived_at)
    }

    /// Until when an annotation stays stored if what it leads to expires at `expires_at`: as long
    /// as any such response may stay stored.
    pub(crate) fn keep_annotation_until(&self, expires_at: Option<Timestamp>) -> Option<Timestamp> {
        let limits = self.stale_limits(&CacheOptions::new(), &Directives::NONE);
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

    /// How long a response with these directives may be served stale. The request's limits precede
    /// those of the response, and those of the response precede the layer's. If the response
    /// forbids stale use, no other limit allows it.
    pub(super) fn stale_limits(
        &self,
        options: &CacheOptions,
        directives: &Directives,
    ) -> StaleLimits {
        let said = rfc9111::stale_rules(self.scope, directives);
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

    /// Whether a fresh stored response is due for refresh.
    pub(super) fn is_due_for_refresh(&self, head: &Head, now: Timestamp) -> bool {
        let (Some(fraction), Some(end)) = (self.refresh_ahead, head.expires_at()) else {
            return false;
        };
        let lifetime = end.saturating_since(head.stored_at());
        end.saturating_since(now).as_secs_f64() < lifetime.as_secs_f64() * fraction
    }
}
