//! Shared by the cases: heads, patterned bodies, and short ways to write and read.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    task::Poll,
};

use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderValue, Method, Response};

use super::super::{ErrorKind, Hit, Result, Scanned, Store, StoredBody, Version, Writer};
pub(super) use crate::store::yield_now::yield_now;
use crate::{entry::Head, key::Key, time::Timestamp};

/// 2100-01-01: far ahead, so that a server that expires entries by its own clock keeps these.
pub(super) const NOW: Timestamp = Timestamp::from_millis(4_102_444_800_000);

/// `millis` after [`NOW`], or before it.
pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis().saturating_add_signed(millis))
}

pub(super) fn key(name: impl AsRef<[u8]>) -> Key {
    Key::digest(name)
}

/// A plain head, with `name` in its URL and in a header.
pub(super) fn head(name: &str) -> Head {
    let mut headers = HeaderMap::new();
    headers.insert("content-type", HeaderValue::from_static("application/octet-stream"));
    headers.insert("x-name", HeaderValue::from_str(name).expect("names are ASCII"));
    head_with(name, headers)
}

pub(super) fn head_with(name: &str, headers: HeaderMap) -> Head {
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.headers = headers;
    Head::new(Method::GET, format!("http://example.com/{name}"), parts, NOW)
}

pub(super) fn tagged(name: &str, tags: &[&str]) -> Head {
    head(name).with_tags(tags.iter().map(|tag| (*tag).into()).collect())
}

pub(super) fn expiring(name: &str, expires_at: Timestamp) -> Head {
    head(name).with_expires_at(Some(expires_at))
}

/// The `x-name` header, by which cases identify a head.
pub(super) fn name_of(head: &Head) -> &str {
    head.headers().get("x-name").and_then(|name| name.to_str().ok()).unwrap_or("(no x-name)")
}

/// Stores `body` in one chunk under `key`.
pub(super) async fn store_at<S: Store>(store: &S, key: &Key, head: Head, body: impl Into<Bytes>) {
    let mut writer = store.put(key, head).await.expect("`put` must take an entry");
    let body = body.into();
    if !body.is_empty() {
        writer.write(body).await.expect("`write` must take a chunk");
    }
    writer.finish(None).await.expect("`finish` must publish the entry");
}

/// Stores a plain entry under the key of its name, with its name as the body.
pub(super) async fn store_named<S: Store>(store: &S, name: &str) {
    store_at(store, &key(name), head(name), name.to_owned()).await;
}

pub(super) async fn try_get<S: Store>(store: &S, key: &Key) -> Option<Hit> {
    store.get(key).await.expect("`get` must answer")
}

pub(super) async fn get<S: Store>(store: &S, key: &Key) -> Hit {
    try_get(store, key).await.expect("a finished entry must be found")
}

pub(super) async fn version<S: Store>(store: &S, key: &Key) -> Version {
    get(store, key).await.version
}

pub(super) async fn has<S: Store>(store: &S, name: &str) -> bool {
    try_get(store, &key(name)).await.is_some()
}

pub(super) async fn update<S: Store>(store: &S, key: &Key, seen: Version, head: Head) -> bool {
    store.update(key, seen, head).await.expect("`update` must answer")
}

pub(super) async fn remove<S: Store>(store: &S, key: &Key) -> bool {
    store.remove(key).await.expect("`remove` must answer")
}

pub(super) async fn remove_expired<S: Store>(store: &S, now: Timestamp) -> u64 {
    store.remove_expired(now).await.expect("`remove_expired` must answer")
}

pub(super) async fn remove_tagged<S: Store>(store: &S, tag: &str) -> u64 {
    store.remove_tagged(tag).await.expect("`remove_tagged` must answer")
}

/// The ways in which an entry can be removed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Removal {
    Remove,
    RemoveIf,
    RemoveExpired,
    RemoveTagged,
    Clear,
}

impl Removal {
    pub(super) const ALL: [Self; 5] =
        [Self::Remove, Self::RemoveIf, Self::RemoveExpired, Self::RemoveTagged, Self::Clear];

    /// Removes the [removable] entry under `key`, unless the store does not implement `clear`.
    pub(super) async fn of<S: Store>(self, store: &S, key: &Key) {
        let is_removed = match self {
            Self::Remove => remove(store, key).await,
            Self::RemoveIf => {
                let seen = version(store, key).await;
                store.remove_if(key, seen).await.expect("`remove_if` must answer")
            }
            Self::RemoveExpired => remove_expired(store, NOW).await == 1,
            Self::RemoveTagged => remove_tagged(store, "removable").await == 1,
            Self::Clear => clear(store).await || remove(store, key).await,
        };
        assert!(is_removed, "{self:?} must remove the entry");
        assert!(try_get(store, key).await.is_none(), "{self:?} must remove the entry");
    }
}

/// A head that every kind of removal applies to.
pub(super) fn removable(name: &str) -> Head {
    tagged(name, &["removable"]).with_expires_at(Some(at(-1)))
}

/// Returns `None` if the store does not implement the operation.
fn supported<T>(outcome: Result<T>, method: &str) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(error) if error.kind() == ErrorKind::Unsupported => None,
        Err(error) => panic!("`{method}` must answer: {error:#}"),
    }
}

pub(super) async fn len<S: Store>(store: &S) -> Option<u64> {
    supported(store.len().await, "len")
}

/// Checks the number of entries, if the store implements `len`.
macro_rules! assert_len {
    ($store:expr, $expected:expr $(, $($message:tt)+)?) => {
        if let Some(len) = $crate::store::conformance::support::len($store).await {
            assert_eq!(len, $expected $(, $($message)+)?);
        }
    };
}

/// Checks the number of items of a scan, if the store implements `scan`.
macro_rules! assert_listed {
    ($store:expr, $expected:expr, $($message:tt)+) => {
        if let Some(listed) = $crate::store::conformance::support::scan($store).await {
            assert_eq!(listed.len(), $expected, $($message)+);
        }
    };
}

pub(super) use {assert_len, assert_listed};

pub(super) async fn size<S: Store>(store: &S) -> Option<u64> {
    supported(store.size_bytes().await, "size_bytes")
}

/// Clears the store. Returns `false` if the store does not implement it.
pub(super) async fn clear<S: Store>(store: &S) -> bool {
    supported(store.clear().await, "clear").is_some()
}

pub(super) async fn scan<S: Store>(store: &S) -> Option<Vec<Scanned>> {
    let items: Result<Vec<_>> = store.scan().try_collect().await;
    supported(items, "scan")
}

/// The methods with a default that the store, which is empty, does not implement.
pub(super) async fn unsupported<S: Store>(store: &S) -> Vec<&'static str> {
    let supported = [
        ("clear", clear(store).await),
        ("scan", scan(store).await.is_some()),
        ("len", len(store).await.is_some()),
        ("size_bytes", size(store).await.is_some()),
    ];
    supported.into_iter().filter(|(_, is_there)| !is_there).map(|(method, _)| method).collect()
}

pub(super) async fn read(body: StoredBody) -> Vec<u8> {
    let announced = body.len();
    let read = try_read(body).await.expect("a body that nobody touches must be read to its end");
    assert_eq!(read.len() as u64, announced, "a body's `len` must be what it yields");
    read
}

/// Reads the whole body. Returns `None` if that fails.
pub(super) async fn try_read(mut body: StoredBody) -> Option<Vec<u8>> {
    let mut read = Vec::new();
    while let Some(chunk) = body.chunk().await {
        read.extend_from_slice(&chunk.ok()?);
        yield_now().await;
    }
    Some(read)
}

/// Polls `future` this many times, and drops it.
pub(super) async fn abandon<F: Future>(future: F, polls: usize) {
    let mut future = pin!(future);
    for _ in 0..polls {
        if poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_ready())).await {
            return;
        }
        yield_now().await;
    }
}

/// The bytes of a body of any length. Each is known by its position, so that a large body can be
/// checked in pieces.
pub(super) struct Pattern {
    block: Vec<u8>,
}

impl Pattern {
    /// A prime: chunks of a store never begin at the same position of the block, so that no two
    /// look alike.
    const PERIOD: usize = 65_521;

    /// Creates a pattern that differs for every seed. Odd seeds give noise. Even seeds give half as
    /// much entropy, so that a store that compresses does so.
    pub(super) fn new(seed: u64) -> Self {
        let mut state = seed;
        let mask = if seed.is_multiple_of(2) { 0x0f } else { 0xff };
        let block = std::iter::repeat_with(|| {
            // SplitMix64.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (mixed ^ (mixed >> 31)).to_le_bytes()
        });
        Self { block: block.flatten().map(|byte| byte & mask).take(Self::PERIOD).collect() }
    }

    /// `len` bytes that cannot be compressed.
    pub(super) fn noise(len: u64) -> Bytes {
        let blocks = (0..).map(|number| Self::new(2 * number + 1).block);
        blocks.flatten().take(len as usize).collect()
    }

    /// `len` bytes from `offset` on.
    pub(super) fn bytes(&self, offset: u64, len: usize) -> Bytes {
        let mut bytes = Vec::with_capacity(len);
        self.pieces(offset, len, |_, piece| bytes.extend_from_slice(piece));
        bytes.into()
    }

    /// Whether `bytes` are the pattern from `offset` on.
    pub(super) fn matches(&self, offset: u64, bytes: &[u8]) -> bool {
        let mut matches = true;
        self.pieces(offset, bytes.len(), |at, piece| {
            matches &= bytes[at..at + piece.len()] == *piece;
        });
        matches
    }

    fn pieces(&self, offset: u64, len: usize, mut each: impl FnMut(usize, &[u8])) {
        let mut begin = (offset % Self::PERIOD as u64) as usize;
        let mut done = 0;
        while done < len {
            let piece = &self.block[begin..];
            let piece = &piece[..piece.len().min(len - done)];
            each(done, piece);
            done += piece.len();
            begin = 0;
        }
    }

    /// Stores the first `len` bytes in chunks of `chunk` bytes.
    pub(super) async fn store<S: Store>(
        &self,
        store: &S,
        key: &Key,
        head: Head,
        len: u64,
        chunk: usize,
    ) {
        let mut writer = store.put(key, head).await.expect("`put` must take an entry");
        self.write(&mut writer, 0, len, chunk).await;
        writer.finish(None).await.expect("`finish` must publish the entry");
    }

    /// Writes the bytes from `from` to `to` in chunks of `chunk` bytes.
    pub(super) async fn write<W: Writer>(&self, writer: &mut W, from: u64, to: u64, chunk: usize) {
        let mut offset = from;
        while offset < to {
            let len = usize::try_from(to - offset).map_or(chunk, |left| left.min(chunk));
            let chunk = self.bytes(offset, len);
            writer.write(chunk).await.expect("`write` must take a chunk");
            offset += len as u64;
            yield_now().await;
        }
    }

    /// Reads `body` to its end, chunk by chunk. It must be the first `len` bytes of the pattern.
    pub(super) async fn check(&self, mut body: StoredBody, len: u64) {
        assert_eq!(body.len(), len, "a body's `len` must be its length before it is read");
        let mut offset = 0;
        while let Some(chunk) = body.chunk().await {
            let chunk = chunk.expect("a body that nobody touches must be read to its end");
            assert!(!chunk.is_empty(), "a body yields no empty chunks");
            assert!(
                self.matches(offset, &chunk),
                "a body of {len} bytes must come back as it was; the chunk at {offset} differs"
            );
            offset += chunk.len() as u64;
        }
        assert_eq!(offset, len, "a body must come back whole");
    }

    /// Whether `body` is the first `len` bytes of the pattern.
    pub(super) fn is(&self, body: &[u8], len: u64) -> bool {
        body.len() as u64 == len && self.matches(0, body)
    }
}
