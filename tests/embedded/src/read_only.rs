//! A file that is opened read-only: neither the file nor its directory is written to.

use std::{fs, path::Path};

use futures_util::StreamExt;
use larder::store::ErrorKind;

use crate::{
    entries::{body, get, head_at, key, put},
    faults::runtime,
    stores::Embedded,
};

for_each_store! {
    closed_file_is_read_by_several_stores_and_not_written,
    missing_or_foreign_file_is_refused_and_not_created,
    file_that_was_not_closed_is_read_or_refused,
}

/// The name, length and bytes of each file in the directory of `path`.
fn files(path: &Path) -> Vec<(String, Vec<u8>)> {
    let directory = path.parent().unwrap().read_dir().unwrap();
    let mut files: Vec<_> = directory
        .map(|file| {
            let file = file.unwrap();
            (file.file_name().into_string().unwrap(), fs::read(file.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}

fn closed_file_is_read_by_several_stores_and_not_written<S: Embedded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    runtime().block_on(async {
        let head = || head_at(larder::time::Timestamp::MIN);
        let store = S::open_file(&path).unwrap();
        put(&store, key(1), head(), body(1, 100)).await.unwrap();
        put(&store, key(2), head(), body(2, 300_000)).await.unwrap();
        store.close_file().await.unwrap();
        drop(store);
        let before = files(&path);
        assert_eq!(before.len(), 1, "a closed store leaves one file");

        let (one, other) = (S::open_to_read(&path).unwrap(), S::open_to_read(&path).unwrap());
        for store in [&one, &other] {
            assert_eq!(get(store, key(1)).await.unwrap(), body(1, 100));
            assert_eq!(get(store, key(2)).await.unwrap(), body(2, 300_000));
            assert_eq!(store.len().await.unwrap(), 2);
            assert_eq!(store.scan().count().await, 2);
            assert!(store.size_bytes().await.unwrap() > 300_000);
            store.flush().await.unwrap();
            for error in [
                put(store, key(3), head(), body(3, 10)).await.unwrap_err(),
                store.remove(&key(1)).await.unwrap_err(),
                store.remove_tagged("a").await.unwrap_err(),
                store.clear().await.unwrap_err(),
            ] {
                assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
                assert!(error.to_string().contains("read_only(true)"), "{error}");
            }
        }
        one.close_file().await.unwrap();
        assert_eq!(get(&other, key(1)).await.unwrap(), body(1, 100));
        drop((one, other));
        assert!(files(&path) == before, "reading has changed a file, or left one");
        let store = S::open_file(&path).unwrap();
        put(&store, key(3), head(), body(3, 10)).await.unwrap();
        assert_eq!(store.len().await.unwrap(), 3);
    });
}

fn missing_or_foreign_file_is_refused_and_not_created<S: Embedded>(_: &str) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("cache");
    let error = S::open_to_read(&path).unwrap_err();
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert!(files(&path).is_empty());
    for foreign in
        ["", "some text that is longer than the header of any database ".repeat(99).as_str()]
    {
        fs::write(&path, foreign).unwrap();
        let error = S::open_to_read(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incompatible, "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), foreign);
    }
}

/// A copy of a file that is in use is as a crash leaves it.
fn file_that_was_not_closed_is_read_or_refused<S: Embedded>(_: &str) {
    let (directory, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = directory.path().join("cache");
    runtime().block_on(async {
        let store = S::open_file(&path).unwrap();
        let head = head_at(larder::time::Timestamp::MIN);
        put(&store, key(1), head, body(1, 100)).await.unwrap();
        store.flush().await.unwrap();
        for (name, bytes) in files(&path) {
            fs::write(copy.path().join(name), bytes).unwrap();
        }
        let path = copy.path().join("cache");
        match S::open_to_read(&path) {
            Ok(store) => assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 100)),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                assert!(
                    error.to_string().contains("open it once without read_only(true)"),
                    "{error}"
                );
                // The advice in the error must work.
                S::open_file(&path).unwrap().close_file().await.unwrap();
                let store = S::open_to_read(&path).unwrap();
                assert_eq!(get(&store, key(1)).await.unwrap(), body(1, 100));
            }
        }
    });
}
