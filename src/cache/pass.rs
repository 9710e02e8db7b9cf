//! Requests that go past the cache: what they make stale is removed, and what a `POST` says that a `GET` would bring is
//! kept.

use bytes::Bytes;
use http::{Method, Request, Response, Uri, request, response};
use http_body::Body;
use tower_service::Service;

use super::{
    CacheLayer, RequestBody, ResponseBody, answer,
    errand::Errand,
    fetch::{Arrived, Kept, call},
    flight::{Boarding, Bound, CallId, Join, Lead, Removed},
    lookup::{Lookup, lookup, unread},
    place::Missed,
};
use crate::{
    event::Event,
    key::{Key, RequestUrl},
    options::CacheOptions,
    status::{Bypass, CacheStatus, Outcome},
    store::{self, Store},
    time::Timestamp,
};

/// The place of a response that may be kept aside.
pub(super) struct Aside {
    pub(super) missed: Missed,
    pub(super) lead: Lead,
    /// The place of the whole, where the response is a part, which may make a whole of what is stored.
    pub(super) whole: Option<Lead>,
}

impl Aside {
    /// The lead that has the place of the whole.
    pub(super) fn into_whole(self) -> Lead {
        self.whole.unwrap_or(self.lead)
    }

    /// Identifies its call among those for the whole.
    pub(super) fn call(&self) -> CallId {
        self.whole.as_ref().unwrap_or(&self.lead).id()
    }

    /// Whether what comes may be stored there: it was neither removed nor superseded.
    pub(super) fn is_current(&self) -> bool {
        !self.lead.is_doomed() && !self.lead.is_superseded()
    }
}

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
    let settings = cache.settings.clone();
    let method = parts.method.clone();
    let is_at_work = reason != Bypass::Disabled && !settings.rules.read_only;
    let may_invalidate =
        is_at_work && settings.invalidate && settings.rules.may_invalidate(&method);
    let may_keep = is_at_work && settings.rules.may_keep_aside(&options, reason, &method);
    let url = (may_invalidate || may_keep).then(|| settings.recipe.url(&parts).ok()).flatten();
    let Some(url) = url else {
        let response = call(inner, Request::from_parts(parts, body)).await;
        let response = response.inspect_err(|_| failed(&cache, reason))?;
        return Ok(passed(&cache, reason, response));
    };
    let requested_at = settings.clock.now();
    let mut aside = None;
    if may_keep {
        let body = RequestBody::ended();
        let parts = parts.clone();
        let url = url.clone();
        let mut errand = Errand::new(inner.clone(), cache.clone(), parts, url, body, options);
        errand.parts.method = Method::GET;
        // Before the call: what is removed while it is under way is not brought back by it, nor does it take the place of
        // what is asked for later. Few answers to a `POST` speak for a `GET`, so that nothing is read for all of them.
        let Errand { cache, options, parts, url, body, .. } = &mut errand;
        let whole = unread(cache, options, parts, url, body);
        aside = errand.board_aside(None, whole).map(|seat| (errand, seat));
    }

    let response = call(inner, Request::from_parts(parts, body)).await;
    let response = response.inspect_err(|_| failed(&cache, reason))?;
    let rules = &settings.rules;
    let kept = aside.filter(|(_, aside)| {
        aside.is_current() && rules.keeps_aside(&url.text, &method, &response, requested_at)
    });
    if may_invalidate && rules.invalidates(&method, response.status()) {
        let named = rules.named_urls(&url.text, response.headers());
        let groups = rules.named_groups(&url.text, response.headers());
        // What is kept of this very response is no older than it.
        let own = kept.as_ref().map(|(_, seat)| seat.lead.info(|bound| bound.removed.clone()));
        invalidate(&cache, &url, &named, &groups, own.as_ref()).await;
    }
    match kept {
        Some((errand, seat)) => Ok(errand.keep_aside(response, seat, requested_at, reason).await),
        None => Ok(passed(&cache, reason, response)),
    }
}

pub(super) fn failed<B: Store>(cache: &CacheLayer<B>, reason: Bypass) {
    let outcome = Outcome::Bypass(reason);
    cache.observer().tell(&Event::Failed { key: None, outcome });
}

pub(super) fn passed<B: Store, ResBody: Body>(
    cache: &CacheLayer<B>,
    reason: Bypass,
    response: Response<ResBody>,
) -> Response<ResponseBody<ResBody>> {
    let status = CacheStatus::bypass(reason, cache.settings.clock.now());
    answer::report(cache, response.map(ResponseBody::passthrough), status)
}

/// Removes what a successful unsafe request has made stale: what is stored for its URL, for those that its response has
/// `named`, and what is in the `groups` that it names; nothing of what its `own` call brings.
async fn invalidate<B: Store>(
    cache: &CacheLayer<B>,
    url: &RequestUrl,
    named: &[Uri],
    groups: &[Box<str>],
    own: Option<&Removed>,
) {
    let recipe = &cache.settings.recipe;
    // What failed has been told.
    let tell = |removed: store::Result<u64>| {
        if let Ok(entries) = removed {
            cache.observer().tell(&Event::Invalidated { entries });
        }
    };
    tell(cache.remove_url(recipe, &url.text, own).await);
    for named in named.iter().filter_map(|named| recipe.url_of(named.clone())) {
        tell(cache.remove_url(recipe, &named, own).await);
    }
    for group in groups {
        tell(cache.remove_group(group, &url.text, own).await);
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
    /// Takes a place for the response, under the key that it would be kept under: that of the `whole`, and of a `part`.
    pub(super) fn board_aside(&self, part: Option<Lookup>, whole: Lookup) -> Option<Aside> {
        let part_key = part.as_ref().map(|part| part.missed.key);
        let (missed, lead) = self.board_alone(whole, part_key)?;
        let Some(part) = part else { return Some(Aside { missed, lead, whole: None }) };
        let whole = Some(lead);
        self.board_alone(part, None).map(|(missed, lead)| Aside { missed, lead, whole })
    }

    fn board_alone(&self, looked: Lookup, part: Option<Key>) -> Option<(Missed, Lead)> {
        let (bound, key) = (Bound { part, ..self.bound(&looked) }, looked.missed.key);
        let flights = &self.cache.shared.flights;
        match flights.board(&key, bound, looked.arrivals, Join::Aside, 0) {
            Boarding::Lead(lead) => Some((looked.missed, Lead::aside(lead))),
            _ => None,
        }
    }

    /// Keeps what a `POST` says that a `GET` would bring.
    async fn keep_aside(
        mut self,
        response: Response<ResBody>,
        seat: Aside,
        requested_at: Timestamp,
        reason: Bypass,
    ) -> Response<ResponseBody<ResBody>> {
        // By now: the `POST` itself has removed what was there.
        let Self { cache, options, parts, url, body, .. } = &mut self;
        let Lookup { missed, .. } = lookup(cache, options, parts, url, body).await;
        let (parts, body): (response::Parts, _) = response.into_parts();
        let kept = self.keep(&missed, parts, Arrived::Unread(body), requested_at, seat.lead);
        self.answer_aside(kept, reason).await
    }

    /// The response to a request that went past the cache, with what has become of it there.
    pub(super) async fn answer_aside(
        self,
        kept: Kept<ResBody>,
        reason: Bypass,
    ) -> Response<ResponseBody<ResBody>> {
        let status = CacheStatus::bypass(reason, self.cache.settings.clock.now());
        match kept {
            Kept::Underway(parts, carried, mut body) => {
                let status =
                    status.storing_at(carried.key, &carried.head, carried.progress.clone());
                body.settle().await;
                let response = Response::from_parts(parts, ResponseBody::shared(body));
                answer::report(&self.cache, response, status)
            }
            Kept::No(parts, body, key, refusal) => {
                let status = status.refused_at(key, refusal);
                answer::report(&self.cache, Response::from_parts(parts, body), status)
            }
        }
    }
}
