//! Removes many entries, a bounded number in each transaction: expired ones, tagged ones, and those
//! that do not fit any more.
//!
//! Eviction is SIEVE (Zhang et al., NSDI 2024). Entries stand in the order in which they were
//! added, which is that of their numbers, and a hand moves from the oldest to the newest and round
//! again. An entry that was read since the hand last passed loses its `visited` bit and stays where
//! it is; any other entry is evicted.

use rusqlite::params;

use super::{Change, Raw};
use crate::{
    store::{embedded::Visited, sqlite::schema::millis},
    time::Timestamp,
};

/// How many entries are removed in one transaction.
const ENTRIES: usize = 1_000;
/// How many positions the hand visits in one transaction.
const VISITS: usize = 4_096;

/// What to remove.
#[derive(Clone, Debug)]
pub(in crate::store::sqlite) enum Purge {
    Expired(Timestamp),
    Tagged(Box<str>),
}

/// What one step of a [`Purge`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::store::sqlite) struct Step {
    pub(in crate::store::sqlite) removed: u64,
    pub(in crate::store::sqlite) done: bool,
}

const EXPIRED: &str = "DELETE FROM entries WHERE id IN
    (SELECT id FROM entries WHERE keep_until <= ?1 ORDER BY keep_until LIMIT ?2)";
const TAGGED: &str = "DELETE FROM entries WHERE id IN
    (SELECT entry FROM tags WHERE tag = ?1 LIMIT ?2)";

impl Change<'_> {
    pub(in crate::store::sqlite) fn purge(&mut self, purge: &Purge) -> Raw<Step> {
        let removed = match purge {
            Purge::Expired(now) => self.execute(EXPIRED, params![millis(*now), ENTRIES])?,
            Purge::Tagged(tag) => self.execute(TAGGED, params![tag, ENTRIES])?,
        };
        Ok(Step { removed: removed as u64, done: removed < ENTRIES })
    }

    /// The number of the next new entry, or a lower one.
    pub(in crate::store::sqlite) fn next_entry(&self) -> Raw<i64> {
        Ok(self.number("SELECT max(id) FROM entries", [])?.saturating_add(1))
    }

    /// Evicts until the entries fit. Returns `false` if that takes more transactions. Entries from
    /// `fresh` on were written by this transaction and are evicted last.
    pub(in crate::store::sqlite) fn evict(&mut self, visited: &Visited, fresh: i64) -> Raw<bool> {
        let before = self.size()?;
        if before <= self.max_bytes {
            return Ok(true);
        }
        let (mut visits, mut evicted) = (0, 0);
        let (mut hand, mut end) = (self.number("SELECT hand FROM state", [])?, fresh);
        let done = 'all: loop {
            let rows = self.places(hand, end)?;
            if rows.is_empty() {
                if hand > 0 {
                    hand = 0;
                } else if end < i64::MAX {
                    end = i64::MAX;
                } else {
                    // Nothing is left to evict: damage has made the sum wrong.
                    self.recount()?;
                    break true;
                }
                continue;
            }
            for (id, key) in rows {
                if self.size()? <= self.max_bytes {
                    break 'all true;
                }
                if visits == VISITS || evicted == ENTRIES {
                    break 'all false;
                }
                visits += 1;
                hand = id.saturating_add(1);
                if key.is_some_and(|key| visited.take(&key)) {
                    continue;
                }
                evicted += self.execute("DELETE FROM entries WHERE id = ?1", [id])?;
            }
        };
        self.execute("UPDATE state SET hand = ?1", [hand])?;
        self.evicted.entries += evicted as u64;
        self.evicted.bytes += before.saturating_sub(self.size()?);
        Ok(done)
    }

    /// The entries in the order in which they were added: the number, and the key unless it is
    /// damaged.
    fn places(&self, from: i64, end: i64) -> Raw<Vec<(i64, Option<[u8; 32]>)>> {
        let mut select = self.conn.prepare_cached(
            "SELECT id, key FROM entries WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT 256",
        )?;
        let mut rows = select.query([from, end])?;
        let mut places = Vec::new();
        while let Some(row) = rows.next()? {
            let key = row.get_ref(1)?.as_blob().ok().and_then(|key| key.try_into().ok());
            places.push((row.get(0)?, key));
        }
        Ok(places)
    }

    /// Recomputes the sums by reading all entries.
    fn recount(&mut self) -> Raw<()> {
        self.execute(
            "UPDATE state SET entries = (SELECT count(*) FROM entries),
                 bytes = (SELECT coalesce(sum(size), 0) FROM entries)",
            [],
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, StatementStatus};

    use super::*;
    use crate::store::sqlite::schema::{ENTRY_REMOVED, TABLES};

    /// How many steps SQLite's machine takes to remove ten entries of so many.
    fn steps(entries: u64, sql: &str, what: &dyn rusqlite::ToSql) -> i32 {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(&format!("{TABLES}{ENTRY_REMOVED}")).unwrap();
        // Each tenth of them has one entry to be removed.
        conn.execute_batch(&format!(
            "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {entries})
             INSERT INTO entries (id, key, version, method, url, stored_at, keep_until, body_bytes, size, checksum, head)
                 SELECT n, randomblob(32), 1, 'GET', '', 0, iif(n % {tenth} = 0, 5, 9), 0, 0, 0, '' FROM numbers;
             INSERT INTO tags SELECT id, iif(id % {tenth} = 0, 'few', 'many') FROM entries;",
            tenth = entries / 10
        ))
        .unwrap();
        let mut removal = conn.prepare(sql).unwrap();
        assert_eq!(removal.execute(params![what, ENTRIES]).unwrap(), 10);
        removal.get_status(StatementStatus::VmStep)
    }

    #[test]
    fn purges_take_the_same_steps_with_any_number_of_entries() {
        for (sql, what) in [(TAGGED, &"few" as &dyn rusqlite::ToSql), (EXPIRED, &5)] {
            assert_eq!(steps(100, sql, what), steps(100_000, sql, what), "{sql}");
        }
    }
}
