//! Paths for stores whose user gives none, and what an I/O error means.

use std::{io, path::PathBuf};

use etcetera::BaseStrategy;
use tempfile::TempDir;

use crate::store::{Error, ErrorKind, Result};

/// The path of `file` in the directory `app` of the user's cache directory.
pub(in crate::store) fn in_cache_dir(
    store: &'static str,
    app: &str,
    file: &str,
) -> Result<PathBuf> {
    let invalid = |message: String| Error::new(ErrorKind::Invalid, store, message);
    if matches!(app, "" | "." | "..") || app.contains(['/', '\\', ':', '\0']) {
        return Err(invalid(format!(
            "invalid directory name {app:?}; use the application's name, without path separators"
        )));
    }
    let strategy = etcetera::choose_base_strategy().map_err(|error| {
        invalid("cannot find the cache directory: the user has no home directory".to_owned())
            .with_source(error)
    })?;
    Ok(strategy.cache_dir().join(app).join(file))
}

/// Creates a new directory in the system's temporary directory.
pub(in crate::store) fn temporary(store: &'static str) -> Result<TempDir> {
    tempfile::Builder::new().prefix("larder-").tempdir().map_err(|error| {
        let message = "cannot create a temporary directory; set TMPDIR, or choose a path";
        Error::new(io_kind(error.kind()), store, message).with_source(error)
    })
}

/// What an I/O error means for the caller.
pub(in crate::store) fn io_kind(kind: io::ErrorKind) -> ErrorKind {
    match kind {
        io::ErrorKind::StorageFull | io::ErrorKind::FileTooLarge | io::ErrorKind::QuotaExceeded => {
            ErrorKind::Full
        }
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Denied,
        _ => ErrorKind::Unavailable,
    }
}
