//! Requests that come late to a long or endless body.

use std::{pin::pin, sync::Mutex};

use futures_util::FutureExt;
use http::Response;
use http_body_util::BodyExt;
use larder::{BodyErrorKind, Stored, status::Refusal};

use crate::{
    shared_bodies::bodies,
    streaming::{call, fed, stored},
    support::{Broken, Double, Reply, Sender, Stand, channel, chunk, empty, get, line, ok, soon},
};

/// A stand whose first response has this header line, and a body that the sender feeds. The other
/// responses are the number of their call.
fn stand_with_fed_body(name: &'static str, value: &'static str) -> (Sender, Stand) {
    let (sender, body) = channel();
    let body = Mutex::new(Some(body));
    let inner = Double::new(move |_, call| match body.lock().unwrap().take() {
        Some(body) => line(Response::new(body), name, value),
        None => ok(call.to_string()),
    });
    (sender, Stand::new(inner))
}

/// The other readers have read the start long before.
#[tokio::test]
async fn late_follower_reads_along_while_the_start_is_still_held() {
    let (senders, inner) = fed(1);
    let stand = Stand::new(inner);
    let mut leader = bodies(&stand, 1).await.remove(0);
    for text in ["one", "two"] {
        senders[0].send(text);
        assert_eq!(chunk(&mut leader).await.unwrap(), text);
    }
    let mut late = bodies(&stand, 1).await.remove(0);
    senders[0].send("three");
    for text in ["one", "two", "three"] {
        assert_eq!(chunk(&mut late).now_or_never().expect("at once").unwrap(), text);
    }
    assert_eq!(chunk(&mut leader).await.unwrap(), "three");
}

#[tokio::test]
async fn event_stream_passes_at_once_and_nobody_waits_for_it() {
    let (sender, stand) = stand_with_fed_body("content-type", "text/event-stream");
    let listener = call(&stand).await;
    assert_eq!(stored(&listener), Stored::No(Refusal::EventStream));
    let mut body = listener.into_body();
    let event = |n: usize| format!("data: {n} {}\n\n", "x".repeat(1_000));
    for n in 0..1_000 {
        sender.send(event(n));
        assert_eq!(chunk(&mut body).now_or_never().expect("at once").unwrap(), event(n));
        if n % 500 == 0 {
            // Another listener has a stream of its own.
            let other = stand.call(get("/").body(empty()).unwrap()).now_or_never();
            assert_eq!(Reply::read(other.expect("at once").unwrap()).await.text(), "2");
        }
    }
    sender.send("more");
    assert_eq!(chunk(&mut body).now_or_never().expect("at once").unwrap(), "more");
}

#[tokio::test]
async fn endless_response_of_another_type_passes_at_once() {
    let (senders, inner) = fed(2);
    let stand = Stand::new(inner);
    let mut bodies = bodies(&stand, 2).await;
    for n in 0..600 {
        senders[0].send(vec![n as u8; 1_000]);
        for body in &mut bodies {
            assert_eq!(chunk(body).now_or_never().expect("at once").unwrap()[0], n as u8);
        }
    }
    let late = stand.call(get("/").body(empty()).unwrap()).now_or_never();
    assert!(late.is_some() && stand.calls() == 2, "the late request makes its own call");
}

#[tokio::test]
async fn late_follower_waits_for_the_entry_if_the_length_is_known() {
    let (sender, stand) = stand_with_fed_body("content-length", "600000");
    let mut leader = bodies(&stand, 1).await.remove(0);
    for n in 0..5 {
        sender.send(vec![n; 100_000]);
        chunk(&mut leader).await.unwrap();
    }
    let mut late = pin!(stand.get("/"));
    assert!(late.as_mut().now_or_never().is_none());
    assert_eq!(stand.calls(), 1);
    sender.send(vec![5; 100_000]);
    drop(sender);
    // The leader reads no more. The waiting follower drives the body to its end.
    let late = soon(late).await;
    assert_eq!((stand.calls(), late.stored(), late.cache.is_coalesced()), (1, Stored::Yes, true));
    assert_eq!(late.body.len(), 600_000);
    let rest = leader.collect().await.unwrap().to_bytes();
    assert!(rest.len() == 100_000 && rest.iter().all(|byte| *byte == 5));
}

#[tokio::test]
async fn late_follower_makes_its_own_call_if_the_body_fails() {
    let (sender, stand) = stand_with_fed_body("content-length", "600000");
    let mut leader = bodies(&stand, 1).await.remove(0);
    for n in 0..5 {
        sender.send(vec![n; 100_000]);
        chunk(&mut leader).await.unwrap();
    }
    let mut late = pin!(stand.get("/"));
    assert!(late.as_mut().now_or_never().is_none());
    sender.fail(Broken("cut"));
    assert_eq!(soon(late).await.text(), "2");
    let error = leader.frame().await.unwrap().unwrap_err();
    assert_eq!(error.kind(), BodyErrorKind::Inner);
}
