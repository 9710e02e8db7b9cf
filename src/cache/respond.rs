//! The responses that the cache makes: stored ones, 206, 304, 416 and 504. Every response passes
//! [`report`], which adds its status and tells the observer.

use std::sync::Arc;

use http::{Method, Response, StatusCode, header, request};
use http_body::Body;

use super::{body::ResponseBody, context::RequestContext, layer::Inner, lookup::Selected};
use crate::{
    entry::Head,
    event::{Event, RequestLine},
    key::Key,
    policy::{self, Part, Verdict},
    status::{CacheStatus, Miss, Stored},
    store::{Hit, Store, StoredBody},
    time::Timestamp,
};

/// The stored response as the answer to `request`: a 304 if the request has a condition and the
/// caller's copy is as good as the stored one, a 206 if it asks for a part.
pub(super) fn stored<B: Store, ResBody: Body>(
    cache: &Inner<B>,
    request: &request::Parts,
    Selected { key, mut hit, .. }: Selected,
    status: CacheStatus,
) -> Response<ResponseBody<ResBody>> {
    let age = cache.settings.rules.age(&hit.head, status.now());
    let mut response = if let Some(response) = not_modified(request, &hit.head) {
        response
    } else if request.method == Method::HEAD {
        // The response to a HEAD names the length only if the inner service gave it a body, as
        // axum's handlers do.
        let len = hit.head.body_len();
        let len = Some(len).filter(|len| *len > 0 || *hit.head.method() == Method::GET);
        hit.into_response().map(|_unread| ResponseBody::absent(len))
    } else if hit.head.status() == StatusCode::NO_CONTENT {
        hit.into_response().map(|_empty| ResponseBody::absent(None))
    } else {
        // This comes first: the trailers then follow the body that is handed out.
        hit.body = cache.handle.evict_if_damaged(hit.body, key, hit.version);
        asked_part(request, hit).map(ResponseBody::stored)
    };
    if let Some(age) = age {
        // An origin may send as many names as a map has room for.
        let _no_room = response.headers_mut().try_insert(header::AGE, age);
    }
    report(cache, RequestLine::of(&cache.settings.recipe, request), response, status)
}

/// The part of the stored response that the request asks for, or the whole.
fn asked_part(request: &request::Parts, hit: Hit) -> Response<StoredBody> {
    if !policy::asks_for_part(&request.method, &request.headers) {
        return hit.into_response();
    }
    let total = hit.head.body_len();
    match policy::part(&request.headers, &hit.head) {
        Part::Bytes { offset, len, range } => {
            let mut response = hit.into_response().map(|body| body.part(offset, len));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            policy::part_headers(response.headers_mut(), len, range);
            response
        }
        Part::Unsatisfiable => {
            let mut response = Response::new(StoredBody::empty());
            *response.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
            *response.headers_mut() = policy::unsatisfiable_headers(total);
            response
        }
        Part::Whole | Part::Other => hit.into_response(),
    }
}

/// The stored response as the policy allows it.
pub(super) fn hit<B: Store, ResBody: Body>(
    cache: &Inner<B>,
    request: &request::Parts,
    selected: Selected,
    verdict: Verdict,
    now: Timestamp,
) -> Response<ResponseBody<ResBody>> {
    let (key, head) = (selected.key, &selected.hit.head);
    let status = match verdict {
        Verdict::Stale(why) => CacheStatus::stale(why, key, head, now),
        _ => CacheStatus::hit(key, head, now),
    };
    stored(cache, request, selected, status)
}

/// The same, after the request may have waited for another request's call.
pub(super) fn from_store<B: Store, ResBody: Body>(
    ctx: &RequestContext<B>,
    selected: Selected,
    verdict: Verdict,
) -> Response<ResponseBody<ResBody>> {
    let now = ctx.cache.settings.clock.now();
    if !ctx.has_waited || matches!(verdict, Verdict::Stale(_)) {
        return hit(&ctx.cache, &ctx.parts, selected, verdict, now);
    }
    let (key, head) = (selected.key, &selected.hit.head);
    let status = CacheStatus::coalesced(ctx.first_reason, key, Some(head), now, Stored::Yes);
    stored(&ctx.cache, &ctx.parts, selected, status)
}

/// The stored response after a revalidation.
pub(super) fn freshened<B: Store, ResBody: Body>(
    ctx: &RequestContext<B>,
    selected: Selected,
    reason: Miss,
    is_stored: Stored,
) -> Response<ResponseBody<ResBody>> {
    let now = ctx.cache.settings.clock.now();
    let (key, head) = (selected.key, &selected.hit.head);
    let status = CacheStatus::revalidated(reason, key, head, now, false, is_stored);
    stored(&ctx.cache, &ctx.parts, selected, status)
}

/// A 304 (RFC 9110 §15.4.5) if the caller has the response with this head.
pub(super) fn not_modified<ResBody: Body>(
    request: &request::Parts,
    head: &Head,
) -> Option<Response<ResponseBody<ResBody>>> {
    if !policy::is_unmodified(&request.headers, &request.method, head) {
        return None;
    }
    let mut response = Response::new(ResponseBody::absent(None));
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    *response.version_mut() = head.version();
    *response.headers_mut() = policy::not_modified_headers(head.headers());
    Some(response)
}

/// A response in flight, as its followers receive it.
pub(super) fn shared<ResBody: Body>(
    head: &Arc<Head>,
    body: ResponseBody<ResBody>,
) -> Response<ResponseBody<ResBody>> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status();
    *response.version_mut() = head.version();
    *response.headers_mut() = head.headers().clone();
    response
}

/// A 504 (RFC 9111 §5.2.1.7) to a request that forbids to ask the inner service.
pub(super) fn gateway_timeout<B: Store, ResBody: Body>(
    cache: &Inner<B>,
    line: RequestLine<'_>,
    key: Option<Key>,
    why: &str,
) -> Response<ResponseBody<ResBody>> {
    let text = format!("{why}. The request accepts only a stored response (only-if-cached).");
    let (headers, body) = cache.settings.rules.unanswerable(&text);
    let mut response = Response::new(ResponseBody::stored(body.into()));
    *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
    *response.headers_mut() = headers;
    report(cache, line, response, CacheStatus::only_if_cached(key, cache.settings.clock.now()))
}

/// Why a request that forbids to ask the origin has no answer.
pub(super) fn why_not_stored(reason: Miss) -> &'static str {
    match reason {
        Miss::Expired => "The stored response has expired",
        Miss::StoreFailed(_) => "The store could not be read",
        _ => "No response is stored",
    }
}

/// Adds the status to the response, and tells the observer. Every response passes here once.
pub(super) fn report<B: Store, ResBody>(
    cache: &Inner<B>,
    request: RequestLine<'_>,
    mut response: Response<ResBody>,
    status: CacheStatus,
) -> Response<ResBody> {
    if let Some(name) = &cache.settings.cache_status
        && let Some(field) = status.field(name)
    {
        let name = header::HeaderName::from_static("cache-status");
        let _no_room = response.headers_mut().try_append(name, field);
    }
    let code = response.status();
    cache.observer().tell(&Event::Answered { request, code, status: &status });
    response.extensions_mut().insert(status);
    response
}
