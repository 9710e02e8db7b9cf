//! The writer of an entry: it keeps the body while it is small, else sends it to a file of its own
//! in chunks.

use std::{fmt, sync::Arc, time::Instant};

use bytes::Bytes;
use http::HeaderMap;
use mongodb::bson::{RawDocumentBuf, doc, oid::ObjectId};

use super::{
    fault,
    record::{Location, MAX_DOCUMENT, encode, file_of, fresh},
    removal::set_aside,
    shared::Shared,
    sweep::LEASE,
};
use crate::{
    Key,
    entry::Head,
    store::{Error, ErrorKind, Result, Writer as StoreWriter, chunked::Chunked, needs_runtime},
};

/// How often an entry is published again because another writer created one under the same key at
/// the same moment.
const TRIES: usize = 5;

/// Writes the body of one entry of a [`MongoDb`](super::MongoDb). It holds at most one chunk, or
/// what is kept in one document with the head, beside the last [`Bytes`] that it received.
pub struct Writer {
    shared: Arc<Shared>,
    key: Key,
    head: Option<Head>,
    body: Chunked,
    /// The body on the server, once there is one.
    file: Option<File>,
}

struct File {
    id: ObjectId,
    begun: bool,
    touched: Instant,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, key: Key, head: Head) -> Self {
        let body = Chunked::new(shared.inline_limit, shared.chunk_size);
        Self { shared, key, head: Some(head), body, file: None }
    }

    /// Sends chunks while there are whole ones. It can be cancelled anywhere and called again.
    async fn drain(&mut self) -> Result<()> {
        while let Some((number, payload)) = self.body.next_chunk() {
            self.send(number, &payload).await?;
        }
        Ok(())
    }

    async fn send(&mut self, number: u64, payload: &[u8]) -> Result<()> {
        let file = self.file.get_or_insert_with(|| File {
            // Each body has its own id, so that uploads are independent.
            id: ObjectId::new(),
            begun: false,
            touched: Instant::now(),
        });
        if !file.begun {
            self.shared.indexed().await?;
            self.shared.begin_file(&self.key, file.id).await?;
            file.begun = true;
        } else if file.touched.elapsed() > LEASE / 4 {
            file.touched = Instant::now();
            self.shared.touch_file(file.id).await?;
        }
        let number = u32::try_from(number).ok().filter(|&number| number < i32::MAX as u32);
        let number = number.ok_or_else(|| {
            let message = format!(
                "the body of key {} has more chunks than a file can have; raise chunk_size",
                self.key
            );
            Error::new(ErrorKind::TooLarge, fault::STORE, message)
        })?;
        self.shared.write_chunk(file.id, number, payload).await?;
        self.body.sent();
        Ok(())
    }

    /// Creates the document, with the body if it fits.
    async fn document(&mut self, head: &Head) -> Result<RawDocumentBuf> {
        if let Some(body) = self.body.inline() {
            let location = Location::Inline { checksum: crc32fast::hash(&body) };
            let document = encode(&self.key, fresh(), head, location, &body);
            if document.as_bytes().len() <= MAX_DOCUMENT {
                return Ok(document);
            }
            // A large head leaves less room.
            self.body.spill();
        }
        while let Some((number, payload)) = self.body.last_chunk() {
            self.send(number, &payload).await?;
        }
        let chunk = self.shared.chunk_size as u32;
        let location = match &self.file {
            Some(file) => Location::File { id: file.id, chunk },
            None => Location::Inline { checksum: crc32fast::hash(&[]) },
        };
        let document = encode(&self.key, fresh(), head, location, &[]);
        if document.as_bytes().len() > MAX_DOCUMENT {
            return Err(fault::too_large(&self.key));
        }
        if let Some(file) = &self.file {
            let (len, keep_until) = (head.body_len(), head.keep_until());
            self.shared.complete_file(&self.key, file.id, len, keep_until).await?;
        }
        Ok(document)
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
        let Some(head) = self.head.take() else { return Ok(()) };
        let head = head.seal(self.body.len(), trailers);
        self.shared.indexed().await?;
        let document = self.document(&head).await?;
        // From here on, an entry may refer to the file, whatever the server answers.
        let publishing = Publishing { shared: self.shared.clone(), file: self.file.take() };
        self.shared.change(&self.key, publishing.publish(self.key, document)).await
    }

    async fn abort(mut self) {
        // If this future is dropped before it is done, the drop of the writer retires the file.
        if let Some(file) = &self.file
            && needs_runtime::when_used(fault::STORE).is_ok()
        {
            set_aside(&self.shared, vec![file.id]).await;
            self.file = None;
        }
    }
}

/// A file that is being published. If the outcome is unknown, the file is checked soon.
struct Publishing {
    shared: Arc<Shared>,
    file: Option<File>,
}

impl Publishing {
    async fn publish(mut self, key: Key, document: RawDocumentBuf) -> Result<()> {
        let old = self.replace(&key, &document).await?;
        self.file = None;
        // For entries that the server expires.
        self.shared.sweep_later();
        set_aside(&self.shared, old.into_iter().collect()).await;
        Ok(())
    }

    /// Replaces the document under the key. Returns the file of the old entry.
    async fn replace(&self, key: &Key, document: &RawDocumentBuf) -> Result<Option<ObjectId>> {
        let mut tries = 1;
        loop {
            let (entries, document) = (self.shared.collections.entries.clone(), document.clone());
            let which = doc! { "_id": key.to_string() };
            let replaced = async move {
                let fields = doc! { "file": 1, "_id": 0 };
                let replaced = entries.find_one_and_replace(which, document).upsert(true);
                replaced.projection(fields).await
            };
            match self.shared.link.try_ask(replaced).await? {
                Ok(old) => return Ok(old.and_then(|old| file_of(&old))),
                // Two writers created the first entry of a key at the same moment.
                Err(error) if fault::is_duplicate(&error) && tries < TRIES => tries += 1,
                Err(error) => return Err(self.shared.fault(error)),
            }
        }
    }
}

impl Drop for Publishing {
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        in_background(&self.shared, |shared| async move { shared.doubt(file.id).await });
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        in_background(&self.shared, |shared| async move { shared.retire(vec![file.id]).await });
    }
}

/// Runs `act` in a task. Without a runtime, or if the server cannot be reached, a sweep deletes the
/// file later.
fn in_background<F>(shared: &Arc<Shared>, act: impl FnOnce(Arc<Shared>) -> F)
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let act = act(shared.clone());
        let shared = shared.clone();
        runtime.spawn(async move {
            drop(act.await);
            shared.sweep_later();
        });
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("key", &self.key)
            .field("len", &self.body.len())
            .finish_non_exhaustive()
    }
}
