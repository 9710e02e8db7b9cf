//! Tests of `Sqlite` that need a file: opening, crashes, damage, locks, other processes, and a full
//! disk.
//!
//! The conformance suite checks the contract of every store.

#![cfg(test)]
#![allow(clippy::unwrap_used)]

#[path = "../../support/child.rs"]
mod child;
#[path = "../../support/entries.rs"]
mod entries;
#[path = "../../support/occupied.rs"]
mod occupied;
#[path = "../../support/own_process.rs"]
mod own_process;
#[path = "../../support/read_place.rs"]
mod read_place;
#[path = "../../support/twins.rs"]
mod twins;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all};
use http::{Method, Response};
use larder::{
    entry::Head,
    store::{
        ErrorKind, Result, Sqlite, Store, Writer,
        sqlite::{Durability, Reads},
    },
    time::Timestamp,
};
use rusqlite::Connection;
use tempfile::TempDir;

#[cfg(target_os = "linux")]
use self::twins::limits;
use self::{
    child::{child, child_path, hear, say},
    entries::{MIB, body, get, head_at, key, mixed, pieces, put, read},
    read_place::{
        setting_decides_where_hits_are_read, time_limit_moves_reads_off_thread_for_its_handle_only,
    },
};

const CHUNK: usize = 128 * 1024;
const PAGE: usize = 8 * 1024;

// ===== support =====

/// A time after which a test fails, because what it waits for never comes. Writers also wait so
/// long for locks: on a busy machine, the holder of a lock may stand still for a while.
const NEVER: Duration = Duration::from_secs(120);

fn temp_path() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.db");
    (directory, path)
}

fn head() -> Head {
    head_at(Timestamp::from_millis(1_000))
}

fn tagged(tags: &[&str], expires_at: Option<u64>) -> Head {
    head()
        .with_tags(tags.iter().map(|&tag| tag.into()).collect())
        .with_expires_at(expires_at.map(Timestamp::from_millis))
}

/// Opens a store that waits long for the locks of other processes.
fn patient(path: &Path) -> Sqlite {
    Sqlite::builder(path).busy_timeout(NEVER).open().unwrap()
}

/// Opens the file as another program does.
fn plain(path: &Path) -> Connection {
    let conn = Connection::open(path).unwrap();
    conn.busy_timeout(NEVER).unwrap();
    conn
}

fn number(conn: &Connection, sql: &str) -> i64 {
    conn.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// The rows of each table: entries, chunks, tags, unfinished, and garbage.
fn rows(path: &Path) -> [i64; 5] {
    let conn = plain(path);
    assert_eq!(
        (
            number(&conn, "SELECT entries FROM state"),
            number(&conn, "SELECT bytes FROM state"),
            number(&conn, "SELECT count(*) FROM tags WHERE entry NOT IN (SELECT id FROM entries)"),
        ),
        (
            number(&conn, "SELECT count(*) FROM entries"),
            number(&conn, "SELECT coalesce(sum(size), 0) FROM entries"),
            0,
        ),
        "the sums of the state"
    );
    let check: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    ["entries", "chunks", "tags", "unfinished", "garbage"]
        .map(|table| number(&conn, &format!("SELECT count(*) FROM {table}")))
}

/// Removes at once what is kept for readers, then counts the rows.
async fn settled_rows(path: &Path) -> [i64; 5] {
    let store = Sqlite::open(path).unwrap();
    store.vacuum().await.unwrap();
    store.close().await.unwrap();
    rows(path)
}

// ===== opening =====

#[tokio::test]
async fn missing_file_is_created_with_its_parent_directories() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/c/cache.db");
    let store = Sqlite::open(&path).unwrap();
    assert_eq!(store.path(), path);
    assert!(path.is_file());
    put(&store, key(1), head(), body(1, 10)).await.unwrap();
    put(&store, key(2), head(), body(1, 300_000)).await.unwrap();
    let files = || path.parent().unwrap().read_dir().unwrap().map(Result::unwrap);
    #[cfg(unix)]
    for file in files() {
        use std::os::unix::fs::PermissionsExt;
        let name = file.file_name().into_string().unwrap();
        if !name.contains("-writer-") {
            let mode = file.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "responses may be private: {name}");
        }
    }
    drop(store);
    let left: Vec<_> = files().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn file_that_is_not_a_cache_is_refused_and_not_changed() {
    let (directory, path) = temp_path();

    for text in ["a precious text file, not a database".to_owned(), "precious ".repeat(2_000)] {
        std::fs::write(&path, &text).unwrap();
        let error = Sqlite::open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        assert!(error.to_string().contains("choose another path"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }

    let error = Sqlite::open(directory.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("is a directory"), "{error}");

    // A file in place of a parent directory.
    let below = path.join("cache.db");
    let error = Sqlite::open(&below).unwrap_err();
    assert!(error.to_string().contains(&format!("cannot create {}", below.display())), "{error}");

    assert_eq!(Sqlite::builder(&path).max_bytes(0).open().unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(Sqlite::in_memory(0).unwrap_err().kind(), ErrorKind::Invalid);
    for name in ["", ".", "..", "a/b", "a\\b"] {
        assert_eq!(Sqlite::in_cache_dir(name).unwrap_err().kind(), ErrorKind::Invalid, "{name:?}");
    }
}

#[test]
fn database_of_another_program_is_refused_and_not_changed() {
    let (_directory, path) = temp_path();
    let conn = plain(&path);
    conn.execute_batch("CREATE TABLE entries (a); INSERT INTO entries VALUES ('b')").unwrap();
    drop(conn);
    let before = std::fs::read(&path).unwrap();
    let error = Sqlite::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert!(error.to_string().contains("not a larder cache"), "{error}");
    assert!(std::fs::read(&path).unwrap() == before);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_cannot_be_written_is_refused() {
    let (_directory, path) = temp_path();
    drop(Sqlite::open(&path).unwrap());
    let mut permissions = path.metadata().unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&path, permissions).unwrap();
    // Root may write a read-only file, but not a file of the kernel.
    let root = std::fs::OpenOptions::new().write(true).open(&path).is_ok();
    let path = if root { PathBuf::from("/sys/kernel/notes") } else { path };
    assert!(path.exists(), "{} is needed, or a user who is not root", path.display());
    let error = Sqlite::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("check that the file can be written"), "{error}");
    let error = Sqlite::open("/proc/version").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert!(error.to_string().contains("/proc/version"), "{error}");
}

#[tokio::test]
async fn other_format_is_refused_and_an_older_one_is_emptied_on_request() {
    let (_directory, path) = temp_path();
    let store = Sqlite::open(&path).unwrap();
    put(&store, key(1), head(), body(1, 200_000)).await.unwrap();
    store.close().await.unwrap();

    plain(&path).execute_batch("PRAGMA user_version = 7").unwrap();
    let error = Sqlite::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    let text = error.to_string();
    assert!(text.contains("version 7") && text.contains("reads 2"), "{text}");
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    assert_eq!(rows(&path)[0], 1);

    // The file has a table of another program, which must stay.
    plain(&path)
        .execute_batch(
            "PRAGMA user_version = 1; CREATE TABLE notes (a); INSERT INTO notes VALUES (1)",
        )
        .unwrap();
    let error = Sqlite::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert!(error.to_string().contains("start_anew(true)"), "{error}");
    let store = Sqlite::builder(&path).start_anew(true).open().unwrap();
    assert_eq!((store.len().await.unwrap(), store.size_bytes().await.unwrap()), (0, 0));
    put(&store, key(1), head(), body(1, 10)).await.unwrap();
    store.clear().await.unwrap();
    store.close().await.unwrap();
    assert_eq!(rows(&path), [0; 5]);
    assert_eq!(number(&plain(&path), "SELECT count(*) FROM notes"), 1);
}

#[tokio::test]
async fn file_without_a_table_is_refused() {
    let (_directory, path) = temp_path();
    Sqlite::open(&path).unwrap().close().await.unwrap();
    plain(&path).execute_batch("DROP TABLE garbage").unwrap();
    let error = Sqlite::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains("remove it and the cache starts empty"), "{error}");
}

#[tokio::test]
async fn an_empty_file_becomes_a_cache() {
    let (_directory, path) = temp_path();
    std::fs::write(&path, "").unwrap();
    let store = Sqlite::open(&path).unwrap();
    put(&store, key(1), head(), body(1, 10)).await.unwrap();
}

/// Names with a meaning for SQLite are paths here.
#[tokio::test]
async fn path_is_taken_literally() {
    let directory = tempfile::tempdir().unwrap();
    for name in [":memory:", "file:a?mode=memory", "a b%20c#d"] {
        let path = directory.path().join(name);
        let store = Sqlite::open(&path).unwrap();
        put(&store, key(1), head(), body(1, 10)).await.unwrap();
        store.close().await.unwrap();
        assert!(path.metadata().unwrap().len() > 0, "{name}");
    }
    if child_path().is_none() {
        // Relative paths too.
        let mut command = child("path_is_taken_literally", directory.path());
        let status = command.current_dir(directory.path()).stdout(Stdio::null()).status();
        assert!(status.unwrap().success());
        return;
    }
    for name in [":memory:", "file:a?mode=memory"] {
        let store = Sqlite::open(name).unwrap();
        assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 10), "{name}");
    }
}

#[tokio::test]
async fn a_temporary_store_removes_its_file() {
    let store = Sqlite::temporary().unwrap();
    let path = store.path().to_owned();
    let clone = store.clone();
    put(&store, key(1), head(), body(1, 300_000)).await.unwrap();
    drop(store);
    assert_eq!(get(&clone, key(1)).await.unwrap(), body(1, 300_000));
    drop(clone);
    assert!(!path.exists() && !path.parent().unwrap().exists());
}

#[tokio::test]
async fn store_in_the_cache_directory_is_in_a_folder_of_the_application() {
    if let Some(path) = child_path() {
        let store = Sqlite::in_cache_dir("larder-test").unwrap();
        assert_eq!(store.path(), path.join("larder-test/http-cache.db"));
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let name = "store_in_the_cache_directory_is_in_a_folder_of_the_application";
    let mut command = child(name, directory.path());
    command.env("XDG_CACHE_HOME", directory.path()).stdout(Stdio::null());
    assert!(command.status().unwrap().success());
}

#[tokio::test]
async fn closed_store_reports_that_it_is_closed() {
    let (_directory, path) = temp_path();
    for store in [Sqlite::open(&path).unwrap(), Sqlite::in_memory(1 << 30).unwrap()] {
        let clone = store.clone();
        twins::every_operation_of_a_closed_store_fails(store, async |store| store.close().await)
            .await;
        twins::assert_closed(clone.vacuum().await);
    }
    // Closing gives up the unfinished body.
    let after = rows(&path);
    assert_eq!((after[0], after[3], after[4]), (1, 0, 1));
    assert_eq!(settled_rows(&path).await, [1, 4, 0, 0, 0]);
}

// ===== people =====

#[tokio::test]
async fn people_can_read_the_file_while_it_is_in_use() {
    let (_directory, path) = temp_path();
    let store = Sqlite::open(&path).unwrap();
    let response =
        |status: u16| Response::builder().status(status).body(()).unwrap().into_parts().0;
    let at = Timestamp::from_millis(1_700_000_000_123);
    let one = Head::new(Method::GET, "http://example.com/a?b=c", response(200), at)
        .with_tags(vec!["news".into(), "front".into()])
        .with_expires_at(Some(Timestamp::from_millis(1_700_000_060_000)));
    put(&store, key(1), one, body(1, 10)).await.unwrap();
    let two = Head::new(Method::HEAD, "http://example.com/gone", response(404), at);
    put(&store, key(2), two, body(2, 300_000)).await.unwrap();
    let annotation = include_bytes!("../../data/annotation-v3.bin");
    let annotation = Head::decode(Bytes::from_static(annotation)).unwrap();
    put(&store, key(3), annotation, Bytes::new()).await.unwrap();

    let conn = plain(&path);
    let mut select = conn
        .prepare(
            "SELECT method || ' ' || url || ' ' || status || ' ' || stored_at || ' '
                 || coalesce(expires_at, 'never') || ' ' || body_bytes || ' ' || coalesce(tags, '-')
             FROM responses ORDER BY url",
        )
        .unwrap();
    let lines: Vec<String> =
        select.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    assert_eq!(
        lines,
        [
            "GET http://example.com/a?b=c 200 2023-11-14T22:13:20.123Z 2023-11-14T22:14:20.000Z 10 front news",
            "HEAD http://example.com/gone 404 2023-11-14T22:13:20.123Z never 300000 -",
        ]
    );
    let hex: String = conn
        .query_row("SELECT key FROM responses WHERE status = 200", [], |row| row.get(0))
        .unwrap();
    assert_eq!(hex, key(1).to_string());
    let small: Vec<u8> = conn
        .query_row("SELECT content FROM entries WHERE url LIKE '%/a?%'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(small, body(1, 10));

    // The change by a 304 is visible too.
    let seen = store.get(&key(1)).await.unwrap().unwrap().version;
    let newer = Head::new(Method::GET, "http://example.com/a?b=c", response(203), at);
    assert!(store.update(&key(1), seen, newer).await.unwrap());
    assert_eq!(number(&conn, "SELECT status FROM responses WHERE method = 'GET'"), 203);
}

#[tokio::test]
async fn entries_can_be_deleted_by_hand() {
    let (_directory, path) = temp_path();
    let store = Sqlite::open(&path).unwrap();
    for number in 0..10 {
        put(&store, key(number), tagged(&["a", "b"], Some(number)), body(number, 150_000))
            .await
            .unwrap();
    }
    let deleted = plain(&path).execute("DELETE FROM entries WHERE expires_at < 8", []).unwrap();
    assert_eq!(deleted, 8);
    assert!(store.get(&key(1)).await.unwrap().is_none());
    assert_eq!(get(&store, key(9)).await.unwrap(), body(9, 150_000));
    assert_eq!(store.len().await.unwrap(), 2);
    assert_eq!(store.remove_tagged("a").await.unwrap(), 2);
    assert_eq!(store.size_bytes().await.unwrap(), 0);
    store.close().await.unwrap();
    assert_eq!(settled_rows(&path).await, [0; 5]);
}

// ===== entries and their rows =====

#[tokio::test]
async fn replacing_and_removing_leave_no_rows() {
    let (_directory, path) = temp_path();
    let store = Sqlite::open(&path).unwrap();
    put(&store, key(1), tagged(&["a", "b", "a"], Some(5)), body(1, 400_000)).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(rows(&path), [1, 4, 2, 0, 0]);

    let store = Sqlite::open(&path).unwrap();
    let seen = store.get(&key(1)).await.unwrap().unwrap().version;
    assert!(store.update(&key(1), seen, tagged(&["c"], Some(9))).await.unwrap());
    assert_eq!(rows(&path), [1, 4, 1, 0, 0]);
    put(&store, key(1), tagged(&["b", "c", "d"], None), body(2, 10)).await.unwrap();
    assert_eq!(get(&store, key(1)).await.unwrap(), body(2, 10));
    assert_eq!(store.remove_tagged("a").await.unwrap(), 0);
    assert_eq!(store.remove_expired(Timestamp::MAX).await.unwrap(), 0);
    store.close().await.unwrap();
    assert_eq!(rows(&path), [1, 4, 3, 0, 1]);
    assert_eq!(settled_rows(&path).await, [1, 0, 3, 0, 0]);

    let store = Sqlite::open(&path).unwrap();
    assert!(store.remove(&key(1)).await.unwrap());
    assert!(!store.remove(&key(1)).await.unwrap());
    assert_eq!((store.len().await.unwrap(), store.size_bytes().await.unwrap()), (0, 0));
    store.close().await.unwrap();
    assert_eq!(settled_rows(&path).await, [0; 5]);
}

#[tokio::test]
async fn dropped_writer_leaves_no_rows() {
    let (_directory, path) = temp_path();
    let store = Sqlite::open(&path).unwrap();
    let mut writer = store.put(&key(1), tagged(&["a"], Some(5))).await.unwrap();
    for piece in pieces(&body(1, 2 * MIB)) {
        writer.write(piece).await.unwrap();
    }
    drop(writer);
    assert_eq!(get(&store, key(1)).await, None);
    // The rows go at once, while the store stays open.
    let begin = Instant::now();
    while rows(&path) != [0; 5] {
        assert!(begin.elapsed() < NEVER, "{:?}", rows(&path));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_reader_reads_the_old_body_to_its_end() {
    let (_directory, path) = temp_path();
    let store = Sqlite::open(&path).unwrap();
    put(&store, key(1), head(), body(1, 3 * MIB)).await.unwrap();
    let replaced = store.get(&key(1)).await.unwrap().unwrap();
    put(&store, key(1), head(), body(2, 3 * MIB)).await.unwrap();
    let removed = store.get(&key(1)).await.unwrap().unwrap();
    store.remove(&key(1)).await.unwrap();
    // Enough writes to reuse the pages of the body, if these were free.
    for number in 10..40 {
        put(&store, key(number), head(), body(number, MIB)).await.unwrap();
    }
    store.clear().await.unwrap();
    store.vacuum().await.unwrap();
    assert_eq!(read(replaced).await.unwrap(), body(1, 3 * MIB));
    assert_eq!(read(removed).await.unwrap(), body(2, 3 * MIB));
    store.close().await.unwrap();
    assert_eq!(settled_rows(&path).await, [0; 5]);
}

#[tokio::test]
async fn clearing_leaves_unfinished_bodies_alone() {
    let (_directory, path) = temp_path();
    let store = Sqlite::open(&path).unwrap();
    put(&store, key(1), tagged(&["a"], Some(5)), body(1, MIB)).await.unwrap();
    let mut writer = store.put(&key(2), head()).await.unwrap();
    writer.write(body(2, MIB)).await.unwrap();
    store.clear().await.unwrap();
    assert_eq!((store.len().await.unwrap(), store.size_bytes().await.unwrap()), (0, 0));
    writer.finish(None).await.unwrap();
    assert_eq!(get(&store, key(1)).await, None);
    assert_eq!(get(&store, key(2)).await.unwrap(), body(2, MIB));
    store.close().await.unwrap();
    assert_eq!(settled_rows(&path).await, [1, 8, 0, 0, 0]);
    // The triggers are back.
    plain(&path).execute("DELETE FROM entries", []).unwrap();
    assert_eq!(settled_rows(&path).await, [0; 5]);
}

#[tokio::test]
async fn every_setting_reads_the_same_entries() {
    let (directory, _) = temp_path();
    let builder = |name| Sqlite::builder(directory.path().join(name));
    for builder in [
        builder("in place").reads(Reads::InPlace),
        builder("off thread").reads(Reads::OffThread),
        builder("synced").durability(Durability::EachCommit),
        builder("at once").durability(Durability::Every(Duration::ZERO)),
        builder("no cache").cache_bytes(0),
        builder("no patience").busy_timeout(Duration::ZERO),
        builder("small").incremental_vacuum(true),
    ] {
        let store = builder.open().unwrap();
        for (number, len) in [(1, 100), (2, 700_000)] {
            put(&store, key(number), head(), body(number, len)).await.unwrap();
            assert_eq!(get(&store, key(number)).await.unwrap(), body(number, len), "{store:?}");
        }
    }
}

#[test]
fn debug_output_is_short() {
    let store = Sqlite::temporary().unwrap();
    let text = format!("{store:?}");
    assert!(text.starts_with("Sqlite { path: ") && text.len() < 300, "{text}");
}

// ===== where reads run =====

#[test]
fn hits_are_read_on_the_calling_thread_unless_a_setting_says_otherwise() {
    let (directory, _) = temp_path();
    let open =
        |name, reads| Sqlite::builder(directory.path().join(name)).reads(reads).open().unwrap();
    let in_place = [
        open("here", Reads::InPlace),
        open("adaptive", Reads::Adaptive),
        Sqlite::temporary().unwrap(),
    ];
    setting_decides_where_hits_are_read(open("off", Reads::OffThread), in_place);
}

#[test]
fn time_limit_moves_reads_off_the_calling_thread_for_its_handle() {
    let (_directory, path) = temp_path();
    let store = Sqlite::builder(&path).reads(Reads::InPlace).open().unwrap();
    time_limit_moves_reads_off_thread_for_its_handle_only(store);
}

/// Another process repairs the index of the write-ahead log for a long time, as after a crash.
#[cfg(target_os = "linux")]
#[test]
fn busy_file_does_not_block_the_calling_thread() {
    use std::{fs::File, os::unix::fs::FileExt};

    use crate::{
        occupied::Occupied,
        read_place::{filled, is_read_in_place},
    };
    use nix::{
        fcntl::{FcntlArg, fcntl},
        libc::{F_WRLCK, SEEK_SET, flock},
    };

    if let Some(path) = child_path() {
        let file = File::options().read(true).write(true).open(path).unwrap();
        // The locks of writers, checkpoints, repairs and readers.
        let (l_type, l_whence) = (F_WRLCK as _, SEEK_SET as _);
        let locks = flock { l_type, l_whence, l_start: 120, l_len: 8, l_pid: 0 };
        fcntl(&file, FcntlArg::F_SETLKW(&locks)).unwrap();
        // Clears both copies of the header.
        file.write_all_at(&[0; 96], 0).unwrap();
        say("busy");
        std::thread::sleep(NEVER);
    }
    let (directory, path) = temp_path();
    let mut occupied = Occupied::new();
    let store = filled(&occupied, patient(&path));
    let name = "busy_file_does_not_block_the_calling_thread";
    let mut child = child(name, directory.path().join("cache.db-shm")).spawn().unwrap();
    hear(&mut child, "busy", 1);
    let begin = Instant::now();
    for _ in 0..20 {
        assert!(!is_read_in_place(&occupied, &store));
    }
    assert!(begin.elapsed() < NEVER / 4, "{:?}", begin.elapsed());
    child.kill().unwrap();
    child.wait().unwrap();
    occupied.free();
    assert!(is_read_in_place(&occupied, &store));
}

// ===== damage =====

#[tokio::test]
async fn damage_to_a_row_is_an_error_of_that_entry_only() {
    let (_directory, path) = temp_path();
    let store = Sqlite::open(&path).unwrap();
    let other = key(1_000);
    put(&store, other, head(), body(5, 200_000)).await.unwrap();
    for (number, damage) in [
        "head = zeroblob(length(head))",
        "head = substr(head, 1, length(head) - 1)",
        "head = 'text'",
        "content = zeroblob(40)",
        "content = substr(content, 2)",
        "content = NULL",
        "content_checksum = content_checksum + 1",
        "content_checksum = -1",
        "checksum = checksum + 1",
        "checksum = 'text'",
        "body_bytes = 41",
        "body_bytes = -1",
        "body = 1",
        "version = 'text'",
    ]
    .into_iter()
    .enumerate()
    {
        let key = key(number as u64);
        put(&store, key, tagged(&["a"], Some(5)), body(1, 40)).await.unwrap();
        let sql = format!("UPDATE entries SET {damage} WHERE key = ?1");
        assert_eq!(plain(&path).execute(&sql, [key.as_bytes()]).unwrap(), 1);
        let error = store.get(&key).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{damage}: {error}");
        assert!(error.to_string().contains(&key.to_string()), "{damage}: {error}");
        assert!(store.remove(&key).await.unwrap(), "{damage}");
        assert!(store.get(&key).await.unwrap().is_none());
    }
    assert_eq!(store.remove_expired(Timestamp::MAX).await.unwrap(), 0);
    assert_eq!(get(&store, other).await.unwrap(), body(5, 200_000));
}

#[tokio::test]
async fn a_row_under_another_key_is_an_error() {
    let (_directory, path) = temp_path();
    let store = Sqlite::open(&path).unwrap();
    put(&store, key(1), head(), body(1, 40)).await.unwrap();
    put(&store, key(2), head(), body(2, 40)).await.unwrap();
    plain(&path)
        .execute_batch(
            "CREATE TABLE swap AS SELECT key FROM entries WHERE id = 1;
             UPDATE entries SET key = zeroblob(32) WHERE id = 1;
             UPDATE entries SET key = (SELECT key FROM swap) WHERE id = 2; DROP TABLE swap",
        )
        .unwrap();
    assert_eq!(store.get(&key(1)).await.unwrap_err().kind(), ErrorKind::Corrupt);
    put(&store, key(1), head(), body(3, 40)).await.unwrap();
    assert_eq!(get(&store, key(1)).await.unwrap(), body(3, 40));
}

#[tokio::test]
async fn damaged_chunk_is_an_error_and_is_not_returned() {
    let (_directory, path) = temp_path();
    let whole = body(1, 6 * CHUNK);
    let store = Sqlite::open(&path).unwrap();
    for damage in [
        "UPDATE chunks SET data = zeroblob(131072) WHERE number = 3",
        "UPDATE chunks SET data = substr(data, 2) WHERE number = 3",
        "DELETE FROM chunks WHERE number = 3",
    ] {
        put(&store, key(1), head(), whole.clone()).await.unwrap();
        store.vacuum().await.unwrap();
        plain(&path).execute(damage, []).unwrap();
        let mut body = store.get(&key(1)).await.unwrap().unwrap().body;
        let mut before = Vec::new();
        let error = loop {
            match body.chunk().await.unwrap() {
                Ok(chunk) => before.extend_from_slice(&chunk),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        assert!(error.to_string().contains(&key(1).to_string()), "{error}");
        assert_eq!(before, whole[..3 * CHUNK]);
    }
    // The first chunk is checked before `get` returns the hit.
    plain(&path).execute("DELETE FROM chunks WHERE number = 0", []).unwrap();
    assert_eq!(store.get(&key(1)).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(store.remove(&key(1)).await.unwrap());
    store.close().await.unwrap();
    assert_eq!(settled_rows(&path).await, [0; 5]);
}

#[tokio::test]
async fn scan_lists_every_entry_once_and_skips_damage() {
    let (_directory, path) = temp_path();
    let store = Sqlite::open(&path).unwrap();
    join_all((0..700).map(async |number| {
        put(&store, key(number), head(), body(number, 100)).await.unwrap();
    }))
    .await;
    plain(&path)
        .execute("UPDATE entries SET head = zeroblob(60) WHERE key = ?1", [key(350).as_bytes()])
        .unwrap();
    let items: Vec<_> = store.scan().collect().await;
    assert_eq!(items.len(), 700);
    let mut keys: Vec<_> = items.iter().flatten().map(|item| item.key).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), 699);
    let error = items.into_iter().find_map(Result::err).unwrap();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(&key(350).to_string()), "{error}");
}

// ===== expiry, eviction, room =====

/// Asks SQLite how it runs the store's statements.
#[tokio::test]
async fn removals_use_indexes() {
    let (_directory, path) = temp_path();
    let _store = Sqlite::open(&path).unwrap();
    let conn = plain(&path);
    for sql in [
        "DELETE FROM entries WHERE id IN
             (SELECT id FROM entries WHERE keep_until <= 5 ORDER BY keep_until LIMIT 9)",
        "DELETE FROM entries WHERE id IN (SELECT entry FROM tags WHERE tag = 'a' LIMIT 9)",
        "DELETE FROM tags WHERE entry = 5",
        "SELECT id, key FROM entries WHERE id >= 5 AND id < 9 ORDER BY id LIMIT 256",
        "SELECT body FROM garbage WHERE since <= 5 ORDER BY since LIMIT 1 OFFSET 2",
        "DELETE FROM chunks WHERE id IN (SELECT id FROM chunks WHERE body = 5 LIMIT 9)",
    ] {
        let mut explain = conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let plan: Vec<String> =
            explain.query_map([], |row| row.get(3)).unwrap().map(Result::unwrap).collect();
        assert!(plan.iter().any(|step| step.contains("SEARCH")), "{sql}: {plan:?}");
        assert!(
            !plan.iter().any(|step| step.contains("SCAN") || step.contains("TEMP")),
            "{sql}: {plan:?}"
        );
    }
}

#[tokio::test]
async fn crawl_evicts_its_own_entries_and_not_those_that_were_read() {
    let (_directory, path) = temp_path();
    let store = Sqlite::builder(&path).max_bytes(200_000).open().unwrap();
    let len = twins::crawl_evicts_its_own_entries(&store, || store.evicted()).await;
    store.close().await.unwrap();
    assert_eq!(rows(&path), [len as i64, 0, 0, 0, 0]);
}

#[tokio::test]
async fn eviction_ends_when_the_sum_of_sizes_is_wrong() {
    let (_directory, path) = temp_path();
    let store = Sqlite::builder(&path).max_bytes(100_000).open().unwrap();
    put(&store, key(1), head(), body(1, 1_000)).await.unwrap();
    plain(&path).execute("UPDATE state SET bytes = 1 << 40", []).unwrap();
    put(&store, key(2), head(), body(2, 1_000)).await.unwrap();
    put(&store, key(3), head(), body(3, 1_000)).await.unwrap();
    assert_eq!(get(&store, key(3)).await.unwrap(), body(3, 1_000));
    rows(&path);
}

#[tokio::test]
async fn large_body_evicts_by_its_size_and_is_refused_beyond_the_limit() {
    let (_directory, path) = temp_path();
    let store = Sqlite::builder(&path).max_bytes(3 * MIB as u64).open().unwrap();
    let len = twins::large_bodies_evict_by_their_size(&store).await;
    store.close().await.unwrap();
    assert_eq!(settled_rows(&path).await, [len as i64, 20, 0, 0, 0]);
}

#[tokio::test]
async fn vacuum_frees_space_and_incremental_vacuum_frees_it_by_itself() {
    let directory = tempfile::tempdir().unwrap();
    for incremental in [false, true] {
        let path = directory.path().join(incremental.to_string());
        let store = Sqlite::builder(&path).incremental_vacuum(incremental).open().unwrap();
        for number in 0..24 {
            put(&store, key(number), head(), body(number, MIB)).await.unwrap();
            put(&store, key(100 + number), head(), body(number, 20_000)).await.unwrap();
        }
        let size = || {
            let pages = number(&plain(&path), "PRAGMA page_count");
            pages * number(&plain(&path), "PRAGMA page_size")
        };
        assert_eq!(number(&plain(&path), "PRAGMA page_size"), PAGE as i64);
        let before = size();
        assert!(before > 24 * MIB as i64);
        for number in 0..24 {
            store.remove(&key(number)).await.unwrap();
        }
        // Ends the minute for which bodies are kept for readers in other processes.
        plain(&path).execute("UPDATE garbage SET since = 0", []).unwrap();
        let begin = Instant::now();
        while number(&plain(&path), "SELECT count(*) FROM chunks") > 0
            || (incremental && size() > 4 * MIB as i64)
        {
            assert!(begin.elapsed() < NEVER, "{} bytes", size());
            // Each call is a transaction, which includes a step of the background removal.
            store.remove(&key(9_999)).await.unwrap();
        }
        if !incremental {
            assert!(size() > 20 * MIB as i64, "unused room is kept");
            let given_back = store.vacuum().await.unwrap();
            assert!(given_back > 20 * MIB as u64, "{given_back}");
            assert_eq!(size(), before - given_back as i64);
            assert!(path.metadata().unwrap().len() < 2 * MIB as u64, "on the disk as well");
        }
        for number in 0..24 {
            assert_eq!(get(&store, key(100 + number)).await.unwrap(), body(number, 20_000));
        }
        store.close().await.unwrap();
        assert_eq!(rows(&path), [24, 0, 0, 0, 0]);
    }
}

// ===== crashes and other processes =====

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_do_ten_thousand_operations_each() {
    let name = "two_processes_do_ten_thousand_operations_each";
    if let Some(path) = child_path() {
        let store = patient(&path);
        mixed(&store, 2, 300_000, Timestamp::from_millis(1_000)).await;
        store.close().await.unwrap();
        return;
    }
    let (_directory, path) = temp_path();
    let store = patient(&path);
    let bodies = (300_000, Timestamp::from_millis(1_000));
    own_process::two_processes_do_ten_thousand_operations_each(name, &path, &store, bodies).await;
    store.close().await.unwrap();
}

/// No operation fails with "database is locked" while two processes, with 25 tasks each, read,
/// write, update and remove.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_with_many_tasks_write_concurrently() {
    const ROUNDS: u64 = 30;
    let name = "two_processes_with_many_tasks_write_concurrently";
    async fn hammer(path: &Path, own: u64) {
        let store = patient(path);
        let tasks = (0..25).map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for round in 0..ROUNDS {
                    let mine = key(own + task * 100 + round);
                    let len = if round % 10 == 0 { 300_000 } else { 2_000 };
                    put(&store, mine, tagged(&["all"], Some(round)), body(round, len))
                        .await
                        .unwrap();
                    assert_eq!(get(&store, mine).await.unwrap(), body(round, len));
                    // A key that both processes write.
                    let shared = key(round % 5);
                    put(&store, shared, head(), body(round % 5, 1_000)).await.unwrap();
                    if let Some(hit) = store.get(&shared).await.unwrap() {
                        store.update(&shared, hit.version, tagged(&["both"], None)).await.unwrap();
                    }
                    if round % 7 == 0 {
                        store.remove(&shared).await.unwrap();
                        store.remove_tagged("both").await.unwrap();
                    }
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        store.close().await.unwrap();
    }
    if let Some(path) = child_path() {
        hammer(&path, 1_000_000).await;
        return;
    }
    let (_directory, path) = temp_path();
    let mut child = child(name, &path).stdout(Stdio::null()).spawn().unwrap();
    hammer(&path, 2_000_000).await;
    let status = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
    assert!(status.success());
    let store = patient(&path);
    for own in [1_000_000, 2_000_000] {
        for task in 0..25 {
            for round in 0..ROUNDS {
                let len = if round % 10 == 0 { 300_000 } else { 2_000 };
                let found = get(&store, key(own + task * 100 + round)).await;
                assert!(found.unwrap() == body(round, len));
            }
        }
    }
    store.close().await.unwrap();
    rows(&path);
}

#[tokio::test(flavor = "multi_thread")]
async fn writer_waits_for_a_lock_until_its_timeout() {
    let (_directory, path) = temp_path();
    // This store opens first, before the file is locked.
    let hasty = Sqlite::builder(&path).busy_timeout(Duration::from_millis(50)).open().unwrap();
    let patient = patient(&path);
    put(&patient, key(1), head(), body(1, 10)).await.unwrap();
    let conn = plain(&path);
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = put(&hasty, key(2), head(), body(2, 10)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("busy_timeout"), "{error}");
    // Reads do not wait.
    assert_eq!(get(&hasty, key(1)).await.unwrap(), body(1, 10));
    let waiting = tokio::spawn({
        let patient = patient.clone();
        async move { put(&patient, key(2), head(), body(2, 10)).await }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!waiting.is_finished());
    conn.execute_batch("COMMIT").unwrap();
    waiting.await.unwrap().unwrap();
    // The write after the answer would have to wait for the lock too.
    patient.close().await.unwrap();
    put(&hasty, key(3), head(), body(3, 10)).await.unwrap();
    assert_eq!(get(&hasty, key(2)).await.unwrap(), body(2, 10));
}

#[tokio::test]
async fn orphans_are_swept_at_the_next_opening_and_live_bodies_stay() {
    let name = "orphans_are_swept_at_the_next_opening_and_live_bodies_stay";
    if let Some(path) = child_path() {
        let store = Sqlite::open(path).unwrap();
        let mut writer = store.put(&key(1), head()).await.unwrap();
        writer.write(body(1, 2 * MIB)).await.unwrap();
        // This entry is acknowledged after everything that was written before it.
        put(&store, key(2), head(), body(2, 10)).await.unwrap();
        say("written");
        std::future::pending::<()>().await;
    }
    let (directory, path) = temp_path();
    // Another process has the file open all the time, and writes too.
    let store = Sqlite::open(&path).unwrap();
    let mut writer = store.put(&key(3), head()).await.unwrap();
    writer.write(body(3, MIB)).await.unwrap();
    put(&store, key(4), head(), body(4, 10)).await.unwrap();

    let mut child = child(name, &path).spawn().unwrap();
    hear(&mut child, "written", 1);
    // While the child lives, its unfinished body stays.
    drop(Sqlite::open(&path).unwrap());
    let alive = rows(&path);
    assert_eq!((alive[0], alive[1], alive[3], alive[4]), (2, 15 + 7, 2, 0));
    child.kill().unwrap();
    child.wait().unwrap();

    let next = Sqlite::open(&path).unwrap();
    next.vacuum().await.unwrap();
    assert_eq!(rows(&path), [2, 7, 0, 1, 0]);
    writer.finish(None).await.unwrap();
    assert_eq!(get(&next, key(3)).await.unwrap(), body(3, MIB));
    drop((store, next));
    let left: Vec<_> = directory.path().read_dir().unwrap().map(Result::unwrap).collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn body_is_kept_for_readers_of_other_processes_for_a_while() {
    let (_directory, path) = temp_path();
    // To each other, two stores on one file are like two processes.
    let (reader, writer) = (Sqlite::open(&path).unwrap(), Sqlite::open(&path).unwrap());
    put(&writer, key(1), head(), body(1, 3 * MIB)).await.unwrap();
    let first = reader.get(&key(1)).await.unwrap().unwrap();
    let late = reader.get(&key(1)).await.unwrap().unwrap();
    put(&writer, key(1), head(), body(2, 3 * MIB)).await.unwrap();
    for number in 10..20 {
        put(&writer, key(number), head(), body(number, 10)).await.unwrap();
    }
    assert!(read(first).await.unwrap() == body(1, 3 * MIB));
    // After the vacuum, the read fails. It does not return the bytes of another body.
    writer.vacuum().await.unwrap();
    let error = read(late).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(error.to_string().contains("another process removed"), "{error}");
    assert!(get(&reader, key(1)).await.unwrap() == body(2, 3 * MIB));
}

#[tokio::test]
async fn body_that_was_given_up_is_not_published() {
    let (_directory, path) = temp_path();
    let store = Sqlite::open(&path).unwrap();
    let mut writer = store.put(&key(1), head()).await.unwrap();
    writer.write(body(1, 500_000)).await.unwrap();
    put(&store, key(2), head(), body(2, 10)).await.unwrap();
    plain(&path).execute("DELETE FROM unfinished", []).unwrap();
    let error = writer.finish(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(get(&store, key(1)).await, None);
    put(&store, key(1), head(), body(1, 500_000)).await.unwrap();
}

/// A trigger of another program makes a transaction fail.
#[tokio::test]
async fn failed_transaction_leaves_nothing_and_blocks_nothing() {
    let (_directory, path) = temp_path();
    let store = Sqlite::open(&path).unwrap();
    plain(&path)
        .execute_batch(
            "CREATE TRIGGER no BEFORE INSERT ON entries WHEN new.method = 'PUT' BEGIN
                 SELECT RAISE(ABORT, 'not this one');
             END",
        )
        .unwrap();
    let (parts, ()) = Response::new(()).into_parts();
    let refused = Head::new(Method::PUT, "http://example.com/", parts, Timestamp::MIN);
    let mut other = store.put(&key(3), head()).await.unwrap();
    other.write(body(3, MIB)).await.unwrap();
    // Writes the chunks in a transaction of their own, because a transaction that fails loses
    // everything in it.
    put(&store, key(2), head(), body(2, 10)).await.unwrap();
    for len in [10, 500_000] {
        let error = put(&store, key(1), refused.clone(), body(1, len)).await.unwrap_err();
        assert!(format!("{error:#}").contains("not this one"), "{error:#}");
        assert_eq!(get(&store, key(1)).await, None);
        put(&store, key(2), head(), body(2, len)).await.unwrap();
    }
    other.finish(None).await.unwrap();
    assert_eq!(get(&store, key(3)).await.unwrap(), body(3, MIB));
    store.vacuum().await.unwrap();
    assert_eq!(rows(&path), [2, 4 + 8, 0, 0, 0]);
}

// ===== limits of the machine =====

/// A limit on the size of a file has the effect of a full disk.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn full_disk_is_an_error_and_freed_space_is_used_again() {
    let name = "full_disk_is_an_error_and_freed_space_is_used_again";
    if let Some(path) = child_path() {
        let store = Sqlite::open(path).unwrap();
        limits::full_disk_is_an_error_and_freed_space_is_used_again(&store).await;
        store.close().await.unwrap();
        println!("survived");
        return;
    }
    let (_directory, path) = temp_path();
    limits::survives_on_8_mib(name, &path);
    let store = Sqlite::open(&path).unwrap();
    assert_eq!(get(&store, key(2_099)).await.unwrap(), body(2_099, 200_000));
    store.close().await.unwrap();
    let rows = settled_rows(&path).await;
    // Each chunk belongs to an entry.
    assert_eq!((rows[1], rows[3], rows[4]), (rows[0] * 2 - 1, 0, 0));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn large_body_takes_little_memory() {
    let name = "large_body_takes_little_memory";
    if let Some(path) = child_path() {
        let store = Sqlite::open(path).unwrap();
        return own_process::large_body_takes_little_memory(&store, 256).await;
    }
    let (_directory, path) = temp_path();
    own_process::grows_little(name, &path);
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_reader_does_not_make_the_file_or_the_log_grow() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.db");
    let store = Sqlite::builder(&path).max_bytes(8 * MIB as u64).open().unwrap();
    put(&store, key(0), head(), body(0, 2 * MIB)).await.unwrap();
    let mut stalled = store.get(&key(0)).await.unwrap().unwrap().body;
    let first = stalled.chunk().await.unwrap().unwrap();
    assert!(store.remove(&key(0)).await.unwrap());
    for number in 1..320 {
        put(&store, key(number), head(), body(number, MIB)).await.unwrap();
    }
    // The entries, the log, and the bodies that are kept for readers of other processes for a
    // while.
    assert!(path.metadata().unwrap().len() < 96 * MIB as u64);
    let log = directory.path().join("cache.db-wal").metadata().unwrap().len();
    assert!(log < 64 * MIB as u64, "{log}");
    // The entry was removed long ago, but its body is still whole.
    let mut bytes = first.to_vec();
    while let Some(chunk) = stalled.chunk().await {
        bytes.extend_from_slice(&chunk.unwrap());
    }
    assert!(bytes == body(0, 2 * MIB));
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_that_are_not_polled_do_not_block_others() {
    twins::writers_that_are_not_polled_do_not_block_others(&Sqlite::temporary().unwrap()).await;
}
