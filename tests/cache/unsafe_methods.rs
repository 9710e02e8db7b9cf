//! Invalidation by successful unsafe methods (RFC 9111 §4.4).

use http::{Method, Request, StatusCode};
use larder::{
    CacheOptions, Key, Outcome,
    status::Bypass,
    store::{ErrorKind, Memory},
};

use crate::support::{Double, Faulty, Op, Stand, channel, empty, get, head, line, ok, url};

/// An origin whose responses vary, and have the status in the request header `x-status`, if any.
fn origin() -> Double {
    Double::new(|request, call| {
        let mut response = line(ok(call.to_string()), "vary", "accept-language");
        if let Some(status) = request.headers().get("x-status") {
            *response.status_mut() = StatusCode::from_bytes(status.as_bytes()).unwrap();
        }
        response
    })
}

/// Stores two variants, the response to a HEAD, that of a user, of another query and of another
/// path.
async fn fill(stand: &Stand) {
    for request in [
        get("/").header("accept-language", "de"),
        get("/").header("accept-language", "en"),
        head("/").header("accept-language", "fr"),
        get("/").header("cookie", "a=1"),
        get("/?q"),
        get("/other"),
    ] {
        assert!(!stand.ask(request).await.is_from_store());
    }
}

/// Counts how many of the four responses for `/` are still stored. Asserts that the others are.
async fn left(stand: &Stand) -> usize {
    let only = || CacheOptions::new().only_if_cached(true);
    let mut left = 0;
    for request in [
        get("/").header("accept-language", "de"),
        get("/").header("accept-language", "en"),
        head("/").header("accept-language", "fr"),
        get("/").header("cookie", "a=1"),
    ] {
        left += usize::from(stand.ask(request.extension(only())).await.is_from_store());
    }
    for request in [get("/?q"), get("/other")] {
        assert!(
            stand.ask(request.extension(only())).await.is_from_store(),
            "another URL is untouched"
        );
    }
    left
}

#[tokio::test]
async fn a_success_removes_every_response_of_the_url_and_a_failure_none() {
    for (method, status, expected) in [
        ("POST", 200, 0),
        ("POST", 201, 0),
        ("PUT", 204, 0),
        ("DELETE", 303, 0),
        ("PATCH", 200, 0),
        ("FROBNICATE", 200, 0),
        ("POST", 400, 4),
        ("POST", 404, 4),
        ("DELETE", 500, 4),
        ("PUT", 503, 4),
        // Safe methods remove nothing.
        ("OPTIONS", 200, 4),
        ("TRACE", 200, 4),
        ("PROPFIND", 207, 4),
        ("QUERY", 200, 4),
    ] {
        let stand = Stand::new(origin());
        fill(&stand).await;
        let request = Request::builder().method(method).uri(url("/")).header("x-status", status);
        let reply = stand.ask(request).await;
        assert_eq!(reply.status, status);
        assert_eq!(left(&stand).await, expected, "{method} {status}");
    }
}

#[tokio::test]
async fn entry_under_a_custom_key_is_removed_with_its_url() {
    let stand = Stand::new(Double::counting());
    let own = || get("/").extension(CacheOptions::new().key(Key::digest("mine")));
    stand.ask(own()).await;
    stand.ask(Request::post(url("/"))).await;
    assert!(!stand.ask(own()).await.is_from_store());
}

#[tokio::test]
async fn the_spelling_of_the_url_does_not_matter() {
    let stand =
        Stand::new(Double::counting()).with(|l| l.add_ignored_parameters(["token"]).unwrap());
    stand.get("/a%7e?x=1&token=2").await;
    stand.ask(Request::delete("HTTP://Example.com:80/b/../a~?token=9&x=1#f")).await;
    assert_eq!(stand.len().await, 0);

    stand.get("/a").await;
    stand.ask(Request::post("/a").header("host", "example.com")).await;
    assert_eq!(stand.len().await, 0);
}

#[tokio::test]
async fn request_that_bypasses_for_another_reason_removes_as_well() {
    for request in [
        Request::put(url("/")).header("if-match", "\"1\""),
        Request::put(url("/")).header("range", "bytes=0-1"),
        Request::put(url("/")).extension(CacheOptions::new().bypass(true)),
        Request::put(url("/")).extension(CacheOptions::new().no_store(true)),
    ] {
        let stand = Stand::new(Double::counting());
        stand.get("/").await;
        stand.ask(request).await;
        assert_eq!(stand.len().await, 0);
    }
}

/// In a shared cache every unsafe request of a signed-in user carries credentials.
#[tokio::test]
async fn request_with_credentials_removes_from_a_shared_cache() {
    let stand = Stand::shared(Double::counting())
        .with(|layer| layer.expire_after(std::time::Duration::from_secs(1)));
    stand.get("/").await;
    assert_eq!(stand.len().await, 1);
    stand.ask(Request::post(url("/")).header("cookie", "sid=1")).await;
    assert_eq!(stand.len().await, 0);
}

#[tokio::test]
async fn removal_is_done_before_the_caller_receives_the_response() {
    let (sender, body) = channel();
    let body = std::sync::Mutex::new(Some(body));
    let stand = Stand::new(Double::new(move |request, _| match *request.method() {
        Method::POST => http::Response::new(body.lock().unwrap().take().unwrap()),
        _ => ok("x"),
    }));
    stand.get("/").await;
    let response = stand.call(Request::post(url("/")).body(empty()).unwrap()).await.unwrap();
    assert_eq!(stand.len().await, 0, "whether or not the body ever ends");
    drop((response, sender));
}

#[tokio::test]
async fn invalidate_on_unsafe_can_be_turned_off() {
    let stand = Stand::new(origin()).with(|layer| layer.invalidate_on_unsafe(false));
    fill(&stand).await;
    stand.ask(Request::post(url("/"))).await;
    assert_eq!(left(&stand).await, 4);
    assert_eq!(stand.layer.stats().invalidated, 0);
}

/// http-cache-tower-server answered a POST with another POST's response, and did not forward the
/// second DELETE.
#[tokio::test]
async fn post_that_is_cached_removes_nothing() {
    let stand = Stand::new(Double::counting())
        .with(|layer| layer.methods([Method::GET, Method::POST]).unwrap().max_request_body(4));
    stand.get("/").await;
    let post = || Request::post(url("/"));
    assert_eq!(stand.send(post(), "one").await.text(), "2");
    assert_eq!(stand.send(post(), "two").await.text(), "3");
    assert_eq!(stand.send(post(), "one").await.text(), "2");
    // A POST whose body is too large for the key removes nothing either.
    let reply = stand.send(post(), "large").await;
    assert_eq!(reply.outcome(), Outcome::Bypass(Bypass::RequestBodyTooLarge));
    assert_eq!(stand.len().await, 3);
    // Another unsafe method still removes them all.
    stand.ask(Request::delete(url("/"))).await;
    assert_eq!(stand.len().await, 0);
    assert_eq!(stand.ask(Request::delete(url("/"))).await.text(), "6");
}

#[tokio::test]
async fn failed_removal_is_counted_and_the_response_is_passed_on() {
    let store = Faulty::new(Memory::default());
    let stand = Stand::over(store.clone(), Double::counting());
    stand.get("/").await;
    store.fail(Op::RemoveTagged, ErrorKind::Unavailable);
    assert_eq!(stand.ask(Request::post(url("/"))).await.text(), "2");
    assert_eq!(stand.layer.stats().store_errors, 1);
}
