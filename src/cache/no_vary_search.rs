//! Responses to other queries: with `No-Vary-Search`, the response to one URL answers requests for
//! other URLs of its path.
//!
//! Two annotations lead from a request to such a response, as the draft proposes for caches. The
//! first is stored for the path. It has the `No-Vary-Search` field of the latest response that had
//! one. The second is stored for the part of the query that matters by this field. It has the URL
//! of the latest response for that part. The response itself lies under its own key, where requests
//! for its own URL find it with one read. Its own field decides whether it answers others, whatever
//! the annotations say. If an annotation leads nowhere, the request is a miss.

use http::{HeaderMap, HeaderValue, Method, StatusCode, request};

use super::{
    context::RequestRef,
    lookup::{Found, Lookup, PrimaryRead, Selected},
    settings::Settings,
};
use crate::{
    entry::Head,
    key::{Content, Key, MAX_IGNORED, RequestUrl, split_query},
    options::CacheOptions,
    policy::{NO_VARY_SEARCH, Verdict},
    status::Stale,
    store::Store,
    time::Timestamp,
};

/// What the store has for the request: for its own URL, or else for another one whose response
/// answers it. `read` is the entry under its primary key, if that has been read.
pub(super) async fn lookup<B: Store>(
    request: RequestRef<'_, B>,
    read: Option<PrimaryRead>,
) -> Lookup {
    let own = request.lookup(read).await;
    if matches!(own.found, Found::Usable(..)) || !may_answer(&request) {
        return own;
    }
    match find(request).await {
        Some(found) => Lookup { found, ..own },
        None => own,
    }
}

/// Whether the response to another URL may answer the request, as far as the request tells.
pub(super) fn may_answer<B>(request: &RequestRef<'_, B>) -> bool {
    let RequestRef { cache, options, parts, url, content } = request;
    cache.settings.uses_no_vary_search()
        && parts.method == Method::GET
        && options.key.is_none()
        && !options.asks_origin()
        && content.chunks.is_empty()
        && split_query(&url.text).1.is_some()
}

/// The response to another URL that answers the request as it is.
pub(super) async fn equivalent<B: Store>(request: RequestRef<'_, B>) -> Option<Selected> {
    if !may_answer(&request) {
        return None;
    }
    match find(request).await? {
        Found::Usable(selected, _) => Some(selected),
        _ => None,
    }
}

/// Finds such a response by the annotations. A response that would have to be refreshed or
/// revalidated does not count: requests for its own URL do that.
async fn find<B: Store>(request: RequestRef<'_, B>) -> Option<Found> {
    let RequestRef { cache, parts, url, .. } = request;
    let settings = &cache.settings;
    let (path, Some(query)) = split_query(&url.text) else { return None };
    let rule = cache.handle.get(&rule_key(settings, parts, url, path)).await.ok()??;
    let rule =
        settings.rules.url_variation(rule.head.headers()).filter(|_| rule.head.is_annotation())?;
    let simple = rule.simplified(Some(query));
    let annotation =
        cache.handle.get(&query_key(settings, parts, url, path, &simple)).await.ok()??;
    let target = annotation.head.url();
    if !annotation.head.is_annotation() || *target == *url.text || split_query(target).0 != path {
        return None;
    }
    let key = key_for_url(settings, parts, url, target.to_owned());
    let Found::Usable(selected, verdict) = request.lookup_under(key).await.found else {
        return None;
    };
    let head = &selected.hit.head;
    let own = settings.rules.url_variation(head.headers())?;
    let is_equal = own.simplified(split_query(head.url()).1) == own.simplified(Some(query));
    let verdict = match verdict {
        Verdict::Fresh | Verdict::DueForRefresh => Verdict::Fresh,
        Verdict::Stale(Stale::MaxStale | Stale::OnlyIfCached) => verdict,
        _ => return None,
    };
    is_equal.then_some(Found::Usable(selected, verdict))
}

/// The annotations by which requests for other URLs find the response with this head. There are no
/// annotations if it answers its own URL alone.
pub(super) fn annotations(
    settings: &Settings,
    request: &request::Parts,
    url: &RequestUrl,
    head: &Head,
    now: Timestamp,
) -> Vec<(Key, Head)> {
    let has_own_key = CacheOptions::of(&request.extensions).key.is_some();
    // A part is found by the key of the whole.
    let is_plain = request.method == Method::GET && head.status() != StatusCode::PARTIAL_CONTENT;
    if !settings.uses_no_vary_search() || !is_plain || has_own_key {
        return Vec::new();
    }
    let Some(rule) = settings.rules.url_variation(head.headers()) else { return Vec::new() };
    let (path, query) = split_query(&url.text);
    let annotation = |url: &str, fields: HeaderMap| {
        // A removal by path removes what leads there as well.
        let tags = vec![settings.recipe.path_tag(path)];
        Head::annotation(url, fields, now)
            .with_expires_at(head.expires_at())
            .with_keep_until(head.keep_until())
            .with_tags(tags)
    };
    let lines = head.headers().get_all(NO_VARY_SEARCH).iter();
    let fields = lines.map(|line: &HeaderValue| (NO_VARY_SEARCH, line.clone())).collect();
    let simple = rule.simplified(query);
    let count = |query: &str| query.split('&').count();
    if count(query.unwrap_or_default()) > count(&simple) + MAX_IGNORED {
        // The origin may have read only the first ones. Then it has not seen what matters.
        return Vec::new();
    }
    vec![
        (query_key(settings, request, url, path, &simple), annotation(&url.text, HeaderMap::new())),
        (rule_key(settings, request, url, path), annotation(path, fields)),
    ]
}

/// The key of the latest field for `path`, for requests that are equal in everything else.
fn rule_key(settings: &Settings, parts: &request::Parts, url: &RequestUrl, path: &str) -> Key {
    settings.recipe.search_rule(&key_for_url(settings, parts, url, path.to_owned()))
}

/// The key of the URL of the latest response for the part of a query that matters.
fn query_key(
    settings: &Settings,
    parts: &request::Parts,
    url: &RequestUrl,
    path: &str,
    simple: &str,
) -> Key {
    settings.recipe.search(&key_for_url(settings, parts, url, format!("{path}?{simple}")))
}

/// The primary key of the same request for the URL `text` of the same host.
fn key_for_url(settings: &Settings, parts: &request::Parts, url: &RequestUrl, text: String) -> Key {
    let url = RequestUrl { text: text.into(), ..url.clone() };
    settings.recipe.primary(&Method::GET, &url, parts, Content::default())
}
