//! Entries for the tests of stores: keys, heads and bodies that are made from numbers.

#![allow(dead_code)]

use bytes::Bytes;

use http::{Method, Response};
use larder::{
    Key,
    entry::Head,
    store::{Hit, Result, Store, Writer},
    time::Timestamp,
};

pub(crate) const MIB: usize = 1 << 20;

pub(crate) fn key(number: u64) -> Key {
    Key::digest(number.to_string())
}

pub(crate) fn head_at(stored_at: Timestamp) -> Head {
    let (parts, ()) =
        Response::builder().header("content-type", "text/plain").body(()).unwrap().into_parts();
    Head::new(Method::GET, "http://example.com/", parts, stored_at)
}

/// A body of `len` bytes that differs from the bodies of other seeds everywhere.
pub(crate) fn body(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

/// The chunks of `body` that a writer receives.
pub(crate) fn pieces(body: &Bytes) -> impl Iterator<Item = Bytes> {
    let body = body.clone();
    (0..body.len()).step_by(50_000).map(move |at| body.slice(at..(at + 50_000).min(body.len())))
}

pub(crate) async fn put(store: &impl Store, key: Key, head: Head, body: Bytes) -> Result<()> {
    let mut writer = store.put(&key, head).await?;
    for piece in pieces(&body) {
        writer.write(piece).await?;
    }
    writer.finish(None).await
}

pub(crate) async fn read(hit: Hit) -> Result<Bytes> {
    hit.body.bytes().await
}

pub(crate) async fn get(store: &impl Store, key: Key) -> Option<Bytes> {
    match store.get(&key).await.unwrap() {
        Some(hit) => Some(read(hit).await.unwrap()),
        None => None,
    }
}

/// Whether a reader was too slow: SQLite keeps the bodies that another process removes for a while,
/// and only a few of them.
fn is_removed_by_another_process(error: &larder::store::Error) -> bool {
    error.to_string().contains("another process removed the body")
}

/// The number of operations of [`mixed`].
const OPERATIONS: u64 = 10_000;

/// Runs ten thousand operations of all kinds in eight tasks, on keys that all callers share. No
/// operation fails, and each body belongs to its key and its head. Every tenth body has `large`
/// bytes.
pub(crate) async fn mixed(store: &impl Store, seed: u64, large: usize, stored_at: Timestamp) {
    let tagged = |tag: String| head_at(stored_at).with_tags(vec![tag.into()]);
    let expires_at = stored_at.saturating_add(std::time::Duration::from_secs(600));
    let work = (0..8).map(|worker| async move {
        let mut state = seed * 8 + worker + 1;
        for _ in 0..OPERATIONS / 8 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (number, what) = ((state >> 33) % 200, (state >> 50) % 16);
            let len = if number % 10 == 0 { large } else { 1_000 };
            let tag = format!("tag {}", number % 20);
            // Each entry has one of several bodies of the same length. Its head says which one.
            let version = (state >> 41) % 3;
            let content = |version: u64| body(number + 1_000 * version, len);
            let name = |version: u64| format!("version {version}");
            match what {
                0..4 => {
                    let tags = vec![tag.into(), name(version).into()];
                    let head = head_at(stored_at).with_tags(tags).with_expires_at(Some(expires_at));
                    put(store, key(number), head, content(version)).await.unwrap();
                }
                4..12 => {
                    if let Some(hit) = store.get(&key(number)).await.unwrap() {
                        let head = hit.head.clone();
                        let bytes = match read(hit).await {
                            Ok(bytes) => bytes,
                            Err(error) if is_removed_by_another_process(&error) => continue,
                            Err(error) => panic!("{number}: {error:?}"),
                        };
                        let has = |tag: &str| head.tags().iter().any(|it| **it == *tag);
                        // An updated head does not say it.
                        let mut versions = 0..3;
                        let is_whole = versions.any(|version| {
                            (has("updated") || has(&name(version))) && bytes == content(version)
                        });
                        assert!(is_whole, "{number}: {:?}", head.tags());
                    }
                }
                12 | 13 => {
                    if let Some(hit) = store.get(&key(number)).await.unwrap() {
                        let head = tagged("updated".to_owned());
                        store.update(&key(number), hit.version, head).await.unwrap();
                    }
                }
                14 => drop(store.remove(&key(number)).await.unwrap()),
                _ => drop(store.remove_tagged(&tag).await.unwrap()),
            }
        }
    });
    futures_util::future::join_all(work).await;
}
