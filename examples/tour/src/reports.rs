//! What a cache tells of its work.

use http::Request;
use larder::BoxError;
use tower::Layer;

use crate::{ask, origin};

pub(crate) async fn events() -> Result<(), BoxError> {
    use larder::{CacheLayer, Event, store::Memory};

    let layer =
        CacheLayer::private(Memory::default()).named("shop")?.add_event_hook(|event| match event {
            // Such as `GET http://example.com/ -> 200 miss (absent)`.
            Event::Answered { request, code, status, .. } => {
                println!("  {request} -> {} {}", code.as_u16(), status.outcome());
            }
            Event::NotStored { refusal, .. } => println!("  not stored: {refusal}"),
            // No response reports these two.
            Event::RefreshFailed { failure, .. } => eprintln!("{failure}"),
            Event::StoreFailed { operation, error, .. } => eprintln!("{operation}: {error}"),
            _ => {}
        });

    let client = layer.clone().layer(origin());
    for _ in 0..2 {
        ask(&client, Request::get("http://example.com/")).await?;
    }
    println!("  {} of {} requests were hits", layer.stats().hits, layer.stats().requests());
    Ok(())
}
