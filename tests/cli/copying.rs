//! `larder copy`.

use serde_json::json;

use crate::support::{Cache, HOSTILE, HOUR, JSON, run};

#[test]
fn copy_resumes_where_it_stopped() {
    for (from, kind) in Cache::filled().zip(["sqlite", "redb"]) {
        let to = Cache::new(kind);
        // The remains of an interrupted copy.
        to.fill(HOUR * 3, &["/old/1"]);
        let ran = run(["copy", &from.arg(), &to.arg()]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        let len = |body: &str| body.len();
        let bytes = len(JSON) + len(HOSTILE) + 5_009 + len("/news/1") + len("/news/2");
        assert_eq!(ran.out, "copied 5 entries (5 KiB)\nleft out: expired: 2\n");
        let copy = || json_of(&["copy", &from.arg(), &to.arg(), "--json"]);
        let kept = json!({"copied": 0, "bytes": 0, "kept": 5, "expired": 2, "damaged": 0,
            "too_large": 0});
        assert_eq!(copy(), kept);
        to.run("rm", &["http://example.com/hello"]);
        assert_eq!(copy()["copied"], 1);
        assert_eq!(copy(), kept);
        let all = json_of(&["copy", &from.arg(), &to.arg(), "--json", "--overwrite"]);
        assert_eq!((&all["copied"], &all["bytes"]), (&json!(5), &json!(bytes)), "{all}");

        // The entries are the same, including their keys, times and tags.
        let sorted = |cache: &Cache| {
            let mut lines = cache.json(&["ls"], &["--fresh"]);
            lines.sort_by_key(|line| line["key"].to_string());
            lines
        };
        assert_eq!(sorted(&to), sorted(&from));
        assert_eq!(to.run("check", &[]).code, 0);
    }
}

fn json_of(args: &[&str]) -> serde_json::Value {
    let ran = run(args);
    serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{ran:?}"))
}

#[test]
fn newer_entries_of_the_target_stay_unless_overwritten() {
    let (from, to) = (Cache::new("redb"), Cache::new("sqlite"));
    from.fill(HOUR / 2, &["/news/1"]);
    to.fill(HOUR / 4, &["/news/1"]);
    let before = to.json(&["ls"], &[]);
    assert_eq!(json_of(&["copy", &from.arg(), &to.arg(), "--json"])["kept"], 1);
    assert_eq!(to.json(&["ls"], &[])[0]["stored_at"], before[0]["stored_at"]);
    run(["copy", &from.arg(), &to.arg(), "--overwrite"]);
    assert_eq!(to.json(&["ls"], &[])[0]["stored_at"], from.json(&["ls"], &[])[0]["stored_at"]);
    // In the other direction, older entries are replaced.
    to.fill(HOUR / 4, &["/news/2"]);
    from.fill(HOUR / 2, &["/news/2"]);
    assert_eq!(json_of(&["copy", &to.arg(), &from.arg(), "--json"])["copied"], 1);
}

#[test]
fn a_store_is_not_copied_into_itself() {
    let cache = Cache::filled().next().unwrap();
    let other_spelling = format!("redb:{}/./cache.file", cache.folder.path().display());
    assert_eq!(run(["ls", &other_spelling]).code, 0, "both spellings name the same file");
    for to in [cache.arg(), other_spelling] {
        let ran = run(["copy", &cache.arg(), &to, "--overwrite"]);
        assert_eq!(ran.code, 1);
        assert!(ran.err.contains("the same store"), "{}", ran.err);
    }
}

/// The copy would read its own output.
#[cfg(feature = "files")]
#[test]
fn folder_is_not_copied_into_its_own_subfolder() {
    let cache = Cache::new("files");
    cache.fill(HOUR / 2, &["/news/1"]);
    let inner = format!("{}/backup/today", cache.arg());
    for (from, to) in [
        (cache.arg(), inner.clone()),
        (cache.arg(), format!("files:{}/../cache.file/x", cache.path().display())),
        (cache.arg(), format!("files:{}/../none/../cache.file", cache.path().display())),
        (cache.arg(), format!("files:{}", cache.folder.path().display())),
    ] {
        for command in ["copy", "export"] {
            let ran = run([command, &from, &to]);
            assert_eq!(ran.code, 1, "{ran:?}");
            assert!(ran.err.contains("one folder is inside the other"), "{}", ran.err);
        }
    }
    assert!(!cache.path().join("backup").exists());
    let beside = format!("{}-2", cache.arg());
    assert_eq!(run(["copy", &cache.arg(), &beside]).code, 0);
}
