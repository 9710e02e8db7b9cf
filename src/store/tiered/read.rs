//! Reading: first the near tier, then the far tier, with a copy on the way.

use std::sync::atomic::Ordering;

use super::{annotation::Near, tiers::Tiered};
use crate::{
    key::Key,
    store::{ErrorKind, Hit, Result, Store},
};

impl<N: Store, F: Store> Tiered<N, F> {
    pub(super) async fn read(&self, key: &Key) -> Result<Option<Hit>> {
        match self.near_entry(key).await {
            Some(near) if self.ttl.allows(near.annotation.as_ref()) => {
                Ok(Some(self.near_hit(near)))
            }
            // Boxed, so that the future of a hit in the near tier stays small.
            near => Box::pin(self.read_far(key, near)).await,
        }
    }

    /// Reads the far tier. `near` is the entry of the near tier that does not suffice.
    async fn read_far(&self, key: &Key, near: Option<Near>) -> Result<Option<Hit>> {
        // Begun before the far tier is asked, so that later changes there outdate the copy.
        let mut ticket = self.generations.copy(key);
        let far = match (self.far.get(key).await, near) {
            (Ok(far), None) => far,
            (Err(error), None) => return Err(error),
            // The copy has exceeded its time, but is better than nothing.
            (Err(error), Some(near)) => {
                self.far_failed("get", key, &error);
                return Ok(Some(self.near_hit(near)));
            }
            (Ok(Some(far)), Some(near)) => {
                if near.is_own() && far.head.stored_at() <= near.hit.head.stored_at() {
                    // The far tier still has the entry from before it refused this one.
                    return Ok(Some(self.near_hit(near)));
                }
                if near.hit.version != far.version {
                    ticket = None;
                    self.outdate(key).await;
                }
                Some(far)
            }
            (Ok(None), Some(_removed_elsewhere)) => {
                self.outdate(key).await;
                None
            }
        };
        match (far, ticket) {
            (Some(far), Some(ticket)) if far.body.len() <= self.max_body => {
                self.counters.far_hits.fetch_add(1, Ordering::Relaxed);
                Ok(Some(self.copied(*key, far, ticket).await))
            }
            (Some(far), _) => {
                self.counters.far_hits.fetch_add(1, Ordering::Relaxed);
                Ok(Some(far))
            }
            (None, _) => Ok(None),
        }
    }

    fn near_hit(&self, near: Near) -> Hit {
        self.counters.near_hits.fetch_add(1, Ordering::Relaxed);
        near.hit
    }

    /// Removes an entry that only the near tier has, and the older entry of the far tier that it
    /// hid.
    pub(super) async fn remove_own(&self, key: &Key, near: &Near) -> Result<bool> {
        if !self.near.remove_if(key, near.version).await? {
            return Ok(false);
        }
        let (mut ticket, before) = self.generations.begin_change(key);
        match self.far.get(key).await? {
            Some(far) if far.head.stored_at() <= near.hit.head.stored_at() => {
                self.far.remove_if(key, far.version).await?;
                ticket.made();
                self.outdate(key).await;
            }
            _ => ticket.not_made(&before),
        }
        Ok(true)
    }
}

impl<N: Store, F> Tiered<N, F> {
    /// Returns the near entry of `key` if it counts. Removes one that does not count or is damaged.
    pub(super) async fn near_entry(&self, key: &Key) -> Option<Near> {
        loop {
            let change = self.generations.changed(key);
            let found = match self.near.get(key).await {
                Ok(found) => Ok(found.map(Near::new)),
                Err(error) => Err(error),
            };
            let removed = match found {
                Ok(None) => {
                    self.generations.cleaned(key, change);
                    return None;
                }
                Ok(Some(near)) if self.generations.counts(key, near.annotation.as_ref()) => {
                    if self.generations.counts_since(change, near.annotation.as_ref()) {
                        return Some(near);
                    }
                    // It did not count when it was asked for. By now, the change that outdated it
                    // may be forgotten, with the entry.
                    continue;
                }
                Ok(Some(near)) => Box::pin(self.near.remove_if(key, near.version)).await,
                Err(error) => {
                    self.near_failed("get", key, &error);
                    if error.kind() != ErrorKind::Corrupt {
                        return None;
                    }
                    Box::pin(self.near.remove(key)).await
                }
            };
            match removed {
                Ok(true) => self.generations.cleaned(key, change),
                // Another entry is there by now.
                Ok(false) => {}
                Err(error) => self.near_failed("remove", key, &error),
            }
            return None;
        }
    }
}
