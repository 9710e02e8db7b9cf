//! Freshens a stored response: after a 304 (RFC 9111 §4.3.4), and after the response to a `HEAD`
//! (§4.3.5). A new head replaces the old one by compare and swap, and the body stays. What has
//! taken the entry's place meanwhile is newer, and a removal stays one.

use std::sync::Arc;

use http::{HeaderMap, Response, response};

use super::{
    context::RequestContext,
    lookup::{LookupKeys, Selected},
    no_vary_search,
    outcome::{CallOutcome, Freshened, Leader},
    store::{Candidate, path_tag, varies_anew},
};
use crate::{
    entry::Head,
    event::Event,
    key::Key,
    options::CacheOptions,
    policy::HeadSays,
    status::{Refusal, Stored},
    store::{self, Store, Version},
    time::Timestamp,
};

/// A stored response with the fields of an answer about it.
struct NewHead {
    /// For the request that asked.
    answer: Arc<Head>,
    /// For the store and for others, or why they do not get it.
    stored: Result<Arc<Head>, Refusal>,
}

impl<B: Store> RequestContext<B> {
    /// Freshens the selected response after a 304 with these fields, and settles the call with it.
    /// Returns the response as the request receives it, and whether the store has it so.
    pub(super) async fn freshen(
        &self,
        lookup_key: &LookupKeys,
        mut selected: Selected,
        not_modified: &HeaderMap,
        requested_at: Timestamp,
        mut leader: Leader,
    ) -> (Selected, Stored) {
        let (old, now) = (selected.hit.head.clone(), self.cache.settings.clock.now());
        let Selected { key, hit } = &mut selected;
        let response = self.merged(&old, not_modified, now);
        let candidate = self.candidate(lookup_key, &response, requested_at, now);
        let has_moved = varies_anew(&self.cache.settings, &old, &response)
            // Requests that it must not answer would find it under its key.
            && !candidate.keys(None).is_ok_and(|keys| keys.key == *key);
        let new = self.new_head(&old, &response, has_moved, requested_at, now);
        hit.head = new.answer;

        let stored = match &new.stored {
            Err(refusal) => {
                // An older 304 in flight must not freshen the response after this one.
                self.view().supersede_in_flight(lookup_key, &leader.id()).await;
                let exchange = self.exchange(&response, requested_at, now);
                let ends =
                    |head: &Head| self.cache.settings.rules.ends_by_304(head, &exchange, has_moved);
                if ends(&old) {
                    let request = self.view();
                    request.remove_superseded(key, hit.version, &old, requested_at).await;
                    request.remove_ended(lookup_key, None, true, requested_at).await;
                } else if let Ok(Some(stored)) = self.cache.handle.get(key).await
                    && stored.head.is_response()
                    && stored.head.requested_at() <= requested_at
                    && ends(&stored.head)
                {
                    // An older 304 has changed it since.
                    let (seen, head) = (stored.version, stored.head);
                    self.view().remove_superseded(key, seen, &head, requested_at).await;
                }
                Stored::No(*refusal)
            }
            Ok(head) => match self.replace_head(candidate, key, hit.version, head, &leader).await {
                Ok(Ok(())) => Stored::Yes,
                Ok(Err(refusal)) => Stored::No(refusal),
                Err(error) => Stored::No(Refusal::StoreFailed(error.kind())),
            },
        };
        match stored {
            Stored::Yes => leader.has_stored(),
            Stored::No(refusal) => {
                self.cache.observer().tell(&Event::NotStored { key, refusal });
            }
            Stored::Pending => {}
        }
        leader.settle(match (stored, new.stored) {
            // The followers find what has taken its place.
            (Stored::No(refusal), _) if refusal.is_overtaken() => CallOutcome::LookAgain,
            (_, Ok(head)) => CallOutcome::Freshened(Arc::new(Freshened {
                key: *key,
                version: hit.version,
                head,
                stored,
            })),
            // What must not be stored, such as a cookie, belongs to this request alone.
            (_, Err(_)) => CallOutcome::Independent,
        });
        (selected, stored)
    }

    /// Applies the response to a `HEAD` to the stored response to a `GET`: freshens it, or removes
    /// it if there is another representation by now.
    pub(super) async fn update_by_head(
        &self,
        key: &Key,
        seen: Version,
        old: &Arc<Head>,
        answer: &response::Parts,
        requested_at: Timestamp,
        leader: &Leader,
    ) {
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
            self.view().remove_superseded(key, seen, old, requested_at).await;
            return;
        }
        match self.new_head(old, &response, has_moved, requested_at, now).stored {
            // It may have been removed by a tag that only this answer has brought.
            Ok(head) if leader.info(|call| call.removed.begin_freshening(key, seen, &head)) => {
                // The observer hears of a failure, and what was there stays.
                drop(self.cache.handle.update(key, seen, Head::clone(&head)).await);
            }
            Ok(_) => {}
            Err(_) => {
                let exchange = self.exchange(&response, requested_at, now);
                if rules.ends_by_304(old, &exchange, has_moved) {
                    self.view().remove_superseded(key, seen, old, requested_at).await;
                }
            }
        }
    }

    /// The stored response with the fields of an answer about it.
    fn merged(&self, old: &Head, answer: &HeaderMap, now: Timestamp) -> response::Parts {
        let (mut response, ()) = Response::new(()).into_parts();
        response.status = old.status();
        response.version = old.version();
        response.headers = self.cache.settings.rules.merged(old.headers(), answer, now);
        response
    }

    /// The head that an answer makes of the stored one. `has_moved` is whether the response belongs
    /// under another key by now.
    fn new_head(
        &self,
        old: &Head,
        response: &response::Parts,
        has_moved: bool,
        requested_at: Timestamp,
        now: Timestamp,
    ) -> NewHead {
        let (settings, url) = (&self.cache.settings, self.url.text.as_str());
        let rules = &settings.rules;
        let exchange = self.exchange(response, requested_at, now);
        let storable = rules.storable(&exchange).and_then(|storable| {
            if has_moved {
                return Err(Refusal::Vary);
            }
            let mut tags = rules.tags.freshen(&self.options, &self.parts, old, response)?;
            let path = path_tag(settings, url, &response.headers);
            tags.extend(path.filter(|tag| !tags.contains(tag)));
            Ok((storable, rules.with_groups(tags, url, &response.headers)?))
        });
        let make = |fields: HeaderMap, expires_at, tags| {
            // The fields of the request are no reason to keep it longer.
            let own = CacheOptions::of(&self.parts.extensions);
            let keep_until = rules.keep_until(own, &fields, expires_at, now);
            let mut parts = response.clone();
            parts.headers = fields;
            let head = Head::new(old.method().clone(), old.url(), parts, now)
                .with_requested_at(requested_at)
                .with_expires_at(expires_at)
                .with_keep_until(keep_until)
                .with_tags(tags)
                .carry_body(old);
            Arc::new(head)
        };
        let whole = |expires_at, tags| make(response.headers.clone(), expires_at, tags);
        match storable {
            Ok((storable, tags)) => {
                let expires_at = storable.expires_at;
                let answer = whole(expires_at, tags.clone());
                let stored = if storable.omitted.is_empty() {
                    answer.clone()
                } else {
                    let fields = response.headers.clone();
                    make(rules.stored_fields(fields, &storable, now), expires_at, tags)
                };
                NewHead { answer, stored: Ok(stored) }
            }
            Err(refusal) => {
                let answer = whole(old.expires_at(), old.tags().to_vec());
                NewHead { answer, stored: Err(refusal) }
            }
        }
    }

    /// Replaces the head of the entry that was seen, and keeps the variance record as long as the
    /// entry. Refuses if there is another entry by now, or it was removed.
    async fn replace_head(
        &self,
        candidate: Candidate<'_>,
        key: &Key,
        seen: Version,
        head: &Arc<Head>,
        leader: &Leader,
    ) -> store::Result<Result<(), Refusal>> {
        let handle = &self.cache.handle;
        // It may have been removed by a tag that only the 304 has brought. From here on, a removal
        // by such a tag also removes this entry.
        if !leader.info(|call| call.removed.begin_freshening(key, seen, head))
            || leader.is_invalidated()
        {
            return Ok(Err(Refusal::Removed));
        }
        if let Some(refusal) = leader.superseded(None) {
            return Ok(Err(refusal));
        }
        self.cache.shared.calls.supersede(&leader.id(), key).await;
        if !handle.update(key, seen, Head::clone(head)).await? {
            return Ok(Err(Refusal::Conflict));
        }
        if let Some(refusal) = leader.superseded(None) {
            // A newer 304, which is not stored, has arrived meanwhile.
            if let Some(hit) = handle.get(key).await?
                && hit.head == *head
            {
                handle.remove_if(key, hit.version).await?;
            }
            return Ok(Err(refusal));
        }
        if let Ok(keys) = candidate.keys(head.expires_at())
            && keys.key == *key
            && let Some(record) = keys.record
            && !leader.is_invalidated()
        {
            let stored = handle.get(&record.primary).await?;
            record.write(handle, stored).await?;
        }
        if !leader.is_invalidated() {
            let (settings, now) = (&self.cache.settings, head.stored_at());
            let annotations =
                no_vary_search::annotations(settings, &self.parts, &self.url, head, now);
            handle.put_annotations(annotations).await;
        }
        Ok(Ok(()))
    }
}
