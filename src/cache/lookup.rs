//! What the store has for a request, and whether it is good.

use bytes::Bytes;
use http::{HeaderName, Method, request};
use http_body::Body;

use super::{
    CacheLayer, RequestBody,
    heal::remove_damaged,
    place::Missed,
    search::{self, equivalent},
};
use crate::{
    event::StoreOperation,
    key::{Key, RequestUrl},
    options::CacheOptions,
    policy::Verdict,
    status::Miss,
    store::{ErrorKind, Hit, Store},
    time::Timestamp,
};

/// What the store has for a request.
pub(super) struct Lookup {
    pub(super) found: Found,
    /// Where the response to come has its place.
    pub(super) missed: Missed,
    /// How many flights had arrived when this was looked up.
    pub(super) arrivals: u64,
    pub(super) now: Timestamp,
}

impl Lookup {
    /// What was found, and the rest.
    pub(super) fn take(self) -> (Found, Self) {
        (self.found, Self { found: Found::Nothing, ..self })
    }
}

pub(super) enum Found {
    /// An entry that the request can be answered with.
    Good(Key, Hit, Verdict),
    /// One that it cannot be answered with as it is: expired, or a new one is asked for.
    Poor(Key, Hit),
    Nothing,
}

/// What the store has for the request with this head, URL and body.
pub(super) async fn lookup<B: Store, ReqBody: Body<Data = Bytes>>(
    cache: &CacheLayer<B>,
    options: &CacheOptions,
    parts: &request::Parts,
    url: &RequestUrl,
    body: &mut RequestBody<ReqBody>,
) -> Lookup {
    if let Some(key) = options.key {
        return look_under(cache, options, parts, key).await;
    }
    let recipe = &cache.settings.recipe;
    let key = recipe.primary(&parts.method, url, parts, body.content());
    let own = look_under(cache, options, parts, key).await;
    if parts.method != Method::HEAD {
        if matches!(own.found, Found::Good(..)) || !search::may_answer(cache, options, parts, url) {
            return own;
        }
        return match Box::pin(equivalent(cache, options, parts, url, body)).await {
            Some(found) => Lookup { found, ..own },
            None => own,
        };
    }
    // The response to a GET answers a HEAD as well (RFC 9111 §4); of two that do, the newer one.
    let get = recipe.primary(&Method::GET, url, parts, body.content());
    let get = look_under(cache, options, parts, get).await;
    let is_better = match (&own.found, &get.found) {
        (Found::Good(_, own, _), Found::Good(_, get, _)) => {
            own.head.stored_at() > get.head.stored_at()
        }
        (Found::Good(..), _) => true,
        (_, Found::Good(..)) => false,
        // What the origin says to a HEAD is about the response to a GET, where that is stored.
        (_, Found::Poor(..)) => false,
        (Found::Poor(..), _) => true,
        // What is said of the GET's says more than that there is none of the HEAD's.
        _ => own.missed.reason != Miss::Absent,
    };
    if is_better {
        return own;
    }
    // A response to a HEAD has its place under the HEAD's key, whatever stands in for it until then.
    let missed = Missed { reason: get.missed.reason, ..own.missed };
    Lookup { found: get.found, missed, ..own }
}

/// What the store has of the response to a request in part.
pub(super) async fn lookup_part<B: Store, ReqBody: Body<Data = Bytes>>(
    cache: &CacheLayer<B>,
    options: &CacheOptions,
    parts: &request::Parts,
    url: &RequestUrl,
    body: &mut RequestBody<ReqBody>,
) -> Lookup {
    let recipe = &cache.settings.recipe;
    let whole =
        options.key.unwrap_or_else(|| recipe.primary(&parts.method, url, parts, body.content()));
    look_under(cache, options, parts, recipe.part(&whole)).await
}

/// The place of the response to a `GET` of the same URL, with nothing read there.
pub(super) fn unread<B: Store, ReqBody: Body<Data = Bytes>>(
    cache: &CacheLayer<B>,
    options: &CacheOptions,
    parts: &request::Parts,
    url: &RequestUrl,
    body: &mut RequestBody<ReqBody>,
) -> Lookup {
    let recipe = &cache.settings.recipe;
    let key =
        options.key.unwrap_or_else(|| recipe.primary(&Method::GET, url, parts, body.content()));
    Lookup {
        found: Found::Nothing,
        missed: Missed { reason: Miss::Absent, key, primary: key, variants: None },
        arrivals: cache.shared.flights.arrivals(&key),
        now: cache.settings.clock.now(),
    }
}

/// Looks where a response on its way to others has shown this request's place to be.
pub(super) async fn look_by_names<B: Store>(
    cache: &CacheLayer<B>,
    options: &CacheOptions,
    parts: &request::Parts,
    missed: Missed,
    names: &[HeaderName],
) -> Lookup {
    let key = cache.settings.recipe.variant(&missed.primary, names, &parts.headers);
    let missed = Missed { reason: Miss::Variant, key, ..missed };
    look_for_variant(cache, options, parts, missed).await
}

/// Looks under one primary key, and from there under the variant's.
pub(super) async fn look_under<B: Store>(
    cache: &CacheLayer<B>,
    options: &CacheOptions,
    parts: &request::Parts,
    primary: Key,
) -> Lookup {
    let missed = Missed { reason: Miss::Absent, key: primary, primary, variants: None };
    let arrivals = cache.shared.flights.arrivals(&primary);
    let mut found = read(cache, &primary).await;
    let list = match &mut found {
        Ok(hit) => hit.take_if(|hit| hit.head.variant_names().is_some()),
        Err(_) => None,
    };
    let Some(Hit { head: list, .. }) = list else {
        // A key of a user's own may be that of a note.
        let found = found.map(|hit| hit.filter(|hit| hit.head.is_response()));
        return judge(cache, options, parts, missed, found, arrivals);
    };
    let names = list.variant_names().unwrap_or_default();
    let key = cache.settings.recipe.variant(&primary, names, &parts.headers);
    let missed = Missed { reason: Miss::Variant, key, variants: Some(list), ..missed };
    look_for_variant(cache, options, parts, missed).await
}

async fn look_for_variant<B: Store>(
    cache: &CacheLayer<B>,
    options: &CacheOptions,
    parts: &request::Parts,
    missed: Missed,
) -> Lookup {
    let arrivals = cache.shared.flights.arrivals(&missed.key);
    let found = read(cache, &missed.key).await;
    // A list of variants has no business under a variant's key.
    let found = found.map(|hit| hit.filter(|hit| hit.head.is_response()));
    judge(cache, options, parts, missed, found, arrivals)
}

fn judge<B: Store>(
    cache: &CacheLayer<B>,
    options: &CacheOptions,
    parts: &request::Parts,
    missed: Missed,
    found: Result<Option<Hit>, Miss>,
    arrivals: u64,
) -> Lookup {
    let (now, entry) = (cache.settings.clock.now(), missed.key);
    let (found, reason) = match found {
        Ok(Some(hit)) => match cache.settings.rules.judge(options, &parts.method, &hit.head, now) {
            Verdict::Unfit(reason @ (Miss::Expired | Miss::Refresh)) => {
                (Found::Poor(entry, hit), reason)
            }
            // Another method's, or another layer's, which this one has no use for.
            Verdict::Unfit(reason) => (Found::Nothing, reason),
            verdict => (Found::Good(entry, hit, verdict), Miss::Expired),
        },
        Ok(None) if options.asks_origin() => (Found::Nothing, Miss::Refresh),
        Ok(None) => (Found::Nothing, missed.reason),
        Err(reason) => (Found::Nothing, reason),
    };
    Lookup { found, missed: Missed { reason, ..missed }, arrivals, now }
}

/// Reads one entry. What fails is a miss; what is damaged is removed as well.
pub(super) async fn read<B: Store>(cache: &CacheLayer<B>, key: &Key) -> Result<Option<Hit>, Miss> {
    let mut seen = None;
    let get = async {
        let Some(hit) = cache.shared.store.get(key).await? else { return Ok(None) };
        seen = Some(hit.version);
        hit.whole().map(Some)
    };
    match cache.observer().asked(StoreOperation::Get, key, get).await {
        Ok(found) => Ok(found),
        Err(error) if error.kind() == ErrorKind::Corrupt => {
            remove_damaged(cache.clone(), *key, seen).await;
            Err(Miss::Corrupt)
        }
        Err(error) => Err(Miss::StoreFailed(error.kind())),
    }
}
