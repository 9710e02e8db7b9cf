//! Bodies as GridFS files: the documents of `files`, and their states.
//!
//! The store uses GridFS's own format, so that any GridFS reader can read its files, but does not
//! use the driver's bucket. That bucket reads ahead as much as a server sends at once (16 MiB), has
//! no checksums, and removes the chunks of another file if its upload fails on an existing id. In
//! addition to GridFS's fields, `metadata` has the state of a file, and when it was last touched,
//! by the server's clock:
//!
//! | state | meaning | deleted |
//! |---|---|---|
//! | `pending` | being written | ten minutes after the last touch, unless an entry has it |
//! | `live` | an entry has it or is about to | becomes `removed` when a sweep finds that no entry has it |
//! | `removed` | no entry has it, and it may still be read | after its time to linger, unless an entry has it |
//! | `deleting` | being deleted | at once |
//!
//! Only the entries decide whether a file is in use. A state only says when to check.

use mongodb::{
    bson::{Document, RawDocumentBuf, doc, oid::ObjectId, raw::cstr},
    options::ReturnDocument,
};

use super::{
    fault,
    record::{binary, date},
    shared::Shared,
};
use crate::{
    Key,
    store::{Result, server::Chunk},
    time::Timestamp,
};

/// The states of a file, as they are stored.
pub(super) const PENDING: &str = "pending";
pub(super) const LIVE: &str = "live";
pub(super) const REMOVED: &str = "removed";
pub(super) const DELETING: &str = "deleting";

/// How many chunks are deleted at a time.
const AT_ONCE: i32 = 256;

/// The field of a file's metadata with the time of the last touch. The server fills it in.
pub(super) fn touched() -> Document {
    doc! { "metadata.touched": true }
}

impl Shared {
    /// Begins a file that nothing refers to.
    pub(super) async fn begin_file(&self, key: &Key, id: ObjectId) -> Result<()> {
        let begin = doc! {
            "$setOnInsert": {
                "length": 0_i64,
                "chunkSize": self.settings.chunk_size as i32,
                "filename": key.to_string(),
                "metadata.state": PENDING,
            },
            "$currentDate": { "metadata.touched": true, "uploadDate": true },
        };
        let files = self.collections.files.clone();
        let begun = async move { files.update_one(doc! { "_id": id }, begin).upsert(true).await };
        self.link.ask(begun).await.map(drop)
    }

    /// Writes a chunk. It may exist already, from an abandoned call.
    pub(super) async fn write_chunk(&self, id: ObjectId, n: i32, payload: &[u8]) -> Result<()> {
        let checksum = Chunk::checksum(&id.bytes(), n as u64, payload);
        let mut chunk = RawDocumentBuf::new();
        chunk.append(cstr!("_id"), ObjectId::new());
        chunk.append(cstr!("files_id"), id);
        chunk.append(cstr!("n"), n);
        chunk.append(cstr!("data"), binary(payload));
        chunk.append(cstr!("crc"), i64::from(checksum));
        let chunks = self.collections.chunks.clone();
        match self.link.try_ask(async move { chunks.insert_one(chunk).await }).await? {
            Err(error) if !fault::is_duplicate(&error) => {
                Err(fault::error(self.link.server(), error))
            }
            _ => Ok(()),
        }
    }

    /// Reports that a file is still being written or read.
    pub(super) async fn touch_file(&self, id: ObjectId) -> Result<()> {
        let files = self.collections.files.clone();
        let touch = doc! { "$currentDate": touched() };
        let touching = async move { files.update_one(doc! { "_id": id }, touch).await };
        self.link.ask(touching).await.map(drop)
    }

    /// Completes a file that an entry is about to refer to.
    pub(super) async fn complete_file(
        &self,
        key: &Key,
        id: ObjectId,
        len: u64,
        keep_until: Option<Timestamp>,
    ) -> Result<()> {
        let mut set = doc! { "length": len as i64, "metadata.state": LIVE };
        if let Some(keep_until) = keep_until {
            set.insert("metadata.keep_until", date(keep_until));
        }
        let change = doc! { "$set": set, "$currentDate": touched() };
        // It may be live already, after an abandoned call.
        let ours = doc! { "_id": id, "metadata.state": { "$in": [PENDING, LIVE] } };
        let files = self.collections.files.clone();
        let done = self.link.ask(async move { files.update_one(ours, change).await }).await?;
        if done.matched_count == 1 {
            return Ok(());
        }
        Err(self.link.circuit().lost_body(key))
    }

    /// Sets the state of files, except of those that are being deleted. Returns their number.
    pub(super) async fn set_state(&self, ids: Vec<ObjectId>, state: &str) -> Result<u64> {
        let change = doc! { "$set": { "metadata.state": state }, "$currentDate": touched() };
        let files = self.collections.files.clone();
        let which = doc! { "_id": { "$in": ids }, "metadata.state": { "$ne": DELETING } };
        let set = self.link.ask(async move { files.update_many(which, change).await }).await?;
        Ok(set.matched_count)
    }

    /// Claims a file for deletion, if it is still in `state` and was not touched since `before`.
    /// Returns whether that succeeded.
    pub(super) async fn claim(&self, id: ObjectId, state: &str, before: Timestamp) -> Result<bool> {
        let which = doc! {
            "_id": id,
            "metadata.state": state,
            "metadata.touched": { "$lte": date(before) },
        };
        let change = doc! { "$set": { "metadata.state": DELETING }, "$currentDate": touched() };
        let files = self.collections.files.clone();
        let claimed = async move {
            files
                .find_one_and_update(which, change)
                .return_document(ReturnDocument::After)
                .projection(doc! { "_id": 1 })
                .await
        };
        Ok(self.link.ask(claimed).await?.is_some())
    }

    /// Deletes a [claimed](Self::claim) file: first its chunks, some at a time from the last one
    /// on, then the file document, so that another process can continue after a crash.
    pub(super) async fn delete_file(&self, id: ObjectId) -> Result<()> {
        loop {
            let chunks = self.collections.chunks.clone();
            let last = async move {
                let last = chunks.find_one(doc! { "files_id": id }).sort(doc! { "n": -1 });
                last.projection(doc! { "n": 1, "_id": 0 }).await
            };
            let Some(last) = self.link.ask(last).await? else { break };
            let mut which = doc! { "files_id": id };
            // A chunk without a number is not ours, and is deleted with the rest.
            if let Ok(last) = last.get_i32("n") {
                which.insert("n", doc! { "$gt": last.saturating_sub(AT_ONCE) });
            }
            let chunks = self.collections.chunks.clone();
            self.link.ask(async move { chunks.delete_many(which).await }).await?;
        }
        let files = self.collections.files.clone();
        self.link.ask(async move { files.delete_one(doc! { "_id": id }).await }).await.map(drop)
    }
}
