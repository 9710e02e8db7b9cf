//! Requests that go past the cache: what they make stale is removed, and what comes is kept where it answers other
//! requests than the one that brought it.

use bytes::Bytes;
use http::{Method, Request, Response, Uri, request, response};
use http_body::Body;
use tower_service::Service;

use super::{
    CacheLayer, RequestBody, ResponseBody, answer,
    errand::Errand,
    fetch::{Arrived, Kept, call},
    flight::{Boarding, Join},
    lookup::{Lookup, lookup, lookup_part},
};
use crate::{
    key::RequestUrl,
    options::CacheOptions,
    policy,
    stats::Count,
    status::{Bypass, CacheStatus},
    store::{self, Store},
    time::Timestamp,
    trace,
};

/// Sends a request past the cache.
pub(super) async fn pass<S, B, ReqBody, ResBody>(
    inner: S,
    cache: CacheLayer<B>,
    parts: request::Parts,
    body: RequestBody<ReqBody>,
    options: CacheOptions,
    reason: Bypass,
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
    if options.only_if_cached {
        return Ok(answer::only_if_cached(&cache, None, "The cache does not answer this request"));
    }
    cache.shared.counters.add(Count::Bypass);
    let settings = cache.settings.clone();
    let method = parts.method.clone();
    let is_at_work = reason != Bypass::Disabled && !settings.rules.read_only;
    let may_invalidate = is_at_work && settings.invalidate && !policy::is_safe(&method);
    let may_keep = is_at_work && settings.rules.may_keep_aside(&options, reason, &method);
    let url = (may_invalidate || may_keep).then(|| settings.recipe.url(&parts).ok()).flatten();
    let kept = may_keep.then(|| parts.clone());

    let requested_at = settings.clock.now();
    let response = call(inner.clone(), Request::from_parts(parts, body)).await?;
    let Some(url) = url else { return Ok(passed(&cache, reason, response)) };
    if may_invalidate && settings.rules.invalidates(&method, response.status()) {
        let named = settings.rules.named_urls(&url.text, response.headers());
        let groups = settings.rules.named_groups(&url.text, response.headers());
        invalidate(&cache, &url, &named, &groups).await;
    }
    match kept {
        Some(parts) if settings.rules.keeps_aside(&url.text, &parts, &response, requested_at) => {
            let errand = Errand::new(inner, cache, parts, url, RequestBody::ended(), options);
            Ok(errand.keep_aside(response, requested_at, reason).await)
        }
        _ => Ok(passed(&cache, reason, response)),
    }
}

fn passed<B: Store, ResBody: Body>(
    cache: &CacheLayer<B>,
    reason: Bypass,
    response: Response<ResBody>,
) -> Response<ResponseBody<ResBody>> {
    let status = CacheStatus::bypass(reason, cache.settings.clock.now());
    answer::report(cache, response.map(ResponseBody::passthrough), status)
}

/// Removes what a successful unsafe request has made stale: what is stored for its URL, for those that its response has
/// `named`, and what is in the `groups` that it names.
async fn invalidate<B: Store>(
    cache: &CacheLayer<B>,
    url: &RequestUrl,
    named: &[Uri],
    groups: &[Box<str>],
) {
    let recipe = &cache.settings.recipe;
    let count = |removed: store::Result<u64>| match removed {
        Ok(removed) => cache.shared.counters.add_invalidated(removed),
        Err(error) => {
            cache.shared.counters.add(Count::StoreError);
            trace::invalidation_failed(error.kind(), &error);
        }
    };
    count(cache.shared.remove_url(recipe, &url.text).await);
    for named in named.iter().filter_map(|named| recipe.url_of(named.clone())) {
        count(cache.shared.remove_url(recipe, &named).await);
    }
    for group in groups {
        count(cache.shared.remove_tagged(group).await);
    }
}

impl<S, B, ReqBody, ResBody> Errand<S, B, ReqBody>
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
    /// Keeps a response beside the place that its own request has: a part, or what a `POST` says a `GET` would bring.
    async fn keep_aside(
        mut self,
        response: Response<ResBody>,
        requested_at: Timestamp,
        reason: Bypass,
    ) -> Response<ResponseBody<ResBody>> {
        let is_part = reason == Bypass::Range;
        self.parts.method = Method::GET;
        let Self { cache, options, parts, url, body, .. } = &mut self;
        let looked: Lookup = if is_part {
            lookup_part(cache, options, parts, url, body).await
        } else {
            lookup(cache, options, parts, url, body).await
        };
        let bound = self.bound(&looked);
        let (key, arrivals) = (looked.missed.key, looked.arrivals);
        let boarding = self.cache.shared.flights.board(&key, bound, arrivals, Join::Alone, 0);
        let Boarding::Lead(lead) = boarding else {
            return passed(&self.cache, reason, response);
        };
        let (parts, body): (response::Parts, _) = response.into_parts();
        let status = CacheStatus::bypass(reason, self.cache.settings.clock.now());
        match self.keep(&looked.missed, parts, Arrived::Unread(body), requested_at, lead) {
            Kept::Underway(parts, carried, mut body) => {
                let status = status.storing_at(carried.key, carried.progress.clone());
                body.settle().await;
                let response = Response::from_parts(parts, ResponseBody::shared(body));
                answer::report(&self.cache, response, status)
            }
            Kept::No(parts, body, key, refusal) => {
                let status = status.storing_at(key, refusal);
                answer::report(&self.cache, Response::from_parts(parts, body), status)
            }
        }
    }
}
