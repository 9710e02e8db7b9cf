//! The policy: which gRPC calls are cached, and whether time alone decides or the HTTP rules do.

use crate::{
    CacheLayer, ConfigError,
    key::header_names,
    policy::{GRPC_KEY_HEADERS, GrpcMethods},
};

/// # gRPC
impl<B> CacheLayer<B> {
    /// Makes this a cache for gRPC (over HTTP/2). It stores the responses to unary calls of these
    /// `methods`, and nothing else. A later list replaces an earlier one.
    ///
    /// A method is named by its path, `/package.Service/Method`, or by a glob,
    /// `/package.Service/*`. Name only methods that are unary and change nothing.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use larder::{CacheLayer, store::Memory};
    /// let layer = CacheLayer::private(Memory::default())
    ///     .grpc(["/shop.Catalog/GetItem", "/shop.Prices/*"])?
    ///     .expire_after(Duration::from_secs(60));
    /// # Ok::<(), larder::ConfigError>(())
    /// ```
    ///
    /// [`guide::tonic`](crate::guide::tonic) has a program with this layer around a `Channel`, for
    /// any generated client.
    ///
    /// In front of a server, as a [shared](CacheLayer::shared) cache:
    ///
    /// ```rust,ignore
    /// let layer = CacheLayer::shared(Memory::default())
    ///     .grpc(["/shop.Catalog/GetItem"])?
    ///     .expire_after(Duration::from_secs(60))
    ///     .cache_status_header("larder")?;
    /// let server = Server::builder().layer(layer).add_service(catalog);
    /// ```
    ///
    /// - **Which requests**: `POST` with the content type `application/grpc`. All other requests
    ///   [bypass](crate::status::Bypass::NotGrpc) the cache, and so do calls of [other
    ///   methods](crate::status::Bypass::GrpcMethod). [`methods`](CacheLayer::methods) has no
    ///   effect. gRPC-Web requests bypass the cache too: a layer that translates them goes around
    ///   the cache.
    /// - **What is stored**: a response of one message with the `grpc-status` 0, in the trailers or
    ///   in the head. A call that failed, or broke off before its status, is [not
    ///   stored](crate::status::Refusal::GrpcStatus). The message comes back byte for byte,
    ///   compressed or not, with its leading and trailing metadata.
    /// - **The key**: the method, the authority, the message, its encoding, the encodings that the
    ///   client accepts, `Authorization` and `Cookie`. If the server depends on other metadata,
    ///   [name it](CacheLayer::add_key_headers). Deadlines, traces and other metadata that is not
    ///   named make no difference. A `Channel` whose client has no
    ///   [origin](https://docs.rs/tonic/latest/tonic/client/struct.Grpc.html#method.with_origin)
    ///   does not name its server. To cache several servers, give each client an origin, or each
    ///   cache its own store.
    /// - **Streams pass through**. A response of several messages reaches the caller as it arrives,
    ///   and is [not stored](crate::status::Refusal::NotUnary). A request
    ///   [bypasses](crate::status::Bypass::NotUnary) the cache if it has more than one message, or
    ///   pauses for a second before its end. The part that the cache has read goes with it. So no
    ///   request waits forever, but a stream begins late. (Outside of a tokio runtime, or in one
    ///   without timers, the cache waits for the end of the request.) Messages of more than [1
    ///   MiB](CacheLayer::max_request_body) bypass the cache at once.
    /// - **Nothing is invalidated**: no call removes the stored response to another. After a
    ///   change, remove responses by [tag](crate::Entries::remove_tag), if
    ///   [`tag_with`](CacheLayer::tag_with) has tagged them, or by the URL of a method
    ///   ([`remove`](crate::Entries::remove)).
    /// - **Deadlines**: a call waits for another call only as long as its own `grpc-timeout`
    ///   allows. If it then makes its own call, that call has the time that is left. Background
    ///   refreshes have [their own limit](CacheLayer::refresh_timeout) instead.
    /// - **Stale responses**: `UNKNOWN`, `DEADLINE_EXCEEDED`, `INTERNAL` and `UNAVAILABLE` are
    ///   failures of the server if they come before any message.
    ///   [`stale_if_error`](CacheLayer::stale_if_error) applies to them. `NOT_FOUND` removes the
    ///   entry that the call was to refresh.
    /// - **With [`http_rules`](CacheLayer::http_rules)**, the `cache-control` in the response's
    ///   metadata says how long it is fresh. The cache also obeys the `cache-control` of the
    ///   request.
    ///
    /// [`CacheStatus`](crate::CacheStatus) is in the extensions of `tonic::Response`, and
    /// [`CacheOptions`](crate::CacheOptions) go into those of `tonic::Request`. A request with
    /// [`only_if_cached`](crate::CacheOptions::only_if_cached) that finds no stored response gets
    /// the status `UNAVAILABLE`.
    ///
    /// # Errors
    ///
    /// If the list is empty, or if an item is not the path of a method or not a valid glob.
    pub fn grpc<P: AsRef<str>>(
        self,
        methods: impl IntoIterator<Item = P>,
    ) -> Result<Self, ConfigError> {
        let methods: Vec<P> = methods.into_iter().collect();
        let methods = GrpcMethods::new(methods.iter().map(AsRef::as_ref))?;
        Ok(self.set(|settings| {
            settings.rules.use_grpc(methods);
            for name in GRPC_KEY_HEADERS {
                settings.recipe.headers.add(name);
            }
        }))
    }
}

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
