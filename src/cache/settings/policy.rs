//! Which policy decides: time alone, or the HTTP rules.

use super::key::header_names;
use crate::{CacheLayer, ConfigError};

/// # The HTTP rules
impl<B> CacheLayer<B> {
    /// Lets the cache headers decide (RFC 9111) in place of time alone: what may be stored, for how long it is fresh, when
    /// it has to be revalidated, what a request accepts, which unsafe methods make it stale.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use larder::{CacheLayer, store::Memory};
    /// // A browser's cache, and a gateway's.
    /// let private = CacheLayer::private(Memory::default()).http_rules();
    /// let shared = CacheLayer::shared(Memory::default()).http_rules();
    ///
    /// // The headers first, and where they say nothing, an hour.
    /// let both = CacheLayer::private(Memory::default())
    ///     .http_rules()
    ///     .expire_after(Duration::from_secs(3600));
    /// ```
    ///
    /// - **Any status** is kept for as long as its response says (`s-maxage`, `max-age`, `Expires`). Where it says nothing,
    ///   the [expirations](CacheLayer#expiry) of the layer decide for the [statuses](CacheLayer::statuses) that they are
    ///   meant for, and without any the heuristic of §4.2.2: a tenth of the time since `Last-Modified`.
    ///   [`Expiration::DoNotStore`](crate::Expiration::DoNotStore) holds in any case.
    /// - **Stale** responses are served within the limits that they name (`stale-while-revalidate`, `stale-if-error`, RFC
    ///   5861), else within those of the layer, and never where `must-revalidate`, `no-cache`, or in a shared cache
    ///   `proxy-revalidate` or `s-maxage` forbid it.
    /// - **Requests** are heard: `no-cache`, `no-store`, `max-age`, `min-fresh`, `max-stale`, `only-if-cached`.
    /// - **Parts** (`Range`) are kept by themselves, one of each response. Two of the same strong `ETag` and the same complete
    ///   length that overlap or touch become one, and the whole response where they are all of it; one that lies elsewhere
    ///   takes the other's place. What is stored is copied for that: for each byte that comes, 32 at most, or a MiB if that
    ///   is more. A part that is too small for the stored one that it touches is not kept, so that a response of more than a
    ///   MiB becomes whole from up to 33 equal parts, and not from many more.
    /// - **`Age`** is in every stored answer, and `Date` in every stored response.
    /// - **In a shared cache**, `Authorization` and `Cookie` are no part of the key any more, and neither keeps a request
    ///   away: §3.5 and `Vary` decide. Requests with `Authorization` have their responses kept where these say `public`,
    ///   `must-revalidate` or `s-maxage`; those with `Cookie`, where they say for how long, or `public`. Responses with
    ///   `Set-Cookie` are stored only with [`store_set_cookie(true)`](CacheLayer::store_set_cookie). An origin that answers each user differently and says how
    ///   long its answers are fresh has to say for whom (`private`, `Vary: Cookie`).
    ///
    /// Layers over one store should have one policy: what one has kept by its clock, the other takes as it finds it.
    ///
    /// Where the HTTP rules hold already, it changes nothing: what has been set of them stays.
    pub fn http_rules(self) -> Self {
        self.set(|settings| settings.use_http())
    }

    /// The fields, in order, that speak to this cache in place of `Cache-Control` and `Expires` (targeted cache control,
    /// RFC 9213): the first that is there and valid decides alone. Implies [`http_rules`](CacheLayer::http_rules).
    /// Default: `CDN-Cache-Control` in a shared cache, none in a private one.
    ///
    /// # Errors
    ///
    /// Where a name is no header name.
    pub fn targeted_by<N: AsRef<str>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> Result<Self, ConfigError> {
        let targets = header_names("targeted_by", names)?;
        Ok(self.http_rules().set(|settings| settings.rules.set_targets(targets)))
    }

    /// Whether a response may say, by `No-Vary-Search`, what of its query does not matter, and so answer requests for other
    /// URLs of its path: those that differ in `utm_source`, say, or in the order of their parameters. Implies
    /// [`http_rules`](CacheLayer::http_rules). Default: `false`, since it is a
    /// [draft](https://datatracker.ietf.org/doc/draft-ietf-httpbis-no-vary-search/), whose later versions this setting will
    /// follow, and since each miss for a URL with a query then reads the store once more.
    ///
    /// Only what is fresh answers for other URLs; what has to be revalidated or refreshed is left to requests for its own.
    /// The removal of a URL takes with it the responses of its path that have the field: each may be one that answers it.
    ///
    /// ```
    /// # use larder::{CacheLayer, store::Memory};
    /// let gateway = CacheLayer::shared(Memory::default()).http_rules().no_vary_search(true);
    /// ```
    pub fn no_vary_search(self, heed: bool) -> Self {
        self.http_rules().set(|settings| settings.rules.set_no_vary_search(heed))
    }
}
