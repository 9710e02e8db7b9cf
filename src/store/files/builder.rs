//! The settings of a [`Files`](super::Files).

use std::path::PathBuf;

use super::fault::STORE;
use crate::store::{Error, ErrorKind, Result, disk::check_max_bytes};

/// The settings of a [`Files`](super::Files) to be opened.
/// [`Files::builder`](super::Files::builder) creates them.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `open` is called"]
pub struct Builder {
    pub(super) path: PathBuf,
    pub(super) max_bytes: u64,
    pub(super) read_only: bool,
}

impl Builder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, max_bytes: 4 << 30, read_only: false }
    }

    /// Sets how many bytes the entries may take before old ones are evicted; 4 GiB by default. It
    /// counts each head and each body as 4 KiB at least, and each folder as 4 KiB, since a file
    /// system gives them a block. It does not count the index. Bodies that are still being written
    /// are not counted: each may take as much as the layer's
    /// [`max_body`](crate::CacheLayer::max_body) in addition. An entry is stored before old ones
    /// are evicted, so for a moment the entries may take more than the limit, by that entry.
    /// `u64::MAX` means no limit, and [`open`](Builder::open) refuses 0. An entry that is larger
    /// than the limit is refused.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets whether the folder is only read; `false` by default. Nothing is written then, not even
    /// an index or a lock, so the folder can be on a medium that cannot be written, and changes
    /// fail with [`ErrorKind::Denied`]. All heads are read when the folder is opened. Entries that
    /// another process adds later are not seen. An entry that it replaces or removes is. Lookups
    /// wait while another process changes the folder.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// Refuses settings that make no sense.
    pub(super) fn check(&self) -> Result<()> {
        if self.path.as_os_str().is_empty() {
            let message = "the path of the folder is empty; name a folder, or `.` for this one";
            return Err(Error::new(ErrorKind::Invalid, STORE, message));
        }
        check_max_bytes(STORE, self.max_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_as_documented() {
        let builder = Builder::new("a".into());
        assert_eq!(builder.max_bytes, 4 * 1024 * 1024 * 1024);
        assert!(!builder.read_only && builder.check().is_ok());
        let error = builder.max_bytes(0).check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let error = Builder::new("".into()).check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("the path of the folder is empty"), "{error}");
    }
}
