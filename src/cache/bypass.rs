//! Requests that bypass the cache. The response to an unsafe request removes what it makes stale.
//! The response to a `GET` or `HEAD` removes what it ends. The response to a `POST` is stored if it
//! says that a `GET` would receive it (RFC 9110 §9.3.3).

use std::sync::Arc;

use http::{Method, Request, Response, request};
use http_body::Body;

use super::{
    ask::ArrivedBody,
    body::ResponseBody,
    coalesce::{CallId, CallInfo},
    context::{AnyBody, Origin, OriginBody, RequestContext, Upstream},
    fetch::Received,
    layer::Inner,
    lookup::{Lookup, LookupKeys},
    outcome::Leader,
    request_body::ReadBody,
    respond,
};
use crate::{
    entry::ResponseHead,
    event::{Event, RequestLine, SentLine},
    key::{Key, RequestUrl},
    options::CacheOptions,
    status::{self, Bypass, CacheStatus, Refusal},
    store::{self, Store},
    time::Timestamp,
};

/// Sends a request past the cache.
pub(super) async fn bypass<S, B, ReqBody>(
    upstream: Upstream<S, ReqBody>,
    cache: Arc<Inner<B>>,
    mut parts: request::Parts,
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
        let line = RequestLine::of(&cache.settings.recipe, &parts);
        return Ok(respond::gateway_timeout(&cache, line, None, why));
    }
    let sent = SentLine::of(&cache.settings.recipe, &parts, cache.observer().has_hooks());
    let effects = Effects::of(&cache, &parts, options, reason);
    cache.settings.remove_own_conditions(&mut parts.headers);
    let Upstream { inner, body } = upstream;
    let response = inner.send(Request::from_parts(parts, body)).await;
    let response = response.inspect_err(|_| report_failure(&cache, sent.line(), reason))?;
    Ok(match effects {
        Some(effects) => Box::pin(effects.apply(response)).await,
        None => passed(&cache, sent.line(), reason, response.map(ResponseBody::passthrough)),
    })
}

/// What the response to a request that bypasses the cache may do to what is stored.
struct Effects<B> {
    cache: Arc<Inner<B>>,
    reason: Bypass,
    method: Method,
    url: RequestUrl,
    requested_at: Timestamp,
    /// Whether it may remove what an unsafe request has made stale.
    may_invalidate: bool,
    /// The request, if its response may end stored responses to `GET` and `HEAD`, and its call.
    ending: Option<(Box<RequestContext<B>>, DetachedCall)>,
    /// The `GET` that the response may be stored for, and its call.
    detached: Option<(Box<RequestContext<B>>, DetachedCall)>,
}

impl<B: Store> Effects<B> {
    /// The effects that the response may have, or `None`. If the response may be stored, its call
    /// begins here.
    fn of(
        cache: &Arc<Inner<B>>,
        parts: &request::Parts,
        options: CacheOptions,
        reason: Bypass,
    ) -> Option<Self> {
        let (settings, method) = (&cache.settings, &parts.method);
        let rules = &settings.rules;
        if reason == Bypass::Disabled || rules.read_only {
            return None;
        }
        let may_invalidate = settings.invalidate && rules.may_invalidate(method);
        let may_store = rules.may_store_detached(&options, reason, method);
        // Such a request is about the same resource as one that the cache answers.
        let may_end = matches!(*method, Method::GET | Method::HEAD)
            && matches!(reason, Bypass::Precondition | Bypass::Range | Bypass::Upgrade);
        if !(may_invalidate || may_store || may_end) {
            return None;
        }
        let url = settings.recipe.url(parts).ok()?;
        let requested_at = settings.clock.now();
        let context = || {
            let (parts, url, options) = (parts.clone(), url.clone(), options.clone());
            RequestContext::new(cache.clone(), parts, url, options, ReadBody::default(), None)
        };
        // The call brings nothing into the store. It orders the answer among the calls in flight.
        let ending = may_end.then(|| {
            let ctx = context();
            let call = ctx.detached_call(ctx.view().unread(method), None);
            (ctx, call)
        });
        let detached = may_store.then(|| {
            let mut get_ctx = context();
            get_ctx.parts.method = Method::GET;
            // The call begins before the request is sent: its response must not bring back what is
            // removed meanwhile, nor replace what is requested later. Few responses to a POST may
            // be stored, so nothing is read.
            let call = get_ctx.detached_call(get_ctx.view().unread(&Method::GET), None);
            (get_ctx, call)
        });
        let (cache, method) = (cache.clone(), method.clone());
        Some(Self { cache, reason, method, url, requested_at, may_invalidate, ending, detached })
    }

    /// Removes what the response makes stale and what it ends, and stores it if that is allowed.
    async fn apply<ResBody: OriginBody>(
        self,
        response: Response<ResBody>,
    ) -> Response<ResponseBody<ResBody>> {
        let Self { cache, reason, method, url, requested_at, .. } = self;
        let rules = &cache.settings.rules;
        let line = RequestLine::new(&method, &url.text);
        let (response, body) = response.into_parts();
        let response = ResponseHead::new(response, cache.settings.clock.now());
        let detached = self.detached.filter(|(_, call)| {
            call.refusal().is_none() && rules.stores_detached(&url.text, &method, &response)
        });
        if self.may_invalidate && rules.invalidates(&method, response.status) {
            // The removal spares this response's own call.
            let own = detached.as_ref().map(|(_, call)| call.leader.id());
            invalidate(&cache, &url, &response, own.as_ref()).await;
        }
        if let Some((ctx, call)) = self.ending {
            ctx.end_by(&response, call, requested_at).await;
        }
        match detached {
            Some((get_ctx, call)) => {
                get_ctx.store_detached(line, response, body, call, requested_at, reason).await
            }
            None => {
                let response = Response::from_parts(response.into_parts(), body);
                passed(&cache, line, reason, response.map(ResponseBody::passthrough))
            }
        }
    }
}

/// A call of a request that bypasses the cache. Its response may be stored.
pub(super) struct DetachedCall {
    pub(super) key: LookupKeys,
    pub(super) leader: Leader,
}

impl DetachedCall {
    /// Why its response must not be stored, if it was removed or superseded.
    pub(super) fn refusal(&self) -> Option<Refusal> {
        if self.leader.is_invalidated() {
            return Some(Refusal::Removed);
        }
        self.leader.superseded(None)
    }
}

pub(super) fn report_failure<B>(cache: &Inner<B>, request: RequestLine<'_>, reason: Bypass) {
    let outcome = status::Outcome::Bypass(reason);
    cache.observer().tell(&Event::Failed { request, key: None, outcome });
}

/// The response to a request that bypassed the cache. It is not stored.
pub(super) fn passed<B: Store, ResBody: Body>(
    cache: &Inner<B>,
    request: RequestLine<'_>,
    reason: Bypass,
    response: Response<ResponseBody<ResBody>>,
) -> Response<ResponseBody<ResBody>> {
    let status = CacheStatus::bypass(reason, cache.settings.clock.now());
    respond::report(cache, request, response, status)
}

/// Removes what a successful unsafe request has made stale: what is stored for its URL, for the
/// URLs that its response names, and in the groups that it names. The response of its `own` call
/// stays.
async fn invalidate<B: Store>(
    cache: &Inner<B>,
    url: &RequestUrl,
    response: &ResponseHead,
    own: Option<&CallId>,
) {
    let (recipe, rules) = (&cache.settings.recipe, &cache.settings.rules);
    // The observer has heard of a failure.
    let report = |removed: store::Result<u64>| {
        if let Ok(entries) = removed {
            cache.observer().tell(&Event::Invalidated { entries });
        }
    };
    report(cache.remove_url(&url.text, own).await);
    let named = rules.named_urls(&url.text, &response.headers);
    for named in named.into_iter().filter_map(|named| recipe.url_of(named)) {
        report(cache.remove_url(&named, own).await);
    }
    for group in rules.named_groups(&url.text, &response.headers) {
        report(cache.remove_carrying(&group, own).await);
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
    async fn end_by(&self, answer: &ResponseHead, call: DetachedCall, requested_at: Timestamp) {
        let now = self.cache.settings.clock.now();
        if self.cache.settings.rules.ends(&self.exchange(answer, requested_at, now)) {
            let DetachedCall { key, leader } = call;
            self.view().supersede_in_flight(&key, &leader.id()).await;
            self.end(&key, None, None, true, requested_at).await;
        }
    }

    /// Stores the response to a `POST` as one to a `GET`.
    async fn store_detached<ResBody: OriginBody>(
        self: Box<Self>,
        request: RequestLine<'_>,
        response: ResponseHead,
        body: ResBody,
        call: DetachedCall,
        requested_at: Timestamp,
        reason: Bypass,
    ) -> Response<ResponseBody<ResBody>> {
        // Looked up now: the POST itself has removed what was there.
        let Lookup { key, .. } = self.view().lookup(None).await;
        let body = ArrivedBody::Unread(body);
        let received = self.receive(&key, response, body, requested_at, call.leader);
        self.respond_detached(request, received, reason).await
    }

    /// The response to a request that bypassed the cache, which says what became of it.
    pub(super) async fn respond_detached<ResBody: OriginBody>(
        &self,
        request: RequestLine<'_>,
        received: Received<ResBody>,
        reason: Bypass,
    ) -> Response<ResponseBody<ResBody>> {
        let status = CacheStatus::bypass(reason, self.cache.settings.clock.now());
        match received {
            Received::Storing(parts, tee, mut body) => {
                let status = status.storing_at(tee.key, &tee.head, tee.progress.clone());
                body.read_ahead().await;
                let response = Response::from_parts(parts, ResponseBody::shared(body));
                respond::report(&self.cache, request, response, status)
            }
            Received::NotStored(parts, body, key, refusal) => {
                let status = status.refused_at(key, refusal);
                let response = Response::from_parts(parts, body);
                respond::report(&self.cache, request, response, status)
            }
        }
    }
}
