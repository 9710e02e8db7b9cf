//! A request that a fresh entry alone does not answer: by what it is fulfilled. That is what is stored after all, what
//! comes of another's call ([`waiting`]), or a call of its own ([`fetch`](super::fetch)).

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, request};
use http_body::Body;
use tower_service::Service;

use self::waiting::Waited;
use super::{
    CacheLayer, RequestBody, ResponseBody, answer, background,
    flight::{Bound, Lead, Removed, Uncounted},
    lookup::{Found, Lookup},
};
use crate::{
    key::{Key, RequestUrl},
    options::CacheOptions,
    policy::Verdict,
    runtime::has_timers,
    status::{CacheStatus, Miss, Stale, Stored},
    store::{Hit, Store, StoredBody},
};

mod waiting;

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
    /// What the store had to say before it waited for another's call.
    first_reason: Option<Miss>,
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
        self.first_reason = Some(looked.missed.reason);
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
            Verdict::Ending | Verdict::Stale(Stale::WhileRevalidate) if has_timers() => {}
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
        let reason = self.first_reason.unwrap_or(reason);
        let status = CacheStatus::coalesced(reason, key, Some(&hit.head), now, Stored::Yes);
        answer::stored(&self.cache, &self.parts, key, hit, status)
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
            first_reason: None,
        }
    }

    /// The same, where it is known since when its time runs.
    pub(super) fn since(self, came: Option<Instant>) -> Self {
        Self { came, ..self }
    }

    /// Whether it belongs to a call that this very layer makes for the same thing: waiting for that, it would wait for
    /// itself.
    fn is_behind(&self, key: &Key) -> bool {
        let calls: Option<&Calls> = self.parts.extensions.get();
        calls.is_some_and(|calls| calls.0.contains(&(self.cache.shared.flights.id(), *key)))
    }

    /// What is left of the time that the request gives itself, where it does.
    fn time_left(&self) -> Option<Duration> {
        let limit = self.cache.settings.rules.time_limit(&self.parts.headers)?;
        Some(limit.saturating_sub(self.came?.elapsed()))
    }

    /// The request as it is sent on, marked as part of a call for `key`.
    pub(super) fn sent(&self, key: &Key) -> request::Parts {
        let mut sent = self.parts.clone();
        if self.has_waited
            && let Some(left) = self.time_left()
        {
            // Where nothing is left, the inner service says so, in its own way.
            self.cache.settings.rules.limit_time(&mut sent.headers, left);
        }
        let calls = sent.extensions.get_or_insert_default::<Calls>();
        calls.0.push((self.cache.shared.flights.id(), *key));
        sent
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
}
