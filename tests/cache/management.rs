//! The handle `Entries`: it reads what is stored, adds to it and removes from it.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};
use larder::{
    CacheOptions, CacheStatus, Entries, EntryInfo, Expiration, Filter, Key, Target,
    store::{self, ErrorKind, Memory, Store},
};

use crate::support::{
    Broken, Double, Reply, Stand, T0, TestBody, empty, frames, full, get, head, lang, line, ok, url,
};

const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn kind<T>(result: store::Result<T>) -> ErrorKind {
    result.map(|_| ()).expect_err("it should have been refused").kind()
}

async fn listed<B: Store>(entries: &Entries<B>) -> Vec<EntryInfo> {
    entries.stream().map(store::Result::unwrap).collect().await
}

async fn urls(entries: &Entries<Memory>) -> Vec<String> {
    let mut urls: Vec<_> = listed(entries).await.into_iter().map(|entry| entry.url).collect();
    urls.sort();
    urls
}

// ===== Reading =====

#[tokio::test]
async fn an_entry_is_found_by_url_by_request_and_by_key() {
    let stand = Stand::new(Double::new(|_, _| line(ok("text"), "x-a", "1")));
    let key = stand.get("/a?q=1").await.cache.key().unwrap();
    let uri: Uri = url("/a?q=1").parse().unwrap();
    let entries = stand.layer.entries();
    let targets: [fn() -> Target; 4] = [
        || Target::from("HTTP://example.com:80/a?q=%31#fragment"),
        || Target::from(&url("/a?q=1")),
        || Target::from(&get("/a?q=1").body(()).unwrap()),
        || Target::from(&get("/a?q=1").body(Bytes::new()).unwrap()),
    ];
    for target in targets.into_iter().map(|target| target()).chain([(&uri).into(), key.into()]) {
        let named = format!("{target:?}");
        let response = entries.get(target).await.unwrap().expect(&named);
        assert_eq!(response.extensions().get::<CacheStatus>().unwrap().key(), Some(key));
        assert_eq!(response.headers()["x-a"], "1");
        assert_eq!(Reply::read(response).await.text(), "text", "{named}");
    }
    for absent in [Target::from("http://example.com/b"), Key::digest("x").into()] {
        assert!(entries.get(absent).await.unwrap().is_none());
    }
    assert!(entries.contains(key).await.unwrap() && entries.contains(&uri).await.unwrap());
    assert!(!entries.contains(&head("/a?q=1").body(()).unwrap()).await.unwrap());
    assert_eq!(stand.layer.stats().hits, 0, "reading an entry is no hit");
}

#[tokio::test]
async fn an_entry_is_found_whether_or_not_it_has_expired() {
    let stand = Stand::new(Double::counting()).with(|layer| layer.expire_after(SECOND));
    stand.get("/").await;
    stand.clock.advance(SECOND * 5);
    let entries = stand.layer.entries();
    assert!(entries.contains(&url("/")).await.unwrap());
    let found = entries.get(&url("/")).await.unwrap().unwrap();
    let status = found.extensions().get::<CacheStatus>().unwrap();
    assert_eq!(status.age(), Some(SECOND * 5));
    assert_eq!(status.expires_at(), Some(T0.saturating_add(SECOND).into()));
}

#[tokio::test]
async fn request_is_found_by_all_parts_of_its_key() {
    let stand = Stand::new(Double::counting()).with(|l| {
        l.methods([Method::GET, Method::POST]).unwrap().add_key_headers(["x-a"]).unwrap()
    });
    let post = || Request::post(url("/"));
    stand.send(post(), "one").await;
    stand.ask(get("/").header("x-a", "1").header("cookie", "c=1")).await;
    let own = CacheOptions::new().key(Key::digest("mine"));
    stand.ask(get("/other").extension(own.clone())).await;

    let entries = stand.layer.entries();
    let with_body = |body| post().body(Bytes::from_static(body)).unwrap();
    assert!(entries.contains(&with_body(b"one")).await.unwrap());
    assert!(!entries.contains(&with_body(b"two")).await.unwrap());
    let request = get("/").header("x-a", "1").header("cookie", "c=1").body(()).unwrap();
    assert!(entries.contains(&request).await.unwrap());
    assert!(!entries.contains(&get("/").header("x-a", "1").body(()).unwrap()).await.unwrap());
    assert!(!entries.contains(&url("/")).await.unwrap());
    assert!(entries.contains(&get("/any").extension(own).body(()).unwrap()).await.unwrap());
}

#[tokio::test]
async fn invalid_url_is_refused_by_every_method() {
    let entries = Stand::new(Double::counting()).layer.entries();
    for target in ["", "not a url", "http://a b/"] {
        assert_eq!(kind(entries.get(target).await), ErrorKind::Invalid, "{target:?}");
        assert_eq!(kind(entries.contains(target).await), ErrorKind::Invalid);
        assert_eq!(kind(entries.remove(target).await), ErrorKind::Invalid);
        assert_eq!(kind(entries.insert(target, ok("x")).await), ErrorKind::Invalid);
    }
    let no_host = Request::get("/").header("host", "no host").body(()).unwrap();
    assert_eq!(kind(entries.get(&no_host).await), ErrorKind::Invalid);
}

#[tokio::test]
async fn listing_describes_each_entry() {
    let stand = Stand::new(Double::new(|request, _| match *request.method() {
        Method::HEAD => Response::builder().status(404).body(empty()).unwrap(),
        _ => line(ok("seven b"), "vary", "x-a"),
    }))
    .with(|l| l.statuses([StatusCode::OK, StatusCode::NOT_FOUND]).unwrap());
    let options = CacheOptions::new().expire_after(SECOND).add_tag("t1").add_tag("t2");
    let key = stand.ask(get("/a").extension(options)).await.cache.key().unwrap();
    stand.clock.advance(SECOND);
    stand.ask(head("/b")).await;
    let mut infos: Vec<_> = stand.layer.entries().stream().map(Result::unwrap).collect().await;
    infos.sort_by(|a, b| a.url.cmp(&b.url));
    assert_eq!(infos.len(), 2, "{infos:?}");
    let [a, b] = &infos[..] else { panic!() };
    assert_eq!(
        (a.key, &a.method, &a.url, a.status, a.body_len),
        (key, &Method::GET, &url("/a"), StatusCode::OK, 7)
    );
    assert_eq!(a.stored_at, SystemTime::from(T0));
    assert_eq!(a.expires_at, Some(T0.saturating_add(SECOND).into()));
    assert_eq!(a.tags, ["t1", "t2"], "the cache's own tag is not shown");
    assert_eq!((&b.method, b.status, b.body_len), (&Method::HEAD, StatusCode::NOT_FOUND, 0));
    assert_eq!((b.expires_at, b.tags.len()), (None, 0));
    assert_eq!(stand.len().await, 2);
    assert!(!stand.layer.entries().is_empty().await.unwrap());
}

// ===== Adding =====

#[tokio::test]
async fn inserted_response_is_served() {
    let stand = Stand::new(Double::counting()).with(|layer| layer.expire_after(SECOND));
    let entries = stand.layer.entries();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "1".parse().unwrap());
    let response = Response::builder()
        .status(StatusCode::NOT_FOUND)
        .header("x-a", "1")
        .header("connection", "close")
        .body(frames(["by ", "hand"], Some(Ok(trailers))))
        .unwrap();
    let key = entries.insert(&url("/a"), response).await.unwrap();
    let reply = stand.get("/a").await;
    assert!(reply.is_from_store());
    assert_eq!((reply.cache.key(), reply.status.as_u16()), (Some(key), 404));
    assert_eq!(
        (reply.text(), &reply.trailers.as_ref().unwrap()["x-sum"]),
        ("by hand", &"1".parse().unwrap())
    );
    assert!(reply.headers.contains_key("x-a") && !reply.headers.contains_key("connection"));
    assert_eq!(reply.cache.expires_at(), Some(T0.saturating_add(SECOND).into()));
    stand.clock.advance(SECOND);
    assert_eq!(stand.get("/a").await.text(), "1");

    // A second insertion replaces the first. The request has credentials, a body and options of its
    // own.
    let request = Request::post(url("/q"))
        .header("authorization", "alice")
        .extension(CacheOptions::new().expire_after(Expiration::Never).add_tag("t"));
    let stand = stand.with(|layer| layer.methods([Method::POST]).unwrap());
    let request = request.body(Bytes::from("query")).unwrap();
    for text in ["old", "new"] {
        entries.insert(&request, ok(text)).await.unwrap();
    }
    let ask = |user| Request::post(url("/q")).header("authorization", user);
    let reply = stand.send(ask("alice"), "query").await;
    assert_eq!((reply.text(), reply.cache.expires_at()), ("new", None));
    assert!(!stand.send(ask("bob"), "query").await.is_from_store());
    assert_eq!(entries.remove_tag("t").await.unwrap(), 1);
}

#[tokio::test]
async fn inserted_response_with_vary_is_a_variant() {
    let stand = Stand::new(Double::counting());
    let entries = stand.layer.entries();
    let of = |language| get("/").header("accept-language", language);
    for language in ["de", "en"] {
        let response = line(ok(language), "vary", "Accept-Language");
        entries.insert(&of(language).body(()).unwrap(), response).await.unwrap();
    }
    for language in ["de", "en", "de"] {
        assert_eq!(stand.ask(of(language)).await.text(), language);
    }
    assert_eq!((stand.calls(), stand.len().await), (0, 2));
    assert!(!stand.ask(of("fr")).await.is_from_store());
}

/// The part would be stored under the key of the whole response, and answer requests for the whole.
#[tokio::test]
async fn part_is_not_inserted_even_for_a_range_request() {
    for is_http in [false, true] {
        let stand = Stand::new(Double::counting());
        let stand = if is_http { stand.with(|layer| layer.http_rules()) } else { stand };
        let request = get("/").header("range", "bytes=0-1").body(()).unwrap();
        let part = line(ok("ab"), "content-range", "bytes 0-1/4");
        let mut part = line(part, "cache-control", "max-age=60");
        *part.status_mut() = StatusCode::PARTIAL_CONTENT;
        let error = stand.layer.entries().insert(&request, part).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("must not be stored (status)"), "{error}");
        assert_eq!(stand.get("/").await.text(), "1");
    }
}

#[tokio::test]
async fn refused_insertion_leaves_the_old_entry() {
    let entries = Stand::new(Double::counting()).layer.entries();
    let target = url("/");
    entries.insert(&target, ok("old")).await.unwrap();
    let wrong =
        |length: &str| line(Response::new(frames(["four"], None)), "content-length", length);
    for (what, response) in [
        ("too short", wrong("5")),
        ("too long", wrong("3")),
        ("varies", line(ok("x"), "vary", "*")),
        ("broken", Response::new(frames(["x"], Some(Err(Broken("cut").into()))))),
    ] {
        let error = entries.insert(&target, response).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{what}: {error}");
        let source = std::error::Error::source(&error).and_then(|it| it.downcast_ref::<Broken>());
        assert_eq!(source.is_some(), what == "broken", "{error}");
        let kept = entries.get(&target).await.unwrap().unwrap();
        assert_eq!(kept.into_body().len(), 3, "{what}");
    }
    assert_eq!(kind(entries.insert(Key::digest("x"), ok("x")).await), ErrorKind::Invalid);
    let never = CacheOptions::new().expire_after(Expiration::DoNotStore);
    let request = get("/").extension(never).body(()).unwrap();
    assert_eq!(kind(entries.insert(&request, ok("x")).await), ErrorKind::Invalid);
    let shared = Stand::shared(Double::counting()).layer.entries();
    assert_eq!(kind(shared.insert(&target, ok("x")).await), ErrorKind::Invalid);
}

/// The `Content-Length` of a response to a `HEAD` is not the length of its own body.
#[tokio::test]
async fn a_head_can_be_inserted() {
    let stand = Stand::new(Double::counting());
    let response: Response<TestBody> = line(Response::new(empty()), "content-length", "10");
    let request = head("/").body(()).unwrap();
    stand.layer.entries().insert(&request, response).await.unwrap();
    assert_eq!(stand.ask(head("/")).await.headers["content-length"], "10");
    assert!(!stand.get("/").await.is_from_store());
}

// ===== Removing =====

#[tokio::test]
async fn url_removes_all_its_entries_and_a_request_or_a_key_removes_one() {
    let stand = Stand::new(Double::counting());
    let fill = async || {
        for request in [get("/a"), get("/a").header("cookie", "c=1"), head("/a"), get("/b")] {
            stand.ask(request.extension(CacheOptions::new().refresh(true))).await;
        }
    };
    let entries = stand.layer.entries();
    fill().await;
    assert_eq!(entries.remove(&get("/a").body(()).unwrap()).await.unwrap(), 1);
    assert_eq!(entries.remove(&get("/a").body(()).unwrap()).await.unwrap(), 0);
    assert_eq!(stand.len().await, 3);
    fill().await;
    assert_eq!(entries.remove(&url("/a")).await.unwrap(), 3);
    assert_eq!(entries.remove(&url("/a")).await.unwrap(), 0);
    assert_eq!(urls(&entries).await, [url("/b")]);
    let key = stand.get("/b").await.cache.key().unwrap();
    assert_eq!(entries.remove(key).await.unwrap(), 1);
    assert_eq!(entries.remove(key).await.unwrap(), 0);
    assert!(entries.is_empty().await.unwrap());
    assert_eq!(entries.size_bytes().await.unwrap(), 0);
}

#[tokio::test]
async fn filter_removes_entries_that_meet_every_condition() {
    let statuses = [StatusCode::OK, StatusCode::NOT_FOUND];
    let fill = async || {
        let stand = Stand::new(Double::new(|request, _| {
            let mut response = ok("x");
            if request.uri().path().contains("missing") {
                *response.status_mut() = StatusCode::NOT_FOUND;
            }
            response
        }))
        .with(|layer| layer.statuses(statuses).unwrap());
        let short = || CacheOptions::new().expire_after(SECOND * 5).add_tag("short");
        stand.ask(get("/api/a").extension(short())).await;
        stand.get("/api/missing").await;
        stand.clock.advance(SECOND * 10);
        stand.get("/api/b").await;
        stand.get("/missing").await;
        stand
    };
    let api = || Filter::new().url("example.com/api/**").unwrap();
    let exact = |url| Filter::new().exact_url(url).unwrap();
    for (filter, left) in [
        (Filter::new(), &[][..]),
        (api(), &["/missing"]),
        (Filter::new().status(StatusCode::NOT_FOUND), &["/api/a", "/api/b"]),
        (api().status(StatusCode::NOT_FOUND), &["/api/a", "/api/b", "/missing"]),
        (Filter::new().older_than(SECOND * 9), &["/api/b", "/missing"]),
        (Filter::new().older_than(SECOND * 10), &["/api/a", "/api/b", "/api/missing", "/missing"]),
        (Filter::new().newer_than(SECOND * 9), &["/api/a", "/api/missing"]),
        (Filter::new().newer_than(SECOND * 10), &[]),
        (exact("http://example.com/api/b"), &["/api/a", "/api/missing", "/missing"]),
        (exact("HTTP://Example.com:80/x/../%61pi/b"), &["/api/a", "/api/missing", "/missing"]),
        (exact("http://example.com/api"), &["/api/a", "/api/b", "/api/missing", "/missing"]),
        (Filter::new().expired(true), &["/api/b", "/api/missing", "/missing"]),
        (Filter::new().expired(false), &["/api/a"]),
        (Filter::new().tag("short"), &["/api/b", "/api/missing", "/missing"]),
        (Filter::new().tag("shor"), &["/api/a", "/api/b", "/api/missing", "/missing"]),
        (api().tag("short").expired(false), &["/api/a", "/api/b", "/api/missing", "/missing"]),
        (api().expired(false).older_than(SECOND), &["/api/a", "/api/b", "/missing"]),
    ] {
        let stand = fill().await;
        let entries = stand.layer.entries();
        let mut read = Vec::new();
        let mut selected: Vec<_> = listed(&entries).await;
        selected.retain(|entry| filter.matches(entry));
        let removed = entries.remove_where(&filter, |n| read.push(n)).await.unwrap();
        assert_eq!(selected.len() as u64, removed, "a dry run selects the same: {filter:?}");
        let left: Vec<_> = left.iter().map(|path| url(path)).collect();
        assert_eq!(urls(&entries).await, left, "{filter:?}");
        assert_eq!(removed as usize, 4 - left.len(), "{filter:?}");
        assert_eq!(read, [1, 2, 3, 4], "progress counts each head that was read");
    }
}

/// A stand for each kind of cache.
fn each_layer(inner: impl Fn() -> Double) -> [Stand; 2] {
    [Stand::new(inner()), Stand::shared(inner()).with(|layer| layer.expire_after(SECOND * 60))]
}

/// Stores the response to `request` alone, and removes it by the URL that is listed. Returns
/// whether `get` found it by that URL.
async fn remove_by_listed_url(stand: &Stand, request: Request<TestBody>) -> bool {
    let asked = format!("{} {}", request.method(), request.uri());
    let reply = Reply::read_any(stand.call(request).await.unwrap()).await;
    let entries = stand.layer.entries();
    let [entry] = &listed(&entries).await[..] else {
        panic!("one is stored of {asked}: {:?}", reply.cache)
    };
    let found = entries.get(&entry.url).await.unwrap();
    assert_eq!(entries.contains(&entry.url).await.unwrap(), found.is_some(), "{asked}");
    assert!(entries.get(entry.key).await.unwrap().is_some(), "{asked}");
    assert_eq!(entries.remove(&entry.url).await.unwrap(), 1, "{asked}: {entry:?}");
    assert!(entries.is_empty().await.unwrap(), "{asked}");
    found.is_some()
}

#[tokio::test]
async fn each_listed_url_is_a_target() {
    for (stand, is_shared) in each_layer(Double::counting).into_iter().zip([false, true]) {
        let methods = [Method::GET, Method::HEAD, Method::POST];
        let stand = stand.with(|layer| layer.methods(methods).unwrap());
        for (request, is_found) in [
            (Request::get("/a/../rel?x=%41"), true),
            (Request::get("//twice"), true),
            (Request::get("/"), true),
            (Request::head("/rel"), false),
            (Request::get("/rel").header("host", "example.com"), true),
            (Request::get("http://b.example/y/../z?a=1"), true),
            (Request::get("http://[::1]:8080/?q=1&&q"), true),
            (Request::get("https://c.example"), true),
            (Request::get("other://d.example/x"), true),
            // In a shared cache, the host as it was sent is part of the key.
            (Request::get("HTTP://B.example:80/y/%7e"), !is_shared),
            (Request::head("HTTP://B.example:80/y/%7e"), false),
            (Request::get("http://a.example/").header("host", "b.example"), false),
            (Request::post("/form"), false),
        ] {
            let request = request.body(empty()).unwrap();
            let asked = format!("{request:?} {is_shared}");
            assert_eq!(remove_by_listed_url(&stand, request).await, is_found, "{asked}");
        }
        let form = Request::post("http://b.example/form").body(full("a=1")).unwrap();
        assert!(!remove_by_listed_url(&stand, form).await);
    }
}

#[tokio::test]
async fn each_listed_url_of_a_grpc_method_is_a_target() {
    let reply = || {
        let trailers =
            HeaderMap::from_iter([("grpc-status".parse().unwrap(), "0".parse().unwrap())]);
        Response::builder()
            .header("content-type", "application/grpc")
            .body(frames(["\0\0\0\0\0"], Some(Ok(trailers))))
            .unwrap()
    };
    for stand in each_layer(|| Double::new(move |_, _| reply())) {
        let stand = stand.with(|layer| layer.grpc(["/pkg.Service/*"]).unwrap());
        for host in ["", "http://[::1]:50051", "https://api.example"] {
            let request = Request::post(format!("{host}/pkg.Service/Method"))
                .header("content-type", "application/grpc")
                .header("te", "trailers");
            let request = request.body(full("\0\0\0\0\0")).unwrap();
            assert!(!remove_by_listed_url(&stand, request).await, "a URL means a `GET`");
        }
    }
}

#[tokio::test]
async fn remove_expired_removes_stale_entries_and_clear_removes_all() {
    let stand = Stand::new(Double::counting());
    for seconds in 1..=3 {
        let options = CacheOptions::new().expire_after(SECOND * seconds);
        stand.ask(get(&format!("/{seconds}")).extension(options)).await;
    }
    stand.get("/never").await;
    let entries = stand.layer.entries();
    assert_eq!(entries.remove_expired().await.unwrap(), 0);
    stand.clock.advance(SECOND * 2);
    assert_eq!(entries.remove_expired().await.unwrap(), 2);
    assert_eq!(urls(&entries).await, [url("/3"), url("/never")]);
    entries.clear().await.unwrap();
    assert!(entries.is_empty().await.unwrap());
    assert!(!stand.get("/never").await.is_from_store());
}

#[tokio::test]
async fn handle_works_on_a_read_only_and_disabled_layer() {
    let stand = Stand::new(Double::counting()).with(|layer| layer.read_only(true));
    stand.layer.set_enabled(false);
    let entries = stand.layer.entries();
    entries.insert(&url("/"), ok("x")).await.unwrap();
    assert!(entries.contains(&url("/")).await.unwrap());
    assert_eq!(entries.remove(&url("/")).await.unwrap(), 1);
}

#[tokio::test]
async fn a_target_and_its_errors_show_no_secret() {
    const SECRETS: [&str; 4] = ["alice", "hunter2", "t0ken", "b3arer"];
    let shows_none = |text: &str| {
        assert!(!SECRETS.iter().any(|secret| text.contains(secret)), "{text}");
    };
    let secret = "http://alice:hunter2@example.com/path?key=t0ken";
    let request =
        || Request::get(secret).header("authorization", "b3arer").header("cookie", "t0ken");
    for target in [
        Target::from(secret),
        Target::from(&request().body(()).unwrap()),
        Target::from(&request().body(Bytes::from("t0ken")).unwrap()),
    ] {
        let text = format!("{target:?}");
        shows_none(&text);
        assert!(text.contains("example.com") && text.contains("/path"), "{text}");
    }

    let entries = Stand::new(Double::counting()).layer.entries();
    let invalid = "http://alice:hunter2@a b/?key=t0ken";
    shows_none(&format!("{:?}", Target::from(invalid)));
    let error = entries.contains(invalid).await.unwrap_err();
    shows_none(&format!("{error} {error:?}"));
    let expected = format!("the target ({} bytes) is not a URL: ", invalid.len());
    assert!(error.to_string().contains(&expected), "{error}");
    let hostless = Request::get("/path?key=t0ken").header("host", "alice hunter2");
    let error = entries.contains(&hostless.body(()).unwrap()).await.unwrap_err();
    shows_none(&format!("{error} {error:?}"));
}

/// A request without `Range` would receive the part as the whole.
#[tokio::test]
async fn refused_part_is_not_found_afterwards() {
    let stand = Stand::new(Double::counting());
    let entries = stand.layer.clone().http_rules().entries();
    let mut part = line(ok("ab"), "content-range", "bytes 0-1/4");
    *part.status_mut() = StatusCode::PARTIAL_CONTENT;
    let part = line(part, "cache-control", "max-age=60");
    let request = get("/").header("range", "bytes=0-1").body(()).unwrap();
    assert_eq!(kind(entries.insert(&request, part).await), ErrorKind::Invalid);
    assert!(!entries.contains(&url("/")).await.unwrap());
}

#[tokio::test]
async fn a_request_of_any_body_type_is_a_target() {
    let stand = Stand::new(Double::counting());
    let key = stand.get("/").await.cache.key().unwrap();
    let entries = stand.layer.entries();
    let request = get("/").body(empty()).unwrap();
    let (parts, _) = get("/").body(()).unwrap().into_parts();
    for target in [Target::from(&request), Target::from(&parts)] {
        let found = entries.get(target).await.unwrap().unwrap();
        assert_eq!(found.extensions().get::<CacheStatus>().unwrap().key(), Some(key));
    }
    // A body that cannot be read might be part of the key.
    let with_length = get("/").header("content-length", "4").body(empty()).unwrap();
    assert_eq!(kind(entries.get(&with_length).await), ErrorKind::Invalid);
    let (parts, _) = Request::post(url("/")).body(()).unwrap().into_parts();
    assert_eq!(kind(entries.get(&parts).await), ErrorKind::Invalid);
    let post = Request::post(url("/")).body(empty()).unwrap();
    let error = entries.get(&post).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("&Request<Bytes>"), "{error}");
}

#[tokio::test]
async fn url_with_only_other_variants_is_an_error_that_names_their_headers() {
    let inner = Double::new(|_, _| line(ok("text"), "vary", "accept-language, accept"));
    let stand = Stand::new(inner);
    stand.ask(lang("de")).await;
    let entries = stand.layer.entries();
    let error = entries.get(&url("/")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let names = error.to_string();
    let names = names.split_once('(').unwrap().1;
    assert!(names.contains("accept,") || names.contains("accept)"), "{error}");
    assert!(names.contains("accept-language"), "{error}");
    assert!(entries.get(&lang("de").body(()).unwrap()).await.unwrap().is_some());
    assert!(entries.get(&lang("en").body(()).unwrap()).await.unwrap().is_none());
    assert!(entries.contains(&url("/")).await.unwrap());
}

#[tokio::test]
async fn response_can_be_inserted_at_a_custom_key() {
    let stand = Stand::new(Double::counting());
    let entries = stand.layer.entries();
    let key = Key::digest("mine");
    entries.insert_at(key, line(ok("by hand"), "x-a", "1")).await.unwrap();
    let reply = stand.ask(get("/any").extension(CacheOptions::new().key(key))).await;
    assert_eq!(
        (reply.is_hit(), reply.text(), &reply.headers["x-a"]),
        (true, "by hand", &"1".parse().unwrap())
    );
    assert_eq!(urls(&entries).await, [""]);
    assert_eq!(kind(entries.insert(key, ok("text")).await), ErrorKind::Invalid);
    let mut part = ok("a");
    *part.status_mut() = StatusCode::PARTIAL_CONTENT;
    assert_eq!(kind(entries.insert_at(key, part).await), ErrorKind::Invalid);
    assert_eq!(entries.remove(key).await.unwrap(), 1);
}

#[tokio::test]
async fn response_inserted_at_a_key_is_stored_beside_the_variants_there() {
    let inner = Double::new(|_, call| line(ok(call.to_string()), "vary", "accept-language"));
    let stand = Stand::new(inner);
    let entries = stand.layer.entries();
    let key = Key::digest("mine");
    let own = || CacheOptions::new().key(key);
    stand.ask(lang("de").extension(own())).await;
    let varied = line(ok("by hand"), "vary", "accept-language");
    let stored = entries.insert_at(key, varied).await.unwrap();
    assert_ne!(stored, key);
    let without = stand.ask(get("/").extension(own())).await;
    assert_eq!((without.is_hit(), without.text()), (true, "by hand"));
    let german = stand.ask(lang("de").extension(own())).await;
    assert_eq!((german.is_hit(), german.text()), (true, "1"));
}

#[tokio::test]
async fn an_entry_is_described_with_headers_sizes_and_times() {
    let inner = Double::new(|_, _| line(ok("text"), "set-cookie", "session=s3cret"));
    let stand = Stand::new(inner).with(|l| l.expire_after(SECOND).stale_if_error(SECOND * 9));
    stand.get("/").await;
    let listed: Vec<_> = stand.layer.entries().stream().collect().await;
    let [Ok(info)] = &listed[..] else { panic!("{listed:?}") };
    assert_eq!((info.status, info.body_len), (StatusCode::OK, 4));
    assert!(info.size > 4 + 100, "{}", info.size);
    assert_eq!(info.headers["content-length"], "4");
    let at = |n| Some(SystemTime::from(T0.saturating_add(SECOND * n)));
    assert_eq!((info.expires_at, info.keep_until), (at(1), at(10)));
    let debug = format!("{info:?}");
    assert!(debug.contains("set-cookie") && !debug.contains("s3cret"), "{debug}");
}
