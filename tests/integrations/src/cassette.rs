//! A cassette around reqwest's client, and one around an axum router without a socket.

use axum::{Router, routing};
use http::{Request, header};
use http_body_util::BodyExt;
use larder::{
    BoxError, RequestBody,
    testing::{Cassette, Unrecorded},
};
use reqwest::{Body, Client};
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_reqwest::HttpClientLayer;

use crate::support::Origin;

/// Sends a request with a body through reqwest. Its client is built like that for a cache.
async fn order(cassette: Cassette, url: &str, token: &str) -> Result<String, BoxError> {
    let client = ServiceBuilder::new()
        .layer(cassette)
        .map_request(|request: Request<RequestBody<_>>| {
            request.map(|body| body.into_inner_or_else(Body::wrap))
        })
        .layer(HttpClientLayer)
        .service(Client::new());
    let request = Request::post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::AUTHORIZATION, token)
        .body(Body::from("{\"item\": \"tea\"}"))?;
    let response = client.oneshot(request).await?;
    Ok(reqwest::Response::from(response.map(Body::wrap)).text().await?)
}

#[tokio::test]
async fn reqwest_request_is_replayed_without_its_server() {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::new(Router::new().fallback(async |body: String| body)).await;
    let url = origin.url("/orders");
    let open = || Cassette::record_or_replay(folder.path()).unwrap();
    for token in ["one", "other"] {
        assert_eq!(order(open(), &url, token).await.unwrap(), "{\"item\": \"tea\"}");
    }
    assert_eq!(origin.asked(), ["POST /orders"]);
    let elsewhere = origin.url("/other");
    let error = order(Cassette::replay(folder.path()).unwrap(), &elsewhere, "one").await;
    assert!(error.unwrap_err().is::<Unrecorded>());
}

#[tokio::test]
async fn router_is_recorded_without_a_socket() {
    let folder = tempfile::tempdir().unwrap();
    let routes = Router::new().route("/{name}", routing::get(async || "hello"));
    for is_recorded in [false, true] {
        let path = folder.path();
        let cassette = if is_recorded { Cassette::replay(path) } else { Cassette::record(path) };
        let service = cassette.unwrap().layer(routes.clone().map_request(
            |request: Request<RequestBody<axum::body::Body>>| request.map(axum::body::Body::new),
        ));
        let request = Request::get("/a").body(axum::body::Body::empty()).unwrap();
        let response = service.request(request).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "hello");
    }
    assert!(folder.path().join("_").is_dir(), "a request without a host has a folder too");
}
