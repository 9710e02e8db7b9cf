//! Freshens a stored response: after a 304 (RFC 9111 §4.3.4), and after the response to a `HEAD`
//! (§4.3.5).
//!
//! A new head replaces the old one by compare and swap, and the body stays. If another entry has
//! taken the place of the one that was seen, it is newer and stays. If the entry was removed, it
//! stays removed.

use std::sync::Arc;

use http::{HeaderMap, Method, Response, StatusCode, response};

use super::{
    coalesce::StoredAt,
    context::RequestContext,
    handle::refusal_of,
    lookup::{LookupKeys, Seen, Selected},
    no_vary_search,
    outcome::{CallOutcome, Freshened, Leader},
    store::{StorageKeys, check_parameters, freshened_tags, varies_anew},
    variance::ResidentUpdate,
};
use crate::{
    entry::{Head, ResponseHead},
    event::Event,
    key::Key,
    options::CacheOptions,
    policy::{Exchange, HeadSays},
    status::{Refusal, Stored},
    store::Store,
    time::Timestamp,
};

/// How often a head is written while other requests change the variants that it leads to.
const TRIES: usize = 8;

/// A stored response with the fields of an answer about it.
struct NewHead {
    /// For the request that asked.
    answer: Arc<Head>,
    /// For the store and for followers, or why neither receives it.
    stored: Result<Arc<Head>, Refusal>,
}

impl<B: Store> RequestContext<B> {
    /// Freshens the selected response after a 304 with these fields, and settles the call with it.
    /// Returns the response as the request receives it, and whether the new head was stored.
    pub(super) async fn freshen(
        &self,
        lookup_key: &LookupKeys,
        mut selected: Selected,
        not_modified: &HeaderMap,
        requested_at: Timestamp,
        mut leader: Leader,
    ) -> (Selected, Stored) {
        let (seen, now) = (Seen::of(&selected), self.cache.settings.clock.now());
        let response = self.merged(&seen.head, not_modified, now);
        let candidate = self.candidate(lookup_key, &response, requested_at, now);
        let is_there = |keys: StorageKeys| keys.key == seen.key && keys.call_key == lookup_key.call;
        // If `Vary` has changed, requests that the entry must not answer would find it.
        let has_moved = varies_anew(&self.cache.settings, &seen.head, &response)
            && !candidate.keys(None).is_ok_and(is_there);
        let new = self.new_head(&seen.head, &response, has_moved, requested_at, now);
        selected.hit.head = new.answer;
        let stored = match &new.stored {
            Ok(head) => match self.replace_head(lookup_key, &seen, head, &leader).await {
                Ok(()) => Stored::Yes,
                Err(refusal) => Stored::No(refusal),
            },
            Err(refusal) => {
                let exchange = self.exchange(&response, requested_at, now);
                self.end_by_304(lookup_key, &seen, exchange, has_moved, &leader).await;
                Stored::No(*refusal)
            }
        };
        match stored {
            Stored::Yes if seen.key == lookup_key.primary => leader.has_stored(StoredAt::Group),
            Stored::Yes => leader.has_stored(StoredAt::Key),
            Stored::No(refusal) => {
                let (request, key) = (self.line(), &seen.key);
                let code = StatusCode::NOT_MODIFIED;
                let event = Event::NotStored { request, code, key, refusal };
                self.cache.observer().tell(&event);
            }
            Stored::Pending => {}
        }
        leader.settle(match (stored, new.stored) {
            // The followers find what has taken its place.
            (Stored::No(refusal), _) if refusal.is_overtaken() => CallOutcome::LookAgain,
            (_, Ok(head)) => {
                let Seen { key, version, .. } = seen;
                CallOutcome::Freshened(Arc::new(Freshened { key, version, head, stored }))
            }
            // What must not be stored, such as a cookie, belongs to this request alone.
            (_, Err(_)) => CallOutcome::Independent,
        });
        (selected, stored)
    }

    /// After a 304 that must not be stored, removes the stored response if the 304 forbids to use
    /// it.
    async fn end_by_304(
        &self,
        lookup_key: &LookupKeys,
        seen: &Seen,
        exchange: Exchange<'_>,
        has_moved: bool,
        leader: &Leader,
    ) {
        // An older 304 in flight must not freshen the response after this one.
        self.view().supersede_in_flight(lookup_key, &leader.id()).await;
        let requested_at = exchange.requested_at;
        let ends = |head: &Head| self.cache.settings.rules.ends_by_304(head, &exchange, has_moved);
        if ends(&seen.head) {
            self.view().remove_superseded(seen, None, requested_at).await;
            self.view().remove_ended(lookup_key, None, true, requested_at).await;
            return;
        }
        // An older 304 may have changed it since.
        if let Ok(Some(stored)) = self.cache.handle.get(&seen.key).await
            && stored.head.is_response()
            && stored.head.requested_at() <= requested_at
            && ends(&stored.head)
        {
            let seen = Seen { version: stored.version, head: stored.head, ..seen.clone() };
            self.view().remove_superseded(&seen, None, requested_at).await;
        }
    }

    /// Applies the response to a `HEAD` to the stored response to a `GET`: freshens it. If there is
    /// another representation by now, removes it and ends older ones in flight.
    pub(super) async fn update_by_head(
        &self,
        lookup_key: &LookupKeys,
        seen: &Seen,
        answer: &response::Parts,
        requested_at: Timestamp,
        leader: &Leader,
    ) {
        let old = &seen.head;
        let rules = &self.cache.settings.rules;
        let says = rules.head_says(old, answer);
        // Bad credentials must not decide about what is stored for all.
        if says == HeadSays::Nothing
            || rules.read_only
            || rules.is_authenticated(&self.parts.headers)
        {
            return;
        }
        let now = self.cache.settings.clock.now();
        let response = self.merged(old, &answer.headers, now);
        let has_moved = varies_anew(&self.cache.settings, old, &response);
        if says == HeadSays::Changed {
            self.view().supersede_related_in_flight(lookup_key, &leader.id()).await;
            self.view().remove_superseded(seen, None, requested_at).await;
            return;
        }
        match self.new_head(old, &response, has_moved, requested_at, now).stored {
            Ok(head) => {
                // The observer hears of a failure, and what was there stays.
                if self.swap_head(seen, &seen.key, &head, leader).await.is_ok() {
                    self.keep_resident(seen, &head).await;
                }
            }
            Err(_) => {
                let exchange = self.exchange(&response, requested_at, now);
                if rules.ends_by_304(old, &exchange, has_moved) {
                    self.view().remove_superseded(seen, None, requested_at).await;
                }
            }
        }
    }

    /// Applies the response to a `HEAD` to a response to a `GET` that was stored after the lookup
    /// of the `HEAD`, and not requested later.
    pub(super) async fn update_later_get_by_head(
        &self,
        lookup_key: &LookupKeys,
        answer: &response::Parts,
        requested_at: Timestamp,
        leader: &Leader,
    ) {
        let get = self.view().primary(&Method::GET);
        // It may be a variant beside a resident in flight. Those are listed first: the lookup finds
        // a resident that is stored meanwhile.
        let residents = self.cache.shared.calls.residents(&get);
        let mut found = Vec::new();
        found.extend(self.view().lookup_under(get).await.take_selected());
        for resident in residents {
            let selected = self.view().lookup_beside(get, resident).await.take_selected();
            // A resident in flight may replace one of its own family.
            found.extend(selected.filter(|it| found.iter().all(|other| other.key != it.key)));
        }
        for selected in found.iter().filter(|it| it.hit.head.requested_at() <= requested_at) {
            let seen = Seen::of(selected);
            self.update_by_head(lookup_key, &seen, answer, requested_at, leader).await;
        }
    }

    /// The stored response with the fields of an answer about it.
    fn merged(&self, old: &Head, answer: &HeaderMap, now: Timestamp) -> ResponseHead {
        let (mut response, ()) = Response::new(()).into_parts();
        response.status = old.status();
        response.version = old.version();
        response.headers = self.cache.settings.rules.merged(old.headers(), answer, now);
        ResponseHead::new(response, now)
    }

    /// Makes a new head of the stored one and of an answer about it, which `response` combines.
    /// `has_moved` is whether the response belongs under another key by now.
    fn new_head(
        &self,
        old: &Head,
        response: &ResponseHead,
        has_moved: bool,
        requested_at: Timestamp,
        now: Timestamp,
    ) -> NewHead {
        let settings = &self.cache.settings;
        let rules = &settings.rules;
        let exchange = self.exchange(response, requested_at, now);
        let storable = rules.storable(&exchange).and_then(|storable| {
            if has_moved {
                return Err(Refusal::Vary);
            }
            check_parameters(settings, &exchange)?;
            Ok((storable, freshened_tags(settings, exchange, old)?))
        });
        let complete = |head: Head, expires_at, tags| {
            // The fields of the request are no reason to keep it longer.
            let own = CacheOptions::of(&self.parts.extensions);
            let keep_until = rules.keep_until(own, response.fields(), expires_at, now);
            let head = head
                .with_requested_at(requested_at)
                .with_expires_at(expires_at)
                .with_keep_until(keep_until)
                .with_tags(tags)
                .with_variance(old.variance().cloned())
                .carry_body(old);
            Arc::new(head)
        };
        let whole = |expires_at, tags| {
            complete(Head::of(old.method().clone(), old.url(), response), expires_at, tags)
        };
        match storable {
            Ok((storable, tags)) => {
                let expires_at = storable.expires_at;
                let answer = whole(expires_at, tags.clone());
                let stored = if storable.omitted.is_empty() {
                    answer.clone()
                } else {
                    let mut parts = response::Parts::clone(response);
                    parts.headers = rules.stored_fields(&parts.headers, &storable, now);
                    let head = Head::new(old.method().clone(), old.url(), parts, now);
                    complete(head, expires_at, tags)
                };
                NewHead { answer, stored: Ok(stored) }
            }
            Err(refusal) => {
                let answer = whole(old.expires_at(), old.tags().to_vec());
                NewHead { answer, stored: Err(refusal) }
            }
        }
    }

    /// Replaces the head of the entry that was seen, and what leads to it. Refuses if there is
    /// another entry by now, or if it was removed.
    async fn replace_head(
        &self,
        lookup_key: &LookupKeys,
        seen: &Seen,
        head: &Arc<Head>,
        leader: &Leader,
    ) -> Result<(), Refusal> {
        let handle = &self.cache.handle;
        if leader.is_invalidated() {
            return Err(Refusal::Removed);
        }
        if let Some(refusal) = leader.superseded(None) {
            return Err(refusal);
        }
        self.cache.shared.calls.supersede(&leader.id(), &lookup_key.call).await;
        self.swap_head(seen, &lookup_key.call, head, leader).await?;
        // A removal that read the old head has missed a tag that only the new one has.
        let brings_tag = head.tags().iter().any(|tag| !seen.head.tags().contains(tag));
        let missed = (brings_tag && leader.is_invalidated()).then_some(Refusal::Removed);
        // A newer 304, which is not stored, may have arrived meanwhile.
        if let Some(refusal) = missed.or_else(|| leader.superseded(None)) {
            if let Some(hit) = handle.get(&seen.key).await.map_err(refusal_of)?
                && hit.head.is_same_response(head)
            {
                handle.remove_if(&seen.key, hit.version).await.map_err(refusal_of)?;
            }
            return Err(refusal);
        }
        if !leader.is_invalidated() && !self.keep_resident(seen, head).await {
            return Err(Refusal::Conflict);
        }
        if !leader.is_invalidated() {
            let (settings, now) = (&self.cache.settings, head.stored_at());
            let annotations =
                no_vary_search::annotations(settings, &self.parts, &self.url, head, now);
            handle.put_annotations(annotations).await;
        }
        Ok(())
    }

    /// Keeps the resident that leads to the entry as long as the entry. `false` if it is lost: no
    /// lookup would find the entry. The observer hears of a failure.
    async fn keep_resident(&self, seen: &Seen, head: &Head) -> bool {
        let Some(resident) = seen.resident.clone() else { return true };
        let (until, now) = (head.keep_until(), head.stored_at());
        let update = ResidentUpdate { resident, until, now };
        update.write(&self.cache.handle).await.unwrap_or(true)
    }

    /// Replaces the head of the entry that was seen. Refuses if there is another entry by now, or
    /// if it was removed. A resident that leads to more variants by now is no other entry.
    async fn swap_head(
        &self,
        seen: &Seen,
        call_key: &Key,
        head: &Head,
        leader: &Leader,
    ) -> Result<(), Refusal> {
        let handle = &self.cache.handle;
        let Seen { key, mut version, head: old, .. } = seen.clone();
        let mut head = head.clone();
        for _ in 0..TRIES {
            // It may have been removed by a tag that only this answer has brought. From here on, a
            // removal by such a tag also removes this entry.
            let calls = &self.cache.shared.calls;
            if !calls.begin_freshening(&leader.id(), &key, call_key, version, &head) {
                return Err(Refusal::Removed);
            }
            if handle.update(&key, version, head.clone()).await.map_err(refusal_of)? {
                return Ok(());
            }
            if !old.varies() {
                break;
            }
            match handle.get(&key).await.map_err(refusal_of)? {
                Some(hit) if hit.head.is_same_response(&old) => {
                    head = head.with_others(hit.head.others());
                    version = hit.version;
                }
                _ => break,
            }
        }
        Err(Refusal::Conflict)
    }
}
