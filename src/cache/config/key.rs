//! The key: what distinguishes requests.

use std::sync::Arc;

use globset::{GlobBuilder, GlobSetBuilder};
use http::{HeaderName, request};

use crate::{CacheLayer, ConfigError};

/// # The key
impl<B> CacheLayer<B> {
    /// Adds request headers to the key: requests that differ in them do not share a response. Adds
    /// to the headers that earlier calls have named. Layers over one store need the same key
    /// settings: a response whose `Vary` names a header of the key is stored as if it did not vary
    /// by it.
    ///
    /// `Authorization` and `Cookie` are part of the key already, except in a shared cache under the
    /// [HTTP rules](CacheLayer::http_rules).
    ///
    /// # Errors
    ///
    /// If a name is not a valid header name.
    pub fn add_key_headers<N: AsRef<str>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        let names = header_names("add_key_headers", names)?;
        Ok(self.set(|settings| {
            names.into_iter().for_each(|name| settings.recipe.add_header(name));
        }))
    }

    /// Removes request headers from the key, including `Authorization` and `Cookie`, which are part
    /// of it by default. Adds to the headers that are ignored already. `Vary` does not select by
    /// these headers either, except by `Authorization` and `Cookie`.
    ///
    /// # Errors
    ///
    /// If a name is not a valid header name.
    pub fn add_ignored_headers<N: AsRef<str>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        let names = header_names("add_ignored_headers", names)?;
        Ok(self.set(|settings| {
            names.into_iter().for_each(|name| settings.recipe.ignore_header(name));
        }))
    }

    /// Ignores query parameters: they are part neither of the key nor of the stored URL. Adds to
    /// the parameters that are ignored already.
    ///
    /// `*` stands for any number of characters. Names are compared percent-decoded and
    /// case-sensitively. Name parameters that carry secrets here too: ignored parameters never
    /// reach the store.
    ///
    /// # Errors
    ///
    /// If a pattern is empty, or is not a valid glob.
    pub fn add_ignored_parameters<N: AsRef<str>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        let mut patterns = self.inner.settings.recipe.ignored_query.0.clone();
        for name in names {
            let name = name.as_ref();
            let error = |message: String| {
                Err(ConfigError::new(
                    "add_ignored_parameters",
                    format!("the pattern {name:?} {message}"),
                ))
            };
            if name.is_empty() {
                return error("is empty; to ignore every parameter, write \"*\"".into());
            }
            match GlobBuilder::new(name).backslash_escape(true).build() {
                Ok(glob) => patterns.push(glob),
                Err(problem) => return error(format!("is not a valid glob: {}", problem.kind())),
            }
        }
        let mut set = GlobSetBuilder::new();
        patterns.iter().for_each(|glob| {
            set.add(glob.clone());
        });
        let set = set
            .build()
            .map_err(|error| ConfigError::new("add_ignored_parameters", error.to_string()))?;
        Ok(self.set(|settings| settings.recipe.ignored_query = (patterns, Some(set))))
    }

    /// Whether to ignore the order of query parameters. Default: `false`. Parameters of the same
    /// name keep their order. An empty query (`?`) and an empty parameter (`?a=1&`) still count.
    pub fn sort_query(self, sort: bool) -> Self {
        self.set(|settings| settings.recipe.sort_query = sort)
    }

    /// Makes the key from the value that `material` returns for the head and the whole body of a
    /// request. This value replaces the URL, headers and body in the key, `Authorization` and
    /// `Cookie` included. The method stays part of the key. The closure makes the key of every
    /// request.
    ///
    /// Requests with equal material share a response, so include everything that distinguishes
    /// users. A later closure replaces an earlier one. The body is buffered up to
    /// [`max_request_body`](CacheLayer::max_request_body).
    pub fn key_with<K: Into<Vec<u8>>>(
        self,
        material: impl Fn(&request::Parts, &[u8]) -> K + Send + Sync + 'static,
    ) -> Self {
        self.set(|settings| {
            settings.recipe.custom =
                Some(Arc::new(move |parts, body| material(parts, body).into()));
        })
    }

    /// Makes keys with a secret (HMAC-SHA-256). Without the secret, a reader of the store cannot
    /// test guesses of what a key was made from. Responses that were stored under another secret,
    /// or without one, are not found any more. Default: none.
    pub fn key_secret(self, secret: [u8; 32]) -> Self {
        self.set(|settings| settings.recipe.secret = Some(secret))
    }

    /// The largest request body that is buffered for the key, in bytes. Default: 1 MiB. Requests
    /// with a larger body bypass the cache and stream.
    pub fn max_request_body(self, bytes: u64) -> Self {
        self.set(|settings| settings.max_request_body = bytes)
    }

    /// The most bytes of request bodies that the layer and its clones buffer for keys at one time,
    /// in total. Default: 64 MiB. If a request's body would exceed this limit, the request bypasses
    /// the cache at once and streams
    /// ([`Bypass::RequestBodiesFull`](crate::status::Bypass::RequestBodiesFull)).
    pub fn max_request_bodies(self, bytes: u64) -> Self {
        self.set(|settings| settings.max_request_bodies = bytes)
    }
}

pub(super) fn header_names<N: AsRef<str>>(
    setting: &'static str,
    names: impl IntoIterator<Item = N>,
) -> Result<Vec<HeaderName>, ConfigError> {
    let parse = |name: N| {
        let name = name.as_ref();
        HeaderName::try_from(name).map_err(|_| {
            let message =
                format!("{name:?} is not a header name; write one like \"accept-language\"");
            ConfigError::new(setting, message)
        })
    };
    names.into_iter().map(parse).collect()
}
