//! Bodies that are being written, before they have an entry.

use std::time::Duration;

use redb::ReadableTable;

use super::{Change, Raw};
use crate::{
    store::redb::schema::{chunk_checksum, chunk_key, chunk_value_len, write_chunk},
    time::Timestamp,
};

/// How long the writer of a body may be silent before another process considers it dead. A live
/// writer renews its row long before.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

impl Change<'_> {
    /// Creates the id of a new body. `touched` is now.
    pub(in crate::store::redb) fn begin_body(
        &mut self,
        writer_id: u64,
        touched: Timestamp,
    ) -> Raw<u64> {
        let id = self.state.number();
        self.pending.edit()?.insert(id, (writer_id, touched.as_millis()))?;
        Ok(id)
    }

    /// Reports that the writer of body `id` is alive. Returns `false` if the body was abandoned
    /// meanwhile.
    pub(in crate::store::redb) fn touch_body(
        &mut self,
        id: u64,
        writer_id: u64,
        touched: Option<Timestamp>,
    ) -> Raw<bool> {
        if self.pending.open()?.get(id)?.is_none() {
            return Ok(false);
        }
        if let Some(touched) = touched {
            self.pending.edit()?.insert(id, (writer_id, touched.as_millis()))?;
        }
        Ok(true)
    }

    pub(in crate::store::redb) fn chunk(&mut self, id: u64, index: u32, payload: &[u8]) -> Raw<()> {
        let row = chunk_key(id, index);
        let chunks = self.chunks.edit()?;
        let mut value = chunks.insert_reserve(&row, chunk_value_len(payload))?;
        write_chunk(value.as_mut(), chunk_checksum(&row, payload), payload);
        Ok(())
    }

    /// Abandons body `id`.
    pub(in crate::store::redb) fn abandon(&mut self, id: u64) -> Raw<()> {
        if self.pending.edit()?.remove(id)?.is_some() {
            self.garbage.edit()?.insert(id, ())?;
        }
        Ok(())
    }

    /// Abandons every body whose writer is gone, before this opening of the file has begun one of
    /// its own.
    ///
    /// A process that is alone with the file abandons all bodies, since nobody else can be writing.
    /// If the file is shared, it abandons bodies whose row is an hour old, and its own bodies from
    /// before it had to reopen the file.
    pub(in crate::store::redb) fn abandon_dead(
        &mut self,
        writer_id: u64,
        alone: bool,
        now: Timestamp,
    ) -> Raw<()> {
        let mut dead = Vec::new();
        for row in self.pending.open()?.iter()? {
            let (body, row) = row?;
            let (writer, touched) = row.value();
            let age = now.saturating_since(Timestamp::from_millis(touched));
            if alone || writer == writer_id || age >= ABANDONED {
                dead.push(body.value());
            }
        }
        dead.into_iter().try_for_each(|body| self.abandon(body))
    }
}
