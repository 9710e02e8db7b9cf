//! The writer of an entry: it keeps the body while it is small, else sends it to a key of its own
//! in chunks.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::SystemTime,
};

use bytes::Bytes;
use http::HeaderMap;
use redis::Value;

use super::{
    fault::STORE,
    index::{change, deadline, forget_later, header_of},
    names::{Generation, digests, generation},
    record::{Header, Location, MAX_TAGS, seal_chunk},
    scripts,
    shared::Shared,
};
use crate::{
    Key,
    entry::Head,
    store::{Error, ErrorKind, Result, Writer as StoreWriter, chunked::Chunked},
    time::Timestamp,
};

/// How long an unfinished body stays after its last chunk, in milliseconds: ten minutes.
const STAGED: &[u8] = b"600000";

/// Writes the body of one entry of a [`Redis`](super::Redis). It holds at most one chunk, or what
/// is kept in one piece with the head, beside the last [`Bytes`] that it received.
pub struct Writer {
    shared: Arc<Shared>,
    key: Key,
    head: Option<Head>,
    body: Chunked,
    /// The body on the server, once there is one.
    staged: Option<Staged>,
}

struct Staged {
    generation: Generation,
    name: Vec<u8>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, key: Key, head: Head) -> Self {
        let body = Chunked::new(shared.inline_limit, shared.chunk_size);
        Self { shared, key, head: Some(head), body, staged: None }
    }

    /// Sends chunks while there are whole ones. It can be cancelled anywhere and called again.
    async fn drain(&mut self) -> Result<()> {
        while let Some((number, payload)) = self.body.next_chunk() {
            self.send(number, &payload).await?;
        }
        Ok(())
    }

    async fn send(&mut self, number: u64, payload: &[u8]) -> Result<()> {
        let staged = self.staged.get_or_insert_with(|| {
            let generation = generation(fresh());
            Staged { generation, name: self.shared.names.staged(&self.key, &generation) }
        });
        let chunk = seal_chunk(&staged.generation, number, payload);
        let index = number.to_string();
        let args = [index.as_bytes(), &chunk, STAGED];
        self.shared.link.run(&scripts::STAGE, &[&staged.name], &args).await?;
        self.body.sent();
        Ok(())
    }

    async fn publish(&self, header: &Header, head: &Head, tail: &[u8]) -> Result<Value> {
        let shared = &self.shared;
        let keep_until = head.keep_until();
        let mut record = header.encode(&self.key, &head.encode());
        record.extend_from_slice(tail);
        let (at, body_at) = shared.deadlines(keep_until);
        let chunks = self.body.chunks().to_string();
        let args = [&record, at.as_bytes(), body_at.as_bytes(), chunks.as_bytes()];
        let new = Some((header, keep_until));
        change(shared, &scripts::PUBLISH, &self.key, new, &args).await
    }
}

impl StoreWriter for Writer {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        // Chunks that a cancelled call has left.
        self.drain().await?;
        self.body.push(chunk);
        self.drain().await
    }

    async fn finish(mut self, trailers: Option<HeaderMap>) -> Result<()> {
        self.drain().await?;
        let len = self.body.len();
        while let Some((number, payload)) = self.body.last_chunk() {
            self.send(number, &payload).await?;
        }
        let tail = self.body.inline().unwrap_or_default();
        let Some(head) = self.head.take() else { return Ok(()) };
        let head = head.seal(len, trailers);
        let body = match &self.staged {
            None => Location::Inline { checksum: crc32fast::hash(&tail) },
            Some(staged) => Location::Chunks {
                generation: staged.generation,
                chunk: self.shared.chunk_size as u32,
            },
        };
        let header = header(&head, body, len)?;
        let old = self.publish(&header, &head, &tail).await?;
        // From here on, the body belongs to the entry.
        self.staged = None;
        forget_later(&self.shared, &self.key, header_of(&self.key, old));
        Ok(())
    }

    async fn abort(mut self) {
        // If this future is dropped before it is done, the drop of the writer removes the body.
        if let Some(staged) = &self.staged {
            remove_staged(&self.shared, staged).await;
            self.staged = None;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Some(staged) = self.staged.take() else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let shared = self.shared.clone();
            runtime.spawn(async move { remove_staged(&shared, &staged).await });
        }
    }
}

/// Removes a body that will not be published. Without a runtime, or if the server cannot be
/// reached, the body expires.
async fn remove_staged(shared: &Shared, staged: &Staged) {
    drop(shared.link.ask(redis::cmd("UNLINK").arg(&staged.name)).await);
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("key", &self.key)
            .field("len", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Replaces the head of the entry if it has the version `seen`.
pub(super) async fn update(shared: &Arc<Shared>, key: &Key, seen: u64, head: Head) -> Result<bool> {
    check_tags(&head)?;
    let Some(old) = shared.record(key).await? else { return Ok(false) };
    if old.header.version != seen {
        return Ok(false);
    }
    let head = head.carry_body(&old.head);
    let header = header(&head, old.header.body, old.header.body_len)?;
    let keep_until = head.keep_until();
    let old_head_end = old.front_len.to_string();
    let (at, body_at) = shared.deadlines(keep_until);
    let front = header.encode(key, &head.encode());
    let seen = seen.to_le_bytes();
    let args = [&seen, &front[..], at.as_bytes(), body_at.as_bytes(), old_head_end.as_bytes()];
    let new = Some((&header, keep_until));
    let (updated, gone) = match change(shared, &scripts::UPDATE, key, new, &args).await? {
        Value::Nil => (false, Some(header)),
        replaced => (true, header_of(key, replaced)),
    };
    forget_later(shared, key, gone);
    Ok(updated)
}

/// Creates the header of a new version.
fn header(head: &Head, body: Location, body_len: u64) -> Result<Header> {
    check_tags(head)?;
    Ok(Header {
        version: fresh(),
        written: Timestamp::from(SystemTime::now()).as_millis(),
        body,
        body_len,
        expires: head.keep_until().is_some(),
        tags: digests(head.tags()),
    })
}

pub(super) fn check_tags(head: &Head) -> Result<()> {
    if head.tags().len() > MAX_TAGS {
        let message =
            format!("an entry can have at most {MAX_TAGS} tags, not {}", head.tags().len());
        return Err(Error::new(ErrorKind::TooLarge, STORE, message));
    }
    Ok(())
}

/// A number that no other writer creates, on this machine or another.
fn fresh() -> u64 {
    // The standard library seeds it from the system's randomness.
    RandomState::new().hash_one(SystemTime::now())
}

pub(super) fn deadline_text(at: Option<u64>) -> String {
    at.map_or_else(String::new, |at| at.to_string())
}

impl Shared {
    /// When entry and body expire on the server, as the scripts expect it.
    fn deadlines(&self, keep_until: Option<Timestamp>) -> (String, String) {
        let entry = deadline(keep_until, self.grace);
        // The body stays for readers that began before.
        let body = deadline(keep_until, self.grace.saturating_add(self.linger));
        (deadline_text(entry), deadline_text(body.filter(|_| entry.is_some())))
    }
}
