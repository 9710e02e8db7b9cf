//! Sends a request for a part (`Range`) to the origin if no stored response answers it.
//!
//! If a stale whole response is stored, the request carries its validators. After a 304, or if the
//! origin fails and stale use is allowed, the part is taken from the stored response. A 206 is
//! stored under a key of its own, beside that of the whole ([`parts`](super::parts)).

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, response};
use http_body::Body;
use tower_service::Service;

use super::{
    RequestBody, ResponseBody, answer,
    errand::Errand,
    fetch::{Fetched, Kept, call},
    flight::CallId,
    lookup::{Found, Lookup, lookup_part},
    parts::KeptPart,
    pass::{Aside, failed, passed},
    place::Missed,
};
use crate::{
    key::Key,
    policy::{self, Exchange, Verdict},
    status::{Bypass, CacheStatus, Stale},
    store::{Hit, Store, Version},
    time::Timestamp,
};

const REASON: Bypass = Bypass::Range;

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
    /// Sends the request to the origin. `looked` is the lookup of the whole response.
    pub(super) async fn fetch_part(
        mut self,
        looked: Lookup,
    ) -> Result<Response<ResponseBody<ResBody>>, S::Error> {
        if self.options.only_if_cached {
            let why = "The cache does not answer this request";
            return Ok(answer::only_if_cached(&self.cache, None, why));
        }
        let settings = self.cache.settings.clone();
        let rules = &settings.rules;
        let requested_at = settings.clock.now();
        let (found, looked) = looked.take();
        let mut stale = match found {
            Found::Poor(key, hit) | Found::Good(key, hit, _) => Some((key, hit)),
            Found::Nothing => None,
        };
        let (reason, whole) = (looked.missed.reason, looked.missed.clone());
        // The call is registered before it is made. So its response neither brings back what is
        // removed meanwhile nor replaces what was requested later.
        let part = if rules.may_keep_aside(&self.options, REASON, &Method::GET) {
            let Self { cache, options, parts, url, body, .. } = &mut self;
            Some(lookup_part(cache, options, parts, url, body).await)
        } else {
            None
        };
        let is_kept = part.is_some();
        let mut aside = self.board_aside(part, looked);
        let own_call = aside.as_ref().map(Aside::call);

        let mut sent = self.parts.clone();
        let conditions = stale
            .as_ref()
            .filter(|(_, hit)| {
                rules.may_keep(&self.options)
                    && !policy::has_conditions(&self.parts.headers)
                    && rules.may_be_confirmed(&self.options, &self.parts.method, &hit.head)
            })
            .and_then(|(_, hit)| policy::conditions(&hit.head, &self.parts.method));
        if let Some(conditions) = &conditions {
            conditions.apply(&mut sent.headers);
        }
        let (body, again) = self.body.take_for_call();
        let mut response = call(self.inner.clone(), Request::from_parts(sent, body)).await;
        let not_modified = match &response {
            Ok(answer) if conditions.is_some() && answer.status() == StatusCode::NOT_MODIFIED => {
                Some(answer.headers().clone())
            }
            _ => None,
        };
        if let Some(not_modified) = not_modified {
            // It has no body.
            drop(response);
            let confirmed =
                stale.take_if(|(_, hit)| policy::confirms(hit.head.headers(), &not_modified));
            if let Some((key, hit)) = confirmed
                && let Some(lead) = aside.take().map(Aside::into_whole)
            {
                let fetched: Fetched<ResBody, S::Error> =
                    self.confirm(&whole, key, hit, &not_modified, requested_at, lead).await;
                if let Fetched::Confirmed(key, hit, stored) = fetched {
                    let now = settings.clock.now();
                    let status =
                        CacheStatus::revalidated(reason, key, &hit.head, now, false, stored);
                    return Ok(answer::stored(&self.cache, &self.parts, key, hit, status));
                }
            }
            // It speaks of another response than the stored one (RFC 9111 §4.3.4).
            let sent = self.parts.clone();
            response = call(self.inner.clone(), Request::from_parts(sent, again)).await;
        }

        let asked = stale.as_ref().map(|(key, hit)| (*key, hit.version));
        let now = settings.clock.now();
        let stand_in = stale.filter(|(_, hit)| {
            rules.may_stand_in(&self.options, &self.parts.method, &hit.head, now)
        });
        let response = match (response, stand_in) {
            (Err(_), Some(stale)) => return Ok(self.stand_in_for_part(stale, now)),
            (Err(error), None) => {
                failed(&self.cache, REASON);
                return Err(error);
            }
            (Ok(response), stand_in) => {
                let (parts, body) = response.into_parts();
                if let Some(stale) = stand_in.filter(|_| rules.failure(&parts).is_some()) {
                    return Ok(self.stand_in_for_part(stale, now));
                }
                Response::from_parts(parts, body)
            }
        };

        let keeps_part = is_kept
            && rules.keeps_aside(&self.url.text, &Method::GET, &response, requested_at)
            && aside.as_ref().is_some_and(Aside::is_current);
        if keeps_part && let Some(Aside { missed, lead, whole: Some(lead_of_whole) }) = aside {
            let kept = self.keep_part(&missed, response, requested_at, lead, lead_of_whole).await;
            return Ok(match kept {
                KeptPart::Passed(response) => passed(&self.cache, REASON, response),
                KeptPart::Kept(kept) => {
                    if let Kept::No(parts, ..) = &kept
                        && self.ends(parts, requested_at, now)
                    {
                        self.end_by_part(&whole, own_call, asked, requested_at).await;
                    }
                    self.answer_aside(kept, REASON).await
                }
            });
        }
        let (parts, body) = response.into_parts();
        if self.ends(&parts, requested_at, now) {
            self.end_by_part(&whole, own_call, asked, requested_at).await;
        }
        Ok(passed(&self.cache, REASON, Response::from_parts(parts, body)))
    }

    /// Whether the answer ends what is stored.
    fn ends(&self, response: &response::Parts, requested_at: Timestamp, now: Timestamp) -> bool {
        let rules = &self.cache.settings.rules;
        rules.ends(&Exchange {
            options: &self.options,
            url: &self.url.text,
            request: &self.parts,
            response,
            requested_at,
            now,
        })
    }

    /// Removes what the answer supersedes, and keeps older responses from being stored.
    async fn end_by_part(
        &mut self,
        whole: &Missed,
        call: Option<CallId>,
        asked: Option<(Key, Version)>,
        requested_at: Timestamp,
    ) {
        if let Some(call) = call {
            self.overtake_superseded(whole, &call).await;
        }
        self.remove_superseded(whole, asked, None, requested_at).await;
    }

    /// Answers with the part of the stale response, since the origin failed.
    fn stand_in_for_part(
        &self,
        (key, hit): (Key, Hit),
        now: Timestamp,
    ) -> Response<ResponseBody<ResBody>> {
        let verdict = Verdict::Stale(Stale::IfError);
        answer::good(&self.cache, &self.parts, key, hit, verdict, now)
    }
}
