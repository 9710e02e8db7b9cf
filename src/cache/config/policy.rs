//! The policy: time alone, or the HTTP rules.

use crate::{CacheLayer, ConfigError, key::header_names};

/// # The HTTP rules
impl<B> CacheLayer<B> {
    /// Lets the cache headers decide (RFC 9111) instead of time alone. They decide what may be
    /// stored, how long it is fresh, when it must be revalidated, what a request accepts, and which
    /// unsafe methods make it stale.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use larder::{CacheLayer, store::Memory};
    /// // The cache of a browser, and of a gateway.
    /// let private = CacheLayer::private(Memory::default()).http_rules();
    /// let shared = CacheLayer::shared(Memory::default()).http_rules();
    ///
    /// // The headers decide. If they give no lifetime, responses expire after an hour.
    /// let both = CacheLayer::private(Memory::default())
    ///     .http_rules()
    ///     .expire_after(Duration::from_secs(3600));
    /// ```
    ///
    /// - **Any status** can be stored. A response is fresh for as long as it says (`s-maxage`,
    ///   `max-age`, `Expires`). If it does not say, the [expirations](CacheLayer#expiry) of the
    ///   layer decide, for the [statuses](CacheLayer::statuses) that they apply to. Without an
    ///   expiration, the heuristic of §4.2.2 decides: a tenth of the time since `Last-Modified`.
    ///   [`Expiration::DoNotStore`](crate::Expiration::DoNotStore) applies in any case.
    /// - **Stale** responses are served within the limits that they name (`stale-while-revalidate`,
    ///   `stale-if-error`, RFC 5861). If they name none, the limits of the layer apply. They are
    ///   never served if `must-revalidate` or `no-cache` forbids it, or, in a shared cache,
    ///   `proxy-revalidate` or `s-maxage`.
    /// - **Requests** can use the directives `no-cache`, `no-store`, `max-age`, `min-fresh`,
    ///   `max-stale` and `only-if-cached`.
    /// - **Parts** (`Range`) are stored by themselves, one part of each response. Two parts are
    ///   combined if they have the same strong `ETag` and the same complete length, and overlap or
    ///   touch. If they then cover the whole response, it is stored as a whole. A new part that
    ///   lies elsewhere replaces the stored part. Combining copies stored bytes: at most 32 for
    ///   each byte that arrives, or 1 MiB if that is more. If a part is too small for the stored
    ///   part that it touches, it is not stored. So a response of more than 1 MiB becomes whole
    ///   from up to 33 equal parts, but not from many more.
    /// - **`Age`** is in every response from the store, and `Date` in every stored response.
    /// - **In a shared cache**, `Authorization` and `Cookie` are not part of the key any more, and
    ///   requests with them do not bypass the cache: §3.5 and `Vary` decide. The response to a
    ///   request with `Authorization` is stored if it says `public`, `must-revalidate` or
    ///   `s-maxage`. The response to a request with `Cookie` is stored if it says how long it is
    ///   fresh, or `public`. Responses with `Set-Cookie` are stored only with
    ///   [`store_set_cookie(true)`](CacheLayer::store_set_cookie). If an origin answers each user
    ///   differently and says how long its responses are fresh, it must also say for whom they are
    ///   (`private`, `Vary: Cookie`).
    ///
    /// Layers over one store should have the same policy: each layer uses the expiry that another
    /// layer gave an entry.
    ///
    /// If the HTTP rules apply already, this method changes nothing: their settings stay as they
    /// are.
    pub fn http_rules(self) -> Self {
        self.set(|settings| settings.use_http())
    }

    /// The response fields that replace `Cache-Control` and `Expires` for this cache (targeted
    /// cache control, RFC 9213), in order. The first field that is present and valid decides alone.
    /// Implies [`http_rules`](CacheLayer::http_rules). Default: `CDN-Cache-Control` in a shared
    /// cache, none in a private one.
    ///
    /// # Errors
    ///
    /// If a name is not a valid header name.
    pub fn targeted_by<N: AsRef<str>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        let targets = header_names("targeted_by", names)?;
        Ok(self.http_rules().set(|settings| settings.rules.set_targets(targets)))
    }

    /// Whether a response may answer requests for other URLs of its path, if its `No-Vary-Search`
    /// field says which differences in the query do not matter: a parameter such as `utm_source`,
    /// or the order of the parameters. Implies [`http_rules`](CacheLayer::http_rules).
    ///
    /// Default: `false`, for two reasons. The field is a
    /// [draft](https://datatracker.ietf.org/doc/draft-ietf-httpbis-no-vary-search/), and this
    /// setting will follow its later versions. And each miss for a URL with a query reads the store
    /// once more.
    ///
    /// A response answers for other URLs while it is fresh, and stale if the request allows that
    /// (`max-stale`, `only-if-cached`). A response that must be revalidated or refreshed answers
    /// only requests for its own URL. So does the response to a query with more than 32 parameters
    /// that do not matter: servers read a limited number of them, and such a query could hide the
    /// others from the origin. The removal of a URL also removes every response of the same path
    /// that has the field, since each of them may answer that URL.
    ///
    /// ```
    /// # use larder::{CacheLayer, store::Memory};
    /// let gateway = CacheLayer::shared(Memory::default()).http_rules().no_vary_search(true);
    /// ```
    pub fn no_vary_search(self, apply: bool) -> Self {
        self.http_rules().set(|settings| settings.rules.set_no_vary_search(apply))
    }
}
