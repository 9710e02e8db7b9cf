//! Tests of a store that also run in a process of their own: two processes that share a store, and
//! one whose memory is measured.

#![allow(dead_code)]

use std::{ffi::OsStr, process::Stdio};

use bytes::Bytes;
use futures_util::StreamExt;
use larder::{
    store::{Store, Writer},
    time::Timestamp,
};

#[cfg(target_os = "linux")]
use super::child::peak;
use super::{
    child::{child, say},
    entries::{MIB, body, get, head_at, key, mixed},
};

/// Does ten thousand operations on a store while the test `name` does as many in a process of its
/// own, on the same data.
pub(crate) async fn two_processes_do_ten_thousand_operations_each(
    name: &str,
    word: impl AsRef<OsStr>,
    store: &impl Store,
    (large, stored_at): (usize, Timestamp),
) {
    let mut child = child(name, word).stdout(Stdio::null()).spawn().unwrap();
    mixed(store, 1, large, stored_at).await;
    let status = tokio::task::spawn_blocking(move || child.wait()).await.unwrap().unwrap();
    assert!(status.success());
    let entries = store.len().await.unwrap();
    let scanned: Vec<_> = store.scan().map(|item| item.unwrap().key).collect().await;
    assert_eq!(scanned.len() as u64, entries);
    for key in scanned {
        assert!(get(store, key).await.is_some());
    }
    let mut removed = store.remove_tagged("updated").await.unwrap();
    for tag in 0..20 {
        removed += store.remove_tagged(&format!("tag {tag}")).await.unwrap();
    }
    assert_eq!(removed, entries, "the indexes have every entry");
    assert_eq!(store.len().await.unwrap(), 0);
}

/// Writes and reads a body of `mib` MiB in a process of its own.
#[cfg(target_os = "linux")]
pub(crate) async fn large_body_takes_little_memory(store: &impl Store, mib: usize) {
    let before = peak();
    let block = body(1, MIB);
    let head = head_at(std::time::SystemTime::now().into());
    let mut writer = store.put(&key(1), head).await.unwrap();
    for _ in 0..mib {
        // Each chunk has memory of its own, as from a socket.
        writer.write(Bytes::copy_from_slice(&block)).await.unwrap();
    }
    writer.finish(None).await.unwrap();
    let mut body = store.get(&key(1)).await.unwrap().unwrap().body;
    let mut len = 0;
    while let Some(chunk) = body.chunk().await {
        len += chunk.unwrap().len();
    }
    assert_eq!(len, mib * MIB);
    let grown = peak() - before;
    say(&format!("grown by {} KiB", grown / 1_024));
    assert!(grown < 48 * MIB as u64, "{} KiB", grown / 1_024);
}

/// Runs the test `name`, which measures its memory, in a process of its own.
pub(crate) fn grows_little(name: &str, word: impl AsRef<OsStr>) {
    let output = child(name, word).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("grown by"), "{text}");
    println!("{text}");
}
