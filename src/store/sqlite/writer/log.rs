//! When the log is synced and written to the file, and how it is kept short.
//!
//! A commit appends to the log (SQLite's WAL). A checkpoint syncs the log and writes it to the
//! file. Checkpoints run here, on the writer thread, and on no reader.

use std::time::{Duration, Instant};

use rusqlite::Row;

use super::{Thread, lend, unsynced::Unsynced};
use crate::store::{Result, embedded::Durability, sqlite::fault};

/// How many bytes may be written without a sync.
const UNSYNCED: usize = 32 << 20;

/// How many pages the log may have before readers must release its beginning.
const LONG: i64 = 8_192;

/// How long to wait for readers then.
const BRIEFLY: Duration = Duration::from_millis(100);

/// If every commit is synced, how often the log is still written to the file.
const LEISURE: Duration = Duration::from_millis(500);

/// How long to wait after a failed write to the file.
const PEACE: Duration = Duration::from_secs(1);

/// The result of a checkpoint.
struct Log {
    /// Others were in the way.
    busy: bool,
    /// The number of pages in the log.
    pages: i64,
}

impl Thread {
    /// About `bytes` bytes were committed.
    pub(super) fn unsynced(&mut self, bytes: usize) {
        if self.link.is_none() {
            return;
        }
        let unsynced = self.unsynced.get_or_insert_with(|| Unsynced {
            since: Instant::now(),
            bytes: 0,
            again: None,
        });
        unsynced.bytes += bytes;
    }

    /// How long until the next sync; `None` if nothing is unsynced.
    pub(super) fn until_sync(&self) -> Option<Duration> {
        let unsynced = self.unsynced.as_ref()?;
        if let Some(again) = unsynced.again {
            return Some(again.saturating_sub(unsynced.since.elapsed()));
        }
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

    /// Makes everything so far durable. If that fails, it is tried again after a while.
    pub(super) fn sync(&mut self) {
        let again = match self.checkpoint("PASSIVE", None) {
            Ok(Log { busy: false, pages }) => {
                if pages > LONG {
                    drop(self.checkpoint("RESTART", Some(BRIEFLY)));
                }
                None
            }
            // Another process is writing the log, and may have begun before the last commit.
            Ok(Log { busy: true, .. }) => Some(BRIEFLY),
            Err(_) => Some(PEACE),
        };
        let since = Instant::now();
        self.unsynced = again.map(|again| Unsynced { since, bytes: 0, again: Some(again) });
    }

    /// Writes the log to the file and truncates it, if that can be done at once.
    pub(super) fn shorten_log(&mut self) {
        drop(self.checkpoint("TRUNCATE", Some(BRIEFLY)));
    }

    fn checkpoint(&self, how: &str, patience: Option<Duration>) -> Result<Log> {
        let shared = &self.shared;
        // In memory, there is no log.
        if self.link.is_none() {
            return Ok(Log { busy: false, pages: 0 });
        }
        let link = lend(&self.link, shared)?;
        let patience = patience.unwrap_or(shared.config.busy_timeout);
        let sql = format!("PRAGMA wal_checkpoint({how})");
        let log = |row: &Row<'_>| Ok(Log { busy: row.get(0)?, pages: row.get(1)? });
        link.within(patience, |conn| conn.query_row(&sql, [], log))
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
