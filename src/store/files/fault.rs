//! The errors of the store.

use std::{io, path::Path};

use crate::{
    Key,
    store::{Error, ErrorKind, disk},
};

/// The name of the store in errors, logs and metrics.
pub(super) const STORE: &str = "files";

/// The error for stored data that does not decode.
pub(super) fn corrupt(path: &Path, why: &str) -> Error {
    Error::new(ErrorKind::Corrupt, STORE, format!("{} {why}", path.display()))
}

/// The error with the key of its entry, if it is about the entry alone: it is damaged, or of a
/// newer version.
pub(super) fn of_entry(error: Error, key: &Key) -> Error {
    match error.kind() {
        ErrorKind::Corrupt | ErrorKind::Incompatible => error.with_key(key),
        _ => error,
    }
}

/// The error for a file or folder that cannot be used: `doing` is `read`, `write` and so on.
pub(super) fn io(doing: &str, path: &Path, error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => ErrorKind::Invalid,
        kind => disk::io_kind(kind),
    };
    let advice = match kind {
        ErrorKind::Full => "; make room on the disk",
        ErrorKind::Denied => "; check its permissions and those of its folder",
        ErrorKind::Invalid => "; it is no folder: move it away, or choose another path",
        _ => "",
    };
    let message = format!("cannot {doing} {}{advice}", path.display());
    Error::new(kind, STORE, message).with_source(error)
}

/// The error for a change of a folder that is only read.
pub(super) fn read_only(root: &Path) -> Error {
    let message =
        format!("{} is opened with read_only(true); open it without to change it", root.display());
    Error::new(ErrorKind::Denied, STORE, message)
}
