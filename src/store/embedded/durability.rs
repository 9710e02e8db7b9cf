//! When written data is safe from a power cut.

use std::time::Duration;

/// When written data is safe from a power cut.
///
/// A crash of the process alone, such as `kill -9`, loses the same data or less. Neither damages
/// the file, and what is left is what was written first: never a later change without an earlier
/// one. A lost change may be a removal: the removed entry is then there again. A disk that is full
/// or fails while the process lives brings no removed entry back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// A write is acknowledged when every reader of this process sees it. Writes are synced to the
    /// disk together, at this interval while anything is unsynced, and sooner after many bytes. A
    /// power cut loses at most the writes of the last interval, and those of the last milliseconds
    /// before it that were acknowledged before their commit. `Duration::ZERO` syncs after every
    /// group of writes, after the acknowledgement.
    Every(Duration),
    /// A write is acknowledged when it is synced. Writes that arrive together share one sync. A
    /// write takes as long as the disk needs for one or two syncs.
    EachCommit,
}

impl Default for Durability {
    /// Half a second.
    fn default() -> Self {
        Self::Every(Duration::from_millis(500))
    }
}
