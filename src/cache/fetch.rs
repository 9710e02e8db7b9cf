//! Steps 6 to 8: asks the inner service, judges what it says, and keeps it where the policy lets it.

use std::{future::poll_fn, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode, response};
use http_body::{Body, SizeHint};
use tower_service::Service;

use super::{
    RefreshError, RequestBody, ResponseBody, answer,
    begun::Begun,
    errand::Errand,
    flight::{Landed, Lead},
    lookup::{Found, Lookup},
    place::{Missed, Place},
    search,
    share::{Carried, Entry, Limits, SharedBody},
};
use crate::{
    entry::Head,
    event::Event,
    key::Key,
    policy::{self, Exchange, Verdict},
    status::{CacheStatus, Outcome, Refusal, Stale, Stored},
    store::{Hit, Store},
    time::Timestamp,
};

/// Waits until `inner` is ready and calls it. The clone that a request works on has not been polled before, so nothing
/// is held by a clone left behind.
pub(super) async fn call<S, Request>(
    mut inner: S,
    request: Request,
) -> Result<S::Response, S::Error>
where
    S: Service<Request>,
{
    poll_fn(|cx| inner.poll_ready(cx)).await?;
    inner.call(request).await
}

/// What a call has brought.
pub(super) enum Fetched<ResBody: Body, E> {
    /// The inner service's error, for which nothing stands in.
    Failed(E),
    /// Nothing of use; the stored response stands in for it.
    StandIn(Key, Hit, RefreshError),
    /// What is stored still holds; and whether the store has it with its new head.
    Confirmed(Key, Hit, Stored),
    /// A response.
    Response(Kept<ResBody>),
}

/// What has become of a response.
pub(super) enum Kept<ResBody: Body> {
    /// It is not stored.
    No(response::Parts, ResponseBody<ResBody>, Key, Refusal),
    /// It is on its way into the store.
    Underway(response::Parts, Arc<Carried>, SharedBody<ResBody::Error>),
}

/// That a response may be stored, and as what.
pub(super) struct Admitted {
    pub(super) entry: Entry,
    /// The request headers that select it, where it varies.
    pub(super) names: Option<Vec<http::HeaderName>>,
    pub(super) limits: Limits,
}

/// The body of a response, and whether something of it has been read to see whether it breaks off.
pub(super) enum Arrived<ResBody: Body> {
    Unread(ResBody),
    Begun(Begun<ResBody>),
}

impl<ResBody: Body<Data = Bytes>> Arrived<ResBody> {
    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Unread(body) => body.size_hint(),
            Self::Begun(begun) => begun.size_hint(),
        }
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
    /// Makes the call, and answers with what it brings, or with what is stored where it fails.
    pub(super) async fn fetch(
        mut self,
        looked: Lookup,
        lead: Lead,
    ) -> Result<Response<ResponseBody<ResBody>>, S::Error> {
        let (missed, arrivals) = (looked.missed, looked.arrivals);
        let kept = match looked.found {
            Found::Poor(key, hit) | Found::Good(key, hit, _) => Some((key, hit)),
            Found::Nothing => None,
        };
        let (reason, asked_for) = (missed.reason, missed.key);
        let (settings, options) = (self.cache.settings.clone(), self.options.clone());
        let method = self.parts.method.clone();
        let called = Event::Called { key: &asked_for, reason, is_refresh: false };
        self.cache.observer().tell(&called);
        let stands_in =
            move |head: &Head, now| settings.rules.may_stand_in(&options, &method, head, now);
        Ok(match self.exchange(missed, kept, arrivals, lead, stands_in).await {
            Fetched::Failed(error) => {
                let outcome = Outcome::Miss(reason);
                self.cache.observer().tell(&Event::Failed { key: Some(&asked_for), outcome });
                return Err(error);
            }
            Fetched::StandIn(key, hit, _why) => {
                self.answer(key, hit, Verdict::Stale(Stale::IfError), reason)
            }
            Fetched::Confirmed(key, hit, stored) => {
                self.cache.shared.backoff.forgive(&asked_for);
                let now = self.cache.settings.clock.now();
                let status = CacheStatus::revalidated(reason, key, &hit.head, now, false, stored);
                answer::stored(&self.cache, &self.parts, key, hit, status)
            }
            Fetched::Response(Kept::No(parts, body, key, refusal)) => {
                let now = self.cache.settings.clock.now();
                let status = CacheStatus::refused(reason, refusal, key, now);
                answer::report(&self.cache, Response::from_parts(parts, body), status)
            }
            Fetched::Response(Kept::Underway(parts, carried, mut body)) => {
                self.cache.shared.backoff.forgive(&asked_for);
                let (head, progress) = (&carried.head, carried.progress.clone());
                let status = CacheStatus::storing(reason, carried.key, head, progress);
                body.settle().await;
                // A caller that gets no body reads none, so what is not stored by now would not be.
                let is_stored = status.stored() == Stored::Yes;
                let not_modified =
                    is_stored.then(|| answer::not_modified(&self.parts, head)).flatten();
                let response = not_modified
                    .unwrap_or_else(|| Response::from_parts(parts, ResponseBody::shared(body)));
                answer::report(&self.cache, response, status)
            }
        })
    }

    /// Asks the inner service, and whether what is `kept` still holds where that can be asked. Where that `stands_in` for
    /// a failure, a failing status is one, and so is a body that breaks off at once. `arrivals` are those of the lookup.
    pub(super) async fn exchange(
        &mut self,
        missed: Missed,
        mut kept: Option<(Key, Hit)>,
        arrivals: u64,
        lead: Lead,
        stands_in: impl FnOnce(&Head, Timestamp) -> bool,
    ) -> Fetched<ResBody, S::Error> {
        let requested_at = self.cache.settings.clock.now();
        // What has its place under this key is the whole; parts go past it.
        policy::remove_range(&mut self.parts.headers);
        let (rules, method) = (&self.cache.settings.rules, &self.parts.method);
        let conditions = kept
            .as_ref()
            .filter(|(_, hit)| rules.may_be_confirmed(&self.options, method, &hit.head))
            .and_then(|(_, hit)| policy::conditions(&hit.head, method));
        let is_asked = conditions.is_some();
        let mut sent = self.sent(&missed.key);
        match conditions {
            Some(conditions) => conditions.apply(&mut sent.headers),
            // A 304 to the caller's own condition could not be stored. It is answered here.
            None if self.may_keep(&missed.key) => policy::remove_conditions(&mut sent.headers),
            None => {}
        }
        let (body, again) = self.body.take_for_call();
        let mut response = call(self.inner.clone(), Request::from_parts(sent, body)).await;
        let asked = kept.as_ref().map(|(key, hit)| (*key, hit.version));
        let of_get = kept
            .as_ref()
            .filter(|(_, hit)| *hit.head.method() != self.parts.method)
            .map(|(_, hit)| hit.head.clone());
        let not_modified = match &response {
            Ok(answer) if is_asked && answer.status() == StatusCode::NOT_MODIFIED => {
                Some(answer.headers().clone())
            }
            _ => None,
        };
        if let Some(not_modified) = not_modified {
            // It has no body.
            drop(response);
            let confirmed =
                kept.take_if(|(_, hit)| policy::confirms(hit.head.headers(), &not_modified));
            if let Some((key, hit)) = confirmed {
                return self.confirm(&missed, key, hit, &not_modified, requested_at, lead).await;
            }
            // It speaks of another response than the stored one (RFC 9111 §4.3.4). The second call counts as a call, not as
            // another refresh.
            let (key, reason) = (&missed.key, missed.reason);
            self.cache.observer().tell(&Event::Called { key, reason, is_refresh: false });
            let mut sent = self.sent(&missed.key);
            policy::remove_conditions(&mut sent.headers);
            response = call(self.inner.clone(), Request::from_parts(sent, again)).await;
        }

        let now = self.cache.settings.clock.now();
        let mut stand_in = kept.filter(|(_, hit)| stands_in(&hit.head, now));
        let response = match response {
            Ok(response) => response,
            Err(error) => {
                lead.fail();
                return match stand_in {
                    Some((key, hit)) => Fetched::StandIn(key, hit, RefreshError::Call),
                    None => Fetched::Failed(error),
                };
            }
        };
        let (parts, body) = response.into_parts();
        if let Some(failure) = self.cache.settings.rules.failure(&parts)
            && let Some((key, hit)) = stand_in.take()
        {
            lead.fail();
            return Fetched::StandIn(key, hit, failure.into());
        }

        let body = match stand_in {
            // Of a stream of events, the first may be long in coming.
            Some((key, hit)) if !policy::is_live(&parts.headers) => {
                let mut begun = Begun::unread(body);
                let failure = match begun.ahead().await {
                    Err(_) => Some(RefreshError::Body),
                    Ok(()) => begun.trailers().and_then(|fields| self.failure_behind(fields)),
                };
                if let Some(why) = failure {
                    lead.fail();
                    return Fetched::StandIn(key, hit, why);
                }
                Arrived::Begun(begun)
            }
            _ => Arrived::Unread(body),
        };
        if let (Some((key, seen)), Some(head)) = (asked, &of_get) {
            self.heed_head(&key, seen, head, &parts, requested_at, &lead).await;
        }
        let flights = &self.cache.shared.flights;
        let has_stored = flights.arrivals(&missed.key) != arrivals;
        let knows_refusals = flights.is_lonely(&missed.key) && !has_stored;
        let call = lead.id();
        let kept = self.keep(&missed, parts, body, requested_at, lead);
        let rules = &self.cache.settings.rules;
        let ends = |response| {
            rules.ends(&Exchange {
                options: &self.options,
                url: &self.url.text,
                request: &self.parts,
                response,
                requested_at,
                now,
            })
        };
        match &kept {
            Kept::No(parts, ..) if ends(parts) => {
                let is_met = self.overtake_superseded(&missed, &call).await;
                // Most responses that are refused were refused before, and left nothing to look for.
                if asked.is_some() || is_met || !knows_refusals {
                    self.remove_superseded(&missed, asked, None, requested_at).await;
                }
            }
            Kept::Underway(parts, carried, _) if ends(parts) => {
                // What is stored under the same key is replaced when the body has ended.
                let elsewhere = asked.filter(|(key, _)| *key != carried.key);
                let own = Some(carried.key);
                self.remove_superseded(&missed, elsewhere, own, requested_at).await;
            }
            _ => {}
        }
        Fetched::Response(kept)
    }

    /// How the fields behind a body say that the origin failed, where they do.
    fn failure_behind(&self, trailers: &HeaderMap) -> Option<RefreshError> {
        self.cache.settings.rules.failure_behind(trailers).map(RefreshError::from)
    }

    /// Stores the response as its body is read, where it may be.
    pub(super) fn keep(
        &mut self,
        missed: &Missed,
        parts: response::Parts,
        body: Arrived<ResBody>,
        requested_at: Timestamp,
        lead: Lead,
    ) -> Kept<ResBody> {
        let admitted = self.admit(missed, &parts, body.size_hint().lower(), requested_at);
        self.carry(missed, parts, body, admitted, lead)
    }

    /// Stores the response as its body is read, where it was `admitted`.
    pub(super) fn carry(
        &mut self,
        missed: &Missed,
        parts: response::Parts,
        body: Arrived<ResBody>,
        admitted: Result<Admitted, Refusal>,
        mut lead: Lead,
    ) -> Kept<ResBody> {
        let Admitted { entry, names, limits } = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => {
                self.cache.observer().tell(&Event::NotStored { key: &missed.key, refusal });
                let status = parts.status;
                if status == StatusCode::NOT_MODIFIED {
                    self.cache.shared.flights.not_modified(&missed.key);
                } else if self.cache.settings.rules.may_keep(&self.options) {
                    self.cache.shared.flights.refused(&missed.key, refusal, status);
                }
                lead.land(Landed::Alone);
                let body = match body {
                    Arrived::Unread(body) => ResponseBody::passthrough(body),
                    Arrived::Begun(begun) => ResponseBody::begun(begun),
                };
                return Kept::No(parts, body, missed.key, refusal);
            }
        };
        let body = match body {
            Arrived::Unread(body) => Begun::unread(body),
            Arrived::Begun(begun) => begun,
        };
        let (carried, body) =
            Carried::begin(&self.cache, missed.key, entry, names, body, limits, lead);
        Kept::Underway(parts, carried, body)
    }

    /// Whether the response, whose body has at least so many bytes, may be stored, and as what.
    pub(super) fn admit(
        &self,
        missed: &Missed,
        response: &response::Parts,
        least: u64,
        requested_at: Timestamp,
    ) -> Result<Admitted, Refusal> {
        let settings = &*self.cache.settings;
        let (rules, url) = (&settings.rules, self.url.text.as_str());
        let now = settings.clock.now();
        let admission = rules.admit(&Exchange {
            options: &self.options,
            url,
            request: &self.parts,
            response,
            requested_at,
            now,
        })?;
        // The length that a HEAD's response names is not its own.
        let has_no_body =
            self.parts.method == Method::HEAD || response.status == StatusCode::NO_CONTENT;
        let expected = if has_no_body { None } else { policy::content_length(&response.headers)? };
        let max = settings.max_body;
        if expected.is_some_and(|len| len > max) || least > max {
            return Err(Refusal::TooLarge);
        }
        let limits = Limits { expected, max, check: rules.response_check(response)? };
        let place = Place { request: &self.parts, url, missed };
        let keys = place.keys(settings, response, admission.expires_at, now)?;
        let head = place
            .head(settings, &keys.key, response, &admission, now)?
            .with_requested_at(requested_at);
        let notes = search::notes(settings, &self.parts, &self.url, &head, now);
        let entry = Entry { key: keys.key, head, list: keys.list, around: None, notes };
        Ok(Admitted { entry, names: keys.names, limits })
    }
}
