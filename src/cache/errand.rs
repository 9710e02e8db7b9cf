//! A request that a fresh entry alone does not answer: who asks the inner service for it, and what the others get.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderName, Request, Response, request};
use http_body::Body;
use tower_service::Service;

use super::{
    CacheLayer, RequestBody, ResponseBody, answer,
    background::{self, within},
    flight::{Boarding, Bound, Confirmed, Followed, Join, Lead, Removed, Seat, Uncounted},
    lookup::{Found, Lookup, look_by_names, lookup},
    share::{Carried, Joined, SharedBody},
};
use crate::{
    entry::Head,
    key::{Key, RequestUrl},
    options::CacheOptions,
    policy::{Verdict, grpc},
    status::{CacheStatus, Miss, Stale, Stored},
    store::{Hit, Store, StoredBody},
};

/// How many calls that fail a request waits for, one after the other, before it makes its own beside those of others.
const PATIENCE: u32 = 2;

/// How often a request looks into the store again because something was stored meanwhile. Beyond that, it makes a call of
/// its own: somebody stores what this request cannot use.
const LOOKS: u32 = 8;

/// A request, and all that is needed to fulfil it.
pub(super) struct Errand<S, B, ReqBody: Body> {
    pub(super) inner: S,
    pub(super) cache: CacheLayer<B>,
    pub(super) parts: request::Parts,
    pub(super) url: RequestUrl,
    pub(super) body: RequestBody<ReqBody>,
    pub(super) options: CacheOptions,
    /// Whether it neither follows another's call nor is followed.
    is_alone: bool,
    /// Whether it has waited for another's call.
    has_waited: bool,
    /// Whether it has to make a call of its own, which others may follow.
    must_lead: bool,
    /// How often it has looked into the store again.
    looks: u32,
    /// When it came, where that is asked for.
    came: Option<Instant>,
}

/// The calls that a request is part of, in its extensions on the way to the inner service: the flights of a layer, and a
/// key. Where the same layer stands in a stack twice, the inner one meets it.
#[derive(Clone, Default)]
struct Calls(Vec<(usize, Key)>);

/// What the store has for a request.
enum FromStore<ResBody: Body> {
    Response(Response<ResponseBody<ResBody>>),
    /// A response, and what is to be refreshed behind it.
    ForNow(Response<ResponseBody<ResBody>>, Lookup),
    /// Nothing that answers it.
    Nothing(Lookup),
}

/// What comes of waiting for another's call.
enum Waited<ResBody: Body> {
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
    /// Fulfils the request: by what was found in the store, by another's call, or by one of its own.
    pub(super) async fn run(
        mut self,
        mut looked: Lookup,
    ) -> Result<Response<ResponseBody<ResBody>>, S::Error> {
        self.is_alone = !self.may_share(&looked.missed.key);
        self.must_lead = self.options.force_refresh;
        loop {
            looked = match self.answer_from_store(looked) {
                FromStore::Response(response) => return Ok(response),
                FromStore::ForNow(response, looked) => {
                    background::refresh(self, looked);
                    return Ok(response);
                }
                FromStore::Nothing(looked) => looked,
            };
            if self.options.only_if_cached {
                return Ok(self.refuse(&looked));
            }
            looked = match self.board(looked).await {
                Waited::Response(response) => return Ok(response),
                Waited::Again(looked) => looked,
                Waited::Lead(lead, looked) => return self.fetch(looked, lead).await,
            };
        }
    }

    /// The response from the store, where there is a good one.
    fn answer_from_store(&self, looked: Lookup) -> FromStore<ResBody> {
        let Found::Good(key, hit, verdict) = looked.found else {
            return FromStore::Nothing(looked);
        };
        match verdict {
            Verdict::Ending | Verdict::Stale(Stale::WhileRevalidate)
                if background::is_possible() => {}
            // Nobody is there to refresh it: the caller waits for a fresh one.
            Verdict::Stale(Stale::WhileRevalidate) => {
                return FromStore::Nothing(Lookup { found: Found::Poor(key, hit), ..looked });
            }
            _ => {
                let response = self.answer(key, hit, verdict, looked.missed.reason);
                return FromStore::Response(response);
            }
        }
        // The refresh has use for the entry, and none for its body.
        let spare = Hit::new(hit.head.clone(), hit.version, StoredBody::empty());
        let response = self.answer(key, hit, verdict, looked.missed.reason);
        FromStore::ForNow(response, Lookup { found: Found::Poor(key, spare), ..looked })
    }

    /// Goes behind another's call, where there is one.
    async fn board(&mut self, looked: Lookup) -> Waited<ResBody> {
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
                    Some(Followed::BoardAgain) => return Waited::Again(self.look_again().await),
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

    /// The stored response.
    pub(super) fn answer(
        &self,
        key: Key,
        hit: Hit,
        verdict: Verdict,
        reason: Miss,
    ) -> Response<ResponseBody<ResBody>> {
        let now = self.cache.settings.clock.now();
        if !self.has_waited || matches!(verdict, Verdict::Stale(_)) {
            return answer::good(&self.cache, &self.parts, key, hit, verdict, now);
        }
        let status = CacheStatus::coalesced(reason, key, Some(&hit.head), now, Stored::Yes);
        answer::stored(&self.cache, &self.parts, key, hit, status)
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

    /// 504, since the request forbade to ask.
    fn refuse(&self, looked: &Lookup) -> Response<ResponseBody<ResBody>> {
        let why = match looked.missed.reason {
            Miss::Expired => "The stored response has expired",
            Miss::StoreFailed(_) => "The store could not be read",
            _ => "No response is stored",
        };
        answer::only_if_cached(&self.cache, Some(looked.missed.key), why)
    }
}

/// # What is known of it
impl<S, B: Store, ReqBody: Body<Data = Bytes>> Errand<S, B, ReqBody> {
    pub(super) fn new(
        inner: S,
        cache: CacheLayer<B>,
        parts: request::Parts,
        url: RequestUrl,
        body: RequestBody<ReqBody>,
        options: CacheOptions,
    ) -> Self {
        Self {
            inner,
            cache,
            parts,
            url,
            body,
            options,
            is_alone: false,
            has_waited: false,
            must_lead: false,
            looks: 0,
            came: None,
        }
    }

    /// The same, where it is known since when its time runs.
    pub(super) fn since(self, came: Option<Instant>) -> Self {
        Self { came, ..self }
    }

    /// Looks into the store again, after another's call.
    async fn look_again(&mut self) -> Lookup {
        self.looks += 1;
        self.is_alone |= self.looks > LOOKS;
        // What another has fetched since this request came is as new as it asked for.
        self.options.refresh &= !self.has_waited;
        lookup(&self.cache, &self.options, &self.parts, &self.url, &mut self.body).await
    }

    /// Whether it belongs to a call that this very layer makes for the same thing: waiting for that, it would wait for
    /// itself.
    fn is_behind(&self, key: &Key) -> bool {
        let calls: Option<&Calls> = self.parts.extensions.get();
        calls.is_some_and(|calls| calls.0.contains(&(self.cache.shared.flights.id(), *key)))
    }

    /// What is left of the time that the request gives itself, where it does: gRPC calls may.
    fn time_left(&self) -> Option<Duration> {
        let limit = self.cache.settings.rules.timeout(&self.parts.headers)?;
        Some(limit.saturating_sub(self.came?.elapsed()))
    }

    /// The longest that it may wait for another's call.
    fn patience(&self) -> Option<Duration> {
        let longest = self.cache.settings.calls.coalesce_wait;
        [longest, self.time_left()].into_iter().flatten().min()
    }

    /// The request as it is sent on, marked as part of a call for `key`.
    pub(super) fn sent(&self, key: &Key) -> request::Parts {
        let mut sent = self.parts.clone();
        if self.has_waited
            && let Some(left) = self.time_left()
        {
            // Where nothing is left, the inner service says so, in its own way.
            grpc::set_timeout(&mut sent.headers, left);
        }
        let calls = sent.extensions.get_or_insert_default::<Calls>();
        calls.0.push((self.cache.shared.flights.id(), *key));
        sent
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

    /// Whether it may go behind another's call, and others behind its own.
    fn may_share(&self, key: &Key) -> bool {
        let settings = &*self.cache.settings;
        self.options.coalesce.unwrap_or(settings.calls.coalesce)
            && self.may_keep(key)
            && !settings.rules.is_personal(&self.parts.headers)
    }

    /// Whether anything speaks for it that what comes will be stored.
    pub(super) fn may_keep(&self, key: &Key) -> bool {
        self.cache.settings.rules.may_keep(&self.options)
            && !self.cache.shared.flights.is_lonely(key)
    }

    fn may_stand_in(&self, looked: &Lookup) -> bool {
        matches!(&looked.found, Found::Poor(_, hit) if self.may_stand_in_with(hit))
    }

    fn may_stand_in_with(&self, hit: &Hit) -> bool {
        let now = self.cache.settings.clock.now();
        let rules = &self.cache.settings.rules;
        rules.may_stand_in(&self.options, &self.parts.method, &hit.head, now)
    }

    pub(super) fn bound(&self, looked: &Lookup) -> Bound {
        Bound {
            primary: looked.missed.primary,
            part: None,
            url: self.url.text.as_str().into(),
            tags: self.options.tags.clone(),
            removed: Removed::default(),
        }
    }

    /// It is this request that makes the call, which is under way from now on.
    fn counted(&self, lead: Uncounted) -> Lead {
        Lead::counted(lead, self.cache.observer())
    }

    /// The names that select the response on its way, where it is not this request's.
    fn names_of_another(&self, carried: &Carried, looked: &Lookup) -> Option<Vec<HeaderName>> {
        let names = carried.names.as_ref()?;
        let recipe = &self.cache.settings.recipe;
        let key = recipe.variant(&looked.missed.primary, names, &self.parts.headers);
        (key != carried.key).then(|| names.clone())
    }
}
