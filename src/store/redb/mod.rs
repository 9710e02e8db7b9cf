//! [`Redb`]: entries in one [redb](https://docs.rs/redb) database file, kept between runs.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), larder::store::Error> {
//! use larder::store::{Redb, Store};
//!
//! # let directory = tempfile::tempdir().unwrap();
//! # let path = directory.path().join("http-cache.redb");
//! let store = Redb::builder(path).max_bytes(1 << 30).open()?;
//! assert_eq!(store.len().await?, 0);
//! store.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Durability
//!
//! A write is acknowledged when every reader of this process sees it. By default it is synced to the disk together
//! with others within half a second; [`Durability`] says otherwise. A crash or a power cut loses what was not synced,
//! and nothing else: whenever the process dies, `kill -9` included, the file opens again, with whole entries only, and
//! without a repair that would have to read all of it. [`Redb::close`], and dropping the last handle, sync.
//!
//! # Atomicity
//!
//! One thread for each database does all the writing. Whatever has been asked for meanwhile goes into one transaction
//! and is acknowledged when that is committed; an entry is published with all its index rows by one transaction. A
//! body of more than 32 KiB is written in chunks while it comes in, in earlier transactions, under a number that no
//! entry refers to yet; what becomes of the chunks is decided with the entry. Where the writer goes away before, they
//! are removed, and where the process does, at the next opening. A large body is read to its end while its entry is
//! replaced, removed or evicted: its chunks stay until the last reader has gone.
//!
//! A transaction that fails (a full disk) is an error for all that was in it and leaves nothing behind. redb refuses
//! all work after an I/O error, so the file is then opened again, which undoes what was not synced and ends bodies that
//! are being read or written with an error; the store goes on as soon as the disk does.
//!
//! # Expiry and eviction
//!
//! Expired entries stay until they are replaced, [removed](crate::store::Store::remove_expired) (by an index, so at a
//! cost in proportion to what has expired) or evicted. Over [`max_bytes`](Builder::max_bytes) entries are evicted in
//! the order in which they came, save those that were read since they were last considered (the SIEVE policy); which
//! ones were read is kept in memory, so reading writes nothing, and is forgotten when the file is closed.
//!
//! # What another process sees
//!
//! Nothing, as a rule: the first to open the file has it alone, and the next is told so. With
//! [`multi_process(true)`](Builder::multi_process) in each of them, processes on one machine (not over a network file
//! system) share the file, and each sees what another has written as soon as that is acknowledged. They write in turn,
//! and each transaction is synced, twice, whatever [`Durability`] says; each look-up takes a file lock. An unfinished
//! body is then left alone by the others until its writer has been silent for an hour, and is removed by the next
//! process that opens the file; a writer that was silent for so long but lives gets an error. Which entries were read
//! is known to each process for itself. A large body that is being read holds a snapshot of the file then, since the
//! others know nothing of its reader: while it is left unread, the file grows by what is written.
//!
//! # The file
//!
//! Tables, all of them named `larder.*`:
//!
//! | table | row |
//! |---|---|
//! | `meta` | `format` version of the layout; `state` sum of sizes, next number, place of the eviction's hand |
//! | `entries` | key → record: version, place in the queue, expiry, tags' digests, head, body where it is small |
//! | `chunks` | body number and index → checksum, up to 128 KiB of the body |
//! | `expiry`, `tags` | expiry or tag's digest, with the key |
//! | `order` | place in the eviction queue → key |
//! | `pending`, `garbage` | bodies that are being written, and bodies that are to be removed |
//!
//! Record header, head, inline body and each chunk have a checksum of their own, which redb's pages do not when they
//! are read. What does not match is an error of kind [`ErrorKind::Corrupt`] before any of it is handed out. A file of a
//! newer layout is refused, one of an older layout emptied, any other redb database left alone. redb trusts the structure of its pages and can panic where that is damaged; the panic is caught
//! and becomes such an error too (not in a program built with `panic = "abort"`).
//!
//! A new file can be read and written by its writer_id alone: responses may be private. It takes up to about twice the size
//! of its entries (redb's pages are powers of two), does not shrink when entries go, and uses the room again.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

use futures_core::Stream;
use tempfile::TempDir;

use self::{
    change::Purge,
    fault::STORE,
    inner::Inner,
    open::Config,
    read::Scan,
    schema::{digests, tag_digest},
    shared::{Command, Shared},
    task::{here, off},
};
use super::{
    Error, ErrorKind, Evicted, Hit, Result, Scanned, Store, Version,
    embedded::{self, Reader},
};
use crate::{Key, entry::Head, time::Timestamp};

mod builder;
mod change;
mod fault;
mod incoming;
mod inner;
mod open;
mod read;
mod record;
mod schema;
mod shared;
mod task;
mod writer;

pub use self::{builder::Builder, incoming::Writer};
pub use super::embedded::Durability;

/// A store in one database file. The [module's text](self) says what it promises.
///
/// # Limits
///
/// The entries take up to [`max_bytes`](Builder::max_bytes), 4 GiB by default, and one entry may take all of it; a larger
/// one is refused with [`ErrorKind::TooLarge`]. The file takes up to about twice as much and does not shrink. One process
/// has it, unless [all say otherwise](Builder::multi_process); it belongs on a local disk.
///
/// # Clone
///
/// A clone is another handle to the same file. Dropping the last one syncs and closes the file and waits for that; a
/// body that is being read or written counts as a handle.
#[derive(Clone)]
pub struct Redb {
    inner: Arc<Inner>,
}

impl Redb {
    /// Opens the file at `path` with the defaults of [`builder`](Redb::builder), making it and the directories above
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
        let config = Self::builder(directory.path().join("http-cache.redb")).into_config();
        Self::start(config, Some(directory))
    }

    /// Opens `http-cache.redb` in the directory `app` of the user's cache directory: `$XDG_CACHE_HOME` or `~/.cache`,
    /// and on Windows the local application data. It blocks briefly.
    ///
    /// # Errors
    ///
    /// As [`Builder::open`], and of kind [`ErrorKind::Invalid`] where `app` is not the name of a directory, or the
    /// user has no home.
    pub fn in_cache_dir(app: &str) -> Result<Self> {
        Self::open(embedded::in_cache_dir(STORE, app, "http-cache.redb")?)
    }

    fn start(config: Config, directory: Option<TempDir>) -> Result<Self> {
        let writer_id = writer::writer_id();
        let (db, left) = open::open(&config)?;
        let (shared, commands) = Shared::new(config, db);
        let writer = writer::Thread::new(shared.clone(), commands, writer_id, left);
        let thread = thread::Builder::new()
            .name("larder-redb".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| {
                Error::new(ErrorKind::Unavailable, STORE, "cannot start the writer thread")
                    .with_source(error)
            })?;
        let thread = Mutex::new(Some(thread));
        Ok(Self {
            inner: Arc::new(Inner {
                shared,
                thread,
                reader: Reader::new(STORE),
                _directory: directory,
            }),
        })
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared().config.path
    }

    /// What had to go so far to make room for others, since this process has opened the file.
    #[must_use]
    pub fn evicted(&self) -> Evicted {
        self.shared().evictions.read()
    }

    /// Syncs everything that was written and closes the file, for this handle and every clone of it: whatever is asked
    /// of them later is an error of kind [`ErrorKind::Unavailable`]. What was asked for before is done first. Another
    /// process can have the file from then on. Closing what is closed does nothing.
    ///
    /// # Errors
    ///
    /// Where the last sync fails; the file is closed all the same.
    pub async fn close(&self) -> Result<()> {
        let Some(outcome) = self.shared().close() else { return Ok(()) };
        // Where another call came first, the thread has ended without an answer for this one.
        outcome.await.unwrap_or(Ok(0)).map(drop)
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }
}

impl Builder {
    /// Opens the file, making it and the directories above it where they are missing. It blocks: for some milliseconds
    /// as a rule, longer after a crash that redb has to repair.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] where another handle or another process has the file open,
    /// [`ErrorKind::Incompatible`] for a file that is no cache of this crate or one of a newer version,
    /// [`ErrorKind::Corrupt`] for a damaged one, [`ErrorKind::Denied`] where it cannot be written, and
    /// [`ErrorKind::Invalid`] for settings or a path that make no sense. Each message names the path.
    pub fn open(self) -> Result<Redb> {
        self.check()?;
        Redb::start(self.into_config(), None)
    }
}

impl fmt::Debug for Redb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.shared().config;
        f.debug_struct("Redb")
            .field("path", &config.path)
            .field("max_bytes", &config.max_bytes)
            .field("durability", &config.durability)
            .field("multi_process", &config.multi_process)
            .finish_non_exhaustive()
    }
}

impl Store for Redb {
    type Writer = Writer;

    async fn get(&self, key: &Key) -> Result<Option<Hit>> {
        let key = *key;
        let shared = self.shared();
        let task = if shared.config.inline_reads {
            here(shared, |shared| read::get(shared, &key))
        } else {
            off(shared, move |shared| read::get(shared, &key))
        };
        Ok(task.await?.map(|found| found.into_hit(&self.inner)))
    }

    async fn put(&self, key: &Key, head: Head) -> Result<Writer> {
        incoming::check_tags(&head)?;
        self.shared().check_open()?;
        Ok(Writer::new(self.inner.clone(), *key, head))
    }

    async fn update(&self, key: &Key, seen: Version, head: Head) -> Result<bool> {
        incoming::check_tags(&head)?;
        let (tags, bytes) = (digests(head.tags()), head.size());
        let command = Command::Update { key: *key, seen, head: Box::new(head), tags };
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
        self.shared().queue.ask(Command::Purge(Purge::Tagged(tag_digest(tag))), 0).await
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
