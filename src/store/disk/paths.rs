//! Paths for stores whose user gives none.

use std::path::PathBuf;

use etcetera::BaseStrategy;
use tempfile::TempDir;

use super::errors::io_kind;
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
