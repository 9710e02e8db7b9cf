//! A store behind an [`Arc`] is that store, for those who share one as they share everything else.

use std::sync::Arc;

use futures_core::Stream;

use super::{Hit, Result, Scanned, Store, Version};
use crate::{entry::Head, key::Key, time::Timestamp};

impl<S: Store> Store for Arc<S> {
    type Writer = S::Writer;

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        S::get(self, key).await
    }

    async fn put(&self, key: &Key, head: Head) -> Result<S::Writer> {
        S::put(self, key, head).await
    }

    async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        S::update(self, key, seen, head).await
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        S::remove(self, key).await
    }

    async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
        S::remove_if(self, key, seen).await
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
        S::remove_expired(self, now).await
    }

    async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        S::remove_tagged(self, tag).await
    }

    async fn clear(&self) -> Result<()> {
        S::clear(self).await
    }

    fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<S> {
        S::scan(self)
    }

    async fn len(&self) -> Result<u64> {
        S::len(self).await
    }

    async fn size_bytes(&self) -> Result<u64> {
        S::size_bytes(self).await
    }
}
