//! Requests for a part that no stored response answers: the origin is asked for the part.
//!
//! If the whole response is stored but stale, the request for the part has conditions for it. After
//! a 304, and if the origin fails, the part is taken from the stored whole. A part that arrives is
//! stored under a key of its own, combined with the stored part (RFC 9111 §3.4): both become one
//! part, or the whole if they are all of it.
//!
//! One part of each response is stored. A part that touches it makes it grow. A part that lies
//! elsewhere, or belongs to another response, replaces it. The stored part is copied into the new
//! entry while the new bytes arrive, and is never held in memory. [`policy::combine`] refuses a
//! part that is too small for the bytes that would be copied. Of two parts that arrive at the same
//! time, the last one wins. The next request fetches what is missing then.

use http::{Method, Response, StatusCode, request, response};

use super::{
    ask::{Answer, ArrivedBody, Fallback, Question},
    body::ResponseBody,
    bypass::{DetachedCall, passed, report_failure},
    context::{AnyBody, Origin, OriginBody, RequestContext, RequestRef, Upstream},
    fetch::Received,
    lookup::{Found, Lookup, LookupKeys, Seen, Selected, read},
    outcome::Leader,
    respond,
    store::{BroughtBy, StoragePlan, varies_anew},
    tee::{Limits, Splice},
};
use crate::{
    entry::{Head, ResponseHead},
    policy::{self, Combination, Part, ResponseCheck, Union, Verdict},
    runtime::has_timers,
    status::{Bypass, Refusal, Stale},
    store::{Hit, Store},
    time::Timestamp,
};

const REASON: Bypass = Bypass::Range;

/// What was found for a part that nothing stored answers.
pub(super) struct MissingPart {
    whole: Lookup,
    /// `None` if parts are not stored.
    part: Option<Lookup>,
}

impl<B: Store> RequestRef<'_, B> {
    /// The stored part that answers the request. `whole` is what was found of the whole response,
    /// which does not.
    pub(super) async fn find_part(self, whole: Lookup) -> Result<Lookup, MissingPart> {
        if !self.cache.settings.rules.keeps_parts() {
            return Err(MissingPart { whole, part: None });
        }
        let part = self.lookup_part().await;
        if has_part(&part, self.parts) && !is_outdated(&part.found, &whole.found) {
            Ok(part)
        } else {
            Err(MissingPart { whole, part: Some(part) })
        }
    }
}

/// Whether what was found holds the part that the request asks for, or shows that there is none.
///
/// A stored part that has to be refreshed does not count: the origin gives it anew. Nor does a
/// stale whole response that cannot be refreshed in the background.
pub(super) fn has_part(lookup: &Lookup, request: &request::Parts) -> bool {
    let Found::Usable(Selected { hit, .. }, verdict) = &lookup.found else { return false };
    let is_stale = *verdict == Verdict::Stale(Stale::WhileRevalidate);
    let is_part = hit.head.status() == StatusCode::PARTIAL_CONTENT;
    // Several parts, or what is not understood, is answered with the whole (RFC 9110 §14.2).
    let is_answer = !is_part || policy::part(&request.headers, &hit.head) != Part::Other;
    is_answer && !(is_stale && (is_part || !has_timers()))
}

/// Whether the stored part belongs to another response than the stale whole, which arrived later.
fn is_outdated(part: &Found, whole: &Found) -> bool {
    let (Found::Usable(part, _), Found::Stale(whole)) = (part, whole) else { return false };
    policy::is_outdated(&part.hit.head, &whole.hit.head)
}

/// The calls for a part, and for the whole that it may complete.
struct PartCalls {
    /// `None` if the part may not be stored.
    part: Option<DetachedCall>,
    whole: DetachedCall,
}

impl<B: Store> RequestContext<B> {
    /// Asks the origin for a part. Answers with it, or with the part of the stored response if that
    /// is still valid, or if the origin fails.
    pub(super) async fn fetch_part<S: Origin<ReqBody>, ReqBody: AnyBody>(
        self: Box<Self>,
        upstream: Upstream<S, ReqBody>,
        MissingPart { mut whole, part }: MissingPart,
    ) -> Result<Response<ResponseBody<S::Body>>, S::Error> {
        if self.options.only_if_cached {
            let why = respond::why_not_stored(whole.reason);
            return Ok(respond::gateway_timeout(&self.cache, self.line(), None, why));
        }
        let requested_at = self.cache.settings.clock.now();
        let stored = whole.take_selected();
        let (reason, whole_key) = (whole.reason, whole.key.clone());
        let seen = stored.as_ref().map(Seen::of);
        // The calls begin before the request is sent: its response must not bring back what is
        // removed meanwhile, nor replace what is requested later.
        let calls = self.part_calls(part, whole);
        let question = self.question_for_part(stored);
        Ok(match self.answer_or_stale(upstream, question).await {
            Answer::NotModified(selected, fields) => {
                let leader = calls.whole.leader;
                let (selected, stored) =
                    self.freshen(&whole_key, selected, &fields, requested_at, leader).await;
                respond::freshened(&self, selected, reason, stored)
            }
            Answer::StaleIfError(selected, _why) => {
                respond::from_store(&self, selected, Verdict::Stale(Stale::IfError))
            }
            Answer::Failed(error) => {
                report_failure(&self.cache, self.line(), REASON);
                return Err(error);
            }
            Answer::Response(response, body) => {
                self.end_by_part(&whole_key, seen, &calls, &response, requested_at).await;
                self.respond_with_part(calls, response, body, requested_at).await
            }
        })
    }

    fn part_calls(&self, part: Option<Lookup>, whole: Lookup) -> PartCalls {
        let rules = &self.cache.settings.rules;
        let part = part.filter(|_| rules.may_store_detached(&self.options, REASON, &Method::GET));
        let whole = self.detached_call(whole, part.as_ref().map(|part| part.key.entry));
        let part = part.map(|part| self.detached_call(part, None));
        PartCalls { part, whole }
    }

    /// What the origin is asked, with conditions if the whole response is stored and can be
    /// revalidated.
    fn question_for_part(&self, stored: Option<Selected>) -> Box<Question> {
        let rules = &self.cache.settings.rules;
        let may_ask = rules.may_keep(&self.options) && !policy::has_conditions(&self.parts.headers);
        let conditions = stored
            .as_ref()
            .map(|selected| &*selected.hit.head)
            .filter(|head| {
                may_ask && rules.may_be_freshened(&self.options, &self.parts.method, head)
            })
            .and_then(|head| {
                let has_generated = self.cache.settings.generates_etags;
                policy::conditions(head, &self.parts.method, has_generated)
            });
        let mut forwarded = self.parts.clone();
        self.cache.settings.remove_own_conditions(&mut forwarded.headers);
        Box::new(Question {
            forwarded,
            stored,
            conditions,
            observed: None,
            fallback: Fallback::IfAllowed,
        })
    }

    /// Removes what the answer to a request for a part ends. `seen` is the stored whole response,
    /// which another representation may have replaced.
    async fn end_by_part(
        &self,
        whole: &LookupKeys,
        seen: Option<Seen>,
        calls: &PartCalls,
        answer: &ResponseHead,
        requested_at: Timestamp,
    ) {
        let is_new = seen.as_ref().is_some_and(|seen| self.is_another(&seen.head, answer));
        let exchange = self.exchange(answer, requested_at, answer.received_at());
        if is_new || self.cache.settings.rules.ends(&exchange) {
            self.view().supersede_in_flight(whole, &calls.whole.leader.id()).await;
            self.end(whole, seen, None, true, requested_at).await;
        }
    }

    /// Whether the answer shows that the stored whole response is another representation by now.
    /// The answer is a whole response, which is not stored here, or a part of another one.
    fn is_another(&self, stored: &Head, answer: &response::Parts) -> bool {
        let rules = &self.cache.settings.rules;
        let may_decide =
            rules.may_keep(&self.options) && !rules.is_authenticated(&self.parts.headers);
        let is_new_whole = answer.status == StatusCode::OK
            && !policy::is_same_tag(stored.headers(), &answer.headers);
        may_decide && (is_new_whole || policy::is_of_another(answer, stored))
    }

    /// The answer to a request for a part, which is stored if it is one.
    async fn respond_with_part<ResBody: OriginBody>(
        &self,
        calls: PartCalls,
        response: ResponseHead,
        body: ArrivedBody<ResBody>,
        requested_at: Timestamp,
    ) -> Response<ResponseBody<ResBody>> {
        let rules = &self.cache.settings.rules;
        let may_store = rules.stores_detached(&self.url.text, &Method::GET, &response);
        let (Some(part), true) = (calls.part, may_store) else {
            let response = Response::from_parts(response.into_parts(), body.into_body());
            return passed(&self.cache, self.line(), REASON, response);
        };
        let received = match part.refusal() {
            Some(refusal) => self.receive_as(&part.key, response, body, Err(refusal), part.leader),
            None => {
                let (key, whole) = (&part.key, calls.whole.leader);
                self.receive_part(key, response, body, requested_at, part.leader, whole).await
            }
        };
        self.respond_detached(self.line(), received, REASON).await
    }
}

/// # Combining a part with the stored one
impl<B: Store> RequestContext<B> {
    /// Stores a part as its body is read, combined with the stored part of the same response. If
    /// both are the whole response together, it is stored by the call of the leader `whole`, which
    /// has the key of the whole. Otherwise, it is stored by the call of the leader `part`.
    pub(super) async fn receive_part<ResBody: OriginBody>(
        &self,
        key: &LookupKeys,
        response: ResponseHead,
        body: ArrivedBody<ResBody>,
        requested_at: Timestamp,
        part: Leader,
        whole: Leader,
    ) -> Received<ResBody> {
        // Read now: the part may have grown since the call began.
        let read = read(&self.cache, key.primary, Some(&self.parts.headers)).await;
        let (key, stored) = (&read.key, read.found.ok().flatten());
        let (union, stored) = match self.combination(stored, &response) {
            Ok(union) => union,
            Err(refusal) => return self.receive_as(key, response, body, Err(refusal), part),
        };
        let Some(union) = union else {
            return self.receive(key, response, body, requested_at, part);
        };
        let leader = if union.is_whole() { whole } else { part };
        let decision =
            self.storable_union(key, stored.as_ref(), &response, union, requested_at).await;
        self.receive_as(key, response, body, decision, leader)
    }

    /// How a new part is combined with the stored one, or is stored by itself.
    fn combination(
        &self,
        stored: Option<Hit>,
        new: &response::Parts,
    ) -> Result<(Option<Union>, Option<Hit>), Refusal> {
        let settings = &self.cache.settings;
        let stored =
            stored.filter(|hit| settings.rules.may_answer(&self.parts.method, &hit.head).is_ok());
        let max = settings.max_body;
        match stored.map(|hit| (policy::combine(&hit.head, new, max), hit)) {
            Some((Combination::TooSmall, _)) => Err(Refusal::PartTooSmall),
            Some((Combination::Union(union), hit)) if !varies_anew(settings, &hit.head, new) => {
                Ok((Some(union), Some(hit)))
            }
            _ => Ok((policy::all(new, max), None)),
        }
    }

    /// Whether the union of the stored part and the new one may be stored, and as what.
    async fn storable_union(
        &self,
        key: &LookupKeys,
        stored: Option<&Hit>,
        new: &response::Parts,
        union: Union,
        requested_at: Timestamp,
    ) -> Result<(StoragePlan, Limits), Refusal> {
        let old = stored.map(|hit| &*hit.head);
        let combined = policy::combined_head(old, new, &union);
        let own = key.entry;
        let of_whole;
        let key = if union.is_whole() {
            let Lookup { key, .. } = self.view().lookup(None).await;
            of_whole = key;
            &of_whole
        } else {
            key
        };
        let now = self.cache.settings.clock.now();
        let combined = ResponseHead::new(combined, now);
        let mut candidate = self.candidate(key, &combined, requested_at, now);
        candidate.by = BroughtBy::Parts(old);
        let mut plan = candidate.storable()?;
        if !union.is_whole() && plan.entry.key != own {
            return Err(Refusal::Vary);
        }
        plan.related.splice = stored.map(|hit| {
            let leads_to_others = hit.head.others().is_some();
            Box::new(Splice { key: own, version: hit.version, union, leads_to_others })
        });
        let (max, check) = (self.cache.settings.max_body, ResponseCheck::default());
        let limits = Limits { expected: Some(union.new), max, check };
        Ok((plan, limits))
    }
}
