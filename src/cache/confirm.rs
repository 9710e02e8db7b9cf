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
    policy,
    stats::Count,
    status::{Refusal, Stored},
    store::{self, Hit, Store, Writer},
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
        response.headers = policy::merged(old.headers(), not_modified);

        let now = settings.clock.now();
        let mut admitted = settings.rules.admit(&self.options, url, &self.parts, &response, now);
        if self.has_moved(missed, &key, &old, &response, now) {
            admitted = Err(Refusal::Vary);
        }
        let tags = admitted
            .and_then(|_| settings.rules.tags.renew(&self.options, &self.parts, &old, &response));
        let tags = tags.unwrap_or_else(|refusal| {
            admitted = Err(refusal);
            old.tags().to_vec()
        });
        let expires_at = admitted.unwrap_or_else(|_| old.expires_at());
        let keep_until = settings.rules.keep_until(&self.options, &response.headers, expires_at);
        let head = Head::new(old.method().clone(), old.url(), response.clone(), now)
            .with_requested_at(requested_at)
            .with_expires_at(expires_at)
            .with_keep_until(keep_until)
            .with_tags(tags)
            .carry_body(&old);
        hit.head = Arc::new(head);

        let stored = match admitted {
            Err(refusal) => Stored::No(refusal),
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
