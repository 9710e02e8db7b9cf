//! Requests that bypass the cache, and their responses. They pass through unchanged and chunk by
//! chunk.

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use larder::{CacheLayer, CacheOptions, CacheStatus, Outcome, status::Bypass, store::Memory};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Mutex, mpsc},
};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{
    Broken, Double, Origin, Reply, Stand, TestBody, channel, chunk, client, empty, frames, full,
    get, url,
};

fn layer() -> CacheLayer<Memory> {
    CacheLayer::private(Memory::default())
}

#[tokio::test]
async fn a_request_body_streams_to_the_origin_and_a_response_body_back() {
    let (seen, mut arrived) = mpsc::unbounded_channel();
    let (reply, body) = channel();
    let body = Arc::new(Mutex::new(Some(body)));
    let origin = Origin::new(move |request: Request<_>, _| {
        let (seen, body) = (seen.clone(), body.clone());
        async move {
            let mut upload = request.into_body();
            tokio::spawn(async move {
                while let Some(chunk) = upload.frame().await {
                    seen.send(chunk.unwrap().into_data().unwrap()).unwrap();
                }
                seen.send("the end".into()).unwrap();
            });
            Response::new(body.lock().await.take().unwrap())
        }
    })
    .await;

    let (upload, body) = channel();
    let request = Request::post(origin.url("/")).body(body).unwrap();
    upload.send("first");
    let response = layer().layer(client()).oneshot(request).await.unwrap();
    // The origin has the first chunk and has begun its response. The request is not complete yet.
    assert_eq!(arrived.recv().await.unwrap(), "first");
    let mut body = response.into_body();
    reply.send("one");
    assert_eq!(chunk(&mut body).await.unwrap(), "one");
    upload.send("second");
    assert_eq!(arrived.recv().await.unwrap(), "second");
    reply.send("two");
    assert_eq!(chunk(&mut body).await.unwrap(), "two");
    drop(upload);
    assert_eq!(arrived.recv().await.unwrap(), "the end");
    drop(reply);
    assert_eq!(chunk(&mut body).await, None);
}

/// Every kind of bypassed request: the origin receives the first chunk before the last is sent.
#[tokio::test]
async fn no_bypassed_request_is_buffered() {
    let (seen, mut arrived) = mpsc::unbounded_channel();
    let inner = service_fn(move |request: Request<larder::RequestBody<TestBody>>| {
        let seen = seen.clone();
        async move {
            let mut body = request.into_body();
            while let Some(chunk) = body.frame().await {
                seen.send(chunk.unwrap().into_data().unwrap()).unwrap();
            }
            Ok::<_, Broken>(Response::new(empty()))
        }
    });
    let layer = layer().max_request_body(8);
    for (request, reason) in [
        (Request::post(url("/")), Bypass::Method),
        (get("/").header("upgrade", "x"), Bypass::Upgrade),
        (get("/").extension(CacheOptions::new().bypass(true)), Bypass::Requested),
        (get("/"), Bypass::RequestBodyTooLarge),
    ] {
        let (upload, body) = channel();
        let call = layer.layer(inner.clone()).oneshot(request.body(body).unwrap());
        let call = tokio::spawn(call);
        upload.send("more than eight bytes");
        assert_eq!(arrived.recv().await.unwrap(), "more than eight bytes");
        upload.send("the rest");
        drop(upload);
        assert_eq!(arrived.recv().await.unwrap(), "the rest");
        let response = call.await.unwrap().unwrap();
        let status = response.extensions().get::<CacheStatus>().unwrap();
        assert_eq!(status.outcome(), Outcome::Bypass(reason));
    }
}

#[tokio::test]
async fn lengths_trailers_and_errors_pass_both_ways() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    let stand = Stand::new(Double::new(|request, _| {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "2".parse().unwrap());
        let end = match request.headers().contains_key("x-fail") {
            true => Err(Broken("cut").into()),
            false => Ok(trailers),
        };
        Response::new(frames(["ab"], Some(end)))
    }));
    let post = || Request::post(url("/"));
    let request = post().body(frames(["up"], Some(Ok(trailers.clone())))).unwrap();
    let reply = Reply::read(stand.call(request).await.unwrap()).await;
    assert_eq!(
        (reply.text(), &reply.trailers.as_ref().unwrap()["x-sum"]),
        ("ab", &"2".parse().unwrap())
    );
    assert_eq!(stand.inner.take_seen()[0].trailers, Some(trailers));

    let request = post().body(frames(["up"], Some(Err(Broken("away").into())))).unwrap();
    stand.call(request).await.unwrap();
    assert_eq!(stand.inner.take_seen()[0].error.as_deref(), Some("away"));

    let reply = stand.ask(post().header("x-fail", "1")).await;
    assert_eq!(reply.error.unwrap().downcast_ref(), Some(&Broken("cut")));
}

/// A request of known length is sent with its length, whether or not it is buffered for the key.
#[tokio::test]
async fn request_reaches_the_origin_with_its_length() {
    let origin = Origin::new(async |request: Request<_>, _| {
        let header = |name| request.headers().get(name).map(|it| it.to_str().unwrap().to_owned());
        let length = header("content-length").unwrap_or_default();
        let coding = header("transfer-encoding").unwrap_or_default();
        Response::new(full(format!("{length}/{coding}")))
    })
    .await;
    let layer =
        layer().methods([http::Method::GET, http::Method::POST]).unwrap().max_request_body(4);
    for (method, body, expected) in
        [("PUT", "abc", "3/"), ("POST", "abc", "3/"), ("POST", "abcdef", "6/"), ("GET", "", "/")]
    {
        let request = Request::builder().method(method).uri(origin.url("/")).body(full(body));
        let response = layer.layer(client()).oneshot(request.unwrap()).await.unwrap();
        assert_eq!(Reply::read(response).await.text(), expected, "{method} {body:?}");
    }
}

/// A cache that buffers bodies would never return the head of such a response.
#[tokio::test]
async fn endless_response_passes_event_by_event_and_ends_with_its_reader() {
    for method in ["GET", "POST"] {
        let (events, body) = channel();
        let body = Arc::new(Mutex::new(Some(body)));
        let origin = Origin::new(move |_, _| {
            let body = body.clone();
            async move {
                let mut response = Response::new(body.lock().await.take().unwrap());
                let kind = "text/event-stream".parse().unwrap();
                response.headers_mut().insert("content-type", kind);
                response
            }
        })
        .await;
        let layer = layer();
        let request = Request::builder().method(method).uri(origin.url("/")).body(empty()).unwrap();
        let mut response = layer.layer(client()).oneshot(request).await.unwrap();
        for event in ["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"] {
            events.send(event);
            assert_eq!(chunk(response.body_mut()).await.unwrap(), event);
        }
        drop(response);
        // The origin notices when it sends one of its next events.
        while !events.is_closed() {
            events.send("data: more\n\n");
            tokio::task::yield_now().await;
        }
        assert_eq!(layer.entries().len().await.unwrap(), 0);
    }
}

#[tokio::test]
async fn an_upgrade_passes_and_carries_bytes_both_ways() {
    let origin = Origin::new(async |mut request: Request<_>, _| {
        assert_eq!(request.headers()["upgrade"], "echo");
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut stream = TokioIo::new(upgrade.await.unwrap());
            let mut word = [0; 5];
            stream.read_exact(&mut word).await.unwrap();
            word.reverse();
            stream.write_all(&word).await.unwrap();
        });
        let response = Response::builder().status(StatusCode::SWITCHING_PROTOCOLS);
        response.header("connection", "upgrade").header("upgrade", "echo").body(empty()).unwrap()
    })
    .await;
    let layer = layer();
    for _ in 0..2 {
        let request = Request::get(origin.url("/"))
            .header("connection", "upgrade")
            .header("upgrade", "echo")
            .body(http_body_util::Empty::<Bytes>::new())
            .unwrap();
        let response = layer.layer(client()).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        let status = response.extensions().get::<CacheStatus>().unwrap();
        assert_eq!(status.outcome(), Outcome::Bypass(Bypass::Upgrade));
        let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
        stream.write_all(b"hello").await.unwrap();
        let mut word = [0; 5];
        stream.read_exact(&mut word).await.unwrap();
        assert_eq!(&word, b"olleh");
    }
    assert_eq!(layer.entries().len().await.unwrap(), 0);
}

/// The size hint and the end are those of the inner body.
#[tokio::test]
async fn bypassed_body_keeps_its_size_hint_and_its_end() {
    let stand = Stand::new(Double::new(|_, _| Response::new(full("four"))));
    let post = Request::post(url("/")).body(empty()).unwrap();
    let response = stand.call(post).await.unwrap();
    assert_eq!(response.body().size_hint().exact(), Some(4));
    assert!(!response.body().is_end_stream());
    let stand = Stand::new(Double::new(|_, _| Response::new(empty())));
    let response = stand.call(Request::post(url("/")).body(empty()).unwrap()).await.unwrap();
    assert!(response.body().is_end_stream());
}

/// Extensions carry connection information, hooks for interim responses and more.
#[tokio::test]
async fn extensions_and_version_of_a_request_reach_the_inner_service() {
    #[derive(Clone, Debug, PartialEq)]
    struct Peer(u32);
    let stand = Stand::new(Double::new(|request, _| {
        assert_eq!(request.extensions().get(), Some(&Peer(7)));
        assert_eq!(request.version(), http::Version::HTTP_2);
        Response::new(full("seen"))
    }))
    .with(|layer| layer.methods([http::Method::GET, http::Method::POST]).unwrap());
    for method in ["GET", "POST", "PUT"] {
        let request = Request::builder().method(method).uri(url("/")).extension(Peer(7));
        let reply = stand.send(request.version(http::Version::HTTP_2), "body").await;
        assert_eq!(reply.text(), "seen");
    }
}

/// Each frame is passed on by itself, an empty one too.
#[tokio::test]
async fn frames_are_neither_joined_nor_split() {
    let stand = Stand::new(Double::new(|_, _| Response::new(frames(["a", "", "bc"], None))));
    for method in ["POST", "GET"] {
        let request = Request::builder().method(method).uri(url("/")).body(empty()).unwrap();
        let mut body = stand.call(request).await.unwrap().into_body();
        let mut seen = Vec::new();
        while let Some(frame) = body.frame().await {
            seen.push(frame.map(Frame::into_data).unwrap().unwrap());
        }
        assert_eq!(seen, ["a", "", "bc"], "{method}");
    }
}

#[tokio::test]
async fn default_bodies_are_empty() {
    let request = larder::RequestBody::<http_body_util::Full<Bytes>>::default();
    let response = larder::ResponseBody::<http_body_util::Full<Bytes>>::default();
    assert!(request.is_end_stream() && response.is_end_stream());
}
