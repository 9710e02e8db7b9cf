//! gRPC: which calls are cached.

use crate::{
    CacheLayer, ConfigError,
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
