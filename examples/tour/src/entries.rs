//! What is stored, and how it is looked at, added, removed and copied.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Request, Response};
use http_body_util::Full;
use larder::{
    BoxError, CacheLayer, Entries, Filter,
    store::{Memory, Redb},
};
use tower::Layer;

use crate::{ask, origin};

pub(crate) async fn managed() -> Result<(), BoxError> {
    let layer = CacheLayer::private(Memory::default())
        .expire_after(Duration::from_secs(3600))
        .tag_with(|_request, _response| "tour");
    // The handle works after the layer has moved into a stack.
    let entries = layer.entries();
    let client = layer.layer(origin());
    for path in ["/", "/news/1", "/news/2"] {
        ask(&client, Request::get(format!("http://example.com{path}"))).await?;
    }
    manage(&entries).await?;
    println!("  entries left: {}", entries.len().await?);
    Ok(())
}

async fn manage(entries: &Entries<Memory>) -> Result<(), BoxError> {
    // Look.
    let mut stored = entries.stream();
    while let Some(entry) = stored.next().await.transpose()? {
        println!("  {} {} {} bytes", entry.method, entry.url, entry.body_len);
    }
    // Add.
    let response = Response::new(Full::new(Bytes::from("made by hand")));
    entries.insert("http://example.com/hello", response).await?;
    // Copy to another store.
    entries.copy_to(&Redb::open("copy.redb")?, |_copied| {}).await?;
    // Remove: by URL (every variant of it), by tag, by a filter, or all.
    entries.remove("http://example.com/hello").await?;
    entries.remove_where(&Filter::new().url("example.com/news/**")?, |_read| {}).await?;
    entries.remove_tag("tour").await?;
    // Each minute, in the background: remove what has expired and is of no more use.
    entries.sweep_every(Duration::from_secs(60))?;
    Ok(())
}
