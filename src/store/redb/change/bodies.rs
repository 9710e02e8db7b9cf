//! Bodies that are being written, before there is an entry for them.

use std::time::Duration;

use redb::ReadableTable;

use super::{Change, Raw};
use crate::{
    store::redb::schema::{chunk_checksum, chunk_key, chunk_value_len, write_chunk},
    time::Timestamp,
};

/// How long the writer of a body may be silent before another process takes it for dead. Live ones renew their row
/// long before.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

impl Change<'_> {
    /// Gives out the id of a new body. `touched` is now.
    pub(in crate::store::redb) fn begin_body(
        &mut self,
        writer_id: u64,
        touched: Timestamp,
    ) -> Raw<u64> {
        let id = self.state.number();
        self.pending.edit()?.insert(id, (writer_id, touched.as_millis()))?;
        Ok(id)
    }

    /// Says that the writer of body `id` lives; `false` where the body has been given up meanwhile.
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

    /// Gives body `id` up.
    pub(in crate::store::redb) fn abandon(&mut self, id: u64) -> Raw<()> {
        if self.pending.edit()?.remove(id)?.is_some() {
            self.garbage.edit()?.insert(id, ())?;
        }
        Ok(())
    }

    /// Gives every body up whose writer is gone, before this opening of the file has begun one of its own.
    ///
    /// Alone with the file, nobody else can be writing. With others, a body is given up when its row is an hour old, or
    /// this very process's own from before it had to open the file again.
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
