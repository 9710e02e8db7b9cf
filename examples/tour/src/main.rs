//! A tour of what a cache can be told and what it tells, with the code that the README shows.
//!
//! ```sh
//! cargo run -p tour
//! ```
//!
//! Each function imports what it uses, so the README can show it as it is.

mod entries;
mod expiry;
mod reports;
mod settings;
mod stale;
mod stores;

use std::{convert::Infallible, env};

use bytes::Bytes;
use http::{Request, Response, request};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full};
use larder::{BoxError, CacheStatus};
use tower::{Service, ServiceExt, service_fn};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // The files of this tour lie in a folder of its own and are removed with it.
    let folder = tempfile::tempdir()?;
    env::set_current_dir(&folder)?;

    println!("Expiry");
    expiry::by_time().await?;
    expiry::by_headers().await?;
    println!("Stores");
    stores::in_this_process_and_in_files().await?;
    stores::around_stores().await?;
    println!("Settings");
    settings::by_example().await?;
    println!("Stale responses");
    stale::served().await?;
    println!("What is stored");
    entries::managed().await?;
    println!("Events");
    reports::events().await
}

/// The server that most of the tour asks. It answers 200 to every request.
fn origin<B: Send + 'static>()
-> impl Service<Request<B>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send>
+ Clone
+ Send
+ 'static {
    service_fn(async |_| Ok(Response::new(Full::new(Bytes::from("slow to make")))))
}

/// Sends a request and reads the response to its end. Returns what the cache did.
async fn ask<S, B>(client: &S, request: request::Builder) -> Result<CacheStatus, BoxError>
where
    S: Service<Request<Empty<Bytes>>, Response = Response<B>> + Clone,
    S::Error: Into<BoxError>,
    B: Body,
    B::Error: Into<BoxError>,
{
    let request = request.body(Empty::new())?;
    let response = client.clone().oneshot(request).await.map_err(Into::into)?;
    let status = response.extensions().get::<CacheStatus>().cloned();
    response.into_body().collect().await.map_err(Into::into)?;
    Ok(status.ok_or("no cache")?)
}
