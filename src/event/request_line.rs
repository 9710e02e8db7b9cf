//! [`RequestLine`]: method and URL of a request, as events have them.

use std::{borrow::Cow, fmt, sync::Arc};

use http::{Method, request};

use crate::{
    entry::Head,
    key::{Recipe, RequestUrl},
};

/// The method and the URL of a request, for hooks. It displays as `GET https://example.com/news`.
///
/// The URL is normalised. It has no user information, and no [ignored
/// parameters](crate::CacheLayer::add_ignored_parameters). The rest of the query is there and may
/// be secret. Its `Debug` output leaves the query out.
#[derive(Clone, Copy)]
pub struct RequestLine<'a> {
    method: &'a Method,
    url: Url<'a>,
}

#[derive(Clone, Copy)]
enum Url<'a> {
    Known(&'a str),
    /// It is made when a hook asks for it.
    Of(&'a Recipe, &'a request::Parts),
}

impl<'a> RequestLine<'a> {
    pub(crate) fn new(method: &'a Method, url: &'a str) -> Self {
        Self { method, url: Url::Known(url) }
    }

    /// Of a request whose URL has not been made.
    pub(crate) fn of(recipe: &'a Recipe, request: &'a request::Parts) -> Self {
        Self { method: &request.method, url: Url::Of(recipe, request) }
    }

    /// Of the request that a stored response answers.
    pub(crate) fn stored(head: &'a Head) -> Self {
        Self::new(head.method(), head.url())
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// The URL. Empty if the request has none: its target or `Host` is invalid.
    #[must_use]
    pub fn url(&self) -> Cow<'a, str> {
        match self.url {
            Url::Known(url) => Cow::Borrowed(url),
            Url::Of(recipe, request) => {
                recipe.url(request).map(|url| url.text.to_string()).unwrap_or_default().into()
            }
        }
    }
}

impl fmt::Display for RequestLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url())
    }
}

impl fmt::Debug for RequestLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url();
        let url = without_query(&url);
        f.debug_struct("RequestLine")
            .field("method", self.method)
            .field("url", &url)
            .finish_non_exhaustive()
    }
}

/// The URL as `Debug` outputs show it: its query may be secret.
pub(crate) fn without_query(url: &str) -> &str {
    url.split_once('?').map_or(url, |(before_query, _)| before_query)
}

/// The request line of a request that is sent on before its response is reported.
pub(crate) struct SentLine {
    method: Method,
    url: Arc<str>,
}

impl SentLine {
    /// The URL is made only if a hook may ask for it.
    pub(crate) fn of(recipe: &Recipe, request: &request::Parts, has_hooks: bool) -> Self {
        let url = has_hooks.then(|| recipe.url(request).ok()).flatten();
        let url = url.map(|RequestUrl { text, .. }| text).unwrap_or_default();
        Self { method: request.method.clone(), url }
    }

    pub(crate) fn line(&self) -> RequestLine<'_> {
        RequestLine::new(&self.method, &self.url)
    }
}
