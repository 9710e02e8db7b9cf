//! Tags, by which stored responses are removed together.

use std::sync::Arc;

use http::{request, response};

use crate::{CacheLayer, ConfigError, key::header_names, policy::IntoTags};

/// # Tags
///
/// A tag is a name that entries share, so that they can be [removed
/// together](crate::Entries::remove_tag). The removal uses an index: its cost depends on the
/// entries that it removes, not on the size of the store.
///
/// An entry has the tags that its request [asks for](crate::CacheOptions::add_tag), the tags that
/// the closure of [`tag_with`](CacheLayer::tag_with) returns, and the tags in the headers that
/// [`add_tag_headers`](CacheLayer::add_tag_headers) names, each once. Variants and responses to
/// `HEAD` have tags like any other entry. [`EntryInfo`](crate::EntryInfo) lists them.
///
/// Tags are compared byte for byte, case included. They are stored in clear, so they must not
/// contain secrets. Empty tags are left out, and so are tags that begin with `larder:`, which the
/// cache uses itself.
///
/// An entry can have 1,000 tags of at most 1,024 bytes each, and of 16 KiB together. A response
/// with more is [not stored](crate::status::Refusal::Tags). Without some of its tags, it would
/// still be served after a removal by one of them.
///
/// When a 304 freshens an entry, the closure and the headers decide anew which tags it has. They
/// see the fields of the 304. Tags that requests have asked for stay.
impl<B> CacheLayer<B> {
    /// Tags responses by a closure over the heads of request and response. It returns [one tag or
    /// several](crate::IntoTags). A later closure replaces an earlier one.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use larder::{CacheLayer, store::Memory};
    /// // The first segment of the path.
    /// let layer = CacheLayer::private(Memory::default()).tag_with(|request, _response| {
    ///     let section = request.uri.path().split('/').nth(1).unwrap_or_default();
    ///     format!("section:{section}")
    /// });
    /// # async fn purge(layer: CacheLayer<Memory>) -> larder::store::Result<()> {
    /// layer.entries().remove_tag("section:news").await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn tag_with<T: IntoTags>(
        self,
        tags: impl Fn(&request::Parts, &response::Parts) -> T + Send + Sync + 'static,
    ) -> Self {
        self.set(|settings| {
            settings.rules.tags.with = Some(Arc::new(move |request, response| {
                let mut made = Vec::new();
                tags(request, response).add_to(&mut made);
                made
            }));
        })
    }

    /// Takes tags from these response headers, such as Fastly's `Surrogate-Key`, Cloudflare's
    /// `Cache-Tag` or Akamai's `Edge-Cache-Tag`. Adds to the headers that are already named.
    /// Default: none.
    ///
    /// All lines of a header count. Tags are separated by commas, spaces or both. A response with a
    /// value that is not UTF-8 is [not stored](crate::status::Refusal::Tags), since it could not be
    /// removed by its tags. The headers reach the caller unchanged, on hits too. If the caller
    /// should not see them, a layer around this one removes them.
    ///
    /// ```
    /// # use larder::{CacheLayer, store::Memory};
    /// let layer = CacheLayer::private(Memory::default())
    ///     .add_tag_headers(["surrogate-key", "cache-tag"])?;
    /// # Ok::<(), larder::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If a name is not a valid header name.
    pub fn add_tag_headers<N: AsRef<str>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        let names = header_names("add_tag_headers", names)?;
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
