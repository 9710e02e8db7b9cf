//! The path of a request, from top to bottom: gate, key, lookup, judge, join, fetch (which judges
//! and stores what arrives), respond.
//!
//! The policy makes the decisions. This file orders the steps. Most hits take the short path
//! through [`serve`]. A request for which nothing is stored goes on to [`refresh_or_fetch`], and
//! everything else goes through [`answer`].

use std::{pin::Pin, sync::Arc, time::Instant};

use http::{Method, Request, Response, StatusCode, request};

use super::{
    ask::Fallback,
    body::ResponseBody,
    bypass::bypass,
    context::{AnyBody, Origin, RequestContext, Upstream},
    follow::{Joined, Mode},
    layer::Inner,
    lookup::{self, Found, Lookup, PrimaryRead, Selected},
    no_vary_search,
    parts::has_part,
    refresh,
    request_body::RequestBody,
    respond,
    settings::Settings,
};
use crate::{
    key::{InvalidTarget, Key, RequestUrl},
    options::CacheOptions,
    policy::{self, Verdict},
    runtime::has_timers,
    status::{Bypass, Stale},
    store::{Hit, Store, StoredBody},
    time::Timestamp,
};

/// Answers a request.
///
/// A hit on the response under the primary key is answered here, by one read of the store. The
/// future of everything else is boxed, so that this one stays small: it is moved and allocated for
/// each request.
pub(super) fn serve<S, B, ReqBody>(
    inner: S,
    cache: Arc<Inner<B>>,
    request: Request<ReqBody>,
) -> impl Future<Output = Result<Response<ResponseBody<S::Body>>, S::Error>> + Send
where
    S: Origin<ReqBody>,
    B: Store,
    ReqBody: AnyBody,
{
    // Not in the future, which would store the request and its parts.
    let (parts, body) = request.into_parts();
    async move {
        let rules = &cache.settings.rules;
        // The time limit of the request includes reading its body.
        let arrived = rules.has_time_limits().then(Instant::now);
        let options = rules.asked(CacheOptions::of(&parts.extensions), &parts.headers);
        let read = match gate_and_key(&cache, &options, &parts, body.is_end_stream()) {
            Ok(Some(primary)) => {
                let read = lookup::read_primary(&cache, primary).await;
                match (read.verdict(&cache, &options, &parts), read) {
                    (Some((verdict, now)), PrimaryRead { key, found: Ok(Some(hit)), .. }) => {
                        let selected = Selected { key, hit, resident: None };
                        return Ok(respond::hit(&cache, &parts, selected, verdict, now));
                    }
                    (_, read) => Ok(Some(read)),
                }
            }
            Ok(None) => Ok(None),
            Err(reason) => Err(reason),
        };
        let options = options.into_owned();
        answer_boxed(inner, cache, parts, body, options, arrived, read).await
    }
}

/// Answers a request that [`serve`] could not answer by one read. `read` is the entry under its
/// primary key, if that has been read, or why the request bypasses the cache.
///
/// Not an `async fn`: its future would store all that is moved into the others.
fn answer_boxed<S, B, ReqBody>(
    inner: S,
    cache: Arc<Inner<B>>,
    parts: request::Parts,
    body: ReqBody,
    options: CacheOptions,
    arrived: Option<Instant>,
    read: Result<Option<PrimaryRead>, Bypass>,
) -> Answering<S::Body, S::Error>
where
    S: Origin<ReqBody>,
    B: Store,
    ReqBody: AnyBody,
{
    let gated = read.and_then(|read| match cache.settings.recipe.url(&parts) {
        Ok(url) => Ok((read, url)),
        Err(InvalidTarget) => Err(Bypass::InvalidTarget),
    });
    match gated {
        Ok((Some(read), url)) => {
            let body = RequestBody::untouched(body);
            let ctx = RequestContext::new(cache, parts, url, options, body.read(), arrived);
            let upstream = Upstream { inner, body };
            // No part, and no `HEAD` without a key of its own, gets here: `gate_and_key` returns
            // `None` for them.
            if read.is_absent() && !no_vary_search::may_answer(&ctx.view()) {
                let lookup = Box::new(ctx.view().absent(&read));
                return Box::pin(refresh_or_fetch(ctx, upstream, lookup));
            }
            Box::pin(answer(ctx, upstream, Some(read)))
        }
        Ok((None, url)) => Box::pin(read_body(inner, cache, parts, body, url, options, arrived)),
        Err(reason) => {
            let upstream = Upstream { inner, body: RequestBody::untouched(body) };
            Box::pin(bypass(upstream, cache, parts, options, reason))
        }
    }
}

type Answering<ResBody, E> =
    Pin<Box<dyn Future<Output = Result<Response<ResponseBody<ResBody>>, E>> + Send>>;

/// Checks whether a request may use the cache. Returns its primary key if one read may answer it,
/// and `None` for a request with a body, for a part, and for a `HEAD`.
fn gate_and_key<B>(
    cache: &Inner<B>,
    options: &CacheOptions,
    parts: &request::Parts,
    is_empty: bool,
) -> Result<Option<Key>, Bypass> {
    let Settings { rules, recipe, .. } = &cache.settings;
    if !cache.is_enabled() {
        return Err(Bypass::Disabled);
    }
    rules.gate(options, parts)?;
    if !is_empty
        || rules.request_check().needs_body()
        || policy::asks_for_part(&parts.method, &parts.headers)
        || (parts.method == Method::HEAD && options.key.is_none())
    {
        return Ok(None);
    }
    let primary = match options.key {
        Some(key) => recipe.url(parts).map(|_valid| key),
        None => recipe.primary_without_content(parts),
    };
    primary.map(Some).map_err(|InvalidTarget| Bypass::InvalidTarget)
}

/// Reads the body of a request whose key depends on it, and answers the request. It also answers a
/// `HEAD` and a request for a part.
async fn read_body<S, B, ReqBody>(
    inner: S,
    cache: Arc<Inner<B>>,
    parts: request::Parts,
    body: ReqBody,
    url: RequestUrl,
    options: CacheOptions,
    arrived: Option<Instant>,
) -> Result<Response<ResponseBody<S::Body>>, S::Error>
where
    S: Origin<ReqBody>,
    B: Store,
    ReqBody: AnyBody,
{
    let Settings { rules, max_request_body, .. } = &cache.settings;
    let check = rules.request_check();
    let (body, read) = if !body.is_end_stream() || check.needs_body() {
        let budget = cache.request_budget();
        RequestBody::buffered(body, *max_request_body, &budget, check).await
    } else {
        (RequestBody::untouched(body), Ok(()))
    };
    if let Err(reason) = read {
        return bypass(Upstream { inner, body }, cache, parts, options, reason).await;
    }
    let mut read = body.read();
    if options.key.is_none() {
        let recipe = &cache.settings.recipe;
        read = read.normalized(|chunks| recipe.normal_body(&parts.headers, chunks));
    }
    let ctx = RequestContext::new(cache, parts, url, options, read, arrived);
    Box::pin(answer(ctx, Upstream { inner, body }, None)).await
}

/// Answers a request whose key is known. `read` is the entry under its primary key, if that has
/// been read. Steps that few requests take are boxed.
async fn answer<S, B, ReqBody>(
    ctx: Box<RequestContext<B>>,
    upstream: Upstream<S, ReqBody>,
    read: Option<PrimaryRead>,
) -> Result<Response<ResponseBody<S::Body>>, S::Error>
where
    S: Origin<ReqBody>,
    B: Store,
    ReqBody: AnyBody,
{
    // Lookup: of the response, and of the part of it that is stored instead.
    // Boxed, since it is moved between many futures on its way.
    let mut lookup = Box::new(Box::pin(no_vary_search::lookup(ctx.view(), read)).await);
    if policy::asks_for_part(&ctx.parts.method, &ctx.parts.headers)
        && !has_part(&lookup, &ctx.parts)
    {
        lookup = match Box::pin(ctx.view().find_part(*lookup)).await {
            Ok(lookup) => Box::new(lookup),
            Err(missing) => return Box::pin(ctx.fetch_part(upstream, missing)).await,
        };
    }

    // Judge: the lookup has the verdict, and a hit is answered here.
    lookup.found = match lookup.take_found() {
        Found::Usable(selected, verdict)
            if !may_begin_refresh(&ctx.cache, &selected, verdict, &lookup.key.call, lookup.now) =>
        {
            return Ok(respond::hit(&ctx.cache, &ctx.parts, selected, verdict, lookup.now));
        }
        found => found,
    };
    Box::pin(refresh_or_fetch(ctx, upstream, lookup)).await
}

/// Whether a refresh may begin with the response to a request. None begins for a part, nor while
/// another one runs or waits after failures.
fn may_begin_refresh<B>(
    cache: &Inner<B>,
    selected: &Selected,
    verdict: Verdict,
    call_key: &Key,
    now: Timestamp,
) -> bool {
    matches!(verdict, Verdict::DueForRefresh | Verdict::Stale(Stale::WhileRevalidate))
        && selected.hit.head.status() != StatusCode::PARTIAL_CONTENT
        && cache.shared.backoff.is_due(call_key, now)
}

/// Answers a request that a stored response alone does not answer: refreshes it in the background,
/// joins a call in flight, or calls the origin.
#[expect(clippy::manual_async_fn, reason = "an `async fn` stores each argument twice")]
fn refresh_or_fetch<S, B, ReqBody>(
    mut ctx: Box<RequestContext<B>>,
    upstream: Upstream<S, ReqBody>,
    mut lookup: Box<Lookup>,
) -> impl Future<Output = Result<Response<ResponseBody<S::Body>>, S::Error>> + Send
where
    S: Origin<ReqBody>,
    B: Store,
    ReqBody: AnyBody,
{
    async move {
        let mut mode = Mode::of(&ctx, &lookup);
        ctx.first_reason = lookup.reason;
        let (leader, lookup) = loop {
            // Judge.
            lookup = match judge(lookup) {
                Judged::Answers(selected, verdict) => {
                    return Ok(respond::from_store(&ctx, selected, verdict));
                }
                Judged::DueForRefresh(selected, verdict, lookup) => {
                    let response = respond::from_store(&ctx, selected, verdict);
                    refresh::start(ctx, upstream, lookup);
                    return Ok(response);
                }
                Judged::NeedsOrigin(lookup) => lookup,
            };
            if ctx.options.only_if_cached {
                let (key, why) = (Some(lookup.key.entry), respond::why_not_stored(lookup.reason));
                return Ok(respond::gateway_timeout(&ctx.cache, ctx.line(), key, why));
            }
            // Join.
            match ctx.join(lookup, mode).await {
                Joined::Leader(leader, lookup) => break (leader, lookup),
                Joined::Response(response) => return Ok(response),
                Joined::Retry(next, found) => (mode, lookup) = (next, found),
            }
        };
        // Fetch, judge and store.
        let (reason, key, call_key) = (lookup.reason, lookup.key.entry, lookup.key.call);
        ctx.report_call(&key, reason);
        let mut fetched = ctx.call_origin(upstream, lookup, leader, Fallback::IfAllowed).await;
        ctx.report_fetched(&fetched, &key, &call_key, reason);
        fetched.read_ahead().await;
        // Respond.
        ctx.respond(fetched, reason)
    }
}

/// What the stored response is good for.
enum Judged {
    /// It answers the request: it is fresh, or may be served stale.
    Answers(Selected, Verdict),
    /// It answers the request, and is refreshed in the background.
    DueForRefresh(Selected, Verdict, Box<Lookup>),
    /// It does not answer the request.
    NeedsOrigin(Box<Lookup>),
}

fn judge(mut lookup: Box<Lookup>) -> Judged {
    let (selected, verdict) = match lookup.take_found() {
        Found::Usable(selected, verdict) => (selected, verdict),
        found => {
            lookup.found = found;
            return Judged::NeedsOrigin(lookup);
        }
    };
    match verdict {
        Verdict::DueForRefresh | Verdict::Stale(Stale::WhileRevalidate) if has_timers() => {}
        // There is no runtime to refresh it in: the caller waits for a fresh response.
        Verdict::Stale(Stale::WhileRevalidate) => {
            lookup.found = Found::Stale(selected);
            return Judged::NeedsOrigin(lookup);
        }
        _ => return Judged::Answers(selected, verdict),
    }
    // The refresh needs the entry without its body.
    let Selected { key, hit, resident } = &selected;
    let hit = Hit::new(hit.head.clone(), hit.version, StoredBody::empty());
    lookup.found = Found::Stale(Selected { key: *key, hit, resident: resident.clone() });
    Judged::DueForRefresh(selected, verdict, lookup)
}
