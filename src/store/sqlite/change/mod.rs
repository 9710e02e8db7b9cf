//! What a write transaction does to the tables. Triggers keep the sums, remove tags, and turn
//! bodies that lose their entry into garbage.

use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::{
    db::Writing,
    fault::Raw,
    schema::{chunk_checksum, key_of},
};
use crate::{
    Key,
    entry::Head,
    store::{
        Version,
        embedded::{
            Entry, Garbage, KeyStart, Leases, Outcome, Placed, Purge, QueueState, Step,
            Transaction, key_start,
        },
    },
    time::{Clock, SystemClock},
};

mod entries;
mod garbage;
#[cfg(test)]
mod tests;

/// How many pages are released from the file in one transaction.
const PAGES: i64 = 1_024;

pub(super) struct Change<'c> {
    conn: &'c Connection,
    writing: &'c Writing,
    max_bytes: u64,
    incremental_vacuum: bool,
}

impl<'c> Change<'c> {
    /// `conn` is in a transaction.
    pub(super) fn new(
        conn: &'c Connection,
        writing: &'c Writing,
        max_bytes: u64,
        incremental_vacuum: bool,
    ) -> Self {
        Self { conn, writing, max_bytes, incremental_vacuum }
    }

    /// Returns how many rows the statement changed, without those that triggers change.
    fn execute(&self, sql: &str, params: impl Params) -> Raw<usize> {
        self.conn.prepare_cached(sql)?.execute(params)
    }

    fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> Raw<T>,
    ) -> Raw<Option<T>> {
        self.conn.prepare_cached(sql)?.query_row(params, read).optional()
    }

    /// Returns the one number that `sql` selects; 0 if there is none.
    fn number(&self, sql: &str, params: impl Params) -> Raw<i64> {
        Ok(self.one(sql, params, |row| row.get::<_, Option<i64>>(0))?.flatten().unwrap_or(0))
    }
}

impl Transaction for Change<'_> {
    type Fault = rusqlite::Error;

    // ----- entries -----

    fn put(&mut self, key: &Key, entry: &Entry, body: Option<u64>) -> Raw<Placed> {
        self.put_entry(key, entry, body.map(|body| body as i64))
    }

    fn update(&mut self, key: &Key, seen: Version, head: Head, version: Version) -> Raw<Outcome> {
        self.update_head(key, seen, head, version)
    }

    fn remove(&mut self, key: &Key, seen: Option<Version>) -> Raw<bool> {
        let removed = match seen {
            None => self.execute("DELETE FROM entries WHERE key = ?1", [key.as_bytes()])?,
            Some(seen) => self.execute(
                "DELETE FROM entries WHERE key = ?1 AND version = ?2",
                params![key.as_bytes(), seen.get() as i64],
            )?,
        };
        Ok(removed > 0)
    }

    fn purge(&mut self, purge: &Purge, limit: usize) -> Raw<Step> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let removed = self.purge_entries(purge, limit)?;
        let mut is_done = (removed as i64) < limit;
        if let (true, Purge::Tagged(tag)) = (is_done, purge) {
            // Rows of a tag without an entry: damage can leave one, and it hides others.
            let orphans =
                "DELETE FROM tags WHERE tag = ?1 AND entry NOT IN (SELECT id FROM entries)";
            is_done = self.execute(orphans, [tag])? == 0;
        }
        Ok(Step { removed: removed as u64, is_done })
    }

    fn clear(&mut self) -> Raw<()> {
        self.remove_all()
    }

    // ----- bodies without an entry -----

    fn begin_body(&mut self) -> Raw<Outcome> {
        if let Err(error) = self.writing.lock() {
            return Ok(Err(error));
        }
        let body = self.next_body()?;
        let owner = self.writing.lock_id();
        self.execute("INSERT INTO unfinished (body, owner) VALUES (?1, ?2)", [body, owner])?;
        Ok(Ok(body as u64))
    }

    fn is_unfinished(&mut self, id: u64) -> Raw<bool> {
        let sql = "SELECT count(*) FROM unfinished WHERE body = ?1 AND owner = ?2";
        Ok(self.number(sql, [id as i64, self.writing.lock_id()])? == 1)
    }

    fn chunk(&mut self, id: u64, index: u32, payload: &[u8]) -> Raw<()> {
        let id = id as i64;
        self.execute(
            "INSERT INTO chunks (body, number, checksum, data) VALUES (?1, ?2, ?3, ?4)",
            params![id, index, chunk_checksum(id, index, payload), payload],
        )?;
        Ok(())
    }

    /// The body has no readers, so it can be removed at once.
    fn abandon(&mut self, id: u64) -> Raw<()> {
        if self.end_body(id as i64)? {
            self.execute("INSERT OR REPLACE INTO garbage VALUES (?1, 0, 0)", [id as i64])?;
        }
        Ok(())
    }

    fn abandon_dead(&mut self) -> Raw<()> {
        self.writing.find_stale_locks();
        let mut select =
            self.conn.prepare("SELECT DISTINCT cast(owner AS INTEGER) FROM unfinished")?;
        let owners: Vec<i64> = select.query_map([], |row| row.get(0))?.collect::<Raw<_>>()?;
        for owner in owners.into_iter().filter(|owner| self.writing.is_dead(*owner)) {
            self.execute(
                "INSERT OR REPLACE INTO garbage SELECT body, 0, 0 FROM unfinished WHERE owner = ?1",
                [owner],
            )?;
            self.execute("DELETE FROM unfinished WHERE owner = ?1", [owner])?;
        }
        Ok(())
    }

    fn collect(&mut self, limit: u32, at_once: bool, leases: &Leases) -> Raw<()> {
        let grace = self.grace(at_once, SystemClock.now())?;
        self.collect_chunks(limit, grace, leases)
    }

    fn garbage(&mut self, at_once: bool, leases: &Leases) -> Raw<Garbage> {
        let grace = self.grace(at_once, SystemClock.now())?;
        let is_there = self.has_garbage(grace, leases)?;
        Ok(Garbage { is_there, ripens: self.next_garbage(grace)? })
    }

    // ----- eviction: the place of an entry is its number -----

    fn size(&mut self) -> Raw<u64> {
        Ok(u64::try_from(self.number("SELECT bytes FROM state", [])?).unwrap_or(0))
    }

    fn queue(&mut self) -> Raw<QueueState> {
        let sql = "SELECT hand, boundary, window_bytes FROM state";
        let queue = self.one(sql, [], |row| {
            let number = |column| row.get::<_, i64>(column).map(|number| number.max(0) as u64);
            Ok(QueueState { hand: number(0)?, boundary: number(1)?, window: number(2)? })
        })?;
        Ok(queue.unwrap_or_default())
    }

    fn set_queue(&mut self, QueueState { hand, boundary, window }: QueueState) -> Raw<()> {
        let sql = "UPDATE state SET hand = ?1, boundary = ?2, window_bytes = ?3";
        self.execute(sql, [row_id(hand), row_id(boundary), row_id(window)])?;
        Ok(())
    }

    fn next_place(&mut self) -> Raw<u64> {
        // Never below the boundary, even if the newest entries were removed.
        let sql = "SELECT max(boundary, coalesce((SELECT max(id) FROM entries), 0) + 1) FROM state";
        Ok(self.number(sql, [])?.max(1) as u64)
    }

    fn places(&mut self, from: u64, end: u64, limit: usize) -> Raw<Vec<(u64, Option<KeyStart>)>> {
        let mut select = self.conn.prepare_cached(
            "SELECT id, key FROM entries WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3",
        )?;
        let mut rows = select.query(params![row_id(from), row_id(end), limit])?;
        let mut places = Vec::new();
        while let Some(row) = rows.next()? {
            let key = row.get_ref(1)?.as_blob().ok().and_then(key_of).map(|key| key_start(&key));
            places.push((row.get::<_, i64>(0)?.max(0) as u64, key));
        }
        Ok(places)
    }

    fn cost_at(&mut self, place: u64, _: Option<KeyStart>) -> Raw<u64> {
        let sql = "SELECT cast(size AS INTEGER) FROM entries WHERE id = ?1";
        let bytes = self.number(sql, [row_id(place)])?;
        Ok(bytes.max(0) as u64)
    }

    fn evict(&mut self, place: u64, _: Option<KeyStart>) -> Raw<bool> {
        Ok(self.execute("DELETE FROM entries WHERE id = ?1", [row_id(place)])? > 0)
    }

    /// By reading all entries.
    fn recount(&mut self) -> Raw<()> {
        self.execute(
            "UPDATE state SET entries = (SELECT count(*) FROM entries),
                 bytes = (SELECT coalesce(sum(size), 0) FROM entries)",
            [],
        )?;
        Ok(())
    }

    // ----- the size of the file -----

    fn vacuum(&mut self, has_garbage: bool) -> Raw<Step> {
        let pages = self.pages()?;
        self.shrink(PAGES)?;
        let removed = (pages - self.pages()?).max(0) * self.page_size()?;
        // If a step removes nothing, none will: the file cannot be made smaller.
        let is_done = !has_garbage && (self.unused_pages()? == 0 || removed == 0);
        Ok(Step { removed: removed as u64, is_done })
    }

    fn give_back(&mut self) -> Raw<bool> {
        if !self.incremental_vacuum {
            return Ok(false);
        }
        let too_many = |change: &Self| -> Raw<i64> {
            Ok(change.unused_pages()? - change.pages()? / 8 - PAGES / 4)
        };
        let extra = too_many(self)?;
        if extra <= 0 {
            return Ok(false);
        }
        self.shrink(extra.min(PAGES))?;
        let left = too_many(self)?;
        Ok(left > 0 && left < extra)
    }
}

/// A place as SQLite's signed number.
fn row_id(place: u64) -> i64 {
    i64::try_from(place).unwrap_or(i64::MAX)
}
