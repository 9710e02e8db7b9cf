//! [`Tiered`]: a small, near store in front of a large, far one.
//!
//! The far tier is authoritative, and the near tier holds copies of its entries. A copy has the
//! version that the far tier has for the entry, so that both mean the same state: an entry that was
//! read near is updated and removed far, by that version. `generations` keeps an outdated copy from
//! being read.
//!
//! * **Durability** is that of the far tier. An entry that the far tier did not accept is only in
//!   the near tier, and as durable as that.
//! * **Atomicity** is that of the tiers: an entry is read from one tier, never from both.
//! * **Expiry**: each tier removes expired entries by its own index.

use futures_core::Stream;

use super::{Hit, Result, Scanned, Store, Version};
use crate::{entry::Head, key::Key, time::Timestamp};

mod annotation;
mod copy;
mod generations;
mod read;
mod scan;
mod stats;
mod tiers;
mod ttl;
mod unfinished;
mod writer;

pub use self::{stats::TieredStats, tiers::Tiered, writer::TieredWriter};

impl<Near: Store, Far: Store> Store for Tiered<Near, Far> {
    type Writer = TieredWriter<Near, Far>;

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        self.unfinished.drive().await;
        self.read(key).await
    }

    async fn put(&self, key: &Key, head: Head) -> Result<Self::Writer> {
        self.unfinished.drive().await;
        TieredWriter::begin(self.clone(), *key, head).await
    }

    async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        let near = self.near_entry(key).await;
        if let Some(near) = near.as_ref().filter(|near| near.is_own()) {
            // The far tier has an older entry, or none.
            return match near.hit.version == seen {
                true => self.near.update(key, near.version, head).await,
                false => Ok(false),
            };
        }
        let (mut ticket, before) = self.generations.begin_change(key);
        let updated = self.far.update(key, seen, head).await;
        let is_outdated = near.is_some_and(|near| near.hit.version == seen);
        if matches!(updated, Ok(true)) || updated.is_ok() && is_outdated {
            ticket.made();
            self.outdate(key).await;
        } else {
            ticket.not_made(&before);
        }
        updated
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        let (mut ticket, _) = self.generations.begin_change(key);
        let far = self.far.remove(key).await;
        ticket.made();
        let near = self.forget(key).await;
        Ok(far? | near?)
    }

    async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
        let near = self.near_entry(key).await;
        if let Some(near) = near.as_ref().filter(|near| near.is_own()) {
            return match near.hit.version == seen {
                true => self.remove_own(key, near).await,
                false => Ok(false),
            };
        }
        let has_copy = near.is_some_and(|near| near.hit.version == seen);
        let (mut ticket, before) = self.generations.begin_change(key);
        let removed = self.far.remove_if(key, seen).await;
        if !has_copy && !matches!(removed, Ok(true)) {
            ticket.not_made(&before);
            return removed;
        }
        ticket.made();
        let near = self.forget(key).await;
        if removed? {
            return near.map(|_| true);
        }
        // The far tier has evicted the original, or another machine has replaced or removed it.
        Ok(near? && self.far.get(key).await?.is_none())
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
        let ticket = self.generations.begin_changes();
        let near = self.near_removed(self.near.remove_expired(now).await);
        let far = self.far.remove_expired(now).await;
        ticket.made();
        Ok(far?.max(near?))
    }

    async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        let ticket = self.generations.begin_changes();
        let near = self.near_removed(self.near.remove_tagged(tag).await);
        let far = self.far.remove_tagged(tag).await;
        ticket.made();
        Ok(far?.max(near?))
    }

    async fn clear(&self) -> Result<()> {
        let ticket = self.generations.begin_changes();
        self.generations.change_all();
        let near = self.near.clear().await;
        let far = self.far.clear().await;
        ticket.made();
        far.and(near)
    }

    async fn flush(&self) -> Result<()> {
        let (near, far) = (self.near.flush().await, self.far.flush().await);
        far.and(near)
    }

    fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<Near, Far> {
        let ticket = self.generations.begin_listing();
        let both = (self.near.scan(), self.far.scan());
        scan::Both::new(ticket, both, self.generations.clone(), self.ttl.clone())
    }

    async fn len(&self) -> Result<u64> {
        self.far.len().await
    }

    async fn size_bytes(&self) -> Result<u64> {
        self.far.size_bytes().await
    }

    fn read_off_thread(self) -> Self {
        Self { near: self.near.read_off_thread(), far: self.far.read_off_thread(), ..self }
    }
}
