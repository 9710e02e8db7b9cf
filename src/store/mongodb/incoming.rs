//! Publishes entries: the end of a [`Writer`], and updates of a head, which are compared and
//! swapped by the version that was seen.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use mongodb::bson::{RawDocumentBuf, doc, oid::ObjectId};

use super::{
    fault,
    record::{MAX_DOCUMENT, change, check_head, encode, file_of},
    shared::Shared,
};
use crate::{
    Key,
    entry::Head,
    store::{
        Result, Version, Writer as StoreWriter,
        server::{Location, Upload, fresh},
    },
};

/// How often an entry is published again because another writer created one under the same key at
/// the same moment.
const TRIES: usize = 5;

/// Writes the body of one entry of a [`MongoDb`](super::MongoDb). It holds at most one chunk, or
/// what is kept in one document with the head, beside the last [`Bytes`] that it received.
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
        let (shared, key) = (upload.backend.clone(), upload.key);
        let head = head.seal(upload.body.len(), trailers);
        shared.indexed().await?;
        let document = document(&mut upload, &head).await?;
        if let Some(file) = &mut upload.staged {
            // From here on, an entry may refer to it, whatever the server answers.
            file.is_in_doubt = true;
        }
        shared.order.change(&shared.link, &key, publish(upload, document)).await
    }

    async fn abort(self) {
        self.upload.abort().await;
    }
}

/// Creates the document, with the body if it fits; else the body becomes a complete file.
async fn document(upload: &mut Upload<Shared>, head: &Head) -> Result<RawDocumentBuf> {
    let key = upload.key;
    if let Some(body) = upload.body.inline() {
        let location = Location::Inline { checksum: crc32fast::hash(&body) };
        let document = encode(&key, fresh(), head, location, &body);
        if document.as_bytes().len() <= MAX_DOCUMENT {
            return Ok(document);
        }
        // A large head leaves less room.
        upload.body.spill();
    }
    upload.send_rest().await?;
    let chunk = upload.backend.settings.chunk_size as u32;
    let location = match &upload.staged {
        Some(file) => Location::Chunks { id: file.id.bytes(), chunk },
        None => Location::Inline { checksum: crc32fast::hash(&[]) },
    };
    let document = encode(&key, fresh(), head, location, &[]);
    if document.as_bytes().len() > MAX_DOCUMENT {
        return Err(fault::too_large(&key));
    }
    if let Some(file) = &upload.staged {
        let (len, keep_until) = (head.body_len(), head.keep_until());
        upload.backend.complete_file(&key, file.id, len, keep_until).await?;
    }
    Ok(document)
}

async fn publish(mut upload: Upload<Shared>, document: RawDocumentBuf) -> Result<()> {
    let shared = upload.backend.clone();
    let old = replace(&shared, &upload.key, &document).await?;
    upload.published();
    // For entries that the server expires.
    shared.sweep_later();
    shared.set_aside(old.into_iter().collect()).await;
    Ok(())
}

/// Replaces the document under the key. Returns the file of the old entry.
async fn replace(
    shared: &Arc<Shared>,
    key: &Key,
    document: &RawDocumentBuf,
) -> Result<Option<ObjectId>> {
    let mut tries = 1;
    loop {
        let (entries, document) = (shared.collections.entries.clone(), document.clone());
        let which = doc! { "_id": key.to_string() };
        let replaced = async move {
            let fields = doc! { "file": 1, "_id": 0 };
            let replaced = entries.find_one_and_replace(which, document).upsert(true);
            replaced.projection(fields).await
        };
        match shared.link.try_ask(replaced).await? {
            Ok(old) => return Ok(old.and_then(|old| file_of(&old))),
            // Two writers created the first entry of a key at the same moment.
            Err(error) if fault::is_duplicate(&error) && tries < TRIES => tries += 1,
            Err(error) => return Err(fault::error(shared.link.server(), error)),
        }
    }
}

impl Shared {
    /// Replaces the head of the entry if it has the version `seen`.
    pub(super) async fn update(
        self: &Arc<Self>,
        key: &Key,
        seen: Version,
        head: Head,
    ) -> Result<bool> {
        check_head(key, &head)?;
        self.indexed().await?;
        let Some(old) = self.record(key).await? else { return Ok(false) };
        if old.version != seen.get() {
            return Ok(false);
        }
        let head = head.carry_body(&old.head);
        let (change, head_len) = change(key, fresh(), &head, old.body);
        let body_len = match old.body {
            Location::Inline { .. } => head.body_len() as usize,
            Location::Chunks { .. } => 0,
        };
        // The document contains the URL and the tags twice. The other fields are small.
        let tags: usize = head.tags().iter().map(|tag| tag.len() + 16).sum();
        if head_len + head.url().len() + tags + body_len + 1024 > MAX_DOCUMENT {
            return Err(fault::too_large(key));
        }
        let entries = self.collections.entries.clone();
        let which = doc! { "_id": key.to_string(), "version": seen.get() as i64 };
        let link = self.link.clone();
        let updating = async move {
            let updated = async move { entries.update_one(which, change).await };
            Ok(link.ask(updated).await?.matched_count == 1)
        };
        self.order.change(&self.link, key, updating).await
    }
}
