//! Refreshes a stored response in the background, while it is served.
//!
//! The tasks belong to the layer: [`CacheLayer::idle`](super::CacheLayer::idle) waits for them, and
//! dropping its last handle stops them. The cache spawns nothing else. Without a tokio runtime
//! there is no refresh in the background: requests then call the origin themselves.

use std::{future::poll_fn, sync::Arc, thread};

use super::{
    ask::Fallback,
    coalesce::Join,
    context::{AnyBody, Origin, RequestContext, Upstream},
    fetch::{Fetched, Received},
    layer::Inner,
    lookup::Lookup,
    outcome::{Leader, Role},
};
use crate::{
    event::{Event, Spanned},
    key::Key,
    policy,
    status::{RefreshError, RefreshFailure, Stored},
    store::Store,
};

/// Begins a call for the stale response, unless one is in flight or the pause after the last
/// failure is not over.
pub(super) fn start<S, B, ReqBody>(
    mut ctx: Box<RequestContext<B>>,
    upstream: Upstream<S, ReqBody>,
    lookup: Box<Lookup>,
) where
    S: Origin<ReqBody>,
    B: Store,
    ReqBody: AnyBody,
{
    let (key, call_key) = (lookup.key.entry, lookup.key.call);
    let cache = ctx.cache.clone();
    let (shared, rules) = (&cache.shared, &cache.settings.rules);
    if rules.read_only || rules.is_authenticated(&ctx.parts.headers) {
        return;
    }
    if !shared.backoff.begin(call_key, lookup.now) {
        return;
    }
    let info = ctx.call_info(&lookup);
    let joined = shared.calls.join(&call_key, info, &lookup.generation, Join::UnlessInFlight, 0);
    let Role::Leader(leader) = joined else {
        shared.backoff.abandoned(&call_key);
        return;
    };
    let leader = Leader::counted(leader, cache.observer());
    let (request, reason) = (ctx.line(), lookup.reason);
    cache.observer().tell(&Event::Called { request, key: &key, reason, is_refresh: true });
    // The conditions are about the caller's copy, and the caller has been answered.
    policy::remove_conditions(&mut ctx.parts.headers);
    let limit = cache.settings.calls.refresh_timeout;
    rules.limit_time(&mut ctx.parts.headers, limit);
    // Made here: a task may be dropped before it begins.
    let report = Report { cache: cache.clone(), key, call_key, url: ctx.url.text.clone() };
    let running = Running(Some(report));
    cache.tasks.spawn(Spanned::refresh(cache.observer(), &key, async move {
        let refreshed = tokio::time::timeout(limit, refresh(ctx, upstream, lookup, leader)).await;
        running.report(refreshed.unwrap_or(Err(RefreshError::TimedOut)));
    }));
}

async fn refresh<S, B, ReqBody>(
    mut ctx: Box<RequestContext<B>>,
    upstream: Upstream<S, ReqBody>,
    lookup: Box<Lookup>,
    leader: Leader,
) -> Result<(), RefreshError>
where
    S: Origin<ReqBody>,
    B: Store,
    ReqBody: AnyBody,
{
    // Whatever fails, the stored response is served on.
    let stored = match ctx.call_origin(upstream, lookup, leader, Fallback::Always).await {
        Fetched::Failed(_) => return Err(RefreshError::Call),
        Fetched::StaleIfError(_, why) => return Err(why),
        Fetched::Freshened(_, stored) => stored,
        Fetched::Received(Received::NotStored(_, _, _, refusal)) => Stored::No(refusal),
        Fetched::Received(Received::Storing(_, tee, mut body)) => {
            while let Some(frame) = poll_fn(|cx| body.poll_frame(cx)).await {
                frame.map_err(|_| RefreshError::Body)?;
            }
            match tee.progress.get() {
                Some(Err(refusal)) => Stored::No(*refusal),
                _ => Stored::Yes,
            }
        }
    };
    match stored {
        // A newer response, or a removal, is as good as a refresh.
        Stored::Yes | Stored::Pending => Ok(()),
        Stored::No(refusal) if refusal.is_overtaken() => Ok(()),
        Stored::No(refusal) => Err(RefreshError::NotStored(refusal)),
    }
}

/// Reports how a refresh ended.
struct Report<B> {
    cache: Arc<Inner<B>>,
    key: Key,
    call_key: Key,
    url: Arc<str>,
}

impl<B> Report<B> {
    fn report(self, refreshed: Result<(), RefreshError>) {
        let Self { cache, key, call_key, url } = self;
        let Err(reason) = refreshed else { return cache.shared.backoff.succeeded(&call_key) };
        cache.shared.backoff.failed(&call_key, cache.settings.clock.now());
        let failure = RefreshFailure { key, url: url.to_string(), reason };
        cache.observer().tell(&Event::RefreshFailed { failure: &failure });
    }
}

/// Reports a refresh that panics, too. A refresh that is stopped has nothing to report.
struct Running<B>(Option<Report<B>>);

impl<B> Running<B> {
    fn report(mut self, refreshed: Result<(), RefreshError>) {
        if let Some(report) = self.0.take() {
            report.report(refreshed);
        }
    }
}

impl<B> Drop for Running<B> {
    fn drop(&mut self) {
        match self.0.take() {
            Some(report) if thread::panicking() => report.report(Err(RefreshError::Panicked)),
            Some(Report { cache, call_key, .. }) => cache.shared.backoff.abandoned(&call_key),
            None => {}
        }
    }
}
