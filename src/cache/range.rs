//! A request for a part that nothing stored answers as it is: the origin gives the part.
//!
//! A stale whole response is not fetched again for a part of it. It is revalidated with the request
//! for the part, and gives the part after a 304, or if the origin fails. A part that arrives is
//! stored under a key beside that of the whole ([`partial`](super::partial)).

use http::{Method, Response, StatusCode, request, response};

use super::{
    body::ResponseBody,
    bypass::{DetachedCall, passed, report_failure},
    context::{AnyBody, Origin, RequestContext, Upstream},
    fetch::Answer,
    lookup::{Found, Lookup, Selected},
    partial::ReceivedPart,
    respond,
};
use crate::{
    entry::{Head, ResponseHead},
    policy::{self, Part, Verdict},
    runtime::has_timers,
    status::{Bypass, Stale},
    store::Store,
    time::Timestamp,
};

const REASON: Bypass = Bypass::Range;

/// Whether what was found holds the part that the request asks for, or shows that there is none. A
/// part that has to be refreshed is the origin's to give, and so is a part of a whole that cannot
/// be refreshed in the background.
pub(super) fn has_part(lookup: &Lookup, request: &request::Parts) -> bool {
    let Found::Usable(Selected { hit, .. }, verdict) = &lookup.found else { return false };
    let is_stale = *verdict == Verdict::Stale(Stale::WhileRevalidate);
    let is_part = hit.head.status() == StatusCode::PARTIAL_CONTENT;
    // Several parts, or what is not understood, is answered with the whole (RFC 9110 §14.2).
    let is_answer = !is_part || policy::part(&request.headers, &hit.head) != Part::Other;
    is_answer && !(is_stale && (is_part || !has_timers()))
}

/// Whether the stored part belongs to another response than the stale whole, which arrived later.
pub(super) fn is_outdated(part: &Found, whole: &Found) -> bool {
    let (Found::Usable(part, _), Found::Stale(whole)) = (part, whole) else { return false };
    policy::is_outdated(&part.hit.head, &whole.hit.head)
}

/// The calls for a part, and for the whole that it may complete.
struct PartCalls {
    part: Option<DetachedCall>,
    whole: DetachedCall,
}

impl<B: Store> RequestContext<B> {
    /// Sends a request for a part to the origin. `whole` and `part` are what was found of both.
    pub(super) async fn fetch_part<S: Origin<ReqBody>, ReqBody: AnyBody>(
        self,
        upstream: Upstream<S, ReqBody>,
        whole: Lookup,
        part: Option<Lookup>,
    ) -> Result<Response<ResponseBody<S::Body>>, S::Error> {
        if self.options.only_if_cached {
            let why = "The cache does not answer this request";
            return Ok(respond::gateway_timeout(&self.cache, None, why));
        }
        let cache = self.cache.clone();
        let (settings, rules) = (&cache.settings, &cache.settings.rules);
        let requested_at = settings.clock.now();
        let (stored, whole) = whole.take_selected();
        let (reason, whole_key) = (whole.reason, whole.key.clone());
        // The calls begin before the request is sent: its response must not bring back what is
        // removed meanwhile, nor replace what is requested later.
        let part = part.filter(|_| rules.may_store_detached(&self.options, REASON, &Method::GET));
        let calls = self.part_calls(part, whole);
        let own_call = calls.whole.leader.id();

        let conditions = stored
            .as_ref()
            .map(|selected| &*selected.hit.head)
            .filter(|head| {
                rules.may_keep(&self.options)
                    && !policy::has_conditions(&self.parts.headers)
                    && rules.may_be_freshened(&self.options, &self.parts.method, head)
            })
            .and_then(|head| policy::conditions(head, &self.parts.method));
        let seen =
            stored.as_ref().map(|Selected { key, hit }| (*key, hit.version, hit.head.clone()));
        let stored_head = seen.as_ref().map(|(_, _, head)| head.clone());
        let (answer, stale) =
            self.ask(upstream, self.parts.clone(), conditions, stored, None).await;
        let now = settings.clock.now();
        let mut stale = stale.filter(|selected| {
            rules.may_serve_if_error(&self.options, &self.parts.method, &selected.hit.head, now)
        });
        let response = match answer {
            Answer::NotModified(selected, fields) => {
                let leader = calls.whole.leader;
                let (selected, stored) =
                    self.freshen(&whole_key, selected, &fields, requested_at, leader).await;
                return Ok(respond::freshened(&self, selected, reason, stored));
            }
            Answer::Failed(error) => {
                if let Some(selected) = stale {
                    return Ok(self.stale_part(selected, now));
                }
                report_failure(&cache, REASON);
                return Err(error);
            }
            Answer::Response(response) => response,
        };
        let (response, body) = response.into_parts();
        let response = ResponseHead::new(response, now);
        let body = match self.check_for_failure(&response, body, &mut stale).await {
            Ok(body) => body,
            Err((selected, _)) => return Ok(self.stale_part(selected, now)),
        };

        let is_stored = rules.stores_detached(&self.url.text, &Method::GET, &response);
        let is_new = stored_head.is_some_and(|head| self.is_another(&head, &response));
        let ends = rules.ends(&self.exchange(&response, requested_at, now));
        if ends || is_new {
            self.view().supersede_in_flight(&whole_key, &own_call).await;
            self.end(&whole_key, seen, None, true, requested_at).await;
        }
        if is_stored
            && let PartCalls { part: Some(part), whole } = calls
            && part.is_current()
        {
            let DetachedCall { key, leader } = part;
            let whole = whole.leader;
            let received =
                self.receive_part(&key, response, body, requested_at, leader, whole).await;
            return Ok(match received {
                ReceivedPart::TooSmall(response) => passed(&cache, REASON, response),
                ReceivedPart::Received(received) => self.respond_detached(received, REASON).await,
            });
        }
        Ok(passed(&cache, REASON, Response::from_parts(response.into_parts(), body.into_body())))
    }

    /// Whether the answer shows that the stored whole response is another representation by now: a
    /// whole response, which is not stored here, or a part of another one.
    fn is_another(&self, stored: &Head, answer: &response::Parts) -> bool {
        let rules = &self.cache.settings.rules;
        let may_decide =
            rules.may_keep(&self.options) && !rules.is_authenticated(&self.parts.headers);
        let is_new_whole = answer.status == StatusCode::OK
            && !policy::is_same_tag(stored.headers(), &answer.headers);
        may_decide && (is_new_whole || policy::is_of_another(answer, stored))
    }

    fn part_calls(&self, part: Option<Lookup>, whole: Lookup) -> PartCalls {
        let whole = self.detached_call(whole, part.as_ref().map(|part| part.key.entry));
        let part = part.map(|part| self.detached_call(part, None));
        PartCalls { part, whole }
    }

    /// The part of the stale response, instead of the origin's failure.
    fn stale_part<ResBody: AnyBody>(
        &self,
        stale: Selected,
        now: Timestamp,
    ) -> Response<ResponseBody<ResBody>> {
        let verdict = Verdict::Stale(Stale::IfError);
        respond::hit(&self.cache, &self.parts, stale, verdict, now)
    }
}
