//! The error for an unknown request.

use http::Method;
use larder::testing::{Cassette, Unrecorded};

use crate::support::{Server, assert_explained, client, get, place, post, record, say, send};

const JSON: &str = "application/json";

/// The text of the error, with the address of the server and the digest of the file replaced.
fn shown(text: &str, server: &Server) -> String {
    let text = text.replace(&server.address.to_string(), "shop.test");
    let text = text.replace(&server.address.to_string().replace(':', "_"), "shop.test");
    match text.split_once('~') {
        Some((before, after)) => format!("{before}~{}", &after[8..]),
        None => text,
    }
}

#[tokio::test]
async fn error_shows_the_request_the_nearest_one_and_their_differences() {
    let (_directory, path) = place();
    let server = Server::counting().await;
    let recording = client(&record(&path));
    let orders = server.url("/orders?page=1&sort=up&api_key=secret");
    let body = r#"{"item":"tea","count":1,"api_key":"secret"}"#;
    let mut request = post(orders, JSON, body);
    request.headers_mut().insert("accept", "text/html".parse().unwrap());
    say(&recording, request).await;
    say(&recording, get(server.url("/orders"))).await;
    say(&recording, post(server.url("/item"), JSON, body)).await;
    drop(recording);

    let replaying = client(&Cassette::replay(&path).unwrap());
    let body = r#"{"count":2,"item":"tea","api_key":"other"}"#;
    let request = post(server.url("/orders?page=2&to=bob&api_key=other"), JSON, body);
    let error = send(&replaying, request).await.unwrap_err();
    let error = error.downcast::<Unrecorded>().unwrap();
    assert_eq!(
        (error.method(), error.url()),
        (&Method::POST, &*server.url("/orders?page=2&to=bob"))
    );
    let expected = format!(
        r#"the cassette {} has no response to this request:
  POST http://shop.test/orders?page=2&to=bob
  content-type: application/json
  body of 42 bytes:
    {{
      "count": 2,
      "item": "tea"
    }}
the nearest recorded one is shop.test/orders.POST~.json:
  POST http://shop.test/orders?page=1&sort=up
they differ:
  parameter `page`: sent "2", recorded "1"
  parameter `sort`: not sent, recorded "up"
  parameter `to`: sent "bob", not recorded
  header `accept`: not sent, recorded "text/html"
  body (- recorded, + sent):
    -   "count": 1,
    +   "count": 2,
to record the request, use Cassette::record, or set LARDER_CASSETTE=record if the test uses Cassette::record_or_replay"#,
        path.display()
    );
    assert_eq!(shown(&error.to_string(), &server), expected);
    // `unwrap` shows this text.
    assert_eq!(format!("{error:?}"), error.to_string());
    assert_explained(&error.to_string(), "has no response to this request");
}

#[tokio::test]
async fn the_error_names_another_method_host_or_path() {
    let (_directory, path) = place();
    let server = Server::counting().await;
    let recording = client(&record(&path));
    say(&recording, get(server.url("/items/1"))).await;
    say(&recording, get(server.url("/customers"))).await;
    drop(recording);
    let replaying = client(&Cassette::replay(&path).unwrap());
    let text = async |request| {
        let error = send(&replaying, request).await.unwrap_err();
        shown(&error.to_string(), &server)
    };
    let of_path = text(get(server.url("/items/2"))).await;
    assert!(of_path.contains("items/1~.json:\n"), "{of_path}");
    assert!(of_path.contains("  path: sent \"/items/2\", recorded \"/items/1\"\n"), "{of_path}");
    let of_method = text(post(server.url("/customers"), JSON, "{}")).await;
    assert!(of_method.contains("  method: sent \"POST\", recorded \"GET\"\n"), "{of_method}");
    let of_host = text(get("http://other.test/customers")).await;
    let expected = "  host: sent \"http://other.test\", recorded \"http://shop.test\"\n";
    assert!(of_host.contains(expected), "{of_host}");
}

#[tokio::test]
async fn empty_folder_is_reported() {
    let (_directory, path) = place();
    std::fs::create_dir(&path).unwrap();
    let replaying = client(&Cassette::replay(&path).unwrap());
    let error = send(&replaying, get("http://shop.test/")).await.unwrap_err();
    assert!(error.to_string().contains("nothing is recorded in the folder"), "{error}");
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 0);
}

#[tokio::test]
async fn long_bodies_are_cut_and_control_characters_left_out() {
    let (_directory, path) = place();
    std::fs::create_dir(&path).unwrap();
    let replaying = client(&Cassette::replay(&path).unwrap());
    let body = "\u{1b}[31mred\n".to_owned() + &"line\n".repeat(30);
    let error = send(&replaying, post("http://shop.test/", "text/plain", body)).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("    [31mred\n") && text.contains("(11 more lines)"), "{text}");
}

/// A recording is a file that another person may have made.
#[tokio::test]
async fn the_error_shows_no_control_characters() {
    let (_directory, path) = place();
    let server = Server::counting().await;
    let with = |path: &str| {
        let mut request = get(server.url(path));
        // U+009B begins a sequence, like ESC [.
        let value = http::HeaderValue::from_bytes(b"\xc2\x9b31m\xe2\x80\xaeb").unwrap();
        request.headers_mut().insert("accept", value);
        request
    };
    say(&client(&record(&path)), with("/a")).await;
    let replaying = client(&Cassette::replay(&path).unwrap());
    for request in [with("/b"), get(server.url("/a"))] {
        let text = send(&replaying, request).await.unwrap_err().to_string();
        let is_bad = |char: char| (char.is_control() && char != '\n') || char == '\u{202e}';
        assert!(!text.chars().any(is_bad), "{text:?}");
        assert!(text.contains("31mb") || text.contains("\\u{9b}31m\\u{202e}b"), "{text}");
    }
}

#[tokio::test]
async fn error_shows_a_host_that_differs_from_the_url() {
    let (_directory, path) = place();
    let server = Server::counting().await;
    let with = |host: &'static str| {
        let mut request = get(server.url("/"));
        request.headers_mut().insert("host", http::HeaderValue::from_static(host));
        request
    };
    say(&client(&record(&path)), with("one.test")).await;
    let replaying = client(&Cassette::replay(&path).unwrap());
    assert_eq!(say(&replaying, with("one.test")).await, "answer 1");
    let error = send(&replaying, with("other.test")).await.unwrap_err().to_string();
    assert!(error.contains("header `host`: sent \"other.test\", recorded \"one.test\""), "{error}");
}
