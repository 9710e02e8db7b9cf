//! What the admin address answers: purges, figures, and metrics in the form of Prometheus.

use std::time::Duration;

use axum::{Router, extract::Query, routing};
use http::{StatusCode, header::CONTENT_TYPE};
use larder::{
    BoxError, CacheLayer,
    store::{AnyStore, ErrorKind},
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde::Deserialize;

/// What the times of the store are sorted into, in seconds.
const TIMES: [f64; 9] = [1e-6, 1e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 1e-1, 1.0];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Purge {
    /// As clients write it, with the host that they name; everything that is stored for it.
    url: Option<String>,
    tag: Option<String>,
}

/// Begins to record metrics. They are tidied up now and then, whether anybody asks for them or not.
pub(crate) fn record() -> Result<PrometheusHandle, BoxError> {
    let metrics = PrometheusBuilder::new().set_buckets(&TIMES)?.install_recorder()?;
    let tidied = metrics.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(5)).await;
            tidied.run_upkeep();
        }
    });
    Ok(metrics)
}

/// `POST /purge?url=URL`, `POST /purge?tag=TAG`, `GET /stats`, `GET /metrics`.
pub(crate) fn routes(layer: CacheLayer<AnyStore>, metrics: PrometheusHandle) -> Router {
    let entries = layer.entries();
    let purge = async move |Query(purge): Query<Purge>| {
        let removed = match (purge.url, purge.tag) {
            (Some(url), None) => entries.remove(&url.replacen("https://", "http://", 1)).await,
            (None, Some(tag)) => entries.remove_tag(&tag).await,
            _ => return Err((StatusCode::BAD_REQUEST, "write ?url=URL or ?tag=TAG\n".to_owned())),
        };
        match removed {
            Ok(removed) => Ok(format!("{removed} removed\n")),
            Err(error) if error.kind() == ErrorKind::Invalid => {
                Err((StatusCode::BAD_REQUEST, format!("{error}\n")))
            }
            Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, format!("{error:#}\n"))),
        }
    };
    let stats = async move || format!("{:#?}\n", layer.stats());
    let metrics = async move || ([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render());
    Router::new()
        .route("/purge", routing::post(purge))
        .route("/stats", routing::get(stats))
        .route("/metrics", routing::get(metrics))
}
