//! Servers that fail, stale answers instead of failures, and failed refreshes.

use std::{sync::mpsc, time::Duration};

use larder::{
    CacheLayer, Event, Outcome, StaleLimit,
    status::{Miss, RefreshError, Stale},
    store::Memory,
    time::ManualClock,
};
use tonic::{Code, Request};

use crate::support::{Client, ITEM, Player, Script, Shop, cached, clock, layer, name, outcome};

const MINUTE: Duration = Duration::from_secs(60);
const IF_ERROR: Outcome = Outcome::Stale(Stale::IfError);

fn aging() -> (CacheLayer<Memory>, ManualClock) {
    let clock = clock();
    (layer().expire_after(MINUTE).clock(clock.clone()), clock)
}

#[tokio::test]
async fn stored_answer_is_served_if_the_server_fails() {
    let shop = Shop::new();
    let server = shop.open().await;
    let (layer, clock) = aging();
    let layer = layer.stale_if_error(StaleLimit::Unlimited);
    let mut client = Client::new(cached(layer, server.address));
    client.get_item(name("tea")).await.unwrap();
    clock.advance(2 * MINUTE);

    for code in [Code::Unknown, Code::DeadlineExceeded, Code::Internal, Code::Unavailable] {
        shop.fail_with(code);
        let response = client.get_item(name("tea")).await.unwrap();
        assert_eq!((outcome(&response), response.get_ref().calls), (IF_ERROR, 1), "{code:?}");
    }
    // These codes are answers, not failures.
    for code in [Code::PermissionDenied, Code::FailedPrecondition, Code::ResourceExhausted] {
        shop.fail_with(code);
        assert_eq!(client.get_item(name("tea")).await.unwrap_err().code(), code);
    }
    drop(server);
}

#[tokio::test]
async fn failure_in_the_trailers_is_a_failure_too() {
    let (player, server) = Player::open(Script {
        chunks: vec![ITEM],
        trailers: Some(vec![("grpc-status", "0")]),
        ..Script::default()
    })
    .await;
    let (layer, clock) = aging();
    let layer = layer.stale_if_error(StaleLimit::Unlimited);
    let mut client = Client::new(cached(layer, server.address));
    client.get_item(name("tea")).await.unwrap();
    clock.advance(2 * MINUTE);
    let fail = |code| {
        let trailers = Some(vec![("grpc-status", code)]);
        *player.script.lock().unwrap() = Script { trailers, ..Script::default() };
    };
    fail("14");
    assert_eq!(outcome(&client.get_item(name("tea")).await.unwrap()), IF_ERROR);
    fail("7");
    let error = client.get_item(name("tea")).await.unwrap_err();
    assert_eq!((error.code(), player.calls()), (Code::PermissionDenied, 3));
}

#[tokio::test]
async fn refresh_reports_its_failure_and_has_its_own_time_limit() {
    let shop = Shop::new();
    let server = shop.open().await;
    let (layer, clock) = aging();
    let (sender, failures) = mpsc::channel();
    let layer = layer.stale_while_revalidate(StaleLimit::Unlimited).add_event_hook(move |event| {
        if let Event::RefreshFailed { failure, .. } = event {
            sender.send(failure.reason).unwrap();
        }
    });
    let mut client = Client::new(cached(layer.clone(), server.address));
    client.get_item(name("tea")).await.unwrap();
    clock.advance(2 * MINUTE);

    shop.fail_with(Code::Unavailable);
    let mut hasty = Request::new(name("tea"));
    hasty.set_timeout(Duration::from_secs(5));
    let response = client.get_item(hasty).await.unwrap();
    assert_eq!(outcome(&response), Outcome::Stale(Stale::WhileRevalidate));
    layer.idle().await;
    assert_eq!(failures.try_recv().unwrap(), RefreshError::GrpcStatus(14));
    assert_eq!(shop.last_seen()["grpc-timeout"], "30000m", "the time limit of a refresh");

    shop.fail_with(Code::Ok);
    clock.advance(MINUTE);
    client.get_item(name("tea")).await.unwrap();
    layer.idle().await;
    assert_eq!(outcome(&client.get_item(name("tea")).await.unwrap()), Outcome::Hit);
}

#[tokio::test]
async fn missing_item_is_no_longer_served() {
    let shop = Shop::new();
    let server = shop.open().await;
    let (layer, clock) = aging();
    let layer = layer.stale_while_revalidate(StaleLimit::Unlimited);
    let mut client = Client::new(cached(layer.clone(), server.address));
    client.get_item(name("tea")).await.unwrap();
    clock.advance(2 * MINUTE);
    shop.fail_with(Code::NotFound);
    client.get_item(name("tea")).await.unwrap();
    layer.idle().await;
    assert_eq!(client.get_item(name("tea")).await.unwrap_err().code(), Code::NotFound);
    shop.fail_with(Code::Ok);
    let back = client.get_item(name("tea")).await.unwrap();
    assert_eq!(outcome(&back), Outcome::Miss(Miss::Absent));
}

#[tokio::test]
async fn hits_need_no_server() {
    let shop = Shop::new();
    let server = shop.open().await;
    let mut client = Client::new(cached(layer(), server.address));
    client.get_item(name("tea")).await.unwrap();
    drop(server);
    assert_eq!(outcome(&client.get_item(name("tea")).await.unwrap()), Outcome::Hit);
}
