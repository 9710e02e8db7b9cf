//! The main use: a hyper client with a cache in a file talks to a server over a socket, in this run
//! and in the next.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use larder::{
    CacheLayer, CacheOptions, Outcome, Stored,
    status::Refusal,
    store::{Memory, Redb, Store},
};
use tower::{ServiceBuilder, ServiceExt};

use super::support::{Double, Origin, Reply, Stand, channel, client, empty, frames, ok};

fn block(number: u32) -> Bytes {
    number.to_le_bytes().repeat(16 * 1024).into()
}

async fn fetch<B: Store>(layer: &CacheLayer<B>, url: String) -> Reply {
    let client = ServiceBuilder::new().layer(layer.clone()).service(client());
    Reply::read(client.oneshot(Request::get(url).body(empty()).unwrap()).await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn stored_response_is_served_in_the_next_run_without_the_origin() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/down/cache.redb");
    let origin = Origin::new(|_, n| async move { ok(format!("answer {n}")) }).await;
    let url = origin.url("/news?page=2");
    {
        let layer = CacheLayer::private(Redb::open(&path).unwrap());
        assert_eq!(fetch(&layer, url.clone()).await.text(), "answer 1");
        let again = fetch(&layer, url.clone()).await;
        assert_eq!((again.outcome(), again.text()), (Outcome::Hit, "answer 1"));
        assert_eq!(origin.requests(), 1);
    }
    drop(origin);
    let layer = CacheLayer::private(Redb::open(&path).unwrap());
    let later = fetch(&layer, url).await;
    assert_eq!((later.outcome(), later.text()), (Outcome::Hit, "answer 1"));
    assert_eq!(later.lines("content-length"), [b"8"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_streams_through_a_file_and_back() {
    const BLOCKS: u32 = 200;
    let blocks = || {
        let (sender, body) = channel();
        (0..BLOCKS).for_each(|number| sender.send(block(number)));
        body
    };
    let origin = Origin::new(move |_, _| async move { Response::new(blocks()) }).await;
    let layer = CacheLayer::private(Redb::temporary().unwrap());
    let expected: Vec<u8> = (0..BLOCKS).flat_map(block).collect();
    for outcome in [false, true] {
        let client = ServiceBuilder::new().layer(layer.clone()).service(client());
        let request = Request::get(origin.url("/large")).body(empty()).unwrap();
        let response = client.oneshot(request).await.unwrap();
        if outcome {
            assert_eq!(response.body().size_hint().exact(), Some(expected.len() as u64));
        }
        let reply = Reply::read(response).await;
        assert_eq!(reply.is_from_store(), outcome);
        assert!(reply.body == expected, "the body differs");
    }
    assert_eq!(origin.requests(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_that_is_dropped_midway_leaves_nothing_in_the_file() {
    let layer = CacheLayer::private(Redb::temporary().unwrap());
    let (sender, body) = channel();
    let body = std::sync::Mutex::new(Some(body));
    let double = Double::new(move |_, _| Response::new(body.lock().unwrap().take().unwrap()));
    let cached = ServiceBuilder::new().layer(layer.clone()).service(double);
    let request = Request::get("http://a/").body(empty()).unwrap();
    let mut response = cached.oneshot(request).await.unwrap();
    for number in 0..64 {
        sender.send(block(number));
        response.body_mut().frame().await.unwrap().unwrap();
    }
    let status = response.extensions().get::<larder::CacheStatus>().unwrap().clone();
    assert_eq!(status.stored(), Stored::Pending);
    drop(response);
    assert_eq!(status.stored(), Stored::No(Refusal::Dropped));
    assert_eq!(
        (layer.entries().len().await.unwrap(), layer.entries().size_bytes().await.unwrap()),
        (0, 0)
    );
}

fn varied() -> Double {
    Double::new(|request, n| {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", n.to_string().parse().unwrap());
        let language = request.headers().get("accept-language").cloned();
        let text = if language.is_some_and(|value| value == "de") { "de" } else { "en" };
        let mut response = Response::new(frames([text], Some(Ok(trailers))));
        response.headers_mut().insert("vary", "accept-language".parse().unwrap());
        response
    })
}

async fn ask<B: Store>(stand: &Stand<B>, language: &str) -> Reply {
    stand.ask(super::support::get("/v").header("accept-language", language)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn variants_and_trailers_move_between_memory_and_a_file() {
    let memory = Stand::new(varied());
    let file = Stand::over(Redb::temporary().unwrap(), varied());
    for language in ["de", "en"] {
        assert_eq!(ask(&memory, language).await.text(), language);
    }
    let mut progress = Vec::new();
    let copied = memory.layer.entries().copy_to(file.layer.store(), |n| progress.push(n)).await;
    assert_eq!((copied.unwrap(), progress), (2, vec![1, 2]));
    for (language, sum) in [("de", "1"), ("en", "2")] {
        let reply = ask(&file, language).await;
        assert_eq!((reply.is_from_store(), reply.text()), (true, language));
        assert_eq!(reply.trailers.unwrap()["x-sum"], sum);
    }
    assert_eq!(file.calls(), 0);
    let back = Memory::default();
    assert_eq!(file.layer.entries().copy_to(&back, |_| ()).await.unwrap(), 2);
    let back = Stand::over(back, varied());
    assert!(ask(&back, "en").await.is_from_store());
    assert_eq!(file.layer.entries().remove(super::support::url("/v").as_str()).await.unwrap(), 2);
    assert!(!ask(&file, "en").await.is_from_store());
}

#[tokio::test(flavor = "multi_thread")]
async fn management_handle_works_on_a_file() {
    let stand = Stand::over(Redb::temporary().unwrap(), Double::counting());
    let soon = CacheOptions::new().expire_after(Duration::from_secs(1)).add_tag("news");
    stand.ask(super::support::get("/a").extension(soon)).await;
    stand.get("/b").await;
    let entries = stand.layer.entries();
    stand.clock.advance(Duration::from_secs(2));
    assert_eq!(entries.reset_expiration(Duration::from_secs(60), |_| ()).await.unwrap(), 2);
    assert!(stand.get("/a").await.is_from_store());
    assert_eq!(entries.remove_tag("news").await.unwrap(), 1);
    stand.clock.advance(Duration::from_secs(60));
    assert_eq!(entries.remove_expired().await.unwrap(), 1);
    assert!(entries.is_empty().await.unwrap());
}

#[tokio::test]
async fn closed_file_is_a_failing_store_and_fails_no_request() {
    let stand = Stand::over(Redb::temporary().unwrap(), Double::counting());
    stand.get("/").await;
    stand.layer.store().close().await.unwrap();
    let reply: Reply = stand.get("/").await;
    assert_eq!(reply.text(), "2");
    assert!(matches!(reply.stored(), Stored::No(Refusal::StoreFailed(_))), "{:?}", reply.stored());
}
