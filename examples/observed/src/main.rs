//! The spans of a cache, printed by [tracing-subscriber](https://docs.rs/tracing-subscriber), and
//! its metrics, in the format of Prometheus.
//!
//! ```sh
//! cargo run -p observed
//! ```

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use larder::{BoxError, CacheLayer, store::Memory};
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::{Layer, service_fn};
use tracing_subscriber::fmt::format::FmtSpan;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_span_events(FmtSpan::CLOSE)
        .init();
    // This comes before the layer is applied, which describes its metrics.
    let metrics = PrometheusBuilder::new().install_recorder()?;

    let layer = CacheLayer::private(Memory::default()).named("shop")?;
    let client = layer.layer(service_fn(|_: Request<_>| async {
        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("news"))))
    }));
    for _ in 0..2 {
        let request = Request::get("http://example.com/news").body(Empty::<Bytes>::new())?;
        client.request(request).await?.into_body().collect().await?;
    }
    println!("{}", metrics.render());
    Ok(())
}
