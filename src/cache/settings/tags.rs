//! By what else than its key and its URL a stored response is removed.

use std::sync::Arc;

use http::{request, response};

use super::key::header_names;
use crate::{CacheLayer, ConfigError};

/// # Tags
///
/// A tag is a name that entries share, so that they can be [removed together](crate::Entries::remove_tag): by an index, at
/// the cost of what is removed, whatever else is stored. An entry has the tags that its request
/// [asks for](crate::CacheOptions::tag), those that the closure of [`tag_with`](CacheLayer::tag_with) gives, and those that
/// the headers named by [`tags_from`](CacheLayer::tags_from) bear, each once; variants, and responses to `HEAD`, as any
/// other. [`EntryInfo`](crate::EntryInfo) lists them.
///
/// They are compared as they are, in their case. They are stored in clear, so they are no place for secrets. Empty ones,
/// and those that begin with `larder:`, which are the cache's own, are left out.
///
/// An entry can have 1,000 tags of at most 1,024 bytes, of 16 KiB together. A response that has more is
/// [not stored](crate::Refusal::Tags): with some of its tags missing, it would be served on after a removal by one of
/// them.
///
/// What a 304 confirms has the tags that the closure and the headers give it with the 304's fields in place; those that
/// requests have asked for, it keeps.
impl<B> CacheLayer<B> {
    /// Tags responses by a closure over the heads of request and response. Of two closures, the later one counts.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use larder::{CacheLayer, store::Memory};
    /// // The first segment of the path.
    /// let layer = CacheLayer::private(Memory::default()).tag_with(|request, _response| {
    ///     request.uri.path().split('/').nth(1).map(|segment| format!("section:{segment}"))
    /// });
    /// # async fn purge(layer: CacheLayer<Memory>) -> larder::store::Result<()> {
    /// layer.entries().remove_tag("section:news").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn tag_with<I>(
        self,
        tags: impl Fn(&request::Parts, &response::Parts) -> I + Send + Sync + 'static,
    ) -> Self
    where
        I: IntoIterator<Item: Into<Box<str>>>,
    {
        self.set(|settings| {
            settings.rules.tags.with = Some(Arc::new(move |request, response| {
                tags(request, response).into_iter().map(Into::into).collect()
            }));
        })
    }

    /// Takes tags from these response headers, such as Fastly's `Surrogate-Key`, Cloudflare's `Cache-Tag` or Akamai's
    /// `Edge-Cache-Tag`. Adds to those that are named already. Default: none.
    ///
    /// All lines of a name count. Tags are separated by commas, spaces or both. A value that is not UTF-8 has no tags that
    /// could be removed by: such a response is [not stored](crate::Refusal::Tags). The headers reach the caller as they
    /// came, on hits as well; a layer around this one takes them out where that is not wanted.
    ///
    /// ```
    /// # use larder::{CacheLayer, store::Memory};
    /// let layer = CacheLayer::private(Memory::default()).tags_from(["surrogate-key", "cache-tag"])?;
    /// # Ok::<(), larder::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Where a name is no header name.
    pub fn tags_from<N: AsRef<str>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        let names = header_names("tags_from", names)?;
        Ok(self.set(|settings| {
            let known = &mut settings.rules.tags.headers;
            for name in names {
                if !known.contains(&name) {
                    known.push(name);
                }
            }
        }))
    }
}
