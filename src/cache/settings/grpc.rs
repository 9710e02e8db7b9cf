//! gRPC: which calls are cached.

use crate::{
    CacheLayer, ConfigError,
    policy::{GRPC_KEY_HEADERS, GrpcMethods},
};

/// # gRPC
impl<B> CacheLayer<B> {
    /// Makes this a cache for gRPC (over HTTP/2): it keeps the answers to unary calls of these `methods`, and nothing else.
    ///
    /// Methods are named by their paths, `/package.Service/Method`, or by globs on them, `/package.Service/*`. Only those
    /// belong here that change nothing and are unary.
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
    /// Around a tonic `Channel`, for any generated client:
    ///
    /// ```rust,ignore
    /// let cached = ServiceBuilder::new()
    ///     .layer(layer)
    ///     .map_request(|request: http::Request<_>| request.map(Body::new))
    ///     .service(channel);
    /// let mut client = CatalogClient::new(cached);
    /// ```
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
    /// - **Which requests**: `POST` with the content type `application/grpc`. All others
    ///   [pass](crate::Bypass::NotGrpc), as do calls of [other methods](crate::Bypass::GrpcMethod);
    ///   [`methods`](CacheLayer::methods) says nothing. gRPC-Web passes as well: a layer that translates it goes around the
    ///   cache.
    /// - **What is kept**: an answer of one message with the `grpc-status` 0, in the trailers or in the head. What failed,
    ///   and what broke off before its status, [is not](crate::Refusal::GrpcStatus). The message comes back byte for byte,
    ///   compressed or not, with the metadata before and behind it.
    /// - **What tells calls apart**: the method, the authority, the message, its encoding and those that the client accepts,
    ///   `Authorization` and `Cookie`. Metadata besides that the server looks at has to be
    ///   [named](CacheLayer::key_headers); deadlines, traces and the like make no difference. A `Channel` whose client has
    ///   no [origin](https://docs.rs/tonic/latest/tonic/client/struct.Grpc.html#method.with_origin) says nothing of the
    ///   server: caches of several servers need one, or stores of their own.
    /// - **Streams pass through**: the answer [of a method](crate::Refusal::NotUnary) that sends several messages as they
    ///   come. A request that is more than one message, or pauses for a second before its end,
    ///   [passes](crate::Bypass::NotUnary) with what has been read of it: nothing waits for ever, but a stream begins late.
    ///   (Outside of a tokio runtime, or in one without timers, it waits for the end.)
    ///   Messages of over [1 MiB](CacheLayer::max_request_body) pass at once.
    /// - **Nothing is invalidated**: no call removes what is stored for another. After a change,
    ///   [`remove_tag`](crate::Entries::remove_tag) does, of what [`tag_with`](CacheLayer::tag_with) has tagged, or
    ///   [`remove`](crate::Entries::remove) by the URL of a method.
    /// - **Deadlines**: a call that waits for another's does so for as long as its `grpc-timeout` allows, and makes its own
    ///   with what is left. Refreshes in the background have [their limit](CacheLayer#calls-to-the-origin-and-stale-answers)
    ///   instead.
    /// - **Stale answers**: `UNKNOWN`, `DEADLINE_EXCEEDED`, `INTERNAL` and `UNAVAILABLE` are failures of the server, for
    ///   which [`stale_if_error`](CacheLayer::stale_if_error) stands in, where they come before any message. `NOT_FOUND`
    ///   removes the entry that was to be refreshed.
    /// - **With [`http_rules`](CacheLayer::http_rules)**, the `cache-control` in the metadata of the answer says for how long
    ///   it is kept, and that of the request is heard.
    ///
    /// [`CacheStatus`](crate::CacheStatus) is in the extensions of `tonic::Response`, and
    /// [`CacheOptions`](crate::CacheOptions) go into those of `tonic::Request`. A request that
    /// [forbids](crate::CacheOptions::only_if_cached) to ask the server, and finds nothing, gets the status `UNAVAILABLE`.
    ///
    /// # Errors
    ///
    /// Where there are none, and where one is no path of a method or no glob.
    pub fn grpc<P: AsRef<str>>(
        self,
        methods: impl IntoIterator<Item = P>,
    ) -> Result<Self, ConfigError> {
        let methods: Vec<P> = methods.into_iter().collect();
        let methods = GrpcMethods::new(methods.iter().map(AsRef::as_ref))?;
        Ok(self.set(|settings| {
            settings.rules.use_grpc(methods);
            for name in GRPC_KEY_HEADERS {
                settings.recipe.add_header(name);
            }
        }))
    }
}
