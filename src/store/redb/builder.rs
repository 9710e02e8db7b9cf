//! How a [`Redb`](super::Redb) is set up before it is opened.

use std::path::PathBuf;

use super::{fault::STORE, open::Config};
use crate::store::{Error, ErrorKind, Result, embedded::Durability};

/// Settings of a [`Redb`](super::Redb) that is to be opened; [`Redb::builder`](super::Redb::builder) makes one.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `open` is called"]
pub struct Builder {
    path: PathBuf,
    max_bytes: u64,
    durability: Durability,
    cache_bytes: usize,
    multi_process: bool,
    inline_reads: bool,
}

impl Builder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self {
            path,
            max_bytes: 4 << 30,
            durability: Durability::default(),
            cache_bytes: 16 << 20,
            multi_process: false,
            inline_reads: false,
        }
    }

    /// How many bytes the entries may take before old ones are evicted: keys, heads and bodies, without the indexes
    /// and the room that redb leaves in its pages, so the file may become about twice as large. Bodies that are
    /// still being written are not counted: each may take as much as the layer's
    /// [`max_body`](crate::CacheLayer::max_body) beside this, and the file does not shrink. Default 4 GiB;
    /// `u64::MAX` is no bound; 0 is refused by [`open`](Builder::open). An entry larger than this is refused.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// When writes are synced to the disk. Default [`Durability::Every`] 500 ms, and after every 64 MiB. Has no effect
    /// with [`multi_process`](Builder::multi_process), where every commit is synced.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How many bytes of pages are kept in memory, for reading and for what is not written yet. Default 16 MiB, with
    /// which a body of any size passes through the process in less than 48 MiB; the operating system caches the file
    /// as well. Smaller is slower, down to 0.
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// Whether other processes may have the file open too; all of them must say so. Default `false`: the first to open
    /// the file has it alone. The [module's text](super) says what it costs.
    pub fn multi_process(mut self, shared: bool) -> Self {
        self.multi_process = shared;
        self
    }

    /// Whether reading is done in place, on the thread that asks. Default `false`: look-ups hop to a blocking thread, and
    /// the chunks of large bodies behind the first are read on a thread of the store's own. In place saves the hop, and
    /// is right where the disk is fast or the file is in memory anyway: what has to wait for the disk holds up whatever
    /// else runs on that thread.
    pub fn inline_reads(mut self, inline: bool) -> Self {
        self.inline_reads = inline;
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
            max_bytes: self.max_bytes,
            durability: self.durability,
            cache_bytes: self.cache_bytes,
            multi_process: self.multi_process,
            inline_reads: self.inline_reads,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_defaults_are_as_documented() {
        let config = Builder::new("a".into()).into_config();
        assert_eq!(config.max_bytes, 4 * 1024 * 1024 * 1024);
        assert_eq!(config.durability, Durability::Every(Duration::from_millis(500)));
        assert_eq!(config.cache_bytes, 16 * 1024 * 1024);
        assert!(!config.multi_process && !config.inline_reads);
    }
}
