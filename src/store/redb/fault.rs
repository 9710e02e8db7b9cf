//! redb's errors as errors of the store: what each means for the caller, with the path and what to
//! do.

use std::{any::Any, path::Path};

use crate::{
    Key,
    store::{Error, ErrorKind, disk, embedded},
};

pub(super) const STORE: &str = "redb";

/// The result of a step of a transaction. Its error is redb's, and ends the transaction.
pub(super) type Raw<T> = Result<T, redb::Error>;

/// Creates an error of the store with redb's error as its source. `doing` is what failed, such as
/// `"cannot write to"`.
pub(super) fn error(doing: &str, path: &Path, error: redb::Error) -> Error {
    let kind = kind(&error);
    let advice = match kind {
        ErrorKind::Full => "; make room on the disk",
        ErrorKind::Denied => "; check that the file can be written",
        ErrorKind::Corrupt => "; the file is damaged, remove it and the cache starts empty",
        _ => "",
    };
    Error::new(kind, STORE, format!("{doing} {}{advice}", path.display())).with_source(error)
}

pub(super) fn kind(error: &redb::Error) -> ErrorKind {
    match error {
        redb::Error::Io(error) => disk::io_kind(error.kind()),
        redb::Error::Corrupted(_)
        | redb::Error::TableTypeMismatch { .. }
        | redb::Error::TableIsMultimap(_)
        | redb::Error::TableDoesNotExist(_) => ErrorKind::Corrupt,
        redb::Error::ValueTooLarge(_) => ErrorKind::TooLarge,
        redb::Error::UpgradeRequired(_) => ErrorKind::Incompatible,
        redb::Error::Unsupported => ErrorKind::Invalid,
        redb::Error::DatabaseAlreadyOpen
        | redb::Error::LockProtocolMismatch
        | redb::Error::DatabaseClosed
        | redb::Error::PreviousIo
        | redb::Error::TransactionPoisoned
        | redb::Error::LockPoisoned(_) => ErrorKind::Unavailable,
        _ => ErrorKind::Other,
    }
}

/// Whether redb refuses everything after this error until the file is reopened.
pub(super) fn needs_reopening(error: &redb::Error) -> bool {
    matches!(
        error,
        redb::Error::Io(_)
            | redb::Error::PreviousIo
            | redb::Error::DatabaseClosed
            | redb::Error::LockPoisoned(_)
    )
}

pub(super) fn corrupt_entry(key: &Key, what: &str) -> Error {
    embedded::corrupt_entry(STORE, key, what)
}

/// redb trusts the structure of its pages, so a file that is damaged in the wrong place can make it
/// panic. For a cache, that is one more error.
pub(super) fn panicked(path: &Path, panic: &(dyn Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let path = path.display();
    let message = format!("{path} is damaged, remove it and the cache starts empty: {text}");
    Error::new(ErrorKind::Corrupt, STORE, message)
}
