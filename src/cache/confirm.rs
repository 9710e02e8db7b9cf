//! What a 304 makes of a stored response (RFC 9111 §4.3.4): a new head before the same body.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Response, response};
use http_body::Body;

use super::{
    errand::Errand,
    fetch::Fetched,
    flight::{Confirmed, Landed, Lead},
    place::{Missed, Place},
};
use crate::{
    entry::Head,
    key::Key,
    policy::{self, Exchange, HeadSays},
    stats::Count,
    status::{Refusal, Stored},
    store::{self, Hit, Store, Version, Writer},
    time::Timestamp,
    trace,
};

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
        let settings = &*self.cache.settings;
        let (url, old) = (self.url.text.as_str(), hit.head.clone());
        let (mut response, ()) = Response::new(()).into_parts();
        response.status = old.status();
        response.version = old.version();
        let now = settings.clock.now();
        response.headers = settings.rules.merged(old.headers(), not_modified, now);
        let mut admitted = settings.rules.admit(&Exchange {
            options: &self.options,
            url,
            request: &self.parts,
            response: &response,
            requested_at,
            now,
        });
        if self.has_moved(missed, &key, &old, &response, now) {
            admitted = Err(Refusal::Vary);
        }
        let tags = admitted
            .as_ref()
            .map_err(|refusal| *refusal)
            .and_then(|_| settings.rules.tags.renew(&self.options, &self.parts, &old, &response))
            .and_then(|tags| settings.rules.with_groups(tags, url, &response.headers));
        let tags = tags.unwrap_or_else(|refusal| {
            admitted = Err(refusal);
            old.tags().to_vec()
        });
        let expires_at = match &admitted {
            Ok(admission) => {
                response.headers = settings.rules.stored_fields(response.headers, admission, now);
                admission.expires_at
            }
            Err(_) => old.expires_at(),
        };
        let keep_until =
            settings.rules.keep_until(&self.options, &response.headers, expires_at, now);
        let head = Head::new(old.method().clone(), old.url(), response.clone(), now)
            .with_requested_at(requested_at)
            .with_expires_at(expires_at)
            .with_keep_until(keep_until)
            .with_tags(tags)
            .carry_body(&old);
        hit.head = Arc::new(head);

        let stored = match &admitted {
            Err(refusal) => Stored::No(*refusal),
            Ok(_) => match self.renew(missed, &key, &hit, &response, now, &lead).await {
                Ok(true) => Stored::Yes,
                Ok(false) => Stored::No(Refusal::Superseded),
                Err(error) => {
                    self.cache.shared.counters.add(Count::StoreError);
                    trace::store_failed("update", &key, &error);
                    Stored::No(Refusal::StoreFailed(error.kind()))
                }
            },
        };
        match stored {
            Stored::Yes => lead.arrived(),
            Stored::No(refusal) => trace::not_stored(&key, refusal),
            Stored::Pending => {}
        }
        lead.land(match stored {
            // The others find what has taken its place.
            Stored::No(Refusal::Superseded) => Landed::LookAgain,
            // What may not be kept, such as a cookie, is this request's alone.
            Stored::No(_) if admitted.is_err() => Landed::Alone,
            _ => Landed::Confirmed(Arc::new(Confirmed {
                key,
                version: hit.version,
                head: hit.head.clone(),
                stored,
            })),
        });
        Fetched::Confirmed(key, hit, stored)
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
    ) {
        let settings = &*self.cache.settings;
        let says = settings.rules.head_says(old, answer);
        if says == HeadSays::Nothing || settings.rules.read_only {
            return;
        }
        let now = settings.clock.now();
        let (mut response, ()) = Response::new(()).into_parts();
        response.status = old.status();
        response.version = old.version();
        response.headers = settings.rules.merged(old.headers(), &answer.headers, now);
        let admitted = settings.rules.admit(&Exchange {
            options: &self.options,
            url: &self.url.text,
            request: &self.parts,
            response: &response,
            requested_at,
            now,
        });
        let vary = |headers| policy::vary(headers, &settings.recipe.ignored_headers);
        let is_same = says == HeadSays::Same && vary(old.headers()) == vary(&response.headers);
        let done = match admitted {
            Ok(admission) if is_same => {
                response.headers = settings.rules.stored_fields(response.headers, &admission, now);
                let (fields, expires_at) = (&response.headers, admission.expires_at);
                let keep_until = settings.rules.keep_until(&self.options, fields, expires_at, now);
                let head = Head::new(old.method().clone(), old.url(), response, now)
                    .with_requested_at(requested_at)
                    .with_expires_at(expires_at)
                    .with_keep_until(keep_until)
                    .with_tags(old.tags().to_vec())
                    .carry_body(old);
                self.cache.shared.store.update(key, seen, head).await
            }
            _ => self.cache.shared.remove_seen(key, seen).await,
        };
        if let Err(error) = done {
            self.cache.shared.counters.add(Count::StoreError);
            trace::store_failed("update", key, &error);
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
        let settings = &*self.cache.settings;
        let vary = |headers| policy::vary(headers, &settings.recipe.ignored_headers);
        if vary(old.headers()) == vary(&response.headers) {
            return false;
        }
        let place = Place { request: &self.parts, url: self.url.text.as_str(), missed };
        let keys = place.keys(settings, response, None, now);
        !keys.is_ok_and(|keys| keys.key == *key)
    }

    /// Puts the new head in the old one's place; the list of variants that leads there lives on with it.
    async fn renew(
        &mut self,
        missed: &Missed,
        key: &Key,
        hit: &Hit,
        response: &response::Parts,
        now: Timestamp,
        lead: &Lead,
    ) -> store::Result<bool> {
        let store = &self.cache.shared.store;
        // It may have been removed by a tag that only the 304 has brought.
        if !lead.info(|bound| bound.removed.may_renew(key, hit.version, &hit.head)) {
            return Ok(false);
        }
        if !store.update(key, hit.version, Head::clone(&hit.head)).await? {
            return Ok(false);
        }
        let url = self.url.text.as_str();
        let place = Place { request: &self.parts, url, missed };
        let keys = place.keys(&self.cache.settings, response, hit.head.expires_at(), now);
        if let Ok(keys) = keys
            && keys.key == *key
            && let Some((primary, list)) = keys.list
            && !lead.is_doomed()
        {
            store.put(&primary, list).await?.finish(None).await?;
        }
        Ok(true)
    }
}
