//! tonic: cached gRPC calls, behind a channel or in front of a server.
//!
//! # What to add
//!
//! ```sh
//! cargo add larder --path ../larder    # a clone of the repository, until it is published
//! cargo add http prost tonic tonic-prost tower
//! cargo add futures-util --no-default-features
//! cargo add tokio --features macros,rt-multi-thread
//! ```
//!
//! # A program to copy
//!
//! `mod shop` is the code that tonic generates from a `.proto` file: the messages, the client and
//! the server. To run the program as it is, copy `examples/grpc/src/shop.rs` of the repository into
//! `src/`. Its beginning shows how it was made from `shop.proto`, which lies beside that folder. In
//! a program of yours, `tonic-prost-build` makes such a file from your `.proto` file.
//!
//! ```rust,ignore
//! use std::{
//!     sync::atomic::{AtomicU64, Ordering},
//!     time::Duration,
//! };
//!
//! use futures_util::stream;
//! use larder::{BoxError, Cache, CacheLayer, CacheStatus, RequestBody, store::Memory};
//! use tonic::{
//!     Request, Response, Status,
//!     body::Body,
//!     codegen::BoxStream,
//!     transport::{Channel, Server, server::TcpIncoming},
//! };
//! use tower::{ServiceBuilder, util::MapRequest};
//!
//! use self::shop::{
//!     Item, ItemName,
//!     catalog_client::CatalogClient,
//!     catalog_server::{Catalog, CatalogServer},
//! };
//!
//! mod shop;
//!
//! /// A channel behind a cache.
//! type CachedChannel = Cache<MapRequest<Channel, OwnBody>, Memory>;
//! type OwnBody = fn(http::Request<RequestBody<Body>>) -> http::Request<Body>;
//!
//! fn cached(channel: Channel, layer: CacheLayer<Memory>) -> CachedChannel {
//!     // The cache sends bodies of its own type. This gives the channel its type back.
//!     let own_body: OwnBody = |request| request.map(|body| body.into_inner_or_else(Body::new));
//!     ServiceBuilder::new().layer(layer).map_request(own_body).service(channel)
//! }
//!
//! struct Api {
//!     catalog: CatalogClient<CachedChannel>,
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), BoxError> {
//!     around_a_channel().await?;
//!     in_front_of_a_server().await
//! }
//!
//! async fn around_a_channel() -> Result<(), BoxError> {
//!     let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?;
//!     let address = format!("http://{}", incoming.local_addr()?);
//!     let server = Server::builder().add_service(CatalogServer::new(Shop::default()));
//!     tokio::spawn(server.serve_with_incoming(incoming));
//!
//!     let channel = Channel::from_shared(address)?.connect().await?;
//!     let layer = CacheLayer::private(Memory::default())
//!         .grpc(["/shop.Catalog/GetItem", "/shop.Prices/*"])?
//!         .expire_after(Duration::from_secs(60));
//!     let entries = layer.entries();
//!     let mut api = Api { catalog: CatalogClient::new(cached(channel, layer)) };
//!
//!     for name in ["tea", "tea", "dodo", "dodo"] {
//!         match api.catalog.get_item(ItemName { name: name.into() }).await {
//!             Ok(item) => println!("get {name:4}    {}", told(&item, item.get_ref())),
//!             Err(error) => println!("get {name:4}    from the server: {:?}", error.code()),
//!         }
//!     }
//!     // After a change: remove all responses of the method. This client names no host.
//!     let removed = entries.remove("http:///shop.Catalog/GetItem").await?;
//!     println!("{removed} removed");
//!     for _ in 0..2 {
//!         let response = api.catalog.watch_item(ItemName { name: "tea".into() }).await?;
//!         let (metadata, mut items, extensions) = response.into_parts();
//!         let response = Response::from_parts(metadata, (), extensions);
//!         while let Some(item) = items.message().await? {
//!             println!("watch tea   {}", told(&response, &item));
//!         }
//!     }
//!     Ok(())
//! }
//!
//! /// All clients of the server share the cache. The metadata says what it did.
//! async fn in_front_of_a_server() -> Result<(), BoxError> {
//!     let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?;
//!     let address = format!("http://{}", incoming.local_addr()?);
//!     let catalog = CatalogServer::new(Shop::default());
//!
//!     let layer = CacheLayer::shared(Memory::default())
//!         .grpc(["/shop.Catalog/GetItem"])?
//!         .expire_after(Duration::from_secs(60))
//!         .cache_status_header("larder")?;
//!     let server = Server::builder().layer(layer).add_service(catalog);
//!
//!     tokio::spawn(server.serve_with_incoming(incoming));
//!     for _ in 0..2 {
//!         let mut client = CatalogClient::connect(address.clone()).await?;
//!         let item = client.get_item(ItemName { name: "tea".into() }).await?;
//!         let cache = item.metadata().get("cache-status").ok_or("no cache")?.to_str()?;
//!         println!("get tea     {cache}");
//!     }
//!     Ok(())
//! }
//!
//! /// What the cache did, and which call of the server made the item.
//! fn told<T>(response: &Response<T>, item: &Item) -> String {
//!     let outcome = response.extensions().get().map(CacheStatus::outcome);
//!     let outcome = outcome.map(|outcome| outcome.to_string()).unwrap_or_default();
//!     format!("{outcome:21}  {} of call {}", item.name, item.calls)
//! }
//!
//! /// A shop that counts its calls.
//! #[derive(Default)]
//! struct Shop(AtomicU64);
//!
//! #[tonic::async_trait]
//! impl Catalog for Shop {
//!     async fn get_item(&self, request: Request<ItemName>) -> Result<Response<Item>, Status> {
//!         let calls = self.0.fetch_add(1, Ordering::Relaxed) + 1;
//!         match request.into_inner().name {
//!             name if name == "dodo" => Err(Status::not_found("no more of them")),
//!             name => Ok(Response::new(Item { name, calls })),
//!         }
//!     }
//!
//!     async fn watch_item(
//!         &self,
//!         request: Request<ItemName>,
//!     ) -> Result<Response<BoxStream<Item>>, Status> {
//!         let calls = self.0.fetch_add(1, Ordering::Relaxed) + 1;
//!         let item = Item { name: request.into_inner().name, calls };
//!         Ok(Response::new(Box::pin(stream::iter([Ok(item.clone()), Ok(item)]))))
//!     }
//! }
//! ```
//!
//! # Behind a channel
//!
//! **Several servers over one layer share responses**, since a channel does not name its server in
//! the request. Give each client an origin (`CatalogClient::with_origin`), or each cache its own
//! store.
//!
//! - [`grpc`](crate::CacheLayer::grpc) makes a cache for gRPC and names the methods to cache. Name
//!   only methods that are unary and change nothing. All other calls bypass the cache, streams
//!   among them.
//! - `CachedChannel` is the type of the channel with its cache. `CatalogClient<CachedChannel>` is a
//!   generated client over it, which a struct can name.
//! - `map_request` is there because the cache reads the message of a call, which is part of the
//!   key. So it sends a [`RequestBody`](crate::RequestBody), and a channel takes only a
//!   `tonic::body::Body`. `OwnBody` is a function pointer because a closure has no name that
//!   `CachedChannel` could use.
//! - **An interceptor that adds credentials** goes around the cache, as
//!   `InterceptedService::new(cached(channel, layer), interceptor)`. Then they are part of the key.
//! - **Options for one call**: insert [`CacheOptions`](crate::CacheOptions) into
//!   `tonic::Request::extensions_mut`.
//! - **What the cache did**: [`CacheStatus`](crate::CacheStatus) is in
//!   `tonic::Response::extensions`. A call that fails is a `Status`, which has no extensions: count
//!   it with [`Stats`](crate::Stats) or a [hook](crate::CacheLayer::add_event_hook).
//! - **Timeouts** of the channel limit calls to the server. The `grpc-timeout` of a call also
//!   limits how long it waits for another call with the same message.
//!
//! # In front of a server
//!
//! - `Server::builder().layer(layer)` takes the layer as it is. It goes inside of `GrpcWebLayer`,
//!   which translates gRPC-Web.
//! - Use a [shared](crate::CacheLayer::shared) cache. Calls with `authorization` metadata bypass
//!   it.
//! - The header of [`cache_status_header`](crate::CacheLayer::cache_status_header) is metadata for
//!   the client.
//!
//! # Removals
//!
//! - **All responses of a method**: `entries.remove(url)`, with the URL of the method. Behind a
//!   channel it is `http:///shop.Catalog/GetItem`, since the client names no host. With
//!   `with_origin`, and in front of a server, it has the host: `http://host:port/shop.Catalog/GetItem`.
//!   [`Entries::stream`](crate::Entries::stream) lists the URLs.
//! - **Some of them**: [`tag_with`](crate::CacheLayer::tag_with), or
//!   [`CacheOptions::add_tag`](crate::CacheOptions::add_tag) of the call, and
//!   [`remove_tag`](crate::Entries::remove_tag).
//! - **`contains` and `get` of a URL** look for a `GET`, so they find no gRPC response. Use
//!   [`EntryInfo::key`](crate::EntryInfo::key) of a listed entry.
//!
//! # What is stored
//!
//! A response of one message with `grpc-status: 0`, with its metadata and trailers. A call that
//! failed is not stored. [`CacheLayer::grpc`](crate::CacheLayer::grpc) lists what is part of the
//! key.
