//! Whether a response may be stored, and how long it is fresh (RFC 9111 §3).
//!
//! Three conditions of §3 are judged elsewhere. The settings of the cache judge the method. The
//! code that both policies share judges whether a status is final. The key covers `Vary`.

use std::time::Duration;

use http::{
    HeaderName, StatusCode,
    header::{AUTHORIZATION, COOKIE, SET_COOKIE},
    request,
};

use super::{
    age::initial_age,
    freshness::{Lifetime, is_heuristically_cacheable, lifetime},
    omitted::omitted_fields,
    request_directives::RequestDirectives,
    targeted::effective_directives,
};
use crate::{
    entry::{ResponseFields, ResponseHead},
    fields::{Directives, Fields},
    policy::{Expiration, Scope, Storable, validation::has_validator},
    status::Refusal,
    time::Timestamp,
};

/// The settings that the rules depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings<'a> {
    pub(crate) scope: Scope,
    /// The targeted fields that apply to this cache (RFC 9213 §2.2), the most specific first.
    pub(crate) targets: &'a [HeaderName],
    /// The expiration of a response that does not state one. It precedes any heuristic.
    pub(crate) fallback: Option<Expiration>,
    /// Whether responses with `Set-Cookie` are stored (§7.3 leaves the choice to the cache).
    pub(crate) store_set_cookie: bool,
}

/// All reasons not to store a response, and how it is stored if there are none.
#[derive(Clone, Debug)]
pub(crate) struct StorableCheck {
    /// The reasons, in the order in which they are reported: users see the first.
    refusals: [Option<Refusal>; 10],
    storable: Storable,
    /// Whether `no-cache` forbids each use without revalidation.
    is_no_cache: bool,
}

impl StorableCheck {
    /// Whether the response may not be used at `now` without revalidation, whatever refuses it.
    /// `was_fresh` says whether the stored response that it freshens is fresh. If that is already
    /// stale, an expiry in the past changes nothing.
    pub(crate) fn forbids_reuse(&self, was_fresh: bool, now: Timestamp) -> bool {
        let is_over = self.storable.expires_at.is_some_and(|end| end <= now);
        self.is_no_cache || (was_fresh && is_over)
    }

    pub(crate) fn refusals(&self) -> impl Iterator<Item = Refusal> + '_ {
        self.refusals.iter().copied().flatten()
    }

    pub(crate) fn storable(self) -> Result<Storable, Refusal> {
        let refusal = self.refusals().next();
        refusal.map_or(Ok(self.storable), Err)
    }
}

/// Judges whether the response may be stored, and how. Its expiry may be in the past, by as much as
/// the response is stale. A response that must be revalidated before each use expires on arrival.
/// The fields that `no-cache` names are omitted. A shared cache also omits the fields that
/// `private` names (RFC 9111 §3.1).
///
/// All reasons are judged, not only the first. Reasons from the origin also apply to the response
/// that is already stored, even if another reason is the one that is reported.
///
/// `asked` are the directives of the request.
pub(crate) fn check_storable(
    settings: &Settings<'_>,
    asked: &RequestDirectives,
    request: &request::Parts,
    response: &ResponseHead,
    requested_at: Timestamp,
    received_at: Timestamp,
) -> StorableCheck {
    let &Settings { scope, targets, fallback, store_set_cookie } = settings;
    let (status, headers) = (response.status, &response.headers);
    let is_shared = scope == Scope::Shared;
    let facts = response.fields().facts();
    let (directives, is_targeted) = effective_directives(targets, response.fields());
    let no_cache = directives.no_cache.as_ref();
    let private = directives.private.as_ref().filter(|_| is_shared);
    let lifetime = lifetime(scope, &directives, is_targeted, status, facts, received_at);
    let is_said = matches!(lifetime, Lifetime::Explicit(_)) || directives.public;
    let omitted = omitted_fields(headers, [no_cache, private]);
    let sets_cookie = headers.contains_key(SET_COOKIE) && !omitted.contains(&SET_COOKIE);
    let can_be_freshened = status.is_success() && has_validator(headers);
    let end_of =
        |lifetime| end(received_at, lifetime, initial_age(facts, requested_at, received_at));
    let end = match (lifetime, fallback) {
        // §5.2.2.4.
        _ if no_cache == Some(&Fields::All) => {
            Some(received_at).filter(|_| can_be_freshened).ok_or(Refusal::NoCache).map(Some)
        }
        (Lifetime::Explicit(lifetime), _) => Ok(Some(end_of(lifetime))),
        (_, Some(fallback)) => fallback.expires_at(received_at).ok_or(Refusal::Expiration),
        (Lifetime::Heuristic(lifetime), None) => Ok(Some(end_of(lifetime))),
        (Lifetime::Unknown, None) if can_be_freshened => Ok(Some(received_at)),
        (Lifetime::Unknown, None) => Err(Refusal::NoFreshness),
    };
    let when = |applies: bool, refusal| applies.then_some(refusal);
    let refusals = [
        when(fallback == Some(Expiration::DoNotStore), Refusal::Expiration),
        // §5.2.2.3: if the status is understood, `must-understand` lifts `no-store`. If not, it
        // has the effect of `no-store`.
        when(directives.needs_understanding && !is_understood(status), Refusal::MustUnderstand),
        when(directives.no_store && !directives.must_understand, Refusal::NoStoreDirective),
        when(private == Some(&Fields::All), Refusal::Private),
        // §3.5.
        when(
            is_shared && has_authorization(request) && !directives.allows_authorization,
            Refusal::Authorization,
        ),
        when(
            fallback.is_none() && !is_cacheable(scope, &directives, status, lifetime),
            Refusal::NoFreshness,
        ),
        // §7.3: if the origin states neither a lifetime nor `public`, the response may be only for
        // the user whose cookie was sent.
        when(is_shared && request.headers.contains_key(COOKIE) && !is_said, Refusal::Cookie),
        when(sets_cookie && !store_set_cookie, Refusal::SetCookie),
        end.err(),
        // §5.2.1.5.
        when(asked.no_store, Refusal::NoStore),
    ];
    let storable = Storable { expires_at: end.ok().flatten(), omitted };
    StorableCheck { refusals, storable, is_no_cache: no_cache == Some(&Fields::All) }
}

/// §3.5: whether the origin lets a shared cache store a response with these fields if its request
/// had `Authorization`.
pub(crate) fn allows_authorization(targets: &[HeaderName], response: ResponseFields<'_>) -> bool {
    effective_directives(targets, response).0.allows_authorization
}

/// The statuses of RFC 9110 §15 whose caching rules are all implemented here: all except 206 and
/// 304.
pub(super) fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=205 | 300..=303 | 305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505
    )
}

/// §3, the last condition: something permits storing the response.
fn is_cacheable(
    scope: Scope,
    directives: &Directives,
    status: StatusCode,
    lifetime: Lifetime,
) -> bool {
    matches!(lifetime, Lifetime::Explicit(_))
        || directives.public
        || (scope == Scope::Private && directives.private.is_some())
        || is_heuristically_cacheable(status)
}

/// Whether the request has `Authorization`, or user information in its URL, from which a client
/// makes one.
pub(crate) fn has_authorization(request: &request::Parts) -> bool {
    let in_url = || request.uri.authority().is_some_and(|it| it.as_str().contains('@'));
    request.headers.contains_key(AUTHORIZATION) || in_url()
}

/// §4.2: a response is fresh while its lifetime exceeds its age.
fn end(received_at: Timestamp, lifetime: Duration, age: Duration) -> Timestamp {
    match lifetime.checked_sub(age) {
        Some(left) => received_at.saturating_add(left),
        None => {
            let since = u64::try_from((age - lifetime).as_millis()).unwrap_or(u64::MAX);
            Timestamp::from_millis(received_at.as_millis().saturating_sub(since))
        }
    }
}

#[cfg(test)]
impl Settings<'_> {
    /// Settings that leave everything to the origin.
    pub(super) fn plain(scope: Scope) -> Self {
        Settings { scope, targets: &[], fallback: None, store_set_cookie: scope == Scope::Private }
    }
}

#[cfg(test)]
mod tests;
