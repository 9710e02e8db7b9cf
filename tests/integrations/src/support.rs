//! Servers that record their requests, clients, and replies that were read to the end.

use std::{
    convert::Infallible,
    fmt::Debug,
    sync::{Arc, Mutex},
};

use axum::{Router, body::Body as AxumBody};
use bytes::Bytes;
use http::{Extensions, HeaderMap, Request, Response, StatusCode, Version, request};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, service::service_fn};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use larder::{BoxError, CacheLayer, CacheStatus, store::Memory};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::{net::TcpListener, sync::Semaphore, task::JoinHandle};
use tokio_rustls::TlsAcceptor;
use tower::{Service, ServiceExt};

/// Long enough to be compressed.
pub(crate) const TEXT: &str = "the quick brown fox jumps over the lazy dog, the quick brown fox \
    jumps over the lazy dog, the quick brown fox jumps over the lazy dog";

pub(crate) type HyperClient<B> = Client<HttpConnector, B>;

/// A client without a cache.
pub(crate) fn client<B>() -> HyperClient<B>
where
    B: Body + Send,
    B::Data: Send,
{
    Client::builder(TokioExecutor::new()).build_http()
}

/// A client over HTTPS with HTTP/2 or HTTP/1.1.
pub(crate) fn https<B>(roots: RootCertStore, h2: bool) -> Client<HttpsConnector<HttpConnector>, B>
where
    B: Body + Send,
    B::Data: Send,
{
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let connector = HttpsConnectorBuilder::new().with_tls_config(config).https_only();
    let connector =
        if h2 { connector.enable_http2().build() } else { connector.enable_http1().build() };
    Client::builder(TokioExecutor::new()).build(connector)
}

/// A private cache.
pub(crate) fn private() -> CacheLayer<Memory> {
    CacheLayer::private(Memory::default())
}

/// A shared cache that reports its status to clients over a socket.
pub(crate) fn shared() -> CacheLayer<Memory> {
    CacheLayer::shared(Memory::default())
        .expire_after(larder::Expiration::Never)
        .cache_status_header("larder")
        .unwrap()
}

pub(crate) async fn len(layer: &CacheLayer<Memory>) -> u64 {
    layer.entries().len().await.unwrap()
}

// ===== Servers =====

/// A server without TLS (HTTP/1.1 or HTTP/2, by the client's choice) or over TLS. It ends when it
/// is dropped.
pub(crate) struct Origin {
    base: String,
    log: Arc<Mutex<Vec<String>>>,
    came: Arc<Semaphore>,
    accepting: JoinHandle<()>,
}

impl Origin {
    /// A server without TLS. `service` is a router, or layers around one.
    pub(crate) async fn new<S, B>(service: S) -> Self
    where
        S: Service<Request<AxumBody>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        Self::listen(base, listener, None, service)
    }

    /// A server over TLS with a certificate of its own, which the roots trust. Clients connect to
    /// its address, because the name of this machine may resolve to another address first, or to
    /// none.
    pub(crate) async fn tls(routes: Router) -> (Self, RootCertStore) {
        let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(own.cert.der().clone()).unwrap();
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![own.cert.der().clone()], own.signing_key.into())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("https://{}", listener.local_addr().unwrap());
        (Self::listen(base, listener, Some(TlsAcceptor::from(Arc::new(config))), routes), roots)
    }

    fn listen<S, B>(
        base: String,
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        service: S,
    ) -> Self
    where
        S: Service<Request<AxumBody>, Response = Response<B>, Error = Infallible>,
        S: Clone + Send + Sync + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (log, came) = (Arc::<Mutex<Vec<_>>>::default(), Arc::new(Semaphore::new(0)));
        let (written, counted) = (log.clone(), came.clone());
        let accepting = tokio::spawn(async move {
            loop {
                let stream = listener.accept().await.unwrap().0;
                let (tls, service) = (tls.clone(), service.clone());
                let (log, came) = (written.clone(), counted.clone());
                let answer = service_fn(move |request: Request<Incoming>| {
                    let line = format!("{} {}", request.method(), request.uri().path());
                    log.lock().unwrap().push(line);
                    came.add_permits(1);
                    service.clone().oneshot(request.map(AxumBody::new))
                });
                tokio::spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    // The client sees how a connection ends.
                    match tls {
                        None => {
                            let io = TokioIo::new(stream);
                            let _ended = server.serve_connection(io, answer).await;
                        }
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else { return };
                            let io = TokioIo::new(stream);
                            let _ended = server.serve_connection(io, answer).await;
                        }
                    }
                });
            }
        });
        Self { base, log, came, accepting }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// The requests so far, as method and path.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// Waits for one more request.
    pub(crate) async fn is_asked(&self) {
        self.came.acquire().await.unwrap().forget();
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

// ===== Clients =====

/// A response that was read to the end.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) extensions: Extensions,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Reply {
    pub(crate) async fn read<B>(response: Response<B>) -> Self
    where
        B: Body<Data = Bytes>,
        B::Error: Debug,
    {
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap();
        let trailers = body.trailers().cloned();
        let (status, version, headers) = (parts.status, parts.version, parts.headers);
        let (extensions, body) = (parts.extensions, body.to_bytes());
        Self { status, version, headers, extensions, body, trailers }
    }

    #[track_caller]
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// What the cache did. For a cache in the client, this is from its `CacheStatus`. For a cache
    /// on the server, it is from `Cache-Status`, without the details.
    #[track_caller]
    pub(crate) fn cache(&self) -> String {
        if let Some(status) = self.extensions.get::<CacheStatus>() {
            return status.outcome().to_string();
        }
        let Some(line) = self.header("cache-status") else { return "none".to_owned() };
        line.split("; ").nth(1).unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn is_hit(&self) -> bool {
        self.cache() == "hit"
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Sends `request` with an empty body and reads the answer.
pub(crate) async fn send<S, A, B>(service: &S, request: request::Builder) -> Reply
where
    S: Service<Request<A>, Response = Response<B>> + Clone,
    S::Error: Debug,
    A: Default,
    B: Body<Data = Bytes>,
    B::Error: Debug,
{
    let request = request.body(A::default()).unwrap();
    Reply::read(service.clone().oneshot(request).await.unwrap()).await
}

pub(crate) async fn get<S, A, B>(service: &S, url: String) -> Reply
where
    S: Service<Request<A>, Response = Response<B>> + Clone,
    S::Error: Debug,
    A: Default,
    B: Body<Data = Bytes>,
    B::Error: Debug,
{
    send(service, Request::get(url)).await
}

/// The reply of a server to a client without a cache.
pub(crate) async fn fetch(request: request::Builder) -> Reply {
    send(&client::<Full<Bytes>>(), request).await
}
