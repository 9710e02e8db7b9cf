//! A [hyper](https://docs.rs/hyper-util) client with a cache, over HTTPS, in a struct.
//!
//! ```sh
//! cargo run -p hyper-client
//! ```

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::service::service_fn;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use larder::{BoxError, Cache, CacheLayer, CacheStatus, RequestBody, store::Memory};
use rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types::CertificateDer};
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::Layer;

/// A hyper client behind a cache. `Full<Bytes>` is the body of the requests.
type CachedClient = Cache<HyperClient<RequestBody<Full<Bytes>>>, Memory>;
type HyperClient<B> = Client<HttpsConnector<HttpConnector>, B>;

struct Api {
    http: CachedClient,
}

#[derive(Debug, Deserialize)]
struct Item {
    name: String,
    price: u32,
}

impl Api {
    fn new(roots: RootCertStore) -> Self {
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let https = HttpsConnectorBuilder::new()
            // Or `.with_webpki_roots()`, with the feature `webpki-tokio`.
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(https);
        let cache = CacheLayer::private(Memory::default());
        Self { http: cache.expire_after(Duration::from_secs(60)).layer(client) }
    }

    async fn item(&self, url: &str) -> Result<Item, BoxError> {
        let request = Request::get(url).body(Full::default())?;
        let response = self.http.request(request).await?;
        let cache = response.extensions().get::<CacheStatus>().ok_or("no cache")?;
        println!("{:?} {}  {}", response.version(), response.status(), cache.outcome());
        let body = response.into_body().collect().await?.to_bytes();
        Ok(serde_json::from_slice(&body)?)
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let (url, certificate) = start_server().await?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    let api = Api::new(roots);
    for _ in 0..2 {
        let Item { name, price } = api.item(&url).await?;
        println!("{name}: {price}");
    }
    Ok(())
}

/// Starts the server that this example calls, with a certificate of its own making.
async fn start_server() -> Result<(String, CertificateDer<'static>), BoxError> {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let certificate = own.cert.der().clone();
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], own.signing_key.into())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tls = TlsAcceptor::from(Arc::new(config));

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("https://{}/items/tea", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let answer = service_fn(async |_| {
                    let item = Bytes::from(r#"{"name": "tea", "price": 3}"#);
                    Ok::<_, Infallible>(Response::new(Full::new(item)))
                });
                let stream = TokioIo::new(tls.accept(stream).await?);
                auto::Builder::new(TokioExecutor::new()).serve_connection(stream, answer).await
            });
        }
    });
    Ok((url, certificate))
}
