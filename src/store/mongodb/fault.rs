//! The driver's errors as errors of the store: what each means for the caller, with the server and
//! what to do.

use mongodb::error::{Error as MongoError, ErrorKind as MongoKind, WriteFailure};

use crate::{
    Key,
    store::{Error, ErrorKind, server::failed},
};

pub(super) const STORE: &str = "mongodb";

/// Error codes of servers.
const DUPLICATE_KEY: i32 = 11_000;
const TOO_LARGE: [i32; 3] = [10_334, 17_419, 17_420];
const FULL: [i32; 2] = [14_031, 12_501];
/// `Unauthorized` and `AuthenticationFailed`.
const DENIED: [i32; 2] = [13, 18];
const INDEX_CONFLICT: [i32; 2] = [85, 86];
const NOT_THERE: [i32; 2] = [26, 27];

/// Creates an error of the store with the driver's error as its source. `server` names the server,
/// without credentials.
pub(super) fn error(server: &str, error: MongoError) -> Error {
    let kind = kind(&error);
    let what = match kind {
        ErrorKind::TooLarge => "does not accept a document of that size",
        ErrorKind::Incompatible => "uses a protocol version that the driver does not support",
        kind => failed(kind),
    };
    Error::new(kind, STORE, format!("{server} {what}")).with_source(error)
}

fn kind(error: &MongoError) -> ErrorKind {
    match code(error) {
        Some(code) if TOO_LARGE.contains(&code) => return ErrorKind::TooLarge,
        Some(code) if FULL.contains(&code) => return ErrorKind::Full,
        Some(code) if DENIED.contains(&code) => return ErrorKind::Denied,
        _ => {}
    }
    match &*error.kind {
        MongoKind::InvalidArgument { .. } | MongoKind::InvalidTlsConfig { .. } => {
            ErrorKind::Invalid
        }
        MongoKind::Authentication { .. } => ErrorKind::Denied,
        MongoKind::IncompatibleServer { .. } => ErrorKind::Incompatible,
        _ => ErrorKind::Unavailable,
    }
}

/// The server's error code.
fn code(error: &MongoError) -> Option<i32> {
    match &*error.kind {
        MongoKind::Command(error) => Some(error.code),
        MongoKind::Write(WriteFailure::WriteError(error)) => Some(error.code),
        _ => None,
    }
}

/// Whether another document has the same `_id`, or the same position in a file.
pub(super) fn is_duplicate(error: &MongoError) -> bool {
    code(error) == Some(DUPLICATE_KEY)
}

/// Whether an index with the same keys or the same name has other options.
pub(super) fn is_index_conflict(error: &MongoError) -> bool {
    code(error).is_some_and(|code| INDEX_CONFLICT.contains(&code))
}

/// Whether the collection or the index does not exist.
pub(super) fn is_not_there(error: &MongoError) -> bool {
    code(error).is_some_and(|code| NOT_THERE.contains(&code))
}

/// Whether the driver found no server after waiting for one.
pub(super) fn is_no_server(error: &MongoError) -> bool {
    matches!(&*error.kind, MongoKind::ServerSelection { .. })
}

/// Whether the connection broke.
pub(super) fn is_broken(error: &MongoError) -> bool {
    matches!(&*error.kind, MongoKind::Io(_) | MongoKind::ConnectionPoolCleared { .. })
}

/// A task that runs a command has ended without a result.
pub(super) fn ended(error: tokio::task::JoinError) -> Error {
    let (kind, why) = match error.is_panic() {
        true => (ErrorKind::Other, "the driver panicked"),
        false => (ErrorKind::Unavailable, "the tokio runtime has stopped"),
    };
    Error::new(kind, STORE, why).with_source(error)
}

pub(super) fn too_large(key: &Key) -> Error {
    let message = format!(
        "the head of key {key} does not fit into a document, which MongoDB limits to 16 MiB"
    );
    Error::new(ErrorKind::TooLarge, STORE, message)
}
