//! [`Target`]: names the entry that an operation is about.

use std::{any::Any, fmt};

use bytes::Bytes;
use http::{
    HeaderMap, Method, Request, Uri,
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
    request,
    uri::InvalidUri,
};

use crate::key::Key;

/// Names an entry: by [`Key`], by URL (a `GET` without headers), or by a request.
///
/// It is made from a `Key`, a URL (`&str`, `String`, `Uri`), a `&Request<B>` or the
/// `&request::Parts` of one. A text without a host, such as `/a` or `http:///a`, is the URL of a
/// request without one. If the body of the request is part of the key, it has to be a
/// `&Request<Bytes>`. Other bodies are not read: they count as empty for `GET` and `HEAD` without
/// `Content-Length` and `Transfer-Encoding`, and are an error otherwise.
///
/// Its `Debug` output shows no user information, query or header, since each may be a secret.
pub struct Target(pub(super) Meant);

pub(super) enum Meant {
    Key(Key),
    Url(Box<request::Parts>),
    Request(Box<request::Parts>, Bytes),
    /// Not a URL. The error is returned when the target is used.
    Invalid(String),
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = |name, parts: &request::Parts, f: &mut fmt::Formatter<'_>| {
            let uri = &parts.uri;
            f.debug_struct(name)
                .field("method", &parts.method)
                .field("host", &uri.host())
                .field("path", &uri.path())
                .finish_non_exhaustive()
        };
        match &self.0 {
            Meant::Key(key) => f.debug_tuple("Target::Key").field(key).finish(),
            Meant::Url(url) => parts("Target::Url", url, f),
            Meant::Request(request, _) => parts("Target::Request", request, f),
            Meant::Invalid(message) => f.debug_tuple("Target::Invalid").field(message).finish(),
        }
    }
}

impl From<Key> for Target {
    fn from(key: Key) -> Self {
        Self(Meant::Key(key))
    }
}

impl From<&Key> for Target {
    fn from(key: &Key) -> Self {
        Self::from(*key)
    }
}

impl From<&str> for Target {
    fn from(url: &str) -> Self {
        match parse_url(url) {
            Ok(uri) => Self::from(uri),
            // The message does not repeat the text, which may contain a password or a token.
            Err(error) => {
                let message = format!(
                    "the target ({} bytes) is not a URL: {error}; write one such as \
                     http://example.com/path?query",
                    url.len()
                );
                Self(Meant::Invalid(message))
            }
        }
    }
}

/// Parses a URL. One without a host, such as `http:///a`, is how the cache writes the URL of a
/// request without one.
pub(super) fn parse_url(url: &str) -> Result<Uri, InvalidUri> {
    let path = url.strip_prefix("http://").filter(|rest| rest.starts_with('/'));
    path.unwrap_or(url).parse()
}

impl From<&String> for Target {
    fn from(url: &String) -> Self {
        Self::from(url.as_str())
    }
}

impl From<String> for Target {
    fn from(url: String) -> Self {
        Self::from(url.as_str())
    }
}

impl From<Uri> for Target {
    fn from(uri: Uri) -> Self {
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.uri = uri;
        Self(Meant::Url(Box::new(parts)))
    }
}

impl From<&Uri> for Target {
    fn from(uri: &Uri) -> Self {
        Self::from(uri.clone())
    }
}

impl<B: 'static> From<&Request<B>> for Target {
    fn from(request: &Request<B>) -> Self {
        let body: &dyn Any = request.body();
        let content = match body.downcast_ref::<Bytes>() {
            Some(bytes) => bytes.clone(),
            None if body.is::<()>() || is_empty(request.method(), request.headers()) => {
                Bytes::new()
            }
            None => return Self(Meant::Invalid(unread(request.method()))),
        };
        let (mut parts, ()) = Request::new(()).into_parts();
        parts.method = request.method().clone();
        parts.uri = request.uri().clone();
        parts.version = request.version();
        parts.headers = request.headers().clone();
        parts.extensions = request.extensions().clone();
        Self(Meant::Request(Box::new(parts), content))
    }
}

/// A request without a body.
impl From<&request::Parts> for Target {
    fn from(parts: &request::Parts) -> Self {
        if !is_empty(&parts.method, &parts.headers) {
            return Self(Meant::Invalid(unread(&parts.method)));
        }
        Self(Meant::Request(Box::new(parts.clone()), Bytes::new()))
    }
}

/// Whether a request whose body is not known has none.
fn is_empty(method: &Method, headers: &HeaderMap) -> bool {
    let has_length = headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    [Method::GET, Method::HEAD].contains(method)
        && !has_length
        && !headers.contains_key(TRANSFER_ENCODING)
}

fn unread(method: &Method) -> String {
    format!(
        "the body of the {method} request is not read; pass a &Request<Bytes>, or a &Request<()> \
         if it has no body"
    )
}
