//! How long responses are kept.

use std::sync::Arc;

use http::{StatusCode, request, response};

use super::check_status;
use crate::{CacheLayer, ConfigError, Expiration, pattern::UrlPatterns};

/// # Expiry
///
/// Who decides how long a response is kept, the first that has an opinion:
///
/// | | set by |
/// |---|---|
/// | 1 | the request: [`CacheOptions::expire_after`](crate::CacheOptions::expire_after) |
/// | 2 | the closure: [`expire_with`](CacheLayer::expire_with) |
/// | 3 | the URL: [`expire_urls`](CacheLayer::expire_urls), the first pattern that matches |
/// | 4 | the status: [`expire_status`](CacheLayer::expire_status) |
/// | 5 | the layer: [`expire_after`](CacheLayer::expire_after) |
/// | 6 | the scope: a private cache keeps forever, a shared one not at all |
///
/// It is decided when a response arrives. An entry keeps the expiry it was stored with; see
/// [`Entries::reset_expiration`](crate::Entries::reset_expiration).
impl<B> CacheLayer<B> {
    /// How long responses are kept where nothing more particular applies. Default: forever in a private cache, not at
    /// all in a shared one.
    pub fn expire_after(self, expiration: impl Into<Expiration>) -> Self {
        let expiration = expiration.into();
        self.set(|settings| settings.rules.expiration.layer = Some(expiration))
    }

    /// How long responses are kept by URL: pairs of a pattern and an expiration, of which the first match counts.
    /// Replaces what was set before.
    ///
    /// Patterns are globs on host and path; scheme and query take no part.
    ///
    /// | pattern | matches |
    /// |---|---|
    /// | `api.example.com` | everything on that host |
    /// | `*.example.com/api/**` | everything below `/api/` on any subdomain |
    /// | `example.com/*/feed` | one segment in the star's place |
    /// | `/static/**` | everything below `/static/` on any host |
    /// | `localhost:8080/**` | that port only; without a port, any port matches |
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
    /// Where a pattern is empty, has a scheme, or is no glob.
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

    /// How long responses of one status are kept; they are kept then, whether [`statuses`](CacheLayer::statuses) names the
    /// status or not.
    ///
    /// # Errors
    ///
    /// For what is no final status (1xx), and for 206 and 304, which are no whole responses.
    pub fn expire_status(
        self,
        status: StatusCode,
        expiration: impl Into<Expiration>,
    ) -> Result<Self, ConfigError> {
        check_status("expire_status", status)?;
        let expiration = expiration.into();
        Ok(self.set(|settings| {
            let statuses = &mut settings.rules.expiration.statuses;
            statuses.retain(|(have, _)| *have != status);
            statuses.push((status, expiration));
        }))
    }

    /// How long responses are kept by a closure over the heads of request and response; `None` leaves it to the
    /// settings after it.
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
