//! Which responses are stored, and when they expire.

use std::{sync::Arc, time::Duration};

use http::{Method, StatusCode, request, response};

use super::{check_status, parse_status, parse_statuses};
use crate::{CacheLayer, ConfigError, Expiration, pattern::UrlPatterns};

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
    /// when the head arrives. That is so for a handler that returns a string or bytes. The body of
    /// a client's response often arrives after its head, and the response gets no tag. A response
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

/// # Expiry
///
/// The first of these settings that gives an expiration decides when a response expires:
///
/// | | set by |
/// |---|---|
/// | 1 | the request: [`CacheOptions::expire_after`](crate::CacheOptions::expire_after) |
/// | 2 | the closure: [`expire_with`](CacheLayer::expire_with) |
/// | 3 | the URL: [`expire_urls`](CacheLayer::expire_urls), the first pattern that matches |
/// | 4 | the status: [`expire_statuses`](CacheLayer::expire_statuses), the first pair with the status |
/// | 5 | the layer: [`expire_after`](CacheLayer::expire_after) |
/// | 6 | the scope: in a private cache responses never expire, a shared cache stores none |
///
/// Under the [HTTP rules](CacheLayer::http_rules), a lifetime in the headers of the response comes
/// before all of these, except for `DoNotStore`. [`max_ttl`](CacheLayer::max_ttl) limits the
/// result, whatever gave it.
///
/// The cache makes this decision once, when a response arrives. A later change of the settings does
/// not change the expiry of stored entries;
/// [`Entries::reset_expiration`](crate::Entries::reset_expiration) does.
///
/// # URL patterns
///
/// [`expire_urls`](CacheLayer::expire_urls), [`add_expire_url`](CacheLayer::add_expire_url) and
/// [`Filter::url`](crate::Filter::url) take patterns. A pattern is a glob on host and path. Scheme
/// and query are not compared: [`expire_with`](CacheLayer::expire_with) can look at them.
///
/// | pattern | matches |
/// |---|---|
/// | `api.example.com` | everything on that host |
/// | `*.example.com/api/**` | everything below `/api/` on any subdomain |
/// | `/static/**` | everything below `/static/` on any host, also without a host |
/// | `example.com/news` | this path alone, with any query |
/// | `example.com/news{,/**}` | this path, and everything below it |
/// | `**` | everything |
///
/// | part of a pattern | matches |
/// |---|---|
/// | `*` | any characters of one path segment, also none. In a host, it also matches dots |
/// | `**` | any number of segments. It is a whole segment: `/**`, `/**/`, or `**/` at the beginning |
/// | `?` | one character, but no slash |
/// | `{a,b}` | one of the alternatives. An alternative may be empty |
/// | `[a-z]`, `[!a-z]` | one character of the class, or one that is not in it |
/// | `\*` | the character itself, here a star. A class does the same: `[*]` |
/// | a host without a port | the host with any port |
/// | `localhost:8080` | that port only. A default port (80, 443) is never part of a URL |
/// | `[::1]` | an IPv6 address |
///
/// Hosts match in any case. Paths match as [`EntryInfo::url`](crate::EntryInfo::url) shows them:
/// in a private cache, characters are percent-encoded only where necessary, in upper case
/// (`/%C3%A4`). A pattern that begins with `/` is for every host.
///
/// A pattern is refused if it is empty, has a scheme or a query, is not a valid glob, or has `**`
/// beside other characters of a segment (`/x**`).
impl<B> CacheLayer<B> {
    /// When responses expire, unless a more specific setting applies. Default: never in a private
    /// cache. A shared cache stores no responses by default.
    pub fn expire_after(self, expiration: impl Into<Expiration>) -> Self {
        let expiration = expiration.into();
        self.set(|settings| settings.rules.expiration.layer = Some(expiration))
    }

    /// When responses expire, by URL: pairs of a pattern and an expiration. The first pattern that
    /// matches decides. Replaces earlier pairs.
    ///
    /// A [pattern](CacheLayer#url-patterns) is a glob on host and path, such as
    /// `*.example.com/api/**` or `/static/**`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use larder::{CacheLayer, Expiration, store::Memory};
    /// let layer = CacheLayer::private(Memory::default()).expire_urls([
    ///     ("*.example.com/api/**", Expiration::After(Duration::from_secs(60))),
    ///     ("/static/**", Expiration::Never),
    ///     ("**", Expiration::DoNotStore),
    /// ])?;
    /// # Ok::<(), larder::ConfigError>(())
    /// ```
    ///
    /// [`add_expire_url`](CacheLayer::add_expire_url) adds one pair.
    ///
    /// # Errors
    ///
    /// If a pattern is empty, has a scheme or a query, is not a valid glob, or has `**` beside
    /// other characters of a segment.
    pub fn expire_urls<P, E>(
        self,
        rules: impl IntoIterator<Item = (P, E)>,
    ) -> Result<Self, ConfigError>
    where
        P: AsRef<str>,
        E: Into<Expiration>,
    {
        let (patterns, expirations): (Vec<P>, Vec<Expiration>) =
            rules.into_iter().map(|(pattern, expiration)| (pattern, expiration.into())).unzip();
        let patterns = UrlPatterns::new("expire_urls", patterns.iter().map(AsRef::as_ref))?;
        Ok(self.set(|settings| settings.rules.expiration.urls = vec![(patterns, expirations)]))
    }

    /// Adds a pattern and its expiration after those of [`expire_urls`](CacheLayer::expire_urls)
    /// and of earlier calls.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use larder::{CacheLayer, Expiration, store::Memory};
    /// let layer = CacheLayer::private(Memory::default())
    ///     .add_expire_url("*.example.com/api/**", Duration::from_secs(60))?
    ///     .add_expire_url("/static/**", Expiration::Never)?;
    /// # Ok::<(), larder::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If the pattern is empty, has a scheme or a query, is not a valid glob, or has `**` beside
    /// other characters of a segment.
    pub fn add_expire_url(
        self,
        pattern: &str,
        expiration: impl Into<Expiration>,
    ) -> Result<Self, ConfigError> {
        let rule = (UrlPatterns::new("add_expire_url", [pattern])?, vec![expiration.into()]);
        Ok(self.set(|settings| settings.rules.expiration.urls.push(rule)))
    }

    /// When responses expire, by status: pairs of a status and an expiration. The first pair with
    /// the status decides. Replaces earlier pairs.
    ///
    /// Responses with these statuses are stored even if [`statuses`](CacheLayer::statuses) does not
    /// name them.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use larder::{CacheLayer, store::Memory};
    /// let layer = CacheLayer::private(Memory::default())
    ///     .expire_statuses([(404, Duration::from_secs(10)), (410, Duration::from_secs(3600))])?;
    /// # Ok::<(), larder::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If a number is no status, a status is not final (1xx), or is 206 or 304, which are not whole
    /// responses.
    pub fn expire_statuses<T, E>(
        self,
        statuses: impl IntoIterator<Item = (T, E)>,
    ) -> Result<Self, ConfigError>
    where
        T: TryInto<StatusCode, Error: Into<http::Error>>,
        E: Into<Expiration>,
    {
        const SETTING: &str = "expire_statuses";
        let mut rules = Vec::new();
        for (status, expiration) in statuses {
            let status = parse_status(SETTING, status)?;
            check_status(SETTING, status)?;
            rules.push((status, expiration.into()));
        }
        Ok(self.set(|settings| settings.rules.expiration.statuses = rules))
    }

    /// When responses expire, by a closure over the heads of request and response. It returns an
    /// [`Expiration`], a `Duration` or a `SystemTime`. If it returns `None`, the settings after it
    /// decide. A later closure replaces an earlier one.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use larder::{CacheLayer, store::Memory};
    /// let layer = CacheLayer::private(Memory::default()).expire_with(|_request, response| {
    ///     response.headers.contains_key("x-volatile").then_some(Duration::from_secs(5))
    /// });
    /// ```
    pub fn expire_with<E: Into<Expiration>>(
        self,
        expiration: impl Fn(&request::Parts, &response::Parts) -> Option<E> + Send + Sync + 'static,
    ) -> Self {
        self.set(|settings| {
            settings.rules.expiration.with = Some(Arc::new(move |request, response| {
                expiration(request, response).map(Into::into)
            }));
        })
    }

    /// The longest time that a response is fresh after it arrived, whatever gives its expiration:
    /// a setting, the [request](crate::CacheOptions::expire_after), or, under the [HTTP
    /// rules](CacheLayer::http_rules), the headers of the response. Default: no limit.
    ///
    /// With zero, each response expires on arrival. The time that an expired response stays stored
    /// for stale use begins after that, as always. Responses that are stored already keep their
    /// expiry.
    pub fn max_ttl(self, longest: Duration) -> Self {
        self.set(|settings| settings.rules.expiration.max_ttl = Some(longest))
    }
}
