//! The commands that find an entry, and those that read and write its body.

use std::{ops::Range, sync::Arc, time::Instant};

use bytes::Bytes;
use futures_util::TryStreamExt;
use mongodb::bson::{RawDocument, RawDocumentBuf, doc, oid::ObjectId};

use super::{
    fault::STORE,
    files::{PENDING, REMOVED},
    record::{FileId, decode},
    shared::Shared,
    sweep::LEASE,
};
use crate::{
    Key,
    store::{
        Error, ErrorKind, Result,
        server::{Backend, Chunk, LargeBody, Record, Settings, corrupt},
    },
};

/// A file that is being written.
pub(super) struct File {
    pub(super) id: ObjectId,
    is_begun: bool,
    touched: Instant,
    /// Whether an entry may refer to it.
    pub(super) is_in_doubt: bool,
}

impl Backend for Shared {
    type BodyId = FileId;
    type Staged = File;

    const STORE: &'static str = STORE;
    const PART: u64 = 512 << 10;

    fn settings(&self) -> &Settings {
        &self.settings
    }

    async fn find(&self, key: &Key) -> Result<Option<Record<FileId>>> {
        let entries = self.collections.entries.clone();
        let which = doc! { "_id": key.to_string() };
        let found = self.link.ask(async move { entries.find_one(which).await }).await?;
        found.map(|document| decode(key, document)).transpose()
    }

    async fn read_chunks(
        &self,
        body: &LargeBody<FileId>,
        numbers: Range<u64>,
    ) -> Result<Vec<Option<Chunk>>> {
        let ends = i32::try_from(numbers.start).ok().zip(i32::try_from(numbers.end).ok());
        let Some((start, end)) = ends else {
            return Err(corrupt(STORE, &body.key, "a body with an impossible number of chunks"));
        };
        let chunks = self.collections.chunks.clone();
        let id = ObjectId::from_bytes(body.id);
        let which = doc! { "files_id": id, "n": { "$gte": start, "$lt": end } };
        let found = async move {
            let chunks = chunks.find(which).sort(doc! { "n": 1 }).limit(i64::from(start - end));
            chunks.projection(doc! { "_id": 0 }).await?.try_collect::<Vec<_>>().await
        };
        let found = self.link.ask(found).await?.into_iter();
        numbers.zip(found).map(|(n, chunk)| open_chunk(&body.key, n, chunk)).collect()
    }

    async fn touch(&self, body: &LargeBody<FileId>) -> Result<()> {
        self.touch_file(ObjectId::from_bytes(body.id)).await
    }

    async fn send_chunk(
        &self,
        key: &Key,
        staged: &mut Option<File>,
        number: u64,
        payload: Bytes,
    ) -> Result<()> {
        let file = staged.get_or_insert_with(|| File {
            // Each body has its own id, so that uploads are independent.
            id: ObjectId::new(),
            is_begun: false,
            touched: Instant::now(),
            is_in_doubt: false,
        });
        if !file.is_begun {
            self.indexed().await?;
            self.begin_file(key, file.id).await?;
            file.is_begun = true;
        } else if file.touched.elapsed() > LEASE / 4 {
            file.touched = Instant::now();
            self.touch_file(file.id).await?;
        }
        let Some(number) = i32::try_from(number).ok().filter(|&number| number < i32::MAX) else {
            let message = format!(
                "the body of key {key} has more chunks than a file can have; raise chunk_size"
            );
            return Err(Error::new(ErrorKind::TooLarge, STORE, message));
        };
        self.write_chunk(file.id, number, &payload).await
    }

    /// If the server cannot be reached, a sweep deletes the file.
    async fn discard(self: &Arc<Self>, file: &File) {
        // A sweep checks whether an entry has a file that is pending.
        let state = if file.is_in_doubt { PENDING } else { REMOVED };
        if let Ok(0) = self.set_state(vec![file.id], state).await
            && file.is_begun
        {
            // It was silent for so long that a sweep has deleted it, and more chunks came then.
            drop(self.delete_file(file.id).await);
        }
        self.sweep_later();
    }
}

/// Reads the document of chunk `n`; `None` if it is that of another one.
fn open_chunk(key: &Key, n: u64, document: RawDocumentBuf) -> Result<Option<Chunk>> {
    if !document.get_i32("n").is_ok_and(|found| found as u64 == n) {
        return Ok(None);
    }
    let bytes = Bytes::from(document.into_bytes());
    let shape = || corrupt(STORE, key, "a chunk without the fields of one");
    let document = RawDocument::from_bytes(&bytes).map_err(|_| shape())?;
    let payload = bytes.slice_ref(document.get_binary("data").map_err(|_| shape())?.bytes);
    let checksum = document.get_i64("crc").ok().and_then(|crc| u32::try_from(crc).ok());
    Ok(Some(Chunk { checksum: checksum.ok_or_else(shape)?, payload }))
}
