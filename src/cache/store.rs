//! Whether a response may be stored, and as what: one decision for whole responses, for responses
//! combined from parts, and for [`Entries::insert`](crate::Entries::insert).

use http::{HeaderMap, HeaderName, Method, Response, StatusCode, request, response};

use super::{
    context::RequestContext,
    lookup::LookupKeys,
    no_vary_search,
    settings::Settings,
    tee::{Entry, Limits, Related},
    variance::{Placement, ResidentUpdate, selector},
};
use crate::{
    entry::{Head, ResponseHead, Variance, VaryNames},
    key::{Key, PLAIN_METHODS, Recipe, RequestUrl, split_query},
    options::CacheOptions,
    policy::{self, Exchange, Storable, Vary},
    status::Refusal,
    time::Timestamp,
};

/// A response that may be stored, or not.
#[derive(Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) url: &'a RequestUrl,
    pub(crate) exchange: Exchange<'a>,
    pub(crate) key: &'a LookupKeys,
    pub(crate) by: BroughtBy<'a>,
}

/// Who brings a response.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BroughtBy<'a> {
    Origin,
    /// The origin brings a part. The response is combined of it and of the stored part with this
    /// head, if there is one.
    Parts(Option<&'a Head>),
    /// The user. The settings of methods, statuses, sizes and the predicate do not apply.
    User,
}

/// What is stored of a response, and where.
#[derive(Debug)]
pub(crate) struct StoragePlan {
    pub(crate) entry: Entry,
    pub(crate) related: Related,
}

impl<B> RequestContext<B> {
    /// The response of the origin, which may be stored or not.
    pub(super) fn candidate<'a>(
        &'a self,
        key: &'a LookupKeys,
        response: &'a ResponseHead,
        requested_at: Timestamp,
        now: Timestamp,
    ) -> Candidate<'a> {
        Candidate {
            settings: &self.cache.settings,
            url: &self.url,
            exchange: self.exchange(response, requested_at, now),
            key,
            by: BroughtBy::Origin,
        }
    }

    pub(super) fn exchange<'a>(
        &'a self,
        response: &'a ResponseHead,
        requested_at: Timestamp,
        now: Timestamp,
    ) -> Exchange<'a> {
        Exchange {
            options: &self.options,
            url: &self.url.text,
            request: &self.parts,
            response,
            requested_at,
            now,
        }
    }
}

impl Candidate<'_> {
    /// Whether the response may be stored, and as what.
    pub(crate) fn storable(&self) -> Result<StoragePlan, Refusal> {
        self.plan(&self.by_rules()?)
    }

    /// The same for a response whose body has at least `least` bytes, with the limits of the body.
    pub(super) fn storable_with_body(&self, least: u64) -> Result<(StoragePlan, Limits), Refusal> {
        let storable = self.by_rules()?;
        let limits = self.limits(least)?;
        Ok((self.plan(&storable)?, limits))
    }

    fn by_rules(&self) -> Result<Storable, Refusal> {
        let rules = &self.settings.rules;
        let storable = match self.by {
            BroughtBy::User => rules.storable_by_hand(&self.exchange),
            BroughtBy::Origin | BroughtBy::Parts(_) => rules.storable(&self.exchange),
        }?;
        check_parameters(self.settings, &self.exchange)?;
        Ok(storable)
    }

    fn plan(&self, storable: &Storable) -> Result<StoragePlan, Refusal> {
        let Self { settings, exchange, .. } = *self;
        let Exchange { request, now, .. } = exchange;
        let keys = self.keys(storable.expires_at)?;
        let StorageKeys { key, call_key, names, variance, resident_update } = keys;
        let mut head = self.head(&key, storable)?.with_variance(variance);
        if resident_update.is_some() {
            head = head.with_selection(selector(&call_key));
        }
        let head = match self.by {
            // Each tag of a part removes the whole.
            BroughtBy::Parts(Some(old)) => head.with_tags(freshened_tags(settings, exchange, old)?),
            _ => head,
        };
        let annotations = no_vary_search::annotations(settings, request, self.url, &head, now);
        Ok(StoragePlan {
            entry: Entry { key, call_key, head, names },
            related: Related { resident_update, annotations, splice: None },
        })
    }

    fn limits(&self, least: u64) -> Result<Limits, Refusal> {
        let Self { settings, exchange: Exchange { request, response, .. }, .. } = *self;
        // The length that the response to a HEAD names is that of another body.
        let has_no_body =
            request.method == Method::HEAD || response.status == StatusCode::NO_CONTENT;
        let expected = if has_no_body { None } else { policy::content_length(&response.headers)? };
        let max = settings.max_body;
        if expected.is_some_and(|len| len > max) || least > max {
            return Err(Refusal::TooLarge);
        }
        Ok(Limits { expected, max, check: settings.rules.response_check(response)? })
    }

    /// The head that the response is stored with.
    fn head(&self, key: &Key, storable: &Storable) -> Result<Head, Refusal> {
        let Self { settings, exchange, .. } = *self;
        let Exchange { url, request, response, requested_at, now, .. } = exchange;
        let mut tags = settings.rules.tags.choose(own_options(request), request, response)?;
        tags.extend(settings.rules.group_tags(url, &response.headers)?);
        tags.extend(url_tag(&settings.recipe, key, &request.method, url));
        tags.extend(path_tag(settings, url, &response.headers));
        let (mut stored, ()) = Response::new(()).into_parts();
        stored.status = response.status;
        stored.version = response.version;
        stored.headers = settings.rules.stored_fields(&response.headers, storable, now);
        Ok(Head::new(request.method.clone(), self.url.text.clone(), stored, now)
            .assume_compact()
            .with_expires_at(storable.expires_at)
            .with_keep_until(self.keep_until(storable.expires_at))
            .with_tags(tags)
            .with_requested_at(requested_at))
    }

    /// Until when the response is of use. `None` is forever.
    fn keep_until(&self, expires_at: Option<Timestamp>) -> Option<Timestamp> {
        let Exchange { request, response, now, .. } = self.exchange;
        let rules = &self.settings.rules;
        rules.keep_until(own_options(request), response.fields(), expires_at, now)
    }

    /// Where the response is stored, which expires at this time.
    pub(super) fn keys(&self, expires_at: Option<Timestamp>) -> Result<StorageKeys, Refusal> {
        let Self { settings, exchange, key: lookup_key, .. } = *self;
        let Exchange { request, response, now, .. } = exchange;
        let recipe = &settings.recipe;
        let primary = &lookup_key.primary;
        let names = match policy::vary(&response.headers, recipe.headers.ignored()) {
            Vary::Anything => return Err(Refusal::Vary),
            Vary::Nothing => return Ok(StorageKeys::primary(*primary)),
            Vary::Names(names) => names,
        };
        // A header that is part of the primary key selects no variant: each hit would cost a second
        // read.
        let names: VaryNames =
            names.into_iter().filter(|name| !is_in_key(recipe, request, name)).collect();
        if names.is_empty() {
            return Ok(StorageKeys::primary(*primary));
        }
        let names = policy::union(names, lookup_key.names());
        let call_key = recipe.variant(primary, &names, &request.headers);
        let resident = lookup_key.resident.as_ref();
        let placement = Placement::of(primary, resident, &names, &call_key, now);
        let keys = StorageKeys { call_key, names: Some(names), ..StorageKeys::primary(*primary) };
        Ok(match placement {
            Placement::Resident(variance) => StorageKeys { variance: Some(variance), ..keys },
            Placement::Beside(resident) => {
                let key = recipe.other(&call_key, resident.family);
                let until = self.keep_until(expires_at);
                let resident_update = Some(Box::new(ResidentUpdate { resident, until, now }));
                StorageKeys { key, resident_update, ..keys }
            }
        })
    }
}

/// The keys of a response, and how it lies among the variants of its primary key.
pub(super) struct StorageKeys {
    pub(super) key: Key,
    /// The key under which requests for it join calls.
    pub(super) call_key: Key,
    /// The request headers that select it, if it varies.
    pub(super) names: Option<VaryNames>,
    /// What selects it, if it becomes the resident.
    pub(super) variance: Option<Variance>,
    /// The change of the resident that leads to it, if it lies beside one.
    pub(super) resident_update: Option<Box<ResidentUpdate>>,
}

impl StorageKeys {
    /// The keys of a response that does not vary.
    fn primary(key: Key) -> Self {
        Self { key, call_key: key, names: None, variance: None, resident_update: None }
    }
}

fn own_options(request: &request::Parts) -> &CacheOptions {
    CacheOptions::of(&request.extensions)
}

/// Refuses a response that repeats an ignored parameter: it would get into the store, and from
/// there to other users.
pub(super) fn check_parameters(
    settings: &Settings,
    exchange: &Exchange<'_>,
) -> Result<(), Refusal> {
    let is_repeated = settings.recipe.ignored_parameters.are_in(&exchange.response.headers);
    if is_repeated { Err(Refusal::IgnoredParameter) } else { Ok(()) }
}

/// Whether requests that differ in the header `name` have different primary keys anyway.
fn is_in_key(recipe: &Recipe, request: &request::Parts, name: &HeaderName) -> bool {
    let is_made_from_headers = recipe.custom.is_none() && own_options(request).key.is_none();
    is_made_from_headers && recipe.headers.contains(name)
}

/// The tag by which a removal by URL finds the entry under `key`. An entry under a plain key needs
/// none: the tag would cost a store as much as the entry itself.
fn url_tag(recipe: &Recipe, key: &Key, method: &Method, url: &str) -> Option<Box<str>> {
    let is_plain = PLAIN_METHODS.contains(method) && recipe.plain(method, url) == *key;
    (!is_plain).then(|| recipe.url_tag(url))
}

/// The tags of the `old` stored response, after an answer about it or a part of it.
pub(super) fn freshened_tags(
    settings: &Settings,
    exchange: Exchange<'_>,
    old: &Head,
) -> Result<Vec<Box<str>>, Refusal> {
    let Exchange { options, request, response, url, .. } = exchange;
    let mut tags = settings.rules.tags.freshen(options, request, old, response)?;
    let path = path_tag(settings, url, &response.headers);
    tags.extend(path.filter(|tag| !tags.contains(tag)));
    settings.rules.with_groups(tags, url, &response.headers)
}

/// The tag by which a removal finds a response with these fields that may answer other queries of
/// its path.
fn path_tag(settings: &Settings, url: &str, fields: &HeaderMap) -> Option<Box<str>> {
    let varies = settings.uses_no_vary_search() && settings.rules.url_variation(fields).is_some();
    varies.then(|| settings.recipe.path_tag(split_query(url).0))
}

/// Whether a response with these fields varies by other headers than the stored one.
pub(super) fn varies_anew(settings: &Settings, old: &Head, response: &response::Parts) -> bool {
    let vary = |headers| policy::vary(headers, settings.recipe.headers.ignored());
    vary(old.headers()) != vary(&response.headers)
}
