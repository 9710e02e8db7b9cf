//! The file of a store in one file, and its directory.

use std::{
    fs::{self, Metadata},
    io,
    path::Path,
};

use super::errors::io_kind;
use crate::store::{Error, ErrorKind, Result};

/// The directory of a file.
pub(in crate::store) fn directory_of(file: &Path) -> &Path {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
    parent.unwrap_or(Path::new("."))
}

/// Whether there is a file at `path`. If not, its directory is there afterwards.
pub(in crate::store) fn prepare(store: &'static str, path: &Path) -> Result<bool> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let message = format!("{} is a directory; name a file in it instead", path.display());
            Err(Error::new(ErrorKind::Invalid, store, message))
        }
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = fs::create_dir_all(directory_of(path));
            made.map(|()| false).map_err(|error| cannot_create(store, path, error))
        }
        Err(error) => Err(cannot_create(store, path, error)),
    }
}

/// The error for a file that cannot be created.
pub(in crate::store) fn cannot_create(store: &'static str, path: &Path, error: io::Error) -> Error {
    let path = path.display();
    let message = format!("cannot create {path}; choose a path where this process may write");
    Error::new(io_kind(error.kind()), store, message).with_source(error)
}

/// The device and the number of a file, where the system has these.
pub(in crate::store) fn file_id(file: &Metadata) -> Option<(u64, u64)> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;

        Some((file.dev(), file.ino()))
    }
    #[cfg(not(unix))]
    {
        let _file = file;
        None
    }
}
