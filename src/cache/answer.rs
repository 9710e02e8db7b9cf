//! The responses that the cache gives by itself: stored ones, their 304s, and 504s.

use std::sync::Arc;

use http::{Method, Response, StatusCode, header, request};
use http_body::Body;

use super::{CacheLayer, ResponseBody, heal::watched};
use crate::{
    entry::Head,
    event::Event,
    key::Key,
    policy::{self, Part, Verdict},
    status::CacheStatus,
    store::{Hit, Store, StoredBody},
    time::Timestamp,
};

/// The response to `request` from the store. A request that makes a condition is answered with 304 where the caller's copy
/// is as good as the stored one, and one that asks for a part with that part.
pub(super) fn stored<B: Store, ResBody: Body>(
    cache: &CacheLayer<B>,
    request: &request::Parts,
    key: Key,
    mut hit: Hit,
    status: CacheStatus,
) -> Response<ResponseBody<ResBody>> {
    let age = cache.settings.rules.age(&hit.head, status.now());
    let mut response = if let Some(response) = not_modified(request, &hit.head) {
        response
    } else if request.method == Method::HEAD {
        // A `HEAD`'s own response tells the length only if the inner service gave it a body, as axum's handlers do.
        let len = hit.head.body_len();
        let len = Some(len).filter(|len| *len > 0 || *hit.head.method() == Method::GET);
        hit.into_response().map(|_unread| ResponseBody::absent(len))
    } else if hit.head.status() == StatusCode::NO_CONTENT {
        hit.into_response().map(|_empty| ResponseBody::absent(None))
    } else {
        // Watched first: the trailers then go behind the body that is handed out.
        hit.body = watched(hit.body, cache, key, hit.version);
        asked_part(request, hit).map(ResponseBody::stored)
    };
    if let Some(age) = age {
        response.headers_mut().insert(header::AGE, age);
    }
    report(cache, response, status)
}

/// The part of the stored response that the request asks for, or all of it.
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

/// The response from the store that the policy finds good, as it is or with a refresh behind it.
pub(super) fn good<B: Store, ResBody: Body>(
    cache: &CacheLayer<B>,
    request: &request::Parts,
    key: Key,
    hit: Hit,
    verdict: Verdict,
    now: Timestamp,
) -> Response<ResponseBody<ResBody>> {
    let status = match verdict {
        Verdict::Stale(why) => CacheStatus::stale(why, key, &hit.head, now),
        _ => CacheStatus::hit(key, &hit.head, now),
    };
    stored(cache, request, key, hit, status)
}

/// 304 (RFC 9110 §15.4.5) where the caller has what `head` is the head of.
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

/// A response as it is being stored, its body read along.
pub(super) fn along<ResBody: Body>(
    head: &Arc<Head>,
    body: ResponseBody<ResBody>,
) -> Response<ResponseBody<ResBody>> {
    let mut response = Response::new(body);
    *response.status_mut() = head.status();
    *response.version_mut() = head.version();
    *response.headers_mut() = head.headers().clone();
    response
}

/// 504 (RFC 9111 §5.2.1.7) for a request that forbade to ask the inner service.
pub(super) fn only_if_cached<B: Store, ResBody: Body>(
    cache: &CacheLayer<B>,
    key: Option<Key>,
    why: &str,
) -> Response<ResponseBody<ResBody>> {
    let text = format!("{why}, and the request asked for a stored one only (only-if-cached).");
    let (headers, body) = cache.settings.rules.unanswerable(&text);
    let mut response = Response::new(ResponseBody::stored(body.into()));
    *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
    *response.headers_mut() = headers;
    report(cache, response, CacheStatus::only_if_cached(key, cache.settings.clock.now()))
}

/// Puts `status` where the caller sees it, and tells it to all others. Every response passes here, once.
pub(super) fn report<B: Store, Body>(
    cache: &CacheLayer<B>,
    mut response: Response<Body>,
    status: CacheStatus,
) -> Response<Body> {
    if let Some(name) = &cache.settings.cache_status
        && let Some(field) = status.field(name)
    {
        response.headers_mut().append(header::HeaderName::from_static("cache-status"), field);
    }
    cache.observer().tell(&Event::Answered { status: &status });
    response.extensions_mut().insert(status);
    response
}
