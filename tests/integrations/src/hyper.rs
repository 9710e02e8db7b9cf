//! hyper-util's client over HTTP/1.1, HTTP/2 and TLS, and the type of a boxed client.

use std::convert::Infallible;

use axum::{Router, body::Body as AxumBody, routing};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use larder::{RequestBody, ResponseBody, store::Memory};
use rustls::RootCertStore;
use tokio::sync::mpsc;
use tower::{Layer, ServiceExt, util::BoxCloneSyncService};

use crate::support::{HyperClient, Origin, Reply, client, get, https, private, send, shared};

fn hello() -> Router {
    Router::new().route("/", routing::get(async || "hello"))
}

fn h2_client<B>() -> HyperClient<B>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

#[tokio::test]
async fn over_http1() {
    let origin = Origin::new(hello()).await;
    let cached = private().layer(client::<RequestBody<Empty<Bytes>>>());
    for outcome in ["miss (absent)", "hit"] {
        let reply = get(&cached, origin.url("/")).await;
        assert_eq!((&*reply.cache(), reply.text()), (outcome, "hello"));
        assert_eq!(reply.version, Version::HTTP_11);
    }
    assert_eq!(origin.asked(), ["GET /"]);
}

#[tokio::test]
async fn over_http2_with_trailers() {
    let answer = async || {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("5"));
        let frames = [Frame::data(Bytes::from("hello")), Frame::trailers(trailers)];
        let frames = frames.map(Ok::<_, std::convert::Infallible>);
        Response::new(AxumBody::new(StreamBody::new(stream::iter(frames))))
    };
    let origin = Origin::new(Router::new().route("/", routing::get(answer))).await;
    let cached = private().layer(h2_client::<RequestBody<Empty<Bytes>>>());
    for outcome in ["miss (absent)", "hit"] {
        let reply = get(&cached, origin.url("/")).await;
        assert_eq!((&*reply.cache(), reply.text()), (outcome, "hello"));
        assert_eq!(reply.version, Version::HTTP_2);
        assert_eq!(reply.trailers.unwrap()["x-sum"], "5");
    }
    assert_eq!(origin.asked(), ["GET /"]);
}

/// Both versions share the entry of a URL. Another scheme has another entry.
#[tokio::test]
async fn key_does_not_include_the_version() {
    let origin = Origin::new(hello()).await;
    let layer = private();
    let h1 = layer.layer(client::<RequestBody<Empty<Bytes>>>());
    let h2 = layer.layer(h2_client::<RequestBody<Empty<Bytes>>>());
    assert!(!get(&h1, origin.url("/")).await.is_hit());
    assert!(get(&h2, origin.url("/")).await.is_hit());
    let https = origin.url("/").replace("http://", "https://");
    assert!(!layer.entries().contains(&https).await.unwrap());
}

#[tokio::test]
async fn over_tls() {
    for (h2, version) in [(false, Version::HTTP_11), (true, Version::HTTP_2)] {
        let (origin, roots) = Origin::tls(hello()).await;
        let layer = private();
        let cached = layer.layer(https(roots, h2));
        for outcome in ["miss (absent)", "hit"] {
            let reply = get::<_, Empty<Bytes>, _>(&cached, origin.url("/")).await;
            assert_eq!((&*reply.cache(), reply.text()), (outcome, "hello"));
            assert_eq!(reply.version, version);
        }
        assert_eq!(origin.asked(), ["GET /"]);

        // A hit needs no connection and no trust. A miss needs both.
        let distrusts = layer.layer(https(RootCertStore::empty(), h2));
        assert!(get::<_, Empty<Bytes>, _>(&distrusts, origin.url("/")).await.is_hit());
        let other = Request::get(origin.url("/other")).body(Empty::<Bytes>::new()).unwrap();
        assert!(distrusts.oneshot(other).await.unwrap_err().is_connect());
    }
}

/// Neither side collects the body: each chunk is answered before the next one is sent.
#[tokio::test]
async fn bodies_stream_both_ways() {
    let echo = async |request: Request<AxumBody>| Response::new(request.into_body());
    let origin = Origin::new(Router::new().route("/", routing::post(echo))).await;
    let layer = private();
    let (sender, receiver) = mpsc::channel::<Bytes>(1);
    let chunks = stream::unfold(receiver, async |mut it| Some((it.recv().await?, it)));
    let chunks = chunks.map(|chunk| Ok::<_, std::convert::Infallible>(Frame::data(chunk)));
    let request = Request::post(origin.url("/")).body(StreamBody::new(Box::pin(chunks)));
    let response = layer.layer(h2_client()).oneshot(request.unwrap());
    let mut body = response.await.unwrap().into_body();
    for chunk in ["one", "two", "three"] {
        sender.send(chunk.into()).await.unwrap();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), chunk);
    }
    drop(sender);
    assert!(BodyExt::collect(body).await.unwrap().to_bytes().is_empty());
}

/// The client is a field of a struct, so its type can be written down.
#[tokio::test]
async fn type_of_a_cached_client_can_be_named() {
    struct Api {
        http: BoxCloneSyncService<
            Request<Full<Bytes>>,
            Response<ResponseBody<hyper::body::Incoming>>,
            hyper_util::client::legacy::Error,
        >,
        named: larder::Cache<HyperClient<RequestBody<Full<Bytes>>>, Memory>,
    }
    let origin = Origin::new(hello()).await;
    let named = private().layer(client());
    let api = Api { http: BoxCloneSyncService::new(named.clone()), named };
    assert!(!get(&api.http, origin.url("/")).await.is_hit());
    assert!(get(&api.named, origin.url("/")).await.is_hit());
}

/// If there is no `Content-Length`, hyper takes it from the size of the body.
#[tokio::test]
async fn server_frames_responses_without_a_body() {
    let inner = tower::service_fn(|request: Request<RequestBody<AxumBody>>| async move {
        let mut response = Response::builder().header("etag", "\"a\"");
        // A handler may leave out the length of the body.
        if request.uri().path() != "/silent" {
            response = response.header("content-length", "11");
        }
        let body = if request.method() == Method::HEAD { "" } else { "hello there" };
        Ok::<_, Infallible>(response.body(Full::<Bytes>::from(body)).unwrap())
    });
    let server = Origin::new(shared().layer(inner)).await;
    let length = |reply: &Reply| reply.header("content-length").map(str::to_owned);
    for client in [client::<AxumBody>(), h2_client::<AxumBody>()] {
        for _ in 0..2 {
            let head = send(&client, Request::head(server.url("/"))).await;
            assert_eq!((length(&head).as_deref(), head.text()), (Some("11"), ""));
        }
        for _ in 0..2 {
            let get = send(&client, Request::get(server.url("/"))).await;
            assert_eq!((length(&get).as_deref(), get.text()), (Some("11"), "hello there"));
        }
        // The stored response to the GET answers the HEAD.
        let head = send(&client, Request::head(server.url("/"))).await;
        assert_eq!((head.is_hit(), length(&head).as_deref(), head.text()), (true, Some("11"), ""));
        let unmodified = Request::get(server.url("/")).header("if-none-match", "\"a\"");
        let unmodified = send(&client, unmodified).await;
        assert_eq!(unmodified.status, StatusCode::NOT_MODIFIED);
        assert_ne!(length(&unmodified).as_deref(), Some("0"));
        let get = send(&client, Request::get(server.url("/silent"))).await;
        assert_eq!((length(&get).as_deref(), get.text()), (Some("11"), "hello there"));
        let head = send(&client, Request::head(server.url("/silent"))).await;
        assert!(head.is_hit() && length(&head).as_deref() != Some("0"), "{head:?}");
    }
}
