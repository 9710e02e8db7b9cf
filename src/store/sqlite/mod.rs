//! [`Sqlite`]: entries in one [SQLite](https://sqlite.org) file, shared by the processes of one
//! machine, kept between runs, and readable with any SQLite tool.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), larder::store::Error> {
//! use larder::store::{Sqlite, Store};
//!
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("http-cache.db");
//! let store = Sqlite::builder(path).max_bytes(1 << 30).open()?;
//! assert_eq!(store.len().await?, 0);
//! store.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! SQLite itself is compiled in, through [rusqlite](https://docs.rs/rusqlite), which is blocking
//! and close to SQLite's own interface. The asynchronous drivers put a thread and a channel in
//! front of each connection. This store has one thread that writes for all, which is how it groups
//! writes, and its lookups run where they are called.
//!
//! # Where reads run
//!
//! [`Reads`] says where, and for how long a runtime's thread can be held up at worst. A lookup on
//! the calling thread does not wait for another process's lock, nor for one of the six connections
//! that read: it moves to a blocking thread instead. In a few situations, SQLite itself pauses and
//! tries again, for milliseconds each time, while another process replaces the log.
//!
//! # Durability
//!
//! A write is acknowledged when it is committed: every reader, of this process and of others, sees
//! it. Commits are synced to the disk together, within half a second; [`Durability`] changes that.
//! A crash of the process, even `kill -9`, loses what was not acknowledged. A power cut loses what
//! was not synced. In both cases, the file opens again with whole entries only.
//! [`flush`](crate::store::Store::flush) and [`Sqlite::close`] write and sync everything, and so
//! does dropping the last handle.
//!
//! With [`exclusive`](Builder::exclusive), this process has the file alone, and a small entry (a
//! body of up to 32 KiB) is acknowledged when every reader of this process sees it, some 5 ms
//! before it is committed together with others. A kill then loses the last of them, at most 2 MiB,
//! and nothing that was written before what it leaves.
//!
//! # Atomicity
//!
//! One thread for each opening of the file does all its writing, in the order of the calls. All
//! commands that wait for it go into one transaction. One transaction publishes an entry with all
//! its rows. A body of more than 32 KiB is written in chunks while it arrives, in earlier
//! transactions, under a number that no entry refers to yet. If the writer is dropped before the
//! end, the chunks are removed at once. If the process dies, they are removed when any process next
//! opens the file.
//!
//! A reader of a large body can read it to its end while this process replaces, removes or evicts
//! the entry. If another process does that, the body stays for a minute, or until bodies like it
//! take an eighth of what the entries take (at least 4 MiB, at most 64 MiB), or the disk is full; a
//! reader that takes longer gets an error. A read never holds the log back: a reader that has
//! stopped does not make the log grow. The log is written to the file after 4 MiB, and takes some
//! 8 MiB. Other programs can make it grow: while one of them keeps a transaction open, the log
//! grows and parts of it are not synced.
//!
//! # A full disk, and a damaged file
//!
//! If a transaction fails (a full disk), the log is shortened and the transaction is tried once
//! more. If it fails again, all its commands fail, and nothing of it remains; what was committed
//! stays readable. With `exclusive`, entries that were acknowledged before their commit are then
//! gone ([`Sqlite::unwritten`] counts them), what they replaced stays hidden, and removals succeed
//! by hiding until the disk has room, as in [`Redb`](crate::store::redb). A file that was closed
//! opens although the disk is full: it is read as it is until there is room for the log.
//!
//! If SQLite finds the file damaged while it writes, the store makes it an empty cache, for every
//! process that has it open. A file that is too damaged to be opened is refused, with the advice to
//! remove it.
//!
//! # Expiry and eviction
//!
//! An expired entry stays until it is replaced, [removed](crate::store::Store::remove_expired) or
//! evicted. The removal uses an index and costs work in proportion to what has expired. Over
//! [`max_bytes`](Builder::max_bytes), entries are evicted as [`Redb`](crate::store::redb)'s are, by
//! what this process has read. How often entries were read, and which were evicted lately, is kept
//! in memory (768 KiB), so a read writes nothing. It is forgotten when the file is closed. Writing
//! each read down would make every hit a write, and make hits of other processes wait.
//!
//! # Several processes
//!
//! Any number of processes on one machine can have the file open, and so can several handles of one
//! process. A network file system does not work, since SQLite's shared log does not. Each process
//! sees what another has written as soon as that is acknowledged. Readers wait for nobody. Writers
//! take turns: a transaction waits for others for up to [`busy_timeout`](Builder::busy_timeout) and
//! tries every millisecond or so, and a process that has written for 50 ms without a pause leaves
//! the file to others for a moment. SQLite's "database is locked" becomes an error of kind
//! [`ErrorKind::Unavailable`] only if another program keeps
//! the lock for longer than that timeout. What has failed so is not done later. Removals by a tag,
//! by expiry and of all entries wait for 10 s.
//!
//! While the file is open, SQLite's `-wal` (the log) and `-shm` files lie beside it, and a `-lock`
//! file by which [`exclusive`](Builder::exclusive) openings know of others. For each process that
//! has written a large body, there is a `-writer-…` lock file by which others know that the process
//! is alive. Copy a file that is in use with SQLite's `.backup`, and remove the file
//! together with these.
//!
//! # The file, for people
//!
//! ```sh
//! sqlite3 http-cache.db "select url, status, stored_at from responses order by size desc limit 10"
//! ```
//!
//! | view or table | contents |
//! |---|---|
//! | `responses` | a view: `key` (hex), `method`, `url`, `status`, `stored_at`, `expires_at` and `keep_until` (UTC, ISO 8601; null means never), `body_bytes`, `size` (what counts towards `max_bytes`), `tags` |
//! | `entries` | the same, and everything else of an entry. Times are milliseconds since 1970; `status` is null if the entry is an annotation and no response; `head` is what the cache reads, in its own encoding; `content` has a small body, and `body` the number of a large one |
//! | `chunks` | `body`, `number`, `checksum`, `data`: up to 128 KiB of a large body each |
//! | `tags` | `entry`, `tag` |
//! | `state` | one row: the number of entries, the sum of their sizes, the last number of a body, the state of the eviction queue |
//! | `unfinished`, `garbage` | bodies that are being written, and bodies to be removed |
//!
//! Reading the file does no harm. You may delete entries by hand (`delete from entries where url
//! like '%/v1/%'`): triggers do the rest, and a store that has the file open goes on. Any other
//! change is damage. Row, head, small body and each chunk have checksums, which cover the key or
//! position as well, and data that does not match is an error of kind [`ErrorKind::Corrupt`] before
//! any of it is returned. URLs are readable, so the file is as private as they are: only its owner
//! can read and write a new file.
//!
//! The file's `application_id` is `lrdr`, and its `user_version` is the version of the layout. A
//! file with another layout is refused; [`start_anew`](Builder::start_anew) empties one with an
//! older layout. Any other database or file is left alone.
//!
//! The file does not shrink when entries are removed, and reuses the space. [`Sqlite::vacuum`]
//! makes it as small as possible, and [`incremental_vacuum`](Builder::incremental_vacuum) keeps it
//! small. If its directory is removed while the store is open, the store goes on with its open
//! files until it is closed.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http::HeaderMap;
use tempfile::TempDir;

use self::{builder::Config, db::Db, fault::STORE};
#[cfg(doc)]
use super::ErrorKind;
use super::{
    Evicted, Result, Store, Writer as StoreWriter, disk,
    embedded::{self, Engine, Settings},
    forward::forward,
};
use crate::{Key, entry::Head};

mod builder;
mod change;
mod chunks;
mod database;
mod db;
mod fault;
mod link;
mod lock_file;
mod open;
mod pool;
mod read;
mod schema;
mod sharing;
#[cfg(test)]
mod tests;

pub use self::builder::Builder;
pub use super::embedded::{Durability, Reads};

/// A store in one SQLite file. The [module documentation](self) says what it promises.
///
/// # Limits
///
/// The entries take up to [`max_bytes`](Builder::max_bytes), 4 GiB by default, and one entry may
/// take all of it. A larger entry is refused with [`ErrorKind::TooLarge`]. The file is a few per
/// cent larger, and [`vacuum`](Sqlite::vacuum) shrinks it. Processes of one machine share it. It
/// belongs on a local disk.
///
/// # Clone
///
/// A clone is another handle to the same file. Dropping the last handle syncs and closes the file,
/// and waits for that. A body that is being read or written counts as a handle.
#[derive(Clone)]
pub struct Sqlite {
    engine: Engine<Db>,
}

/// Writes the body of one entry of a [`Sqlite`]. It holds at most one chunk of 128 KiB beside the
/// last [`Bytes`] that it received.
#[derive(Debug)]
pub struct Writer(embedded::Writer<Db>);

impl Sqlite {
    /// Opens the file at `path` with the defaults of [`builder`](Sqlite::builder). Creates the file
    /// and its parent directories if they are missing. The path is used as it is. This blocks
    /// briefly.
    ///
    /// # Errors
    ///
    /// As [`Builder::open`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::builder(path).open()
    }

    /// Creates the settings for a store at `path`. Call [`open`](Builder::open) to open it.
    pub fn builder(path: impl Into<PathBuf>) -> Builder {
        Builder::new(path.into())
    }

    /// Creates a store for this process alone, in a new directory in the system's temporary
    /// directory. Dropping the last handle removes the directory; a process that is killed leaves
    /// it to the system. This blocks briefly.
    ///
    /// # Errors
    ///
    /// As [`Builder::open`], and if the directory cannot be created.
    pub fn temporary() -> Result<Self> {
        let directory = disk::temporary(STORE)?;
        let config = Self::builder(directory.path().join("http-cache.db")).into_config();
        Self::start(config, Some(directory))
    }

    /// Creates a store in this process's memory, for up to `max_bytes` of entries; beyond that, it
    /// evicts. Reads and writes take turns on one connection. It is meant for tests, and for
    /// SQLite's behaviour without a file; `store::Memory` is much faster.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if `max_bytes` is 0.
    pub fn in_memory(max_bytes: u64) -> Result<Self> {
        let builder = Self::builder(":memory:").max_bytes(max_bytes);
        builder.check()?;
        let (settings, config) = builder.into_config();
        let settings = Settings { is_shared: false, ..settings };
        Self::start((settings, Config { in_memory: true, ..config }), None)
    }

    /// Opens `http-cache.db` in the directory `app` of the user's cache directory:
    /// `$XDG_CACHE_HOME` or `~/.cache`, and on Windows the local application data. This blocks
    /// briefly.
    ///
    /// # Errors
    ///
    /// As [`Builder::open`]. [`ErrorKind::Invalid`] if `app` is not a directory name, or the user
    /// has no home directory.
    pub fn in_cache_dir(app: &str) -> Result<Self> {
        Self::open(disk::in_cache_dir(STORE, app, "http-cache.db")?)
    }

    fn start((settings, config): (Settings, Config), directory: Option<TempDir>) -> Result<Self> {
        let (db, writing) = Db::open(config)?;
        Ok(Self { engine: Engine::start(db, writing, settings, directory)? })
    }

    /// The path of the file; `:memory:` if there is no file.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.engine.path()
    }

    /// What this process has evicted to make room since it opened the file.
    #[must_use]
    pub fn evicted(&self) -> Evicted {
        self.engine.evicted()
    }

    /// How many entries this process could not write since it opened the file, although
    /// [`finish`](crate::store::Writer::finish) had succeeded: the commit after it failed, for
    /// example on a full disk. Each of them is a miss.
    #[must_use]
    pub fn unwritten(&self) -> u64 {
        self.engine.unwritten()
    }

    /// Makes the file as small as possible. Returns by how many bytes it has shrunk.
    ///
    /// It works in short transactions, between which other callers and processes run, and needs no
    /// space beside the file. It also removes at once the bodies that replaced and removed entries
    /// have left for their readers; a reader of such a body in another process gets an error.
    ///
    /// # Errors
    ///
    /// If the file cannot be written. It may have become smaller by then.
    pub async fn vacuum(&self) -> Result<u64> {
        self.engine.vacuum().await
    }

    /// Syncs and closes the file, for this handle and every clone of it. Earlier operations are
    /// done first. Later operations fail with [`ErrorKind::Unavailable`]. Closing a closed store
    /// does nothing.
    ///
    /// # Errors
    ///
    /// If the last sync fails. The file is closed nevertheless.
    pub async fn close(&self) -> Result<()> {
        self.engine.close().await
    }

    fn engine(&self) -> &Engine<Db> {
        &self.engine
    }
}

impl Builder {
    /// Opens the file, and creates it and its parent directories if they are missing. This blocks:
    /// usually for some milliseconds, longer after a crash, and for up to 10 s, or
    /// [`busy_timeout`](Builder::busy_timeout) if that is longer, while others write.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Incompatible`] if the file is not a cache of this crate or has another format.
    /// [`ErrorKind::Corrupt`] if it is damaged, [`ErrorKind::Denied`] if it may not be written,
    /// [`ErrorKind::Full`] if the disk has no room for the log, and the last process to have the
    /// file open did not close it. [`ErrorKind::Unavailable`] if another program keeps it locked,
    /// or has it alone. [`ErrorKind::Invalid`] for settings or a path that make no sense. Each
    /// message names the path.
    pub fn open(self) -> Result<Sqlite> {
        self.check()?;
        Sqlite::start(self.into_config(), None)
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.engine.shared().settings;
        f.debug_struct("Sqlite")
            .field("path", &settings.path)
            .field("max_bytes", &settings.max_bytes)
            .field("durability", &settings.durability)
            .field("busy_timeout", &self.engine.shared().db.config.busy_timeout)
            .field("exclusive", &!settings.is_shared)
            .field("read_only", &settings.is_read_only)
            .finish_non_exhaustive()
    }
}

impl Store for Sqlite {
    type Writer = Writer;

    forward!(engine: get, update, remove, remove_if, remove_expired, remove_tagged);
    forward!(engine: clear, flush, scan<>, len, size_bytes);

    async fn put(&self, key: &Key, head: Head) -> Result<Writer> {
        self.engine.put(key, head).await.map(Writer)
    }

    fn read_off_thread(self) -> Self {
        Self { engine: self.engine.read_off_thread() }
    }
}

impl StoreWriter for Writer {
    async fn write(&mut self, chunk: Bytes) -> Result<()> {
        self.0.write(chunk).await
    }

    async fn finish(self, trailers: Option<HeaderMap>) -> Result<()> {
        self.0.finish(trailers).await
    }
}
