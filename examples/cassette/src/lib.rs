//! A client of a web service. Its tests need no network: `tests/shop.rs` replays what the service
//! has answered once, from the folder `tests/cassettes/shop`.
//!
//! ```sh
//! cargo test -p cassette                              # replays
//! LARDER_CASSETTE=record cargo test -p cassette       # asks the service, and records anew
//! git diff examples/cassette                          # shows what has changed since
//! ```

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use larder::BoxError;
use serde_json::{Value, json};
use tower::{Service, ServiceExt};

/// A shop, over any client: one of hyper in production, and the same one in a cassette in a test.
#[derive(Clone, Debug)]
pub struct Shop<C> {
    client: C,
    token: String,
}

impl<C, B> Shop<C>
where
    C: Service<Request<Full<Bytes>>, Response = Response<B>, Error: Into<BoxError>> + Clone,
    B: Body<Error: Into<BoxError>>,
{
    pub fn new(client: C, token: impl Into<String>) -> Self {
        Self { client, token: token.into() }
    }

    /// The price of an item in cents, or `None` if the shop does not have it.
    pub async fn price(&self, item: &str) -> Result<Option<u64>, BoxError> {
        Ok(self.send(Method::GET, &format!("/items/{item}"), None).await?["cents"].as_u64())
    }

    /// Orders an item. Returns the number of the order.
    pub async fn order(&self, item: &str, quantity: u32) -> Result<u64, BoxError> {
        let order = json!({ "item": item, "quantity": quantity, "token": self.token });
        let answer = self.send(Method::POST, "/orders", Some(order)).await?;
        answer["order"].as_u64().ok_or_else(|| answer["error"].to_string().into())
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Value, BoxError> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://shop.example{path}"))
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body.map_or(String::new(), |body| body.to_string())))?;
        let response = self.client.clone().oneshot(request).await.map_err(Into::into)?;
        let body = response.into_body().collect().await.map_err(Into::into)?.to_bytes();
        Ok(serde_json::from_slice(&body)?)
    }
}
