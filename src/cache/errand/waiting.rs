//! Waiting for another's call: who waits for whom, and what this request takes of what such a call comes to.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body::Body;
use tower_service::Service;

use super::Errand;
use crate::{
    cache::{
        RequestBody, ResponseBody, answer,
        flight::{Boarding, Confirmed, Followed, Join, Lead, Seat},
        lookup::{Found, Lookup, look_by_names, lookup},
        share::{Carried, Joined, SharedBody},
    },
    entry::Head,
    policy::Verdict,
    runtime::within,
    status::{CacheStatus, Miss, Stale},
    store::{Hit, Store},
};

/// How many calls that fail a request waits for, one after the other, before it makes its own beside those of others.
const PATIENCE: u32 = 2;

/// How often a request looks into the store again because something was stored meanwhile. Beyond that, it makes a call of
/// its own: somebody stores what this request cannot use.
const LOOKS: u32 = 8;

/// What comes of waiting for another's call.
pub(super) enum Waited<ResBody: Body> {
    Response(Response<ResponseBody<ResBody>>),
    /// Nothing for this request: it goes on with this.
    Again(Lookup),
    /// It is this request that makes the call.
    Lead(Lead, Lookup),
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
    /// Goes behind another's call, where there is one.
    pub(super) async fn board(&mut self, looked: Lookup) -> Waited<ResBody> {
        let join = match () {
            () if self.is_alone || self.is_behind(&looked.missed.key) => Join::Alone,
            () if self.must_lead => Join::First,
            () => Join::Either,
        };
        let patience = if self.may_stand_in(&looked) { 1 } else { PATIENCE };
        let (key, arrivals) = (looked.missed.key, looked.arrivals);
        let flights = &self.cache.shared.flights;
        let seat = match flights.board(&key, self.bound(&looked), arrivals, join, patience) {
            Boarding::Lead(lead) => return Waited::Lead(self.counted(lead), looked),
            // The call began before this request came.
            Boarding::Seated(seat) if self.options.refresh || self.is_old(&seat) => {
                self.must_lead = true;
                return Waited::Again(looked);
            }
            Boarding::Seated(seat) => seat,
            Boarding::LookAgain | Boarding::Underway => {
                return Waited::Again(self.look_again().await);
            }
            Boarding::Follow(follow) => {
                self.has_waited = true;
                match within(self.patience(), follow).await {
                    Some(Followed::Lead(lead)) => {
                        return Waited::Lead(self.counted(lead), looked);
                    }
                    Some(Followed::Seated(seat)) => seat,
                    Some(Followed::BoardAgain) => {
                        // Nothing was fetched that would be as new as this request asks for.
                        return Waited::Again(self.look().await);
                    }
                    Some(Followed::Failed) => return self.stand_in(looked),
                    // It has waited long enough.
                    None => {
                        self.is_alone = true;
                        return Waited::Again(looked);
                    }
                }
            }
        };
        self.has_waited = true;
        self.take(seat, looked).await
    }

    /// Takes its part of what another's call has come to.
    async fn take(&mut self, seat: Seat, looked: Lookup) -> Waited<ResBody> {
        match seat {
            Seat::Alone => {
                self.is_alone = true;
                Waited::Again(looked)
            }
            Seat::LookAgain => Waited::Again(self.look_again().await),
            Seat::Confirmed(confirmed) if !self.may_follow(&confirmed.head) => {
                self.is_alone = true;
                Waited::Again(looked)
            }
            Seat::Confirmed(confirmed) => match self.confirmed(&confirmed, looked) {
                Some(response) => Waited::Response(response),
                None => Waited::Again(self.look_again().await),
            },
            // A key of the user's own making may be that of several methods; another clone of the layer may keep what the
            // rules of this one forbid.
            Seat::Body(carried, _) if !self.may_answer(&carried) => {
                self.is_alone = true;
                Waited::Again(looked)
            }
            Seat::Body(carried, joined) => {
                if let Some(names) = self.names_of_another(&carried, &looked) {
                    self.looks += 1;
                    self.is_alone |= self.looks > LOOKS;
                    let Self { cache, options, parts, .. } = self;
                    let looked = look_by_names(cache, options, parts, looked.missed, &names);
                    return Waited::Again(looked.await);
                }
                match joined {
                    Joined::Along(reader) => {
                        let body = SharedBody::along(carried.clone(), reader);
                        Waited::Response(self.along(&carried, body, looked.missed.reason))
                    }
                    Joined::Behind(waiting) => {
                        if within(self.patience(), waiting.settled()).await.is_none() {
                            self.is_alone = true;
                        }
                        Waited::Again(self.look_again().await)
                    }
                }
            }
        }
    }

    /// Another's call has failed, and as many as this request waits for: it makes its own, unless the stored response,
    /// expired as it is, stands in.
    fn stand_in(&mut self, looked: Lookup) -> Waited<ResBody> {
        match looked.found {
            Found::Poor(key, hit) if self.may_stand_in_with(&hit) => {
                let verdict = Verdict::Stale(Stale::IfError);
                Waited::Response(self.answer(key, hit, verdict, looked.missed.reason))
            }
            found => {
                self.is_alone = true;
                Waited::Again(Lookup { found, ..looked })
            }
        }
    }

    /// What `confirmed` makes of the entry that this request has found, where it is the one that was asked about.
    fn confirmed(
        &self,
        confirmed: &Confirmed,
        looked: Lookup,
    ) -> Option<Response<ResponseBody<ResBody>>> {
        let Found::Poor(key, mut hit) = looked.found else { return None };
        let reason = looked.missed.reason;
        if key != confirmed.key || hit.version != confirmed.version {
            return None;
        }
        hit.head = confirmed.head.clone();
        let now = self.cache.settings.clock.now();
        let status = CacheStatus::revalidated(reason, key, &hit.head, now, true, confirmed.stored);
        Some(answer::stored(&self.cache, &self.parts, key, hit, status))
    }

    /// A response on its way, read along.
    fn along(
        &self,
        carried: &Carried,
        body: SharedBody<ResBody::Error>,
        reason: Miss,
    ) -> Response<ResponseBody<ResBody>> {
        let (head, progress) = (&carried.head, carried.progress.clone());
        let now = self.cache.settings.clock.now();
        let status = CacheStatus::coalesced(reason, carried.key, Some(head), now, progress);
        let response = answer::not_modified(&self.parts, head)
            .unwrap_or_else(|| answer::along(head, ResponseBody::shared(body)));
        answer::report(&self.cache, response, status)
    }
}

/// # What is known of it
impl<S, B: Store, ReqBody: Body<Data = Bytes>> Errand<S, B, ReqBody> {
    /// Looks into the store again, after another's call.
    async fn look_again(&mut self) -> Lookup {
        // What another has fetched since this request came is as new as it asked for.
        self.options.refresh &= !self.has_waited;
        self.look().await
    }

    /// Looks into the store again, for what the request asked for.
    async fn look(&mut self) -> Lookup {
        self.looks += 1;
        self.is_alone |= self.looks > LOOKS;
        lookup(&self.cache, &self.options, &self.parts, &self.url, &mut self.body).await
    }

    /// The longest that it may wait for another's call.
    fn patience(&self) -> Option<Duration> {
        let longest = self.cache.settings.calls.coalesce_wait;
        [longest, self.time_left()].into_iter().flatten().min()
    }

    /// Whether the response that is on its way has expired already: its body may go on for long.
    fn is_old(&self, seat: &Seat) -> bool {
        let now = self.cache.settings.clock.now();
        matches!(seat, Seat::Body(carried, _) if carried.head.is_expired(now))
    }

    /// Whether the response on its way may answer this request, by this layer's own rules.
    fn may_answer(&self, carried: &Carried) -> bool {
        *carried.head.method() == self.parts.method
            && self.cache.settings.rules.may_answer(&self.parts.method, &carried.head).is_ok()
            && self.may_follow(&carried.head)
    }

    /// Whether what another's call has brought under this head may answer this request too.
    fn may_follow(&self, head: &Head) -> bool {
        let now = self.cache.settings.clock.now();
        self.cache.settings.rules.may_follow(&self.options, head, now)
    }

    fn may_stand_in(&self, looked: &Lookup) -> bool {
        matches!(&looked.found, Found::Poor(_, hit) if self.may_stand_in_with(hit))
    }

    fn may_stand_in_with(&self, hit: &Hit) -> bool {
        let now = self.cache.settings.clock.now();
        let rules = &self.cache.settings.rules;
        rules.may_stand_in(&self.options, &self.parts.method, &hit.head, now)
    }

    /// The names that select the response on its way, where it is not this request's.
    fn names_of_another(&self, carried: &Carried, looked: &Lookup) -> Option<Vec<HeaderName>> {
        let names = carried.names.as_ref()?;
        let recipe = &self.cache.settings.recipe;
        let key = recipe.variant(&looked.missed.primary, names, &self.parts.headers);
        (key != carried.key).then(|| names.clone())
    }
}
