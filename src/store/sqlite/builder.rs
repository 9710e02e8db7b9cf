//! How a [`Sqlite`](super::Sqlite) is set up before it is opened.

use std::{path::PathBuf, time::Duration};

use super::fault::STORE;
use crate::store::{Error, ErrorKind, Result, embedded::Durability};

/// Settings of a [`Sqlite`](super::Sqlite) that is to be opened; [`Sqlite::builder`](super::Sqlite::builder) makes one.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `open` is called"]
pub struct Builder {
    path: PathBuf,
    max_bytes: u64,
    durability: Durability,
    cache_bytes: usize,
    busy_timeout: Duration,
    inline_reads: bool,
    incremental_vacuum: bool,
}

/// The settings of an open store.
#[derive(Clone, Debug)]
pub(super) struct Config {
    /// As it was given, for errors.
    pub(super) path: PathBuf,
    pub(super) in_memory: bool,
    pub(super) max_bytes: u64,
    pub(super) durability: Durability,
    pub(super) cache_bytes: usize,
    pub(super) busy_timeout: Duration,
    pub(super) inline_reads: bool,
    pub(super) incremental_vacuum: bool,
}

/// Longer than anybody waits, and short enough for every clock.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Builder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            max_bytes: 4 << 30,
            durability: Durability::default(),
            cache_bytes: 16 << 20,
            busy_timeout: Duration::from_secs(10),
            inline_reads: false,
            incremental_vacuum: false,
        }
    }

    /// How many bytes the entries may take before old ones are evicted: heads, URLs and bodies, and some 200 bytes for
    /// each entry's row, without what SQLite's pages leave unused. The file may become larger by a few per cent, by up
    /// to 64 MiB of bodies that are not removed yet, by bodies that are still being written (each up to the layer's
    /// [`max_body`](crate::CacheLayer::max_body)), and by the log. Default 4 GiB; `u64::MAX` is no bound; 0 is refused
    /// by [`open`](Builder::open). An entry larger than this is refused. Each process that shares the file keeps to its
    /// own bound.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// When writes are synced to the disk. Default [`Durability::Every`] 500 ms, and after every 32 MiB. With
    /// [`Durability::EachCommit`] each transaction is synced once, to the log.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How many bytes of pages are kept in memory, for reading and for writing together. Default 16 MiB; the operating
    /// system caches the file as well. Smaller is slower.
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// How long to wait for another process that is writing. Then what was asked for fails with
    /// [`ErrorKind::Unavailable`]. Default 10 s; at most a day. Processes that use this crate take turns of a few dozen
    /// milliseconds; other programs may hold the lock for as long as they like.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout.min(LONGEST);
        self
    }

    /// Whether reading is done in place, on the thread that asks. Default `false`: look-ups hop to a blocking thread, and
    /// so do the chunks of large bodies. In place saves the hop, and is right where the disk is fast or the file is in
    /// memory anyway: what has to wait for the disk holds up whatever else runs on that thread.
    pub fn inline_reads(mut self, inline: bool) -> Self {
        self.inline_reads = inline;
        self
    }

    /// Whether the file is made smaller as entries go: once more than an eighth of it is unused, some pages are given
    /// back with every transaction. Default `false`: unused room is kept for what comes next, which is quicker, until
    /// [`Sqlite::vacuum`](super::Sqlite::vacuum) is called.
    pub fn incremental_vacuum(mut self, incremental: bool) -> Self {
        self.incremental_vacuum = incremental;
        self
    }

    /// Refuses settings that make no sense.
    pub(super) fn check(&self) -> Result<()> {
        if self.max_bytes == 0 {
            return Err(Error::new(
                ErrorKind::Invalid,
                STORE,
                "max_bytes(0) leaves no room for any entry; leave the store out to cache nothing",
            ));
        }
        Ok(())
    }

    pub(super) fn into_config(self) -> Config {
        Config {
            path: self.path,
            in_memory: false,
            max_bytes: self.max_bytes,
            durability: self.durability,
            cache_bytes: self.cache_bytes,
            busy_timeout: self.busy_timeout,
            inline_reads: self.inline_reads,
            incremental_vacuum: self.incremental_vacuum,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_as_documented() {
        let config = Builder::new("a".into()).into_config();
        assert_eq!(config.max_bytes, 4 * 1024 * 1024 * 1024);
        assert_eq!(config.durability, Durability::Every(Duration::from_millis(500)));
        assert_eq!(config.cache_bytes, 16 * 1024 * 1024);
        assert_eq!(config.busy_timeout, Duration::from_secs(10));
        assert!(!config.inline_reads && !config.incremental_vacuum && !config.in_memory);
    }
}
