//! A caching reverse proxy made from a library, in one file, to show what it has to do. For a proxy
//! to run, see `examples/gateway`.
//!
//! ```sh
//! cargo run -p reverse-proxy                                          # asks itself
//! cargo run -p reverse-proxy -- 127.0.0.1:8080 127.0.0.1:8000         # serves
//! ```

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request},
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode, Uri,
    header::{CONNECTION, HOST},
    uri::{Authority, Scheme},
};
use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use larder::{BoxError, CacheLayer, Event, RequestBody, store::Memory};
use tokio::net::TcpListener;
use tower::{ServiceBuilder, timeout::TimeoutLayer};

fn proxy(upstream: Authority, layer: CacheLayer<Memory>) -> Router {
    let cache = ServiceBuilder::new()
        .layer(layer)
        // Inside of the cache: which server has the response is no part of its key.
        .map_request(move |request: http::Request<RequestBody<Body>>| to(&upstream, request))
        .layer(TimeoutLayer::new(Duration::from_secs(10)))
        .service(Client::builder(TokioExecutor::new()).build_http());
    // Outside of the cache: what makes requests for one response alike, and the 502. If the 502
    // were made inside, the cache would see a response, and not a failure.
    Router::new().fallback(async move |ConnectInfo(client), mut request: Request| {
        if one_host(&mut request).is_none() {
            return StatusCode::BAD_REQUEST.into_response();
        }
        remove_fields_of_the_hop(request.headers_mut());
        name_the_client(request.headers_mut(), client);
        match cache.request(request).await {
            Ok(mut response) => {
                remove_fields_of_the_hop(response.headers_mut());
                response.map(Body::new)
            }
            Err(error) => {
                eprintln!("no response: {error}");
                StatusCode::BAD_GATEWAY.into_response()
            }
        }
    })
}

fn cache() -> Result<CacheLayer<Memory>, BoxError> {
    let layer = CacheLayer::shared(Memory::default())
        .http_rules()
        .expire_after(Duration::from_secs(60))
        .stale_while_revalidate(Duration::from_secs(60))
        .stale_if_error(Duration::from_secs(3600))
        .error_statuses([502, 503, 504])?
        .cache_status_header("proxy")?
        // Only `Cache-Status` tells clients of an upstream that fails.
        .add_event_hook(|event| {
            if let Event::RefreshFailed { failure, .. } = event {
                eprintln!("a refresh failed: {failure}");
            }
        });
    Ok(layer)
}

/// The same request to this server. `Host` still names the host that the client asked for.
fn to<B>(upstream: &Authority, mut request: http::Request<B>) -> http::Request<B> {
    let mut uri = request.uri().clone().into_parts();
    (uri.scheme, uri.authority) = (Some(Scheme::HTTP), Some(upstream.clone()));
    *request.uri_mut() = Uri::from_parts(uri).expect("a path has been there");
    request
}

/// Writes the host once, in `Host`, and in one spelling: a shared cache keeps spellings apart,
/// since servers see them. `None` if the request names no valid host.
fn one_host(request: &mut Request) -> Option<()> {
    // The host in the target wins over `Host` (RFC 9112 §3.2.2).
    let host = match request.uri().host() {
        Some(_) => request.uri().authority()?.clone(),
        None => Authority::try_from(request.headers().get(HOST)?.as_bytes()).ok()?,
    };
    let name = host.host().to_ascii_lowercase();
    let host = match host.port_u16() {
        None | Some(80) => name,
        Some(port) => format!("{name}:{port}"),
    };
    request.headers_mut().insert(HOST, HeaderValue::try_from(host).ok()?);
    let path = request.uri().path_and_query()?.clone();
    *request.uri_mut() = Uri::from(path);
    Some(())
}

/// Fields that belong to one connection (RFC 9110 §7.6.1).
const OF_THE_HOP: [&str; 7] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Removes the fields that belong to one connection, and those that `Connection` names.
fn remove_fields_of_the_hop(headers: &mut HeaderMap) {
    let lines = headers.get_all(CONNECTION).iter().filter_map(|line| line.to_str().ok());
    let named: Vec<HeaderName> = lines
        .flat_map(|line| line.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().map(HeaderName::as_str).chain(OF_THE_HOP) {
        headers.remove(name);
    }
}

/// Says for whom the request is sent, and removes what the client says of that.
fn name_the_client(headers: &mut HeaderMap, client: SocketAddr) {
    let claims = headers.keys().filter(|name| is_claim(name.as_str()));
    for name in claims.cloned().collect::<Vec<_>>() {
        headers.remove(name);
    }
    let ip = HeaderValue::try_from(client.ip().to_string()).expect("an address is ASCII");
    headers.insert("x-forwarded-for", ip);
}

/// Whether a client could pose as a proxy with this field, or replace its URL or method. No key has
/// such a field. The example `gateway` has a longer list.
fn is_claim(name: &str) -> bool {
    let parts = ["forwarded", "-override", "x-original-", "x-rewrite-", "x-real-", "x-host", "_"];
    parts.iter().any(|part| name.contains(part))
}

async fn serve(listener: TcpListener, app: Router) -> std::io::Result<()> {
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    if let [_, listen, upstream] = &std::env::args().collect::<Vec<_>>()[..] {
        let listener = TcpListener::bind(listen).await?;
        return Ok(serve(listener, proxy(upstream.parse()?, cache()?)).await?);
    }

    let upstream = TcpListener::bind("127.0.0.1:0").await?;
    let dead: Authority = "127.0.0.1:1".parse()?;
    let hello = async |headers: HeaderMap| format!("hello from {:?}", headers.get(HOST));
    let (address, app) = (upstream.local_addr()?, Router::new().fallback(hello));
    tokio::spawn(serve(upstream, app));
    let client = Client::builder(TokioExecutor::new()).build_http();
    for upstream in [address.to_string().parse()?, dead] {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/", listener.local_addr()?);
        tokio::spawn(serve(listener, proxy(upstream, cache()?)));
        for host in ["example.com", "Example.com:80"] {
            let request = http::Request::get(&url).header(HOST, host).body(Body::empty())?;
            let response: Response<_> = client.request(request).await?;
            let (parts, body) = response.into_parts();
            let cache = parts.headers.get("cache-status");
            let body = body.collect().await?.to_bytes();
            println!("{host:14} {} {cache:?} {body:?}", parts.status.as_u16());
        }
    }
    Ok(())
}
