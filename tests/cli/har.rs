//! `larder export` and `larder import`.

use base64::{Engine, engine::general_purpose::STANDARD};
use larder::{
    CacheLayer, Filter,
    store::{AnyStore, Store},
};
use serde_json::{Value, json};

use crate::support::{Cache, JSON, block_on, run, run_with};

fn export(cache: &Cache, args: &[&str]) -> Value {
    let ran = cache.run("export", &[&["-"], args].concat());
    serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"))
}

#[test]
fn an_export_is_a_har_of_every_entry() {
    for cache in Cache::filled() {
        let har = export(&cache, &[]);
        assert_eq!(har["log"]["version"], "1.2");
        assert_eq!(har["log"]["creator"]["name"], "larder");
        let entries = har["log"]["entries"].as_array().unwrap();
        assert_eq!(entries.len(), 7);
        let url = "http://example.com/users?page=2&sort=name";
        let entry = entries.iter().find(|entry| entry["request"]["url"] == url).unwrap();
        assert_eq!(entry["request"]["queryString"][1], json!({"name": "sort", "value": "name"}));
        let response = &entry["response"];
        assert_eq!(response["content"]["text"], JSON);
        assert_eq!(response["content"]["mimeType"], "application/json");
        assert_eq!(response["bodySize"], JSON.len());
        assert!(!har.to_string().contains("s3cret"));
        let with_secrets = export(&cache, &["--with-secrets", "--url", "/users"]);
        let response = &with_secrets["log"]["entries"][0]["response"];
        assert_eq!(response["cookies"][0], json!({"name": "sid", "value": "s3cret"}));
        let logo =
            entries.iter().find(|entry| entry["request"]["url"] == "http://example.com/logo.png");
        let content = &logo.unwrap()["response"]["content"];
        assert_eq!(content["encoding"], "base64");
        assert_eq!(STANDARD.decode(content["text"].as_str().unwrap()).unwrap().len(), 5_009);
    }
}

#[test]
fn a_file_is_written_whole_and_not_replaced_unless_forced() {
    let cache = Cache::filled().next().unwrap();
    let path = cache.folder.path().join("out.har");
    let path = path.to_str().unwrap();
    let ran = cache.run("export", &[path]);
    assert_eq!((ran.code, &*ran.out), (0, ""));
    let first = std::fs::read(path).unwrap();
    assert!(serde_json::from_slice::<Value>(&first).is_ok());
    let ran = cache.run("export", &[path, "--expired"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("exists; pass --force"), "{}", ran.err);
    assert_eq!(std::fs::read(path).unwrap(), first);
    assert_eq!(cache.run("export", &[path, "--expired", "--force"]).code, 0);
    assert!(std::fs::read(path).unwrap().len() < first.len());
    assert!(names(&cache).iter().all(|name| !name.contains("part")), "{:?}", names(&cache));
}

/// The names of the files beside the store.
fn names(cache: &Cache) -> Vec<String> {
    let files = std::fs::read_dir(cache.folder.path()).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn file_with_a_similar_name_stays() {
    let cache = Cache::filled().next().unwrap();
    let mine = cache.folder.path().join("out.har.part");
    std::fs::write(&mine, "mine").unwrap();
    let path = cache.folder.path().join("out.har");
    assert_eq!(cache.run("export", &[path.to_str().unwrap()]).code, 0);
    assert_eq!(std::fs::read(&mine).unwrap(), b"mine");
}

#[cfg(unix)]
#[test]
fn link_stays_and_its_file_is_replaced() {
    let cache = Cache::filled().next().unwrap();
    let [file, link] = ["file.har", "link.har"].map(|name| cache.folder.path().join(name));
    std::fs::write(&file, "old").unwrap();
    std::os::unix::fs::symlink("file.har", &link).unwrap();
    assert_eq!(cache.run("export", &[link.to_str().unwrap(), "--force"]).code, 0);
    assert!(link.symlink_metadata().unwrap().is_symlink());
    assert!(serde_json::from_slice::<Value>(&std::fs::read(file).unwrap()).is_ok());
}

/// A link to nothing belongs to someone too.
#[cfg(unix)]
#[test]
fn link_to_nothing_is_not_replaced_unless_forced() {
    let cache = Cache::filled().next().unwrap();
    for to in ["nowhere.har", "link.har"] {
        let link = cache.folder.path().join("link.har");
        std::os::unix::fs::symlink(to, &link).unwrap();
        let ran = cache.run("export", &[link.to_str().unwrap()]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.err.contains("link.har exists; pass --force"), "{}", ran.err);
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(cache.run("export", &[link.to_str().unwrap(), "--force"]).code, 0);
        assert!(serde_json::from_slice::<Value>(&std::fs::read(&link).unwrap()).is_ok());
        std::fs::remove_file(link).unwrap();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_failed_write_names_its_file() {
    let cache = Cache::filled().next().unwrap();
    let ran = cache.run("export", &["/dev/full"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("cannot write /dev/full: "), "{}", ran.err);
}

/// A device must not be replaced by a file either.
#[cfg(unix)]
#[test]
fn a_named_pipe_is_written_to_and_not_replaced() {
    use std::os::unix::fs::FileTypeExt;

    let cache = Cache::filled().next().unwrap();
    let pipe = cache.folder.path().join("pipe.har");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let from = pipe.clone();
    let reader = std::thread::spawn(move || std::fs::read(from).unwrap());
    let ran = cache.run("export", &[pipe.to_str().unwrap(), "--force"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(pipe.metadata().unwrap().file_type().is_fifo());
    assert!(serde_json::from_slice::<Value>(&reader.join().unwrap()).is_ok());
}

#[test]
fn store_is_refused_as_output() {
    let cache = Cache::filled().next().unwrap();
    for output in ["sqlite:b", "redb:b", "redis://localhost"] {
        let ran = cache.run("export", &[output]);
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.err.contains("names a store; `larder copy` fills one"), "{}", ran.err);
    }
}

/// JSON cannot represent such values. A substitute would be imported as if it had been sent.
#[test]
fn header_values_that_are_not_utf8_are_left_out() {
    let cache = Cache::filled().next().unwrap();
    let ran = cache.run("export", &["-"]);
    assert_eq!(ran.code, 0);
    assert!(!ran.out.contains("x-note") && !ran.out.contains('\u{fffd}'), "{}", ran.out);
    let expected =
        "larder: left out 7 header values that are not UTF-8; `larder copy` keeps them\n";
    assert_eq!(ran.err, expected);
}

#[test]
fn an_export_that_is_imported_has_the_same_entries() {
    for cache in Cache::filled() {
        let other = Cache::new("redb");
        let har = cache.run("export", &["-", "--with-secrets"]).out;
        let ran = run_with(har.as_bytes(), &["import", &other.arg(), "-"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.out.starts_with("imported 5 entries (5 KiB)\n"), "{}", ran.out);
        assert!(ran.out.contains("skipped 2: it has expired\n"), "{}", ran.out);
        let sorted = |cache: &Cache| {
            let mut lines = cache.json(&["ls"], &["--fresh"]);
            lines.sort_by_key(|line| line["key"].to_string());
            lines
        };
        assert_eq!(sorted(&other), sorted(&cache));
        for path in ["/logo.png", "/hello"] {
            let raw = |cache: &Cache| {
                cache.run("show", &[&format!("http://example.com{path}"), "--raw"]).bytes
            };
            // JSON cannot represent a value that is not UTF-8, so its header is left out.
            let lines = |bytes: Vec<u8>| -> Vec<Vec<u8>> {
                bytes.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect()
            };
            let mut expected = lines(raw(&cache));
            expected.retain(|line| !line.starts_with(b"x-note"));
            assert_eq!(lines(raw(&other)), expected);
        }
    }
}

/// An entry as Chrome and Firefox write it.
fn exchange(url: &str, request: &Value, response: &Value) -> Value {
    let mut entry = json!({
        "startedDateTime": "2026-01-02T03:04:05.678+01:00", "time": 1.9,
        "request": {"method": "GET", "url": url, "httpVersion": "h2", "headers": []},
        "response": {"status": 200, "httpVersion": "h2", "headers": [],
            "content": {"size": 4, "mimeType": "text/plain", "text": "text"}, "bodySize": -1},
    });
    for (part, changes) in [("request", request), ("response", response)] {
        for (name, value) in changes.as_object().unwrap() {
            entry[part][name] = value.clone();
        }
    }
    entry
}

fn import(cache: &Cache, entries: &[Value], args: &[&str]) -> Value {
    let har = json!({"log": {"version": "1.2", "entries": entries}}).to_string();
    let store = cache.arg();
    let args = [&["import", store.as_str(), "-", "--json"], args].concat();
    let ran = run_with(har.as_bytes(), &args);
    serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"))
}

#[test]
fn exchange_saved_by_a_browser_is_stored_decoded_with_its_time() {
    let cache = Cache::new("redb");
    let headers = json!([
        {"name": "Content-Type", "value": "text/plain; charset=iso-8859-1"},
        {"name": "Content-Encoding", "value": "br"}, {"name": "Content-Length", "value": "2"},
        {"name": "Set-Cookie", "value": "a=1\nb=2"},
    ]);
    let request = json!({"headers": [{"name": ":authority", "value": "a"},
        {"name": "Host", "value": "a"}, {"name": "Accept-Language", "value": "de"}]});
    let entries = [exchange("https://a/x", &request, &json!({"headers": headers}))];
    let summary = import(&cache, &entries, &["--key-header", "accept-language"]);
    assert_eq!(summary, json!({"imported": 1, "bytes": 4, "expired": 0, "skipped": {}}));
    let shown = cache.json(&["show"], &["https://a/x"]).remove(0);
    assert_eq!(shown["stored_at"], "2026-01-02T02:04:05.679Z");
    assert_eq!(shown["headers"][0][1], "text/plain; charset=utf-8");
    assert_eq!(shown["headers"].as_array().unwrap().len(), 3, "{shown}");
    assert_eq!(shown["body"], "text");

    // The program finds the entry with the settings that were passed.
    let layer = CacheLayer::private(cache.store()).add_key_headers(["accept-language"]).unwrap();
    let asked = |language: &str| {
        let request = http::Request::get("https://a/x").header("accept-language", language);
        block_on(layer.entries().contains(&request.body(()).unwrap())).unwrap()
    };
    assert!(asked("de"));
    assert!(!asked("fr"));
}

#[test]
fn unstorable_exchanges_are_skipped_with_a_reason() {
    let cache = Cache::new("sqlite");
    let none = json!({});
    let header = |name: &str, value: &str| json!({"headers": [{"name": name, "value": value}]});
    let entries = [
        exchange("https://a/1", &json!({"method": "POST"}), &none),
        exchange("https://a/2", &none, &json!({"status": 0})),
        exchange("https://a/3", &none, &json!({"status": 404})),
        exchange("data:text/plain,a", &none, &none),
        exchange("https://a/4", &none, &json!({"content": {"size": 7}})),
        exchange("https://a/5", &none, &json!({"content": {"text": "!", "encoding": "base64"}})),
        exchange("https://a/6", &none, &header("vary", "Accept, Cookie")),
        exchange("https://a/7", &none, &header("cache-control", "private=\"x\"")),
        exchange("https://a/8", &none, &header("cache-control", "no-store")),
        json!({"request": 1}),
        exchange("https://a/9", &none, &header("cache-control", "max-age=60")),
    ];
    let summary = import(&cache, &entries, &["--http-rules"]);
    assert_eq!(summary["imported"], 1);
    let skipped = summary["skipped"].as_object().unwrap();
    let reasons: Vec<&str> = skipped.keys().map(String::as_str).collect();
    for reason in [
        "the method is neither GET nor HEAD",
        "there was no response",
        "the status is 404",
        "the URL is not one of HTTP",
        "its body is not in the file",
        "not valid base64",
        "it varies by cookie",
        "must not be stored (no-freshness)",
        "must not be stored (no-store-directive)",
        "not an entry",
    ] {
        assert!(reasons.iter().any(|text| text.contains(reason)), "{reason}: {reasons:?}");
    }
    assert_eq!(import(&cache, &entries[2..3], &["--all-statuses"])["imported"], 1);
}

#[test]
fn variants_of_an_export_do_not_answer_other_requests() {
    let cache = Cache::new("redb");
    let request = json!({"headers": [{"name": "accept", "value": "text/plain"}]});
    let vary = json!({"headers": [{"name": "vary", "value": "accept"}]});
    import(&cache, &[exchange("https://a/", &request, &vary)], &[]);
    assert_eq!(cache.json(&["ls"], &[]).len(), 1);
    let har = cache.run("export", &["-"]).out;
    let other = Cache::new("redb");
    let ran = run_with(har.as_bytes(), &["import", &other.arg(), "-"]);
    assert!(ran.out.contains("skipped 1: it varies by accept"), "{ran:?}");
    let store: AnyStore = other.store();
    assert_eq!(block_on(store.len()).unwrap(), 0);
}

#[test]
fn newer_stored_entry_stays_unless_overwritten() {
    let none = json!({});
    let old = exchange("https://a/", &none, &none);
    let mut new = exchange("https://a/", &none, &json!({"content": {"text": "newer"}}));
    new["startedDateTime"] = json!("2026-02-02T03:04:05Z");
    for kind in ["redb", "sqlite"] {
        let cache = Cache::new(kind);
        let body = || cache.json(&["show"], &["https://a/"]).remove(0)["body"].clone();
        assert_eq!(import(&cache, &[new.clone(), old.clone()], &[])["imported"], 1);
        assert_eq!(body(), "newer");
        let summary = import(&cache, std::slice::from_ref(&old), &[]);
        assert_eq!(summary["skipped"], json!({ALREADY_THERE: 1}));
        let summary = import(&cache, std::slice::from_ref(&new), &[]);
        assert_eq!(summary["skipped"], json!({ALREADY_THERE: 1}), "the same response is skipped");
        assert_eq!(body(), "newer");
        assert_eq!(import(&cache, std::slice::from_ref(&old), &["--overwrite"])["imported"], 1);
        assert_eq!(body(), "text");
        assert_eq!(
            import(&cache, &[new.clone()], &[])["imported"],
            1,
            "an older response is replaced"
        );
        assert_eq!(body(), "newer");
    }
}

/// The reason for which an import skips a stored entry.
const ALREADY_THERE: &str =
    "the same or a newer response is there already (--overwrite replaces it)";

#[test]
fn entries_expired_by_the_settings_are_counted() {
    let (cache, none) = (Cache::new("redb"), json!({}));
    let entries = [exchange("https://a/", &none, &none)];
    let summary = import(&cache, &entries, &["--expire-after", "1s"]);
    assert_eq!(summary, json!({"imported": 1, "bytes": 4, "expired": 1, "skipped": {}}));
}

#[cfg(feature = "files")]
#[test]
fn a_folder_takes_everything_that_has_not_expired_and_no_option_of_a_har_file() {
    for cache in Cache::filled() {
        let to = format!("files:{}", cache.folder.path().join("folder").display());
        for flag in ["--with-secrets", "--force"] {
            let ran = cache.run("export", &[&to, flag]);
            assert_eq!(ran.code, 1, "{ran:?}");
            assert!(ran.err.contains("is for a HAR file"), "{}", ran.err);
        }
        assert!(!cache.folder.path().join("folder").exists());
        let ran = cache.run("export", &[&to]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.out.starts_with("copied 5 entries (5 KiB)\nleft out: expired: 2\n"), "{ran:?}");
        let shown = run(["show", &to, "http://example.com/hello", "--raw"]);
        assert!(shown.out.contains("s3cret"), "{shown:?}");
    }
}

/// People and other programs read a folder.
#[cfg(all(feature = "compression", feature = "files"))]
#[test]
fn a_folder_has_decompressed_bodies() {
    use larder::store::Compressed;

    let cache = Cache::new("redb");
    cache.fill_into(Compressed::new(cache.store()), std::time::Duration::from_secs(9), &["/large"]);
    let folder = cache.folder.path().join("folder");
    assert_eq!(cache.run("export", &[&format!("files:{}", folder.display())]).code, 0);
    let store = larder::store::Files::open(&folder).unwrap();
    let key = cache.key("/large").parse().unwrap();
    let hit = block_on(store.get(&key)).unwrap().unwrap();
    assert_eq!(block_on(hit.body.bytes()).unwrap(), [0xee; 1 << 20][..]);
}

/// Each of these would end the archive.
#[test]
fn entry_refused_by_json_libraries_does_not_end_the_import() {
    let cache = Cache::new("redb");
    let whole = exchange("https://a/", &json!({}), &json!({})).to_string();
    let surrogate = whole.replace("\"text\":\"text\"", r#""text":"\ud800""#);
    let number = whole.replace("1.9", "1e999");
    let nested = "[".repeat(300) + &"]".repeat(300);
    let nested = whole.replace("\"text\":\"text\"", &format!("\"text\":{nested}"));
    let har = [&surrogate, &number, &nested, &whole].map(String::as_str).join(",");
    assert!([surrogate, number, nested].iter().all(|text| *text != whole));
    let har = format!("{{\"log\":{{\"entries\":[{har}]}}}}");
    let ran = run_with(har.as_bytes(), &["import", &cache.arg(), "-"]);
    assert_eq!((ran.code, &*ran.err), (0, ""));
    let expected = "imported 1 entry (4 B)\nskipped 3: not an entry of a HAR file\n";
    assert_eq!(ran.out, expected);
    // Parts that larder does not read may be nested to any depth.
    let deep =
        whole.replacen('{', &format!("{{\"_more\":{},", "[".repeat(300) + &"]".repeat(300)), 1);
    let har = format!("{{\"log\":{{\"entries\":[{deep}]}}}}");
    let ran = run_with(har.as_bytes(), &["import", &cache.arg(), "-", "--overwrite"]);
    assert_eq!((ran.code, &*ran.out), (0, "imported 1 entry (4 B)\n"));
}

#[test]
fn reasons_are_few_and_contain_no_values_of_the_file() {
    let cache = Cache::new("redb");
    let mut entries = vec![
        json!({"request": {"method": "GET", "url": ["s3cret"]}, "response": {"status": 200}}),
        json!({"request": "s3cret", "response": 1}),
        exchange("https://a/", &json!({"headers": "s3cret"}), &json!({})),
    ];
    let vary = |value: &str| json!({"headers": [{"name": "vary", "value": value}]});
    entries.push(exchange("https://a/", &json!({}), &vary("token s3cret, cookie")));
    for status in 300..340 {
        entries.push(exchange("https://a/", &json!({}), &json!({"status": status})));
    }
    let summary = import(&cache, &entries, &[]);
    let skipped = summary["skipped"].as_object().unwrap();
    assert_eq!(skipped.len(), 21, "{skipped:?}");
    assert_eq!(skipped.values().map(|count| count.as_u64().unwrap()).sum::<u64>(), 44);
    assert!(!summary.to_string().contains("s3cret"), "{summary}");
    assert_eq!(skipped["not an entry of a HAR file"], 3);
    assert_eq!(skipped["other reasons"], 44 - 3 - 1 - 18);
}

#[test]
fn headers_that_do_not_fit_skip_the_entry() {
    let cache = Cache::new("redb");
    let line = |number| json!({"name": format!("x-{number}"), "value": "1"});
    let lines = Value::Array((0..40_000).map(line).collect());
    let headers = json!({"headers": lines});
    let entries = [
        exchange("https://a/1", &headers, &json!({})),
        exchange("https://a/2", &json!({}), &headers),
        exchange("https://a/3", &json!({}), &json!({})),
    ];
    let summary = import(&cache, &entries, &[]);
    assert_eq!(summary["imported"], 1);
    assert_eq!(summary["skipped"], json!({"it has too many header lines": 2}));
}

#[test]
fn truncated_file_imports_the_entries_before_its_end() {
    let cache = Cache::new("redb");
    let har = json!({"log": {"entries": [exchange("https://a/", &json!({}), &json!({}))]}});
    let har = har.to_string();
    let cut = &har.as_bytes()[..har.len() - 3];
    let ran = run_with(cut, &["import", &cache.arg(), "-"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("cannot read -: "), "{}", ran.err);
    assert_eq!(ran.out, "imported 1 entry (4 B)\n");
    assert_eq!(cache.count(&Filter::new()), 1);
    let ran = run(["import", &cache.arg(), "/none.har"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("cannot read /none.har"), "{}", ran.err);
}
