//! The way of one request: gate, key, lookup, judge; then the stored response, or an [`Errand`].
//!
//! Every decision is asked of the policy; here is only the order of things. Hits take the short path in [`serve`]; all
//! else is boxed behind it, so that a hit's future stays small.

use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response, StatusCode, request};
use http_body::Body;
use tower_service::Service;

use super::{
    CacheLayer, RequestBody, ResponseBody, answer,
    errand::Errand,
    lookup::{Found, Lookup, lookup, lookup_part},
    pass::pass,
};
use crate::{
    options::CacheOptions,
    policy::{self, Part, Verdict},
    runtime::has_timers,
    status::{Bypass, Stale},
    store::Store,
};

pub(super) async fn serve<S, B, ReqBody, ResBody>(
    inner: S,
    cache: CacheLayer<B>,
    request: Request<ReqBody>,
) -> Result<Response<ResponseBody<ResBody>>, S::Error>
where
    S: Service<Request<RequestBody<ReqBody>>, Response = Response<ResBody>>,
    S: Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Store,
    ReqBody: Body<Data = Bytes> + Send + 'static,
    ReqBody::Error: Send,
    ResBody: Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Send,
{
    let (parts, body) = request.into_parts();
    let rules = &cache.settings.rules;
    // It runs while the body is read.
    let came = rules.has_time_limits().then(Instant::now);
    let asked = rules.asked(CacheOptions::of(&parts.extensions), &parts.headers);
    let options = &*asked;
    let passing =
        if !cache.is_enabled() { Err(Bypass::Disabled) } else { rules.gate(options, &parts) };
    let url = match passing
        .and_then(|()| cache.settings.recipe.url(&parts).map_err(|_invalid| Bypass::InvalidTarget))
    {
        Ok(url) => url,
        Err(reason) => {
            let (body, options) = (RequestBody::untouched(body), asked.into_owned());
            return Box::pin(pass(inner, cache, parts, body, options, reason)).await;
        }
    };
    let check = rules.request_check();
    let (mut body, buffered) = if body.is_end_stream() && !check.needs_body() {
        (RequestBody::untouched(body), Ok(()))
    } else {
        let budget = cache.request_budget();
        let limit = cache.settings.max_request_body;
        Box::pin(RequestBody::buffered(body, limit, &budget, check)).await
    };
    if let Err(reason) = buffered {
        let options = asked.into_owned();
        return Box::pin(pass(inner, cache, parts, body, options, reason)).await;
    }

    let mut looked = lookup(&cache, options, &parts, &url, &mut body).await;
    if policy::asks_for_part(&parts.method, &parts.headers) && !has_part(&looked, &parts) {
        let mut part = None;
        if rules.keeps_parts() {
            let looked_part = Box::pin(lookup_part(&cache, options, &parts, &url, &mut body)).await;
            let is_outdated = is_outdated(&looked_part.found, &looked.found);
            part = Some(looked_part).filter(|part| !is_outdated && has_part(part, &parts));
        }
        looked = match part {
            Some(part) => part,
            None => {
                let options = asked.into_owned();
                let errand = Errand::new(inner, cache, parts, url, body, options);
                return Box::pin(errand.fetch_part(looked)).await;
            }
        };
    }
    let found = match looked.found {
        Found::Good(key, hit, verdict)
            if verdict == Verdict::Fresh
                || hit.head.status() == StatusCode::PARTIAL_CONTENT
                || !cache.shared.backoff.is_due(&looked.missed.key, looked.now) =>
        {
            return Ok(answer::good(&cache, &parts, key, hit, verdict, looked.now));
        }
        found => found,
    };
    let looked = Lookup { found, ..looked };
    let options = asked.into_owned();
    let errand = Errand::new(inner, cache, parts, url, body, options).since(came);
    Box::pin(errand.run(looked)).await
}

/// Whether what was found holds the part that the request asks for, or shows that there is none. A part that is to be
/// fetched again is the origin's to give, and so is one of a whole that nobody is there to refresh.
fn has_part(looked: &Lookup, parts: &request::Parts) -> bool {
    let Found::Good(_, hit, verdict) = &looked.found else { return false };
    let is_stale = *verdict == Verdict::Stale(Stale::WhileRevalidate);
    let is_part = hit.head.status() == StatusCode::PARTIAL_CONTENT;
    // Several parts, or what is not understood, is answered with the whole (RFC 9110 §14.2).
    let is_answer = !is_part || policy::part(&parts.headers, &hit.head) != Part::Other;
    is_answer && !(is_stale && (is_part || !has_timers()))
}

/// Whether the `part` is of another response than the `whole`, expired by now, that has come after it.
fn is_outdated(part: &Found, whole: &Found) -> bool {
    let (Found::Good(_, part, _), Found::Poor(_, whole)) = (part, whole) else { return false };
    policy::is_outdated(&part.head, &whole.head)
}
