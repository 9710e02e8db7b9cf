//! When what was written is safe from a power cut.

use std::time::Duration;

/// When what was written is safe from a power cut. A crash of the process alone, `kill -9` included, loses the same or
/// less. Neither ever damages the file. What is lost may be a removal: what was removed is there again then. (A disk that
/// is full or fails while the process lives brings nothing back.)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// Writes are acknowledged when every reader of this process sees them, and synced to the disk together: at least
    /// this often while something is unsynced, and sooner where much was written. At most what was written in the last
    /// such while is lost. `Duration::ZERO` syncs after every group of writes, behind the acknowledgement.
    Every(Duration),
    /// Writes are acknowledged when they are synced; those that arrive together share one sync. A write then takes as
    /// long as the disk takes to sync, once or twice.
    EachCommit,
}

impl Default for Durability {
    /// `Every` half a second.
    fn default() -> Self {
        Self::Every(Duration::from_millis(500))
    }
}
