//! Where a response belongs: under the primary key of its request, or under a variant's below it (`Vary`).

use std::sync::Arc;

use http::{HeaderMap, HeaderName, Response, request, response};

use super::{
    list::{Listing, later},
    removal::PLAIN,
    search::split,
    settings::Settings,
};
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

impl Missed {
    /// The names that select a variant, where the responses vary.
    fn names(&self) -> &[HeaderName] {
        self.variants.as_deref().and_then(Head::variant_names).unwrap_or_default()
    }
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
        tags.extend(path_tag(settings, self.url, &response.headers));
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

    /// The key for `response`, and the list of variants that leads to it.
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
        let known_names = self.missed.names();
        let names = policy::union(&names, known_names);
        let key = settings.recipe.variant(primary, &names, &self.request.headers);
        // The list lives, and is kept, as long as the longest-lived variant that it leads to.
        let known_ends = known.as_ref().map(|head| (head.expires_at(), head.keep_until()));
        let keep_until = self.keep_until(settings, response, expires_at, now);
        let ends = known_ends.map_or((expires_at, keep_until), |(end, keep)| {
            (later(end, expires_at), later(keep, keep_until))
        });
        if known_names == names && known_ends == Some(ends) {
            return Ok(Keys { key, names: Some(names), list: None });
        }
        let head = Head::variants(self.request.method.clone(), self.url, names.clone(), now)
            .with_expires_at(ends.0)
            .with_keep_until(ends.1)
            .with_tags(self.url_tag(&settings.recipe, primary).into_iter().collect());
        let list = Listing { primary: *primary, head };
        Ok(Keys { key, names: Some(names), list: Some(list) })
    }
}

/// The tag by which a removal finds a response with these fields that may answer other queries of its path.
pub(crate) fn path_tag(settings: &Settings, url: &str, fields: &HeaderMap) -> Option<Box<str>> {
    let is_one = settings.heeds_no_vary_search() && settings.rules.url_variation(fields).is_some();
    is_one.then(|| settings.recipe.path_tag(split(url).0))
}

/// Where a response is to be stored.
pub(crate) struct Keys {
    pub(crate) key: Key,
    /// The request headers that select it, where it varies.
    pub(crate) names: Option<Vec<HeaderName>>,
    /// The list of variants under the primary key, where it does not lead there yet.
    pub(crate) list: Option<Listing>,
}

impl Keys {
    fn primary(key: Key) -> Self {
        Self { key, names: None, list: None }
    }
}
