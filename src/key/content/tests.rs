//! Which bodies share a key, and the format of their keys.

use http::{Request, request};
use proptest::prelude::*;

use super::{
    super::{Key, recipe::Recipe},
    *,
};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

fn recipe(ignored: &[&str]) -> Recipe {
    let mut recipe = Recipe::default();
    recipe.body.is_on = true;
    ignored.iter().for_each(|field| recipe.body.ignored.add(field).unwrap());
    recipe
}

fn post(media_type: &str) -> request::Builder {
    Request::post("http://example.com/").header("content-type", media_type)
}

fn key_of(recipe: &Recipe, request: request::Builder, body: impl AsRef<[u8]>) -> Key {
    let chunks: Vec<_> = body.as_ref().chunks(7).map(Bytes::copy_from_slice).collect();
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let normal = recipe.normal_body(&parts.headers, &chunks);
    let content = Content { chunks: &chunks, normal, ..Content::default() };
    recipe.primary(&parts.method, &recipe.url(&parts).unwrap(), &parts, content)
}

fn multipart(boundary: &str, user: &str) -> (String, String) {
    let body = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\n{user}\r\n\
         --{boundary}--\r\n"
    );
    (format!("multipart/form-data; boundary={boundary}"), body)
}

/// The format of the keys of normalised bodies, version 1. These vectors never change.
#[test]
fn golden_vectors() {
    let secret = Recipe { secret: Some([7; 32]), ..recipe(&[]) };
    let (media_type, form) = multipart("X-BOUNDARY", "a");
    let json = r#"{"b":[1.0,"\u0061"],"a":{"d":null,"c":true}}"#;
    for (name, key, expected) in [
        (
            "json",
            key_of(&recipe(&[]), post(JSON), json),
            "96d54bbb1b7e80648ba6105dd5fc414393c3093e44c87438f50ef7cb8660aceb",
        ),
        (
            "json, secret",
            key_of(&secret, post(JSON), json),
            "e3b7b257d4ebcc1d16e3e616ba75b1d8c1f6689cc5d6e57e64b16d92126e086f",
        ),
        (
            "form",
            key_of(&recipe(&[]), post(FORM), "b=%41&a=1+2"),
            "9e9ee217a312b3b1f33d23b1ed76cc16ad90b410d1aa4a38f6e8a7e7a86e91de",
        ),
        (
            "multipart",
            key_of(&recipe(&[]), post(&media_type), form),
            "07d88c196aaaf8c59e16e88db41a5c73fee9251d4fb4e7302ade38745b8531a5",
        ),
        (
            "ignored",
            key_of(&recipe(&["/a/d"]), post(JSON), json),
            "23ddcf1e150042441a1cb6670eb8c467d5087074321ec1fe553c58a51f346bf5",
        ),
    ] {
        assert_eq!(key.to_string(), expected, "{name}");
    }
}

/// Run it with `--nocapture` to see the keys.
#[test]
fn ten_pairs_of_bodies() {
    let (one_boundary, one_form) = multipart("----WebKitFormBoundaryVzmDV7f0bzkN2Gkc", "alice");
    let (boundary, other_form) = multipart("------------------------d74496d66958873e", "alice");
    let pairs = [
        (JSON, r#"{"a":1,"b":{"c":2,"d":3}}"#, JSON, r#"{ "b": {"d":3, "c":2}, "a": 1 }"#, true),
        (JSON, r#"{"a":"\u0061\/b"}"#, JSON, r#"{"\u0061":"a/b"}"#, true),
        (JSON, "[1,2]", JSON, "[2,1]", false),
        (JSON, r#"{"a":1}"#, JSON, r#"{"a":1.0}"#, false),
        (JSON, r#"{"a":1,"a":2}"#, JSON, r#"{"a":2,"a":1}"#, false),
        (JSON, r#"{"a":"1"}"#, JSON, r#"{"a":1}"#, false),
        (FORM, "a=%41&b=1+2", FORM, "b=1%202&a=A", true),
        (FORM, "a=1&a=2", FORM, "a=2&a=1", false),
        (&one_boundary, &one_form, &boundary, &other_form, true),
        (JSON, r#"{"a":1}"#, "text/plain", r#"{"a":1}"#, false),
    ];
    for (one_type, one, other_type, other, is_equal) in pairs {
        let one_key = key_of(&recipe(&[]), post(one_type), one);
        let other_key = key_of(&recipe(&[]), post(other_type), other);
        let relation = if one_key == other_key { "equal" } else { "different" };
        println!("{one_key:.16} {other_key:.16} {relation:9} {one:?} {other:?}");
        assert_eq!(one_key == other_key, is_equal, "{one:?} {other:?}");
        let bytes = |media_type, body| key_of(&Recipe::default(), post(media_type), body);
        assert_ne!(bytes(one_type, one), bytes(other_type, other), "the setting is off");
    }
}

#[test]
fn bodies_without_a_canonical_form_have_the_key_of_their_bytes() {
    let (media_type, form) = multipart("x", "alice");
    let gzip = || post(JSON).header("content-encoding", "gzip");
    let mut not_utf8 = b"{\"a\":\"".to_vec();
    not_utf8.extend_from_slice(b"\xff\"}");
    for (request, body) in [
        (post(JSON), &b"{\"a\":1"[..]),
        (post(JSON), b"{\"a\":1} x"),
        (post(JSON), b"\xef\xbb\xbf{}"),
        (post(JSON), b" "),
        (post(JSON), &not_utf8),
        (post(JSON), "[".repeat(10_000).as_bytes()),
        (post("application/json; charset=utf-16"), b"{}"),
        (gzip(), b"{}"),
        (post("text/plain"), b"{}"),
        (post(FORM), b"a=%"),
        (post(&media_type), &form.as_bytes()[1..]),
        (Request::post("http://example.com/"), b"{}"),
        (post(JSON), b""),
    ] {
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let builder = || {
            let mut builder = Request::post("http://example.com/");
            *builder.headers_mut().unwrap() = parts.headers.clone();
            builder
        };
        let by_bytes = key_of(&Recipe::default(), builder(), body);
        assert_eq!(key_of(&recipe(&["a"]), builder(), body), by_bytes, "{:?}", parts.headers);
    }
}

#[test]
fn a_canonical_form_equals_no_other_content() {
    let json = "{\"a\":1}";
    let document = key_of(&recipe(&[]), post(JSON), json);
    // The same bytes, which are in canonical form already.
    assert_ne!(document, key_of(&Recipe::default(), post(JSON), json));
    assert_ne!(document, key_of(&recipe(&[]), post("application/problem+json"), json));
    let mut keys: Vec<Key> = [
        key_of(&recipe(&["a"]), post(JSON), "{\"a\":1}"),
        key_of(&recipe(&["a"]), post(JSON), ""),
        key_of(&recipe(&["a"]), post(JSON), "null"),
        key_of(&recipe(&["a"]), post(JSON), "[]"),
        key_of(&recipe(&["a"]), post(FORM), "a=1"),
        key_of(&recipe(&["a"]), post(FORM), "&"),
        key_of(&recipe(&["a"]), post("multipart/form-data; boundary=b"), "--b--"),
        key_of(&recipe(&["a"]), post("multipart/form-data; boundary=b"), "--b\r\n\r\n--b--"),
    ]
    .into();
    let len = keys.len();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), len);
}

#[test]
fn ignored_fields_do_not_count_whether_they_are_there_or_not() {
    let recipe = recipe(&["/auth/token", "password"]);
    let json = |body: &str| key_of(&recipe, post(JSON), body);
    assert_eq!(json(r#"{"auth":{"token":"s"},"q":1}"#), json(r#"{"q":1,"auth":{}}"#));
    assert_eq!(json(r#"{"Password":"s","q":1}"#), json(r#"{"q":1}"#));
    assert_ne!(json(r#"{"auth":{"token":"s"},"q":1}"#), json(r#"{"q":1}"#));
    let form = |body: &str| key_of(&recipe, post(FORM), body);
    assert_eq!(form("q=1&password=s"), form("q=1"));
    assert_ne!(form("q=1&token=s"), form("q=1"));
    let (media_type, with_user) = multipart("b", "alice");
    let password = with_user.replace("\"user\"", "\"PASSWORD\"");
    let empty = key_of(&recipe, post(&media_type), "--b--\r\n");
    assert_eq!(key_of(&recipe, post(&media_type), password), empty);
    assert_ne!(key_of(&recipe, post(&media_type), with_user), empty);
}

#[test]
fn a_boundary_counts_neither_in_a_named_header_nor_among_all() {
    for all in [false, true] {
        let mut recipe = recipe(&[]);
        recipe.headers.set_all(all);
        recipe.headers.add(http::header::CONTENT_TYPE);
        let key = |boundary, user| {
            let (media_type, body) = multipart(boundary, user);
            key_of(&recipe, post(&media_type), body)
        };
        assert_eq!(key("one", "alice"), key("other", "alice"));
        assert_ne!(key("one", "alice"), key("one", "bob"));
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(
        media_type in prop_oneof![
            Just(JSON),
            Just(FORM),
            Just("multipart/form-data; boundary=b"),
            "[a-z/;=\" +\\\\]{0,40}".prop_map(|text| &*text.leak()),
        ],
        body in prop_oneof![
            "(--b|-|\r\n|a|\\{|:|\"|=|&|%|%41|;|content-disposition:|name){0,20}"
                .prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..60),
        ],
    ) {
        let recipe = recipe(&["a", "/a/0"]);
        prop_assert_eq!(
            key_of(&recipe, post(media_type), &body),
            key_of(&recipe, post(media_type), &body)
        );
    }

    /// Forms of few names and values, of which many pairs are equal.
    #[test]
    fn forms_are_equal_only_if_the_fields_of_each_name_are(
        one in prop::collection::vec(("[ab]", "[ +]?"), 1..4),
        other in prop::collection::vec(("[ab]", "[ +]?"), 1..4),
    ) {
        let sorted = |fields: &[(String, String)]| {
            let mut fields = fields.to_vec();
            fields.sort_by(|a, b| a.0.cmp(&b.0));
            fields
        };
        let form = |fields: &[(String, String)], space: &str| {
            let value = |value: &str| value.replace('+', "%2B").replace(' ', space);
            let fields = fields.iter().map(|(name, text)| format!("{name}={}", value(text)));
            key_of(&recipe(&[]), post(FORM), fields.collect::<Vec<_>>().join("&"))
        };
        let is_equal = sorted(&one) == sorted(&other);
        prop_assert_eq!(form(&one, "+") == form(&other, "%20"), is_equal);
    }
}
