//! Requests that bypass the cache: what they make stale is removed, and a response to a `POST` that
//! speaks for a `GET` is stored.

use std::sync::Arc;

use http::{Method, Request, Response, Uri, request};
use http_body::Body;

use super::{
    body::ResponseBody,
    coalesce::{CallId, CallInfo},
    context::{AnyBody, Origin, OriginBody, RequestContext},
    fetch::{Arrived, Received},
    layer::Inner,
    lookup::{Lookup, LookupKeys},
    outcome::Leader,
    request_body::{ReadBody, RequestBody},
    respond,
};
use crate::{
    entry::ResponseHead,
    event::Event,
    key::{Key, RequestUrl},
    options::CacheOptions,
    status::{self, Bypass, CacheStatus},
    store::{self, Store},
    time::Timestamp,
};

/// A call of a request that bypasses the cache. Its response may be stored.
pub(super) struct DetachedCall {
    pub(super) key: LookupKeys,
    pub(super) leader: Leader,
}

impl DetachedCall {
    /// Whether its response may be stored: it was neither removed nor superseded.
    pub(super) fn is_current(&self) -> bool {
        !self.leader.is_invalidated() && self.leader.superseded(None).is_none()
    }
}

/// Sends a request past the cache.
pub(super) async fn bypass<S, B, ReqBody>(
    inner: S,
    cache: Arc<Inner<B>>,
    parts: request::Parts,
    body: RequestBody<ReqBody>,
    options: CacheOptions,
    reason: Bypass,
) -> Result<Response<ResponseBody<S::Body>>, S::Error>
where
    S: Origin<ReqBody>,
    B: Store,
    ReqBody: AnyBody,
{
    if options.only_if_cached {
        let why = "The cache does not answer this request";
        return Ok(respond::gateway_timeout(&cache, None, why));
    }
    let (settings, method) = (&cache.settings, parts.method.clone());
    let rules = &settings.rules;
    let is_active = reason != Bypass::Disabled && !rules.read_only;
    let may_invalidate = is_active && settings.invalidate && rules.may_invalidate(&method);
    let may_store = is_active && rules.may_store_detached(&options, reason, &method);
    // Such a request is about the same resource as one that the cache answers.
    let may_end = is_active
        && matches!(method, Method::GET | Method::HEAD)
        && matches!(reason, Bypass::Precondition | Bypass::Range | Bypass::Upgrade);
    let url = (may_invalidate || may_store || may_end)
        .then(|| settings.recipe.url(&parts).ok())
        .flatten();
    let Some(url) = url else {
        let response = inner.send(Request::from_parts(parts, body)).await;
        let response = response.inspect_err(|_| report_failure(&cache, reason))?;
        return Ok(passed(&cache, reason, response.map(ResponseBody::passthrough)));
    };
    let requested_at = settings.clock.now();
    let mut detached = None;
    let ending_request = may_end.then(|| {
        let (parts, url, options) = (parts.clone(), url.clone(), options.clone());
        RequestContext::new(cache.clone(), parts, url, options, ReadBody::default())
    });
    if may_store {
        let (parts, url, read_body) = (parts.clone(), url.clone(), ReadBody::default());
        let mut ctx = RequestContext::new(cache.clone(), parts, url, options, read_body);
        ctx.parts.method = Method::GET;
        // Before the call: its response must not bring back what is removed meanwhile, nor replace
        // what is requested later. Few responses to a POST speak for a GET, so nothing is read.
        let get = ctx.view().unread_get();
        let call = ctx.detached_call(get, None);
        detached = Some((ctx, call));
    }

    let response = inner.send(Request::from_parts(parts, body)).await;
    let response = response.inspect_err(|_| report_failure(&cache, reason))?;
    let (response, body) = response.into_parts();
    let response = ResponseHead::new(response, settings.clock.now());
    let detached = detached.filter(|(_, call)| {
        call.is_current() && rules.stores_detached(&url.text, &method, &response)
    });
    if may_invalidate && rules.invalidates(&method, response.status) {
        let named = rules.named_urls(&url.text, &response.headers);
        let groups = rules.named_groups(&url.text, &response.headers);
        // What is stored of this very response is no older than it.
        let own = detached.as_ref().map(|(_, call)| call.leader.id());
        invalidate(&cache, &url, &named, &groups, own.as_ref()).await;
    }
    if let Some(ctx) = ending_request {
        ctx.end_by(&response, requested_at).await;
    }
    match detached {
        Some((ctx, call)) => {
            Ok(ctx.store_detached(response, body, call, requested_at, reason).await)
        }
        None => {
            let response = Response::from_parts(response.into_parts(), body);
            Ok(passed(&cache, reason, response.map(ResponseBody::passthrough)))
        }
    }
}

pub(super) fn report_failure<B>(cache: &Inner<B>, reason: Bypass) {
    let outcome = status::Outcome::Bypass(reason);
    cache.observer().tell(&Event::Failed { key: None, outcome });
}

/// The response to a request that bypassed the cache. It is not stored.
pub(super) fn passed<B: Store, ResBody: Body>(
    cache: &Inner<B>,
    reason: Bypass,
    response: Response<ResponseBody<ResBody>>,
) -> Response<ResponseBody<ResBody>> {
    let status = CacheStatus::bypass(reason, cache.settings.clock.now());
    respond::report(cache, response, status)
}

/// Removes what a successful unsafe request has made stale: what is stored for its URL, for the
/// URLs that its response names, and in the groups that it names. The response of its own call
/// stays.
async fn invalidate<B: Store>(
    cache: &Inner<B>,
    url: &RequestUrl,
    named: &[Uri],
    groups: &[Box<str>],
    own: Option<&CallId>,
) {
    let recipe = &cache.settings.recipe;
    // The observer has heard of a failure.
    let report = |removed: store::Result<u64>| {
        if let Ok(entries) = removed {
            cache.observer().tell(&Event::Invalidated { entries });
        }
    };
    report(cache.remove_url(recipe, &url.text, own).await);
    for named in named.iter().filter_map(|named| recipe.url_of(named.clone())) {
        report(cache.remove_url(recipe, &named, own).await);
    }
    for group in groups {
        report(cache.remove_group(group, &url.text, own).await);
    }
}

impl<B: Store> RequestContext<B> {
    /// Begins a call whose response may be stored under the key of the lookup. `part` is the key of
    /// the stored part that the response may complete.
    pub(super) fn detached_call(&self, lookup: Lookup, part: Option<Key>) -> DetachedCall {
        let info = CallInfo { part, ..self.call_info(&lookup) };
        let leader = self.cache.shared.calls.begin_detached(&lookup.key.call, info);
        DetachedCall { key: lookup.key, leader: Leader::detached(leader) }
    }

    /// Removes what the answer to a request that bypassed the cache ends.
    async fn end_by(&self, answer: &ResponseHead, requested_at: Timestamp) {
        let now = self.cache.settings.clock.now();
        if self.cache.settings.rules.ends(&self.exchange(answer, requested_at, now)) {
            let key = LookupKeys::primary(self.view().primary(&self.parts.method));
            self.end(&key, None, None, true, requested_at).await;
        }
    }

    /// Stores the response to a `POST` that speaks for a `GET`.
    async fn store_detached<ResBody: OriginBody>(
        self,
        response: ResponseHead,
        body: ResBody,
        call: DetachedCall,
        requested_at: Timestamp,
        reason: Bypass,
    ) -> Response<ResponseBody<ResBody>> {
        // Looked up now: the POST itself has removed what was there.
        let Lookup { key, .. } = self.view().lookup().await;
        let body = Arrived::Unread(body);
        let received = self.receive(&key, response, body, requested_at, call.leader);
        self.respond_detached(received, reason).await
    }

    /// The response to a request that bypassed the cache, which says what became of it.
    pub(super) async fn respond_detached<ResBody: OriginBody>(
        &self,
        received: Received<ResBody>,
        reason: Bypass,
    ) -> Response<ResponseBody<ResBody>> {
        let status = CacheStatus::bypass(reason, self.cache.settings.clock.now());
        match received {
            Received::Storing(parts, tee, mut body) => {
                let status = status.storing_at(tee.key, &tee.head, tee.progress.clone());
                body.read_ahead().await;
                let response = Response::from_parts(parts, ResponseBody::shared(body));
                respond::report(&self.cache, response, status)
            }
            Received::NotStored(parts, body, key, refusal) => {
                let status = status.refused_at(key, refusal);
                respond::report(&self.cache, Response::from_parts(parts, body), status)
            }
        }
    }
}
