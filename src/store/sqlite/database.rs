//! SQLite as the database of the engine: transactions, checkpoints, and recovery.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{
    change::Change,
    db::{BRIEFLY, Db, Log, Writing},
    fault::{self, STORE},
    lock_file::StaleLock,
    open::{self, Opened},
    schema::{self, CHUNK},
    sharing::Sharing,
};
use crate::{
    event,
    store::{
        Error, ErrorKind, Result,
        embedded::{Body, Database, Entry, Recovery},
    },
};

/// How many pages the log may have before readers must release its beginning.
const LONG: i64 = 1_024;

impl Database for Db {
    const STORE: &'static str = STORE;
    const CHUNK: usize = CHUNK;
    /// This bounds the log as well.
    const UNSYNCED: usize = 4 << 20;
    const REPLACED: usize = 0;
    /// If every commit is synced to the log, the log is still written to the file from time to
    /// time.
    const LEISURE: Option<Duration> = Some(Duration::from_millis(500));
    const LOSES_UNSYNCED: bool = false;

    type Fault = rusqlite::Error;
    type Connection = Writing;
    type Transaction<'t> = Change<'t>;

    fn cost(entry: &Entry) -> u64 {
        let head = &entry.head;
        let chunked = matches!(entry.body, Body::Chunks { .. });
        schema::cost(entry.encoded.len(), head.url().len(), head.body_len(), chunked)
    }

    fn transact(
        &self,
        writing: &mut Writing,
        _: bool,
        work: impl FnOnce(&mut Change<'_>) -> Result<(), rusqlite::Error>,
    ) -> Result<bool> {
        if writing.link.is_none() && !writing.in_memory {
            if writing.sharing.is_none() {
                let exclusive = self.config.exclusive;
                writing.sharing = Sharing::new(&writing.path, &self.config.path, exclusive)?;
            }
            let Opened { writer, readers, .. } =
                open::open_for_writing(&self.config, &writing.path)?;
            writing.link = writer;
            self.pool.replace(readers);
            self.is_without_log.store(false, Ordering::Release);
        }
        let lent;
        let link = match &writing.link {
            Some(link) => link,
            // In memory.
            None => {
                lent = self.link()?;
                &*lent
            }
        };
        let conn = &link.conn;
        if !conn.is_autocommit() {
            // A panic has left it open.
            drop(conn.execute_batch("ROLLBACK"));
        }
        let before = conn.total_changes();
        let (max_bytes, gives_back) = (self.config.max_bytes, self.config.incremental_vacuum);
        // Prepared once for all transactions.
        let pages = |conn: &rusqlite::Connection| {
            let mut select = conn.prepare_cached("PRAGMA page_count")?;
            select.query_row([], |row| row.get::<_, i64>(0))
        };
        let run = || -> Result<bool, rusqlite::Error> {
            link.patiently(|conn| conn.prepare_cached("BEGIN IMMEDIATE")?.execute([]))?;
            let length = pages(conn)?;
            work(&mut Change::new(conn, writing, max_bytes, gives_back))?;
            let is_edited = conn.total_changes() != before || pages(conn)? != length;
            conn.prepare_cached("COMMIT")?.execute([])?;
            Ok(is_edited)
        };
        let result = run();
        if result.is_err() && !conn.is_autocommit() {
            // Some errors have ended the transaction already.
            drop(conn.execute_batch("ROLLBACK"));
        }
        let is_edited = result.map_err(|error| self.write_fault(error))?;
        // Nothing in the file refers to them any more.
        writing.stale_locks.get_mut().drain(..).for_each(StaleLock::close);
        Ok(is_edited)
    }

    fn is_busy(error: &Error) -> bool {
        fault::is_from_busy(error)
    }

    fn sync(&self, writing: &mut Writing) -> Result<Option<Duration>> {
        let Log { is_busy, pages } = self.checkpoint(writing, "PASSIVE", None)?;
        if is_busy {
            // Another process is writing the log, and may have begun before the last commit.
            return Ok(Some(BRIEFLY));
        }
        if pages > LONG {
            drop(self.checkpoint(writing, "RESTART", Some(BRIEFLY)));
        }
        Ok(None)
    }

    /// SQLite has undone the failed transaction. On a full disk, the log may hold the space that is
    /// missing, or bodies that are kept for readers in other processes. A damaged file is emptied.
    fn recover(&self, writing: &mut Writing, why: &Error) -> Recovery {
        match why.kind() {
            ErrorKind::Full => {
                writing.full_at = Some(Instant::now());
                self.truncate(writing);
                Recovery::Mended
            }
            ErrorKind::Corrupt if !self.config.read_only => {
                let Some(link) = &mut writing.link else { return Recovery::Tried };
                // Another process may have emptied it meanwhile.
                if !open::is_damaged(&link.conn) {
                    return Recovery::Mended;
                }
                event::restarted(STORE, &why.message());
                // The tables are missing for a moment.
                match self.pool.pause(|| open::empty(link)) {
                    Ok(()) => Recovery::Emptied,
                    Err(_) => Recovery::Tried,
                }
            }
            _ => Recovery::Tried,
        }
    }

    /// Pages are released when the file is written, not when the log is.
    fn truncate(&self, writing: &mut Writing) {
        drop(self.checkpoint(writing, "TRUNCATE", Some(BRIEFLY)));
    }

    fn close(&self, writing: &mut Writing, _: bool) -> Result<()> {
        // Before the log is written a last time, so that nobody reads from it.
        self.pool.close();
        let synced = self.checkpoint(writing, "PASSIVE", None).map(drop);
        let Some(link) = writing.link.take() else { return synced };
        let closed = link
            .conn
            .close()
            .map_err(|(_, error)| fault::error("cannot close", &self.config.path, error));
        synced.and(closed)
    }
}
