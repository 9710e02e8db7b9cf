//! The values that a request has under ignored names reach neither the store nor an event. The
//! tests search the bytes of real files.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, Request, Response, request};
use larder::{CacheLayer, store::Store};
use tower::{Layer, ServiceExt};

use crate::support::{Double, Reply, TestBody, full, get, line, ok, status, url};

const SECRET: &str = "hunter2-hunter2";
/// The value of a parameter that is not ignored. It is in the stored URL.
const SEEN: &str = "in-the-stored-url";

/// An origin that repeats the URL of the request as redirects do.
fn origin() -> Double {
    Double::new(|request, _| {
        let (path, target) = (request.uri().path(), request.uri().to_string());
        let response = match path {
            "/moved" => line(status(301), "location", target.replace("/moved", "/there")),
            "/login" => line(status(302), "location", format!("/in?next={}", encoded(&target))),
            "/content" => line(ok("text"), "content-location", target),
            "/vary" => line(ok("text"), "vary", "x-api-key, x-tenant, authorization, cookie"),
            "/search" => line(ok("text"), "no-vary-search", "params=(\"x\")"),
            _ => ok("text"),
        };
        let response = line(response, "etag", "\"1\"");
        line(response, "cache-control", "public, max-age=60")
    })
}

fn encoded(url: &str) -> String {
    url.replace('%', "%25").replace('/', "%2F").replace('?', "%3F").replace('&', "%26")
}

fn set<B: Store>(layer: CacheLayer<B>) -> CacheLayer<B> {
    layer
        .methods([Method::GET, Method::HEAD, Method::POST])
        .unwrap()
        .all_statuses()
        .add_ignored_parameters(["api_key", "sid*"])
        .unwrap()
        .add_ignored_headers(["X-Api-Key", "Authorization"])
        .unwrap()
        .add_ignored_request_body_fields(["/auth/token", "password"])
        .unwrap()
}

fn requests() -> Vec<(request::Builder, Bytes)> {
    let mut requests = Vec::new();
    for path in ["/plain", "/moved", "/login", "/content", "/vary", "/search"] {
        for query in [
            format!("api_key={SECRET}&x={SEEN}"),
            format!("x={SEEN}&API_KEY={SECRET}"),
            format!("x={SEEN}&api_key=1;{SECRET}"),
            format!("x={SEEN}&Api%5fKey={SECRET}&SID={SECRET}&sid2={SECRET}"),
        ] {
            let request = get(&format!("{path}?{query}"))
                .header("x-api-key", SECRET)
                .header("AUTHORIZATION", format!("Bearer {SECRET}"))
                .header("cookie", format!("session={SECRET}"))
                .header("x-tenant", SECRET);
            requests.push((request, Bytes::new()));
        }
    }
    let user = Request::get(format!("http://{SECRET}:{SECRET}@example.com/user"));
    requests.push((user, Bytes::new()));
    let part = get(&format!("/part?api_key={SECRET}")).header("range", "bytes=0-1");
    requests.push((part, Bytes::new()));
    let multipart = format!(
        "--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\n{SECRET}\r\n--b--\r\n"
    );
    for (media_type, body) in [
        ("application/json", format!("{{\"auth\":{{\"token\":\"{SECRET}\"}},\"q\":1}}")),
        ("application/json", format!("{{\"PassWord\":\"{SECRET}\"}}")),
        ("application/json", format!("{{\"password\":\"{SECRET}")),
        ("application/x-www-form-urlencoded", format!("q=1&password={SECRET}")),
        ("multipart/form-data; boundary=b", multipart),
        ("text/plain", SECRET.to_owned()),
    ] {
        let request = Request::post(url(&format!("/body?api_key={SECRET}")));
        requests.push((request.header("content-type", media_type), body.into()));
    }
    requests
}

/// Sends all requests twice. Returns what events, handles and settings print.
async fn send_all<B: Store + std::fmt::Debug>(layer: CacheLayer<B>) -> String {
    let said = Arc::new(Mutex::new(String::new()));
    let heard = said.clone();
    let layer = set(layer).add_event_hook(move |event| {
        *heard.lock().unwrap() += &format!("{event:?} {event:#?}\n");
    });
    let service = layer.layer(origin());
    for _ in 0..2 {
        for (request, body) in requests() {
            let request: Request<TestBody> = request.body(full(body)).unwrap();
            let response: Response<_> = service.clone().oneshot(request).await.unwrap();
            let reply = Reply::read(response).await;
            *said.lock().unwrap() += &format!("{:?}\n", reply.cache);
        }
    }
    let entries: Vec<_> = layer.entries().stream().collect().await;
    assert!(entries.len() >= 10, "{}", entries.len());
    let urls: Vec<_> = entries.iter().map(|entry| entry.as_ref().unwrap().url.clone()).collect();
    assert!(urls.contains(&url(&format!("/plain?x={SEEN}"))), "{urls:?}");
    assert!(urls.iter().all(|url| !url.contains("/moved")), "{urls:?}");
    assert!(urls.iter().all(|url| !url.contains("/login")), "{urls:?}");
    assert!(urls.iter().all(|url| !url.contains("/content")), "{urls:?}");
    layer.flush().await.unwrap();
    let said = said.lock().unwrap();
    format!("{said}\n{entries:?}\n{layer:?}\n{:?}", layer.entries())
}

/// The bytes of all files in the folder.
fn bytes_in(folder: &Path) -> Vec<u8> {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    files.flat_map(|it| if it.is_dir() { bytes_in(&it) } else { fs::read(it).unwrap() }).collect()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn check(folder: &Path, said: &str) {
    let bytes = bytes_in(folder);
    assert!(contains(&bytes, SEEN), "the search finds what is stored");
    assert!(!contains(&bytes, SECRET), "the secret is in the store");
    assert!(!said.contains(SECRET), "{said}");
    assert!(said.contains("ignored-parameter") || said.contains("IgnoredParameter"), "{said}");
}

/// Sends all requests over the store that `open` opens in a folder. Then searches that folder.
#[cfg(any(feature = "redb", feature = "sqlite", feature = "files"))]
async fn stores_no_secret<B: Store>(open: impl Fn(&Path) -> B) {
    for under_http_rules in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let layer = CacheLayer::private(open(&folder.path().join("cache")));
        let said = match under_http_rules {
            true => send_all(layer.http_rules().no_vary_search(true)).await,
            false => send_all(layer.expire_after(Duration::from_secs(60))).await,
        };
        check(folder.path(), &said);
    }
}

#[cfg(feature = "redb")]
#[tokio::test(flavor = "multi_thread")]
async fn a_redb_file_has_no_secret_of_a_request() {
    stores_no_secret(|path| larder::store::Redb::open(path).unwrap()).await;
}

#[cfg(feature = "sqlite")]
#[tokio::test(flavor = "multi_thread")]
async fn an_sqlite_file_has_no_secret_of_a_request() {
    stores_no_secret(|path| larder::store::Sqlite::open(path).unwrap()).await;
}

#[cfg(feature = "files")]
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_files_has_no_secret_of_a_request() {
    stores_no_secret(|path| larder::store::Files::open(path).unwrap()).await;
}
