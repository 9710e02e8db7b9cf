//! Entries for the tests of stores: keys, heads and bodies made of numbers, written to and read from any store.

#![allow(dead_code)]

use bytes::Bytes;
use futures_util::StreamExt;
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

/// A body of `len` bytes that no other `seed` has anywhere.
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

/// What a writer is given of `body`, one after the other.
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
    let mut body = hit.body;
    let mut bytes = Vec::new();
    while let Some(chunk) = body.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes.into())
}

pub(crate) async fn get(store: &impl Store, key: Key) -> Option<Bytes> {
    match store.get(&key).await.unwrap() {
        Some(hit) => Some(read(hit).await.unwrap()),
        None => None,
    }
}
