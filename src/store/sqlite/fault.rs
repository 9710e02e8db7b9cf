//! SQLite's errors as errors of the store: what each means for the caller, with the path and what
//! to do.

use std::{error::Error as _, path::Path};

use rusqlite::{ErrorCode, ffi};

use crate::{
    Key,
    store::{Error, ErrorKind, disk, embedded},
};

pub(super) const STORE: &str = "sqlite";

/// The result of a step of a transaction. Its error is SQLite's, and ends the transaction.
pub(super) type Raw<T> = Result<T, rusqlite::Error>;

/// Creates an error of the store with SQLite's error as its source. `doing` is what failed, such as
/// `"cannot write to"`.
pub(super) fn error(doing: &str, path: &Path, error: rusqlite::Error) -> Error {
    let mut kind = kind(&error);
    if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) {
        kind = if has_no_room(path) { ErrorKind::Full } else { kind };
    }
    let advice = match kind {
        // The log is created beside the file when it is first needed.
        ErrorKind::Denied if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) => {
            "; check that the file and its directory can be read and written"
        }
        ErrorKind::Denied => "; check that the file can be written",
        ErrorKind::Full => "; make room on the disk",
        ErrorKind::Corrupt => "; the file is damaged, remove it and the cache starts empty",
        ErrorKind::Unavailable if is_busy(&error) => {
            "; another process held its lock for longer than busy_timeout"
        }
        _ => "",
    };
    Error::new(kind, STORE, format!("{doing} {}{advice}", path.display())).with_source(error)
}

/// Whether the disk has no room for another file. SQLite does not say why it cannot create one.
fn has_no_room(path: &Path) -> bool {
    let made = tempfile::tempfile_in(disk::directory_of(path));
    made.is_err_and(|error| disk::io_kind(error.kind()) == ErrorKind::Full)
}

fn kind(error: &rusqlite::Error) -> ErrorKind {
    use rusqlite::Error as E;
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OutOfMemory
            | ErrorCode::OperationInterrupted,
        ) => ErrorKind::Unavailable,
        Some(ErrorCode::DiskFull) => ErrorKind::Full,
        Some(
            ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::AuthorizationForStatementDenied
            // SQLite names no reason; as a rule, the file or its directory may not be written.
            | ErrorCode::CannotOpen,
        ) => ErrorKind::Denied,
        Some(ErrorCode::SystemIoFailure) => io_kind(error),
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ErrorKind::Corrupt,
        Some(ErrorCode::TooBig) => ErrorKind::TooLarge,
        // Somebody has dropped one of our tables or triggers.
        Some(_) if is_missing(error) => ErrorKind::Corrupt,
        Some(_) => ErrorKind::Other,
        None => match error {
            // One of our rows contains something else than what was written.
            E::InvalidColumnType(..)
            | E::FromSqlConversionFailure(..)
            | E::IntegralValueOutOfRange(..)
            | E::Utf8Error(..)
            | E::QueryReturnedNoRows => ErrorKind::Corrupt,
            _ => ErrorKind::Other,
        },
    }
}

/// Whether a table or a trigger is missing. SQLite has no code for that.
fn is_missing(error: &rusqlite::Error) -> bool {
    let text = error.to_string();
    text.contains("no such table") || text.contains("no such trigger")
}

/// SQLite says which call failed, and not why. A failed write usually means a full disk or quota.
fn io_kind(error: &rusqlite::Error) -> ErrorKind {
    match error.sqlite_error().map(|error| error.extended_code) {
        Some(
            ffi::SQLITE_IOERR_WRITE
            | ffi::SQLITE_IOERR_FSYNC
            | ffi::SQLITE_IOERR_DIR_FSYNC
            | ffi::SQLITE_IOERR_TRUNCATE
            | ffi::SQLITE_IOERR_SHMSIZE
            | ffi::SQLITE_IOERR_SHMOPEN,
        ) => ErrorKind::Full,
        Some(ffi::SQLITE_IOERR_ACCESS | ffi::SQLITE_IOERR_AUTH) => ErrorKind::Denied,
        Some(ffi::SQLITE_IOERR_CORRUPTFS | ffi::SQLITE_IOERR_DATA) => ErrorKind::Corrupt,
        _ => ErrorKind::Unavailable,
    }
}

/// Whether another process is in the way, and may soon be gone.
pub(super) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::FileLockingProtocolFailed
        )
    )
}

/// Whether the error was made from an error that [`is_busy`].
pub(super) fn is_from_busy(error: &Error) -> bool {
    error.source().and_then(|source| source.downcast_ref()).is_some_and(is_busy)
}

pub(super) fn corrupt(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, STORE, message)
}

/// The error for an entry with a column of the wrong type.
pub(super) fn undecodable(key: &Key, error: rusqlite::Error) -> Error {
    corrupt_entry(key, "a row that does not decode").with_source(error)
}

pub(super) fn corrupt_entry(key: &Key, what: &str) -> Error {
    embedded::corrupt_entry(STORE, key, what)
}
