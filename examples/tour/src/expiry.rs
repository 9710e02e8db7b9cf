//! How long a response is kept.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use larder::BoxError;
use tower::{Layer, service_fn};

use crate::{ask, origin};

pub(crate) async fn by_time() -> Result<(), BoxError> {
    use std::time::Duration;

    use http::Request;
    use larder::{CacheLayer, CacheOptions, Expiration, store::Memory};

    let layer = CacheLayer::private(Memory::default())
        // 2. By request and response.
        .expire_with(|_request, response| {
            response.headers.contains_key("x-volatile").then_some(Duration::from_secs(5))
        })
        // 3. By URL: globs on host and path. The first match counts.
        .add_expire_url("*.example.com/api/**", Duration::from_secs(60))?
        .add_expire_url("/static/**", Expiration::Never)?
        .add_expire_url("/login", Expiration::DoNotStore)?
        // 4. By status. A status that is named here is stored, as 200 is.
        .expire_statuses([(404, Duration::from_secs(10))])?
        // 5. For all other responses.
        .expire_after(Duration::from_secs(3600));

    // 1. By the request itself.
    let request = Request::get("http://example.com/")
        .extension(CacheOptions::new().expire_after(Duration::from_secs(5)));

    let client = layer.layer(origin());
    ask(&client, request).await?;
    let urls =
        ["/", "/page", "/static/logo.png", "/login"].map(|it| format!("http://example.com{it}"));
    for url in urls.into_iter().chain(["http://www.example.com/api/users".to_owned()]) {
        ask(&client, Request::get(&url)).await?;
        let status = ask(&client, Request::get(&url)).await?;
        let lifetime = match (status.is_from_store(), status.stored_at().zip(status.expires_at())) {
            (false, _) => "is not stored".to_owned(),
            (true, None) => "never expires".to_owned(),
            (true, Some((stored, expires))) => {
                format!("expires after {} s", expires.duration_since(stored)?.as_secs())
            }
        };
        println!("  {url:34} {lifetime}");
    }
    Ok(())
}

pub(crate) async fn by_headers() -> Result<(), BoxError> {
    use std::time::Duration;

    use larder::{CacheLayer, store::Memory};

    let browser = CacheLayer::private(Memory::default()).http_rules();
    let gateway = CacheLayer::shared(Memory::default())
        .http_rules()
        .stale_if_error(Duration::from_secs(3600));
    // The headers first. An hour for responses whose headers name no lifetime.
    let both =
        CacheLayer::private(Memory::default()).http_rules().expire_after(Duration::from_secs(3600));

    let origin = service_fn(async |request: Request<_>| {
        let mut response = Response::new(Full::new(Bytes::from("slow to make")));
        if request.uri().path() == "/private" {
            let value = http::HeaderValue::from_static("private, max-age=60");
            response.headers_mut().insert("cache-control", value);
        }
        Ok::<_, Infallible>(response)
    });
    for (name, layer) in [("browser", browser), ("gateway", gateway), ("both", both)] {
        let client = layer.layer(origin);
        for path in ["/private", "/unsaid"] {
            let url = format!("http://example.com{path}");
            ask(&client, Request::get(&url)).await?;
            let status = ask(&client, Request::get(&url)).await?;
            println!("  {name:7} {path:8} {}", status.outcome());
        }
    }
    Ok(())
}
