//! When the log is synced and written to the file, and that it does not grow.
//!
//! A commit appends to the log (SQLite's WAL); it is the checkpoint that syncs the log and writes it to the file. All of
//! that is done here, on the writer thread, and by no reader.

use std::time::{Duration, Instant};

use super::{Thread, lend};
use crate::store::{Result, embedded::Durability, sqlite::fault};

/// How many bytes may be written without a sync.
const UNSYNCED: usize = 16 << 20;

/// How many pages the log may have before readers are made to let go of its beginning.
const LONG: i64 = 16_384;

/// For how long readers are waited for then.
const BRIEFLY: Duration = Duration::from_millis(100);

/// Where every commit is synced, the log is still to be written to the file once in a while.
const LEISURE: Duration = Duration::from_millis(500);

pub(super) struct Unsynced {
    since: Instant,
    bytes: usize,
}

impl Thread {
    /// Something was committed, of about so many bytes.
    pub(super) fn unsynced(&mut self, bytes: usize) {
        if self.link.is_none() {
            return;
        }
        let unsynced =
            self.unsynced.get_or_insert_with(|| Unsynced { since: Instant::now(), bytes: 0 });
        unsynced.bytes += bytes;
    }

    /// How long there is until what is unsynced must be synced; `None` where nothing is.
    pub(super) fn until_sync(&self) -> Option<Duration> {
        let unsynced = self.unsynced.as_ref()?;
        if unsynced.bytes >= UNSYNCED {
            return Some(Duration::ZERO);
        }
        let every = match self.shared.config.durability {
            Durability::Every(every) => every,
            Durability::EachCommit => LEISURE,
        };
        Some(every.saturating_sub(unsynced.since.elapsed()))
    }

    pub(super) fn sync_is_due(&self) -> bool {
        self.until_sync().is_some_and(|left| left.is_zero())
    }

    /// Makes everything so far durable. Where that fails, it is tried again with what is written next.
    pub(super) fn sync(&mut self) {
        self.unsynced = None;
        if let Ok(pages) = self.checkpoint("PASSIVE", None)
            && pages > LONG
        {
            drop(self.checkpoint("RESTART", Some(BRIEFLY)));
        }
    }

    /// Writes the log to the file and leaves nothing of it, if that can be done at once.
    pub(super) fn shorten_log(&mut self) {
        drop(self.checkpoint("TRUNCATE", Some(BRIEFLY)));
    }

    /// How many pages the log has.
    fn checkpoint(&self, how: &str, patience: Option<Duration>) -> Result<i64> {
        let shared = &self.shared;
        // In memory there is no log.
        if self.link.is_none() {
            return Ok(0);
        }
        let link = lend(&self.link, shared)?;
        let patience = patience.unwrap_or(shared.config.busy_timeout);
        let sql = format!("PRAGMA wal_checkpoint({how})");
        link.within(patience, |conn| conn.query_row(&sql, [], |row| row.get(1)))
            .map_err(|error| fault::error("cannot write to", &shared.config.path, error))
    }

    /// Syncs and closes the connection that writes.
    pub(super) fn end(&mut self) -> Result<()> {
        let synced = self.checkpoint("PASSIVE", None).map(drop);
        let Some(link) = self.link.take() else { return synced };
        let closed = link
            .conn
            .close()
            .map_err(|(_, error)| fault::error("cannot close", &self.shared.config.path, error));
        synced.and(closed)
    }
}
