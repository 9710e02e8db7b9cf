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
//! A write is acknowledged when every reader of this process sees it. By default, writes are synced
//! to the disk together, within half a second; [`Durability`] changes that. A crash or a power cut
//! loses only what was not synced. Whenever the process dies, even by `kill -9`, the file opens
//! again with whole entries only, and without a repair that would read all of it. [`Redb::close`]
//! syncs, and so does dropping the last handle.
//!
//! # Atomicity
//!
//! One thread for each database does all its writing. All commands that wait for it go into one
//! transaction, and are acknowledged when that is committed. One transaction publishes an entry
//! with all its index rows. A body of more than 32 KiB is written in chunks while it arrives, in
//! earlier transactions, under a number that no entry refers to yet; the entry's transaction
//! decides what becomes of the chunks. If the writer is dropped before, the chunks are removed. If
//! the process dies, they are removed at the next opening. A reader of a large body can read it to
//! its end while the entry is replaced, removed or evicted: its chunks stay until the last reader
//! is gone.
//!
//! If a transaction fails (a full disk), all its commands fail, and nothing of it remains. redb
//! refuses all work after an I/O error, so the store then reopens the file. That undoes unsynced
//! writes, and ends bodies that are being read or written with an error. The store works again as
//! soon as the disk does.
//!
//! # Where reads run
//!
//! A lookup runs on the calling thread, which it holds up for as long as the disk takes: usually
//! some microseconds, since the pages are in memory. If the disk is slow, lookups move to blocking
//! threads until it is fast again. [`Reads`] says for how long a runtime's thread can be held up at
//! worst, and [`reads`](Builder::reads) sets another place. A lookup may also wait for the writer
//! thread while that hands pages to the disk; this counts as a slow disk. Further chunks of a large
//! body are read on a thread of the store. Where several processes share the file, every lookup
//! runs on a blocking thread.
//!
//! # Expiry and eviction
//!
//! An expired entry stays until it is replaced, [removed](crate::store::Store::remove_expired) or
//! evicted. The removal uses an index and costs work in proportion to what has expired. Over
//! [`max_bytes`](Builder::max_bytes), entries are evicted in the order in which they were added,
//! except those that were read since they were last considered (the SIEVE policy). Which entries
//! were read is kept in memory, so a read writes nothing, and is forgotten when the file is closed.
//!
//! # What another process sees
//!
//! By default, nothing: the first process to open the file has it alone, and the next gets an
//! error. If every process sets [`multi_process(true)`](Builder::multi_process), processes on one
//! machine (not over a network file system) share the file, and each sees what another has written
//! as soon as that is acknowledged. They take turns to write, and each transaction is synced twice,
//! whatever [`Durability`] says. Each lookup takes a file lock, for which it may wait, and
//! therefore runs on a blocking thread. The other processes leave an
//! unfinished body alone until its writer has been silent for an hour; the next process that opens
//! the file then removes it, and a writer that is still alive gets an error. Each process knows
//! only its own reads for eviction. A large body that is being read holds a snapshot of the file in
//! this mode, since the other processes know nothing of its reader. While the body is not read on,
//! the file grows by everything that is written.
//!
//! # The file
//!
//! Its tables, all named `larder.*`:
//!
//! | table | row |
//! |---|---|
//! | `meta` | `format` version of the layout; `state` sum of sizes, next number, position of the eviction's hand |
//! | `entries` | key → record: version, position in the queue, expiry, digests of tags, head, body if it is small |
//! | `chunks` | body number and index → checksum, up to 128 KiB of the body |
//! | `expiry`, `tags` | expiry or digest of a tag, with the key |
//! | `order` | position in the eviction queue → key |
//! | `pending`, `garbage` | bodies that are being written, and bodies to be removed |
//!
//! Record header, head, inline body and each chunk have their own checksums, since redb does not
//! check its pages when they are read. Data that does not match is an error of kind
//! [`ErrorKind::Corrupt`] before any of it is returned. A file with a newer layout is refused, a
//! file with an older layout is emptied, and any other redb database is left alone. redb trusts the
//! structure of its pages and can panic if that is damaged. The panic is caught and becomes such an
//! error too, except in a program built with `panic = "abort"`.
//!
//! Only its owner can read and write a new file, since responses may be private. The file takes up
//! to about twice the size of its entries (redb's pages are powers of two). It does not shrink when
//! entries are removed, and reuses the space.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

use bytes::Bytes;
use futures_core::Stream;
use tempfile::TempDir;

use self::{
    change::Purge,
    fault::STORE,
    inner::Inner,
    open::Config,
    read::Chunks,
    schema::{digests, tag_digest},
    shared::{Command, Shared},
    task::off,
};
use super::{
    Error, ErrorKind, Evicted, Hit, Result, Scanned, Store, Version,
    embedded::{self, Page, Reader, Task, lookup},
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
#[cfg(test)]
mod tests;
mod writer;

pub use self::{builder::Builder, incoming::Writer};
pub use super::embedded::{Durability, Reads};

/// A store in one database file. The [module documentation](self) says what it promises.
///
/// # Limits
///
/// The entries take up to [`max_bytes`](Builder::max_bytes), 4 GiB by default, and one entry may
/// take all of it. A larger entry is refused with [`ErrorKind::TooLarge`]. The file takes up to
/// about twice as much and does not shrink. One process has the file, unless [all processes share
/// it](Builder::multi_process). It belongs on a local disk.
///
/// # Clone
///
/// A clone is another handle to the same file. Dropping the last handle syncs and closes the file,
/// and waits for that. A body that is being read or written counts as a handle.
#[derive(Clone)]
pub struct Redb {
    inner: Arc<Inner>,
    /// This handle does not read on the calling thread, whatever the settings say.
    off_thread: bool,
}

impl Redb {
    /// Opens the file at `path` with the defaults of [`builder`](Redb::builder). Creates the file
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
        let directory = embedded::temporary(STORE)?;
        let config = Self::builder(directory.path().join("http-cache.redb")).into_config();
        Self::start(config, Some(directory))
    }

    /// Opens `http-cache.redb` in the directory `app` of the user's cache directory:
    /// `$XDG_CACHE_HOME` or `~/.cache`, and on Windows the local application data. This blocks
    /// briefly.
    ///
    /// # Errors
    ///
    /// As [`Builder::open`]. [`ErrorKind::Invalid`] if `app` is not a directory name, or the user
    /// has no home directory.
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
            off_thread: false,
        })
    }

    /// The path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.shared().config.path
    }

    /// What this process has evicted to make room since it opened the file.
    #[must_use]
    pub fn evicted(&self) -> Evicted {
        self.shared().evictions.read()
    }

    /// Syncs and closes the file, for this handle and every clone of it. Earlier operations are
    /// done first. Later operations fail with [`ErrorKind::Unavailable`]. Another process can then
    /// open the file. Closing a closed store does nothing.
    ///
    /// # Errors
    ///
    /// If the last sync fails. The file is closed nevertheless.
    pub async fn close(&self) -> Result<()> {
        let Some(outcome) = self.shared().close() else { return Ok(()) };
        // If another call closed the store first, the thread has ended without a reply to this one.
        outcome.await.unwrap_or(Ok(0)).map(drop)
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    fn read_chunks(&self) -> impl FnMut(Box<Chunks>) -> Task<Page<Box<Chunks>, Bytes>> + use<> {
        let in_place = self.shared().config.reads.is_in_place() && !self.off_thread;
        read::read_chunks(self.inner.clone(), in_place)
    }
}

impl Builder {
    /// Opens the file, and creates it and its parent directories if they are missing. This blocks:
    /// usually for some milliseconds, longer after a crash that redb must repair.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] if another handle or another process has the file open,
    /// [`ErrorKind::Incompatible`] if the file is not a cache of this crate or has a newer format,
    /// [`ErrorKind::Corrupt`] if it is damaged, [`ErrorKind::Denied`] if it may not be written, and
    /// [`ErrorKind::Invalid`] for settings or a path that make no sense. Each message names the
    /// path.
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
        // redb has no lookup that gives up instead of waiting for a lock.
        let try_read = |shared: &Shared| read::get(shared, &key).map(Some);
        let read = move |shared: &Shared| read::get(shared, &key);
        let found = lookup(self.shared(), self.off_thread, try_read, read).await?;
        Ok(found.map(|found| found.into_hit(self.read_chunks())))
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
        read::scan(self.inner.clone())
    }

    async fn len(&self) -> Result<u64> {
        off(self.shared(), read::len).await
    }

    async fn size_bytes(&self) -> Result<u64> {
        off(self.shared(), read::size).await
    }

    fn read_off_thread(self) -> Self {
        Self { off_thread: true, ..self }
    }
}
