//! A shop with a tonic server, a client that calls it through the cache, and a server that plays a
//! script.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicI32, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http::HeaderMap;
use http_body::Frame;
use http_body_util::StreamBody;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use larder::{
    Cache, CacheLayer, CacheStatus, Outcome, RequestBody,
    store::{Memory, Store},
    time::{ManualClock, Timestamp},
};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    codec::CompressionEncoding,
    codegen::BoxStream,
    transport::{Channel, Endpoint, Server, server::TcpIncoming},
};
use tower::{ServiceBuilder, util::MapRequest};

use crate::shop::{
    Added, Item, ItemName, catalog_client::CatalogClient, catalog_server,
    catalog_server::CatalogServer,
};

/// The channel as the inner service of a cache.
pub(crate) type Inner =
    MapRequest<Channel, fn(http::Request<RequestBody<Body>>) -> http::Request<Body>>;
pub(crate) type Cached<B = Memory> = Cache<Inner, B>;
pub(crate) type Client<B = Memory> = CatalogClient<Cached<B>>;

/// A channel to `address` behind a cache.
pub(crate) fn cached<B: Store>(layer: CacheLayer<B>, address: SocketAddr) -> Cached<B> {
    let whole: fn(http::Request<RequestBody<Body>>) -> http::Request<Body> =
        |request| request.map(Body::new);
    ServiceBuilder::new().layer(layer).map_request(whole).service(channel(address))
}

pub(crate) fn channel(address: SocketAddr) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy()
}

/// The layer of most tests. Every method is listed, unary or not.
pub(crate) fn layer() -> CacheLayer<Memory> {
    CacheLayer::private(Memory::default()).grpc(["/shop.Catalog/*"]).unwrap()
}

pub(crate) fn clock() -> ManualClock {
    ManualClock::new(Timestamp::from_millis(1_700_000_000_000))
}

/// What the cache did for a response.
pub(crate) fn status<T>(response: &Response<T>) -> &CacheStatus {
    response.extensions().get().expect("every response has a status")
}

pub(crate) fn outcome<T>(response: &Response<T>) -> Outcome {
    status(response).outcome()
}

pub(crate) fn name(name: &str) -> ItemName {
    ItemName { name: name.into() }
}

pub(crate) fn names(names: &[&str]) -> impl Stream<Item = ItemName> + Send + 'static {
    stream::iter(names.iter().map(|it| name(it)).collect::<Vec<_>>())
}

/// Returns the result of `future`. Fails the test if this takes too long.
pub(crate) async fn soon<F: Future>(future: F) -> F::Output {
    let limit = Duration::from_secs(60);
    tokio::time::timeout(limit, future).await.expect("the call must not wait")
}

/// A task that ends with the test.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn port() -> (SocketAddr, TcpIncoming) {
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    (incoming.local_addr().unwrap(), incoming)
}

// ===== The shop =====

/// The shop's server, and what it has seen.
#[derive(Clone)]
pub(crate) struct Shop(Arc<State>);

struct State {
    calls: AtomicU64,
    /// The code with which `get_item` fails, if it is not zero.
    failure: AtomicI32,
    /// `get_item` waits for it if the name begins with "slow". `watch_item` waits for it before
    /// each item except the first.
    held: Semaphore,
    /// The metadata of the calls.
    seen: Mutex<Vec<HeaderMap>>,
    /// The metadata of every answer of `get_item`.
    says: Mutex<Vec<(&'static str, &'static str)>>,
}

impl Shop {
    pub(crate) fn new() -> Self {
        Self(Arc::new(State {
            calls: AtomicU64::new(0),
            failure: AtomicI32::new(0),
            held: Semaphore::new(0),
            seen: Mutex::default(),
            says: Mutex::default(),
        }))
    }

    /// Listens on a port of its own.
    pub(crate) async fn open(&self) -> Running {
        let router = Server::builder().add_service(self.service());
        let (address, incoming) = port();
        let task = tokio::spawn(async { router.serve_with_incoming(incoming).await.unwrap() });
        Running { address, task }
    }

    /// Listens on a port of its own, behind a cache.
    pub(crate) async fn open_behind(&self, layer: CacheLayer<Memory>) -> Running {
        let router = Server::builder().layer(layer).add_service(self.service());
        let (address, incoming) = port();
        let task = tokio::spawn(async { router.serve_with_incoming(incoming).await.unwrap() });
        Running { address, task }
    }

    fn service(&self) -> CatalogServer<Self> {
        CatalogServer::new(self.clone())
            .send_compressed(CompressionEncoding::Gzip)
            .accept_compressed(CompressionEncoding::Gzip)
    }

    pub(crate) fn calls(&self) -> u64 {
        self.0.calls.load(Ordering::SeqCst)
    }

    /// Waits until the server has been called `calls` times.
    pub(crate) async fn called(&self, calls: u64) {
        while self.calls() < calls {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub(crate) fn fail_with(&self, code: Code) {
        self.0.failure.store(code as i32, Ordering::SeqCst);
    }

    /// Lets `count` calls go on that wait now or later.
    pub(crate) fn release(&self, count: usize) {
        self.0.held.add_permits(count);
    }

    pub(crate) fn say(&self, metadata: &[(&'static str, &'static str)]) {
        *self.0.says.lock().unwrap() = metadata.to_vec();
    }

    /// The metadata of the last call.
    pub(crate) fn last_seen(&self) -> HeaderMap {
        self.0.seen.lock().unwrap().last().cloned().expect("there was a call")
    }

    fn count<T>(&self, request: &Request<T>) -> u64 {
        self.0.seen.lock().unwrap().push(request.metadata().clone().into_headers());
        self.0.calls.fetch_add(1, Ordering::SeqCst) + 1
    }

    async fn wait(&self) {
        self.0.held.acquire().await.unwrap().forget();
    }
}

#[tonic::async_trait]
impl catalog_server::Catalog for Shop {
    async fn get_item(&self, request: Request<ItemName>) -> Result<Response<Item>, Status> {
        let calls = self.count(&request);
        let name = request.into_inner().name;
        if name.starts_with("slow") {
            self.wait().await;
        }
        let failure = Code::from(self.0.failure.load(Ordering::SeqCst));
        if failure != Code::Ok {
            return Err(Status::new(failure, "as it was told to"));
        }
        if name == "missing" {
            return Err(Status::not_found("no such item"));
        }
        let mut response = Response::new(Item { name, calls });
        for (name, value) in &*self.0.says.lock().unwrap() {
            response.metadata_mut().append(*name, value.parse().unwrap());
        }
        Ok(response)
    }

    /// Three items, the first of which comes at once. A single item if the name is "once".
    async fn watch_item(
        &self,
        request: Request<ItemName>,
    ) -> Result<Response<BoxStream<Item>>, Status> {
        let calls = self.count(&request);
        let (shop, name) = (self.clone(), request.into_inner().name);
        let count = if name == "once" { 1 } else { 3 };
        let items = stream::iter(0..count).then(move |number| {
            let (shop, name) = (shop.clone(), name.clone());
            async move {
                if number > 0 {
                    shop.wait().await;
                }
                Ok(Item { name, calls })
            }
        });
        Ok(Response::new(items.boxed()))
    }

    async fn add_items(
        &self,
        request: Request<Streaming<ItemName>>,
    ) -> Result<Response<Added>, Status> {
        self.count(&request);
        let mut names = request.into_inner();
        let mut items = 0;
        while names.message().await?.is_some() {
            items += 1;
        }
        Ok(Response::new(Added { items }))
    }

    async fn find_items(
        &self,
        request: Request<Streaming<ItemName>>,
    ) -> Result<Response<BoxStream<Item>>, Status> {
        let calls = self.count(&request);
        let items = request.into_inner().map(move |name| Ok(Item { name: name?.name, calls }));
        Ok(Response::new(items.boxed()))
    }
}

// ===== A server that plays a script =====

/// A response in its form on the wire.
#[derive(Clone, Default)]
pub(crate) struct Script {
    pub(crate) head: Vec<(&'static str, &'static str)>,
    pub(crate) chunks: Vec<&'static [u8]>,
    pub(crate) trailers: Option<Vec<(&'static str, &'static str)>>,
}

/// One item with an empty name, framed.
pub(crate) const ITEM: &[u8] = b"\0\0\0\0\x02\x10\x07";

/// Answers every request with the script, and counts the requests.
#[derive(Clone, Default)]
pub(crate) struct Player {
    pub(crate) script: Arc<Mutex<Script>>,
    pub(crate) calls: Arc<AtomicU64>,
}

impl Player {
    pub(crate) async fn open(script: Script) -> (Self, Running) {
        let player = Self { script: Arc::new(Mutex::new(script)), calls: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let own = player.clone();
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let player = own.clone();
                let answer = hyper::service::service_fn(move |_request| {
                    let player = player.clone();
                    async move { Ok::<_, std::convert::Infallible>(player.answer()) }
                });
                tokio::spawn(async move {
                    // A client may go away at any time.
                    auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(socket), answer)
                        .await
                        .ok();
                });
            }
        });
        (player, Running { address, task })
    }

    fn answer(
        &self,
    ) -> http::Response<StreamBody<impl Stream<Item = Result<Frame<Bytes>, Status>> + use<>>> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let script = self.script.lock().unwrap().clone();
        let fields = |lines: Vec<(&'static str, &'static str)>| {
            let mut fields = HeaderMap::new();
            for (name, value) in lines {
                fields.append(name, value.parse().unwrap());
            }
            fields
        };
        let data = script.chunks.into_iter().map(|it| Frame::data(Bytes::from_static(it)));
        let trailers = script.trailers.map(|lines| Frame::trailers(fields(lines)));
        let frames: Vec<_> = data.chain(trailers).map(Ok).collect();
        let mut response = http::Response::new(StreamBody::new(stream::iter(frames)));
        *response.headers_mut() = fields(script.head);
        response.headers_mut().append("content-type", "application/grpc".parse().unwrap());
        response
    }

    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}
