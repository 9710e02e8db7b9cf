//! The way of one request: gate, key, lookup, judge; then the stored response, or an [`Errand`].
//!
//! Every decision is asked of the policy; here is only the order of things. Hits take the short path in [`serve`]; all
//! else is boxed behind it, so that a hit's future stays small.

use bytes::Bytes;
use http::{Request, Response, request};
use http_body::Body;
use tower_service::Service;

use super::{
    CacheLayer, RequestBody, ResponseBody, answer, background,
    errand::Errand,
    fetch::call,
    lookup::{Found, Lookup, lookup},
};
use crate::{
    options::CacheOptions,
    policy::{self, Part, Verdict},
    stats::Count,
    status::{Bypass, CacheStatus},
    store::Store,
    trace,
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
            return Box::pin(bypass(inner, cache, parts, body, options, reason)).await;
        }
    };
    let (mut body, buffered) = if body.is_end_stream() {
        (RequestBody::untouched(body), Ok(()))
    } else {
        Box::pin(RequestBody::buffered(body, cache.settings.max_request_body)).await
    };
    if let Err(reason) = buffered {
        let options = asked.into_owned();
        return Box::pin(bypass(inner, cache, parts, body, options, reason)).await;
    }

    let looked = lookup(&cache, options, &parts, &url, &mut body).await;
    if policy::asks_for_part(&parts.method, &parts.headers) && !has_part(&looked, &parts) {
        let options = asked.into_owned();
        return Box::pin(bypass(inner, cache, parts, body, options, Bypass::Range)).await;
    }
    let found = match looked.found {
        Found::Good(key, hit, verdict)
            if verdict == Verdict::Fresh
                || !background::is_due(&cache, &looked.missed.key, looked.now) =>
        {
            return Ok(answer::good(&cache, &parts, key, hit, verdict, looked.now));
        }
        found => found,
    };
    let looked = Lookup { found, ..looked };
    let options = asked.into_owned();
    Box::pin(Errand::new(inner, cache, parts, url, body, options).run(looked)).await
}

/// Whether what was found holds the part that the request asks for, or shows that there is none.
fn has_part(looked: &Lookup, parts: &request::Parts) -> bool {
    matches!(&looked.found, Found::Good(_, hit, _)
        if policy::part(&parts.headers, &hit.head) != Part::Other)
}

/// Sends a request past the cache.
async fn bypass<S, B, ReqBody, ResBody>(
    inner: S,
    cache: CacheLayer<B>,
    parts: request::Parts,
    body: RequestBody<ReqBody>,
    options: CacheOptions,
    reason: Bypass,
) -> Result<Response<ResponseBody<ResBody>>, S::Error>
where
    S: Service<Request<RequestBody<ReqBody>>, Response = Response<ResBody>>,
    B: Store,
    ReqBody: Body<Data = Bytes>,
    ResBody: Body,
{
    if options.only_if_cached {
        return Ok(answer::only_if_cached(&cache, None, "The cache does not answer this request"));
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
        match cache.shared.remove_url(&cache.settings.recipe, &url.text).await {
            Ok(removed) => cache.shared.counters.add_invalidated(removed),
            Err(error) => {
                cache.shared.counters.add(Count::StoreError);
                trace::invalidation_failed(error.kind(), &error);
            }
        }
    }
    let status = CacheStatus::bypass(reason, cache.settings.clock.now());
    Ok(answer::report(&cache, response.map(ResponseBody::passthrough), status))
}
