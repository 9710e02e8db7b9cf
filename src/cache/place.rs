//! Where a response belongs: under the primary key of its request, or under a variant's below it (`Vary`).

use std::sync::Arc;

use http::{HeaderName, Response, request, response};

use super::{removal::PLAIN, search::split, settings::Settings};
use crate::{
    entry::Head,
    key::{Key, Recipe},
    options::CacheOptions,
    policy::{self, Admission, Vary},
    status::{Miss, Refusal},
    time::Timestamp,
};

/// A lookup without an answer, and where the response to come has its place.
#[derive(Clone, Debug)]
pub(crate) struct Missed {
    pub(crate) reason: Miss,
    /// Where the request was looked for last: the place of a response that does not vary.
    pub(crate) key: Key,
    /// The primary key of the request, below which variants lie.
    pub(crate) primary: Key,
    /// The list of variants under the primary key, where there is one.
    pub(crate) variants: Option<Arc<Head>>,
}

/// A response's place: what is stored of it beside its own head, and under which keys.
pub(crate) struct Place<'a> {
    pub(crate) request: &'a request::Parts,
    pub(crate) url: &'a str,
    pub(crate) missed: &'a Missed,
}

impl Place<'_> {
    /// What is stored of `response` beside its body; a refusal where not all of its tags can be.
    pub(crate) fn head(
        &self,
        settings: &Settings,
        key: &Key,
        response: &response::Parts,
        admission: &Admission,
        now: Timestamp,
    ) -> Result<Head, Refusal> {
        let options = CacheOptions::of(&self.request.extensions);
        let mut tags = settings.rules.tags.choose(options, self.request, response)?;
        tags.extend(settings.rules.group_tags(self.url, &response.headers)?);
        tags.extend(self.url_tag(&settings.recipe, key));
        if settings.recipe.minds_search()
            && settings.rules.url_variation(&response.headers).is_some()
        {
            tags.push(settings.recipe.path_tag(split(self.url).0));
        }
        let (mut stored, ()) = Response::new(()).into_parts();
        stored.status = response.status;
        stored.version = response.version;
        let fields = policy::end_to_end(&response.headers);
        stored.headers = settings.rules.stored_fields(fields, admission, now);
        let expires_at = admission.expires_at;
        let keep_until = self.keep_until(settings, response, expires_at, now);
        Ok(Head::new(self.request.method.clone(), self.url, stored, now)
            .with_expires_at(expires_at)
            .with_keep_until(keep_until)
            .with_tags(tags))
    }

    /// Until when `response` is of use; `None` is forever.
    fn keep_until(
        &self,
        settings: &Settings,
        response: &response::Parts,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let options = CacheOptions::of(&self.request.extensions);
        settings.rules.keep_until(options, &response.headers, expires_at, now)
    }

    /// Whether requests that differ in the header `name` have different primary keys as it is.
    fn is_in_key(&self, settings: &Settings, name: &HeaderName) -> bool {
        let made_from_headers = settings.recipe.custom.is_none()
            && CacheOptions::of(&self.request.extensions).key.is_none();
        made_from_headers && settings.recipe.headers.contains(name)
    }

    /// The tag by which a removal by URL finds what lies under `key`, where it needs one: an index row for every entry would
    /// cost a store as much as the entry itself.
    fn url_tag(&self, recipe: &Recipe, key: &Key) -> Option<Box<str>> {
        let method = &self.request.method;
        let is_plain = PLAIN.contains(method) && recipe.plain(method, self.url) == *key;
        (!is_plain).then(|| recipe.url_tag(self.url))
    }

    /// The key for `response`, and the list of variants that has to lie under the primary key for it to be found.
    pub(crate) fn keys(
        &self,
        settings: &Settings,
        response: &response::Parts,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Keys, Refusal> {
        let Missed { primary, variants: known, .. } = self.missed;
        let names = match policy::vary(&response.headers, &settings.recipe.ignored_headers) {
            Vary::Anything => return Err(Refusal::Vary),
            Vary::Nothing => return Ok(Keys::primary(*primary)),
            Vary::Names(names) => names,
        };
        // What is part of the key already needs no variants: it would cost every hit a second look-up.
        let names: Vec<_> =
            names.into_iter().filter(|name| !self.is_in_key(settings, name)).collect();
        if names.is_empty() {
            return Ok(Keys::primary(*primary));
        }
        let known_names = known.as_ref().and_then(|head| head.variant_names()).unwrap_or_default();
        let names = policy::union(&names, known_names);
        let key = settings.recipe.variant(primary, &names, &self.request.headers);
        // The list lives, and is kept, as long as the longest-lived variant that it leads to.
        let known_ends = known.as_ref().map(|head| (head.expires_at(), head.keep_until()));
        let keep_until = self.keep_until(settings, response, expires_at, now);
        let ends = (
            later(known_ends.map(|(end, _)| end), expires_at),
            later(known_ends.map(|(_, keep)| keep), keep_until),
        );
        if known_names == names && known_ends == Some(ends) {
            return Ok(Keys { key, names: Some(names), list: None });
        }
        let list = Head::variants(self.request.method.clone(), self.url, names.clone(), now)
            .with_expires_at(ends.0)
            .with_keep_until(ends.1)
            .with_tags(self.url_tag(&settings.recipe, primary).into_iter().collect());
        Ok(Keys { key, names: Some(names), list: Some((*primary, list)) })
    }
}

/// Where a response is to be stored.
pub(crate) struct Keys {
    pub(crate) key: Key,
    /// The request headers that select it, where it varies.
    pub(crate) names: Option<Vec<HeaderName>>,
    /// The list of variants that has to lie under the primary key for it to be found, where it does not yet.
    pub(crate) list: Option<(Key, Head)>,
}

impl Keys {
    fn primary(key: Key) -> Self {
        Self { key, names: None, list: None }
    }
}

/// The later of two ends, of which `None` is never, where there is a `known` one.
fn later(known: Option<Option<Timestamp>>, new: Option<Timestamp>) -> Option<Timestamp> {
    match known {
        Some(known) => Some(known?.max(new?)),
        None => new,
    }
}
