//! What the store has for a request, and whether that may answer it.
//!
//! Requests and [`Entries`](crate::Entries) use the same lookup. It reads the entry under the
//! primary key. If that is a resident that the request does not select, it reads the variant that
//! the request selects.

use std::{mem, sync::Arc};

use http::{HeaderMap, HeaderName, Method, request};

use super::{
    coalesce::Generation,
    context::RequestRef,
    layer::Inner,
    variance::{Resident, ResidentId, selector},
};
use crate::{
    entry::{Head, Variance},
    key::{Key, Recipe},
    options::CacheOptions,
    policy::{self, Verdict},
    status::{Miss, Stale},
    store::{Error, ErrorKind, Hit, Result, Store, Version},
    time::Timestamp,
};

/// A stored response that the request selects, and the key that it lies under.
pub(super) struct Selected {
    pub(super) key: Key,
    pub(super) hit: Hit,
    /// The resident that leads to it, if it lies beside one.
    pub(super) resident: Option<ResidentId>,
}

/// A stored response as it was seen, without its body.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) key: Key,
    pub(super) version: Version,
    pub(super) head: Arc<Head>,
    /// The resident that leads to it, if it lies beside one.
    pub(super) resident: Option<ResidentId>,
}

impl Seen {
    pub(super) fn of(Selected { key, hit, resident }: &Selected) -> Self {
        let (head, resident) = (hit.head.clone(), resident.clone());
        Self { key: *key, version: hit.version, head, resident }
    }
}

/// What the store has for a request.
pub(super) struct Lookup {
    pub(super) found: Found,
    pub(super) key: LookupKeys,
    /// Why the request would be a miss: what events and the status report if the origin is asked.
    pub(super) reason: Miss,
    /// The generation of calls before the store was read.
    pub(super) generation: Generation,
    /// For a `HEAD`: the generation of the `GET` before the store was read.
    pub(super) get_generation: Option<Generation>,
    pub(super) now: Timestamp,
}

pub(super) enum Found {
    /// A stored response that may answer the request.
    Usable(Selected, Verdict),
    /// Stored, but not usable without revalidation: it is stale, or the request demands a fresh
    /// response.
    Stale(Selected),
    Absent,
}

/// The keys that a request was looked up under.
#[derive(Clone, Debug)]
pub(crate) struct LookupKeys {
    /// The key under which the request joins calls. It is the primary key, or if there is a
    /// resident, the key of the variant that the request selects.
    pub(crate) call: Key,
    /// The key of the entry that the request selects: the primary key, or one beside the resident.
    pub(crate) entry: Key,
    /// The primary key of the request.
    pub(crate) primary: Key,
    /// The resident under the primary key, if there is one.
    pub(crate) resident: Option<Resident>,
}

impl LookupKeys {
    pub(crate) fn primary(primary: Key) -> Self {
        Self { call: primary, entry: primary, primary, resident: None }
    }

    /// The request headers that select a variant.
    pub(super) fn names(&self) -> &[HeaderName] {
        self.resident.as_ref().map_or(&[], Resident::names)
    }
}

impl Lookup {
    /// Takes what was found, and leaves [`Found::Absent`].
    pub(super) fn take_found(&mut self) -> Found {
        mem::replace(&mut self.found, Found::Absent)
    }

    /// Takes the stored response that was found.
    pub(super) fn take_selected(&mut self) -> Option<Selected> {
        match self.take_found() {
            Found::Usable(selected, _) | Found::Stale(selected) => Some(selected),
            Found::Absent => None,
        }
    }
}

/// What was read under a primary key.
pub(crate) struct Read {
    pub(crate) key: LookupKeys,
    pub(crate) found: Result<Option<Hit>>,
    /// The generation of calls before the store was read.
    generation: Generation,
}

/// What was read under a primary key, before any variant beside it.
pub(super) struct PrimaryRead {
    pub(super) key: Key,
    pub(super) found: Result<Option<Hit>>,
    generation: Generation,
}

/// Reads the entry under a primary key.
pub(super) async fn read_primary<B: Store>(cache: &Inner<B>, key: Key) -> PrimaryRead {
    let generation = cache.shared.calls.generation(&key);
    let found = cache.handle.get(&key).await;
    // A key of the user's own may be the key of an annotation.
    let found = found.map(|hit| hit.filter(|hit| hit.head.is_response()));
    PrimaryRead { key, found, generation }
}

impl PrimaryRead {
    /// Whether nothing is stored under the key.
    pub(super) fn is_absent(&self) -> bool {
        matches!(self.found, Ok(None))
    }

    /// The verdict on the response that was read, and the time of that verdict. `None` if the
    /// request selects another variant, or if this response needs a call to the origin: then
    /// [`find_verdict`](RequestRef::find_verdict) has it.
    pub(super) fn verdict<B>(
        &self,
        cache: &Inner<B>,
        options: &CacheOptions,
        request: &request::Parts,
    ) -> Option<(Verdict, Timestamp)> {
        let Ok(Some(Hit { head, .. })) = &self.found else { return None };
        let recipe = &cache.settings.recipe;
        let is_selected = head.variance().is_none_or(|variance| {
            let (_, is_selected) = variant(recipe, &self.key, variance, &request.headers);
            is_selected
        });
        if !is_selected || head.has_ended() {
            return None;
        }
        let now = cache.settings.clock.now();
        let verdict = cache.settings.rules.verdict(options, &request.method, head, now);
        let is_answer = matches!(
            verdict,
            Verdict::Fresh | Verdict::Stale(Stale::MaxStale | Stale::OnlyIfCached)
        );
        is_answer.then_some((verdict, now))
    }
}

/// Reads the response that a request with these headers selects. Without headers, that is the
/// response under the primary key.
pub(crate) async fn read<B: Store>(
    cache: &Inner<B>,
    primary: Key,
    headers: Option<&HeaderMap>,
) -> Read {
    read_selected(cache, read_primary(cache, primary).await, headers).await
}

/// The key of the variant that these headers select, and whether that is the resident itself.
fn variant(
    recipe: &Recipe,
    primary: &Key,
    resident: &Variance,
    headers: &HeaderMap,
) -> (Key, bool) {
    let call = recipe.variant(primary, &resident.names, headers);
    (call, resident.selector == selector(&call))
}

/// Reads the selected variant, if the entry under the primary key is another one.
async fn read_selected<B: Store>(
    cache: &Inner<B>,
    PrimaryRead { key: primary, found, generation }: PrimaryRead,
    headers: Option<&HeaderMap>,
) -> Read {
    let mut key = LookupKeys::primary(primary);
    let (Ok(Some(hit)), Some(headers)) = (&found, headers) else {
        return Read { key, found, generation };
    };
    let Some(variance) = hit.head.variance() else { return Read { key, found, generation } };
    let recipe = &cache.settings.recipe;
    let (call, is_selected) = variant(recipe, &primary, variance, headers);
    key.call = call;
    key.resident = Some(Resident { head: hit.head.clone(), in_flight: None });
    if is_selected {
        return Read { key, found, generation };
    }
    key.entry = recipe.other(&key.call, variance.family);
    match variance.others {
        Some(_) => read_beside(cache, key).await,
        None => Read { key, found: Ok(None), generation },
    }
}

/// The keys of entries that a request with these headers selects, and that its lookup has not read.
/// They lie beside a resident that says that there are no others, or beside one in flight.
pub(crate) fn unread_variants<B: Store>(
    cache: &Inner<B>,
    key: &LookupKeys,
    headers: &HeaderMap,
) -> Vec<Key> {
    let recipe = &cache.settings.recipe;
    let has_skipped =
        |resident: &&Resident| key.entry != key.primary && resident.head.others().is_none();
    let skipped = key.resident.as_ref().filter(has_skipped).map(|_| key.entry);
    let in_flight = cache.shared.calls.residents(&key.primary).into_iter().map(|resident| {
        let variant = recipe.variant(&key.primary, resident.names(), headers);
        recipe.other(&variant, resident.family())
    });
    skipped.into_iter().chain(in_flight).collect()
}

/// Reads a variant that lies beside the resident.
async fn read_beside<B: Store>(cache: &Inner<B>, key: LookupKeys) -> Read {
    let generation = cache.shared.calls.generation(&key.call);
    let found = cache.handle.get(&key.entry).await;
    let found = found.map(|hit| hit.filter(|hit| hit.head.is_response()));
    Read { key, found, generation }
}

impl<B: Store> RequestRef<'_, B> {
    /// What the store has for the request. `read` is the entry under its primary key, if that has
    /// been read.
    pub(super) async fn lookup(self, read: Option<PrimaryRead>) -> Lookup {
        let Self { options, parts, .. } = self;
        if options.key.is_none() && parts.method == Method::HEAD {
            return self.lookup_for_head().await;
        }
        let read = match read {
            Some(read) => read,
            None => read_primary(self.cache, self.primary(&parts.method)).await,
        };
        self.lookup_after(read).await
    }

    async fn lookup_for_head(self) -> Lookup {
        // The response to a GET answers a HEAD as well (RFC 9111 §4). Under the HTTP rules, what
        // the origin says to a HEAD freshens or removes it. Under the fixed policy, it answers
        // while it is fresh.
        let get = self.lookup_under(self.primary(&Method::GET)).await;
        if matches!(get.found, Found::Usable(_, Verdict::Fresh)) {
            return get;
        }
        let own = self.lookup_under(self.primary(&Method::HEAD)).await;
        let own = Lookup { get_generation: Some(get.generation), ..own };
        let prefers_own = match (&own.found, &get.found) {
            (Found::Usable(own, _), Found::Usable(get, _)) => {
                own.hit.head.stored_at() > get.hit.head.stored_at()
            }
            // A GET that arrived later and is stale by now may have shown another representation.
            (Found::Usable(own, _), Found::Stale(get)) => {
                !policy::is_outdated(&own.hit.head, &get.hit.head)
            }
            (Found::Usable(..), _) => true,
            (_, Found::Usable(..)) => false,
            // The answer to a HEAD is about the stored response to a GET.
            (_, Found::Stale(_)) => false,
            (Found::Stale(_), _) => true,
            // The reason why the response to the GET is of no use says more than "absent".
            _ => own.reason != Miss::Absent,
        };
        if prefers_own {
            return own;
        }
        // The response to a HEAD is stored under the key of the HEAD. Its call may freshen a
        // variant of the response to a GET, so only requests that select this variant may join the
        // call.
        let mut key = own.key;
        if key.resident.is_none()
            && let Some(resident) = &get.key.resident
        {
            key.call = self.variant(&key.primary, resident.names());
        }
        Lookup { found: get.found, reason: get.reason, key, ..own }
    }

    /// What the store has of the response to a request for a part.
    pub(super) async fn lookup_part(self) -> Lookup {
        let whole = self.primary(&self.parts.method);
        self.lookup_under(self.cache.settings.recipe.part(&whole)).await
    }

    /// The lookup of a request with this method for the same URL, without a read.
    pub(super) fn unread(self, method: &Method) -> Lookup {
        let key = self.primary(method);
        Lookup {
            found: Found::Absent,
            key: LookupKeys::primary(key),
            reason: Miss::Absent,
            generation: self.cache.shared.calls.generation(&key),
            get_generation: None,
            now: self.cache.settings.clock.now(),
        }
    }

    /// Looks up the variant that the request selects, beside a resident in flight.
    pub(super) async fn lookup_beside(self, primary: Key, resident: Resident) -> Lookup {
        let call = self.variant(&primary, resident.names());
        let entry = self.cache.settings.recipe.other(&call, resident.family());
        let key = LookupKeys { call, entry, primary, resident: Some(resident) };
        self.find_verdict(read_beside(self.cache, key).await, Miss::Variant)
    }

    pub(super) async fn lookup_under(self, primary: Key) -> Lookup {
        self.lookup_after(read_primary(self.cache, primary).await).await
    }

    /// The lookup result if nothing is stored under the primary key.
    pub(super) fn absent(self, read: &PrimaryRead) -> Lookup {
        let PrimaryRead { key, generation, .. } = read;
        let key = LookupKeys::primary(*key);
        let read = Read { key, found: Ok(None), generation: generation.clone() };
        self.find_verdict(read, Miss::Absent)
    }

    async fn lookup_after(self, read: PrimaryRead) -> Lookup {
        let read = read_selected(self.cache, read, Some(&self.parts.headers)).await;
        let reason = if read.key.resident.is_some() { Miss::Variant } else { Miss::Absent };
        self.find_verdict(read, reason)
    }

    /// Finds the verdict on what was read. `absent` is the reason to report if nothing was read.
    fn find_verdict(self, read: Read, absent: Miss) -> Lookup {
        let Self { cache, options, parts, .. } = self;
        let Read { key, found, generation } = read;
        let now = cache.settings.clock.now();
        // A response that has ended is there only for the variants that it leads to.
        let found = found.map(|hit| hit.filter(|hit| !hit.head.has_ended()));
        let (found, reason) = match found {
            Ok(Some(hit)) => {
                let verdict = cache.settings.rules.verdict(options, &parts.method, &hit.head, now);
                let is_beside = key.entry != key.primary;
                let resident = key.resident.as_ref().filter(|_| is_beside);
                let resident = resident.map(|resident| resident.id(key.primary));
                let selected = Selected { key: key.entry, hit, resident };
                match verdict {
                    Verdict::Unsatisfying(reason @ (Miss::Expired | Miss::Refresh)) => {
                        (Found::Stale(selected), reason)
                    }
                    // It belongs to another method or another layer, and is of no use here.
                    Verdict::Unsatisfying(reason) => (Found::Absent, reason),
                    verdict => (Found::Usable(selected, verdict), Miss::Expired),
                }
            }
            Ok(None) if options.asks_origin() => (Found::Absent, Miss::Refresh),
            Ok(None) => (Found::Absent, absent),
            Err(error) => (Found::Absent, miss(&error)),
        };
        Lookup { found, key, reason, generation, get_generation: None, now }
    }
}

fn miss(error: &Error) -> Miss {
    match error.kind() {
        ErrorKind::Corrupt => Miss::Corrupt,
        kind => Miss::StoreFailed(kind),
    }
}
