//! What is kept, and what not.

use std::sync::Arc;

use http::{Method, StatusCode, request, response};

use super::check_status;
use crate::{CacheLayer, ConfigError};

/// # What is cached
impl<B> CacheLayer<B> {
    /// The methods whose responses are kept. Default: `GET` and `HEAD`.
    ///
    /// A `HEAD` is answered from the stored response to a `GET` as well. A method that is named here is taken for a
    /// query: its body is part of the key, and it removes nothing that is stored for its URL.
    ///
    /// # Errors
    ///
    /// Where there are none, or `CONNECT`, whose responses are tunnels.
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

    /// The statuses whose responses are kept. Default: 200.
    ///
    /// # Errors
    ///
    /// Where there are none; where one is no final status (1xx); and for 206 and 304, which are no whole responses.
    pub fn statuses(
        self,
        statuses: impl IntoIterator<Item = StatusCode>,
    ) -> Result<Self, ConfigError> {
        let statuses: Vec<StatusCode> = statuses.into_iter().collect();
        if statuses.is_empty() {
            let message =
                "the list of statuses is empty; name at least one, or use read_only(true)";
            return Err(ConfigError::new("statuses", message));
        }
        for status in &statuses {
            check_status("statuses", *status)?;
        }
        Ok(self.set(|settings| settings.rules.statuses = statuses))
    }

    /// Keep only responses for which `predicate` says yes, by the heads of request and response. Default: all that the
    /// other settings allow.
    pub fn store_if(
        self,
        predicate: impl Fn(&request::Parts, &response::Parts) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.set(|settings| settings.rules.store_if = Some(Arc::new(predicate)))
    }

    /// The largest response body that is kept, in bytes. Default: 64 MiB.
    ///
    /// It is counted while the body streams; a larger one reaches the caller whole, and is not stored.
    pub fn max_body(self, bytes: u64) -> Self {
        self.set(|settings| settings.max_body = bytes)
    }

    /// Serve what is stored, and never write or remove anything. Default: `false`.
    pub fn read_only(self, read_only: bool) -> Self {
        self.set_handle(|handle| handle.is_read_only = read_only)
            .set(|settings| settings.rules.read_only = read_only)
    }

    /// Store responses with `Set-Cookie`, and replay the cookie to whoever asks. Default: `true` for a private cache,
    /// `false` for a shared one, where it would hand one user's session to another. It applies under
    /// both policies; RFC 9111 §7.3 leaves the choice to the cache.
    pub fn store_set_cookie(self, store: bool) -> Self {
        self.set(|settings| settings.rules.store_set_cookie = store)
    }

    /// Store the response to a `POST` as the answer to later `GET`s, if its `Content-Location`
    /// names the URL of the request and it says how long it is fresh (RFC 9110 §9.3.3). Default:
    /// `false`. It applies under the [HTTP rules](CacheLayer::http_rules), unless `POST` is one of
    /// the [`methods`](CacheLayer::methods) itself.
    pub fn reuse_post_for_get(self, reuse: bool) -> Self {
        self.set(|settings| settings.rules.reuse_post_for_get = reuse)
    }

    /// Let requests with credentials (`Authorization`, `Cookie`, user information in the URL) use the cache. Default:
    /// `true` for a private cache, `false` for a shared one.
    ///
    /// Requests with different credentials still never share a response, unless
    /// [`ignore_headers`](CacheLayer::ignore_headers) names the header that carries them. Under the
    /// [HTTP rules](CacheLayer::http_rules), the response says for whom it is: there the default is
    /// `true` for a shared cache as well. With `false`, requests with credentials go past the
    /// cache, under either policy.
    pub fn store_credentialed(self, store: bool) -> Self {
        self.set(|settings| settings.rules.store_credentialed = Some(store))
    }

    /// Whether a successful unsafe method (`POST`, `PUT`, `DELETE`, ...) removes what is stored for its URL, all
    /// variants (RFC 9111 §4.4). Default: `true`.
    ///
    /// That is done before the response is returned, by the future that returns it: where the caller drops that once the
    /// inner service has answered, what was not removed by then stays until it expires. A server that must not depend on
    /// its clients for that runs such requests in a task of its own.
    pub fn invalidate_on_unsafe(self, invalidate: bool) -> Self {
        self.set(|settings| settings.invalidate = invalidate)
    }
}
