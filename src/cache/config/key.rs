//! What tells requests apart.

use std::sync::Arc;

use globset::{GlobBuilder, GlobSetBuilder};
use http::{HeaderName, request};

use crate::{CacheLayer, ConfigError};

/// # The key
impl<B> CacheLayer<B> {
    /// Adds request headers to the key: requests that differ in them do not share a response. `Authorization` and
    /// `Cookie` are part of it already, save in a shared cache under the [HTTP rules](CacheLayer::http_rules).
    ///
    /// # Errors
    ///
    /// Where a name is no header name.
    pub fn key_headers<N: AsRef<str>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        let names = header_names("key_headers", names)?;
        Ok(self.set(|settings| {
            names.into_iter().for_each(|name| settings.recipe.add_header(name));
        }))
    }

    /// Takes request headers out of the key, the default `Authorization` and `Cookie` included, and out of what `Vary`
    /// selects by, where `Authorization` and `Cookie` stay.
    ///
    /// # Errors
    ///
    /// Where a name is no header name.
    pub fn ignore_headers<N: AsRef<str>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        let names = header_names("ignore_headers", names)?;
        Ok(self.set(|settings| {
            names.into_iter().for_each(|name| settings.recipe.ignore_header(name));
        }))
    }

    /// Query parameters that make no difference: they are neither part of the key nor of the stored URL. `*` stands for
    /// any number of characters; names are compared percent-decoded, and in their case. Adds to what is ignored already.
    ///
    /// Name here the parameters that carry secrets as well: they never reach the store.
    ///
    /// # Errors
    ///
    /// Where a pattern is empty or no glob.
    pub fn ignore_query<N: AsRef<str>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        let mut patterns = self.inner.settings.recipe.ignored_query.0.clone();
        for name in names {
            let name = name.as_ref();
            let error = |message: String| {
                Err(ConfigError::new("ignore_query", format!("the pattern {name:?} {message}")))
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
        let set =
            set.build().map_err(|error| ConfigError::new("ignore_query", error.to_string()))?;
        Ok(self.set(|settings| settings.recipe.ignored_query = (patterns, Some(set))))
    }

    /// Whether the order of query parameters makes no difference. Default: `false`, it does. Parameters of one name keep
    /// their order.
    pub fn sort_query(self, sort: bool) -> Self {
        self.set(|settings| settings.recipe.sort_query = sort)
    }

    /// Makes the key from what `material` returns for the head and the whole body of a request, in place of URL,
    /// headers and body. The method stays part of it.
    ///
    /// Requests with equal material share a response, so take up whatever tells users apart. The body is buffered up to
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

    /// Keys the digest with a secret (HMAC-SHA-256), so that whoever reads the store cannot test guesses of what a key
    /// was made from. What was stored under another secret, or none, is not found any more. Default: none.
    pub fn key_secret(self, secret: [u8; 32]) -> Self {
        self.set(|settings| settings.recipe.secret = Some(secret))
    }

    /// The largest request body that is buffered for the key, in bytes. Default: 1 MiB. Requests with a larger one go
    /// past the cache, streaming.
    pub fn max_request_body(self, bytes: u64) -> Self {
        self.set(|settings| settings.max_request_body = bytes)
    }

    /// The most bytes of request bodies that the layer and its clones buffer for keys at one time,
    /// all together. Default: 64 MiB. A request whose body would exceed that goes past the cache at
    /// once, streaming ([`Bypass::RequestBodiesFull`](crate::Bypass::RequestBodiesFull)).
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
