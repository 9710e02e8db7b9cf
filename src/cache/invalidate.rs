//! Removals: by key, URL, tag and group, and what an answer of the origin ends.
//!
//! What is removed stays removed: calls in flight learn of it first, so that none of them brings it
//! back. The observer hears of the store's failures. After a failure, the removal goes on
//! with the rest.

use std::{mem, sync::Arc};

use http::Method;

use super::{
    coalesce::CallId,
    context::RequestRef,
    layer::Inner,
    lookup::{LookupKeys, Seen, read, unread_variants},
    no_vary_search,
};
use crate::{
    entry::Head,
    key::{Key, PLAIN_METHODS, split_query},
    options::CacheOptions,
    store::{Error, ErrorKind, Result, Store, Version},
    time::Timestamp,
};

/// How often a change of an entry is tried while others change it.
const TRIES: usize = 64;

/// A change of an entry.
pub(crate) enum Change {
    Removal,
    Head(Box<Head>),
}

/// # By key, URL, tag and group
impl<B: Store> Inner<B> {
    /// Removes everything that is stored for `url` (normalised): every method, variant, body and
    /// user. The `spared` call is the one that the removal belongs to: its response stays.
    pub(crate) async fn remove_url(&self, url: &str, spared: Option<&CallId>) -> Result<u64> {
        let recipe = &self.settings.recipe;
        self.shared.calls.invalidate_url(url, spared).await;
        let mut removed = Ok(0);
        for method in &PLAIN_METHODS {
            let plain = self.handle.remove(&recipe.plain(method, url)).await;
            removed = add_removed(removed, plain.map(u64::from));
        }
        removed = add_removed(removed, self.handle.remove_tagged(&recipe.url_tag(url)).await);
        if self.settings.uses_no_vary_search() {
            // The responses to other queries of the path may answer this one.
            removed = add_removed(removed, self.remove_path(url, spared).await);
        }
        removed
    }

    /// Removes the responses for the path of `url` that may answer other queries.
    pub(crate) async fn remove_path(&self, url: &str, spared: Option<&CallId>) -> Result<u64> {
        let tag = self.settings.recipe.path_tag(split_query(url).0);
        self.remove_carrying(&tag, spared).await
    }

    /// Removes the entry under `key`, whatever its URL is, and the calls in flight that bring it.
    pub(crate) async fn remove_key(&self, key: &Key) -> Result<u64> {
        self.shared.calls.invalidate_key(key).await;
        self.handle.remove(key).await.map(u64::from)
    }

    /// Removes what carries `tag`. The `spared` call is the one that the removal belongs to.
    pub(crate) async fn remove_carrying(&self, tag: &str, spared: Option<&CallId>) -> Result<u64> {
        let calls = &self.shared.calls;
        let mut removed = Ok(0);
        for (key, version) in calls.invalidate_tag(tag, spared).await {
            removed =
                add_removed(removed, self.handle.remove_if(&key, version).await.map(u64::from));
        }
        add_removed(removed, self.handle.remove_tagged(tag).await)
    }

    pub(crate) async fn clear(&self) -> Result<()> {
        self.shared.calls.invalidate_all().await;
        self.handle.clear().await
    }

    /// Changes the entry that was seen as `choose` says, and returns whether it did. An entry that
    /// was changed meanwhile, such as by a 304, is read and judged again.
    pub(crate) async fn change(
        &self,
        key: &Key,
        mut version: Version,
        mut head: Arc<Head>,
        mut choose: impl FnMut(&Head) -> Option<Change>,
    ) -> Result<bool> {
        for _ in 0..TRIES {
            let is_done = match choose(&head) {
                None => return Ok(false),
                Some(Change::Removal) => self.handle.remove_if(key, version).await?,
                Some(Change::Head(head)) => self.handle.update(key, version, *head).await?,
            };
            if is_done {
                return Ok(true);
            }
            match self.handle.get(key).await {
                Ok(Some(hit)) => (head, version) = (hit.head, hit.version),
                Ok(None) => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Corrupt => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        let message = format!("the entry of key {key} kept changing; it was tried {TRIES} times");
        Err(Error::new(ErrorKind::Unavailable, "entries", message))
    }
}

/// # What an answer ends
impl<B: Store> RequestRef<'_, B> {
    /// An answer to the request ends responses in flight: those of older calls are kept out of the
    /// store. Returns whether there were any.
    pub(super) async fn supersede_in_flight(self, key: &LookupKeys, call: &CallId) -> bool {
        let variant = |names: &[_]| self.variant(&key.primary, names);
        let had_in_flight = self.cache.shared.calls.end_selected(call, &key.call, variant).await;
        self.supersede_related_in_flight(key, call).await || had_in_flight
    }

    /// The same for calls in other groups than that of the request.
    pub(super) async fn supersede_related_in_flight(self, key: &LookupKeys, call: &CallId) -> bool {
        let mut had_in_flight = false;
        for primary in self.related_primaries(key) {
            let variant = |names: &[_]| self.variant(&primary, names);
            let calls = &self.cache.shared.calls;
            had_in_flight |= calls.end_selected(&call.in_group(primary), &primary, variant).await;
        }
        had_in_flight
    }

    /// The other primary keys under which an answer to the request ends responses: that of the
    /// stored part, and that of the other method of GET and HEAD.
    fn related_primaries(self, key: &LookupKeys) -> Vec<Key> {
        let Self { cache, options, parts, content, .. } = self;
        let is_read = matches!(parts.method, Method::GET | Method::HEAD);
        // Requests with bodies are told apart by them, and the other method has none.
        if !is_read || options.key.is_some() || !content.chunks.is_empty() {
            return Vec::new();
        }
        let is_get = parts.method == Method::GET;
        let get = self.primary_of_get(key);
        let part = cache.settings.rules.keeps_parts().then(|| cache.settings.recipe.part(&get));
        let other = if is_get { self.primary(&Method::HEAD) } else { get };
        part.into_iter().chain([other]).collect()
    }

    /// The primary key of the `GET` for the same URL.
    pub(super) fn primary_of_get(self, key: &LookupKeys) -> Key {
        match self.parts.method {
            Method::GET => key.primary,
            _ => self.primary(&Method::GET),
        }
    }

    /// Removes the entry that was seen. If it was changed or replaced since, the new one is removed
    /// if it was requested no later than `requested_at`, unless its key is `spared`: then it may be
    /// the answer itself. Returns whether an entry was removed. The observer hears of a failure,
    /// and what was there stays.
    pub(super) async fn remove_superseded(
        self,
        seen: &Seen,
        spared: Option<Key>,
        requested_at: Timestamp,
    ) -> bool {
        let Seen { key, version, head, .. } = seen;
        let mut is_seen = true;
        let removal = |head: &Head| {
            let is_older =
                head.is_response() && head.requested_at() <= requested_at && spared != Some(*key);
            // The seen entry is removed even if the clock was set back since.
            (mem::replace(&mut is_seen, false) || is_older).then_some(Change::Removal)
        };
        self.cache.change(key, *version, head.clone(), removal).await.unwrap_or(false)
    }

    /// Removes what an answer to the request ends: the response that the request selects, the
    /// stored part of it, and the responses to the other method of GET and HEAD. A response that
    /// was requested later than the answer stays. So does the entry under the `spared` key.
    /// `has_stored` is whether a response may have been stored under the key since its lookup.
    /// Returns whether nothing is left, as far as is known.
    pub(super) async fn remove_ended(
        self,
        key: &LookupKeys,
        spared: Option<Key>,
        has_stored: bool,
        requested_at: Timestamp,
    ) -> bool {
        let Self { cache, parts, .. } = self;
        let mut none_left = true;
        // The lookup has read the own key, unless a HEAD has found the response to a GET instead.
        // If there is a resident, calls for other variants may have stored a response in its place.
        let is_head = parts.method == Method::HEAD;
        let in_flight = cache.shared.calls.residents(&key.primary);
        let has_resident = key.resident.is_some() || !in_flight.is_empty();
        let reads_own = has_stored || is_head || has_resident;
        let own = reads_own.then_some(key.primary);
        for primary in own.into_iter().chain(self.related_primaries(key)) {
            // Most keys have nothing, and a read costs less than a removal.
            let read = read(cache, primary, Some(&parts.headers)).await;
            let mut found = Vec::new();
            match read.found {
                Ok(Some(hit)) => found.push((read.key.entry, hit)),
                Ok(None) => {}
                Err(_) => none_left = false,
            }
            for unread in unread_variants(cache, &read.key, &parts.headers) {
                match cache.handle.get(&unread).await {
                    Ok(Some(hit)) => found.push((unread, hit)),
                    Ok(None) => {}
                    Err(_) => none_left = false,
                }
            }
            for (key, hit) in found.into_iter().filter(|(key, _)| spared != Some(*key)) {
                if hit.head.requested_at() <= requested_at {
                    let seen = Seen { key, version: hit.version, head: hit.head, resident: None };
                    none_left &= self.remove_superseded(&seen, None, requested_at).await;
                } else {
                    none_left = false;
                }
            }
        }
        // The response to another query may answer the request, too. Nothing shows when another one
        // is stored.
        let options = &CacheOptions::new();
        let request = RequestRef { options, ..self };
        none_left &= !no_vary_search::may_answer(&request);
        if let Some(selected) = no_vary_search::equivalent(request).await
            && selected.hit.head.requested_at() <= requested_at
        {
            self.remove_superseded(&Seen::of(&selected), spared, requested_at).await;
        }
        none_left
    }
}

/// How many entries both have removed, or the first error.
pub(crate) fn add_removed(one: Result<u64>, other: Result<u64>) -> Result<u64> {
    Ok(one? + other?)
}
