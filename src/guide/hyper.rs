//! hyper: a client over HTTPS with a cache, in the field of a struct.
//!
//! # What to add
//!
//! ```sh
//! cargo add larder --path ../larder    # a clone of the repository, until it is published
//! cargo add bytes http http-body-util hyper serde_json tower
//! cargo add hyper-rustls --no-default-features --features http1,http2,ring,tls12
//! cargo add hyper-util --features client-legacy,http1,http2,server-auto,tokio
//! cargo add rustls --no-default-features --features ring,std
//! cargo add serde --features derive
//! cargo add tokio --features macros,net,rt-multi-thread
//! # For the server that the program below calls:
//! cargo add rcgen --no-default-features --features crypto,ring
//! cargo add tokio-rustls --no-default-features --features ring
//! ```
//!
//! # A program to copy
//!
//! It calls its own server twice. It prints `HTTP/2.0 200 OK  miss (absent)` for the first call,
//! and `HTTP/2.0 200 OK  hit` for the second.
//!
//! ```rust,ignore
//! use std::{convert::Infallible, sync::Arc, time::Duration};
//!
//! use bytes::Bytes;
//! use http::{Request, Response};
//! use http_body_util::{BodyExt, Full};
//! use hyper::service::service_fn;
//! use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
//! use hyper_util::{
//!     client::legacy::{Client, connect::HttpConnector},
//!     rt::{TokioExecutor, TokioIo},
//!     server::conn::auto,
//! };
//! use larder::{BoxError, Cache, CacheLayer, CacheStatus, RequestBody, store::Memory};
//! use rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types::CertificateDer};
//! use serde::Deserialize;
//! use tokio::net::TcpListener;
//! use tokio_rustls::TlsAcceptor;
//! use tower::Layer;
//!
//! /// A hyper client behind a cache. `Full<Bytes>` is the body of the requests.
//! type CachedClient = Cache<HyperClient<RequestBody<Full<Bytes>>>, Memory>;
//! type HyperClient<B> = Client<HttpsConnector<HttpConnector>, B>;
//!
//! struct Api {
//!     http: CachedClient,
//! }
//!
//! #[derive(Debug, Deserialize)]
//! struct Item {
//!     name: String,
//!     price: u32,
//! }
//!
//! impl Api {
//!     fn new(roots: RootCertStore) -> Self {
//!         let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
//!         let https = HttpsConnectorBuilder::new()
//!             // Or `.with_webpki_roots()`, with the feature `webpki-tokio`.
//!             .with_tls_config(tls)
//!             .https_or_http()
//!             .enable_all_versions()
//!             .build();
//!         let client = Client::builder(TokioExecutor::new()).build(https);
//!         let cache = CacheLayer::private(Memory::default());
//!         Self { http: cache.expire_after(Duration::from_secs(60)).layer(client) }
//!     }
//!
//!     async fn item(&self, url: &str) -> Result<Item, BoxError> {
//!         let request = Request::get(url).body(Full::default())?;
//!         let response = self.http.request(request).await?;
//!         let cache = response.extensions().get::<CacheStatus>().ok_or("no cache")?;
//!         println!("{:?} {}  {}", response.version(), response.status(), cache.outcome());
//!         let body = response.into_body().collect().await?.to_bytes();
//!         Ok(serde_json::from_slice(&body)?)
//!     }
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), BoxError> {
//!     let (url, certificate) = start_server().await?;
//!     let mut roots = RootCertStore::empty();
//!     roots.add(certificate)?;
//!     let api = Api::new(roots);
//!     for _ in 0..2 {
//!         let Item { name, price } = api.item(&url).await?;
//!         println!("{name}: {price}");
//!     }
//!     Ok(())
//! }
//!
//! /// Starts the server that this example calls, with a certificate of its own making.
//! async fn start_server() -> Result<(String, CertificateDer<'static>), BoxError> {
//!     let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
//!     let certificate = own.cert.der().clone();
//!     let mut config = ServerConfig::builder()
//!         .with_no_client_auth()
//!         .with_single_cert(vec![certificate.clone()], own.signing_key.into())?;
//!     config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
//!     let tls = TlsAcceptor::from(Arc::new(config));
//!
//!     let listener = TcpListener::bind("127.0.0.1:0").await?;
//!     let url = format!("https://{}/items/tea", listener.local_addr()?);
//!     tokio::spawn(async move {
//!         while let Ok((stream, _)) = listener.accept().await {
//!             let tls = tls.clone();
//!             tokio::spawn(async move {
//!                 let answer = service_fn(async |_| {
//!                     let item = Bytes::from(r#"{"name": "tea", "price": 3}"#);
//!                     Ok::<_, Infallible>(Response::new(Full::new(item)))
//!                 });
//!                 let stream = TokioIo::new(tls.accept(stream).await?);
//!                 auto::Builder::new(TokioExecutor::new()).serve_connection(stream, answer).await
//!             });
//!         }
//!     });
//!     Ok((url, certificate))
//! }
//! ```
//!
//! # The type of the field
//!
//! - The `B` of hyper's `Client<C, B>` is the body that hyper receives:
//!   [`RequestBody`](crate::RequestBody) around the body that your program sends. To send another
//!   body than `Full<Bytes>`, change it in the alias.
//! - The `C` is the connector: `HttpConnector` without TLS (`build_http()`).
//! - For another store, write its type in place of `Memory`, or
//!   [`AnyStore`](crate::store::AnyStore) to choose one at run time.
//! - With layers around the cache, the type grows. `tower::util::BoxCloneSyncService` hides it:
//!   `BoxCloneSyncService<Request<Full<Bytes>>, Response<ResponseBody<Incoming>>, Error>`, where
//!   `Error` is `hyper_util::client::legacy::Error`. It has no `request` method: write
//!   `http.clone().oneshot(request)`.
//!
//! # HTTPS
//!
//! The program trusts one certificate, the one of its own server. For the internet, replace
//! `with_tls_config` by `with_webpki_roots()` (feature `webpki-tokio` of hyper-rustls) or by
//! `with_native_roots()?` (feature `native-tokio`).
//!
//! # Bodies
//!
//! - A response is stored when its body has been read to the end, as `collect` does. A body that is
//!   dropped before is not stored.
//! - The body's error is [`BodyError`](crate::BodyError): of the connection, or of the store if a
//!   stored body cannot be read. It converts to `Box<dyn Error + Send + Sync>` with `?`.
//! - Bodies stream in both directions. `frame` reads one frame after the other, and trailers come
//!   last.
//!
//! # What is keyed and stored
//!
//! - The HTTP version is not part of the key: a response that came over HTTP/2 answers a request
//!   over HTTP/1.1. A hit has the version that the response was stored with.
//! - A hit needs no connection. It is served while the server is down.
//! - Extensions that hyper adds to a response, such as the peer's address, are not stored.
//! - hyper has no timeout, no redirects and no decompression. tower and tower-http have layers for
//!   them: [where they go](super::tower_http). A timeout of the call does not limit the body:
//!   [bodies that stall](super::tower_http#bodies-that-stall).
