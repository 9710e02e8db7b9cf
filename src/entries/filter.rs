//! [`Filter`]: selects entries by conditions on their heads.

use std::{sync::Arc, time::Duration};

use http::StatusCode;

use super::{EntryInfo, target::parse_url};
use crate::{
    entry::Head,
    error::ConfigError,
    key::{OWN_TAG_PREFIX, comparable_url},
    pattern::UrlPatterns,
    time::Timestamp,
};

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
    exact_url: Option<Arc<str>>,
    status: Option<StatusCode>,
    older_than: Option<Duration>,
    newer_than: Option<Duration>,
    expired: Option<bool>,
    tag: Option<Box<str>>,
}

/// What the conditions of a filter are about.
struct Facts<'a, T> {
    url: &'a str,
    status: StatusCode,
    stored_at: Timestamp,
    is_expired: bool,
    tags: &'a [T],
    now: Timestamp,
}

impl Filter {
    /// A filter that selects all entries.
    pub fn new() -> Self {
        Self::default()
    }

    /// Selects entries whose URL matches this [pattern](crate::CacheLayer#url-patterns), such as
    /// `example.com/news/**`.
    ///
    /// # Errors
    ///
    /// If the pattern is empty, has a scheme or a query, is not a valid glob, or has `**` beside
    /// other characters of a segment.
    pub fn url(mut self, pattern: &str) -> Result<Self, ConfigError> {
        self.url = Some(UrlPatterns::new("url", [pattern])?);
        Ok(self)
    }

    /// Selects entries with this URL, query included. Both URLs are normalised, and their
    /// parameters sorted by name, before they are compared. So the filter selects the entries of a
    /// URL whatever [`sort_query`](crate::CacheLayer::sort_query) and the key headers of their
    /// layer are, and of every method. Leave out the [ignored
    /// parameters](crate::CacheLayer::add_ignored_parameters) of that layer: a stored URL does not
    /// have them.
    ///
    /// # Errors
    ///
    /// If the text is not a URL.
    pub fn exact_url(mut self, url: &str) -> Result<Self, ConfigError> {
        let comparable = parse_url(url).ok().and_then(|uri| comparable_url(&uri));
        let Some(comparable) = comparable else {
            // The message does not repeat the text, which may contain a password or a token.
            let message = format!(
                "the text ({} bytes) is not a URL; write one such as http://example.com/path?query",
                url.len()
            );
            return Err(ConfigError::new("exact_url", message));
        };
        self.exact_url = Some(comparable);
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

    /// Selects entries that were stored at most this long ago.
    pub fn newer_than(mut self, age: Duration) -> Self {
        self.newer_than = Some(age);
        self
    }

    /// Selects entries that have expired (`true`), or have not (`false`).
    pub fn expired(mut self, expired: bool) -> Self {
        self.expired = Some(expired);
        self
    }

    /// Selects entries with this tag. [`remove_tag`](crate::Entries::remove_tag) removes all of
    /// them by an index.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into().into_boxed_str());
        self
    }

    /// Whether the filter selects this entry, as
    /// [`remove_where`](crate::Entries::remove_where) would have done when the entry was listed:
    /// its age and its expiry are those of that moment.
    #[must_use]
    pub fn matches(&self, entry: &EntryInfo) -> bool {
        self.selects(&Facts {
            url: &entry.url,
            status: entry.status,
            stored_at: entry.stored_at.into(),
            is_expired: entry.is_expired(),
            tags: &entry.tags,
            now: entry.listed_at(),
        })
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
            && self.exact_url.as_deref().is_none_or(|wanted| {
                let stored = parse_url(url).ok().and_then(|uri| comparable_url(&uri));
                stored.as_deref() == Some(wanted)
            })
    }

    /// Whether `remove_where` removes the entry with this head.
    pub(super) fn matches_head(&self, head: &Head, now: Timestamp) -> bool {
        if !head.is_response() {
            // An annotation may lead to a response that a condition on responses does not match.
            return self.status.is_none()
                && self.older_than.is_none()
                && self.newer_than.is_none()
                && self.expired.is_none()
                && self.tag.is_none()
                && self.matches_url(head.url());
        }
        self.selects(&Facts {
            url: head.url(),
            status: head.status(),
            stored_at: head.stored_at(),
            is_expired: head.is_expired(now),
            tags: head.tags(),
            now,
        })
    }

    fn selects<T: AsRef<str>>(&self, entry: &Facts<'_, T>) -> bool {
        let has_tag = |tag: &str| {
            !tag.starts_with(OWN_TAG_PREFIX) && entry.tags.iter().any(|own| own.as_ref() == tag)
        };
        let age = entry.now.saturating_since(entry.stored_at);
        self.status.is_none_or(|status| entry.status == status)
            && self.older_than.is_none_or(|limit| age > limit)
            && self.newer_than.is_none_or(|limit| age <= limit)
            && self.expired.is_none_or(|expired| entry.is_expired == expired)
            && self.tag.as_deref().is_none_or(has_tag)
            && self.matches_url(entry.url)
    }
}
