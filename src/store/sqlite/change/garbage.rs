//! Removes the chunks of bodies that have lost their entry, and unused pages.
//!
//! A published body may have readers. Those of this process hold leases. Nothing is known of
//! readers in other processes, so the body is left alone for a while, unless there is much of it.

use super::Change;
use crate::{
    store::{
        embedded::Leases,
        sqlite::{fault::Raw, schema::millis},
    },
    time::Timestamp,
};

/// For how many milliseconds a body is left to its readers in other processes.
const GRACE: i64 = 60_000;

/// How many bytes of such bodies may gather: an eighth of what the entries take, within these
/// bounds.
const LEAST: i64 = 4 << 20;
const MOST: i64 = 64 << 20;

/// Up to which time garbage may be collected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grace(i64);

impl Grace {
    /// All garbage.
    const NONE: Self = Self(i64::MAX);
}

impl Change<'_> {
    /// What may be collected at `now`.
    pub(super) fn grace(&self, at_once: bool, now: Timestamp) -> Raw<Grace> {
        if at_once || self.writing.is_short_of_space() {
            return Ok(Grace::NONE);
        }
        let bytes = self.number("SELECT cast(total(bytes) AS INTEGER) FROM garbage", [])?;
        let entries = self.number("SELECT bytes FROM state", [])?;
        Ok(if bytes > (entries / 8).clamp(LEAST, MOST) {
            Grace::NONE
        } else {
            Grace(millis(now).saturating_sub(GRACE))
        })
    }

    /// When the next garbage may be collected that must still wait.
    pub(super) fn next_garbage(&self, grace: Grace) -> Raw<Option<Timestamp>> {
        let since: Option<i64> = self
            .one("SELECT min(since) FROM garbage WHERE since > ?1", [grace.0], |row| row.get(0))?
            .flatten();
        Ok(since.map(|since| {
            Timestamp::from_millis(since.saturating_add(GRACE + 1).try_into().unwrap_or(0))
        }))
    }

    fn ripe(&self, grace: Grace, skip: i64) -> Raw<Option<i64>> {
        let sql = "SELECT body FROM garbage WHERE since <= ?1 ORDER BY since LIMIT 1 OFFSET ?2";
        self.one(sql, [grace.0, skip], |row| row.get(0))
    }

    /// Removes up to `limit` chunks. Bodies that are being read stay until their readers are gone.
    pub(super) fn collect_chunks(&mut self, limit: u32, grace: Grace, leases: &Leases) -> Raw<()> {
        leases.begin_collecting();
        let (mut left, mut skip) = (limit, 0);
        while left > 0 {
            let Some(body) = self.ripe(grace, skip)? else { break };
            if !leases.may_collect(body as u64) {
                skip += 1;
                continue;
            }
            let removed = self.execute(
                "DELETE FROM chunks WHERE id IN (SELECT id FROM chunks WHERE body = ?1 LIMIT ?2)",
                [body, left.into()],
            )? as u32;
            if removed < left {
                self.execute("DELETE FROM garbage WHERE body = ?1", [body])?;
            }
            // An empty body counts too, so that no transaction takes long.
            left -= removed.clamp(1, left);
        }
        Ok(())
    }

    /// Whether there is anything to collect.
    pub(super) fn has_garbage(&self, grace: Grace, leases: &Leases) -> Raw<bool> {
        let mut skip = 0;
        while let Some(body) = self.ripe(grace, skip)? {
            if leases.is_free(body as u64) {
                return Ok(true);
            }
            skip += 1;
        }
        Ok(false)
    }

    pub(super) fn pages(&self) -> Raw<i64> {
        self.number("PRAGMA page_count", [])
    }

    pub(super) fn page_size(&self) -> Raw<i64> {
        self.number("PRAGMA page_size", [])
    }

    pub(super) fn unused_pages(&self) -> Raw<i64> {
        self.number("PRAGMA freelist_count", [])
    }

    /// Releases up to `limit` unused pages from the file, and moves others into their places.
    pub(super) fn shrink(&mut self, limit: i64) -> Raw<()> {
        let mut shrink = self.conn.prepare(&format!("PRAGMA incremental_vacuum({limit})"))?;
        // One row for each page.
        let mut rows = shrink.query([])?;
        while rows.next()?.is_some() {}
        Ok(())
    }
}
