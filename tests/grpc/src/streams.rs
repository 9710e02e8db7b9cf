//! Streams of listed and unlisted methods. They pass through message by message, and nothing waits
//! forever.

use futures_util::{Stream, StreamExt, stream};
use larder::{
    Outcome, Stored,
    status::{Bypass, Miss, Refusal},
};
use tokio::sync::mpsc;

use crate::{
    shop::ItemName,
    support::{Client, Shop, cached, layer, name, names, outcome, soon, status},
};

const NOT_UNARY: Outcome = Outcome::Bypass(Bypass::NotUnary);

/// A channel, and the stream of the names that are sent through it.
fn sent() -> (mpsc::UnboundedSender<ItemName>, impl Stream<Item = ItemName> + Send + 'static) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let names = stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|name| (name, receiver))
    });
    (sender, names)
}

#[tokio::test]
async fn streamed_answers_are_passed_on_as_they_arrive() {
    let shop = Shop::new();
    let server = shop.open().await;
    let layer = layer();
    let mut client = Client::new(cached(layer.clone(), server.address));
    for call in 1..=2 {
        let response = client.watch_item(name("tea")).await.unwrap();
        let cache = status(&response).clone();
        assert_eq!(cache.outcome(), Outcome::Miss(Miss::Absent));
        let mut items = response.into_inner();
        // The server sends the next item after this one has arrived.
        for number in 0..3 {
            let item = items.message().await.unwrap().unwrap();
            assert_eq!(item.calls, call);
            if number < 2 {
                shop.release(1);
            }
        }
        assert!(items.message().await.unwrap().is_none());
        assert_eq!(cache.stored(), Stored::No(Refusal::NotUnary));
    }
    assert_eq!((shop.calls(), layer.entries().len().await.unwrap()), (2, 0));
}

#[tokio::test]
async fn concurrent_listeners_receive_the_same_items() {
    let shop = Shop::new();
    let server = shop.open().await;
    let mut client = Client::new(cached(layer(), server.address));
    let mut first = client.watch_item(name("tea")).await.unwrap().into_inner();
    first.message().await.unwrap().unwrap();
    // So far, this may be the only item.
    let response = client.watch_item(name("tea")).await.unwrap();
    assert_eq!(outcome(&response), Outcome::Coalesced(Miss::Absent));
    let second = response.into_inner();
    shop.release(2);
    let (first, second) = tokio::join!(first.count(), second.count());
    assert_eq!((first, second, shop.calls()), (2, 3, 1));

    // Now the cache knows that there are several items.
    let first = client.watch_item(name("tea")).await.unwrap();
    let second = client.watch_item(name("tea")).await.unwrap();
    assert_eq!([&first, &second].map(outcome), [Outcome::Miss(Miss::Absent); 2]);
}

#[tokio::test]
async fn stream_of_one_answer_is_stored() {
    let shop = Shop::new();
    let server = shop.open().await;
    let mut client = Client::new(cached(layer(), server.address));
    for is_hit in [false, true] {
        let response = client.watch_item(name("once")).await.unwrap();
        assert_eq!(outcome(&response) == Outcome::Hit, is_hit);
        let items: Vec<_> = response.into_inner().collect().await;
        assert_eq!(items.len(), 1);
        assert_eq!(items[0].as_ref().unwrap().calls, 1);
    }
}

#[tokio::test]
async fn stream_of_requests_passes_whole() {
    let shop = Shop::new();
    let server = shop.open().await;
    let mut client = Client::new(cached(layer(), server.address));
    for count in [0, 2, 100] {
        let response = client.add_items(names(&vec!["tea"; count])).await.unwrap();
        assert_eq!(outcome(&response), NOT_UNARY, "{count}");
        assert_eq!(response.get_ref().items, count as u64);
    }
    assert_eq!(shop.calls(), 3);
    // A stream that ends after its first message is like a unary request.
    for is_hit in [false, true] {
        let response = client.add_items(names(&["tea"])).await.unwrap();
        assert_eq!(outcome(&response) == Outcome::Hit, is_hit);
        assert_eq!(response.get_ref().items, 1);
    }
}

#[tokio::test]
async fn client_and_server_may_wait_for_each_other() {
    let shop = Shop::new();
    let server = shop.open().await;
    let listed = layer();
    let unlisted = layer().grpc(["/shop.Catalog/GetItem"]).unwrap();
    for (layer, expected) in [(listed, NOT_UNARY), (unlisted, Outcome::Bypass(Bypass::GrpcMethod))]
    {
        let mut client = Client::new(cached(layer, server.address));
        let (sender, names) = sent();
        sender.send(name("first")).unwrap();
        let response = soon(client.find_items(names)).await.unwrap();
        assert_eq!(outcome(&response), expected);
        let mut items = response.into_inner();
        assert_eq!(items.message().await.unwrap().unwrap().name, "first");
        for next in ["second", "third"] {
            sender.send(name(next)).unwrap();
            assert_eq!(items.message().await.unwrap().unwrap().name, next);
        }
        drop(sender);
        assert!(items.message().await.unwrap().is_none());
    }
}

#[tokio::test]
async fn silent_stream_of_requests_passes() {
    let shop = Shop::new();
    let server = shop.open().await;
    let mut client = Client::new(cached(layer(), server.address));
    let (sender, names) = sent();
    let response = soon(client.find_items(names)).await.unwrap();
    assert_eq!(outcome(&response), NOT_UNARY);
    sender.send(name("late")).unwrap();
    assert_eq!(response.into_inner().message().await.unwrap().unwrap().name, "late");
}

#[tokio::test]
async fn too_large_message_bypasses_without_being_read() {
    let shop = Shop::new();
    let server = shop.open().await;
    let layer = layer().max_request_body(100);
    let mut client = Client::new(cached(layer, server.address));
    let long = "tea".repeat(100);
    let response = client.get_item(name(&long)).await.unwrap();
    assert_eq!(outcome(&response), Outcome::Bypass(Bypass::RequestBodyTooLarge));
    assert_eq!(response.get_ref().name, long);
}
