//! One call for many clients, and its effects on the followers.

use std::{convert::Infallible, future::pending, time::Duration};

use bytes::Bytes;
use futures_util::stream;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use larder::{CacheLayer, Outcome, RequestBody, status::Miss, store::Memory};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinSet,
};
use tonic::{Code, Request, Response, Status};
use tower::{Layer, ServiceExt, service_fn};

use crate::{
    shop::{Item, ItemName, catalog_client::CatalogClient},
    support::{Client, Shop, cached, channel, layer, name, outcome, soon},
};

const SLOW: &str = "slow tea";

/// Makes the same call 50 times at once.
async fn fifty<F>(ask: impl Fn() -> F, shop: &Shop) -> Vec<Response<Item>>
where
    F: Future<Output = Result<Response<Item>, Status>> + Send + 'static,
{
    let mut calls = JoinSet::new();
    for _ in 0..50 {
        calls.spawn(ask());
    }
    shop.called(1).await;
    shop.release(50);
    calls.join_all().await.into_iter().map(Result::unwrap).collect()
}

/// Waits until all requests have joined the call of the leader.
async fn all_have_joined() {
    // All of them run on this thread, so they have gone as far as they can.
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

fn with_timeout(limit: Duration) -> Request<ItemName> {
    let mut request = Request::new(name(SLOW));
    request.set_timeout(limit);
    request
}

#[tokio::test]
async fn fifty_calls_through_a_channel_are_coalesced() {
    let shop = Shop::new();
    let server = shop.open().await;
    let layer = layer();
    let client = Client::new(cached(layer.clone(), server.address));
    let ask = || {
        let mut client = client.clone();
        async move { client.get_item(name(SLOW)).await }
    };
    let responses = fifty(ask, &shop).await;
    assert!(responses.iter().all(|response| response.get_ref().calls == 1));
    let of = |expected| responses.iter().filter(|it| outcome(it) == expected).count();
    assert_eq!(of(Outcome::Miss(Miss::Absent)), 1);
    assert_eq!((shop.calls(), layer.stats().misses), (1, 1));
}

#[tokio::test]
async fn fifty_calls_in_front_of_a_server_are_coalesced() {
    let shop = Shop::new();
    let layer = CacheLayer::shared(Memory::default())
        .grpc(["/shop.Catalog/GetItem"])
        .unwrap()
        .expire_after(Duration::from_secs(60));
    let server = shop.open_behind(layer.clone()).await;
    let address = server.address;
    let ask = || async move { CatalogClient::new(channel(address)).get_item(name(SLOW)).await };
    let responses = fifty(ask, &shop).await;
    assert!(responses.iter().all(|response| response.get_ref().calls == 1));
    assert_eq!((shop.calls(), layer.stats().misses), (1, 1));
}

#[tokio::test]
async fn follower_keeps_its_own_deadline() {
    let shop = Shop::new();
    let server = shop.open().await;
    let client = Client::new(cached(layer(), server.address));
    let mut first = client.clone();
    let leader = tokio::spawn(async move { first.get_item(name(SLOW)).await });
    shop.called(1).await;

    // The leader has no deadline, and its call is not answered.
    let impatient = with_timeout(Duration::from_millis(20));
    let error = soon(client.clone().get_item(impatient)).await.unwrap_err();
    assert!(matches!(error.code(), Code::Cancelled | Code::DeadlineExceeded), "{error}");

    assert!(!leader.is_finished());
    shop.release(2);
    assert_eq!(leader.await.unwrap().unwrap().get_ref().calls, 1);
}

#[tokio::test]
async fn follower_takes_over_with_its_remaining_time() {
    let shop = Shop::new();
    let server = shop.open().await;
    let client = Client::new(cached(layer(), server.address));
    let mut first = client.clone();
    let leader =
        tokio::spawn(async move { first.get_item(with_timeout(Duration::from_secs(3600))).await });
    shop.called(1).await;
    let given = |metadata: HeaderMap| metadata["grpc-timeout"].to_str().unwrap().to_owned();
    assert_eq!(given(shop.last_seen()), "3600000m", "the timeout is unchanged");

    let mut second = client.clone();
    let follower =
        tokio::spawn(async move { second.get_item(with_timeout(Duration::from_secs(60))).await });
    all_have_joined().await;
    // The follower waits for a while, which counts against its deadline.
    tokio::time::sleep(Duration::from_millis(20)).await;
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    soon(shop.called(2)).await;
    let left = given(shop.last_seen());
    let left: u64 = left.strip_suffix('m').expect("milliseconds").parse().unwrap();
    assert!((1..60_000).contains(&left), "{left} ms");

    shop.release(2);
    let response = follower.await.unwrap().unwrap();
    assert_eq!((response.get_ref().calls, outcome(&response)), (2, Outcome::Miss(Miss::Absent)));
    let again = client.clone().get_item(name(SLOW)).await.unwrap();
    assert_eq!((outcome(&again), shop.calls()), (Outcome::Hit, 2));
}

/// The time does not start only when the cache has read the message.
#[tokio::test]
async fn time_of_a_call_runs_from_its_arrival() {
    type TestBody = UnsyncBoxBody<Bytes, Infallible>;
    const SLOWLY: Duration = Duration::from_millis(50);
    let (sender, mut seen) = mpsc::unbounded_channel();
    let inner = service_fn(move |request: http::Request<RequestBody<TestBody>>| {
        sender.send(request.headers()["grpc-timeout"].to_str().unwrap().to_owned()).unwrap();
        pending::<Result<http::Response<TestBody>, Infallible>>()
    });
    let cached = layer().layer(inner);
    let call = |body: TestBody| {
        let request = http::Request::post("http://shop/shop.Catalog/GetItem")
            .header("content-type", "application/grpc")
            .header("grpc-timeout", "60S")
            .body(body);
        tokio::spawn(cached.clone().oneshot(request.unwrap()))
    };
    let message = Bytes::from_static(b"\0\0\0\0\x03abc");
    let leader = call(Full::new(message.clone()).boxed_unsync());
    assert_eq!(soon(seen.recv()).await.unwrap(), "60S", "the timeout is unchanged");

    let (sent, has_sent) = oneshot::channel();
    let slow = async move {
        tokio::time::sleep(SLOWLY).await;
        sent.send(()).unwrap();
        Ok::<_, Infallible>(Frame::data(message))
    };
    let follower = call(StreamBody::new(stream::once(slow)).boxed_unsync());
    soon(has_sent).await.unwrap();
    all_have_joined().await;
    leader.abort();
    assert!(leader.await.unwrap_err().is_cancelled());
    let left = soon(seen.recv()).await.unwrap();
    let left: u64 = left.strip_suffix('m').expect("milliseconds").parse().unwrap();
    assert!(Duration::from_millis(left) <= Duration::from_secs(60) - SLOWLY, "{left} ms");
    follower.abort();
}

#[tokio::test]
async fn error_is_not_shared_with_followers() {
    let shop = Shop::new();
    shop.fail_with(Code::PermissionDenied);
    let server = shop.open().await;
    let client = Client::new(cached(layer(), server.address));
    let mut calls = JoinSet::new();
    for _ in 0..5 {
        let mut client = client.clone();
        calls.spawn(async move { client.get_item(name(SLOW)).await });
    }
    shop.called(1).await;
    all_have_joined().await;
    shop.release(5);
    let errors = calls.join_all().await;
    assert!(errors.iter().all(|it| it.as_ref().unwrap_err().code() == Code::PermissionDenied));
    assert_eq!(shop.calls(), 5, "each follower makes its own call");
}
