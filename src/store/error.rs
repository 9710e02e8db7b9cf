//! The one error of every store: a kind to decide by, a sentence to read, and the driver's own error as its source.

use std::{error::Error as StdError, fmt};

use crate::error::BoxError;

/// The result of a store's operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong in a store.
///
/// The driver's error, where there is one, is the [`source`](StdError::source); it can be downcast, but its type is no
/// part of this crate's promises.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    store: &'static str,
    message: String,
    source: Option<BoxError>,
}

/// What an [`Error`] means for the one who meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store cannot be reached or does not answer now; the same call may succeed later.
    Unavailable,
    /// What is stored does not decode or does not match its checksum. The cache treats it as a miss and removes it.
    Corrupt,
    /// The file or server holds data of a newer version of this crate, or of something else.
    Incompatible,
    /// The entry does not fit into the store.
    TooLarge,
    /// The disk or the server's memory is full, or the file cannot be written.
    Full,
    /// What was asked for makes no sense: an invalid URL, a setting out of range.
    Invalid,
    /// Anything else.
    Other,
}

impl Error {
    /// An error of `store` (its name as a user knows it, `"redb"`), with a sentence that says what happened, to which
    /// key or path, and what to do.
    pub fn new(kind: ErrorKind, store: &'static str, message: impl Into<String>) -> Self {
        Self { kind, store, message: message.into(), source: None }
    }

    /// The same error with the driver's own one as its source.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What the error means for the caller.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The name of the store that failed.
    #[must_use]
    pub fn store(&self) -> &'static str {
        self.store
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.store, self.message)?;
        match &self.source {
            // The chain is short and a log line is often all there is, so the cause stands in the message too.
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}
