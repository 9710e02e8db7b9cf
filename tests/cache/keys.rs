//! Which requests share a response.

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, Method, Request, request};
use larder::{CacheOptions, Key, Outcome, status::Bypass};

use crate::support::{Broken, Double, Reply, Stand, frames, get, head, ok, url, with};

fn post(path: &str) -> request::Builder {
    Request::post(url(path))
}

/// A cache that stores responses to `POST` as well.
fn posting() -> Stand {
    Stand::new(Double::counting()).with(|l| l.methods([Method::GET, Method::POST]).unwrap())
}

/// Sends both requests. Returns whether the second was answered with the response to the first.
async fn shared(stand: &Stand, one: request::Builder, other: request::Builder) -> bool {
    let first = stand.ask(one).await;
    assert!(!first.is_from_store(), "the first request of a pair must be new");
    let second = stand.ask(other).await;
    assert_eq!(second.is_from_store(), second.text() == first.text());
    second.is_from_store()
}

#[tokio::test]
async fn spellings_of_one_url_share_a_response() {
    for (one, other) in [
        ("http://example.com/a", "http://example.com/a#fragment"),
        ("http://example.com/a#one", "http://example.com/a#other"),
        ("http://example.com/a", "HTTP://EXAMPLE.com:80/a"),
        ("http://example.com", "http://example.com/"),
        ("http://example.com/b/../a", "http://example.com/./a"),
        ("http://example.com/%7Ea%2f", "http://example.com/~a%2F"),
        ("http://example.com/?q=%61", "http://example.com/?q=a"),
    ] {
        let stand = Stand::new(Double::counting());
        assert!(shared(&stand, Request::get(one), Request::get(other)).await, "{one} {other}");
    }
}

#[tokio::test]
async fn different_urls_do_not_share_a_response() {
    for (one, other) in [
        ("http://example.com/a", "https://example.com/a"),
        ("http://example.com/a", "http://example.org/a"),
        ("http://example.com/a", "http://example.com:8080/a"),
        ("http://example.com/a", "http://example.com/a/"),
        ("http://example.com/a", "http://example.com/A"),
        ("http://example.com/a", "http://example.com/a?"),
        ("http://example.com/a/b", "http://example.com/a%2Fb"),
        ("http://example.com/?page=1", "http://example.com/?page=2"),
        // One value and two fields. They have the same key in aiohttp-client-cache.
        ("http://example.com/?a=1%26b=2", "http://example.com/?a=1&b=2"),
        // Duplicates and bare parameters.
        ("http://example.com/?in=a&in=b", "http://example.com/?in=b"),
        ("http://example.com/?in=a&in=b", "http://example.com/?in=b&in=a"),
        ("http://example.com/?a=1&a=1", "http://example.com/?a=1"),
        ("http://example.com/?a", "http://example.com/?a="),
        ("http://example.com/?a=1&b=2", "http://example.com/?b=2&a=1"),
        // Credentials in the URL.
        ("http://alice:pw@example.com/", "http://bob:pw@example.com/"),
        ("http://alice:pw@example.com/", "http://example.com/"),
    ] {
        let stand = Stand::new(Double::counting());
        assert!(!shared(&stand, Request::get(one), Request::get(other)).await, "{one} {other}");
    }
}

/// http-cache-tower fails every origin-form request. tower-http-cache ignores the host.
#[tokio::test]
async fn origin_form_targets_are_distinguished_by_host() {
    let on = |host: &str| Request::get("/a").header("host", host);
    let stand = Stand::new(Double::counting());
    assert!(shared(&stand, on("one.example"), on("ONE.example:80")).await);
    assert!(shared(&stand, Request::get("http://two.example/a"), on("two.example")).await);
    assert!(!shared(&stand, on("three.example"), on("four.example")).await);
}

#[tokio::test]
async fn request_with_an_invalid_host_bypasses_the_cache() {
    let stand = Stand::new(Double::counting());
    for request in [
        Request::get("/a").header("host", "no authority"),
        Request::get("/a").header("host", "a/b"),
        Request::get("/a").header("host", "me:pw@a"),
        Request::get("/a").header("host", "a").header("host", "b"),
    ] {
        let reply = stand.ask(request).await;
        assert_eq!(reply.outcome(), Outcome::Bypass(Bypass::InvalidTarget));
    }
    assert_eq!((stand.calls(), stand.len().await), (4, 0));
}

#[tokio::test]
async fn credentials_separate_requests_and_the_case_of_header_names_does_not() {
    for name in ["authorization", "cookie"] {
        let of = |value| get("/").header(name, value);
        let stand = Stand::new(Double::counting());
        assert!(!shared(&stand, of("alice"), of("bob")).await, "{name}");
        assert!(stand.ask(of("alice")).await.is_from_store());
        assert_eq!(stand.ask(get("/")).await.text(), "3", "no credentials are another user");
        assert!(stand.ask(get("/").header(name.to_uppercase(), "bob")).await.is_from_store());
    }
}

/// No header of a request is written to the store, and so no credential is. requests-cache and
/// http-cache store them.
#[tokio::test]
async fn credentials_are_not_stored_in_clear() {
    let stand = Stand::new(Double::counting());
    stand
        .ask(Request::get("http://alice:hunter2@example.com/").header("cookie", "sid=hunter2"))
        .await;
    let entries: Vec<_> = stand.layer.entries().stream().collect().await;
    let entry = entries[0].as_ref().unwrap();
    assert_eq!(entry.url, "http://example.com/");
    assert!(!format!("{entries:?} {:?}", stand.layer).contains("hunter2"));
}

/// Clients of virtual hosts send such a `Host`. An attacker can send one over HTTP/2 and to
/// proxies.
#[tokio::test]
async fn host_that_differs_from_the_uri_has_its_own_entries() {
    let stand = Stand::new(Double::counting());
    let of = |host| get("/").header("host", host);
    assert!(!shared(&stand, get("/"), of("evil.example")).await);
    assert!(!shared(&stand, of("a.example"), of("b.example")).await);
    assert!(stand.ask(of("EXAMPLE.com:80")).await.is_from_store());
    assert!(stand.layer.entries().remove(&url("/")).await.unwrap() > 0);
    assert_eq!(stand.len().await, 0);
}

#[tokio::test]
async fn headers_can_be_added_to_the_key() {
    let stand =
        Stand::new(Double::counting()).with(|l| l.add_key_headers(["X-Tenant", "accept"]).unwrap());
    let of = |tenant| get("/").header("x-tenant", tenant);
    assert!(!shared(&stand, of("a"), of("b")).await);
    assert!(stand.ask(of("a")).await.is_from_store());
    assert!(!stand.get("/").await.is_from_store());
    // The same value of another header is another key.
    assert!(!stand.ask(get("/").header("accept", "a")).await.is_from_store());
    // The parameters of media types may be quoted strings, so `Accept` is compared as it is.
    stand.ask(get("/").header("accept", "text/html; x=\"A b\"")).await;
    assert!(stand.ask(get("/").header("accept", " text/html; x=\"A b\" ")).await.is_from_store());
    assert!(!stand.ask(get("/").header("accept", "text/html; x=\"a b\"")).await.is_from_store());
    assert!(!stand.ask(get("/").header("accept", "text/html; x=\"Ab\"")).await.is_from_store());
    assert!(stand.ask(of("a").header("x-other", "1")).await.is_from_store());
}

#[tokio::test]
async fn headers_can_be_taken_out_of_the_key() {
    let stand =
        Stand::new(Double::counting()).with(|l| l.add_ignored_headers(["Authorization"]).unwrap());
    let of = |value| get("/").header("authorization", value);
    assert!(shared(&stand, of("alice"), of("bob")).await);
    assert!(
        !stand.ask(of("alice").header("cookie", "a=1")).await.is_from_store(),
        "cookies still count"
    );
}

#[tokio::test]
async fn ignored_parameters_are_neither_in_the_key_nor_in_the_stored_url() {
    let stand = Stand::new(Double::counting())
        .with(|l| l.add_ignored_parameters(["utm_*", "token"]).unwrap());
    let first = stand.get("/a?x=1&utm_source=mail&token=secret&y=2").await;
    assert!(!first.is_from_store());
    for same in [
        "/a?x=1&y=2",
        "/a?token=other&x=1&y=2&utm_=",
        // The same names, percent-encoded.
        "/a?x=1&%74oken=secret&y=2",
        "/a?x=1&y=2&utm%5Fsource=mail",
        "/a?x=1&y=2&token",
        // Another case of ASCII letters.
        "/a?x=1&y=2&Token=1",
        "/a?UTM_SOURCE=mail&x=1&y=2",
    ] {
        assert!(stand.get(same).await.is_from_store(), "{same}");
    }
    for other in ["/a?x=1", "/a?x=1&y=2&utm", "/a?x=1&y=2&mytoken=1"] {
        assert!(!stand.get(other).await.is_from_store(), "{other}");
    }
    stand.get("/b?%74oken=secret").await;
    let urls: Vec<_> =
        stand.layer.entries().stream().map(|entry| entry.unwrap().url).collect().await;
    assert!(urls.contains(&url("/a?x=1&y=2")) && urls.contains(&url("/b")), "{urls:?}");
    assert!(!format!("{urls:?}").contains("secret"));
}

#[tokio::test]
async fn ignored_parameters_still_reach_the_origin() {
    let inner = Double::new(|request, _| ok(request.uri().to_string()));
    let stand = Stand::new(inner).with(|l| l.add_ignored_parameters(["token"]).unwrap());
    assert_eq!(stand.get("/a?token=1").await.text(), url("/a?token=1"));
}

#[tokio::test]
async fn sort_query_ignores_the_order_of_parameters_with_different_names() {
    let stand = Stand::new(Double::counting()).with(|l| l.sort_query(true));
    assert!(shared(&stand, get("/?a=1&b=2"), get("/?b=2&a=1")).await);
    assert!(
        !shared(&stand, get("/s?a=1&a=2"), get("/s?a=2&a=1")).await,
        "one name keeps its order"
    );
}

#[tokio::test]
async fn request_bodies_are_distinguished_by_bytes_and_by_type() {
    let json = "application/json";
    let form = "application/x-www-form-urlencoded";
    for (one, other) in [
        ((json, "1"), (json, "\"1\"")),
        // requests-cache sorts arrays, and aiohttp-client-cache joins fields.
        ((json, "[1,2]"), (json, "[2,1]")),
        ((form, "a=1%26b=2"), (form, "a=1&b=2")),
        ((form, "a=1"), (json, "a=1")),
        ((form, "a=1"), (form, "")),
        ((json, "{}"), (json, "{ }")),
    ] {
        let stand = posting();
        let of = |kind: &str| post("/").header("content-type", kind);
        assert_eq!(stand.send(of(one.0), one.1).await.text(), "1");
        assert_eq!(stand.send(of(other.0), other.1).await.text(), "2", "{one:?} {other:?}");
        assert!(stand.send(of(one.0), one.1).await.is_from_store());
        assert!(stand.send(of(other.0), other.1).await.is_from_store());
    }
}

#[tokio::test]
async fn body_query_and_method_are_separate_parts_of_the_key() {
    let stand = posting();
    stand.send(post("/"), "a=1").await;
    for (request, body) in [(post("/?a=1"), ""), (get("/"), "a=1"), (get("/"), ""), (post("/"), "")]
    {
        assert!(!stand.send(request, body).await.is_from_store());
    }
    assert_eq!(stand.calls(), 5);
}

#[tokio::test]
async fn request_body_has_the_same_key_in_any_chunks_and_arrives_unchanged() {
    let stand = posting();
    let send = async |chunks: &'static [&'static str]| {
        let request = post("/").body(frames(chunks.iter().copied(), None)).unwrap();
        Reply::read(stand.call(request).await.unwrap()).await
    };
    send(&["ab", "cd"]).await;
    assert_eq!(stand.inner.take_seen()[0].body, "abcd");
    assert!(send(&["a", "", "bcd"]).await.is_from_store());
}

#[tokio::test]
async fn a_request_body_over_the_limit_streams_through_unchanged() {
    let stand = posting().with(|layer| layer.max_request_body(4));
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    for end in [None, Some(Ok(trailers.clone()))] {
        let has_trailers = end.is_some();
        let request = post("/").body(frames(["ab", "cde", "fg"], end)).unwrap();
        let reply = Reply::read(stand.call(request).await.unwrap()).await;
        assert_eq!(reply.outcome(), Outcome::Bypass(Bypass::RequestBodyTooLarge));
        let seen = stand.inner.take_seen().pop().unwrap();
        assert_eq!(seen.body, "abcdefg");
        assert_eq!(seen.trailers, has_trailers.then(|| trailers.clone()));
        assert_eq!(seen.error, None);
    }
    // The body is known in advance to be too large.
    let reply = stand.send(post("/"), "abcdefg").await;
    assert_eq!(reply.outcome(), Outcome::Bypass(Bypass::RequestBodyTooLarge));
    // The body is exactly at the limit.
    let reply = stand.send(post("/"), "abcd").await;
    assert!(matches!(reply.outcome(), Outcome::Miss(_)));
    assert_eq!(stand.len().await, 1);
}

#[tokio::test]
async fn broken_request_body_reaches_the_inner_service_with_its_error() {
    for limit in [2, 100] {
        let stand = posting().with(|layer| layer.max_request_body(limit));
        let broken = Some(Err(Broken("the caller went away").into()));
        let request = post("/").body(frames(["ab", "cd"], broken)).unwrap();
        let reply = Reply::read(stand.call(request).await.unwrap()).await;
        assert!(matches!(reply.outcome(), Outcome::Bypass(_)), "{:?}", reply.outcome());
        let seen = stand.inner.take_seen().pop().unwrap();
        assert_eq!(seen.body, "abcd");
        assert_eq!(seen.error.as_deref(), Some("the caller went away"));
        assert_eq!(stand.len().await, 0);
    }
}

#[tokio::test]
async fn trailers_of_a_request_are_part_of_the_key() {
    let stand = posting();
    let send = async |value: &str| {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", value.parse().unwrap());
        let request = post("/").body(frames(["a"], Some(Ok(trailers)))).unwrap();
        Reply::read(stand.call(request).await.unwrap()).await
    };
    send("1").await;
    assert!(!send("2").await.is_from_store());
    assert!(send("1").await.is_from_store());
    assert_eq!(stand.inner.take_seen()[0].trailers.as_ref().unwrap()["x-sum"], "1");
}

#[tokio::test]
async fn the_key_can_be_made_by_a_closure() {
    let stand = posting().with(|layer| {
        layer.key_with(|parts, body| [parts.uri.path().as_bytes(), b"|", &body[..1]].concat())
    });
    stand.send(post("/a?x=1").header("cookie", "a=1"), "one").await;
    assert!(stand.send(post("/a?y=2"), "other").await.is_from_store());
    assert!(!stand.send(post("/b?x=1"), "one").await.is_from_store());
    assert!(!stand.send(post("/a?x=1"), "two").await.is_from_store());
    assert!(!stand.send(get("/a?x=1"), "one").await.is_from_store(), "the method stays in the key");
}

#[tokio::test]
async fn closure_is_not_called_for_a_request_with_a_custom_key() {
    let closure = |_: &request::Parts, _: &[u8]| -> Vec<u8> { panic!("the request has a key") };
    let stand = posting().with(|layer| layer.key_with(closure));
    let send = async || {
        let options = CacheOptions::new().key(Key::digest("own"));
        stand.send(get("/a").extension(options), "").await
    };
    send().await;
    assert!(send().await.is_from_store());
}

#[tokio::test]
async fn closure_receives_the_whole_body_of_many_chunks() {
    let stand = posting().with(|layer| layer.key_with(|_, body| body.to_vec()));
    let send = async |chunks: [&'static str; 2]| {
        let request = post("/").body(frames(chunks, None)).unwrap();
        Reply::read(stand.call(request).await.unwrap()).await
    };
    send(["ab", "c"]).await;
    assert!(send(["a", "bc"]).await.is_from_store());
    assert!(!send(["a", "bd"]).await.is_from_store());
}

#[tokio::test]
async fn key_secret_hides_what_was_stored_under_another_one() {
    let stand = Stand::new(Double::counting());
    let one = stand.clone_with(|layer| layer.key_secret([1; 32]));
    let other = stand.clone_with(|layer| layer.key_secret([2; 32]));
    let keys = [stand.get("/").await, one.get("/").await, other.get("/").await]
        .map(|reply| reply.cache.key().unwrap());
    assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
    assert_eq!(stand.calls(), 3);
    assert!(one.get("/").await.is_from_store() && other.get("/").await.is_from_store());
    // Removal by URL uses the secret too.
    assert_eq!(one.layer.entries().remove(&url("/")).await.unwrap(), 1);
    assert!(!one.get("/").await.is_from_store() && other.get("/").await.is_from_store());
}

#[tokio::test]
async fn custom_key_replaces_the_url_and_the_user() {
    let stand = Stand::new(Double::counting());
    let own = || CacheOptions::new().key(Key::digest("the front page"));
    let first = stand.ask(with(own())).await;
    assert_eq!(first.cache.key(), Some(Key::digest("the front page")));
    let other = get("/other?x").header("cookie", "a=1").extension(own());
    assert!(stand.ask(other).await.is_from_store());
    assert!(!stand.get("/").await.is_from_store(), "without it, the request has its usual key");
    assert!(!stand.ask(head("/x")).await.is_from_store());
}

#[tokio::test]
async fn requests_have_the_same_key_in_every_process() {
    // Golden vectors pin the format. This test shows that the layer uses it.
    let key = Stand::new(Double::counting()).get("/a?b=c").await.cache.key().unwrap();
    let golden = "50f9f2f47a28211ae1b15b6f6ecdc55ad9f746d175a13e98dd1b1367ebbc8551";
    assert_eq!(key.to_string(), golden);
}

#[tokio::test]
async fn large_request_body_arrives_unchanged() {
    let stand = posting();
    let body = Bytes::from(vec![b'x'; 100_000]);
    stand.send(post("/"), body.clone()).await;
    let seen = stand.inner.take_seen().pop().unwrap();
    assert_eq!(seen.body, body);
}
