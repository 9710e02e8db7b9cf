//! The key format: golden vectors, and what keys distinguish.

use http::header;

use super::*;

fn parts(request: http::request::Builder) -> request::Parts {
    request.body(()).unwrap().into_parts().0
}

fn key_of(recipe: &Recipe, request: http::request::Builder, body: &'static str) -> Key {
    let parts = parts(request);
    let url = recipe.url(&parts).unwrap();
    let chunks = [Bytes::from_static(body.as_bytes())];
    let content = Content { chunks: &chunks, ..Content::default() };
    recipe.primary(&parts.method, &url, &parts, content)
}

fn key(request: http::request::Builder) -> Key {
    key_of(&Recipe::default(), request, "")
}

/// The key format, version 1. These vectors never change. Another format needs another version
/// in the domain strings.
#[test]
fn golden_vectors() {
    let recipe = Recipe { secret: Some([7; 32]), ..Recipe::default() };
    let get = || Request::get("http://example.com/a?b=c");
    for (name, key, expected) in [
        ("get", key(get()), "50f9f2f47a28211ae1b15b6f6ecdc55ad9f746d175a13e98dd1b1367ebbc8551"),
        (
            "authorization",
            key(get().header("authorization", "Bearer t")),
            "857fbada002ba71609d109538319aea66c43e5a693af530a0697e043fcbf7391",
        ),
        (
            "another host",
            key(get().header("host", "Other.example:81")),
            "b8a3f6d045a22eb4b68b4a7348574d02acf60744c48401f1c63436aa0dbdd78d",
        ),
        (
            "user information",
            key(Request::get("http://me:pw@example.com/a?b=c")),
            "5f17690a22c620482e659d65f788398cad8c65f99f9d6b48f311c29648a01517",
        ),
        (
            "secret",
            key_of(&recipe, get(), ""),
            "edc2251ad776d838bd2c81943ca6b8f880a268f63fed1dc838cdeb508a599d28",
        ),
        (
            "post",
            key_of(
                &Recipe::default(),
                Request::post("http://example.com/").header("content-type", "text/plain"),
                "body",
            ),
            "f8ee0cb66ae85f7952cf3d0b08e60d6c3110db2553e713b27d7942664c4bb30d",
        ),
        (
            "variant",
            Recipe::default().variant(
                &key(get()),
                &[header::ACCEPT_ENCODING, header::ORIGIN],
                &parts(get().header("accept-encoding", "gzip, BR")).headers,
            ),
            "ad1a9002198fe61c5bf635dede4c673a869db274d98b5fb5f7e5e0c510650e35",
        ),
        (
            "other variant",
            Recipe::default().other(&key(get()), 7),
            "f76d50b9b4e088af37449c7bf66e82a477f167b192d7e67f5148736a820f5750",
        ),
        (
            "named",
            Key::digest("name"),
            "e2b8dab017fd23e66eadef92f133855a413270af027507b13f65a3f34e144361",
        ),
    ] {
        assert_eq!(key.to_string(), expected, "{name}");
    }
    assert_eq!(
        &*Recipe::default().url_tag("http://example.com/"),
        "larder:url:3ea0ae7cb9bb63784b13a43247feff9d"
    );
}

#[test]
fn requests_without_headers_and_body_have_the_plain_key() {
    for secret in [None, Some([7; 32])] {
        let recipe = Recipe { secret, ..Recipe::default() };
        let plain = recipe.plain(&Method::GET, "http://a/x");
        assert_eq!(plain, key_of(&recipe, Request::get("http://a/x"), ""));
        let with_cookie = Request::get("http://a/x").header("cookie", "a=1");
        assert_ne!(plain, key_of(&recipe, with_cookie, ""));
    }
}

#[test]
fn a_key_is_the_same_with_and_without_a_copy_of_the_url() {
    for as_sent in [false, true] {
        let recipe = Recipe { as_sent, ..Recipe::default() };
        for url in ["http://a/x?y=z", "http://A:80/%7e/../b", "http://me:pw@a/", "https://a:8443/"]
        {
            let parts = parts(Request::get(url).header("cookie", "a=1"));
            let made = recipe.url(&parts).unwrap();
            let made = recipe.primary(&Method::GET, &made, &parts, Content::default());
            assert_eq!(recipe.primary_without_content(&parts), Ok(made), "{url}");
        }
    }
    assert_eq!(
        Recipe::default().primary_without_content(&parts(Request::get("*"))),
        Err(InvalidTarget)
    );
}

#[test]
fn keys_differ_by_user_and_not_by_the_case_of_header_names() {
    let get = || Request::get("http://a/");
    assert_ne!(
        key(get().header("authorization", "Bearer alice")),
        key(get().header("authorization", "Bearer bob"))
    );
    assert_ne!(key(get().header("cookie", "a=1")), key(get()));
    assert_ne!(key(Request::get("http://alice:x@a/")), key(Request::get("http://bob:x@a/")));
    assert_eq!(
        key(get().header("AUTHORIZATION", "Bearer alice")),
        key(get().header("authorization", " Bearer alice "))
    );
}

#[test]
fn bodies_differ_by_bytes_and_by_type() {
    let post = |kind: &str| Request::post("http://a/").header("content-type", kind);
    let of = |request, body| key_of(&Recipe::default(), request, body);
    assert_ne!(of(post("text/plain"), "1"), of(post("text/plain"), "\"1\""));
    assert_ne!(
        of(post("application/json"), "a=1"),
        of(post("application/x-www-form-urlencoded"), "a=1")
    );
    assert_ne!(of(post("text/plain"), ""), of(post("text/plain"), "x"));
    assert_ne!(of(post("text/plain"), "x"), of(Request::get("http://a/"), "x"));
}

#[test]
fn chunking_does_not_change_the_key() {
    let parts = parts(Request::post("http://a/"));
    let recipe = Recipe::default();
    let url = recipe.url(&parts).unwrap();
    let whole = [Bytes::from_static(b"abcd")];
    let pieces = [Bytes::from_static(b"a"), Bytes::from_static(b"bcd")];
    let key = |chunks| {
        recipe.primary(&parts.method, &url, &parts, Content { chunks, ..Content::default() })
    };
    assert_eq!(key(&whole[..]), key(&pieces[..]));
}

#[test]
fn fields_are_separate_in_the_key() {
    assert_ne!(
        key(Request::get("http://a/").header("cookie", "x")),
        key(Request::get("http://a/x"))
    );
    let with = |names: &[&'static str], request: http::request::Builder| {
        let mut recipe = Recipe::default();
        names.iter().for_each(|name| recipe.headers.add(HeaderName::from_static(name)));
        key_of(&recipe, request, "")
    };
    let get = || Request::get("http://a/");
    assert_ne!(
        with(&["x-a", "x-b"], get().header("x-a", "1")),
        with(&["x-a", "x-b"], get().header("x-b", "1"))
    );
    assert_eq!(
        with(&["x-a", "x-b"], get().header("x-a", "1").header("x-b", "2")),
        with(&["x-b", "x-a"], get().header("x-b", "2").header("x-a", "1"))
    );
}

#[test]
fn negotiation_fields_ignore_case_and_spaces() {
    let variant = |value: &str| {
        let headers = parts(Request::get("/").header("accept-encoding", value)).headers;
        Recipe::default().variant(&Key::digest(""), &[header::ACCEPT_ENCODING], &headers)
    };
    assert_eq!(variant("gzip, br"), variant("GZIP ,br"));
    assert_ne!(variant("gzip, br"), variant("br, gzip"));
}

#[test]
fn debug_shows_no_secret() {
    let recipe = Recipe { secret: Some([0x5e; 32]), ..Recipe::default() };
    assert!(!format!("{recipe:?}").contains("94"));
}

/// A server that reads a thousand parameters sees none behind a thousand ignored ones.
#[test]
fn many_ignored_parameters_cannot_hide_others_from_the_origin() {
    let mut recipe = Recipe::default();
    recipe.add_ignored_parameters(["utm_*"]).unwrap();
    let key = |count: usize, rest: &str| {
        let query = "utm_x=1&".repeat(count) + rest;
        key_of(&recipe, Request::get(format!("http://example.com/?{query}")), "")
    };
    let plain = key(0, "q=tea");
    assert_eq!(plain, key_of(&Recipe::default(), Request::get("http://example.com/?q=tea"), ""));
    assert_eq!(key(1, "q=tea"), plain);
    assert_eq!(key(32, "q=tea"), plain);
    let keys = [plain, key(33, "q=tea"), key(32, "q=tea&utm_x=1"), key(1_000, "q=tea")];
    assert!((1..keys.len()).all(|at| !keys[..at].contains(&keys[at])), "{keys:?}");
    assert_eq!(key(1_000, "q=tea"), keys[3]);
}

#[test]
fn trailers_with_the_name_of_an_ignored_header_do_not_count() {
    let ignored = header::HeaderName::from_static("x-api-key");
    let mut recipe = Recipe::default();
    recipe.headers.ignore(ignored.clone());
    let key = |name: header::HeaderName, value: &'static str| {
        let parts = parts(Request::post("http://example.com/"));
        let trailers = HeaderMap::from_iter([(name, header::HeaderValue::from_static(value))]);
        let content = Content { trailers: Some(&trailers), ..Content::default() };
        recipe.primary(&parts.method, &recipe.url(&parts).unwrap(), &parts, content)
    };
    assert_eq!(key(ignored.clone(), "one"), key(ignored, "other"));
    let other = || header::HeaderName::from_static("x-sum");
    assert_ne!(key(other(), "one"), key(other(), "other"));
}
