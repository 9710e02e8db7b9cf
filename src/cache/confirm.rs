//! What a 304 makes of a stored response (RFC 9111 §4.3.4): a new head before the same body.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, response};
use http_body::Body;

use super::{
    errand::Errand,
    fetch::Fetched,
    flight::{Confirmed, Landed, Lead},
    place::{Missed, Place, path_tag},
    search,
};
use crate::{
    entry::Head,
    event::{Event, StoreOperation},
    key::Key,
    options::CacheOptions,
    policy::{self, Exchange, HeadSays},
    status::{Refusal, Stored},
    store::{self, Hit, Store, Version},
    time::Timestamp,
};

/// A stored response as an answer of its origin has renewed it.
pub(super) struct Renewed {
    /// As the one who has asked gets it.
    pub(super) head: Arc<Head>,
    /// As it may be stored, and handed to others, or why not.
    pub(super) stored: Result<Arc<Head>, Refusal>,
}

impl<S, B: Store, ReqBody: Body<Data = Bytes>> Errand<S, B, ReqBody> {
    /// Renews the entry that was `kept`, by compare and swap: what has taken its place meanwhile is newer, and a removal
    /// stays one. The body is not touched.
    pub(super) async fn confirm<ResBody: Body, E>(
        &mut self,
        missed: &Missed,
        key: Key,
        mut hit: Hit,
        not_modified: &HeaderMap,
        requested_at: Timestamp,
        mut lead: Lead,
    ) -> Fetched<ResBody, E> {
        let (old, now) = (hit.head.clone(), self.cache.settings.clock.now());
        let response = self.updated(&old, not_modified, now);
        let has_moved = self.has_moved(missed, &key, &old, &response, now);
        let renewed = self.renewed(&old, &response, has_moved, requested_at, now);
        hit.head = renewed.head;

        let stored = match &renewed.stored {
            Err(refusal) => {
                let exchange = Exchange {
                    options: &self.options,
                    url: &self.url.text,
                    request: &self.parts,
                    response: &response,
                    requested_at,
                    now,
                };
                if self.cache.settings.rules.ends_by_304(&old, &exchange, has_moved) {
                    // What fails is told, and leaves what was there.
                    drop(self.cache.remove_seen(&key, hit.version, requested_at).await);
                }
                Stored::No(*refusal)
            }
            Ok(head) => match self.renew(missed, &key, hit.version, head, &response, &lead).await {
                Ok(true) => Stored::Yes,
                Ok(false) => Stored::No(Refusal::Superseded),
                Err(error) => Stored::No(Refusal::StoreFailed(error.kind())),
            },
        };
        match stored {
            Stored::Yes => lead.arrived(),
            Stored::No(refusal) => {
                self.cache.observer().tell(&Event::NotStored { key: &key, refusal });
            }
            Stored::Pending => {}
        }
        lead.land(match (stored, renewed.stored) {
            // The others find what has taken its place.
            (Stored::No(Refusal::Superseded), _) => Landed::LookAgain,
            (_, Ok(head)) => {
                Landed::Confirmed(Arc::new(Confirmed { key, version: hit.version, head, stored }))
            }
            // What may not be kept, such as a cookie, is this request's alone.
            (_, Err(_)) => Landed::Alone,
        });
        Fetched::Confirmed(key, hit, stored)
    }

    /// The stored response with the fields of an answer that speaks of it.
    pub(super) fn updated(
        &self,
        old: &Head,
        answer: &HeaderMap,
        now: Timestamp,
    ) -> response::Parts {
        let (mut response, ()) = Response::new(()).into_parts();
        response.status = old.status();
        response.version = old.version();
        response.headers = self.cache.settings.rules.merged(old.headers(), answer, now);
        response
    }

    /// What an answer has made of the stored response under `old`: a head for the one who has asked, and one to be stored.
    pub(super) fn renewed(
        &self,
        old: &Head,
        response: &response::Parts,
        has_moved: bool,
        requested_at: Timestamp,
        now: Timestamp,
    ) -> Renewed {
        let (rules, url) = (&self.cache.settings.rules, self.url.text.as_str());
        let exchange = Exchange {
            options: &self.options,
            url,
            request: &self.parts,
            response,
            requested_at,
            now,
        };
        let admitted = rules.admit(&exchange).and_then(|admission| {
            if has_moved {
                return Err(Refusal::Vary);
            }
            let mut tags = rules.tags.renew(&self.options, &self.parts, old, response)?;
            let path = path_tag(&self.cache.settings, url, &response.headers);
            tags.extend(path.filter(|tag| !tags.contains(tag)));
            Ok((admission, rules.with_groups(tags, url, &response.headers)?))
        });
        let make = |fields: HeaderMap, expires_at, tags| {
            // What the request's fields ask for is no reason to keep it longer.
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
        match admitted {
            Ok((admission, tags)) => {
                let expires_at = admission.expires_at;
                let head = whole(expires_at, tags.clone());
                let stored = if admission.withheld.is_empty() {
                    head.clone()
                } else {
                    let fields = response.headers.clone();
                    make(rules.stored_fields(fields, &admission, now), expires_at, tags)
                };
                Renewed { head, stored: Ok(stored) }
            }
            Err(refusal) => {
                let head = whole(old.expires_at(), old.tags().to_vec());
                Renewed { head, stored: Err(refusal) }
            }
        }
    }

    /// Does to the stored response to a `GET` what the answer to a `HEAD` says of it (RFC 9111 §4.3.5): renews it, or
    /// removes what is another by now.
    pub(super) async fn heed_head(
        &mut self,
        key: &Key,
        seen: Version,
        old: &Head,
        answer: &response::Parts,
        requested_at: Timestamp,
        lead: &Lead,
    ) {
        let rules = &self.cache.settings.rules;
        let says = rules.head_says(old, answer);
        // Who may not say what is stored may not say what is not, either.
        let is_heard = rules.may_keep(&self.options) && !rules.is_personal(&self.parts.headers);
        if says == HeadSays::Nothing || !is_heard {
            return;
        }
        let now = self.cache.settings.clock.now();
        let response = self.updated(old, &answer.headers, now);
        let has_moved = self.varies_anew(old, &response);
        // What fails is told, and leaves what was there.
        if says == HeadSays::Changed {
            drop(self.cache.remove_seen(key, seen, requested_at).await);
        } else if let Ok(head) = self.renewed(old, &response, has_moved, requested_at, now).stored
            // It may have been removed by a tag that only this answer has brought.
            && lead.info(|bound| bound.removed.may_renew(key, seen, &head))
        {
            let update = self.cache.shared.store.update(key, seen, Head::clone(&head));
            drop(self.cache.observer().asked(StoreOperation::Update, key, update).await);
        }
    }

    /// Whether the response, by what the 304 says it varies by, belongs under another key than `key`, where requests find
    /// it that it may not answer.
    fn has_moved(
        &self,
        missed: &Missed,
        key: &Key,
        old: &Head,
        response: &response::Parts,
        now: Timestamp,
    ) -> bool {
        if !self.varies_anew(old, response) {
            return false;
        }
        let place = Place { request: &self.parts, url: self.url.text.as_str(), missed };
        let keys = place.keys(&self.cache.settings, response, None, now);
        !keys.is_ok_and(|keys| keys.key == *key)
    }

    /// Whether the response varies by other fields than it did.
    pub(super) fn varies_anew(&self, old: &Head, response: &response::Parts) -> bool {
        let vary = |headers| policy::vary(headers, &self.cache.settings.recipe.ignored_headers);
        vary(old.headers()) != vary(&response.headers)
    }

    /// Puts the new head in the old one's place, and raises the ends of the list of variants that leads there.
    async fn renew(
        &mut self,
        missed: &Missed,
        key: &Key,
        seen: Version,
        head: &Head,
        response: &response::Parts,
        lead: &Lead,
    ) -> store::Result<bool> {
        let (store, observer) = (&self.cache.shared.store, self.cache.observer());
        // It may have been removed by a tag that only the 304 has brought. From here on, a removal by such a tag also
        // removes this entry.
        if !lead.info(|bound| bound.removed.may_renew(key, seen, head)) || lead.is_doomed() {
            return Ok(false);
        }
        self.cache.shared.flights.overtake(&lead.id(), key).await;
        let update = store.update(key, seen, head.clone());
        if !observer.asked(StoreOperation::Update, key, update).await? {
            return Ok(false);
        }
        let url = self.url.text.as_str();
        let place = Place { request: &self.parts, url, missed };
        let (expires_at, now) = (head.expires_at(), head.stored_at());
        let keys = place.keys(&self.cache.settings, response, expires_at, now);
        if let Ok(keys) = keys
            && keys.key == *key
            && let Some(list) = keys.list
            && !lead.is_doomed()
        {
            let there =
                observer.asked(StoreOperation::Get, &list.primary, store.get(&list.primary));
            let there = there.await?;
            list.lay(store, observer, there).await?;
        }
        if !lead.is_doomed() {
            let Self { cache, parts, url, .. } = &*self;
            let notes = search::notes(&cache.settings, parts, url, head, head.stored_at());
            search::lay(cache, notes).await;
        }
        Ok(true)
    }
}
