//! Combines a part that has arrived with the stored one (RFC 9111 §3.4): both become one part, or
//! the whole if they are all of it.
//!
//! One part of each response is stored. A part that touches it makes it grow. A part that lies
//! elsewhere, or belongs to another response, replaces it. The stored part is copied into the new
//! entry while the new bytes arrive, and is never held in memory. [`policy::combine`] refuses a
//! part that is too small for the bytes that would be copied. Of two parts that arrive at the same
//! time, the last one wins. The next request fetches what is missing then.

use http::response;

use super::{
    ask::ArrivedBody,
    context::{OriginBody, RequestContext},
    fetch::{Received, StorageDecision},
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

impl<B: Store> RequestContext<B> {
    /// Stores a part as its body is read, combined with the stored part of the same response. If
    /// both are the whole response together, it is stored by the call of the leader `whole`, which
    /// has the key of the whole. Otherwise, it is stored by the call of the leader `part`.
    pub(super) async fn receive_part<ResBody: OriginBody>(
        &self,
        key: &LookupKeys,
        response: ResponseHead,
        body: ArrivedBody<ResBody>,
        requested_at: Timestamp,
        part: Leader,
        whole: Leader,
    ) -> Received<ResBody> {
        // Read now: the part may have grown since the call began.
        let read = read(&self.cache, key.primary, Some(&self.parts.headers)).await;
        let (key, stored) = (&read.key, read.found.ok().flatten());
        let (union, stored) = match self.combination(stored, &response) {
            Ok(union) => union,
            Err(refusal) => return self.receive_as(key, response, body, Err(refusal), part),
        };
        let Some(union) = union else {
            return self.receive(key, response, body, requested_at, part);
        };
        let leader = if union.is_whole() { whole } else { part };
        let decision =
            self.storable_union(key, stored.as_ref(), &response, union, requested_at).await;
        self.receive_as(key, response, body, decision, leader)
    }

    /// How a new part is combined with the stored one, or is stored by itself.
    fn combination(
        &self,
        stored: Option<Hit>,
        new: &response::Parts,
    ) -> Result<(Option<Union>, Option<Hit>), Refusal> {
        let settings = &self.cache.settings;
        let stored =
            stored.filter(|hit| settings.rules.may_answer(&self.parts.method, &hit.head).is_ok());
        let max = settings.max_body;
        match stored.map(|hit| (policy::combine(&hit.head, new, max), hit)) {
            Some((Combination::TooSmall, _)) => Err(Refusal::PartTooSmall),
            Some((Combination::Union(union), hit)) if !varies_anew(settings, &hit.head, new) => {
                Ok((Some(union), Some(hit)))
            }
            _ => Ok((policy::all(new, max), None)),
        }
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
        let combined = policy::combined_head(old, new, &union);
        let own = key.entry;
        let of_whole;
        let key = if union.is_whole() {
            let Lookup { key, .. } = self.view().lookup(None).await;
            of_whole = key;
            &of_whole
        } else {
            key
        };
        let now = self.cache.settings.clock.now();
        let combined = ResponseHead::new(combined, now);
        let mut candidate = self.candidate(key, &combined, requested_at, now);
        candidate.by = BroughtBy::Parts(old);
        let plan = candidate.storable()?;
        if !union.is_whole() && plan.key != own {
            return Err(Refusal::Vary);
        }
        let splice = stored.map(|hit| {
            let leads_to_others = hit.head.others().is_some();
            Box::new(Splice { key: own, version: hit.version, union, leads_to_others })
        });
        let (max, check) = (self.cache.settings.max_body, ResponseCheck::default());
        let limits = Limits { expected: Some(union.new), max, check };
        Ok(StorageDecision { plan, splice, limits })
    }
}
