//! Publishes entries: the end of a [`Writer`], and updates of a head.

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;
use http::HeaderMap;
use redis::Value;

use super::{
    fault::STORE,
    index::{change, deadline, forget_later, header_of},
    names::{Generation, digests},
    record::{Header, MAX_TAGS},
    scripts,
    shared::Shared,
};
use crate::{
    Key,
    entry::Head,
    store::{
        Error, ErrorKind, Result, Version, Writer as StoreWriter,
        server::{Location, Settings, Upload, fresh},
    },
    time::Timestamp,
};

/// Writes the body of one entry of a [`Redis`](super::Redis). It holds at most one chunk, or what
/// is kept in one piece with the head, beside the last [`Bytes`] that it received.
#[derive(Debug)]
pub struct Writer {
    pub(super) head: Head,
    pub(super) upload: Upload<Shared>,
}

impl StoreWriter for Writer {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.upload.write(chunk).await
    }

    async fn finish(self, trailers: Option<HeaderMap>) -> Result<()> {
        let Self { head, mut upload } = self;
        upload.send_rest().await?;
        let len = upload.body.len();
        let tail = upload.body.inline().unwrap_or_default();
        let head = head.seal(len, trailers);
        let (shared, key) = (&upload.backend, &upload.key);
        let body = match &upload.staged {
            None => Location::Inline { checksum: crc32fast::hash(&tail) },
            Some(staged) => {
                Location::Chunks { id: staged.generation, chunk: shared.settings.chunk_size as u32 }
            }
        };
        let header = header(&head, body, len);
        let record = header.encode(key, &head.encode(), &tail);
        let keep_until = head.keep_until();
        let (at, body_at) = shared.deadlines(keep_until);
        let chunks = upload.body.chunks().to_string();
        let args = [&record, at.as_bytes(), body_at.as_bytes(), chunks.as_bytes()];
        let old =
            change(shared, &scripts::PUBLISH, key, Some((&header, keep_until)), &args).await?;
        forget_later(shared, key, header_of(key, old));
        upload.published();
        Ok(())
    }

    async fn abort(self) {
        self.upload.abort().await;
    }
}

/// Creates the header of a new version.
fn header(head: &Head, body: Location<Generation>, body_len: u64) -> Header {
    Header {
        version: fresh(),
        written: Timestamp::from(SystemTime::now()).as_millis(),
        body,
        body_len,
        expires: head.keep_until().is_some(),
        tags: digests(head.tags()),
    }
}

pub(super) fn check_tags(head: &Head) -> Result<()> {
    if head.tags().len() > MAX_TAGS {
        let message =
            format!("an entry can have at most {MAX_TAGS} tags, not {}", head.tags().len());
        return Err(Error::new(ErrorKind::TooLarge, STORE, message));
    }
    Ok(())
}

impl Shared {
    /// Replaces the head of the entry if it has the version `seen`.
    pub(super) async fn update(
        self: &Arc<Self>,
        key: &Key,
        seen: Version,
        head: Head,
    ) -> Result<bool> {
        check_tags(&head)?;
        let Some((old, old_front)) = self.record(key).await? else { return Ok(false) };
        if old.version != seen.get() {
            return Ok(false);
        }
        let head = head.carry_body(&old.head);
        let header = header(&head, old.body, old.head.body_len());
        let keep_until = head.keep_until();
        let old_front = old_front.to_string();
        let (at, body_at) = self.deadlines(keep_until);
        let front = header.encode(key, &head.encode(), &[]);
        let seen = seen.get().to_le_bytes();
        let args = [&seen, &front[..], at.as_bytes(), body_at.as_bytes(), old_front.as_bytes()];
        let new = Some((&header, keep_until));
        let (updated, gone) = match change(self, &scripts::UPDATE, key, new, &args).await? {
            Value::Nil => (false, Some(header)),
            replaced => (true, header_of(key, replaced)),
        };
        forget_later(self, key, gone);
        Ok(updated)
    }

    /// When entry and body expire on the server, as the scripts expect it.
    fn deadlines(&self, keep_until: Option<Timestamp>) -> (String, String) {
        let Settings { grace, linger, .. } = self.settings;
        let entry = deadline(keep_until, grace);
        // The body stays for readers that began before.
        let body = deadline(keep_until, grace.saturating_add(linger));
        let text = |at: Option<u64>| at.map_or_else(String::new, |at| at.to_string());
        (text(entry), text(body))
    }
}
