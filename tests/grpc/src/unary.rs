//! Unary calls through a channel behind the cache: hits, and the keys of calls.

use larder::{
    CacheLayer, CacheOptions, Outcome, Stored,
    status::{Bypass, Miss, Refusal},
    store::Redb,
};
use tonic::{Code, Request, codec::CompressionEncoding, service::interceptor::InterceptedService};

use crate::{
    shop::catalog_client::CatalogClient,
    support::{Client, Shop, cached, clock, layer, name, names, outcome, status},
};

const ABSENT: Outcome = Outcome::Miss(Miss::Absent);

#[tokio::test]
async fn second_call_is_a_hit_with_the_same_metadata() {
    let shop = Shop::new();
    shop.say(&[("x-shelf", "a"), ("x-shelf", "b"), ("x-floor", "1")]);
    let server = shop.open().await;
    let mut client = Client::new(cached(layer(), server.address));

    let first = client.get_item(name("tea")).await.unwrap();
    assert_eq!(outcome(&first), ABSENT);
    assert_eq!(status(&first).stored(), Stored::Yes, "the whole answer has been read");
    let again = client.get_item(name("tea")).await.unwrap();
    assert_eq!(outcome(&again), Outcome::Hit);
    assert_eq!((first.get_ref(), shop.calls()), (again.get_ref(), 1));

    let [first, again] = [first, again].map(|it| it.metadata().clone().into_headers());
    assert_eq!(first, again);
    assert_eq!(again.get_all("x-shelf").iter().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(again["grpc-status"], "0", "the trailers have the status");
}

#[tokio::test]
async fn each_message_has_an_entry_of_its_own() {
    let shop = Shop::new();
    let server = shop.open().await;
    let layer = layer();
    let mut client = Client::new(cached(layer.clone(), server.address));
    for (item, expected) in [("tea", ABSENT), ("", ABSENT), ("tea", Outcome::Hit)] {
        let response = client.get_item(name(item)).await.unwrap();
        assert_eq!((response.get_ref().name.as_str(), outcome(&response)), (item, expected));
    }
    assert_eq!(layer.entries().len().await.unwrap(), 2);
}

#[tokio::test]
async fn unlisted_methods_bypass_and_remove_nothing() {
    let shop = Shop::new();
    let server = shop.open().await;
    let layer = layer().grpc(["/shop.Catalog/GetItem"]).unwrap();
    let mut client = Client::new(cached(layer.clone(), server.address));
    client.get_item(name("tea")).await.unwrap();
    for _ in 0..2 {
        let response = client.add_items(names(&["tea"])).await.unwrap();
        assert_eq!(outcome(&response), Outcome::Bypass(Bypass::GrpcMethod));
    }
    // A call of the listed method that bypasses the cache removes nothing either.
    let mut past = Request::new(name("tea"));
    past.extensions_mut().insert(CacheOptions::new().bypass(true));
    assert_eq!(outcome(&client.get_item(past).await.unwrap()), Outcome::Bypass(Bypass::Requested));
    assert_eq!(outcome(&client.get_item(name("tea")).await.unwrap()), Outcome::Hit);
    assert_eq!((shop.calls(), layer.stats().invalidated), (4, 0));
}

#[tokio::test]
async fn key_ignores_call_metadata_and_includes_key_headers() {
    let shop = Shop::new();
    let server = shop.open().await;
    let layer = layer().add_key_headers(["x-tenant"]).unwrap();
    let mut client = Client::new(cached(layer, server.address));
    let mut ask = async |metadata: &[(&'static str, &'static str)]| {
        let mut request = Request::new(name("tea"));
        for (name, value) in metadata {
            request.metadata_mut().insert(*name, value.parse().unwrap());
        }
        outcome(&client.get_item(request).await.unwrap())
    };
    assert_eq!(ask(&[("traceparent", "00-a-b-01"), ("grpc-timeout", "9S")]).await, ABSENT);
    assert_eq!(ask(&[("traceparent", "00-c-d-01"), ("grpc-timeout", "8S")]).await, Outcome::Hit);
    assert_eq!(ask(&[]).await, Outcome::Hit);
    for other in [("x-tenant", "b"), ("authorization", "Bearer a"), ("cookie", "a=1")] {
        assert_eq!(ask(&[other]).await, ABSENT, "{other:?}");
        assert_eq!(ask(&[other]).await, Outcome::Hit, "{other:?}");
    }
}

#[tokio::test]
async fn clients_receive_only_encodings_that_they_accept() {
    let shop = Shop::new();
    let server = shop.open().await;
    let plain = Client::new(cached(layer(), server.address));
    let accepting = plain.clone().accept_compressed(CompressionEncoding::Gzip);
    let sending = plain.clone().send_compressed(CompressionEncoding::Gzip);
    for (mut client, encoding) in [(accepting, Some("gzip")), (plain, None), (sending, None)] {
        let item = "tea ".repeat(1000);
        for expected in [ABSENT, Outcome::Hit] {
            let response = client.get_item(name(&item)).await.unwrap();
            assert_eq!((outcome(&response), &response.get_ref().name), (expected, &item));
            let sent = response.metadata().get("grpc-encoding");
            assert_eq!(sent.map(|it| it.to_str().unwrap()), encoding);
        }
    }
    assert_eq!(shop.calls(), 3);
}

#[tokio::test]
async fn request_extensions_carry_its_options() {
    let shop = Shop::new();
    let server = shop.open().await;
    let mut client = Client::new(cached(layer(), server.address));
    let with = |options: CacheOptions| {
        let mut request = Request::new(name("tea"));
        request.extensions_mut().insert(options);
        request
    };
    let only = || with(CacheOptions::new().only_if_cached(true));
    let refused = client.get_item(only()).await.unwrap_err();
    assert_eq!((refused.code(), shop.calls()), (Code::Unavailable, 0));
    assert!(refused.message().starts_with("No response is stored"), "{refused}");

    client.get_item(name("tea")).await.unwrap();
    assert_eq!(outcome(&client.get_item(only()).await.unwrap()), Outcome::Hit);
    let forced = with(CacheOptions::new().force_refresh(true));
    let forced = client.get_item(forced).await.unwrap();
    assert_eq!((outcome(&forced), forced.get_ref().calls), (Outcome::Miss(Miss::Refresh), 2));
    assert_eq!(client.get_item(only()).await.unwrap().get_ref().calls, 2);
    let unstored = with(CacheOptions::new().no_store(true).force_refresh(true));
    let unstored = client.get_item(unstored).await.unwrap();
    assert_eq!(status(&unstored).stored(), Stored::No(Refusal::NoStore));
}

#[tokio::test]
async fn interceptor_wraps_the_cache() {
    let shop = Shop::new();
    let server = shop.open().await;
    let service =
        InterceptedService::new(cached(layer(), server.address), |mut request: Request<()>| {
            request.metadata_mut().insert("authorization", "Bearer a".parse().unwrap());
            Ok(request)
        });
    let mut client = CatalogClient::new(service);
    client.get_item(name("tea")).await.unwrap();
    assert_eq!(shop.last_seen()["authorization"], "Bearer a");
    assert_eq!(outcome(&client.get_item(name("tea")).await.unwrap()), Outcome::Hit);
}

#[tokio::test]
async fn servers_are_distinguished_by_their_origin() {
    let shop = Shop::new();
    let server = shop.open().await;
    let service = cached(layer(), server.address);
    let client =
        |origin: &'static str| CatalogClient::with_origin(service.clone(), origin.parse().unwrap());
    for (origin, expected) in
        [("http://a:1", ABSENT), ("http://b:1", ABSENT), ("http://a:1", Outcome::Hit)]
    {
        let response = client(origin).get_item(name("tea")).await.unwrap();
        assert_eq!(outcome(&response), expected, "{origin}");
    }
}

#[tokio::test]
async fn answers_can_be_removed_by_tag_and_by_url() {
    let shop = Shop::new();
    let server = shop.open().await;
    let layer = layer().tag_with(|_request, _response| ["items"]);
    let mut client = Client::new(cached(layer.clone(), server.address));
    client.get_item(name("tea")).await.unwrap();
    client.get_item(name("rice")).await.unwrap();
    assert_eq!(layer.entries().remove_tag("items").await.unwrap(), 2);
    client.get_item(name("tea")).await.unwrap();
    client.get_item(name("rice")).await.unwrap();
    assert_eq!(layer.entries().remove("/shop.Catalog/GetItem").await.unwrap(), 2);
    assert_eq!(outcome(&client.get_item(name("tea")).await.unwrap()), ABSENT);
}

#[tokio::test]
async fn answers_in_a_file_are_served_in_the_next_run() {
    let shop = Shop::new();
    shop.say(&[("x-shelf", "a"), ("x-shelf", "b")]);
    let server = shop.open().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("grpc.redb");
    let mut seen = Vec::new();
    for expected in [ABSENT, Outcome::Hit] {
        let layer = CacheLayer::private(Redb::open(&path).unwrap()).grpc(["/shop.Catalog/GetItem"]);
        let mut client = Client::new(cached(layer.unwrap(), server.address));
        let response = client.get_item(name("tea")).await.unwrap();
        assert_eq!(outcome(&response), expected);
        seen.push((response.metadata().clone().into_headers(), response.into_inner()));
    }
    assert_eq!((&seen[0], shop.calls()), (&seen[1], 1));
}

#[tokio::test]
async fn http_rules_read_the_lifetime_from_the_metadata() {
    let shop = Shop::new();
    let server = shop.open().await;
    let clock = clock();
    let layer = layer().http_rules().clock(clock.clone());
    let mut client = Client::new(cached(layer, server.address));

    let response = client.get_item(name("tea")).await.unwrap();
    assert_eq!(status(&response).stored(), Stored::No(Refusal::NoFreshness));
    shop.say(&[("cache-control", "max-age=60")]);
    client.get_item(name("tea")).await.unwrap();
    assert_eq!(outcome(&client.get_item(name("tea")).await.unwrap()), Outcome::Hit);
    let mut fresh = Request::new(name("tea"));
    fresh.metadata_mut().insert("cache-control", "no-cache".parse().unwrap());
    assert_eq!(outcome(&client.get_item(fresh).await.unwrap()), Outcome::Miss(Miss::Refresh));
    clock.advance(std::time::Duration::from_secs(61));
    let expired = client.get_item(name("tea")).await.unwrap();
    assert_eq!(outcome(&expired), Outcome::Miss(Miss::Expired));
}
