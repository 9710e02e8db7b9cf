//! The compiler's messages for an inner service or a store that does not fit a cache.
//!
//! Each mistake is compiled only with its `cfg`. `tests/messages.rs` compiles them one by one, and
//! compares the compiler's output with the text that a user needs.

#![allow(missing_docs, unreachable_pub)]

#[cfg(mistake = "no_map_request")]
pub async fn no_map_request() {
    let client = tower::ServiceBuilder::new()
        .layer(larder::CacheLayer::private(larder::store::Memory::default()))
        .layer(tower_reqwest::HttpClientLayer)
        .service(reqwest::Client::new());
    let request = http::Request::get("http://a/").body(reqwest::Body::default()).unwrap();
    let _response = client.request(request).await;
}

#[cfg(mistake = "bare_client")]
pub async fn bare_client() {
    let client = tower::ServiceBuilder::new()
        .layer(larder::CacheLayer::private(larder::store::Memory::default()))
        .service(reqwest::Client::new());
    let request = http::Request::get("http://a/").body(reqwest::Body::default()).unwrap();
    let _response = client.request(request).await;
}

#[cfg(mistake = "fixed_body")]
pub async fn fixed_body() {
    use hyper_util::client::legacy::{Client, connect::HttpConnector};

    type Body = http_body_util::Empty<bytes::Bytes>;

    let hyper: Client<HttpConnector, Body> =
        Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
    let client = tower::ServiceBuilder::new()
        .layer(larder::CacheLayer::private(larder::store::Memory::default()))
        .service(hyper);
    let request = http::Request::get("http://a/").body(Body::new()).unwrap();
    let _response = client.request(request).await;
}

#[cfg(mistake = "not_clone")]
pub async fn not_clone() {
    type Body = http_body_util::Full<bytes::Bytes>;

    let inner = tower::service_fn(|_: http::Request<larder::RequestBody<Body>>| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(Body::default()))
    });
    let client = tower::ServiceBuilder::new()
        .layer(larder::CacheLayer::private(larder::store::Memory::default()))
        .service(tower::util::BoxService::new(inner));
    let request = http::Request::get("http://a/").body(Body::default()).unwrap();
    let _response = client.request(request).await;
}

#[cfg(mistake = "no_store")]
pub fn no_store(store: Result<larder::store::Memory, larder::store::Error>) {
    let _layer = larder::CacheLayer::private(store);
}
