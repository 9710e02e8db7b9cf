//! `larder ls` and `larder stats`.

use serde_json::Value;

use crate::support::{Cache, run};

/// The URLs without their host, sorted.
fn paths(entries: &[Value]) -> Vec<&str> {
    let mut paths: Vec<&str> = entries.iter().map(path_of).collect();
    paths.sort_unstable();
    paths
}

fn path_of(entry: &Value) -> &str {
    entry["url"].as_str().unwrap().strip_prefix("http://example.com").unwrap()
}

#[test]
fn every_entry_is_a_line_of_the_table() {
    for cache in Cache::filled() {
        let ran = cache.run("ls", &[]);
        assert_eq!((ran.code, &*ran.err), (0, ""));
        let lines: Vec<_> = ran.out.lines().collect();
        assert_eq!(lines[0], "KEY      METHOD CODE     SIZE  AGE EXPIRES  URL");
        assert_eq!(lines.len(), 8);
        let line = |url: &str| *lines.iter().find(|line| line.ends_with(url)).unwrap();
        let key = cache.key("/logo.png");
        let expected =
            format!("{} GET    200   4.9 KiB   1m in 58m   http://example.com/logo.png", &key[..8]);
        assert_eq!(line("/logo.png"), expected);
        assert!(line("/old/1").contains("  3h 2h ago   "), "{}", line("/old/1"));
        assert!(!ran.out.contains('\x1b'));
    }
}

#[test]
fn filters_select_entries() {
    for cache in Cache::filled() {
        for (args, expected) in [
            (&["--expired"][..], &["/old/1", "/old/2"][..]),
            (&["--older-than", "2h"], &["/old/1", "/old/2"]),
            (&["--url", "example.com/news/**"], &["/news/1", "/news/2?q=%1B%5B2J"]),
            (&["--url", "example.com/news/**", "--newer-than", "5s"], &[]),
            (&["--tag", "hello"], &["/hello"]),
            (&["--fresh", "--url", "/old/*"], &[]),
            (&["--status", "404"], &[]),
            (&["http://example.com/news/1"], &["/news/1"]),
        ] {
            let entries = cache.json(&["ls"], args);
            assert_eq!(paths(&entries), expected, "{args:?}");
            let code = if expected.is_empty() { 3 } else { 0 };
            assert_eq!(cache.run("ls", args).code, code, "{args:?}");
        }
    }
}

#[test]
fn url_is_found_with_its_parameters_in_any_order() {
    for cache in Cache::filled() {
        for url in [
            "http://example.com/users?page=2&sort=name",
            "http://example.com/users?sort=name&page=2",
            "HTTP://Example.com:80/x/../users?sort=n%61me&page=2",
        ] {
            assert_eq!(cache.json(&["ls"], &[url]).len(), 1, "{url}");
        }
        let ran = cache.run("show", &["http://example.com/users?page=2&sort=name&utm_id=7"]);
        assert_eq!(ran.code, 3);
        let advice = "no entry has this URL; with another query, there is 1 entry";
        assert!(ran.err.contains(advice), "{}", ran.err);
    }
}

#[test]
fn entries_are_sorted_and_limited() {
    for cache in Cache::filled() {
        let first = |order: &[&str]| {
            let args = [order, &["--limit", "1"]].concat();
            paths(&cache.json(&["ls"], &args)).concat()
        };
        assert_eq!(first(&["--sort", "size", "--reverse"]), "/logo.png");
        assert_eq!(first(&["--sort", "url"]), "/hello");
        assert!(first(&["--sort", "expiry"]).starts_with("/old/"));
        assert!(first(&["--sort", "age", "--reverse"]).starts_with("/old/"));
        assert_eq!(cache.json(&["ls"], &["--limit", "3"]).len(), 3);
    }
}

#[test]
fn an_empty_store_has_no_lines() {
    let cache = Cache::new("redb");
    drop(cache.store());
    let ran = cache.run("ls", &[]);
    assert_eq!((ran.code, &*ran.out), (0, ""));
    assert_eq!(cache.run("ls", &["--expired"]).code, 3);
}

#[test]
fn stats_sum_up_by_host_status_type_size_and_age() {
    for cache in Cache::filled() {
        let lines = cache.json(&["stats"], &[]);
        let group = |kind: &str, name: &str| {
            let found = lines.iter().find(|line| line["kind"] == kind && line["name"] == name);
            let number = |field: &str| found.map_or(0, |line| line[field].as_u64().unwrap());
            (number("entries"), number("bytes"))
        };
        let texts = ["/old/1", "/old/2", "/news/1", "/news/2"].concat().len() as u64;
        assert_eq!(group("total", "all").0, 7);
        assert_eq!(group("total", "expired").0, 2);
        assert_eq!(group("total", "store").0, 7);
        assert_eq!(group("host", "example.com"), group("total", "all"));
        assert_eq!(group("status", "200"), group("total", "all"));
        assert_eq!(group("type", "text/plain"), (4, texts));
        assert_eq!(group("type", "image/png"), (1, 5_009));
        assert_eq!(group("size", "< 10 KiB"), (1, 5_009));
        assert_eq!(group("age", "< 1 day").0, 2);
        let ran = cache.run("stats", &[]);
        assert!(ran.out.contains("█"), "{}", ran.out);
        assert!(ran.out.lines().all(|line| line.chars().count() <= 100));
        assert_eq!(cache.json(&["stats"], &["--expired"])[0]["entries"], 2);
    }
}

#[test]
fn a_store_that_cannot_be_opened_is_an_error_with_advice() {
    let folder = tempfile::tempdir().unwrap();
    let missing = format!("redb:{}", folder.path().join("none").display());
    for (store, advice) in [
        (missing.as_str(), "does not exist; check the path of the store"),
        ("sqlite:", "no path follows the colon"),
        #[cfg(not(feature = "files"))]
        ("files:none", "built without files; install it with: cargo install larder"),
        #[cfg(feature = "files")]
        ("files:none", "none does not exist; check the path of the store"),
        ("cache.redb", "names no store; write one of redb:PATH"),
        ("redsi://me:s3cret@host", "names no store; write one of redb:PATH"),
    ] {
        let ran = run(["ls", store]);
        assert_eq!((ran.code, &*ran.out), (1, ""), "{store}");
        assert!(ran.err.contains(advice), "{}", ran.err);
        assert!(!ran.err.contains("s3cret"), "{}", ran.err);
    }
    assert!(!folder.path().join("none").exists(), "a command that reads creates no file");
}
