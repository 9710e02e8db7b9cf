//! The files of a cassette in diffs, in edits by hand, and in shared use.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use http::Request;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use larder::{store::ErrorKind, testing::Cassette};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    child::{child, child_path},
    support::{
        Server, assert_explained, client, files, get, place, post, record, recorded, say, send,
    },
};

fn git(folder: &Path, arguments: &[&str]) -> String {
    let own = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
    let output =
        Command::new("git").args(own).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn diff_shows_only_what_has_changed() {
    let (directory, path) = place();
    // A `Date` from the server would change with each recording.
    let server = Server::new(|_, request| {
        let price = if request.headers().contains_key("x-raised") { "13.00" } else { "12.50" };
        let body = format!("{{\n  \"path\": \"{}\",\n  \"price\": {price}\n}}\n", request.uri());
        http::Response::builder()
            .header("content-type", "application/json")
            .header("date", "Mon, 30 Nov 2026 12:00:00 GMT")
            .body(crate::support::full(body))
            .unwrap()
    })
    .await;
    let record_all = async |is_raised: bool, quantity: u8| {
        let recording = client(&record(&path));
        let body = format!(r#"{{"item":"tea","quantity":{quantity}}}"#);
        let order = post(server.url("/orders?page=1"), "application/json", body);
        for mut request in [get(server.url("/price")), order, get(server.url("/stock"))] {
            if is_raised && request.uri().path() == "/price" {
                request.headers_mut().insert("x-raised", "1".parse().unwrap());
            }
            say(&recording, request).await;
        }
    };
    git(directory.path(), &["init", "--quiet"]);
    record_all(false, 1).await;
    assert_eq!(recorded(&path).len(), 6);
    git(directory.path(), &["add", "."]);
    git(directory.path(), &["commit", "--quiet", "--message", "a recording"]);
    let head = recorded(&path)
        .into_iter()
        .find(|(name, _)| name.contains("orders.POST~") && !name.contains(".body."));
    let text = String::from_utf8(head.unwrap().1).unwrap();
    let expected = r#"    "recorded": {
      "headers": [
        "content-type: application/json"
      ],
      "body": [
        "{",
        "  \"item\": \"tea\",",
        "  \"quantity\": 1",
        "}"
      ]
    }"#;
    assert!(text.contains(expected), "{text}");

    // The same responses make no change.
    record_all(false, 1).await;
    assert_eq!(git(directory.path(), &["status", "--porcelain"]), "");

    // Another price changes the body, and its length and checksum in the head.
    record_all(true, 1).await;
    let changed = git(directory.path(), &["diff", "--unified=0"]);
    let is_change = |line: &&str| {
        line.starts_with(['+', '-']) && !line.starts_with("+++") && !line.starts_with("---")
    };
    let lines: Vec<&str> = changed.lines().filter(is_change).collect();
    assert_eq!(lines.iter().filter(|line| line.contains("price")).count(), 2, "{changed}");
    assert!(lines.contains(&"-  \"price\": 12.50") && lines.contains(&"+  \"price\": 13.00"));
    assert!(lines.iter().all(|line| line.contains("price") || line.contains("checksum")));

    // A checkout is a cassette too, without the hidden folder.
    git(directory.path(), &["checkout", "--quiet", "."]);
    fs::remove_dir_all(path.join(".larder")).unwrap();
    let price = server.url("/price");
    server.end().await;
    let replaying = client(&Cassette::replay(&path).unwrap());
    assert!(say(&replaying, get(&price)).await.contains("12.50"));
    assert_eq!(git(directory.path(), &["status", "--porcelain"]), "");
}

fn find(folder: &Path, part: &str) -> PathBuf {
    files(folder).into_keys().find(|path| path.to_str().unwrap().contains(part)).unwrap()
}

#[tokio::test]
async fn body_can_be_edited_by_hand() {
    let (_directory, path) = place();
    let server = Server::counting().await;
    say(&client(&record(&path)), get(server.url("/a"))).await;
    let url = server.url("/a");
    server.end().await;
    fs::write(find(&path, ".body."), "edited").unwrap();
    for cassette in [Cassette::replay(&path), Cassette::record_or_replay(&path)] {
        // With its checksum, the entry counts as damaged. It stays for its owner.
        let error = send(&client(&cassette.unwrap()), get(&url)).await.unwrap_err();
        let error = error.downcast::<larder::store::Error>().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("remove the line `checksum`"), "{error}");
        assert_eq!(fs::read(find(&path, ".body.")).unwrap(), b"edited");
    }
    remove_checksum(&path);
    for cassette in [Cassette::replay(&path), Cassette::record_or_replay(&path)] {
        assert_eq!(say(&client(&cassette.unwrap()), get(&url)).await, "edited");
    }
}

/// The path of the only head.
fn find_head(folder: &Path) -> PathBuf {
    let is_head = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "json");
    files(folder).into_keys().find(is_head).unwrap()
}

/// Removes only the line `checksum` from the only head.
fn remove_checksum(folder: &Path) {
    let head = find_head(folder);
    let text = fs::read_to_string(&head).unwrap();
    let lines = text.split_inclusive('\n');
    let edited: String = lines.filter(|line| !line.contains("\"checksum\"")).collect();
    fs::write(&head, edited).unwrap();
}

/// An unreadable recording must not count as missing, because this would call the real server.
#[tokio::test]
async fn unreadable_head_fails_the_opening() {
    type Edit = fn(&Path, String);
    let edits: [(&str, Edit); 10] = [
        ("merge conflict", |head, text| {
            let text = text.replacen("  \"key\"", "<<<<<<< HEAD\n  \"key\"", 1);
            fs::write(head, text).unwrap();
        }),
        ("cut short", |head, text| fs::write(head, &text[..text.len() / 2]).unwrap()),
        ("empty", |head, _| fs::write(head, "").unwrap()),
        ("byte order mark", |head, text| fs::write(head, "\u{feff}".to_owned() + &text).unwrap()),
        ("comma too many", |head, text| {
            fs::write(head, text.replace("  }\n}", "  },\n}")).unwrap();
        }),
        ("edited", |head, text| fs::write(head, text.replace("200", "404")).unwrap()),
        ("no key", |head, text| {
            let lines = text.lines().filter(|line| !line.contains("\"checksum\""));
            let lines = lines.map(|line| line.replacen("\"key\": \"", "\"key\": \"x", 1) + "\n");
            fs::write(head, lines.collect::<String>()).unwrap();
        }),
        ("no status", |head, text| {
            let lines = text.lines().filter(|line| !line.contains("\"checksum\""));
            let lines = lines.map(|line| line.replacen("200", "99", 1) + "\n");
            fs::write(head, lines.collect::<String>()).unwrap();
        }),
        ("newer", |head, text| {
            fs::write(head, text.replace("\"format\": 1", "\"format\": 2")).unwrap();
        }),
        #[cfg(unix)]
        ("link", |head, text| {
            let real = head.with_file_name("real");
            fs::write(&real, text).unwrap();
            fs::remove_file(head).unwrap();
            std::os::unix::fs::symlink(real, head).unwrap();
        }),
    ];
    for (name, edit) in edits {
        // With and without the index of the run that recorded.
        for is_clone in [false, true] {
            let (_directory, path) = place();
            let server = Server::counting().await;
            say(&client(&record(&path)), get(server.url("/a"))).await;
            let head = find_head(&path);
            // Other files are not changed.
            fs::write(path.join("notes.json"), "{").unwrap();
            fs::write(head.with_file_name("merge~orig.json"), "<<<<<<<").unwrap();
            drop(Cassette::replay(&path).unwrap());
            edit(&head, fs::read_to_string(&head).unwrap());
            let before = recorded(&path);
            let open: [fn(&Path) -> larder::store::Result<Cassette>; 3] = [
                |path| Cassette::replay(path),
                |path| Cassette::record_or_replay(path),
                |path| Cassette::record(path),
            ];
            for open in open {
                if is_clone {
                    // The index is already missing if the folder was only read since.
                    drop(fs::remove_dir_all(path.join(".larder")));
                }
                let error = open(&path).unwrap_err();
                let kind =
                    if name == "newer" { ErrorKind::Incompatible } else { ErrorKind::Corrupt };
                assert_eq!(error.kind(), kind, "{name}: {error}");
                let text = error.to_string();
                assert_explained(&text, "has a recording that cannot be read");
                assert!(text.contains(head.to_str().unwrap()), "{name}: {text}");
                assert!(text.contains("remove"), "{name}: {text}");
                assert!(recorded(&path) == before, "{name}");
            }
            fs::remove_file(&head).unwrap();
            drop(Cassette::record_or_replay(&path).unwrap());
            assert_eq!(server.calls(), 1);
        }
    }
}

#[tokio::test]
async fn an_empty_path_is_refused() {
    for open in [Cassette::replay, Cassette::record_or_replay, Cassette::record] {
        let error = open(String::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("the path of the folder is empty"), "{error}");
    }
}

/// A server confuses later responses if its `Content-Length` does not match the body.
#[tokio::test]
async fn edited_body_and_the_next_response_are_served_whole() {
    for edited in ["short", "longer than before", ""] {
        let (_directory, path) = place();
        let server = Server::counting().await;
        let url = server.url("/a");
        let sent = send(&client(&record(&path)), get(&url)).await.unwrap();
        assert_eq!(sent.headers["content-length"], "8");
        server.end().await;
        fs::write(find(&path, ".body."), edited).unwrap();
        remove_checksum(&path);

        let replaying = client(&Cassette::replay(&path).unwrap());
        let (mut stream, served) = tokio::io::duplex(10_000);
        let service = service_fn(move |_: Request<Incoming>| {
            let (replaying, request) = (replaying.clone(), get(&url));
            async move { replaying.request(request).await }
        });
        let serving = http1::Builder::new().serve_connection(TokioIo::new(served), service);
        let serving = tokio::spawn(serving);
        let requests = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n\
            GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        stream.write_all(requests).await.unwrap();
        let mut received = String::new();
        stream.read_to_string(&mut received).await.unwrap();
        serving.await.unwrap().unwrap();
        let responses: Vec<_> = received.split("HTTP/1.1 200 OK\r\n").collect();
        assert_eq!((responses.len(), responses[0]), (3, ""), "{received}");
        for response in &responses[1..] {
            let (head, body) = response.split_once("\r\n\r\n").unwrap();
            assert_eq!(body, edited);
            assert!(head.contains(&format!("content-length: {}", edited.len())), "{head}");
        }
    }
}

#[tokio::test]
async fn several_tests_share_a_folder() {
    let (_directory, path) = place();
    let server = Server::new(|_, request| crate::support::text(request.uri().path())).await;
    let all = async |open: fn(&PathBuf) -> larder::store::Result<Cassette>| {
        let one = async |test: usize| {
            let client = client(&open(&path).unwrap());
            for number in 0..10 {
                // Some requests are shared by all tests, and the others belong to one test.
                let name = if number < 5 { number } else { number + 10 * test };
                let expected = format!("/{name}");
                assert_eq!(say(&client, get(server.url(&expected))).await, expected);
            }
        };
        futures_util::future::join_all((0..4).map(one)).await;
    };
    all(|path| Cassette::record_or_replay(path)).await;
    assert_eq!(recorded(&path).len(), 2 * (5 + 4 * 5));
    let calls = server.calls();
    all(|path| Cassette::replay(path)).await;
    assert_eq!(server.calls(), calls);
}

#[tokio::test]
async fn several_processes_replay_and_record_into_one_folder() {
    const NAME: &str = "folder::several_processes_replay_and_record_into_one_folder";
    if let Some(word) = child_path() {
        let word = word.to_str().unwrap().to_owned();
        let (url, path) = word.split_once(' ').unwrap();
        let client = client(&Cassette::record_or_replay(path).unwrap());
        for number in 0..20 {
            assert_eq!(say(&client, get(format!("{url}{number}"))).await, format!("/{number}"));
        }
        return;
    }
    let (_directory, path) = place();
    let server = Server::new(|_, request| crate::support::text(request.uri().path())).await;
    let word = format!("{} {}", server.url("/"), path.display());
    let run = async |word: String| {
        let start = || child(NAME, &word).env_remove("LARDER_CASSETTE").spawn().unwrap();
        let children = [start(), start(), start()];
        tokio::task::spawn_blocking(|| {
            for child in children {
                let output = child.wait_with_output().unwrap();
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
            }
        })
        .await
        .unwrap();
    };
    run(word.clone()).await;
    assert_eq!(recorded(&path).len(), 40);
    let (calls, before) = (server.calls(), recorded(&path));
    run(word).await;
    assert_eq!((server.calls(), recorded(&path)), (calls, before));
}

#[tokio::test]
async fn unrecordable_response_fails_the_next_request() {
    let (_directory, path) = place();
    let server = Server::counting().await;
    let recording = client(&record(&path));
    // A file takes the place of its folder.
    let host = server.address.to_string().replace(':', "_");
    fs::write(path.join(host), "in the way").unwrap();
    assert_eq!(say(&recording, get(server.url("/a"))).await, "answer 1");
    let error = send(&recording, get(server.url("/b"))).await.unwrap_err();
    assert_explained(&error.to_string(), "an earlier response could not be recorded");
    assert_eq!(server.calls(), 1);
}

/// Clients send headers in varying orders, and a server may number its answers.
#[tokio::test]
async fn header_order_and_earlier_recordings_do_not_change_the_files() {
    let (_directory, path) = place();
    let server = Server::new(|_, request| {
        let mut reply = crate::support::text(request.uri().path());
        let date = "Mon, 30 Nov 2026 12:00:00 GMT".parse().unwrap();
        reply.headers_mut().insert("date", date);
        reply
    })
    .await;
    let record_all = async |names: [&'static str; 3], in_order: bool| {
        let recording = client(&record(&path).in_order(in_order));
        for url in ["/a", "/a", "/b", "/a"] {
            let mut request = get(server.url(url));
            for name in names {
                request.headers_mut().insert(name, name.parse().unwrap());
            }
            say(&recording, request).await;
        }
        recorded(&path)
    };
    let names = ["accept", "range", "accept-language"];
    let first = record_all(names, true).await;
    assert_eq!(first.len(), 8);
    let numbers = first.values().filter(|bytes| String::from_utf8_lossy(bytes).contains("number"));
    assert_eq!(numbers.count(), 2, "the first request of each kind has no number");
    let again = record_all(["accept-language", "range", "accept"], true).await;
    assert_eq!(again, first);
    // Without the order, the recordings of later requests stay, and nothing else changes.
    assert_eq!(record_all(names, false).await, first);
}
