//! What the admin address answers: purges and figures.

use axum::{Router, extract::Query, routing};
use http::StatusCode;
use larder::{
    CacheLayer,
    store::{AnyStore, ErrorKind},
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Purge {
    /// As clients write it, with the host that they name; everything that is stored for it.
    url: Option<String>,
    tag: Option<String>,
}

/// `POST /purge?url=URL`, `POST /purge?tag=TAG`, `GET /stats`.
pub(crate) fn routes(layer: CacheLayer<AnyStore>) -> Router {
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
            Err(error) => Err((StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n"))),
        }
    };
    let stats = async move || format!("{:#?}\n", layer.stats());
    Router::new().route("/purge", routing::post(purge)).route("/stats", routing::get(stats))
}
