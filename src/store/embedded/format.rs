//! What a file contains when it is opened, and why it is refused.

use std::path::Path;

use crate::store::{Error, ErrorKind, Result};

/// What a file contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Content {
    /// A cache of this format.
    Ours,
    Nothing,
    Older,
    /// A cache of this later format.
    Newer(u32),
    Foreign,
    /// A cache that lacks tables.
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "only SQLite finds it"))]
    Damaged,
}

impl Content {
    /// Refuses everything but a cache of the format `ours`.
    pub(in crate::store) fn check(self, store: &'static str, path: &Path, ours: u32) -> Result<()> {
        let file = path.display();
        let (kind, message) = match self {
            Self::Ours => return Ok(()),
            Self::Nothing | Self::Foreign => return Err(not_ours(store, path)),
            Self::Older => (
                ErrorKind::Incompatible,
                format!(
                    "{file} was written by an older version of larder; open it with \
                     builder().start_anew(true) to empty it, or choose another path"
                ),
            ),
            Self::Newer(format) => (
                ErrorKind::Incompatible,
                format!(
                    "{file} has the format version {format}, and this version of larder reads \
                     {ours}; choose another path, or remove the file"
                ),
            ),
            Self::Damaged => (
                ErrorKind::Corrupt,
                format!("{file} lacks some of its tables; remove it and the cache starts empty"),
            ),
        };
        Err(Error::new(kind, store, message))
    }
}

/// The error for a file of another program.
pub(in crate::store) fn not_ours(store: &'static str, path: &Path) -> Error {
    let path = path.display();
    let message = format!("{path} is not a larder cache and was not changed; choose another path");
    Error::new(ErrorKind::Incompatible, store, message)
}
