//! Bodies that are being written, before there is an entry for them.

use redb::ReadableTable;

use super::{Change, Raw};
use crate::{
    store::redb::schema::{chunk_checksum, chunk_key, chunk_value_len, write_chunk},
    time::Timestamp,
};

impl Change<'_> {
    /// Gives out the id of a new body. `touched` is now.
    pub(in crate::store::redb) fn begin_body(
        &mut self,
        owner: u64,
        touched: Timestamp,
    ) -> Raw<u64> {
        let id = self.state.number();
        self.pending.edit()?.insert(id, (owner, touched.as_millis()))?;
        Ok(id)
    }

    /// Says that the writer of body `id` lives; `false` where the body has been given up meanwhile.
    pub(in crate::store::redb) fn touch_body(
        &mut self,
        id: u64,
        owner: u64,
        touched: Option<Timestamp>,
    ) -> Raw<bool> {
        if self.pending.open()?.get(id)?.is_none() {
            return Ok(false);
        }
        if let Some(touched) = touched {
            self.pending.edit()?.insert(id, (owner, touched.as_millis()))?;
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
}
