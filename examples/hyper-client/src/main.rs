//! A cached [hyper](https://docs.rs/hyper-util) client, over HTTPS.
//!
//! ```sh
//! cargo run -p hyper-client
//! ```

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use hyper::service::service_fn;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use larder::{BoxError, CacheLayer, CacheStatus, store::Memory};
use rustls::{ClientConfig, RootCertStore, ServerConfig, pki_types::CertificateDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tower::{ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let (url, certificate) = start_server().await?;
    let tls = trusting_only(certificate)?;

    let https = HttpsConnectorBuilder::new()
        // Or `.with_webpki_roots()`, with the feature `webpki-tokio`.
        .with_tls_config(tls)
        .https_or_http()
        .enable_all_versions()
        .build();
    let client = ServiceBuilder::new()
        .layer(CacheLayer::private(Memory::default()))
        .service(Client::builder(TokioExecutor::new()).build(https));

    for _ in 0..2 {
        let request = Request::get(&url).body(Empty::<Bytes>::new())?;
        let response = client.clone().oneshot(request).await?;
        let (status, version) = (response.status(), response.version());
        let cache = response.extensions().get::<CacheStatus>().map(CacheStatus::outcome);
        let outcome = cache.ok_or("no cache")?.to_string();
        let body = response.into_body().collect().await?.to_bytes();
        println!("{version:?} {status}, {} bytes  {outcome}", body.len());
    }
    Ok(())
}

fn trusting_only(certificate: CertificateDer<'static>) -> Result<ClientConfig, BoxError> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate)?;
    Ok(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth())
}

/// A server on this machine, and the certificate that it made for itself.
async fn start_server() -> Result<(String, CertificateDer<'static>), BoxError> {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let certificate = own.cert.der().clone();
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], own.signing_key.into())?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let tls = TlsAcceptor::from(Arc::new(config));

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("https://{}/", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let answer = service_fn(async |_| {
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("worth keeping"))))
                });
                let stream = TokioIo::new(tls.accept(stream).await?);
                auto::Builder::new(TokioExecutor::new()).serve_connection(stream, answer).await
            });
        }
    });
    Ok((origin, certificate))
}
