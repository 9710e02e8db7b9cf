//! The first program of the README: a slow service behind a cache on disk.
//!
//! ```sh
//! cargo run -p hello      # twice
//! ```

use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use larder::{BoxError, CacheLayer, CacheStatus, store::Redb};
use tower::{ServiceBuilder, service_fn};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let store = Redb::open("http-cache.redb")?;
    let client = ServiceBuilder::new()
        .layer(CacheLayer::private(store).expire_after(Duration::from_secs(60)))
        .service(service_fn(slow));

    for _ in 0..3 {
        let start = Instant::now();
        let request = Request::get("http://example.com/news").body(Full::<Bytes>::default())?;
        let response = client.request(request).await?;
        let cache = response.extensions().get::<CacheStatus>().map(CacheStatus::outcome);
        let body = response.into_body().collect().await?.to_bytes();
        println!("{body:?} after {:.0?}: {}", start.elapsed(), cache.unwrap());
    }
    Ok(())
}

/// Stands in for your client, server or proxy: any tower service of HTTP requests.
async fn slow<B>(_: Request<B>) -> Result<Response<Full<Bytes>>, Infallible> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(Response::new(Full::from("slow to make")))
}
