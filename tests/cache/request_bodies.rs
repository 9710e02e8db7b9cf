//! Requests with equivalent bodies share a response if the layer normalizes them.

use bytes::Bytes;
use http::{Method, Request, request};
use larder::{CacheOptions, Key};

use crate::support::{Double, Reply, Stand, frames, ok, url};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

fn request(method: &str, media_type: &str) -> request::Builder {
    Request::builder().method(method).uri(url("/search")).header("content-type", media_type)
}

/// A cache of responses to `GET`, `POST` and `QUERY`. It normalizes the request bodies.
fn normalizing() -> Stand {
    let query = Method::from_bytes(b"QUERY").unwrap();
    Stand::new(Double::counting()).with(|layer| {
        layer.methods([Method::GET, Method::POST, query]).unwrap().normalize_request_body(true)
    })
}

#[tokio::test]
async fn reordered_json_is_a_hit_and_another_value_is_a_miss() {
    for method in ["POST", "QUERY"] {
        let stand = normalizing();
        let send = async |body: &'static str| stand.send(request(method, JSON), body).await;
        assert!(!send(r#"{"q":"tea","page":{"from":0,"size":10}}"#).await.is_from_store());
        for same in [
            r#"{"page":{"size":10,"from":0},"q":"tea"}"#,
            "{\n  \"q\": \"t\\u0065a\",\n  \"page\": { \"from\": 0, \"size\": 10 }\n}",
        ] {
            assert!(send(same).await.is_hit(), "{method} {same}");
        }
        for other in [
            r#"{"q":"tea","page":{"from":0,"size":20}}"#,
            r#"{"q":"tea","page":{"from":0,"size":"10"}}"#,
            r#"{"q":"tea","page":[0,10]}"#,
            r#"{"q":"tea"}"#,
            r#"{"q":"tea""#,
        ] {
            assert!(!send(other).await.is_from_store(), "{method} {other}");
            assert!(send(other).await.is_hit(), "{method} {other}");
        }
    }
}

#[tokio::test]
async fn without_the_setting_bodies_are_compared_by_bytes() {
    let stand = normalizing().with(|layer| layer.normalize_request_body(false));
    assert!(!stand.send(request("POST", JSON), "[1]").await.is_from_store());
    assert!(!stand.send(request("POST", JSON), "[ 1 ]").await.is_from_store());
    assert!(stand.send(request("POST", JSON), "[ 1 ]").await.is_hit());
}

#[tokio::test]
async fn forms_are_compared_by_their_fields() {
    let stand = normalizing();
    let send = async |body: &'static str| stand.send(request("POST", FORM), body).await;
    assert!(!send("q=green+tea&page=1").await.is_from_store());
    assert!(send("page=1&q=green%20t%65a").await.is_hit());
    assert!(!send("page=1&q=green%20te").await.is_from_store());
    assert!(!send("page=1&page=1&q=green+tea").await.is_from_store());
    let media_type = "application/x-www-form-urlencoded; charset=utf-8";
    let other_type = stand.send(request("POST", media_type), "q=green+tea&page=1").await;
    assert!(!other_type.is_from_store(), "the media type is part of the key");
}

#[tokio::test]
async fn multipart_forms_are_compared_without_their_boundary() {
    let stand = normalizing();
    let send = async |boundary: &str, file: &str| {
        let media_type = format!("multipart/form-data; boundary={boundary}");
        let body = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n{file}\r\n--{boundary}--\r\n"
        );
        stand.send(request("POST", &media_type), body).await
    };
    assert!(!send("----WebKitFormBoundaryVzmDV7f0bzkN2Gkc", "\0\r\n--x").await.is_from_store());
    assert!(send("------------------------d74496d66958873e", "\0\r\n--x").await.is_hit());
    assert!(!send("------------------------d74496d66958873e", "\0\r\n--y").await.is_from_store());
}

#[tokio::test]
async fn the_origin_receives_the_body_as_it_was_sent() {
    let stand = normalizing().with(|l| l.add_ignored_request_body_fields(["/token"]).unwrap());
    let body = "{ \"b\": 1, \"token\": \"t\",\n \"a\": 2 }";
    stand.send(request("POST", JSON), body).await;
    assert_eq!(stand.inner.take_seen()[0].body, body);
}

#[tokio::test]
async fn chunks_of_a_body_do_not_matter() {
    let stand = normalizing();
    let send = async |chunks: &'static [&'static str]| {
        let body = frames(chunks.iter().copied(), None);
        let request = request("POST", JSON).body(body).unwrap();
        Reply::read(stand.call(request).await.unwrap()).await
    };
    assert!(!send(&["{\"a\":\"\\u00", "e9\",", "\"b\":1}"]).await.is_from_store());
    assert!(send(&["{\"b\":1", ",\"a\":\"\u{e9}\"}"]).await.is_hit());
}

#[tokio::test]
async fn ignored_fields_do_not_separate_requests() {
    let stand = normalizing().with(|layer| {
        let layer = layer
            .normalize_request_body(false)
            .add_ignored_request_body_fields(["/auth/token"])
            .unwrap();
        layer.add_ignored_request_body_fields(["Password"]).unwrap()
    });
    let json = async |body: &'static str| stand.send(request("POST", JSON), body).await;
    assert!(!json(r#"{"auth":{"token":"alice"},"q":1}"#).await.is_from_store());
    assert!(json(r#"{"q":1,"password":"x","auth":{"token":"bob"}}"#).await.is_hit());
    assert!(!json(r#"{"q":2,"auth":{"token":"alice"}}"#).await.is_from_store());
    let form = async |body: &'static str| stand.send(request("POST", FORM), body).await;
    assert!(!form("q=1&password=x").await.is_from_store());
    assert!(form("PASSWORD=y&q=1").await.is_hit());
    assert!(!form("q=1&token=y").await.is_from_store());
}

/// Servers read such a body in different ways. It must not share a response with other bodies.
#[tokio::test]
async fn ignored_field_counts_in_a_body_that_servers_read_differently() {
    let stand =
        normalizing().with(|layer| layer.add_ignored_request_body_fields(["csrf"]).unwrap());
    let field = |name: &str| format!("--b\r\nContent-Disposition: form-data; name={name}\r\n\r\n");
    let multipart = |csrf: &str| format!("{}tea\r\n{csrf}x\r\n--b--", field("q"));
    for (media_type, benign, hostile) in [
        (FORM, "q=tea".to_owned(), "q=tea&csrf=x;q=evil".to_owned()),
        (JSON, r#"{"q":1}"#.to_owned(), r#"{"q":1,"csrf":{"__proto__":{"q":2}}}"#.to_owned()),
        (
            "multipart/form-data; boundary=b",
            multipart(&field("csrf")),
            multipart(&field("\"csrf\"; name=\"q\"")),
        ),
    ] {
        let send = async |body: &str| {
            stand.send(request("POST", media_type), Bytes::from(body.to_owned())).await
        };
        assert!(!send(&hostile).await.is_from_store(), "{hostile}");
        assert!(send(&hostile).await.is_hit(), "{hostile}");
        assert!(!send(&benign).await.is_from_store(), "{benign}");
    }
}

#[tokio::test]
async fn requests_with_equal_bodies_share_a_call_in_flight() {
    let (double, gate) = Double::counting().gated();
    let stand = Stand::new(double)
        .with(|layer| layer.methods([Method::POST]).unwrap().normalize_request_body(true));
    let one = tokio::spawn(stand.call(sent(r#"{"a":1,"b":2}"#)));
    let other = tokio::spawn(stand.call(sent(r#"{"b":2,"a":1}"#)));
    while stand.calls() == 0 {
        tokio::task::yield_now().await;
    }
    gate.open(1);
    let one = Reply::read(one.await.unwrap().unwrap()).await;
    let other = Reply::read(other.await.unwrap().unwrap()).await;
    assert_eq!((one.text(), other.text(), stand.calls()), ("1", "1", 1));
}

fn sent(body: &'static str) -> Request<crate::support::TestBody> {
    request("POST", JSON).body(crate::support::full(body)).unwrap()
}

#[tokio::test]
async fn entries_find_the_response_to_a_request_with_an_equal_body() {
    let stand = normalizing();
    stand.send(request("POST", JSON), r#"{"a":1,"b":2}"#).await;
    let entries = stand.layer.entries();
    let of = |body: &'static str| request("POST", JSON).body(Bytes::from(body)).unwrap();
    assert!(entries.contains(&of(r#"{"b":2,"a":1}"#)).await.unwrap());
    assert!(!entries.contains(&of(r#"{"b":2}"#)).await.unwrap());
    assert_eq!(entries.remove(&of(r#"{ "b":2, "a":1 }"#)).await.unwrap(), 1);
    stand.send(request("POST", JSON), r#"{"a":1,"b":2}"#).await;
    stand.send(request("POST", JSON), r#"{"a":2}"#).await;
    assert_eq!(entries.remove(&url("/search")).await.unwrap(), 2, "with any body");
}

#[tokio::test]
async fn key_closure_and_request_key_take_precedence_over_normalization() {
    let stand = normalizing().with(|layer| layer.key_with(|_, body| body.to_vec()));
    stand.send(request("POST", JSON), "[1]").await;
    assert!(!stand.send(request("POST", JSON), "[ 1]").await.is_from_store());

    let stand = normalizing();
    let own = || request("POST", JSON).extension(CacheOptions::new().key(Key::digest("own")));
    stand.send(own(), "[1]").await;
    assert!(stand.send(own(), "[2]").await.is_hit());
}

#[tokio::test]
async fn hostile_body_is_answered_by_the_origin() {
    let stand = normalizing().with(|layer| layer.max_request_body(8 << 20));
    for body in [
        "[".repeat(10_000),
        "{\"a\":".repeat(10_000),
        format!("{}{}", "[".repeat(1 << 20), "]".repeat(1 << 20)),
        format!("[1{}]", "0".repeat(1 << 20)),
        "\u{feff}{}".to_owned(),
        "null".to_owned(),
        "{}x".to_owned(),
    ] {
        let reply = stand.send(request("POST", JSON), body.clone()).await;
        assert!(!reply.is_from_store());
        assert!(stand.send(request("POST", JSON), body).await.is_hit());
    }
    let invalid = Bytes::from_static(b"{\"a\":\"\xff\"}");
    assert!(!stand.send(request("POST", JSON), invalid.clone()).await.is_from_store());
    assert!(stand.send(request("POST", JSON), invalid).await.is_hit());
}

#[tokio::test]
async fn json_request_without_a_body_has_the_key_of_one_without_a_type() {
    let inner = Double::new(|request, call| ok(format!("{call} {}", request.body().len())));
    let stand = Stand::new(inner).with(|layer| layer.normalize_request_body(true));
    stand.send(request("GET", JSON), "").await;
    assert!(stand.get("/search").await.is_hit());
}
