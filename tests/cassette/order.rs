//! Equal requests, answered in the order of their recording.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use larder::{
    BoxError, RequestBody, store,
    testing::{Cassette, Unrecorded},
};
use tower::Layer;

use crate::support::{
    Reply, Server, assert_explained, client, full, get, place, post, record, recorded, say, send,
};

#[tokio::test]
async fn the_nth_request_gets_the_nth_response() {
    let (_directory, path) = place();
    let server = Server::counting().await;
    let recording = client(&record(&path).in_order(true));
    for url in ["/job", "/job", "/other", "/job"] {
        say(&recording, get(server.url(url))).await;
    }
    let (job, other) = (server.url("/job"), server.url("/other"));
    drop(recording);
    server.end().await;

    let cassette = Cassette::replay(&path).unwrap().in_order(true);
    // Clones share their counts, and so do the services of one cassette.
    let clients = [client(&cassette), client(&cassette.clone())];
    assert_eq!(say(&clients[0], get(&job)).await, "answer 1");
    assert_eq!(say(&clients[1], get(&other)).await, "answer 3");
    assert_eq!(say(&clients[1], get(&job)).await, "answer 2");
    assert_eq!(say(&clients[0], get(&job)).await, "answer 4");
    let error = send(&clients[0], get(&job)).await.unwrap_err();
    assert!(error.is::<Unrecorded>());
    assert!(error.to_string().contains("it is recorded 3 times"), "{error}");
    let error = send(&clients[0], get(&other)).await.unwrap_err();
    assert!(error.to_string().contains("it is recorded once"), "{error}");
    assert_explained(&error.to_string(), "it is recorded");

    // A new cassette starts again.
    let again = client(&Cassette::replay(&path).unwrap().in_order(true));
    assert_eq!(say(&again, get(&job)).await, "answer 1");
    // Without the setting, each request receives the first response.
    let unordered = client(&Cassette::replay(&path).unwrap());
    for _ in 0..5 {
        assert_eq!(say(&unordered, get(&job)).await, "answer 1");
    }
}

#[tokio::test]
async fn shorter_recording_leaves_nothing_of_a_longer_one() {
    let (_directory, path) = place();
    let server = Server::counting().await;
    for (requests, files) in [(3, 6), (2, 4), (3, 6)] {
        let recording = client(&record(&path).in_order(true));
        for _ in 0..requests {
            say(&recording, get(server.url("/job"))).await;
        }
        assert_eq!(recorded(&path).len(), files);
    }
}

#[tokio::test]
async fn requests_beyond_the_recorded_ones_are_recorded_if_allowed() {
    let (_directory, path) = place();
    let server = Server::counting().await;
    for requests in [1, 3] {
        let client = client(&Cassette::record_or_replay(&path).unwrap().in_order(true));
        for number in 1..=requests {
            let answer = say(&client, get(server.url("/job"))).await;
            assert_eq!(answer, format!("answer {number}"));
        }
        assert_eq!(server.calls(), requests);
    }
}

#[tokio::test]
async fn equal_requests_at_the_same_time_get_a_response_each() {
    let (_directory, path) = place();
    let server = Server::counting().await;
    let all = async |cassette: Cassette| {
        let client = client(&cassette);
        let url = server.url("/job");
        let answers = (0..8).map(|_| say(&client, get(&url)));
        let mut answers = futures_util::future::join_all(answers).await;
        answers.sort();
        answers
    };
    // Old recordings of later requests are removed, and new ones stay.
    let first = all(record(&path).in_order(true)).await;
    let second = all(record(&path).in_order(true)).await;
    assert_eq!((first.len(), server.calls()), (8, 16));
    assert_eq!(all(Cassette::replay(&path).unwrap().in_order(true)).await, second);
}

#[tokio::test]
async fn equal_requests_with_different_responses_are_not_recorded_as_one() {
    for cassette in [record, |path: &Path| Cassette::record_or_replay(path).unwrap()] {
        let (_directory, path) = place();
        let orders = Arc::<Mutex<Vec<u8>>>::default();
        let server = Server::new(move |_, request| {
            let mut orders = orders.lock().unwrap();
            match request.uri().path() {
                "/gone" if !orders.is_empty() => {
                    Response::builder().status(StatusCode::GONE).body(full("")).unwrap()
                }
                "/gone" | "/same" => Response::new(full("")),
                _ => {
                    orders.extend(request.body());
                    Response::new(full(orders.clone()))
                }
            }
        })
        .await;
        let recording = client(&cassette(&path));
        let (orders, gone, same) =
            (server.url("/orders"), server.url("/gone"), server.url("/same"));
        for url in [&orders, &gone, &same] {
            assert_eq!(say(&recording, get(url)).await, "");
        }
        assert_eq!(say(&recording, post(&orders, "text/plain", "tea")).await, "tea");
        // A repeated request receives the same response again, as from the server.
        assert_eq!(say(&recording, get(&same)).await, "");
        assert_eq!(server.calls(), 5);
        for url in [orders, gone] {
            let error = send(&recording, get(&url)).await.unwrap_err();
            let text = error.to_string();
            assert!(error.is::<store::Error>() && text.contains(&url), "{text}");
            assert!(text.contains("in_order(true)"), "{text}");
            assert_explained(&text, "recorded twice with different responses");
        }

        let settings = cassette(&path).in_order(true);
        let recording = client(&settings);
        assert_eq!(say(&recording, get(server.url("/new"))).await, "tea");
        say(&recording, post(server.url("/new"), "text/plain", ", cake")).await;
        assert_eq!(say(&recording, get(server.url("/new"))).await, "tea, cake");
    }
}

#[tokio::test]
async fn equal_requests_that_make_different_resources_are_not_recorded_as_one() {
    for name in ["location", "content-location"] {
        let (_directory, path) = place();
        let server = Server::new(move |number, request| {
            let id = if request.uri().path() == "/same" { 0 } else { number };
            let location = format!("/orders/{id}?access_token={number}");
            Response::builder().status(201).header(name, location).body(full("")).unwrap()
        })
        .await;
        let recording = client(&record(&path));
        let (orders, same) = (server.url("/orders"), server.url("/same"));
        for url in [&orders, &same, &same] {
            assert_eq!(say(&recording, post(url, "text/plain", "tea")).await, "");
        }
        let error = send(&recording, post(&orders, "text/plain", "tea")).await.unwrap_err();
        assert_explained(&error.to_string(), "recorded twice with different responses");
    }
}

/// Sends the same request once for each answer. `None` stands for a failure of the client.
async fn record_answers(path: &Path, answers: &[Option<&'static str>]) {
    let cassette = record(path).in_order(true);
    for answer in answers.iter().copied() {
        let origin = tower::service_fn(move |_: Request<RequestBody<Full<Bytes>>>| async move {
            let body = answer.ok_or_else(|| BoxError::from("the server is down"))?;
            Ok::<Reply, BoxError>(Response::new(full(body)))
        });
        let sent = cassette.layer(origin).request(get("http://shop.test/job")).await;
        assert_eq!(sent.is_ok(), answer.is_some());
        if let Ok(response) = sent {
            response.into_body().collect().await.unwrap();
        }
    }
}

/// Replays the same request. Returns the bodies, or the errors.
async fn replay_answers<const N: usize>(path: &Path) -> [Result<String, String>; N] {
    let replaying = client(&Cassette::replay(path).unwrap().in_order(true));
    let mut answers = [const { Ok(String::new()) }; N];
    for answer in &mut answers {
        let received = send(&replaying, get("http://shop.test/job")).await;
        let text = received.map(|it| String::from_utf8(it.body.to_vec()).unwrap());
        *answer = text.map_err(|error| error.to_string());
    }
    answers
}

#[tokio::test]
async fn recording_leaves_nothing_of_an_earlier_one_with_a_failure() {
    let (_directory, path) = place();
    record_answers(&path, &[Some("old 1"), None, Some("old 3")]).await;
    let [first, second, third] = replay_answers(&path).await;
    assert_eq!((first.unwrap(), third.unwrap()), ("old 1".into(), "old 3".into()));
    let error = second.unwrap_err();
    assert!(error.contains("it is recorded 2 times, but not as number 2"), "{error}");

    record_answers(&path, &[Some("new 1"), Some("new 2")]).await;
    let [first, second, third] = replay_answers(&path).await;
    assert_eq!((first.unwrap(), second.unwrap()), ("new 1".into(), "new 2".into()));
    assert!(third.unwrap_err().contains("it is recorded 2 times, and was sent more often"));

    // The first of the new requests fails.
    record_answers(&path, &[None, Some("newer 2")]).await;
    let [first, second] = replay_answers(&path).await;
    assert_eq!((first.is_err(), second.unwrap()), (true, "newer 2".into()));
}

#[tokio::test]
async fn recording_with_the_server_down_leaves_the_old_recording() {
    let (_directory, path) = place();
    record_answers(&path, &[Some("1"), Some("2"), Some("3")]).await;
    let before = recorded(&path);
    record_answers(&path, &[None, None]).await;
    assert!(before.len() == 6 && recorded(&path) == before);
}
