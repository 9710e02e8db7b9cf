//! Which responses are stored, and which are not.

use std::sync::Arc;

use http::{Method, StatusCode, request, response};

use super::{check_status, parse_statuses};
use crate::{CacheLayer, ConfigError};

/// # What is cached
impl<B> CacheLayer<B> {
    /// The methods whose responses are stored. Default: `GET` and `HEAD`.
    ///
    /// A stored response to `GET` also answers `HEAD`. The cache treats every method that is named
    /// here as a query: the request body is part of the key, and the request removes no stored
    /// response of its URL.
    ///
    /// # Errors
    ///
    /// If the list is empty, or contains `CONNECT`, whose responses are tunnels.
    pub fn methods(self, methods: impl IntoIterator<Item = Method>) -> Result<Self, ConfigError> {
        let methods: Vec<Method> = methods.into_iter().collect();
        if methods.is_empty() {
            let message =
                "the list of methods is empty; name at least one, or use set_enabled(false)";
            return Err(ConfigError::new("methods", message));
        }
        if methods.contains(&Method::CONNECT) {
            return Err(ConfigError::new("methods", "CONNECT opens a tunnel; leave it out"));
        }
        Ok(self.set(|settings| settings.rules.methods = methods))
    }

    /// The statuses whose responses are stored, as numbers or as [`StatusCode`]s. Default: 200.
    ///
    /// Under the [HTTP rules](CacheLayer::http_rules), these are the statuses that the expirations
    /// of the layer apply to. A response with another status is stored if its headers allow it.
    ///
    /// ```
    /// # use larder::{CacheLayer, store::Memory};
    /// let layer = CacheLayer::private(Memory::default()).statuses([200, 404])?;
    /// # Ok::<(), larder::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the list is empty, or contains a number that is no status, a status that is not final
    /// (1xx), or 206 or 304, which are not whole responses.
    pub fn statuses<T>(self, statuses: impl IntoIterator<Item = T>) -> Result<Self, ConfigError>
    where
        T: TryInto<StatusCode, Error: Into<http::Error>>,
    {
        let statuses = parse_statuses("statuses", statuses)?;
        if statuses.is_empty() {
            let message =
                "the list of statuses is empty; name at least one, or use read_only(true)";
            return Err(ConfigError::new("statuses", message));
        }
        for status in &statuses {
            check_status("statuses", *status)?;
        }
        Ok(self.set(|settings| settings.rules.statuses = Some(statuses)))
    }

    /// Stores responses of every status that can be stored: each final status except 206 and 304.
    /// Replaces [`statuses`](CacheLayer::statuses).
    ///
    /// Under the [HTTP rules](CacheLayer::http_rules), the expirations of the layer then apply to
    /// every status.
    ///
    /// Errors of the origin are stored too. [`expire_statuses`](CacheLayer::expire_statuses) makes
    /// them expire early.
    pub fn all_statuses(self) -> Self {
        self.set(|settings| settings.rules.statuses = None)
    }

    /// Stores only responses for which `predicate` returns `true`, by the heads of request and
    /// response. A later predicate replaces an earlier one. Default: every response that the other
    /// settings allow.
    pub fn store_if(
        self,
        predicate: impl Fn(&request::Parts, &response::Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.set(|settings| settings.rules.store_if = Some(Arc::new(predicate)))
    }

    /// The largest response body that is stored, in bytes. Default: 64 MiB.
    ///
    /// The cache counts the bytes while the body streams. A larger body reaches the caller whole,
    /// and is not stored.
    pub fn max_body(self, bytes: u64) -> Self {
        self.set(|settings| settings.max_body = bytes)
    }

    /// Whether the cache only serves stored responses, and never writes or removes any. Default:
    /// `false`.
    pub fn read_only(self, read_only: bool) -> Self {
        self.set_handle(|handle| handle.keeps_damaged = read_only)
            .set(|settings| settings.rules.read_only = read_only)
    }

    /// Whether to store responses with `Set-Cookie`, and to replay the cookie with every hit.
    /// Default: `true` for a private cache. `false` for a shared cache, where a replayed cookie
    /// would hand one user's session to another. The setting applies under both policies; RFC 9111
    /// §7.3 leaves the choice to the cache.
    pub fn store_set_cookie(self, store: bool) -> Self {
        self.set(|settings| settings.rules.store_set_cookie = store)
    }

    /// Whether a response without an `ETag` gets one from the digest of its body, so that browsers
    /// revalidate it and receive a 304. Default: `false`.
    ///
    /// It applies to responses of status 200 to `GET` that are stored, if all of the body is there
    /// when the head arrives. That is so for a handler that returns a string or bytes. The body of a
    /// client's response often arrives after its head, and the response gets no tag. A response
    /// with a tag has it on the miss and on every hit.
    ///
    /// The tag is weak (RFC 9110 §8.8.1), since a layer around the cache may compress the body. It
    /// is never sent to the origin. If the origin is a larder cache that generates tags too, leave
    /// this off: the origin's tags would not be sent to it either.
    pub fn generate_etags(self, generate: bool) -> Self {
        self.set(|settings| settings.generates_etags = generate)
    }

    /// Whether to store the response to a `POST` as the response to later `GET`s (RFC 9110
    /// §9.3.3). Default: `false`.
    ///
    /// The response must name the URL of the request in its `Content-Location`, and say how long it
    /// is fresh. The setting applies under the [HTTP rules](CacheLayer::http_rules), unless `POST`
    /// is one of the [`methods`](CacheLayer::methods) itself.
    pub fn reuse_post_for_get(self, reuse: bool) -> Self {
        self.set(|settings| settings.rules.reuse_post_for_get = reuse)
    }

    /// Whether requests with credentials (`Authorization`, `Cookie`, user information in the URL)
    /// use the cache. With `false`, they bypass it, under either policy.
    ///
    /// Default: `true` for a private cache. For a shared cache, `false`, or `true` under the [HTTP
    /// rules](CacheLayer::http_rules), where the response says for whom it is.
    ///
    /// Requests with different credentials still never share a response, unless
    /// [`add_ignored_headers`](CacheLayer::add_ignored_headers) names the header that carries them.
    /// (Under the HTTP rules in a shared cache, the response decides.)
    pub fn store_credentialed(self, store: bool) -> Self {
        self.set(|settings| settings.rules.store_credentialed = Some(store))
    }

    /// Whether a successful request with an unsafe method (`POST`, `PUT`, `DELETE`, ...) removes
    /// all stored responses of its URL, in all variants (RFC 9111 §4.4). Default: `true`.
    ///
    /// The future of the response removes them before it returns the response. If the caller drops
    /// that future after the inner service has answered, entries that are not removed yet stay
    /// until they expire. If a server must not depend on its clients here, it runs such requests in
    /// a task of its own.
    pub fn invalidate_on_unsafe(self, invalidate: bool) -> Self {
        self.set(|settings| settings.invalidate = invalidate)
    }
}
