//! The client of every cache: sends requests and reads bodies.

use std::{fmt::Debug, hint::black_box, pin::pin};

use bytes::Buf;
use futures_util::future::{BoxFuture, FutureExt};
use http::Response;
use http_body::Body;
use http_body_util::BodyExt;
use larder::store::{Redb, Store};
use tower::{Service, ServiceExt};

use crate::origin::Request;

pub trait Client {
    /// Sends the requests one after the other, and reads each body to its end. Returns the number
    /// of bytes that were read.
    fn send(&mut self, requests: Vec<Request>) -> BoxFuture<'_, usize>;

    /// Waits until the store has written everything.
    fn settle(&mut self) -> BoxFuture<'_, ()>;

    /// Sends one request. The outer future ends with the head, the inner one with the body.
    fn open(&self, request: Request) -> BoxFuture<'static, BoxFuture<'static, usize>>;
}

/// A cache as a tower service.
pub struct Tower<S> {
    pub service: S,
    /// The store, if it writes after it has acknowledged.
    pub writes_later: Option<Redb>,
}

impl<S, B> Tower<S>
where
    S: Service<Request, Response = Response<B>, Error: Debug, Future: Send>
        + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Debug> + Send + 'static,
{
    pub fn boxed(service: S) -> Box<dyn Client> {
        Box::new(Self { service, writes_later: None })
    }
}

impl<S, B> Client for Tower<S>
where
    S: Service<Request, Response = Response<B>, Error: Debug, Future: Send>
        + Clone
        + Send
        + 'static,
    B: Body<Data: Send, Error: Debug> + Send + 'static,
{
    fn send(&mut self, requests: Vec<Request>) -> BoxFuture<'_, usize> {
        async move {
            let mut len = 0;
            for request in requests {
                let service = self.service.ready().await.expect("a service that is ready");
                let response = service.call(request).await.expect("a response");
                len += read(response.into_body()).await;
            }
            len
        }
        .boxed()
    }

    fn settle(&mut self) -> BoxFuture<'_, ()> {
        async move {
            if let Some(store) = &self.writes_later {
                store.flush().await.expect("a disk that works");
            }
        }
        .boxed()
    }

    fn open(&self, request: Request) -> BoxFuture<'static, BoxFuture<'static, usize>> {
        let response = self.service.clone().oneshot(request);
        response.map(|response| read(response.expect("a response").into_body()).boxed()).boxed()
    }
}

async fn read<B: Body<Error: Debug>>(body: B) -> usize {
    let (mut body, mut len) = (pin!(body), 0);
    while let Some(frame) = body.frame().await {
        let frame = black_box(frame.expect("a body that does not break"));
        len += frame.data_ref().map_or(0, Buf::remaining);
    }
    len
}
