//! The requests that each mode sends, and `LARDER_CASSETTE`.

use std::path::Path;

use larder::{
    store::ErrorKind,
    testing::{Cassette, Unrecorded},
};

use crate::{
    child::{child, child_path},
    support::{Server, assert_explained, client, files, get, place, recorded, say, send},
};

fn or_replay(path: &Path) -> Cassette {
    Cassette::record_or_replay(path).unwrap()
}

#[tokio::test]
async fn recording_or_replaying_sends_only_what_is_not_recorded() {
    let (_directory, path) = place();
    let server = Server::counting().await;
    for _ in 0..2 {
        let client = client(&or_replay(&path));
        assert_eq!(say(&client, get(server.url("/a"))).await, "answer 1");
        assert_eq!(say(&client, get(server.url("/b"))).await, "answer 2");
        assert_eq!(server.calls(), 2);
    }
}

#[tokio::test]
async fn recording_sends_every_request_and_replaces_old_recordings() {
    let (_directory, path) = place();
    let server = Server::counting().await;
    for expected in ["answer 1", "answer 2"] {
        let recording = client(&Cassette::record(&path).unwrap());
        assert_eq!(say(&recording, get(server.url("/a"))).await, expected);
    }
    let replaying = client(&Cassette::replay(&path).unwrap());
    for _ in 0..2 {
        assert_eq!(say(&replaying, get(server.url("/a"))).await, "answer 2");
    }
    assert_eq!(server.calls(), 2);
}

#[tokio::test]
async fn replaying_never_sends_and_never_writes() {
    let (_directory, path) = place();
    let server = Server::counting().await;
    let recording = client(&Cassette::record(&path).unwrap());
    say(&recording, get(server.url("/a"))).await;
    drop(recording);
    let before = files(&path);
    let replaying = client(&Cassette::replay(&path).unwrap());
    for _ in 0..3 {
        assert_eq!(say(&replaying, get(server.url("/a"))).await, "answer 1");
        assert!(send(&replaying, get(server.url("/b"))).await.unwrap_err().is::<Unrecorded>());
    }
    drop(replaying);
    assert_eq!(files(&path), before);
    assert_eq!(server.calls(), 1);
}

#[test]
fn missing_folder_cannot_be_replayed() {
    let (_directory, path) = place();
    let error = Cassette::replay(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()) && text.contains("record it first"), "{text}");
    assert_explained(&text, "there is no folder");
    assert!(!path.exists());
}

#[tokio::test]
async fn error_of_the_client_is_returned_and_not_recorded() {
    let (_directory, path) = place();
    let server = Server::counting().await;
    let url = server.url("/");
    server.end().await;
    let recording = client(&or_replay(&path));
    let error = send(&recording, get(&url)).await.unwrap_err();
    assert!(error.is::<hyper_util::client::legacy::Error>(), "{error:?}");
    assert!(recorded(&path).is_empty());
}

/// The environment of a process cannot be changed safely, so each value has a process of its own.
#[tokio::test]
async fn the_environment_chooses_the_mode() {
    if let Some(path) = child_path() {
        let server = Server::counting().await;
        let is_recorded = path.exists();
        let cassette = Cassette::record_or_replay(&path);
        println!("debug: {cassette:?}");
        let client = client(&cassette.unwrap());
        let got = send(&client, get("http://recorded.test/")).await;
        println!("recorded: {is_recorded}, replayed: {}", got.is_ok());
        say(&client, get(server.url("/new"))).await;
        println!("sent: {}", server.calls());
        return;
    }
    let (_directory, path) = place();
    let run = |value: Option<&str>| {
        let mut command = child("modes::the_environment_chooses_the_mode", &path);
        match value {
            Some(value) => command.env("LARDER_CASSETTE", value),
            None => command.env_remove("LARDER_CASSETTE"),
        };
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (text.clone() + &String::from_utf8_lossy(&output.stderr), output.status.success())
    };
    // Off: sent, and no folder is made.
    let (text, is_ok) = run(Some("off"));
    assert!(is_ok && text.contains("sent: 1") && !path.exists(), "{text}");
    // A folder is needed to replay.
    let (text, is_ok) = run(Some("replay"));
    assert!(!is_ok && text.contains("record it first"), "{text}");
    for value in [None, Some(""), Some("record")] {
        let (text, is_ok) = run(value);
        assert!(is_ok && text.contains("sent: 1") && path.exists(), "{text}");
    }
    let before = files(&path);
    let (text, is_ok) = run(Some("replay"));
    assert!(!is_ok && text.contains("has no response to this request"), "{text}");
    assert_eq!(files(&path), before);
    let (text, is_ok) = run(Some("Replay"));
    let names = ["LARDER_CASSETTE", "\"Replay\"", "\"record\"", "\"replay\"", "\"off\""];
    // `Debug` shows the text of an error with escaped quotes.
    let text = text.replace('\\', "");
    assert!(!is_ok && names.iter().all(|name| text.contains(name)), "{text}");
    assert_explained(&text, "LARDER_CASSETTE is");
}
