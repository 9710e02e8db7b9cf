//! A cache around a [tonic](https://docs.rs/tonic) channel, and one in front of a tonic server.
//!
//! ```sh
//! cargo run -p grpc
//! ```

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures_util::stream;
use larder::{BoxError, Cache, CacheLayer, CacheStatus, RequestBody, store::Memory};
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::BoxStream,
    transport::{Channel, Server, server::TcpIncoming},
};
use tower::{ServiceBuilder, util::MapRequest};

use self::shop::{
    Item, ItemName,
    catalog_client::CatalogClient,
    catalog_server::{Catalog, CatalogServer},
};

mod shop;

/// A channel behind a cache.
type CachedChannel = Cache<MapRequest<Channel, OwnBody>, Memory>;
type OwnBody = fn(http::Request<RequestBody<Body>>) -> http::Request<Body>;

fn cached(channel: Channel, layer: CacheLayer<Memory>) -> CachedChannel {
    // The cache sends bodies of its own type. This gives the channel its type back.
    let own_body: OwnBody = |request| request.map(|body| body.into_inner_or_else(Body::new));
    ServiceBuilder::new().layer(layer).map_request(own_body).service(channel)
}

struct Api {
    catalog: CatalogClient<CachedChannel>,
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    around_a_channel().await?;
    in_front_of_a_server().await
}

async fn around_a_channel() -> Result<(), BoxError> {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?;
    let address = format!("http://{}", incoming.local_addr()?);
    let server = Server::builder().add_service(CatalogServer::new(Shop::default()));
    tokio::spawn(server.serve_with_incoming(incoming));

    let channel = Channel::from_shared(address)?.connect().await?;
    let layer = CacheLayer::private(Memory::default())
        .grpc(["/shop.Catalog/GetItem", "/shop.Prices/*"])?
        .expire_after(Duration::from_secs(60));
    let entries = layer.entries();
    let mut api = Api { catalog: CatalogClient::new(cached(channel, layer)) };

    for name in ["tea", "tea", "dodo", "dodo"] {
        match api.catalog.get_item(ItemName { name: name.into() }).await {
            Ok(item) => println!("get {name:4}    {}", told(&item, item.get_ref())),
            Err(error) => println!("get {name:4}    from the server: {:?}", error.code()),
        }
    }
    // After a change: remove all responses of the method. This client names no host.
    let removed = entries.remove("http:///shop.Catalog/GetItem").await?;
    println!("{removed} removed");
    for _ in 0..2 {
        let response = api.catalog.watch_item(ItemName { name: "tea".into() }).await?;
        let (metadata, mut items, extensions) = response.into_parts();
        let response = Response::from_parts(metadata, (), extensions);
        while let Some(item) = items.message().await? {
            println!("watch tea   {}", told(&response, &item));
        }
    }
    Ok(())
}

/// All clients of the server share the cache. The metadata says what it did.
async fn in_front_of_a_server() -> Result<(), BoxError> {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?;
    let address = format!("http://{}", incoming.local_addr()?);
    let catalog = CatalogServer::new(Shop::default());

    let layer = CacheLayer::shared(Memory::default())
        .grpc(["/shop.Catalog/GetItem"])?
        .expire_after(Duration::from_secs(60))
        .cache_status_header("larder")?;
    let server = Server::builder().layer(layer).add_service(catalog);

    tokio::spawn(server.serve_with_incoming(incoming));
    for _ in 0..2 {
        let mut client = CatalogClient::connect(address.clone()).await?;
        let item = client.get_item(ItemName { name: "tea".into() }).await?;
        let cache = item.metadata().get("cache-status").ok_or("no cache")?.to_str()?;
        println!("get tea     {cache}");
    }
    Ok(())
}

/// What the cache did, and which call of the server made the item.
fn told<T>(response: &Response<T>, item: &Item) -> String {
    let outcome = response.extensions().get().map(CacheStatus::outcome);
    let outcome = outcome.map(|outcome| outcome.to_string()).unwrap_or_default();
    format!("{outcome:21}  {} of call {}", item.name, item.calls)
}

/// A shop that counts its calls.
#[derive(Default)]
struct Shop(AtomicU64);

#[tonic::async_trait]
impl Catalog for Shop {
    async fn get_item(&self, request: Request<ItemName>) -> Result<Response<Item>, Status> {
        let calls = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        match request.into_inner().name {
            name if name == "dodo" => Err(Status::not_found("no more of them")),
            name => Ok(Response::new(Item { name, calls })),
        }
    }

    async fn watch_item(
        &self,
        request: Request<ItemName>,
    ) -> Result<Response<BoxStream<Item>>, Status> {
        let calls = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        let item = Item { name: request.into_inner().name, calls };
        Ok(Response::new(Box::pin(stream::iter([Ok(item.clone()), Ok(item)]))))
    }
}
