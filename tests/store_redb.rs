//! Tests of `Redb` that need a file: opening, crashes, damage, other processes, and a full disk.
//!
//! The conformance suite checks the contract of every store.

#![cfg(feature = "redb")]
#![allow(clippy::unwrap_used)]

#[path = "support/child.rs"]
mod child;
#[path = "support/entries.rs"]
mod entries;
#[path = "support/occupied.rs"]
mod occupied;
#[path = "support/own_process.rs"]
mod own_process;
#[path = "support/read_place.rs"]
mod read_place;
#[path = "support/twins.rs"]
mod twins;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use futures_util::StreamExt;
use larder::{
    Key,
    entry::Head,
    store::{
        ErrorKind, Redb, Result, Store, Writer,
        redb::{Builder, Durability, Reads},
    },
    time::Timestamp,
};
use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, TableHandle,
};
use tempfile::TempDir;

#[cfg(target_os = "linux")]
use self::twins::limits;
use self::{
    child::{child, child_path, hear},
    entries::{MIB, body, get, head_at, key, mixed, pieces, put, read},
    read_place::{
        setting_decides_where_hits_are_read, time_limit_moves_reads_off_thread_for_its_handle_only,
    },
};

const ENTRIES: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("larder.entries");
const CHUNKS: TableDefinition<'_, &[u8; 12], &[u8]> = TableDefinition::new("larder.chunks");
const INDEX: TableDefinition<'_, &[u8], ()> = TableDefinition::new("larder.index");
const PENDING: TableDefinition<'_, u64, (u64, u64)> = TableDefinition::new("larder.pending");
const GARBAGE: TableDefinition<'_, u64, ()> = TableDefinition::new("larder.garbage");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("larder.meta");

const HOUR: Duration = Duration::from_secs(3_600);

// ===== support =====

fn temp_path() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.redb");
    (directory, path)
}

fn head() -> Head {
    head_at(Timestamp::from_millis(1_000))
}

/// The rows of a closed file's tables: entries, chunks, expiry, tags, order, pending, and garbage.
fn rows(path: &Path) -> [u64; 7] {
    let db = Database::open(path).unwrap();
    let txn = db.begin_read().unwrap();
    let index = txn.open_table(INDEX).unwrap();
    // The first byte of a row is the kind of its index.
    let indexed =
        |kind: u8| index.range::<&[u8]>(&[kind][..]..&[kind + 1][..]).unwrap().count() as u64;
    [
        txn.open_table(ENTRIES).unwrap().len().unwrap(),
        txn.open_table(CHUNKS).unwrap().len().unwrap(),
        indexed(1),
        indexed(0),
        indexed(2),
        txn.open_table(PENDING).unwrap().len().unwrap(),
        txn.open_table(GARBAGE).unwrap().len().unwrap(),
    ]
}

/// Waits until the background has removed all garbage, then counts the rows.
async fn settled_rows(path: &Path) -> [u64; 7] {
    for _ in 0..1_000 {
        let store = Redb::open(path).unwrap();
        // Each command is a transaction, which includes a step of the background removal.
        store.remove(&Key::digest("nothing")).await.unwrap();
        store.close().await.unwrap();
        let rows = rows(path);
        if rows[6] == 0 {
            return rows;
        }
    }
    panic!("the background removal does not end");
}

fn change_row(path: &Path, key: &Key, change: impl FnOnce(&mut Vec<u8>)) {
    let db = Database::open(path).unwrap();
    let txn = db.begin_write().unwrap();
    {
        let mut table = txn.open_table(ENTRIES).unwrap();
        let mut value = table.get(key.as_bytes()).unwrap().unwrap().value().to_vec();
        change(&mut value);
        table.insert(key.as_bytes(), value.as_slice()).unwrap();
    }
    txn.commit().unwrap();
}

fn change_chunk(path: &Path, index: usize, change: impl FnOnce(&mut Vec<u8>)) {
    let db = Database::open(path).unwrap();
    let txn = db.begin_write().unwrap();
    {
        let mut table = txn.open_table(CHUNKS).unwrap();
        let (row, mut value) = {
            let (row, value) = table.iter().unwrap().nth(index).unwrap().unwrap();
            (*row.value(), value.value().to_vec())
        };
        change(&mut value);
        table.insert(&row, value.as_slice()).unwrap();
    }
    txn.commit().unwrap();
}

// ===== opening =====

#[tokio::test]
async fn missing_file_is_created_with_its_parent_directories() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/c/cache.redb");
    let store = Redb::open(&path).unwrap();
    assert_eq!(store.path(), path);
    assert!(path.is_file());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "responses may be private");
    }
    put(&store, key(1), head(), body(1, 10)).await.unwrap();
    drop(store);
    let left: Vec<_> = path.parent().unwrap().read_dir().unwrap().map(Result::unwrap).collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn file_in_use_is_refused_until_it_is_closed() {
    let (_directory, path) = temp_path();
    let store = Redb::open(&path).unwrap();
    let error = Redb::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    let text = error.to_string();
    assert!(text.contains(path.to_str().unwrap()) && text.contains("clone that handle"), "{text}");
    store.close().await.unwrap();
    Redb::open(&path).unwrap();
}

#[tokio::test]
async fn a_file_in_use_by_another_process_is_refused() {
    if let Some(path) = child_path() {
        let error = Redb::open(path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("another process"), "{error}");
        return;
    }
    let (_directory, path) = temp_path();
    let _store = Redb::open(&path).unwrap();
    let name = "a_file_in_use_by_another_process_is_refused";
    assert!(child(name, &path).stdout(Stdio::null()).status().unwrap().success());
}

#[test]
fn file_that_is_not_a_cache_is_refused_and_not_changed() {
    let (directory, path) = temp_path();

    std::fs::write(&path, "a precious text file, not a database").unwrap();
    let error = Redb::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"a precious text file, not a database");

    // A file that not even root may write.
    let locked = Path::new("/sys/kernel/notes");
    if locked.exists() {
        let error = Redb::open(locked).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        assert!(error.to_string().contains("check that the file can be written"), "{error}");
    }

    let error = Redb::open(directory.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(error.to_string().contains("is a directory"), "{error}");

    // A file in place of a parent directory.
    let below = path.join("cache.redb");
    let error = Redb::open(&below).unwrap_err();
    assert!(error.to_string().contains(&format!("cannot create {}", below.display())), "{error}");

    assert_eq!(Redb::builder(&path).max_bytes(0).open().unwrap_err().kind(), ErrorKind::Invalid);
    for name in ["", ".", "..", "a/b", "a\\b"] {
        assert_eq!(Redb::in_cache_dir(name).unwrap_err().kind(), ErrorKind::Invalid, "{name:?}");
    }
}

#[test]
fn database_of_another_program_is_refused_and_not_changed() {
    const OTHERS: TableDefinition<'_, &str, &str> = TableDefinition::new("others");
    let (_directory, path) = temp_path();
    let db = Database::create(&path).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(OTHERS).unwrap().insert("a", "b").unwrap();
    txn.commit().unwrap();
    drop(db);

    let error = Redb::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert!(error.to_string().contains("not a larder cache"), "{error}");

    let db = Database::open(&path).unwrap();
    let txn = db.begin_read().unwrap();
    assert_eq!(
        txn.list_tables().unwrap().map(|t| t.name().to_owned()).collect::<Vec<_>>(),
        ["others"]
    );
}

fn set_format(path: &Path, format: u32) {
    let db = Database::open(path).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(META).unwrap().insert("format", format.to_le_bytes().as_slice()).unwrap();
    txn.commit().unwrap();
}

/// Replaces the index with one of format 2, whose rows have values.
fn replace_index(path: &Path) {
    const OLD: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("larder.index");
    let db = Database::open(path).unwrap();
    let txn = db.begin_write().unwrap();
    txn.delete_table(INDEX).unwrap();
    txn.open_table(OLD).unwrap().insert(&[0; 9][..], &[1; 32][..]).unwrap();
    txn.commit().unwrap();
}

#[tokio::test]
async fn other_format_is_refused_and_an_older_one_is_emptied_on_request() {
    let (_directory, path) = temp_path();
    let store = Redb::open(&path).unwrap();
    put(&store, key(1), head(), body(1, 200_000)).await.unwrap();
    store.close().await.unwrap();

    set_format(&path, 7);
    let error = Redb::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    let text = error.to_string();
    assert!(text.contains("version 7") && text.contains("reads 3"), "{text}");
    assert!(text.contains(path.to_str().unwrap()), "{text}");
    assert_eq!(rows(&path)[0], 1);

    set_format(&path, 2);
    replace_index(&path);
    let error = Redb::open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incompatible);
    assert!(error.to_string().contains("start_anew(true)"), "{error}");
    let store = Redb::builder(&path).start_anew(true).open().unwrap();
    assert_eq!((store.len().await.unwrap(), store.size_bytes().await.unwrap()), (0, 0));
    put(&store, key(1), head(), body(1, 10)).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(rows(&path), [1, 0, 0, 0, 1, 0, 0]);
}

#[tokio::test]
async fn an_empty_file_becomes_a_cache() {
    let (_directory, path) = temp_path();
    std::fs::write(&path, "").unwrap();
    let store = Redb::open(&path).unwrap();
    put(&store, key(1), head(), body(1, 10)).await.unwrap();
}

#[tokio::test]
async fn a_temporary_store_removes_its_file() {
    let store = Redb::temporary().unwrap();
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
        let store = Redb::in_cache_dir("larder-test").unwrap();
        assert_eq!(store.path(), path.join("larder-test/http-cache.redb"));
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
    let store = Redb::open(&path).unwrap();
    twins::every_operation_of_a_closed_store_fails(store, async |store| store.close().await).await;
    // The unfinished body is an orphan now, and is swept.
    assert_eq!(settled_rows(&path).await, [1, 4, 0, 0, 1, 0, 0]);
}

// ===== entries and their rows =====

fn tagged(tags: &[&str], expires_at: Option<u64>) -> Head {
    head()
        .with_tags(tags.iter().map(|&tag| tag.into()).collect())
        .with_expires_at(expires_at.map(Timestamp::from_millis))
}

#[tokio::test]
async fn replacing_and_removing_leave_no_rows() {
    let (_directory, path) = temp_path();
    let store = Redb::open(&path).unwrap();
    put(&store, key(1), tagged(&["a", "b", "a"], Some(5)), body(1, 400_000)).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(rows(&path), [1, 4, 1, 2, 1, 0, 0]);

    let store = Redb::open(&path).unwrap();
    let seen = store.get(&key(1)).await.unwrap().unwrap().version;
    assert!(store.update(&key(1), seen, tagged(&["c"], Some(9))).await.unwrap());
    store.close().await.unwrap();
    assert_eq!(rows(&path), [1, 4, 1, 1, 1, 0, 0]);

    let store = Redb::open(&path).unwrap();
    put(&store, key(1), tagged(&["b", "c", "d"], None), body(2, 10)).await.unwrap();
    assert_eq!(get(&store, key(1)).await.unwrap(), body(2, 10));
    assert_eq!(store.remove_tagged("a").await.unwrap(), 0);
    assert_eq!(store.remove_expired(Timestamp::MAX).await.unwrap(), 0);
    store.close().await.unwrap();
    assert_eq!(settled_rows(&path).await, [1, 0, 0, 3, 1, 0, 0]);

    let store = Redb::open(&path).unwrap();
    assert!(store.remove(&key(1)).await.unwrap());
    assert!(!store.remove(&key(1)).await.unwrap());
    assert_eq!((store.len().await.unwrap(), store.size_bytes().await.unwrap()), (0, 0));
    store.close().await.unwrap();
    assert_eq!(settled_rows(&path).await, [0; 7]);
}

#[tokio::test]
async fn dropped_writer_leaves_no_rows() {
    let (_directory, path) = temp_path();
    let store = Redb::open(&path).unwrap();
    let mut writer = store.put(&key(1), tagged(&["a"], Some(5))).await.unwrap();
    for piece in pieces(&body(1, 2 * MIB)) {
        writer.write(piece).await.unwrap();
    }
    drop(writer);
    assert_eq!(get(&store, key(1)).await, None);
    store.close().await.unwrap();
    assert_eq!(settled_rows(&path).await, [0; 7]);
}

#[tokio::test]
async fn a_reader_reads_the_old_body_to_its_end() {
    let (_directory, path) = temp_path();
    let store = Redb::open(&path).unwrap();
    put(&store, key(1), head(), body(1, 3 * MIB)).await.unwrap();
    let replaced = store.get(&key(1)).await.unwrap().unwrap();
    put(&store, key(1), head(), body(2, 3 * MIB)).await.unwrap();
    let removed = store.get(&key(1)).await.unwrap().unwrap();
    store.remove(&key(1)).await.unwrap();
    // Enough writes and syncs to reuse the pages of the bodies, if these were free.
    for number in 10..40 {
        put(&store, key(number), head(), body(number, MIB)).await.unwrap();
    }
    store.clear().await.unwrap();
    assert_eq!(read(replaced).await.unwrap(), body(1, 3 * MIB));
    assert_eq!(read(removed).await.unwrap(), body(2, 3 * MIB));
}

#[tokio::test]
async fn clearing_leaves_unfinished_bodies_alone() {
    let (_directory, path) = temp_path();
    let store = Redb::open(&path).unwrap();
    put(&store, key(1), tagged(&["a"], Some(5)), body(1, MIB)).await.unwrap();
    let mut writer = store.put(&key(2), head()).await.unwrap();
    writer.write(body(2, MIB)).await.unwrap();
    store.clear().await.unwrap();
    assert_eq!((store.len().await.unwrap(), store.size_bytes().await.unwrap()), (0, 0));
    writer.finish(None).await.unwrap();
    assert_eq!(get(&store, key(1)).await, None);
    assert_eq!(get(&store, key(2)).await.unwrap(), body(2, MIB));
    store.close().await.unwrap();
    assert_eq!(settled_rows(&path).await, [1, 9, 0, 0, 1, 0, 0]);
}

#[tokio::test]
async fn scan_lists_every_entry_once_and_skips_damage() {
    let (_directory, path) = temp_path();
    let store = Redb::open(&path).unwrap();
    for number in 0..700 {
        put(&store, key(number), head(), body(number, 100)).await.unwrap();
    }
    store.close().await.unwrap();
    change_row(&path, &key(350), |row| row[60] ^= 1);
    let store = Redb::open(&path).unwrap();
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

#[test]
fn store_works_outside_of_a_runtime() {
    let store = Redb::temporary().unwrap();
    futures_util::future::FutureExt::now_or_never(store.get(&key(1))).unwrap().unwrap();
}

#[test]
fn debug_output_is_short() {
    let store = Redb::temporary().unwrap();
    let text = format!("{store:?}");
    assert!(text.starts_with("Redb { path: ") && text.len() < 300, "{text}");
}

// ===== where reads run =====

#[test]
fn hits_are_read_on_the_calling_thread_unless_a_setting_says_otherwise() {
    let (directory, _) = temp_path();
    let open =
        |name, reads| Redb::builder(directory.path().join(name)).reads(reads).open().unwrap();
    let in_place = [
        open("here", Reads::InPlace),
        open("adaptive", Reads::Adaptive),
        Redb::temporary().unwrap(),
    ];
    setting_decides_where_hits_are_read(open("off", Reads::OffThread), in_place);
}

#[test]
fn time_limit_moves_reads_off_the_calling_thread_for_its_handle() {
    let (_directory, path) = temp_path();
    let store = Redb::builder(&path).reads(Reads::InPlace).open().unwrap();
    time_limit_moves_reads_off_thread_for_its_handle_only(store);
}

// ===== damage =====

#[tokio::test]
async fn any_damage_to_a_record_is_an_error_and_can_be_removed() {
    let (_directory, path) = temp_path();
    let len = {
        let store = Redb::open(&path).unwrap();
        put(&store, key(1), tagged(&["a"], Some(5)), body(1, 40)).await.unwrap();
        store.close().await.unwrap();
        let db = Database::open(&path).unwrap();
        let table = db.begin_read().unwrap().open_table(ENTRIES).unwrap();
        table.get(key(1).as_bytes()).unwrap().unwrap().value().len()
    };
    for position in (0..len).step_by(7).chain([len - 1]) {
        change_row(&path, &key(1), |row| row[position] ^= 0x10);
        let store = Redb::open(&path).unwrap();
        let error = store.get(&key(1)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "byte {position}");
        assert!(error.to_string().contains(&key(1).to_string()), "{error}");
        store.close().await.unwrap();
        change_row(&path, &key(1), |row| row[position] ^= 0x10);
    }
    change_row(&path, &key(1), |row| row.truncate(20));
    let store = Redb::open(&path).unwrap();
    assert_eq!(store.get(&key(1)).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(store.remove(&key(1)).await.unwrap());
    assert!(store.get(&key(1)).await.unwrap().is_none());
    // Its index rows stay, lead to no entry, and are removed once a removal finds them.
    assert_eq!(store.remove_expired(Timestamp::MAX).await.unwrap(), 0);
    assert_eq!(store.remove_tagged("a").await.unwrap(), 0);
    store.close().await.unwrap();
    assert_eq!(rows(&path), [0, 0, 0, 0, 1, 0, 0]);
}

#[tokio::test]
async fn a_record_under_another_key_is_an_error() {
    let (_directory, path) = temp_path();
    let store = Redb::open(&path).unwrap();
    put(&store, key(1), head(), body(1, 40)).await.unwrap();
    put(&store, key(2), head(), body(2, 40)).await.unwrap();
    store.close().await.unwrap();
    let mut other = Vec::new();
    change_row(&path, &key(1), |row| other = row.clone());
    change_row(&path, &key(2), |row| *row = other);
    let store = Redb::open(&path).unwrap();
    assert_eq!(store.get(&key(2)).await.unwrap_err().kind(), ErrorKind::Corrupt);
    put(&store, key(2), head(), body(3, 40)).await.unwrap();
    assert_eq!(get(&store, key(2)).await.unwrap(), body(3, 40));
    assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 40));
}

#[tokio::test]
async fn damaged_chunk_is_an_error_and_is_not_returned() {
    let (_directory, path) = temp_path();
    let whole = body(1, 5 * 131_008);
    let store = Redb::open(&path).unwrap();
    put(&store, key(1), head(), whole.clone()).await.unwrap();
    store.close().await.unwrap();

    change_chunk(&path, 3, |chunk| chunk[70_000] ^= 1);
    let store = Redb::open(&path).unwrap();
    let mut body = store.get(&key(1)).await.unwrap().unwrap().body;
    let mut before = Vec::new();
    let error = loop {
        match body.chunk().await.unwrap() {
            Ok(chunk) => before.extend_from_slice(&chunk),
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert!(error.to_string().contains(&key(1).to_string()), "{error}");
    assert_eq!(before, whole[..3 * 131_008]);
    store.close().await.unwrap();

    // The first chunk is checked before `get` returns the hit.
    change_chunk(&path, 0, |chunk| chunk[70_000] ^= 1);
    let store = Redb::open(&path).unwrap();
    assert_eq!(store.get(&key(1)).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert!(store.remove(&key(1)).await.unwrap());
    store.close().await.unwrap();
    assert_eq!(settled_rows(&path).await, [0; 7]);
}

/// redb trusts the structure of its pages. So damage there can have several effects: opening or
/// reading fails, redb panics and the panic is caught, or an entry is missing. No wrong byte is
/// ever read.
#[tokio::test]
async fn damaged_file_causes_errors_and_never_wrong_bytes() {
    let (_directory, path) = temp_path();
    let store = Redb::open(&path).unwrap();
    for number in 0..40 {
        let len = [10, 3_000, 20_000, 200_000][number as usize % 4];
        put(&store, key(number), tagged(&["a"], Some(number)), body(number, len)).await.unwrap();
    }
    store.close().await.unwrap();
    let whole = std::fs::read(&path).unwrap();
    let (mut right, mut wrong) = (0, 0);
    for round in 0..60_usize {
        let mut damaged = whole.clone();
        match round {
            0 => damaged.truncate(whole.len() / 2),
            1 => damaged.truncate(4_000),
            _ => {
                // Most damage is in the first bytes of pages, which hold their structure.
                let page = (round * 7_919) % (whole.len() / 4_096);
                for at in 0..16 {
                    damaged[page * 4_096 + at] ^= (round * 31 + at * 17) as u8;
                }
            }
        }
        std::fs::write(&path, &damaged).unwrap();
        let Ok(store) = Redb::open(&path) else {
            wrong += 1;
            continue;
        };
        for number in 0..40 {
            let read = match store.get(&key(number)).await {
                Ok(Some(hit)) => read(hit).await,
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            match read {
                Ok(bytes) => {
                    let len = [10, 3_000, 20_000, 200_000][number as usize % 4];
                    assert!(bytes == body(number, len), "round {round}, entry {number}");
                    right += 1;
                }
                Err(_) => wrong += 1,
            }
        }
        // These calls may fail, but they end.
        drop(put(&store, key(100), head(), body(100, 300_000)).await);
        drop(store.remove_tagged("a").await);
        drop(store.close().await);
    }
    assert!(right > 0 && wrong > 0, "{right} {wrong}");
}

// ===== expiry and eviction =====

#[tokio::test]
async fn crawl_evicts_its_own_entries_and_not_those_that_were_read() {
    let (_directory, path) = temp_path();
    let store = Redb::builder(&path).max_bytes(200_000).open().unwrap();
    let len = twins::crawl_evicts_its_own_entries(&store, || store.evicted()).await;
    store.close().await.unwrap();
    assert_eq!(rows(&path), [len, 0, 0, 0, len, 0, 0]);
}

#[tokio::test]
async fn entries_are_evicted_even_if_all_of_them_were_read() {
    let store = Redb::builder(temp_path().1).max_bytes(100_000).open().unwrap();
    for number in 0..40 {
        put(&store, key(number), head(), body(number, 10_000)).await.unwrap();
        assert!(get(&store, key(number)).await.is_some());
    }
    assert!(store.size_bytes().await.unwrap() <= 100_000);
    assert!(store.len().await.unwrap() >= 8);
}

#[tokio::test]
async fn large_body_evicts_by_its_size_and_is_refused_beyond_the_limit() {
    let (_directory, path) = temp_path();
    let store = Redb::builder(&path).max_bytes(3 * MIB as u64).open().unwrap();
    let len = twins::large_bodies_evict_by_their_size(&store).await;
    store.close().await.unwrap();
    assert_eq!(settled_rows(&path).await, [len, 21, 0, 0, len, 0, 0]);
}

// ===== crashes and other processes =====

#[tokio::test]
async fn orphans_are_swept_at_opening() {
    let name = "orphans_are_swept_at_opening";
    if let Some(path) = child_path() {
        let store = Redb::builder(path).durability(Durability::EachCommit).open().unwrap();
        let mut writer = store.put(&key(1), head()).await.unwrap();
        writer.write(body(1, 2 * MIB)).await.unwrap();
        // This entry is acknowledged after everything that was written before it.
        put(&store, key(2), head(), body(2, 10)).await.unwrap();
        println!("written");
        std::future::pending::<()>().await;
    }
    let (_directory, path) = temp_path();
    let mut child = child(name, &path).spawn().unwrap();
    hear(&mut child, "written", 1);
    child.kill().unwrap();
    child.wait().unwrap();
    let before = rows(&path);
    assert_eq!((before[0], before[1], before[5]), (1, 16, 1));
    assert_eq!(settled_rows(&path).await, [1, 0, 0, 0, 1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_leaves_whole_entries_only() {
    let name = "kill_9_leaves_whole_entries_only";
    if let Some(path) = child_path() {
        let store = Redb::builder(path)
            .durability(Durability::Every(Duration::from_millis(3)))
            .max_bytes(20 * MIB as u64)
            .open()
            .unwrap();
        for seed in 0_u64.. {
            let len = [100, 5_000, 40_000, 600_000][(seed % 4) as usize];
            // The first bytes of a body are its seed.
            let mut bytes = seed.to_le_bytes().to_vec();
            bytes.extend_from_slice(&body(seed, len));
            let head = tagged(&["all"], Some(seed));
            put(&store, key(seed % 101), head, bytes.into()).await.unwrap();
            println!("wrote");
        }
    }
    let (_directory, path) = temp_path();
    let mut entries = 0;
    for round in 0..6 {
        let mut child = child(name, &path).spawn().unwrap();
        hear(&mut child, "wrote", 40 + 31 * round);
        child.kill().unwrap();
        child.wait().unwrap();

        let store = Redb::builder(&path).max_bytes(20 * MIB as u64).open().unwrap();
        let items: Vec<_> = store.scan().collect().await;
        for item in items {
            let hit = store.get(&item.unwrap().key).await.unwrap().unwrap();
            let bytes = read(hit).await.unwrap();
            let seed = u64::from_le_bytes(bytes[..8].try_into().unwrap());
            let len = [100, 5_000, 40_000, 600_000][(seed % 4) as usize];
            assert_eq!(bytes[8..], body(seed, len));
            entries += 1;
        }
        let size = store.size_bytes().await.unwrap();
        assert!(size <= 20 * MIB as u64);
        let len = store.len().await.unwrap();
        store.close().await.unwrap();
        let rows = settled_rows(&path).await;
        assert_eq!((rows[0], rows[2], rows[3], rows[4], rows[5]), (len, len, len, len, 0));
    }
    assert!(entries > 0);
}

fn shared(path: &Path) -> Builder {
    Redb::builder(path).multi_process(true)
}

#[tokio::test]
async fn two_processes_share_a_file() {
    let name = "two_processes_share_a_file";
    if let Some(path) = child_path() {
        let store = shared(&path).open().unwrap();
        let seen = store.get(&key(1)).await.unwrap().unwrap();
        let version = seen.version;
        assert_eq!(read(seen).await.unwrap(), body(1, 300_000));
        assert!(store.update(&key(1), version, tagged(&["child"], None)).await.unwrap());
        put(&store, key(2), head(), body(2, 300_000)).await.unwrap();
        store.close().await.unwrap();
        return;
    }
    let (_directory, path) = temp_path();
    let store = shared(&path).open().unwrap();
    put(&store, key(1), head(), body(1, 300_000)).await.unwrap();
    let seen = store.get(&key(1)).await.unwrap().unwrap().version;
    // This body is unfinished when another process opens the file, which must not remove it.
    let mut writer = store.put(&key(3), head()).await.unwrap();
    writer.write(body(3, 500_000)).await.unwrap();
    put(&store, key(4), head(), body(4, 10)).await.unwrap();

    let mut child = child(name, &path).stdout(Stdio::null()).spawn().unwrap();
    let status = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
    assert!(status.success());

    assert_eq!(get(&store, key(2)).await.unwrap(), body(2, 300_000));
    assert!(!store.update(&key(1), seen, head()).await.unwrap());
    assert_eq!(store.remove_tagged("child").await.unwrap(), 1);
    writer.finish(None).await.unwrap();
    assert_eq!(get(&store, key(3)).await.unwrap(), body(3, 500_000));
    assert_eq!(store.len().await.unwrap(), 3);
    store.close().await.unwrap();

    // This process is the only one that has the file open, so it opens it unshared. A shared open
    // is refused then.
    let store = Redb::open(&path).unwrap();
    assert_eq!(get(&store, key(3)).await.unwrap(), body(3, 500_000));
    assert_eq!(shared(&path).open().unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_do_ten_thousand_operations_each() {
    let name = "two_processes_do_ten_thousand_operations_each";
    if let Some(path) = child_path() {
        let store = shared(&path).open().unwrap();
        mixed(&store, 2, 300_000, Timestamp::from_millis(1_000)).await;
        store.close().await.unwrap();
        return;
    }
    let (_directory, path) = temp_path();
    let store = shared(&path).open().unwrap();
    let bodies = (300_000, Timestamp::from_millis(1_000));
    own_process::two_processes_do_ten_thousand_operations_each(name, &path, &store, bodies).await;
    store.close().await.unwrap();
}

#[tokio::test]
async fn body_given_up_by_another_process_is_not_published() {
    let (_directory, path) = temp_path();
    let store = shared(&path).open().unwrap();
    let mut writer = store.put(&key(1), head()).await.unwrap();
    writer.write(body(1, 500_000)).await.unwrap();
    put(&store, key(2), head(), body(2, 10)).await.unwrap();
    // As if its process had been silent for a long time.
    {
        let mut builder = Database::builder();
        builder.set_concurrency_mode(redb::ConcurrencyMode::MultiWriter);
        let db = builder.open(&path).unwrap();
        let txn = db.begin_write().unwrap();
        {
            let mut pending = txn.open_table(PENDING).unwrap();
            let (id, owner) = {
                let (id, row) = pending.first().unwrap().unwrap();
                (id.value(), row.value().0)
            };
            pending.insert(id, (owner, 0)).unwrap();
        }
        txn.commit().unwrap();
    }
    let other = shared(&path).open().unwrap();
    // The first transaction gives the body up, in the background.
    other.remove(&Key::digest("nothing")).await.unwrap();
    let error = writer.finish(None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert_eq!(get(&other, key(1)).await, None);
    store.close().await.unwrap();
    other.close().await.unwrap();
    assert_eq!(settled_rows(&path).await, [1, 0, 0, 0, 1, 0, 0]);
}

// ===== limits of the machine =====

/// A limit on the size of a file has the effect of a full disk.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn full_disk_is_an_error_and_freed_space_is_used_again() {
    let name = "full_disk_is_an_error_and_freed_space_is_used_again";
    if let Some(path) = child_path() {
        let store = Redb::open(path).unwrap();
        limits::full_disk_is_an_error_and_freed_space_is_used_again(&store).await;
        store.close().await.unwrap();
        println!("survived");
        return;
    }
    let (_directory, path) = temp_path();
    limits::survives_on_8_mib(name, &path);
    let store = Redb::open(&path).unwrap();
    assert_eq!(get(&store, key(2_099)).await.unwrap(), body(2_099, 200_000));
}

/// After a full disk, opening the file again undoes what was not synced. An undone removal or
/// replacement must not bring older responses back.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn removed_or_replaced_entry_does_not_come_back_after_a_full_disk() {
    let name = "removed_or_replaced_entry_does_not_come_back_after_a_full_disk";
    if let Some(path) = child_path() {
        let open = || Redb::builder(&path).durability(Durability::Every(HOUR)).open().unwrap();
        for clears in [false, true] {
            let store = open();
            for number in 0..5 {
                let head = tagged(if number == 3 { &["a"] } else { &[] }, None);
                put(&store, key(number), head, body(number, 100_000)).await.unwrap();
            }
            store.close().await.unwrap();

            let store = open();
            assert!(store.remove(&key(0)).await.unwrap());
            put(&store, key(1), head(), body(100, 100_000)).await.unwrap();
            let seen = store.get(&key(2)).await.unwrap().unwrap().version;
            assert!(store.update(&key(2), seen, tagged(&["b"], None)).await.unwrap());
            assert_eq!(store.remove_tagged("a").await.unwrap(), 1);
            if clears {
                store.clear().await.unwrap();
                put(&store, key(3), head(), body(100, 100_000)).await.unwrap();
            }
            let mut number = 1_000;
            let error = loop {
                number += 1;
                assert!(number < 2_000, "the limit was never reached");
                if let Err(error) = put(&store, key(number), head(), body(number, 200_000)).await {
                    break error;
                }
            };
            assert_eq!(error.kind(), ErrorKind::Full, "{error}");

            assert_eq!(get(&store, key(0)).await, None);
            assert_ne!(get(&store, key(1)).await, Some(body(1, 100_000)));
            assert_eq!(store.remove_tagged("a").await.unwrap(), 0);
            assert_ne!(get(&store, key(3)).await, Some(body(3, 100_000)));
            let left = if clears { None } else { Some(body(4, 100_000)) };
            assert_eq!(get(&store, key(4)).await, left);
            store.clear().await.unwrap();
            store.close().await.unwrap();
        }
        println!("survived");
        return;
    }
    let (_directory, path) = temp_path();
    limits::survives_on_8_mib(name, &path);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn large_body_takes_little_memory() {
    let name = "large_body_takes_little_memory";
    if let Some(path) = child_path() {
        let store = Redb::open(path).unwrap();
        return own_process::large_body_takes_little_memory(&store, 256).await;
    }
    let (_directory, path) = temp_path();
    own_process::grows_little(name, &path);
}

#[tokio::test(flavor = "multi_thread")]
async fn stalled_reader_does_not_make_the_file_grow() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache.redb");
    let store = Redb::builder(&path).max_bytes(8 * MIB as u64).open().unwrap();
    put(&store, key(0), head(), body(0, 2 * MIB)).await.unwrap();
    let mut stalled = store.get(&key(0)).await.unwrap().unwrap().body;
    let first = stalled.chunk().await.unwrap().unwrap();
    assert!(store.remove(&key(0)).await.unwrap());
    for number in 1..120 {
        put(&store, key(number), head(), body(number, MIB)).await.unwrap();
    }
    assert!(std::fs::metadata(&path).unwrap().len() < 64 * MIB as u64);
    // The entry was removed long ago, but its body is still whole.
    let mut bytes = first.to_vec();
    while let Some(chunk) = stalled.chunk().await {
        bytes.extend_from_slice(&chunk.unwrap());
    }
    assert!(bytes == body(0, 2 * MIB));
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_that_are_not_polled_do_not_block_others() {
    twins::writers_that_are_not_polled_do_not_block_others(&Redb::temporary().unwrap()).await;
}
