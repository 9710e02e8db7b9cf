//! A folder contains no secret, and a replay with other secrets finds the same responses.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use larder::testing::Cassette;

use crate::support::{Server, client, files, full, get, place, post, record, send};

fn with_settings(cassette: Cassette) -> Cassette {
    cassette
        .add_ignored_headers(["x-session"])
        .unwrap()
        .add_ignored_parameters(["sig*"])
        .unwrap()
        .add_ignored_request_body_fields(["password", "/auth/token"])
        .unwrap()
}

/// Requests with `secret` in every place that is ignored.
fn requests(server: &Server, secret: &str) -> Vec<Request<Full<Bytes>>> {
    let url = server.url(&format!("/a?access_token={secret}&q=1&API_KEY={secret}&sig1={secret}"));
    let authority = url.strip_prefix("http://").unwrap();
    let multipart = format!(
        "--b\r\ncontent-disposition: form-data; name=\"password\"\r\n\r\n{secret}\r\n--b\r\n\
         content-disposition: form-data; name=\"user\"\r\n\r\nalice\r\n--b--\r\n"
    );
    let json = format!(
        r#"{{"user":"alice","password":"{secret}","auth":{{"token":"{secret}"}},"api_key":"{secret}"}}"#
    );
    let mut requests = vec![
        get(&url),
        get(format!("http://alice:{secret}@{authority}&with=userinfo")),
        post(&url, "application/json", json),
        post(
            &url,
            "application/x-www-form-urlencoded",
            format!("user=alice&password={secret}&access_token={secret}"),
        ),
        post(&url, "multipart/form-data; boundary=b", multipart),
    ];
    for request in &mut requests {
        for name in [
            "authorization",
            "proxy-authorization",
            "cookie",
            "x-api-key",
            "x-auth-token",
            "x-api-token",
            "x-access-token",
            "x-session",
            "x-not-in-the-key",
        ] {
            request.headers_mut().insert(name, secret.parse().unwrap());
        }
    }
    requests
}

#[tokio::test]
async fn folder_has_no_secret_and_other_secrets_find_the_same_responses() {
    let (_directory, path) = place();
    const SECRET: &str = "hunter2hunter2";
    let server = Server::new(|_, request| {
        let secret = request.headers()["x-api-key"].to_str().unwrap();
        Response::builder()
            .header("set-cookie", format!("id={secret}"))
            .header("x-session", secret)
            .header("x-api-key", secret)
            .header("location", format!("/next?page=2&access_token={secret}"))
            .header("link", format!("</next?api_key={secret}&page=2>; rel=next"))
            .header("content-location", format!("http://alice:{secret}@a/a?sig={secret}"))
            .body(full("fine"))
            .unwrap()
    })
    .await;
    let recording = client(&with_settings(record(&path)));
    let sent = requests(&server, SECRET);
    for request in sent.clone() {
        let received = send(&recording, request).await.unwrap();
        // The caller receives everything that the server sent.
        assert_eq!(received.headers["set-cookie"], format!("id={SECRET}"));
        assert!(received.headers["location"].to_str().unwrap().contains(SECRET));
    }
    drop(recording);
    assert_eq!(server.calls(), sent.len());

    let files = files(&path);
    // Each exchange has two files.
    assert!(files.len() >= 2 * sent.len());
    let hex: String = SECRET.bytes().map(|byte| format!("{byte:02x}")).collect();
    for (file, (bytes, _)) in &files {
        let text = format!("{} {}", file.display(), String::from_utf8_lossy(bytes));
        for secret in [SECRET, &hex] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(!text.contains("set-cookie"), "{text}");
    }

    let other = requests(&server, "another");
    server.end().await;
    let replaying = client(&with_settings(Cassette::replay(&path).unwrap()));
    for request in other {
        let received = send(&replaying, request).await.unwrap();
        assert_eq!(received.body, "fine");
        assert_eq!(received.headers["location"], "/next?page=2");
        assert_eq!(received.headers["link"], "</next?page=2>; rel=next");
        assert_eq!(received.headers["content-location"], "http://a/a");
        assert!(!received.headers.contains_key("set-cookie"));
    }
}

#[tokio::test]
async fn errors_and_debug_show_no_secret() {
    let (_directory, path) = place();
    let server = Server::counting().await;
    let cassette = with_settings(record(&path));
    send(&client(&cassette), get(server.url("/recorded"))).await.unwrap();
    let replaying = client(&with_settings(Cassette::replay(&path).unwrap()));
    for request in requests(&server, "hunter2hunter2") {
        let error = send(&replaying, request).await.unwrap_err();
        let text = format!("{error} {error:?} {replaying:?} {cassette:?}");
        assert!(text.contains("has no response") && !text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn secrets_named_by_a_setting_are_in_the_key_and_in_no_file() {
    for name in ["authorization", "x-api-key", "x-session", "x-amz-security-token"] {
        let (_directory, path) = place();
        let server = Server::counting().await;
        let named = |cassette| with_settings(cassette).add_key_headers([name]).unwrap();
        let as_user = |user: &str| {
            let mut request = get(server.url("/me"));
            request.headers_mut().insert(name, user.parse().unwrap());
            request
        };
        let recording = client(&named(record(&path)));
        for user in ["alice-secret", "bob-secret"] {
            send(&recording, as_user(user)).await.unwrap();
        }
        let replaying = client(&named(Cassette::replay(&path).unwrap()));
        let body = async |user| send(&replaying, as_user(user)).await.unwrap().body;
        assert_eq!(body("alice-secret").await, "answer 1");
        assert_eq!(body("bob-secret").await, "answer 2");
        for (bytes, _) in files(&path).values() {
            assert!(!String::from_utf8_lossy(bytes).contains("-secret"), "{name}");
        }
    }
}

#[tokio::test]
async fn fields_and_trailers_with_the_names_of_secrets_are_not_recorded() {
    const SECRETS: [&str; 10] = [
        "x-subject-token",
        "x-amz-security-token",
        "x-csrf-token",
        "authentication-info",
        "x-session-id",
        "x-auth-key",
        "x-access-key",
        "x-goog-iap-jwt-assertion",
        "set-cookie",
        "x-mine",
    ];
    const OTHERS: [&str; 3] =
        ["x-ratelimit-remaining-tokens", "access-control-allow-credentials", "etag"];
    fn fields() -> HeaderMap {
        let secrets = SECRETS.map(|name| (name, "hunter2"));
        let others = OTHERS.map(|name| (name, "7"));
        let field =
            |(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        secrets.into_iter().chain(others).map(field).collect()
    }
    let (_directory, path) = place();
    let server = Server::new(|_, _| {
        let frames = [Frame::data(Bytes::from("fine")), Frame::trailers(fields())];
        let body = StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>))).boxed();
        let mut response = Response::new(body);
        *response.headers_mut() = fields();
        let names = [&SECRETS[..], &OTHERS].concat().join(", ");
        response.headers_mut().insert("trailer", names.parse().unwrap());
        response
    })
    .await;
    let request = || {
        let mut request = get(server.url("/"));
        request.headers_mut().insert("te", HeaderValue::from_static("trailers"));
        request
    };
    let settings = |cassette: Cassette| cassette.add_ignored_headers(["x-mine"]).unwrap();
    let received = send(&client(&settings(record(&path))), request()).await.unwrap();
    // The caller receives everything that the server sent.
    let mut trailers = fields();
    // No server sends this field as a trailer.
    trailers.remove("set-cookie");
    assert_eq!(received.trailers, Some(trailers));
    assert!(SECRETS.iter().all(|name| received.headers[*name] == "hunter2"));

    let replaying = client(&settings(Cassette::replay(&path).unwrap()));
    let replayed = send(&replaying, request()).await.unwrap();
    let trailers = replayed.trailers.unwrap();
    assert!(OTHERS.iter().all(|name| replayed.headers[*name] == "7" && trailers[*name] == "7"));
    assert_eq!(trailers.len(), OTHERS.len());
    for (file, (bytes, _)) in files(&path) {
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("hunter2"), "{}: {text}", file.display());
    }
}

/// Values that an audit of this crate found in its files.
#[tokio::test]
async fn secrets_anywhere_in_urls_are_in_no_file() {
    const SECRET: &str = "hunter2";
    const FIELDS: [(&str, &str); 9] = [
        ("location", "https://u:hunter2@h/x?access_token=hunter2&a=1#access_token=hunter2"),
        ("content-location", "/login?next=%2Fcb%3Faccess_token%3Dhunter2"),
        ("link", "<https://u:hunter2@h/>; rel=next, </x?a=1;access_token=hunter2>; rel=up"),
        ("refresh", "0; url=http://h/?access_token=hunter2"),
        ("x-path", "/x;access_token=hunter2"),
        ("x-amp", "/x?a=1&amp;access_token=hunter2"),
        ("x-back", "/x?back=https%3A%2F%2Fu%3Ahunter2%40h%2F"),
        ("x-encoded", "http://h/?ACCESS%5FTOKEN=hunter2"),
        ("server-timing", "a;desc=\"?access_token=hunter2\""),
    ];
    let (_directory, path) = place();
    let server = Server::new(|_, _| {
        let mut response = Response::new(full("fine"));
        for (name, value) in FIELDS {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    })
    .await;
    let urls = [
        "/a?a=1;access_token=hunter2",
        "/a?access_token=hunter2;b=1",
        "/a;access_token=hunter2?b=1",
        "/a?next=%2Fy%3Faccess_token%3Dhunter2",
        "/a?next=/y?access_token=hunter2",
        "/a?next=https%3A%2F%2Fu%3Ahunter2%40h%2F",
    ];
    let mut requests: Vec<_> = urls.map(|url| get(server.url(url))).into();
    for (name, value) in [
        ("destination", "https://u:hunter2@h/x?access_token=hunter2"),
        ("soapaction", "\"urn:x?access_token=hunter2\""),
        ("if-none-match", "\"?access_token=hunter2\""),
    ] {
        let mut request = get(server.url("/b"));
        request.headers_mut().insert(name, HeaderValue::from_static(value));
        requests.push(request);
    }
    let recording = client(&record(&path));
    for request in &requests {
        let received = send(&recording, request.clone()).await.unwrap();
        assert!(FIELDS.iter().all(|(name, value)| received.headers[*name] == value));
    }
    for (file, (bytes, _)) in files(&path) {
        let text = format!("{} {}", file.display(), String::from_utf8_lossy(&bytes));
        assert!(!text.contains(SECRET), "{text}");
    }
    // The same request is replayed. Another secret makes another request.
    let replaying = client(&Cassette::replay(&path).unwrap());
    for request in requests {
        let replayed = send(&replaying, request.clone()).await.unwrap();
        assert_eq!(replayed.headers["location"], "https://h/x?a=1");
        assert_eq!(replayed.headers["link"], "<https://h/>; rel=next, </x?a=1>; rel=up");
        assert_eq!(replayed.headers["x-amp"], "/x?a=1&amp");
        let other = request.uri().to_string().replace("/a", "/other").replace("/b", "/other");
        let (mut parts, body) = request.into_parts();
        parts.uri = other.parse().unwrap();
        let error = send(&replaying, Request::from_parts(parts, body)).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains(SECRET), "{error}");
    }
}
