//! reqwest's client as a service, by `tower_reqwest`: its bodies, and its features beside the
//! cache.

use std::{
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::Body as AxumBody,
    http::{HeaderMap, Uri},
    response::Redirect,
    routing,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use larder::{CacheLayer, CacheStatus, RequestBody, ResponseBody, store::Memory};
use reqwest::{
    Body, Client,
    cookie::{CookieStore, Jar},
};
use tokio::sync::mpsc;
use tower::{
    Layer, ServiceBuilder, ServiceExt, retry::Policy, service_fn, util::BoxCloneSyncService,
};
use tower_http::{compression::CompressionLayer, decompression::DecompressionLayer};
use tower_reqwest::HttpClientLayer;

use crate::support::{Origin, Reply, TEXT, get, len, private, send};

pub(crate) type Cached =
    BoxCloneSyncService<Request<Body>, Response<ResponseBody<Body>>, reqwest::Error>;

/// Puts the cache around reqwest's client, as the guide does.
pub(crate) fn cached(layer: &CacheLayer<Memory>, client: Client) -> Cached {
    BoxCloneSyncService::new(
        ServiceBuilder::new()
            .layer(layer.clone())
            .map_request(|request: Request<RequestBody<_>>| {
                request.map(|body| body.into_inner_or_else(Body::wrap))
            })
            .layer(HttpClientLayer)
            .service(client),
    )
}

fn echo() -> Router {
    let hello = async |headers: HeaderMap, uri: Uri| {
        let value = |name| headers.get(name).map_or("-", |it: &HeaderValue| it.to_str().unwrap());
        format!("{uri} {} {}", value(header::AUTHORIZATION), value(header::COOKIE))
    };
    Router::new().fallback(hello)
}

#[tokio::test]
async fn second_request_is_a_hit_and_converts_to_a_response_of_reqwest() {
    let origin = Origin::new(Router::new().route("/", routing::get(async || "[1, 2]"))).await;
    let client = cached(&private(), Client::new());
    for is_hit in [false, true] {
        let request = Request::get(origin.url("/")).body(Body::default()).unwrap();
        let response = client.clone().oneshot(request).await.unwrap();
        let response = reqwest::Response::from(response.map(Body::wrap));
        assert_eq!(response.extensions().get::<CacheStatus>().unwrap().is_hit(), is_hit);
        assert_eq!(response.content_length(), Some(6));
        // The remote address is lost in a hit, and the URL is lost in `http::Response`.
        assert_eq!(response.remote_addr().is_some(), !is_hit);
        assert_eq!(response.url().as_str(), "http://no.url.provided.local/");
        assert_eq!(response.json::<Vec<u32>>().await.unwrap(), [1, 2]);
    }
    assert_eq!(origin.asked(), ["GET /"]);
}

#[tokio::test]
async fn error_of_reqwest_is_the_error_of_the_service() {
    let client = cached(&private(), Client::new());
    // Nothing listens on this address while the socket is bound.
    let kept = tokio::net::TcpSocket::new_v4().unwrap();
    kept.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let unused = kept.local_addr().unwrap();
    let request = Request::get(format!("http://{unused}/")).body(Body::default()).unwrap();
    let error: reqwest::Error = client.oneshot(request).await.unwrap_err();
    assert!(error.is_connect());
}

// ===== Decompression =====

/// An origin that compresses its answers if the client accepts this.
async fn compressing() -> Origin {
    Origin::new(
        Router::new().route("/", routing::get(async || TEXT)).layer(CompressionLayer::new()),
    )
    .await
}

#[tokio::test]
async fn response_decompressed_by_reqwest_is_stored_plain() {
    let (origin, layer) = (compressing().await, private());
    let client = cached(&layer, Client::new());
    for outcome in ["miss (absent)", "hit"] {
        let reply = get(&client, origin.url("/")).await;
        assert_eq!((&*reply.cache(), reply.text()), (outcome, TEXT));
        assert_eq!(reply.header("content-encoding"), None);
        assert_eq!(reply.header("vary"), Some("accept-encoding"));
    }
    let stored = layer.entries().get(&origin.url("/")).await.unwrap().unwrap();
    assert_eq!(BodyExt::collect(stored.into_body()).await.unwrap().to_bytes(), TEXT);
    assert_eq!(origin.asked(), ["GET /"]);
}

/// For a store with compressed bodies: the client does not decompress, and a layer around the cache
/// does.
#[tokio::test]
async fn response_decompressed_outside_is_stored_compressed() {
    let (origin, layer) = (compressing().await, private());
    let client = Client::builder().no_gzip().build().unwrap();
    let client = DecompressionLayer::new().layer(cached(&layer, client));
    for outcome in ["miss (absent)", "hit"] {
        let reply = get(&client, origin.url("/")).await;
        assert_eq!((&*reply.cache(), reply.text()), (outcome, TEXT));
        assert_eq!(reply.header("content-encoding"), None);
    }
    let request = Request::get(origin.url("/")).header("accept-encoding", "gzip").body(()).unwrap();
    let stored = layer.entries().get(&request).await.unwrap().unwrap();
    assert_eq!(stored.headers()["content-encoding"], "gzip");
    let bytes = BodyExt::collect(stored.into_body()).await.unwrap().to_bytes();
    assert!(bytes.starts_with(&[0x1f, 0x8b]) && bytes.len() < TEXT.len());
}

// ===== The cache does not see what it adds to requests =====

#[tokio::test]
async fn key_includes_request_headers_and_not_default_headers() {
    let (origin, layer) = (Origin::new(echo()).await, private());
    let client = |token: &'static str| {
        let headers = [(header::AUTHORIZATION, HeaderValue::from_static(token))];
        let client = Client::builder().default_headers(HeaderMap::from_iter(headers));
        cached(&layer, client.build().unwrap())
    };
    assert_eq!(get(&client("alice"), origin.url("/")).await.text(), "/ alice -");
    assert_eq!(
        get(&client("bob"), origin.url("/")).await.text(),
        "/ alice -",
        "the cache does not see the token"
    );

    let client = cached(&layer, Client::new());
    for (token, outcome) in [("alice", "miss (absent)"), ("bob", "miss (absent)"), ("bob", "hit")] {
        let request = Request::get(origin.url("/own")).header("authorization", token);
        let reply = send(&client, request).await;
        assert_eq!((&*reply.cache(), reply.text()), (outcome, &*format!("/own {token} -")));
    }
}

#[tokio::test]
async fn key_includes_cookies_of_an_outer_jar_and_not_of_reqwest() {
    let login = async || ([("set-cookie", "user=alice")], "welcome");
    let (origin, layer) =
        (Origin::new(echo().route("/login", routing::get(login))).await, private());
    let client = cached(&layer, Client::builder().cookie_store(true).build().unwrap());
    let ask = async |path| get(&client, origin.url(path)).await;
    assert_eq!(ask("/before").await.text(), "/before - -");
    assert_eq!(ask("/login").await.header("set-cookie"), Some("user=alice"));
    assert_eq!(ask("/after").await.text(), "/after - user=alice");
    assert_eq!(ask("/before").await.text(), "/before - -", "the cache does not see the cookie");
    // The stored header is replayed. The jar reads it where the client is called, and not again.
    let again = ask("/login").await;
    assert!(again.is_hit() && again.header("set-cookie") == Some("user=alice"));

    // With a jar around the cache, its cookie is part of the key.
    let (layer, jar) = (private(), Arc::new(Jar::default()));
    let inner = cached(&layer, Client::new());
    let client = service_fn(|mut request: Request<Body>| {
        let (inner, jar) = (inner.clone(), jar.clone());
        async move {
            let url = request.uri().to_string().parse().unwrap();
            request.headers_mut().extend(jar.cookies(&url).map(|it| (header::COOKIE, it)));
            let response = inner.oneshot(request).await?;
            jar.set_cookies(&mut response.headers().get_all(header::SET_COOKIE).iter(), &url);
            Ok::<_, reqwest::Error>(response)
        }
    });
    let ask = async |path| get(&client, origin.url(path)).await;
    assert_eq!(ask("/before").await.text(), "/before - -");
    assert_eq!(ask("/login").await.text(), "welcome");
    let reply = ask("/before").await;
    assert_eq!((&*reply.cache(), reply.text()), ("miss (absent)", "/before - user=alice"));
    assert!(ask("/before").await.is_hit());
}

// ===== Bodies =====

#[tokio::test]
async fn bodies_stream_both_ways() {
    let back = async |request: Request<AxumBody>| Response::new(request.into_body());
    let origin = Origin::new(Router::new().route("/", routing::post(back))).await;
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let chunks = stream::unfold(receiver, async |mut it| Some((it.recv().await?, it)));
    let body = Body::wrap_stream(chunks.map(Ok::<_, std::convert::Infallible>));
    let request = Request::post(origin.url("/")).body(body).unwrap();
    let mut body = cached(&private(), client).oneshot(request).await.unwrap().into_body();
    for chunk in ["one", "two", "three"] {
        sender.send(chunk.into()).await.unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), chunk);
    }
    drop(sender);
    assert!(body.collect().await.unwrap().to_bytes().is_empty());
}

#[tokio::test]
async fn body_in_the_key_is_sent_whole() {
    let back = async |request: Request<AxumBody>| Response::new(request.into_body());
    let origin = Origin::new(Router::new().route("/", routing::post(back))).await;
    let client = cached(&private().methods([http::Method::POST]).unwrap(), Client::new());
    for (body, outcome) in [("a", "miss (absent)"), ("b", "miss (absent)"), ("a", "hit")] {
        let request = Request::post(origin.url("/")).body(Body::from(body)).unwrap();
        let reply = Reply::read(client.clone().oneshot(request).await.unwrap()).await;
        assert_eq!((&*reply.cache(), reply.text()), (outcome, body));
    }
}

#[tokio::test]
async fn trailers_and_version_are_returned_and_stored() {
    let answer = async || {
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "5".parse().unwrap())]);
        let frames = [Frame::data(Bytes::from("hello")), Frame::trailers(trailers)];
        let frames = frames.map(Ok::<_, std::convert::Infallible>);
        Response::new(AxumBody::new(StreamBody::new(stream::iter(frames))))
    };
    let origin = Origin::new(Router::new().route("/", routing::get(answer))).await;
    let client = Client::builder().http2_prior_knowledge().build().unwrap();
    let client = cached(&private(), client);
    for is_hit in [false, true] {
        let reply = get(&client, origin.url("/")).await;
        assert_eq!((reply.is_hit(), reply.text()), (is_hit, "hello"));
        assert_eq!(reply.version, http::Version::HTTP_2);
        assert_eq!(reply.trailers.unwrap()["x-sum"], "5");
    }
}

/// A client that repeats a body after a redirect must receive a body that can be repeated.
#[tokio::test]
async fn body_that_the_cache_did_not_read_can_be_sent_again() {
    let back = async |request: Request<AxumBody>| Response::new(request.into_body());
    let routes = Router::new()
        .route("/old", routing::any(async || Redirect::temporary("/new")))
        .route("/new", routing::any(back));
    let origin = Origin::new(routes).await;
    let put = || Request::put(origin.url("/old")).body(Body::from("text")).unwrap();
    let reply = Reply::read(cached(&private(), Client::new()).oneshot(put()).await.unwrap()).await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, "text"));
    assert_eq!(origin.asked(), ["PUT /old", "PUT /new"]);

    // A wrapped body cannot be repeated, so the redirect is the answer.
    let wrapping = ServiceBuilder::new()
        .layer(private())
        .map_request(|request: Request<_>| request.map(Body::wrap))
        .layer(HttpClientLayer)
        .service(Client::new());
    assert_eq!(wrapping.oneshot(put()).await.unwrap().status(), 307);
}

#[tokio::test]
async fn response_cut_by_a_timeout_is_not_stored() {
    let endless = async || {
        let chunks = stream::iter([Ok::<_, std::convert::Infallible>("never")]);
        AxumBody::from_stream(chunks.chain(stream::pending()))
    };
    let origin = Origin::new(Router::new().route("/", routing::get(endless))).await;
    let layer = private();
    let timeout = std::time::Duration::from_millis(200);
    let client = Client::builder().timeout(timeout).build().unwrap();
    let request = Request::get(origin.url("/")).body(Body::default()).unwrap();
    let response = cached(&layer, client).oneshot(request).await;
    // On a slow machine, even the head may arrive too late.
    if let Ok(response) = response {
        assert!(response.into_body().collect().await.is_err());
    }
    assert_eq!(len(&layer).await, 0);
}

// ===== From its builder to its response =====

#[tokio::test]
async fn request_of_the_reqwest_builder_goes_through_the_cache() {
    let back = async |uri: Uri, headers: HeaderMap, body: String| {
        let token = headers.get("authorization").map_or("-", |it| it.to_str().unwrap());
        format!("{uri} {token} {body}")
    };
    let routes = Router::new().route("/hang", routing::get(std::future::pending::<()>));
    let origin = Origin::new(routes.fallback(back)).await;
    let layer = private().methods([http::Method::GET, http::Method::POST]).unwrap();
    let (client, http) = (Client::new(), cached(&layer, Client::new()));
    let send = async |builder: reqwest::RequestBuilder| {
        let request = Request::try_from(builder.build().unwrap()).unwrap();
        let response = http.clone().oneshot(request).await?;
        Ok::<_, reqwest::Error>(reqwest::Response::from(response.map(Body::wrap)))
    };
    let query = || client.get(origin.url("/get")).query(&[("name", "tea")]);
    let json = |item| client.post(origin.url("/post")).json(&[item]);
    for (builder, is_hit, text) in [
        (query(), false, "/get?name=tea - "),
        (query(), true, "/get?name=tea - "),
        (query().bearer_auth("alice"), false, "/get?name=tea Bearer alice "),
        (query().bearer_auth("alice"), true, "/get?name=tea Bearer alice "),
        (json("tea"), false, "/post - [\"tea\"]"),
        (json("tea"), true, "/post - [\"tea\"]"),
        (json("milk"), false, "/post - [\"milk\"]"),
    ] {
        let response = send(builder).await.unwrap();
        assert_eq!(response.extensions().get::<CacheStatus>().unwrap().is_hit(), is_hit);
        assert_eq!(response.text().await.unwrap(), text);
    }
    // The timeout of the request is in the extensions, which the cache passes on.
    let limit = std::time::Duration::from_millis(50);
    let error = send(client.get(origin.url("/hang")).timeout(limit)).await.unwrap_err();
    assert!(error.is_timeout());
}

// ===== Retries =====

/// Fails before the call with this number, and then answers with the request body.
async fn failing_until(number: usize) -> Origin {
    let calls = Arc::new(AtomicUsize::new(1));
    let answer = async move |body: String| match calls.fetch_add(1, Ordering::SeqCst) {
        call if call < number => Err(StatusCode::SERVICE_UNAVAILABLE),
        _ => Ok(body),
    };
    Origin::new(Router::new().fallback(answer)).await
}

#[tokio::test]
async fn retries_of_reqwest_are_inside() {
    let origin = failing_until(3).await;
    let retries = reqwest::retry::for_host("127.0.0.1")
        .no_budget()
        .max_retries_per_request(2)
        .classify_fn(|call| match call.status() {
            Some(StatusCode::SERVICE_UNAVAILABLE) => call.retryable(),
            _ => call.success(),
        });
    let client = cached(&private(), Client::builder().retry(retries).build().unwrap());
    for outcome in ["miss (absent)", "hit"] {
        let reply = get(&client, origin.url("/")).await;
        assert_eq!((&*reply.cache(), reply.status), (outcome, StatusCode::OK));
    }
    assert_eq!(origin.asked().len(), 3);
}

/// Sends each request twice that can be sent twice.
#[derive(Clone)]
struct Twice(bool);

impl Policy<reqwest::Request, reqwest::Response, reqwest::Error> for Twice {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut reqwest::Request,
        result: &mut Result<reqwest::Response, reqwest::Error>,
    ) -> Option<Ready<()>> {
        let fails = result.as_ref().is_ok_and(|response| response.status().is_server_error());
        (fails && std::mem::take(&mut self.0)).then(|| ready(()))
    }

    fn clone_request(&mut self, request: &reqwest::Request) -> Option<reqwest::Request> {
        request.try_clone()
    }
}

/// The cache has read this body, so it is a stream that can be sent only once.
#[tokio::test]
async fn retry_inside_repeats_bodies_that_are_not_in_the_key() {
    for (method, status) in [("PUT", 200), ("POST", 503)] {
        let origin = failing_until(2).await;
        let client = ServiceBuilder::new()
            .layer(private().methods([http::Method::GET, http::Method::POST]).unwrap())
            .map_request(|request: Request<RequestBody<_>>| {
                request.map(|body| body.into_inner_or_else(Body::wrap))
            })
            .layer(HttpClientLayer)
            .retry(Twice(true))
            .service(Client::new());
        let request = Request::builder().method(method).uri(origin.url("/"));
        let request = request.body(Body::from("text")).unwrap();
        let reply = Reply::read(client.oneshot(request).await.unwrap()).await;
        assert_eq!(reply.status, status, "{method}");
        assert_eq!(origin.asked().len(), if status == 200 { 2 } else { 1 });
    }
}
