//! [`Exchange`]: a request as a cassette knows it. Its key, and what is recorded of it.

use http::{
    HeaderMap, HeaderName, Method, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HOST},
    request, response,
};

use super::{
    redact::{is_unrecorded, recorded_value},
    urls::{Text, redacted},
};
use crate::{
    cache::ReadBody,
    entry::{Head, RecordedRequest},
    key::{Content, InvalidTarget, Key, Recipe, RequestUrl, without_boundary},
    policy,
    time::Timestamp,
};

/// A request without its secrets.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) method: Method,
    /// The key may depend on more than this: parameters that are ignored elsewhere are not in it.
    pub(super) url: String,
    /// The headers that are part of the key, by their names, apart from secret ones.
    pub(super) headers: HeaderMap,
    /// The length of the body as it was sent.
    pub(super) body_len: u64,
    /// The body in lines of text.
    pub(super) body: Vec<String>,
    key: Key,
}

impl Exchange {
    pub(super) fn new(
        recipe: &Recipe,
        parts: &request::Parts,
        read: ReadBody,
    ) -> Result<Self, InvalidTarget> {
        let mut url = recipe.url(parts)?;
        url.userinfo = None;
        let read = read.normalized(|chunks| recipe.normal_body(&parts.headers, chunks));
        let content = read.content();
        let headers = recorded_headers(recipe, parts, &url, content);
        let key = recipe.primary(&parts.method, &url, parts, content);
        let text = redacted(&recipe.ignored_parameters, &url.text, Text::Url);
        Ok(Self {
            key,
            method: parts.method.clone(),
            url: text.unwrap_or_else(|| url.text.to_string()),
            headers,
            body_len: content.len(),
            body: recipe.body.readable(&parts.headers, content.chunks),
        })
    }

    /// The key of the response to the request of this number among equal ones, counted from 1.
    pub(super) fn key(&self, number: u32) -> Key {
        match number {
            1 => self.key,
            _ => Key::digest(format!("{}/{number}", self.key)),
        }
    }

    /// The head of the response to the request of this number.
    pub(super) fn head(
        &self,
        number: u32,
        response: &response::Parts,
        headers: HeaderMap,
        (requested_at, now): (Timestamp, Timestamp),
    ) -> Head {
        let (mut parts, ()) = Response::new(()).into_parts();
        (parts.status, parts.version) = (response.status, response.version);
        parts.headers = headers;
        let (headers, body) = (self.headers.clone(), self.body.clone());
        Head::new(self.method.clone(), self.url.clone(), parts, now)
            .with_requested_at(requested_at)
            .with_recorded(RecordedRequest { number, headers, body })
    }

    /// The length that the response says its body has.
    pub(super) fn expected_len(&self, response: &response::Parts) -> Option<u64> {
        let has_no_body = self.method == Method::HEAD
            || [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&response.status);
        if has_no_body { None } else { policy::content_length(&response.headers).ok().flatten() }
    }
}

/// The headers that are part of the key, of a body its type and coding, and a `Host` that is not
/// the one of the URL. Of secret ones, only the key depends on the value. They are sorted, so that
/// a recording does not depend on their order.
fn recorded_headers(
    recipe: &Recipe,
    parts: &request::Parts,
    url: &RequestUrl,
    content: Content<'_>,
) -> HeaderMap {
    let describes_body =
        |name: &HeaderName| content.len() > 0 && [CONTENT_TYPE, CONTENT_ENCODING].contains(name);
    let is_other_host = |name: &HeaderName| *name == HOST && url.other_host.is_some();
    let counts = |name: &HeaderName| {
        recipe.headers.contains(name) || describes_body(name) || is_other_host(name)
    };
    let is_recorded = |name: &&HeaderName| counts(name) && !is_unrecorded(recipe, name);
    let mut names: Vec<&HeaderName> = parts.headers.keys().filter(is_recorded).collect();
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    let mut headers = HeaderMap::new();
    for name in names {
        for value in parts.headers.get_all(name) {
            let without = || without_boundary(value.as_bytes()).try_into().ok();
            let is_shortened = *name == CONTENT_TYPE && content.is_without_boundary();
            let shortened =
                if is_shortened { without() } else { recorded_value(recipe, name, value) };
            headers.append(name, shortened.unwrap_or_else(|| value.clone()));
        }
    }
    headers
}
