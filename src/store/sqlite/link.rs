//! A connection to the file, and how it waits for others.

use std::{
    fmt::Write as _,
    hash::{BuildHasher, RandomState},
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, MAIN_DB, OpenFlags, ffi};

use super::{builder::Config, fault};
use crate::store::embedded::Durability;

/// How many prepared statements a connection keeps; more than there are.
const STATEMENTS: usize = 64;

/// How large the log may stay after it was written to the file.
const LOG: u64 = 8 << 20;

/// A configured connection.
pub(super) struct Link {
    pub(super) conn: Connection,
    /// For how many milliseconds it waits for others.
    patience: Arc<AtomicU64>,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Read,
    /// Reads a file that nobody changes.
    ReadUnchanged,
    Write,
    /// Both, in memory.
    Only,
}

impl Link {
    /// Connects to the existing file at `path`. Writes nothing. This connection gets one part in
    /// `share` of the page memory.
    pub(super) fn open(
        config: &Config,
        path: &Path,
        role: Role,
        share: usize,
    ) -> rusqlite::Result<Self> {
        let access = match role {
            Role::Read => OpenFlags::SQLITE_OPEN_READ_ONLY,
            Role::ReadUnchanged => OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI,
            Role::Write => OpenFlags::SQLITE_OPEN_READ_WRITE,
            Role::Only => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        };
        // Only one thread at a time has the connection, by its type.
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut conn = match role {
            Role::Only => Connection::open_in_memory_with_flags(flags)?,
            Role::Read | Role::Write => Connection::open_with_flags(path, flags)?,
            Role::ReadUnchanged => Connection::open_with_flags(unchanging(path), flags)?,
        };
        // SQLite opens a file that it cannot write for reading only.
        if role == Role::Write && conn.is_readonly(MAIN_DB)? {
            let error = ffi::Error::new(ffi::SQLITE_READONLY);
            return Err(rusqlite::Error::SqliteFailure(error, None));
        }
        let patience = Arc::new(AtomicU64::new(config.busy_timeout.as_millis() as u64));
        conn.busy_handler(Some(waiting(patience.clone())))?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS);
        let synchronous = match config.durability {
            Durability::Every(_) => "NORMAL",
            Durability::EachCommit => "FULL",
        };
        let kibibytes = config.cache_bytes / share / 1_024;
        // The file is not trusted: a schema may only use SQLite's own harmless functions, and pages
        // are checked.
        conn.execute_batch(&format!(
            "PRAGMA trusted_schema = OFF;
             PRAGMA cell_size_check = ON;
             PRAGMA cache_size = -{kibibytes};
             PRAGMA temp_store = MEMORY;
             PRAGMA synchronous = {synchronous};
             PRAGMA wal_autocheckpoint = 0;
             PRAGMA journal_size_limit = {LOG};"
        ))?;
        Ok(Self { conn, patience })
    }

    /// Runs `work`, and repeats it while others are in the way. SQLite's own waiting covers most
    /// cases; in some it gives up at once.
    pub(super) fn patiently<T>(
        &self,
        mut work: impl FnMut(&Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let patience = Duration::from_millis(self.patience.load(Ordering::Relaxed));
        let begin = Instant::now();
        loop {
            match work(&self.conn) {
                Err(error) if fault::is_busy(&error) && begin.elapsed() < patience => {
                    thread::sleep(Duration::from_millis(1));
                }
                result => return result,
            }
        }
    }

    /// Sets how long to wait for others.
    pub(super) fn set_patience(&self, patience: Duration) {
        self.patience.store(patience.as_millis() as u64, Ordering::Relaxed);
    }

    /// Runs `work` with another patience.
    pub(super) fn within<T>(&self, patience: Duration, work: impl FnOnce(&Connection) -> T) -> T {
        let usual = self.patience.swap(patience.as_millis() as u64, Ordering::Relaxed);
        let result = catch_unwind(AssertUnwindSafe(|| work(&self.conn)));
        self.patience.store(usual, Ordering::Relaxed);
        result.unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// The URI of a file that nobody changes, so that SQLite looks for no log and takes no lock.
fn unchanging(path: &Path) -> String {
    let mut uri = String::from("file:");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                uri.push(char::from(*byte));
            }
            byte => drop(write!(uri, "%{byte:02X}")),
        }
    }
    uri.push_str("?immutable=1");
    uri
}

/// SQLite calls this while others hold a lock. It retries every millisecond or two. SQLite's own
/// handler retries ever more rarely, down to ten times a second, and never meets the moment between
/// two transactions of a process that writes all the time.
fn waiting(patience: Arc<AtomicU64>) -> impl FnMut(i32) -> bool + Send + 'static {
    let mut since = Instant::now();
    let random = RandomState::new();
    move |count| {
        if count == 0 {
            since = Instant::now();
        }
        if since.elapsed() >= Duration::from_millis(patience.load(Ordering::Relaxed)) {
            return false;
        }
        // Waiting processes should not keep step.
        thread::sleep(Duration::from_micros(500 + random.hash_one(count) % 1_000));
        true
    }
}
