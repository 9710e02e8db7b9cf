//! Combines a part that has arrived with the stored one (RFC 9111 §3.4): both become one part, or
//! the whole if they are all of it.
//!
//! One part of each response is stored. A part that touches it makes it grow. A part that lies
//! elsewhere, or belongs to another response, replaces it. The stored part is copied into the new
//! entry while the new bytes arrive, and is never held in memory. [`policy::combine`] bounds how
//! much is copied for how few new bytes. Of two parts that arrive at the same time, the last one
//! wins: the next request fetches what is missing then.

use http::{Response, response};
use http_body::Body;

use super::{
    body::ResponseBody,
    context::{OriginBody, RequestContext},
    fetch::{Arrived, Received, StorageDecision},
    lookup::{Lookup, LookupKeys, read},
    outcome::Leader,
    store::{BroughtBy, varies_anew},
    tee::{Limits, Splice},
};
use crate::{
    entry::ResponseHead,
    policy::{self, Combination, ResponseCheck, Union},
    status::Refusal,
    store::{Hit, Store},
    time::Timestamp,
};

/// What became of a part.
pub(super) enum ReceivedPart<ResBody: Body> {
    Received(Received<ResBody>),
    /// It is too small to be added to the larger one that is stored.
    TooSmall(Response<ResponseBody<ResBody>>),
}

impl<B: Store> RequestContext<B> {
    /// Stores a part as its body is read, combined with the stored part of the same response. The
    /// leader `part` has its key. `whole` has the key of the whole response, which it may become:
    /// the requests for the whole meet it there.
    pub(super) async fn receive_part<ResBody: OriginBody>(
        &self,
        key: &LookupKeys,
        response: ResponseHead,
        body: Arrived<ResBody>,
        requested_at: Timestamp,
        part: Leader,
        whole: Leader,
    ) -> ReceivedPart<ResBody> {
        // Read now: the part may have grown since the call began.
        let read = read(&self.cache, key.primary, Some(&self.parts.headers)).await;
        let (key, stored) = (&read.key, read.found.ok().flatten());
        let rules = &self.cache.settings.rules;
        let stored = stored.filter(|hit| rules.may_answer(&self.parts.method, &hit.head).is_ok());
        let max = self.cache.settings.max_body;
        let (union, stored) =
            match stored.map(|hit| (policy::combine(&hit.head, &response, max), hit)) {
                Some((Combination::TooSmall, _)) => {
                    let response = Response::from_parts(response.into_parts(), body.into_body());
                    return ReceivedPart::TooSmall(response);
                }
                Some((Combination::Union(union), hit))
                    if !varies_anew(&self.cache.settings, &hit.head, &response) =>
                {
                    (Some(union), Some(hit))
                }
                _ => (policy::all(&response, max), None),
            };
        ReceivedPart::Received(match union {
            Some(union) => {
                let leader = if union.is_whole() { whole } else { part };
                let decision =
                    self.storable_union(key, stored.as_ref(), &response, union, requested_at).await;
                self.receive_as(key, response, body, decision, leader)
            }
            None => self.receive(key, response, body, requested_at, part),
        })
    }

    /// Whether the union of the stored part and the new one may be stored, and as what.
    async fn storable_union(
        &self,
        key: &LookupKeys,
        stored: Option<&Hit>,
        new: &response::Parts,
        union: Union,
        requested_at: Timestamp,
    ) -> Result<StorageDecision, Refusal> {
        let old = stored.map(|hit| &*hit.head);
        let joined = policy::combined_head(old, new, &union);
        let own = key.entry;
        let of_whole;
        let key = if union.is_whole() {
            let Lookup { key, .. } = self.view().lookup().await;
            of_whole = key;
            &of_whole
        } else {
            key
        };
        let now = self.cache.settings.clock.now();
        let joined = ResponseHead::new(joined, now);
        let mut candidate = self.candidate(key, &joined, requested_at, now);
        candidate.by = BroughtBy::Parts(old);
        let plan = candidate.storable()?;
        if !union.is_whole() && plan.key != own {
            return Err(Refusal::Vary);
        }
        let splice = stored.map(|hit| {
            let leads_to_others = hit.head.others().is_some();
            Splice { key: own, seen: hit.version, union, leads_to_others }
        });
        let (max, check) = (self.cache.settings.max_body, ResponseCheck::default());
        let limits = Limits { expected: Some(union.new), max, check };
        Ok(StorageDecision { plan, splice, limits })
    }
}
