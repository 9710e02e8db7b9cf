//! [`Sqlite`]: entries in one [SQLite](https://sqlite.org) file, shared by the processes of one machine, kept between runs,
//! and readable with any SQLite tool.
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
//! SQLite itself is compiled in, through [rusqlite](https://docs.rs/rusqlite): blocking, and close to SQLite's own
//! interface. The asynchronous drivers put a thread and a channel before each connection; here one thread writes for
//! all, which is how writes are grouped, and reads need no more than a blocking thread.
//!
//! # Durability
//!
//! A write is acknowledged when every reader, of this process and of others, sees it. By default it is synced to the
//! disk together with others within half a second; [`Durability`] says otherwise. A crash of the process, `kill -9`
//! included, loses what was not acknowledged, and a power cut what was not synced. Either way the file opens again, with
//! whole entries only. [`Sqlite::close`], and dropping the last handle, sync.
//!
//! # Atomicity
//!
//! One thread for each opening of the file does all its writing. Whatever has been asked for meanwhile goes into one
//! transaction and is acknowledged when that is committed; an entry is published with all its rows by one transaction.
//! A body of more than 32 KiB is written in chunks while it comes in, in earlier transactions, under a number that no
//! entry refers to yet. Where the writer goes away before the end, the chunks are removed at once, and where the process
//! dies, when the file is next opened by whatever process.
//!
//! A large body is read to its end while its entry is replaced, removed or evicted by this process. Where another one
//! does that, the body stays for a minute, or until 64 MiB of such bodies have gathered; who reads for longer gets an
//! error. Reading never holds the log back: a reader that has stopped reading does not make it grow. Other programs can: a
//! transaction that one of them keeps open lets the log grow, and puts off what of it is synced.
//!
//! A transaction that fails (a full disk) is an error for all that was in it and leaves nothing behind; the store goes on
//! as soon as the disk does.
//!
//! # Expiry and eviction
//!
//! Expired entries stay until they are replaced, [removed](crate::store::Store::remove_expired) (by an index, so at a
//! cost in proportion to what has expired) or evicted. Over [`max_bytes`](Builder::max_bytes) entries are evicted in
//! the order in which they came, save those that this process has read since they were last considered (the SIEVE
//! policy, as in `store::Redb`); which ones were read is kept in memory, so reading writes nothing, and is forgotten when
//! the file is closed. To write down each reading would make every hit a write, and hits of other processes wait.
//!
//! # Several processes
//!
//! Any number of processes on one machine can have the file open (not over a network file system, which SQLite's shared
//! log cannot do), and several handles of one process as well. Each sees what another has written as soon as that is
//! acknowledged. Readers wait for nobody. Writers take turns: a transaction waits for the others for up to
//! [`busy_timeout`](Builder::busy_timeout), asks every millisecond or so, and one that has written for 50 ms without a
//! pause leaves the file alone for a moment. SQLite's "database is locked" becomes an error (of kind
//! [`ErrorKind::Unavailable`]) where some other program keeps the lock for longer than that, and never otherwise.
//!
//! Beside the file lie SQLite's `-wal` (the log) and `-shm` while it is open, and, for each process that has written a
//! large body, a `-writer-…` file by which others know that it lives. Copy a file that is in use with SQLite's `.backup`,
//! and remove it with these.
//!
//! # The file, for people
//!
//! ```sh
//! sqlite3 http-cache.db "select url, status, stored_at from responses order by size desc limit 10"
//! ```
//!
//! | view or table | what stands there |
//! |---|---|
//! | `responses` | a view: `key` (hex), `method`, `url`, `status`, `stored_at`, `expires_at` and `keep_until` (UTC, ISO 8601; null is never), `body_bytes`, `size` (what counts towards `max_bytes`), `tags` |
//! | `entries` | the same and all else of an entry. Times are milliseconds since 1970; `status` is null where it stands for a list of variants; `head` is what the cache reads, in an encoding of its own; a small body is in `content`, and of a large one `body` has the number |
//! | `chunks` | `body`, `number`, `checksum`, `data`: up to 128 KiB of a large body each |
//! | `tags` | `entry`, `tag` |
//! | `state` | one row: how many entries, the sum of their sizes, the last number of a body, the place of the eviction's hand |
//! | `unfinished`, `garbage` | bodies that are being written, and bodies that are to be removed |
//!
//! Reading does no harm. Entries may be deleted by hand (`delete from entries where url like '%/v1/%'`): triggers see to
//! the rest, and a store that has the file open goes on. What else is changed is damage: row, head, small body and each
//! chunk have checksums, over the key or place as well, and what does not match is an error of kind
//! [`ErrorKind::Corrupt`] before any of it is handed out. URLs are readable as they are, so the file is as private as they
//! are: a new one can be read and written by its owner alone.
//!
//! The file's `application_id` is `lrdr` and its `user_version` the version of the layout. A file of a newer layout is
//! refused, one of an older layout emptied, any other database or file left alone. One that is damaged so that it cannot
//! be opened is refused, with the advice to remove it.
//!
//! The file does not shrink when entries go, and uses the room again; [`Sqlite::vacuum`] makes it as small as it can be,
//! and [`incremental_vacuum`](Builder::incremental_vacuum) keeps it so. When its directory is removed under it, the store
//! goes on with what it has open until it is closed.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

use futures_core::Stream;
use tempfile::TempDir;

use self::{
    builder::Config,
    change::Purge,
    fault::STORE,
    inner::Inner,
    lock_file::LockFile,
    pool::Pool,
    scan::Scan,
    shared::{Command, Shared},
    task::{off, reading},
};
use super::{Error, ErrorKind, Evicted, Hit, Result, Scanned, Store, Version, embedded};
use crate::{Key, entry::Head, time::Timestamp};

mod builder;
mod change;
mod chunks;
mod fault;
mod incoming;
mod inner;
mod link;
mod lock_file;
mod open;
mod pool;
mod read;
mod scan;
mod schema;
mod shared;
mod task;
mod writer;

pub use self::{builder::Builder, incoming::Writer};
pub use super::embedded::Durability;

/// A store in one SQLite file. The [module's text](self) says what it promises.
///
/// # Limits
///
/// The entries take up to [`max_bytes`](Builder::max_bytes), 4 GiB by default, and one entry may take all of it; a larger
/// one is refused with [`ErrorKind::TooLarge`]. The file is a few per cent larger, and shrinks by
/// [`vacuum`](Sqlite::vacuum). Processes of one machine share it; it belongs on a local disk.
///
/// # Clone
///
/// A clone is another handle to the same file. Dropping the last one syncs and closes the file and waits for that; a
/// body that is being read or written counts as a handle.
#[derive(Clone)]
pub struct Sqlite {
    inner: Arc<Inner>,
}

impl Sqlite {
    /// Opens the file at `path` with the defaults of [`builder`](Sqlite::builder), making it and the directories above
    /// it where they are missing. The path is taken as it is. It blocks briefly.
    ///
    /// # Errors
    ///
    /// As [`Builder::open`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self> {
        Self::builder(path).open()
    }

    /// Settings for a store at `path`, to be [opened](Builder::open).
    pub fn builder(path: impl Into<PathBuf>) -> Builder {
        Builder::new(path.into())
    }

    /// A store of this process alone, in a directory of its own under the system's temporary one. It is removed when
    /// the last handle is dropped; a process that is killed leaves it to the system. It blocks briefly.
    ///
    /// # Errors
    ///
    /// As [`Builder::open`], and where there is no such directory.
    pub fn temporary() -> Result<Self> {
        let directory = embedded::temporary(STORE)?;
        let config = Self::builder(directory.path().join("http-cache.db")).into_config();
        Self::start(config, Some(directory))
    }

    /// A store in this process's memory, for entries of up to `max_bytes`, which are evicted beyond that. Reading and
    /// writing take turns on one connection: it is there for tests and for those who want SQLite's ways without a file;
    /// `store::Memory` is faster by far.
    ///
    /// # Errors
    ///
    /// Of kind [`ErrorKind::Invalid`] where `max_bytes` is 0.
    pub fn in_memory(max_bytes: u64) -> Result<Self> {
        let builder = Self::builder(":memory:").max_bytes(max_bytes);
        builder.check()?;
        Self::start(Config { in_memory: true, ..builder.into_config() }, None)
    }

    /// Opens `http-cache.db` in the directory `app` of the user's cache directory: `$XDG_CACHE_HOME` or `~/.cache`,
    /// and on Windows the local application data. It blocks briefly.
    ///
    /// # Errors
    ///
    /// As [`Builder::open`], and of kind [`ErrorKind::Invalid`] where `app` is not the name of a directory, or the
    /// user has no home.
    pub fn in_cache_dir(app: &str) -> Result<Self> {
        Self::open(embedded::in_cache_dir(STORE, app, "http-cache.db")?)
    }

    fn start(config: Config, directory: Option<TempDir>) -> Result<Self> {
        let opened = open::open(&config)?;
        let lock_file = LockFile::new(&opened.path);
        let (shared, commands) = Shared::new(config, Pool::new(opened.readers));
        let writer = writer::Thread::new(shared.clone(), commands, opened.writer, lock_file);
        let thread = thread::Builder::new()
            .name("larder-sqlite".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| {
                Error::new(ErrorKind::Unavailable, STORE, "cannot start the writer thread")
                    .with_source(error)
            })?;
        let thread = Mutex::new(Some(thread));
        Ok(Self { inner: Arc::new(Inner { shared, thread, _directory: directory }) })
    }

    /// The path of the file; `:memory:` where there is none.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared().config.path
    }

    /// What had to go so far to make room for others, since this process has opened the file.
    #[must_use]
    pub fn evicted(&self) -> Evicted {
        self.shared().evictions.read()
    }

    /// Makes the file as small as it can be; how many bytes it has become smaller. It goes on in short transactions,
    /// between which everybody else has a turn, and needs no room beside the file. It also removes at once what
    /// replaced and removed entries have left for those who still read them; who reads such a body in another process
    /// gets an error.
    ///
    /// # Errors
    ///
    /// Where the file cannot be written; it may have become smaller by then.
    pub async fn vacuum(&self) -> Result<u64> {
        self.shared().queue.ask(Command::Vacuum, 0).await
    }

    /// Syncs everything that was written and closes the file, for this handle and every clone of it: whatever is asked
    /// of them later is an error of kind [`ErrorKind::Unavailable`]. What was asked for before is done first. Closing
    /// what is closed does nothing.
    ///
    /// # Errors
    ///
    /// Where the last sync fails; the file is closed all the same.
    pub async fn close(&self) -> Result<()> {
        let Some(outcome) = self.shared().queue.close(Command::Close) else { return Ok(()) };
        // Where another call came first, the thread has ended without an answer for this one.
        outcome.await.unwrap_or(Ok(0)).map(drop)
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }
}

impl Builder {
    /// Opens the file, making it and the directories above it where they are missing. It blocks: for some milliseconds
    /// as a rule, longer after a crash, and for up to [`busy_timeout`](Builder::busy_timeout) where others write.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Incompatible`] for a file that is no cache of this crate or one of a newer version,
    /// [`ErrorKind::Corrupt`] for a damaged one, [`ErrorKind::Denied`] where it cannot be written,
    /// [`ErrorKind::Unavailable`] where another program keeps it locked, and [`ErrorKind::Invalid`] for settings or a
    /// path that make no sense. Each message names the path.
    pub fn open(self) -> Result<Sqlite> {
        self.check()?;
        Sqlite::start(self.into_config(), None)
    }
}

impl fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.shared().config;
        f.debug_struct("Sqlite")
            .field("path", &config.path)
            .field("max_bytes", &config.max_bytes)
            .field("durability", &config.durability)
            .field("busy_timeout", &config.busy_timeout)
            .finish_non_exhaustive()
    }
}

impl Store for Sqlite {
    type Writer = Writer;

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        let key = *key;
        let found = reading(self.shared(), move |shared| read::get(shared, &key)).await?;
        Ok(found.map(|found| found.into_hit(&self.inner)))
    }

    async fn put(&self, key: &Key, head: Head) -> Result<Writer> {
        self.shared().check_open()?;
        Ok(Writer::new(self.inner.clone(), *key, head))
    }

    async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        let bytes = head.size();
        let command = Command::Update { key: *key, seen, head: Box::new(head) };
        Ok(self.shared().queue.ask(command, bytes).await? == 1)
    }

    async fn remove(&self, key: &Key) -> Result<bool> {
        Ok(self.shared().queue.ask(Command::Remove { key: *key, seen: None }, 0).await? == 1)
    }

    async fn remove_if(&self, key: &Key, seen: Version) -> Result<bool> {
        Ok(self.shared().queue.ask(Command::Remove { key: *key, seen: Some(seen) }, 0).await? == 1)
    }

    async fn remove_expired(&self, now: Timestamp) -> Result<u64> {
        self.shared().queue.ask(Command::Purge(Purge::Expired(now)), 0).await
    }

    async fn remove_tagged(&self, tag: &str) -> Result<u64> {
        self.shared().queue.ask(Command::Purge(Purge::Tagged(tag.into())), tag.len()).await
    }

    async fn clear(&self) -> Result<()> {
        self.shared().queue.ask(Command::Clear, 0).await.map(drop)
    }

    fn scan(&self) -> impl Stream<Item = Result<Scanned>> + Send + use<> {
        Scan::new(self.inner.clone())
    }

    async fn len(&self) -> Result<u64> {
        off(self.shared(), read::len).await
    }

    async fn size_bytes(&self) -> Result<u64> {
        off(self.shared(), read::size).await
    }
}
