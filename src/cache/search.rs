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
    lookup::{Found, look_under, read},
    settings::Settings,
};
use crate::{
    entry::Head,
    key::{Content, Key, RequestUrl},
    options::CacheOptions,
    policy::{NO_VARY_SEARCH, Verdict},
    status::Stale,
    store::Store,
    time::Timestamp,
};

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
    let is_plain = parts.method == Method::GET && body.content().chunks.is_empty();
    let (path, Some(query)) = split(&url.text) else { return None };
    if !is_plain || options.asks_origin() || !settings.recipe.minds_search() {
        return None;
    }
    let rule = read(cache, &rule_key(settings, parts, url, path)).await.ok()??;
    let rule = settings.rules.url_variation(rule.head.headers())?;
    let simple = rule.simplified(Some(query));
    let note = read(cache, &note_key(settings, parts, url, path, &simple)).await.ok()??;
    let target = RequestUrl { text: note.head.url().to_owned(), ..url.clone() };
    if target.text == url.text || split(&target.text).0 != path {
        return None;
    }
    let key = settings.recipe.primary(&parts.method, &target, parts, Content::default());
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
pub(super) fn notes(
    settings: &Settings,
    request: &request::Parts,
    url: &RequestUrl,
    head: &Head,
    now: Timestamp,
) -> Vec<(Key, Head)> {
    let has_own_key = CacheOptions::of(&request.extensions).key.is_some();
    // A part is found by way of the whole's place.
    let is_plain = request.method == Method::GET && head.status() != StatusCode::PARTIAL_CONTENT;
    if !settings.recipe.minds_search() || !is_plain || has_own_key {
        return Vec::new();
    }
    let Some(rule) = settings.rules.url_variation(head.headers()) else { return Vec::new() };
    let (path, query) = split(&url.text);
    let note = |url: &str, fields: HeaderMap| {
        // Whoever removes what is stored for the path removes what leads there as well.
        let tags = vec![settings.recipe.path_tag(path)];
        Head::variants(Method::GET, url, Vec::new(), now)
            .with_fields(fields)
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

/// Path (with all before it) and query.
pub(super) fn split(url: &str) -> (&str, Option<&str>) {
    url.split_once('?').map_or((url, None), |(path, query)| (path, Some(query)))
}

/// Where the latest rule for `path` is noted, for requests that agree in everything else.
fn rule_key(settings: &Settings, parts: &request::Parts, url: &RequestUrl, path: &str) -> Key {
    let path = RequestUrl { text: path.to_owned(), ..url.clone() };
    settings.recipe.search_rule(&settings.recipe.primary(
        &Method::GET,
        &path,
        parts,
        Content::default(),
    ))
}

/// Where the URL of the latest response for what matters of a query is noted.
fn note_key(
    settings: &Settings,
    parts: &request::Parts,
    url: &RequestUrl,
    path: &str,
    simple: &str,
) -> Key {
    let text = format!("{path}?{simple}");
    let equal = RequestUrl { text, ..url.clone() };
    settings.recipe.search(&settings.recipe.primary(
        &Method::GET,
        &equal,
        parts,
        Content::default(),
    ))
}
