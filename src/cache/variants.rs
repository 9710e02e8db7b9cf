//! What a 304 says of other variants than the one that was asked for: that one of them is what the origin would have sent
//! (RFC 9111 §4.3.1, §4.3.4), and that others are the same response.

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body::Body;

use super::{errand::Errand, flight::Lead, lookup::read, place::Missed};
use crate::{
    entry::{Head, Variant},
    event::StoreOperation,
    key::Key,
    policy,
    store::{Hit, Store},
    time::Timestamp,
};

impl<S, B: Store, ReqBody: Body<Data = Bytes>> Errand<S, B, ReqBody> {
    /// The variants by whose tags the origin is asked, since that of the request is not stored.
    pub(super) fn nominees<'a>(&self, missed: &'a Missed) -> Vec<&'a Variant> {
        let is_asked = self.parts.method == Method::GET
            && !self.options.force_refresh
            && self.may_keep(&missed.key);
        let list = missed.list().filter(|_| is_asked);
        list.map(|list| policy::nominees(list, &missed.key)).unwrap_or_default()
    }

    /// The stored response that the 304 has chosen, where it is still there as it was, and one for this request.
    ///
    /// It is not copied: the list of variants learns that it answers for this one as well. So nothing of a body is written,
    /// however large it is, and however many kinds of request the origin has the same answer for.
    pub(super) async fn chosen(
        &mut self,
        nominees: &[&Variant],
        not_modified: &HeaderMap,
    ) -> Option<(Key, Hit)> {
        let variant = policy::chosen(nominees, not_modified)?;
        let hit = read(&self.cache, &variant.entry).await.ok()??;
        let (rules, head) = (&self.cache.settings.rules, &hit.head);
        let is_it = head.is_response()
            && policy::has_tag(head.headers(), &variant.tag)
            && policy::confirms(head.headers(), not_modified)
            && policy::suits(&self.parts.headers, head.headers())
            && rules.may_be_confirmed(&self.options, &self.parts.method, head);
        is_it.then_some((variant.entry, hit))
    }

    /// Renews the other variants that have the same strong tag as the one under `key`, which was `old` (RFC 9111 §4.3.4).
    /// A tag that is weak, or none, speaks of that one alone.
    ///
    /// What fails leaves a variant as it was. Where more than [negotiation](policy::is_negotiated) selects the
    /// response, fields that came with the answer to one user are not those of others.
    pub(super) async fn renew_alike(
        &mut self,
        missed: &Missed,
        key: &Key,
        old: &Head,
        not_modified: &HeaderMap,
        requested_at: Timestamp,
        lead: &Lead,
    ) {
        let Some(list) = missed.list().filter(|list| policy::is_negotiated(list)) else { return };
        let Some(tag) = policy::strong_tag(not_modified) else { return };
        if !policy::has_tag(old.headers(), tag) {
            return;
        }
        let alike = list.latest().filter(|it| !it.is_lent() && it.entry != *key && *it.tag == *tag);
        for variant in alike {
            let Ok(Some(hit)) = read(&self.cache, &variant.entry).await else { continue };
            let rules = &self.cache.settings.rules;
            let is_it = hit.head.is_response()
                && hit.head.method() == old.method()
                && rules.may_be_confirmed(&self.options, &self.parts.method, &hit.head)
                && policy::has_tag(hit.head.headers(), tag)
                && policy::confirms(hit.head.headers(), not_modified)
                // Who has asked later knows better.
                && hit.head.requested_at() <= requested_at;
            if !is_it || lead.is_doomed() {
                continue;
            }
            let now = self.cache.settings.clock.now();
            let response = self.updated(&hit.head, not_modified, now);
            let has_moved = self.varies_anew(&hit.head, &response);
            let renewed = self.renewed(&hit.head, &response, has_moved, requested_at, now);
            let Ok(head) = renewed.stored else { continue };
            let (key, seen) = (&variant.entry, hit.version);
            if !lead.info(|bound| bound.removed.may_renew(key, seen, &head)) {
                continue;
            }
            let update = self.cache.shared.store.update(key, seen, Head::clone(&head));
            // What fails is told, and leaves the variant as it was.
            drop(self.cache.observer().asked(StoreOperation::Update, key, update).await);
        }
    }
}
