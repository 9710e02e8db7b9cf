//! Errors of the engine.

use std::path::Path;

use crate::{
    Key,
    store::{Error, ErrorKind},
};

/// The error for work on a closed file.
pub(in crate::store) fn closed(store: &'static str, path: &Path) -> Error {
    Error::new(ErrorKind::Unavailable, store, format!("{} is closed", path.display()))
}

/// The error for the writer of a body that another process has abandoned.
pub(in crate::store) fn abandoned(store: &'static str) -> Error {
    Error::new(ErrorKind::Unavailable, store, "another process removed the unfinished body")
}

/// The error for an entry with damaged bytes. `what` is wrong with it, such as `"a damaged head"`.
pub(in crate::store) fn corrupt_entry(store: &'static str, key: &Key, what: &str) -> Error {
    let message = format!("the entry of key {key} has {what}");
    Error::new(ErrorKind::Corrupt, store, message).with_key(key)
}
