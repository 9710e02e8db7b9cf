//! [`Filter`]: selects entries by conditions on their heads.

use std::time::Duration;

use http::StatusCode;

use crate::{entry::Head, error::ConfigError, pattern::UrlPatterns, time::Timestamp};

/// Selects the entries that meet every condition. A filter without conditions selects all entries.
/// A later call of the same method replaces its condition.
///
/// ```
/// use std::time::Duration;
/// use larder::Filter;
///
/// let old_errors = Filter::new().url("*.example.com/**")?.status(http::StatusCode::NOT_FOUND)
///     .older_than(Duration::from_secs(3600));
/// # Ok::<(), larder::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a filter does nothing by itself"]
pub struct Filter {
    url: Option<UrlPatterns>,
    status: Option<StatusCode>,
    older_than: Option<Duration>,
    expired: Option<bool>,
}

impl Filter {
    /// A filter that selects all entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Selects entries whose URL matches this pattern, written as for
    /// [`expire_urls`](crate::CacheLayer::expire_urls).
    ///
    /// # Errors
    ///
    /// If the pattern is empty, has a scheme, or is not a valid glob.
    pub fn url(mut self, pattern: &str) -> Result<Self, ConfigError> {
        self.url = Some(UrlPatterns::new("url", [pattern])?);
        Ok(self)
    }

    /// Selects entries with this status.
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// Selects entries that were stored longer ago than this.
    pub fn older_than(mut self, age: Duration) -> Self {
        self.older_than = Some(age);
        self
    }

    /// Selects entries that have expired (`true`), or have not (`false`).
    pub fn expired(mut self, expired: bool) -> Self {
        self.expired = Some(expired);
        self
    }

    /// Whether it selects entries that have expired.
    pub(super) fn is_for_expired(&self) -> bool {
        self.expired == Some(true)
    }

    /// Whether a response for `url` that has not arrived yet may match.
    pub(super) fn may_match(&self, url: &str) -> bool {
        self.older_than.is_none() && self.expired != Some(true) && self.matches_url(url)
    }

    fn matches_url(&self, url: &str) -> bool {
        self.url.as_ref().is_none_or(|patterns| patterns.first_match(url).is_some())
    }

    pub(super) fn matches(&self, head: &Head, now: Timestamp) -> bool {
        let url = || self.matches_url(head.url());
        if !head.is_response() {
            // An annotation may lead to a response that a condition on responses does not match.
            return self.status.is_none()
                && self.older_than.is_none()
                && self.expired.is_none()
                && url();
        }
        self.status.is_none_or(|status| head.status() == status)
            && self.older_than.is_none_or(|age| now.saturating_since(head.stored_at()) > age)
            && self.expired.is_none_or(|expired| head.is_expired(now) == expired)
            && url()
    }
}
