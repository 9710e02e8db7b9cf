//! Bodies that are being written, before they have an entry.

use rusqlite::params;

use super::{Change, Raw};
use crate::store::sqlite::schema::chunk_checksum;

impl Change<'_> {
    /// A number that no body has had.
    pub(super) fn next_body(&self) -> Raw<i64> {
        let sql = "UPDATE state SET last_body = last_body + 1 RETURNING last_body";
        self.conn.prepare_cached(sql)?.query_row([], |row| row.get(0))
    }

    /// Creates the number of a new body.
    pub(in crate::store::sqlite) fn begin_body(&mut self) -> Raw<i64> {
        let body = self.next_body()?;
        self.execute("INSERT INTO unfinished (body, owner) VALUES (?1, ?2)", [body, self.lock_id])?;
        Ok(body)
    }

    /// Whether body `body` has not been abandoned meanwhile.
    pub(in crate::store::sqlite) fn is_unfinished(&self, body: i64) -> Raw<bool> {
        let sql = "SELECT count(*) FROM unfinished WHERE body = ?1 AND owner = ?2";
        Ok(self.number(sql, [body, self.lock_id])? == 1)
    }

    /// Removes body `body` from the unfinished ones. Returns `false` if it is not among them:
    /// another process may have got a number that a failed transaction had created.
    pub(super) fn end_body(&mut self, body: i64) -> Raw<bool> {
        let sql = "DELETE FROM unfinished WHERE body = ?1 AND owner = ?2";
        Ok(self.execute(sql, [body, self.lock_id])? == 1)
    }

    pub(in crate::store::sqlite) fn chunk(
        &mut self,
        body: i64,
        number: u32,
        data: &[u8],
    ) -> Raw<()> {
        self.execute(
            "INSERT INTO chunks (body, number, checksum, data) VALUES (?1, ?2, ?3, ?4)",
            params![body, number, chunk_checksum(body, number, data), data],
        )?;
        Ok(())
    }

    /// Abandons body `body`. It has no readers, so it can be removed at once.
    pub(in crate::store::sqlite) fn abandon(&mut self, body: i64) -> Raw<()> {
        if self.end_body(body)? {
            self.execute("INSERT OR REPLACE INTO garbage VALUES (?1, 0, 0)", [body])?;
        }
        Ok(())
    }

    /// Abandons all unfinished bodies.
    pub(in crate::store::sqlite) fn abandon_all(&mut self) -> Raw<()> {
        self.execute(
            "INSERT OR REPLACE INTO garbage SELECT body, 0, 0 FROM unfinished WHERE owner = ?1",
            [self.lock_id],
        )?;
        self.execute("DELETE FROM unfinished WHERE owner = ?1", [self.lock_id])?;
        Ok(())
    }
}
