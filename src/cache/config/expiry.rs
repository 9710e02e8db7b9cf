//! When responses expire.

use std::sync::Arc;

use http::{StatusCode, request, response};

use super::check_status;
use crate::{CacheLayer, ConfigError, Expiration, pattern::UrlPatterns};

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
/// The cache makes this decision once, when a response arrives. A later change of the settings does
/// not change the expiry of stored entries;
/// [`Entries::reset_expiration`](crate::Entries::reset_expiration) does.
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
    /// Patterns are globs on host and path. Scheme and query are not compared.
    ///
    /// | pattern | matches |
    /// |---|---|
    /// | `api.example.com` | everything on that host |
    /// | `*.example.com/api/**` | everything below `/api/` on any subdomain |
    /// | `example.com/*/feed` | one path segment in place of the star |
    /// | `/static/**` | everything below `/static/` on any host |
    /// | `localhost:8080/**` | that port only; a pattern without a port matches any port |
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use larder::{CacheLayer, Expiration, store::Memory};
    /// let layer = CacheLayer::private(Memory::default()).expire_urls([
    ///     ("*.example.com/api/**", Duration::from_secs(60).into()),
    ///     ("/static/**", Expiration::Never),
    ///     ("**", Expiration::DoNotStore),
    /// ])?;
    /// # Ok::<(), larder::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If a pattern is empty, has a scheme, or is not a valid glob.
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
        Ok(self.set(|settings| settings.rules.expiration.urls = Some((patterns, expirations))))
    }

    /// When responses expire, by status: pairs of a status and an expiration. The first pair with
    /// the status decides. Replaces earlier pairs.
    ///
    /// Responses with these statuses are stored even if [`statuses`](CacheLayer::statuses) does not
    /// name them.
    ///
    /// # Errors
    ///
    /// If a status is not final (1xx), or is 206 or 304, which are not whole responses.
    pub fn expire_statuses<E: Into<Expiration>>(
        self,
        statuses: impl IntoIterator<Item = (StatusCode, E)>,
    ) -> Result<Self, ConfigError> {
        let statuses: Vec<(StatusCode, Expiration)> =
            statuses.into_iter().map(|(status, expiration)| (status, expiration.into())).collect();
        for (status, _) in &statuses {
            check_status("expire_statuses", *status)?;
        }
        Ok(self.set(|settings| settings.rules.expiration.statuses = statuses))
    }

    /// When responses expire, by a closure over the heads of request and response. If it returns
    /// `None`, the settings after it decide. A later closure replaces an earlier
    /// one.
    pub fn expire_with(
        self,
        expiration: impl Fn(&request::Parts, &response::Parts) -> Option<Expiration>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.set(|settings| settings.rules.expiration.with = Some(Arc::new(expiration)))
    }
}
