//! Queries of which not everything matters (`No-Vary-Search`): the response to one URL answers requests for others.
//!
//! Two notes lead from a request to such a response, in the way that the draft proposes for caches. Under the path lies
//! what the latest response with the field said; under what that leaves of a query lies the URL of the latest response
//! for it. The response itself has its own place, where requests for its own URL find it with one read, and whether it
//! answers others is judged by its own field, whatever the notes say. A note that leads nowhere is a miss.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, request};
use http_body::Body;

use super::{
    CacheLayer, RequestBody,
    list::later,
    lookup::{Found, look_under, read},
    settings::Settings,
    share::put_head,
};
use crate::{
    entry::Head,
    event::StoreOperation,
    key::{Content, Key, RequestUrl},
    options::CacheOptions,
    policy::{NO_VARY_SEARCH, Verdict},
    status::Stale,
    store::Store,
    time::Timestamp,
};

/// Whether the response to another URL may answer this request, as far as the request tells.
pub(super) fn may_answer<B>(
    cache: &CacheLayer<B>,
    options: &CacheOptions,
    parts: &request::Parts,
    url: &RequestUrl,
) -> bool {
    cache.settings.heeds_no_vary_search()
        && parts.method == Method::GET
        && !options.asks_origin()
        && split(&url.text).1.is_some()
}

/// The response to another URL that answers this request as it is, where nothing stored for its own does. What would have
/// to be refreshed or confirmed is left to the URL that it belongs to.
pub(super) async fn equivalent<B: Store, ReqBody: Body<Data = Bytes>>(
    cache: &CacheLayer<B>,
    options: &CacheOptions,
    parts: &request::Parts,
    url: &RequestUrl,
    body: &mut RequestBody<ReqBody>,
) -> Option<Found> {
    let settings = &*cache.settings;
    let (path, Some(query)) = split(&url.text) else { return None };
    if !body.content().chunks.is_empty() {
        return None;
    }
    let rule = read(cache, &rule_key(settings, parts, url, path)).await.ok()??;
    let rule = settings.rules.url_variation(rule.head.headers()).filter(|_| rule.head.is_note())?;
    let simple = rule.simplified(Some(query));
    let note = read(cache, &note_key(settings, parts, url, path, &simple)).await.ok()??;
    let target = note.head.url();
    if !note.head.is_note() || target == url.text || split(target).0 != path {
        return None;
    }
    let key = as_if_for(settings, parts, url, target.to_owned());
    let Found::Good(key, hit, verdict) = look_under(cache, options, parts, key).await.found else {
        return None;
    };
    let own = settings.rules.url_variation(hit.head.headers())?;
    let is_equal = own.simplified(split(hit.head.url()).1) == own.simplified(Some(query));
    let verdict = match verdict {
        Verdict::Fresh | Verdict::Ending => Verdict::Fresh,
        Verdict::Stale(Stale::MaxStale | Stale::OnlyIfCached) => verdict,
        _ => return None,
    };
    is_equal.then_some(Found::Good(key, hit, verdict))
}

/// What has to be noted for the response under `head` to be found by requests for other URLs; nothing where it answers its
/// own alone.
pub(crate) fn notes(
    settings: &Settings,
    request: &request::Parts,
    url: &RequestUrl,
    head: &Head,
    now: Timestamp,
) -> Vec<(Key, Head)> {
    let has_own_key = CacheOptions::of(&request.extensions).key.is_some();
    // A part is found by way of the whole's place.
    let is_plain = request.method == Method::GET && head.status() != StatusCode::PARTIAL_CONTENT;
    if !settings.heeds_no_vary_search() || !is_plain || has_own_key {
        return Vec::new();
    }
    let Some(rule) = settings.rules.url_variation(head.headers()) else { return Vec::new() };
    let (path, query) = split(&url.text);
    let note = |url: &str, fields: HeaderMap| {
        // Whoever removes what is stored for the path removes what leads there as well.
        let tags = vec![settings.recipe.path_tag(path)];
        Head::note(url, fields, now)
            .with_expires_at(head.expires_at())
            .with_keep_until(head.keep_until())
            .with_tags(tags)
    };
    let lines = head.headers().get_all(NO_VARY_SEARCH).iter();
    let fields = lines.map(|line: &HeaderValue| (NO_VARY_SEARCH, line.clone())).collect();
    let simple = rule.simplified(query);
    vec![
        (note_key(settings, request, url, path, &simple), note(&url.text, HeaderMap::new())),
        (rule_key(settings, request, url, path), note(path, fields)),
    ]
}

/// Lays the notes, but for those that say the same already. A note that is not there costs a hit and nothing else, so that
/// what fails is told, and no more.
pub(crate) async fn lay<B: Store>(cache: &CacheLayer<B>, notes: Vec<(Key, Head)>) {
    let (store, observer) = (&cache.shared.store, cache.observer());
    for (key, note) in notes {
        match observer.asked(StoreOperation::Get, &key, store.get(&key)).await {
            Ok(Some(there)) if says_the_same(&there.head, &note) => {}
            _ => drop(put_head(store, observer, &key, note).await),
        }
    }
}

/// Whether the note that is there leads where the new one does, and for at least as long.
fn says_the_same(there: &Head, note: &Head) -> bool {
    let lasts = |end: fn(&Head) -> Option<Timestamp>| later(end(there), end(note)) == end(there);
    there.is_note()
        && (there.url(), there.headers()) == (note.url(), note.headers())
        && lasts(Head::expires_at)
        && lasts(Head::keep_until)
}

/// Path (with all before it) and query.
pub(crate) fn split(url: &str) -> (&str, Option<&str>) {
    url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)))
}

/// Where the latest rule for `path` is noted, for requests that agree in everything else.
fn rule_key(settings: &Settings, parts: &request::Parts, url: &RequestUrl, path: &str) -> Key {
    settings.recipe.search_rule(&as_if_for(settings, parts, url, path.to_owned()))
}

/// Where the URL of the latest response for what matters of a query is noted.
fn note_key(
    settings: &Settings,
    parts: &request::Parts,
    url: &RequestUrl,
    path: &str,
    simple: &str,
) -> Key {
    settings.recipe.search(&as_if_for(settings, parts, url, format!("{path}?{simple}")))
}

/// The primary key of the request as if it were for the URL `text` of the same host and user.
fn as_if_for(settings: &Settings, parts: &request::Parts, url: &RequestUrl, text: String) -> Key {
    let url = RequestUrl { text, ..url.clone() };
    settings.recipe.primary(&Method::GET, &url, parts, Content::default())
}
