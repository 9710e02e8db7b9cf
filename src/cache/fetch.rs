//! Fetches a response from the origin: asks, judges the answer, and stores it if that is allowed.

use std::sync::Arc;

use http::{HeaderMap, Method, Request, Response, StatusCode, header::VARY, request, response};
use http_body::{Body, SizeHint};

use super::{
    body::ResponseBody,
    context::{AnyBody, Origin, OriginBody, RequestContext, Upstream},
    lookup::{Lookup, LookupKeys, Selected, read},
    outcome::{CallOutcome, Leader, Permit},
    peeked::Peeked,
    respond,
    store::StoragePlan,
    tee::{Entry, Limits, SharedBody, Splice, Tee},
};
use crate::{
    entry::{Head, ResponseHead},
    event::Event,
    key::Key,
    policy::{self, Conditions, Verdict},
    status::{self, CacheStatus, Miss, RefreshError, Refusal, Stale, Stored},
    store::{Store, Version},
    time::Timestamp,
};

/// What a call has come to.
pub(super) enum Fetched<ResBody: Body, E> {
    /// The inner service failed, and no stale response may be served.
    Failed(E),
    /// The origin failed. The stale response is served.
    StaleIfError(Selected, RefreshError),
    /// The stored response was freshened. It says whether the store has the new head.
    Freshened(Selected, Stored),
    Received(Received<ResBody>),
}

/// What became of a response.
pub(super) enum Received<ResBody: Body> {
    NotStored(response::Parts, ResponseBody<ResBody>, Key, Refusal),
    /// It is on its way into the store.
    Storing(response::Parts, Arc<Tee>, SharedBody<ResBody::Error>),
}

/// What the origin answers.
pub(super) enum Answer<ResBody, E> {
    /// The stored response is still valid. These are the fields of the 304.
    NotModified(Selected, HeaderMap),
    Response(Response<ResBody>),
    Failed(E),
}

/// The stored response that a call was made for: its key, version and head.
pub(super) type Seen = (Key, Version, Arc<Head>);

/// How a response is stored.
pub(super) struct StorageDecision {
    pub(super) plan: StoragePlan,
    pub(super) splice: Option<Splice>,
    pub(super) limits: Limits,
}

/// The body of a response. Its start may have been read to see whether it fails at once.
pub(super) enum Arrived<ResBody> {
    Unread(ResBody),
    Peeked(Peeked<ResBody>),
}

impl<ResBody: OriginBody> Arrived<ResBody> {
    /// The body as the caller receives it.
    pub(super) fn into_body(self) -> ResponseBody<ResBody> {
        match self {
            Self::Unread(body) => ResponseBody::passthrough(body),
            Self::Peeked(peeked) => ResponseBody::peeked(peeked),
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Self::Unread(body) => body.size_hint(),
            Self::Peeked(peeked) => peeked.size_hint(),
        }
    }
}

impl<B: Store> RequestContext<B> {
    /// Calls the origin, and answers with what it brings, or with the stale response if it fails.
    pub(super) async fn fetch<S: Origin<ReqBody>, ReqBody: AnyBody>(
        mut self,
        upstream: Upstream<S, ReqBody>,
        lookup: Lookup,
        leader: Leader,
    ) -> Result<Response<ResponseBody<S::Body>>, S::Error> {
        let (reason, key, call_key) = (lookup.reason, lookup.key.entry, lookup.key.call);
        self.report_call(&key, reason);
        let (cache, options) = (self.cache.clone(), self.options.clone());
        let method = self.parts.method.clone();
        let serves_stale = move |head: &Head, now| {
            cache.settings.rules.may_serve_if_error(&options, &method, head, now)
        };
        Ok(match self.call_origin(upstream, lookup, leader, serves_stale).await {
            Fetched::Failed(error) => {
                let outcome = status::Outcome::Miss(reason);
                self.cache.observer().tell(&Event::Failed { key: Some(&key), outcome });
                return Err(error);
            }
            Fetched::StaleIfError(selected, _why) => {
                respond::from_store(&self, selected, Verdict::Stale(Stale::IfError), reason)
            }
            Fetched::Freshened(selected, stored) => {
                self.cache.shared.backoff.forgive(&call_key);
                respond::freshened(&self, selected, reason, stored)
            }
            Fetched::Received(Received::NotStored(parts, body, key, refusal)) => {
                let now = self.cache.settings.clock.now();
                let status = CacheStatus::refused(reason, refusal, key, now);
                respond::report(&self.cache, Response::from_parts(parts, body), status)
            }
            Fetched::Received(Received::Storing(parts, tee, mut body)) => {
                self.cache.shared.backoff.forgive(&call_key);
                let status = CacheStatus::storing(reason, tee.key, &tee.head, tee.progress.clone());
                body.read_ahead().await;
                // A caller that receives no body reads none, so what is not stored by now would
                // not be stored.
                let is_stored = status.stored() == Stored::Yes;
                let not_modified =
                    is_stored.then(|| respond::not_modified(&self.parts, &tee.head)).flatten();
                let response = not_modified
                    .unwrap_or_else(|| Response::from_parts(parts, ResponseBody::shared(body)));
                respond::report(&self.cache, response, status)
            }
        })
    }

    /// Calls the origin, and revalidates the stored response if that is possible. `serves_stale`
    /// says whether the stored response may be served if the origin fails. The origin fails by an
    /// error, by a status that counts as a failure, or by a body that fails at once.
    pub(super) async fn call_origin<S: Origin<ReqBody>, ReqBody: AnyBody>(
        &mut self,
        upstream: Upstream<S, ReqBody>,
        lookup: Lookup,
        leader: Leader,
        serves_stale: impl FnOnce(&Head, Timestamp) -> bool,
    ) -> Fetched<S::Body, S::Error> {
        let requested_at = self.cache.settings.clock.now();
        let (stored, lookup) = lookup.take_selected();
        let Lookup { key, generation, .. } = lookup;
        // The key is that of the whole response. So the origin is asked for the whole.
        policy::remove_range(&mut self.parts.headers);
        let rules = &self.cache.settings.rules;
        let conditions = stored
            .as_ref()
            .map(|selected| &*selected.hit.head)
            .filter(|head| rules.may_be_freshened(&self.options, &self.parts.method, head))
            .and_then(|head| policy::conditions(head, &self.parts.method));
        let mut forwarded = self.forwarded(&key.call);
        if conditions.is_none() && self.may_store(&key.call) {
            // A 304 to the caller's own condition could not be stored. It is answered here.
            policy::remove_conditions(&mut forwarded.headers);
        }
        let seen =
            stored.as_ref().map(|Selected { key, hit }| (*key, hit.version, hit.head.clone()));
        let asked = (key.entry, lookup.reason);
        let (answer, stale) = self.ask(upstream, forwarded, conditions, stored, Some(asked)).await;
        let now = self.cache.settings.clock.now();
        let mut stale = stale.filter(|selected| serves_stale(&selected.hit.head, now));
        let response = match answer {
            Answer::NotModified(selected, fields) => {
                let (selected, stored) =
                    self.freshen(&key, selected, &fields, requested_at, leader).await;
                return Fetched::Freshened(selected, stored);
            }
            Answer::Failed(error) => {
                leader.fail();
                return match stale {
                    Some(selected) => Fetched::StaleIfError(selected, RefreshError::Call),
                    None => Fetched::Failed(error),
                };
            }
            Answer::Response(response) => response,
        };
        let (response, body) = response.into_parts();
        let response = ResponseHead::new(response, now);
        let body = match self.check_for_failure(&response, body, &mut stale).await {
            Ok(body) => body,
            Err((selected, why)) => {
                leader.fail();
                return Fetched::StaleIfError(selected, why);
            }
        };
        if let Some((of, seen, head)) = &seen
            && *head.method() != self.parts.method
        {
            self.update_by_head(of, *seen, head, &response, requested_at, &leader).await;
        }
        let call = leader.id();
        let calls = &self.cache.shared.calls;
        let has_stored = !calls.is_current(&generation);
        let was_refused = calls.is_hit_for_miss(&key.call) && !has_stored;
        let ends = self.cache.settings.rules.ends(&self.exchange(&response, requested_at, now));
        let key = self.with_latest_resident(key, &response, has_stored).await;
        let received = self.receive(&key, response, body, requested_at, leader);
        if ends {
            let stored_under = match &received {
                Received::NotStored(..) => None,
                Received::Storing(_, tee, _) => Some(tee.key),
            };
            // The writer of a response that is stored supersedes the older ones.
            let is_any = match stored_under {
                None => self.view().supersede_in_flight(&key, &call).await,
                Some(_) => self.view().supersede_others_in_flight(&key, &call).await,
            };
            // Most responses that are refused were refused before, and left nothing to remove.
            if seen.is_some() || is_any || stored_under.is_some() || !was_refused {
                // What was in flight may have been stored before it could be kept out.
                let has_stored = is_any || !calls.is_current(&generation);
                self.end(&key, seen, stored_under, has_stored, requested_at).await;
            }
        }
        Fetched::Received(received)
    }

    /// Removes what an answer ends: the response that the call was made for, whatever becomes of
    /// the answer, and the others. The answer itself may be stored under a key already.
    pub(super) async fn end(
        &self,
        key: &LookupKeys,
        seen: Option<Seen>,
        stored_under: Option<Key>,
        has_stored: bool,
        requested_at: Timestamp,
    ) {
        if let Some((of, seen, head)) = seen {
            self.view().remove_superseded(&of, seen, &head, requested_at).await;
        }
        self.view().remove_ended(key, stored_under, has_stored, requested_at).await;
    }

    /// Sends the request with `conditions` for the stored response. A 304 about another response is
    /// followed by a second call without conditions (RFC 9111 §4.3.4). The observer hears of that
    /// call if it is `observed`. Returns the stored response too, unless the answer has it.
    pub(super) async fn ask<S: Origin<ReqBody>, ReqBody: AnyBody>(
        &self,
        upstream: Upstream<S, ReqBody>,
        mut forwarded: request::Parts,
        conditions: Option<Conditions>,
        mut stored: Option<Selected>,
        observed: Option<(Key, Miss)>,
    ) -> (Answer<S::Body, S::Error>, Option<Selected>) {
        let Upstream { inner, body } = upstream;
        let second = conditions.map(|conditions| {
            let mut unconditional = forwarded.clone();
            policy::remove_conditions(&mut unconditional.headers);
            conditions.apply(&mut forwarded.headers);
            (unconditional, body.for_another_call())
        });
        let mut answer = inner.clone().send(Request::from_parts(forwarded, body)).await;
        if let Ok(response) = &answer
            && let Some((unconditional, body)) = second
            && response.status() == StatusCode::NOT_MODIFIED
        {
            let fields = response.headers();
            let valid = stored.take_if(|it| policy::is_updated_by(&it.hit.head, fields));
            if let Some(selected) = valid {
                return (Answer::NotModified(selected, fields.clone()), None);
            }
            // A 304 has no body. It goes before the second call begins.
            drop(answer);
            if let Some((key, reason)) = &observed {
                self.report_call(key, *reason);
            }
            answer = inner.send(Request::from_parts(unconditional, body)).await;
        }
        let answer = match answer {
            Ok(response) => Answer::Response(response),
            Err(error) => Answer::Failed(error),
        };
        (answer, stored)
    }

    /// Whether the response is a failure for which the `stale` response is served. Returns its body
    /// otherwise, whose start may have been read.
    pub(super) async fn check_for_failure<ResBody: OriginBody>(
        &self,
        response: &response::Parts,
        body: ResBody,
        stale: &mut Option<Selected>,
    ) -> Result<Arrived<ResBody>, (Selected, RefreshError)> {
        if stale.is_none() {
            return Ok(Arrived::Unread(body));
        }
        let rules = &self.cache.settings.rules;
        if let Some(failure) = rules.failure(response)
            && let Some(selected) = stale.take()
        {
            return Err((selected, failure.into()));
        }
        // The first event of a stream of events may take long.
        if policy::is_live(&response.headers) {
            return Ok(Arrived::Unread(body));
        }
        let mut peeked = Peeked::unread(body);
        let failure = match peeked.peek().await {
            Err(_) => Some(RefreshError::Body),
            Ok(()) => peeked
                .trailers()
                .and_then(|fields| rules.failure_behind(fields))
                .map(RefreshError::from),
        };
        match failure.and_then(|why| Some((stale.take()?, why))) {
            Some(failed) => Err(failed),
            None => Ok(Arrived::Peeked(peeked)),
        }
    }

    /// The keys with the resident that has come under the primary key since the lookup, which found
    /// none that is of use: a response that varies must not take its place. `has_stored` is whether
    /// anything was stored since.
    async fn with_latest_resident(
        &self,
        key: LookupKeys,
        response: &response::Parts,
        has_stored: bool,
    ) -> LookupKeys {
        let now = self.cache.settings.clock.now();
        if key.resident.as_ref().is_some_and(|it| it.is_of_use(now))
            || !response.headers.contains_key(VARY)
        {
            return key;
        }
        let mut resident = self.cache.shared.calls.resident(&key.primary);
        if resident.is_none() && (has_stored || key.resident.is_some()) {
            resident = read(&self.cache, key.primary, Some(&self.parts.headers)).await.key.resident;
        }
        LookupKeys { resident, ..key }
    }

    /// Stores the response as its body is read, if that is allowed.
    pub(super) fn receive<ResBody: OriginBody>(
        &self,
        key: &LookupKeys,
        response: ResponseHead,
        body: Arrived<ResBody>,
        requested_at: Timestamp,
        leader: Leader,
    ) -> Received<ResBody> {
        let least = body.size_hint().lower();
        let decision = self.storable(key, &response, least, requested_at);
        self.receive_as(key, response, body, decision, leader)
    }

    /// Whether the response, whose body has at least so many bytes, may be stored, and as what.
    pub(super) fn storable(
        &self,
        key: &LookupKeys,
        response: &ResponseHead,
        least: u64,
        requested_at: Timestamp,
    ) -> Result<StorageDecision, Refusal> {
        let now = self.cache.settings.clock.now();
        let candidate = self.candidate(key, response, requested_at, now);
        let (plan, limits) = candidate.storable_with_body(least)?;
        Ok(StorageDecision { plan, splice: None, limits })
    }

    /// Stores the response as its body is read, as decided.
    pub(super) fn receive_as<ResBody: OriginBody>(
        &self,
        key: &LookupKeys,
        response: ResponseHead,
        body: Arrived<ResBody>,
        decision: Result<StorageDecision, Refusal>,
        mut leader: Leader,
    ) -> Received<ResBody> {
        let cache = &self.cache;
        let (calls, observer) = (&cache.shared.calls, cache.observer());
        let StorageDecision { plan, splice, limits } = match decision {
            Ok(decision) => decision,
            Err(refusal) => {
                observer.tell(&Event::NotStored { key: &key.entry, refusal });
                let status = response.status;
                if status == StatusCode::NOT_MODIFIED {
                    calls.not_modified(&key.call);
                } else if cache.settings.rules.may_keep(&self.options) {
                    calls.refused(&key.call, refusal, status);
                }
                leader.settle(CallOutcome::Independent);
                let response = response.into_parts();
                return Received::NotStored(response, body.into_body(), key.entry, refusal);
            }
        };
        let body = match body {
            Arrived::Unread(body) => Peeked::unread(body),
            Arrived::Peeked(peeked) => peeked,
        };
        let StoragePlan { key: stored_under, call_key, head, names, resident_update, annotations } =
            plan;
        let others = leader.info(|call| call.others.clone());
        let entry = Entry { key: stored_under, head, resident_update, others, splice, annotations };
        let (handle, budget) = (cache.handle.clone(), cache.overflow_budget());
        let unstarted = Tee::prepare(handle, budget, entry, call_key, names, body, limits);
        let tee = unstarted.tee.clone();
        let is_of_get =
            self.parts.method == Method::HEAD || tee.head.status() == StatusCode::PARTIAL_CONTENT;
        let of_get = is_of_get.then(|| self.view().primary(&Method::GET));
        let (calls, observer) = (calls.clone(), observer.clone());
        let permit = Permit::settle(leader, &tee, calls, observer, key.call, of_get);
        Received::Storing(response.into_parts(), tee, unstarted.start(permit))
    }

    fn report_call(&self, key: &Key, reason: Miss) {
        self.cache.observer().tell(&Event::Called { key, reason, is_refresh: false });
    }
}
