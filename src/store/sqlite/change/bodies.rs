//! Bodies that are being written, before there is an entry for them.

use rusqlite::params;

use super::{Change, Raw};
use crate::store::sqlite::schema::chunk_checksum;

impl Change<'_> {
    /// A number that no body has had.
    pub(super) fn next_body(&self) -> Raw<i64> {
        let sql = "UPDATE state SET last_body = last_body + 1 RETURNING last_body";
        self.conn.prepare_cached(sql)?.query_row([], |row| row.get(0))
    }

    /// Gives out the number of a new body.
    pub(in crate::store::sqlite) fn begin_body(&mut self, owner: i64) -> Raw<i64> {
        let body = self.next_body()?;
        self.execute("INSERT INTO unfinished (body, owner) VALUES (?1, ?2)", [body, owner])?;
        Ok(body)
    }

    /// Whether body `body` has not been given up meanwhile.
    pub(in crate::store::sqlite) fn is_unfinished(&self, body: i64) -> Raw<bool> {
        Ok(self.number("SELECT count(*) FROM unfinished WHERE body = ?1", [body])? == 1)
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

    /// Gives body `body` up. Nobody reads it, so there is nothing to wait for.
    pub(in crate::store::sqlite) fn abandon(&mut self, body: i64) -> Raw<()> {
        if self.execute("DELETE FROM unfinished WHERE body = ?1", [body])? > 0 {
            self.execute("INSERT OR REPLACE INTO garbage VALUES (?1, 0, 0)", [body])?;
        }
        Ok(())
    }

    /// Gives up all unfinished bodies of `owner`.
    pub(in crate::store::sqlite) fn abandon_all(&mut self, owner: i64) -> Raw<()> {
        self.execute(
            "INSERT OR REPLACE INTO garbage SELECT body, 0, 0 FROM unfinished WHERE owner = ?1",
            [owner],
        )?;
        self.execute("DELETE FROM unfinished WHERE owner = ?1", [owner])?;
        Ok(())
    }
}
