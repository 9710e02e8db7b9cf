//! `larder check`, and files that are damaged, in use or not closed.

use crate::support::{Cache, HOUR, larder, run, writer};

#[test]
fn a_sound_store_has_no_damage() {
    for cache in Cache::filled() {
        let ran = cache.run("check", &[]);
        assert_eq!((ran.code, &*ran.out), (0, "read 7 entries (5 KiB), none is damaged\n"));
    }
}

/// A SQLite store with a damaged head and a damaged body.
fn damaged() -> Cache {
    let cache = Cache::new("sqlite");
    cache.fill(HOUR / 2, &["/news/1", "/large", "/hello"]);
    let file = rusqlite::Connection::open(cache.path()).unwrap();
    let damage = |sql: &str| assert_eq!(file.execute(sql, []).unwrap(), 1, "{sql}");
    damage("UPDATE entries SET head = zeroblob(9) WHERE url = 'http://example.com/hello'");
    damage("UPDATE chunks SET data = zeroblob(length(data)) WHERE number = 3");
    cache
}

#[test]
fn damaged_entries_are_named_and_repaired() {
    let cache = damaged();
    let ran = cache.run("check", &[]);
    assert_eq!(ran.code, 3);
    assert!(ran.out.contains("  http://example.com/large\n"), "{}", ran.out);
    assert!(ran.out.contains("  (unknown URL)\n"), "{}", ran.out);
    assert!(ran.out.ends_with("read 3 entries (7 B), 2 damaged\n"), "{}", ran.out);
    let ran = cache.run("ls", &[]);
    assert_eq!(
        (ran.code, ran.out.lines().count()),
        (0, 3),
        "an entry with a damaged body is still listed"
    );
    assert!(ran.err.contains("passed over 1 entry that cannot be read"), "{}", ran.err);

    let lines = cache.json(&["check"], &["--repair"]);
    let keys: Vec<_> = lines[..2].iter().map(|line| line["key"].as_str().unwrap()).collect();
    assert!(keys.iter().all(|key| key.len() == 64), "{keys:?}");
    assert!(lines[..2].iter().all(|line| line["is_removed"] == true), "{lines:?}");
    assert_eq!(lines[2]["removed"], 2);
    assert_eq!(cache.run("check", &[]).code, 0);
    assert_eq!(cache.urls(), ["/news/1"]);
}

/// The same as `larder check --repair STORE | head -1`.
#[test]
fn repair_goes_on_after_its_reader_has_gone() {
    for json in [&["--json"][..], &[]] {
        let cache = damaged();
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let arg = cache.arg();
        let args = [&["check", &arg, "--repair"], json].concat();
        let output = larder(args).stdout(writer).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*err), (Some(3), ""));
        assert_eq!(cache.run("check", &[]).out, "read 1 entry (7 B), none is damaged\n");
    }
}

#[test]
fn damaged_entries_are_not_copied_or_exported() {
    let (cache, other) = (damaged(), Cache::new("redb"));
    let ran = run(["copy", &cache.arg(), &other.arg()]);
    assert_eq!(ran.code, 3);
    assert_eq!(ran.out, "copied 1 entry (7 B)\nleft out: damaged: 2\n");
    let ran = cache.run("export", &["-"]);
    assert_eq!(ran.code, 3);
    assert_eq!(ran.out.matches("startedDateTime").count(), 1);
    assert!(ran.err.contains("left out 1 entry that cannot be read"), "{}", ran.err);
    assert_eq!(cache.json(&["check"], &[])[2]["damaged"], 2, "reading must not remove anything");
}

/// The head of the entry for `/hello` in a folder.
#[cfg(feature = "files")]
fn hello(cache: &Cache) -> std::path::PathBuf {
    let folder = std::fs::read_dir(cache.path().join("example.com")).unwrap();
    let mut paths = folder.map(|file| file.unwrap().path());
    let is_head = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name.starts_with("hello~") && name.ends_with(".json")
    };
    paths.find(is_head).unwrap()
}

#[cfg(feature = "files")]
#[test]
fn entry_of_a_newer_version_is_named_and_hides_no_other() {
    let cache = Cache::new("files");
    cache.fill(HOUR * 3, &["/news/1"]);
    cache.fill(HOUR / 2, &["/news/2", "/news/3", "/hello"]);
    let head = hello(&cache);
    let text = std::fs::read_to_string(&head).unwrap().replace("\"format\": 1", "\"format\": 2");
    std::fs::write(&head, &text).unwrap();
    let passed_over = "passed over 1 entry that cannot be read; see `larder check`";
    for (command, args) in [
        ("ls", &[][..]),
        ("show", &["http://example.com/news/2"]),
        ("stats", &[]),
        ("sweep", &["--all", "--dry-run"]),
        ("rm", &["http://example.com/news/2"]),
    ] {
        let ran = cache.run(command, args);
        assert_eq!(ran.code, 0, "{command}: {ran:?}");
        assert!(ran.err.contains(passed_over), "{command}: {}", ran.err);
    }
    assert_eq!(cache.urls(), ["/news/1", "/news/3"]);
    assert_eq!(cache.run("sweep", &["--all"]).out, "removed 1 entry\n");
    let other = Cache::new("redb");
    let ran = run(["copy", &cache.arg(), &other.arg()]);
    assert_eq!((ran.code, &*ran.out), (3, "copied 1 entry (7 B)\nleft out: damaged: 1\n"));
    assert_eq!(cache.run("export", &["-"]).code, 3);
    // The entry stays unchanged, because a newer version may still need it.
    for args in [&[][..], &["--repair"], &[]] {
        let ran = cache.run("check", args);
        assert_eq!(ran.code, 3, "{ran:?}");
        assert!(ran.out.starts_with("damaged  ") && ran.out.contains("has format 2"), "{ran:?}");
    }
    assert_eq!(std::fs::read_to_string(&head).unwrap(), text);
    // An import concerns the other entries too.
    let har = other.run("export", &["-"]).out;
    assert_eq!(crate::support::run_with(har.as_bytes(), &["import", &cache.arg(), "-"]).code, 0);
}

/// The entry's key is unknown, so it is not in the index.
#[cfg(feature = "files")]
#[test]
fn head_that_is_not_json_is_found_and_stays() {
    let cache = Cache::new("files");
    cache.fill(HOUR / 2, &["/news/1", "/hello"]);
    let head = hello(&cache);
    let text = std::fs::read_to_string(&head).unwrap().replacen('{', "[", 1);
    std::fs::write(&head, &text).unwrap();
    for args in [&[][..], &["--repair"]] {
        let ran = cache.run("check", args);
        assert_eq!(ran.code, 3, "{ran:?}");
        assert!(ran.out.contains("hello~") && ran.out.contains("1 damaged"), "{ran:?}");
    }
    assert_eq!(std::fs::read_to_string(&head).unwrap(), text);
    let other = Cache::new("redb");
    let ran = run(["copy", &cache.arg(), &other.arg()]);
    assert_eq!((ran.code, &*ran.out), (3, "copied 1 entry (7 B)\nleft out: damaged: 1\n"));
    assert_eq!(cache.run("export", &["-"]).code, 3);
    assert_eq!(cache.run("rm", &["--all", "--yes"]).code, 0);
}

/// A bit of a key has changed in SQLite's index. The entry is listed, but no lookup finds it.
#[test]
fn entry_that_no_lookup_finds_is_damaged() {
    let cache = Cache::new("sqlite");
    cache.fill(HOUR / 2, &["/news/1", "/news/2", "/hello"]);
    let key: larder::Key = cache.key("/hello").parse().unwrap();
    let whole = std::fs::read(cache.path()).unwrap();
    let is_key = |at: &usize| whole[*at..].starts_with(key.as_bytes());
    let places: Vec<_> = (0..whole.len()).filter(is_key).collect();
    let mut checked = String::new();
    for at in &places {
        let mut damaged = whole.clone();
        damaged[*at + 31] ^= 1;
        std::fs::write(cache.path(), damaged).unwrap();
        let ran = cache.run("check", &[]);
        assert_eq!(ran.code, 3, "{ran:?}");
        assert!(ran.out.ends_with("1 damaged\n"), "{ran:?}");
        checked += &ran.out;
        let other = Cache::new("redb");
        let ran = run(["copy", &cache.arg(), &other.arg()]);
        assert_eq!(ran.code, 3, "{ran:?}");
        assert!(ran.out.ends_with("left out: damaged: 1\n"), "{ran:?}");
    }
    // One is in the row, and one in the index.
    assert_eq!(places.len(), 2);
    assert_eq!(checked.matches("is listed, and a lookup does not find it").count(), 1, "{checked}");
    assert!(checked.contains("  http://example.com/hello\n"), "{checked}");
}

/// This process has the file open.
#[test]
fn file_open_in_another_program_is_refused_with_advice() {
    let cache = Cache::new("redb");
    cache.fill(HOUR / 2, &["/news/1"]);
    let open = cache.store();
    for command in ["ls", "sweep"] {
        let ran = cache.run(command, &[]);
        assert_eq!((ran.code, &*ran.out), (1, ""));
        assert!(ran.err.contains("is open in another program; stop that program"), "{}", ran.err);
    }
    drop(open);
    assert_eq!(cache.run("ls", &[]).code, 0);
    let shared = larder::store::Redb::builder(cache.path()).multi_process(true).open().unwrap();
    for (command, out) in [("ls", "/news/1\n"), ("sweep", "removed 0 entries\n")] {
        let ran = cache.run(command, &[]);
        assert!(ran.out.ends_with(out), "{ran:?}");
    }
    drop(shared);
}

#[test]
fn sweep_repairs_a_file_that_was_not_closed() {
    let cache = Cache::new("redb");
    cache.fill(HOUR / 2, &["/news/1"]);
    let mut child = writer(&cache);
    child.kill().unwrap();
    child.wait().unwrap();
    let ran = cache.run("ls", &[]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("was not closed"), "{}", ran.err);
    assert!(ran.err.contains(&format!("run `larder sweep {}`", cache.arg())), "{}", ran.err);
    assert_eq!(cache.run("sweep", &[]).code, 0);
    assert_eq!(cache.urls(), ["/news/1"]);
}
