//! A cache in front of a server, shared by all of its clients.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use larder::{CacheLayer, store::Memory};
use tonic::{Code, Request, body::Body, codec::CompressionEncoding, transport::Channel};
use tower::ServiceExt;

use crate::{
    shop::{Item, catalog_client::CatalogClient},
    support::{ITEM, Running, Shop, channel, name, names},
};

fn layer() -> CacheLayer<Memory> {
    CacheLayer::shared(Memory::default())
        .grpc(["/shop.Catalog/GetItem"])
        .unwrap()
        .expire_after(Duration::from_secs(60))
        .cache_status_header("larder")
        .unwrap()
}

fn client(server: &Running) -> CatalogClient<Channel> {
    CatalogClient::new(channel(server.address))
}

/// The status in the response of the server's cache.
fn said<T>(response: &tonic::Response<T>) -> &str {
    response.metadata().get("cache-status").unwrap().to_str().unwrap()
}

#[tokio::test]
async fn clients_share_the_stored_answers() {
    let shop = Shop::new();
    let server = shop.open_behind(layer()).await;
    let first = client(&server).get_item(name("tea")).await.unwrap();
    assert_eq!(said(&first), "larder; fwd=uri-miss; stored; ttl=60");
    for mut client in [client(&server), client(&server)] {
        let response = client.get_item(name("tea")).await.unwrap();
        assert!(said(&response).starts_with("larder; hit"), "{}", said(&response));
        assert_eq!(response.get_ref(), &Item { name: "tea".into(), calls: 1 });
        assert_eq!(response.metadata().get("grpc-status").unwrap(), "0");
    }
    let mut accepting = client(&server).accept_compressed(CompressionEncoding::Gzip);
    assert_eq!(accepting.get_item(name("tea")).await.unwrap().get_ref().calls, 2);
    assert_eq!(shop.calls(), 2);
}

#[tokio::test]
async fn failed_call_is_sent_each_time() {
    let shop = Shop::new();
    let server = shop.open_behind(layer()).await;
    for call in 1..=2 {
        let error = client(&server).get_item(name("missing")).await.unwrap_err();
        assert_eq!((error.code(), shop.calls()), (Code::NotFound, call));
        let said = error.metadata().get("cache-status").unwrap();
        assert_eq!(said, "larder; fwd=uri-miss; detail=grpc-status");
    }
}

#[tokio::test]
async fn calls_with_credentials_bypass_and_remove_nothing() {
    let shop = Shop::new();
    let server = shop.open_behind(layer()).await;
    client(&server).get_item(name("tea")).await.unwrap();
    let mut own = Request::new(name("tea"));
    own.metadata_mut().insert("authorization", "Bearer a".parse().unwrap());
    let own = client(&server).get_item(own).await.unwrap();
    assert_eq!((own.get_ref().calls, said(&own)), (2, "larder; fwd=bypass; detail=credentials"));
    let again = client(&server).get_item(name("tea")).await.unwrap();
    assert_eq!(again.get_ref().calls, 1);
}

#[tokio::test]
async fn unlisted_methods_bypass() {
    let shop = Shop::new();
    let server = shop.open_behind(layer()).await;
    let added = client(&server).add_items(names(&["a", "b"])).await.unwrap();
    assert_eq!(said(&added), "larder; fwd=bypass; detail=grpc-method");
    assert_eq!(added.get_ref().items, 2);
}

#[tokio::test]
async fn requests_that_are_not_grpc_bypass() {
    let shop = Shop::new();
    let server = shop.open_behind(layer()).await;
    let request = http::Request::post(format!("http://{}/shop.Catalog/GetItem", server.address))
        .header("content-type", "application/grpc-web+proto")
        .body(Body::new(Full::new(Bytes::from_static(ITEM))))
        .unwrap();
    let response = channel(server.address).oneshot(request).await.unwrap();
    assert_eq!(response.headers()["cache-status"], "larder; fwd=bypass; detail=not-grpc");
    response.into_body().collect().await.unwrap();
}

#[tokio::test]
async fn nothing_is_stored_without_an_expiration() {
    let shop = Shop::new();
    let layer = CacheLayer::shared(Memory::default()).grpc(["/shop.Catalog/*"]).unwrap();
    let server = shop.open_behind(layer).await;
    for call in 1..=2 {
        let response = client(&server).get_item(name("tea")).await.unwrap();
        assert_eq!(response.get_ref().calls, call);
    }
}
