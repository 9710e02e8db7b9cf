//! Tests of `Files`: the names and the text of the files, edits by hand, damage, and other
//! processes.
//!
//! The conformance suite checks the contract of every store.

#![cfg(feature = "files")]
#![allow(clippy::unwrap_used)]

#[path = "support/child.rs"]
mod child;
#[path = "support/entries.rs"]
mod entries;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, HeaderValue, Method, Response};
use http_body_util::{BodyExt, Full};
use larder::{
    CacheLayer, Key, RequestBody,
    entry::Head,
    store::{ErrorKind, Files, Store, Writer, files::Builder},
    time::{ManualClock, Timestamp},
};
use tempfile::TempDir;
use tower::Layer;

#[cfg(target_os = "linux")]
use self::child::peak;
use self::{
    child::{child, child_path, hear, say},
    entries::{MIB, body, get, head_at, key, mixed, pieces, put, read},
};

// ===== support =====

fn temp_path() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("responses");
    (directory, path)
}

const URL: &str = "http://example.com/";

fn head() -> Head {
    head_at(Timestamp::from_millis(1_000))
}

fn head_for(method: Method, url: &str, content_type: &str) -> Head {
    let response = Response::builder().header("content-type", content_type).body(()).unwrap();
    Head::new(method, url, response.into_parts().0, Timestamp::from_millis(1_000))
}

/// The visible files below a folder, with their bytes.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for file in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = file.path();
            if file.file_name().to_str().unwrap().starts_with('.') {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

fn names(root: &Path) -> Vec<String> {
    files(root).into_keys().collect()
}

/// The path of the only head.
fn only_head(root: &Path) -> PathBuf {
    let names = names(root);
    let mut heads = names.iter().filter(|name| name.ends_with(".json"));
    let head = root.join(heads.next().unwrap());
    assert_eq!(heads.next(), None);
    head
}

/// The path of the only body.
fn only_body(root: &Path) -> PathBuf {
    root.join(names(root).into_iter().find(|name| name.contains(".body.")).unwrap())
}

/// Changes the text of a file.
fn edit(path: &Path, change: impl FnOnce(String) -> String) {
    fs::write(path, change(fs::read_to_string(path).unwrap())).unwrap();
}

/// Removes the line `checksum`, as a person does who edits an entry.
fn without_checksum(text: String) -> String {
    text.split_inclusive('\n').filter(|line| !line.contains("\"checksum\"")).collect()
}

fn read_only(path: &Path) -> Files {
    Files::builder(path).read_only(true).open().unwrap()
}

// ===== names and text =====

#[tokio::test]
async fn exchange_is_two_files_with_a_readable_name() {
    let (_directory, path) = temp_path();
    let store = Files::open(&path).unwrap();
    let entry = |method: Method, url, content_type, content| {
        let key = Key::digest(format!("{method} {url}"));
        put(&store, key, head_for(method, url, content_type), Bytes::from_static(content))
    };
    entry(Method::GET, "http://example.com/items/tea?x=1", "text/html", b"<p>").await.unwrap();
    entry(Method::POST, "http://example.com:8080/", "application/json", b"{}").await.unwrap();
    entry(Method::GET, "http://example.com/nothing", "text/plain", b"").await.unwrap();
    let digits = |name: &str| format!("{:.8}", Key::digest(name));
    let tea = digits("GET http://example.com/items/tea?x=1");
    let index = digits("POST http://example.com:8080/");
    let nothing = digits("GET http://example.com/nothing");
    let mut expected = [
        format!("example.com/items/tea~{tea}.body.html"),
        format!("example.com/items/tea~{tea}.json"),
        format!("example.com/nothing~{nothing}.json"),
        format!("example.com_8080/index.POST~{index}.body.json"),
        format!("example.com_8080/index.POST~{index}.json"),
    ];
    expected.sort();
    assert_eq!(names(&path), expected);
    assert_eq!(files(&path)[&format!("example.com/items/tea~{tea}.body.html")], b"<p>");
    assert_eq!(fs::read_to_string(path.join(".larder/.gitignore")).unwrap(), "*\n");
    assert_eq!(fs::read_to_string(path.join(".gitattributes")).unwrap(), "* -text\n");
    // The folder is removed with its last entry.
    store.clear().await.unwrap();
    assert_eq!(names(&path), Vec::<String>::new());
    assert!(!path.join("example.com").exists());
}

#[tokio::test]
async fn two_recordings_of_the_same_exchanges_are_the_same() {
    let mut recordings = Vec::new();
    for order in [[1, 2, 3], [3, 1, 2]] {
        let (_directory, path) = temp_path();
        let store = Files::open(&path).unwrap();
        for number in order {
            let url = format!("http://example.com/{number}");
            let head =
                head_for(Method::GET, &url, "image/png").with_tags(vec!["b".into(), "a".into()]);
            put(&store, key(number), head, body(number, 1_000 * number as usize)).await.unwrap();
        }
        // The number of times that an exchange is recorded does not matter either.
        let head = head_for(Method::GET, "http://example.com/1", "image/png");
        put(&store, key(1), head.clone(), body(9, 10)).await.unwrap();
        let head = head.with_tags(vec!["b".into(), "a".into()]);
        put(&store, key(1), head, body(1, 1_000)).await.unwrap();
        recordings.push(files(&path));
    }
    assert_eq!(recordings[0].len(), 6);
    assert!(recordings[0] == recordings[1]);
}

#[tokio::test]
async fn replaced_body_of_another_type_leaves_no_file() {
    let (_directory, path) = temp_path();
    let store = Files::open(&path).unwrap();
    let url = "http://example.com/a";
    for (content_type, len) in [("text/html", 10), ("image/png", 300_000), ("text/css", 0)] {
        let head = head_for(Method::GET, url, content_type);
        put(&store, key(1), head, body(1, len)).await.unwrap();
        assert_eq!(get(&store, key(1)).await.unwrap(), body(1, len));
        assert_eq!(names(&path).len(), if len == 0 { 1 } else { 2 });
    }
    // Under another URL, the entry has another name.
    put(&store, key(1), head_for(Method::GET, "http://b/", "a/b"), body(2, 5)).await.unwrap();
    assert!(names(&path).iter().all(|name| name.starts_with("b/index~")), "{:?}", names(&path));
}

#[tokio::test]
async fn hostile_urls_are_stored_inside_the_folder() {
    let (directory, path) = temp_path();
    let store = Files::open(&path).unwrap();
    let long = format!("http://a/{}", "x/".repeat(2_000) + &"y".repeat(6_000));
    let urls = [
        "http://a/../../../b",
        "http://../..",
        "http://a/%2e%2e%2f%2e%2e%2fb",
        "http://a/..\\..\\b",
        "http://a/\0",
        "http://a/CON",
        "http://a/nul.txt",
        "http://a/Tea",
        "http://a/tea",
        "http://A/tea",
        "http://a/.larder/index",
        "http://a/.git/config",
        "http://.larder/lock",
        "http://a/b~01234567.json/c",
        "http://a/t\u{e9}",
        "http://a/te\u{301}",
        "//////",
        "",
        &long,
    ];
    for url in urls {
        let key = Key::digest(url);
        put(&store, key, head_for(Method::GET, url, "text/plain"), body(1, 10)).await.unwrap();
    }
    for store in [store.clone(), Files::open(&path).unwrap(), read_only(&path)] {
        for url in urls {
            let hit = store.get(&Key::digest(url)).await.unwrap().unwrap();
            assert_eq!(hit.head.url(), url);
            assert_eq!(read(hit).await.unwrap(), body(1, 10));
        }
        assert_eq!(store.len().await.unwrap(), urls.len() as u64);
    }
    let outside: Vec<_> = fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(outside.len(), 1);
    let hidden = fs::read_dir(&path)
        .unwrap()
        .filter(|file| file.as_ref().unwrap().file_name().to_str().unwrap().starts_with('.'));
    assert_eq!(hidden.count(), 2);
    let names = names(&path);
    // The names differ on a file system that ignores case, too.
    let mut folded: Vec<_> = names.iter().map(|name| name.to_lowercase()).collect();
    folded.sort();
    folded.dedup();
    assert_eq!(folded.len(), names.len());
    assert!(names.iter().all(|name| name.len() < 220), "{names:?}");
}

#[tokio::test]
async fn two_keys_with_the_same_first_digits_have_two_names() {
    let (_directory, path) = temp_path();
    let store = Files::open(&path).unwrap();
    let keys: Vec<_> = (0..4)
        .map(|number| {
            let mut bytes = [7; 32];
            bytes[8 * number + 7] = 8;
            Key::from_bytes(bytes)
        })
        .collect();
    for (number, key) in keys.iter().enumerate() {
        put(&store, *key, head(), body(number as u64, 10)).await.unwrap();
    }
    for store in [store.clone(), Files::open(&path).unwrap(), read_only(&path)] {
        for (number, key) in keys.iter().enumerate() {
            assert_eq!(get(&store, *key).await.unwrap(), body(number as u64, 10));
        }
    }
    assert!(store.remove(&keys[1]).await.unwrap());
    assert_eq!(get(&store, keys[0]).await.unwrap(), body(0, 10));
}

#[tokio::test]
async fn values_that_are_not_text_are_read_back() {
    let (_directory, path) = temp_path();
    let store = Files::open(&path).unwrap();
    let mut parts = Response::new(()).into_parts().0;
    parts.headers.append("x-odd", HeaderValue::from_bytes(b"caf\xe9").unwrap());
    parts.headers.append("x-text", HeaderValue::from_bytes("é: \"\\".as_bytes()).unwrap());
    let mut trailers = HeaderMap::new();
    trailers.append("x-sum", HeaderValue::from_static("7"));
    let head = Head::new(Method::GET, "http://a/", parts, Timestamp::from_millis(1_234));
    let mut writer = store.put(&key(1), head.clone()).await.unwrap();
    writer.write(Bytes::from_static(b"\0\xff")).await.unwrap();
    writer.finish(Some(trailers.clone())).await.unwrap();
    for store in [store.clone(), read_only(&path)] {
        let hit = store.get(&key(1)).await.unwrap().unwrap();
        assert_eq!(*hit.head, head.clone().seal(2, Some(trailers.clone())));
        assert_eq!(read(hit).await.unwrap(), &b"\0\xff"[..]);
    }
}

// ===== behind a cache =====

/// The origin's responses to `/tea`, `/page` (which varies) and `/about` (which varies, with one
/// variant).
fn answer(request: &http::Request<Full<Bytes>>) -> Response<Full<Bytes>> {
    let language = request.headers().get("accept-language").map_or("", |it| it.to_str().unwrap());
    let response = Response::builder();
    let (content_type, vary) = match request.uri().path() {
        "/tea" => ("application/json", "host"),
        _ => ("text/html", "accept-language"),
    };
    let body = format!("{} in {language:?}", request.uri().path());
    let response = response.header("content-type", content_type).header("vary", vary);
    response.body(body.into()).unwrap()
}

/// Sends the requests through a cache over the store. Returns how many calls the origin received.
async fn record(store: Files) -> usize {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = calls.clone();
    let origin = tower::service_fn(move |request: http::Request<RequestBody<Full<Bytes>>>| {
        counter.fetch_add(1, Ordering::Relaxed);
        let request = request.map(|_| Full::default());
        async move { Ok::<_, std::convert::Infallible>(answer(&request)) }
    });
    let clock = ManualClock::new(Timestamp::from_millis(1_700_000_000_000));
    let cache = CacheLayer::private(store).clock(clock).layer(origin);
    for (path, language) in
        [("/tea", ""), ("/page", "de"), ("/page", "en"), ("/page", "fr"), ("/about", "de")]
    {
        let url = format!("http://example.com{path}");
        let request = http::Request::get(url).header("accept-language", language);
        let response =
            cache.request(request.body(Full::<Bytes>::default()).unwrap()).await.unwrap();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, format!("{path} in {language:?}"));
    }
    calls.load(Ordering::Relaxed)
}

#[tokio::test]
async fn recordings_through_a_cache_differ_only_in_the_keys_of_variants() {
    let mut recordings = Vec::new();
    for _ in 0..2 {
        let (_directory, path) = temp_path();
        assert_eq!(record(Files::open(&path).unwrap()).await, 5);
        let recorded = files(&path);
        assert_eq!(recorded.len(), 10, "{:?}", recorded.keys());
        // A replay needs no index: a checkout from version control is enough.
        fs::remove_dir_all(path.join(".larder")).unwrap();
        assert_eq!(record(read_only(&path)).await, 0);
        assert_eq!(record(Files::open(&path).unwrap()).await, 0);
        assert!(files(&path) == recorded, "a replay changes nothing");
        recordings.push(recorded);
    }
    let [first, second] = &recordings[..] else { unreachable!() };
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(first), names(second));
    let mut differing = Vec::new();
    for (name, bytes) in first {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (one, other) = (text(bytes), text(&second[name]));
        for (line, other) in one.lines().zip(other.lines()).filter(|(line, other)| line != other) {
            let (member, _) = line.trim().split_once(':').unwrap();
            assert!(other.trim().starts_with(member), "{line} {other}");
            assert!(name.starts_with("example.com/page~"), "{name}: {line}");
            differing.push(member.trim_matches('"').to_owned());
        }
    }
    differing.sort();
    // The first variant has the family in its head, and the other two have it in their keys.
    assert_eq!(differing, ["checksum", "checksum", "checksum", "family", "key", "key"]);
}

/// The values that select a variant are in the index only, which version control does not have. The
/// name of the file contains enough of them.
#[tokio::test]
async fn variants_have_the_same_names_again_after_a_clone() {
    let (_directory, path) = temp_path();
    record(Files::open(&path).unwrap()).await;
    let recorded = names(&path);
    fs::remove_dir_all(path.join(".larder")).unwrap();
    // Without the resident, the other variants are recorded under new keys.
    let first = recorded.iter().find(|name| {
        name.ends_with(".json") && fs::read_to_string(path.join(name)).unwrap().contains("others")
    });
    fs::remove_file(path.join(first.unwrap())).unwrap();
    assert_eq!(record(Files::open(&path).unwrap()).await, 3);
    assert_eq!(names(&path), recorded);
    assert_eq!(record(read_only(&path)).await, 0);
}

// ===== by hand =====

#[tokio::test]
async fn folder_without_its_index_has_the_same_entries() {
    let (_directory, path) = temp_path();
    let store = Files::open(&path).unwrap();
    let tagged = head().with_tags(vec!["tag".into()]);
    put(&store, key(1), tagged, body(1, 10)).await.unwrap();
    let expiring = head().with_expires_at(Some(Timestamp::from_millis(2_000)));
    put(&store, key(2), expiring, body(2, 200_000)).await.unwrap();
    let (size, before) = (store.size_bytes().await.unwrap(), files(&path));
    let version = store.get(&key(1)).await.unwrap().unwrap().version;
    drop(store);
    fs::remove_dir_all(path.join(".larder")).unwrap();
    let store = Files::open(&path).unwrap();
    assert!(files(&path) == before);
    assert_eq!(store.size_bytes().await.unwrap(), size);
    let hit = store.get(&key(1)).await.unwrap().unwrap();
    assert_ne!(hit.version, version);
    assert_eq!(read(hit).await.unwrap(), body(1, 10));
    assert_eq!(get(&store, key(2)).await.unwrap(), body(2, 200_000));
    assert_eq!(store.remove_tagged("tag").await.unwrap(), 1);
    assert_eq!(store.remove_expired(Timestamp::from_millis(2_000)).await.unwrap(), 1);
    assert_eq!(names(&path), Vec::<String>::new());
}

/// A damaged index is treated like a missing one.
#[tokio::test]
async fn damaged_index_is_rebuilt() {
    let (_directory, path) = temp_path();
    let store = Files::open(&path).unwrap();
    for number in 0..20 {
        put(&store, key(number), head(), body(number, 100)).await.unwrap();
    }
    drop(store);
    let index = path.join(".larder/index");
    let whole = fs::read(&index).unwrap();
    for at in (0..whole.len()).step_by(97) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x20;
        for bytes in [&damaged[..], &whole[..at]] {
            fs::write(&index, bytes).unwrap();
            let store = match Files::open(&path) {
                Ok(store) => store,
                // The damage is in the version number.
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Incompatible, "{at}: {error}");
                    continue;
                }
            };
            assert_eq!(store.len().await.unwrap(), 20, "{at}");
            for number in 0..20 {
                assert_eq!(get(&store, key(number)).await.unwrap(), body(number, 100));
            }
        }
    }
}

/// Replaces the files as `git checkout` of another branch does.
#[tokio::test]
async fn changes_of_files_while_the_folder_is_closed_are_noticed() {
    let (_directory, path) = temp_path();
    let (_other_directory, other) = temp_path();
    for (path, from) in [(&path, 0), (&other, 2)] {
        let store = Files::open(path).unwrap();
        for number in from..from + 4 {
            let url = format!("http://example.com/{number}");
            let head = head_for(Method::GET, &url, "text/plain");
            put(&store, key(number), head, body(number + from, 50)).await.unwrap();
        }
    }
    let branch = files(&other);
    let last = Files::open(&path).unwrap();
    let version = last.get(&key(2)).await.unwrap().unwrap().version;
    drop(last);
    for name in names(&path) {
        fs::remove_file(path.join(name)).unwrap();
    }
    for (name, bytes) in &branch {
        fs::write(path.join(name), bytes).unwrap();
    }
    for store in [read_only(&path), Files::open(&path).unwrap()] {
        assert_eq!(store.len().await.unwrap(), 4);
        for number in 0..6 {
            let expected = (number >= 2).then(|| body(number + 2, 50));
            assert_eq!(get(&store, key(number)).await, expected, "{number}");
        }
        assert_ne!(store.get(&key(2)).await.unwrap().unwrap().version, version);
        assert_eq!(store.scan().count().await, 4);
    }
    assert!(files(&path) == branch);
}

#[tokio::test]
async fn entry_without_its_checksum_can_be_edited_by_hand() {
    let (_directory, path) = temp_path();
    let store = Files::open(&path).unwrap();
    put(&store, key(1), head(), Bytes::from_static(b"old")).await.unwrap();
    let seen = store.get(&key(1)).await.unwrap().unwrap().version;
    edit(&only_head(&path), |text| without_checksum(text.replace("text/plain", "text/x-new")));
    fs::write(only_body(&path), "a longer text").unwrap();
    for store in [store.clone(), Files::open(&path).unwrap(), read_only(&path)] {
        let hit = store.get(&key(1)).await.unwrap().unwrap();
        assert_eq!(hit.head.headers()["content-type"], "text/x-new");
        assert_eq!((hit.head.body_len(), hit.version == seen), (13, false));
        assert_eq!(read(hit).await.unwrap(), "a longer text");
    }
    // The version from before the edit is outdated. An update keeps the edit.
    assert!(!store.update(&key(1), seen, head()).await.unwrap());
    let hit = store.get(&key(1)).await.unwrap().unwrap();
    assert!(store.update(&key(1), hit.version, head()).await.unwrap());
    assert_eq!(get(&store, key(1)).await.unwrap(), "a longer text");
    edit(&only_body(&path), |text| text + " and more");
    assert_eq!(get(&store, key(1)).await.unwrap(), "a longer text and more");
}

#[tokio::test]
async fn edited_entry_with_its_checksum_is_refused_with_advice() {
    for (edits_head, len) in [(true, 20), (false, 20), (false, 300_000)] {
        let (_directory, path) = temp_path();
        let store = Files::open(&path).unwrap();
        put(&store, key(1), head(), body(1, len)).await.unwrap();
        if edits_head {
            edit(&only_head(&path), |text| text.replace("200", "404"));
        } else {
            let body = only_body(&path);
            let mut bytes = fs::read(&body).unwrap();
            bytes[10] ^= 1;
            fs::write(&body, bytes).unwrap();
        }
        for store in [read_only(&path), store, Files::open(&path).unwrap()] {
            let read = async { read(store.get(&key(1)).await?.unwrap()).await };
            let error = read.await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
            assert!(error.to_string().contains("remove the line `checksum`"), "{error}");
            let file = path.join("example.com/index~");
            assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
        }
        // The cache removes the damaged entry. Its files stay until another entry replaces them.
        let edited = files(&path);
        let store = Files::open(&path).unwrap();
        let seen = store.scan().next().await.unwrap().map(|it| it.version).ok();
        if let Ok(Some(hit)) = store.get(&key(1)).await {
            read(hit).await.unwrap_err();
        }
        assert!(match seen {
            Some(seen) => store.remove_if(&key(1), seen).await.unwrap(),
            None => store.remove(&key(1)).await.unwrap(),
        });
        assert_eq!((get(&store, key(1)).await, store.len().await.unwrap()), (None, 0));
        assert!(files(&path) == edited);
        put(&store, key(1), head_for(Method::GET, URL, "image/png"), body(2, 30)).await.unwrap();
        assert_eq!(get(&store, key(1)).await.unwrap(), body(2, 30));
        assert_eq!(names(&path).len(), 2);
        assert!(store.remove(&key(1)).await.unwrap());
        assert_eq!(names(&path), Vec::<String>::new());
    }
}

/// The head has a merge conflict, or a newer format.
#[tokio::test]
async fn unreadable_head_is_never_overwritten_or_removed() {
    let conflict = |text: String| "<<<<<<< HEAD\n".to_owned() + &text;
    let newer = |text: String| text.replacen("\"format\": 1", "\"format\": 2", 1);
    let member =
        |text: String| without_checksum(text.replacen("\"url\"", "\"new\": 1,\n    \"url\"", 1));
    let changes: [&dyn Fn(String) -> String; 3] = [&conflict, &newer, &member];
    for (change, is_open) in changes.iter().flat_map(|it| [(it, true), (it, false)]) {
        let (_directory, path) = temp_path();
        let mut store = Files::open(&path).unwrap();
        put(&store, key(1), head(), body(1, 50)).await.unwrap();
        edit(&only_head(&path), change);
        let before = files(&path);
        if !is_open {
            // A process was killed during a change.
            drop(store);
            fs::write(path.join(".larder/lock"), 16_u64.to_le_bytes()).unwrap();
            store = Files::open(&path).unwrap();
        }
        drop(store.get(&key(1)).await);
        store.remove(&key(1)).await.unwrap();
        put(&store, key(1), head(), body(2, 60)).await.unwrap();
        for store in [store, Files::open(&path).unwrap(), read_only(&path)] {
            assert_eq!(get(&store, key(1)).await.unwrap(), body(2, 60));
            assert_eq!(store.len().await.unwrap(), 1);
        }
        let now = files(&path);
        assert!(before.iter().all(|(name, bytes)| now.get(name) == Some(bytes)));
        assert_eq!(now.len(), 4);
    }
}

/// The folder was copied into itself. The second head of a key is not served. If it stayed, it
/// would bring the entry back after a purge.
#[tokio::test]
async fn copied_head_is_counted_and_removed_with_its_entry() {
    for how in ["remove", "clear", "tag", "evict"] {
        let (_directory, path) = temp_path();
        let store = Files::open(&path).unwrap();
        let head = head().with_tags(vec!["tag".into()]);
        put(&store, key(1), head, body(1, 50_000)).await.unwrap();
        let size = store.size_bytes().await.unwrap();
        drop(store);
        copy(&path.join("example.com"), &path.join("copy/example.com"));
        fs::write(path.join("copy/mine.txt"), "mine").unwrap();
        let store = Files::builder(&path).max_bytes(200_000).open().unwrap();
        assert_eq!(store.len().await.unwrap(), 1);
        // The copy is in one more folder.
        assert_eq!(store.size_bytes().await.unwrap(), 2 * size + 4_096);
        assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 50_000));
        match how {
            "remove" => assert!(store.remove(&key(1)).await.unwrap()),
            "clear" => store.clear().await.unwrap(),
            "tag" => assert_eq!(store.remove_tagged("tag").await.unwrap(), 1),
            _ => {
                let other = head_for(Method::GET, "http://b/", "text/plain");
                put(&store, key(2), other.clone(), body(2, 150_000)).await.unwrap();
                let evicted = store.evicted();
                assert_eq!((evicted.entries, evicted.bytes > 100_000), (1, true));
                assert!(store.remove(&key(2)).await.unwrap());
            }
        }
        assert_eq!(store.size_bytes().await.unwrap(), 0, "{how}");
        assert_eq!(names(&path), ["copy/mine.txt"], "{how}");
        assert_eq!(Files::open(&path).unwrap().len().await.unwrap(), 0, "{how}");
    }
}

/// Of two heads with the same key, only one is in the index. The body of the other is no orphan.
#[tokio::test]
async fn body_of_a_copied_head_stays_after_a_crash() {
    let (_directory, path) = temp_path();
    let store = Files::open(&path).unwrap();
    put(&store, key(1), head(), body(1, 50)).await.unwrap();
    drop(store);
    for name in names(&path) {
        let copied = name.replace("index~", "mine~");
        fs::copy(path.join(&name), path.join(copied)).unwrap();
    }
    // A body that a crash left behind.
    fs::write(path.join("example.com/left~01234567.body.txt"), "left").unwrap();
    fs::write(path.join(".larder/lock"), 16_u64.to_le_bytes()).unwrap();
    let store = Files::open(&path).unwrap();
    assert_eq!((names(&path).len(), store.len().await.unwrap()), (4, 1));
}

/// An update keeps the body.
#[tokio::test]
async fn body_added_by_hand_needs_no_length() {
    let (_directory, path) = temp_path();
    let store = Files::open(&path).unwrap();
    put(&store, key(1), head(), Bytes::new()).await.unwrap();
    for member in ["{\"file\": \"mine.txt\", \"length\": 0}", "{\"file\": \"mine.txt\"}"] {
        edit(&only_head(&path), |text| {
            let text = without_checksum(text);
            let end = text.find(",\n  \"body\"").unwrap_or(text.len() - 3);
            format!("{},\n  \"body\": {member}\n}}\n", &text[..end])
        });
        fs::write(path.join("example.com/mine.txt"), "by hand").unwrap();
        let hit = store.get(&key(1)).await.unwrap().unwrap();
        assert_eq!(hit.head.body_len(), 7);
        assert!(store.update(&key(1), hit.version, head()).await.unwrap());
        assert_eq!(get(&store, key(1)).await.unwrap(), "by hand");
        assert!(fs::read_to_string(only_head(&path)).unwrap().contains("\"length\": 7"));
    }
}

/// A listing reads every head, but does not count as use.
#[tokio::test]
async fn scan_does_not_change_what_is_evicted() {
    let (_directory, path) = temp_path();
    let store = Files::builder(&path).max_bytes(60_000).open().unwrap();
    let head = |number| {
        let url = format!("http://example.com/{number}");
        head_for(Method::GET, &url, "text/plain")
    };
    for number in 0..5 {
        put(&store, key(number), head(number), body(number, 5_000)).await.unwrap();
    }
    assert_eq!(get(&store, key(0)).await.unwrap(), body(0, 5_000));
    assert_eq!(store.scan().count().await, 5);
    for number in 5..8 {
        put(&store, key(number), head(number), body(number, 5_000)).await.unwrap();
    }
    assert!(store.evicted().entries > 0);
    assert_eq!(get(&store, key(0)).await.unwrap(), body(0, 5_000));
}

#[tokio::test]
async fn removed_heads_and_bodies_are_noticed_while_the_folder_is_open() {
    let (_directory, path) = temp_path();
    let store = Files::open(&path).unwrap();
    for number in [1, 2] {
        let url = format!("http://example.com/{number}");
        let head = head_for(Method::GET, &url, "text/plain");
        put(&store, key(number), head, body(number, 50)).await.unwrap();
    }
    for name in names(&path) {
        // Removes the head of one entry, and the body of the other.
        if name.contains("/1~") != name.contains(".body.") {
            fs::remove_file(path.join(name)).unwrap();
        }
    }
    assert!(store.get(&key(1)).await.unwrap().is_none());
    let error = store.get(&key(2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("is missing; restore it"), "{error}");
    assert_eq!(store.len().await.unwrap(), 1);
}

#[tokio::test]
async fn other_files_are_not_changed() {
    let (_directory, path) = temp_path();
    for name in ["README.md", "example.com/notes.json", "example.com/a~01234567.json", "b.body.txt"]
    {
        fs::create_dir_all(path.join(name).parent().unwrap()).unwrap();
        fs::write(path.join(name), name).unwrap();
    }
    let before = files(&path);
    let store = Files::open(&path).unwrap();
    assert!(!path.join(".gitattributes").exists(), "the folder existed before");
    put(&store, key(1), head(), body(1, 10)).await.unwrap();
    assert_eq!(store.len().await.unwrap(), 1);
    store.clear().await.unwrap();
    assert!(files(&path) == before);
}

#[tokio::test]
async fn removal_keeps_a_body_that_another_head_may_use() {
    let (_directory, path) = temp_path();
    let store = Files::open(&path).unwrap();
    put(&store, key(1), head(), body(1, 10)).await.unwrap();
    let shared = path.join("example.com/shared.txt");
    fs::rename(only_body(&path), &shared).unwrap();
    let head = only_head(&path);
    edit(&head, |text| {
        let name = head.file_name().unwrap().to_str().unwrap().replace(".json", ".body.txt");
        without_checksum(text).replace(&name, "shared.txt")
    });
    // The head is renamed too.
    fs::rename(&head, path.join("example.com/mine~00000000.json")).unwrap();
    let store = Files::open(&path).unwrap();
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 10));
    assert!(store.remove(&key(1)).await.unwrap());
    assert_eq!(names(&path), ["example.com/shared.txt"]);
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_not_followed() {
    use std::os::unix::fs::symlink;
    let (directory, path) = temp_path();
    let store = Files::open(&path).unwrap();
    put(&store, key(1), head(), body(1, 10)).await.unwrap();
    // A body that is a link.
    let secret = directory.path().join("secret");
    fs::write(&secret, body(1, 10)).unwrap();
    let linked = only_body(&path);
    fs::remove_file(&linked).unwrap();
    symlink(&secret, &linked).unwrap();
    assert_eq!(store.get(&key(1)).await.unwrap_err().kind(), ErrorKind::Corrupt);
    // A body outside the folder.
    edit(&only_head(&path), |text| {
        without_checksum(text).replace("\"file\": \"", "\"file\": \"../../secret")
    });
    let error = store.get(&key(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
    // A folder that is a link.
    let outside = directory.path().join("outside");
    fs::rename(path.join("example.com"), &outside).unwrap();
    symlink(&outside, path.join("example.com")).unwrap();
    assert_eq!(store.get(&key(1)).await.unwrap_err().kind(), ErrorKind::Corrupt);
    let before = files(&outside);
    store.remove(&key(1)).await.unwrap();
    store.clear().await.unwrap();
    assert!(files(&outside) == before);
    put(&store, key(2), head(), body(2, 10)).await.unwrap_err();
    assert!(files(&outside) == before);
    assert_eq!(Files::open(&path).unwrap().len().await.unwrap(), 0);
    drop(store);
    // A file of the hidden folder that is a link.
    for name in ["lock", "index"] {
        let file = path.join(".larder").join(name);
        fs::remove_file(&file).unwrap();
        symlink(&secret, &file).unwrap();
        let error = Files::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("is a link"), "{error}");
        assert_eq!(fs::read(&secret).unwrap(), body(1, 10));
        fs::remove_file(&file).unwrap();
    }
}

// ===== damage =====

/// Cuts, changes and removes each file. No lookup returns a wrong byte.
#[tokio::test]
async fn damaged_folder_causes_errors_and_never_wrong_bytes() {
    let (_directory, whole) = temp_path();
    let store = Files::open(&whole).unwrap();
    let content = |number: u64| body(number, [0, 100, 150_000][number as usize]);
    let head = |number: u64| {
        let head = head_for(Method::GET, &format!("http://example.com/{number}"), "text/plain");
        head.with_tags(vec!["tag".into()]).with_expires_at(Some(Timestamp::from_millis(9_000)))
    };
    for number in 0..3 {
        put(&store, key(number), head(number), content(number)).await.unwrap();
    }
    drop(store);
    let mut all = names(&whole);
    all.extend(["index", "lock"].map(|name| format!(".larder/{name}")));
    let mut errors = 0;
    for name in &all {
        let bytes = fs::read(whole.join(name)).unwrap();
        let step = bytes.len().div_ceil(40).max(1);
        for at in (0..=bytes.len()).step_by(step) {
            for kind in ["cut", "flip", "zero", "remove"] {
                let (_directory, path) = temp_path();
                copy(&whole, &path);
                let mut damaged = bytes.clone();
                match kind {
                    "cut" => damaged.truncate(at),
                    "flip" if at < bytes.len() => damaged[at] ^= 1 << (at % 8),
                    "zero" if at < bytes.len() => damaged[at..].fill(0),
                    "remove" if at == 0 => {}
                    _ => continue,
                }
                fs::write(path.join(name), damaged).unwrap();
                if kind == "remove" {
                    fs::remove_file(path.join(name)).unwrap();
                }
                let when = format!("{kind} {name} at {at}");
                let store = match Files::open(&path) {
                    Ok(store) => store,
                    Err(error) => {
                        assert!(error.to_string().contains("remove the file"), "{when}: {error}");
                        continue;
                    }
                };
                for number in 0..3 {
                    let found = async {
                        let Some(hit) = store.get(&key(number)).await? else { return Ok(None) };
                        let head = hit.head.clone();
                        Ok::<_, larder::store::Error>(Some((head, read(hit).await?)))
                    };
                    match found.await {
                        Ok(Some((found, bytes))) => {
                            assert!(bytes == content(number), "{when}: wrong bytes");
                            assert_eq!(
                                *found,
                                head(number).seal(bytes.len() as u64, None),
                                "{when}"
                            );
                        }
                        Ok(None) => {}
                        Err(error) => {
                            let kind = error.kind();
                            let kinds = [ErrorKind::Corrupt, ErrorKind::Incompatible];
                            assert!(kinds.contains(&kind), "{when}: {error}");
                            errors += 1;
                            // The cache removes the entry as well.
                            store.remove(&key(number)).await.unwrap();
                            assert!(store.get(&key(number)).await.unwrap().is_none());
                        }
                    }
                    put(&store, key(number), head(number), content(number)).await.unwrap();
                    assert_eq!(get(&store, key(number)).await.unwrap(), content(number), "{when}");
                }
                // A damaged head file may stay beside them.
                let listed: Vec<_> = store.scan().collect().await;
                assert_eq!(listed.iter().flatten().count(), 3, "{when}");
                assert!(listed.len() <= 4, "{when}: {listed:?}");
                assert_eq!(store.len().await.unwrap(), 3, "{when}");
                assert_eq!(store.remove_tagged("tag").await.unwrap(), 3, "{when}");
            }
        }
    }
    assert!(errors > 100, "too little damage was detected: {errors}");
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, to) = (file.path(), to.join(file.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(path, to).unwrap();
        }
    }
}

/// Stores three entries. Returns the path of the head of `/2` as well.
async fn three_entries(path: &Path) -> (Files, PathBuf) {
    let store = Files::open(path).unwrap();
    for number in 1..4 {
        let url = format!("http://example.com/{number}");
        let head = head_for(Method::GET, &url, "text/plain");
        put(&store, key(number), head, body(number, 10)).await.unwrap();
    }
    let head = names(path).into_iter().find(|name| name.contains("/2~") && name.ends_with("json"));
    (store, path.join(head.unwrap()))
}

#[tokio::test]
async fn unreadable_entry_does_not_affect_other_entries() {
    let newer = |text: String| text.replacen("\"format\": 1", "\"format\": 2", 1);
    let long = |text: String| {
        let name = format!("\"file\": \"{}\"", "x".repeat(300));
        let at = text.find("\"file\": \"2~").unwrap();
        let end = at + text[at..].find(',').unwrap();
        without_checksum(text[..at].to_owned() + &name + &text[end..])
    };
    let edited = |text: String| text.replace("200", "404");
    let changes: [(&dyn Fn(String) -> String, ErrorKind); 3] = [
        (&newer, ErrorKind::Incompatible),
        (&long, ErrorKind::Corrupt),
        (&edited, ErrorKind::Corrupt),
    ];
    for (change, kind) in changes {
        let (_directory, path) = temp_path();
        let (store, head) = three_entries(&path).await;
        drop(store);
        edit(&head, change);
        let store = Files::open(&path).unwrap();
        let error = match store.get(&key(2)).await {
            Err(error) => error,
            Ok(hit) => read(hit.unwrap()).await.unwrap_err(),
        };
        assert_eq!((error.kind(), error.key()), (kind, Some(&key(2))), "{error}");
        let failed: Vec<_> =
            store.scan().filter_map(|item| std::future::ready(item.err())).collect().await;
        assert!(failed.iter().all(|error| error.key() == Some(&key(2))), "{failed:?}");
        let entries = CacheLayer::private(store.clone()).entries();
        let (_other_directory, other) = temp_path();
        let other = Files::open(&other).unwrap();
        let report = entries.copy_with(&other, larder::IfPresent::KeepNewer, |_| {}).await;
        let report = report.unwrap();
        assert_eq!((report.copied, report.damaged), (2, 1), "{error}");
        assert!(!entries.contains(key(2)).await.unwrap());
        // The same in the other direction.
        let back = CacheLayer::private(other).entries();
        back.copy_to(&store, |_| {}).await.unwrap();
        let filter = larder::Filter::new().url("*.com/{1,3}").unwrap();
        assert_eq!(entries.remove_where(&filter, |_| {}).await.unwrap(), 2, "{error}");
        assert_eq!(entries.remove_all_expired().await.unwrap(), 0);
        entries.reset_expiration(Duration::from_secs(9), |_| {}).await.unwrap();
    }
}

/// A head without a key cannot be in the index. A scan reports its path.
#[tokio::test]
async fn head_without_a_readable_key_is_an_error_of_the_scan() {
    let broken = |text: String| text.replacen('{', "[", 1);
    let conflict = |text: String| format!("<<<<<<< ours\n{text}");
    let newer = |text: String| {
        text.replacen("\"format\": 1", "\"format\": 2", 1).replace("\"key\"", "\"id\"")
    };
    let changes: [&dyn Fn(String) -> String; 3] = [&broken, &conflict, &newer];
    for change in changes {
        let (_directory, path) = temp_path();
        let (store, head) = three_entries(&path).await;
        drop(store);
        edit(&head, change);
        for store in [Files::open(&path).unwrap(), read_only(&path)] {
            let listed: Vec<_> = store.scan().collect().await;
            let failed: Vec<_> = listed.iter().filter_map(|item| item.as_ref().err()).collect();
            assert_eq!((listed.len(), failed.len()), (3, 1), "{listed:?}");
            assert_eq!((failed[0].kind(), failed[0].key()), (ErrorKind::Corrupt, None));
            assert!(failed[0].to_string().contains("/2~"), "it has no path: {}", failed[0]);
            assert_eq!(store.len().await.unwrap(), 2);
        }
        let entries = CacheLayer::private(Files::open(&path).unwrap()).entries();
        let filter = larder::Filter::new().url("*.com/{1,3}").unwrap();
        assert_eq!(entries.remove_where(&filter, |_| {}).await.unwrap(), 2);
        assert!(head.exists(), "a removal keeps the unreadable head");
    }
}

/// Whatever replaces a file or a folder, the error concerns one entry only.
#[cfg(unix)]
#[tokio::test]
async fn file_of_another_kind_does_not_hide_other_entries() {
    for (place_of, with) in [
        ("body", "folder"),
        ("body", "loop"),
        ("body", "pipe"),
        ("head", "folder"),
        ("head", "loop"),
        ("head", "pipe"),
        ("folder", "file"),
        ("folder", "loop"),
    ] {
        let (_directory, path) = temp_path();
        let (store, head) = three_entries(&path).await;
        let url = "http://b/9";
        put(&store, key(9), head_for(Method::GET, url, "text/plain"), body(9, 20)).await.unwrap();
        let target = match place_of {
            "body" => PathBuf::from(head.to_str().unwrap().replace(".json", ".body.txt")),
            "head" => head,
            _ => path.join("b"),
        };
        if target.is_dir() {
            fs::remove_dir_all(&target).unwrap();
        } else {
            fs::remove_file(&target).unwrap();
        }
        match with {
            "folder" => fs::create_dir(&target).unwrap(),
            "loop" => std::os::unix::fs::symlink(&target, &target).unwrap(),
            "pipe" => make_pipe(&target),
            _ => fs::write(&target, "").unwrap(),
        }
        for store in [store, Files::open(&path).unwrap(), read_only(&path)] {
            let entries = CacheLayer::private(store.clone()).read_only(true).entries();
            let (_other_directory, other) = temp_path();
            let other = Files::open(other).unwrap();
            let copied = entries.copy_to(&other, |_| {}).await;
            assert_eq!(copied.unwrap(), 3, "{place_of} {with}");
            store.flush().await.unwrap();
        }
    }
}

/// Fails if `work` takes more than ten seconds.
#[cfg(unix)]
async fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let work = tokio::task::spawn_blocking(work);
    tokio::time::timeout(Duration::from_secs(10), work).await.expect("it hangs").unwrap()
}

#[cfg(unix)]
fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Opening a named pipe waits for its other end.
#[cfg(unix)]
#[tokio::test]
async fn pipe_in_place_of_a_file_does_not_block() {
    let (_directory, path) = temp_path();
    let (store, head) = three_entries(&path).await;
    drop(store);
    let dead = path.join(".larder/unfinished/0123456789abcdef");
    fs::create_dir(&dead).unwrap();
    make_pipe(&dead.join("alive"));
    let root = path.clone();
    let store = in_time(move || Files::open(root)).await.unwrap();
    assert_eq!(store.len().await.unwrap(), 3);
    // A file that will be synced.
    put(&store, key(2), head_for(Method::GET, "http://example.com/2", "text/plain"), body(2, 20))
        .await
        .unwrap();
    fs::remove_file(&head).unwrap();
    make_pipe(&head);
    let flush = tokio::time::timeout(Duration::from_secs(10), store.flush());
    flush.await.expect("it hangs").unwrap();
    // A folder.
    put(&store, key(9), head_for(Method::GET, "http://b/9", "text/plain"), body(9, 20))
        .await
        .unwrap();
    fs::remove_dir_all(path.join("b")).unwrap();
    make_pipe(&path.join("b"));
    let flush = tokio::time::timeout(Duration::from_secs(10), store.flush());
    flush.await.expect("it hangs").unwrap();
    drop(store);
    for name in ["lock", "index", ".gitignore"] {
        let file = path.join(".larder").join(name);
        fs::remove_file(&file).unwrap();
        make_pipe(&file);
        let root = path.clone();
        let opened = in_time(move || Files::open(root)).await;
        assert_eq!(opened.is_ok(), name == ".gitignore", "{opened:?}");
        let root = path.clone();
        in_time(move || read_only(&root)).await;
        fs::remove_file(&file).unwrap();
    }
}

/// Space that the file only claims (`truncate -s 15T`) is not reserved.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn sparse_index_is_truncated() {
    let (_directory, path) = temp_path();
    let (store, _) = three_entries(&path).await;
    let index = path.join(".larder/index");
    let whole = fs::metadata(&index).unwrap().len();
    for (is_open, header) in [(true, 0), (true, u64::MAX), (false, 0), (false, u64::MAX)] {
        let file = fs::File::options().write(true).open(&index).unwrap();
        file.set_len(8 << 40).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &header.to_le_bytes(), whole).unwrap();
        assert_eq!(store.len().await.unwrap(), 3);
        if is_open {
            assert!(!store.remove(&key(9)).await.unwrap());
        } else {
            assert_eq!(Files::open(&path).unwrap().len().await.unwrap(), 3);
        }
        assert_eq!(fs::metadata(&index).unwrap().len(), whole);
    }
}

/// Programs that remove old temporary files do this, and `git clean -fdX` too.
#[tokio::test]
async fn removed_hidden_folder_is_created_again() {
    for name in ["unfinished", "unfinished/*", "index", "lock", ""] {
        let (_directory, path) = temp_path();
        let (one, other) = (Files::open(&path).unwrap(), Files::open(&path).unwrap());
        put(&one, key(1), head(), body(1, 200_000)).await.unwrap();
        assert_eq!(get(&other, key(1)).await.unwrap(), body(1, 200_000));
        let mut unfinished = one.put(&key(1), head()).await.unwrap();
        for piece in pieces(&body(9, MIB)) {
            unfinished.write(piece).await.unwrap();
        }
        match name {
            "unfinished/*" => {
                for own in fs::read_dir(path.join(".larder/unfinished")).unwrap() {
                    fs::remove_dir_all(own.unwrap().path()).unwrap();
                }
            }
            "index" | "lock" => fs::remove_file(path.join(".larder").join(name)).unwrap(),
            _ => fs::remove_dir_all(path.join(".larder").join(name)).unwrap(),
        }
        // The body that was written into the folder is lost, and the writer reports it.
        let is_lost = !["index", "lock"].contains(&name);
        assert_eq!(unfinished.finish(None).await.is_err(), is_lost, "{name}");
        let third = Files::open(&path).unwrap();
        let all = [&one, &third, &other, &one, &third];
        for (turn, writers) in all.windows(2).enumerate() {
            let turn = turn as u64 + 2;
            put(writers[0], key(1), head(), body(turn, 300)).await.unwrap();
            let head = head_for(Method::GET, &format!("http://b/{turn}"), "text/plain");
            put(writers[1], key(turn), head, body(turn, 200_000)).await.unwrap();
            for store in [&one, &other, &third] {
                // A store that makes a change reads the changes of the others first.
                store.remove(&key(99)).await.unwrap();
                assert_eq!(get(store, key(1)).await.unwrap(), body(turn, 300), "{name} {turn}");
                assert_eq!(get(store, key(turn)).await.unwrap(), body(turn, 200_000), "{name}");
            }
        }
        one.clear().await.unwrap();
        for store in [&one, &other, &third] {
            store.remove(&key(99)).await.unwrap();
            assert_eq!(store.len().await.unwrap(), 0, "{name}");
        }
        assert_eq!(names(&path), Vec::<String>::new(), "{name}");
        assert_eq!(fs::read_to_string(path.join(".larder/.gitignore")).unwrap(), "*\n");
    }
}

// ===== read-only =====

#[tokio::test]
async fn read_only_folder_is_not_written() {
    let (directory, path) = temp_path();
    let store = Files::open(&path).unwrap();
    put(&store, key(1), head(), body(1, 100)).await.unwrap();
    put(&store, key(2), head(), body(2, 300_000)).await.unwrap();
    drop(store);
    for has_index in [true, false] {
        if !has_index {
            fs::remove_dir_all(path.join(".larder")).unwrap();
        }
        let before = tree(directory.path());
        let (one, other) = (read_only(&path), read_only(&path));
        for store in [&one, &other] {
            assert_eq!(get(store, key(1)).await.unwrap(), body(1, 100));
            assert_eq!(get(store, key(2)).await.unwrap(), body(2, 300_000));
            assert_eq!(store.len().await.unwrap(), 2);
            assert_eq!(store.scan().count().await, 2);
            store.flush().await.unwrap();
            let version = store.get(&key(1)).await.unwrap().unwrap().version;
            for error in [
                put(store, key(3), head(), body(3, 10)).await.unwrap_err(),
                store.remove(&key(1)).await.unwrap_err(),
                store.remove_if(&key(1), version).await.unwrap_err(),
                store.update(&key(1), version, head()).await.unwrap_err(),
                store.remove_tagged("a").await.unwrap_err(),
                store.remove_expired(Timestamp::MAX).await.unwrap_err(),
                store.clear().await.unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
                assert!(error.to_string().contains("read_only(true)"), "{error}");
                assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            }
        }
        assert!(tree(directory.path()) == before);
    }
    let error = Files::builder(directory.path().join("no")).read_only(true).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!directory.path().join("no").exists());
}

/// The bodies have the same length, so only the checksum tells them apart.
#[tokio::test(flavor = "multi_thread")]
async fn read_only_folder_never_mixes_two_versions() {
    let (_directory, path) = temp_path();
    let store = Files::open(&path).unwrap();
    put(&store, key(1), head(), body(0, 200_000)).await.unwrap();
    let reader = read_only(&path);
    let writing = tokio::spawn(async move {
        for number in 1..300 {
            put(&store, key(1), head(), body(number, 200_000)).await.unwrap();
        }
    });
    while !writing.is_finished() {
        get(&reader, key(1)).await.unwrap();
    }
    writing.await.unwrap();
}

/// Every file and folder, hidden ones too, with its bytes and its time of change.
fn tree(root: &Path) -> Vec<(PathBuf, Vec<u8>, std::time::SystemTime)> {
    let mut tree = Vec::new();
    for file in fs::read_dir(root).unwrap().map(Result::unwrap) {
        let (path, changed) = (file.path(), file.metadata().unwrap().modified().unwrap());
        let bytes = if path.is_dir() { Vec::new() } else { fs::read(&path).unwrap() };
        if path.is_dir() {
            tree.extend(self::tree(&path));
        }
        tree.push((path, bytes, changed));
    }
    tree.sort();
    tree
}

#[tokio::test]
async fn read_only_folder_follows_replacements_and_removals() {
    let (_directory, path) = temp_path();
    let store = Files::open(&path).unwrap();
    put(&store, key(1), head(), body(1, 200_000)).await.unwrap();
    let reader = read_only(&path);
    let old = reader.get(&key(1)).await.unwrap().unwrap();
    for number in 2..20 {
        put(&store, key(1), head(), body(number, 200_000)).await.unwrap();
        assert_eq!(get(&reader, key(1)).await.unwrap(), body(number, 200_000));
    }
    assert_eq!(read(old).await.unwrap(), body(1, 200_000));
    store.remove(&key(1)).await.unwrap();
    assert!(reader.get(&key(1)).await.unwrap().is_none());
    assert_eq!(reader.len().await.unwrap(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn unwritable_folder_is_denied_and_can_be_opened_read_only() {
    use std::os::unix::fs::PermissionsExt;
    let name = "unwritable_folder_is_denied_and_can_be_opened_read_only";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Some(path) = child_path() {
        runtime.block_on(async {
            let error = Files::open(&path).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            assert_eq!(get(&read_only(&path), key(1)).await.unwrap(), body(1, 100));
        });
        return say("done");
    }
    let (_directory, path) = temp_path();
    runtime.block_on(async {
        let store = Files::open(&path).unwrap();
        put(&store, key(1), head(), body(1, 100)).await.unwrap();
    });
    let chmod = |modes: &str| {
        let status = Command::new("chmod").args(["-R", modes]).arg(&path).status().unwrap();
        assert!(status.success());
    };
    chmod("a-w");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o222, 0);
    let output = without_rights(name, &path);
    chmod("u+w");
    assert!(String::from_utf8_lossy(&output.stdout).contains("done"), "{output:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn unreadable_folder_inside_is_skipped() {
    let name = "unreadable_folder_inside_is_skipped";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    if let Some(path) = child_path() {
        runtime.block_on(async {
            assert!(fs::read_dir(path.join("lost+found")).is_err());
            assert_eq!(get(&Files::open(&path).unwrap(), key(1)).await.unwrap(), body(1, 100));
        });
        return say("done");
    }
    let (_directory, path) = temp_path();
    runtime.block_on(async {
        let store = Files::open(&path).unwrap();
        put(&store, key(1), head(), body(1, 100)).await.unwrap();
    });
    let hidden = path.join("lost+found");
    fs::create_dir(&hidden).unwrap();
    let chmod = |mode: &str| {
        assert!(Command::new("chmod").arg(mode).arg(&hidden).status().unwrap().success());
    };
    chmod("000");
    let output = without_rights(name, &path);
    chmod("700");
    assert!(String::from_utf8_lossy(&output.stdout).contains("done"), "{output:?}");
}

/// Runs a test again as a process without the capabilities of root, so that the modes of files
/// apply to it.
#[cfg(target_os = "linux")]
fn without_rights(name: &str, path: &Path) -> std::process::Output {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all"]);
    let own = child(name, path);
    command.arg(own.get_program()).args(own.get_args()).env(child::CHILD, path);
    command.output().unwrap()
}

// ===== several processes =====

#[tokio::test]
async fn two_stores_on_a_folder_follow_each_other_through_new_logs() {
    let (_directory, path) = temp_path();
    let (one, other) = (Files::open(&path).unwrap(), Files::open(&path).unwrap());
    // Enough changes to rewrite the log several times.
    for turn in 0..3 {
        for number in 0..1_500 {
            let (writer, reader) = if number % 2 == 0 { (&one, &other) } else { (&other, &one) };
            let key = key(number % 10);
            put(writer, key, head(), body(turn * 10_000 + number, 10)).await.unwrap();
            assert_eq!(get(reader, key).await.unwrap(), body(turn * 10_000 + number, 10));
        }
    }
    let len = fs::metadata(path.join(".larder/index")).unwrap().len();
    assert!(len < 1_000_000, "{len}");
    assert_eq!((one.len().await.unwrap(), other.len().await.unwrap()), (10, 10));
    drop(one);
    assert_eq!(other.remove_tagged("none").await.unwrap(), 0);
    other.clear().await.unwrap();
    assert_eq!(Files::open(&path).unwrap().len().await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_do_ten_thousand_operations_each() {
    let stored_at = Timestamp::from_millis(4_000_000_000_000);
    if let Some(path) = child_path() {
        let store = Files::open(path).unwrap();
        say("started");
        mixed(&store, 2, 200_000, stored_at).await;
        return say("done");
    }
    let (_directory, path) = temp_path();
    let store = Files::open(&path).unwrap();
    let mut other = child("two_processes_do_ten_thousand_operations_each", &path).spawn().unwrap();
    hear(&mut other, "started", 1);
    mixed(&store, 1, 200_000, stored_at).await;
    hear(&mut other, "done", 1);
    assert!(other.wait().unwrap().success());
    let listed: Vec<_> = store.scan().map(Result::unwrap).collect().await;
    assert_eq!(listed.len() as u64, store.len().await.unwrap());
    let entries = names(&path).iter().filter(|name| !name.contains(".body.")).count();
    assert_eq!(entries, listed.len());
    assert_eq!(Files::open(&path).unwrap().len().await.unwrap(), listed.len() as u64);
}

/// The processes that live go on, and complete its change.
#[tokio::test(flavor = "multi_thread")]
async fn killed_process_leaves_whole_entries_to_the_others() {
    if let Some(path) = child_path() {
        let store = Files::open(path).unwrap();
        say("started");
        for turn in 0.. {
            let number = turn % 10;
            let len = [50, 2_000, 300_000][turn as usize % 3];
            put(&store, key(number), head_numbered(turn, len), body(turn, len)).await.unwrap();
            if turn % 7 == 0 {
                store.remove(&key(number)).await.unwrap();
            }
        }
    }
    let (_directory, path) = temp_path();
    let store = Files::open(&path).unwrap();
    let name = "killed_process_leaves_whole_entries_to_the_others";
    let mut found = 0;
    for round in 0..12 {
        let mut other = child(name, &path).spawn().unwrap();
        hear(&mut other, "started", 1);
        tokio::time::sleep(Duration::from_millis(30 + round * 7)).await;
        other.kill().unwrap();
        other.wait().unwrap();
        for number in 0..10 {
            let Some(hit) = store.get(&key(number)).await.unwrap() else { continue };
            let turn = hit.head.stored_at().as_millis();
            let bytes = read(hit).await.unwrap();
            assert!(bytes == body(turn, bytes.len()), "the body belongs to its head");
            found += 1;
        }
        put(&store, key(99), head(), body(99, 10)).await.unwrap();
        assert!(store.remove(&key(99)).await.unwrap());
    }
    assert!(found > 10, "the processes stored too little");
    drop(store);
    let store = Files::open(&path).unwrap();
    assert_eq!(
        store.scan().filter(|item| std::future::ready(item.is_ok())).count().await as u64,
        store.len().await.unwrap()
    );
    let left = fs::read_dir(path.join(".larder/unfinished")).unwrap().count();
    assert_eq!(left, 0, "unfinished files of dead processes are removed");
    let heads = names(&path).iter().filter(|name| !name.contains(".body.")).count() as u64;
    assert_eq!(heads, store.len().await.unwrap());
    assert_eq!(
        names(&path).len() as u64,
        2 * heads,
        "each head has a body, and no other body is left"
    );
}

fn head_numbered(number: u64, len: usize) -> Head {
    // The ending of the body changes too.
    let content_type = ["text/html", "image/png"][len % 7 % 2];
    let response = Response::builder().header("content-type", content_type).body(()).unwrap();
    let parts = response.into_parts().0;
    Head::new(Method::GET, "http://example.com/", parts, Timestamp::from_millis(number))
}

// ===== bodies and bounds =====

#[tokio::test]
async fn a_reader_reads_the_old_body_to_its_end() {
    let (_directory, path) = temp_path();
    let store = Files::open(&path).unwrap();
    put(&store, key(1), head(), body(1, 3 * MIB)).await.unwrap();
    let (replaced, removed) =
        (store.get(&key(1)).await.unwrap().unwrap(), store.get(&key(1)).await.unwrap().unwrap());
    put(&store, key(1), head(), body(2, 3 * MIB)).await.unwrap();
    assert!(read(replaced).await.unwrap() == body(1, 3 * MIB));
    store.remove(&key(1)).await.unwrap();
    assert!(read(removed).await.unwrap() == body(1, 3 * MIB));
    assert_eq!(names(&path), Vec::<String>::new());
}

#[tokio::test]
async fn dropped_writer_leaves_no_file() {
    let (_directory, path) = temp_path();
    let store = Files::open(&path).unwrap();
    let mut writer = store.put(&key(1), head()).await.unwrap();
    for piece in pieces(&body(1, MIB)) {
        writer.write(piece).await.unwrap();
    }
    let unfinished = || {
        let folders = fs::read_dir(path.join(".larder/unfinished")).unwrap();
        folders.map(|it| fs::read_dir(it.unwrap().path()).unwrap().count() - 1).sum::<usize>()
    };
    assert_eq!(unfinished(), 1);
    drop(writer);
    // The store's thread removes the file before its next command.
    store.remove(&key(2)).await.unwrap();
    assert_eq!((unfinished(), names(&path).len()), (0, 0));
}

#[tokio::test]
async fn folder_stays_within_its_limit() {
    let (_directory, path) = temp_path();
    let store = Files::builder(&path).max_bytes(200_000).open().unwrap();
    let url = |number| format!("http://example.com/{number}");
    for number in 0..100 {
        let head = head_for(Method::GET, &url(number), "text/plain");
        put(&store, key(number), head, body(number, 5_000)).await.unwrap();
        // This entry is read again and again.
        assert_eq!(get(&store, key(0)).await.unwrap(), body(0, 5_000), "{number}");
        // Each file takes at least one block, and so does the folder.
        let files = files(&path);
        let bytes: usize = 4_096 + files.values().map(|it| it.len().max(4_096)).sum::<usize>();
        assert_eq!(bytes as u64, store.size_bytes().await.unwrap());
        assert!(bytes <= 200_000, "{bytes}");
    }
    let evicted = store.evicted();
    assert_eq!(evicted.entries + store.len().await.unwrap(), 100);
    let error = put(&store, key(1), head(), body(1, 200_000)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert!(error.to_string().contains("max_bytes(200000)"), "{error}");
    let error = Files::builder(&path).max_bytes(0).open().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn large_body_takes_little_memory() {
    const LEN: usize = 256 * MIB;
    if let Some(path) = child_path() {
        let store = Files::open(path).unwrap();
        let piece = body(1, MIB);
        let before = peak();
        let mut writer = store.put(&key(1), head()).await.unwrap();
        for _ in 0..LEN / MIB {
            writer.write(piece.clone()).await.unwrap();
        }
        writer.finish(None).await.unwrap();
        let mut body = store.get(&key(1)).await.unwrap().unwrap().body;
        let mut len = 0;
        while let Some(chunk) = body.chunk().await {
            len += chunk.unwrap().len();
        }
        assert_eq!(len, LEN);
        let grown = peak() - before;
        assert!(grown < 16 * MIB as u64, "{grown} bytes");
        return say("done");
    }
    let (_directory, path) = temp_path();
    let output = child("large_body_takes_little_memory", &path).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("done"), "{output:?}");
}

#[test]
fn debug_output_and_settings_are_short() {
    let store = Files::temporary().unwrap();
    let text = format!("{store:?}");
    assert!(text.starts_with("Files { path: ") && text.contains("max_bytes: 4294967296"), "{text}");
    let _: Builder = Files::builder("a");
    let path = store.path().to_owned();
    assert!(path.exists());
    drop(store);
    assert!(!path.exists());
    assert_eq!(Files::in_cache_dir("a/b").unwrap_err().kind(), ErrorKind::Invalid);
}
