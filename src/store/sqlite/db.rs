//! An open file: the connections, the lock files, and the log.
//!
//! A commit appends to the log (SQLite's WAL). A checkpoint syncs the log and writes it to the
//! file. Checkpoints run on the writer thread, and on no reader.

use std::{
    cell::RefCell,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::Row;

use super::{
    builder::Config,
    fault::{self, STORE},
    link::Link,
    lock_file::{self, LockFile, StaleLock},
    open::{self, Opened},
    pool::{Lent, Pool},
    sharing::Sharing,
};
use crate::{
    Key,
    store::{Error, ErrorKind, Result, disk::io_kind, embedded::closed},
};

/// How long to wait for readers who use the log.
pub(super) const BRIEFLY: Duration = Duration::from_millis(100);

/// How long after a full disk nothing is kept that can be removed.
const SHORT: Duration = Duration::from_secs(60);

pub(super) struct Db {
    pub(super) config: Config,
    pub(super) pool: Arc<Pool>,
    /// The file is read without its log. Set on a disk without room for one.
    pub(super) is_without_log: AtomicBool,
    /// The real path of the file.
    path: PathBuf,
}

/// What the writer thread alone has.
pub(super) struct Writing {
    /// The connection that writes. In memory, the readers' one connection writes as well. A disk
    /// may have had no room for the log, and each transaction looks again.
    pub(super) link: Option<Link>,
    /// Released after the connections are closed.
    pub(super) sharing: Option<Sharing>,
    /// The real path of the file.
    pub(super) path: PathBuf,
    lock_file: RefCell<LockFile>,
    /// The lock files of processes that have died, until their bodies are abandoned.
    pub(super) stale_locks: RefCell<Vec<StaleLock>>,
    pub(super) in_memory: bool,
    /// When the disk was full last.
    pub(super) full_at: Option<Instant>,
}

/// The result of a checkpoint.
pub(super) struct Log {
    /// Others were in the way of a part of it at least.
    pub(super) is_busy: bool,
    /// The number of pages in the log.
    pub(super) pages: i64,
}

impl Db {
    pub(super) fn open(config: Config) -> Result<(Self, Writing)> {
        let Opened { writer, readers, sharing, path } = open::open(&config)?;
        let writing = Writing {
            link: writer,
            sharing,
            lock_file: RefCell::new(LockFile::new(&path)),
            stale_locks: RefCell::new(Vec::new()),
            path,
            in_memory: config.in_memory,
            full_at: None,
        };
        let is_without_log = writing.link.is_none() && !config.in_memory && !config.read_only;
        let is_without_log = AtomicBool::new(is_without_log);
        let path = writing.path.clone();
        Ok((Self { config, pool: Pool::new(readers), is_without_log, path }, writing))
    }

    pub(super) fn closed(&self) -> Error {
        closed(STORE, &self.config.path)
    }

    /// A connection to read from.
    pub(super) fn link(&self) -> Result<Lent> {
        if self.must_wait_for_log() {
            let path = self.config.path.display();
            let message = format!("{path} is written by another process, whose log is not open");
            return Err(Error::new(ErrorKind::Unavailable, STORE, message));
        }
        self.pool.take().ok_or_else(|| self.closed())
    }

    /// Whether another process has found room for the log since. The next transaction opens it.
    pub(super) fn must_wait_for_log(&self) -> bool {
        self.is_without_log.load(Ordering::Acquire) && !open::has_empty_log(&self.path)
    }

    /// Turns a reader's error from SQLite into an error of the store.
    pub(super) fn read_fault(&self, error: rusqlite::Error) -> Error {
        fault::error("cannot read", &self.config.path, error)
    }

    /// Like [`read_fault`](Self::read_fault) for one entry: a column of the wrong type is damage to
    /// that entry, not to the file.
    pub(super) fn entry_fault(&self, key: &Key, error: rusqlite::Error) -> Error {
        match error.sqlite_error_code() {
            None => fault::undecodable(key, error),
            Some(_) => self.read_fault(error),
        }
    }

    pub(super) fn write_fault(&self, error: rusqlite::Error) -> Error {
        fault::error("cannot write to", &self.config.path, error)
    }

    pub(super) fn checkpoint(
        &self,
        writing: &Writing,
        how: &str,
        patience: Option<Duration>,
    ) -> Result<Log> {
        // In memory, there is no log.
        let Some(link) = &writing.link else { return Ok(Log { is_busy: false, pages: 0 }) };
        let patience = patience.unwrap_or(self.config.busy_timeout);
        let sql = format!("PRAGMA wal_checkpoint({how})");
        let log = |row: &Row<'_>| {
            let (is_busy, pages, written) = (row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?);
            Ok(Log { is_busy: is_busy || written < pages, pages })
        };
        link.within(patience, |conn| conn.query_row(&sql, [], log))
            .map_err(|error| self.write_fault(error))
    }
}

impl Writing {
    /// This opening's name for itself in the table of unfinished bodies.
    pub(super) fn lock_id(&self) -> i64 {
        self.lock_file.borrow().id
    }

    /// Creates the lock file, before the first unfinished body is in the database.
    pub(super) fn lock(&self) -> Result<()> {
        self.lock_file.borrow_mut().create(self.in_memory).map_err(|error| {
            let message =
                "cannot create the lock file beside the database, which large bodies need";
            Error::new(io_kind(error.kind()), STORE, message).with_source(error)
        })
    }

    /// Finds the lock files of processes that have died. They are removed after the transaction.
    pub(super) fn find_stale_locks(&self) {
        if !self.in_memory {
            // Those of a failed transaction would look as if they were in use.
            self.stale_locks.borrow_mut().clear();
            *self.stale_locks.borrow_mut() = lock_file::stale_locks(&self.path);
        }
    }

    /// Whether the process that writes these bodies has died.
    pub(super) fn is_dead(&self, owner: i64) -> bool {
        let is_stale = || self.stale_locks.borrow().iter().any(|stale| stale.id == owner);
        owner != self.lock_id() && (is_stale() || lock_file::is_gone(&self.path, owner))
    }

    /// Whether the disk was full lately: nothing is kept for readers in other processes then.
    pub(super) fn is_short_of_space(&self) -> bool {
        self.full_at.is_some_and(|at| at.elapsed() < SHORT)
    }
}
