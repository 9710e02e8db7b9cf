//! What is stored, under which key, and how a response says so.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use larder::BoxError;
use tower::{Layer, ServiceExt};

use crate::origin;

pub(crate) async fn by_example() -> Result<(), BoxError> {
    use http::Method;
    use larder::{CacheLayer, store::Memory};

    let layer = CacheLayer::private(Memory::default())
        // What is stored. The body of a POST is part of its key.
        .methods([Method::GET, Method::HEAD, Method::POST])?
        .statuses([200, 301])?
        .store_if(|_request, response| !response.headers.contains_key("x-private"))
        .max_body(16 * 1024 * 1024)
        // The key, beside method, URL, body, Authorization and Cookie.
        .add_key_headers(["accept-language"])?
        // These parameters are not stored either.
        .add_ignored_parameters(["utm_*", "token"])?
        .sort_query(true)
        // Tags: `layer.entries().remove_tag("section:news")` removes all responses with this tag.
        .tag_with(|request, _response| {
            format!("section:{}", request.uri.path().split('/').nth(1).unwrap_or_default())
        })
        // Response headers with further tags.
        .add_tag_headers(["surrogate-key", "cache-tag"])?
        // A response header that says what the cache did.
        .cache_status_header("larder")?;

    let client = layer.clone().layer(origin());
    for query in ["?a=1&b=2", "?b=2&a=1&utm_source=tour", "?a=3"] {
        let request = Request::get(format!("http://example.com/news/1{query}"));
        let response = client.clone().oneshot(request.body(Empty::<Bytes>::new())?).await?;
        print!("  /news/1{query:24} ");
        see(&response);
    }
    println!("  removed by tag: {}", layer.entries().remove_tag("section:news").await?);
    Ok(())
}

fn see<B>(response: &Response<B>) {
    use larder::{CacheStatus, Outcome};

    let status = response.extensions().get::<CacheStatus>().expect("every response has one");
    match status.outcome() {
        Outcome::Hit => println!("stored {:?} ago", status.age()),
        Outcome::Miss(why) => println!("fetched: {why}; stored: {:?}", status.stored()),
        Outcome::Bypass(why) => println!("went past the cache: {why}"),
        other => println!("{other}"),
    }
}
