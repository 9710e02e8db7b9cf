//! gRPC calls from the cache: a tonic server, and a client of it that asks everything twice.
//!
//! ```sh
//! cargo run --example grpc
//! ```

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use futures_util::stream;
use larder::{BoxError, CacheLayer, CacheStatus, store::Memory};
use tonic::{
    Request, Response, Status,
    body::Body,
    codegen::BoxStream,
    transport::{Channel, Server, server::TcpIncoming},
};
use tower::ServiceBuilder;

use self::shop::{
    Item, ItemName,
    catalog_client::CatalogClient,
    catalog_server::{Catalog, CatalogServer},
};

mod shop;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse()?)?;
    let address = format!("http://{}", incoming.local_addr()?);
    let server = Server::builder().add_service(CatalogServer::new(Shop::default()));
    tokio::spawn(server.serve_with_incoming(incoming));

    let layer = CacheLayer::new(Memory::default())
        .grpc(["/shop.Catalog/GetItem"])?
        .expire_after(Duration::from_secs(60));
    let channel = ServiceBuilder::new()
        .layer(layer)
        .map_request(|request: http::Request<_>| request.map(Body::new))
        .service(Channel::from_shared(address)?.connect().await?);
    let mut client = CatalogClient::new(channel);

    for name in ["tea", "tea", "dodo", "dodo"] {
        match client.get_item(ItemName { name: name.into() }).await {
            Ok(item) => println!("get {name:4}    {}", told(&item, item.get_ref())),
            Err(error) => println!("get {name:4}    from the server: {:?}", error.code()),
        }
    }
    for _ in 0..2 {
        let response = client.watch_item(ItemName { name: "tea".into() }).await?;
        let (metadata, mut items, extensions) = response.into_parts();
        let response = Response::from_parts(metadata, (), extensions);
        while let Some(item) = items.message().await? {
            println!("watch tea   {}", told(&response, &item));
        }
    }
    Ok(())
}

/// What the cache says that it did, and which call of the server an item is from.
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
