//! The way of one request: gate, key, lookup, judge; then the stored response, or fetch, judge and keep.
//!
//! Every decision is asked of the policy; here is only the order of things. Hits take the short path in [`serve`]; all
//! else is boxed behind it, so that a hit's future stays small.

use std::{future::poll_fn, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header, request};
use http_body::Body;
use tower_service::Service;

use super::{
    CacheLayer, RequestBody, ResponseBody,
    keep::{Entry, Limits, Tee},
    settings::Settings,
};
use crate::{
    entry::Head,
    error::BoxError,
    key::{Key, RequestUrl},
    options::CacheOptions,
    policy::{self, Vary},
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
    ResBody::Error: Into<BoxError>,
{
    let (parts, body) = request.into_parts();
    let options = CacheOptions::of(&parts.extensions);
    let passing = if !cache.is_enabled() {
        Err(Bypass::Disabled)
    } else {
        cache.settings.rules.gate(options, &parts)
    };
    let url = match passing
        .and_then(|()| cache.settings.recipe.url(&parts).map_err(|_invalid| Bypass::InvalidHost))
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
            cache.shared.counters.add(Count::Miss);
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

/// A lookup without an answer, and where the response to come has its place.
#[derive(Clone, Debug)]
pub(crate) struct Missed {
    pub(crate) reason: Miss,
    /// Where the request was looked for last: the place of a response that does not vary.
    pub(crate) key: Key,
    /// The primary key of the request, below which variants lie.
    pub(crate) primary: Key,
    /// The list of variants under the primary key, where there is one.
    pub(crate) variants: Option<Arc<Head>>,
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
    if parts.method == Method::HEAD {
        // The response to a GET answers a HEAD as well (RFC 9111 §4): it goes first.
        let get = recipe.primary(&Method::GET, url, parts, content);
        if let hit @ Lookup::Hit(..) = look_under(cache, options, parts, get, now).await {
            return hit;
        }
    }
    let key = recipe.primary(&parts.method, url, parts, body.content());
    look_under(cache, options, parts, key, now).await
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
            Ok(()) => return Lookup::Hit(missed.key, hit),
            Err(reason) => reason,
        },
        Ok(None) if options.refresh => Miss::Refresh,
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
    failed(cache, key, error.kind()).await;
    Err(match error.kind() {
        ErrorKind::Corrupt => Miss::Corrupt,
        kind => Miss::StoreFailed(kind),
    })
}

/// Counts that an entry could not be read, and removes it where it is damaged.
async fn failed<B: Store>(cache: &CacheLayer<B>, key: &Key, kind: ErrorKind) {
    if kind != ErrorKind::Corrupt {
        cache.shared.counters.add(Count::StoreError);
        return;
    }
    cache.shared.counters.add(Count::Corrupt);
    if !cache.settings.rules.read_only
        && let Err(error) = cache.shared.store.remove(key).await
    {
        cache.shared.counters.add(Count::StoreError);
        trace::store_failed("remove", key, &error);
    }
}

// ===== Responses of the cache's own =====

fn from_store<B: Store, ResBody>(
    cache: &CacheLayer<B>,
    method: &Method,
    key: Key,
    hit: Hit,
    now: Timestamp,
) -> Response<ResponseBody<ResBody>> {
    let head = &hit.head;
    let body = if *method == Method::HEAD {
        ResponseBody::stored(StoredBody::empty())
    } else {
        let body = hit.body.with_trailers(head.trailers().cloned());
        let cache = cache.clone();
        // The caller sees the error; the next one is to be spared it.
        ResponseBody::stored(body.on_error(move |error| {
            trace::store_failed("read", &key, error);
            let kind = error.kind();
            async move { failed(&cache, &key, kind).await }
        }))
    };
    let mut response = Response::new(body);
    *response.status_mut() = head.status();
    *response.version_mut() = head.version();
    *response.headers_mut() = head.headers().clone();
    report(cache, response, CacheStatus::hit(key, head, now))
}

/// 504 (RFC 9111 §5.2.1.7) for a request that forbade to ask the inner service.
fn only_if_cached<B: Store, ResBody>(
    cache: &CacheLayer<B>,
    key: Option<Key>,
    why: &str,
) -> Response<ResponseBody<ResBody>> {
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
{
    cache.shared.counters.add(Count::Bypass);
    if CacheOptions::of(&parts.extensions).only_if_cached {
        return Ok(only_if_cached(&cache, None, "The cache does not answer this request"));
    }
    let method = parts.method.clone();
    let may_invalidate = cache.settings.invalidate
        && !cache.settings.rules.read_only
        && reason != Bypass::Disabled
        && !policy::is_safe(&method);
    let tag = may_invalidate
        .then(|| cache.settings.recipe.url(&parts).ok())
        .flatten()
        .map(|url| cache.settings.recipe.url_tag(&url.text));

    let response = call(inner, Request::from_parts(parts, body)).await?;
    if let Some(tag) = tag
        && cache.settings.rules.invalidates(&method, response.status())
    {
        match cache.shared.store.remove_tagged(&tag).await {
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
    ResBody::Error: Into<BoxError>,
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
        policy::content_length(&response.headers)
    };
    let limits = Limits { expected, max: settings.max_body };
    if expected.is_some_and(|len| len > limits.max) || body.size_hint().lower() > limits.max {
        return Err(refuse(Refusal::TooLarge));
    }

    let tag = settings.recipe.url_tag(&url.text);
    let place = Place { request: &parts, url: &url.text, tag: &tag, missed: &missed };
    let (key, variants) = place.of(settings, response, expires_at, now).map_err(refuse)?;

    let mut tags = options.tags.clone();
    tags.push(tag);
    let mut stored = http::Response::new(()).into_parts().0;
    stored.status = response.status;
    stored.version = response.version;
    stored.headers = response.headers.clone();
    policy::remove_hop_by_hop(&mut stored.headers);
    let head = Head::new(parts.method, url.text, stored, now)
        .with_requested_at(requested_at)
        .with_expires_at(expires_at)
        .with_tags(tags);
    Ok((Entry { key, head, variants }, limits))
}

/// Where a response belongs.
pub(crate) struct Place<'a> {
    pub(crate) request: &'a request::Parts,
    pub(crate) url: &'a str,
    pub(crate) tag: &'a str,
    pub(crate) missed: &'a Missed,
}

impl Place<'_> {
    /// The key for `response`, and the list of variants that has to lie under the primary key for it to be found.
    pub(crate) fn of(
        &self,
        settings: &Settings,
        response: &http::response::Parts,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(Key, Option<(Key, Head)>), Refusal> {
        let Missed { primary, variants: known, .. } = self.missed;
        let names = match policy::vary(&response.headers, &settings.recipe.ignored_headers) {
            Vary::Anything => return Err(Refusal::Vary),
            Vary::Nothing => return Ok((*primary, None)),
            Vary::Names(names) => names,
        };
        let known_names = known.as_ref().and_then(|head| head.variant_names()).unwrap_or_default();
        let names = policy::union(&names, known_names);
        let key = settings.recipe.variant(primary, &names, &self.request.headers);
        // The list lives as long as the longest-lived variant that it leads to.
        let known_end = known.as_ref().map(|head| head.expires_at());
        let end = match (known_end, expires_at) {
            (Some(None), _) | (_, None) => None,
            (Some(Some(known)), Some(new)) => Some(known.max(new)),
            (None, new) => new,
        };
        if known_names == names && known_end == Some(end) {
            return Ok((key, None));
        }
        let list = Head::variants(self.request.method.clone(), self.url, names, now)
            .with_expires_at(end)
            .with_tags(vec![self.tag.into()]);
        Ok((key, Some((*primary, list))))
    }
}
