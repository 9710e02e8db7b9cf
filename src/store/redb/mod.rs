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
//! A small entry (a body of up to 32 KiB) is acknowledged when every reader of this process sees
//! it. It is not in the file yet: one thread commits it within some 5 ms, together with others, and
//! at most 2 MiB wait. Everything else (a larger body, an update, a removal) waits for its commit.
//! Commits are synced to the disk together, within half a second, and after every 64 MiB of changed
//! pages; [`Durability`] changes the time. With
//! [`Durability::EachCommit`], nothing is acknowledged before it is synced.
//! [`flush`](crate::store::Store::flush) and [`Redb::close`] write and sync everything, and so does
//! dropping the last handle.
//!
//! A crash, `kill -9` or a power cut loses only what was not synced. What was written first is
//! left: no later change survives without an earlier one. The file opens again with whole entries
//! only. It needs no repair that reads all of it, unless the file was being
//! [compacted](self#its-size).
//!
//! # Atomicity
//!
//! One thread for each database does all its writing, in the order of the calls. All commands that
//! wait for it go into one transaction. One transaction publishes an entry with all its index rows.
//! A body of more than 32 KiB is written in chunks while it arrives, in earlier transactions, under
//! a number that no entry refers to yet; the entry's transaction decides what becomes of the
//! chunks. If the writer is dropped before, the chunks are removed. If the process dies, they are
//! removed at the next opening. A reader of a large body can read it to its end while the entry is
//! replaced, removed or evicted: its chunks stay until the last reader is gone.
//!
//! # A full disk, and a damaged file
//!
//! If a transaction fails (a full disk), nothing of it remains: its commands fail, and entries that
//! were acknowledged before it are gone ([`Redb::unwritten`] counts them). redb refuses all work
//! after an I/O error, so the store reopens the file, which undoes what was not synced. Large
//! bodies that are being written then end with an error, and so do those that are being read and
//! were not synced. What was replaced or removed by then does not come back: it is hidden from
//! every reader until it can be removed from the file. All other entries stay readable. Until the
//! disk works again, writes wait for their commit and return its error, and removals succeed by
//! hiding. A process that ends before the disk works again forgets what was hidden. Up to 65,536
//! keys and tags are hidden; further removals fail.
//!
//! If redb finds the structure of its pages damaged while it writes, the whole file is checked, and
//! a damaged file is replaced by an empty one, except with
//! [`multi_process`](Builder::multi_process). A file that is too damaged to be opened is refused,
//! with the advice to remove it. redb can panic on such a page. The panic is caught and becomes an
//! error of kind [`ErrorKind::Corrupt`], except in a program
//! built with `panic = "abort"`. To keep its message off standard error, the first opening of a
//! file wraps the panic hook of the process; every other panic reaches the hook as before.
//!
//! # Where reads run
//!
//! [`Reads`] says where, and for how long a runtime's thread can be held up at worst. A lookup may
//! also wait for the writer thread while that hands pages to the disk; this counts as a slow disk.
//! Where several processes share the file, every lookup runs on a blocking thread.
//!
//! # Expiry and eviction
//!
//! An expired entry stays until it is replaced, [removed](crate::store::Store::remove_expired) or
//! evicted. The removal uses an index and costs work in proportion to what has expired.
//!
//! Over [`max_bytes`](Builder::max_bytes), entries are evicted. The newest tenth of the store is a
//! window. An entry that leaves the window unread is evicted, unless there is room for it. An entry
//! that comes back soon after its eviction counts as read. If the window has nothing to evict, the
//! entry goes that was read least, as a hand goes round (a SIEVE with counts). A crawl through many
//! pages therefore does not evict what is in use. How often entries were read, and which were
//! evicted lately, is kept in memory (768 KiB), so a read writes nothing. It is forgotten when the
//! file is closed.
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
//! | `meta` | `format` version of the layout; `state` sum of sizes, next number, state of the eviction queue |
//! | `entries` | key → record: version, place in the queue, expiry, digests of tags, head, body if it is small |
//! | `chunks` | body number and index → checksum, up to 128 KiB of the body |
//! | `index` | digest of a tag or expiry, with the place in the eviction queue; place, with the beginning of the key |
//! | `pending`, `garbage` | bodies that are being written, and bodies to be removed |
//!
//! Record header, head, inline body, each chunk and the row of counters have their own checksums,
//! since redb does not check its pages when they are read. Data that does not match is an error of
//! kind [`ErrorKind::Corrupt`] before any of it is returned. A
//! file with another layout is refused; [`start_anew`](Builder::start_anew) empties one with an
//! older layout. Any other redb database is left alone.
//!
//! Only its owner can read and write a new file, since responses may be private.
//!
//! ## Its size
//!
//! The pages in use take up to about twice [`size_bytes`](crate::store::Store::size_bytes): 1.9
//! times for bodies of 200 bytes, 1.6 times for 5 to 10 KiB. Keys are random, so pages of small
//! entries are a little more than half full. A larger entry, or chunk, has pages of its own, whose
//! number is rounded up to a power of two: just over 16 or 32 KiB, that doubles it. The index takes
//! some 50 bytes of each entry.
//!
//! While the store is written, the file takes more space on the disk. redb never changes a page in
//! place, and cannot reuse the old one before the next sync. With small entries, about 100 MiB of
//! old pages wait for that at most. A store that is written without a pause, some 25,000 times a
//! second, takes almost five times the bytes of its entries if these are 7 MiB, and 2.8 times if
//! they are 70 MiB. A shorter [`Durability::Every`] makes it less. The length of the file may be
//! larger still: redb doubles it when it needs another page, and the new end takes no space until
//! it is written.
//!
//! The file does not shrink when entries are removed, and reuses the space. It shrinks when it is
//! closed: a file that takes more than twice `size_bytes` plus 4 MiB is compacted, if no other
//! process may have it and no body is being read. [`close`](Redb::close) does so for up to 320 MiB,
//! which takes up to three seconds. Dropping the last handle does so for up to 32 MiB, which takes
//! a fraction of a second. If the process is killed meanwhile, nothing is lost, and the next
//! opening reads the whole file to repair it.
//!
//! There is no call that compacts an open file, since nobody could read it meanwhile. A tool that
//! is to make a file smaller opens it, removes entries, and closes it.

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
mod database;
mod db;
mod fault;
mod open;
mod quiet;
mod read;
mod record;
mod schema;
#[cfg(test)]
mod tests;

pub use self::builder::Builder;
pub use super::embedded::{Durability, Reads};

/// A store in one database file. The [module documentation](self) says what it promises.
///
/// # Limits
///
/// The entries take up to [`max_bytes`](Builder::max_bytes), 4 GiB by default, and one entry may
/// take all of it. A larger entry is refused with [`ErrorKind::TooLarge`]. The file takes [about
/// twice as much](self#its-size), and more while it is written. One process has the file, unless
/// [all processes share it](Builder::multi_process). It belongs on a local disk.
///
/// # Clone
///
/// A clone is another handle to the same file. Dropping the last handle syncs and closes the file,
/// and waits for that. A body that is being read or written counts as a handle.
#[derive(Clone)]
pub struct Redb {
    engine: Engine<Db>,
}

/// Writes the body of one entry of a [`Redb`]. It holds at most one chunk of 128 KiB beside the
/// last [`Bytes`] that it received.
#[derive(Debug)]
pub struct Writer(embedded::Writer<Db>);

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
        let directory = disk::temporary(STORE)?;
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
        Self::open(disk::in_cache_dir(STORE, app, "http-cache.redb")?)
    }

    fn start((settings, config): (Settings, Config), directory: Option<TempDir>) -> Result<Self> {
        let engine = Engine::start(Db::open(config)?, (), settings, directory)?;
        Ok(Self { engine })
    }

    /// The path of the file.
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

    /// Syncs and closes the file, for this handle and every clone of it, and [compacts
    /// it](self#its-size) if it is larger than it should be. Earlier operations are done first.
    /// Later operations fail with [`ErrorKind::Unavailable`]. Another process can then open the
    /// file. Closing a closed store does nothing.
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
    /// usually for some milliseconds, longer after a crash that redb must repair.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unavailable`] if another handle or another process has the file open, or if it
    /// is to be read only and was not closed. [`ErrorKind::Incompatible`] if the file is not a
    /// cache of this crate or has another format. [`ErrorKind::Corrupt`] if it is damaged,
    /// [`ErrorKind::Denied`] if it may not be written, and [`ErrorKind::Invalid`] for settings or a
    /// path that make no sense. Each message names the path.
    pub fn open(self) -> Result<Redb> {
        self.check()?;
        Redb::start(self.into_config(), None)
    }
}

impl fmt::Debug for Redb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings = &self.engine.shared().settings;
        f.debug_struct("Redb")
            .field("path", &settings.path)
            .field("max_bytes", &settings.max_bytes)
            .field("durability", &settings.durability)
            .field("multi_process", &settings.is_shared)
            .field("read_only", &settings.is_read_only)
            .finish_non_exhaustive()
    }
}

impl Store for Redb {
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
