//! Tests of the client, with what the shop has answered once.

use std::{convert::Infallible, future::ready, iter, net::SocketAddr};

use axum::{
    Json, Router,
    extract::Path,
    routing::{get, post},
};
use bytes::Bytes;
use cassette::Shop;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{
        Client,
        connect::{HttpConnector, dns::Name},
    },
    rt::TokioExecutor,
};
use larder::{
    BoxError, RequestBody,
    testing::{Cassette, Player, Unrecorded},
    time::{ManualClock, Timestamp},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::{Layer, service_fn, util::BoxCloneSyncService};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cassettes/shop");

#[tokio::test]
async fn an_item_has_a_price() -> Result<(), BoxError> {
    let shop = shop().await?;
    assert_eq!(shop.price("tea").await?, Some(450));
    assert_eq!(shop.price("gold").await?, None);
    Ok(())
}

#[tokio::test]
async fn an_order_has_a_number() -> Result<(), BoxError> {
    let shop = shop().await?;
    assert_eq!(shop.order("tea", 2).await?, 1_001);
    let error = shop.order("tea", 0).await.unwrap_err();
    assert_eq!(error.to_string(), "\"order at least one\"");
    Ok(())
}

/// A request that is not recorded fails, and the error says how it differs.
#[tokio::test]
async fn another_order_is_not_recorded() -> Result<(), BoxError> {
    let cassette = settings(Cassette::replay(FOLDER)?)?;
    let client = Client::builder(TokioExecutor::new()).build_http();
    let error = Shop::new(cassette.layer(client), "t").order("tea", 3).await.unwrap_err();
    assert!(error.is::<Unrecorded>());
    assert!(error.to_string().contains("\"quantity\": 3"), "{error}");
    Ok(())
}

/// Values that differ in each run are ignored: the user's token, and `Date`. The clock stands
/// still, so a new recording differs only if the shop does.
fn settings(cassette: Cassette) -> Result<Cassette, BoxError> {
    Ok(cassette
        .add_ignored_request_body_fields(["/token"])?
        .add_ignored_headers(["date"])?
        .clock(ManualClock::new(Timestamp::from_millis(1_700_000_000_000))))
}

/// The shop in a cassette: what is recorded is replayed, and the rest is asked of the shop.
async fn shop() -> Result<Shop<Player<HttpClient>>, BoxError> {
    let cassette = settings(Cassette::record_or_replay(FOLDER)?)?;
    Ok(Shop::new(cassette.layer(client().await?), "the token of whoever runs the tests"))
}

type HttpClient = BoxCloneSyncService<
    Request<RequestBody<Full<Bytes>>>,
    Response<Incoming>,
    hyper_util::client::legacy::Error,
>;

/// In your test, this is the client of your program. Here, the shop is a server of this test, and
/// the client finds it under the name `shop.example`.
async fn client() -> Result<HttpClient, BoxError> {
    let server = serve().await?;
    let resolver = service_fn(move |_: Name| ready(Ok::<_, Infallible>(iter::once(server))));
    let connector = HttpConnector::new_with_resolver(resolver);
    Ok(BoxCloneSyncService::new(Client::builder(TokioExecutor::new()).build(connector)))
}

async fn serve() -> Result<SocketAddr, BoxError> {
    let price = async |Path(item): Path<String>| match &*item {
        "tea" => Ok(Json(json!({ "cents": 450 }))),
        _ => Err((StatusCode::NOT_FOUND, Json(json!({ "error": "no such item" })))),
    };
    let order = async |Json(order): Json<Value>| match order["quantity"].as_u64() {
        Some(1..) => Ok((StatusCode::CREATED, Json(json!({ "order": 1_001 })))),
        _ => Err((StatusCode::BAD_REQUEST, Json(json!({ "error": "order at least one" })))),
    };
    let router = Router::new().route("/items/{item}", get(price)).route("/orders", post(order));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async { axum::serve(listener, router).await });
    Ok(address)
}
