//! Whether a response may be kept, and for how long it is fresh (RFC 9111 §3).
//!
//! Of the conditions in §3, three are judged elsewhere: the method by the settings of the cache, a final status by what both
//! policies share, `Vary` by the key.

use std::time::Duration;

use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{AUTHORIZATION, COOKIE, SET_COOKIE},
    request, response,
};

use super::{
    age::initial_age,
    demands::demands,
    directives::Directives,
    freshness::{Lifetime, is_heuristically_cacheable, lifetime},
    targeted::effective_directives,
    withheld::{Scoped, withheld},
};
use crate::{
    policy::{Admission, Expiration, Scope, validation::has_validator},
    status::Refusal,
    time::Timestamp,
};

/// What the rules depend on beside the exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings<'a> {
    pub(crate) scope: Scope,
    /// The targeted fields that this cache goes by (RFC 9213 §2.2), the most specific first.
    pub(crate) targets: &'a [HeaderName],
    /// How long a response is kept that says nothing of it. It goes before any guess.
    pub(crate) fallback: Option<Expiration>,
    /// Whether responses with `Set-Cookie` are stored (§7.3 leaves that to the cache).
    pub(crate) store_set_cookie: bool,
}

/// Whether the response may be kept, and how. Its end may be in the past, by as much as the response is stale; what must be
/// confirmed before each use is over on arrival. Not stored are the arguments of `no-cache` and, in a shared cache, of
/// `private` (RFC 9111 §3.1).
pub(crate) fn admit(
    settings: &Settings<'_>,
    request: &request::Parts,
    response: &response::Parts,
    requested_at: Timestamp,
    received_at: Timestamp,
) -> Result<Admission, Refusal> {
    let &Settings { scope, targets, fallback, store_set_cookie } = settings;
    let (status, headers) = (response.status, &response.headers);
    let is_shared = scope == Scope::Shared;
    if fallback == Some(Expiration::DoNotStore) {
        return Err(Refusal::Expiration);
    }
    let (directives, is_targeted) = effective_directives(targets, headers);
    // §5.2.2.3: a status that is understood lifts `no-store`, another one is as good as `no-store`.
    if directives.needs_understanding && !is_understood(status) {
        return Err(Refusal::MustUnderstand);
    }
    if directives.no_store && !directives.must_understand {
        return Err(Refusal::NoStoreDirective);
    }
    let no_cache = directives.no_cache.as_ref().map(Scoped::of);
    let private = directives.private.as_ref().filter(|_| is_shared).map(Scoped::of);
    if private == Some(Scoped::Whole) {
        return Err(Refusal::Private);
    }
    // §3.5.
    if is_shared && has_credentials(request) && !directives.allows_authorization {
        return Err(Refusal::Authorization);
    }
    let lifetime = lifetime(scope, &directives, is_targeted, status, headers, received_at);
    if fallback.is_none() && !is_cacheable(scope, &directives, status, lifetime) {
        return Err(Refusal::NoFreshness);
    }
    // §7.3: what the origin has said nothing about may be for the one whose cookie it got.
    let is_said = matches!(lifetime, Lifetime::Explicit(_)) || directives.public;
    if is_shared && request.headers.contains_key(COOKIE) && !is_said {
        return Err(Refusal::Cookie);
    }
    let withheld = withheld(headers, [no_cache, private]);
    let has_cookie = headers.contains_key(SET_COOKIE) && !withheld.contains(&SET_COOKIE);
    let is_no_cache = no_cache == Some(Scoped::Whole);
    if has_cookie && !store_set_cookie {
        return Err(Refusal::SetCookie);
    }
    let can_be_confirmed = status.is_success() && has_validator(headers);
    let end_of =
        |lifetime| end(received_at, lifetime, initial_age(headers, requested_at, received_at));
    let expires_at = match lifetime {
        // §5.2.2.4.
        _ if is_no_cache => {
            Some(received_at).filter(|_| can_be_confirmed).ok_or(Refusal::NoCache).map(Some)?
        }
        Lifetime::Explicit(lifetime) => Some(end_of(lifetime)),
        Lifetime::Heuristic(_) | Lifetime::Unknown => match (fallback, lifetime) {
            (Some(fallback), _) => fallback.expires_at(received_at).ok_or(Refusal::Expiration)?,
            (None, Lifetime::Heuristic(lifetime)) => Some(end_of(lifetime)),
            (None, _) if can_be_confirmed => Some(received_at),
            (None, _) => return Err(Refusal::NoFreshness),
        },
    };
    // §5.2.1.5. This comes last: if the origin forbids storing, the stored response ends as well.
    if demands(&request.headers).no_store {
        return Err(Refusal::NoStore);
    }
    Ok(Admission { expires_at, withheld })
}

/// §3.5: whether the origin lets a shared cache store a response with these fields although its request had
/// `Authorization`.
pub(crate) fn allows_authorization(targets: &[HeaderName], response: &HeaderMap) -> bool {
    effective_directives(targets, response).0.allows_authorization
}

/// The statuses of RFC 9110 §15 whose rules for caches are all implemented here: that is every one but 206 and 304.
pub(super) fn is_understood(status: StatusCode) -> bool {
    matches!(
        status.as_u16(),
        200..=205 | 300..=303 | 305 | 307 | 308 | 400..=417 | 421 | 422 | 426 | 500..=505
    )
}

/// §3, the last condition: something allows it to be kept.
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

/// `Authorization`, or its like in the URL, which a client makes one of.
fn has_credentials(request: &request::Parts) -> bool {
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
    /// Those that leave everything to the origin.
    pub(super) fn plain(scope: Scope) -> Self {
        Settings { scope, targets: &[], fallback: None, store_set_cookie: scope == Scope::Private }
    }
}

#[cfg(test)]
mod tests;
