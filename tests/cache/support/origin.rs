//! Origins on a socket, a client to ask them, and a server to put in front of a cached service.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{Request, Response, Version};
use http_body::Body;
use hyper::{body::Incoming, server::conn, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use larder::BoxError;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tower::{Service, ServiceExt};

use super::TestBody;

/// A client that speaks HTTP/1.1 over a socket.
pub(crate) fn client<B>() -> Client<HttpConnector, B>
where
    B: Body + Send,
    B::Data: Send,
{
    Client::builder(TokioExecutor::new()).build_http()
}

/// A client that speaks HTTP/2 from the first byte.
pub(crate) fn h2_client<B>() -> Client<HttpConnector, B>
where
    B: Body + Send,
    B::Data: Send,
{
    Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

/// Serves by a closure of the request and its number, from 1, and counts requests. Gone when
/// dropped.
pub(crate) struct Origin {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
    accepting: JoinHandle<()>,
}

impl Origin {
    pub(crate) async fn new<F>(
        handler: impl Fn(Request<Incoming>, usize) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<TestBody>> + Send + 'static,
    {
        Self::listen(Version::HTTP_11, handler).await
    }

    pub(crate) async fn h2<F>(
        handler: impl Fn(Request<Incoming>, usize) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<TestBody>> + Send + 'static,
    {
        Self::listen(Version::HTTP_2, handler).await
    }

    async fn listen<F>(
        version: Version,
        handler: impl Fn(Request<Incoming>, usize) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Response<TestBody>> + Send + 'static,
    {
        let requests = Arc::<AtomicUsize>::default();
        let (count, handler) = (requests.clone(), Arc::new(handler));
        let service = tower::service_fn(move |request| {
            let answer = handler(request, count.fetch_add(1, Ordering::SeqCst) + 1);
            async move { Ok::<_, Infallible>(answer.await) }
        });
        let (address, accepting) = listen(version, Arc::new(Mutex::new(service))).await;
        Self { address, requests, accepting }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Serves `service` over HTTP/1.1.
pub(crate) async fn serve<S, B>(service: S) -> SocketAddr
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    listen(Version::HTTP_11, Arc::new(Mutex::new(service))).await.0
}

async fn listen<S, B>(version: Version, service: Arc<Mutex<S>>) -> (SocketAddr, JoinHandle<()>)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = tokio::spawn(async move {
        loop {
            let stream = TokioIo::new(listener.accept().await.unwrap().0);
            let service = service.lock().unwrap().clone();
            let service = service_fn(move |request| service.clone().oneshot(request));
            tokio::spawn(async move {
                // How a connection ends is for the client to see.
                if version == Version::HTTP_2 {
                    let server = conn::http2::Builder::new(TokioExecutor::new());
                    let _ended = server.serve_connection(stream, service).await;
                } else {
                    let mut server = conn::http1::Builder::new();
                    let server = server.timer(TokioTimer::new());
                    let _ended = server.serve_connection(stream, service).with_upgrades().await;
                }
            });
        }
    });
    (address, accepting)
}

/// Answers every request with the same bytes, whatever they are, and closes the connection. Keeps
/// what it received.
pub(crate) struct RawOrigin {
    address: SocketAddr,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    accepting: JoinHandle<()>,
}

impl RawOrigin {
    pub(crate) async fn new(answer: impl Into<Vec<u8>>) -> Self {
        let answer = answer.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let log = received.clone();
        let accepting = tokio::spawn(async move {
            loop {
                let mut stream = listener.accept().await.unwrap().0;
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => request.push(byte),
                        Err(_) => break,
                    }
                }
                log.lock().unwrap().push(request);
                let _gone = stream.write_all(&answer).await;
                let _gone = stream.shutdown().await;
            }
        });
        Self { address, received, accepting }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The heads of the requests so far, byte by byte.
    pub(crate) fn received(&self) -> Vec<Vec<u8>> {
        self.received.lock().unwrap().clone()
    }
}

impl Drop for RawOrigin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Sends `request` as it is and returns all that comes back until the server closes the connection.
pub(crate) async fn raw_exchange(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}
