//! Fetches a response from the origin: asks, judges the answer, and stores it if that is allowed.

use http::{
    Method, Request, Response, StatusCode,
    header::{ETAG, VARY},
    request, response,
};
use http_body::Body;

use super::{
    ask::{Answer, ArrivedBody, Fallback, Question},
    body::ResponseBody,
    coalesce::Generation,
    context::{AnyBody, Origin, OriginBody, RequestContext, Upstream},
    lookup::{Found, Lookup, LookupKeys, Seen, Selected, read},
    outcome::{CallOutcome, Leader, Permit},
    peeked::Peeked,
    respond,
    store::StoragePlan,
    tee::{Limits, SharedBody, Tee, Unstarted},
};
use crate::{
    entry::ResponseHead,
    event::Event,
    key::Key,
    policy::{self, Conditions, Verdict},
    status::{self, CacheStatus, Miss, RefreshError, Refusal, Stale, Stored},
    store::Store,
    time::Timestamp,
};

/// The result of a call, for the request that made it.
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
    Storing(response::Parts, Tee, SharedBody<ResBody::Error>),
}

/// A response that has arrived and is yet to be handled.
struct PendingResponse<ResBody: Body> {
    response: ResponseHead,
    body: ArrivedBody<ResBody>,
    requested_at: Timestamp,
    /// Whether it ends other responses. The user's settings have a say in that, so it is asked
    /// once.
    ends: bool,
    /// The stored response that the call was made for.
    seen: Option<Seen>,
}

impl<ResBody: Body, E> Fetched<ResBody, E> {
    /// Reads what is ready of a small body that is being stored.
    pub(super) async fn read_ahead(&mut self) {
        if let Self::Received(Received::Storing(_, _, body)) = self {
            body.read_ahead().await;
        }
    }
}

impl<ResBody: Body> Received<ResBody> {
    /// The key that the response is being stored under.
    fn stored_under(&self) -> Option<Key> {
        match self {
            Self::NotStored(..) => None,
            Self::Storing(_, tee, _) => Some(tee.key),
        }
    }
}

impl<B: Store> RequestContext<B> {
    /// Reports the result of the call of a request. The request was looked up under `key`, and was
    /// a miss for this `reason`.
    pub(super) fn report_fetched<ResBody: Body, E>(
        &self,
        fetched: &Fetched<ResBody, E>,
        key: &Key,
        call_key: &Key,
        reason: Miss,
    ) {
        match fetched {
            Fetched::Failed(_) => {
                let outcome = status::Outcome::Miss(reason);
                let event = Event::Failed { request: self.line(), key: Some(key), outcome };
                self.cache.observer().tell(&event);
            }
            Fetched::Freshened(..) | Fetched::Received(Received::Storing(..)) => {
                self.cache.shared.backoff.forgive(call_key);
            }
            Fetched::StaleIfError(..) | Fetched::Received(Received::NotStored(..)) => {}
        }
    }

    /// The response to a request whose lookup was a miss for this `reason`.
    pub(super) fn respond<ResBody: OriginBody, E>(
        &self,
        fetched: Fetched<ResBody, E>,
        reason: Miss,
    ) -> Result<Response<ResponseBody<ResBody>>, E> {
        Ok(match fetched {
            Fetched::Failed(error) => return Err(error),
            Fetched::StaleIfError(selected, _why) => {
                respond::from_store(self, selected, Verdict::Stale(Stale::IfError))
            }
            Fetched::Freshened(selected, stored) => {
                respond::freshened(self, selected, reason, stored)
            }
            Fetched::Received(Received::NotStored(parts, body, key, refusal)) => {
                let now = self.cache.settings.clock.now();
                let status = CacheStatus::refused(reason, refusal, key, now);
                respond::report(&self.cache, self.line(), Response::from_parts(parts, body), status)
            }
            Fetched::Received(Received::Storing(parts, tee, body)) => {
                let status = CacheStatus::storing(reason, tee.key, &tee.head, tee.progress.clone());
                // A caller that receives no body reads none, so what is not stored by now would
                // not be stored.
                let is_stored = status.stored() == Stored::Yes;
                let not_modified =
                    is_stored.then(|| respond::not_modified(&self.parts, &tee.head)).flatten();
                let response = not_modified
                    .unwrap_or_else(|| Response::from_parts(parts, ResponseBody::shared(body)));
                respond::report(&self.cache, self.line(), response, status)
            }
        })
    }

    /// Calls the origin for the response that was looked up. Judges its answer, and stores it or
    /// freshens the stored response.
    ///
    /// A miss takes the short way here if nothing is stored for it, and its response needs no more
    /// than storing. Everything else is boxed, so that the future of such a miss stays small. For
    /// the same reason, this is no `async fn`.
    pub(super) fn call_origin<S: Origin<ReqBody>, ReqBody: AnyBody>(
        &mut self,
        upstream: Upstream<S, ReqBody>,
        lookup: Box<Lookup>,
        leader: Leader,
        fallback: Fallback,
    ) -> impl Future<Output = Fetched<S::Body, S::Error>> + Send {
        // The key is that of the whole response. So the origin is asked for the whole.
        policy::remove_range(&mut self.parts.headers);
        async move {
            if !matches!(lookup.found, Found::Absent) {
                return Box::pin(self.ask_about_stored(upstream, lookup, leader, fallback)).await;
            }
            let requested_at = self.cache.settings.clock.now();
            let forwarded = self.forwarded_to(&lookup, None);
            let request = Request::from_parts(forwarded, upstream.body);
            let (response, body) = match upstream.inner.send(request).await {
                Ok(response) => response.into_parts(),
                Err(error) => {
                    leader.fail();
                    return Fetched::Failed(error);
                }
            };
            let response = ResponseHead::new(response, self.cache.settings.clock.now());
            let body = ArrivedBody::Unread(body);
            let ends = self.ends(&response, requested_at);
            Fetched::Received(if ends || self.needs_more_than_storing(&lookup, &response) {
                let pending = PendingResponse { response, body, requested_at, ends, seen: None };
                Box::pin(self.handle_response(lookup, pending, leader)).await
            } else {
                self.receive(&lookup.key, response, body, requested_at, leader)
            })
        }
    }

    /// Calls the origin for a response that is stored, but may not be used as it is: asks whether
    /// it is still valid, and falls back on it if the origin fails.
    async fn ask_about_stored<S: Origin<ReqBody>, ReqBody: AnyBody>(
        &self,
        upstream: Upstream<S, ReqBody>,
        mut lookup: Box<Lookup>,
        leader: Leader,
        fallback: Fallback,
    ) -> Fetched<S::Body, S::Error> {
        let requested_at = self.cache.settings.clock.now();
        let stored = lookup.take_selected();
        let seen = stored.as_ref().map(Seen::of);
        let question = self.question(&lookup, stored, fallback);
        match self.answer_or_stale(upstream, question).await {
            Answer::NotModified(selected, fields) => {
                let freshen = self.freshen(&lookup.key, selected, &fields, requested_at, leader);
                // Boxed: it is by far the largest of these futures.
                let (selected, stored) = Box::pin(freshen).await;
                Fetched::Freshened(selected, stored)
            }
            Answer::StaleIfError(selected, why) => {
                leader.fail();
                Fetched::StaleIfError(selected, why)
            }
            Answer::Failed(error) => {
                leader.fail();
                Fetched::Failed(error)
            }
            Answer::Response(response, body) => {
                let ends = self.ends(&response, requested_at);
                let pending = PendingResponse { response, body, requested_at, ends, seen };
                Fetched::Received(self.handle_response(lookup, pending, leader).await)
            }
        }
    }

    /// What the origin is asked, with conditions if the stored response can be revalidated.
    fn question(
        &self,
        lookup: &Lookup,
        stored: Option<Selected>,
        fallback: Fallback,
    ) -> Box<Question> {
        let (rules, method) = (&self.cache.settings.rules, &self.parts.method);
        let conditions = stored
            .as_ref()
            .map(|selected| &*selected.hit.head)
            .filter(|head| rules.may_be_freshened(&self.options, method, head))
            .and_then(|head| policy::conditions(head, method, self.cache.settings.generates_etags));
        let forwarded = self.forwarded_to(lookup, conditions.as_ref());
        let observed = Some((lookup.key.entry, lookup.reason));
        // Boxed, since it is moved between several futures.
        Box::new(Question { forwarded, stored, conditions, observed, fallback })
    }

    /// The head of the request as the origin receives it. If nothing is revalidated (`conditions`
    /// is `None`) and the response may be stored, the caller's conditions are removed.
    fn forwarded_to(&self, lookup: &Lookup, conditions: Option<&Conditions>) -> request::Parts {
        let mut forwarded = self.forwarded(&lookup.key.call);
        if conditions.is_none() && self.may_store(&lookup.key.call) {
            // A 304 to the caller's own condition could not be stored. It is answered here.
            policy::remove_conditions(&mut forwarded.headers);
        }
        forwarded
    }

    /// Whether the response ends others.
    fn ends(&self, response: &ResponseHead, requested_at: Timestamp) -> bool {
        let exchange = self.exchange(response, requested_at, response.received_at());
        self.cache.settings.rules.ends(&exchange)
    }

    /// Whether [`handle_response`](Self::handle_response) may do more with a response that ends no
    /// others than [`receive`](Self::receive) it. It freshens a `GET` by a `HEAD`, reads the body
    /// for an `ETag`, and looks for the latest resident. The two methods have to agree.
    fn needs_more_than_storing(&self, lookup: &Lookup, response: &ResponseHead) -> bool {
        let LookupKeys { primary, resident, .. } = &lookup.key;
        // Asked first: a resident that leaves the calls in flight has made a new generation.
        let may_lie_beside = response.headers.contains_key(VARY)
            && (resident.is_some() || !self.cache.shared.calls.residents(primary).is_empty());
        may_lie_beside
            || lookup.get_generation.is_some()
            || self.generates_etag(response)
            || self.may_have_missed(&lookup.generation, lookup.reason)
    }

    /// Whether a lookup may have missed what is stored by now: something was stored since, or the
    /// store failed.
    fn may_have_missed(&self, generation: &Generation, reason: Miss) -> bool {
        !self.cache.shared.calls.is_current(generation) || matches!(reason, Miss::StoreFailed(_))
    }

    /// Handles a response: stores it if that is allowed, and removes what it ends.
    async fn handle_response<ResBody: OriginBody>(
        &self,
        lookup: Box<Lookup>,
        pending: PendingResponse<ResBody>,
        leader: Leader,
    ) -> Received<ResBody> {
        let Lookup { key, generation, get_generation, reason, .. } = *lookup;
        let PendingResponse { response, body, requested_at, ends, seen } = pending;
        if let Some(seen) = &seen
            && *seen.head.method() != self.parts.method
        {
            Box::pin(self.update_by_head(&key, seen, &response, requested_at, &leader)).await;
        } else if let Some(get_generation) = get_generation
            && !self.cache.shared.calls.is_current(&get_generation)
        {
            let update = self.update_later_get_by_head(&key, &response, requested_at, &leader);
            Box::pin(update).await;
        }
        let (calls, call) = (&self.cache.shared.calls, leader.id());
        let has_stored = !calls.is_current(&generation);
        let key = self.with_latest_resident(key, &response, &generation, reason).await;
        let body = if self.generates_etag(&response) { body.peek_ready().await } else { body };
        let received = self.receive(&key, response, body, requested_at, leader);
        if !ends {
            return received;
        }
        let stored_under = received.stored_under();
        // The writer of a response that is stored supersedes the older ones in its own group.
        let had_in_flight = match stored_under {
            None => Box::pin(self.view().supersede_in_flight(&key, &call)).await,
            Some(_) => Box::pin(self.view().supersede_related_in_flight(&key, &call)).await,
        };
        // Most responses that are refused were refused before, and left nothing to remove.
        let (ended, get_key) = (calls.ended(), self.view().primary_of_get(&key));
        let nothing_is_left = !has_stored && ended.contains(&key.call, &get_key);
        if seen.is_some() || had_in_flight || stored_under.is_some() || !nothing_is_left {
            let count = ended.count(&get_key);
            // What was in flight may have been stored before it could be kept out.
            let has_stored = had_in_flight || !calls.is_current(&generation);
            let end = self.end(&key, seen, stored_under, has_stored, requested_at);
            let none_left = Box::pin(end).await;
            if none_left && stored_under.is_none() {
                ended.insert(&key.call, count);
            }
        }
        received
    }

    /// Removes the stored responses that an answer ends: `seen`, which the call was made for, and
    /// those in `remove_ended`, which spares the entry `stored_under`. Returns whether none is
    /// left.
    pub(super) async fn end(
        &self,
        key: &LookupKeys,
        seen: Option<Seen>,
        stored_under: Option<Key>,
        has_stored: bool,
        requested_at: Timestamp,
    ) -> bool {
        let is_removed = match seen {
            Some(seen) => self.view().remove_superseded(&seen, stored_under, requested_at).await,
            None => true,
        };
        self.view().remove_ended(key, stored_under, has_stored, requested_at).await && is_removed
    }

    /// Replaces the resident in `key` by the current one, if the response varies and the lookup may
    /// be outdated. A response that varies must not take the place of a new resident. It must not
    /// continue the family of a resident that is lost. The lookup was a miss for this `reason`, and
    /// read the store in this `generation`.
    async fn with_latest_resident(
        &self,
        key: LookupKeys,
        response: &response::Parts,
        generation: &Generation,
        reason: Miss,
    ) -> LookupKeys {
        let now = self.cache.settings.clock.now();
        let is_known = key.resident.as_ref().is_some_and(|resident| {
            let continues_family = key.entry == key.primary;
            let may_be_lost =
                resident.head.others().is_some() || self.may_have_missed(generation, reason);
            resident.is_kept_for_itself(now) && !(continues_family && may_be_lost)
        });
        if is_known || !response.headers.contains_key(VARY) {
            return key;
        }
        let mut resident = self.cache.shared.calls.residents(&key.primary).into_iter().next();
        if resident.is_none()
            && (key.resident.is_some() || self.may_have_missed(generation, reason))
        {
            let read = read(&self.cache, key.primary, Some(&self.parts.headers));
            resident = Box::pin(read).await.key.resident;
        }
        LookupKeys { resident, ..key }
    }

    /// Stores the response as its body is read, if that is allowed.
    pub(super) fn receive<ResBody: OriginBody>(
        &self,
        key: &LookupKeys,
        mut response: ResponseHead,
        body: ArrivedBody<ResBody>,
        requested_at: Timestamp,
        leader: Leader,
    ) -> Received<ResBody> {
        let least = body.size_hint().lower();
        let mut decision = self.storable(key, &response, least, requested_at);
        if let Ok((StoragePlan { entry, .. }, _)) = &mut decision
            && self.generates_etag(&response)
            && let Some(chunks) = body.whole()
        {
            // Added after the decision: it is no validator of the origin's.
            let tag = policy::generated_etag(chunks);
            entry.head = entry.head.clone().with_field(ETAG, tag.clone());
            response.add_field(ETAG, tag);
        }
        self.receive_as(key, response, body, decision, leader)
    }

    /// Whether the response gets an `ETag` of the cache's own, if all of its body is there.
    fn generates_etag(&self, response: &response::Parts) -> bool {
        self.cache.settings.generates_etags
            && self.parts.method == Method::GET
            && response.status == StatusCode::OK
            && !response.headers.contains_key(ETAG)
    }

    /// Whether the response, whose body has at least so many bytes, may be stored, and as what.
    pub(super) fn storable(
        &self,
        key: &LookupKeys,
        response: &ResponseHead,
        least: u64,
        requested_at: Timestamp,
    ) -> Result<(StoragePlan, Limits), Refusal> {
        let now = self.cache.settings.clock.now();
        let candidate = self.candidate(key, response, requested_at, now);
        candidate.storable_with_body(least)
    }

    /// Stores the response as its body is read, as decided.
    pub(super) fn receive_as<ResBody: OriginBody>(
        &self,
        key: &LookupKeys,
        response: ResponseHead,
        body: ArrivedBody<ResBody>,
        decision: Result<(StoragePlan, Limits), Refusal>,
        mut leader: Leader,
    ) -> Received<ResBody> {
        let cache = &self.cache;
        let (calls, observer) = (&cache.shared.calls, cache.observer());
        let (StoragePlan { entry, related }, limits) = match decision {
            Ok(decision) => decision,
            Err(refusal) => {
                let status = response.status;
                let (request, key_of) = (self.line(), &key.entry);
                observer.tell(&Event::NotStored { request, code: status, key: key_of, refusal });
                if status == StatusCode::NOT_MODIFIED {
                    calls.not_modified(&key.call);
                } else if cache.settings.rules.may_keep(&self.options) {
                    let is_failure = cache.settings.rules.failure(&response).is_some();
                    calls.refused(&key.call, refusal, is_failure);
                }
                leader.settle(CallOutcome::Independent);
                let response = response.into_parts();
                return Received::NotStored(response, body.into_body(), key.entry, refusal);
            }
        };
        let body = match body {
            ArrivedBody::Unread(body) => Peeked::unread(body),
            ArrivedBody::Peeked(peeked) => peeked,
        };
        let (handle, budget) = (cache.handle.clone(), cache.overflow_budget());
        let unstarted = Unstarted::new(handle, budget, entry, related, body, limits);
        let tee = unstarted.tee.clone();
        let is_of_get =
            self.parts.method == Method::HEAD || tee.head.status() == StatusCode::PARTIAL_CONTENT;
        let of_get = is_of_get.then(|| self.view().primary(&Method::GET));
        let permit = Permit::settle(leader, tee.clone(), calls.clone(), key.call, of_get);
        Received::Storing(response.into_parts(), tee, unstarted.start(permit))
    }
}
