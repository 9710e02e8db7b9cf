//! How an entry comes to be.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::HeaderMap;

use super::{
    super::{Result, Writer},
    body::{Body, Gather},
    compact,
    table::{Table, weight},
};
use crate::{entry::Head, key::Key};

/// Gathers the body of an entry for [`Memory`](super::Memory), and holds all of it until it is finished; dropped before,
/// it gives the memory back and has touched nothing else.
pub struct MemoryWriter {
    table: Arc<Table>,
    key: Key,
    head: Head,
    /// Of the head alone.
    weight: u64,
    body: Gather,
    written: u64,
}

impl MemoryWriter {
    pub(super) fn new(table: Arc<Table>, key: Key, head: Head) -> Result<Self> {
        let weight = weight(&head, &Body::EMPTY);
        table.check(&key, weight)?;
        let body = Gather::new(&head);
        Ok(Self { table, key, head, weight, body, written: 0 })
    }

    /// Refuses what could not be kept, before it is gathered.
    fn check(&self) -> Result<()> {
        self.table.check(&self.key, self.weight.saturating_add(self.written))
    }
}

impl Writer for MemoryWriter {
    /// Copies `chunk` behind what was written before.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`](crate::store::ErrorKind::TooLarge) with the first byte that could not be kept; all memory is given back then.
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        // Counted even when refused: what follows a refused chunk must be refused as well.
        self.written = self.written.saturating_add(chunk.len() as u64);
        if let Err(error) = self.check() {
            self.body = Gather::default();
            return Err(error);
        }
        self.body.push(&chunk);
        Ok(())
    }

    /// Publishes the entry and makes room for it. Where the store is full of entries in use, it may soon be the one
    /// that has to go.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`](crate::store::ErrorKind::TooLarge) where the entry does not fit; what was stored under its key stays.
    async fn finish(self, trailers: Option<HeaderMap>) -> Result<()> {
        self.check()?;
        let trailers = trailers.as_ref().map(compact::map);
        let head = self.head.seal(self.written, trailers);
        self.table.publish(self.key, head, self.body.finish())
    }
}

impl fmt::Debug for MemoryWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryWriter")
            .field("key", &self.key)
            .field("written", &self.written)
            .finish_non_exhaustive()
    }
}
