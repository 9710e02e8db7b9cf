//! The way of a request, from top to bottom: gate, key, lookup, judge, join, fetch (which judges
//! and stores what arrives), respond.
//!
//! Every decision is asked of the policy. Here is only the order of the steps. A hit takes the
//! short way through [`serve`]. All else is boxed, so that the future of a hit stays small.

use std::{sync::Arc, time::Instant};

use http::{Request, Response, StatusCode};

use super::{
    body::ResponseBody,
    bypass::bypass,
    context::{AnyBody, Origin, RequestContext, RequestRef, Upstream},
    follow::{Joined, Mode},
    layer::Inner,
    lookup::{Found, Lookup, Selected},
    no_vary_search,
    range::has_part,
    refresh,
    request_body::RequestBody,
    respond,
};
use crate::{
    key::Key,
    options::CacheOptions,
    policy::{self, Verdict},
    runtime::has_timers,
    status::{Bypass, Miss, Stale},
    store::{Hit, Store, StoredBody},
    time::Timestamp,
};

/// Answers a request.
pub(super) async fn serve<S, B, ReqBody>(
    inner: S,
    cache: Arc<Inner<B>>,
    request: Request<ReqBody>,
) -> Result<Response<ResponseBody<S::Body>>, S::Error>
where
    S: Origin<ReqBody>,
    B: Store,
    ReqBody: AnyBody,
{
    let (parts, body) = request.into_parts();
    let rules = &cache.settings.rules;
    // The time limit of the request includes reading its body.
    let arrived = rules.has_time_limits().then(Instant::now);

    // Gate.
    let options = rules.asked(CacheOptions::of(&parts.extensions), &parts.headers);
    let gate =
        if cache.is_enabled() { rules.gate(&options, &parts) } else { Err(Bypass::Disabled) };

    // Key. If it depends on the body, that is read now.
    let recipe = &cache.settings.recipe;
    let url = gate.and_then(|()| recipe.url(&parts).map_err(|_invalid| Bypass::InvalidTarget));
    let check = rules.request_check();
    let (body, url) = match url {
        Ok(url) if !body.is_end_stream() || check.needs_body() => {
            let (budget, limit) = (cache.request_budget(), cache.settings.max_request_body);
            let (body, read) = Box::pin(RequestBody::buffered(body, limit, &budget, check)).await;
            (body, read.map(|()| url))
        }
        url => (RequestBody::untouched(body), url),
    };
    let url = match url {
        Ok(url) => url,
        Err(reason) => {
            let (options, upstream) = (options.into_owned(), Upstream { inner, body });
            return Box::pin(bypass(upstream, cache, parts, options, reason)).await;
        }
    };

    // Lookup: of the response, and of the part of it that is stored instead.
    let content = body.content();
    let view = RequestRef { cache: &cache, options: &options, parts: &parts, url: &url, content };
    let mut lookup = no_vary_search::lookup(view).await;
    if policy::asks_for_part(&parts.method, &parts.headers) && !has_part(&lookup, &parts) {
        lookup = match Box::pin(view.find_part(lookup)).await {
            Ok(lookup) => lookup,
            Err(missing) => {
                let options = options.into_owned();
                let ctx = RequestContext::new(cache.clone(), parts, url, options, body.read());
                return Box::pin(ctx.fetch_part(Upstream { inner, body }, missing)).await;
            }
        };
    }

    // Judge: the lookup has the verdict, and a hit is answered here.
    let found = match lookup.found {
        Found::Usable(selected, verdict)
            if !may_begin_refresh(&cache, &selected, verdict, &lookup.key.call, lookup.now) =>
        {
            return Ok(respond::hit(&cache, &parts, selected, verdict, lookup.now));
        }
        found => found,
    };
    let lookup = Lookup { found, ..lookup };
    let options = options.into_owned();
    let mut ctx = RequestContext::new(cache.clone(), parts, url, options, body.read());
    ctx.arrived = arrived;
    Box::pin(refresh_or_fetch(ctx, Upstream { inner, body }, lookup)).await
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
async fn refresh_or_fetch<S, B, ReqBody>(
    mut ctx: RequestContext<B>,
    upstream: Upstream<S, ReqBody>,
    mut lookup: Lookup,
) -> Result<Response<ResponseBody<S::Body>>, S::Error>
where
    S: Origin<ReqBody>,
    B: Store,
    ReqBody: AnyBody,
{
    let mut mode = Mode::of(&ctx, &lookup);
    ctx.first_reason = Some(lookup.reason);
    let (leader, lookup) = loop {
        // Judge.
        lookup = match judge(lookup) {
            Judged::Answers(selected, verdict, reason) => {
                return Ok(respond::from_store(&ctx, selected, verdict, reason));
            }
            Judged::DueForRefresh(selected, verdict, lookup) => {
                let response = respond::from_store(&ctx, selected, verdict, lookup.reason);
                refresh::start(ctx, upstream, lookup);
                return Ok(response);
            }
            Judged::NeedsOrigin(lookup) => lookup,
        };
        if ctx.options.only_if_cached {
            let (key, why) = (Some(lookup.key.entry), why_not_stored(lookup.reason));
            return Ok(respond::gateway_timeout(&ctx.cache, key, why));
        }
        // Join.
        match ctx.join(lookup, mode).await {
            Joined::Leader(leader, lookup) => break (leader, lookup),
            Joined::Response(response) => return Ok(response),
            Joined::Retry(next, found) => (mode, lookup) = (next, found),
        }
    };
    // Fetch, judge and store.
    let reason = lookup.reason;
    let fetched = ctx.fetch(upstream, lookup, leader).await;
    // Respond.
    ctx.respond(fetched, reason).await
}

/// What the stored response is good for.
enum Judged {
    /// It answers the request: it is fresh, or may be served stale.
    Answers(Selected, Verdict, Miss),
    /// It answers the request, and is refreshed in the background.
    DueForRefresh(Selected, Verdict, Lookup),
    /// It does not answer the request.
    NeedsOrigin(Lookup),
}

fn judge(lookup: Lookup) -> Judged {
    let Found::Usable(selected, verdict) = lookup.found else {
        return Judged::NeedsOrigin(lookup);
    };
    match verdict {
        Verdict::DueForRefresh | Verdict::Stale(Stale::WhileRevalidate) if has_timers() => {}
        // There is no runtime to refresh it in: the caller waits for a fresh response.
        Verdict::Stale(Stale::WhileRevalidate) => {
            return Judged::NeedsOrigin(Lookup { found: Found::Stale(selected), ..lookup });
        }
        _ => return Judged::Answers(selected, verdict, lookup.reason),
    }
    // The refresh needs the entry without its body.
    let Selected { key, hit, resident } = &selected;
    let hit = Hit::new(hit.head.clone(), hit.version, StoredBody::empty());
    let found = Found::Stale(Selected { key: *key, hit, resident: resident.clone() });
    Judged::DueForRefresh(selected, verdict, Lookup { found, ..lookup })
}

/// Why a request that forbids to ask the origin has no answer.
fn why_not_stored(reason: Miss) -> &'static str {
    match reason {
        Miss::Expired => "The stored response has expired",
        Miss::StoreFailed(_) => "The store could not be read",
        _ => "No response is stored",
    }
}
