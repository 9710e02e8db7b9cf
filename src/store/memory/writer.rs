//! The writer of an entry in memory.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::HeaderMap;

use super::{
    super::{Result, Writer},
    body::{Body, Gather},
    table::{Table, weight},
};
use crate::{entry::Head, fields::compact, key::Key};

/// Collects the body of an entry for [`Memory`](super::Memory), and holds all of it until it is
/// finished. A writer that is dropped frees its memory and changes nothing else.
pub struct MemoryWriter {
    table: Arc<Table>,
    key: Key,
    /// In its final place, since an entry is moved often on its way.
    head: Arc<Head>,
    /// The weight of the head alone.
    weight: u64,
    body: Gather,
    written: u64,
}

impl MemoryWriter {
    pub(super) fn new(table: Arc<Table>, key: Key, head: Head, keeps_chunks: bool) -> Result<Self> {
        let weight = weight(&head, &Body::EMPTY);
        table.check(&key, weight)?;
        let body = Gather::new(&head, keeps_chunks);
        Ok(Self { table, key, head: Arc::new(head), weight, body, written: 0 })
    }

    /// Refuses an entry that is too large, before more of it is collected.
    fn check(&self) -> Result<()> {
        let body = self.written.saturating_add(self.body.beyond());
        self.table.check(&self.key, self.weight.saturating_add(body))
    }
}

impl Writer for MemoryWriter {
    /// Adds `chunk` to the end of the body. A chunk of up to 256 KiB is copied.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`](crate::store::ErrorKind::TooLarge) at the first byte that does not
    /// fit. The writer then frees its memory.
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.written = self.written.saturating_add(chunk.len() as u64);
        // Checked before a chunk is copied, and after one is kept.
        let checked = self.check().and_then(|()| {
            self.body.push(chunk);
            self.check()
        });
        if checked.is_err() {
            self.body = Gather::default();
            // What follows is refused as well.
            self.written = u64::MAX;
        }
        checked
    }

    /// Publishes the entry and evicts others to make room. In a store that is full of entries in
    /// use, the new entry may soon be evicted itself.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`](crate::store::ErrorKind::TooLarge) if the entry does not fit. An
    /// older entry under its key stays.
    async fn finish(self, trailers: Option<HeaderMap>) -> Result<()> {
        self.check()?;
        let trailers = trailers.map(|trailers| compact(&trailers, |_| true));
        let mut head = self.head;
        Arc::make_mut(&mut head).seal_in_place(self.written, trailers);
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
