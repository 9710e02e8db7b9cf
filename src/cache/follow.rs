//! Joins a call in flight, and what a follower does with its outcome.

use std::{cell::Cell, sync::Mutex, time::Duration};

use http::Response;
use http_body::Body;

use super::{
    body::ResponseBody,
    coalesce::{CallInfo, Join},
    context::{OriginBody, RequestContext},
    lookup::{Found, Lookup, Selected},
    no_vary_search,
    outcome::{Followed, Follower, Freshened, Leader, Role, Share, Uncounted},
    respond,
    tee::{JoinedBody, SharedBody, Tee},
};
use crate::{
    entry::Head,
    policy::Verdict,
    runtime::within,
    status::{CacheStatus, Stale},
    store::Store,
};

/// After this many failed calls, a follower makes its own call. If it may be served a stale
/// response, it receives that after the first failed call.
const MAX_FAILURES: u32 = 2;

/// How often a request repeats its lookup before it makes its own call. By then, what others store
/// is of no use to it.
const MAX_LOOKUPS: u32 = 8;

/// How a request takes part in coalescing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It makes its own call, which nobody joins.
    Independent,
    /// It joins a call in flight, or makes one that others may join. `lookups` counts how often it
    /// has looked into the store again.
    MayJoin { lookups: u32 },
    /// It makes its own call, which others may join.
    MustLead,
}

impl Mode {
    pub(super) fn of<B>(ctx: &RequestContext<B>, lookup: &Lookup) -> Self {
        match () {
            () if !ctx.may_coalesce(&lookup.key.call) => Self::Independent,
            () if ctx.options.force_refresh => Self::MustLead,
            () => Self::MayJoin { lookups: 0 },
        }
    }

    /// The mode after another look into the store.
    fn after_lookup(self) -> Self {
        match self {
            Self::MayJoin { lookups: MAX_LOOKUPS } => Self::Independent,
            Self::MayJoin { lookups } => Self::MayJoin { lookups: lookups + 1 },
            mode => mode,
        }
    }
}

/// The result of joining.
pub(super) enum Joined<ResBody: Body> {
    /// The request makes the call.
    Leader(Leader, Box<Lookup>),
    Response(Response<ResponseBody<ResBody>>),
    /// The request tries again, in this mode and with this lookup.
    Retry(Mode, Box<Lookup>),
}

impl<B: Store> RequestContext<B> {
    /// Joins the call in flight for the request, or begins one.
    pub(super) async fn join<ResBody: OriginBody>(
        &mut self,
        lookup: Box<Lookup>,
        mode: Mode,
    ) -> Joined<ResBody> {
        let key = lookup.key.call;
        let join = match mode {
            _ if self.is_inside_call(&key) => Join::Independent,
            Mode::Independent => Join::Independent,
            Mode::MustLead => Join::MustLead,
            Mode::MayJoin { .. } => Join::Either,
        };
        let max_failures = if self.may_serve_found_if_error(&lookup) { 1 } else { MAX_FAILURES };
        let (calls, info) = (&self.cache.shared.calls, self.call_info(&lookup));
        match calls.join(&key, info, &lookup.generation, join, max_failures) {
            Role::Leader(leader) => Joined::Leader(self.counted(leader), lookup),
            // The call began before this request arrived.
            Role::Share(share) if self.options.refresh || self.has_expired(&share) => {
                Joined::Retry(Mode::MustLead, lookup)
            }
            // The rest is boxed: most requests wait for no other.
            Role::Share(share) => {
                self.has_waited = true;
                Box::pin(self.take_share(share, lookup, mode)).await
            }
            Role::LookAgain | Role::InFlight => Box::pin(self.look_again_after_call(mode)).await,
            Role::Follower(follower) => Box::pin(self.follow(follower, lookup, mode)).await,
        }
    }

    /// Waits for another request's call.
    async fn follow<ResBody: OriginBody>(
        &mut self,
        follower: Follower,
        lookup: Box<Lookup>,
        mode: Mode,
    ) -> Joined<ResBody> {
        self.has_waited = true;
        match within(self.longest_wait(), follower).await {
            Some(Followed::Leader(leader)) => Joined::Leader(self.counted(leader), lookup),
            Some(Followed::Share(share)) => self.take_share(share, lookup, mode).await,
            // Nothing was fetched that is as new as this request requires.
            Some(Followed::JoinAgain) => self.look_again(mode).await,
            Some(Followed::Failed) => self.stale_or_own_call(lookup),
            // It has waited long enough.
            None => Joined::Retry(Mode::Independent, lookup),
        }
    }

    /// Answers with the share of another request's call.
    async fn take_share<ResBody: OriginBody>(
        &mut self,
        share: Share,
        lookup: Box<Lookup>,
        mode: Mode,
    ) -> Joined<ResBody> {
        match share {
            Share::Independent => Joined::Retry(Mode::Independent, lookup),
            Share::LookAgain => self.look_again_after_call(mode).await,
            Share::Freshened(freshened) if !self.may_follow(&freshened.head) => {
                Joined::Retry(Mode::Independent, lookup)
            }
            Share::Freshened(freshened) => match self.freshened(&freshened, lookup) {
                Some(response) => Joined::Response(response),
                None => self.look_again_after_call(mode).await,
            },
            // A key of the user's own may serve several methods. Another clone of the layer may
            // store what the rules of this one forbid.
            Share::Body(tee, _) if !self.may_be_answered_by(&tee) => {
                Joined::Retry(Mode::Independent, lookup)
            }
            Share::Body(tee, joined) => {
                if self.is_another_variant(&tee, &lookup) {
                    let primary = lookup.key.primary;
                    let residents = self.cache.shared.calls.residents(&primary);
                    let Some(resident) = residents.into_iter().next() else {
                        return self.look_again(mode).await;
                    };
                    let lookup = self.view().lookup_beside(primary, resident).await;
                    return Joined::Retry(mode.after_lookup(), Box::new(lookup));
                }
                match joined {
                    JoinedBody::FromStart(reader) => {
                        let body = SharedBody::follow(reader);
                        Joined::Response(self.shared(&tee, body))
                    }
                    JoinedBody::Late(settling) => {
                        let settled = within(self.longest_wait(), settling.done()).await;
                        let mode = if settled.is_none() { Mode::Independent } else { mode };
                        self.look_again_after_call(mode).await
                    }
                }
            }
        }
    }

    /// Called after as many failed calls as the request waits for. Serves the stale response if
    /// that is allowed. Otherwise the request makes its own call.
    fn stale_or_own_call<ResBody: OriginBody>(&self, mut lookup: Box<Lookup>) -> Joined<ResBody> {
        match lookup.take_found() {
            Found::Stale(selected) if self.may_serve_if_error(&selected) => {
                let verdict = Verdict::Stale(Stale::IfError);
                Joined::Response(respond::from_store(self, selected, verdict))
            }
            found => {
                lookup.found = found;
                Joined::Retry(Mode::Independent, lookup)
            }
        }
    }

    /// The stored response that this request has found, with the head that another request's call
    /// has made. `None` if the call has freshened another entry.
    fn freshened<ResBody: OriginBody>(
        &self,
        freshened: &Freshened,
        lookup: Box<Lookup>,
    ) -> Option<Response<ResponseBody<ResBody>>> {
        let Found::Stale(mut selected) = lookup.found else { return None };
        let Selected { key, hit, .. } = &mut selected;
        if *key != freshened.key || hit.version != freshened.version {
            return None;
        }
        hit.head = freshened.head.clone();
        let now = self.cache.settings.clock.now();
        let (reason, stored) = (self.first_reason, freshened.stored);
        let status = CacheStatus::revalidated(reason, *key, &hit.head, now, true, stored);
        Some(respond::stored(&self.cache, &self.parts, selected, status))
    }

    /// A response in flight.
    fn shared<ResBody: OriginBody>(
        &self,
        tee: &Tee,
        body: SharedBody<ResBody::Error>,
    ) -> Response<ResponseBody<ResBody>> {
        let (head, progress) = (&tee.head, tee.progress.clone());
        let now = self.cache.settings.clock.now();
        let status = CacheStatus::coalesced(self.first_reason, tee.key, Some(head), now, progress);
        let response = respond::not_modified(&self.parts, head)
            .unwrap_or_else(|| respond::shared(head, ResponseBody::shared(body)));
        respond::report(&self.cache, self.line(), response, status)
    }

    /// Looks into the store again, after another request's call: that is as good as a refresh.
    async fn look_again_after_call<ResBody: OriginBody>(&mut self, mode: Mode) -> Joined<ResBody> {
        // What was fetched since this request arrived is as new as it requires.
        self.options.refresh &= !self.has_waited;
        self.look_again(mode).await
    }

    /// Looks into the store again, for what the request requires.
    async fn look_again<ResBody: OriginBody>(&self, mode: Mode) -> Joined<ResBody> {
        let lookup = no_vary_search::lookup(self.view(), None).await;
        Joined::Retry(mode.after_lookup(), Box::new(lookup))
    }
}

impl<B: Store> RequestContext<B> {
    /// What is known of a call before it has a response.
    pub(super) fn call_info(&self, lookup: &Lookup) -> CallInfo {
        CallInfo {
            primary: lookup.key.primary,
            part: None,
            url: self.url.text.clone(),
            tags: self.options.tags.clone(),
            freshening: Mutex::default(),
            names: lookup.key.names().to_vec(),
            others: Cell::default(),
        }
    }

    fn counted(&self, leader: Uncounted) -> Leader {
        Leader::counted(leader, self.cache.observer())
    }

    /// The longest that the request waits for another request's call.
    fn longest_wait(&self) -> Option<Duration> {
        let longest = self.cache.settings.calls.coalesce_wait;
        [longest, self.time_left()].into_iter().flatten().min()
    }

    /// Whether the response in flight has expired already. Its body may take long.
    fn has_expired(&self, share: &Share) -> bool {
        let now = self.cache.settings.clock.now();
        matches!(share, Share::Body(tee, _) if tee.head.is_expired(now))
    }

    /// Whether the response in flight may answer this request by this layer's own rules.
    fn may_be_answered_by(&self, tee: &Tee) -> bool {
        *tee.head.method() == self.parts.method
            && self.cache.settings.rules.may_answer(&self.parts.method, &tee.head).is_ok()
            && self.may_follow(&tee.head)
    }

    /// Whether a response with this head, which another request's call has brought, may answer this
    /// request.
    fn may_follow(&self, head: &Head) -> bool {
        let now = self.cache.settings.clock.now();
        self.cache.settings.rules.may_follow(&self.options, head, now)
    }

    /// Whether a stale response was found that may be served if the origin fails.
    fn may_serve_found_if_error(&self, lookup: &Lookup) -> bool {
        matches!(&lookup.found, Found::Stale(selected) if self.may_serve_if_error(selected))
    }

    /// Whether the response in flight is another variant than this request selects.
    fn is_another_variant(&self, tee: &Tee, lookup: &Lookup) -> bool {
        let own = |names: &[_]| self.view().variant(&lookup.key.primary, names);
        tee.names.as_deref().is_some_and(|names| own(names) != tee.call_key)
    }
}
