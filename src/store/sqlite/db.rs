//! SQLite as the database of the engine: the connections, the lock file, and the log.
//!
//! A commit appends to the log (SQLite's WAL). A checkpoint syncs the log and writes it to the
//! file. Checkpoints run on the writer thread, and on no reader.

use std::{
    any::Any,
    cell::RefCell,
    ops::Deref,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use rusqlite::Row;

use super::{
    builder::Config,
    change::Change,
    chunks::Chunks,
    fault::{self, STORE},
    link::Link,
    lock_file::{self, LockFile, StaleLock},
    open::{self, Opened},
    pool::{Lent, Pool},
    read::{self, Cursor},
    schema::{self, CHUNK},
    sharing::Sharing,
};
use crate::{
    Key, event,
    store::{
        Error, ErrorKind, Result, Scanned,
        embedded::{
            Body, Database, Entry, Failure, Leases, Lookup, Page, Recovery, closed, io_kind,
        },
    },
};

/// How many pages the log may have before readers must release its beginning.
const LONG: i64 = 1_024;

/// How long to wait for readers then.
const BRIEFLY: Duration = Duration::from_millis(100);

/// How long after a full disk nothing is kept that can be removed.
const SHORT: Duration = Duration::from_secs(60);

pub(super) struct Db {
    pub(super) config: Config,
    pub(super) pool: Arc<Pool>,
    /// The file is read without its log. Set on a disk without room for one.
    is_without_log: AtomicBool,
    /// The real path of the file.
    path: PathBuf,
}

/// What the writer thread alone has.
pub(super) struct Writing {
    /// The connection that writes. In memory, the readers' one connection writes as well. A disk
    /// may have had no room for the log, and each transaction looks again.
    link: Option<Link>,
    /// Released after the connections are closed.
    sharing: Option<Sharing>,
    /// The real path of the file.
    path: PathBuf,
    lock_file: RefCell<LockFile>,
    /// The lock files of processes that have died, until their bodies are abandoned.
    stale_locks: RefCell<Vec<StaleLock>>,
    in_memory: bool,
    /// When the disk was full last.
    full_at: Option<Instant>,
}

/// The result of a checkpoint.
struct Log {
    /// Others were in the way of a part of it at least.
    is_busy: bool,
    /// The number of pages in the log.
    pages: i64,
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

    fn closed(&self) -> Error {
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
            None => fault::corrupt_entry(key, "a row that does not decode").with_source(error),
            Some(_) => self.read_fault(error),
        }
    }

    fn write_fault(&self, error: rusqlite::Error) -> Error {
        fault::error("cannot write to", &self.config.path, error)
    }

    /// The connection that writes: the thread's own, or in memory the only one.
    fn lend<'w>(&self, writing: &'w Writing) -> Result<Lending<'w>> {
        match &writing.link {
            Some(link) => Ok(Lending::Own(link)),
            None => self.link().map(Lending::Shared),
        }
    }

    fn checkpoint(&self, writing: &Writing, how: &str, patience: Option<Duration>) -> Result<Log> {
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

enum Lending<'w> {
    Own(&'w Link),
    Shared(Lent),
}

impl Deref for Lending<'_> {
    type Target = Link;

    fn deref(&self) -> &Link {
        match self {
            Self::Own(link) => link,
            Self::Shared(lent) => lent,
        }
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

impl Database for Db {
    const STORE: &'static str = STORE;
    const CHUNK: usize = CHUNK;
    /// This bounds the log as well.
    const UNSYNCED: usize = 4 << 20;
    /// If every commit is synced to the log, the log is still written to the file from time to
    /// time.
    const LEISURE: Option<Duration> = Some(Duration::from_millis(500));
    const LOSES_UNSYNCED: bool = false;

    type Fault = rusqlite::Error;
    type Chunks = Chunks;
    type Cursor = Cursor;
    type Connection = Writing;
    type Transaction<'t> = Change<'t>;

    fn get(&self, key: &Key, leases: &Arc<Leases>) -> Result<Lookup<Self>> {
        read::get(self, key, leases)
    }

    fn try_get(&self, key: &Key, leases: &Arc<Leases>) -> Result<Option<Lookup<Self>>> {
        read::try_get(self, key, leases)
    }

    fn read_chunks(&self, rest: Box<Chunks>) -> Result<Page<Box<Chunks>, Bytes>> {
        rest.read_some(self)
    }

    fn list(&self, from: Cursor) -> Result<Page<Cursor, Scanned>> {
        read::list(self, from)
    }

    fn len(&self) -> Result<u64> {
        read::len(self)
    }

    fn size(&self) -> Result<u64> {
        read::size(self)
    }

    fn check_open(&self) -> Result<()> {
        if self.pool.is_closed() { Err(self.closed()) } else { Ok(()) }
    }

    fn panicked(&self, _: &(dyn Any + Send)) -> Error {
        let path = self.config.path.display();
        Error::new(ErrorKind::Other, STORE, format!("a panic during work on {path}"))
    }

    fn cost(entry: &Entry) -> u64 {
        let head = &entry.head;
        let chunked = matches!(entry.body, Body::Chunks { .. });
        schema::cost(entry.encoded.len(), head.url().len(), head.body_len(), chunked)
    }

    fn body_cost(len: u64) -> u64 {
        schema::cost(0, 0, len, false)
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
        let lent = self.lend(writing)?;
        let conn = &lent.conn;
        let before = conn.total_changes();
        let (max_bytes, gives_back) = (self.config.max_bytes, self.config.incremental_vacuum);
        let pages = |conn: &rusqlite::Connection| {
            conn.query_row("PRAGMA page_count", [], |row| row.get::<_, i64>(0))
        };
        let run = || -> Result<bool, rusqlite::Error> {
            lent.patiently(|conn| conn.execute_batch("BEGIN IMMEDIATE"))?;
            let length = pages(conn)?;
            work(&mut Change::new(conn, writing, max_bytes, gives_back))?;
            let is_edited = conn.total_changes() != before || pages(conn)? != length;
            conn.execute_batch("COMMIT")?;
            Ok(is_edited)
        };
        let result = run();
        if result.is_err() && !conn.is_autocommit() {
            // Some errors have ended the transaction already.
            drop(conn.execute_batch("ROLLBACK"));
        }
        drop(lent);
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
    fn recover(&self, writing: &mut Writing, why: &Failure) -> Recovery {
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
                event::restarted(STORE, why.message());
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

    fn close(&self, writing: &mut Writing) -> Result<()> {
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
