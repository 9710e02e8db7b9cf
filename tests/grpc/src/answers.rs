//! Which answers are stored, frame by frame. Stored answers come back unchanged.

use bytes::Bytes;
use http::HeaderMap;
use http_body_util::{BodyExt, Full};
use larder::{CacheStatus, Outcome, Stored, status::Refusal};
use tonic::{Code, body::Body};
use tower::ServiceExt;

use crate::support::{Cached, Client, ITEM, Player, Script, cached, layer, name, outcome};

const OK: Option<&[(&str, &str)]> = Some(&[("grpc-status", "0")]);

/// A reply, and what the cache did.
struct Reply {
    headers: HeaderMap,
    body: Bytes,
    trailers: Option<HeaderMap>,
    cache: CacheStatus,
}

/// Sends a call in its form on the wire.
async fn send(service: &Cached, message: &'static [u8]) -> Reply {
    let request = http::Request::post("http://shop.test/shop.Catalog/GetItem")
        .version(http::Version::HTTP_2)
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::new(Bytes::from_static(message))))
        .unwrap();
    let (parts, body) = service.clone().oneshot(request).await.unwrap().into_parts();
    let cache = parts.extensions.get::<CacheStatus>().unwrap().clone();
    let body = body.collect().await.unwrap();
    let trailers = body.trailers().cloned();
    Reply { headers: parts.headers, body: body.to_bytes(), trailers, cache }
}

#[tokio::test]
async fn stored_trailers_are_returned_line_by_line() {
    let (player, server) = Player::open(Script {
        head: vec![("x-head", "1"), ("x-photo-bin", "AAEC"), ("x-photo-bin", "AwQF")],
        chunks: vec![&ITEM[..3], &ITEM[3..]],
        trailers: Some(vec![
            ("x-cost", "2"),
            ("grpc-status", "0"),
            ("x-cost", "1"),
            ("x-trace-bin", "/+8="),
            ("x-trace-bin", ""),
            ("grpc-message", "gut%C3%A9"),
        ]),
    })
    .await;
    let service = cached(layer(), server.address);
    let first = send(&service, ITEM).await;
    assert_eq!((first.cache.stored(), first.body), (Stored::Yes, ITEM.into()));
    let again = send(&service, ITEM).await;
    assert_eq!((again.cache.outcome(), again.body), (Outcome::Hit, ITEM.into()));
    assert_eq!((&again.headers, &again.trailers), (&first.headers, &first.trailers));
    let trailers = again.trailers.unwrap();
    let lines = |name: &str| trailers.get_all(name).iter().collect::<Vec<_>>();
    assert_eq!(lines("x-cost"), ["2", "1"]);
    assert_eq!(lines("x-trace-bin"), ["/+8=", ""]);
    assert_eq!(player.calls(), 1);
}

#[tokio::test]
async fn failed_call_reaches_the_caller_and_is_not_stored() {
    let script = |head: &[(&'static str, &'static str)],
                  chunks: &[&'static [u8]],
                  trailers: Option<&[(&'static str, &'static str)]>| Script {
        head: head.to_vec(),
        chunks: chunks.to_vec(),
        trailers: trailers.map(<[_]>::to_vec),
    };
    let (status, unary) = (Some(Refusal::GrpcStatus), Some(Refusal::NotUnary));
    let two: &[&[u8]] = &[ITEM, ITEM];
    for (script, expected) in [
        (script(&[], &[ITEM], OK), None),
        (script(&[("grpc-status", "0")], &[ITEM], None), None),
        (script(&[("grpc-status", "5")], &[], None), status),
        (script(&[("grpc-status", "14")], &[], None), status),
        (script(&[], &[ITEM], Some(&[("grpc-status", "13")])), status),
        (script(&[], &[], Some(&[("grpc-status", "5")])), status),
        (script(&[], &[ITEM], Some(&[("x-other", "0")])), status),
        (script(&[], &[ITEM], None), status),
        (script(&[], two, OK), unary),
        (script(&[], &[&ITEM[..4]], OK), unary),
        (script(&[], &[], OK), unary),
        (script(&[("grpc-status", "0")], &[], None), unary),
    ] {
        let (expected_body, expected_trailers) = (script.chunks.concat(), script.trailers.clone());
        let (player, server) = Player::open(script).await;
        let service = cached(layer(), server.address);
        for call in 1..=2 {
            let reply = send(&service, ITEM).await;
            assert_eq!(reply.body, expected_body);
            let trailers = reply.trailers.map(|trailers| trailers.len());
            assert_eq!(trailers, expected_trailers.as_ref().map(Vec::len));
            let refusal = match reply.cache.stored() {
                Stored::No(refusal) => Some(refusal),
                _ => None,
            };
            assert_eq!(refusal, expected);
            assert_eq!(reply.cache.is_from_store(), expected.is_none() && call == 2);
            assert_eq!(player.calls(), if expected.is_none() { 1 } else { call });
        }
        let stored = service.layer().entries().len().await.unwrap();
        assert_eq!(stored, u64::from(expected.is_none()));
    }
}

#[tokio::test]
async fn client_reads_the_same_from_a_stored_answer() {
    let (player, server) = Player::open(Script {
        chunks: vec![ITEM],
        trailers: OK.map(<[_]>::to_vec),
        ..Script::default()
    })
    .await;
    let mut client = Client::new(cached(layer(), server.address));
    for is_hit in [false, true] {
        let response = client.get_item(name("any")).await.unwrap();
        assert_eq!((response.get_ref().calls, outcome(&response) == Outcome::Hit), (7, is_hit));
    }
    assert_eq!(player.calls(), 1);
}

#[tokio::test]
async fn call_after_an_error_is_sent_again() {
    let (player, server) = Player::open(Script {
        head: vec![("grpc-status", "5"), ("grpc-message", "gone")],
        ..Script::default()
    })
    .await;
    let mut client = Client::new(cached(layer(), server.address));
    for _ in 0..2 {
        let error = client.get_item(name("any")).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (Code::NotFound, "gone"));
    }
    assert_eq!(player.calls(), 2);
}
