//! Equal requests that are answered in the order of their recording.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use crate::support::{
    Server, assert_explained, client, full, get, place, post, record, recorded, say, send,
};
use http::{Response, StatusCode};
use larder::{
    store,
    testing::{Cassette, Unrecorded},
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
    // Clones, and the services of one cassette, count together.
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

    // A new cassette begins anew.
    let again = client(&Cassette::replay(&path).unwrap().in_order(true));
    assert_eq!(say(&again, get(&job)).await, "answer 1");
    // Without the setting, each request gets the first one of them.
    let unordered = client(&Cassette::replay(&path).unwrap());
    for _ in 0..5 {
        assert_eq!(say(&unordered, get(&job)).await, "answer 1");
    }
}

#[tokio::test]
async fn a_shorter_recording_leaves_nothing_of_a_longer_one() {
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
async fn requests_beyond_the_recorded_ones_are_recorded_where_that_is_allowed() {
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
    // Old recordings of later requests are removed, and none of the new ones.
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
        // Whoever sends it again receives it again, as the server has it.
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
