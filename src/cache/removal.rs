//! What is removed stays removed: calls that are on their way are told first, so that none of them brings it back. What
//! the store fails at is told here, and keeps nothing else from being removed.

use http::Method;

use super::{CacheLayer, search::split};
use crate::{
    event::StoreOperation,
    key::{Key, Recipe},
    store::{Result, Store, Version},
};

/// The methods whose plain keys are removed by themselves.
pub(super) const PLAIN: [Method; 2] = [Method::GET, Method::HEAD];

impl<B: Store> CacheLayer<B> {
    /// Removes everything that is stored for `url` (normalised): every method, variant, body and user.
    pub(crate) async fn remove_url(&self, recipe: &Recipe, url: &str) -> Result<u64> {
        self.shared.flights.doom_url(url).await;
        let mut removed = Ok(0);
        for method in &PLAIN {
            let key = recipe.plain(method, url);
            let plain = self.asked(&key, self.shared.store.remove(&key)).await;
            removed = both(removed, plain.map(u64::from));
        }
        let tag = recipe.url_tag(url);
        removed = both(removed, self.asked(None, self.shared.store.remove_tagged(&tag)).await);
        if self.settings.heeds_no_vary_search() {
            // A response to another query may answer this one: those of the path that may all go.
            removed = both(removed, self.remove_tagged(&recipe.path_tag(split(url).0)).await);
        }
        removed
    }

    pub(crate) async fn remove_key(&self, key: &Key) -> Result<bool> {
        self.shared.flights.doom_key(key).await;
        self.asked(key, self.shared.store.remove(key)).await
    }

    /// Removes the entry that was seen, and not the one that has taken its place.
    pub(crate) async fn remove_seen(&self, key: &Key, seen: Version) -> Result<bool> {
        self.shared.flights.doom_key(key).await;
        self.asked(key, self.shared.store.remove_if(key, seen)).await
    }

    pub(crate) async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        let mut removed = Ok(0);
        for (key, seen) in self.shared.flights.doom_tag(tag).await {
            let renewed = self.asked(&key, self.shared.store.remove_if(&key, seen)).await;
            removed = both(removed, renewed.map(u64::from));
        }
        both(removed, self.asked(None, self.shared.store.remove_tagged(tag)).await)
    }

    pub(crate) async fn clear(&self) -> Result<()> {
        self.shared.flights.doom_all().await;
        self.asked(None, self.shared.store.clear()).await
    }

    async fn asked<'a, T>(
        &self,
        key: impl Into<Option<&'a Key>>,
        removal: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.observer().asked(StoreOperation::Remove, key, removal).await
    }
}

/// How many both have removed, or what failed first.
pub(crate) fn both(one: Result<u64>, other: Result<u64>) -> Result<u64> {
    Ok(one? + other?)
}
