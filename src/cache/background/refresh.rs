//! The refresh of one entry, while its stored response is served.

use std::{future::poll_fn, thread};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::{
    cache::{
        CacheLayer, RefreshError, RefreshFailure, RequestBody,
        errand::Errand,
        fetch::{Fetched, Kept},
        flight::{Boarding, Join, Lead},
        lookup::{Found, Lookup},
    },
    event::{Event, Spanned},
    key::Key,
    policy,
    status::{Refusal, Stored},
    store::Store,
};

/// Begins a call for what was found, unless there is one, or the last one has failed a moment ago.
pub(in crate::cache) fn refresh<S, B, ReqBody, ResBody>(
    mut errand: Errand<S, B, ReqBody>,
    looked: Lookup,
) where
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
    let key = looked.missed.key;
    let shared = errand.cache.shared.clone();
    let rules = &errand.cache.settings.rules;
    if rules.read_only || rules.is_personal(&errand.parts.headers) {
        return;
    }
    if !shared.backoff.begin(key, looked.now) {
        return;
    }
    let (bound, join) = (errand.bound(&looked), Join::UnlessUnderway);
    let Boarding::Lead(lead) = shared.flights.board(&key, bound, looked.arrivals, join, 0) else {
        shared.backoff.given_up(&key);
        return;
    };
    let lead = Lead::counted(lead, errand.cache.observer());
    let called = Event::Called { key: &key, reason: looked.missed.reason, is_refresh: true };
    errand.cache.observer().tell(&called);
    // They are about the caller's copy, and the caller has been answered.
    policy::remove_conditions(&mut errand.parts.headers);
    let tasks = errand.cache.tasks.clone();
    errand.cache = errand.cache.without_tasks();
    let report = Report { cache: errand.cache.clone(), key, url: errand.url.text.clone() };
    let limit = errand.cache.settings.calls.refresh_timeout;
    errand.cache.settings.rules.limit_time(&mut errand.parts.headers, limit);
    // Made here: a task may be dropped before it has begun.
    let underway = Underway(Some(report));
    let observer = errand.cache.observer().clone();
    tasks.spawn(Spanned::refresh(&observer, &key, async move {
        let refreshed = tokio::time::timeout(limit, fetch(errand, looked, lead)).await;
        underway.tell(refreshed.unwrap_or(Err(RefreshError::TimedOut)));
    }));
}

async fn fetch<S, B, ReqBody, ResBody>(
    mut errand: Errand<S, B, ReqBody>,
    looked: Lookup,
    lead: Lead,
) -> Result<(), RefreshError>
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
    let Found::Poor(key, hit) = looked.found else { return Ok(()) };
    // Whatever fails, what is stored is served on.
    let fetched =
        errand.exchange(looked.missed, Some((key, hit)), looked.arrivals, lead, |_, _| true).await;
    let stored = match fetched {
        Fetched::Failed(_) => return Err(RefreshError::Call),
        Fetched::StandIn(_, _, why) => return Err(why),
        Fetched::Confirmed(_, _, stored) => stored,
        Fetched::Response(Kept::No(_, _, _, refusal)) => Stored::No(refusal),
        Fetched::Response(Kept::Underway(_, carried, mut body)) => {
            while let Some(frame) = poll_fn(|cx| body.poll_frame(cx)).await {
                frame.map_err(|_| RefreshError::Body)?;
            }
            match carried.progress.get() {
                Some(Err(refusal)) => Stored::No(*refusal),
                _ => Stored::Yes,
            }
        }
    };
    match stored {
        // What has taken its place, or its removal, is as good as a refresh.
        Stored::Yes | Stored::Pending => Ok(()),
        Stored::No(Refusal::Superseded | Refusal::Removed) => Ok(()),
        Stored::No(refusal) => Err(RefreshError::NotStored(refusal)),
    }
}

/// Says how a refresh went.
struct Report<B> {
    cache: CacheLayer<B>,
    key: Key,
    url: String,
}

impl<B> Report<B> {
    fn tell(self, refreshed: Result<(), RefreshError>) {
        let Self { cache, key, url } = self;
        let Err(reason) = refreshed else { return cache.shared.backoff.succeeded(&key) };
        cache.shared.backoff.failed(&key, cache.settings.clock.now());
        let failure = RefreshFailure { key, url, reason };
        cache.observer().tell(&Event::RefreshFailed { failure: &failure });
    }
}

/// Reports how a refresh went, be it that it panicked; one that is stopped has nothing to report.
struct Underway<B>(Option<Report<B>>);

impl<B> Underway<B> {
    fn tell(mut self, refreshed: Result<(), RefreshError>) {
        if let Some(report) = self.0.take() {
            report.tell(refreshed);
        }
    }
}

impl<B> Drop for Underway<B> {
    fn drop(&mut self) {
        match self.0.take() {
            Some(report) if thread::panicking() => report.tell(Err(RefreshError::Panicked)),
            Some(Report { cache, key, .. }) => cache.shared.backoff.given_up(&key),
            None => {}
        }
    }
}
