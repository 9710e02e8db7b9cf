//! A part that has come beside one that is stored: both become one, and the whole where they are all of it (RFC 9111 §3.4).
//!
//! Of each response one part is kept. One that touches it makes it grow; one that lies elsewhere, or is of another
//! response, takes its place. What is stored is copied into the new entry while the new bytes come in, and is never held in
//! memory; how much is copied for how little, [`policy::join`] bounds. Of two that come at the same time, the last one
//! wins: what is missing then comes with the next request for it.

use bytes::Bytes;
use http::{Method, Request, Response, response};
use http_body::Body;
use tower_service::Service;

use super::{
    RequestBody,
    errand::Errand,
    fetch::{Admitted, Arrived, Kept},
    flight::{CallId, Lead},
    lookup::{lookup, read},
    place::{Missed, Place, path_tag},
    search,
    share::{Around, Entry, Limits},
};
use crate::{
    key::{Content, Key},
    policy::{self, Exchange, Joined, ResponseCheck, Union},
    status::Refusal,
    store::{Hit, Store, Version},
    time::Timestamp,
};

/// What has become of a part.
pub(super) enum KeptPart<ResBody: Body> {
    Kept(Kept<ResBody>),
    /// It is too small to be put to the larger one that is stored.
    Passed(Response<ResBody>),
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
    /// Stores a part as its body is read, together with the one that is stored where they are of one response. `lead` has
    /// the place of the part, and `whole` that of the whole, which it may become: there, it meets those who have asked for
    /// all of it, before and since.
    pub(super) async fn keep_part(
        &mut self,
        missed: &Missed,
        response: Response<ResBody>,
        requested_at: Timestamp,
        lead: Lead,
        whole: Lead,
    ) -> KeptPart<ResBody> {
        // By now: what was there before the call may have grown since.
        let stored = read(&self.cache, &missed.key).await.ok().flatten();
        let rules = &self.cache.settings.rules;
        let stored = stored.filter(|hit| {
            hit.head.is_response() && rules.may_answer(&self.parts.method, &hit.head).is_ok()
        });
        let (parts, body): (response::Parts, _) = response.into_parts();
        let max = self.cache.settings.max_body;
        let (union, stored) = match stored.map(|hit| (policy::join(&hit.head, &parts, max), hit)) {
            Some((Joined::TooSmall, _)) => {
                return KeptPart::Passed(Response::from_parts(parts, body));
            }
            Some((Joined::Union(union), hit)) if !self.varies_anew(&hit.head, &parts) => {
                (Some(union), Some(hit))
            }
            _ => (policy::all(&parts, max), None),
        };
        let body = Arrived::Unread(body);
        KeptPart::Kept(match union {
            Some(union) => {
                let lead = if union.is_whole() { whole } else { lead };
                let stored = stored.as_ref();
                let admitted = self.admit_union(missed, stored, &parts, union, requested_at).await;
                self.carry(missed, parts, body, admitted, lead)
            }
            None => self.keep(missed, parts, body, requested_at, lead),
        })
    }

    /// Keeps older responses whose body is still on its way out of the store, since the answer to
    /// `call` supersedes them: those that this request selects, and parts of them. Returns whether
    /// there were any.
    pub(super) async fn overtake_superseded(&mut self, missed: &Missed, call: &CallId) -> bool {
        let Self { cache, parts, options, url, .. } = &*self;
        let (recipe, flights) = (&cache.settings.recipe, &cache.shared.flights);
        let variant = |names: &[_]| recipe.variant(&missed.primary, names, &parts.headers);
        let is_met = flights.overtake_selected(call, &missed.key, variant).await;
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        if !is_read || options.key.is_some() || !cache.settings.rules.keeps_parts() {
            return is_met;
        }
        let part = recipe.part(&match parts.method {
            Method::GET => missed.primary,
            _ => recipe.primary(&Method::GET, url, parts, Content::default()),
        });
        let variant = |names: &[_]| recipe.variant(&part, names, &parts.headers);
        is_met | flights.overtake_selected(&call.beside(part), &part, variant).await
    }

    /// Removes what an answer supersedes: the response that was `asked` about or its replacement,
    /// the stored part of it, and the response to the same request as a GET or a HEAD. A response
    /// stays if it was requested later than the answer, or if it lies under the `spared` key.
    pub(super) async fn remove_superseded(
        &mut self,
        missed: &Missed,
        asked: Option<(Key, Version)>,
        spared: Option<Key>,
        requested_at: Timestamp,
    ) {
        // What fails is told, and leaves what was there.
        if let Some((key, seen)) = asked {
            drop(self.cache.remove_seen(&key, seen, requested_at).await);
        }
        let recipe = &self.cache.settings.recipe;
        let is_read = matches!(self.parts.method, Method::GET | Method::HEAD);
        let mut primaries = vec![missed.primary];
        if is_read && self.options.key.is_none() {
            let of = |method| recipe.primary(method, &self.url, &self.parts, Content::default());
            let is_get = self.parts.method == Method::GET;
            let get = if is_get { missed.primary } else { of(&Method::GET) };
            if self.cache.settings.rules.keeps_parts() {
                primaries.push(recipe.part(&get));
            }
            primaries.push(if is_get { of(&Method::HEAD) } else { get });
        }
        for primary in primaries {
            // Most keys have no entry, and a lookup costs less than a removal.
            let Some((key, seen, asked_at)) = self.selected(primary).await else { continue };
            if asked_at <= requested_at && spared != Some(key) {
                drop(self.cache.remove_seen(&key, seen, requested_at).await);
            }
        }
    }

    /// The key and the version of the entry that the request selects, and when that was requested.
    async fn selected(&mut self, primary: Key) -> Option<(Key, Version, Timestamp)> {
        let (cache, mut key) = (&self.cache, primary);
        let mut hit = read(cache, &key).await.ok()??;
        if let Some(names) = hit.head.variant_names() {
            key = cache.settings.recipe.variant(&primary, names, &self.parts.headers);
            hit = read(cache, &key).await.ok()??;
        }
        Some((key, hit.version, hit.head.requested_at()))
    }

    /// Whether the union of the stored part and the one that has come may be stored, and as what.
    async fn admit_union(
        &mut self,
        missed: &Missed,
        stored: Option<&Hit>,
        new: &response::Parts,
        union: Union,
        requested_at: Timestamp,
    ) -> Result<Admitted, Refusal> {
        let old = stored.map(|hit| &*hit.head);
        let head = policy::joined_head(old, new, &union);
        let own = missed.key;
        let of_whole;
        let missed = if union.is_whole() {
            let Self { cache, options, parts, url, body, .. } = &mut *self;
            of_whole = lookup(cache, options, parts, url, body).await.missed;
            &of_whole
        } else {
            missed
        };
        let (settings, url) = (&*self.cache.settings, self.url.text.as_str());
        let (rules, now) = (&settings.rules, settings.clock.now());
        let admission = rules.admit(&Exchange {
            options: &self.options,
            url,
            request: &self.parts,
            response: &head,
            requested_at,
            now,
        })?;
        let place = Place { request: &self.parts, url, missed };
        let keys = place.keys(settings, &head, admission.expires_at, now)?;
        if !union.is_whole() && keys.key != own {
            return Err(Refusal::Vary);
        }
        let mut stored_head = place
            .head(settings, &keys.key, &head, &admission, now)?
            .with_requested_at(requested_at);
        if let Some(old) = old {
            // What one of its parts could be removed by removes all of it.
            let mut tags = rules.tags.renew(&self.options, &self.parts, old, &head)?;
            let path = path_tag(settings, url, &head.headers);
            tags.extend(path.filter(|tag| !tags.contains(tag)));
            stored_head = stored_head.with_tags(rules.with_groups(tags, url, &head.headers)?);
        }
        let notes = search::notes(settings, &self.parts, &self.url, &stored_head, now);
        let around = stored.map(|hit| Around { key: own, seen: hit.version, union });
        let entry = Entry { key: keys.key, head: stored_head, list: keys.list, around, notes };
        let (max, check) = (settings.max_body, ResponseCheck::default());
        let limits = Limits { expected: Some(union.new), max, check };
        Ok(Admitted { entry, names: keys.names, limits })
    }
}
