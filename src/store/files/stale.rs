//! [`Stale`]: a file that a change removes, and how to tell it from a later one of the same name.

use std::{
    fs::{self, File, Metadata},
    path::Path,
    time::UNIX_EPOCH,
};

use serde::{Deserialize, Serialize};

use super::fault::STORE;
use crate::store::{Error, ErrorKind, Result};

/// A file that is to be removed. If the process dies first, another removes it later, but not what
/// somebody has put in its place by then.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stale {
    pub(super) path: Box<str>,
    pub(super) len: u64,
    pub(super) changed: u64,
}

impl Stale {
    pub(super) fn new(path: &str, metadata: &Metadata) -> Self {
        Self { path: path.into(), len: metadata.len(), changed: changed(metadata) }
    }
}

/// When a file was changed, in nanoseconds.
pub(super) fn changed(metadata: &Metadata) -> u64 {
    let since = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    since.map_or(0, |since| since.as_nanos() as u64)
}

/// Whether `file` is the one at `path`. Somebody may have removed it or put another one there.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let Ok(there) = fs::symlink_metadata(path) else { return false };
    #[cfg(unix)]
    let is_same = |own: Metadata| {
        use std::os::unix::fs::MetadataExt;
        (own.dev(), own.ino()) == (there.dev(), there.ino())
    };
    // Other systems do not tell, or do not remove a file that is open.
    #[cfg(not(unix))]
    let is_same = |_: Metadata| there.is_file();
    file.metadata().is_ok_and(is_same)
}

/// Refuses a file of the hidden folder that is a link or no file, since opening it could change a
/// file elsewhere.
pub(super) fn check_plain(path: &Path) -> Result<()> {
    let is_plain = |path: &Path, is_folder: bool| match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.is_file() != is_folder && metadata.is_dir() == is_folder,
        // Opening it says what is wrong, or creates it.
        Err(_) => true,
    };
    if is_plain(path, false) && path.parent().is_none_or(|folder| is_plain(folder, true)) {
        return Ok(());
    }
    let message = format!("{} is a link or no plain file; remove it", path.display());
    Err(Error::new(ErrorKind::Invalid, STORE, message))
}
