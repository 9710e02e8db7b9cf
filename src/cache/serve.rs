//! The way of one request: gate, key, lookup, judge; then the stored response, or fetch, judge and keep.
//!
//! Every decision is asked of the policy; here is only the order of things. Hits take the short path in [`serve`]; all
//! else is boxed behind it, so that a hit's future stays small.

use std::future::poll_fn;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header, request};
use http_body::Body;
use tower_service::Service;

use super::{
    CacheLayer, RequestBody, ResponseBody,
    heal::{remove_damaged, watched},
    keep::{Limits, Tee},
    place::{Missed, Place, remove_url},
    store_entry::Entry,
};
use crate::{
    key::{Key, RequestUrl},
    options::CacheOptions,
    policy::{self, Verdict},
    stats::Count,
    status::{Bypass, CacheStatus, Miss, Progress, Refusal},
    store::{ErrorKind, Hit, Store, StoredBody},
    time::Timestamp,
    trace,
};

pub(super) async fn serve<S, B, ReqBody, ResBody>(
    inner: S,
    cache: CacheLayer<B>,
    request: Request<ReqBody>,
) -> Result<Response<ResponseBody<ResBody>>, S::Error>
where
    S: Service<Request<RequestBody<ReqBody>>, Response = Response<ResBody>>,
    B: Store,
    ReqBody: Body<Data = Bytes>,
    ResBody: Body<Data = Bytes>,
{
    let (parts, body) = request.into_parts();
    let options = CacheOptions::of(&parts.extensions);
    let passing = if !cache.is_enabled() {
        Err(Bypass::Disabled)
    } else {
        cache.settings.rules.gate(options, &parts)
    };
    let url = match passing
        .and_then(|()| cache.settings.recipe.url(&parts).map_err(|_invalid| Bypass::InvalidTarget))
    {
        Ok(url) => url,
        Err(reason) => {
            let body = RequestBody::untouched(body);
            return Box::pin(bypass(inner, cache, parts, body, reason)).await;
        }
    };
    let (mut body, buffered) = if body.is_end_stream() {
        (RequestBody::untouched(body), Ok(()))
    } else {
        Box::pin(RequestBody::buffered(body, cache.settings.max_request_body)).await
    };
    if let Err(reason) = buffered {
        return Box::pin(bypass(inner, cache, parts, body, reason)).await;
    }

    let now = cache.settings.clock.now();
    let found = lookup(&cache, options, &parts, &url, &mut body, now).await;
    match found {
        Lookup::Hit(key, hit) => {
            cache.shared.counters.add(Count::Hit);
            Ok(from_store(&cache, &parts.method, key, hit, now))
        }
        Lookup::Miss(missed) if options.only_if_cached => {
            let why = match missed.reason {
                Miss::Expired => "The stored response has expired",
                Miss::StoreFailed(_) => "The store could not be read",
                _ => "No response is stored",
            };
            Ok(only_if_cached(&cache, Some(missed.key), why))
        }
        Lookup::Miss(missed) => {
            Box::pin(fetch(inner, cache, Exchange { parts, url, missed }, body)).await
        }
    }
}

// ===== Lookup =====

enum Lookup {
    Hit(Key, Hit),
    Miss(Missed),
}

async fn lookup<B: Store, ReqBody: Body<Data = Bytes>>(
    cache: &CacheLayer<B>,
    options: &CacheOptions,
    parts: &request::Parts,
    url: &RequestUrl,
    body: &mut RequestBody<ReqBody>,
    now: Timestamp,
) -> Lookup {
    let recipe = &cache.settings.recipe;
    if let Some(key) = options.key {
        return look_under(cache, options, parts, key, now).await;
    }
    let content = body.content();
    let key = recipe.primary(&parts.method, url, parts, content);
    let own = look_under(cache, options, parts, key, now).await;
    if parts.method != Method::HEAD {
        return own;
    }
    // The response to a GET answers a HEAD as well (RFC 9111 §4); of two that do, the newer one.
    let get = recipe.primary(&Method::GET, url, parts, body.content());
    match (own, look_under(cache, options, parts, get, now).await) {
        (Lookup::Hit(key, own), Lookup::Hit(_, get))
            if own.head.stored_at() > get.head.stored_at() =>
        {
            Lookup::Hit(key, own)
        }
        (_, get @ Lookup::Hit(..)) => get,
        // What is said of the GET's says more than that there is none of the HEAD's.
        (Lookup::Miss(own), Lookup::Miss(get)) if own.reason == Miss::Absent => {
            Lookup::Miss(Missed { reason: get.reason, ..own })
        }
        (own, Lookup::Miss(_)) => own,
    }
}

/// Looks under one primary key, and from there under the variant's.
async fn look_under<B: Store>(
    cache: &CacheLayer<B>,
    options: &CacheOptions,
    parts: &request::Parts,
    primary: Key,
    now: Timestamp,
) -> Lookup {
    let mut missed = Missed { reason: Miss::Absent, key: primary, primary, variants: None };
    let mut found = read(cache, &primary).await;
    if let Ok(Some(hit)) = &found
        && let Some(names) = hit.head.variant_names()
    {
        let key = cache.settings.recipe.variant(&primary, names, &parts.headers);
        missed = Missed { reason: Miss::Variant, key, variants: Some(hit.head.clone()), ..missed };
        found = read(cache, &key).await;
    }
    let reason = match found {
        // A list of variants has no business under a variant's key.
        Ok(Some(hit)) if hit.head.variant_names().is_some() => missed.reason,
        Ok(Some(hit)) => match cache.settings.rules.judge(options, &parts.method, &hit.head, now) {
            Verdict::Fresh | Verdict::Ending => return Lookup::Hit(missed.key, hit),
            Verdict::Stale(_) => Miss::Expired,
            Verdict::Unfit(reason) => reason,
        },
        Ok(None) if options.asks_origin() => Miss::Refresh,
        Ok(None) => missed.reason,
        Err(reason) => reason,
    };
    Lookup::Miss(Missed { reason, ..missed })
}

/// Reads one entry. What fails is a miss; what is damaged is removed as well.
async fn read<B: Store>(cache: &CacheLayer<B>, key: &Key) -> Result<Option<Hit>, Miss> {
    let error = match cache.shared.store.get(key).await {
        Ok(found) => return Ok(found),
        Err(error) => error,
    };
    trace::store_failed("read", key, &error);
    if error.kind() != ErrorKind::Corrupt {
        cache.shared.counters.add(Count::StoreError);
        return Err(Miss::StoreFailed(error.kind()));
    }
    remove_damaged(cache.clone(), *key, None).await;
    Err(Miss::Corrupt)
}

// ===== Responses of the cache's own =====

fn from_store<B: Store, ResBody: Body>(
    cache: &CacheLayer<B>,
    method: &Method,
    key: Key,
    mut hit: Hit,
    now: Timestamp,
) -> Response<ResponseBody<ResBody>> {
    let status = CacheStatus::hit(key, &hit.head, now);
    let response = if *method == Method::HEAD {
        hit.into_response().map(|_unread| StoredBody::empty())
    } else {
        // Watched first: the trailers then go behind the body that is handed out.
        hit.body = watched(hit.body, cache, key, hit.version);
        hit.into_response()
    };
    report(cache, response.map(ResponseBody::stored), status)
}

/// 504 (RFC 9111 §5.2.1.7) for a request that forbade to ask the inner service.
fn only_if_cached<B: Store, ResBody: Body>(
    cache: &CacheLayer<B>,
    key: Option<Key>,
    why: &str,
) -> Response<ResponseBody<ResBody>> {
    cache.shared.counters.add(Count::OnlyIfCached);
    let text = format!("{why}, and the request asked for a stored one only (only-if-cached).\n");
    let body = StoredBody::from(Bytes::from(text));
    let mut response = Response::new(ResponseBody::stored(body));
    *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
    let text_plain = header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text_plain);
    report(cache, response, CacheStatus::only_if_cached(key, cache.settings.clock.now()))
}

/// Puts `status` where the caller sees it.
fn report<B: Store, Body>(
    cache: &CacheLayer<B>,
    mut response: Response<Body>,
    status: CacheStatus,
) -> Response<Body> {
    if let Some(name) = &cache.settings.cache_status
        && let Some(field) = status.field(name)
    {
        response.headers_mut().append(header::HeaderName::from_static("cache-status"), field);
    }
    response.extensions_mut().insert(status);
    response
}

// ===== The inner service =====

/// Waits until `inner` is ready and calls it. The clone that a request works on has not been polled before, so nothing
/// is held by a clone left behind.
async fn call<S, Request>(mut inner: S, request: Request) -> Result<S::Response, S::Error>
where
    S: Service<Request>,
{
    poll_fn(|cx| inner.poll_ready(cx)).await?;
    inner.call(request).await
}

/// Sends a request past the cache.
async fn bypass<S, B, ReqBody, ResBody>(
    inner: S,
    cache: CacheLayer<B>,
    parts: request::Parts,
    body: RequestBody<ReqBody>,
    reason: Bypass,
) -> Result<Response<ResponseBody<ResBody>>, S::Error>
where
    S: Service<Request<RequestBody<ReqBody>>, Response = Response<ResBody>>,
    B: Store,
    ReqBody: Body<Data = Bytes>,
    ResBody: Body,
{
    if CacheOptions::of(&parts.extensions).only_if_cached {
        return Ok(only_if_cached(&cache, None, "The cache does not answer this request"));
    }
    cache.shared.counters.add(Count::Bypass);
    let method = parts.method.clone();
    let may_invalidate = cache.settings.invalidate
        && !cache.settings.rules.read_only
        && reason != Bypass::Disabled
        && !policy::is_safe(&method);
    let url = may_invalidate.then(|| cache.settings.recipe.url(&parts).ok()).flatten();

    let response = call(inner, Request::from_parts(parts, body)).await?;
    if let Some(url) = url
        && cache.settings.rules.invalidates(&method, response.status())
    {
        match remove_url(&cache.shared.store, &cache.settings.recipe, &url.text).await {
            Ok(removed) => cache.shared.counters.add_invalidated(removed),
            Err(error) => {
                cache.shared.counters.add(Count::StoreError);
                trace::invalidation_failed(error.kind(), &error);
            }
        }
    }
    let status = CacheStatus::bypass(reason, cache.settings.clock.now());
    Ok(report(&cache, response.map(ResponseBody::passthrough), status))
}

/// A request on its way to the inner service.
struct Exchange {
    parts: request::Parts,
    url: RequestUrl,
    missed: Missed,
}

/// Steps 6 to 8: asks the inner service, and stores its response where the policy lets it.
async fn fetch<S, B, ReqBody, ResBody>(
    inner: S,
    cache: CacheLayer<B>,
    exchange: Exchange,
    body: RequestBody<ReqBody>,
) -> Result<Response<ResponseBody<ResBody>>, S::Error>
where
    S: Service<Request<RequestBody<ReqBody>>, Response = Response<ResBody>>,
    B: Store,
    ReqBody: Body<Data = Bytes>,
    ResBody: Body<Data = Bytes>,
{
    cache.shared.counters.add(Count::Miss);
    let requested_at = cache.settings.clock.now();
    // The policy and the user's own predicates want to see the request beside its response.
    let request = Request::from_parts(exchange.parts.clone(), body);
    let response = call(inner, request).await?;

    let miss = exchange.missed.reason;
    let (response, body) = response.into_parts();
    match admit(&cache, exchange, &response, &body, requested_at) {
        Err((key, refusal)) => {
            cache.shared.counters.add(Count::Refused);
            trace::not_stored(&key, refusal);
            let now = cache.settings.clock.now();
            let status = CacheStatus::refused(miss, refusal, key, now);
            let response = Response::from_parts(response, ResponseBody::passthrough(body));
            Ok(report(&cache, response, status))
        }
        Ok((entry, limits)) => {
            let progress = Progress::default();
            let status = CacheStatus::storing(miss, entry.key, &entry.head, progress.clone());
            let store = cache.shared.store.clone();
            let counters = cache.shared.counters.clone();
            let mut tee = Box::new(Tee::new(store, entry, body, limits, progress, counters));
            tee.settle().await;
            let response = Response::from_parts(response, ResponseBody::tee(tee));
            Ok(report(&cache, response, status))
        }
    }
}

/// Whether the response may be stored, and as what.
fn admit<B: Store, ResBody: Body>(
    cache: &CacheLayer<B>,
    exchange: Exchange,
    response: &http::response::Parts,
    body: &ResBody,
    requested_at: Timestamp,
) -> Result<(Entry, Limits), (Key, Refusal)> {
    let Exchange { parts, url, missed } = exchange;
    let settings = &*cache.settings;
    let options = CacheOptions::of(&parts.extensions);
    let now = settings.clock.now();
    let refuse = |refusal| (missed.key, refusal);

    let expires_at =
        settings.rules.admit(options, &url.text, &parts, response, now).map_err(refuse)?;
    // The length that a HEAD's response names is not its own.
    let expected = if parts.method == Method::HEAD || response.status == StatusCode::NO_CONTENT {
        None
    } else {
        policy::content_length(&response.headers).map_err(refuse)?
    };
    let limits = Limits { expected, max: settings.max_body };
    if expected.is_some_and(|len| len > limits.max) || body.size_hint().lower() > limits.max {
        return Err(refuse(Refusal::TooLarge));
    }

    let place = Place { request: &parts, url: &url.text, missed: &missed };
    let (key, variants) = place.keys(settings, response, expires_at, now).map_err(refuse)?;

    let head =
        place.head(settings, &key, response, expires_at, now).with_requested_at(requested_at);
    Ok((Entry { key, head, variants }, limits))
}
