//! [`Target`]: which entry is meant.

use bytes::Bytes;
use http::{Request, Uri, request};

use crate::key::Key;

/// Which entry is meant: by [`Key`], by URL (a `GET` without headers), or by a request.
///
/// Made from a `Key`, a URL (`&str`, `String`, `Uri`), a `&Request<()>` or, for requests whose body is part of the key, a
/// `&Request<Bytes>`.
#[derive(Debug)]
pub struct Target(pub(super) Meant);

#[derive(Debug)]
pub(super) enum Meant {
    Key(Key),
    Url(Box<request::Parts>),
    Request(Box<request::Parts>, Bytes),
    /// No URL at all; said when the target is used.
    Invalid(String),
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
        match url.parse::<Uri>() {
            Ok(uri) => Self::from(&uri),
            Err(error) => Self(Meant::Invalid(format!("{url:?} is no URL ({error})"))),
        }
    }
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

impl From<&Request<()>> for Target {
    fn from(request: &Request<()>) -> Self {
        let parts = request.clone().into_parts().0;
        Self(Meant::Request(Box::new(parts), Bytes::new()))
    }
}

impl From<&Request<Bytes>> for Target {
    fn from(request: &Request<Bytes>) -> Self {
        let (parts, body) = request.clone().into_parts();
        Self(Meant::Request(Box::new(parts), body))
    }
}
