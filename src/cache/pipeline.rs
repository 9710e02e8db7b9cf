//! The way of a request, from top to bottom: gate, key, lookup, judge, join, fetch.
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
    range::{has_part, is_outdated},
    refresh,
    request_body::RequestBody,
    respond,
};
use crate::{
    options::CacheOptions,
    policy::{self, Verdict},
    runtime::has_timers,
    status::{Bypass, Miss, Stale},
    store::{Hit, Store, StoredBody},
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

    // Key.
    let url = gate
        .and_then(|()| cache.settings.recipe.url(&parts).map_err(|_invalid| Bypass::InvalidTarget));
    let url = match url {
        Ok(url) => url,
        Err(reason) => {
            let (body, options) = (RequestBody::untouched(body), options.into_owned());
            return Box::pin(bypass(inner, cache, parts, body, options, reason)).await;
        }
    };
    let check = rules.request_check();
    let (body, buffered) = if body.is_end_stream() && !check.needs_body() {
        (RequestBody::untouched(body), Ok(()))
    } else {
        let budget = cache.request_budget();
        let limit = cache.settings.max_request_body;
        Box::pin(RequestBody::buffered(body, limit, &budget, check)).await
    };
    if let Err(reason) = buffered {
        let options = options.into_owned();
        return Box::pin(bypass(inner, cache, parts, body, options, reason)).await;
    }

    // Lookup.
    let view = RequestRef {
        cache: &cache,
        options: &options,
        parts: &parts,
        url: &url,
        content: body.content(),
    };
    let mut lookup = no_vary_search::lookup(view).await;
    if policy::asks_for_part(&parts.method, &parts.headers) && !has_part(&lookup, &parts) {
        let part = match rules.keeps_parts() {
            true => Some(Box::pin(view.lookup_part()).await),
            false => None,
        };
        match part {
            Some(part) if has_part(&part, &parts) && !is_outdated(&part.found, &lookup.found) => {
                lookup = part;
            }
            part => {
                let options = options.into_owned();
                let ctx = RequestContext::new(cache.clone(), parts, url, options, body.read());
                let upstream = Upstream { inner, body };
                return Box::pin(ctx.fetch_part(upstream, lookup, part)).await;
            }
        }
    }

    // Judge. A response whose refresh runs already, or waits after failures, begins no other.
    let found = match lookup.found {
        Found::Usable(selected, verdict)
            if verdict == Verdict::Fresh
                || selected.hit.head.status() == StatusCode::PARTIAL_CONTENT
                || !cache.shared.backoff.is_due(&lookup.key.call, lookup.now) =>
        {
            return Ok(respond::hit(&cache, &parts, selected, verdict, lookup.now));
        }
        found => found,
    };
    let lookup = Lookup { found, ..lookup };
    let options = options.into_owned();
    let mut ctx = RequestContext::new(cache.clone(), parts, url, options, body.read());
    ctx.arrived = arrived;
    Box::pin(miss(ctx, Upstream { inner, body }, lookup)).await
}

/// Answers a request for which no fresh response is stored: serves a stale one, joins a call in
/// flight, or calls the origin.
async fn miss<S, B, ReqBody>(
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
    loop {
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
        (mode, lookup) = match ctx.join(lookup, mode).await {
            Joined::Leader(leader, lookup) => return ctx.fetch(upstream, lookup, leader).await,
            Joined::Response(response) => return Ok(response),
            Joined::Retry(mode, lookup) => (mode, lookup),
        };
    }
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
    let Selected { key, hit } = &selected;
    let hit = Hit::new(hit.head.clone(), hit.version, StoredBody::empty());
    let found = Found::Stale(Selected { key: *key, hit });
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
