//! The settings of a [`Sqlite`](super::Sqlite).

use std::{path::PathBuf, sync::Arc, time::Duration};

use super::fault::STORE;
#[cfg(doc)]
use crate::store::ErrorKind;
use crate::store::{
    Result,
    disk::check_max_bytes,
    embedded::{Durability, ReadMode, Reads, Settings},
};

/// The settings of a [`Sqlite`](super::Sqlite) to be opened.
/// [`Sqlite::builder`](super::Sqlite::builder) creates them.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `open` is called"]
pub struct Builder {
    config: Config,
    reads: Reads,
}

/// The settings of the database.
#[derive(Clone, Debug)]
pub(super) struct Config {
    /// The path as it was given, for errors.
    pub(super) path: PathBuf,
    pub(super) in_memory: bool,
    pub(super) max_bytes: u64,
    pub(super) durability: Durability,
    pub(super) cache_bytes: usize,
    pub(super) busy_timeout: Duration,
    pub(super) incremental_vacuum: bool,
    pub(super) exclusive: bool,
    pub(super) start_anew: bool,
    pub(super) read_only: bool,
}

/// Longer than any caller waits, and short enough for every clock.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Builder {
    pub(super) fn new(path: PathBuf) -> Self {
        let config = Config {
            path,
            in_memory: false,
            max_bytes: 4 << 30,
            durability: Durability::default(),
            cache_bytes: 16 << 20,
            busy_timeout: Duration::from_millis(250),
            incremental_vacuum: false,
            exclusive: false,
            start_anew: false,
            read_only: false,
        };
        Self { config, reads: Reads::default() }
    }

    /// Sets how many bytes the entries may take before old ones are evicted; 4 GiB by default. It
    /// counts heads, URLs and bodies, and about 200 bytes for each entry's row, but not the unused
    /// space in SQLite's pages. The file may become larger by a few per cent, by up to an eighth
    /// (from 4 MiB to 64 MiB) of bodies that are not removed yet, by bodies that are still being
    /// written (each up to the layer's [`max_body`](crate::CacheLayer::max_body)), and by the log.
    /// `u64::MAX` means no limit, and [`open`](Builder::open) refuses 0. An entry that is larger
    /// than the limit is refused. Each process that shares the file keeps to its own limit.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.config.max_bytes = bytes;
        self
    }

    /// Sets when writes are synced to the disk; [`Durability::Every`] 500 ms by default, and after
    /// every 4 MiB. With [`Durability::EachCommit`], each transaction is synced once, to the log.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.config.durability = durability;
        self
    }

    /// Sets how many bytes of pages are kept in memory, for reads and writes together; 16 MiB by
    /// default. The operating system caches the file as well. Smaller values are slower.
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.config.cache_bytes = bytes;
        self
    }

    /// Sets how long a request waits for another process that is writing; 250 ms by default, and at
    /// most a day. After that, the operation fails with [`ErrorKind::Unavailable`], and is not done
    /// later either. Processes that use this crate write for a few dozen milliseconds at a time;
    /// other programs may hold the lock for longer. Opening the file, and removals of many entries
    /// (by a tag, by expiry, or of all), wait for 10 s, or for this time if it is longer. So do
    /// commits with [`exclusive`](Builder::exclusive), which no request waits for.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.config.busy_timeout = timeout.min(LONGEST);
        self
    }

    /// Sets where reads run; [`Reads::Adaptive`] by default: on the calling thread while the disk
    /// is fast. [`Reads`] says for how long that can hold a runtime's thread up.
    ///
    /// A lookup on the calling thread waits neither for a lock nor for one of the connections. If
    /// the file is busy, the lookup moves to a blocking thread, where it may wait for up to
    /// [`busy_timeout`](Builder::busy_timeout).
    pub fn reads(mut self, reads: Reads) -> Self {
        self.reads = reads;
        self
    }

    /// Sets whether the file shrinks as entries are removed; `false` by default. If set, every
    /// transaction releases some pages once more than an eighth of the file is unused. By default,
    /// unused space is kept for new entries, which is faster, until
    /// [`Sqlite::vacuum`](super::Sqlite::vacuum) is called.
    pub fn incremental_vacuum(mut self, incremental: bool) -> Self {
        self.config.incremental_vacuum = incremental;
        self
    }

    /// Sets whether this process has the file alone; `false` by default. Other processes then get
    /// an error when they open it, and so do handles of this process that are not clones of this
    /// one. Other programs can read the file, and must not write to it.
    ///
    /// A small entry is then visible as soon as it is written, and is committed some milliseconds
    /// later, together with others. [`Durability::EachCommit`] waits for the commit all the same.
    pub fn exclusive(mut self, exclusive: bool) -> Self {
        self.config.exclusive = exclusive;
        self
    }

    /// Sets whether the file is only read; `false` by default. Changes fail with
    /// [`ErrorKind::Denied`]. Any number of processes can read a file so. A file that is closed is
    /// read as it is, and nothing is written, not even a lock: it can be on a medium that cannot be
    /// written, and no process may write to it meanwhile. A file that other processes have open is
    /// read with their changes; SQLite then locks its `-shm` file.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.config.read_only = read_only;
        self
    }

    /// Sets whether a file of an older version of larder is emptied when it is opened; `false` by
    /// default. If not set, such a file is refused with [`ErrorKind::Incompatible`], since it may
    /// be wanted by a program that has not been updated.
    pub fn start_anew(mut self, anew: bool) -> Self {
        self.config.start_anew = anew;
        self
    }

    /// Refuses settings that make no sense.
    pub(super) fn check(&self) -> Result<()> {
        check_max_bytes(STORE, self.config.max_bytes)
    }

    /// The settings for the engine, and those for SQLite.
    pub(super) fn into_config(self) -> (Settings, Config) {
        let config = self.config;
        let settings = Settings {
            path: config.path.clone(),
            max_bytes: config.max_bytes,
            durability: config.durability,
            reads: Arc::new(ReadMode::new(self.reads)),
            is_shared: !config.exclusive,
            is_read_only: config.read_only,
        };
        (settings, config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_as_documented() {
        let (settings, config) = Builder::new("a".into()).into_config();
        assert_eq!(settings.max_bytes, 4 * 1024 * 1024 * 1024);
        assert_eq!(settings.durability, Durability::Every(Duration::from_millis(500)));
        assert_eq!(config.cache_bytes, 16 * 1024 * 1024);
        assert_eq!(config.busy_timeout, Duration::from_millis(250));
        assert_eq!(settings.reads.setting(), Reads::Adaptive);
        assert!(!config.incremental_vacuum && !config.in_memory && !config.start_anew);
        assert!(settings.is_shared && !settings.is_read_only);
    }
}
