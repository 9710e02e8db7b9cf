//! Errors that the stores on servers have in common.

use crate::{
    Key,
    store::{Error, ErrorKind},
};

/// What an error of this kind says of a server, if its store has nothing more exact to say.
pub(in crate::store) fn failed(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Full => "is full; make room on its disk",
        ErrorKind::Denied => "refused access; check the login and its rights",
        ErrorKind::Invalid => "cannot be used with these settings",
        _ => "is unavailable",
    }
}

pub(in crate::store) fn corrupt(store: &'static str, key: &Key, what: &str) -> Error {
    let message = format!("the entry of key {key} has {what}");
    Error::new(ErrorKind::Corrupt, store, message).with_key(key)
}

pub(in crate::store) fn invalid(store: &'static str, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, store, message)
}
