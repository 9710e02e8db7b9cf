//! `larder rm` and `larder sweep`.

use larder::Filter;
use serde_json::json;

use crate::support::{Cache, HOUR, run};

#[test]
fn one_entry_is_removed_without_a_question() {
    for cache in Cache::filled() {
        let ran = cache.run("rm", &["http://example.com/news/1"]);
        assert_eq!((ran.code, &*ran.out, &*ran.err), (0, "removed 1 entry\n", ""));
        let key = cache.key("/hello");
        assert_eq!(cache.run("rm", &[&key[..10]]).out, "removed 1 entry\n");
        assert_eq!(cache.run("rm", &[&cache.key("/logo.png")]).out, "removed 1 entry\n");
        assert_eq!(
            cache.urls(),
            ["/news/2?q=%1B%5B2J", "/old/1", "/old/2", "/users?page=2&sort=name"]
        );
        let ran = cache.run("rm", &["http://example.com/news/1"]);
        assert_eq!((ran.code, &*ran.out), (3, ""));
    }
}

#[test]
fn several_entries_need_a_yes_if_there_is_no_terminal() {
    for cache in Cache::filled() {
        let ran = cache.run("rm", &["--url", "example.com/news/**"]);
        assert_eq!((ran.code, &*ran.out), (1, ""));
        assert!(ran.err.contains("would remove 2 entries; pass --yes"), "{}", ran.err);
        assert_eq!(cache.urls().len(), 7);
        let ran = cache.run("rm", &["--url", "example.com/news/**", "--dry-run"]);
        assert_eq!((ran.code, ran.out.lines().count()), (0, 3));
        assert_eq!(cache.urls().len(), 7);
        let ran = cache.run("rm", &["--url", "example.com/news/**", "--yes"]);
        assert_eq!((ran.code, &*ran.out), (0, "removed 2 entries\n"));
        assert_eq!(cache.count(&Filter::new().url("example.com/news/**").unwrap()), 0);
        let removed = cache.json(&["rm"], &["--expired", "--yes"]);
        assert_eq!(removed.len(), 2);
        assert_eq!(removed[0]["tags"], json!(["old"]));
        assert_eq!(cache.urls(), ["/hello", "/logo.png", "/users?page=2&sort=name"]);
        assert_eq!(cache.run("rm", &["--all", "--yes"]).out, "removed 3 entries\n");
        assert!(cache.urls().is_empty());
    }
}

#[test]
fn url_selects_all_of_its_variants() {
    let cache = Cache::new("sqlite");
    cache.fill(HOUR / 2, &["/varied de", "/varied fr", "/news/1"]);
    let url = "http://example.com/varied";
    let ran = cache.run("show", &[url]);
    assert_eq!((ran.code, &*ran.out), (1, ""));
    assert!(ran.err.contains("2 entries match; name one by its key"), "{}", ran.err);
    assert_eq!(ran.err.lines().count(), 4, "the table shows the choices: {}", ran.err);
    assert_eq!(cache.run("rm", &[url]).code, 1);
    assert_eq!(cache.run("rm", &[url, "--yes"]).out, "removed 2 entries\n");
    assert_eq!(cache.urls(), ["/news/1"]);
}

/// The first variant leads to the others, so removing it loses them.
#[test]
fn removing_the_first_variant_must_be_confirmed() {
    let cache = Cache::new("sqlite");
    cache.fill(HOUR / 2, &["/varied de", "/varied fr", "/news/1"]);
    let key = cache.key("/varied");
    let ran = cache.run("rm", &[&key]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("would remove 1 entry"), "{}", ran.err);
    assert!(ran.err.contains("other variants may not be found any more"), "{}", ran.err);
    assert_eq!(cache.urls().len(), 3);
    assert_eq!(cache.run("rm", &[&key, "--yes"]).out, "removed 1 entry\n");
    assert_eq!(cache.urls().len(), 2);
    // The remaining variant has no others.
    assert_eq!(cache.run("rm", &[&cache.key("/varied")]).code, 0);
}

/// Damaged entries cannot be listed, but are removed too.
#[test]
fn all_includes_damaged_entries_and_must_be_confirmed() {
    let cache = Cache::new("sqlite");
    assert_eq!(cache.run("sweep", &[]).code, 1, "the file does not exist yet");
    cache.fill(HOUR / 2, &["/news/1", "/news/2", "/hello"]);
    let file = rusqlite::Connection::open(cache.path()).unwrap();
    let damage = |url: &str| {
        let sql = "UPDATE entries SET head = zeroblob(9) WHERE url LIKE '%' || ?1";
        assert_eq!(file.execute(sql, [url]).unwrap(), 1, "{url}");
    };
    damage("/news/1");
    damage("/news/2");
    let ran = cache.run("rm", &["--all"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("would remove 3 entries"), "{}", ran.err);
    damage("/hello");
    let ran = cache.run("rm", &["--all", "--dry-run"]);
    assert!(ran.err.contains("would remove 3 entries"), "{}", ran.err);
    assert_eq!(cache.run("rm", &["--all", "--yes"]).out, "removed 3 entries\n");
    let ran = cache.run("rm", &["--all", "--yes"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("no entry matches"), "{}", ran.err);
}

#[test]
fn all_must_be_confirmed_for_a_single_entry_too() {
    let cache = Cache::new("redb");
    cache.fill(HOUR / 2, &["/news/1"]);
    assert_eq!(cache.run("rm", &["--all"]).code, 1);
    assert_eq!(cache.urls(), ["/news/1"]);
}

#[test]
fn missing_or_contradictory_selections_are_wrong_arguments() {
    let cache = Cache::filled().next().unwrap();
    for args in [
        &[][..],
        &["--yes"],
        &["http://example.com/hello", "--expired"],
        &["--all", "--tag", "old"],
        &["--expired", "--fresh"],
        &["--older-than", "soon"],
    ] {
        assert_eq!(cache.run("rm", args).code, 2, "{args:?}");
    }
    assert_eq!(cache.urls().len(), 7);
    assert_eq!(run(["rm"]).code, 2);
}

#[test]
fn sweep_removes_unusable_entries() {
    for cache in Cache::filled() {
        for args in [&["--dry-run"][..], &["--dry-run", "--all"]] {
            assert_eq!(cache.run("sweep", args).out, "would remove 2 entries\n");
        }
        assert_eq!(cache.json(&["sweep"], &[]), [json!({"removed": 2, "is_dry_run": false})]);
        assert_eq!(cache.run("sweep", &["--all"]).out, "removed 0 entries\n");
        assert_eq!(cache.urls().len(), 5);
    }
}
