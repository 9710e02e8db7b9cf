//! What the stores on a disk report alike.

use std::io;

use crate::store::{Error, ErrorKind, Result};

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

/// Refuses a limit of no bytes.
pub(in crate::store) fn check_max_bytes(store: &'static str, max_bytes: u64) -> Result<()> {
    if max_bytes > 0 {
        return Ok(());
    }
    let message = "max_bytes(0) leaves no room for any entry; leave the store out to cache nothing";
    Err(Error::new(ErrorKind::Invalid, store, message))
}

/// The error for an entry that takes more than the whole store may.
pub(in crate::store) fn too_large(store: &'static str, bytes: u64, max_bytes: u64) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        store,
        format!("an entry of {bytes} bytes does not fit into max_bytes({max_bytes})"),
    )
}
