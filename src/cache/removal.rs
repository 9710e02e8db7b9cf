//! What is removed stays removed: calls that are on their way are told first, so that none of them brings it back.

use http::Method;

use super::{layer::Shared, search::split};
use crate::{
    key::{Key, Recipe},
    store::{Result, Store, Version},
};

/// The methods whose plain keys are removed by themselves.
pub(super) const PLAIN: [Method; 2] = [Method::GET, Method::HEAD];

impl<B: Store> Shared<B> {
    /// Removes everything that is stored for `url` (normalised): every method, variant, body and user.
    pub(crate) async fn remove_url(&self, recipe: &Recipe, url: &str) -> Result<u64> {
        self.flights.doom_url(url).await;
        let mut removed = 0;
        for method in &PLAIN {
            removed += u64::from(self.store.remove(&recipe.plain(method, url)).await?);
        }
        removed += self.store.remove_tagged(&recipe.url_tag(url)).await?;
        if recipe.minds_search() {
            // A response to another query may answer this one: those of the path that may all go.
            removed += self.remove_tagged(&recipe.path_tag(split(url).0)).await?;
        }
        Ok(removed)
    }

    pub(crate) async fn remove_key(&self, key: &Key) -> Result<bool> {
        self.flights.doom_key(key).await;
        self.store.remove(key).await
    }

    /// Removes the entry that was seen, and not the one that has taken its place.
    pub(crate) async fn remove_seen(&self, key: &Key, seen: Version) -> Result<bool> {
        self.flights.doom_key(key).await;
        self.store.remove_if(key, seen).await
    }

    pub(crate) async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        let mut removed = 0;
        for (key, seen) in self.flights.doom_tag(tag).await {
            removed += u64::from(self.store.remove_if(&key, seen).await?);
        }
        Ok(removed + self.store.remove_tagged(tag).await?)
    }

    pub(crate) async fn clear(&self) -> Result<()> {
        self.flights.doom_all().await;
        self.store.clear().await
    }
}
