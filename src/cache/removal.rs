//! What is removed stays removed: calls that are on their way are told first, so that none of them brings it back. What
//! the store fails at is told here, and keeps nothing else from being removed.

use http::Method;

use super::{CacheLayer, flight::Removed, search::split};
use crate::{
    event::StoreOperation,
    key::{Key, Recipe},
    store::{Hit, Result, Store, Version},
    time::Timestamp,
};

/// The methods whose plain keys are removed by themselves.
pub(super) const PLAIN: [Method; 2] = [Method::GET, Method::HEAD];

/// How often a removal is tried again because the entry was changed.
const TRIES: usize = 8;

impl<B: Store> CacheLayer<B> {
    /// Removes everything that is stored for `url` (normalised): every method, variant, body and user. The call on whose
    /// behalf that is done may be `spared`.
    pub(crate) async fn remove_url(
        &self,
        recipe: &Recipe,
        url: &str,
        spared: Option<&Removed>,
    ) -> Result<u64> {
        self.shared.flights.doom_url(url, spared).await;
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
            removed = both(removed, self.remove_path(recipe, url, spared).await);
        }
        removed
    }

    /// Removes what is stored for the path of `url` and need not be for its query alone.
    pub(crate) async fn remove_path(
        &self,
        recipe: &Recipe,
        url: &str,
        spared: Option<&Removed>,
    ) -> Result<u64> {
        let path = split(url).0;
        self.remove_tagged_near(&recipe.path_tag(path), |url| split(url).0 == path, spared).await
    }

    /// Removes what lies under `key`, whatever it is for.
    pub(crate) async fn remove_key(&self, key: &Key) -> Result<u64> {
        // What a call without a response brings may turn out to lie there.
        self.shared.flights.close(|_| true);
        self.remove_entry(key).await
    }

    /// Removes what lies under `key`; calls have been told by what else they can be known by.
    pub(crate) async fn remove_entry(&self, key: &Key) -> Result<u64> {
        self.shared.flights.doom_key(key).await;
        self.asked(key, self.shared.store.remove(key)).await.map(u64::from)
    }

    /// Removes the entry that was seen. If it was changed since by an answer that was requested no
    /// later than `requested_at`, the changed entry is removed.
    pub(crate) async fn remove_seen(
        &self,
        key: &Key,
        mut seen: Version,
        requested_at: Timestamp,
    ) -> Result<bool> {
        self.shared.flights.doom_key(key).await;
        for _ in 0..TRIES {
            if self.remove_if(key, seen).await? {
                return Ok(true);
            }
            match self.shared.store.get(key).await? {
                Some(Hit { head, version, .. })
                    if head.is_response() && head.requested_at() <= requested_at =>
                {
                    seen = version;
                }
                _ => break,
            }
        }
        Ok(false)
    }

    /// Removes the entry that was seen, unless it was changed since. The caller has dealt with
    /// calls on their way.
    pub(crate) async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
        self.asked(key, self.shared.store.remove_if(key, seen)).await
    }

    pub(crate) async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        self.remove_tagged_near(tag, |_| true, None).await
    }

    /// Removes what carries the tag of a group, which is one of the origin of `url`.
    pub(crate) async fn remove_group(
        &self,
        tag: &str,
        url: &str,
        spared: Option<&Removed>,
    ) -> Result<u64> {
        let own = origin(url);
        self.remove_tagged_near(tag, |url| origin(url) == own, spared).await
    }

    /// Removes what carries `tag`, which nothing can but for a URL that `is_near`.
    async fn remove_tagged_near(
        &self,
        tag: &str,
        is_near: impl Fn(&str) -> bool,
        spared: Option<&Removed>,
    ) -> Result<u64> {
        self.shared.flights.close(is_near);
        let mut removed = Ok(0);
        for (key, seen) in self.shared.flights.doom_tag(tag, spared).await {
            removed = both(removed, self.remove_if(&key, seen).await.map(u64::from));
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

/// Scheme and authority of a normalised URL.
fn origin(url: &str) -> &str {
    let authority = url.find("://").map_or(0, |end| end + 3);
    url[authority..].find('/').map_or(url, |end| &url[..authority + end])
}

/// How many both have removed, or what failed first.
pub(crate) fn both(one: Result<u64>, other: Result<u64>) -> Result<u64> {
    Ok(one? + other?)
}
