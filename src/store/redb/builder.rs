//! The settings of a [`Redb`](super::Redb).

use std::{path::PathBuf, sync::Arc};

use super::fault::STORE;
#[cfg(doc)]
use crate::store::ErrorKind;
use crate::store::{
    Result,
    disk::check_max_bytes,
    embedded::{Durability, ReadMode, Reads, Settings},
};

/// The settings of a [`Redb`](super::Redb) to be opened. [`Redb::builder`](super::Redb::builder)
/// creates them.
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
    /// The path of the file.
    pub(super) file: PathBuf,
    pub(super) max_bytes: u64,
    pub(super) durability: Durability,
    pub(super) cache_bytes: usize,
    pub(super) multi_process: bool,
    pub(super) start_anew: bool,
    pub(super) read_only: bool,
}

impl Builder {
    pub(super) fn new(path: PathBuf) -> Self {
        let config = Config {
            file: path.clone(),
            path,
            max_bytes: 4 << 30,
            durability: Durability::default(),
            cache_bytes: 16 << 20,
            multi_process: false,
            start_anew: false,
            read_only: false,
        };
        Self { config, reads: Reads::default() }
    }

    /// Sets how many bytes the entries may take before old ones are evicted; 4 GiB by default. It
    /// counts keys, heads and bodies, but not the indexes and the unused space in redb's pages, so
    /// the file becomes [about twice as large](super#its-size), and larger while it is written.
    /// Bodies that are still being written are not counted: each may take as much as the layer's
    /// [`max_body`](crate::CacheLayer::max_body) in addition. Entries that are not committed yet,
    /// at most 2 MiB, come on top as well. `u64::MAX` means no limit, and [`open`](Builder::open)
    /// refuses 0. An entry that is larger than the limit is refused.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.config.max_bytes = bytes;
        self
    }

    /// Sets when writes are synced to the disk; [`Durability::Every`] 500 ms by default, and after
    /// every 64 MiB of changed pages. It has no effect with
    /// [`multi_process`](Builder::multi_process), which syncs every commit.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.config.durability = durability;
        self
    }

    /// Sets how many bytes of pages are kept in memory, for reads and for unwritten pages; 16 MiB
    /// by default. With that, a body of any size passes through the process in less than 48 MiB.
    /// The operating system caches the file as well; a page that only the system has costs a lookup
    /// some 2 µs. Smaller values, down to 0, are slower.
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.config.cache_bytes = bytes;
        self
    }

    /// Sets whether other processes may have the file open too; `false` by default. All of them
    /// must set it. By default, the first process to open the file has it alone. The [module
    /// documentation](super) says what sharing costs.
    pub fn multi_process(mut self, shared: bool) -> Self {
        self.config.multi_process = shared;
        self
    }

    /// Sets where reads run; [`Reads::Adaptive`] by default: on the calling thread while the disk
    /// is fast. [`Reads`] says for how long that can hold a runtime's thread up.
    ///
    /// With [`multi_process`](Builder::multi_process), `Adaptive` means [`Reads::OffThread`], since
    /// each lookup may wait for a lock that another process holds.
    pub fn reads(mut self, reads: Reads) -> Self {
        self.reads = reads;
        self
    }

    /// Sets whether the file is only read; `false` by default. Nothing is written then, so the file
    /// can be on a medium that cannot be written, and changes fail with [`ErrorKind::Denied`]. Any
    /// number of processes can read a file so, while none has it open for writing. A file that was
    /// not closed is refused with [`ErrorKind::Unavailable`]: a process that opens it for writing
    /// makes it whole.
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

    /// The settings for the engine, and those for redb.
    pub(super) fn into_config(self) -> (Settings, Config) {
        let Self { config, reads } = self;
        // redb waits for the other processes' locks itself.
        let reads = match reads {
            Reads::Adaptive if config.multi_process => Reads::OffThread,
            reads => reads,
        };
        // Another process sees only what is synced.
        let is_synced = config.multi_process;
        let settings = Settings {
            path: config.path.clone(),
            max_bytes: config.max_bytes,
            durability: if is_synced { Durability::EachCommit } else { config.durability },
            reads: Arc::new(ReadMode::new(reads)),
            is_shared: config.multi_process,
            is_read_only: config.read_only,
        };
        (settings, config)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_defaults_are_as_documented() {
        let (settings, config) = Builder::new("a".into()).into_config();
        assert_eq!(settings.max_bytes, 4 * 1024 * 1024 * 1024);
        assert_eq!(settings.durability, Durability::Every(Duration::from_millis(500)));
        assert_eq!(config.cache_bytes, 16 * 1024 * 1024);
        assert_eq!(settings.reads.setting(), Reads::Adaptive);
        assert!(!config.multi_process && !config.start_anew && !settings.is_shared);
        let shared = Builder::new("a".into()).multi_process(true);
        assert_eq!(shared.clone().into_config().0.reads.setting(), Reads::OffThread);
        let forced = shared.reads(Reads::InPlace).into_config().0;
        assert_eq!(forced.reads.setting(), Reads::InPlace);
    }
}
